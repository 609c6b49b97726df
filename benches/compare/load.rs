//! Throughput under concurrent load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{LOAD_TIME, REQUEST_CLIENTS, RUN_CLIENTS, RUNS_TIME, Server};

/// A request that starts no run.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A body with three errors, rejected with 422.
    Invalid,
    /// The OpenAPI document.
    Document,
}

/// Measures how many runs complete per minute.
pub async fn runs_per_minute(server: &Server, node: &str) -> f64 {
    let body = json!({ "proxmox_node": node });
    let (count, seconds) = repeat(RUN_CLIENTS, RUNS_TIME, || {
        let (server, body) = (server.clone(), body.clone());
        async move { server.send(Method::POST, "/v0/admin/proxmox/vms/list", &body).await == 200 }
    })
    .await;
    count as f64 * 60.0 / seconds
}

/// Measures how many requests are handled per second. Client and server share the processors of
/// this machine, so the client does little work: it sends the same bytes repeatedly, and parses
/// only the status and the length of a response.
pub async fn requests_per_second(server: &Server, kind: Kind) -> f64 {
    let body = json!({ "proxmox_node": "a b", "vm_id": {}, "vm_cores": "x" }).to_string();
    let (method, path, body, status) = match kind {
        Kind::Invalid => ("POST", "/v0/admin/proxmox/vms/vm_id/create", body, 422),
        Kind::Document => ("GET", "/docs/openapi.json", String::new(), 200),
    };
    let address = server.address().to_owned();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..REQUEST_CLIENTS {
        let (request, address) = (request.clone(), address.clone());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(&address).await.expect("a connection");
            let mut answer = Vec::new();
            let mut answers = 0u64;
            while began.elapsed() < LOAD_TIME {
                stream.write_all(request.as_bytes()).await.expect("a server that reads");
                assert_eq!(read(&mut stream, &mut answer).await, status);
                answers += 1;
            }
            answers
        });
    }
    let answers: u64 = tasks.join_all().await.iter().sum();
    answers as f64 / began.elapsed().as_secs_f64()
}

/// Reads one response, which must have a `Content-Length`, and returns its status.
async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> u16 {
    answer.clear();
    let head = loop {
        receive(stream, answer).await;
        if let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break head;
        }
    };
    let text = str::from_utf8(&answer[..head]).expect("a head of plain text");
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let (status, length) = (status.expect("a status"), length.expect("a length"));
    while answer.len() < head + 4 + length {
        receive(stream, answer).await;
    }
    status
}

async fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    assert_ne!(
        stream.read_buf(answer).await.expect("an answer"),
        0,
        "the server closed the connection"
    );
}

/// Repeats a request with `clients` concurrent clients for `time`. Returns how many succeeded, and
/// the elapsed seconds.
async fn repeat<F, R>(clients: usize, time: Duration, request: F) -> (u64, f64)
where
    F: Fn() -> R,
    R: Future<Output = bool> + Send + 'static,
{
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    // Each client has one request in flight until the time is up.
    for _ in 0..clients {
        tasks.spawn(request());
    }
    while let Some(ended) = tasks.join_next().await {
        if ended.expect("a request") {
            done.fetch_add(1, Ordering::Relaxed);
        }
        if began.elapsed() < time {
            tasks.spawn(request());
        }
    }
    (done.load(Ordering::Relaxed), began.elapsed().as_secs_f64())
}
