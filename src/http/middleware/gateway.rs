//! Headers that only a trusted gateway may set.
//!
//! A gateway states who the consumer is, the client's address and the request id. Any client that
//! reaches the server directly could send the same headers, so they are removed unless the
//! request comes from a trusted proxy. Code behind this layer can rely on those that remain.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use subtle::ConstantTimeEq;

use crate::config::{GatewaySettings, SECRET_HEADER};
use crate::http::error::error_response;
use crate::http::health;

/// Prefixes of the headers that only a gateway may set.
const GATEWAY_PREFIXES: [&str; 7] = [
    "x-forwarded-",
    "x-consumer-",
    "x-credential-",
    "x-anonymous-consumer",
    "x-authenticated-",
    "x-request-id",
    "x-real-ip",
];

/// The `Forwarded` header of RFC 7239, compared as a whole.
const FORWARDED: &str = "forwarded";

/// Longer request ids are replaced by one of our own.
const MAX_ID_LENGTH: usize = 64;

/// The address of the client, as far as trusted proxies report it.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// Removes the headers that only a gateway may set, unless a trusted proxy sent the request.
pub fn strip_untrusted_headers(gateway: &GatewaySettings, request: &mut Request) {
    if peer(request).is_some_and(|peer| gateway.trusts(peer)) {
        return;
    }
    let is_gateway_header = |name: &&HeaderName| {
        let name = name.as_str();
        name == FORWARDED || GATEWAY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let headers = request.headers_mut();
    let untrusted: Vec<HeaderName> = headers.keys().filter(is_gateway_header).cloned().collect();
    for name in untrusted {
        headers.remove(name);
    }
}

/// Adds the [`ClientAddress`] to the request. Untrusted headers must have been stripped before.
pub fn record_client_address(gateway: &GatewaySettings, request: &mut Request) {
    if let Some(peer) = peer(request) {
        let address = client_address(gateway, peer, request.headers());
        request.extensions_mut().insert(ClientAddress(address));
    }
}

/// The other end of the connection; `None` for a router that is called without a socket.
fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

/// Each proxy appends the address of its peer to `X-Forwarded-For`, so the client is the last
/// address that is not a trusted proxy. Whatever precedes it was sent by the client itself.
fn client_address(gateway: &GatewaySettings, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let addresses = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    let mut client = peer.to_canonical();
    for address in addresses {
        if !gateway.trusts(client) {
            break;
        }
        let Ok(address) = address.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
    }
    client
}

/// Rejects a request that lacks the gateway's secret, if one is configured. The health and
/// metrics routes are exempt, since monitoring does not go through the gateway.
pub fn reject_without_secret(gateway: &GatewaySettings, request: &mut Request) -> Option<Response> {
    let sent = request.headers_mut().remove(SECRET_HEADER);
    let secret = gateway.secret.as_ref()?;
    let matches = sent.is_some_and(|sent| sent.as_bytes().ct_eq(secret.as_bytes()).into());
    if matches || health::PATHS.contains(&request.uri().path()) {
        return None;
    }
    Some(error_response(StatusCode::FORBIDDEN, "requests must come through the gateway"))
}

/// Returns the request id set by a trusted proxy, if it is safe to log.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:#-".contains(&byte);
    ((1..=MAX_ID_LENGTH).contains(&id.len()) && id.bytes().all(is_allowed)).then_some(id)
}
