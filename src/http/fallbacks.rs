//! Answers that are not an operation's.

use axum::extract::OriginalUri;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::error::refused;

/// 404 in JSON. A path that differs from a likely one by a trailing slash is sent there with
/// 307, which keeps method and body.
pub async fn not_found(OriginalUri(uri): OriginalUri) -> Response {
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() < path.len() && crate::http::router::is_route(trimmed) {
        let target = match uri.query() {
            Some(query) => format!("{trimmed}?{query}"),
            None => trimmed.to_owned(),
        };
        if let Ok(location) = HeaderValue::from_str(&target) {
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)])
                .into_response();
        }
    }
    no_such_path()
}

/// 404 in JSON.
pub fn no_such_path() -> Response {
    refused(StatusCode::NOT_FOUND, "Not Found")
}

/// 405 in JSON; axum adds `Allow`.
pub async fn method_not_allowed() -> Response {
    refused(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}
