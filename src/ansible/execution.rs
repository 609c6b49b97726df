//! Executes one playbook run and reports how it ended.

use std::io;

use futures_util::future::{BoxFuture, FutureExt};
use thiserror::Error;
use tokio::sync::watch;

use crate::ansible::events::JobEvent;
use crate::ansible::executor::{Engine, Job, LaunchError, RUNNER_LOG};
use crate::ansible::job_events::{JobEvents, ReadEvent, UnreadableEvent};
use crate::ansible::reaper;
use crate::ansible::reaper::{Process, Stop};

/// The end of a playbook run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The exit code of ansible-playbook as reported by ansible-runner. Zero means success.
    pub rc: Option<i32>,
    /// Whether anything was reported. False if ansible-runner itself was killed.
    pub reported: bool,
}

/// Why a run has no result. None of these is reported as success.
#[derive(Debug, Error)]
pub enum ExecutionError {
    /// ansible-runner is missing or not executable.
    #[error("cannot start ansible-runner: {0}")]
    CannotStart(io::Error),
    /// The job events directory could not be watched, so ansible-runner was not started.
    #[error("cannot watch the job events, so nothing was started: {0}")]
    CannotWatch(io::Error),
    /// ansible-runner may have been started. Its processes, if any, have been ended.
    #[error("ansible-runner may have been started: {0}")]
    MayHaveStarted(io::Error),
    /// ansible-runner exited without reporting a result.
    #[error("ansible-runner ended without a result ({}): {last_line}", in_words(*.exit))]
    NoResult {
        /// The exit code of ansible-runner, or `None` if a signal terminated it.
        exit: Option<i32>,
        /// The last line that ansible-runner printed.
        last_line: String,
    },
    /// Success was reported without the recap that Ansible always prints at the end.
    #[error("the playbook ended without a recap, so its reported success cannot be trusted")]
    NoRecap,
    /// The playbook ran on no host, which Ansible reports as success.
    #[error("no hosts of the inventory matched, so nothing was done")]
    NoHosts,
    /// A job event is corrupt.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// An I/O error interrupted the watch on the run.
    #[error("cannot watch the run: {0}")]
    Io(#[from] io::Error),
}

impl ExecutionError {
    /// Returns true if it is unknown what the playbook did, if anything.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::CannotStart(_) | Self::CannotWatch(_) => false,
            Self::NoHosts => false,
            // A runner that exits by itself has reported what was wrong. One that was killed may
            // have started the playbook before.
            Self::NoResult { exit, .. } => exit.is_none(),
            Self::MayHaveStarted(_) | Self::NoRecap | Self::Unreadable(_) | Self::Io(_) => true,
        }
    }
}

impl From<LaunchError> for ExecutionError {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::NothingStarted(error) => Self::CannotStart(error),
            LaunchError::Unknown(error) => Self::MayHaveStarted(error),
        }
    }
}

/// Receives the job events of a run in order, as they are written.
pub trait EventSink: Send {
    /// Receives the next events. No further events are read until the future completes, so a slow
    /// sink leaves the backlog on disk rather than in memory.
    fn receive(&mut self, events: Vec<ReadEvent>) -> BoxFuture<'_, ()>;
}

/// Runs `job` on `engine` until it ends or `stop` is raised.
///
/// If the run was stopped, ended without a report or failed to start, all of its processes have
/// been ended on return. Processes that a successful playbook leaves behind keep running.
///
/// # Errors
///
/// Returns an [`ExecutionError`] if there is no result to report.
pub async fn execute(
    engine: &dyn Engine,
    job: &Job,
    sink: &mut dyn EventSink,
    stop: &watch::Receiver<Stop>,
) -> Result<End, ExecutionError> {
    let job_events = JobEvents::watch(&job.artifacts().join("job_events"));
    let mut job_events = job_events.map_err(ExecutionError::CannotWatch)?;
    let mut launched = match engine.launch(job).await {
        Ok(launched) => launched,
        Err(error) => {
            end_all(job, None, &watch::channel(Stop::AtOnce).1).await;
            return Err(error.into());
        }
    };
    let root = reaper::identify(launched.pid);
    tracing::debug!(pid = launched.pid, engine = engine.name(), "ansible-runner has started");
    let mut observed = Observed::default();
    // A corrupt event invalidates the result, but the process is still waited for.
    let mut corrupt = None;
    let mut exit = None;
    let mut ending = end_when_stopped(job, root, stop).boxed();
    let mut ended_by_us = false;
    while exit.is_none() || (*stop.borrow() != Stop::No && !ended_by_us) {
        tokio::select! {
            ended = &mut launched.ended, if exit.is_none() => exit = Some(ended),
            () = &mut ending, if !ended_by_us => ended_by_us = true,
            changes = job_events.changed(), if corrupt.is_none() => {
                let read = match changes {
                    Ok(changes) => job_events.read(changes).await,
                    Err(error) => Err(error),
                };
                match read {
                    Ok(events) => observed.forward(events, sink).await,
                    Err(unreadable) => corrupt = Some(unreadable),
                }
            }
        }
    }
    drop(ending);
    let exit = exit
        .unwrap_or_else(|| Err(io::Error::other("the exit of ansible-runner was not observed")));
    let rest = match corrupt {
        None => job_events.finish().await,
        Some(unreadable) => Err(unreadable),
    };
    let end = match (exit, rest) {
        (Ok(exit), Ok(rest)) => {
            observed.forward(rest, sink).await;
            evaluate(job, exit, &observed, ended_by_us)
        }
        (Err(failed), _) => Err(failed.into()),
        (_, Err(unreadable)) => Err(unreadable.into()),
    };
    if !ended_by_us && !matches!(end, Ok(End { reported: true, .. })) {
        end_all(job, root, &watch::channel(Stop::AtOnce).1).await;
    }
    end
}

