//! Network interfaces of a node and of a guest.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Operation;
use super::effect::{
    Target::{Guests, Node},
    changes, destroys, reads,
};
use super::request::{GuestRequest, NodeRequest, default_true, not_a_variable, request};
use super::spec::{action, many, one, post};
use super::tags::{GUEST_NETWORK, NODE_NETWORK};
use super::values::{
    Bridge, CardModel, InterfaceName, InterfaceType, Ipv4, MacAddress, Netmask, NodeName, VmId,
};

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    vec![
        post(
            "/v0/admin/proxmox/network/node/list",
            NODE_NETWORK,
            "List the network interfaces of a node",
            action::<NodeRequest>(
                many::<NodeInterface>("network_list_interfaces_node"),
                reads(),
                &["Sys.Audit"],
            ),
        ),
        post(
            "/v0/admin/proxmox/network/node/add",
            NODE_NETWORK,
            "Add a network interface to a node",
            action::<NodeInterfaceAddRequest>(
                one::<AddedNodeInterface>("network_add_interfaces_node"),
                changes(Node),
                &["Sys.Modify"],
            ),
        ),
        post(
            "/v0/admin/proxmox/network/node/delete",
            NODE_NETWORK,
            "Delete a network interface of a node",
            action::<NodeInterfaceDeleteRequest>(
                one::<DeletedNodeInterface>("network_delete_interfaces_node"),
                destroys(Node),
                &["Sys.Modify"],
            ),
        ),
        post(
            "/v0/admin/proxmox/network/vm/add",
            GUEST_NETWORK,
            "Add a network interface to a guest",
            action::<GuestInterfaceAddRequest>(
                one::<AddedGuestInterface>("network_add_interfaces_vm"),
                changes(Guests),
                &["VM.Config.Network"],
            ),
        ),
        post(
            "/v0/admin/proxmox/network/vm/delete",
            GUEST_NETWORK,
            "Delete a network interface of a guest",
            action::<GuestInterfaceDeleteRequest>(
                one::<DeletedGuestInterface>("network_delete_interfaces_vm"),
                destroys(Guests),
                &["VM.Config.Network"],
            ),
        )
        .example(json!({"vm_id": "1001"})),
        post(
            "/v0/admin/proxmox/network/vm/list",
            GUEST_NETWORK,
            "List the network interfaces of a guest",
            action::<GuestRequest>(
                many::<GuestInterface>("network_list_interfaces_vm"),
                reads(),
                &["VM.Audit"],
            ),
        ),
    ]
}

/// A request to add an interface to a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "iface_name": "vmbr42", "iface_type": "bridge",
    "iface_autostart": 1, "ip_address": "10.42.0.1", "ip_netmask": "255.255.255.0",
}))]
pub struct NodeInterfaceAddRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The number of the interface: 1 for `net1`.
    #[schema(required = true, minimum = -1, maximum = 31)]
    pub vm_vmnet_id: Option<i64>,
}

request!(NodeInterfaceAddRequest { node: proxmox_node, as_json: as_json });
request!(NodeInterfaceDeleteRequest { node: proxmox_node, as_json: as_json });
request!(GuestInterfaceAddRequest { node: proxmox_node, as_json: as_json, guest: vm_id });
request!(GuestInterfaceDeleteRequest { node: proxmox_node, as_json: as_json, guest: vm_id });

/// A network interface of a node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "network_list_interfaces_node", "source": "proxmox",
    "proxmox_node": "px-testing", "iface": "vmbr0", "iface_type": "bridge", "iface_active": 1,
    "iface_exists": 0, "iface_priority": 4, "ip_settings_method": "static",
    "ip_settings_method6": "manual", "iface_autostart": 1, "iface_bridge_fd": "0",
    "iface_bridge_ports": "eno1", "iface_bridge_stp": "off",
    "ip_settings_address": "192.0.2.10", "ip_settings_cidr": "192.0.2.10/24",
    "ip_settings_gateway": "192.0.2.1", "ip_settings_netmask": "24",
}))]
pub struct NodeInterface {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node.
    pub proxmox_node: String,
    /// The name of the interface.
    pub iface: String,
    /// Its type: `bridge`, `bond`, `eth`, `vlan`, `OVSBridge` and others; `unknown` where Proxmox
    /// VE cannot tell.
    pub iface_type: String,
    /// 1 when it is up, else 0.
    pub iface_active: i64,
    /// 1 when the node has such a device, else 0.
    pub iface_exists: i64,
    /// Its place in the node's configuration: the lower, the earlier. Null: it is not in there.
    pub iface_priority: Option<i64>,
    /// 1 when it comes up at boot. Absent: it does not.
    pub iface_autostart: Option<i64>,
    /// The forward delay of a bridge in seconds, as text. Absent: no bridge.
    pub iface_bridge_fd: Option<String>,
    /// The ports of a bridge, separated by blanks. Absent: no bridge.
    pub iface_bridge_ports: Option<String>,
    /// Whether a bridge speaks the spanning tree protocol: `on` or `off`. Absent: no bridge.
    pub iface_bridge_stp: Option<String>,
    /// How it gets its IPv4 address: `static`, `dhcp`, `manual` (none) or another of ifupdown's.
    pub ip_settings_method: String,
    /// How it gets its IPv6 address, likewise.
    pub ip_settings_method6: String,
    /// Its IPv4 address. Absent: none is set.
    pub ip_settings_address: Option<String>,
    /// Its IPv4 address with the length of the netmask. Absent: none is set.
    pub ip_settings_cidr: Option<String>,
    /// The IPv4 gateway. Absent: none is set.
    pub ip_settings_gateway: Option<String>,
    /// The IPv4 netmask, dotted or as the number of its bits. Absent: none is set.
    pub ip_settings_netmask: Option<String>,
}

