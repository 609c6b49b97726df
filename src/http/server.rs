//! The life of a server, from its settings to its shutdown.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::ansible::executor::Engine;
use crate::ansible::process::ProcessEngine;
use crate::ansible::reaper::Stop;
use crate::ansible::vault::VaultPassword;
use crate::ansible::warm::WarmEngine;
use crate::config::{EngineChoice, Settings};
use crate::http::dir_lock::DirLock;
use crate::http::metrics::HttpMetrics;
use crate::http::{App, app, connection};
use crate::live_status::{self, LiveStatus};
use crate::runs::RunMetrics;
use crate::runs::Runs;
use crate::telemetry::metrics;

/// How long a shutdown waits for the processes of runs after ending them, gently or with SIGKILL.
const RUNS_EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a shutdown waits for the history to be written.
const HISTORY_WRITE_TIMEOUT: Duration = Duration::from_secs(6);

/// Why a server could not start or had to end.
#[derive(Debug, Error)]
pub enum StartError {
    /// A directory cannot be created or written, or is in use by another server.
    #[error("cannot use the directory {0}: {1}")]
    Directory(String, io::Error),
    /// The port is in use, or the address does not belong to this machine.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, io::Error),
    /// A system call of the server failed.
    #[error("server error: {0}")]
    System(#[from] io::Error),
}

/// Builds a server, except for its socket, and recovers the runs that a previous server left
/// unfinished.
///
/// # Errors
///
/// [`StartError::Directory`] if the data or runs directory cannot be used.
///
/// # Blocking
///
/// Reads and writes files, and waits for leftover processes to exit.
pub fn build(settings: Settings) -> Result<Arc<App>, StartError> {
    build_with(settings, engine)
}

/// Like [`build`], with a custom engine.
///
/// # Errors
///
/// As for [`build`].
///
/// # Blocking
///
/// As for [`build`].
pub fn build_with(
    settings: Settings,
    engine: impl FnOnce(&Settings) -> Box<dyn Engine>,
) -> Result<Arc<App>, StartError> {
    let settings = Arc::new(settings);
    let mut locks = Vec::new();
    for dir in [&settings.data_dir, &settings.runs_dir] {
        locks.push(DirLock::acquire(dir).map_err(|e| unusable(dir, e))?);
    }
    let vault = VaultPassword::prepare(&settings.vault, &settings.runs_dir)
        .map_err(|e| unusable(&settings.runs_dir, e))?;
    let engine = engine(&settings);
    let mut registry = metrics::registry();
    let metrics = HttpMetrics::register(&mut registry);
    let run_metrics = Arc::new(RunMetrics::register(&mut registry, engine.name()));
    let polls = live_status::metrics::register(&mut registry);
    let runs = Runs::open(settings.clone(), engine, vault, run_metrics)
        .map_err(|e| unusable(&settings.data_dir, e))?;
    let status = LiveStatus::new(settings.status.clone(), settings.inventory.clone(), polls);
    Ok(Arc::new(App { settings, runs, status, metrics, registry, locks }))
}

fn unusable(dir: &Path, error: io::Error) -> StartError {
    StartError::Directory(dir.display().to_string(), error)
}

/// Returns the configured engine, or the process engine if the runner does not support it.
fn engine(settings: &Settings) -> Box<dyn Engine> {
    let process = || Box::new(ProcessEngine::new(settings.runner.clone()));
    let keep = settings.engine == EngineChoice::Warm;
    if settings.engine == EngineChoice::Process {
        return process();
    }
    match WarmEngine::new(&settings.runner, &settings.project_root, &settings.data_dir, keep) {
        Ok(warm) => Box::new(warm),
        Err(reason) => {
            tracing::info!(%reason, "the warm engine is not available; each run starts a new process");
            process()
        }
    }
}

/// Serves until SIGTERM, SIGINT or SIGHUP, and then shuts down.
///
/// # Errors
///
/// As for [`build`]; [`StartError::Listen`] if the port cannot be bound, and
/// [`StartError::System`] if signal handlers cannot be installed.
pub async fn serve(settings: Settings) -> Result<(), StartError> {
    let mut signals = Signals::listen()?;
    let limits = settings.limits.clone();
    let address = (settings.host.clone(), settings.port);
    let built = build(settings)?;
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|e| StartError::Listen(format!("{}:{}", address.0, address.1), e))?;
    tracing::info!(address = %listener.local_addr()?, "ready");
    let (close, closing) = watch::channel(false);
    let serving =
        tokio::spawn(connection::serve(listener, app(built.clone()), limits.clone(), closing));
    signals.next().await;
    end_runs(&built.runs, limits.shutdown_wait, &mut signals).await;
    built.runs.close_engine().await;
    built.status.close_all().await;
    close.send_replace(true);
    let _ = serving.await;
    built.runs.flush_history(HISTORY_WRITE_TIMEOUT).await;
    tracing::info!("shut down");
    Ok(())
}

/// Waits for active runs to end, and cancels them after `wait`. New runs are rejected meanwhile,
/// while active ones can still be followed. Each further signal skips to the next step.
async fn end_runs(runs: &Runs, wait: Duration, signals: &mut Signals) {
    runs.close();
    let hurried = tokio::select! {
        () = runs.wait_until_idle() => return,
        () = tokio::time::sleep(wait) => false,
        () = signals.next() => true,
    };
    tracing::warn!("canceling active runs");
    runs.cancel_all(if hurried { Stop::AtOnce } else { Stop::Gently });
    tokio::select! {
        () = runs.wait_until_idle() => return,
        () = signals.next() => {}
        () = tokio::time::sleep(RUNS_EXIT_TIMEOUT) => {}
    }
    runs.cancel_all(Stop::AtOnce);
    if tokio::time::timeout(RUNS_EXIT_TIMEOUT, runs.wait_until_idle()).await.is_err() {
        tracing::error!("some processes of runs did not exit after SIGKILL");
    }
}

/// The signals that shut a server down.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal was closed; `None` if the server was started to survive that.
    hang_up: Option<Signal>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: shutting down"),
            () = hung_up(&mut self.hang_up) => tracing::info!("SIGHUP: shutting down"),
        }
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => signal.recv().await.map_or((), |()| ()),
        None => std::future::pending().await,
    }
}

/// Whether the server was started with SIGHUP ignored, as by `nohup`. The kernel reports ignored
/// signals as a bit mask in which bit 0 is signal 1 (proc_pid_status(5)).
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 1 == 1)
}
