//! Doing what a plan says, step by step.

use std::ffi::OsStr;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::look_up::{self, Found};
use super::{Ended, Means, Outcome, Plan, Step};
use crate::ansible::catalog::Playbook;
use crate::ansible::engine::Job;
use crate::ansible::events::{self, JobEvent};
use crate::ansible::execution;
use crate::ansible::workdir::{Invocation, Workdir, WorkdirError};
use crate::proxmox::client::Client;
use crate::proxmox::inventory;

/// The longest default of a result, in characters, that ansible-runner keeps is 700,000; a
/// long list of guests is longer, and would come back empty with an exit code of 0.
const MAX_EVENT_RES: &str = "1000000000";

/// The default of Ansible's own setting, which ours comes after.
const DEFAULT_ROLES_PATH: &str = "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles";

/// Performs all steps of `plan`.
pub(super) async fn perform(means: &Means, id: Uuid, plan: Plan) -> Outcome {
    let mut found: Option<Found> = None;
    let mut last = None;
    for step in plan.steps {
        match step {
            Step::LookUp { vm_id, playbook, name_wanted } => {
                match look_up_guest(means, id, plan.node.as_deref(), &vm_id, playbook).await {
                    Ok(guest) => found = Some(guest).filter(|_| name_wanted),
                    Err(outcome) => return outcome,
                }
            }
            Step::Playbook { playbook, limit, tags, mut extra_vars } => {
                if let Some(guest) = found.take() {
                    extra_vars.insert("vm_name".to_owned(), guest.name);
                }
                let inventory = means.settings.inventory.clone();
                let invocation = Invocation { playbook, inventory, limit, tags, extra_vars };
                match run_playbook(means, id, &invocation).await {
                    Ok((rc, events)) => {
                        let ended = ended(rc, &events, plan.action);
                        if rc != Some(0) {
                            return Outcome::Ended(ended);
                        }
                        last = Some(ended);
                    }
                    Err(outcome) => return outcome,
                }
            }
        }
    }
    let nothing = Ended { rc: Some(0), result: Vec::new(), log: Vec::new(), error: None };
    Outcome::Ended(last.unwrap_or(nothing))
}

fn ended(rc: Option<i32>, events: &[JobEvent], action: Option<&str>) -> Ended {
    let log = events::log_lines(events);
    let error = (rc != Some(0)).then(|| events::failure_line(events, &log, rc));
    let result = action.map(|action| events::extract(events, action)).unwrap_or_default();
    Ended { rc, result, log, error }
}

/// Asks the Proxmox API where the inventory holds credentials, else a playbook.
async fn look_up_guest(
    means: &Means,
    id: Uuid,
    node: Option<&str>,
    vm_id: &str,
    playbook: Playbook,
) -> Result<Found, Outcome> {
    let found = match direct_client(means, node) {
        Some((client, node)) => {
            let guests = client
                .guests(&node)
                .await
                .map_err(|e| Outcome::Failed(format!("the look-up of VM {vm_id} failed: {e}")))?;
            let list: Vec<Value> =
                guests.iter().map(|g| json!({"vm_id": g.vmid, "vm_name": g.name})).collect();
            look_up::find(&[Value::Array(list)], vm_id)
        }
        None => {
            let values = list_by_playbook(means, id, node, vm_id, playbook).await?;
            look_up::find(&values, vm_id)
        }
    };
    let place = node.map(|node| format!(" on node {node}")).unwrap_or_default();
    found.ok_or_else(|| Outcome::NotFound(format!("no VM has the id {vm_id}{place}")))
}

fn direct_client(means: &Means, node: Option<&str>) -> Option<(Client, String)> {
    let all = inventory::credentials(&means.settings.inventory)
        .inspect_err(|e| tracing::debug!(error = %e, "no credentials from the inventory"))
        .ok()?;
    let credentials = inventory::for_node(all, node)?;
    let node = node.map_or_else(|| credentials.node.clone(), str::to_owned);
    let client = Client::new(credentials)
        .inspect_err(|e| tracing::warn!(error = %e, "a playbook looks the VM up instead"))
        .ok()?;
    Some((client, node))
}

