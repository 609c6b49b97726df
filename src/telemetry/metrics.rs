//! The metrics registry of a server. Each subsystem registers its own metrics.

use prometheus_client::encoding::text::encode;
pub use prometheus_client::registry::Registry;

/// Creates an empty registry with the name prefix `range42_`.
pub fn registry() -> Registry {
    Registry::with_prefix("range42")
}

/// Returns all metrics in the OpenMetrics text format.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, registry);
    text
}
