//! The warm engine: a Python process that has Ansible loaded and forks for each job.
//!
//! Most of the time of a short run is spent on starting Python and importing modules. The program
//! `engine/warm.py`, called the server here, does that once. It is started by the first run and
//! serves until it asks to be recycled or has been idle for some time. While it starts, if it
//! refuses a job and after it has exited, jobs run as processes instead.

mod script;
mod server;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::ansible::executor::{Engine, Job, LaunchError, Launched, RUN_ID_VARIABLE, WARM};
use crate::ansible::private_data_dir::with_private_temp_dir;
use crate::ansible::process::ProcessEngine;
use crate::ansible::reaper;
use crate::ansible::reaper::Stop;
use crate::ansible::warm::server::{ForkError, Listener, Server, ServerEvent, Starting};

/// The path of the program, relative to the project root.
const PROGRAM: &str = "engine/warm.py";

/// The directory of the warm-up run, relative to the data dir.
const WARM_UP_DIR: &str = "warm-up";

/// How long the shutdown waits for the server to exit. All runs have ended by then.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The delay between a failure and the next attempt to start the server.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// The idle time after which the server is stopped to free its memory.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs jobs in forks of a Python process that has Ansible loaded, or else as processes.
pub struct WarmEngine {
    shared: Arc<Shared>,
}

/// The state shared by the engine and the tasks that watch its servers.
struct Shared {
    process: ProcessEngine,
    interpreter: PathBuf,
    program: PathBuf,
    data_dir: PathBuf,
    keep: bool,
    state: Mutex<EngineState>,
}

#[derive(Default)]
struct EngineState {
    server: Option<Arc<Server>>,
    /// Whether a server is starting.
    starting: bool,
    /// The run ID and process ID of the server that is running its warm-up.
    warming_up: Option<(String, u32)>,
    closed: bool,
    /// One task for each server process.
    tasks: JoinSet<()>,
    /// The reason and time of the last failure, if there is no server.
    failure: Option<(String, Instant)>,
    warm: u64,
    cold: u64,
}

impl WarmEngine {
    /// Creates an engine for the Python installation of `runner`, with the program in `root`.
    ///
    /// If `keep` is set, the server is not stopped when it is idle.
    ///
    /// # Errors
    ///
    /// Returns the reason if `runner` can only be executed as a process.
    ///
    /// # Blocking
    ///
    /// Reads files.
    pub fn new(runner: &Path, root: &Path, data_dir: &Path, keep: bool) -> Result<Self, String> {
        let (interpreter, program) = (script::interpreter(runner)?, root.join(PROGRAM));
        if !program.is_file() {
            return Err(format!("{} does not exist", program.display()));
        }
        let process = ProcessEngine::new(runner.to_owned());
        let (data_dir, state) = (data_dir.to_owned(), Mutex::default());
        let shared = Shared { process, interpreter, program, data_dir, keep, state };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Engine for WarmEngine {
    fn name(&self) -> &'static str {
        WARM
    }

    fn active_name(&self) -> &'static str {
        if self.shared.state().server.is_some() { WARM } else { self.shared.process.name() }
    }

    fn describe(&self) -> String {
        let state = self.shared.state();
        let counts = format!("{} runs warm, {} as a process", state.warm, state.cold);
        match (&state.server, &state.failure) {
            (Some(server), _) => format!("warm ({}; {counts})", server.versions()),
            (None, Some((reason, _))) => format!("process (not warm: {reason}; {counts})"),
            (None, None) => format!("process (warm after the first run; {counts})"),
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.close())
    }

