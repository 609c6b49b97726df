//! Who asks, as the gateway says.

use axum::http::HeaderMap;

/// The gateway's headers that name its consumer, the most telling first.
const CONSUMER: [&str; 2] = ["x-consumer-username", "x-consumer-custom-id"];

/// Longer names are cut: they are only shown.
const LONGEST: usize = 200;

/// The consumer that the gateway has authenticated; none where the request did not come
/// through it.
pub fn consumer(headers: &HeaderMap) -> Option<String> {
    let named = CONSUMER.iter().find_map(|name| {
        let text = headers.get(*name)?.to_str().ok()?.trim();
        (!text.is_empty()).then_some(text)
    });
    named.map(|text| text.chars().take(LONGEST).collect())
}
