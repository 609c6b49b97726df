//! Errors of requests and their responses.
//!
//! The body is always `{"detail": …}`. Errors with a 5xx status are also logged, once, when the
//! error is converted into a response.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thiserror::Error;

use crate::http::body::FieldError;
use crate::operations::plan::PlanError;

/// Why a request failed.
#[derive(Debug, Error)]
pub enum Error {
    /// 422: the body does not match the operation's schema. Holds all errors.
    #[error("{} invalid field(s)", .0.len())]
    Invalid(Vec<FieldError>),
    /// 400: the request is valid, but the server's configuration does not allow it.
    #[error("{0}")]
    BadRequest(String),
    /// 404: the run or guest does not exist.
    #[error("{0}")]
    NotFound(String),
    /// 413: the body exceeds the size limit.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// 408: the body did not arrive in time.
    #[error("the request body did not arrive within {seconds} s")]
    TooSlow {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// 409: the state of the resource does not allow the operation.
    #[error("{0}")]
    Conflict(String),
    /// 500: an internal error. The message is sent to the client.
    #[error("{0}")]
    Internal(String),
    /// 503: temporarily unavailable.
    #[error("{detail}")]
    Unavailable {
        /// The reason.
        detail: String,
        /// The value of `Retry-After`, in seconds.
        retry_after: u32,
    },
}

impl Error {
    /// Returns the HTTP status of this error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<PlanError> for Error {
    fn from(PlanError(reason): PlanError) -> Self {
        Self::BadRequest(reason)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            // A string rather than `%`, so that control characters in the message are escaped.
            tracing::error!(status = status.as_u16(), error = self.to_string(), "request failed");
        }
        let mut response = match &self {
            Self::Invalid(errors) => error_response(status, errors),
            other => error_response(status, other.to_string()),
        };
        if let Self::TooSlow { .. } = self {
            // The unread rest of the body must not be parsed as the next request.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if let Self::Unavailable { retry_after, .. } = self {
            let seconds = HeaderValue::from(retry_after);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// Returns a response with `detail` as its JSON body.
pub fn error_response(status: StatusCode, detail: impl Serialize) -> Response {
    #[derive(Serialize)]
    struct Body<T> {
        detail: T,
    }
    (status, Json(Body { detail })).into_response()
}

/// Returns a 422 response, in the verbose shape if `DEBUG` is set.
pub fn invalid(errors: Vec<FieldError>, verbose: bool) -> Response {
    if !verbose {
        return Error::Invalid(errors).into_response();
    }
    let detail: Vec<_> = errors.iter().map(FieldError::verbose).collect();
    error_response(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn control_characters_in_an_error_are_escaped_in_the_log() {
        let log = Log::default();
        let written = log.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || written.clone()).with_ansi(false);
        tracing::subscriber::with_default(lines.finish(), || {
            Error::Internal("no\n\u{1b}[2Jrequest\r".to_owned()).into_response()
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with('\n') && text.contains("request failed"), "{text:?}");
        assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text:?}");
    }
}
