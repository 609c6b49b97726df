//! Runs: from a planned request to a recorded outcome, independent of the client's connection.
//!
//! [`service`] accepts a run and [`scheduler`] decides when it starts. Each run has a task of its
//! own: `lifecycle` drives it to its end, `worker` executes its playbooks, `recorder` turns
//! their job events into a log, a result and counts. Logs are stored in [`log`], everything else
//! that is known of a run in [`store`]. `recovery` settles the runs of a server that was killed.

pub mod claims;
mod context;
mod joining;
mod lifecycle;
pub mod log;
pub mod look_up;
mod metrics;
mod outcome;
pub mod phases;
pub mod record;
mod recorder;
mod recovery;
mod run;
pub mod scheduler;

mod sealing;
mod secrets;
pub mod service;
pub mod spec;
pub mod state;
pub mod store;
mod worker;

pub use crate::runs::metrics::RunMetrics;
pub use crate::runs::outcome::{Outcome, RunResult};
pub use crate::runs::run::{Run, RunSnapshot};
pub use crate::runs::service::{AnyRun, ReadError, Runs, StartError};
pub use crate::runs::spec::RunSpec;
pub use crate::runs::state::{Ending, RunState};
