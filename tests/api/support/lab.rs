//! A server with the real runner and a fake Proxmox whose state can be inspected.

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::demo::{self, DemoProxmox};
use super::examples::example;
use super::server::{Answer, Client};

/// The demo's node.
pub const NODE: &str = "px-testing";

/// The server and the Proxmox of one test.
pub struct Lab {
    pub server: Client,
    pub proxmox: DemoProxmox,
    _dir: TempDir,
}

impl Lab {
    /// Starts a lab whose Proxmox completes tasks immediately, with additional `options`.
    pub fn start(options: &[&str]) -> Self {
        let options = [&["--time-scale", "0"], options].concat();
        let (dir, proxmox) = (tempfile::tempdir().unwrap(), DemoProxmox::start_with(&options));
        let mut settings = demo::settings(dir.path(), &proxmox.inventory());
        // Most tests start many runs; with the warm engine, only the first one is slow.
        settings.insert("RANGE42_ENGINE".to_owned(), "auto".to_owned());
        let server = Client::new(&settings);
        Self { server, proxmox, _dir: dir }
    }

    /// Calls the operation whose path ends with `end`, with its example modified by `changes`.
    pub async fn ask(&self, end: &str, changes: Value) -> Answer {
        let mut example = example(end);
        example.body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.server.json(&example.method, &example.path, &example.body).await
    }

    /// Calls an operation and returns its values, one per event.
    pub async fn all<T: DeserializeOwned>(&self, end: &str, changes: Value) -> Vec<T> {
        let answer = self.ask(end, changes).await;
        assert_eq!(answer.status, 200, "{end}: {}", answer.text);
        let body = answer.json();
        assert_eq!(body["rc"], 0);
        serde_json::from_value(body["result"].clone())
            .unwrap_or_else(|error| panic!("{end}: {error}: {}", answer.text))
    }

    /// Calls an operation that reports a single value.
    pub async fn one<T: DeserializeOwned>(&self, end: &str, changes: Value) -> T {
        let mut all = self.all(end, changes).await;
        assert_eq!(all.len(), 1, "{end}");
        all.remove(0)
    }

    /// Calls an operation on the guest `vm_id` that reports a single value.
    pub async fn guest<T: DeserializeOwned>(&self, end: &str, vm_id: u32) -> T {
        self.one(end, json!({ "vm_id": vm_id.to_string() })).await
    }

    /// Sends `GET` to Proxmox; `path` is relative to the node, or to the root if it begins with `/`.
    pub async fn get(&self, path: &str) -> Value {
        let below = if path.starts_with('/') { "" } else { "/nodes/px-testing/" };
        self.proxmox.api(Method::GET, &format!("{below}{path}"), &[]).await
    }

    /// The configuration of a guest in Proxmox.
    pub async fn config(&self, vm_id: u32) -> Value {
        self.get(&format!("qemu/{vm_id}/config")).await
    }

    /// The QEMU status of a guest in Proxmox.
    pub async fn state(&self, vm_id: u32) -> String {
        let status = self.get(&format!("qemu/{vm_id}/status/current")).await;
        status["qmpstatus"].as_str().unwrap().to_owned()
    }

    /// The ids of the guests on the node.
    pub async fn guests(&self) -> Vec<u64> {
        let listed = self.get("qemu").await;
        listed.as_array().unwrap().iter().map(|vm| vm["vmid"].as_u64().unwrap()).collect()
    }

    /// The bodies of the requests received by Proxmox with this method and end of the path.
    pub async fn asked(&self, method: &str, end: &str) -> Vec<String> {
        let requests = self.proxmox.control(Method::GET, "/requests", &Value::Null).await;
        let requests: Vec<(String, String, String)> = serde_json::from_value(requests).unwrap();
        let fits =
            |(verb, path, _): &(String, String, String)| verb == method && path.ends_with(end);
        requests.into_iter().filter(fits).map(|(_, _, body)| body).collect()
    }

    /// Injects a fault into Proxmox; see demo/README.md.
    pub async fn fault(&self, faults: Value) {
        self.proxmox.control(Method::PUT, "/faults", &faults).await;
    }
}
