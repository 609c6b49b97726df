//! The runs of a server, as the rest of the server sees them: start, find, list, cancel, delete.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tracing::Instrument;
use uuid::Uuid;

use crate::ansible::events;
use crate::ansible::executor::Engine;
use crate::ansible::reaper::Stop;
use crate::ansible::vault::VaultPassword;
use crate::config::Settings;
use crate::runs::context::{ActiveRuns, RunContext};
use crate::runs::log::files::{LogFiles, LogKind};
use crate::runs::phases::Phases;
use crate::runs::record::{self, HostCounts, Progress, Record};
use crate::runs::run::Commit;
use crate::runs::scheduler::QueueFull;
use crate::runs::sealing::SealingKey;
use crate::runs::spec::Step;
use crate::runs::store::sqlite::History;
use crate::runs::store::{AcceptedRun, Filter, StoredRun};
use crate::runs::{Ending, Run, RunMetrics, RunSpec, RunState, lifecycle, recovery};

/// The file of the key that seals the specifications of queued runs, in the data dir.
const KEY_FILE: &str = "secret.key";

/// How long a request waits until its run is stored.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a run was not started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The queue is full.
    #[error("the queue is full ({0} runs are waiting); nothing was started, try again later")]
    QueueFull(usize),
    /// The consumer has filled its share of the queue.
    #[error(
        "runs of consumer {0} fill half of the queue, which is the limit for one consumer; nothing \
         was started, try again later"
    )]
    ShareFull(String),
    /// The store takes no writes.
    #[error("the run cannot be stored: {0}; nothing was started, try again later")]
    NotStored(String),
    /// The server is shutting down.
    #[error("the server is shutting down; nothing was started")]
    ShuttingDown,
}

