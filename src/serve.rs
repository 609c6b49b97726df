//! A server from its settings to its end.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::ansible::engine::ProcessEngine;
use crate::ansible::vault::VaultPassword;
use crate::proxmox::status::LiveStatus;
use crate::runs::Runs;
use crate::settings::Settings;
use crate::{App, app};

/// Why a server could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The folder for runs cannot be made or written.
    #[error("cannot use the runs dir {0}: {1}")]
    RunsDir(String, io::Error),
    /// The port is taken, or the address is not one of this machine.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, io::Error),
    /// The server ended by an error of the system.
    #[error("the server ended: {0}")]
    Served(#[from] io::Error),
}

/// Builds the application: everything but the socket.
pub fn build(settings: Settings) -> Result<Arc<App>, StartError> {
    let settings = Arc::new(settings);
    let unusable = |e| StartError::RunsDir(settings.runs_dir.display().to_string(), e);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&settings.runs_dir)
        .map_err(unusable)?;
    let vault = VaultPassword::prepare(&settings.vault, &settings.runs_dir).map_err(unusable)?;
    let engine = Box::new(ProcessEngine::new(settings.runner.clone()));
    let runs = Runs::new(settings.clone(), engine, vault);
    let status = LiveStatus::new(settings.status.clone(), settings.inventory.clone());
    Ok(Arc::new(App { settings, runs, status }))
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(settings: Settings) -> Result<(), StartError> {
    let address = (settings.host.clone(), settings.port);
    let built = build(settings)?;
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|e| StartError::Listen(format!("{}:{}", address.0, address.1), e))?;
    tracing::info!(address = %listener.local_addr()?, "ready");
    let status = built.status.clone();
    let end = async move {
        asked_to_end().await;
        status.close_all().await;
    };
    axum::serve(listener, app(built)).with_graceful_shutdown(end).await?;
    Ok(())
}

async fn asked_to_end() {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
    }
}
