//! Whom the server believes what it is told about a request.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::SettingsError;

/// The header by which the server knows that a request came through the gateway.
pub const SECRET_HEADER: &str = "x-range42-gateway";

/// The shortest secret that is accepted: one that nobody guesses.
const SHORTEST_SECRET: usize = 20;

/// The gateway in front of the server, if there is one.
#[derive(Clone, Default)]
pub struct Gateway {
    /// `TRUSTED_PROXIES`: from whom `X-Forwarded-*`, `X-Request-Id` and consumer headers are
    /// believed.
    pub trusted: Vec<IpNet>,
    /// `RANGE42_GATEWAY_SECRET`: what the gateway sends with every request; requests without
    /// it are refused.
    pub secret: Option<String>,
}

impl Gateway {
    /// Reads what the settings say about it.
    pub(super) fn from_map(env: &HashMap<String, String>) -> Result<Self, SettingsError> {
        let get = |name: &str| env.get(name).map(|value| value.trim()).filter(|v| !v.is_empty());
        let networks = get("TRUSTED_PROXIES").unwrap_or_default().split([',', ' ']);
        let networks = networks.filter(|text| !text.is_empty());
        let trusted = networks.map(network).collect::<Result<_, _>>()?;
        let secret = get("RANGE42_GATEWAY_SECRET").map(secret).transpose()?;
        Ok(Self { trusted, secret })
    }

    /// Whether this address is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// A network, or an address as a network of one.
fn network(text: &str) -> Result<IpNet, SettingsError> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| SettingsError {
        name: "TRUSTED_PROXIES",
        reason: format!("{text:?} is neither an address nor a network such as 172.16.0.0/12"),
    })
}

fn secret(text: &str) -> Result<String, SettingsError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && text.len() >= SHORTEST_SECRET {
        return Ok(text.to_owned());
    }
    let reason = "needs 20 or more ASCII characters without blanks".to_owned();
    Err(SettingsError { name: "RANGE42_GATEWAY_SECRET", reason })
}
