//! What can go wrong with a request, and how it is answered.
//!
//! A client reads `{"detail": …}` in every case; what only the operator may read goes to the
//! log, once, where the error is turned into an answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thiserror::Error;

use crate::http::body::FieldError;
use crate::operations::plan::PlanError;

/// A request that ends without the answer it asked for.
#[derive(Debug, Error)]
pub enum Error {
    /// 422: the body does not fit the operation's schema. All errors at once.
    #[error("{} invalid field(s)", .0.len())]
    Invalid(Vec<FieldError>),
    /// 400: well formed, and cannot be done as the server is set up.
    #[error("{0}")]
    BadRequest(String),
    /// 404: nothing here by that name.
    #[error("{0}")]
    NotFound(String),
    /// 413: the body is larger than any request needs to be.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// 408: the body did not get here in time.
    #[error("the request body did not arrive within {seconds} s")]
    TooSlow {
        /// The limit.
        seconds: u64,
    },
    /// 409: it is not in a state in which this can be done.
    #[error("{0}")]
    Conflict(String),
    /// 500: our fault, or the machine's. The client reads the sentence.
    #[error("{0}")]
    Internal(String),
    /// 503: not now. `retry_after` is in seconds.
    #[error("{detail}")]
    Unavailable {
        /// The reason.
        detail: String,
        /// Seconds after which asking again makes sense.
        retry_after: u32,
    },
}

impl Error {
    /// The HTTP status of this error.
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
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Refused(reason) => Self::BadRequest(reason),
            PlanError::Internal(reason) => Self::Internal(reason),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            // As text and not by `%`, so that a line shows escaped what others wrote into it.
            tracing::error!(status = status.as_u16(), error = self.to_string(), "request failed");
        }
        let mut response = match &self {
            Self::Invalid(errors) => refused(status, errors),
            other => refused(status, other.to_string()),
        };
        if let Self::TooSlow { .. } = self {
            // What is left of the body must not be taken for the next request.
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

/// An answer that says what is wrong in the way that clients know.
pub fn refused(status: StatusCode, detail: impl Serialize) -> Response {
    #[derive(Serialize)]
    struct Body<T> {
        detail: T,
    }
    (status, Json(Body { detail })).into_response()
}

/// A 422 in the shape that the server is set to.
pub fn invalid(errors: Vec<FieldError>, verbose: bool) -> Response {
    if !verbose {
        return Error::Invalid(errors).into_response();
    }
    let detail: Vec<_> = errors.iter().map(FieldError::verbose).collect();
    refused(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was logged.
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
    fn what_others_say_cannot_forge_a_line_of_the_log() {
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
