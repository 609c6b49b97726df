//! The operations, each a row. Everything else is made from this table: the router, the
//! published document, the list of routes, the gateway's configuration, the curl scripts.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::ansible::playbooks::Root;
use crate::operations::bundles::{
    AddUserRequest, BasicPackagesRequest, CreateVmsRequest, DockerComposeRequest, DockerRequest,
    DotFilesRequest, GroupRevertRequest, HostsRequest,
};
use crate::operations::firewall::{
    AliasAddRequest, AliasRequest, DatacenterFirewallOffRequest, DatacenterFirewallRequest,
    RuleApplyRequest, RuleDeleteRequest,
};
use crate::operations::network::{
    GuestInterfaceAddRequest, GuestInterfaceDeleteRequest, NodeInterfaceAddRequest,
    NodeInterfaceDeleteRequest,
};
use crate::operations::results as res;
use crate::operations::snapshots::{SnapshotCreateRequest, SnapshotRequest};
use crate::operations::storage::{DownloadIsoRequest, StorageRequest};
use crate::operations::tags::{
    ADMIN, CONFIG, FIREWALL, GUEST_NETWORK, LIFECYCLE, MANAGEMENT, NODE_NETWORK, RUNNER, SNAPSHOTS,
    STORAGE, STUDENT, TESTING, Tag, UBUNTU, USAGE, VULN,
};
use crate::operations::vm_config::SetTagRequest;
use crate::operations::vms::{
    CloneRequest, CreateRequest, DeleteListRequest, GuestListRequest, GuestRequest, NodeRequest,
};
use crate::operations::{
    Answer, Limit, LookUp, Method, Operation, PlaybookFile, PlaybookWork, RequestType, Work,
};

/// All operations, in the order in which they are listed and documented.
pub static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(rows);

const ADMIN_KEYS: &[&str] = &[
    "admin-wazuh",
    "admin-web-api-kong",
    "admin-web-builder-api",
    "admin-web-deployer-ui",
    "admin-web-emp",
];
const VULN_KEYS: &[&str] =
    &["vuln-box-00", "vuln-box-01", "vuln-box-02", "vuln-box-03", "vuln-box-04"];
const STUDENT_KEYS: &[&str] = &["student-box-01"];

