//! Connection limits: slow, large, incomplete and too many requests, over real sockets.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::process::{ServerProcess, http};
use crate::support::stub::{project, write};
use crate::support::wait;

const LIST: &str = "/v0/admin/proxmox/vms/list";

struct Edge {
    server: ServerProcess,
    dir: tempfile::TempDir,
}

impl Edge {
    fn start(settings: &[(&str, &str)]) -> Self {
        let (dir, mut env) = project(|_, _| {});
        env.extend(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let behaviour = json!({ "events": [], "lookup_events": [], "rc": 0, "lookup_rc": 0 });
        write(&dir.path().join("runs/stub.json"), &behaviour.to_string());
        Self { server: ServerProcess::start(&env), dir }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.url.trim_start_matches("http://")).await.unwrap()
    }

    /// Sends raw text and reads until the server closes the connection.
    async fn raw(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        Self::read_to_end(stream).await
    }

    async fn read_to_end(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        let _ = wait::within(stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn list(&self) -> u16 {
        let body = json!({ "proxmox_node": "px" });
        self.server.request("POST", LIST, &body).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_request_times_out() {
    let edge = Edge::start(&[("RANGE42_HEADER_TIME_LIMIT", "1"), ("RANGE42_BODY_TIME_LIMIT", "1")]);
    assert_eq!(edge.raw("POST /v0/admin/proxmox/vms/list HTTP/1.1\r\nhost: x\r\n").await, "");
    let head =
        "POST /v0/admin/proxmox/vms/list HTTP/1.1\r\nhost: x\r\norigin: http://localhost\r\n";
    let answer = edge.raw(&format!("{head}content-length: 100\r\n\r\n{{\"proxmox")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("access-control-allow-origin: http://localhost"), "{answer}");
    assert!(answer.contains("did not arrive within 1 s"), "{answer}");
    assert_eq!(edge.list().await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_times_out() {
    let edge = Edge::start(&[("RANGE42_KEEP_ALIVE", "1")]);
    let mut stream = edge.connect().await;
    let mut part = [0; 1000];
    for _ in 0..2 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let length = stream.read(&mut part).await.unwrap();
        assert!(part[..length].starts_with(b"HTTP/1.1 200 "), "it is kept for another request");
    }
    assert_eq!(Edge::read_to_end(stream).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_limited_in_size_and_depth() {
    let edge = Edge::start(&[("RANGE42_MAX_BODY", "2000")]);
    let large = json!({ "proxmox_node": "x".repeat(3000) });
    let answer = edge.server.request("POST", LIST, &large).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["detail"], "the request body is larger than 2000 bytes");
    let deep = format!("{{\"proxmox_node\":{}", "[".repeat(1500));
    let request = http().post(format!("{}{LIST}", edge.server.url)).body(deep);
    assert_eq!(request.send().await.unwrap().status(), 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnected_clients_are_logged() {
    let mut edge = Edge::start(&[("RANGE42_SHUTDOWN_WAIT", "0")]);
    let held = json!({ "events": [], "lookup_events": [], "rc": 0, "lookup_rc": 0, "hold": true });
    write(&edge.dir.path().join("runs/stub.json"), &held.to_string());
    let mut stream = edge.connect().await;
    let body = r#"{"proxmox_node":"px"}"#;
    let head = format!("POST {LIST} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let run = wait::eventually(async || {
        let runs = edge.server.get("/v0/admin/runs").await;
        let id = runs["runs"][0]["id"].clone();
        if id.is_string() { Ok(id) } else { Err(runs.to_string()) }
    });
    let run = run.await;
    drop(stream);
    let metrics = || async {
        let request = http().get(format!("{}/metrics", edge.server.url));
        request.send().await.unwrap().text().await.unwrap()
    };
    wait::until("the request is counted", async || metrics().await.contains("status=\"499\""))
        .await;
    edge.server.signal(Signal::TERM);
    assert_eq!(edge.server.wait(), Some(0));
    let log = edge.server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let gone: Vec<_> = lines.iter().filter(|line| line["status"] == 499).collect();
    assert_eq!(gone.len(), 1, "{log}");
    assert_eq!((&gone[0]["route"], &gone[0]["method"]), (&json!(LIST), &json!("POST")));
    assert_eq!(gone[0]["run_id"], run);
    assert!(gone[0]["duration_ms"].is_u64() && gone[0]["client"] == "127.0.0.1", "{}", gone[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_rejected() {
    let edge = Edge::start(&[("RANGE42_MAX_CONNECTIONS", "2")]);
    let head = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let (mut first, mut second) = (edge.connect().await, edge.connect().await);
    for stream in [&mut first, &mut second] {
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_ne!(stream.read(&mut [0; 1000]).await.unwrap(), 0);
    }
    let answer = edge.raw("").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(first);
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    wait::until("the connection is free", async || !edge.raw(request).await.contains(" 503 "))
        .await;
}
