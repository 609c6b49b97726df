//! The process engine: a new `ansible-runner` process for each run.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures_util::future::BoxFuture;
use tokio::process::Command;

use crate::ansible::executor::{
    Engine, Job, LaunchError, Launched, PROCESS, RUN_ID_VARIABLE, RUNNER_LOG,
};

/// Variables of the server that must not reach a run.
const SECRETS: [&str; 2] = ["VAULT_PASSWORD", "RANGE42_GATEWAY_SECRET"];

/// Variables that override the private data dir in ansible-runner 2.4.
///
/// Its command line uses the first five as defaults of options (`__main__.py`); its callback
/// plugin drops events or fails if one of the others is set (`awx_display.py`).
/// `ANSIBLE_ROLES_PATH` reaches ansible-playbook through `env/envvars`, where our roles follow
/// those of the operator.
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

/// Spawns the `ansible-runner` executable for each run.
#[derive(Debug, Clone)]
pub struct ProcessEngine {
    runner: PathBuf,
}

impl ProcessEngine {
    /// Creates an engine that executes `runner`.
    pub fn new(runner: PathBuf) -> Self {
        Self { runner }
    }

    fn command(&self, job: &Job) -> io::Result<Command> {
        let log = File::create(job.private_data_dir.join(RUNNER_LOG))?;
        let mut command = Command::new(&self.runner);
        self.apply_run_environment(&mut command, &job.run_id);
        command
            .args(job.runner_arguments()?)
            .current_dir(&job.private_data_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    /// Sets the environment and the process group of a run.
    pub(super) fn apply_run_environment(&self, command: &mut Command, run_id: &str) {
        for name in SECRETS.iter().chain(&READ_BY_THE_RUNNER) {
            command.env_remove(name);
        }
        command
            .env("PATH", search_path(&self.runner))
            .env(RUN_ID_VARIABLE, run_id)
            // Ctrl-C in the server's terminal must reach the server only, which then ends its runs.
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
            let pid = child.id().ok_or_else(|| io::Error::other("the runner has no process ID"))?;
            let ended = Box::pin(async move { Ok(child.wait().await?.code()) });
            Ok(Launched { pid, ended })
        })
    }
}

/// ansible-runner looks up `ansible-playbook` on `PATH`; the one from the same installation must
/// come first.
fn search_path(runner: &Path) -> OsString {
    let same_installation = runner.parent().map(Path::to_owned);
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let paths = same_installation.into_iter().chain(std::env::split_paths(&inherited));
    std::env::join_paths(paths).unwrap_or(inherited)
}
