//! Guests: list, start, stop, pause, resume, create, clone and delete one or several of them.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::effect::{
    Target::{Copy, Guests},
    changes, destroys, reads,
};
use super::request::{GuestRequest, NodeRequest, default_true, not_a_variable, request};
use super::results::RawTask;
use super::spec::{action, bundle, delete, many, one, post};
use super::tags::{LIFECYCLE, MANAGEMENT, USAGE};
use super::values::{
    CpuType, GuestDescription, GuestName, IsoVolume, ListedGuestName, ListedVmId, NodeName, VmId,
};
use super::{Operation, OperationSpec};

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    vec![
        post(
            "/v0/admin/proxmox/vms/list",
            USAGE,
            "List the guests of a node",
            action::<NodeRequest>(many::<ListedGuest>("vm_list"), reads(), &["VM.Audit"]),
        ),
        post(
            "/v0/admin/proxmox/vms/list_usage",
            USAGE,
            "List what the guests of a node use",
            action::<NodeRequest>(many::<GuestUsage>("vm_list_usage"), reads(), &["VM.Audit"]),
        ),
        post(
            "/v0/admin/proxmox/vms/vm_id/clone",
            MANAGEMENT,
            "Clone a guest or template",
            action::<CloneRequest>(
                one::<ClonedGuest>("vm_clone"),
                changes(Copy),
                &["VM.Clone", "VM.Allocate", "Datastore.AllocateSpace", "SDN.Use"],
            )
            .existing(),
        ),
        post(
            "/v0/admin/proxmox/vms/vm_id/create",
            MANAGEMENT,
            "Create a guest",
            action::<CreateRequest>(
                one::<CreatedGuest>("vm_create"),
                changes(Guests),
                &[
                    "VM.Allocate",
                    "VM.Config.CDROM",
                    "VM.Config.CPU",
                    "VM.Config.Disk",
                    "VM.Config.Memory",
                    "VM.Config.Network",
                    "VM.Config.Options",
                    "Datastore.AllocateSpace",
                    "SDN.Use",
                ],
            ),
        ),
        delete(
            "/v0/admin/proxmox/vms/vm_id/delete",
            MANAGEMENT,
            "Delete a guest",
            action::<GuestRequest>(
                one::<DeletedGuest>("vm_delete"),
                destroys(Guests),
                &["VM.Allocate"],
            )
            .named(),
        )
        .example(json!({"vm_id": "1022"})),
        post(
            "/v0/admin/proxmox/vms/vm_id/pause",
            LIFECYCLE,
            "Pause a guest",
            action::<GuestRequest>(
                one::<GuestState>("vm_pause"),
                changes(Guests),
                &["VM.PowerMgmt"],
            ),
        )
        .example(json!({"vm_id": "1010"})),
        post(
            "/v0/admin/proxmox/vms/vm_id/resume",
            LIFECYCLE,
            "Resume a paused guest",
            action::<GuestRequest>(
                one::<GuestState>("vm_resume"),
                changes(Guests),
                &["VM.PowerMgmt"],
            ),
        )
        .example(json!({"vm_id": "1011"})),
        post(
            "/v0/admin/proxmox/vms/vm_id/start",
            LIFECYCLE,
            "Start a guest",
            action::<GuestRequest>(
                one::<GuestState>("vm_start"),
                changes(Guests),
                &["VM.PowerMgmt"],
            ),
        )
        .example(json!({"vm_id": "1003"})),
        post(
            "/v0/admin/proxmox/vms/vm_id/stop",
            LIFECYCLE,
            "Shut a guest down",
            action::<GuestRequest>(
                one::<GuestState>("vm_stop"),
                changes(Guests),
                &["VM.PowerMgmt"],
            ),
        )
        .example(json!({"vm_id": "1001"})),
        post(
            "/v0/admin/proxmox/vms/vm_id/stop_force",
            LIFECYCLE,
            "Switch a guest off",
            action::<GuestRequest>(
                one::<GuestState>("vm_stop_force"),
                changes(Guests),
                &["VM.PowerMgmt"],
            ),
        )
        .example(json!({"vm_id": "1002"})),
        post(
            "/v0/admin/proxmox/vms/vm_ids/pause",
            LIFECYCLE,
            "Pause several guests",
            several("vm_pause"),
        )
        .example(json!({"vm_ids": ["1015", "1021"]})),
        post(
            "/v0/admin/proxmox/vms/vm_ids/resume",
            LIFECYCLE,
            "Resume several guests",
            several("vm_resume"),
        )
        .example(json!({"vm_ids": ["1013", "1023"]})),
        post(
            "/v0/admin/proxmox/vms/vm_ids/start",
            LIFECYCLE,
            "Start several guests",
            several("vm_start"),
        )
        .example(json!({"vm_ids": ["1012", "1014"]})),
        post(
            "/v0/admin/proxmox/vms/vm_ids/stop",
            LIFECYCLE,
            "Shut several guests down",
            several("vm_stop"),
        )
        .example(json!({"vm_ids": ["1016", "1017"]})),
        post(
            "/v0/admin/proxmox/vms/vm_ids/stop_force",
            LIFECYCLE,
            "Switch several guests off",
            several("vm_stop_force"),
        )
        .example(json!({"vm_ids": ["1018", "1019"]})),
        delete(
            "/v0/admin/proxmox/vms/vm_ids/delete",
            LIFECYCLE,
            "Delete several guests",
            bundle::<DeleteListRequest>(
                "core/proxmox/configure/default/vms/delete-vms-vuln/main.yml",
                one::<DeletedGuest>("vm_delete"),
                destroys(Guests),
                &["VM.Allocate"],
            ),
        ),
    ]
}

