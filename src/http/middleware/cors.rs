//! Cross-origin resource sharing (CORS), as defined by the Fetch standard.
//!
//! Responses match the service that this one replaces, header by header. tower-http's `CorsLayer`
//! differs in `Vary`, in the body of a preflight response, and in not rejecting requests.

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
/// The headers that a page may send, listed in each preflight response.
const ALLOWED_HEADERS: &str =
    "Accept, Accept-Language, Authorization, Content-Language, Content-Type";
/// Further headers that a page may send: `Prefer` for asynchronous runs, Kong's key, and the last
/// event received from a stream. The replaced service did not list them, so a preflight response
/// lists only those that were asked for.
const FURTHER_HEADERS: [&str; 3] = ["Prefer", "apikey", "Last-Event-ID"];
/// The response headers that a page may read.
const EXPOSED_HEADERS: &str = "X-Run-Id, Location, X-Request-Id, Preference-Applied, Retry-After";
/// How long browsers may cache a preflight response, in seconds; Starlette's default.
const MAX_AGE: &str = "600";

/// Whether pages of `origin` may call the API.
pub fn allows(rule: &Regex, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| rule.is_match(origin))
}

/// Responds to preflights, rejects requests that only a page of a disallowed origin would send,
/// and adds the CORS headers to the response.
pub async fn handle(settings: &Settings, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let allowed = allows(&settings.cors_origin, &origin);
    let requested = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    if let (&Method::OPTIONS, Some(method)) = (request.method(), requested) {
        let method = method.clone();
        return preflight(&origin, allowed, &method, request.headers());
    }
    let sends_further = FURTHER_HEADERS.iter().any(|name| request.headers().contains_key(*name));
    let mut response = if allowed || is_safe(&origin, &request) {
        next.run(request).await
    } else {
        content_type_error(request.headers(), settings.debug)
    };
    add_origin_headers(response.headers_mut(), &origin, allowed);
    if allowed && (sends_further || needs_exposure(response.headers())) {
        let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
        response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

/// Whether the response has headers that a page needs and the replaced service did not send. All
/// other responses have exactly the headers of that service.
fn needs_exposure(headers: &HeaderMap) -> bool {
    [header::LOCATION, header::RETRY_AFTER, prefer::APPLIED].iter().any(|h| headers.contains_key(h))
}

/// Whether a request from a disallowed origin can be let through: it changes nothing, comes from
/// a page of this server, or has a content type that requires a preflight. Browsers send a POST
/// without preflight if it has a form's content type or none. Since the API treats a missing
/// content type as JSON, any page could otherwise start a run.
fn is_safe(origin: &HeaderValue, request: &Request) -> bool {
    let changes_nothing = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let content_type = text_of(request.headers(), header::CONTENT_TYPE);
    changes_nothing
        || content_type.is_some_and(body::is_json)
        || is_same_origin(origin, request.headers())
}

/// Whether the page was served by this server, under the host and scheme that a trusted gateway
/// reports, or under the `Host` header. The scheme is compared only if a gateway reports it: the
/// server itself does not know how the page was loaded.
pub fn is_same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let Some((scheme, authority)) = origin else { return false };
    let forwarded = |name| {
        let first = text_of(headers, HeaderName::from_static(name))?.split(',').next();
        first.map(str::trim)
    };
    let same_scheme =
        forwarded("x-forwarded-proto").is_none_or(|proto| proto.eq_ignore_ascii_case(scheme));
    let same_host = match forwarded("x-forwarded-host") {
        // Kong omits the port here, and its X-Forwarded-Port is the port it listens on, which can
        // differ from the port that the client used.
        Some(host) if host_of(host) == host => host_of(authority).eq_ignore_ascii_case(host),
        Some(host) => authority.eq_ignore_ascii_case(host),
        None => text_of(headers, header::HOST).is_some_and(|h| h.eq_ignore_ascii_case(authority)),
    };
    same_scheme && same_host
}

/// Strips the port from an authority.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn content_type_error(headers: &HeaderMap, verbose: bool) -> Response {
    let error = FieldError {
        kind: "content_type",
        loc: vec!["header".into(), "content-type".into()],
        msg: "Must be application/json for requests from other origins".into(),
        input: Value::from(text_of(headers, header::CONTENT_TYPE)).into(),
        ctx: None,
    };
    invalid(vec![error], verbose)
}

fn add_origin_headers(headers: &mut HeaderMap, origin: &HeaderValue, allowed: bool) {
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
    let mut disallowed = Vec::new();
    if !allowed {
        disallowed.push("origin");
    }
    if !METHODS.iter().any(|m| m.as_str().as_bytes() == method.as_bytes()) {
        disallowed.push("method");
    }
    let requested = requested_headers(headers);
    if !requested.iter().all(|name| is_allowed_header(name)) {
        disallowed.push("headers");
    }
    let (status, text) = match disallowed.as_slice() {
        [] => (StatusCode::OK, "OK".to_owned()),
        parts => (StatusCode::BAD_REQUEST, format!("Disallowed CORS {}", parts.join(", "))),
    };
    let mut response = (status, text).into_response();
    let answer = response.headers_mut();
    add_origin_headers(answer, origin, allowed);
    answer.insert(header::VARY, HeaderValue::from_static("Origin"));
    let methods = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(&requested));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    response
}

/// The names in `Access-Control-Request-Headers`.
fn requested_headers(headers: &HeaderMap) -> Vec<String> {
    let value = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let names = value.iter().flat_map(|value| value.split(','));
    names.map(|name| name.trim().to_owned()).collect()
}

fn is_allowed_header(name: &str) -> bool {
    ALLOWED_HEADERS
        .split(", ")
        .chain(FURTHER_HEADERS)
        .any(|allowed| allowed.eq_ignore_ascii_case(name))
}

/// The value of `Access-Control-Allow-Headers`: further headers are listed only if requested.
fn allowed_headers(requested: &[String]) -> HeaderValue {
    let is_requested =
        |header: &&str| requested.iter().any(|name| name.eq_ignore_ascii_case(header));
    let further = FURTHER_HEADERS.into_iter().filter(is_requested);
    let allowed: Vec<&str> = std::iter::once(ALLOWED_HEADERS).chain(further).collect();
    HeaderValue::from_str(&allowed.join(", ")).expect("header names are ASCII")
}
