//! Which web pages may call: cross-origin resource sharing, as the Fetch standard defines it.
//!
//! The answers are those of the service that this one follows, header by header; a library's
//! would differ in `Vary`, in the body of a preflight, and in refusing what is not allowed.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use regex::Regex;
use serde_json::Value;

use crate::config::Settings;
use crate::http::body;
use crate::http::body::FieldError;
use crate::http::error::invalid;
use crate::http::prefer;

const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS];
/// Headers that a page may send, as every preflight is told.
const HEADERS: &str = "Accept, Accept-Language, Authorization, Content-Language, Content-Type";
/// Headers that it may send besides: how long it waits, Kong's key, and where a stream goes on.
/// They are not part of the measured list, so only a preflight that asks for one is told of it.
const FURTHER_HEADERS: [&str; 3] = ["Prefer", "apikey", "Last-Event-ID"];
/// Headers that a page may read of an answer.
const EXPOSED: &str = "X-Run-Id, Location, X-Request-Id, Preference-Applied, Retry-After";
const MAX_AGE: &str = "600";

/// Whether a browser's page of `origin` may call.
pub fn allows(rule: &Regex, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| rule.is_match(origin))
}

/// Answers preflights, refuses what only a page that may not call would send, and marks every
/// other answer to an allowed origin.
pub async fn answer(settings: &Settings, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let allowed = allows(&settings.cors_origin, &origin);
    let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    if let (&Method::OPTIONS, Some(method)) = (request.method(), wanted) {
        let method = method.clone();
        return preflight(&origin, allowed, &method, request.headers());
    }
    let asks_for_more = FURTHER_HEADERS.iter().any(|name| request.headers().contains_key(*name));
    let mut response = if allowed || was_asked_for(&origin, &request) {
        next.run(request).await
    } else {
        refused(request.headers(), settings.debug)
    };
    mark(response.headers_mut(), &origin, allowed);
    if allowed && (asks_for_more || tells_more(response.headers())) {
        let exposed = HeaderValue::from_static(EXPOSED);
        response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

/// Whether an answer has headers that the measured service gave no answer, and a page needs. The
/// other answers have the measured headers and no more.
fn tells_more(headers: &HeaderMap) -> bool {
    [header::LOCATION, header::RETRY_AFTER, prefer::APPLIED].iter().any(|h| headers.contains_key(h))
}

/// Whether a request of an origin that is not allowed is one that a browser lets a page send
/// only where this server said yes, or that cannot do harm. A page may send a POST to anywhere
/// and unasked as long as its type is that of a form or it has none, and an absent type counts
/// as JSON here; with the type of JSON the browser asks first, and is told no.
fn was_asked_for(origin: &HeaderValue, request: &Request) -> bool {
    let changes_nothing = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let content_type = text_of(request.headers(), header::CONTENT_TYPE);
    changes_nothing || content_type.is_some_and(body::is_json) || is_own(origin, request.headers())
}

/// Whether the page is one of this server's own, as its gateway's clients see it if it has one
/// that is believed. The scheme is compared where such a gateway tells it, and nothing else
/// knows it.
pub fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let Some((scheme, authority)) = origin else { return false };
    let told = |name| {
        let first = text_of(headers, HeaderName::from_static(name))?.split(',').next();
        first.map(str::trim)
    };
    let same_scheme =
        told("x-forwarded-proto").is_none_or(|told| told.eq_ignore_ascii_case(scheme));
    let same_host = match told("x-forwarded-host") {
        // Kong leaves the port out, and what it tells of it elsewhere is the one it listens on,
        // which need not be the one that was asked.
        Some(told) if host_of(told) == told => host_of(authority).eq_ignore_ascii_case(told),
        Some(told) => authority.eq_ignore_ascii_case(told),
        None => text_of(headers, header::HOST).is_some_and(|h| h.eq_ignore_ascii_case(authority)),
    };
    same_scheme && same_host
}

/// A host and port without the port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn refused(headers: &HeaderMap, verbose: bool) -> Response {
    let error = FieldError {
        kind: "content_type",
        loc: vec!["header".into(), "content-type".into()],
        msg: "From a page of another origin it must be application/json".into(),
        input: Value::from(text_of(headers, header::CONTENT_TYPE)).into(),
        ctx: None,
    };
    invalid(vec![error], verbose)
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
    let wanted = wanted_headers(headers);
    if !wanted.iter().all(|name| may_be_sent(name)) {
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
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(&wanted));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    response
}

/// The names of the headers that a page wants to send.
fn wanted_headers(headers: &HeaderMap) -> Vec<String> {
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let wanted = wanted.map(|wanted| String::from_utf8_lossy(wanted.as_bytes()));
    let names = wanted.iter().flat_map(|wanted| wanted.split(','));
    names.map(|name| name.trim().to_owned()).collect()
}

fn may_be_sent(name: &str) -> bool {
    HEADERS.split(", ").chain(FURTHER_HEADERS).any(|allowed| allowed.eq_ignore_ascii_case(name))
}

/// The headers that may be sent, of the further ones those that are wanted.
fn allowed_headers(wanted: &[String]) -> HeaderValue {
    let is_wanted = |header: &&str| wanted.iter().any(|name| name.eq_ignore_ascii_case(header));
    let further = FURTHER_HEADERS.into_iter().filter(is_wanted);
    let allowed: Vec<&str> = std::iter::once(HEADERS).chain(further).collect();
    HeaderValue::from_str(&allowed.join(", ")).expect("names of headers are plain ASCII")
}
