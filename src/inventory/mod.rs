//! What the inventory says about the Proxmox API: where it is and with which token.
//!
//! Ansible can compute variables in many ways; this reads the plain ones of `hosts.yml`. A
//! value that is vaulted or a template is not known here, and then a playbook does the work.

pub mod groups;

use std::path::{Path, PathBuf};

use thiserror::Error;
use yaml_serde::Value;

/// The group of Proxmox hosts in `hosts.yml`.
const HOSTS: [&str; 6] =
    ["all", "children", "range42_infrastructure", "children", "proxmox", "hosts"];

/// The port of the Proxmox API, where the inventory names none.
const DEFAULT_PORT: u16 = 8006;

/// Access to one Proxmox API.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The host's name in the inventory.
    pub inventory_host: String,
    /// The node that this host stands for.
    pub node: String,
    /// `https://host:port`.
    pub base_url: String,
    /// The value of the `Authorization` header.
    pub authorization: String,
    /// Whether the server's certificate must be valid.
    pub validate_certs: bool,
    /// A file of certificates to trust.
    pub ca_file: Option<PathBuf>,
}

/// An inventory that cannot be read at all.
#[derive(Debug, Error)]
#[error("cannot read {file}: {reason}")]
pub struct InventoryError {
    file: String,
    reason: String,
}

/// The credentials of every Proxmox host of the inventory that has them in plain, in order.
pub fn credentials(inventory_dir: &Path) -> Result<Vec<Credentials>, InventoryError> {
    let file = inventory_dir.join("hosts.yml");
    let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, e.to_string()))?;
    credentials_in(&text, inventory_dir)
}

/// The same out of the text of a `hosts.yml` that was read already.
pub fn credentials_in(
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

/// The credentials to use for `node`: those of its own host, else the first ones.
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
    // The id is often written as Proxmox shows it, with its user.
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

/// `host:port`, with Proxmox's port where none is given and brackets around an IPv6 address.
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

/// The `hosts.yml` of an inventory dir.
pub fn hosts_file(inventory_dir: &Path) -> Result<Value, InventoryError> {
    read(&inventory_dir.join("hosts.yml"))
}

/// The variables that say where the API is and who asks there.
const API_ACCESS: [&str; 4] =
    ["proxmox_api_host", "proxmox_api_user", "proxmox_api_token_id", "proxmox_api_token_secret"];

/// What an Ansible vault file begins with.
const VAULTED: &str = "$ANSIBLE_VAULT;";

/// What the variables of a run say about access to a Proxmox API.
#[derive(Debug, Default)]
pub struct ApiAccess {
    /// The hosts that are named in plain text, each with its port.
    hosts: Vec<String>,
    /// Whether they name a host or a token, or may do so in what is vaulted.
    any: bool,
}

impl ApiAccess {
    /// Whether a client may choose this host. It gets the operator's token, so where the
    /// operator has set up any access only a host that the variables name will do.
    pub fn admits(&self, host: &str) -> bool {
        !self.any || self.hosts.contains(&with_port(host))
    }

    fn read(&mut self, file: &Path) -> Result<(), InventoryError> {
        let text = std::fs::read_to_string(file).map_err(|e| unreadable(file, e.to_string()))?;
        if text.starts_with(VAULTED) {
            self.any = true;
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
                    self.any |= API_ACCESS.contains(&name);
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

/// What the variables in these folders and in the file `more` say about access to the API: an
/// inventory dir, and the folder of the playbooks, which may have `group_vars` as well.
pub fn api_access(folders: &[&Path], more: Option<&Path>) -> Result<ApiAccess, InventoryError> {
    let mut access = ApiAccess::default();
    for folder in folders {
        for file in files(folder) {
            access.read(&file)?;
        }
    }
    more.map_or(Ok(()), |file| access.read(file))?;
    Ok(access)
}

/// The files of variables of an inventory dir.
fn files(dir: &Path) -> Vec<PathBuf> {
    let hosts = dir.join("hosts.yml");
    let folders = ["group_vars", "host_vars"].map(|folder| dir.join(folder));
    let hosts = hosts.exists().then_some(hosts);
    hosts.into_iter().chain(folders.iter().flat_map(|folder| yaml_files(folder))).collect()
}

/// The plain texts and numbers of all variables of the inventory, and of the file `more`, whose
/// name is `wanted`, and of all that is below such a variable. Files that cannot be read, a
/// vaulted one among them, have none.
pub fn texts(
    inventory_dir: &Path,
    more: Option<&Path>,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let files = files(inventory_dir).into_iter().chain(more.map(Path::to_owned));
    let mut found = Vec::new();
    for document in files.filter_map(|file| read(&file).ok()) {
        collect_texts(&document, wanted, false, &mut found);
    }
    found
}

fn collect_texts(
    value: &Value,
    wanted: &dyn Fn(&str) -> bool,
    below_wanted: bool,
    found: &mut Vec<String>,
) {
    match value {
        Value::Mapping(members) => {
            for (name, value) in members {
                let below_wanted = below_wanted || name.as_str().is_some_and(wanted);
                collect_texts(value, wanted, below_wanted, found);
            }
        }
        Value::Sequence(items) => {
            items.iter().for_each(|item| collect_texts(item, wanted, below_wanted, found));
        }
        // `!unsafe` is as plain as any other; what is vaulted is not known.
        Value::Tagged(tagged) if tagged.tag != "vault" => {
            collect_texts(&tagged.value, wanted, below_wanted, found);
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
        // Ansible passes over a dangling link, and nothing reads a FIFO.
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
    // The parser's own message can repeat a line of the file, and that line can be a secret.
    yaml_serde::from_str(text).map_err(|e| {
        let at = e.location().map(|at| format!(" at line {}", at.line()));
        unreadable(file, format!("not YAML{}", at.unwrap_or_default()))
    })
}

/// An inventory file that cannot be used, by its name alone: clients read this.
pub fn unreadable(file: &Path, reason: String) -> InventoryError {
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    InventoryError { file, reason }
}
