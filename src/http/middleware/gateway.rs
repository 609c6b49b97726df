//! What is believed of what a request says about itself.
//!
//! A gateway tells who asks, from where, and under which id. Whoever reaches the server without
//! it could say the same, so these headers are removed unless a trusted proxy sent them: what
//! is left after that can be relied on everywhere inside.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use subtle::ConstantTimeEq;

use crate::config::{GatewaySettings, SECRET_HEADER};
use crate::http::error::refused;
use crate::http::health;

/// The headers that only a gateway may set, by how they begin.
const GATEWAYS_OWN: [&str; 7] = [
    "x-forwarded-",
    "x-consumer-",
    "x-credential-",
    "x-anonymous-consumer",
    "x-authenticated-",
    "x-request-id",
    "x-real-ip",
];

/// `Forwarded` of RFC 7239, which begins as no other header may.
const FORWARDED: &str = "forwarded";

/// Longer ids than this are not taken over.
const LONGEST_ID: usize = 64;

/// The address that a request came from, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// Removes what is not believed, and notes who the client is.
pub fn believe(gateway: &GatewaySettings, request: &mut Request) {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let trusted = peer.is_some_and(|peer| gateway.trusts(peer));
    if !trusted {
        remove(request.headers_mut());
    }
    if let Some(peer) = peer {
        let client = client(gateway, peer, request.headers());
        request.extensions_mut().insert(ClientAddress(client));
    }
}

fn remove(headers: &mut HeaderMap) {
    let gateways_own = |name: &&HeaderName| {
        let name = name.as_str();
        name == FORWARDED || GATEWAYS_OWN.iter().any(|begin| name.starts_with(begin))
    };
    let names: Vec<HeaderName> = headers.keys().filter(gateways_own).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Each proxy adds the address that it was asked from at the end of `X-Forwarded-For`, so the
/// client is the last one there that is not a proxy of ours; what stands before it is its own
/// text.
fn client(gateway: &GatewaySettings, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let told = headers.get_all("x-forwarded-for").iter().rev();
    let addresses = told.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
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

/// Refuses what did not come through the gateway, where that is asked for. How the server is
/// may be asked by whoever looks after it.
pub fn not_through_the_gateway(
    gateway: &GatewaySettings,
    request: &mut Request,
) -> Option<Response> {
    let sent = request.headers_mut().remove(SECRET_HEADER);
    let secret = gateway.secret.as_ref()?;
    let knows = sent.is_some_and(|sent| sent.as_bytes().ct_eq(secret.as_bytes()).into());
    if knows || health::PATHS.contains(&request.uri().path()) {
        return None;
    }
    Some(refused(StatusCode::FORBIDDEN, "this server is asked through its gateway"))
}

/// The id that a trusted proxy gave the request, if it is one that can stand in a log.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:#-".contains(&byte);
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(fits)).then_some(id)
}