    fn launch<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        Box::pin(async move {
            if let Some(server) = self.shared.server(job) {
                match server.launch(job).await {
                    Ok(launched) => {
                        self.shared.state().warm += 1;
                        return Ok(launched);
                    }
                    Err(ForkError::NothingStarted(reason)) => {
                        tracing::info!(%reason, "the run starts as a process");
                    }
                    Err(ForkError::Unknown(error)) => return Err(LaunchError::Unknown(error)),
                }
            }
            self.shared.state().cold += 1;
            self.shared.process.launch(job).await
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, EngineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the server if it is ready. If there is none, starts one for later runs.
    fn server(self: &Arc<Self>, job: &Job) -> Option<Arc<Server>> {
        let mut state = self.state();
        let may_retry =
            state.failure.as_ref().is_none_or(|(_, since)| since.elapsed() > RETRY_DELAY);
        if state.server.is_none() && !state.starting && may_retry {
            let envvars = std::fs::read(job.private_data_dir.join("env/envvars"));
            self.begin(&mut state, envvars.unwrap_or_default());
        }
        state.server.clone()
    }

    fn begin(self: &Arc<Self>, state: &mut EngineState, envvars: Vec<u8>) {
        if !state.closed {
            while state.tasks.try_join_next().is_some() {}
            state.starting = true;
            state.tasks.spawn(serve(Arc::downgrade(self), envvars));
        }
    }

    /// Stops the server, even while it is starting, and waits for its exit.
    async fn close(&self) {
        let (warming_up, mut tasks) = {
            let mut state = self.state();
            state.closed = true;
            state.server = None;
            (state.warming_up.take(), std::mem::take(&mut state.tasks))
        };
        if let Some((run_id, pid)) = warming_up {
            let at_once = tokio::sync::watch::channel(Stop::AtOnce).1;
            let end = move || reaper::end(&run_id, reaper::identify(pid), &at_once);
            let _ = tokio::task::spawn_blocking(end).await;
        }
        let all_exited = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, all_exited).await.is_err() {
            tracing::warn!("the warm engine still has jobs and exits after them");
        }
    }

    async fn start(&self, envvars: &[u8]) -> io::Result<(Server, Listener)> {
        // A killed server may have left the directory. Only one server uses a data dir at a time.
        let folder = self.data_dir.join(WARM_UP_DIR);
        let _ = std::fs::remove_dir_all(&folder);
        let id = Uuid::now_v7();
        let mut envvars: Map<String, Value> = serde_json::from_slice(envvars)?;
        // The warm-up has a run ID of its own, so that ending the job's run does not end it.
        envvars.remove(RUN_ID_VARIABLE);
        let envvars = with_private_temp_dir(envvars, &folder.join("tmp"));
        let opening = json!({
            "run_id": id.to_string(), "folder": folder,
            "envvars": envvars,
        });
        let mut command = Command::new(&self.interpreter);
        // The nil UUID reserves space for run IDs in the environment of the process.
        self.process.apply_run_environment(&mut command, &Uuid::nil().to_string());
        let starting = Starting::spawn(command.arg(&self.program))?;
        self.state().warming_up = Some((id.to_string(), starting.pid()));
        let ready = starting.ready(opening).await;
        self.state().warming_up = None;
        let _ = std::fs::remove_dir_all(&folder);
        ready
    }

    /// Makes `server` the current server. Its predecessor receives no more jobs and exits when its
    /// last job has ended.
    fn install(&self, server: Server) -> Weak<Server> {
        tracing::info!(versions = server.versions(), "the warm engine is ready");
        let server = Arc::new(server);
        let installed = Arc::downgrade(&server);
        let mut state = self.state();
        (state.starting, state.failure) = (false, None);
        state.server = Some(server).filter(|_| !state.closed);
        installed
    }

    fn release(&self, server: &Weak<Server>) {
        self.state().server.take_if(|current| Arc::as_ptr(current) == server.as_ptr());
    }

    fn failed(&self, error: &io::Error) {
        let mut state = self.state();
        if !state.closed {
            tracing::warn!(%error, "cannot start the warm engine; runs start as processes");
        }
        // The previous server asked to be recycled and may refuse all jobs, so it is not kept.
        (state.server, state.starting) = (None, false);
        state.failure = Some((error.to_string(), Instant::now()));
    }
}

/// Starts a server and listens to it until it exits or the engine is dropped.
///
/// `envvars` are those of a job, so that Ansible is loaded with the settings of jobs.
fn serve(engine: Weak<Shared>, envvars: Vec<u8>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Some(shared) = engine.upgrade() else { return };
        match shared.start(&envvars).await {
            Ok((server, listener)) => {
                let server = shared.install(server);
                drop(shared);
                listen(&engine, &server, listener, &envvars).await;
            }
            Err(error) => shared.failed(&error),
        }
    })
}

async fn listen(
    engine: &Weak<Shared>,
    server: &Weak<Server>,
    mut listener: Listener,
    envvars: &[u8],
) {
    loop {
        let event = listener.next(IDLE_TIMEOUT).await;
        let exited = matches!(event, ServerEvent::Exited);
        if let Some(shared) = engine.upgrade() {
            match event {
                ServerEvent::Recycle(reason) => {
                    tracing::info!(%reason, "recycling the warm engine");
                    shared.begin(&mut shared.state(), envvars.to_owned());
                }
                ServerEvent::Idle if shared.keep => {}
                ServerEvent::Idle | ServerEvent::Exited => shared.release(server),
            }
        }
        if exited {
            break;
        }
    }
}
