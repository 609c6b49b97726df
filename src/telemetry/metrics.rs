//! The registry of a server's metrics. Each subsystem registers its own.

use prometheus_client::encoding::text::encode;
pub use prometheus_client::registry::Registry;

/// An empty registry. Every name begins with `range42_`.
pub fn registry() -> Registry {
    Registry::with_prefix("range42")
}

/// All metrics as Prometheus reads them, in the OpenMetrics text format.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, registry);
    text
}