/// A network interface that was added to a node's configuration. It is not in effect before
/// that configuration is applied on the node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "network_add_interfaces_node", "source": "proxmox",
    "proxmox_node": "px-testing", "iface_name": "vmbr42", "iface_type": "bridge",
    "iface_autostart": 1, "ip_address": "10.42.0.1", "ip_netmask": "255.255.255.0",
}))]
pub struct AddedNodeInterface {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node.
    pub proxmox_node: String,
    /// The name of the interface.
    pub iface_name: String,
    /// Its type.
    pub iface_type: String,
    /// 1 when it comes up at boot, else 0.
    pub iface_autostart: i64,
    /// Its IPv4 address. Absent: none was requested.
    pub ip_address: Option<String>,
    /// Its IPv4 netmask, dotted. Absent: none was requested.
    pub ip_netmask: Option<String>,
    /// The IPv4 gateway. Absent: none was requested.
    pub ip_gateway: Option<String>,
    /// The ports of a bridge. Absent: none were asked for.
    pub bridge_ports: Option<String>,
    /// The Open vSwitch bridge that it belongs to. Absent: none was requested.
    pub ovs_bridge: Option<String>,
}

/// A network interface that was deleted from a node's configuration. It stays in effect until
/// that configuration is applied on the node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "network_delete_interfaces_node", "source": "proxmox",
    "proxmox_node": "px-testing", "iface_name": "vmbr42",
}))]
pub struct DeletedNodeInterface {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node.
    pub proxmox_node: String,
    /// The name that the interface had.
    pub iface_name: String,
}

/// A network interface of a guest, read from its configuration.
// The published name differs, because `GuestInterface` is already the name of a request value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ListedGuestInterface)]
#[schema(example = json!({
    "action": "network_list_interfaces_vm", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": "1000", "vm_network_device": "net0", "vm_network_type": "virtio",
    "vm_network_mac": "BC:24:11:00:03:E8", "vm_network_bridge": "vmbr0",
    "vm_network_firewall": "1", "vm_network_tag": "42",
}))]
pub struct GuestInterface {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id, as text.
    pub vm_id: String,
    /// The interface, such as `net0`.
    pub vm_network_device: String,
    /// The model of the card.
    pub vm_network_type: String,
    /// Its MAC address. Null: none is set.
    pub vm_network_mac: Option<String>,
    /// The bridge that it is plugged into. Null: none.
    pub vm_network_bridge: Option<String>,
    /// `1` when the guest's firewall is on for it, `0` when it is not. Null: not set, which means
    /// it is not.
    pub vm_network_firewall: Option<String>,
    /// The VLAN tag, as text. Absent: untagged.
    pub vm_network_tag: Option<String>,
}

/// A network interface that was added to a guest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "network_add_interfaces_vm", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": 1000, "vm_vmnet_id": 1, "iface_model": "virtio", "iface_bridge": "vmbr0",
    "iface_tag": 42, "iface_firewall": 1,
}))]
pub struct AddedGuestInterface {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id.
    pub vm_id: i64,
    /// The number of the interface: 1 for `net1`.
    pub vm_vmnet_id: i64,
    /// The model of the card.
    pub iface_model: String,
    /// Its MAC address. Absent: Proxmox VE made one.
    pub iface_macaddr: Option<String>,
    /// The bridge that it is plugged into. Absent: none was requested.
    pub iface_bridge: Option<String>,
    /// The VLAN tag. Absent: untagged.
    pub iface_tag: Option<i64>,
    /// The VLANs that pass, such as `2-4094` for all of them. Absent: no trunk.
    pub iface_trunks: Option<String>,
    /// The rate limit in megabytes per second. Absent: none.
    pub iface_rate: Option<f64>,
    /// The number of packet queues. Absent: Proxmox VE's default.
    pub iface_queues: Option<i64>,
    /// The MTU in bytes; 1 is the bridge's. Absent: Proxmox VE's default.
    pub iface_mtu: Option<i64>,
    /// 1 when the link is unplugged, 0 when it is not. Absent: it was not asked for.
    pub iface_link_down: Option<i64>,
    /// 1 when the guest's firewall is on for it, 0 when it is not. Absent: it was not asked for.
    pub iface_firewall: Option<i64>,
}

/// A network interface that was deleted from a guest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "network_delete_interfaces_vm", "source": "proxmox",
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_vmnet_id": 1,
}))]
pub struct DeletedGuestInterface {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id, as text.
    pub vm_id: String,
    /// The number that the interface had: 1 for `net1`.
    pub vm_vmnet_id: i64,
}