fn evaluate(
    job: &Job,
    exit: Option<i32>,
    observed: &Observed,
    ended_by_us: bool,
) -> Result<End, ExecutionError> {
    let reported = reported_rc(&job.artifacts());
    if ended_by_us {
        return Ok(End { rc: reported.flatten(), reported: reported.is_some() });
    }
    match reported.unwrap_or(exit) {
        // ansible-runner's own failures (bad arguments, a broken venv) leave no artifacts.
        _ if reported.is_none() && !observed.any_event => Err(no_result(job, exit)),
        Some(0) if !observed.recap => Err(ExecutionError::NoRecap),
        Some(0) if observed.no_hosts_matched && !observed.any_host => Err(ExecutionError::NoHosts),
        rc => Ok(End { rc, reported: reported.is_some() || exit.is_some() }),
    }
}

async fn end_when_stopped(job: &Job, root: Option<Process>, stop: &watch::Receiver<Stop>) {
    reaper::stop_requested(stop).await;
    end_all(job, root, stop).await;
}

/// Scanning `/proc` blocks, so it runs on a blocking thread.
async fn end_all(job: &Job, root: Option<Process>, stop: &watch::Receiver<Stop>) {
    let (run_id, stop) = (job.run_id.clone(), stop.clone());
    let ended = tokio::task::spawn_blocking(move || reaper::end(&run_id, root, &stop));
    if let Err(error) = ended.await {
        tracing::error!(%error, "the task that ends the processes of a run failed");
    }
}

/// The events that tell whether the playbook ran at all.
#[derive(Debug, Default)]
struct Observed {
    any_event: bool,
    any_host: bool,
    no_hosts_matched: bool,
    recap: bool,
}

impl Observed {
    async fn forward(&mut self, events: Vec<ReadEvent>, sink: &mut dyn EventSink) {
        events.iter().for_each(|read| self.observe(&read.event));
        if !events.is_empty() {
            sink.receive(events).await;
        }
    }

    fn observe(&mut self, event: &JobEvent) {
        self.any_event = true;
        match event.event.as_str() {
            "playbook_on_stats" => self.recap = true,
            "playbook_on_no_hosts_matched" => self.no_hosts_matched = true,
            kind if kind.starts_with("runner_on_") => self.any_host = true,
            _ => {}
        }
    }
}

/// Reads the `rc` file that ansible-runner writes to `artifacts` at the end.
///
/// Returns `None` if there is none, and `Some(None)` if a signal killed ansible-playbook, for
/// which ansible-runner writes the text `None`.
///
/// # Blocking
///
/// Reads a file.
pub fn reported_rc(artifacts: &std::path::Path) -> Option<Option<i32>> {
    let text = std::fs::read_to_string(artifacts.join("rc")).ok()?;
    Some(text.trim().parse().ok())
}

fn no_result(job: &Job, exit: Option<i32>) -> ExecutionError {
    let log = std::fs::read(job.private_data_dir.join(RUNNER_LOG)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let last_line = log.lines().rev().find(|line| !line.trim().is_empty());
    let last_line = last_line.unwrap_or("it printed nothing").trim().to_owned();
    ExecutionError::NoResult { exit, last_line }
}

fn in_words(exit: Option<i32>) -> String {
    exit.map_or_else(|| "killed by a signal".to_owned(), |code| format!("exit code {code}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::ansible::executor::Launched;

    struct Unused;

    impl Engine for Unused {
        fn name(&self) -> &'static str {
            "unused"
        }

        fn launch<'a>(&'a self, _: &'a Job) -> BoxFuture<'a, Result<Launched, LaunchError>> {
            panic!("must not be launched")
        }
    }

    impl EventSink for Unused {
        fn receive(&mut self, _: Vec<ReadEvent>) -> BoxFuture<'_, ()> {
            std::future::ready(()).boxed()
        }
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_watched_is_not_started() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let job = Job {
            run_id: "none".to_owned(),
            // A file, so the job events directory cannot be created in it.
            private_data_dir: file.path().to_owned(),
            playbook: PathBuf::new(),
            inventory: PathBuf::new(),
            limit: None,
            arguments: Vec::new(),
        };
        let stop = watch::channel(Stop::No).1;
        let error = execute(&Unused, &job, &mut Unused, &stop).await.unwrap_err();
        assert!(matches!(error, ExecutionError::CannotWatch(_)), "{error}");
        assert!(!error.is_ambiguous());
    }
}
