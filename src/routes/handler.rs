//! The one handler: it runs any row of the table.

use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::body::{self, FieldError, Rule};
use super::operation::{Answer, Operation};
use super::{openapi, planning};
use crate::App;
use crate::ansible::catalog::CatalogError;
use crate::error::Error;
use crate::runs::{Ended, Outcome};

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// How many lines of the log go with a failure that asked for JSON.
const FAILURE_LINES: usize = 10;

/// The header that names the run in the answer.
pub const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// A row of the table, ready to answer.
pub struct Endpoint {
    app: Arc<App>,
    operation: &'static Operation,
    rule: Option<Rule>,
}

impl Endpoint {
    /// Compiles the published schema of the operation's body.
    pub fn new(app: Arc<App>, operation: &'static Operation) -> Self {
        let rule = operation.request.as_ref().map(|request| openapi::rule(&(request.name)()));
        Self { app, operation, rule }
    }

    /// Answers a request.
    pub async fn call(self: Arc<Self>, request: Request) -> Response {
        self.answer(request).await.unwrap_or_else(|error| self.refuse(error))
    }

    async fn answer(&self, request: Request) -> Result<Response, Error> {
        let (mut parts, body) = request.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let body = match &self.rule {
            None => Map::new(),
            Some(rule) => {
                let bytes = to_bytes(body, MAX_BODY).await.map_err(too_large)?;
                body::check(rule, content_type.as_deref(), &bytes).map_err(Error::Invalid)?
            }
        };
        let path = RawPathParams::from_request_parts(&mut parts, &()).await;
        let name = path
            .map_err(|_| CatalogError::BadName("(not UTF-8)".to_owned()))?
            .iter()
            .next()
            .map(|(_, value)| value.to_owned());
        let (plan, steering) =
            planning::plan(&self.app.settings, self.operation, &body, name.as_deref())?;
        let accepted = self.app.runs.start(plan);
        let id = accepted.id.to_string();
        let as_json = steering.as_json.unwrap_or(true);
        let mut response = self.respond(accepted.outcome().await, as_json);
        let id = HeaderValue::from_str(&id).expect("a UUID is a valid header");
        response.headers_mut().insert(RUN_ID, id);
        Ok(response)
    }

    fn respond(&self, outcome: Outcome, as_json: bool) -> Response {
        let ended = match outcome {
            Outcome::Ended(ended) => ended,
            Outcome::NotFound(detail) => return Error::NotFound(detail).into_response(),
            Outcome::Refused(detail) => return Error::BadRequest(detail).into_response(),
            Outcome::Failed(detail) => return Error::Internal(detail).into_response(),
        };
        let status = match ended.rc {
            Some(0) => StatusCode::OK,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self.body(ended, as_json))).into_response()
    }

    fn body(&self, ended: Ended, as_json: bool) -> Value {
        let Ended { rc, result, log, error } = ended;
        match (self.operation.answer, error) {
            (Answer::Null, _) => Value::Null,
            (Answer::Result { .. }, None) if as_json => json!({ "rc": rc, "result": result }),
            (Answer::Result { .. }, Some(error)) if as_json => {
                let last = &log[log.len().saturating_sub(FAILURE_LINES)..];
                json!({ "rc": rc, "result": result, "error": error, "log_multiline": last })
            }
            (_, None) => json!({ "rc": rc, "log_multiline": log }),
            (_, Some(error)) => json!({ "rc": rc, "log_multiline": log, "error": error }),
        }
    }

    /// With `DEBUG=true` a 422 has the verbose shape, and its errors are logged. No input is
    /// written to the log: what a client sends can be a password in the wrong field.
    fn refuse(&self, error: Error) -> Response {
        match error {
            Error::Invalid(errors) if self.app.settings.debug => {
                for FieldError { kind, loc, msg, .. } in &errors {
                    let loc = Value::from(loc.clone()).to_string();
                    tracing::info!(operation = self.operation.id(), kind, loc, msg, "invalid body");
                }
                let detail: Vec<Value> = errors.iter().map(FieldError::verbose).collect();
                (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": detail })))
                    .into_response()
            }
            other => other.into_response(),
        }
    }
}

fn too_large(error: axum::Error) -> Error {
    let cause = std::error::Error::source(&error);
    if cause.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
        Error::TooLarge { limit: MAX_BODY }
    } else {
        Error::BadRequest("the request body could not be read to its end".to_owned())
    }
}
