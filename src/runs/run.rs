//! An active run, shared by its task and by those that follow it.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::ansible::reaper::Stop;
use crate::runs::Outcome;
use crate::runs::phases::Stopwatch;
use crate::runs::record::{QueuePosition, Record, now};
use crate::runs::recorder::Recorded;
use crate::runs::state::{Ending, State};

/// A run, from its acceptance to its end.
#[derive(Debug)]
pub struct Run {
    /// The id.
    pub id: Uuid,
    view: watch::Sender<View>,
    stop: watch::Sender<Stop>,
    /// Notified when the scheduler admits the run.
    pub(super) admitted: Notify,
}

/// A run at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// The record.
    pub record: Record,
    /// The outcome, once the run has ended.
    pub outcome: Option<Arc<Outcome>>,
}

impl View {
    /// The values that the run reported; empty until it has ended.
    pub fn result(&self) -> &[Value] {
        match self.outcome.as_deref() {
            Some(Outcome::Ended(ended)) => &ended.result,
            _ => &[],
        }
    }
}

impl Run {
    pub(super) fn new(record: Record) -> Self {
        let id = record.id;
        let view = watch::Sender::new(View { record, outcome: None });
        Self { id, view, stop: watch::Sender::new(Stop::No), admitted: Notify::new() }
    }

    /// Returns the run as it is now.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Subscribes to changes of the run.
    pub fn follow(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Waits for the end of the run. Dropping the future does not affect the run.
    pub async fn ended(&self) -> View {
        let mut follow = self.follow();
        let ended = follow.wait_for(|view| view.outcome.is_some()).await;
        // The sender cannot be dropped: `self` owns it.
        ended.map(|view| view.clone()).unwrap_or_else(|_| self.view())
    }

    /// Subscribes to the request to stop the processes of the run.
    pub(super) fn stop(&self) -> watch::Receiver<Stop> {
        self.stop.subscribe()
    }

    /// Requests the end of the run, which changes its state from running to canceling. Returns
    /// false if the run has already ended.
    pub(super) fn request_end(&self, ending: Ending, stop: Stop) -> bool {
        let mut is_active = false;
        self.view.send_modify(|view| {
            is_active = !view.record.state.is_final();
            if is_active && view.record.ending.is_none() {
                view.record.ending = Some(ending);
            }
            if view.record.state == State::Running {
                view.record.state = State::Canceling;
                view.record.explanation =
                    format!("{}. Its processes are being stopped.", ending.reason());
            }
        });
        if is_active {
            self.stop.send_modify(|now| *now = (*now).max(stop));
        }
        is_active
    }

    /// Starts the run. Returns false if its end has already been requested.
    pub(super) fn start(&self) -> bool {
        self.view.send_if_modified(|view| {
            if view.record.ending.is_some() {
                return false;
            }
            view.record.state = State::Running;
            view.record.explanation = "The run is in progress.".to_owned();
            view.record.queue = None;
            view.record.started = Some(now());
            true
        })
    }

    pub(super) fn set_queue_position(&self, position: &QueuePosition) {
        self.view.send_if_modified(|view| {
            let changed = view.record.queue.as_ref() != Some(position);
            if changed && view.record.state == State::Queued {
                view.record.queue = Some(position.clone());
                view.record.explanation = format!("The run is queued: {}.", position.reason);
            }
            changed
        });
    }

    pub(super) fn set_phases(&self, stopwatch: &mut Stopwatch) {
        self.view.send_modify(|view| {
            let record = &mut view.record;
            let queued = record.started.map(|started| started.duration_since(record.created));
            let queued = queued.and_then(|time| time.try_into().ok()).unwrap_or_default();
            record.phases = stopwatch.read(queued);
        });
    }

    pub(super) fn update(&self, recorded: &Recorded) {
        self.view.send_modify(|view| view.record.update(recorded));
    }

    /// Ends the run, which does not change after that. Returns false, and does nothing, if the end
    /// of the run was requested after `record` was made.
    pub(super) fn finish(&self, record: &Record, outcome: Outcome) -> bool {
        self.view.send_if_modified(|view| {
            if view.record.ending != record.ending {
                return false;
            }
            debug_assert!(view.record.state.may_become(record.state), "{view:?} → {record:?}");
            *view = View { record: record.clone(), outcome: Some(Arc::new(outcome)) };
            true
        })
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
