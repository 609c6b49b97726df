//! One playbook run, watched to its end.

use std::io;

use futures_util::future::{BoxFuture, FutureExt};
use thiserror::Error;
use tokio::sync::watch;

use crate::ansible::events::JobEvent;
use crate::ansible::executor::{Engine, Job, LaunchError, RUNNER_LOG};
use crate::ansible::job_events::{JobEvents, ReadEvent, UnreadableEvent};
use crate::ansible::reaper;
use crate::ansible::reaper::{Process, Stop};

/// How a playbook run ended that ran at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The exit code of ansible-playbook as ansible-runner reports it. Zero is success.
    pub rc: Option<i32>,
    /// False where the runner itself was killed, so that nobody reported anything.
    pub reported: bool,
}

/// A run that has no result to show. None of these is ever reported as success.
#[derive(Debug, Error)]
pub enum ExecutionError {
    /// The runner is not there, or may not be executed.
    #[error("ansible-runner cannot be started: {0}")]
    CannotStart(io::Error),
    /// What the runner writes could not be followed, so it was not started.
    #[error("the job events cannot be watched, so nothing was started: {0}")]
    CannotWatch(io::Error),
    /// The runner may have been started. What there was of it has been ended.
    #[error("it cannot be told whether ansible-runner was started: {0}")]
    MayHaveStarted(io::Error),
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

impl ExecutionError {
    /// Whether what the playbook did, if anything, cannot be told.
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::CannotStart(_) | Self::CannotWatch(_) => false,
            Self::NoHosts | Self::NoResult { .. } => false,
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

/// Who takes the job events of a run, in order, as they come.
pub trait Watcher: Send {
    /// Takes the next events. The run is not read further until this is done, so that a slow
    /// disk holds events back on disk rather than in memory.
    fn see(&mut self, events: Vec<ReadEvent>) -> BoxFuture<'_, ()>;
}

/// Runs `job` on `engine` to its end, or ends it when `stop` says so.
///
/// On return no process of the run is left that the run did not mean to leave: after a run
/// that was stopped, that ended without a report, or whose start failed, all of them are ended.
pub async fn execute(
    engine: &dyn Engine,
    job: &Job,
    watcher: &mut dyn Watcher,
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
    tracing::debug!(pid = launched.pid, engine = engine.name(), "the runner has started");
    let mut recap = Recap::default();
    // A damaged event spoils the result, not the run: its process is waited for all the same.
    let mut damaged = None;
    let mut exit = None;
    let mut ending = end_when_asked(job, root, stop).boxed();
    let mut ended_by_us = false;
    while exit.is_none() || (*stop.borrow() != Stop::No && !ended_by_us) {
        tokio::select! {
            ended = &mut launched.ended, if exit.is_none() => exit = Some(ended),
            () = &mut ending, if !ended_by_us => ended_by_us = true,
            events = job_events.changed(), if damaged.is_none() => match events {
                Ok(reads) => recap.pass(reads, watcher).await,
                Err(unreadable) => damaged = Some(unreadable),
            },
        }
    }
    drop(ending);
    let exit = exit.unwrap_or_else(|| Err(io::Error::other("its end was not seen")));
    let rest = match damaged {
        None => job_events.rest(),
        Some(unreadable) => Err(unreadable),
    };
    let end = match (exit, rest) {
        (Ok(exit), Ok(rest)) => {
            recap.pass(rest, watcher).await;
            judge(job, exit, &recap, ended_by_us)
        }
        (Err(failed), _) => Err(failed.into()),
        (_, Err(unreadable)) => Err(unreadable.into()),
    };
    if !ended_by_us && !matches!(end, Ok(End { reported: true, .. })) {
        end_all(job, root, &watch::channel(Stop::AtOnce).1).await;
    }
    end
}

fn judge(
    job: &Job,
    exit: Option<i32>,
    recap: &Recap,
    ended_by_us: bool,
) -> Result<End, ExecutionError> {
    let reported = reported_rc(&job.artifacts());
    if ended_by_us {
        return Ok(End { rc: reported.flatten(), reported: reported.is_some() });
    }
    match reported.unwrap_or(exit) {
        // The runner's own failures (bad arguments, a broken venv) leave no artifacts.
        _ if reported.is_none() && !recap.any_event => Err(no_result(job, exit)),
        Some(0) if !recap.printed => Err(ExecutionError::NoRecap),
        Some(0) if recap.unmatched && !recap.any_host => Err(ExecutionError::NoHosts),
        rc => Ok(End { rc, reported: reported.is_some() || exit.is_some() }),
    }
}

async fn end_when_asked(job: &Job, root: Option<Process>, stop: &watch::Receiver<Stop>) {
    reaper::asked_to_stop(stop).await;
    end_all(job, root, stop).await;
}

/// Looking through `/proc` blocks, so it is done where blocking is allowed.
async fn end_all(job: &Job, root: Option<Process>, stop: &watch::Receiver<Stop>) {
    let (run_id, stop) = (job.run_id.clone(), stop.clone());
    let ended = tokio::task::spawn_blocking(move || reaper::end(&run_id, root, &stop));
    if let Err(error) = ended.await {
        tracing::error!(%error, "the processes of a run could not be ended");
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
    async fn pass(&mut self, events: Vec<ReadEvent>, watcher: &mut dyn Watcher) {
        events.iter().for_each(|read| self.see(&read.event));
        if !events.is_empty() {
            watcher.see(events).await;
        }
    }

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

/// The `rc` that ansible-runner writes below `artifacts` when it is done, if it did. It writes
/// `None` where a signal ended ansible-playbook.
pub fn reported_rc(artifacts: &std::path::Path) -> Option<Option<i32>> {
    let text = std::fs::read_to_string(artifacts.join("rc")).ok()?;
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
            panic!("it must not be launched")
        }
    }

    impl Watcher for Unused {
        fn see(&mut self, _: Vec<ReadEvent>) -> BoxFuture<'_, ()> {
            std::future::ready(()).boxed()
        }
    }

    #[tokio::test]
    async fn what_cannot_be_watched_is_not_started_and_that_is_known() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let job = Job {
            run_id: "none".to_owned(),
            // A file, in which no folder for job events can be made.
            private_data_dir: file.path().to_owned(),
            playbook: PathBuf::new(),
            inventory: PathBuf::new(),
            limit: None,
            arguments: Vec::new(),
        };
        let stop = watch::channel(Stop::No).1;
        let error = execute(&Unused, &job, &mut Unused, &stop).await.unwrap_err();
        assert!(matches!(error, ExecutionError::CannotWatch(_)), "{error}");
        assert!(!error.leaves_doubt());
    }
}
