//! What requests about the firewall of the datacenter, a node or a guest carry.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operations::values::{
    AliasName, ApiHost, Cidr, Comment, FirewallLogLevel, GuestInterface, NodeName, PortRange,
    Protocol, RuleAction, RuleDirection, VmId,
};
use crate::operations::vms::{not_a_variable, yes};

/// A request to switch the datacenter's firewall on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_api_host": ""}))]
pub struct DatacenterFirewallRequest {
    /// The API to speak to. It must be one that the inventory names; empty means the
    /// inventory's own.
    #[serde(skip_serializing_if = "ApiHost::is_empty")]
    #[schema(required = true)]
    pub proxmox_api_host: ApiHost,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
}

/// A request to switch the datacenter's firewall off.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "proxmox_api_host": ""}))]
pub struct DatacenterFirewallOffRequest {
    /// The node, which the playbook does not need and clients send.
    #[serde(skip_serializing_if = "not_a_variable")]
    #[schema(required = true)]
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The API to speak to. It must be one that the inventory names; empty means the
    /// inventory's own.
    #[serde(skip_serializing_if = "ApiHost::is_empty")]
    #[schema(required = true)]
    pub proxmox_api_host: ApiHost,
}

/// A request to add an alias to a guest's firewall.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_fw_alias_name": "lab-net",
    "vm_fw_alias_cidr": "10.42.0.0/24", "vm_fw_alias_comment": "the lab",
}))]
pub struct AliasAddRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The alias.
    pub vm_fw_alias_name: AliasName,
    /// What it stands for.
    pub vm_fw_alias_cidr: Cidr,
    /// A comment.
    pub vm_fw_alias_comment: Option<Comment>,
}

/// A request about an alias of a guest's firewall.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_fw_alias_name": "lab-net",
}))]
pub struct AliasRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The alias.
    pub vm_fw_alias_name: AliasName,
}

/// A request to add a rule to a guest's firewall.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_fw_action": "ACCEPT",
    "vm_fw_dport": "22", "vm_fw_enable": 1, "vm_fw_proto": "tcp", "vm_fw_type": "in",
    "vm_fw_source": "10.42.0.0/24", "vm_fw_comment": "ssh from the lab",
}))]
pub struct RuleApplyRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// What the rule does.
    pub vm_fw_action: RuleAction,
    /// The destination port or ports.
    pub vm_fw_dport: PortRange,
    /// Whether the rule is on: 1 or 0.
    #[schema(minimum = -1, maximum = 1)]
    pub vm_fw_enable: i64,
    /// The protocol.
    pub vm_fw_proto: Protocol,
    /// The direction.
    pub vm_fw_type: RuleDirection,
    /// The level at which matches are logged.
    pub vm_fw_log: Option<FirewallLogLevel>,
    /// The guest's interface that the rule is for.
    pub vm_fw_iface: Option<GuestInterface>,
    /// Where packets come from.
    pub vm_fw_source: Option<Cidr>,
    /// Where packets go.
    pub vm_fw_dest: Option<Cidr>,
    /// The source port or ports.
    pub vm_fw_sport: Option<PortRange>,
    /// A comment.
    pub vm_fw_comment: Option<Comment>,
    /// The position among the rules, from 0.
    #[schema(minimum = -1, maximum = 65_535)]
    pub vm_fw_pos: Option<i64>,
}

/// A request to delete a rule of a guest's firewall.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_id": "1000", "vm_fw_pos": 0}))]
pub struct RuleDeleteRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The position of the rule, from 0.
    #[schema(required = true, minimum = -1, maximum = 65_535)]
    pub vm_fw_pos: Option<i64>,
}
