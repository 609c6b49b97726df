//! A server with the real runner on a fake Proxmox, which can be asked what became of it.

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::demo::{self, DemoProxmox};
use super::examples::example;
use super::server::{Answer, Client};

/// The demo's node.
pub const NODE: &str = "px-testing";

/// Everything of one test.
pub struct Lab {
    pub server: Client,
    pub proxmox: DemoProxmox,
    _dir: TempDir,
}

impl Lab {
    /// Starts a lab whose Proxmox takes no time for its tasks; `options` are for it.
    pub fn start(options: &[&str]) -> Self {
        let options = [&["--time-scale", "0"], options].concat();
        let (dir, proxmox) = (tempfile::tempdir().unwrap(), DemoProxmox::start_with(&options));
        let mut settings = demo::settings(dir.path(), &proxmox.inventory());
        // Most tests make many runs, of which only the first takes as long as a process does.
        settings.insert("RANGE42_ENGINE".to_owned(), "auto".to_owned());
        let server = Client::new(&settings);
        Self { server, proxmox, _dir: dir }
    }

    /// Asks for the operation whose path ends with `end`: its example with `changes`.
    pub async fn ask(&self, end: &str, changes: Value) -> Answer {
        let mut example = example(end);
        example.body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.server.json(&example.method, &example.path, &example.body).await
    }

    /// What the operation reports, one value for each event.
    pub async fn all<T: DeserializeOwned>(&self, end: &str, changes: Value) -> Vec<T> {
        let answer = self.ask(end, changes).await;
        assert_eq!(answer.status, 200, "{end}: {}", answer.text);
        let body = answer.json();
        assert_eq!(body["rc"], 0);
        serde_json::from_value(body["result"].clone())
            .unwrap_or_else(|error| panic!("{end}: {error}: {}", answer.text))
    }

    /// What an operation reports that has one event.
    pub async fn one<T: DeserializeOwned>(&self, end: &str, changes: Value) -> T {
        let mut all = self.all(end, changes).await;
        assert_eq!(all.len(), 1, "{end}");
        all.remove(0)
    }

    /// The same for an operation about the guest `vm_id`.
    pub async fn guest<T: DeserializeOwned>(&self, end: &str, vm_id: u32) -> T {
        self.one(end, json!({ "vm_id": vm_id.to_string() })).await
    }

    /// Proxmox's own answer to `GET` below its node, or below its root with a slash in front.
    pub async fn get(&self, path: &str) -> Value {
        let below = if path.starts_with('/') { "" } else { "/nodes/px-testing/" };
        self.proxmox.api(Method::GET, &format!("{below}{path}"), &[]).await
    }

    /// The configuration of a guest, as Proxmox has it.
    pub async fn config(&self, vm_id: u32) -> Value {
        self.get(&format!("qemu/{vm_id}/config")).await
    }

    /// The state of a guest, as QEMU says it.
    pub async fn state(&self, vm_id: u32) -> String {
        let status = self.get(&format!("qemu/{vm_id}/status/current")).await;
        status["qmpstatus"].as_str().unwrap().to_owned()
    }

    /// The ids of the guests that Proxmox has on the node.
    pub async fn guests(&self) -> Vec<u64> {
        let listed = self.get("qemu").await;
        listed.as_array().unwrap().iter().map(|vm| vm["vmid"].as_u64().unwrap()).collect()
    }

    /// The bodies of the requests that Proxmox got with this method, to a path that ends so.
    pub async fn asked(&self, method: &str, end: &str) -> Vec<String> {
        let requests = self.proxmox.control(Method::GET, "/requests", &Value::Null).await;
        let requests: Vec<(String, String, String)> = serde_json::from_value(requests).unwrap();
        let fits =
            |(verb, path, _): &(String, String, String)| verb == method && path.ends_with(end);
        requests.into_iter().filter(fits).map(|(_, _, body)| body).collect()
    }

    /// Makes Proxmox fail; demo/README.md has the faults.
    pub async fn fault(&self, faults: Value) {
        self.proxmox.control(Method::PUT, "/faults", &faults).await;
    }
}
