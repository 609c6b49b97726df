//! The cost of live status: a server and a demo Proxmox, with an increasing number of clients.
//!
//! ```text
//! cargo bench --bench dashboards -- [--clients 1,100,1000] [--seconds 60]
//! ```
//!
//! The CPU usage of eight guests changes between polls, so that each poll sends a message to each
//! client, which is more than an idle range would. Only the server's process is measured.

#[path = "../tests/api/support/demo.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod demo;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use demo::DemoProxmox;
use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep};
use tokio_tungstenite::connect_async;

/// The guests of the demo whose CPU usage changes.
const BUSY_GUESTS: [u32; 8] = [1000, 1001, 1002, 1010, 1011, 1020, 1021, 1023];
/// The time for connections and first messages before the measurement starts.
const WARM_UP: Duration = Duration::from_secs(6);

#[derive(Parser)]
struct Arguments {
    /// Numbers of clients; each is one measurement.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1000])]
    clients: Vec<usize>,
    /// The duration of each measurement, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Passed by `cargo bench`; ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    // reqwest requires a provider, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let demo = DemoProxmox::start();
    println!(
        "| clients | messages/min | Proxmox requests/min | CPU ms/min | MiB | KiB per further client |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for clients in arguments.clients {
        println!("{}", measure(&demo, clients, Duration::from_secs(arguments.seconds)).await);
    }
}

/// One row of the table.
async fn measure(demo: &DemoProxmox, clients: usize, time: Duration) -> String {
    let server = Server::start(demo);
    let messages = Arc::new(AtomicU64::new(0));
    // The first client also starts the poller and its TLS connection.
    let mut dashboards = vec![server.dashboard(&messages).await];
    sleep(WARM_UP).await;
    let with_one = server.memory_kib();
    // In batches, since the accept queue of the listener is limited.
    for first in (1..clients).step_by(100) {
        let batch = (first..clients.min(first + 100)).map(|_| server.dashboard(&messages));
        dashboards.extend(join_all(batch).await);
    }
    let movement = tokio::spawn(move_guests(demo.text("control").to_owned()));
    sleep(WARM_UP).await;

    let control = demo.text("control");
    Client::new().delete(format!("{control}/requests")).send().await.unwrap();
    let (cpu, received, began) =
        (server.cpu_seconds(), messages.load(Ordering::Relaxed), Instant::now());
    sleep(time).await;
    let per_minute = 60.0 / began.elapsed().as_secs_f64();
    let cpu = (server.cpu_seconds() - cpu) * 1000.0 * per_minute;
    let received = (messages.load(Ordering::Relaxed) - received) as f64 * per_minute;
    let requests = Client::new().get(format!("{control}/requests")).send().await.unwrap();
    let requests = requests.json::<Vec<Value>>().await.unwrap().len() as f64 * per_minute;
    let memory = server.memory_kib();
    assert!(
        dashboards.iter().all(|dashboard| !dashboard.is_finished()),
        "a client was disconnected"
    );

    movement.abort();
    dashboards.iter().for_each(|dashboard| dashboard.abort());
    let total = memory / 1024.0;
    let further = match clients {
        1 => "-".to_owned(),
        _ => format!("{:.1}", (memory - with_one) / (clients - 1) as f64),
    };
    format!("| {clients} | {received:.0} | {requests:.0} | {cpu:.0} | {total:.1} | {further} |")
}

/// Changes the CPU usage once a second, by more than the two points that cause a message.
async fn move_guests(control: String) {
    let http = Client::new();
    let mut seconds = interval(Duration::from_secs(1));
    for turn in 0_u32.. {
        seconds.tick().await;
        // Seven values, so that consecutive polls, five seconds apart, never see the same one.
        let stats = json!({ "stats": { "cpu": 0.1 + f64::from(turn % 7) * 0.1 } });
        let put = |vmid| http.put(format!("{control}/vms/{vmid}")).json(&stats).send();
        join_all(BUSY_GUESTS.map(put)).await;
    }
}

/// The server binary with default settings.
struct Server {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(demo: &DemoProxmox) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_range42-backend-api"))
            .env_clear()
            .envs(demo::settings(folder.path(), &demo.inventory()))
            .env("PORT", "0")
            .env("RANGE42_LOG_FORMAT", "json")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server did not start");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "ready" {
                break line["address"].as_str().unwrap().to_owned();
            }
        };
        // The server would block on its log if nobody drained the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address, _folder: folder }
    }

    /// Connects a client that counts its messages. Pongs are sent by reading.
    async fn dashboard(&self, messages: &Arc<AtomicU64>) -> tokio::task::JoinHandle<()> {
        let url = format!("ws://{}/ws/vm-status", self.address);
        let (mut socket, _) = connect_async(url).await.unwrap();
        let messages = messages.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    messages.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    }

    /// The CPU time of all threads; schedstat is more precise than stat (proc_pid_schedstat(5)).
    fn cpu_seconds(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let nanoseconds = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<f64>().ok()
        });
        nanoseconds.sum::<f64>() / 1e9
    }

    fn memory_kib(&self) -> f64 {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
