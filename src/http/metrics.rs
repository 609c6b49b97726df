//! The metrics of requests, and the route that exposes all metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::http::App;
use crate::telemetry::metrics;
use crate::telemetry::metrics::Registry;

/// The path that Prometheus scrapes.
pub const PATH: &str = "/metrics";

/// The content type of OpenMetrics text (OpenMetrics 1.0, "Content-Type").
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the route.
pub fn routes(app: &Arc<App>) -> Router {
    Router::new().route(PATH, get(metrics)).with_state(app.clone())
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.runs.update_metrics();
    app.metrics.websocket_clients.set(i64::try_from(app.status.clients()).unwrap_or(i64::MAX));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics::text(&app.registry)).into_response()
}

/// The labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The method, or `other` for an unknown one.
    pub method: &'static str,
    /// The template of the matched route, so that ids in paths do not become labels.
    pub route: String,
    /// The status of the response.
    pub status: u16,
}

/// The metrics of requests and WebSocket clients.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    /// Connected WebSocket clients.
    pub websocket_clients: Gauge,
}

impl HttpMetrics {
    /// Registers the metrics, all at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            request_seconds: Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0]),
            websocket_clients: Gauge::default(),
        };
        registry.register("requests", "Requests by matched route", metrics.requests.clone());
        registry.register(
            "request_seconds",
            "Time to the response",
            metrics.request_seconds.clone(),
        );
        let clients = "Connected WebSocket clients";
        registry.register("websocket_clients", clients, metrics.websocket_clients.clone());
        metrics
    }

    /// Counts a request and its duration.
    pub fn count(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }
}
