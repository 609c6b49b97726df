//! A client of the Proxmox VE REST API.
//!
//! Paths and members are those of <https://pve.proxmox.com/pve-docs/api-viewer/>.

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

/// Why the API gave no answer to use. Each is one line without a secret.
#[derive(Debug, Error)]
pub enum ProxmoxError {
    /// No connection, or none that can be trusted, or one that broke off.
    #[error("the Proxmox API does not answer: {0}")]
    Unreachable(String),
    /// 401 or 403.
    #[error("the Proxmox API refuses the token: {0}")]
    Credentials(String),
    /// Any other status that is not success.
    #[error("the Proxmox API answered {status}: {reason}")]
    Status {
        /// The status code; Proxmox adds 595 to 599 to those of HTTP for a node out of reach.
        status: u16,
        /// Proxmox's own words.
        reason: String,
    },
    /// Success, with a body that is not what the API documents.
    #[error("the Proxmox API answered what it does not document: {0}")]
    Unreadable(String),
}

/// A guest as `GET /nodes/{node}/qemu` lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedGuest {
    /// Its id.
    #[serde(deserialize_with = "lenient::whole")]
    pub vmid: u64,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
}

/// A connection to one Proxmox API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    credentials: Credentials,
}

impl Client {
    /// Prepares a client; nothing is sent yet.
    pub fn new(credentials: Credentials) -> Result<Self, ProxmoxError> {
        // The first one wins; a second call changes nothing and says so by an error.
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

    /// The guests of a node.
    pub async fn guests(&self, node: &str) -> Result<Vec<ListedGuest>, ProxmoxError> {
        let node = utf8_percent_encode(node, NON_ALPHANUMERIC);
        self.get(&format!("/nodes/{node}/qemu")).await
    }

    /// The names of the nodes of its cluster, those out of reach too.
    pub async fn nodes(&self) -> Result<Vec<String>, ProxmoxError> {
        #[derive(Deserialize)]
        struct Node {
            node: String,
        }
        let nodes: Vec<Node> = self.get("/nodes").await?;
        Ok(nodes.into_iter().map(|node| node.node).collect())
    }

    /// Whether the token has the privilege `VM.Audit` anywhere. Without it Proxmox answers a
    /// list that is empty rather than an error.
    pub async fn may_see_guests(&self) -> Result<bool, ProxmoxError> {
        // By path, the privileges there; each with 1 where those below inherit it.
        type Permissions = BTreeMap<String, BTreeMap<String, IgnoredAny>>;
        let held: Permissions = self.get("/access/permissions").await?;
        Ok(held.values().any(|privileges| privileges.contains_key("VM.Audit")))
    }

    /// `GET` of a path below `/api2/json`: the `data` of the answer.
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

/// Proxmox ships certificates that nobody else signed, so not checking them is the default;
/// one line per API and process says that it is so.
fn warn_once(base_url: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if WARNED.lock().expect("nothing panics with this lock").insert(base_url.to_owned()) {
        tracing::warn!(
            api = base_url,
            "the certificate of the Proxmox API is not checked: set proxmox_ca_file or \
             proxmox_validate_certs in the inventory"
        );
    }
}

/// Proxmox puts its words into the reason phrase of the status line.
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

/// reqwest's own sentence says little; the last cause says what happened.
fn unreachable(error: reqwest::Error) -> ProxmoxError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let error = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
    ProxmoxError::Unreachable(error)
}
