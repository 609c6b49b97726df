//! The warm engine: a Python that has Ansible loaded and forks itself for each job.
//!
//! Nearly all of a short run is Python starting and importing. The program `engine/warm.py`
//! does that once. It is started with the first run, serves until it asks to be replaced or
//! has had nothing to do for a while, and whatever it cannot do is done by a process of the
//! run's own: while it starts, when it refuses, and when it is gone.

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

use crate::ansible::executor::{
    Engine, Job, LaunchError, Launched, ProcessEngine, RUN_ID_VARIABLE, WARM,
};
use crate::ansible::private_data_dir::with_own_temporary_folder;
use crate::ansible::reaper;
use crate::ansible::reaper::Stop;
use crate::ansible::warm::server::{Event, Listener, Refusal, Server, Starting};

/// The program, below the project root.
const PROGRAM: &str = "engine/warm.py";

/// Where it rehearses, below the data dir.
const REHEARSAL: &str = "rehearsal";

/// How long the end of the server waits for this engine, which then has no jobs any more.
const LAST_JOBS: Duration = Duration::from_secs(5);

/// After a failure, runs go on as processes for this long before the next attempt.
const PAUSE: Duration = Duration::from_secs(60);

/// Without a job for this long, the memory is worth more than the next run's second.
const IDLE: Duration = Duration::from_secs(600);

/// Runs jobs in forks of a Python that has Ansible loaded, and the rest as processes.
pub struct WarmEngine {
    parts: Arc<Parts>,
}

/// What the engine and the tasks that watch its servers share.
struct Parts {
    process: ProcessEngine,
    interpreter: PathBuf,
    program: PathBuf,
    data_dir: PathBuf,
    keep: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    server: Option<Arc<Server>>,
    /// Whether one is being started, and once it has a process, its run id and that.
    starting: bool,
    rehearsing: Option<(String, u32)>,
    closed: bool,
    /// One for each server whose process is there.
    tasks: JoinSet<()>,
    /// Why there is no server, and since when.
    trouble: Option<(String, Instant)>,
    warm: u64,
    cold: u64,
}

impl WarmEngine {
    /// An engine for the Python that `runner` is a script of, with the program below `root`.
    /// With `keep` it stays loaded however long there is nothing to do. The error says why
    /// this runner can only be run as a process.
    pub fn new(runner: &Path, root: &Path, data_dir: &Path, keep: bool) -> Result<Self, String> {
        let (interpreter, program) = (script::interpreter(runner)?, root.join(PROGRAM));
        if !program.is_file() {
            return Err(format!("{} is not there", program.display()));
        }
        let process = ProcessEngine::new(runner.to_owned());
        let (data_dir, state) = (data_dir.to_owned(), Mutex::default());
        let parts = Parts { process, interpreter, program, data_dir, keep, state };
        Ok(Self { parts: Arc::new(parts) })
    }
}

impl Engine for WarmEngine {
    fn name(&self) -> &'static str {
        WARM
    }

    fn serves(&self) -> &'static str {
        if self.parts.state().server.is_some() { WARM } else { self.parts.process.name() }
    }

    fn describe(&self) -> String {
        let state = self.parts.state();
        let counts = format!("{} runs warm, {} as a process", state.warm, state.cold);
        match (&state.server, &state.trouble) {
            (Some(server), _) => format!("warm ({}; {counts})", server.versions()),
            (None, Some((reason, _))) => format!("process (not warm: {reason}; {counts})"),
            (None, None) => format!("process (warm after the first run; {counts})"),
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.parts.close())
    }

    fn launch<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        Box::pin(async move {
            if let Some(server) = self.parts.server(job) {
                match server.launch(job).await {
                    Ok(launched) => {
                        self.parts.state().warm += 1;
                        return Ok(launched);
                    }
                    Err(Refusal::NothingStarted(reason)) => {
                        tracing::info!(%reason, "the run starts as a process");
                    }
                    Err(Refusal::Unknown(error)) => return Err(LaunchError::Unknown(error)),
                }
            }
            self.parts.state().cold += 1;
            self.parts.process.launch(job).await
        })
    }
}

