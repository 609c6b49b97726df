//! The handler of all operations.

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::ansible::playbooks::PlaybookError;
use crate::http::App;
use crate::http::body;
use crate::http::body::{FieldError, Rule};
use crate::http::error;
use crate::http::error::Error;
use crate::http::middleware::consumer;
use crate::http::prefer;
use crate::http::prefer::Preference;
use crate::http::{middleware, runs};
use crate::operations::plan::{Incoming, PlanError};
use crate::operations::{Answer, Operation, Request as OperationRequest};
use crate::runs::{Ending, Outcome, Run, RunResult, RunSnapshot, RunState};

/// The maximum number of log lines in the response to a failed run with `as_json`.
const FAILURE_LINES: usize = 10;

/// The response body of a run.
#[derive(Serialize)]
struct RunAnswer<'a> {
    rc: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a [Value]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_multiline: Option<&'a [String]>,
}

/// The endpoint of an operation.
pub struct Endpoint {
    app: Arc<App>,
    operation: &'static Operation,
    /// Compiled on first use, because most servers never receive requests for most operations.
    rule: OnceLock<Option<Rule>>,
}

impl Endpoint {
    /// Creates the endpoint of an operation.
    pub fn new(app: Arc<App>, operation: &'static Operation) -> Self {
        Self { app, operation, rule: OnceLock::new() }
    }

    /// The rule that validates the body. `None` if the body is ignored.
    fn rule(&self) -> Option<&Rule> {
        self.rule.get_or_init(|| self.operation.request.as_ref().map(Rule::of)).as_ref()
    }

    /// Handles a request.
    pub async fn call(self: Arc<Self>, request: Request) -> Response {
        self.answer(request).await.unwrap_or_else(|error| self.error_response(error))
    }

    async fn answer(&self, request: Request) -> Result<Response, Error> {
        let (mut parts, body) = request.into_parts();
        let members = match self.rule() {
            None => Map::new(),
            Some(rule) => {
                let bytes = self.read(body).await?;
                let content_type = parts.headers.get(header::CONTENT_TYPE);
                let content_type = content_type.map(|v| String::from_utf8_lossy(v.as_bytes()));
                body::check(rule, content_type.as_deref(), &bytes).map_err(Error::Invalid)?
            }
        };
        let name = name_in_path(&mut parts).await?;
        let preference = Preference::from_headers(&parts.headers);
        let incoming = Incoming {
            operation: self.operation,
            request: self.parse(&members)?,
            members,
            name,
            consumer: consumer::consumer(&parts.headers),
        };
        let as_json = incoming.request.as_json();
        let settings = self.app.settings.clone();
        let spec = tokio::task::spawn_blocking(move || incoming.run_spec(&settings)).await;
        let spec = spec.map_err(|error| Error::Internal(error.to_string()))??;
        let run = self.app.runs.start(spec).await?;
        middleware::note_run(&parts.extensions, run.id);
        let view = ended_in_time(&run, &preference).await;
        let in_time = view.is_some();
        let mut response = match view {
            Some(view) => self.respond(&view, as_json).await,
            None => runs::accepted(&run),
        };
        if let Some(applied) = preference.applied(in_time) {
            response.headers_mut().insert(prefer::APPLIED, applied);
        }
        Ok(response)
    }

    /// A body that matches its schema always matches its type; a test checks this for every row.
    fn parse(&self, members: &Map<String, Value>) -> Result<Box<dyn OperationRequest>, Error> {
        let Some(request) = &self.operation.request else { return Ok(Box::new(())) };
        let parsed = (request.parse)(members.clone());
        parsed.map_err(|e| Error::Internal(format!("the checked body does not fit its type: {e}")))
    }

    async fn read(&self, body: axum::body::Body) -> Result<axum::body::Bytes, Error> {
        let limits = &self.app.settings.limits;
        let bytes = tokio::time::timeout(limits.body_time, to_bytes(body, limits.body)).await;
        let seconds = limits.body_time.as_secs();
        bytes.map_err(|_| Error::TooSlow { seconds })?.map_err(|e| too_large(e, limits.body))
    }

