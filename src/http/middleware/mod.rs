//! What surrounds every route: request ids, the log of requests, panics, CORS.

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

/// The header that names a request in the answer and in every log line.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header that names the run in the answer.
pub const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// Puts around the routes what surrounds them.
pub fn surround(router: Router, app: &Arc<App>) -> Router {
    let routes = router
        .layer(MapRequestLayer::new(note_matched_path))
        .layer(CatchPanicLayer::custom(panicked));
    // Routing happens inside of the inner router, so what changes the path stands outside, and
    // so does CORS: the router adds `Allow` to every answer to a method that it does not know.
    Router::new().fallback_service(middleware::from_fn_with_state(app.clone(), edge).layer(routes))
}

/// All of it in one layer: each costs every request a few allocations.
async fn edge(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    plain_path(&mut request);
    gateway::believe(&app.settings.gateway, &mut request);
    let told = gateway::request_id(request.headers()).map(str::to_owned);
    let id = told.unwrap_or_else(|| new_id().to_string());
    let span = tracing::info_span!("request", request_id = %id);
    let header = HeaderValue::from_str(&id).expect("it is plain ASCII");
    request.headers_mut().insert(REQUEST_ID, header.clone());
    let visit = Visit::begin(app.clone(), id, &mut request);
    let answered = async {
        match gateway::not_through_the_gateway(&app.settings.gateway, &mut request) {
            Some(refusal) => refusal,
            None => cors::answer(&app.settings, request, next).await,
        }
    };
    let mut response = answered.instrument(span).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, header);
    if let Some(run) = visit.noted.0.run.get() {
        let run = HeaderValue::from_str(&run.to_string()).expect("a UUID is plain ASCII");
        headers.insert(RUN_ID, run);
    }
    visit.answered(&response);
    response
}

/// A new request id. It is no secret, so the system is not asked for randomness, which would cost
/// as much as reading the request.
fn new_id() -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    Builder::from_unix_timestamp_millis(now.as_millis() as u64, &random).into_uuid()
}

/// Undoes the percent-encoding of letters, digits and `- . _ ~`, which RFC 3986 (2.3) says
/// means the same with and without. Everything else stays as it was sent.
fn plain_path(request: &mut Request) {
    let path = request.uri().path();
    if !path.contains('%') {
        return;
    }
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at..at + 3).unwrap_or(&rest[at..]);
        let decoded = percent_decode_str(code).next().filter(|_| code.len() == 3);
        match decoded {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                plain.push(char::from(byte));
            }
            _ => plain.push_str(code),
        }
        rest = &rest[at + code.len()..];
    }
    plain.push_str(rest);
    if let Some(query) = request.uri().query() {
        plain.push('?');
        plain.push_str(query);
    }
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = plain.parse().ok().or(parts.path_and_query);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// What becomes known of a request on its way. It goes into the router with the request.
#[derive(Clone, Default)]
struct Noted(Arc<Notes>);

#[derive(Default)]
struct Notes {
    /// The route that it matched.
    route: OnceLock<MatchedPath>,
    /// The run that it started or is about.
    run: OnceLock<Uuid>,
}

/// Notes which run a request is about, for its answer and for its line in the log, which it
/// leaves even if the client goes away first.
pub fn note_run(request: &Extensions, run: Uuid) {
    if let Some(noted) = request.get::<Noted>() {
        let _ = noted.0.run.set(run);
    }
}

fn note_matched_path(request: Request) -> Request {
    let extensions = request.extensions();
    if let (Some(path), Some(noted)) = (extensions.get::<MatchedPath>(), extensions.get::<Noted>())
    {
        let _ = noted.0.route.set(path.clone());
    }
    request
}

/// The status of a request that was not answered, since the client went away. It is nginx's, as
/// HTTP has none.
const CLIENT_GONE: u16 = 499;

/// A request at work. It is counted and leaves a line in the log, also where nobody waits for
/// its answer any more, which drops it.
struct Visit {
    app: Arc<App>,
    id: String,
    method: Method,
    uri: Uri,
    noted: Noted,
    consumer: Option<String>,
    client: Option<String>,
    started: Instant,
    status: u16,
}

impl Visit {
    fn begin(app: Arc<App>, id: String, request: &mut Request) -> Self {
        let noted = Noted::default();
        request.extensions_mut().insert(noted.clone());
        let client = request.extensions().get::<gateway::ClientAddress>();
        Self {
            app,
            id,
            method: request.method().clone(),
            uri: request.uri().clone(),
            noted,
            consumer: consumer::consumer(request.headers()),
            client: client.map(|client| client.0.to_string()),
            started: Instant::now(),
            status: CLIENT_GONE,
        }
    }

    fn answered(mut self, response: &Response) {
        self.status = response.status().as_u16();
    }

    fn asks_for_health(&self) -> bool {
        health::PATHS.contains(&self.uri.path())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Self { id: request_id, method, status, consumer, client, noted, .. } = &*self;
        let (route, took) = (noted.0.route.get().map(MatchedPath::as_str), self.started.elapsed());
        let run_id = noted.0.run.get().map(Uuid::to_string);
        let labels = RequestLabels {
            method: known_method(method),
            route: route.unwrap_or("none").to_owned(),
            status: *status,
        };
        self.app.metrics.count(&labels, took);
        let duration_ms = took.as_millis() as u64;
        let message = if *status == CLIENT_GONE { "the client has gone" } else { "answered" };
        // A path that no route matched is the client's text: shown escaped and shortened.
        let unknown = || format!("{:?}", self.uri.path().chars().take(120).collect::<String>());
        let route = route.map_or_else(|| Cow::from(unknown()), Cow::from);
        let route = &*route;
        // Outside of the request's span, so that a collector finds every member at the top.
        if self.asks_for_health() && *status != StatusCode::FORBIDDEN.as_u16() {
            tracing::debug!(request_id, %method, route, status, duration_ms, "{message}");
        } else {
            tracing::info!(
                request_id, %method, route, status, duration_ms, consumer, client, run_id, "{message}"
            );
        }
    }
}

/// Anything can be sent as a method, and must not become a label.
fn known_method(method: &Method) -> &'static str {
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
