//! What requests about whole guests carry: list, start, stop, create, clone, delete.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operations::values::{
    CpuType, GuestDescription, GuestName, IsoVolume, ListedGuestName, ListedVmId, NodeName, VmId,
};

/// The default of `as_json` in most operations.
pub(super) fn yes() -> bool {
    true
}

/// Says of a member that the playbook does not get it as a variable.
pub(super) fn not_a_variable<T>(_: &T) -> bool {
    true
}

/// A request about a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing"}))]
pub struct NodeRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
}

/// A request about one guest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_id": "1000"}))]
pub struct GuestRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
}

/// A request to make a guest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "4200", "vm_name": "fresh-box", "vm_cpu": "host",
    "vm_cores": 2, "vm_sockets": 1, "vm_memory": 2048, "vm_disk_size": 8,
}))]
pub struct CreateRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The id of the new guest, which must be free.
    pub vm_id: VmId,
    /// Its name.
    pub vm_name: GuestName,
    /// Its CPU type.
    pub vm_cpu: CpuType,
    /// Cores per socket.
    #[schema(minimum = 1, maximum = 8192)]
    pub vm_cores: i64,
    /// Sockets.
    #[schema(minimum = 1, maximum = 128)]
    pub vm_sockets: i64,
    /// Memory in MiB.
    #[schema(minimum = 128, maximum = 4_178_944)]
    pub vm_memory: i64,
    /// The size of its disk in GiB. Null: no disk.
    #[schema(minimum = 1, maximum = 1_048_576)]
    pub vm_disk_size: Option<i64>,
    /// The ISO image in its CD drive. Null: no CD drive.
    pub vm_iso: Option<IsoVolume>,
}

fn cloned_vm() -> Option<GuestDescription> {
    serde_json::from_value("cloned-vm".into()).ok()
}

/// A request to clone a guest or template.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "9000", "vm_new_id": "4300", "vm_name": "cloned-box",
    "vm_description": "a copy of the template",
}))]
pub struct CloneRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest to copy.
    pub vm_id: VmId,
    /// The id of the copy, which must be free.
    pub vm_new_id: VmId,
    /// The description of the copy.
    #[serde(default = "cloned_vm")]
    #[schema(default = "cloned-vm")]
    pub vm_description: Option<GuestDescription>,
    /// The name of the copy.
    pub vm_name: GuestName,
}

/// A request about several guests.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_ids": ["1012", "1014"]}))]
pub struct GuestListRequest {
    /// The node.
    #[serde(rename(serialize = "PROXMOX_NODE"))]
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guests.
    #[serde(rename(serialize = "VM_IDS"))]
    #[schema(min_items = 1, max_items = 1000)]
    pub vm_ids: Vec<ListedVmId>,
}

/// A request to delete several guests.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing",
    "vms": [{"id": "1024", "name": "printer"}, {"id": "1025", "name": "kiosk"}],
}))]
pub struct DeleteListRequest {
    /// The node.
    #[serde(rename(serialize = "PROXMOX_NODE"))]
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guests.
    #[serde(rename(serialize = "VMS"))]
    #[schema(min_items = 1, max_items = 1000)]
    pub vms: Vec<NamedGuest>,
}

/// A guest by id and name; both must fit for it to be deleted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NamedGuest {
    /// Its id.
    #[serde(rename(serialize = "ID"))]
    pub id: ListedVmId,
    /// Its name.
    #[serde(rename(serialize = "NAME"))]
    pub name: ListedGuestName,
}
