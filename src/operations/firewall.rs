//! The firewall of the datacenter, of a node and of a guest.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Operation;
use super::effect::{
    Target::{Datacenter, Guests, Node},
    changes, destroys, reads,
};
use super::request::{GuestRequest, NodeRequest, default_true, not_a_variable, request};
use super::spec::{action, delete, many, one, post};
use super::tags::FIREWALL;
use super::values::{
    AliasName, ApiHost, Cidr, Comment, FirewallLogLevel, GuestInterface, NodeName, PortRange,
    Protocol, RuleAction, RuleDirection, VmId,
};

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    vec![
        post(
            "/v0/admin/proxmox/firewall/datacenter/disable",
            FIREWALL,
            "Switch the datacenter's firewall off",
            action::<DatacenterFirewallOffRequest>(
                one::<DatacenterFirewall>("firewall_dc_disable"),
                changes(Datacenter),
                &["Sys.Modify"],
            ),
        ),
        post(
            "/v0/admin/proxmox/firewall/datacenter/enable",
            FIREWALL,
            "Switch the datacenter's firewall on",
            action::<DatacenterFirewallRequest>(
                one::<DatacenterFirewall>("firewall_dc_enable"),
                changes(Datacenter),
                &["Sys.Modify"],
            ),
        ),
        post(
            "/v0/admin/proxmox/firewall/node/disable",
            FIREWALL,
            "Switch a node's firewall off",
            action::<NodeRequest>(
                one::<NodeFirewall>("firewall_node_disable"),
                changes(Node),
                &["Sys.Modify"],
            ),
        ),
        post(
            "/v0/admin/proxmox/firewall/node/enable",
            FIREWALL,
            "Switch a node's firewall on",
            action::<NodeRequest>(
                one::<NodeFirewall>("firewall_node_enable"),
                changes(Node),
                &["Sys.Modify"],
            ),
        ),
        post(
            "/v0/admin/proxmox/firewall/vm/alias/add",
            FIREWALL,
            "Add an alias to a guest's firewall",
            action::<AliasAddRequest>(
                one::<Alias>("firewall_vm_add_iptables_alias"),
                changes(Guests),
                &["VM.Config.Network"],
            ),
        ),
        delete(
            "/v0/admin/proxmox/firewall/vm/alias/delete",
            FIREWALL,
            "Delete an alias of a guest's firewall",
            action::<AliasRequest>(
                one::<DeletedAlias>("firewall_vm_delete_iptables_alias"),
                destroys(Guests),
                &["VM.Config.Network"],
            ),
        )
        .example(json!({"vm_fw_alias_name": "scanners"})),
        post(
            "/v0/admin/proxmox/firewall/vm/alias/list",
            FIREWALL,
            "List the aliases of a guest's firewall",
            action::<GuestRequest>(
                many::<Alias>("firewall_vm_list_iptables_alias"),
                reads(),
                &["VM.Audit"],
            ),
        ),
        post(
            "/v0/admin/proxmox/firewall/vm/disable",
            FIREWALL,
            "Switch a guest's firewall off",
            action::<GuestRequest>(
                one::<GuestFirewall>("firewall_vm_disable"),
                changes(Guests),
                &["VM.Config.Network"],
            )
            .named(),
        ),
        post(
            "/v0/admin/proxmox/firewall/vm/enable",
            FIREWALL,
            "Switch a guest's firewall on",
            action::<GuestRequest>(
                one::<GuestFirewall>("firewall_vm_enable"),
                changes(Guests),
                &["VM.Config.Network"],
            )
            .named(),
        ),
        post(
            "/v0/admin/proxmox/firewall/vm/rules/apply",
            FIREWALL,
            "Add a rule to a guest's firewall",
            action::<RuleApplyRequest>(
                one::<Rule>("firewall_vm_apply_iptables_rule"),
                changes(Guests),
                &["VM.Config.Network"],
            ),
        ),
        delete(
            "/v0/admin/proxmox/firewall/vm/rules/delete",
            FIREWALL,
            "Delete a rule of a guest's firewall",
            action::<RuleDeleteRequest>(
                one::<DeletedRule>("firewall_vm_delete_iptables_rule"),
                destroys(Guests),
                &["VM.Config.Network"],
            ),
        ),
        post(
            "/v0/admin/proxmox/firewall/vm/rules/list",
            FIREWALL,
            "List the rules of a guest's firewall",
            action::<GuestRequest>(
                many::<Rule>("firewall_vm_list_iptables_rule"),
                reads(),
                &["VM.Audit"],
            ),
        ),
    ]
}

/// A request to switch the datacenter's firewall on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_api_host": ""}))]
pub struct DatacenterFirewallRequest {
    /// The Proxmox API host to use. It must be one that the inventory names; empty means the
    /// inventory's own.
    #[serde(skip_serializing_if = "ApiHost::is_empty")]
    #[schema(required = true)]
    pub proxmox_api_host: ApiHost,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The Proxmox API host to use. It must be one that the inventory names; empty means the
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The position of the rule, from 0.
    #[schema(required = true, minimum = -1, maximum = 65_535)]
    pub vm_fw_pos: Option<i64>,
}

