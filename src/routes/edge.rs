//! What surrounds every route: request ids, the log of requests, panics, CORS.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use uuid::Uuid;

use super::handler::RUN_ID;
use super::{caller, cors, docs, health, trust};
use crate::App;
use crate::metrics::RequestLabels;

/// The header that names a request in the answer and in every log line.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts the layers around the routes, the outermost last.
pub fn surround(router: Router, app: &Arc<App>) -> Router {
    let routes = router
        .layer(middleware::from_fn(log_matched_path))
        .layer(CatchPanicLayer::custom(panicked));
    // Routing happens inside of the inner router, so what changes the path stands outside, and
    // so does CORS: the router adds `Allow` to every answer to a method that it does not know.
    let cross_origin = middleware::from_fn_with_state(app.clone(), cors::layer).layer(routes);
    let guarded =
        middleware::from_fn_with_state(app.clone(), trust::gateway_only).layer(cross_origin);
    let logged = middleware::from_fn_with_state(app.clone(), identify_and_log).layer(guarded);
    let outer = middleware::from_fn_with_state(app.clone(), trust::believe).layer(logged);
    Router::new().fallback_service(middleware::map_request(plain_path).layer(outer))
}

/// Undoes the percent-encoding of letters, digits and `- . _ ~`, which RFC 3986 (2.3) says
/// means the same with and without. Everything else stays as it was sent.
async fn plain_path(mut request: Request) -> Request {
    let path = request.uri().path();
    if !path.contains('%') {
        return request;
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
    request
}

/// The route that a request matched, carried out of the router on the answer.
#[derive(Clone)]
struct MatchedRoute(String);

async fn log_matched_path(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(MatchedRoute(route));
    }
    response
}

async fn identify_and_log(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let told = trust::request_id(request.headers()).map(str::to_owned);
    let id = told.unwrap_or_else(|| Uuid::now_v7().to_string());
    let span = tracing::info_span!("request", request_id = %id);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let consumer = caller::consumer(request.headers());
    let client = request.extensions().get::<trust::ClientAddress>().map(|c| c.0.to_string());
    let header = HeaderValue::from_str(&id).expect("it is plain ASCII");
    request.headers_mut().insert(REQUEST_ID, header.clone());
    let started = Instant::now();
    let mut response = next.run(request).instrument(span).await;
    let route = response.extensions().get::<MatchedRoute>().map(|r| r.0.clone());
    let (status, took) = (response.status().as_u16(), started.elapsed());
    let labels = RequestLabels {
        method: known_method(&method),
        route: route.clone().unwrap_or_else(|| "none".to_owned()),
        status,
    };
    app.metrics.answered(&labels, took);
    let run_id = response.headers().get(RUN_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let duration_ms = took.as_millis() as u64;
    let asks_for_health = health::PATHS.contains(&path.as_str())
        || (method == Method::HEAD && path == docs::DOCUMENT_PATH);
    // A path that no route matched is the client's text: shown escaped and shortened.
    let route =
        route.unwrap_or_else(|| format!("{:?}", path.chars().take(120).collect::<String>()));
    // Outside of the request's span, so that a collector finds every member at the top.
    if asks_for_health && status != StatusCode::FORBIDDEN {
        tracing::debug!(request_id = id, %method, route, status, duration_ms, "answered");
    } else {
        tracing::info!(
            request_id = id, %method, route, status, duration_ms, consumer, client, run_id, "answered"
        );
    }
    response.headers_mut().insert(REQUEST_ID, header);
    response
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
