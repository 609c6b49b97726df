//! Snapshots of one guest.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operations::results::RawTask;

/// A snapshot of a guest. The guest's present state, which Proxmox VE lists too, is left out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "snapshot_vm_list", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": "1020", "vm_snapshot_name": "before-exercise",
    "vm_snapshot_description": "Ready for students.", "vm_snapshot_parent": "clean",
    "vm_snapshot_time": 1_757_600_000,
}))]
pub struct ListedSnapshot {
    /// The action that answered.
    pub action: String,
    /// Where the answer comes from: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// The guest's id, as text.
    pub vm_id: String,
    /// The name of the snapshot.
    pub vm_snapshot_name: String,
    /// Its description. Null: it has none.
    pub vm_snapshot_description: Option<String>,
    /// The name of the snapshot that it was taken on top of. Null: it is the first.
    pub vm_snapshot_parent: Option<String>,
    /// When it was taken, in seconds since 1970 (`snaptime`). Absent: not known.
    pub vm_snapshot_time: Option<i64>,
}

/// A snapshot that was taken.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "snapshot_vm_create", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": 1000, "vm_name": "gateway", "vm_snapshot_name": "before-exercise",
    "raw_data": {"data": "UPID:px-testing:0001F3D9:0049B7F2:68C2F182:qmsnapshot:1000:root@pam!demo:"},
    "vm_snapshot_description": "clean-state",
}))]
pub struct CreatedSnapshot {
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
    /// The name of the snapshot.
    pub vm_snapshot_name: String,
    /// Its description. Null: none was asked for.
    pub vm_snapshot_description: Option<String>,
    /// The task of Proxmox VE that took it.
    pub raw_data: RawTask,
}

/// A snapshot that was deleted, or that a guest was reverted to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "snapshot_vm_revert", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": 1020, "vm_name": "webshop", "vm_snapshot_name": "before-exercise",
    "raw_data": {"data": "UPID:px-testing:0001F3E6:0049B9D4:68C2F1CA:qmrollback:1020:root@pam!demo:"},
}))]
pub struct ChangedSnapshot {
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
    /// The name of the snapshot.
    pub vm_snapshot_name: String,
    /// The task of Proxmox VE that deleted it or went back to it.
    pub raw_data: RawTask,
}
