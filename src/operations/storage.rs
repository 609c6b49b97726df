//! Storages of a node, and the images and templates on them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Operation;
use super::effect::{Target::Unclaimed, changes, reads};
use super::request::{default_true, not_a_variable, request};
use super::results::RawTask;
use super::spec::{action, many, one, post};
use super::tags::STORAGE;
use super::values::{ContentType, IsoFile, IsoUrl, NodeName, StorageName, TargetStorage};

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    vec![
        post(
            "/v0/admin/proxmox/storage/download_iso",
            STORAGE,
            "Have the node download an ISO image",
            action::<DownloadIsoRequest>(
                one::<DownloadedIso>("storage_download_iso"),
                changes(Unclaimed),
                &["Datastore.AllocateTemplate", "Sys.AccessNetwork"],
            ),
        ),
        post(
            "/v0/admin/proxmox/storage/list",
            STORAGE,
            "List the storages of a node",
            action::<StorageRequest>(
                many::<Storage>("storage_list"),
                reads(),
                &["Datastore.Audit"],
            ),
        ),
        post(
            "/v0/admin/proxmox/storage/storage_name/list_iso",
            STORAGE,
            "List the ISO images of a storage",
            action::<StorageRequest>(
                many::<IsoImage>("storage_list_iso"),
                reads(),
                &["Datastore.Audit"],
            ),
        ),
        post(
            "/v0/admin/proxmox/storage/storage_name/list_template",
            STORAGE,
            "List the container templates of a storage",
            action::<StorageRequest>(
                many::<ContainerTemplate>("storage_list_template"),
                reads(),
                &["Datastore.Audit"],
            ),
        ),
    ]
}

/// A request to have the node download an ISO image.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "proxmox_storage": "local", "iso_file_content_type": "iso",
    "iso_file_name": "lab-tools.iso", "iso_url": "https://mirror.example.org/lab-tools.iso",
}))]
pub struct DownloadIsoRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The storage. Empty: all of the node.
    pub storage_name: StorageName,
}

request!(DownloadIsoRequest { node: proxmox_node, as_json: as_json });
request!(StorageRequest { node: proxmox_node, as_json: as_json });

/// A storage of a node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "storage_list", "source": "proxmox", "proxmox_node": "px-testing",
    "storage_name": "local", "storage_type": "dir", "storage_active": 1,
    "storage_space_available": 193_273_528_320_u64, "storage_space_total": 214_748_364_800_u64,
    "storage_space_used": 21_474_836_480_u64, "storage_space_used_fraction": 0.1,
    "storage_content_types": "iso,vztmpl,backup,snippets", "storage_is_enable": 1,
    "storage_is_share": 0,
}))]
pub struct Storage {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node.
    pub proxmox_node: String,
    /// The name of the storage.
    pub storage_name: String,
    /// Its type, such as `dir`, `nfs` or `lvmthin`.
    pub storage_type: String,
    /// 1 when the node can reach it, else 0.
    pub storage_active: i64,
    /// Bytes that are free (`avail`). Null: not known, as for a storage out of reach.
    pub storage_space_available: Option<i64>,
    /// Bytes in all (`total`). Null: not known.
    pub storage_space_total: Option<i64>,
    /// Bytes in use (`used`). Null: not known.
    pub storage_space_used: Option<i64>,
    /// The part that is in use, as a fraction: 1 is full (`used_fraction`). Null: not known.
    pub storage_space_used_fraction: Option<f64>,
    /// What may be stored there, separated by commas, such as `iso,vztmpl` (`content`).
    pub storage_content_types: String,
    /// 1 when it is enabled in the datacenter's configuration, else 0.
    pub storage_is_enable: i64,
    /// 1 when all nodes see the same content, else 0.
    pub storage_is_share: i64,
}

/// An ISO image on a storage.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "storage_list_iso", "source": "proxmox", "proxmox_node": "px-testing",
    "storage_name": "local", "iso_content": "iso", "iso_format": "iso",
    "iso_ctime": 1_757_600_000, "iso_size": 736_100_352,
    "iso_vol_id": "local:iso/debian-12.11.0-amd64-netinst.iso",
}))]
pub struct IsoImage {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node.
    pub proxmox_node: String,
    /// The storage that it is on.
    pub storage_name: String,
    /// What it is: `iso`.
    pub iso_content: String,
    /// Its format: `iso`.
    pub iso_format: String,
    /// When the file was made, in seconds since 1970 (`ctime`).
    pub iso_ctime: i64,
    /// Its size in bytes.
    pub iso_size: i64,
    /// Its volume, by which a guest's CD drive refers to it (`volid`).
    pub iso_vol_id: String,
}

/// A container template on a storage.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "storage_list_template", "source": "proxmox", "proxmox_node": "px-testing",
    "storage_name": "local", "template_content": "vztmpl", "template_format": "tzst",
    "template_ctime": 1_757_600_000, "template_size": 126_877_696,
    "template_vol_id": "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
}))]
pub struct ContainerTemplate {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node.
    pub proxmox_node: String,
    /// The storage that it is on.
    pub storage_name: String,
    /// What it is: `vztmpl`.
    pub template_content: String,
    /// How it is packed, such as `tzst`, `txz` or `tgz`.
    pub template_format: String,
    /// When the file was made, in seconds since 1970 (`ctime`).
    pub template_ctime: i64,
    /// Its size in bytes.
    pub template_size: i64,
    /// Its volume, by which a new container refers to it (`volid`).
    pub template_vol_id: String,
}

/// An ISO image that a node has downloaded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "storage_download_iso", "source": "proxmox", "proxmox_node": "px-testing",
    "proxmox_storage": "local", "iso_file_content_type": "iso",
    "iso_file_name": "lab-tools.iso", "iso_url": "https://mirror.example.org/lab-tools.iso",
    "raw_info": {"data": "UPID:px-testing:0001F3F1:0049BBC6:68C2F211:download:lab-tools.iso:root@pam!demo:"},
}))]
pub struct DownloadedIso {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node.
    pub proxmox_node: String,
    /// The storage that it was written to.
    pub proxmox_storage: String,
    /// What it is: `iso`.
    pub iso_file_content_type: String,
    /// The name of the file on the storage.
    pub iso_file_name: String,
    /// Where the node got it.
    pub iso_url: String,
    /// The task of Proxmox VE that downloaded it.
    pub raw_info: RawTask,
}
