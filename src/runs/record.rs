//! The record of a run, as the history stores it and clients read it.

use std::collections::HashMap;

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::ansible::events::{EventData, JobEvent};
use crate::runs::phases::Phases;
use crate::runs::state::{Ending, RunState};

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The id, a UUIDv7: later runs have greater ids.
    pub id: Uuid,
    /// The operationId of the request.
    pub operation: String,
    /// The Proxmox node of the request.
    pub node: Option<String>,
    /// The ids of the guests named in the request.
    pub guests: Vec<String>,
    /// The consumer, as identified by the gateway.
    pub consumer: Option<String>,
    /// The state.
    pub state: RunState,
    /// Why the run is in this state, in full sentences.
    pub explanation: String,
    /// The position in the queue, while the run is queued.
    pub queue: Option<QueuePosition>,
    /// When the run was accepted.
    pub created: Timestamp,
    /// When the run started.
    pub started: Option<Timestamp>,
    /// When the run ended.
    pub ended: Option<Timestamp>,
    /// The exit code of the last playbook; null if unknown.
    pub rc: Option<i32>,
    /// Why the run did not succeed, in one line.
    pub error: Option<String>,
    /// The number of hosts by status.
    pub hosts: HostCounts,
    /// The progress.
    pub progress: Progress,
    /// The duration of each phase; all 0 until the run has ended.
    #[serde(default)]
    pub phases: Phases,
    /// The number of lines in the log.
    pub log_lines: u64,
    /// The number of job events.
    pub job_events: u64,
    /// Why the log and the job events are incomplete, if they are.
    pub log_gap: Option<String>,
    /// Why the run is ended before it completes, if it is.
    pub ending: Option<Ending>,
    /// The action whose reported values are the result.
    pub action: Option<String>,
}

impl Record {
    /// Takes over how far `newer`, a later version of the record, says that the run got. It was
    /// written beside the run, where nothing waits for the history.
    pub fn take_newer_progress(&mut self, newer: Self) {
        if newer.progress.playbook > self.progress.playbook || self.state == RunState::Queued {
            (self.progress, self.started) = (newer.progress, newer.started);
            if self.state == RunState::Queued {
                self.state = newer.state;
            }
        }
    }
}

/// A position in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePosition {
    /// The position; 1 is next.
    pub position: usize,
    /// What the run waits for.
    pub reason: String,
}

/// The number of hosts by status. A changed host also counts as ok, a failed host as neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCounts {
    /// Hosts without a failed task.
    pub ok: usize,
    /// Hosts without a failed task on which something changed.
    pub changed: usize,
    /// Hosts with a failed task and unreachable hosts.
    pub failed: usize,
}

/// The progress of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of the current playbook, from 1; 0 before the first.
    pub playbook: usize,
    /// The number of playbooks.
    pub playbooks: usize,
    /// The number of tasks started so far.
    pub tasks: usize,
    /// The name of the current task, or of the last one.
    pub task: Option<String>,
}

/// Returns the current time, rounded to milliseconds as in the API.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// The status of each host so far. When a playbook ends, Ansible's recap replaces the statuses that
/// were derived from its events.
#[derive(Debug, Default)]
pub struct HostStatuses {
    /// From the recaps of the playbooks that have ended.
    from_recaps: HashMap<String, HostStatus>,
    /// From the events of the current playbook.
    from_events: HashMap<String, HostStatus>,
}

#[derive(Debug, Clone, Copy, Default)]
struct HostStatus {
    changed: bool,
    failed: bool,
}

impl HostStatuses {
    /// Applies the next job event.
    pub fn apply(&mut self, event: &JobEvent) {
        let Some(data) = &event.event_data else { return };
        match (event.event.as_str(), &data.host) {
            ("playbook_on_stats", _) => self.recap(data),
            ("runner_on_ok", Some(host)) => {
                let changed =
                    data.res.as_ref().is_some_and(|res| res["changed"] == Value::Bool(true));
                self.from_events.entry(host.clone()).or_default().changed |= changed;
            }
            ("runner_on_failed", Some(host)) if data.ignore_errors != Some(true) => {
                self.from_events.entry(host.clone()).or_default().failed = true;
            }
            ("runner_on_unreachable", Some(host)) => {
                self.from_events.entry(host.clone()).or_default().failed = true;
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
            let status = self.from_recaps.entry(host.clone()).or_default();
            status.changed |= count(&stats.changed, host);
            status.failed |= count(&stats.failures, host) || count(&stats.dark, host);
        }
        self.from_events.clear();
    }

    /// Counts the hosts by status.
    pub fn counts(&self) -> HostCounts {
        let mut all = self.from_recaps.clone();
        for (host, status) in &self.from_events {
            let entry = all.entry(host.clone()).or_default();
            entry.changed |= status.changed;
            entry.failed |= status.failed;
        }
        let mut counts = HostCounts::default();
        for status in all.values() {
            match status {
                HostStatus { failed: true, .. } => counts.failed += 1,
                HostStatus { changed, .. } => {
                    counts.ok += 1;
                    counts.changed += usize::from(*changed);
                }
            }
        }
        counts
    }
}
