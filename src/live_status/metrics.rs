//! The metrics of live status.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::telemetry::metrics::Registry;

/// The label of a poll of Proxmox.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PollLabels {
    /// `ok`, `failed` for transient errors or `refused` for permanent ones.
    pub result: &'static str,
}

/// Polls of Proxmox, by result.
pub type Polls = Family<PollLabels, Counter>;

/// Registers the counter of polls.
pub fn register(registry: &mut Registry) -> Polls {
    let polls = Polls::default();
    registry.register("polls", "Polls of Proxmox by result", polls.clone());
    polls
}