impl Parts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server, if it is ready. Where there is none, one is started for the runs to come.
    fn server(self: &Arc<Self>, job: &Job) -> Option<Arc<Server>> {
        let mut state = self.state();
        let calm = state.trouble.as_ref().is_none_or(|(_, since)| since.elapsed() > PAUSE);
        if state.server.is_none() && !state.starting && calm {
            let envvars = std::fs::read(job.private_data_dir.join("env/envvars"));
            self.begin(&mut state, envvars.unwrap_or_default());
        }
        state.server.clone()
    }

    fn begin(self: &Arc<Self>, state: &mut State, envvars: Vec<u8>) {
        if !state.closed {
            while state.tasks.try_join_next().is_some() {}
            state.starting = true;
            state.tasks.spawn(serve(Arc::downgrade(self), envvars));
        }
    }

    /// Ends the server, also one that is only being started, and waits for its end.
    async fn close(&self) {
        let (rehearsing, mut tasks) = {
            let mut state = self.state();
            state.closed = true;
            state.server = None;
            (state.rehearsing.take(), std::mem::take(&mut state.tasks))
        };
        if let Some((run_id, pid)) = rehearsing {
            let at_once = tokio::sync::watch::channel(Stop::AtOnce).1;
            let end = move || reaper::end(&run_id, reaper::identify(pid), &at_once);
            let _ = tokio::task::spawn_blocking(end).await;
        }
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_JOBS, all_ended).await.is_err() {
            tracing::warn!("the warm engine has jobs left and will end after them");
        }
    }

    async fn start(&self, envvars: &[u8]) -> io::Result<(Server, Listener)> {
        // Of a server that was killed. There is one server to a data dir at a time.
        let folder = self.data_dir.join(REHEARSAL);
        let _ = std::fs::remove_dir_all(&folder);
        let id = Uuid::now_v7();
        let mut envvars: Map<String, Value> = serde_json::from_slice(envvars)?;
        // The rehearsal is a run of its own, and must not end with that of the job.
        envvars.remove(RUN_ID_VARIABLE);
        let envvars = with_own_temporary_folder(envvars, &folder.join("tmp"));
        let opening = json!({
            "run_id": id.to_string(), "folder": folder,
            "envvars": envvars,
        });
        let mut command = Command::new(&self.interpreter);
        // The nil id leaves room in the environment for that of a run.
        self.process.surround(&mut command, &Uuid::nil().to_string());
        let starting = Starting::spawn(command.arg(&self.program))?;
        self.state().rehearsing = Some((id.to_string(), starting.pid()));
        let ready = starting.ready(opening).await;
        self.state().rehearsing = None;
        let _ = std::fs::remove_dir_all(&folder);
        ready
    }

    /// Makes a server the current one. One that was there before takes no more jobs, and ends
    /// when its last one has.
    fn install(&self, server: Server) -> Weak<Server> {
        tracing::info!(versions = server.versions(), "the warm engine is ready");
        let server = Arc::new(server);
        let installed = Arc::downgrade(&server);
        let mut state = self.state();
        (state.starting, state.trouble) = (false, None);
        state.server = Some(server).filter(|_| !state.closed);
        installed
    }

    fn let_go(&self, server: &Weak<Server>) {
        self.state().server.take_if(|current| Arc::as_ptr(current) == server.as_ptr());
    }

    fn failed(&self, error: &io::Error) {
        let mut state = self.state();
        if !state.closed {
            tracing::warn!(%error, "no warm engine; runs start as processes");
        }
        // One that was to be replaced is not kept: it may know no more than to refuse.
        (state.server, state.starting) = (None, false);
        state.trouble = Some((error.to_string(), Instant::now()));
    }
}

/// Starts a server and listens to it to its end, for as long as there is an engine to serve.
/// `envvars` is a job's own: Ansible is loaded with the settings that jobs have.
fn serve(engine: Weak<Parts>, envvars: Vec<u8>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Some(parts) = engine.upgrade() else { return };
        match parts.start(&envvars).await {
            Ok((server, listener)) => {
                let server = parts.install(server);
                drop(parts);
                listen(&engine, &server, listener, &envvars).await;
            }
            Err(error) => parts.failed(&error),
        }
    })
}

async fn listen(
    engine: &Weak<Parts>,
    server: &Weak<Server>,
    mut listener: Listener,
    envvars: &[u8],
) {
    loop {
        let event = listener.next(IDLE).await;
        let ended = matches!(event, Event::Ended);
        if let Some(parts) = engine.upgrade() {
            match event {
                Event::Spent(reason) => {
                    tracing::info!(%reason, "the warm engine is replaced");
                    parts.begin(&mut parts.state(), envvars.to_owned());
                }
                Event::Idle if parts.keep => {}
                Event::Idle | Event::Ended => parts.let_go(server),
            }
        }
        if ended {
            break;
        }
    }
}
