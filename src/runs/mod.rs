//! The life of a run: from a plan to an outcome, whatever becomes of the client.
//!
//! A run is accepted, waits for its turn in the [`queue`], and is then at work in a task of
//! its own (`life`, `work`). What it prints is kept by a `recorder` in its [`journal`],
//! what is known of it in the [`history`]; `recovery` settles what a killed server left.

pub mod claims;
mod lifecycle;
pub mod log;
pub mod look_up;
mod metrics;
pub mod phases;
pub mod record;
mod recorder;
mod recovery;
mod run;
pub mod scheduler;
mod secrets;
pub mod spec;
pub mod state;
pub mod store;
mod worker;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::sync::watch;
use tracing::Instrument;
use uuid::Uuid;

use crate::ansible::events;
use crate::ansible::executor::Engine;
use crate::ansible::reaper::Stop;
use crate::ansible::vault::VaultPassword;
use crate::config::Settings;
use crate::runs::claims::{Claim, Claimed};
use crate::runs::log::files::{Journals, Part};
pub use crate::runs::metrics::RunMetrics;
use crate::runs::phases::Phases;
use crate::runs::record::{HostCounts, Place, Progress, Record};
pub use crate::runs::run::{Run, View};
use crate::runs::scheduler::{Queue, QueueFull};
pub use crate::runs::spec::{Asked, Plan, Step};
pub use crate::runs::state::{Ending, State};
use crate::runs::store::sqlite::{Filter, History, Kept};

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its playbooks ran, or were ended while they did.
    Ended(Ended),
    /// What it was to work on does not exist.
    NotFound(String),
    /// It could not be begun as the server is set up; nothing was started.
    Refused(String),
    /// It failed without a result.
    Failed(String),
    /// It cannot be told how it ended.
    Unclear(String),
}

/// What a run reported.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// The exit code of ansible-playbook; none where a signal ended it.
    pub rc: Option<i32>,
    /// The values reported under the plan's action.
    pub result: Vec<Value>,
    /// The number of the line that the log of the last playbook begins with.
    pub log_from: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// False where nobody reported how the playbook ended.
    pub reported: bool,
}

/// Why a run was not accepted.
#[derive(Debug, Error)]
pub enum NotAccepted {
    /// As many runs wait as may.
    #[error("{0} runs are waiting already, which is the limit; nothing was started")]
    QueueFull(usize),
    /// As many runs of one consumer wait as may.
    #[error("half of the queue is taken by runs of {0} already; nothing was started")]
    ShareTaken(String),
    /// The server ends.
    #[error("the server is shutting down; nothing was started")]
    Ending,
}

/// Why a run cannot be shown.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The database is locked, damaged or gone.
    #[error("the run history cannot be read: {0}")]
    History(#[from] rusqlite::Error),
    /// The log or the job events cannot be read.
    #[error("the log of the run cannot be read: {0}")]
    Journal(#[from] io::Error),
}

/// A run as it is found by its id.
pub enum Found {
    /// It has not ended.
    Live(Arc<Run>),
    /// It has.
    Past(Box<Kept>),
}

/// The runs of a server.
#[derive(Clone)]
pub struct Runs {
    inner: Arc<Means>,
}

/// What every run needs.
pub(crate) struct Means {
    pub(crate) settings: Arc<Settings>,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) vault: VaultPassword,
    pub(crate) journals: Journals,
    pub(crate) history: History,
    pub(crate) metrics: Arc<RunMetrics>,
    live: Mutex<Live>,
    /// How many runs have not ended.
    count: watch::Sender<usize>,
}

/// The runs that have not ended. One lock holds all of it, so that nobody sees a run that has
/// ended and still holds its place.
struct Live {
    queue: Queue,
    runs: HashMap<Uuid, Arc<Run>>,
    /// Runs that another request of the same kind joins, by what makes them the same.
    same: HashMap<String, Joinable>,
    closed: bool,
}

/// A run that another request of the same kind joins.
struct Joinable {
    run: Arc<Run>,
    claims: Vec<Claim>,
    deletes: bool,
}

impl Live {
    /// The run that a request joins rather than starting its own.
    fn joined(&self, asked: &Asked) -> Option<&Arc<Run>> {
        let run = &self.same.get(asked.same.as_ref()?)?.run;
        run.view().record.ending.is_none().then_some(run)
    }

