//! Turns a request into a plan. Everything that the run needs is resolved before it is accepted.

use serde_json::{Map, Value};
use thiserror::Error;

use super::claims;
use super::request::Request;
use super::{Answer, Limit, LookUp, Method, Operation, PlaybookFile, PlaybookWork, Work};
use crate::ansible::playbooks::{self, PlaybookError, PlaybookRef, Root};
use crate::config::Settings;
use crate::inventory;
use crate::redaction::Redaction;
use crate::runs::spec::{RequestSummary, RunSpec, SPEC_VERSION, Secrets, Step};

/// Why no run can be started for a valid request: something that the operation needs is not
/// configured, or the request refers to something that does not exist.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct PlanError(pub String);

/// A valid request for an operation.
pub struct Incoming {
    /// The operation.
    pub operation: &'static Operation,
    /// The members of the validated body.
    pub members: Map<String, Value>,
    /// The body as its request type.
    pub request: Box<dyn Request>,
    /// The name of the bundle or scenario, if the path contains one.
    pub name: Option<String>,
    /// The consumer, as reported by the gateway.
    pub consumer: Option<String>,
}

impl Incoming {
    /// Builds the specification of the run: the steps, the claims, the join key and the secrets.
    ///
    /// # Errors
    ///
    /// Fails if a playbook or the inventory is missing, if the keys of the guests are not those of
    /// the operation, or if `proxmox_api_host` is not an API host of the inventory.
    ///
    /// # Blocking
    ///
    /// Looks up playbooks and reads the inventory.
    pub fn run_spec(&self, settings: &Settings) -> Result<RunSpec, PlanError> {
        let (operation, request) = (self.operation, self.request.as_ref());
        let name = self.name.as_deref();
        let mut steps = match &operation.work {
            Work::Playbook(work) => playbook_steps(settings, work, request, name)?,
            Work::CreateVms { folder, keys } => create_steps(settings, folder, keys, request)?,
            Work::LookUp { vm_id } => vec![look_up(settings, vm_id, false)?],
        };
        require_inventory(settings)?;
        require_known_api(settings, request.api_host())?;
        let action = match operation.answer {
            Answer::Result { action, .. } => Some(action.to_owned()),
            Answer::Log | Answer::Guest => None,
        };
        let mut secrets = Secrets::default();
        for (index, step) in steps.iter_mut().enumerate() {
            if let Step::Playbook { extra_vars, .. } = step {
                secrets.take_from(index, extra_vars, &request.secrets());
            }
        }
        Ok(RunSpec {
            spec_version: SPEC_VERSION,
            operation: operation.id(),
            request: self.summary(),
            consumer: self.consumer.clone(),
            node: request.node().map(str::to_owned),
            guests: request.guests(),
            claims: claims::claims(operation, request, name, &settings.inventory),
            join_key: claims::join_key(operation, &self.members, name).map(|key| digest(&key)),
            deletes: operation.method == Method::Delete,
            steps,
            action,
            secrets,
        })
    }

    /// What was asked, without the secrets.
    fn summary(&self) -> RequestSummary {
        let mut body = Value::Object(self.members.clone());
        Redaction::of(self.request.secrets()).value(&mut body);
        let parameter = self.operation.path_parameter().zip(self.name.clone());
        RequestSummary {
            path_parameters: parameter
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect(),
            body: match body {
                Value::Object(members) => members,
                _ => Map::new(),
            },
        }
    }
}

