//! From a checked request to a plan: everything a run needs is found before it is begun.

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::ansible::playbooks;
use crate::ansible::playbooks::{CatalogError, Playbook, Root};
use crate::config::Settings;
use crate::inventory;
use crate::operations::bundles::NewVm;
use crate::operations::values::{ApiHost, HostPattern, NodeName};
use crate::operations::{Answer, Limit, LookUp, Operation, PlaybookFile, PlaybookWork, Work};
use crate::runs::{Plan, Step};

/// Why nothing can be started for a checked request.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The server is not set up for it, or it names what is not there.
    #[error("{0}")]
    Refused(String),
    /// A fault of the server.
    #[error("{0}")]
    Internal(String),
}

/// The members of a request that steer the run rather than the playbook.
#[derive(Debug, Default, Deserialize)]
pub struct Steering {
    /// The node.
    #[serde(default)]
    pub proxmox_node: Option<NodeName>,
    /// Whether the result is wanted rather than the log.
    #[serde(default)]
    pub as_json: Option<bool>,
    /// The hosts to run on. Both types of host pattern fit in this one.
    #[serde(default)]
    hosts: Option<HostPattern>,
    #[serde(default)]
    proxmox_api_host: Option<ApiHost>,
    #[serde(default)]
    vm_id: Option<crate::operations::values::VmId>,
}

/// Makes the plan of `operation` for a checked body and the name in its path, if it has one.
pub fn plan(
    settings: &Settings,
    operation: &Operation,
    body: &Map<String, Value>,
    name: Option<&str>,
) -> Result<(Plan, Steering), PlanError> {
    let steering: Steering = read(body)?;
    let steps = match &operation.work {
        Work::Playbook(work) => playbook_steps(settings, operation, work, body, &steering, name)?,
        Work::CreateVms { folder, keys } => create_steps(settings, folder, keys, body, &steering)?,
        Work::LookUp { vm_id } => vec![look_up(settings, vm_id, false)?],
    };
    require_inventory(settings)?;
    if let Some(host) = &steering.proxmox_api_host {
        require_known_api(settings, host)?;
    }
    let action = match operation.answer {
        Answer::Result { action, .. } => Some(action),
        Answer::Log | Answer::Guest => None,
    };
    let node = steering.proxmox_node.as_ref().map(|node| node.as_str().to_owned());
    Ok((Plan { operation: operation.id(), node, steps, action }, steering))
}

fn playbook_steps(
    settings: &Settings,
    operation: &Operation,
    work: &PlaybookWork,
    body: &Map<String, Value>,
    steering: &Steering,
    name: Option<&str>,
) -> Result<Vec<Step>, PlanError> {
    let playbook = match work.file {
        PlaybookFile::Fixed(file) => playbooks::find(settings, work.root, file),
        PlaybookFile::Named => playbooks::find_named(settings, work.root, name.unwrap_or_default()),
    };
    let limit = match work.limit {
        Limit::Proxmox => Some("proxmox".to_owned()),
        Limit::Node => steering.proxmox_node.as_ref().map(|node| node.as_str().to_owned()),
        Limit::Hosts => steering.hosts.as_ref().map(|hosts| hosts.as_str().to_owned()),
    };
    let fixed = work.fixed.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
    let mut extra_vars: Map<String, Value> = fixed.collect();
    if let Some(request) = &operation.request {
        extra_vars.extend((request.extra_vars)(Value::Object(body.clone())).map_err(unreadable)?);
    }
    let playbook = playbook?;
    let mut steps = Vec::new();
    if let (LookUp::MustExist | LookUp::Name, Some(vm_id)) = (work.look_up, &steering.vm_id) {
        steps.push(look_up(settings, vm_id.as_str(), work.look_up == LookUp::Name)?);
    }
    steps.push(Step::Playbook { playbook, limit, tags: None, extra_vars });
    Ok(steps)
}

/// The keys are checked between the two playbooks, as clients of the contract see it.
fn create_steps(
    settings: &Settings,
    folder: &str,
    keys: &[&str],
    body: &Map<String, Value>,
    steering: &Steering,
) -> Result<Vec<Step>, PlanError> {
    let init = playbooks::find(settings, Root::Bundles, &format!("{folder}/init.yml"))?;
    let vms = body.get("vms").and_then(Value::as_object).cloned().unwrap_or_default();
    require_keys(&vms, keys)?;
    let main = playbooks::find(settings, Root::Bundles, &format!("{folder}/main.yml"))?;
    let node = steering.proxmox_node.as_ref().map(|node| Value::from(node.as_str()));
    let common: Map<String, Value> =
        node.into_iter().map(|node| ("proxmox_node".to_owned(), node)).collect();
    let step = |playbook: &Playbook, tags, extra_vars| Step::Playbook {
        playbook: playbook.clone(),
        limit: None,
        tags,
        extra_vars,
    };
    let mut steps = Vec::new();
    for (key, vm) in vms {
        let vm: NewVm = serde_json::from_value(vm).map_err(unreadable)?;
        let mut extra_vars = common.clone();
        if let Ok(Value::Object(members)) = serde_json::to_value(&vm) {
            extra_vars.extend(members);
        }
        steps.push(step(&init, Some(key), extra_vars));
    }
    steps.push(step(&main, None, common));
    Ok(steps)
}

fn require_keys(vms: &Map<String, Value>, keys: &[&str]) -> Result<(), PlanError> {
    let fits = vms.len() == keys.len() && keys.iter().all(|key| vms.contains_key(*key));
    if fits {
        return Ok(());
    }
    let wanted = keys.join(", ");
    Err(PlanError::Refused(format!("vms must have exactly these keys: {wanted}")))
}

fn look_up(settings: &Settings, vm_id: &str, name_wanted: bool) -> Result<Step, PlanError> {
    let playbook = playbooks::find(settings, Root::Local, "generic.yml")?;
    Ok(Step::LookUp { vm_id: vm_id.to_owned(), playbook, name_wanted })
}

fn require_inventory(settings: &Settings) -> Result<(), PlanError> {
    if settings.inventory.join("hosts.yml").is_file() {
        return Ok(());
    }
    let missing = "no inventory hosts.yml in the inventory dir (API_BACKEND_INVENTORY_DIR)";
    Err(PlanError::Refused(missing.to_owned()))
}

/// The token goes to this host, so a client may only name one that the operator has named.
fn require_known_api(settings: &Settings, host: &ApiHost) -> Result<(), PlanError> {
    if host.is_empty() {
        return Ok(());
    }
    let playbooks = settings.local_playbooks.join("playbooks");
    let folders = [settings.inventory.as_path(), &playbooks];
    let known = inventory::api_access(&folders, settings.vars_file.as_deref()).map_err(|e| {
        let unknown = "so it cannot be told whether this is an API host of the inventory";
        PlanError::Refused(format!("proxmox_api_host: {e}, {unknown}"))
    })?;
    if known.allows(host.as_str()) {
        return Ok(());
    }
    let refused =
        "proxmox_api_host is not one of the API hosts that the inventory names in plain text";
    Err(PlanError::Refused(refused.to_owned()))
}

fn read<T: serde::de::DeserializeOwned>(body: &Map<String, Value>) -> Result<T, PlanError> {
    serde_json::from_value(Value::Object(body.clone())).map_err(unreadable)
}

/// A body that its schema lets through always fits its type; a test holds every row to that.
fn unreadable(error: serde_json::Error) -> PlanError {
    PlanError::Internal(format!("the checked body does not fit its type: {error}"))
}

impl From<CatalogError> for PlanError {
    fn from(error: CatalogError) -> Self {
        Self::Refused(error.to_string())
    }
}
