//! The venvs of scripts/set-up, the fake Proxmox, and servers that use them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Creates `.venv` and `.venv-demo` if they are missing, once per test binary.
pub fn set_up() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let status = Command::new(root().join("scripts/set-up")).arg("--demo").status().unwrap();
        assert!(status.success(), "scripts/set-up failed");
    });
}

/// A program of `.venv`, such as `ansible-vault`.
pub fn venv(program: &str) -> PathBuf {
    set_up();
    root().join(".venv/bin").join(program)
}

/// A fake Proxmox over TLS, stopped when dropped.
pub struct DemoProxmox {
    /// What it prints when ready: `api_host`, `node`, `inventory`, `control`, …
    pub ready: Value,
    http: reqwest::Client,
    process: Child,
    // Closing its stdin stops the process, even if the test is killed.
    _alive: ChildStdin,
    _dir: TempDir,
}

impl DemoProxmox {
    /// Starts one on a free port and waits until it is ready.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with additional options of demo/proxmox.py.
    pub fn start_with(options: &[&str]) -> Self {
        set_up();
        let dir = tempfile::tempdir().unwrap();
        let mut process = Command::new(root().join(".venv-demo/bin/python"))
            .arg(root().join("demo/proxmox.py"))
            .arg("--dir")
            .arg(dir.path().join("proxmox"))
            .args(["--eof-fd", "0"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let alive = process.stdin.take().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the fake Proxmox did not start");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pem = std::fs::read(ready["cert"].as_str().unwrap()).unwrap();
        let certificate = reqwest::Certificate::from_pem(&pem).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([certificate]).no_proxy();
        Self { ready, http: http.build().unwrap(), process, _alive: alive, _dir: dir }
    }

    /// The inventory directory for it.
    pub fn inventory(&self) -> PathBuf {
        self.text("inventory").into()
    }

    /// A field of what it printed.
    pub fn text(&self, member: &str) -> &str {
        self.ready[member].as_str().unwrap()
    }

    /// Sends a request to the Proxmox API with the inventory's token. `path` is relative to
    /// `/api2/json`.
    pub async fn api(&self, method: Method, path: &str, form: &[(&str, &str)]) -> Value {
        let url = format!("https://{}/api2/json{path}", self.text("api_host"));
        let (user, id) = (self.text("user"), self.text("token_id"));
        let token = format!("PVEAPIToken={user}!{id}={}", self.text("token_secret"));
        let mut request = self.http.request(method, &url).header("authorization", token);
        if !form.is_empty() {
            request = request.form(form);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap()["data"].take()
    }

    /// Sends a request to the demo's control API; see demo/README.md.
    pub async fn control(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.text("control"));
        let answer = self.http.request(method, url).json(body).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }
}

impl Drop for DemoProxmox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Settings of a server with the real runner, the playbooks of this repository, and its own
/// directories below `dir`.
pub fn settings(dir: &Path, inventory: &Path) -> HashMap<String, String> {
    let path = |path: &Path| path.display().to_string();
    HashMap::from([
        ("PROJECT_ROOT_DIR".to_owned(), path(root())),
        ("API_BACKEND_INVENTORY_DIR".to_owned(), path(inventory)),
        ("API_BACKEND_PUBLIC_PLAYBOOKS_DIR".to_owned(), path(&root().join("playbooks"))),
        ("RANGE42_RUNNER".to_owned(), path(&venv("ansible-runner"))),
        // Preloading the warm engine takes longer than a single run; it has tests of its own.
        ("RANGE42_ENGINE".to_owned(), "process".to_owned()),
        ("RANGE42_DATA_DIR".to_owned(), path(&dir.join("data"))),
        ("RANGE42_RUNS_DIR".to_owned(), path(&dir.join("data/runs"))),
        ("HOST".to_owned(), "127.0.0.1".to_owned()),
    ])
}