request!(DatacenterFirewallRequest { as_json: as_json, api_host: proxmox_api_host });
request!(DatacenterFirewallOffRequest {
    node: proxmox_node,
    as_json: as_json,
    api_host: proxmox_api_host
});
request!(AliasAddRequest { node: proxmox_node, as_json: as_json, guest: vm_id });
request!(AliasRequest { node: proxmox_node, as_json: as_json, guest: vm_id });
request!(RuleApplyRequest { node: proxmox_node, as_json: as_json, guest: vm_id });
request!(RuleDeleteRequest { node: proxmox_node, as_json: as_json, guest: vm_id });

/// The datacenter's firewall, switched on or off.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "firewall_dc_enable", "source": "proxmox", "proxmox_node": "px-testing",
    "dc_firewall": "enabled",
}))]
pub struct DatacenterFirewall {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node whose API was called. Null: the inventory names none for that API.
    pub proxmox_node: Option<String>,
    /// `enabled` or `disabled`.
    pub dc_firewall: String,
}

/// A node's firewall, switched on or off.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "firewall_node_enable", "source": "proxmox", "proxmox_node": "px-testing",
    "node_firewall": "enabled",
}))]
pub struct NodeFirewall {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node.
    pub proxmox_node: String,
    /// `enabled` or `disabled`.
    pub node_firewall: String,
}

/// A guest's firewall, switched on or off.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "firewall_vm_enable", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": 1000, "vm_name": "gateway", "vm_firewall": "enabled",
}))]
pub struct GuestFirewall {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id.
    pub vm_id: i64,
    /// The guest's name.
    pub vm_name: String,
    /// `enabled` or `disabled`.
    pub vm_firewall: String,
}

/// An alias of a guest's firewall, listed or added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "firewall_vm_add_iptables_alias", "source": "proxmox",
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_fw_alias_name": "lab-net",
    "vm_fw_alias_cidr": "10.42.0.0/24", "vm_fw_alias_comment": "the lab",
}))]
pub struct Alias {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id, as text.
    pub vm_id: String,
    /// The alias.
    pub vm_fw_alias_name: String,
    /// The address or network that it stands for.
    pub vm_fw_alias_cidr: String,
    /// A comment. Null: none.
    pub vm_fw_alias_comment: Option<String>,
}

/// An alias of a guest's firewall that was deleted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "firewall_vm_delete_iptables_alias", "source": "proxmox",
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_fw_alias_name": "lab-net",
}))]
pub struct DeletedAlias {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id, as text.
    pub vm_id: String,
    /// The alias.
    pub vm_fw_alias_name: String,
}

/// A rule of a guest's firewall, listed or added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "firewall_vm_apply_iptables_rule", "source": "proxmox",
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_fw_pos": 0, "vm_fw_type": "in",
    "vm_fw_action": "ACCEPT", "vm_fw_enable": 1, "vm_fw_source": "10.42.0.0/24",
    "vm_fw_proto": "tcp", "vm_fw_dport": "22", "vm_fw_comment": "ssh from the lab",
}))]
pub struct Rule {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id, as text.
    pub vm_id: String,
    /// What the rule does: `ACCEPT`, `DROP`, `REJECT`, or a security group's name.
    pub vm_fw_action: String,
    /// The direction: `in`, `out` or `forward`, or `group` for a security group.
    pub vm_fw_type: String,
    /// 1 when the rule is on, else 0.
    pub vm_fw_enable: i64,
    /// Its position among the rules, from 0. The first one that matches decides.
    pub vm_fw_pos: i64,
    /// The guest's interface that it is for, such as `net0`. Absent: all of them.
    pub vm_fw_iface: Option<String>,
    /// Where packets come from. Absent: anywhere.
    pub vm_fw_source: Option<String>,
    /// Where packets go. Absent: anywhere.
    pub vm_fw_dest: Option<String>,
    /// The protocol. Absent: all of them.
    pub vm_fw_proto: Option<String>,
    /// The destination port, or a range of them such as `8000:8010`. Absent: all of them.
    pub vm_fw_dport: Option<String>,
    /// The source port, or a range of them such as `8000:8010`. Absent: all of them.
    pub vm_fw_sport: Option<String>,
    /// A comment. Absent: none.
    pub vm_fw_comment: Option<String>,
    /// The level at which matches are logged. Absent: they are not.
    pub vm_fw_log: Option<String>,
}

/// A rule of a guest's firewall that was deleted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "firewall_vm_delete_iptables_rule", "source": "proxmox",
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_fw_pos": 0,
}))]
pub struct DeletedRule {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id, as text.
    pub vm_id: String,
    /// The position that it had, from 0. Those after it have moved up by one.
    pub vm_fw_pos: i64,
}
