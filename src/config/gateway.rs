//! The settings of the gateway and of trusted proxies.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::SettingsError;

/// The header in which the gateway sends its secret.
pub const SECRET_HEADER: &str = "x-range42-gateway";

/// The minimum length of the secret, to prevent guessing.
const MIN_SECRET_LENGTH: usize = 20;

/// The settings of the gateway in front of the server, if there is one.
#[derive(Clone, Default)]
pub struct GatewaySettings {
    /// `TRUSTED_PROXIES`: networks whose `X-Forwarded-*`, `X-Request-Id` and consumer headers are
    /// trusted.
    pub trusted: Vec<IpNet>,
    /// `RANGE42_GATEWAY_SECRET`: the secret that every request must carry.
    pub secret: Option<String>,
}

impl GatewaySettings {
    /// Reads the settings from a map.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting.
    pub(super) fn from_map(env: &HashMap<String, String>) -> Result<Self, SettingsError> {
        let get = |name: &str| env.get(name).map(|value| value.trim()).filter(|v| !v.is_empty());
        let networks = get("TRUSTED_PROXIES").unwrap_or_default().split([',', ' ']);
        let networks = networks.filter(|text| !text.is_empty());
        let trusted = networks.map(network).collect::<Result<_, _>>()?;
        let secret = get("RANGE42_GATEWAY_SECRET").map(secret).transpose()?;
        Ok(Self { trusted, secret })
    }

    /// Returns true if the address belongs to a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// Parses a network, or an address as a network of one.
fn network(text: &str) -> Result<IpNet, SettingsError> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| SettingsError {
        name: "TRUSTED_PROXIES",
        reason: format!("{text:?} is neither an address nor a network such as 172.16.0.0/12"),
    })
}

fn secret(text: &str) -> Result<String, SettingsError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && text.len() >= MIN_SECRET_LENGTH {
        return Ok(text.to_owned());
    }
    let reason = "must be at least 20 printable ASCII characters, without spaces".to_owned();
    Err(SettingsError { name: "RANGE42_GATEWAY_SECRET", reason })
}
