//! The state that all requests share.

use std::sync::Arc;

use super::dir_lock::DirLock;
use super::metrics::HttpMetrics;
use crate::config::Settings;
use crate::live_status::LiveStatus;
use crate::runs::Runs;
use crate::telemetry::metrics::Registry;

/// The state of a server, shared by all requests.
pub struct App {
    /// The settings that the server was started with.
    pub settings: Arc<Settings>,
    /// The runs.
    pub runs: Runs,
    /// Live status and its clients.
    pub status: LiveStatus,
    /// The metrics of requests.
    pub metrics: HttpMetrics,
    /// The registry of all metrics.
    pub registry: Registry,
    /// Locks on the data and runs directories, held as long as the server lives.
    pub locks: Vec<DirLock>,
}
