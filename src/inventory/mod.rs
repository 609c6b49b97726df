//! Reads the address and the credentials of the Proxmox API from the inventory.
//!
//! Only plain values of `hosts.yml` are read. If a value is vaulted or a template, only Ansible
//! can evaluate it, and callers run a playbook instead.

pub mod groups;

use std::path::{Path, PathBuf};

use thiserror::Error;
use yaml_serde::Value;

/// The path of the Proxmox hosts in `hosts.yml`.
const HOSTS: [&str; 6] =
    ["all", "children", "range42_infrastructure", "children", "proxmox", "hosts"];

/// The default port of the Proxmox API.
const DEFAULT_PORT: u16 = 8006;

/// The credentials for one Proxmox API.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name of the host in the inventory.
    pub inventory_host: String,
    /// The Proxmox node of the host.
    pub node: String,
    /// `https://host:port`.
    pub base_url: String,
    /// The value of the `Authorization` header.
    pub authorization: String,
    /// Whether to verify the certificate of the API.
    pub validate_certs: bool,
    /// A PEM file with trusted certificates.
    pub ca_file: Option<PathBuf>,
}

/// A file of the inventory cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {file}: {reason}")]
pub struct InventoryError {
    file: String,
    reason: String,
}

/// Returns the credentials of all Proxmox hosts whose credentials are plain text, in order.
///
/// # Errors
///
/// Returns an error if `hosts.yml` cannot be read or is not YAML.
///
/// # Blocking
///
/// Reads a file.
pub fn credentials(inventory_dir: &Path) -> Result<Vec<Credentials>, InventoryError> {
    let file = inventory_dir.join("hosts.yml");
    let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, e.to_string()))?;
    parse_credentials(&text, inventory_dir)
}

/// Like [`credentials`], for the given content of `hosts.yml`.
///
/// # Errors
///
/// Returns an error if the text is not YAML.
pub fn parse_credentials(
    text: &str,
    inventory_dir: &Path,
) -> Result<Vec<Credentials>, InventoryError> {
    let document = parse(&inventory_dir.join("hosts.yml"), text)?;
    let hosts = HOSTS.iter().try_fold(&document, |value, key| value.get(*key));
    let Some(hosts) = hosts.and_then(Value::as_mapping) else { return Ok(Vec::new()) };
    Ok(hosts
        .iter()
        .filter_map(|(name, variables)| host_credentials(name.as_str()?, variables, inventory_dir))
        .collect())
}

/// Returns the credentials for `node`: those of its host, or else the first ones.
pub fn for_node(all: Vec<Credentials>, node: Option<&str>) -> Option<Credentials> {
    let own = all
        .iter()
        .position(|c| Some(c.node.as_str()) == node || Some(c.inventory_host.as_str()) == node);
    all.into_iter().nth(own.unwrap_or(0))
}

fn host_credentials(name: &str, variables: &Value, dir: &Path) -> Option<Credentials> {
    let plain = |key: &str| {
        let text = variables.get(key)?.as_str()?;
        (!text.is_empty() && !text.contains("{{") && !text.contains("{%")).then(|| text.to_owned())
    };
    let user = plain("proxmox_api_user").unwrap_or_else(|| "root@pam".to_owned());
    let (token, secret) = (plain("proxmox_api_token_id")?, plain("proxmox_api_token_secret")?);
    // Proxmox displays the token ID as `user@realm!id`, and it is often copied in this form.
    let token = if token.contains('!') { token } else { format!("{user}!{token}") };
    Some(Credentials {
        inventory_host: name.to_owned(),
        node: plain("proxmox_node").unwrap_or_else(|| "pve01".to_owned()),
        base_url: format!("https://{}", with_port(&plain("proxmox_api_host")?)),
        authorization: format!("PVEAPIToken={token}={secret}"),
        validate_certs: is_true(variables.get("proxmox_validate_certs")),
        ca_file: plain("proxmox_ca_file").map(|file| dir.join(file)),
    })
}

fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(b)) => *b,
        Some(Value::String(s)) => {
            matches!(s.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1")
        }
        _ => false,
    }
}

/// Returns `host:port`, with the default port if there is none and with brackets around an IPv6
/// address.
pub fn with_port(host: &str) -> String {
    let host = host.trim().to_ascii_lowercase();
    if host.starts_with('[') {
        let has_port = host.rsplit_once("]:").is_some();
        return if has_port { host } else { format!("{host}:{DEFAULT_PORT}") };
    }
    match host.matches(':').count() {
        0 => format!("{host}:{DEFAULT_PORT}"),
        1 => host,
        _ => format!("[{host}]:{DEFAULT_PORT}"),
    }
}

/// Reads the `hosts.yml` of an inventory dir.
///
/// # Errors
///
/// Returns an error if the file cannot be read or is not YAML.
///
/// # Blocking
///
/// Reads a file.
pub fn hosts_file(inventory_dir: &Path) -> Result<Value, InventoryError> {
    read(&inventory_dir.join("hosts.yml"))
}

/// The variables with the address and the credentials of the API.
const API_ACCESS: [&str; 4] =
    ["proxmox_api_host", "proxmox_api_user", "proxmox_api_token_id", "proxmox_api_token_secret"];

