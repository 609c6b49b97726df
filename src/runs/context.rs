//! What the runs of a server share: its settings, engine and stores, and the runs that are active.
//!
//! A run is active from its acceptance to its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::ansible::executor::Engine;
use crate::ansible::reaper::Stop;
use crate::ansible::vault::VaultPassword;
use crate::config::Settings;
use crate::runs::joining::JoinableRuns;
use crate::runs::log::files::LogFiles;
use crate::runs::scheduler::Queue;
use crate::runs::sealing::SealingKey;
use crate::runs::store::sqlite::History;
use crate::runs::{Ending, Run, RunMetrics};

/// What the runs of a server share.
pub(super) struct RunContext {
    pub(super) settings: Arc<Settings>,
    pub(super) engine: Box<dyn Engine>,
    pub(super) vault: VaultPassword,
    pub(super) logs: LogFiles,
    pub(super) history: History,
    /// Seals the specifications of queued runs.
    pub(super) sealing: SealingKey,
    pub(super) metrics: Arc<RunMetrics>,
    active: Mutex<ActiveRuns>,
    active_count: watch::Sender<usize>,
}

/// The active runs and their queue. One lock covers both, so that a run that has ended is never
/// seen in the queue.
pub(super) struct ActiveRuns {
    pub(super) queue: Queue,
    pub(super) by_id: HashMap<Uuid, Arc<Run>>,
    pub(super) joinable: JoinableRuns,
    /// Whether new runs are rejected because the server is shutting down.
    pub(super) closed: bool,
}

impl RunContext {
    pub(super) fn new(
        settings: Arc<Settings>,
        engine: Box<dyn Engine>,
        vault: VaultPassword,
        logs: LogFiles,
        history: History,
        sealing: SealingKey,
        metrics: Arc<RunMetrics>,
    ) -> Self {
        let active = Mutex::new(ActiveRuns {
            queue: Queue::new(settings.limits.runs, settings.limits.queue),
            by_id: HashMap::new(),
            joinable: JoinableRuns::default(),
            closed: false,
        });
        let active_count = watch::Sender::new(0);
        Self { settings, engine, vault, logs, history, sealing, metrics, active, active_count }
    }

    /// Locks the active runs.
    pub(super) fn active(&self) -> MutexGuard<'_, ActiveRuns> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a run that has ended, or that is given up, and starts the runs that can start now.
    pub(super) fn remove(&self, active: &mut ActiveRuns, id: Uuid) {
        active.by_id.remove(&id);
        active.joinable.remove(id);
        let admitted = active.queue.leave(id);
        self.start_admitted(active, &admitted);
    }

    /// Requests the end of a run, and stores the request for recovery after a kill. Returns false if
    /// the run has already ended.
    pub(super) fn request_end(&self, run: &Run, ending: Ending, stop: Stop) -> bool {
        let active = self.active();
        self.request_end_locked(&active, run, ending, stop)
    }

    pub(super) fn request_end_locked(
        &self,
        active: &ActiveRuns,
        run: &Run,
        ending: Ending,
        stop: Stop,
    ) -> bool {
        let is_active = run.request_end(ending, stop);
        if is_active {
            self.upsert_locked(active, run);
        }
        is_active
    }

    /// Stores the present state of an active run.
    pub(super) fn upsert(&self, run: &Run) {
        self.upsert_locked(&self.active(), run);
    }

    /// The lock keeps versions in order: without it, an older version could overwrite a newer one,
    /// or the end of the run with its result.
    pub(super) fn upsert_locked(&self, _: &ActiveRuns, run: &Run) {
        self.history.upsert(run.snapshot().record, Value::Null);
    }

    /// Starts the `admitted` runs, and updates the queue positions of those that wait.
    pub(super) fn start_admitted(&self, active: &ActiveRuns, admitted: &[Uuid]) {
        let runs = admitted.iter().filter_map(|id| active.by_id.get(id));
        runs.for_each(|run| run.admitted.notify_one());
        for (id, position) in active.queue.positions() {
            if let Some(run) = active.by_id.get(&id) {
                run.set_queue_position(&position);
            }
        }
        self.metrics.queue_length.set(i64::try_from(active.queue.waiting()).unwrap_or(i64::MAX));
        self.active_count.send_replace(active.by_id.len());
    }

    /// Waits until no run is active.
    pub(super) async fn wait_until_idle(&self) {
        let mut count = self.active_count.subscribe();
        let _ = count.wait_for(|count| *count == 0).await;
    }
}
