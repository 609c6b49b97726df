//! What requests about storages carry.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operations::values::{
    ContentType, IsoFile, IsoUrl, NodeName, StorageName, TargetStorage,
};
use crate::operations::vms::{not_a_variable, yes};

/// A request to have the node download an ISO image.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "proxmox_storage": "local", "iso_file_content_type": "iso",
    "iso_file_name": "lab-tools.iso", "iso_url": "https://mirror.example.org/lab-tools.iso",
}))]
pub struct DownloadIsoRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The storage to write to.
    pub proxmox_storage: TargetStorage,
    /// What the file is; `iso`.
    pub iso_file_content_type: ContentType,
    /// The name of the file on the storage.
    pub iso_file_name: IsoFile,
    /// Where the node gets it.
    pub iso_url: IsoUrl,
}

/// A request about a storage.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "storage_name": "local"}))]
pub struct StorageRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The storage. Empty: all of the node.
    pub storage_name: StorageName,
}
