//! What starts a playbook run: the seam between this service and ansible-runner.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::process::Command;

/// The file below the private data dir that takes what the runner itself prints.
pub const RUNNER_LOG: &str = "runner.log";

/// The variable that every process of a run carries, so that all of them can be found.
pub const RUN_ID_VARIABLE: &str = "RANGE42_RUN_ID";

/// Variables of the server that no run may see.
const SECRETS: [&str; 2] = ["VAULT_PASSWORD", "RANGE42_GATEWAY_SECRET"];

/// Variables that change what ansible-runner 2.4 runs or reports, whatever the private data dir
/// says: its command line takes the first five as defaults of options (`__main__.py`), and its
/// callback plugin leaves events out or fails because of the others (`awx_display.py`).
/// `ANSIBLE_ROLES_PATH` reaches ansible-playbook through `env/envvars`, ours after the user's.
const READ_BY_THE_RUNNER: [&str; 10] = [
    "ANSIBLE_ROLES_PATH",
    "RUNNER_BINARY",
    "RUNNER_PLAYBOOK",
    "RUNNER_ROLE",
    "RUNNER_MODULE",
    "RUNNER_OMIT_EVENTS",
    "RUNNER_ONLY_FAILED_EVENTS",
    "JOB_ID",
    "AD_HOC_COMMAND_ID",
    "PROJECT_UPDATE_ID",
];

/// The engine that starts a new `ansible-runner` for each run.
pub const PROCESS: &str = "process";

/// The engine that forks a Python that has Ansible loaded.
pub const WARM: &str = "warm";

/// The names of all engines.
pub const NAMES: [&str; 2] = [PROCESS, WARM];

/// What an engine is given: a finished private data dir and how to call Ansible on it.
#[derive(Debug, Clone)]
pub struct Job {
    /// The id of the run, also ansible-runner's `ident`.
    pub run_id: String,
    /// The private data dir.
    pub private_data_dir: PathBuf,
    /// The playbook, below `project/`.
    pub playbook: PathBuf,
    /// The inventory file, absolute.
    pub inventory: PathBuf,
    /// `--limit`.
    pub limit: Option<String>,
    /// Further arguments of ansible-playbook, one word each.
    pub arguments: Vec<String>,
}

impl Job {
    /// What ansible-runner is called with.
    pub fn words(&self) -> io::Result<Vec<OsString>> {
        let mut words: Vec<OsString> = vec![
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
        // Joined by `=`, so that no value can be taken for an option of the runner.
        words.extend(self.limit.as_ref().map(|limit| format!("--limit={limit}").into()));
        if !self.arguments.is_empty() {
            words.push(format!("--cmdline={}", quoted_words(&self.arguments)?).into());
        }
        Ok(words)
    }

    /// The folder that the engine's process writes its artifacts to.
    pub fn artifacts(&self) -> PathBuf {
        self.private_data_dir.join("artifacts").join(&self.run_id)
    }
}

/// A process at work on a job.
pub struct Launched {
    /// Its process id.
    pub pid: u32,
    /// Ready when it has ended, with its exit code; none when a signal ended it.
    pub ended: BoxFuture<'static, io::Result<Option<i32>>>,
}

/// Why a run has no process that could be watched.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// Nothing was started.
    #[error("{0}")]
    NothingStarted(#[from] io::Error),
    /// Something may have been started and be at work: whoever should have told did not.
    #[error("{0}")]
    Unknown(io::Error),
}

/// Starts playbook runs. The process must behave as `ansible-runner run` does: take its input
/// from the private data dir, write job events, `rc` and `status` below the job's artifacts.
pub trait Engine: Send + Sync {
    /// A name for metrics and logs.
    fn name(&self) -> &'static str;

    /// The name of the engine that would start a run now: this one, or the one that it leaves
    /// runs to where it cannot.
    fn serves(&self) -> &'static str {
        self.name()
    }

    /// What it is doing and why, for a person who asks whether the server is well.
    fn describe(&self) -> String {
        self.name().to_owned()
    }

    /// Ends what it keeps for the runs to come, which there will be none of.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Starts the process.
    fn launch<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Launched, LaunchError>>;
}

/// Spawns the `ansible-runner` executable once per run.
#[derive(Debug, Clone)]
pub struct ProcessEngine {
    runner: PathBuf,
}

impl ProcessEngine {
    /// An engine that calls `runner`.
    pub fn new(runner: PathBuf) -> Self {
        Self { runner }
    }

    fn command(&self, job: &Job) -> io::Result<Command> {
        let log = File::create(job.private_data_dir.join(RUNNER_LOG))?;
        let mut command = Command::new(&self.runner);
        self.surround(&mut command, &job.run_id);
        command
            .args(job.words()?)
            .current_dir(&job.private_data_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    /// Gives a command the environment of a run.
    pub(super) fn surround(&self, command: &mut Command, run_id: &str) {
        for name in SECRETS.iter().chain(&READ_BY_THE_RUNNER) {
            command.env_remove(name);
        }
        command
            .env("PATH", search_path(&self.runner))
            .env(RUN_ID_VARIABLE, run_id)
            // A Ctrl-C at the server's terminal is for the server, which then ends its runs.
            .process_group(0);
    }
}

impl Engine for ProcessEngine {
    fn name(&self) -> &'static str {
        PROCESS
    }

    fn launch<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        Box::pin(async move {
            let mut child = self
                .command(job)?
                .spawn()
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.runner.display())))?;
            let pid = child.id().ok_or_else(|| io::Error::other("the runner has no process id"))?;
            let ended = Box::pin(async move { Ok(child.wait().await?.code()) });
            Ok(Launched { pid, ended })
        })
    }
}

/// ansible-runner 2.4 takes further arguments of ansible-playbook as one text, which it splits
/// by the shell's rules. Each word is quoted by the same rules, so that it comes out as it was.
fn quoted_words(words: &[String]) -> io::Result<String> {
    shlex::try_join(words.iter().map(String::as_str))
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
}

/// ansible-runner calls `ansible-playbook` by name; the one beside it is the one that fits.
fn search_path(runner: &Path) -> OsString {
    let beside = runner.parent().map(Path::to_owned);
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let paths = beside.into_iter().chain(std::env::split_paths(&inherited));
    std::env::join_paths(paths).unwrap_or(inherited)
}
