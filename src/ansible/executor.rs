//! The interface between this service and whatever executes a playbook run.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use thiserror::Error;

/// The file in the private data dir that receives the output of ansible-runner itself.
pub const RUNNER_LOG: &str = "runner.log";

/// The environment variable that marks every process of a run, so that all of them can be found.
pub const RUN_ID_VARIABLE: &str = "RANGE42_RUN_ID";

/// The engine that starts a new `ansible-runner` process for each run.
pub const PROCESS: &str = "process";

/// The engine that forks a Python process in which Ansible is already loaded.
pub const WARM: &str = "warm";

/// The names of all engines.
pub const NAMES: [&str; 2] = [PROCESS, WARM];

/// The input of an engine: a prepared private data dir and the arguments of ansible-runner.
#[derive(Debug, Clone)]
pub struct Job {
    /// The ID of the run, also ansible-runner's `ident`.
    pub run_id: String,
    /// The private data dir.
    pub private_data_dir: PathBuf,
    /// The path of the playbook, relative to `project/`.
    pub playbook: PathBuf,
    /// The absolute path of the inventory file.
    pub inventory: PathBuf,
    /// The value of `--limit`.
    pub limit: Option<String>,
    /// Additional arguments for ansible-playbook, unquoted.
    pub arguments: Vec<String>,
}

impl Job {
    /// Returns the command-line arguments of ansible-runner for this job.
    ///
    /// # Errors
    ///
    /// Returns [`io::ErrorKind::InvalidInput`] if an argument of ansible-playbook contains a NUL
    /// byte, which cannot be quoted.
    pub fn runner_arguments(&self) -> io::Result<Vec<OsString>> {
        let mut arguments: Vec<OsString> = vec![
            "run".into(),
            self.private_data_dir.clone().into(),
            "--quiet".into(),
            "--ident".into(),
            self.run_id.clone().into(),
            "--playbook".into(),
            self.playbook.clone().into(),
            "--inventory".into(),
            self.inventory.clone().into(),
        ];
        // With `=`, a value that begins with a dash is not parsed as an option.
        arguments.extend(self.limit.as_ref().map(|limit| format!("--limit={limit}").into()));
        if !self.arguments.is_empty() {
            arguments.push(format!("--cmdline={}", quote_all(&self.arguments)?).into());
        }
        Ok(arguments)
    }

    /// Returns the directory that ansible-runner writes its artifacts to.
    pub fn artifacts(&self) -> PathBuf {
        self.private_data_dir.join("artifacts").join(&self.run_id)
    }
}

/// ansible-runner 2.4 takes the arguments of ansible-playbook as one string and splits it with
/// `shlex.split`, so each argument is quoted for a shell.
fn quote_all(arguments: &[String]) -> io::Result<String> {
    shlex::try_join(arguments.iter().map(String::as_str))
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
}

/// A process that executes a job.
pub struct Launched {
    /// The process ID.
    pub pid: u32,
    /// Resolves to the exit code when the process exits, or to `None` if a signal killed it.
    pub ended: BoxFuture<'static, io::Result<Option<i32>>>,
}

/// Why a job has no process that can be watched.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// Nothing was started.
    #[error("{0}")]
    NothingStarted(#[from] io::Error),
    /// A process may have been started and may still be running.
    #[error("{0}")]
    Unknown(io::Error),
}

/// Starts playbook runs.
///
/// The process must behave like `ansible-runner run`: read its input from the private data dir
/// and write job events, `rc` and `status` to the artifacts directory of the job.
pub trait Engine: Send + Sync {
    /// Returns the name of the engine for metrics and logs.
    fn name(&self) -> &'static str;

    /// Returns the name of the engine that would start a run now: this one, or its fallback.
    fn active_name(&self) -> &'static str {
        self.name()
    }

    /// Describes the current state of the engine for operators.
    fn describe(&self) -> String {
        self.name().to_owned()
    }

    /// Releases what the engine keeps for future runs. Called once, at shutdown.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Starts the process.
    ///
    /// # Errors
    ///
    /// Returns [`LaunchError::NothingStarted`] if no process exists, and
    /// [`LaunchError::Unknown`] if one may exist.
    fn launch<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Launched, LaunchError>>;
}