/// The header of an Ansible vault file.
const VAULT_HEADER: &str = "$ANSIBLE_VAULT;";

/// The access to Proxmox APIs that the variables of a run configure.
#[derive(Debug, Default)]
pub struct ApiAccess {
    /// The API hosts in plain text, with ports.
    hosts: Vec<String>,
    /// Whether any access is configured. True if a file is vaulted, because it may contain some.
    configured: bool,
}

impl ApiAccess {
    /// Returns true if a client may choose this API host.
    ///
    /// The host receives the token of the operator, so if the operator has configured any access,
    /// only hosts that the variables name are allowed.
    pub fn allows(&self, host: &str) -> bool {
        !self.configured || self.hosts.contains(&with_port(host))
    }

    fn read(&mut self, file: &Path) -> Result<(), InventoryError> {
        let text = std::fs::read_to_string(file).map_err(|e| unreadable(file, e.to_string()))?;
        if text.starts_with(VAULT_HEADER) {
            self.configured = true;
            return Ok(());
        }
        self.collect(&parse(file, &text)?);
        Ok(())
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::Mapping(members) => {
                for (name, value) in members {
                    let name = name.as_str().unwrap_or_default();
                    self.configured |= API_ACCESS.contains(&name);
                    if name == API_ACCESS[0] {
                        self.hosts.extend(value.as_str().map(with_port));
                    }
                    self.collect(value);
                }
            }
            Value::Sequence(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Tagged(tagged) => self.collect(&tagged.value),
            _ => {}
        }
    }
}

/// Returns the access that variables in `folders` and in the file `more` configure.
///
/// The folders are the inventory dir and the directory of the playbooks, which can contain
/// `group_vars` too.
///
/// # Errors
///
/// Returns an error if a file cannot be read or is not YAML.
///
/// # Blocking
///
/// Reads files.
pub fn api_access(folders: &[&Path], more: Option<&Path>) -> Result<ApiAccess, InventoryError> {
    let mut access = ApiAccess::default();
    for folder in folders {
        for file in variable_files(folder) {
            access.read(&file)?;
        }
    }
    more.map_or(Ok(()), |file| access.read(file))?;
    Ok(access)
}

/// Returns the files of an inventory dir that contain variables.
fn variable_files(dir: &Path) -> Vec<PathBuf> {
    let hosts = dir.join("hosts.yml");
    let folders = ["group_vars", "host_vars"].map(|folder| dir.join(folder));
    let hosts = hosts.exists().then_some(hosts);
    hosts.into_iter().chain(folders.iter().flat_map(|folder| yaml_files(folder))).collect()
}

/// Returns the plain strings and numbers in all variables whose name is `wanted`, at any depth,
/// from the inventory and the file `more`. Unreadable and vaulted files are skipped.
///
/// # Blocking
///
/// Reads files.
pub fn plain_values(
    inventory_dir: &Path,
    more: Option<&Path>,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let files = variable_files(inventory_dir).into_iter().chain(more.map(Path::to_owned));
    let mut found = Vec::new();
    for document in files.filter_map(|file| read(&file).ok()) {
        collect_values(&document, wanted, false, &mut found);
    }
    found
}

fn collect_values(
    value: &Value,
    wanted: &dyn Fn(&str) -> bool,
    below_wanted: bool,
    found: &mut Vec<String>,
) {
    match value {
        Value::Mapping(members) => {
            for (name, value) in members {
                let below_wanted = below_wanted || name.as_str().is_some_and(wanted);
                collect_values(value, wanted, below_wanted, found);
            }
        }
        Value::Sequence(items) => {
            items.iter().for_each(|item| collect_values(item, wanted, below_wanted, found));
        }
        // `!unsafe` values are plain text; vaulted values are unknown.
        Value::Tagged(tagged) if tagged.tag != "vault" => {
            collect_values(&tagged.value, wanted, below_wanted, found);
        }
        Value::String(text) if below_wanted && !text.contains("{{") => found.push(text.clone()),
        Value::Number(number) if below_wanted => found.push(number.to_string()),
        _ => {}
    }
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(yaml_files(&path));
        // Ansible ignores dangling links. Reading a pipe would wait for a writer.
        } else if path.is_file()
            && path.extension().is_none_or(|e| e == "yml" || e == "yaml" || e == "json")
        {
            files.push(path);
        }
    }
    files
}

fn read(file: &Path) -> Result<Value, InventoryError> {
    let text = std::fs::read_to_string(file).map_err(|e| unreadable(file, e.to_string()))?;
    parse(file, &text)
}

fn parse(file: &Path, text: &str) -> Result<Value, InventoryError> {
    // The parser's message can quote a line of the file, and that line can contain a secret.
    yaml_serde::from_str(text).map_err(|e| {
        let at = e.location().map(|at| format!(" at line {}", at.line()));
        unreadable(file, format!("not YAML{}", at.unwrap_or_default()))
    })
}

/// Returns the error for an unreadable file. Clients see it, so it contains the file name only.
pub fn unreadable(file: &Path, reason: String) -> InventoryError {
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    InventoryError { file, reason }
}
