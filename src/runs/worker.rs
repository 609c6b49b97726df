//! Doing what a plan says, step by step.

use std::ffi::OsStr;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::ansible::execution;
use crate::ansible::execution::{End, EventSink};
use crate::ansible::executor::Job;
use crate::ansible::job_events::ReadEvent;
use crate::ansible::playbooks::Playbook;
use crate::ansible::private_data_dir::{Invocation, Workdir, WorkdirError};
use crate::ansible::reaper;
use crate::ansible::reaper::Stop;
use crate::inventory;
use crate::proxmox::client::Client;
use crate::runs::look_up;
use crate::runs::look_up::Found;
use crate::runs::phases::{Phase, Stopwatch};
use crate::runs::recorder::{Recorder, Report};
use crate::runs::recovery;
use crate::runs::{Ended, Means, Outcome, Plan, Run, Step};

/// The longest default of a result, in characters, that ansible-runner keeps is 700,000; a
/// long list of guests is longer, and would come back empty with an exit code of 0.
const MAX_EVENT_RES: &str = "1000000000";

/// The default of Ansible's own setting, which ours comes after.
const DEFAULT_ROLES_PATH: &str = "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles";

/// How long a playbook waits for the history to say that it is next.
const HISTORY_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Performs all steps of `plan`, or as many as there are before the run is to be ended.
pub(super) async fn perform(means: &Means, run: &Run, plan: Plan, recorder: Recorder) -> Outcome {
    let watch = Stopwatch::start(Phase::Prepare);
    let mut work = Work { means, run, stop: run.stop(), recorder: Some(recorder), watch };
    let outcome = work.all_steps(plan).await;
    run.measured(&mut work.watch);
    outcome
}

fn ended(End { rc, reported }: End, report: Report) -> Ended {
    let error = (rc != Some(0)).then(|| report.failure.line(rc));
    Ended { rc, result: report.values, log_from: report.log_from, error, reported }
}

/// A run at work.
struct Work<'a> {
    means: &'a Means,
    run: &'a Run,
    stop: watch::Receiver<Stop>,
    /// Away only while it takes events, on a thread that may block.
    recorder: Option<Recorder>,
    watch: Stopwatch,
}

impl EventSink for Work<'_> {
    fn receive(&mut self, events: Vec<ReadEvent>) -> BoxFuture<'_, ()> {
        async move {
            if self.watch.phase() == Phase::Start {
                self.watch.enter(Phase::Play);
            }
            let Some(mut recorder) = self.recorder.take() else { return };
            let span = tracing::Span::current();
            let taken = tokio::task::spawn_blocking(move || {
                span.in_scope(|| recorder.take(events));
                recorder
            });
            match taken.await {
                Ok(recorder) => {
                    if recorder.seen().recap {
                        self.watch.enter(Phase::End);
                    }
                    self.run.progress(recorder.seen());
                    self.recorder = Some(recorder);
                }
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        .boxed()
    }
}