#[rustfmt::skip]
fn rows() -> Vec<Operation> {
    use Limit::{Hosts, Node};
    use LookUp::{MustExist, Name, No};
    vec![
        post("/v0/admin/debug/func_test", TESTING, "Look up the name of VM 1000, as a self-test", self_test("1000")),
        post("/v0/admin/debug/ping", RUNNER, "Ping hosts of the inventory through Ansible", playbook::<HostsRequest>(Root::Local, PlaybookFile::Fixed("ping.yml"), Hosts)),

        post("/v0/admin/proxmox/firewall/datacenter/disable", FIREWALL, "Switch the datacenter's firewall off", action::<DatacenterFirewallOffRequest>(one::<res::DatacenterFirewall>("firewall_dc_disable"), No)),
        post("/v0/admin/proxmox/firewall/datacenter/enable", FIREWALL, "Switch the datacenter's firewall on", action::<DatacenterFirewallRequest>(one::<res::DatacenterFirewall>("firewall_dc_enable"), No)),
        post("/v0/admin/proxmox/firewall/node/disable", FIREWALL, "Switch a node's firewall off", action::<NodeRequest>(one::<res::NodeFirewall>("firewall_node_disable"), No)),
        post("/v0/admin/proxmox/firewall/node/enable", FIREWALL, "Switch a node's firewall on", action::<NodeRequest>(one::<res::NodeFirewall>("firewall_node_enable"), No)),
        post("/v0/admin/proxmox/firewall/vm/alias/add", FIREWALL, "Add an alias to a guest's firewall", action::<AliasAddRequest>(one::<res::Alias>("firewall_vm_add_iptables_alias"), No)),
        delete("/v0/admin/proxmox/firewall/vm/alias/delete", FIREWALL, "Delete an alias of a guest's firewall", action::<AliasRequest>(one::<res::DeletedAlias>("firewall_vm_delete_iptables_alias"), No)).example(json!({"vm_fw_alias_name": "scanners"})),
        post("/v0/admin/proxmox/firewall/vm/alias/list", FIREWALL, "List the aliases of a guest's firewall", action::<GuestRequest>(many::<res::Alias>("firewall_vm_list_iptables_alias"), No)),
        post("/v0/admin/proxmox/firewall/vm/disable", FIREWALL, "Switch a guest's firewall off", action::<GuestRequest>(one::<res::GuestFirewall>("firewall_vm_disable"), Name)),
        post("/v0/admin/proxmox/firewall/vm/enable", FIREWALL, "Switch a guest's firewall on", action::<GuestRequest>(one::<res::GuestFirewall>("firewall_vm_enable"), Name)),
        post("/v0/admin/proxmox/firewall/vm/rules/apply", FIREWALL, "Add a rule to a guest's firewall", action::<RuleApplyRequest>(one::<res::Rule>("firewall_vm_apply_iptables_rule"), No)),
        delete("/v0/admin/proxmox/firewall/vm/rules/delete", FIREWALL, "Delete a rule of a guest's firewall", action::<RuleDeleteRequest>(one::<res::DeletedRule>("firewall_vm_delete_iptables_rule"), No)),
        post("/v0/admin/proxmox/firewall/vm/rules/list", FIREWALL, "List the rules of a guest's firewall", action::<GuestRequest>(many::<res::Rule>("firewall_vm_list_iptables_rule"), No)),

        post("/v0/admin/proxmox/network/node/list", NODE_NETWORK, "List the network interfaces of a node", action::<NodeRequest>(many::<res::NodeInterface>("network_list_interfaces_node"), No)),
        post("/v0/admin/proxmox/network/node/add", NODE_NETWORK, "Add a network interface to a node", action::<NodeInterfaceAddRequest>(one::<res::AddedNodeInterface>("network_add_interfaces_node"), No)),
        post("/v0/admin/proxmox/network/node/delete", NODE_NETWORK, "Delete a network interface of a node", action::<NodeInterfaceDeleteRequest>(one::<res::DeletedNodeInterface>("network_delete_interfaces_node"), No)),
        post("/v0/admin/proxmox/network/vm/add", GUEST_NETWORK, "Add a network interface to a guest", action::<GuestInterfaceAddRequest>(one::<res::AddedGuestInterface>("network_add_interfaces_vm"), No)),
        post("/v0/admin/proxmox/network/vm/delete", GUEST_NETWORK, "Delete a network interface of a guest", action::<GuestInterfaceDeleteRequest>(one::<res::DeletedGuestInterface>("network_delete_interfaces_vm"), No)).example(json!({"vm_id": "1001"})),
        post("/v0/admin/proxmox/network/vm/list", GUEST_NETWORK, "List the network interfaces of a guest", action::<GuestRequest>(many::<res::GuestInterface>("network_list_interfaces_vm"), No)),

        post("/v0/admin/proxmox/storage/download_iso", STORAGE, "Have the node download an ISO image", action::<DownloadIsoRequest>(one::<res::DownloadedIso>("storage_download_iso"), No)),
        post("/v0/admin/proxmox/storage/list", STORAGE, "List the storages of a node", action::<StorageRequest>(many::<res::Storage>("storage_list"), No)),
        post("/v0/admin/proxmox/storage/storage_name/list_iso", STORAGE, "List the ISO images of a storage", action::<StorageRequest>(many::<res::IsoImage>("storage_list_iso"), No)),
        post("/v0/admin/proxmox/storage/storage_name/list_template", STORAGE, "List the container templates of a storage", action::<StorageRequest>(many::<res::ContainerTemplate>("storage_list_template"), No)),

        post("/v0/admin/proxmox/vms/list", USAGE, "List the guests of a node", action::<NodeRequest>(many::<res::ListedGuest>("vm_list"), No)),
        post("/v0/admin/proxmox/vms/list_usage", USAGE, "List what the guests of a node use", action::<NodeRequest>(many::<res::GuestUsage>("vm_list_usage"), No)),
        post("/v0/admin/proxmox/vms/vm_id/clone", MANAGEMENT, "Clone a guest or template", action::<CloneRequest>(one::<res::ClonedGuest>("vm_clone"), MustExist)),
        post("/v0/admin/proxmox/vms/vm_id/config/vm_get_config", CONFIG, "Read the configuration of a guest", action::<GuestRequest>(one::<res::GuestConfig>("vm_get_config"), No)),
        post("/v0/admin/proxmox/vms/vm_id/config/vm_get_config_cdrom", CONFIG, "Read the CD drive of a guest", action::<GuestRequest>(one::<res::GuestCdrom>("vm_get_config_cdrom"), No)),
        post("/v0/admin/proxmox/vms/vm_id/config/vm_get_config_cpu", CONFIG, "Read the CPU of a guest", action::<GuestRequest>(one::<res::GuestCpu>("vm_get_config_cpu"), No)),
        post("/v0/admin/proxmox/vms/vm_id/config/vm_get_config_ram", CONFIG, "Read the memory of a guest", action::<GuestRequest>(one::<res::GuestRam>("vm_get_config_ram"), No)),
        post("/v0/admin/proxmox/vms/vm_id/config/vm_set_tag", CONFIG, "Set the tags of a guest", action::<SetTagRequest>(one::<res::GuestTags>("vm_set_tag"), No)),
        post("/v0/admin/proxmox/vms/vm_id/create", MANAGEMENT, "Make a guest", action::<CreateRequest>(one::<res::CreatedGuest>("vm_create"), No)),
        delete("/v0/admin/proxmox/vms/vm_id/delete", MANAGEMENT, "Delete a guest", action::<GuestRequest>(one::<res::DeletedGuest>("vm_delete"), Name)).example(json!({"vm_id": "1022"})),
        post("/v0/admin/proxmox/vms/vm_id/pause", LIFECYCLE, "Pause a guest", action::<GuestRequest>(one::<res::GuestState>("vm_pause"), No)).example(json!({"vm_id": "1010"})),
        post("/v0/admin/proxmox/vms/vm_id/resume", LIFECYCLE, "Resume a paused guest", action::<GuestRequest>(one::<res::GuestState>("vm_resume"), No)).example(json!({"vm_id": "1011"})),
        post("/v0/admin/proxmox/vms/vm_id/snapshot/create", SNAPSHOTS, "Take a snapshot of a guest", action::<SnapshotCreateRequest>(one::<res::CreatedSnapshot>("snapshot_vm_create"), Name)),
        delete("/v0/admin/proxmox/vms/vm_id/snapshot/delete", SNAPSHOTS, "Delete a snapshot of a guest", action::<SnapshotRequest>(one::<res::ChangedSnapshot>("snapshot_vm_delete"), Name)).example(json!({"vm_id": "1020", "vm_snapshot_name": "clean"})),
        post("/v0/admin/proxmox/vms/vm_id/snapshot/list", SNAPSHOTS, "List the snapshots of a guest", action::<GuestRequest>(many::<res::ListedSnapshot>("snapshot_vm_list"), No)).example(json!({"vm_id": "1020"})),
        post("/v0/admin/proxmox/vms/vm_id/snapshot/revert", SNAPSHOTS, "Revert a guest to a snapshot", action::<SnapshotRequest>(one::<res::ChangedSnapshot>("snapshot_vm_revert"), Name)).example(json!({"vm_id": "1020"})),
        post("/v0/admin/proxmox/vms/vm_id/start", LIFECYCLE, "Start a guest", action::<GuestRequest>(one::<res::GuestState>("vm_start"), No)).example(json!({"vm_id": "1003"})),
        post("/v0/admin/proxmox/vms/vm_id/stop", LIFECYCLE, "Shut a guest down", action::<GuestRequest>(one::<res::GuestState>("vm_stop"), No)).example(json!({"vm_id": "1001"})),
        post("/v0/admin/proxmox/vms/vm_id/stop_force", LIFECYCLE, "Switch a guest off", action::<GuestRequest>(one::<res::GuestState>("vm_stop_force"), No)).example(json!({"vm_id": "1002"})),
        delete("/v0/admin/proxmox/vms/vm_ids/delete", LIFECYCLE, "Delete several guests", bundle::<DeleteListRequest>(VMS_DELETE_VULN, Node, &[], one::<res::DeletedGuest>("vm_delete"))),
        post("/v0/admin/proxmox/vms/vm_ids/pause", LIFECYCLE, "Pause several guests", several("vm_pause")).example(json!({"vm_ids": ["1015", "1021"]})),
        post("/v0/admin/proxmox/vms/vm_ids/resume", LIFECYCLE, "Resume several guests", several("vm_resume")).example(json!({"vm_ids": ["1013", "1023"]})),
        post("/v0/admin/proxmox/vms/vm_ids/start", LIFECYCLE, "Start several guests", several("vm_start")).example(json!({"vm_ids": ["1012", "1014"]})),
        post("/v0/admin/proxmox/vms/vm_ids/stop", LIFECYCLE, "Shut several guests down", several("vm_stop")).example(json!({"vm_ids": ["1016", "1017"]})),
        post("/v0/admin/proxmox/vms/vm_ids/stop_force", LIFECYCLE, "Switch several guests off", several("vm_stop_force")).example(json!({"vm_ids": ["1018", "1019"]})),

        post("/v0/admin/run/bundles/core/linux/ubuntu/configure/add-user", UBUNTU, "Add a Linux user", bundle::<AddUserRequest>("core/linux/ubuntu/configure/add-user/main.yml", Hosts, &[], Answer::Log)),
        post("/v0/admin/run/bundles/core/linux/ubuntu/install/basic-packages", UBUNTU, "Install basic packages", bundle::<BasicPackagesRequest>("core/linux/ubuntu/install/basic-packages/main.yml", Hosts, &[], Answer::Log)),
        post("/v0/admin/run/bundles/core/linux/ubuntu/install/docker", UBUNTU, "Install Docker", bundle::<DockerRequest>("core/linux/ubuntu/install/docker/main.yml", Hosts, &[], Answer::Log)),
        post("/v0/admin/run/bundles/core/linux/ubuntu/install/docker-compose", UBUNTU, "Install Docker Compose", bundle::<DockerComposeRequest>("core/linux/ubuntu/install/docker/main.yml", Hosts, &[], Answer::Log)),
        post("/v0/admin/run/bundles/core/linux/ubuntu/install/dot-files", UBUNTU, "Install dot-files", bundle::<DotFilesRequest>("core/linux/ubuntu/install/dot-files/main.yml", Hosts, &[], Answer::Log)),

        post("/v0/admin/run/bundles/core/proxmox/configure/default/create-vms-admin", ADMIN, "Make the admin guests", create_vms("core/proxmox/configure/default/vms/create-vms-admin", ADMIN_KEYS)).example(new_vms(5000, ADMIN_KEYS)),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/create-vms-student", STUDENT, "Make the student guests", create_vms("core/proxmox/configure/default/vms/create-vms-student", STUDENT_KEYS)).example(new_vms(5200, STUDENT_KEYS)),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/create-vms-vuln", VULN, "Make the vulnerable guests", create_vms("core/proxmox/configure/default/vms/create-vms-vuln", VULN_KEYS)).example(new_vms(5100, VULN_KEYS)),
        delete("/v0/admin/run/bundles/core/proxmox/configure/default/delete-vms-admin", ADMIN, "Delete the admin guests", group(VMS_DELETE_ADMIN, &[], one::<res::DeletedGuest>("vm_delete"))),
        delete("/v0/admin/run/bundles/core/proxmox/configure/default/delete-vms-student", STUDENT, "Delete the student guests", group(VMS_DELETE_STUDENT, &[], one::<res::DeletedGuest>("vm_delete"))),
        delete("/v0/admin/run/bundles/core/proxmox/configure/default/delete-vms-vuln", VULN, "Delete the vulnerable guests", group(VMS_DELETE_VULN, &[], one::<res::DeletedGuest>("vm_delete"))),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/pause-vms-admin", ADMIN, "Pause the admin guests", group_state(VMS_STATE_ADMIN, "vm_pause")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/pause-vms-student", STUDENT, "Pause the student guests", group_state(VMS_STATE_STUDENT, "vm_pause")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/pause-vms-vuln", VULN, "Pause the vulnerable guests", group_state(VMS_STATE_VULN, "vm_pause")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/resume-vms-admin", ADMIN, "Resume the admin guests", group_state(VMS_STATE_ADMIN, "vm_resume")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/resume-vms-student", STUDENT, "Resume the student guests", group_state(VMS_STATE_STUDENT, "vm_resume")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/resume-vms-vuln", VULN, "Resume the vulnerable guests", group_state(VMS_STATE_VULN, "vm_resume")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/snapshot/create-vms-admin", ADMIN, "Take a snapshot of each admin guest", group("core/proxmox/configure/default/vms/snapshot/create-vms-admin/main.yml", &[], one::<res::CreatedSnapshot>("snapshot_vm_create"))),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/snapshot/create-vms-student", STUDENT, "Take a snapshot of each student guest", group("core/proxmox/configure/default/vms/snapshot/create-vms-student/main.yml", &[], one::<res::CreatedSnapshot>("snapshot_vm_create"))),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/snapshot/create-vms-vuln", VULN, "Take a snapshot of each vulnerable guest", group("core/proxmox/configure/default/vms/snapshot/create-vms-vuln/main.yml", &[], one::<res::CreatedSnapshot>("snapshot_vm_create"))),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/snapshot/revert-vms-admin", ADMIN, "Revert the admin guests to a snapshot", revert("core/proxmox/configure/default/vms/snapshot/revert-vms-admin/main.yml")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/snapshot/revert-vms-student", STUDENT, "Revert the student guests to a snapshot", revert("core/proxmox/configure/default/vms/snapshot/revert-vms-student/main.yml")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/snapshot/revert-vms-vuln", VULN, "Revert the vulnerable guests to a snapshot", revert("core/proxmox/configure/default/vms/snapshot/revert-vms-vuln/main.yml")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/start-vms-admin", ADMIN, "Start the admin guests", group_state(VMS_STATE_ADMIN, "vm_start")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/start-vms-student", STUDENT, "Start the student guests", group_state(VMS_STATE_STUDENT, "vm_start")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/start-vms-vuln", VULN, "Start the vulnerable guests", group_state(VMS_STATE_VULN, "vm_start")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/stop-vms-admin", ADMIN, "Shut the admin guests down", group_state(VMS_STATE_ADMIN, "vm_stop")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/stop-vms-student", STUDENT, "Shut the student guests down", group_state(VMS_STATE_STUDENT, "vm_stop")),
        post("/v0/admin/run/bundles/core/proxmox/configure/default/stop-vms-vuln", VULN, "Shut the vulnerable guests down", group_state(VMS_STATE_VULN, "vm_stop")),

        post("/v0/admin/run/bundles/{bundles_name}/run", RUNNER, "Run a bundle by its name", playbook::<HostsRequest>(Root::Bundles, PlaybookFile::Named, Hosts)),
        post("/v0/admin/run/scenarios/{scenario_name}/run", RUNNER, "Run a scenario by its name", playbook::<HostsRequest>(Root::Scenarios, PlaybookFile::Named, Hosts)).example(json!({"hosts": "proxmox"})),
    ]
}

