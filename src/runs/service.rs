//! The runs of a server, as the rest of the server sees them: start, find, list, cancel, delete.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::Instrument;
use uuid::Uuid;

use crate::ansible::events;
use crate::ansible::executor::Engine;
use crate::ansible::reaper::Stop;
use crate::ansible::vault::VaultPassword;
use crate::config::Settings;
use crate::runs::context::RunContext;
use crate::runs::log::files::{LogFiles, LogKind};
use crate::runs::phases::Phases;
use crate::runs::record::{self, HostCounts, Progress, Record};
use crate::runs::scheduler::QueueFull;
use crate::runs::spec::Step;
use crate::runs::store::sqlite::History;
use crate::runs::store::{Filter, StoredRun};
use crate::runs::{Ending, Run, RunMetrics, RunSpec, RunState, lifecycle, recovery};

/// Why a run was not started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The queue is full.
    #[error("the queue is full, {0} waiting; nothing was started, try again later")]
    QueueFull(usize),
    /// The consumer has filled its share of the queue.
    #[error(
        "runs of consumer {0} fill half of the queue, which is the limit for one consumer; nothing \
         was started, try again later"
    )]
    ShareFull(String),
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
        recovery::recover(&settings, &history, &logs)?;
        let context = RunContext::new(settings, engine, vault, logs, history, metrics);
        Ok(Self { context: Arc::new(context) })
    }

    /// Starts or queues a run in a task of its own. If an equal run is active and the request may
    /// join it, returns that one.
    ///
    /// # Errors
    ///
    /// If the queue is full or the server is shutting down.
    pub fn start(&self, spec: RunSpec) -> Result<Arc<Run>, StartError> {
        let context = &self.context;
        let mut active = context.active();
        if active.closed {
            return Err(StartError::ShuttingDown);
        }
        if let Some(run) = active.joinable.joined_by(&spec) {
            tracing::info!(run_id = %run.id, "joined an equal run");
            return Ok(run.clone());
        }
        let id = Uuid::now_v7();
        let entered = active.queue.enter(id, spec.consumer.clone(), spec.claims.clone());
        let is_admitted = entered.map_err(|full| match full {
            QueueFull::Total => StartError::QueueFull(active.queue.waiting()),
            QueueFull::Share => StartError::ShareFull(spec.consumer.clone().unwrap_or_default()),
        })?;
        let run = Arc::new(Run::new(new_record(id, &spec)));
        active.by_id.insert(id, run.clone());
        active.joinable.add(&run, &spec);
        let admitted: &[Uuid] = if is_admitted { &[id] } else { &[] };
        context.start_admitted(&active, admitted);
        context.upsert_locked(&active, &run);
        drop(active);
        let span = tracing::info_span!("run", run_id = %id, operation = spec.operation);
        tokio::spawn(lifecycle::drive(context.clone(), run.clone(), spec).instrument(span));
        Ok(run)
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

    /// Rejects new runs and cancels those that are queued.
    pub fn close(&self) {
        let mut active = self.context.active();
        active.closed = true;
        for run in active.by_id.values() {
            if run.state() == RunState::Queued {
                self.context.request_end_locked(&active, run, Ending::Shutdown, Stop::Gently);
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
