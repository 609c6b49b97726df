//! An active run, shared by its task and by those that follow it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::ansible::reaper::Stop;
use crate::runs::Outcome;
use crate::runs::phases::Stopwatch;
use crate::runs::record::{QueuePosition, Record, now};
use crate::runs::recorder::Recorded;
use crate::runs::state::{Ending, RunState};

/// A run, from its acceptance to its end.
#[derive(Debug)]
pub struct Run {
    /// The id.
    pub id: Uuid,
    snapshot: watch::Sender<RunSnapshot>,
    stop: watch::Sender<Stop>,
    /// Notified when the scheduler admits the run.
    pub(super) admitted: Notify,
    commit: watch::Sender<Commit>,
    /// The number of clients that wait for the end of the run.
    waiting: AtomicUsize,
    /// Whether the run stays queued for the next server. Changes while `snapshot` is locked.
    is_kept: AtomicBool,
}

/// Whether the store has taken the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    /// That is not known yet.
    Pending,
    /// The run is in the store.
    Committed,
    /// The store took no write in time, and the run was given up.
    Refused,
}

/// A run at one moment.
#[derive(Debug, Clone)]
pub struct RunSnapshot {
    /// The record.
    pub record: Record,
    /// The outcome, once the run has ended.
    pub outcome: Option<Arc<Outcome>>,
}

impl RunSnapshot {
    /// The values that the run reported; empty until it has ended.
    pub fn result(&self) -> &[Value] {
        match self.outcome.as_deref() {
            Some(Outcome::Finished(ended)) => &ended.result,
            _ => &[],
        }
    }
}

impl Run {
    pub(super) fn new(record: Record) -> Self {
        Self {
            id: record.id,
            snapshot: watch::Sender::new(RunSnapshot { record, outcome: None }),
            stop: watch::Sender::new(Stop::No),
            admitted: Notify::new(),
            commit: watch::Sender::new(Commit::Pending),
            waiting: AtomicUsize::new(0),
            is_kept: AtomicBool::new(false),
        }
    }

    /// Sets whether the store has taken the run.
    pub(super) fn set_commit(&self, commit: Commit) {
        self.commit.send_replace(commit);
    }

    /// Waits until it is known whether the store has taken the run. Returns whether it has.
    pub(super) async fn committed(&self) -> bool {
        let mut commit = self.commit.subscribe();
        let known = commit.wait_for(|commit| *commit != Commit::Pending).await;
        known.is_ok_and(|commit| *commit == Commit::Committed)
    }

    /// Leaves the run in the queue for the next server, unless it has started, is being ended, or a
    /// client waits for it. Returns whether it does.
    pub(super) fn keep_queued(&self) -> bool {
        let is_awaited =
            self.waiting.load(Ordering::SeqCst) > 0 || *self.commit.borrow() == Commit::Pending;
        self.snapshot.send_if_modified(|RunSnapshot { record, .. }| {
            let is_queued = record.state == RunState::Queued && record.ending.is_none();
            self.is_kept.store(is_queued && !is_awaited, Ordering::SeqCst);
            is_queued && !is_awaited
        })
    }

    /// Whether the run stays queued for the next server.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::SeqCst)
    }

    /// Returns the run as it is now.
    pub fn snapshot(&self) -> RunSnapshot {
        self.snapshot.borrow().clone()
    }

    /// Returns the state.
    pub fn state(&self) -> RunState {
        self.snapshot.borrow().record.state
    }

    /// Whether an equal request may join the run: its end has not been requested.
    pub(super) fn may_be_joined(&self) -> bool {
        self.snapshot.borrow().record.ending.is_none()
    }

    /// Subscribes to changes of the run.
    pub fn follow(&self) -> watch::Receiver<RunSnapshot> {
        self.snapshot.subscribe()
    }

    /// Waits for the end of the run. Dropping the future does not affect the run.
    pub async fn ended(&self) -> RunSnapshot {
        let _waiting = Waiting::new(&self.waiting);
        let mut follow = self.follow();
        let ended = follow.wait_for(|snapshot| snapshot.outcome.is_some()).await;
        // The sender cannot be dropped: `self` owns it.
        ended.map(|snapshot| snapshot.clone()).unwrap_or_else(|_| self.snapshot())
    }

    /// Subscribes to the request to stop the processes of the run.
    pub(super) fn stop(&self) -> watch::Receiver<Stop> {
        self.stop.subscribe()
    }

    /// Requests the end of the run, which changes its state from running to canceling. Returns
    /// false if the run has already ended.
    pub(super) fn request_end(&self, ending: Ending, stop: Stop) -> bool {
        let mut is_active = false;
        self.snapshot.send_modify(|snapshot| {
            is_active = !snapshot.record.state.is_final();
            if is_active && snapshot.record.ending.is_none() {
                snapshot.record.ending = Some(ending);
            }
            if snapshot.record.state == RunState::Running {
                snapshot.record.state = RunState::Canceling;
                snapshot.record.explanation =
                    format!("{}. Its processes are being stopped.", ending.reason());
            }
        });
        if is_active {
            self.stop.send_modify(|now| *now = (*now).max(stop));
        }
        is_active
    }

    /// Starts the run. Returns false if its end has already been requested, or if it is kept for the
    /// next server.
    pub(super) fn start(&self) -> bool {
        self.snapshot.send_if_modified(|snapshot| {
            if snapshot.record.ending.is_some() || self.is_kept() {
                return false;
            }
            snapshot.record.state = RunState::Running;
            snapshot.record.explanation = "The run is in progress.".to_owned();
            snapshot.record.queue = None;
            snapshot.record.started = Some(now());
            true
        })
    }

    pub(super) fn set_queue_position(&self, position: &QueuePosition) {
        self.snapshot.send_if_modified(|snapshot| {
            let changed = snapshot.record.queue.as_ref() != Some(position);
            if changed && snapshot.record.state == RunState::Queued {
                snapshot.record.queue = Some(position.clone());
                snapshot.record.explanation = format!("The run is queued: {}.", position.reason);
            }
            changed
        });
    }

    pub(super) fn set_phases(&self, stopwatch: &mut Stopwatch) {
        self.snapshot.send_modify(|snapshot| {
            let record = &mut snapshot.record;
            let queued = record.started.map(|started| started.duration_since(record.created));
            let queued = queued.and_then(|time| time.try_into().ok()).unwrap_or_default();
            record.phases = stopwatch.read(queued);
        });
    }

    pub(super) fn update(&self, recorded: &Recorded) {
        self.snapshot.send_modify(|snapshot| snapshot.record.update(recorded));
    }

    /// Ends the run, which does not change after that. Returns false, and does nothing, if the end
    /// of the run was requested after `record` was made.
    pub(super) fn finish(&self, record: &Record, outcome: Outcome) -> bool {
        self.snapshot.send_if_modified(|snapshot| {
            if snapshot.record.ending != record.ending {
                return false;
            }
            debug_assert!(
                snapshot.record.state.may_become(record.state),
                "{snapshot:?} → {record:?}"
            );
            snapshot.record = record.clone();
            snapshot.outcome = Some(Arc::new(outcome));
            true
        })
    }
}

/// A client that waits for the end of a run.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Record {
    /// Takes over what has been recorded.
    pub fn update(&mut self, recorded: &Recorded) {
        self.progress = recorded.progress.clone();
        self.hosts = recorded.hosts;
        self.log_lines = recorded.log_lines;
        self.job_events = recorded.job_events;
        self.log_gap.clone_from(&recorded.gap);
    }
}
