//! The configuration of a guest.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Operation;
use super::effect::{Target::Guests, changes, reads};
use super::request::{GuestRequest, default_true, not_a_variable, request};
use super::spec::{action, one, post};
use super::tags::CONFIG;
use super::values::{NodeName, TagList, VmId};

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    vec![
        post(
            "/v0/admin/proxmox/vms/vm_id/config/vm_get_config",
            CONFIG,
            "Read the configuration of a guest",
            action::<GuestRequest>(one::<GuestConfig>("vm_get_config"), reads(), &["VM.Audit"]),
        ),
        post(
            "/v0/admin/proxmox/vms/vm_id/config/vm_get_config_cdrom",
            CONFIG,
            "Read the CD drive of a guest",
            action::<GuestRequest>(
                one::<GuestCdrom>("vm_get_config_cdrom"),
                reads(),
                &["VM.Audit"],
            ),
        ),
        post(
            "/v0/admin/proxmox/vms/vm_id/config/vm_get_config_cpu",
            CONFIG,
            "Read the CPU of a guest",
            action::<GuestRequest>(one::<GuestCpu>("vm_get_config_cpu"), reads(), &["VM.Audit"]),
        ),
        post(
            "/v0/admin/proxmox/vms/vm_id/config/vm_get_config_ram",
            CONFIG,
            "Read the memory of a guest",
            action::<GuestRequest>(one::<GuestRam>("vm_get_config_ram"), reads(), &["VM.Audit"]),
        ),
        post(
            "/v0/admin/proxmox/vms/vm_id/config/vm_set_tag",
            CONFIG,
            "Set the tags of a guest",
            action::<SetTagRequest>(
                one::<GuestTags>("vm_set_tag"),
                changes(Guests),
                &["VM.Config.Options"],
            ),
        ),
    ]
}

/// A request to set the tags of a guest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_id": "1000", "vm_tag_name": "student,web"}))]
pub struct SetTagRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
    /// The tags that take the place of those it has.
    pub vm_tag_name: TagList,
}

request!(SetTagRequest { node: proxmox_node, as_json: as_json, guest: vm_id });

/// The whole configuration of a guest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_get_config", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": "1000",
    "raw_data": {"data": {
        "name": "gateway", "description": "Part of the demo range.", "tags": "admin",
        "ostype": "l26", "boot": "order=scsi0;ide2;net0", "cpu": "host", "cores": 2,
        "sockets": 1, "numa": 0, "memory": "2048", "scsihw": "virtio-scsi-single",
        "scsi0": "local-lvm:vm-1000-disk-0,iothread=1,size=16G",
        "ide2": "local:iso/debian-12.11.0-amd64-netinst.iso,media=cdrom,size=702M",
        "net0": "virtio=BC:24:11:00:03:E8,bridge=vmbr0,firewall=1",
        "digest": "4f1f3ac23ad1ba4f3d5f8ba4a7b3f1d7c3f0e0c9",
    }},
}))]
pub struct GuestConfig {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// Its id, as text.
    pub vm_id: String,
    /// Its configuration, as reported by Proxmox VE.
    pub raw_data: RawConfig,
}

/// A guest's configuration as reported by Proxmox VE.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"data": {"name": "gateway", "cores": 2, "sockets": 1, "memory": "2048"}}))]
pub struct RawConfig {
    /// The options that are set, by name. Which there are depends on the guest; some are numbers,
    /// some texts, and `memory` is MiB as text.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// The CD drive of a guest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_get_config_cdrom", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": "1000", "vm_cdrom_device": "ide2",
    "vm_cdrom_iso": "local:iso/debian-12.11.0-amd64-netinst.iso", "vm_cdrom_media": "cdrom",
    "vm_cdrom_size": "702M",
}))]
pub struct GuestCdrom {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// Its id, as text.
    pub vm_id: String,
    /// The drive, such as `ide2`. Null: the guest has no CD drive.
    pub vm_cdrom_device: Option<String>,
    /// The volume of the image in it, or `none` for an empty drive. Null: no CD drive.
    pub vm_cdrom_iso: Option<String>,
    /// `cdrom`. Null: no CD drive.
    pub vm_cdrom_media: Option<String>,
    /// The size of the image as Proxmox VE writes it, such as `702M` for 702 MiB. Null: not known.
    pub vm_cdrom_size: Option<String>,
}

/// The CPU of a guest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_get_config_cpu", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": "1000", "vm_arch": "host", "vm_cores": 2, "vm_sockets": 1,
}))]
pub struct GuestCpu {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// Its id, as text.
    pub vm_id: String,
    /// Its CPU type (`cpu`). Null: not set, so that Proxmox VE's default holds.
    pub vm_arch: Option<String>,
    /// Cores per socket (`cores`). Null: not set, which means 1.
    pub vm_cores: Option<i64>,
    /// Sockets (`sockets`). Null: not set, which means 1.
    pub vm_sockets: Option<i64>,
}

/// The memory of a guest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_get_config_ram", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_id": "1000", "vm_ram_allocated": "2048",
}))]
pub struct GuestRam {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// Its id, as text.
    pub vm_id: String,
    /// Memory in MiB, as text (`memory`). Null: not set, so that Proxmox VE's default of 512 holds.
    pub vm_ram_allocated: Option<String>,
}

/// The tags that a guest was given.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_set_tag", "source": "proxmox", "proxmox_node": "px-testing", "vm_id": "1000",
    "tags": "admin;lab",
}))]
pub struct GuestTags {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// Its id, as text.
    pub vm_id: String,
    /// The tags as they were sent; they took the place of those that it had.
    pub tags: String,
}
