//! The metrics of requests.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::telemetry::metrics::Registry;

/// The labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Its method; one that no route knows is `other`.
    pub method: &'static str,
    /// The route that it matched, so that ids in paths do not become labels.
    pub route: String,
    /// The status of the response.
    pub status: u16,
}

/// The metrics of a server's requests.
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
        registry.register("request_seconds", "Time to the answer", metrics.request_seconds.clone());
        let clients = "Connected WebSocket clients";
        registry.register("websocket_clients", clients, metrics.websocket_clients.clone());
        metrics
    }

    /// Counts a request that has been answered.
    pub fn count(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }
}
