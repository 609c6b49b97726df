//! A run in the API.

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
    "explanation": "The run is in progress.", "queue": null,
    "created": "2026-03-01T09:15:00.120Z", "started": "2026-03-01T09:15:00.125Z", "ended": null,
    "rc": null, "error": null, "hosts": {"ok": 0, "changed": 0, "failed": 0},
    "progress": {"playbook": 1, "playbooks": 1, "tasks": 1, "task": "Run one operation on Proxmox"},
    "phases": {"queue_ms": 0, "look_up_ms": 0, "prepare_ms": 0, "start_ms": 0, "play_ms": 0, "end_ms": 0, "clean_up_ms": 0},
    "log_lines": 3, "job_events": 4, "log_gap": null, "ending": null, "action": "vm_start",
}))]
pub struct RunBody {
    /// The id, a UUIDv7: later runs have greater ids.
    #[schema(value_type = String, format = "uuid")]
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
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When the run started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Timestamp>,
    /// When the run ended.
    #[schema(value_type = Option<String>, format = DateTime)]
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

/// A position in the queue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Place)]
pub struct QueuePosition {
    /// The position; 1 is next.
    pub position: usize,
    /// What the run waits for.
    pub reason: String,
}

/// The number of hosts by status. A changed host also counts as ok, a failed host as neither.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostCounts {
    /// Hosts without a failed task.
    pub ok: usize,
    /// Hosts without a failed task on which something changed.
    pub changed: usize,
    /// Hosts with a failed task and unreachable hosts.
    pub failed: usize,
}

/// The progress of a run.
#[derive(Debug, Serialize, ToSchema)]
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

/// The duration of each phase of a run in milliseconds, summed over its playbooks.
#[derive(Debug, Serialize, ToSchema)]
pub struct Phases {
    /// Waiting in the queue.
    pub queue_ms: u64,
    /// Looking up the guest in the Proxmox API.
    pub look_up_ms: u64,
    /// Creating the private data dir and copying the playbooks into it.
    pub prepare_ms: u64,
    /// Starting ansible-runner and Ansible, until the first job event.
    pub start_ms: u64,
    /// Running the playbook, until its recap.
    pub play_ms: u64,
    /// Waiting for Ansible and ansible-runner to exit.
    pub end_ms: u64,
    /// Removing the private data dir.
    pub clean_up_ms: u64,
}

/// The state of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = State)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The run is in the queue. Nothing has been started.
    Queued,
    /// The run is in progress.
    Running,
    /// The run is being stopped after a cancel request, at its time limit or at shutdown.
    Canceling,
    /// All playbooks succeeded.
    Succeeded,
    /// A failure was reported.
    Failed,
    /// The run was canceled before it completed.
    Canceled,
    /// The run exceeded its time limit and was stopped.
    TimedOut,
    /// There is no trustworthy report of how the run ended.
    Unknown,
}

/// Why a run is ended before it completes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// A client canceled the run.
    Asked,
    /// The run exceeded its time limit.
    TimeLimit,
    /// The server is shutting down.
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
            queue: record.queue.as_ref().map(QueuePosition::from),
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

impl From<&record::QueuePosition> for QueuePosition {
    fn from(from: &record::QueuePosition) -> Self {
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

impl From<state::RunState> for RunState {
    fn from(from: state::RunState) -> Self {
        match from {
            state::RunState::Queued => Self::Queued,
            state::RunState::Running => Self::Running,
            state::RunState::Canceling => Self::Canceling,
            state::RunState::Succeeded => Self::Succeeded,
            state::RunState::Failed => Self::Failed,
            state::RunState::Canceled => Self::Canceled,
            state::RunState::TimedOut => Self::TimedOut,
            state::RunState::Unknown => Self::Unknown,
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
