//! What is known of a run: what a client reads of it, and what the history keeps.

use std::collections::HashMap;

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::ansible::events::{EventData, JobEvent};
use crate::runs::phases::Phases;
use crate::runs::state::{Ending, State};

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its id, a UUIDv7: later runs have greater ids.
    pub id: Uuid,
    /// The operation that was asked for, by its operationId.
    pub operation: String,
    /// The node it is about.
    pub node: Option<String>,
    /// The ids of the guests that it names.
    pub guests: Vec<String>,
    /// Who asked, as the gateway says.
    pub consumer: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// What this state means for this run, in sentences.
    pub explanation: String,
    /// Its place in the queue, while it is queued.
    pub queue: Option<Place>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When its work began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The exit code of the last playbook; null where none is known.
    pub rc: Option<i32>,
    /// Why it did not succeed, in one line.
    pub error: Option<String>,
    /// How the hosts fared.
    pub hosts: HostCounts,
    /// How far it is.
    pub progress: Progress,
    /// Where its time went; all 0 until it has ended.
    #[serde(default)]
    pub phases: Phases,
    /// How many lines its log has.
    pub log_lines: u64,
    /// How many job events it has.
    pub job_events: u64,
    /// Why the log and the job events are not complete, where they are not.
    pub log_gap: Option<String>,
    /// Why it is ended before it is done, where it is.
    pub ending: Option<Ending>,
    /// The action whose values are its result.
    pub action: Option<String>,
}

/// A place in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// 1 is the next one.
    pub position: usize,
    /// What it waits for.
    pub reason: String,
}

/// Hosts by how they fared. One that changed is also ok; one that failed is neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCounts {
    /// Hosts on which nothing failed.
    pub ok: usize,
    /// Those of them on which something changed.
    pub changed: usize,
    /// Hosts on which a task failed, or that did not answer.
    pub failed: usize,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The playbook at work, counted from 1; 0 before the first.
    pub playbook: usize,
    /// How many playbooks there are to run.
    pub playbooks: usize,
    /// Tasks begun so far.
    pub tasks: usize,
    /// The task at work, or the last one.
    pub task: Option<String>,
}

/// This moment, as finely as clients see it.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// How each host fared so far: Ansible's recap of a playbook replaces what its events said.
#[derive(Debug, Default)]
pub struct Hosts {
    /// From the playbooks that have ended.
    before: HashMap<String, Fate>,
    /// From the one at work.
    at_work: HashMap<String, Fate>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    changed: bool,
    failed: bool,
}

impl Hosts {
    /// Looks at the next event.
    pub fn see(&mut self, event: &JobEvent) {
        let Some(data) = &event.event_data else { return };
        match (event.event.as_str(), &data.host) {
            ("playbook_on_stats", _) => self.recap(data),
            ("runner_on_ok", Some(host)) => {
                let changed =
                    data.res.as_ref().is_some_and(|res| res["changed"] == Value::Bool(true));
                self.at_work.entry(host.clone()).or_default().changed |= changed;
            }
            ("runner_on_failed", Some(host)) if data.ignore_errors != Some(true) => {
                self.at_work.entry(host.clone()).or_default().failed = true;
            }
            ("runner_on_unreachable", Some(host)) => {
                self.at_work.entry(host.clone()).or_default().failed = true;
            }
            _ => {}
        }
    }

    fn recap(&mut self, data: &EventData) {
        let stats = &data.stats;
        let count = |kind: &Option<Value>, host: &str| {
            kind.as_ref().and_then(|hosts| hosts[host].as_u64()).unwrap_or_default() > 0
        };
        let kinds = [&stats.ok, &stats.changed, &stats.failures, &stats.dark];
        let hosts = kinds.into_iter().flatten().filter_map(Value::as_object).flatten();
        for (host, _) in hosts {
            let fate = self.before.entry(host.clone()).or_default();
            fate.changed |= count(&stats.changed, host);
            fate.failed |= count(&stats.failures, host) || count(&stats.dark, host);
        }
        self.at_work.clear();
    }

    /// The counts.
    pub fn counts(&self) -> HostCounts {
        let mut all = self.before.clone();
        for (host, fate) in &self.at_work {
            let entry = all.entry(host.clone()).or_default();
            entry.changed |= fate.changed;
            entry.failed |= fate.failed;
        }
        let mut counts = HostCounts::default();
        for fate in all.values() {
            match fate {
                Fate { failed: true, .. } => counts.failed += 1,
                Fate { changed, .. } => {
                    counts.ok += 1;
                    counts.changed += usize::from(*changed);
                }
            }
        }
        counts
    }
}
