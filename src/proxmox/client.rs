//! A client of the Proxmox VE REST API.
//!
//! Paths and members are documented at <https://pve.proxmox.com/pve-docs/api-viewer/>.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Certificate, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use thiserror::Error;

use crate::inventory::Credentials;
use crate::proxmox::lenient;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a request failed. Messages are one line and contain no secrets.
#[derive(Debug, Error)]
pub enum ProxmoxError {
    /// The connection failed, was closed or cannot be trusted.
    #[error("the Proxmox API does not answer: {0}")]
    Unreachable(String),
    /// 401 or 403.
    #[error("the Proxmox API refuses the token: {0}")]
    Credentials(String),
    /// Any other error status.
    #[error("the Proxmox API answered {status}: {reason}")]
    Status {
        /// The status code. Proxmox uses 595 to 599 for unreachable nodes (`PVE::APIServer::AnyEvent`,
        /// from AnyEvent::HTTP).
        status: u16,
        /// The reason given by Proxmox.
        reason: String,
    },
    /// A success status with an unexpected body.
    #[error("the Proxmox API sent an unexpected response: {0}")]
    Unreadable(String),
}

/// A guest in the response of `GET /nodes/{node}/qemu`.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedGuest {
    /// The VM ID.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub vmid: u64,
    /// The name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
}

/// A client of one Proxmox API. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    credentials: Credentials,
}

impl Client {
    /// Creates a client without connecting.
    ///
    /// # Errors
    ///
    /// Returns [`ProxmoxError::Unreachable`] if `ca_file` cannot be read or TLS cannot be set up.
    ///
    /// # Blocking
    ///
    /// Reads `ca_file` and the certificates of the system.
    pub fn new(credentials: Credentials) -> Result<Self, ProxmoxError> {
        // Fails if a provider is installed already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        if let Some(file) = &credentials.ca_file {
            let pem = std::fs::read(file)
                .map_err(|e| ProxmoxError::Unreachable(format!("proxmox_ca_file: {e}")))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(unreachable)?;
            builder = builder.tls_certs_only(certificates);
        } else if !credentials.validate_certs {
            warn_once(&credentials.base_url);
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let http = builder.build().map_err(unreachable)?;
        Ok(Self { http, credentials })
    }

    /// Returns the QEMU guests of a node.
    ///
    /// # Errors
    ///
    /// Returns an error if the request fails.
    pub async fn guests(&self, node: &str) -> Result<Vec<ListedGuest>, ProxmoxError> {
        let node = utf8_percent_encode(node, NON_ALPHANUMERIC);
        self.get(&format!("/nodes/{node}/qemu")).await
    }

    /// Returns the names of all nodes in the cluster, including unreachable ones.
    ///
    /// # Errors
    ///
    /// Returns an error if the request fails.
    pub async fn nodes(&self) -> Result<Vec<String>, ProxmoxError> {
        #[derive(Deserialize)]
        struct Node {
            node: String,
        }
        let nodes: Vec<Node> = self.get("/nodes").await?;
        Ok(nodes.into_iter().map(|node| node.node).collect())
    }

    /// Returns true if the token has the privilege `VM.Audit` on any path. Without it, Proxmox
    /// returns an empty list of guests instead of an error.
    ///
    /// # Errors
    ///
    /// Returns an error if the request fails.
    pub async fn can_see_guests(&self) -> Result<bool, ProxmoxError> {
        // The privileges by path, with 1 if they propagate to the paths below.
        type Permissions = BTreeMap<String, BTreeMap<String, IgnoredAny>>;
        let held: Permissions = self.get("/access/permissions").await?;
        Ok(held.values().any(|privileges| privileges.contains_key("VM.Audit")))
    }

    /// Sends `GET /api2/json{path}` and returns the `data` of the response.
    ///
    /// # Errors
    ///
    /// Returns an error if the request fails or `data` is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ProxmoxError> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: T,
        }
        let url = format!("{}/api2/json{path}", self.credentials.base_url);
        let request = self.http.get(url).header("authorization", &self.credentials.authorization);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(status, &response));
        }
        let body = response.bytes().await.map_err(unreachable)?;
        serde_json::from_slice::<Envelope<T>>(&body)
            .map(|envelope| envelope.data)
            .map_err(|e| ProxmoxError::Unreadable(e.to_string()))
    }
}

/// Logs once per API and process that its certificate is not verified. This is the default,
/// because Proxmox ships with self-signed certificates.
fn warn_once(base_url: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if WARNED.lock().expect("nothing panics while it holds this lock").insert(base_url.to_owned()) {
        tracing::warn!(
            api = base_url,
            "the certificate of the Proxmox API is not verified: set proxmox_ca_file or \
             proxmox_validate_certs in the inventory"
        );
    }
}

/// Proxmox sends its error message in the reason phrase of the status line.
fn refused(status: StatusCode, response: &reqwest::Response) -> ProxmoxError {
    let phrase = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = phrase
        .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned())
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_else(|| "no reason given".to_owned());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProxmoxError::Credentials(reason),
        _ => ProxmoxError::Status { status: status.as_u16(), reason },
    }
}

/// The message of reqwest is generic; the root cause has the details.
fn unreachable(error: reqwest::Error) -> ProxmoxError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let error = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
    ProxmoxError::Unreachable(error)
}
