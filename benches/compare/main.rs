//! Measures one server from the outside, or compares two.
//!
//! ```text
//! cargo bench --bench compare -- URL [URL] [--start COMMAND]... [--node NODE] [--rounds N]
//! ```
//!
//! `--start`, given once per URL in the same order, starts the servers. This also measures the time
//! to the first response and the memory of an idle server.
//!
//! All requests are real and change the Proxmox behind the server, so use a demo. Two servers are
//! measured alternately, so that other load on the machine affects both. Memory is measured only
//! if the server runs on this machine.

mod load;
mod memory;
mod started;
mod table;

use std::time::{Duration, Instant};

use clap::Parser;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use started::Started;
use table::{Figure, Table};

/// The duration of one measurement of throughput.
const LOAD_TIME: Duration = Duration::from_secs(2);
/// The number of measurements of throughput per server.
const LOAD_ROUNDS: usize = 10;
/// How long runs are started to measure their throughput.
const RUNS_TIME: Duration = Duration::from_secs(20);
/// The number of concurrent clients that start runs.
const RUN_CLIENTS: usize = 8;
/// The number of concurrent connections for requests that start no run.
const REQUEST_CLIENTS: usize = 32;

#[derive(Parser)]
struct Arguments {
    /// Base URLs of the server and, optionally, of another to compare with.
    #[arg(required = true, num_args = 1..=2)]
    urls: Vec<String>,
    /// A shell command that starts the server; once per URL.
    #[arg(long)]
    start: Vec<String>,
    /// The Proxmox node.
    #[arg(long, default_value = "px-testing")]
    node: String,
    /// The id of a stopped guest, which is started and stopped again.
    #[arg(long, default_value = "1003")]
    guest: String,
    /// An unused id, for a guest that is created and deleted.
    #[arg(long, default_value = "4999")]
    new_guest: String,
    /// The number of samples of each single request.
    #[arg(long, default_value_t = 12)]
    rounds: usize,
    /// Passed by `cargo bench`; ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A server under measurement.
#[derive(Clone)]
pub struct Server {
    http: Client,
    base: String,
}

impl Server {
    async fn send(&self, method: Method, path: &str, body: &Value) -> u16 {
        let request = self.http.request(method, format!("{}{path}", self.base)).json(body);
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                // The measured time includes the body.
                let _ = response.bytes().await;
                status
            }
            Err(error) => panic!("{}{path}: {error}", self.base),
        }
    }

    /// The host and port.
    fn address(&self) -> &str {
        self.base.split("//").nth(1).expect("a URL with a scheme")
    }

    /// The phases of the operation's latest run, if the server reports them.
    async fn phases(&self, operation: &str) -> Option<String> {
        let url = format!("{}/v0/admin/runs?limit=1&operation={operation}", self.base);
        let runs: Value = self.http.get(url).send().await.ok()?.json().await.ok()?;
        let phases = runs["runs"][0]["phases"].as_object()?;
        let phases = phases.iter().map(|(name, ms)| format!("{} {ms}", name.replace("_ms", "")));
        Some(phases.collect::<Vec<_>>().join(", "))
    }

    /// Sends a request that must succeed, and returns its duration.
    async fn timed(&self, method: Method, path: &str, body: &Value) -> Duration {
        let began = Instant::now();
        let status = self.send(method, path, body).await;
        assert_eq!(status, 200, "{}{path}", self.base);
        began.elapsed()
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Client::builder().no_proxy().pool_max_idle_per_host(REQUEST_CLIENTS);
    let http = http.build().expect("a client");
    let servers: Vec<Server> = arguments
        .urls
        .iter()
        .map(|url| Server { http: http.clone(), base: url.trim_end_matches('/').to_owned() })
        .collect();
    let mut table = Table::new(&arguments.urls);

    let _started = start(&arguments, &servers, &mut table).await;
    let idle = servers.iter().map(|server| memory::of_server(&server.base)).collect();
    table.add("memory before, all processes", "MiB", false, idle);
    runs(&arguments, &servers, &mut table).await;
    for server in &servers {
        if let Some(phases) = server.phases("post_proxmox_vms_list").await {
            eprintln!("{}: phases of a vms/list, in ms: {phases}", server.base);
        }
    }
    let mut rates = Vec::new();
    for server in &servers {
        rates.push(Figure::one(load::runs_per_minute(server, &arguments.node).await));
    }
    table.add("vms/list, 8 clients at once", "runs/min", true, rates);
    for (name, request) in
        [("invalid requests", load::Kind::Invalid), ("openapi.json", load::Kind::Document)]
    {
        let mut rates = vec![Vec::new(); servers.len()];
        for _ in 0..LOAD_ROUNDS {
            for (index, server) in servers.iter().enumerate() {
                rates[index].push(load::requests_per_second(server, request).await);
            }
        }
        table.add(name, "requests/s", true, rates.into_iter().map(Figure::of).collect());
    }
    let after = servers.iter().map(|server| memory::of_server(&server.base)).collect();
    table.add("memory after, all processes", "MiB", false, after);
    table.print();
}

/// Starts the servers that have a start command.
async fn start(arguments: &Arguments, servers: &[Server], table: &mut Table) -> Vec<Started> {
    let mut times = vec![Vec::new(); servers.len()];
    let mut started = Vec::new();
    for round in 0..arguments.rounds {
        for (index, command) in arguments.start.iter().enumerate() {
            let server = Started::start(command, &servers[index]).await;
            times[index].push(server.first_response);
            if round + 1 == arguments.rounds {
                started.push(server);
            }
        }
    }
    if !arguments.start.is_empty() {
        let figure = |times: &Vec<Duration>| match times.is_empty() {
            true => Figure::none(),
            false => Figure::of_times(times),
        };
        table.add("first response after start", "ms", false, times.iter().map(figure).collect());
    }
    started
}

/// Measures single runs, one at a time, alternating between the servers.
async fn runs(arguments: &Arguments, servers: &[Server], table: &mut Table) {
    let node = &arguments.node;
    let list = json!({ "proxmox_node": node });
    let guest = json!({ "proxmox_node": node, "vm_id": arguments.guest });
    let new_guest = json!({
        "proxmox_node": node, "vm_id": arguments.new_guest, "vm_name": "bench", "vm_cpu": "host",
        "vm_cores": 1, "vm_sockets": 1, "vm_memory": 512,
    });
    let ping = json!({ "proxmox_node": node, "hosts": node });
    let mut samples = vec![vec![Vec::new(); servers.len()]; 4];
    for _ in 0..arguments.rounds {
        for (index, server) in servers.iter().enumerate() {
            let vms = "/v0/admin/proxmox/vms";
            samples[0][index].push(server.timed(Method::POST, "/v0/admin/debug/ping", &ping).await);
            samples[1][index].push(server.timed(Method::POST, &format!("{vms}/list"), &list).await);
            let start = format!("{vms}/vm_id/start");
            samples[2][index].push(server.timed(Method::POST, &start, &guest).await);
            server.timed(Method::POST, &format!("{vms}/vm_id/stop_force"), &guest).await;
            server.timed(Method::POST, &format!("{vms}/vm_id/create"), &new_guest).await;
            let delete = format!("{vms}/vm_id/delete");
            let gone = json!({ "proxmox_node": node, "vm_id": arguments.new_guest });
            samples[3][index].push(server.timed(Method::DELETE, &delete, &gone).await);
        }
    }
    for (name, samples) in
        ["debug/ping", "vms/list", "vm_id/start", "vm_id/delete"].iter().zip(samples)
    {
        table.add(name, "ms", false, samples.iter().map(|times| Figure::of_times(times)).collect());
    }
}
