//! The states of a run and the transitions between them, and why a run can be ended early.

use serde::{Deserialize, Serialize};

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl RunState {
    /// All states, in the order in which a run can pass through them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Canceling,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
        Self::TimedOut,
        Self::Unknown,
    ];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Canceling => "canceling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the state with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a run in this state has ended.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Canceling)
    }

    /// Whether a run may go from this state to `next`. A run that is canceling, for example, does
    /// not become succeeded, even if its playbook succeeds.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Canceled | Self::Unknown),
            Self::Running => {
                matches!(next, Self::Canceling | Self::Succeeded | Self::Failed | Self::Unknown)
            }
            Self::Canceling => matches!(next, Self::Canceled | Self::TimedOut | Self::Unknown),
            _ => false,
        }
    }
}

/// Why a run is ended before it completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// A client canceled the run.
    Asked,
    /// The run exceeded its time limit.
    TimeLimit,
    /// The server is shutting down.
    Shutdown,
}

/// What canceling a run in progress does not undo.
pub const CANCEL_NOTE: &str = "Tasks that Proxmox has accepted continue there, and changes already \
                              made are not rolled back.";

impl Ending {
    /// The final state of a run that is ended for this reason.
    pub fn state(self) -> RunState {
        match self {
            Self::Asked | Self::Shutdown => RunState::Canceled,
            Self::TimeLimit => RunState::TimedOut,
        }
    }

    /// The reason as the beginning of a sentence.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Asked => "The run was canceled on request",
            Self::TimeLimit => "The run exceeded its time limit and was stopped",
            Self::Shutdown => "The run was canceled because the server was shut down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_have_no_successor() {
        for state in RunState::ALL {
            let next: Vec<RunState> =
                RunState::ALL.into_iter().filter(|next| state.may_become(*next)).collect();
            assert_eq!(state.is_final(), next.is_empty(), "{state:?} → {next:?}");
            assert_eq!(RunState::of_name(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert!(!RunState::Canceling.may_become(RunState::Succeeded));
    }
}