const VMS_DELETE_ADMIN: &str = "core/proxmox/configure/default/vms/delete-vms-admin/main.yml";
const VMS_DELETE_STUDENT: &str = "core/proxmox/configure/default/vms/delete-vms-student/main.yml";
const VMS_DELETE_VULN: &str = "core/proxmox/configure/default/vms/delete-vms-vuln/main.yml";
const VMS_STATE_ADMIN: &str =
    "core/proxmox/configure/default/vms/start-stop-pause-resume-vms-admin/main.yml";
const VMS_STATE_STUDENT: &str =
    "core/proxmox/configure/default/vms/start-stop-pause-resume-vms-student/main.yml";
const VMS_STATE_VULN: &str =
    "core/proxmox/configure/default/vms/start-stop-pause-resume-vms-vuln/main.yml";

/// The part of a row that says what is read, done and answered.
struct Deed {
    request: Option<RequestType>,
    answer: Answer,
    work: Work,
}

fn row(
    method: Method,
    path: &'static str,
    tag: &'static Tag,
    summary: &'static str,
    deed: Deed,
) -> Operation {
    let Deed { request, answer, work } = deed;
    Operation { method, path, tag, summary, request, example: Map::new(), answer, work }
}

fn post(path: &'static str, tag: &'static Tag, summary: &'static str, deed: Deed) -> Operation {
    row(Method::Post, path, tag, summary, deed)
}

