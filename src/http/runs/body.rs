//! What the API shows of a run.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::runs::record::{self, Record};
use crate::runs::{phases, state};

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run, example = json!({
    "id": "01936f3e-8c1a-7d2b-9a54-2f6f0c1e7b10", "operation": "post_proxmox_vms_vm_id_start",
    "node": "px-testing", "guests": ["1000"], "consumer": "alice", "state": "running",
    "explanation": "The run is at work.", "queue": null,
    "created": "2026-03-01T09:15:00.120Z", "started": "2026-03-01T09:15:00.125Z", "ended": null,
    "rc": null, "error": null, "hosts": {"ok": 0, "changed": 0, "failed": 0},
    "progress": {"playbook": 1, "playbooks": 1, "tasks": 1, "task": "Run one operation on Proxmox"},
    "phases": {"queue_ms": 0, "look_up_ms": 0, "prepare_ms": 0, "start_ms": 0, "play_ms": 0, "end_ms": 0, "clean_up_ms": 0},
    "log_lines": 3, "job_events": 4, "log_gap": null, "ending": null, "action": "vm_start",
}))]
pub struct RunBody {
    /// Its id, a UUIDv7: later runs have greater ids.
    #[schema(value_type = String, format = "uuid")]
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
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When its work began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
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
#[derive(Debug, Serialize, ToSchema)]
pub struct Place {
    /// 1 is the next one.
    pub position: usize,
    /// What it waits for.
    pub reason: String,
}

/// Hosts by how they fared. One that changed is also ok; one that failed is neither.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostCounts {
    /// Hosts on which nothing failed.
    pub ok: usize,
    /// Those of them on which something changed.
    pub changed: usize,
    /// Hosts on which a task failed, or that did not answer.
    pub failed: usize,
}

/// How far a run is.
#[derive(Debug, Serialize, ToSchema)]
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

/// Where the time of a run went: milliseconds for each phase, all of its playbooks together.
#[derive(Debug, Serialize, ToSchema)]
pub struct Phases {
    /// It waited for its turn.
    pub queue_ms: u64,
    /// The Proxmox API was asked for a guest.
    pub look_up_ms: u64,
    /// The private data dir was made, the copy of the playbooks in it.
    pub prepare_ms: u64,
    /// The runner and Ansible started, until the first job event.
    pub start_ms: u64,
    /// The playbook was at work, until its recap.
    pub play_ms: u64,
    /// Ansible and the runner ended.
    pub end_ms: u64,
    /// The private data dir was removed.
    pub clean_up_ms: u64,
}

/// Where a run is in its life.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, and waiting for its turn. Nothing has been started.
    Queued,
    /// At work.
    Running,
    /// Being ended, because somebody asked for it or its time was up.
    Canceling,
    /// Every playbook ended well.
    Succeeded,
    /// It failed, or it could not be begun.
    Failed,
    /// It was ended before it was done.
    Canceled,
    /// It took longer than a run may, and was ended.
    TimedOut,
    /// Nobody can tell how it ended.
    Unknown,
}

/// Why a run is ended before it is done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Somebody asked for it.
    Asked,
    /// It took longer than a run may.
    TimeLimit,
    /// The server ends.
    Shutdown,
}

impl From<&Record> for RunBody {
    fn from(record: &Record) -> Self {
        Self {
            id: record.id,
            operation: record.operation.clone(),
            node: record.node.clone(),
            guests: record.guests.clone(),
            consumer: record.consumer.clone(),
            state: record.state.into(),
            explanation: record.explanation.clone(),
            queue: record.queue.as_ref().map(Place::from),
            created: record.created,
            started: record.started,
            ended: record.ended,
            rc: record.rc,
            error: record.error.clone(),
            hosts: record.hosts.into(),
            progress: (&record.progress).into(),
            phases: record.phases.into(),
            log_lines: record.log_lines,
            job_events: record.job_events,
            log_gap: record.log_gap.clone(),
            ending: record.ending.map(Ending::from),
            action: record.action.clone(),
        }
    }
}

impl From<&record::Place> for Place {
    fn from(from: &record::Place) -> Self {
        Self { position: from.position, reason: from.reason.clone() }
    }
}

impl From<record::HostCounts> for HostCounts {
    fn from(from: record::HostCounts) -> Self {
        Self { ok: from.ok, changed: from.changed, failed: from.failed }
    }
}

impl From<&record::Progress> for Progress {
    fn from(from: &record::Progress) -> Self {
        Self {
            playbook: from.playbook,
            playbooks: from.playbooks,
            tasks: from.tasks,
            task: from.task.clone(),
        }
    }
}

impl From<phases::Phases> for Phases {
    fn from(from: phases::Phases) -> Self {
        Self {
            queue_ms: from.queue_ms,
            look_up_ms: from.look_up_ms,
            prepare_ms: from.prepare_ms,
            start_ms: from.start_ms,
            play_ms: from.play_ms,
            end_ms: from.end_ms,
            clean_up_ms: from.clean_up_ms,
        }
    }
}

impl From<state::State> for State {
    fn from(from: state::State) -> Self {
        match from {
            state::State::Queued => Self::Queued,
            state::State::Running => Self::Running,
            state::State::Canceling => Self::Canceling,
            state::State::Succeeded => Self::Succeeded,
            state::State::Failed => Self::Failed,
            state::State::Canceled => Self::Canceled,
            state::State::TimedOut => Self::TimedOut,
            state::State::Unknown => Self::Unknown,
        }
    }
}

impl From<state::Ending> for Ending {
    fn from(from: state::Ending) -> Self {
        match from {
            state::Ending::Asked => Self::Asked,
            state::Ending::TimeLimit => Self::TimeLimit,
            state::Ending::Shutdown => Self::Shutdown,
        }
    }
}
