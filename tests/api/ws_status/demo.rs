//! The demo's Proxmox: its control API and faults.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::demo;
use crate::support::wait;

/// A demo Proxmox, stopped when dropped.
pub struct DemoProxmox {
    process: demo::DemoProxmox,
}

impl DemoProxmox {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        Self { process: demo::DemoProxmox::start_with(&["--small"]) }
    }

    /// What it printed when ready.
    pub fn ready(&self, member: &str) -> &str {
        self.process.text(member)
    }

    /// The text of an inventory for it.
    pub fn inventory(&self) -> String {
        let folder: &Path = &self.process.inventory();
        std::fs::read_to_string(folder.join("hosts.yml")).unwrap()
    }

    /// Replaces the active faults; `{}` clears them.
    pub async fn faults(&self, faults: Value) {
        self.control(Method::PUT, "/faults", faults).await;
    }

    /// Sets the metrics of a VM.
    pub async fn measure(&self, vmid: u32, stats: Value) {
        let path = format!("/vms/{vmid}");
        self.control(Method::PUT, &path, json!({ "stats": stats })).await;
    }

    /// The paths of the requests received so far.
    pub async fn requests(&self) -> Vec<String> {
        let requests = self.control(Method::GET, "/requests", Value::Null).await;
        let path = |request: &Value| request[1].as_str().unwrap().to_owned();
        requests.as_array().unwrap().iter().map(path).collect()
    }

    /// Waits until Proxmox has received `count` more requests.
    pub async fn wait_for_requests(&self, count: usize) {
        let before = self.requests().await.len();
        wait::until("requested", async || self.requests().await.len() >= before + count).await;
    }

    /// Clears the recorded requests.
    pub async fn forget_requests(&self) {
        self.control(Method::DELETE, "/requests", Value::Null).await;
    }

    /// Closes all connections and the port, and then listens again.
    pub async fn restart(&self) {
        self.control(Method::POST, "/restart", json!({})).await;
    }

    async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        self.process.control(method, path, &body).await
    }

    /// Sends a request to the node and waits until its task is done.
    pub async fn ask(&self, method: Method, path: &str, form: &[(&str, &str)]) {
        let answer = self.send(method, path, form).await;
        let Some(upid) = answer.as_str().filter(|text| text.starts_with("UPID:")) else { return };
        let task = format!("tasks/{}/status", upid.replace(':', "%3A"));
        let ended = async || {
            let state = self.send(Method::GET, &task, &[]).await;
            if state["status"] == "stopped" { Ok(state) } else { Err(state.to_string()) }
        };
        assert_eq!(wait::eventually(ended).await["exitstatus"], "OK", "{upid}");
    }

    async fn send(&self, method: Method, path: &str, form: &[(&str, &str)]) -> Value {
        let path = format!("/nodes/{}/{path}", self.ready("node"));
        self.process.api(method, &path, form).await
    }
}
