//! Executes a plan step by step: looks the guest up, runs the playbooks, and decides what
//! ansible-runner is given.

use std::ffi::OsStr;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::ansible::execution;
use crate::ansible::execution::{End, EventSink};
use crate::ansible::executor::Job;
use crate::ansible::job_events::ReadEvent;
use crate::ansible::playbooks::{self, Playbook, PlaybookRef};
use crate::ansible::private_data_dir::{Invocation, PrivateDataDir, PrivateDataDirError};
use crate::ansible::reaper;
use crate::ansible::reaper::Stop;
use crate::inventory;
use crate::proxmox::client::Client;
use crate::runs::context::RunContext;
use crate::runs::look_up;
use crate::runs::look_up::Guest;
use crate::runs::phases::{Phase, Stopwatch};
use crate::runs::recorder::{PlaybookReport, Recorder};
use crate::runs::recovery;
use crate::runs::spec::{RunSpec, Step};
use crate::runs::{Outcome, Run, RunResult};

/// The most characters of a task result that ansible-runner passes on. Its default is 700,000
/// (ansible-runner 2.4, `MAX_EVENT_RES`); a long list of guests exceeds that, and would come back
/// empty with exit code 0.
const MAX_EVENT_RES: &str = "1000000000";

/// Ansible's default of `DEFAULT_ROLES_PATH` (ansible-core 2.19), which our roles are appended to.
const DEFAULT_ROLES_PATH: &str = "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles";

/// Executes the steps of `spec` until one fails or the end of the run is requested.
pub(super) async fn execute(
    context: &RunContext,
    run: &Run,
    spec: RunSpec,
    recorder: Recorder,
) -> Outcome {
    let stopwatch = Stopwatch::start(Phase::Prepare);
    let mut worker = Worker { context, run, stop: run.stop(), recorder: Some(recorder), stopwatch };
    let outcome = worker.execute_steps(spec).await;
    run.set_phases(&mut worker.stopwatch);
    outcome
}

fn run_result(End { rc, reported }: End, report: PlaybookReport) -> RunResult {
    let error = (rc != Some(0)).then(|| report.failure.line(rc));
    RunResult { rc, result: report.values, log_from: report.log_from, error, reported }
}

/// The execution of one run.
struct Worker<'a> {
    context: &'a RunContext,
    run: &'a Run,
    stop: watch::Receiver<Stop>,
    /// `None` only while it records events, which happens on a blocking thread.
    recorder: Option<Recorder>,
    stopwatch: Stopwatch,
}

impl EventSink for Worker<'_> {
    fn receive(&mut self, events: Vec<ReadEvent>) -> BoxFuture<'_, ()> {
        async move {
            if self.stopwatch.phase() == Phase::Start {
                self.stopwatch.enter(Phase::Play);
            }
            let Some(mut recorder) = self.recorder.take() else { return };
            let span = tracing::Span::current();
            let recording = tokio::task::spawn_blocking(move || {
                span.in_scope(|| recorder.record(events));
                recorder
            });
            match recording.await {
                Ok(recorder) => {
                    if recorder.recorded().has_recap {
                        self.stopwatch.enter(Phase::End);
                    }
                    self.run.update(recorder.recorded());
                    self.recorder = Some(recorder);
                }
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        .boxed()
    }
}

