//! The states of a run, and the only ways from one to the next.

use serde::{Deserialize, Serialize};

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl State {
    /// All states, in the order of a life.
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

    /// The name that clients see.
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

    /// The state of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing comes after it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Canceling)
    }

    /// Whether `next` may follow. A late success, for one, does not follow `canceling`.
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

/// Why a run is ended before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Somebody asked for it.
    Asked,
    /// It took longer than a run may.
    TimeLimit,
    /// The server ends.
    Shutdown,
}

/// What a client must know of every run that was ended at work.
pub const CANNOT_UNDO: &str = "Its processes on this server have ended; a task that Proxmox has \
                               accepted goes on there, and what was changed stays changed.";

impl Ending {
    /// The state that it leads to.
    pub fn state(self) -> State {
        match self {
            Self::Asked | Self::Shutdown => State::Canceled,
            Self::TimeLimit => State::TimedOut,
        }
    }

    /// The reason, as the beginning of a sentence.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Asked => "The run was canceled on request",
            Self::TimeLimit => "The run took longer than a run may and was ended",
            Self::Shutdown => "The run was canceled because the server was shut down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_the_end() {
        for state in State::ALL {
            let next: Vec<State> =
                State::ALL.into_iter().filter(|next| state.may_become(*next)).collect();
            assert_eq!(state.is_final(), next.is_empty(), "{state:?} → {next:?}");
            assert_eq!(State::of_name(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert!(!State::Canceling.may_become(State::Succeeded));
    }
}