/// Why a run cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The database is locked, damaged or missing.
    #[error("the run history cannot be read: {0}")]
    History(#[from] rusqlite::Error),
    /// The log or the job events cannot be read.
    #[error("the log of the run cannot be read: {0}")]
    Log(#[from] io::Error),
}

/// A run, active or ended.
pub enum AnyRun {
    /// The run has not ended.
    Active(Arc<Run>),
    /// The run has ended.
    Ended(Box<StoredRun>),
}

/// The runs of a server.
#[derive(Clone)]
pub struct Runs {
    context: Arc<RunContext>,
}

impl Runs {
    /// Opens the data dir and settles the runs that an earlier server left unfinished.
    ///
    /// # Errors
    ///
    /// If the log folder, the history or the directory of runs cannot be opened or read.
    ///
    /// # Blocking
    ///
    /// Reads and writes files, and waits for the processes of earlier runs to end.
    pub fn open(
        settings: Arc<Settings>,
        engine: Box<dyn Engine>,
        vault: VaultPassword,
        metrics: Arc<RunMetrics>,
    ) -> io::Result<Self> {
        let logs = LogFiles::open(settings.data_dir.join("logs"))?;
        let file = settings.data_dir.join("history.sqlite3");
        let history = History::open(file, logs.clone(), &settings.limits)
            .inspect_err(|_| recovery::terminate_leftovers(&settings.runs_dir))?;
        let sealing = SealingKey::open_or_create(&settings.data_dir.join(KEY_FILE))?;
        let queued = recovery::recover(&settings, &history, &logs, &sealing)?;
        let context = RunContext::new(settings, engine, vault, logs, history, sealing, metrics);
        let runs = Self { context: Arc::new(context) };
        queued.into_iter().for_each(|(record, spec)| runs.resume(record, spec));
        Ok(runs)
    }

    /// Queues a run that an earlier server accepted, in the order in which it was accepted.
    fn resume(&self, record: Record, spec: RunSpec) {
        let context = &self.context;
        let mut active = context.active();
        let run = Arc::new(Run::new(record));
        run.set_commit(Commit::Committed);
        match self.enter(&mut active, &run, &spec) {
            Ok(()) => {
                tracing::info!(run_id = %run.id, operation = spec.operation, "requeued a run of an earlier server");
                self.spawn(run, spec);
            }
            Err(error) => {
                let record =
                    recovery::conclude_unstarted(run.snapshot().record, &format!(", and {error}"));
                tracing::warn!(run_id = %run.id, explanation = record.explanation, "run canceled");
                context.history.upsert(record, Value::Null);
            }
        }
    }

    /// Starts or queues a run in a task of its own, and returns when it is stored. If an equal run is
    /// active and the request may join it, returns that one. Dropping the future does not affect the
    /// run.
    ///
    /// # Errors
    ///
    /// If the queue is full, the store takes no write in time, or the server is shutting down.
    /// Nothing is started then.
    pub async fn start(&self, spec: RunSpec) -> Result<Arc<Run>, StartError> {
        let run = self.accept(spec)?;
        if run.committed().await {
            return Ok(run);
        }
        Err(StartError::NotStored(
            self.history_error().unwrap_or_else(|| "the history is locked".to_owned()),
        ))
    }

    fn accept(&self, spec: RunSpec) -> Result<Arc<Run>, StartError> {
        let id = Uuid::now_v7();
        let request = serde_json::to_string(&spec.request).unwrap_or_default();
        let sealed = self.context.sealing.seal(id, &spec);
        let sealed = sealed.map_err(|error| StartError::NotStored(error.to_string()))?;
        let accepted = AcceptedRun { request, spec: sealed };
        let context = &self.context;
        let mut active = context.active();
        if active.closed {
            return Err(StartError::ShuttingDown);
        }
        if let Some(run) = active.joinable.joined_by(&spec) {
            tracing::info!(run_id = %run.id, "joined an equal run");
            return Ok(run.clone());
        }
        let run = Arc::new(Run::new(new_record(id, &spec)));
        self.enter(&mut active, &run, &spec)?;
        let version = context.history.insert(run.snapshot().record, accepted);
        drop(active);
        let (runs, accepted) = (self.clone(), run.clone());
        tokio::spawn(async move {
            if runs.context.history.committed(version, COMMIT_TIMEOUT).await {
                accepted.set_commit(Commit::Committed);
                runs.spawn(accepted, spec);
            } else {
                runs.give_up(&accepted);
            }
        });
        Ok(run)
    }

    /// Enters a run into the queue and makes it joinable.
    fn enter(
        &self,
        active: &mut ActiveRuns,
        run: &Arc<Run>,
        spec: &RunSpec,
    ) -> Result<(), StartError> {
        let (consumer, claims) = (spec.consumer.clone(), spec.claims.clone());
        let is_admitted =
            active.queue.enter(run.id, consumer, claims).map_err(|full| match full {
                QueueFull::Total => StartError::QueueFull(active.queue.waiting()),
                QueueFull::Share => {
                    StartError::ShareFull(spec.consumer.clone().unwrap_or_default())
                }
            })?;
        active.by_id.insert(run.id, run.clone());
        active.joinable.add(run, spec);
        let admitted: &[Uuid] = if is_admitted { &[run.id] } else { &[] };
        self.context.start_admitted(active, admitted);
        Ok(())
    }

    fn spawn(&self, run: Arc<Run>, spec: RunSpec) {
        let span = tracing::info_span!("run", run_id = %run.id, operation = spec.operation);
        tokio::spawn(lifecycle::drive(self.context.clone(), run, spec).instrument(span));
    }

    /// Gives a run up that the store did not take. Nothing of it was started.
    fn give_up(&self, run: &Run) {
        let mut active = self.context.active();
        self.context.history.delete(run.id);
        self.context.remove(&mut active, run.id);
        run.set_commit(Commit::Refused);
    }

    /// Finds a run.
    ///
    /// # Errors
    ///
    /// If the history cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the database, unless the run is active.
    pub fn find(&self, id: Uuid) -> Result<Option<AnyRun>, ReadError> {
        if let Some(run) = self.find_active(id) {
            return Ok(Some(AnyRun::Active(run)));
        }
        Ok(self.context.history.get(id)?.map(|stored| AnyRun::Ended(Box::new(stored))))
    }

    fn find_active(&self, id: Uuid) -> Option<Arc<Run>> {
        self.context.active().by_id.get(&id).cloned()
    }

    /// Lists the newest runs that match `filter`, at most `count`, and says whether there are more.
    ///
    /// # Errors
    ///
    /// If the history cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the database.
    pub fn list(&self, filter: &Filter, count: usize) -> Result<(Vec<Record>, bool), ReadError> {
        let active =
            self.context.active().by_id.values().map(|run| run.snapshot().record).collect();
        Ok(self.context.history.list(filter, count, active)?)
    }

    /// Cancels a run. Returns `None` if it is not active.
    pub fn cancel(&self, id: Uuid) -> Option<Arc<Run>> {
        let run = self.find_active(id)?;
        self.context.request_end(&run, Ending::Asked, Stop::Gently).then_some(run)
    }

    /// Deletes a run that has ended. Returns false if it has not.
    pub fn delete(&self, id: Uuid) -> bool {
        let active = self.context.active();
        let ended = !active.by_id.contains_key(&id);
        if ended {
            self.context.history.delete(id);
        }
        ended
    }

    /// The log files of all runs.
    pub fn logs(&self) -> &LogFiles {
        &self.context.logs
    }

    /// Reads the log of a run from line `from` on, without ANSI escapes.
    ///
    /// # Errors
    ///
    /// If the log file cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the log file.
    pub fn log(&self, record: &Record, from: u64) -> Result<Vec<String>, ReadError> {
        let logs = &self.context.logs;
        let offset = logs.find(record.id, LogKind::Log, from)?;
        let page = logs.read(record.id, LogKind::Log, offset, record.log_lines, usize::MAX)?;
        Ok(events::clean_lines(&page.lines))
    }

    /// Why the last write to the history failed, if it did.
    pub fn history_error(&self) -> Option<String> {
        self.context.history.write_error()
    }

    /// Whether new runs are rejected because the server is shutting down.
    pub fn is_closed(&self) -> bool {
        self.context.active().closed
    }

    /// Updates the gauges of the active runs and of the engine.
    pub fn update_metrics(&self) {
        let states: Vec<RunState> =
            self.context.active().by_id.values().map(|run| run.state()).collect();
        self.context.metrics.set_active(&states);
        self.context.metrics.set_engine(self.context.engine.active_name());
    }

    /// Describes the engine that starts playbooks, and its condition.
    pub fn engine(&self) -> String {
        self.context.engine.describe()
    }

    /// Shuts the engine down. No run may be started after that.
    pub async fn close_engine(&self) {
        self.context.engine.close().await;
    }

    /// Rejects new runs. Queued runs that a client waits for are canceled, so that the client can
    /// send the request again. The others stay queued, and begin with the next server.
    pub fn close(&self) {
        let mut active = self.context.active();
        active.closed = true;
        active.queue.close();
        let queued: Vec<Arc<Run>> = active.by_id.values().cloned().collect();
        for run in queued.into_iter().filter(|run| run.state() == RunState::Queued) {
            if run.keep_queued() {
                tracing::info!(run_id = %run.id, "the run stays queued for the next server");
                self.context.remove(&mut active, run.id);
            } else {
                self.context.request_end_locked(&active, &run, Ending::Shutdown, Stop::Gently);
            }
        }
    }

    /// Cancels all runs because the server is shutting down.
    pub fn cancel_all(&self, stop: Stop) {
        let active = self.context.active();
        for run in active.by_id.values() {
            self.context.request_end_locked(&active, run, Ending::Shutdown, stop);
        }
    }

    /// Waits until no run is active.
    pub async fn wait_until_idle(&self) {
        self.context.wait_until_idle().await;
    }

    /// Waits until the history is written, for at most `timeout`.
    pub async fn flush_history(&self, timeout: Duration) {
        self.context.history.flush(timeout).await;
    }
}

/// The record of a run that has just been accepted.
fn new_record(id: Uuid, spec: &RunSpec) -> Record {
    let steps = &spec.steps;
    let playbooks = steps.iter().filter(|step| matches!(step, Step::Playbook { .. })).count();
    Record {
        id,
        operation: spec.operation.clone(),
        node: spec.node.clone(),
        guests: spec.guests.clone(),
        consumer: spec.consumer.clone(),
        state: RunState::Queued,
        explanation: "The run was accepted.".to_owned(),
        queue: None,
        created: record::now(),
        started: None,
        ended: None,
        rc: None,
        error: None,
        hosts: HostCounts::default(),
        progress: Progress { playbooks, ..Progress::default() },
        phases: Phases::default(),
        log_lines: 0,
        job_events: 0,
        log_gap: None,
        ending: None,
        action: spec.action.clone(),
    }
}
