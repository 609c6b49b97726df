//! Middleware around every route: request ids, the gateway's headers, the access log, CORS and
//! panics.

pub mod consumer;
pub mod cors;
pub mod gateway;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware;
use axum::middleware::Next;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use tower::Layer;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use uuid::{Builder, Uuid};

use crate::http::App;
use crate::http::health;
use crate::http::metrics::RequestLabels;

/// The header that carries the request id, which is also part of each log line.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The response header that carries the id of the run.
pub const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// Wraps the routes in all middleware.
pub fn wrap(router: Router, app: &Arc<App>) -> Router {
    let routes = router
        .layer(MapRequestLayer::new(note_matched_path))
        .layer(CatchPanicLayer::custom(panicked));
    // The path must be normalized before the inner router matches it. CORS is outside too, since
    // the router adds `Allow` to each response to an unsupported method.
    Router::new().fallback_service(
        middleware::from_fn_with_state(app.clone(), process_request).layer(routes),
    )
}

/// Everything in a single layer, since each layer costs a few allocations per request.
async fn process_request(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    normalize_path(&mut request);
    gateway::strip_untrusted_headers(&app.settings.gateway, &mut request);
    gateway::record_client_address(&app.settings.gateway, &mut request);
    let given = gateway::request_id(request.headers()).map(str::to_owned);
    let id = given.unwrap_or_else(|| new_request_id().to_string());
    let span = tracing::info_span!("request", request_id = %id);
    let header = HeaderValue::from_str(&id).expect("a request id is ASCII");
    request.headers_mut().insert(REQUEST_ID, header.clone());
    let entry = AccessLogEntry::new(app.clone(), id, &mut request);
    let respond = async {
        match gateway::reject_without_secret(&app.settings.gateway, &mut request) {
            Some(rejection) => rejection,
            None => cors::handle(&app.settings, request, next).await,
        }
    };
    let mut response = respond.instrument(span).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, header);
    if let Some(run) = entry.notes.run.get() {
        let run = HeaderValue::from_str(&run.to_string()).expect("a UUID is ASCII");
        headers.insert(RUN_ID, run);
    }
    entry.finish(&response);
    response
}

/// Creates a request id (UUIDv7). Ids are not secret, so a fast generator does: a system call for
/// random bytes would cost as much as reading the request.
fn new_request_id() -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    Builder::from_unix_timestamp_millis(now.as_millis() as u64, &random).into_uuid()
}

/// Decodes percent-encoded unreserved characters (letters, digits and `- . _ ~`), which are
/// equivalent to their plain form (RFC 3986, 2.3). Everything else is left unchanged.
fn normalize_path(request: &mut Request) {
    let path = request.uri().path();
    if !path.contains('%') {
        return;
    }
    let mut normalized = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        normalized.push_str(&rest[..at]);
        let code = rest.get(at..at + 3).unwrap_or(&rest[at..]);
        let decoded = percent_decode_str(code).next().filter(|_| code.len() == 3);
        match decoded {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                normalized.push(char::from(byte));
            }
            _ => normalized.push_str(code),
        }
        rest = &rest[at + code.len()..];
    }
    normalized.push_str(rest);
    if let Some(query) = request.uri().query() {
        normalized.push('?');
        normalized.push_str(query);
    }
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = normalized.parse().ok().or(parts.path_and_query);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// What inner handlers report about a request; an extension of the request holds it.
#[derive(Default)]
struct RequestNotes {
    /// The route that matched.
    route: OnceLock<MatchedPath>,
    /// The run that the request started or refers to.
    run: OnceLock<Uuid>,
}

/// Records the run that a request refers to, for the response header and the access log. The log
/// has it even if the client disconnects first.
pub fn note_run(request: &Extensions, run: Uuid) {
    if let Some(notes) = request.get::<Arc<RequestNotes>>() {
        let _ = notes.run.set(run);
    }
}

fn note_matched_path(request: Request) -> Request {
    let extensions = request.extensions();
    let notes = extensions.get::<Arc<RequestNotes>>();
    if let (Some(path), Some(notes)) = (extensions.get::<MatchedPath>(), notes) {
        let _ = notes.route.set(path.clone());
    }
    request
}

/// The status logged if the client disconnects before the response. HTTP defines none; this is
/// nginx's (`NGX_HTTP_CLIENT_CLOSED_REQUEST`).
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request in progress. It is counted and logged when dropped, which also happens if the client
/// disconnects and its future is canceled.
struct AccessLogEntry {
    app: Arc<App>,
    id: String,
    method: Method,
    uri: Uri,
    notes: Arc<RequestNotes>,
    consumer: Option<String>,
    client: Option<String>,
    started: Instant,
    status: u16,
}

impl AccessLogEntry {
    fn new(app: Arc<App>, id: String, request: &mut Request) -> Self {
        let notes = Arc::<RequestNotes>::default();
        request.extensions_mut().insert(notes.clone());
        let client = request.extensions().get::<gateway::ClientAddress>();
        Self {
            app,
            id,
            method: request.method().clone(),
            uri: request.uri().clone(),
            notes,
            consumer: consumer::consumer(request.headers()),
            client: client.map(|client| client.0.to_string()),
            started: Instant::now(),
            status: CLIENT_CLOSED_REQUEST,
        }
    }

    fn finish(mut self, response: &Response) {
        self.status = response.status().as_u16();
    }

    fn is_monitoring(&self) -> bool {
        health::PATHS.contains(&self.uri.path())
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let Self { id: request_id, method, status, consumer, client, notes, .. } = &*self;
        let (route, took) = (notes.route.get().map(MatchedPath::as_str), self.started.elapsed());
        let run_id = notes.run.get().map(Uuid::to_string);
        let labels = RequestLabels {
            method: method_label(method),
            route: route.unwrap_or("none").to_owned(),
            status: *status,
        };
        self.app.metrics.count(&labels, took);
        let duration_ms = took.as_millis() as u64;
        let message = if *status == CLIENT_CLOSED_REQUEST {
            "client disconnected"
        } else {
            "request completed"
        };
        // The path of an unknown route is untrusted text: escape and truncate it.
        let unknown = || format!("{:?}", self.uri.path().chars().take(120).collect::<String>());
        let route = route.map_or_else(|| Cow::from(unknown()), Cow::from);
        let route = &*route;
        // Outside the request's span, so that all fields are at the top level of the JSON.
        if self.is_monitoring() && *status != StatusCode::FORBIDDEN.as_u16() {
            tracing::debug!(request_id, %method, route, status, duration_ms, "{message}");
        } else {
            tracing::info!(
                request_id, %method, route, status, duration_ms, consumer, client, run_id, "{message}"
            );
        }
    }
}

/// Clients can send any method, so unknown ones share one label.
fn method_label(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS];
    let names = ["GET", "POST", "DELETE", "HEAD", "OPTIONS"];
    known.iter().zip(names).find(|(known, _)| *known == method).map_or("other", |(_, name)| name)
}

fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a request handler panicked");
    let body = r#"{"detail":"Internal Server Error"}"#;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
