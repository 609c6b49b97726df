//! The groups of guests of the default configuration. An operation applies to the whole group.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::Operation;
use super::effect::{
    Target::{Group, NewGuests},
    changes, destroys,
};
use super::request::{NodeRequest, default_true, not_a_variable, request};
use super::snapshots::{ChangedSnapshot, CreatedSnapshot};
use super::spec::{bundle, create_vms, delete, one, post};
use super::tags::{ADMIN, STUDENT, VULN};
use super::values::{CloudInitIp, NodeName, PlainText, SnapshotName};
use super::vms::{DeletedGuest, GuestState};

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

/// The privileges for creating the guests of a group: the bundles clone a template, set its
/// cloud-init options, and start the guests.
const CREATE_PRIVILEGES: &[&str] = &[
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "Datastore.AllocateSpace",
    "SDN.Use",
];

/// The path of an operation on a group.
macro_rules! path {
    ($operation:literal, $name:literal) => {
        concat!("/v0/admin/run/bundles/core/proxmox/configure/default/", $operation, $name)
    };
}

/// The playbook of an operation on a group.
macro_rules! file {
    ($operation:literal, $name:literal) => {
        concat!("core/proxmox/configure/default/vms/", $operation, $name, "/main.yml")
    };
}

/// An operation that changes the power state of all guests of a group.
macro_rules! state {
    ($operation:literal, $name:literal, $tag:ident, $summary:expr, $action:literal) => {
        post(
            path!($operation, $name),
            $tag,
            $summary,
            bundle::<NodeRequest>(
                file!("start-stop-pause-resume-vms-", $name),
                one::<GuestState>($action),
                changes(Group($name)),
                &["VM.PowerMgmt"],
            )
            .with("proxmox_vm_action", $action),
        )
    };
}

/// The operations of a group. The arguments are its name in paths, its tag, its name in summaries,
/// the keys of its guests, and the id of the first guest in the example.
macro_rules! group {
    ($name:literal, $tag:ident, $guests:literal, $keys:ident, $first_id:literal) => {
        vec![
            post(
                path!("create-vms-", $name),
                $tag,
                concat!("Create the ", $guests, " guests"),
                create_vms::<CreateVmsRequest>(
                    concat!("core/proxmox/configure/default/vms/create-vms-", $name),
                    $keys,
                    changes(NewGuests($name)),
                    CREATE_PRIVILEGES,
                ),
            )
            .example(example($first_id, $keys)),
            delete(
                path!("delete-vms-", $name),
                $tag,
                concat!("Delete the ", $guests, " guests"),
                bundle::<NodeRequest>(
                    file!("delete-vms-", $name),
                    one::<DeletedGuest>("vm_delete"),
                    destroys(Group($name)),
                    &["VM.Allocate"],
                ),
            ),
            state!(
                "pause-vms-",
                $name,
                $tag,
                concat!("Pause the ", $guests, " guests"),
                "vm_pause"
            ),
            state!(
                "resume-vms-",
                $name,
                $tag,
                concat!("Resume the ", $guests, " guests"),
                "vm_resume"
            ),
            post(
                path!("snapshot/create-vms-", $name),
                $tag,
                concat!("Take a snapshot of each ", $guests, " guest"),
                bundle::<NodeRequest>(
                    file!("snapshot/create-vms-", $name),
                    one::<CreatedSnapshot>("snapshot_vm_create"),
                    changes(Group($name)),
                    &["VM.Snapshot"],
                ),
            ),
            post(
                path!("snapshot/revert-vms-", $name),
                $tag,
                concat!("Revert the ", $guests, " guests to a snapshot"),
                bundle::<GroupRevertRequest>(
                    file!("snapshot/revert-vms-", $name),
                    one::<ChangedSnapshot>("snapshot_vm_revert"),
                    destroys(Group($name)),
                    &["VM.Snapshot.Rollback"],
                ),
            ),
            state!(
                "start-vms-",
                $name,
                $tag,
                concat!("Start the ", $guests, " guests"),
                "vm_start"
            ),
            state!(
                "stop-vms-",
                $name,
                $tag,
                concat!("Shut the ", $guests, " guests down"),
                "vm_stop"
            ),
        ]
    };
}

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    let groups: [Vec<Operation>; 3] = [
        group!("admin", ADMIN, "admin", ADMIN_KEYS, 5000),
        group!("student", STUDENT, "student", STUDENT_KEYS, 5200),
        group!("vuln", VULN, "vulnerable", VULN_KEYS, 5100),
    ];
    groups.into_iter().flatten().collect()
}

/// An example for the guests of a group, with ids from `first_id` on.
fn example(first_id: i64, keys: &[&str]) -> Value {
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

/// A request to revert the guests of a group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_snapshot_name": "before-exercise"}))]
pub struct GroupRevertRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The snapshot. Null: the playbook's own choice.
    #[serde(rename(serialize = "VM_SNAPSHOT_NAME"))]
    pub vm_snapshot_name: Option<SnapshotName>,
}

/// A request to make the guests of a group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing",
    "vms": {"student-box-01": {
        "vm_id": 4100, "vm_ip": "10.42.0.11", "vm_description": "student box of team 1",
    }},
}))]
pub struct CreateVmsRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// The guests by their key, in the order in which they are made. Each operation says which
    /// keys it wants; all must be there and no other.
    #[serde(skip_serializing_if = "not_a_variable")]
    #[schema(required = true, value_type = NewVms)]
    pub vms: IndexMap<String, NewVm>,
}

/// Guests by key. Only used for its schema, because the derived schema of a map has no bounds.
struct NewVms;

impl PartialSchema for NewVms {
    fn schema() -> RefOr<Schema> {
        let guests = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Guests by their key."))
            .property_names(Some(Object::with_type(Type::String)))
            .additional_properties(Some(Ref::from_schema_name(NewVm::name())))
            .max_properties(Some(100));
        guests.into()
    }
}

impl ToSchema for NewVms {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((NewVm::name().into_owned(), NewVm::schema()));
        NewVm::schemas(schemas);
    }
}

/// A guest that is to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NewVm {
    /// Its id, which must be free.
    #[serde(rename(serialize = "global_vm_id"))]
    #[schema(minimum = 1, maximum = 999_999_999)]
    pub vm_id: i64,
    /// Its address, set by cloud-init.
    #[serde(rename(serialize = "global_vm_ci_ip"))]
    pub vm_ip: CloudInitIp,
    /// Its description.
    #[serde(rename(serialize = "global_vm_description"))]
    pub vm_description: PlainText,
}

request!(GroupRevertRequest { node: proxmox_node, as_json: as_json });
request!(CreateVmsRequest { node: proxmox_node, new_guests: vms });