impl Worker<'_> {
    /// Executes the steps until one fails or the end of the run is requested.
    async fn execute_steps(&mut self, spec: RunSpec) -> Outcome {
        let RunSpec { action, node, steps, secrets, .. } = spec;
        let mut found: Option<Guest> = None;
        let mut last = RunResult { rc: Some(0), reported: true, ..RunResult::default() };
        // Whether a playbook has run, which may have changed something.
        let mut has_run = false;
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::LookUp { vm_id, playbook, name_wanted } => {
                    match self.look_up_guest(node.as_deref(), &vm_id, playbook).await {
                        Ok(guest) => {
                            last.result = vec![guest.as_list_item()];
                            found = Some(guest).filter(|_| name_wanted);
                        }
                        Err(outcome) => return outcome,
                    }
                }
                Step::Playbook { playbook, limit, tags, mut extra_vars } => {
                    secrets.reveal_in(index, &mut extra_vars);
                    if let Some(guest) = found.take() {
                        extra_vars.insert("vm_name".to_owned(), guest.name);
                    }
                    let playbook = match self.find(playbook).await {
                        Ok(playbook) => playbook,
                        Err(outcome) => return after(has_run, outcome),
                    };
                    let inventory = self.context.settings.inventory.clone();
                    let invocation = Invocation { playbook, inventory, limit, tags, extra_vars };
                    match self.run_playbook(&invocation, action.clone()).await {
                        Ok((end, report)) => last = run_result(end, report),
                        Err(outcome) => return after(has_run, outcome),
                    }
                    has_run = true;
                    if last.rc != Some(0) {
                        break;
                    }
                }
            }
        }
        Outcome::Finished(last)
    }

    /// Finds a playbook on this machine.
    async fn find(&self, playbook: PlaybookRef) -> Result<Playbook, Outcome> {
        let settings = self.context.settings.clone();
        let found =
            tokio::task::spawn_blocking(move || playbooks::find(&settings, &playbook)).await;
        let found = found.map_err(|panicked| Outcome::Failed(panicked.to_string()))?;
        found.map_err(|error| Outcome::Refused(error.to_string()))
    }

    /// Looks a guest up in the Proxmox API if the inventory has credentials for it, else with a
    /// playbook.
    async fn look_up_guest(
        &mut self,
        node: Option<&str>,
        vm_id: &str,
        playbook: PlaybookRef,
    ) -> Result<Guest, Outcome> {
        self.stopwatch.enter(Phase::LookUp);
        let guest = match direct_client(self.context, node) {
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
        let on_node = node.map(|node| format!(" on node {node}")).unwrap_or_default();
        guest.ok_or_else(|| Outcome::NotFound(format!("no VM has the id {vm_id}{on_node}")))
    }

    async fn list_by_playbook(
        &mut self,
        node: Option<&str>,
        vm_id: &str,
        playbook: PlaybookRef,
    ) -> Result<Vec<Value>, Outcome> {
        let playbook = self.find(playbook).await?;
        let mut extra_vars = Map::from_iter([("proxmox_vm_action".to_owned(), json!("vm_list"))]);
        if let Some(node) = node {
            extra_vars.insert("proxmox_node".to_owned(), json!(node));
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.add_playbook();
        }
        let inventory = self.context.settings.inventory.clone();
        let invocation = Invocation { playbook, inventory, limit: None, tags: None, extra_vars };
        let (end, report) = self.run_playbook(&invocation, Some("vm_list".to_owned())).await?;
        if end.rc != Some(0) {
            let why = report.failure.line(end.rc);
            return Err(Outcome::Failed(format!("the look-up of VM {vm_id} failed: {why}")));
        }
        Ok(report.values)
    }

    async fn run_playbook(
        &mut self,
        invocation: &Invocation,
        action: Option<String>,
    ) -> Result<(End, PlaybookReport), Outcome> {
        self.stopwatch.enter(Phase::Prepare);
        self.begin_playbook(action);
        let run_id = self.run.id.to_string();
        let workdir = prepare(self.context, self.run, invocation).await?;
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
            arguments: arguments(self.context, invocation),
        };
        let (context, stop) = (self.context, self.stop.clone());
        self.stopwatch.enter(Phase::Start);
        let end = execution::execute(context.engine.as_ref(), &job, self, &stop).await;
        self.stopwatch.enter(Phase::CleanUp);
        remove(workdir).await;
        let report = self.recorder.as_mut().map(Recorder::end_playbook).unwrap_or_default();
        match end {
            Ok(end) => Ok((end, report)),
            Err(e) if e.is_ambiguous() => Err(Outcome::Unknown(e.to_string())),
            Err(e) => Err(Outcome::Failed(e.to_string())),
        }
    }

    /// Records which playbook is next. After a kill, recovery reads that from the directory of the
    /// run, so nothing waits for the history.
    fn begin_playbook(&mut self, action: Option<String>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.begin_playbook(action);
            self.run.update(recorder.recorded());
        }
        self.context.upsert(self.run);
    }
}

