//! Bundles for Linux hosts, and bundles and scenarios by name.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Operation;
use super::PlaybookFile::{Fixed, Named};
use super::effect::{
    Target::{Hosts, HostsByName},
    changes,
};
use super::request::{not_a_variable, request};
use super::spec::{playbook, post};
use super::tags::{RUNNER, UBUNTU};
use super::values::{HostPattern, NodeName, Password, PlainText, ShellPath, TargetHosts, UserName};
use crate::ansible::playbooks::Root;

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    vec![
        post(
            "/v0/admin/run/bundles/core/linux/ubuntu/configure/add-user",
            UBUNTU,
            "Add a Linux user",
            playbook::<AddUserRequest>(
                Root::Bundles,
                Fixed("core/linux/ubuntu/configure/add-user/main.yml"),
                changes(Hosts),
            ),
        ),
        post(
            "/v0/admin/run/bundles/core/linux/ubuntu/install/basic-packages",
            UBUNTU,
            "Install basic packages",
            playbook::<BasicPackagesRequest>(
                Root::Bundles,
                Fixed("core/linux/ubuntu/install/basic-packages/main.yml"),
                changes(Hosts),
            ),
        ),
        post(
            "/v0/admin/run/bundles/core/linux/ubuntu/install/docker",
            UBUNTU,
            "Install Docker",
            playbook::<DockerRequest>(
                Root::Bundles,
                Fixed("core/linux/ubuntu/install/docker/main.yml"),
                changes(Hosts),
            ),
        ),
        post(
            "/v0/admin/run/bundles/core/linux/ubuntu/install/docker-compose",
            UBUNTU,
            "Install Docker Compose",
            playbook::<DockerComposeRequest>(
                Root::Bundles,
                Fixed("core/linux/ubuntu/install/docker/main.yml"),
                changes(Hosts),
            ),
        ),
        post(
            "/v0/admin/run/bundles/core/linux/ubuntu/install/dot-files",
            UBUNTU,
            "Install dot-files",
            playbook::<DotFilesRequest>(
                Root::Bundles,
                Fixed("core/linux/ubuntu/install/dot-files/main.yml"),
                changes(Hosts),
            ),
        ),
        post(
            "/v0/admin/run/bundles/{bundles_name}/run",
            RUNNER,
            "Run a bundle by its name",
            playbook::<HostsRequest>(Root::Bundles, Named, changes(HostsByName)),
        ),
        post(
            "/v0/admin/run/scenarios/{scenario_name}/run",
            RUNNER,
            "Run a scenario by its name",
            playbook::<HostsRequest>(Root::Scenarios, Named, changes(HostsByName)),
        )
        .example(json!({"hosts": "proxmox"})),
    ]
}

/// A request to run a playbook on some hosts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "hosts": "all"}))]
pub struct HostsRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Ignored: the response is always the log.
    #[serde(default, skip_serializing_if = "not_a_variable")]
    #[schema(default = false)]
    pub as_json: Option<bool>,
    /// The hosts or group to run on. Required; null means every host of the playbook.
    #[serde(skip_serializing_if = "not_a_variable")]
    #[schema(required = true)]
    pub hosts: Option<HostPattern>,
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
    /// The user to install them for.
    #[serde(rename(serialize = "OPERATOR_USER"))]
    pub user: PlainText,
    /// Whether to install those of vim.
    #[serde(rename(serialize = "INSTALL_VIM_DOTFILES"))]
    pub install_vim_dot_files: bool,
    /// Whether to install those of zsh.
    #[serde(rename(serialize = "INSTALL_ZSH_DOTFILES"))]
    pub install_zsh_dot_files: bool,
    /// Whether to install them for root, too.
    #[serde(rename(serialize = "APPLY_FOR_ROOT"))]
    pub apply_for_root: bool,
}

request!(HostsRequest { node: proxmox_node, optional_hosts: hosts });
request!(AddUserRequest { node: proxmox_node, hosts: hosts, secret: password });
request!(BasicPackagesRequest { node: proxmox_node, hosts: hosts });
request!(DockerRequest { node: proxmox_node, hosts: hosts });
request!(DockerComposeRequest { node: proxmox_node, hosts: hosts });
request!(DotFilesRequest { node: proxmox_node, hosts: hosts });
