//! What requests about the configuration of a guest carry.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operations::values::{NodeName, TagList, VmId};
use crate::operations::vms::{not_a_variable, yes};

/// A request to set the tags of a guest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_id": "1000", "vm_tag_name": "student,web"}))]
pub struct SetTagRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The tags that take the place of those it has.
    pub vm_tag_name: TagList,
}
