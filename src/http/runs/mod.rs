//! The routes of the runs: list, read, log, job events, cancel, delete.

mod body;
mod document;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

pub use crate::http::runs::document::{paths, schemas};

use crate::ansible::events::strip_ansi;
use crate::http::App;
use crate::http::error::Error;
use crate::http::middleware;
use crate::runs::log::files::LogKind;
use crate::runs::record::Record;
use crate::runs::state::CANCEL_NOTE;
use crate::runs::store::Filter;
use crate::runs::{AnyRun, ReadError, Run, RunState, StartError};
use body::RunBody;

/// The path of the list of runs.
pub const PATH: &str = "/v0/admin/runs";

/// The default and the most runs per page.
const DEFAULT_RUNS: usize = 100;
const MAX_RUNS: usize = 1000;

/// The default and the most lines or events per page.
const DEFAULT_LINES: usize = 1000;
const MAX_LINES: usize = 10_000;

/// A page of lines or events ends with the one that reaches this size.
const PAGE_BYTES: usize = 1024 * 1024;

/// How long the response to a cancellation waits until it is written to the history, so that it
/// survives a kill of the server.
const HISTORY_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// The `Retry-After` of a 503, in seconds.
pub const RETRY_AFTER: u32 = 10;

/// The routes at and below [`PATH`].
pub fn routes(app: &Arc<App>) -> Router {
    let below = |path: &str| format!("{PATH}/{{run_id}}{path}");
    Router::new()
        .route(&below(""), get(one).delete(delete))
        .route(&below("/log"), get(log))
        .route(&below("/job_events"), get(job_events))
        .route(&below("/events"), get(stream::events))
        .route(&below("/cancel"), post(cancel))
        .route_layer(from_fn(note_run))
        .route(PATH, get(list))
        .with_state(app.clone())
}

/// Adds the run of the request to its access log entry, if the run exists.
async fn note_run(Path(id): Path<String>, request: Request, next: Next) -> Response {
    let extensions = request.extensions().clone();
    let response = next.run(request).await;
    if let Ok(id) = parse(&id)
        && response.status() != StatusCode::NOT_FOUND
    {
        middleware::note_run(&extensions, id);
    }
    response
}

/// The 202 response to a client that does not wait for its run.
pub fn accepted(run: &Run) -> Response {
    let location = HeaderValue::from_str(&format!("{PATH}/{}", run.id)).expect("an ASCII path");
    let snapshot = run.snapshot();
    let body = Json(with_result(&snapshot.record, snapshot.result()));
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], body).into_response()
}

/// Checks a `limit` parameter.
fn check_limit(most: usize, limit: Option<usize>) -> Result<Option<usize>, Error> {
    match limit {
        Some(limit) if !(1..=most).contains(&limit) => {
            Err(Error::BadRequest(format!("limit: must be from 1 to {most}")))
        }
        limit => Ok(limit),
    }
}

/// The query of the list.
#[derive(Debug, Deserialize)]
struct ListQuery {
    state: Option<String>,
    operation: Option<String>,
    node: Option<String>,
    cursor: Option<Uuid>,
    limit: Option<usize>,
}

type QueryResult<T> = Result<Query<T>, QueryRejection>;

async fn list(
    Shared(app): Shared<Arc<App>>,
    query: QueryResult<ListQuery>,
) -> Result<Response, Error> {
    let Query(query) = query.map_err(|e| Error::BadRequest(e.body_text()))?;
    let limit = check_limit(MAX_RUNS, query.limit)?.unwrap_or(DEFAULT_RUNS);
    let states = query.state.iter().flat_map(|states| states.split(','));
    let states = states.map(|name| {
        RunState::of_name(name.trim()).ok_or_else(|| {
            let known = RunState::ALL.map(RunState::name).join(", ");
            Error::BadRequest(format!("state: no state {name:?}; the states are {known}"))
        })
    });
    let states = states.collect::<Result<Vec<_>, _>>()?;
    let ListQuery { operation, node, cursor: before, .. } = query;
    let filter = Filter { states, operation, node, before };
    let (runs, more) = blocking(move || app.runs.list(&filter, limit)).await?;
    let next = runs.last().filter(|_| more).map(|last| last.id);
    let runs: Vec<RunBody> = runs.iter().map(RunBody::from).collect();
    Ok(Json(json!({ "runs": runs, "next": next })).into_response())
}

async fn one(Shared(app): Shared<Arc<App>>, Path(id): Path<String>) -> Result<Response, Error> {
    let (record, result) = look_up(app, &id).await?;
    Ok(Json(with_result(&record, &result)).into_response())
}

async fn delete(Shared(app): Shared<Arc<App>>, Path(id): Path<String>) -> Result<Response, Error> {
    let (record, _) = look_up(app.clone(), &id).await?;
    if app.runs.delete(record.id) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let state = record.state.name();
    Err(Error::Conflict(format!("the run is {state}; only a run that has ended can be deleted")))
}

