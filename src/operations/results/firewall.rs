//! The firewall of the datacenter, of a node, and of one guest.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The datacenter's firewall, switched on or off.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "firewall_dc_enable", "source": "proxmox", "proxmox_node": "px-testing",
    "dc_firewall": "enabled",
}))]
pub struct DatacenterFirewall {
    /// The action that answered.
    pub action: String,
    /// Where the answer comes from: `proxmox`.
    pub source: String,
    /// The node whose API was asked. Null: the inventory names none for that API.
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
    /// The action that answered.
    pub action: String,
    /// Where the answer comes from: `proxmox`.
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
    /// The action that answered.
    pub action: String,
    /// Where the answer comes from: `proxmox`.
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
    /// The action that answered.
    pub action: String,
    /// Where the answer comes from: `proxmox`.
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
    /// The action that answered.
    pub action: String,
    /// Where the answer comes from: `proxmox`.
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
    /// The action that answered.
    pub action: String,
    /// Where the answer comes from: `proxmox`.
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
    /// The action that answered.
    pub action: String,
    /// Where the answer comes from: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id, as text.
    pub vm_id: String,
    /// The position that it had, from 0. Those after it have moved up by one.
    pub vm_fw_pos: i64,
}