async fn list_by_playbook(
    means: &Means,
    id: Uuid,
    node: Option<&str>,
    vm_id: &str,
    playbook: Playbook,
) -> Result<Vec<Value>, Outcome> {
    let mut extra_vars = Map::from_iter([("proxmox_vm_action".to_owned(), json!("vm_list"))]);
    if let Some(node) = node {
        extra_vars.insert("proxmox_node".to_owned(), json!(node));
    }
    let inventory = means.settings.inventory.clone();
    let invocation = Invocation { playbook, inventory, limit: None, tags: None, extra_vars };
    let (rc, events) = run_playbook(means, id, &invocation).await?;
    if rc != Some(0) {
        let why = events::failure_line(&events, &events::log_lines(&events), rc);
        return Err(Outcome::Failed(format!("the look-up of VM {vm_id} failed: {why}")));
    }
    Ok(events::extract(&events, "vm_list"))
}

async fn run_playbook(
    means: &Means,
    id: Uuid,
    invocation: &Invocation,
) -> Result<(Option<i32>, Vec<JobEvent>), Outcome> {
    let run_id = id.to_string();
    let workdir = prepare(means, &run_id, invocation).await?;
    let job = Job {
        run_id,
        private_data_dir: workdir.path().to_owned(),
        playbook: invocation.playbook.path.clone(),
        inventory: workdir.inventory(),
        limit: invocation.limit.clone(),
        arguments: arguments(means, invocation),
    };
    let mut events = Vec::new();
    let mut keep = |read: crate::ansible::job_events::ReadEvent| events.push(read.event);
    let end = execution::execute(means.engine.as_ref(), &job, &mut keep).await;
    let end = end.map_err(|e| Outcome::Failed(e.to_string()))?;
    Ok((end.rc, events))
}

/// Copying a tree blocks, so it is done where blocking is allowed.
async fn prepare(means: &Means, run_id: &str, invocation: &Invocation) -> Result<Workdir, Outcome> {
    let env = environment(means, run_id);
    let (runs_dir, run_id, invocation) =
        (means.settings.runs_dir.clone(), run_id.to_owned(), invocation.clone());
    let made =
        tokio::task::spawn_blocking(move || Workdir::create(&runs_dir, &run_id, &invocation, &env));
    match made.await {
        Ok(Ok(workdir)) => Ok(workdir),
        Ok(Err(e @ WorkdirError::PlaybookGone(_))) => Err(Outcome::Refused(e.to_string())),
        Ok(Err(e @ WorkdirError::Io(_))) => Err(Outcome::Failed(e.to_string())),
        Err(panicked) => Err(Outcome::Failed(format!("the run directory: {panicked}"))),
    }
}

/// Arguments of ansible-playbook that ansible-runner has no option for.
fn arguments(means: &Means, invocation: &Invocation) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(file) = means.vault.file() {
        arguments.extend(["--vault-password-file".to_owned(), file.display().to_string()]);
    }
    if let Some(file) = &means.settings.vars_file {
        arguments.extend(["-e".to_owned(), format!("@{}", file.display())]);
    }
    if let Some(tags) = &invocation.tags {
        arguments.extend(["--tags".to_owned(), tags.clone()]);
    }
    arguments
}

/// What ansible-playbook gets beside the server's own environment.
fn environment(means: &Means, run_id: &str) -> Map<String, Value> {
    let settings = &means.settings;
    let inherited = |name: &str| std::env::var_os(name).is_some_and(|v| v != *OsStr::new(""));
    let own_roles = settings.local_playbooks.join("playbooks");
    let roles_path = [
        settings.roles_path.clone().unwrap_or_else(|| DEFAULT_ROLES_PATH.to_owned()),
        own_roles.join("platform_roles").display().to_string(),
        own_roles.join("roles").display().to_string(),
    ];
    let mut env = Map::from_iter([
        ("ANSIBLE_ROLES_PATH".to_owned(), json!(roles_path.join(":"))),
        ("MAX_EVENT_RES".to_owned(), json!(MAX_EVENT_RES)),
        (crate::ansible::engine::RUN_ID_VARIABLE.to_owned(), json!(run_id)),
    ]);
    // ansible-runner switches it off where nobody has said anything.
    if !inherited("ANSIBLE_HOST_KEY_CHECKING") {
        env.insert("ANSIBLE_HOST_KEY_CHECKING".to_owned(), json!("True"));
    }
    env
}