impl Work<'_> {
    /// Performs the steps, as many as there are before one fails or the run is to be ended.
    async fn all_steps(&mut self, plan: Plan) -> Outcome {
        let (action, node) = (plan.action, plan.node);
        let mut found: Option<Found> = None;
        let mut last = Ended { rc: Some(0), reported: true, ..Ended::default() };
        for step in plan.steps {
            match step {
                Step::LookUp { vm_id, playbook, name_wanted } => {
                    match self.look_up_guest(node.as_deref(), &vm_id, playbook).await {
                        Ok(guest) => {
                            last.result = vec![guest.listed()];
                            found = Some(guest).filter(|_| name_wanted);
                        }
                        Err(outcome) => return outcome,
                    }
                }
                Step::Playbook { playbook, limit, tags, mut extra_vars } => {
                    if let Some(guest) = found.take() {
                        extra_vars.insert("vm_name".to_owned(), guest.name);
                    }
                    let inventory = self.means.settings.inventory.clone();
                    let invocation = Invocation { playbook, inventory, limit, tags, extra_vars };
                    match self.run_playbook(&invocation, action).await {
                        Ok((end, report)) => last = ended(end, report),
                        Err(outcome) => return outcome,
                    }
                    if last.rc != Some(0) {
                        break;
                    }
                }
            }
        }
        Outcome::Ended(last)
    }

    /// Asks the Proxmox API where the inventory holds credentials, else a playbook.
    async fn look_up_guest(
        &mut self,
        node: Option<&str>,
        vm_id: &str,
        playbook: Playbook,
    ) -> Result<Found, Outcome> {
        self.watch.enter(Phase::LookUp);
        let found = match direct_client(self.means, node) {
            Some((client, node)) => {
                let guests = tokio::select! {
                    guests = client.guests(&node) => guests,
                    () = reaper::stop_requested(&self.stop) => return Err(stopped()),
                };
                let guests = guests.map_err(|e| {
                    Outcome::Failed(format!("the look-up of VM {vm_id} failed: {e}"))
                })?;
                let list: Vec<Value> =
                    guests.iter().map(|g| json!({"vm_id": g.vmid, "vm_name": g.name})).collect();
                look_up::find(&[Value::Array(list)], vm_id)
            }
            None => {
                let values = self.list_by_playbook(node, vm_id, playbook).await?;
                look_up::find(&values, vm_id)
            }
        };
        let place = node.map(|node| format!(" on node {node}")).unwrap_or_default();
        found.ok_or_else(|| Outcome::NotFound(format!("no VM has the id {vm_id}{place}")))
    }

    async fn list_by_playbook(
        &mut self,
        node: Option<&str>,
        vm_id: &str,
        playbook: Playbook,
    ) -> Result<Vec<Value>, Outcome> {
        let mut extra_vars = Map::from_iter([("proxmox_vm_action".to_owned(), json!("vm_list"))]);
        if let Some(node) = node {
            extra_vars.insert("proxmox_node".to_owned(), json!(node));
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.one_more_playbook();
        }
        let inventory = self.means.settings.inventory.clone();
        let invocation = Invocation { playbook, inventory, limit: None, tags: None, extra_vars };
        let (end, report) = self.run_playbook(&invocation, Some("vm_list")).await?;
        if end.rc != Some(0) {
            let why = report.failure.line(end.rc);
            return Err(Outcome::Failed(format!("the look-up of VM {vm_id} failed: {why}")));
        }
        Ok(report.values)
    }

    async fn run_playbook(
        &mut self,
        invocation: &Invocation,
        action: Option<&'static str>,
    ) -> Result<(End, Report), Outcome> {
        self.watch.enter(Phase::Prepare);
        self.begin_playbook(action).await;
        let run_id = self.run.id.to_string();
        let workdir = prepare(self.means, self.run, invocation).await?;
        if *self.stop.borrow() != Stop::No {
            remove(workdir).await;
            return Err(stopped());
        }
        let job = Job {
            run_id,
            private_data_dir: workdir.path().to_owned(),
            playbook: invocation.playbook.path.clone(),
            inventory: workdir.inventory(),
            limit: invocation.limit.clone(),
            arguments: arguments(self.means, invocation),
        };
        let (means, stop) = (self.means, self.stop.clone());
        self.watch.enter(Phase::Start);
        let end = execution::execute(means.engine.as_ref(), &job, self, &stop).await;
        self.watch.enter(Phase::CleanUp);
        remove(workdir).await;
        let report = self.recorder.as_mut().map(Recorder::end_playbook).unwrap_or_default();
        match end {
            Ok(end) => Ok((end, report)),
            Err(e) if e.is_ambiguous() => Err(Outcome::Unclear(e.to_string())),
            Err(e) => Err(Outcome::Failed(e.to_string())),
        }
    }

    /// The history must know which playbook is next, for a server that has to find out how
    /// it ended.
    async fn begin_playbook(&mut self, action: Option<&'static str>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.begin_playbook(action.map(str::to_owned));
            self.run.progress(recorder.seen());
        }
        self.means.keep(self.run);
        self.means.history.written(HISTORY_PATIENCE).await;
    }
}

/// What a run answers that was ended between two playbooks; its end adds the reason.
fn stopped() -> Outcome {
    Outcome::Ended(Ended::default())
}

/// Removing a tree blocks too. Should the task be dropped before, the dir goes all the same.
async fn remove(workdir: Workdir) {
    let _ = tokio::task::spawn_blocking(move || drop(workdir)).await;
}

fn direct_client(means: &Means, node: Option<&str>) -> Option<(Client, String)> {
    let all = inventory::credentials(&means.settings.inventory)
        .inspect_err(|e| {
            tracing::debug!(error = e.to_string(), "no credentials from the inventory")
        })
        .ok()?;
    let credentials = inventory::for_node(all, node)?;
    let node = node.map_or_else(|| credentials.node.clone(), str::to_owned);
    let client = Client::new(credentials)
        .inspect_err(|e| {
            tracing::warn!(error = e.to_string(), "a playbook looks the VM up instead")
        })
        .ok()?;
    Some((client, node))
}

/// Copying a tree blocks, so it is done where blocking is allowed.
async fn prepare(means: &Means, run: &Run, invocation: &Invocation) -> Result<Workdir, Outcome> {
    let run_id = run.id.to_string();
    let env = environment(means, &run_id);
    let (runs_dir, invocation, record) =
        (means.settings.runs_dir.clone(), invocation.clone(), run.view().record);
    let made = tokio::task::spawn_blocking(move || {
        let workdir = Workdir::create(&runs_dir, &run_id, &invocation, &env)?;
        recovery::leave_word(workdir.path(), &record)?;
        Ok(workdir)
    });
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
        (crate::ansible::executor::RUN_ID_VARIABLE.to_owned(), json!(run_id)),
    ]);
    // ansible-runner switches it off where nobody has said anything.
    if !inherited("ANSIBLE_HOST_KEY_CHECKING") {
        env.insert("ANSIBLE_HOST_KEY_CHECKING".to_owned(), json!("True"));
    }
    env
}
