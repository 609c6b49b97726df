//! What a server is made of.

use std::sync::Arc;

use super::dir_lock::Held;
use super::metrics::HttpMetrics;
use crate::config::Settings;
use crate::live_status::LiveStatus;
use crate::runs::Runs;
use crate::telemetry::metrics::Registry;

/// What a server is made of: shared by all requests.
pub struct App {
    /// The settings it was started with.
    pub settings: Arc<Settings>,
    /// The runs it has at work.
    pub runs: Runs,
    /// The dashboards that it keeps up to date.
    pub status: LiveStatus,
    /// The metrics of its requests.
    pub metrics: HttpMetrics,
    /// All metrics.
    pub registry: Registry,
    /// The folders that are this server's as long as it lives.
    pub held: Vec<Held>,
}