/// A change of the power state of several guests. The "vuln" bundle does this for any group.
fn several(action: &'static str) -> OperationSpec {
    bundle::<GuestListRequest>(
        "core/proxmox/configure/default/vms/start-stop-pause-resume-vms-vuln/main.yml",
        one::<GuestState>(action),
        changes(Guests),
        &["VM.PowerMgmt"],
    )
    .with("PROXMOX_VM_ACTION", action)
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
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

request!(CreateRequest { node: proxmox_node, as_json: as_json, guest: vm_id });
request!(CloneRequest { node: proxmox_node, as_json: as_json, guest_and_copy: vm_id });
request!(GuestListRequest { node: proxmox_node, as_json: as_json, guests: vm_ids });
request!(DeleteListRequest { node: proxmox_node, as_json: as_json, named_guests: vms });

/// A guest of a node, as `vm_list` shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_list", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_name": "webshop", "vm_status": "running", "vm_id": 1020, "vm_uptime": 259_200,
    "vm_template": 0, "vm_tags": "vuln",
    "vm_meta": {
        "cpu_current_usage": 0.06, "cpu_allocated": 1, "disk_current_usage": 0, "disk_read": 0,
        "disk_write": 0, "disk_max": 8_589_934_592_u64, "ram_current_usage": 536_870_912,
        "ram_max": 1_073_741_824, "net_in": 92_820_000, "net_out": 37_740_000,
    },
}))]
pub struct ListedGuest {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// Its name.
    pub vm_name: String,
    /// `running` or `stopped`. A paused guest is reported as running.
    pub vm_status: String,
    /// Its id.
    pub vm_id: i64,
    /// Seconds since it was started; 0 when it is stopped.
    pub vm_uptime: i64,
    /// 1 for a template, else 0.
    pub vm_template: i64,
    /// Its tags, separated by `;`. Empty: none.
    pub vm_tags: String,
    /// Its resource usage and limits.
    pub vm_meta: GuestMeta,
}

/// What a guest uses and what it may use, as the node measured it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "cpu_current_usage": 0.06, "cpu_allocated": 1, "disk_current_usage": 0, "disk_read": 0,
    "disk_write": 0, "disk_max": 8_589_934_592_u64, "ram_current_usage": 536_870_912,
    "ram_max": 1_073_741_824, "net_in": 92_820_000, "net_out": 37_740_000,
}))]
pub struct GuestMeta {
    /// The part of its CPUs that is busy, as a fraction: 1 is all of them (`cpu`).
    pub cpu_current_usage: f64,
    /// The number of its CPUs, cores times sockets (`cpus`).
    pub cpu_allocated: i64,
    /// Bytes of its disk in use (`disk`). Proxmox VE does not measure it for VMs and reports 0.
    pub disk_current_usage: i64,
    /// Bytes read from its disks since the start (`diskread`). Null: not measured.
    pub disk_read: Option<i64>,
    /// Bytes written to its disks since the start (`diskwrite`). Null: not measured.
    pub disk_write: Option<i64>,
    /// The size of its boot disk in bytes (`maxdisk`).
    pub disk_max: i64,
    /// Bytes of memory in use (`mem`).
    pub ram_current_usage: i64,
    /// Bytes of memory that it may use (`maxmem`).
    pub ram_max: i64,
    /// Bytes received since the start (`netin`).
    pub net_in: i64,
    /// Bytes sent since the start (`netout`).
    pub net_out: i64,
}