fn delete(path: &'static str, tag: &'static Tag, summary: &'static str, deed: Deed) -> Operation {
    row(Method::Delete, path, tag, summary, deed)
}

/// `result` holds one `T` for each event.
fn one<T: utoipa::ToSchema>(action: &'static str) -> Answer {
    Answer::result::<T>(action, false)
}

/// `result` holds one list of `T`.
fn many<T: utoipa::ToSchema>(action: &'static str) -> Answer {
    Answer::result::<T>(action, true)
}

/// An action of the Proxmox role, through `playbooks/generic.yml`.
fn action<T: crate::operations::Request>(answer: Answer, look_up: LookUp) -> Deed {
    let fixed = match answer {
        Answer::Result { action, .. } => vec![("proxmox_vm_action", action), ("hosts", "proxmox")],
        Answer::Log | Answer::Guest => vec![],
    };
    let work = PlaybookWork {
        root: Root::Local,
        file: PlaybookFile::Fixed("generic.yml"),
        limit: Limit::Proxmox,
        fixed,
        look_up,
    };
    Deed { request: Some(RequestType::of::<T>()), answer, work: Work::Playbook(work) }
}

/// A playbook whose answer is its log.
fn playbook<T: crate::operations::Request>(root: Root, file: PlaybookFile, limit: Limit) -> Deed {
    let work = PlaybookWork { root, file, limit, fixed: vec![], look_up: LookUp::No };
    Deed { request: Some(RequestType::of::<T>()), answer: Answer::Log, work: Work::Playbook(work) }
}

