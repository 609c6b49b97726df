//! How a run ended: its result, or why there is none.

use serde_json::Value;

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The run ended with a result: its playbooks finished, failed or were stopped.
    Finished(RunResult),
    /// The guest does not exist.
    NotFound(String),
    /// The server's configuration does not allow the run. Nothing was started.
    Refused(String),
    /// The run failed without a result.
    Failed(String),
    /// There is no trustworthy report of how the run ended.
    Unknown(String),
}

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct RunResult {
    /// The exit code of ansible-playbook, or `None` if a signal terminated it.
    pub rc: Option<i32>,
    /// The values reported for the plan's action.
    pub result: Vec<Value>,
    /// The number of the first log line of the last playbook.
    pub log_from: u64,
    /// Why the run failed, if it did.
    pub error: Option<String>,
    /// Whether ansible-runner reported how the playbook ended.
    pub reported: bool,
}
