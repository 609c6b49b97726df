//! Snapshots of a guest.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Operation;
use super::effect::{Target::Guests, changes, destroys, reads};
use super::request::{GuestRequest, default_true, not_a_variable, request};
use super::results::RawTask;
use super::spec::{action, delete, many, one, post};
use super::tags::SNAPSHOTS;
use super::values::{NodeName, SnapshotDescription, SnapshotName, VmId};

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    vec![
        post(
            "/v0/admin/proxmox/vms/vm_id/snapshot/create",
            SNAPSHOTS,
            "Take a snapshot of a guest",
            action::<SnapshotCreateRequest>(
                one::<CreatedSnapshot>("snapshot_vm_create"),
                changes(Guests),
                &["VM.Snapshot"],
            )
            .named(),
        ),
        delete(
            "/v0/admin/proxmox/vms/vm_id/snapshot/delete",
            SNAPSHOTS,
            "Delete a snapshot of a guest",
            action::<SnapshotRequest>(
                one::<ChangedSnapshot>("snapshot_vm_delete"),
                destroys(Guests),
                &["VM.Snapshot"],
            )
            .named(),
        )
        .example(json!({"vm_id": "1020", "vm_snapshot_name": "clean"})),
        post(
            "/v0/admin/proxmox/vms/vm_id/snapshot/list",
            SNAPSHOTS,
            "List the snapshots of a guest",
            action::<GuestRequest>(
                many::<ListedSnapshot>("snapshot_vm_list"),
                reads(),
                &["VM.Audit"],
            ),
        )
        .example(json!({"vm_id": "1020"})),
        post(
            "/v0/admin/proxmox/vms/vm_id/snapshot/revert",
            SNAPSHOTS,
            "Revert a guest to a snapshot",
            action::<SnapshotRequest>(
                one::<ChangedSnapshot>("snapshot_vm_revert"),
                destroys(Guests),
                &["VM.Snapshot.Rollback"],
            )
            .named(),
        )
        .example(json!({"vm_id": "1020"})),
    ]
}

/// A request to take a snapshot.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_snapshot_name": "before-exercise",
    "vm_snapshot_description": "clean-state",
}))]
pub struct SnapshotCreateRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The name of the new snapshot.
    pub vm_snapshot_name: Option<SnapshotName>,
    /// Its description.
    pub vm_snapshot_description: Option<SnapshotDescription>,
}

/// A request about one snapshot.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_snapshot_name": "before-exercise",
}))]
pub struct SnapshotRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The snapshot.
    pub vm_snapshot_name: Option<SnapshotName>,
}

request!(SnapshotCreateRequest { node: proxmox_node, as_json: as_json, guest: vm_id });
request!(SnapshotRequest { node: proxmox_node, as_json: as_json, guest: vm_id });

/// A snapshot of a guest. The guest's present state, which Proxmox VE lists too, is left out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "snapshot_vm_list", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": "1020", "vm_snapshot_name": "before-exercise",
    "vm_snapshot_description": "Ready for students.", "vm_snapshot_parent": "clean",
    "vm_snapshot_time": 1_757_600_000,
}))]
pub struct ListedSnapshot {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
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
    /// The name of the snapshot.
    pub vm_snapshot_name: String,
    /// Its description. Null: none was requested.
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
    /// The name of the snapshot.
    pub vm_snapshot_name: String,
    /// The task of Proxmox VE that deleted it or went back to it.
    pub raw_data: RawTask,
}
