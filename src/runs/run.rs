//! A run that has not ended yet, shared by its task and by everybody who watches it.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::ansible::reaper::Stop;
use crate::runs::Outcome;
use crate::runs::phases::Stopwatch;
use crate::runs::record::{Place, Record, now};
use crate::runs::recorder::Seen;
use crate::runs::state::{Ending, State};

/// A run, from its acceptance to its end.
#[derive(Debug)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    view: watch::Sender<View>,
    stop: watch::Sender<Stop>,
    /// Its turn has come.
    pub(super) turn: Notify,
}

/// What can be seen of a run at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// What is known of it.
    pub record: Record,
    /// What it answers, once it has ended.
    pub outcome: Option<Arc<Outcome>>,
}

impl View {
    /// The values that the run reported.
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
        Self { id, view, stop: watch::Sender::new(Stop::No), turn: Notify::new() }
    }

    /// What can be seen now.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Follows what can be seen.
    pub fn follow(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Waits for the end. Whoever stops waiting changes nothing about the run.
    pub async fn ended(&self) -> View {
        let mut follow = self.follow();
        let ended = follow.wait_for(|view| view.outcome.is_some()).await;
        // The sender lives in this very value.
        ended.map(|view| view.clone()).unwrap_or_else(|_| self.view())
    }

    /// Whether and how the run is to be stopped, as its processes see it.
    pub(super) fn stop(&self) -> watch::Receiver<Stop> {
        self.stop.subscribe()
    }

    /// Begins to end the run. A run that is at work is `canceling` from here on; one that has
    /// ended stays as it is, and false is answered.
    pub(super) fn end(&self, ending: Ending, stop: Stop) -> bool {
        let mut alive = false;
        self.view.send_modify(|view| {
            alive = !view.record.state.is_final();
            if alive && view.record.ending.is_none() {
                view.record.ending = Some(ending);
            }
            if view.record.state == State::Running {
                view.record.state = State::Canceling;
                view.record.explanation =
                    format!("{}. Its processes are being ended.", ending.reason());
            }
        });
        if alive {
            self.stop.send_modify(|now| *now = (*now).max(stop));
        }
        alive
    }

    /// The work begins, unless the run is to be ended already.
    pub(super) fn begin(&self) -> bool {
        self.view.send_if_modified(|view| {
            if view.record.ending.is_some() {
                return false;
            }
            view.record.state = State::Running;
            view.record.explanation = "The run is at work.".to_owned();
            view.record.queue = None;
            view.record.started = Some(now());
            true
        })
    }

    pub(super) fn place(&self, place: &Place) {
        self.view.send_if_modified(|view| {
            let changed = view.record.queue.as_ref() != Some(place);
            if changed && view.record.state == State::Queued {
                view.record.queue = Some(place.clone());
                view.record.explanation = format!("The run waits: {}.", place.reason);
            }
            changed
        });
    }

    pub(super) fn measured(&self, watch: &mut Stopwatch) {
        self.view.send_modify(|view| {
            let record = &mut view.record;
            let queued = record.started.map(|started| started.duration_since(record.created));
            let queued = queued.and_then(|time| time.try_into().ok()).unwrap_or_default();
            record.phases = watch.read(queued);
        });
    }

    pub(super) fn progress(&self, seen: &Seen) {
        self.view.send_modify(|view| view.record.learn(seen));
    }

    /// The end, unless somebody has asked for another one since `record` was made. From here on
    /// the run is only read.
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
    /// Takes over what has been seen.
    pub fn learn(&mut self, seen: &Seen) {
        self.progress = seen.progress.clone();
        self.hosts = seen.hosts;
        self.log_lines = seen.log_lines;
        self.job_events = seen.job_events;
        self.log_gap.clone_from(&seen.gap);
    }
}
