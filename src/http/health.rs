//! Health checks: liveness and readiness.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, json};

use crate::config::Settings;
use crate::http::{App, metrics};

/// The free space below which the server is not ready, in bytes: it may not hold the directory of
/// another run.
const MIN_FREE_SPACE: u64 = 64 * 1024 * 1024;

/// The path of the liveness check.
pub const LIVENESS_PATH: &str = "/healthz";

const READINESS_PATH: &str = "/readyz";

/// The paths used by monitoring. They are logged at level `debug` and need no gateway secret.
pub const PATHS: [&str; 3] = [LIVENESS_PATH, READINESS_PATH, metrics::PATH];

/// Returns the routes of both checks.
pub fn routes(app: &Arc<App>) -> Router {
    Router::new()
        .route(LIVENESS_PATH, get(|| async { Json(json!({ "status": "alive" })) }))
        .route(READINESS_PATH, get(readiness))
        .with_state(app.clone())
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

/// The result of a check, with what was found or why it failed.
type Check = Result<String, String>;

/// Runs all checks.
///
/// # Blocking
///
/// Reads and writes files.
fn checks(app: &App) -> Vec<(&'static str, Check)> {
    let settings = &app.settings;
    vec![
        (
            "server",
            if app.runs.is_closed() {
                Err("the server is shutting down".to_owned())
            } else {
                Ok("accepting runs".to_owned())
            },
        ),
        ("venv", venv(&settings.runner)),
        (
            "runner",
            runner(&settings.runner).map(|text| format!("{text}, engine {}", app.runs.engine())),
        ),
        ("playbooks", playbooks(settings)),
        ("inventory", readable(&settings.inventory.join("hosts.yml"))),
        (
            "data_dir",
            app.runs.history_error().map_or(Ok(()), Err).and_then(|()| data_dir(settings)),
        ),
    ]
}

fn runner(runner: &Path) -> Check {
    let meta = fs::metadata(runner).map_err(|e| format!("{}: {e}", runner.display()))?;
    if meta.is_file() && meta.permissions().mode() & 0o111 != 0 {
        return Ok(runner.display().to_string());
    }
    Err(format!("{}: not an executable file", runner.display()))
}

/// Finds the ansible-playbook that the runner calls: the one next to it, or else in `PATH`.
fn venv(runner: &Path) -> Check {
    let beside = runner.parent().map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    let mut files = folders.map(|folder| folder.join("ansible-playbook"));
    let found = files.find(|file| file.is_file());
    found
        .map(|file| file.display().to_string())
        .ok_or_else(|| "no ansible-playbook next to the runner or in PATH".to_owned())
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
        Ok(_) => Err(format!("{}: not a regular file", file.display())),
        Err(e) => Err(format!("{}: {e}", file.display())),
    }
}

/// Checks that both directories the server writes to are writable and have enough free space.
fn data_dir(settings: &Settings) -> Check {
    for dir in [&settings.data_dir, &settings.runs_dir] {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", dir.display());
        tempfile::tempfile_in(dir).map_err(|e| failed(&e))?;
        let space = rustix::fs::statvfs(dir).map_err(|e| failed(&e))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < MIN_FREE_SPACE {
            return Err(failed(&format!("only {} MiB free", free / 1024 / 1024)));
        }
    }
    Ok(settings.data_dir.display().to_string())
}