/// The outcome of a step. A run of which a playbook `has_run` is not refused: it has failed.
fn after(has_run: bool, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Refused(reason) if has_run => Outcome::Failed(reason),
        outcome => outcome,
    }
}

/// The outcome of a run that was stopped between two playbooks. The reason is added at its end.
fn stopped() -> Outcome {
    Outcome::Finished(RunResult::default())
}

/// Removes the private data dir on a blocking thread, even if this future is dropped.
async fn remove(workdir: PrivateDataDir) {
    let _ = tokio::task::spawn_blocking(move || drop(workdir)).await;
}

/// Returns a client of the Proxmox API and the node, if the inventory has plain credentials.
fn direct_client(context: &RunContext, node: Option<&str>) -> Option<(Client, String)> {
    let all = inventory::credentials(&context.settings.inventory)
        .inspect_err(|e| {
            tracing::debug!(error = e.to_string(), "the inventory has no usable credentials")
        })
        .ok()?;
    let credentials = inventory::for_node(all, node)?;
    let node = node.map_or_else(|| credentials.node.clone(), str::to_owned);
    let client = Client::new(credentials)
        .inspect_err(|e| {
            tracing::warn!(
                error = e.to_string(),
                "cannot use the Proxmox API, looking the VM up with a playbook"
            )
        })
        .ok()?;
    Some((client, node))
}

/// Creates the private data dir on a blocking thread.
async fn prepare(
    context: &RunContext,
    run: &Run,
    invocation: &Invocation,
) -> Result<PrivateDataDir, Outcome> {
    let run_id = run.id.to_string();
    let env = environment(context, &run_id);
    let (runs_dir, invocation, record) =
        (context.settings.runs_dir.clone(), invocation.clone(), run.snapshot().record);
    let made = tokio::task::spawn_blocking(move || {
        let workdir = PrivateDataDir::create(&runs_dir, &run_id, &invocation, &env)?;
        recovery::write_run_record(workdir.path(), &record)?;
        Ok(workdir)
    });
    match made.await {
        Ok(Ok(workdir)) => Ok(workdir),
        Ok(Err(e @ PrivateDataDirError::PlaybookGone(_))) => Err(Outcome::Refused(e.to_string())),
        Ok(Err(e @ PrivateDataDirError::Io(_))) => Err(Outcome::Failed(e.to_string())),
        Err(panicked) => {
            Err(Outcome::Failed(format!("cannot create the run directory: {panicked}")))
        }
    }
}

/// Returns the arguments of ansible-playbook for which ansible-runner has no option.
fn arguments(context: &RunContext, invocation: &Invocation) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(file) = context.vault.file() {
        arguments.extend(["--vault-password-file".to_owned(), file.display().to_string()]);
    }
    if let Some(file) = &context.settings.vars_file {
        arguments.extend(["-e".to_owned(), format!("@{}", file.display())]);
    }
    if let Some(tags) = &invocation.tags {
        arguments.extend(["--tags".to_owned(), tags.clone()]);
    }
    arguments
}

/// Returns the environment of ansible-playbook, in addition to the server's own.
fn environment(context: &RunContext, run_id: &str) -> Map<String, Value> {
    let settings = &context.settings;
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
    // ansible-runner disables host key checking unless the variable is set.
    if !inherited("ANSIBLE_HOST_KEY_CHECKING") {
        env.insert("ANSIBLE_HOST_KEY_CHECKING".to_owned(), json!("True"));
    }
    env
}
