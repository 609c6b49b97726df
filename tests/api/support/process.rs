//! The server binary as a separate process, with signals and a socket.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::wait;

/// A server process on a port chosen by the system, killed when dropped.
pub struct ServerProcess {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts one and waits until it is ready.
    pub fn start(env: &HashMap<String, String>) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_range42-backend-api")), env)
    }

    /// Starts one through a program that executes it, such as `nohup`.
    pub fn start_with(program: &str, env: &HashMap<String, String>) -> Self {
        let mut command = Command::new(program);
        command.arg(env!("CARGO_BIN_EXE_range42-backend-api"));
        Self::start_by(command, env)
    }

    /// Starts one with a separate file system of `bytes` bytes mounted at `folder`, which is visible
    /// to others at [`Self::own_view_of`]. Requires user and mount namespaces.
    pub fn start_on_disk(folder: &Path, bytes: u64, env: &HashMap<String, String>) -> Self {
        let namespace = ["--user", "--map-root-user", "--mount"];
        let mount = "mount -t tmpfs -o size=\"$1\" none \"$0\"";
        let mut command = Command::new("unshare");
        command.args(namespace).args(["sh", "-c", &format!("{mount} && shift && exec \"$@\"")]);
        command.arg(folder).arg(bytes.to_string()).arg(env!("CARGO_BIN_EXE_range42-backend-api"));
        Self::start_by(command, env)
    }

    /// The path at which other processes see a directory of this server's mount namespace.
    pub fn own_view_of(&self, folder: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(folder.strip_prefix("/").unwrap())
    }

    /// Starts one with the given command.
    pub fn start_by(mut command: Command, env: &HashMap<String, String>) -> Self {
        let mut child = command
            .envs(env)
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("RANGE42_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let url = ready(&mut lines, &log);
        let kept = log.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, url, log, reader: Some(reader) }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills the process, but not its children.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        // Its children may keep the log open, so do not wait for the reader.
        self.child.wait().unwrap();
    }

    /// Waits for the process to exit and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        self.reader.take().map(JoinHandle::join);
        status.code()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Builds a request with a JSON body.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        http().request(method, format!("{}{path}", self.url)).json(body)
    }

    /// Starts a bundle without waiting for it, and returns the run.
    pub async fn begin(&self, bundle: &str) -> Value {
        let body = json!({ "proxmox_node": "px-testing", "hosts": "all" });
        let path = format!("/v0/admin/run/bundles/{bundle}/run");
        let request = self.request("POST", &path, &body).header("prefer", "respond-async");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 202);
        answer.json().await.unwrap()
    }

    /// Sends `GET` and parses the JSON response.
    pub async fn get(&self, path: &str) -> Value {
        let answer = http().get(format!("{}{path}", self.url)).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {status} {text}"))
    }

    /// Waits until the server would start the next run with this engine.
    pub async fn engine_serves(&self, engine: &str) {
        wait::eventually(async || {
            let ready = self.get("/readyz").await;
            let runner = ready["checks"]["runner"]["reason"].as_str().unwrap();
            if runner.contains(&format!("engine {engine}")) {
                Ok(())
            } else {
                Err(runner.to_owned())
            }
        })
        .await;
    }

    /// Gets a run by id.
    pub async fn run(&self, id: &Value) -> Value {
        self.get(&format!("/v0/admin/runs/{}", id.as_str().unwrap())).await
    }

    /// Waits until a run matches, following its event stream.
    pub async fn run_when(&self, id: &Value, fits: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v0/admin/runs/{}/events", id.as_str().unwrap());
        let mut stream = http().get(format!("{}{path}", self.url)).send().await.unwrap();
        let wait = async {
            loop {
                let run = self.run(id).await;
                if fits(&run) {
                    return run;
                }
                if stream.chunk().await.unwrap().is_none() {
                    let run = self.run(id).await;
                    assert!(fits(&run), "the run ended in another state: {run:#}");
                    return run;
                }
            }
        };
        wait::within(wait).await
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log up to the line with the address.
fn ready(lines: &mut BufReader<ChildStderr>, log: &Mutex<String>) -> String {
    loop {
        let mut line = String::new();
        let length = lines.read_line(&mut line).unwrap();
        log.lock().unwrap().push_str(&line);
        assert!(length > 0, "the server did not start: {}", log.lock().unwrap());
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        if entry["message"] == "ready" {
            return format!("http://{}", entry["address"].as_str().unwrap());
        }
    }
}

/// A client without a timeout.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The processes that have the run's id in their environment.
pub fn processes_of(id: &str) -> Vec<String> {
    let wanted = format!("RANGE42_RUN_ID={id}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|v| v == wanted.as_bytes())
        })
        .map(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            format!("{:?} {}", entry.file_name(), String::from_utf8_lossy(&command))
        })
        .collect()
}