async fn cancel(Shared(app): Shared<Arc<App>>, Path(id): Path<String>) -> Result<Response, Error> {
    let id = parse(&id)?;
    let Some(run) = app.runs.cancel(id) else {
        let (record, _) = look_up(app, &id.to_string()).await?;
        let state = record.state.name();
        return Err(Error::Conflict(format!("the run has already ended: {state}")));
    };
    // A queued run ends at once; wait for that, so that the response says `canceled`.
    let mut follow = run.follow();
    let moved = follow.wait_for(|snapshot| snapshot.record.state != RunState::Queued).await;
    let record =
        moved.map(|snapshot| snapshot.record.clone()).unwrap_or_else(|_| run.snapshot().record);
    app.runs.flush_history(HISTORY_WRITE_TIMEOUT).await;
    let mut body = with_result(&record, &[]);
    if record.started.is_some() {
        body["note"] = json!(CANCEL_NOTE);
    }
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The query of a log or of job events.
#[derive(Debug, Deserialize)]
struct PageQuery {
    from: Option<u64>,
    limit: Option<usize>,
}

async fn log(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    query: QueryResult<PageQuery>,
) -> Result<Response, Error> {
    let from = query.as_ref().ok().and_then(|query| query.from).unwrap_or(0);
    let (record, lines, next) = page(app, &id, LogKind::Log, query, from).await?;
    let lines: Vec<String> = lines.iter().map(|line| strip_ansi(line)).collect();
    let body = json!({
        "from": from, "next": next, "log_multiline": lines,
        "state": body::RunState::from(record.state), "complete": record.state.is_final() && next >= record.log_lines,
    });
    Ok(Json(body).into_response())
}

/// A page of job events.
#[derive(Serialize)]
struct JobEventsPage {
    from: u64,
    next: u64,
    job_events: Vec<Box<RawValue>>,
    state: body::RunState,
    complete: bool,
}

async fn job_events(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    query: QueryResult<PageQuery>,
) -> Result<Response, Error> {
    let from = query.as_ref().ok().and_then(|query| query.from).unwrap_or(1).max(1);
    let (record, lines, next) = page(app, &id, LogKind::JobEvents, query, from - 1).await?;
    // Each line is a job event, which is sent as it was stored.
    let job_events = lines.into_iter().filter_map(|line| RawValue::from_string(line).ok());
    let complete = record.state.is_final() && next >= record.job_events;
    let body = JobEventsPage {
        from,
        next: next + 1,
        job_events: job_events.collect(),
        state: record.state.into(),
        complete,
    };
    Ok(Json(body).into_response())
}

/// Reads lines of a run's file from line `from` on. Returns them and the number of the next line.
async fn page(
    app: Arc<App>,
    id: &str,
    kind: LogKind,
    query: QueryResult<PageQuery>,
    from: u64,
) -> Result<(Record, Vec<String>, u64), Error> {
    let Query(query) = query.map_err(|e| Error::BadRequest(e.body_text()))?;
    let limit = check_limit(MAX_LINES, query.limit)?.unwrap_or(DEFAULT_LINES) as u64;
    let (record, _) = look_up(app.clone(), id).await?;
    let stored_lines = match kind {
        LogKind::Log => record.log_lines,
        LogKind::JobEvents => record.job_events,
    };
    let id = record.id;
    let (lines, next) = blocking(move || {
        let logs = app.runs.logs();
        let offset = logs.find(id, kind, from.min(stored_lines))?;
        let page =
            logs.read(id, kind, offset, stored_lines.min(from.saturating_add(limit)), PAGE_BYTES)?;
        Ok((page.lines, page.next.line.max(from)))
    })
    .await?;
    Ok((record, lines, next))
}

/// Finds a run and its result.
async fn look_up(app: Arc<App>, id: &str) -> Result<(Record, Vec<Value>), Error> {
    let id = parse(id)?;
    match blocking(move || app.runs.find(id)).await? {
        Some(AnyRun::Active(run)) => {
            let snapshot = run.snapshot();
            Ok((snapshot.record.clone(), snapshot.result().to_vec()))
        }
        Some(AnyRun::Ended(stored)) => {
            Ok((stored.record, stored.result.as_array().cloned().unwrap_or_default()))
        }
        None => Err(not_found(&id.to_string())),
    }
}

fn parse(id: &str) -> Result<Uuid, Error> {
    id.parse().map_err(|_| not_found(id))
}

fn not_found(id: &str) -> Error {
    let id: String = id.chars().take(40).collect();
    Error::NotFound(format!("no run has the id {id}"))
}

fn with_result(record: &Record, result: &[Value]) -> Value {
    let mut body = serde_json::to_value(RunBody::from(record)).unwrap_or_default();
    body["result"] = Value::from(result.to_vec());
    body
}

/// Reads the history or the logs on a blocking thread.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(read).await;
    done.map_err(|error| Error::Internal(error.to_string()))?.map_err(Error::from)
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Unavailable { detail: error.to_string(), retry_after: RETRY_AFTER }
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        Self::Unavailable { detail: error.to_string(), retry_after: RETRY_AFTER }
    }
}
