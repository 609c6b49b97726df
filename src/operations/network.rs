//! What requests about network interfaces of a node or a guest carry.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operations::values::{
    Bridge, CardModel, InterfaceName, InterfaceType, Ipv4, MacAddress, Netmask, NodeName, VmId,
};
use crate::operations::vms::{not_a_variable, yes};

/// A request to add an interface to a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "iface_name": "vmbr42", "iface_type": "bridge",
    "iface_autostart": 1, "ip_address": "10.42.0.1", "ip_netmask": "255.255.255.0",
}))]
pub struct NodeInterfaceAddRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The ports of a bridge.
    pub bridge_ports: Option<InterfaceName>,
    /// The name of the new interface.
    #[schema(required = true)]
    pub iface_name: Option<InterfaceName>,
    /// Its type.
    #[schema(required = true)]
    pub iface_type: Option<InterfaceType>,
    /// Whether it comes up at boot: 1 or 0.
    #[schema(minimum = -1, maximum = 1)]
    pub iface_autostart: Option<i64>,
    /// Its address.
    pub ip_address: Option<Ipv4>,
    /// Its netmask.
    pub ip_netmask: Option<Netmask>,
    /// The default gateway.
    pub ip_gateway: Option<Ipv4>,
    /// The Open vSwitch bridge that it belongs to.
    pub ovs_bridge: Option<InterfaceName>,
}

/// A request to delete an interface of a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "iface_name": "vmbr42"}))]
pub struct NodeInterfaceDeleteRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// The interface.
    #[schema(required = true)]
    pub iface_name: Option<InterfaceName>,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
}

/// A request to add an interface to a guest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "1000", "iface_model": "virtio",
    "iface_bridge": "vmbr0", "vm_vmnet_id": 1, "iface_tag": 42, "iface_firewall": true,
}))]
pub struct GuestInterfaceAddRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The model of the card.
    #[schema(required = true)]
    pub iface_model: Option<CardModel>,
    /// The bridge that it is plugged into.
    #[schema(required = true)]
    pub iface_bridge: Option<Bridge>,
    /// The number of the interface: 1 for `net1`.
    #[schema(required = true, minimum = -1, maximum = 31)]
    pub vm_vmnet_id: Option<i64>,
    /// Whether all VLANs pass.
    pub iface_trunks: Option<bool>,
    /// The VLAN tag.
    #[schema(minimum = 1, maximum = 4094)]
    pub iface_tag: Option<i64>,
    /// The rate limit in megabytes per second.
    #[schema(minimum = 0, maximum = 10_240)]
    pub iface_rate: Option<f64>,
    /// The number of packet queues.
    #[schema(minimum = -1, maximum = 64)]
    pub iface_queues: Option<i64>,
    /// The MTU in bytes; 1 takes the bridge's.
    #[schema(minimum = -1, maximum = 65_520)]
    pub iface_mtu: Option<i64>,
    /// The MAC address. Null: Proxmox VE makes one.
    pub iface_macaddr: Option<MacAddress>,
    /// Whether the link is unplugged.
    pub iface_link_down: Option<bool>,
    /// Whether the firewall is on for it.
    pub iface_firewall: Option<bool>,
}

/// A request to delete an interface of a guest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_id": "1000", "vm_vmnet_id": 1}))]
pub struct GuestInterfaceDeleteRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The number of the interface: 1 for `net1`.
    #[schema(required = true, minimum = -1, maximum = 31)]
    pub vm_vmnet_id: Option<i64>,
}
