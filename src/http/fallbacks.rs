//! Responses to requests that no route matches.

use axum::extract::OriginalUri;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::error::error_response;

/// Responds with 404 in JSON, or with a redirect if the path without its trailing slash matches a
/// route. The redirect is a 307, which preserves the method and the body.
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

/// Returns a 404 response in JSON.
pub fn no_such_path() -> Response {
    error_response(StatusCode::NOT_FOUND, "Not Found")
}

/// Responds with 405 in JSON; axum adds the `Allow` header.
pub async fn method_not_allowed() -> Response {
    error_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}