    /// Lets later requests of the same kind join `run`. They no longer join earlier runs on
    /// what it changes, which is not after it as these left it: who deletes a guest, starts it
    /// and deletes it wants it deleted. What was deleted does stay so after another deletion.
    fn let_join(&mut self, run: &Arc<Run>, asked: &Asked) {
        let mut claimed = Claimed::default();
        claimed.add(run.id, &asked.claims);
        self.same.retain(|_, earlier| {
            (asked.deletes && earlier.deletes) || claimed.conflict(&earlier.claims).is_none()
        });
        if let Some(same) = &asked.same {
            let (run, claims) = (run.clone(), asked.claims.clone());
            self.same.insert(same.clone(), Joinable { run, claims, deletes: asked.deletes });
        }
    }
}

impl Means {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to end a run, and has that kept, so that a server which is killed before the end
    /// leaves word that the run was to be ended. Answers false where it has ended already.
    fn begin_to_end(&self, run: &Run, ending: Ending, stop: Stop) -> bool {
        let live = self.live();
        self.begin_to_end_locked(&live, run, ending, stop)
    }

    fn begin_to_end_locked(&self, live: &Live, run: &Run, ending: Ending, stop: Stop) -> bool {
        let alive = run.end(ending, stop);
        if alive {
            self.keep_locked(live, run);
        }
        alive
    }

    /// Keeps a run that has not ended as it is now.
    fn keep(&self, run: &Run) {
        self.keep_locked(&self.live(), run);
    }

    /// Only under the lock is what is kept last also the newest: without it, another version,
    /// or the end with its result, could be overwritten by one that was read before.
    fn keep_locked(&self, _: &Live, run: &Run) {
        self.history.keep(run.view().record, Value::Null);
    }

    /// Lets those begin whose turn it is, and tells the others their places.
    fn take_turns(&self, live: &Live, turns: &[Uuid]) {
        turns.iter().filter_map(|id| live.runs.get(id)).for_each(|run| run.turn.notify_one());
        for (id, place) in live.queue.places() {
            if let Some(run) = live.runs.get(&id) {
                run.place(&place);
            }
        }
        self.metrics.queue_length.set(i64::try_from(live.queue.waiting()).unwrap_or(i64::MAX));
        self.count.send_replace(live.runs.len());
    }
}

impl Runs {
    /// Opens the data dir, and settles what an earlier server left unfinished. Blocks.
    pub fn open(
        settings: Arc<Settings>,
        engine: Box<dyn Engine>,
        vault: VaultPassword,
        metrics: Arc<RunMetrics>,
    ) -> io::Result<Self> {
        let journals = Journals::open(settings.data_dir.join("logs"))?;
        let file = settings.data_dir.join("history.sqlite3");
        let history = History::open(file, journals.clone(), &settings.limits)
            .inspect_err(|_| recovery::end_all_left(&settings.runs_dir))?;
        recovery::recover(&settings, &history, &journals)?;
        let live = Mutex::new(Live {
            queue: Queue::new(settings.limits.runs, settings.limits.queue),
            runs: HashMap::new(),
            same: HashMap::new(),
            closed: false,
        });
        let count = watch::Sender::new(0);
        let inner = Means { settings, engine, vault, journals, history, metrics, live, count };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Accepts a run. It belongs to a task of its own from here on. Where the same is at work
    /// or waiting already, that one is answered instead.
    pub fn start(&self, asked: Asked) -> Result<Arc<Run>, NotAccepted> {
        let means = &self.inner;
        let mut live = means.live();
        if live.closed {
            return Err(NotAccepted::Ending);
        }
        if let Some(run) = live.joined(&asked) {
            tracing::info!(run_id = %run.id, "the same run is at work: joined");
            return Ok(run.clone());
        }
        let id = Uuid::now_v7();
        let now = live.queue.enter(id, asked.consumer.clone(), asked.claims.clone());
        let turn = now.map_err(|full| match full {
            QueueFull::ForAll => NotAccepted::QueueFull(live.queue.waiting()),
            QueueFull::ForOne => {
                NotAccepted::ShareTaken(asked.consumer.clone().unwrap_or_default())
            }
        })?;
        let run = Arc::new(Run::new(accepted(id, &asked)));
        live.runs.insert(id, run.clone());
        live.let_join(&run, &asked);
        let turns: &[Uuid] = if turn { &[id] } else { &[] };
        means.take_turns(&live, turns);
        means.keep_locked(&live, &run);
        drop(live);
        let span = tracing::info_span!("run", run_id = %id, operation = asked.plan.operation);
        tokio::spawn(lifecycle::live(means.clone(), run.clone(), asked).instrument(span));
        Ok(run)
    }

    /// Finds a run. Blocks.
    pub fn find(&self, id: Uuid) -> Result<Option<Found>, Unreadable> {
        if let Some(run) = self.live_run(id) {
            return Ok(Some(Found::Live(run)));
        }
        Ok(self.inner.history.get(id)?.map(|kept| Found::Past(Box::new(kept))))
    }

    /// A run that has not ended.
    pub fn live_run(&self, id: Uuid) -> Option<Arc<Run>> {
        self.inner.live().runs.get(&id).cloned()
    }

    /// The newest runs that fit, at most `count`, and whether there are more. Blocks.
    pub fn list(&self, filter: &Filter, count: usize) -> Result<(Vec<Record>, bool), Unreadable> {
        let live = self.inner.live().runs.values().map(|run| run.view().record).collect();
        Ok(self.inner.history.list(filter, count, live)?)
    }

    /// Asks a run to end. Answers none where it has ended already.
    pub fn cancel(&self, id: Uuid) -> Option<Arc<Run>> {
        let run = self.live_run(id)?;
        self.inner.begin_to_end(&run, Ending::Asked, Stop::Gently).then_some(run)
    }

    /// Forgets a run that has ended. Answers whether it had.
    pub fn forget(&self, id: Uuid) -> bool {
        let live = self.inner.live();
        let ended = !live.runs.contains_key(&id);
        if ended {
            self.inner.history.forget(id);
        }
        ended
    }

    /// The files of all runs.
    pub fn journals(&self) -> &Journals {
        &self.inner.journals
    }

    /// The log of a run from a line on, as clients read it. Blocks.
    pub fn log(&self, record: &Record, from: u64) -> Result<Vec<String>, Unreadable> {
        let journals = &self.inner.journals;
        let mark = journals.find(record.id, Part::Log, from)?;
        let page = journals.read(record.id, Part::Log, mark, record.log_lines, usize::MAX)?;
        Ok(events::clean_lines(&page.lines))
    }

    /// Why the history cannot be written at present, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        self.inner.history.trouble()
    }

