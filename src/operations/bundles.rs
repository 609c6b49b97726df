//! What requests for a bundle, a scenario or a ping carry.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::operations::values::{
    CloudInitIp, HostPattern, NodeName, Password, PlainText, ShellPath, SnapshotName, TargetHosts,
    UserName,
};
use crate::operations::vms::{not_a_variable, yes};

/// A request to run a playbook on some hosts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "hosts": "all"}))]
pub struct HostsRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Accepted, and without effect: the answer is always the log.
    #[serde(default, skip_serializing_if = "not_a_variable")]
    #[schema(default = false)]
    pub as_json: Option<bool>,
    /// The hosts or group to run on. Null, which must be said: every host of the playbook.
    #[serde(skip_serializing_if = "not_a_variable")]
    #[schema(required = true)]
    pub hosts: Option<HostPattern>,
}

/// A request to revert the guests of a group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_snapshot_name": "before-exercise"}))]
pub struct GroupRevertRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
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
    pub vms: Map<String, Value>,
}

/// Guests by their key. It is there for its schema alone: the derived one of a map has no bound.
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

/// A request to add a Linux user.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "hosts": "demo_linux", "user": "operator", "password": "change.me-42",
    "change_pwd_at_logon": true, "shell_path": "/bin/bash",
}))]
pub struct AddUserRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// The hosts to run on.
    #[serde(skip_serializing_if = "not_a_variable")]
    #[schema(required = true)]
    pub hosts: TargetHosts,
    /// The login name.
    #[serde(rename(serialize = "TARGET_USER"))]
    pub user: UserName,
    /// The password.
    #[serde(rename(serialize = "TARGET_PASSWORD"))]
    pub password: Password,
    /// Whether the password must be changed at the first logon.
    #[serde(rename(serialize = "CHANGE_PWD_AT_LOGON"))]
    pub change_pwd_at_logon: bool,
    /// The login shell.
    #[serde(rename(serialize = "TARGET_SHELL_PATH"))]
    pub shell_path: ShellPath,
}

/// A request to install basic packages.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "hosts": "demo_linux", "install_package_basics": true,
    "install_package_firewalls": false, "install_package_docker": false,
    "install_package_docker_compose": false, "install_package_utils_json": true,
    "install_package_utils_network": true, "install_ntpclient_and_update_time": false,
    "packages_cleaning": true,
}))]
pub struct BasicPackagesRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// The hosts to run on.
    #[serde(skip_serializing_if = "not_a_variable")]
    #[schema(required = true)]
    pub hosts: TargetHosts,
    /// Editors, archivers and the like.
    #[serde(rename(serialize = "INSTALL_PACKAGES_BASICS"))]
    pub install_package_basics: bool,
    /// Firewall tools.
    #[serde(rename(serialize = "INSTALL_PACKAGES_FIREWALLS"))]
    pub install_package_firewalls: bool,
    /// Docker.
    #[serde(rename(serialize = "INSTALL_PACKAGES_DOCKER"))]
    pub install_package_docker: bool,
    /// Docker Compose.
    #[serde(rename(serialize = "INSTALL_PACKAGES_DOCKER_COMPOSE"))]
    pub install_package_docker_compose: bool,
    /// Tools for JSON.
    #[serde(rename(serialize = "INSTALL_PACKAGES_UTILS_JSON"))]
    pub install_package_utils_json: bool,
    /// Network tools.
    #[serde(rename(serialize = "INSTALL_PACKAGES_UTILS_NETWORK"))]
    pub install_package_utils_network: bool,
    /// An NTP client, and the time set by it.
    #[serde(rename(serialize = "INSTALL_PACKAGES_NTP_AND_UPDATE_TIME"))]
    pub install_ntpclient_and_update_time: bool,
    /// Remove what is no longer needed.
    #[serde(rename(serialize = "SPECIFIC_PACKAGES_CLEANING"))]
    pub packages_cleaning: bool,
}

/// A request to install Docker.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "hosts": "demo_linux", "install_package_docker": true,
    "install_ntpclient_and_update_time": false, "packages_cleaning": false,
}))]
pub struct DockerRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// The hosts to run on.
    #[serde(skip_serializing_if = "not_a_variable")]
    #[schema(required = true)]
    pub hosts: TargetHosts,
    /// Docker.
    #[serde(rename(serialize = "INSTALL_PACKAGES_DOCKER"))]
    pub install_package_docker: bool,
    /// An NTP client, and the time set by it.
    #[serde(rename(serialize = "INSTALL_PACKAGES_NTP_AND_UPDATE_TIME"))]
    pub install_ntpclient_and_update_time: bool,
    /// Remove what is no longer needed.
    #[serde(rename(serialize = "SPECIFIC_PACKAGES_CLEANING"))]
    pub packages_cleaning: bool,
}

/// A request to install Docker Compose.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "hosts": "demo_linux", "install_package_docker": true,
    "install_package_docker_compose": true, "install_ntpclient_and_update_time": false,
    "packages_cleaning": false,
}))]
pub struct DockerComposeRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// The hosts to run on.
    #[serde(skip_serializing_if = "not_a_variable")]
    #[schema(required = true)]
    pub hosts: TargetHosts,
    /// Docker.
    #[serde(rename(serialize = "INSTALL_PACKAGES_DOCKER"))]
    pub install_package_docker: bool,
    /// Docker Compose.
    #[serde(rename(serialize = "INSTALL_PACKAGES_DOCKER_COMPOSE"))]
    pub install_package_docker_compose: bool,
    /// An NTP client, and the time set by it.
    #[serde(rename(serialize = "INSTALL_PACKAGES_NTP_AND_UPDATE_TIME"))]
    pub install_ntpclient_and_update_time: bool,
    /// Remove what is no longer needed.
    #[serde(rename(serialize = "SPECIFIC_PACKAGES_CLEANING"))]
    pub packages_cleaning: bool,
}

/// A request to install dot-files.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "proxmox_node": "px-testing", "hosts": "demo_linux", "user": "operator",
    "install_vim_dot_files": true, "install_zsh_dot_files": true, "apply_for_root": false,
}))]
pub struct DotFilesRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// The hosts to run on; this bundle gets them as a variable too.
    pub hosts: TargetHosts,
    /// The user whose files they become.
    #[serde(rename(serialize = "OPERATOR_USER"))]
    pub user: PlainText,
    /// Those of vim.
    #[serde(rename(serialize = "INSTALL_VIM_DOTFILES"))]
    pub install_vim_dot_files: bool,
    /// Those of zsh.
    #[serde(rename(serialize = "INSTALL_ZSH_DOTFILES"))]
    pub install_zsh_dot_files: bool,
    /// Root gets them too.
    #[serde(rename(serialize = "APPLY_FOR_ROOT"))]
    pub apply_for_root: bool,
}
