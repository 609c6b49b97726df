//! A server from its settings to its end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::ansible::executor::{Engine, ProcessEngine};
use crate::ansible::reaper::Stop;
use crate::ansible::vault::VaultPassword;
use crate::ansible::warm::WarmEngine;
use crate::config::{EngineChoice, Settings};
pub use crate::http::dir_lock::Held;
use crate::http::metrics::HttpMetrics;
use crate::http::{App, app, connection, dir_lock};
use crate::live_status::{self, LiveStatus};
use crate::runs::RunMetrics;
use crate::runs::Runs;
use crate::telemetry::metrics;

/// How long the end waits for processes that do not even go when they are killed.
const STUBBORN: Duration = Duration::from_secs(30);

/// How long the end waits for a history that cannot be written.
const LAST_WRITE: Duration = Duration::from_secs(6);

/// Why a server could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// A folder cannot be made or written, or is another server's.
    #[error("cannot use the folder {0}: {1}")]
    Folder(String, io::Error),
    /// The port is taken, or the address is not one of this machine.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, io::Error),
    /// The server ended by an error of the system.
    #[error("the server ended: {0}")]
    Served(#[from] io::Error),
}

/// Builds the application: everything but the socket. What an earlier server left unfinished
/// is settled here, which blocks.
pub fn build(settings: Settings) -> Result<Arc<App>, StartError> {
    build_with(settings, engine)
}

/// The same with another engine.
pub fn build_with(
    settings: Settings,
    engine: impl FnOnce(&Settings) -> Box<dyn Engine>,
) -> Result<Arc<App>, StartError> {
    let settings = Arc::new(settings);
    let mut held = Vec::new();
    for folder in [&settings.data_dir, &settings.runs_dir] {
        held.push(dir_lock::hold(folder).map_err(|e| unusable(folder, e))?);
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
    Ok(Arc::new(App { settings, runs, status, metrics, registry, held }))
}

fn unusable(folder: &Path, error: io::Error) -> StartError {
    StartError::Folder(folder.display().to_string(), error)
}

/// The engine that the settings ask for, as far as the runner allows it.
fn engine(settings: &Settings) -> Box<dyn Engine> {
    let process = || Box::new(ProcessEngine::new(settings.runner.clone()));
    let keep = settings.engine == EngineChoice::Warm;
    if settings.engine == EngineChoice::Process {
        return process();
    }
    match WarmEngine::new(&settings.runner, &settings.project_root, &settings.data_dir, keep) {
        Ok(warm) => Box::new(warm),
        Err(reason) => {
            tracing::info!(%reason, "every run starts as a process");
            process()
        }
    }
}

/// Serves until SIGTERM, SIGINT or SIGHUP.
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
    built.runs.flush_history(LAST_WRITE).await;
    tracing::info!("ended");
    Ok(())
}

/// Lets the runs at work end by themselves for a while, and then ends them. New ones are
/// refused meanwhile, and the ones at work can still be watched. Each further signal hurries.
async fn end_runs(runs: &Runs, wait: Duration, signals: &mut Signals) {
    runs.close();
    let hurried = tokio::select! {
        () = runs.wait_until_idle() => return,
        () = tokio::time::sleep(wait) => false,
        () = signals.next() => true,
    };
    tracing::warn!("the runs at work are being ended");
    runs.cancel_all(if hurried { Stop::AtOnce } else { Stop::Gently });
    tokio::select! {
        () = runs.wait_until_idle() => return,
        () = signals.next() => {}
        () = tokio::time::sleep(STUBBORN) => {}
    }
    runs.cancel_all(Stop::AtOnce);
    if tokio::time::timeout(STUBBORN, runs.wait_until_idle()).await.is_err() {
        tracing::error!("processes of runs are left that cannot be ended");
    }
}

/// The signals that ask a server to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Its terminal was closed; none where whoever started the server wants it to stay then.
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
            _ = self.terminate.recv() => tracing::info!("SIGTERM: ending"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: ending"),
            () = hung_up(&mut self.hang_up) => tracing::info!("SIGHUP: ending"),
        }
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => signal.recv().await.map_or((), |()| ()),
        None => std::future::pending().await,
    }
}

/// Whether the server was started with SIGHUP ignored, as by `nohup`. The kernel shows the
/// ignored signals as a mask in which bit 0 is signal 1 (proc_pid_status(5)).
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 1 == 1)
}
