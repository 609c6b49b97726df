//! One playbook run, watched to its end.

use std::io;

use thiserror::Error;

use super::engine::{Engine, Job, RUNNER_LOG};
use super::events::JobEvent;
use super::job_events::{JobEvents, ReadEvent, UnreadableEvent};

/// How a playbook run ended that ran at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The exit code of ansible-playbook as ansible-runner reports it. Zero is success.
    pub rc: Option<i32>,
}

/// A run that has no result to show. None of these is ever reported as success.
#[derive(Debug, Error)]
pub enum ExecutionError {
    /// The runner is not there, or may not be executed.
    #[error("ansible-runner cannot be started: {0}")]
    CannotStart(io::Error),
    /// The runner ended without saying how the playbook did.
    #[error("ansible-runner ended without a result ({exit}): {said}")]
    NoResult {
        /// Its own exit code, in words.
        exit: String,
        /// The last line it printed.
        said: String,
    },
    /// Success was reported, but the recap that Ansible prints at every end is missing.
    #[error("the playbook ended without a recap, so its success cannot be believed")]
    NoRecap,
    /// The playbook ran on nothing, which Ansible calls a success.
    #[error("no host of the inventory was matched, so nothing was done")]
    NoHosts,
    /// A job event is damaged.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// The system failed while the run was watched.
    #[error("the run could not be watched: {0}")]
    Io(#[from] io::Error),
}

/// Runs `job` on `engine` and hands every job event, in order, to `on_event` as it comes.
pub async fn execute(
    engine: &dyn Engine,
    job: &Job,
    on_event: &mut (dyn FnMut(ReadEvent) + Send),
) -> Result<End, ExecutionError> {
    let mut job_events = JobEvents::watch(&job.artifacts().join("job_events"))?;
    let mut launched = engine.launch(job).await.map_err(ExecutionError::CannotStart)?;
    tracing::debug!(pid = launched.pid, engine = engine.name(), "the runner has started");
    let mut recap = Recap::default();
    let mut see = |reads: Vec<ReadEvent>| {
        for read in reads {
            recap.see(&read.event);
            on_event(read);
        }
    };
    // A damaged event spoils the result, not the run: its process is waited for all the same.
    let mut damaged = None;
    let exit = loop {
        tokio::select! {
            ended = &mut launched.ended => break ended?,
            events = job_events.changed() => match events {
                Ok(reads) => see(reads),
                Err(unreadable) => damaged = Some(unreadable),
            }
        }
    };
    if let Some(unreadable) = damaged {
        return Err(unreadable.into());
    }
    see(job_events.rest()?);
    let reported = reported_rc(job);
    match reported.unwrap_or(exit) {
        // The runner's own failures (bad arguments, a broken venv) leave no artifacts.
        _ if reported.is_none() && !recap.any_event => Err(no_result(job, exit)),
        Some(0) if !recap.printed => Err(ExecutionError::NoRecap),
        Some(0) if recap.unmatched && !recap.any_host => Err(ExecutionError::NoHosts),
        rc => Ok(End { rc }),
    }
}

/// What the events say about whether the playbook ran at all.
#[derive(Debug, Default)]
struct Recap {
    any_event: bool,
    any_host: bool,
    unmatched: bool,
    printed: bool,
}

impl Recap {
    fn see(&mut self, event: &JobEvent) {
        self.any_event = true;
        match event.event.as_str() {
            "playbook_on_stats" => self.printed = true,
            "playbook_on_no_hosts_matched" => self.unmatched = true,
            kind if kind.starts_with("runner_on_") => self.any_host = true,
            _ => {}
        }
    }
}

/// The `rc` that ansible-runner writes when it is done, if it did. It writes `None` where a
/// signal ended ansible-playbook.
fn reported_rc(job: &Job) -> Option<Option<i32>> {
    let text = std::fs::read_to_string(job.artifacts().join("rc")).ok()?;
    Some(text.trim().parse().ok())
}

fn no_result(job: &Job, exit: Option<i32>) -> ExecutionError {
    let log = std::fs::read(job.private_data_dir.join(RUNNER_LOG)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let said = log.lines().rev().find(|line| !line.trim().is_empty());
    ExecutionError::NoResult {
        exit: exit
            .map_or_else(|| "ended by a signal".to_owned(), |code| format!("exit code {code}")),
        said: said.unwrap_or("it printed nothing").trim().to_owned(),
    }
}
