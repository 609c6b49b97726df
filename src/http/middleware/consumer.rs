//! The consumer that a request comes from, as named by the gateway.

use axum::http::HeaderMap;

/// The headers in which Kong names the authenticated consumer, in order of preference (Kong
/// Gateway, "key-auth" plugin, "Upstream headers").
const CONSUMER_HEADERS: [&str; 2] = ["x-consumer-username", "x-consumer-custom-id"];

/// Longer names are truncated: they are for display only.
const MAX_NAME_LENGTH: usize = 200;

/// Returns the name of the consumer that the gateway authenticated, or `None` if the request did
/// not come through the gateway.
pub fn consumer(headers: &HeaderMap) -> Option<String> {
    let name = CONSUMER_HEADERS.iter().find_map(|header| {
        let name = headers.get(*header)?.to_str().ok()?.trim();
        (!name.is_empty()).then_some(name)
    });
    name.map(|name| name.chars().take(MAX_NAME_LENGTH).collect())
}