    async fn respond(&self, view: &RunSnapshot, as_json: bool) -> Response {
        let record = &view.record;
        if record.started.is_none() && record.ending == Some(Ending::Shutdown) {
            // The run was not started, so the client can safely retry with the next server.
            let detail = record.explanation.clone();
            return Error::Unavailable { detail, retry_after: runs::RETRY_AFTER }.into_response();
        }
        let ended = match view.outcome.as_deref() {
            Some(Outcome::Finished(ended)) => ended,
            Some(Outcome::NotFound(detail)) => {
                return Error::NotFound(detail.clone()).into_response();
            }
            Some(Outcome::Refused(detail)) => {
                return Error::BadRequest(detail.clone()).into_response();
            }
            Some(Outcome::Failed(detail) | Outcome::Unknown(detail)) => {
                return Error::Internal(detail.clone()).into_response();
            }
            None => return Error::Internal("the run has not ended".to_owned()).into_response(),
        };
        let status = match view.record.state {
            RunState::Succeeded => StatusCode::OK,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // If the run succeeded, the response with a result contains no log.
        let needs_log = !(status == StatusCode::OK && self.answers_result(as_json));
        let log = if needs_log { self.log(view, ended.log_from).await } else { Vec::new() };
        self.response_body(status, ended, &log, as_json)
    }

    fn answers_result(&self, as_json: bool) -> bool {
        match self.operation.answer {
            Answer::Guest => true,
            Answer::Result { .. } => as_json,
            Answer::Log => false,
        }
    }

    async fn log(&self, view: &RunSnapshot, from: u64) -> Vec<String> {
        let (app, record) = (self.app.clone(), view.record.clone());
        let log = tokio::task::spawn_blocking(move || app.runs.log(&record, from)).await;
        match log {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => vec![error.to_string()],
            Err(error) => vec![error.to_string()],
        }
    }

    fn response_body(
        &self,
        status: StatusCode,
        ended: &RunResult,
        log: &[String],
        as_json: bool,
    ) -> Response {
        let RunResult { rc, result, error, .. } = ended;
        let (rc, error) = (*rc, error.as_deref());
        let (result, log_multiline) = match (self.operation.answer, error) {
            (Answer::Guest, None) => return (status, Json(result.first())).into_response(),
            (Answer::Guest, Some(error)) => return error::error_response(status, error),
            (Answer::Result { .. }, None) if as_json => (Some(&result[..]), None),
            (Answer::Result { .. }, Some(_)) if as_json => {
                (Some(&result[..]), Some(&log[log.len().saturating_sub(FAILURE_LINES)..]))
            }
            _ => (None, Some(log)),
        };
        (status, Json(RunAnswer { rc, result, error, log_multiline })).into_response()
    }

    /// With `DEBUG=true`, 422 responses are verbose, and their errors are logged. The input is not
    /// logged, because it could be a password in the wrong field.
    fn error_response(&self, error: Error) -> Response {
        match error {
            Error::Invalid(errors) if self.app.settings.debug => {
                for FieldError { kind, loc, msg, .. } in &errors {
                    let loc = Value::from(loc.clone()).to_string();
                    tracing::info!(
                        operation = self.operation.id(),
                        kind,
                        loc,
                        msg = &**msg,
                        "invalid body"
                    );
                }
                error::invalid(errors, true)
            }
            other => other.into_response(),
        }
    }
}

/// The name of the bundle or scenario, if the path contains one.
async fn name_in_path(parts: &mut Parts) -> Result<Option<String>, Error> {
    let path = RawPathParams::from_request_parts(parts, &()).await;
    let path =
        path.map_err(|_| PlanError::from(PlaybookError::BadName("(not UTF-8)".to_owned())))?;
    Ok(path.iter().next().map(|(_, value)| value.to_owned()))
}

/// Waits for the end of the run, but at most as long as the client's `Prefer: wait`.
async fn ended_in_time(run: &Run, preference: &Preference) -> Option<RunSnapshot> {
    match preference.max_wait() {
        None => Some(run.ended().await),
        Some(max_wait) => tokio::time::timeout(max_wait, run.ended()).await.ok(),
    }
}

fn too_large(error: axum::Error, limit: usize) -> Error {
    let cause = std::error::Error::source(&error);
    if cause.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
        Error::TooLarge { limit }
    } else {
        Error::BadRequest("the request body could not be read to its end".to_owned())
    }
}
