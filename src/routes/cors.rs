//! Which web pages may call: cross-origin resource sharing, as the Fetch standard defines it.
//!
//! The answers are those of the service that this one follows, header by header; a library's
//! would differ in `Vary`, in the body of a preflight, and in refusing what is not allowed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use regex::Regex;

const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS];
const HEADERS: &str = "Accept, Accept-Language, Authorization, Content-Language, Content-Type";
/// Headers that a page may send and that are not part of the measured list.
const FURTHER_HEADERS: [&str; 1] = ["prefer"];
const MAX_AGE: &str = "600";

/// Whether a browser's page of `origin` may call.
pub fn allows(rule: &Regex, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| rule.is_match(origin))
}

/// Answers preflights, and marks every other answer to an allowed origin.
pub async fn layer(State(rule): State<Arc<Regex>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let allowed = allows(&rule, &origin);
    let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    if let (&Method::OPTIONS, Some(method)) = (request.method(), wanted) {
        let method = method.clone();
        return preflight(&origin, allowed, &method, request.headers());
    }
    let mut response = next.run(request).await;
    mark(response.headers_mut(), &origin, allowed);
    response
}

fn mark(headers: &mut HeaderMap, origin: &HeaderValue, allowed: bool) {
    let credentials = HeaderValue::from_static("true");
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
    if allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

fn preflight(
    origin: &HeaderValue,
    allowed: bool,
    method: &HeaderValue,
    headers: &HeaderMap,
) -> Response {
    let mut refused = Vec::new();
    if !allowed {
        refused.push("origin");
    }
    if !METHODS.iter().any(|m| m.as_str().as_bytes() == method.as_bytes()) {
        refused.push("method");
    }
    if !headers_allowed(headers) {
        refused.push("headers");
    }
    let (status, text) = match refused.as_slice() {
        [] => (StatusCode::OK, "OK".to_owned()),
        parts => (StatusCode::BAD_REQUEST, format!("Disallowed CORS {}", parts.join(", "))),
    };
    let mut response = (status, text).into_response();
    let answer = response.headers_mut();
    mark(answer, origin, allowed);
    answer.insert(header::VARY, HeaderValue::from_static("Origin"));
    let methods = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    response
}

fn headers_allowed(headers: &HeaderMap) -> bool {
    let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) else { return true };
    let Ok(wanted) = wanted.to_str() else { return false };
    wanted.split(',').map(|name| name.trim().to_ascii_lowercase()).all(|name| {
        HEADERS.split(", ").any(|allowed| allowed.eq_ignore_ascii_case(&name))
            || FURTHER_HEADERS.contains(&name.as_str())
    })
}