/// What a guest of a node uses and may use, as `vm_list_usage` shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_list_usage", "source": "proxmox", "proxmox_node": "px-testing",
    "vm_name": "webshop", "vm_status": "running", "vm_id": 1020, "vm_uptime": 259_200,
    "cpu_current_usage": 0.06, "cpu_allocated": 1, "disk_current_usage": 0, "disk_read": 0,
    "disk_write": 0, "disk_max": 8_589_934_592_u64, "ram_current_usage": 536_870_912,
    "ram_max": 1_073_741_824, "net_in": 92_820_000, "net_out": 37_740_000,
}))]
pub struct GuestUsage {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// Its name.
    pub vm_name: String,
    /// `running` or `stopped`. A paused guest is reported as running.
    pub vm_status: String,
    /// Its id.
    pub vm_id: i64,
    /// Seconds since it was started; 0 when it is stopped.
    pub vm_uptime: i64,
    /// The part of its CPUs that is busy, as a fraction: 1 is all of them (`cpu`).
    pub cpu_current_usage: f64,
    /// The number of its CPUs, cores times sockets (`cpus`).
    pub cpu_allocated: i64,
    /// Bytes of its disk in use (`disk`). Proxmox VE does not measure it for VMs and reports 0.
    pub disk_current_usage: i64,
    /// Bytes read from its disks since the start (`diskread`). Null: not measured.
    pub disk_read: Option<i64>,
    /// Bytes written to its disks since the start (`diskwrite`). Null: not measured.
    pub disk_write: Option<i64>,
    /// The size of its boot disk in bytes (`maxdisk`).
    pub disk_max: i64,
    /// Bytes of memory in use (`mem`).
    pub ram_current_usage: i64,
    /// Bytes of memory that it may use (`maxmem`).
    pub ram_max: i64,
    /// Bytes received since the start (`netin`).
    pub net_in: i64,
    /// Bytes sent since the start (`netout`).
    pub net_out: i64,
}

/// The state of a guest after it was started, stopped, switched off, paused or resumed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_start", "source": "proxmox", "proxmox_node": "px-testing", "vm_id": "1000",
    "vm_name": "gateway", "vm_status": "running",
}))]
pub struct GuestState {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest is on.
    pub proxmox_node: String,
    /// Its id, as text.
    pub vm_id: String,
    /// Its name.
    pub vm_name: String,
    /// Its state once Proxmox VE's task has ended: `running`, `paused`, `stopped` or another of
    /// QEMU's (`qmpstatus`).
    pub vm_status: String,
}

/// A guest that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_create", "source": "proxmox", "proxmox_node": "px-testing", "vm_id": 4200,
    "vm_name": "fresh-box", "vm_cpu": "host", "vm_cores": 2, "vm_sockets": 1,
    "vm_memory": 2048, "vm_net0": "virtio,bridge=vmbr0",
    "raw_data": {"data": "UPID:px-testing:0001F3A2:0049B1C8:68C2F0A1:qmcreate:4200:root@pam!demo:"},
    "vm_scsi0": "local-lvm:8",
    "vm_iso": "local:iso/debian-12.11.0-amd64-netinst.iso",
}))]
pub struct CreatedGuest {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest was made on.
    pub proxmox_node: String,
    /// Its id.
    pub vm_id: i64,
    /// Its name.
    pub vm_name: String,
    /// Its CPU type.
    pub vm_cpu: String,
    /// Cores per socket.
    pub vm_cores: i64,
    /// Sockets.
    pub vm_sockets: i64,
    /// Memory in MiB.
    pub vm_memory: i64,
    /// Its disk as requested from Proxmox VE: the storage and the size in GiB. Absent: no disk.
    pub vm_scsi0: Option<String>,
    /// Its network card as requested from Proxmox VE: the model and the bridge.
    pub vm_net0: String,
    /// The ISO image in its CD drive. Absent: no CD drive.
    pub vm_iso: Option<String>,
    /// The task of Proxmox VE that made it.
    pub raw_data: RawTask,
}

/// A guest that was deleted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_delete", "source": "proxmox", "proxmox_node": "px-testing", "vm_id": 4200,
    "vm_name": "fresh-box",
    "raw_data": {"data": "UPID:px-testing:0001F3B7:0049B3E0:68C2F0F4:qmdestroy:4200:root@pam!demo:"},
}))]
pub struct DeletedGuest {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that the guest was on.
    pub proxmox_node: String,
    /// The id that it had.
    pub vm_id: i64,
    /// The name that it had.
    pub vm_name: String,
    /// The task of Proxmox VE that deleted it.
    pub raw_data: RawTask,
}

/// A copy of a guest or template.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "action": "vm_clone", "source": "proxmox", "proxmox_node": "px-testing", "vm_id": "4300",
    "vm_id_clone_from": "9000", "vm_name": "cloned-box", "vm_description": "a copy of the template",
    "raw_info": {"data": "UPID:px-testing:0001F3C4:0049B5A9:68C2F13B:qmclone:9000:root@pam!demo:"},
}))]
pub struct ClonedGuest {
    /// The action.
    pub action: String,
    /// The source of the result: `proxmox`.
    pub source: String,
    /// The node that both guests are on.
    pub proxmox_node: String,
    /// The id of the copy, as text.
    pub vm_id: String,
    /// The id of the guest that was copied, as text.
    pub vm_id_clone_from: String,
    /// The name of the copy.
    pub vm_name: String,
    /// The description of the copy. Null: none was requested.
    pub vm_description: Option<String>,
    /// The task of Proxmox VE that made the copy.
    pub raw_info: RawTask,
}
