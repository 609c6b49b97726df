//! What requests about snapshots carry.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operations::values::{NodeName, SnapshotDescription, SnapshotName, VmId};
use crate::operations::vms::{not_a_variable, yes};

/// A request to take a snapshot.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "vm_id": "1000", "vm_snapshot_name": "before-exercise",
    "vm_snapshot_description": "clean-state",
}))]
pub struct SnapshotCreateRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
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
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The snapshot.
    pub vm_snapshot_name: Option<SnapshotName>,
}
