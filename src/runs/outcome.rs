//! How a run ended: its result, or why there is none; in which state, and how that is explained to
//! clients.

use serde_json::Value;

use crate::runs::record::{Record, now};
use crate::runs::state::{CANCEL_NOTE, Ending, RunState};

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

/// Returns the final record and outcome of a run that ended with `outcome`.
pub(super) fn conclude(mut record: Record, outcome: Outcome) -> (Record, Outcome) {
    record.ended = Some(now());
    record.queue = None;
    let outcome = match record.ending {
        Some(ending) => {
            record.state = ending.state();
            record.explanation = explain_early_end(&record, ending, &outcome);
            let ended = match outcome {
                Outcome::Finished(ended) => ended,
                _ => RunResult::default(),
            };
            Outcome::Finished(RunResult { error: Some(record.explanation.clone()), ..ended })
        }
        None => {
            (record.state, record.explanation) = state_and_explanation(&outcome);
            outcome
        }
    };
    match &outcome {
        Outcome::Finished(ended) => {
            record.rc = ended.rc;
            record.error.clone_from(&ended.error);
        }
        Outcome::NotFound(reason)
        | Outcome::Refused(reason)
        | Outcome::Failed(reason)
        | Outcome::Unknown(reason) => record.error = Some(reason.clone()),
    }
    (record, outcome)
}

/// The state and explanation of a run whose end was not requested.
fn state_and_explanation(outcome: &Outcome) -> (RunState, String) {
    match outcome {
        Outcome::Finished(RunResult { rc: Some(0), .. }) => {
            (RunState::Succeeded, "The run succeeded.".to_owned())
        }
        Outcome::Finished(RunResult { rc: Some(rc), .. }) => {
            (RunState::Failed, format!("A playbook failed with exit code {rc}."))
        }
        Outcome::Finished(RunResult { rc: None, reported: true, .. }) => {
            let explanation = "A playbook was terminated by a signal that the server did not send.";
            (RunState::Failed, explanation.to_owned())
        }
        Outcome::Finished(RunResult { rc: None, reported: false, .. }) => {
            let explanation = "ansible-runner was killed, so it is unknown how far the playbook \
                               got. Its remaining processes were stopped.";
            (RunState::Unknown, explanation.to_owned())
        }
        Outcome::NotFound(reason) => (RunState::Failed, format!("Nothing was changed: {reason}.")),
        Outcome::Refused(reason) => (RunState::Failed, format!("Nothing was started: {reason}.")),
        Outcome::Failed(reason) => (RunState::Failed, format!("The run failed: {reason}.")),
        Outcome::Unknown(reason) => {
            (RunState::Unknown, format!("The outcome of the run is unknown: {reason}."))
        }
    }
}

/// The explanation of a run whose end was requested.
fn explain_early_end(record: &Record, ending: Ending, outcome: &Outcome) -> String {
    if record.started.is_none() {
        return format!("{} before it started. Nothing was changed.", ending.reason());
    }
    let late = match outcome {
        Outcome::Finished(RunResult { rc: Some(0), .. }) => " A playbook had just succeeded.",
        _ => "",
    };
    format!("{}.{late} Its processes on this server have ended. {CANCEL_NOTE}", ending.reason())
}