fn playbook_steps(
    settings: &Settings,
    work: &PlaybookWork,
    request: &dyn Request,
    name: Option<&str>,
) -> Result<Vec<Step>, PlanError> {
    let playbook = match work.file {
        PlaybookFile::Fixed(file) => PlaybookRef { root: work.root, file: file.to_owned() },
        PlaybookFile::Named => playbooks::named(settings, work.root, name.unwrap_or_default())?,
    };
    playbooks::find(settings, &playbook)?;
    let limit = match work.limit {
        Limit::Proxmox => Some("proxmox"),
        Limit::Node => request.node(),
        Limit::Hosts => request.hosts(),
    };
    let fixed = work.fixed.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
    let mut extra_vars: Map<String, Value> = fixed.collect();
    extra_vars.extend(request.extra_vars());
    let mut steps = Vec::new();
    if let (LookUp::MustExist | LookUp::Name, Some(vm_id)) =
        (work.look_up, request.guests().first())
    {
        steps.push(look_up(settings, vm_id, work.look_up == LookUp::Name)?);
    }
    let limit = limit.map(str::to_owned);
    steps.push(Step::Playbook { playbook, limit, tags: None, extra_vars });
    Ok(steps)
}

/// The keys are checked after `init.yml` is looked up and before `main.yml` is, because the
/// contract defines the order of these errors.
fn create_steps(
    settings: &Settings,
    folder: &str,
    keys: &[&str],
    request: &dyn Request,
) -> Result<Vec<Step>, PlanError> {
    let bundle = |file: &str| PlaybookRef { root: Root::Bundles, file: format!("{folder}/{file}") };
    let (init, main) = (bundle("init.yml"), bundle("main.yml"));
    playbooks::find(settings, &init)?;
    let guests = request.new_guests();
    let given: Vec<&str> = guests.iter().map(|(key, _)| *key).collect();
    require_keys(&given, keys)?;
    playbooks::find(settings, &main)?;
    let common = request.extra_vars();
    let step = |playbook: &PlaybookRef, tags, extra_vars| Step::Playbook {
        playbook: playbook.clone(),
        limit: None,
        tags,
        extra_vars,
    };
    let mut steps = Vec::new();
    for (key, guest) in guests {
        let mut extra_vars = common.clone();
        extra_vars.extend(guest.extra_vars());
        steps.push(step(&init, Some(key.to_owned()), extra_vars));
    }
    steps.push(step(&main, None, common));
    Ok(steps)
}

fn require_keys(given: &[&str], keys: &[&str]) -> Result<(), PlanError> {
    let fits = given.len() == keys.len() && keys.iter().all(|key| given.contains(key));
    if fits {
        return Ok(());
    }
    let wanted = keys.join(", ");
    Err(PlanError(format!("vms must have exactly these keys: {wanted}")))
}

fn look_up(settings: &Settings, vm_id: &str, name_wanted: bool) -> Result<Step, PlanError> {
    let playbook = PlaybookRef { root: Root::Local, file: "generic.yml".to_owned() };
    playbooks::find(settings, &playbook)?;
    Ok(Step::LookUp { vm_id: vm_id.to_owned(), playbook, name_wanted })
}

fn require_inventory(settings: &Settings) -> Result<(), PlanError> {
    if settings.inventory.join("hosts.yml").is_file() {
        return Ok(());
    }
    let missing = "no inventory hosts.yml in the inventory dir (API_BACKEND_INVENTORY_DIR)";
    Err(PlanError(missing.to_owned()))
}

/// The API token is sent to this host, so only hosts that the inventory names are allowed.
fn require_known_api(settings: &Settings, host: &str) -> Result<(), PlanError> {
    if host.is_empty() {
        return Ok(());
    }
    let playbooks = settings.local_playbooks.join("playbooks");
    let folders = [settings.inventory.as_path(), &playbooks];
    let known = inventory::api_access(&folders, settings.vars_file.as_deref()).map_err(|e| {
        PlanError(format!("proxmox_api_host cannot be checked against the inventory: {e}"))
    })?;
    if known.allows(host) {
        return Ok(());
    }
    let refused =
        "proxmox_api_host is not one of the API hosts that the inventory names in plain text";
    Err(PlanError(refused.to_owned()))
}

/// The SHA-256 digest of a join key, which contains the whole request, in hexadecimal.
fn digest(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<PlaybookError> for PlanError {
    fn from(error: PlaybookError) -> Self {
        Self(error.to_string())
    }
}
