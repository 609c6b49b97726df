//! How the server is: alive, ready, measured.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, json};

use crate::config::Settings;
use crate::http::App;
use crate::telemetry::metrics;

/// Less free space than this, in bytes, does not hold the directory of a run for certain.
const FREE_SPACE: u64 = 64 * 1024 * 1024;

/// The path that says that the server is alive.
pub const ALIVE: &str = "/healthz";

/// The paths, whose requests are not worth a line in the log.
pub const PATHS: [&str; 3] = [ALIVE, "/readyz", "/metrics"];

/// The routes.
pub fn routes(app: &Arc<App>) -> Router {
    let [alive, ready, measured] = PATHS;
    Router::new()
        .route(alive, get(|| async { Json(json!({ "status": "alive" })) }))
        .route(ready, get(readiness))
        .route(measured, get(measured_now))
        .with_state(app.clone())
}

async fn measured_now(State(app): State<Arc<App>>) -> Response {
    app.runs.measure();
    app.metrics.websocket_clients.set(i64::try_from(app.status.clients()).unwrap_or(i64::MAX));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], metrics::text(&app.registry)).into_response()
}

async fn readiness(State(app): State<Arc<App>>) -> Response {
    let checks = tokio::task::spawn_blocking(move || checks(&app)).await.unwrap_or_default();
    let ready = !checks.is_empty() && checks.iter().all(|(_, check)| check.is_ok());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let checks: Map<_, _> = checks
        .into_iter()
        .map(|(name, check)| {
            let ready = check.is_ok();
            let (Ok(text) | Err(text)) = check;
            (name.to_owned(), json!({ "ready": ready, "reason": text }))
        })
        .collect();
    (status, Json(json!({ "ready": ready, "checks": checks }))).into_response()
}

/// What was looked at; the text says what was found, or what is wrong.
type Check = Result<String, String>;

fn checks(app: &App) -> Vec<(&'static str, Check)> {
    let settings = &app.settings;
    vec![
        (
            "server",
            if app.runs.is_closed() {
                Err("it is shutting down".to_owned())
            } else {
                Ok("it takes runs".to_owned())
            },
        ),
        ("venv", venv(&settings.runner)),
        (
            "runner",
            runner(&settings.runner).map(|text| format!("{text}, engine {}", app.runs.engine())),
        ),
        ("playbooks", playbooks(settings)),
        ("inventory", readable(&settings.inventory.join("hosts.yml"))),
        ("data_dir", app.runs.trouble().map_or(Ok(()), Err).and_then(|()| data_dir(settings))),
    ]
}

fn runner(runner: &Path) -> Check {
    let meta = fs::metadata(runner).map_err(|e| format!("{}: {e}", runner.display()))?;
    if meta.is_file() && meta.permissions().mode() & 0o111 != 0 {
        return Ok(runner.display().to_string());
    }
    Err(format!("{}: it cannot be executed", runner.display()))
}

/// The runner calls the ansible-playbook beside it, or the one on the path.
fn venv(runner: &Path) -> Check {
    let beside = runner.parent().map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    let mut files = folders.map(|folder| folder.join("ansible-playbook"));
    let found = files.find(|file| file.is_file());
    found
        .map(|file| file.display().to_string())
        .ok_or_else(|| "there is no ansible-playbook beside the runner or on the PATH".to_owned())
}

fn playbooks(settings: &Settings) -> Check {
    if let Some(dir) = settings.public_playbooks.as_deref().filter(|dir| !dir.is_dir()) {
        return Err(format!(
            "{} (API_BACKEND_PUBLIC_PLAYBOOKS_DIR) is not a directory",
            dir.display()
        ));
    }
    readable(&settings.local_playbooks.join("playbooks/generic.yml"))
}

fn readable(file: &Path) -> Check {
    let opened = fs::File::open(file).and_then(|file| file.metadata());
    match opened {
        Ok(meta) if meta.is_file() => Ok(file.display().to_string()),
        Ok(_) => Err(format!("{}: not a file", file.display())),
        Err(e) => Err(format!("{}: {e}", file.display())),
    }
}

/// Both folders that are written to take a file, and have room for more.
fn data_dir(settings: &Settings) -> Check {
    for dir in [&settings.data_dir, &settings.runs_dir] {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", dir.display());
        tempfile::tempfile_in(dir).map_err(|e| failed(&e))?;
        let space = rustix::fs::statvfs(dir).map_err(|e| failed(&e))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < FREE_SPACE {
            return Err(failed(&format!("only {} MiB are free", free / 1024 / 1024)));
        }
    }
    Ok(settings.data_dir.display().to_string())
}