    /// Whether new runs are refused because the server ends.
    pub fn is_closed(&self) -> bool {
        self.inner.live().closed
    }

    /// Brings the measures of the runs that have not ended, and of the engine, up to date.
    pub fn measure(&self) {
        let states: Vec<State> =
            self.inner.live().runs.values().map(|run| run.view().record.state).collect();
        self.inner.metrics.set_active(&states);
        self.inner.metrics.set_engine(self.inner.engine.active_name());
    }

    /// The engine that starts playbook runs, and how it is.
    pub fn engine(&self) -> String {
        self.inner.engine.describe()
    }

    /// Ends what the engine keeps, when there will be no more runs.
    pub async fn close_engine(&self) {
        self.inner.engine.close().await;
    }

    /// Takes no more runs, and lets go of those that wait: none of them was begun.
    pub fn close(&self) {
        let mut live = self.inner.live();
        live.closed = true;
        for run in live.runs.values() {
            if run.view().record.state == State::Queued {
                self.inner.begin_to_end_locked(&live, run, Ending::Shutdown, Stop::Gently);
            }
        }
    }

    /// Ends all runs because the server does.
    pub fn end_all(&self, stop: Stop) {
        let live = self.inner.live();
        for run in live.runs.values() {
            self.inner.begin_to_end_locked(&live, run, Ending::Shutdown, stop);
        }
    }

    /// Waits until every run has ended.
    pub async fn all_ended(&self) {
        let mut count = self.inner.count.subscribe();
        let _ = count.wait_for(|count| *count == 0).await;
    }

    /// Waits until the history is written, but not longer than `patience`.
    pub async fn written(&self, patience: Duration) {
        self.inner.history.written(patience).await;
    }
}

/// The record of a run that has just been accepted.
fn accepted(id: Uuid, asked: &Asked) -> Record {
    let playbooks = asked.plan.steps.iter().filter(|s| matches!(s, Step::Playbook { .. })).count();
    Record {
        id,
        operation: asked.plan.operation.clone(),
        node: asked.plan.node.clone(),
        guests: asked.guests.clone(),
        consumer: asked.consumer.clone(),
        state: State::Queued,
        explanation: "The run was accepted.".to_owned(),
        queue: None::<Place>,
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
        action: asked.plan.action.map(str::to_owned),
    }
}