/// A bundle.
fn bundle<T: crate::operations::Request>(
    file: &'static str,
    limit: Limit,
    fixed: &[(&'static str, &'static str)],
    answer: Answer,
) -> Deed {
    let work = PlaybookWork {
        root: Root::Bundles,
        file: PlaybookFile::Fixed(file),
        limit,
        fixed: fixed.to_vec(),
        look_up: LookUp::No,
    };
    Deed { request: Some(RequestType::of::<T>()), answer, work: Work::Playbook(work) }
}

/// A bundle for all guests of a group.
fn group(file: &'static str, fixed: &[(&'static str, &'static str)], answer: Answer) -> Deed {
    bundle::<NodeRequest>(file, Limit::Node, fixed, answer)
}

/// A change of state of all guests of a group.
fn group_state(file: &'static str, action: &'static str) -> Deed {
    group(file, &[("proxmox_vm_action", action)], one::<res::GuestState>(action))
}

/// A group's return to a snapshot.
fn revert(file: &'static str) -> Deed {
    bundle::<GroupRevertRequest>(
        file,
        Limit::Node,
        &[],
        one::<res::ChangedSnapshot>("snapshot_vm_revert"),
    )
}

/// A change of state of several guests. Whatever their group, the "vuln" bundle does it.
fn several(action: &'static str) -> Deed {
    let fixed = [("PROXMOX_VM_ACTION", action)];
    bundle::<GuestListRequest>(VMS_STATE_VULN, Limit::Node, &fixed, one::<res::GuestState>(action))
}

fn create_vms(folder: &'static str, keys: &'static [&'static str]) -> Deed {
    Deed {
        request: Some(RequestType::of::<CreateVmsRequest>()),
        answer: Answer::Log,
        work: Work::CreateVms { folder, keys },
    }
}

/// An example of the guests of a group: `first_id` and those after it.
fn new_vms(first_id: i64, keys: &[&str]) -> Value {
    let vm = |(number, key): (i64, &&str)| {
        let id = first_id + number;
        let ip = format!("10.42.{}.{}", id / 100, 10 + number);
        (
            (*key).to_owned(),
            json!({"vm_id": id, "vm_ip": ip, "vm_description": "of the demo range"}),
        )
    };
    json!({"vms": (0..).zip(keys).map(vm).collect::<Map<String, Value>>()})
}

fn self_test(vm_id: &'static str) -> Deed {
    Deed { request: None, answer: Answer::Guest, work: Work::LookUp { vm_id } }
}
