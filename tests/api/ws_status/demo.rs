//! What a test asks of the demo's Proxmox, and the faults it makes there.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::demo;

/// A demo Proxmox. It ends with this value.
pub struct DemoProxmox {
    process: demo::DemoProxmox,
    http: reqwest::Client,
}

impl DemoProxmox {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        let process = demo::DemoProxmox::start_with(&["--small"]);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pem = std::fs::read(process.text("cert")).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Self { process, http }
    }

    /// What it said when it was ready.
    pub fn ready(&self, member: &str) -> &str {
        self.process.text(member)
    }

    /// The text of an inventory that points here.
    pub fn inventory(&self) -> String {
        let folder: &Path = &self.process.inventory();
        std::fs::read_to_string(folder.join("hosts.yml")).unwrap()
    }

    /// Replaces the faults at work; `{}` heals everything.
    pub async fn faults(&self, faults: Value) {
        self.control(reqwest::Method::PUT, "/faults", faults).await;
    }

    /// Sets the measured values of a VM.
    pub async fn measure(&self, vmid: u32, stats: Value) {
        let path = format!("/vms/{vmid}");
        self.control(reqwest::Method::PUT, &path, json!({ "stats": stats })).await;
    }

    /// The paths that were asked for so far.
    pub async fn requests(&self) -> Vec<String> {
        let requests = self.control(reqwest::Method::GET, "/requests", Value::Null).await;
        let path = |request: &Value| request[1].as_str().unwrap().to_owned();
        requests.as_array().unwrap().iter().map(path).collect()
    }

    /// Waits until Proxmox was asked `count` times more than now.
    pub async fn asked_again(&self, count: usize) {
        let before = self.requests().await.len();
        within(async {
            while self.requests().await.len() < before + count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Forgets the requests so far.
    pub async fn forget_requests(&self) {
        self.control(reqwest::Method::DELETE, "/requests", Value::Null).await;
    }

    /// Closes all connections and the port, and listens again.
    pub async fn restart(&self) {
        self.control(reqwest::Method::POST, "/restart", json!({})).await;
    }

    async fn control(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.ready("control"));
        let answer = self.http.request(method, url).json(&body).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// Has Proxmox do something below its node, and waits until it is done.
    pub async fn ask(&self, method: reqwest::Method, path: &str, form: &[(&str, &str)]) {
        let answer = self.send(method, path, form).await;
        let Some(upid) = answer.as_str().filter(|text| text.starts_with("UPID:")) else { return };
        let task = format!("tasks/{}/status", upid.replace(':', "%3A"));
        within(async {
            loop {
                let state = self.send(reqwest::Method::GET, &task, &[]).await;
                if state["status"] == "stopped" {
                    return assert_eq!(state["exitstatus"], "OK", "{upid}");
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    async fn send(&self, method: reqwest::Method, path: &str, form: &[(&str, &str)]) -> Value {
        let (host, node) = (self.ready("api_host"), self.ready("node"));
        let url = format!("https://{host}/api2/json/nodes/{node}/{path}");
        let (user, id) = (self.ready("user"), self.ready("token_id"));
        let token = format!("PVEAPIToken={user}!{id}={}", self.ready("token_secret"));
        let mut request = self.http.request(method, &url).header("authorization", token);
        if !form.is_empty() {
            request = request.form(form);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap()["data"].clone()
    }
}

/// Bounds what a test waits for.
pub async fn within<F: Future>(wait: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(15), wait).await.expect("it happens in time")
}
