//! Throughput: how much a server does when it is asked by many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::json;

use super::{LOAD_TIME, REQUEST_CLIENTS, RUN_CLIENTS, RUNS_TIME, Server};

/// A request that starts nothing.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A body with three errors, refused with 422.
    Invalid,
    /// The document.
    Document,
}

/// Runs that ended within a minute, from those of a shorter time.
pub async fn runs_per_minute(server: &Server, node: &str) -> f64 {
    let body = json!({ "proxmox_node": node });
    let (count, seconds) = repeat(RUN_CLIENTS, RUNS_TIME, || {
        let (server, body) = (server.clone(), body.clone());
        async move { server.send(Method::POST, "/v0/admin/proxmox/vms/list", &body).await == 200 }
    })
    .await;
    count as f64 * 60.0 / seconds
}

/// Answers per second. The two ends share this machine's processors, so the client is as thin
/// as it can be: a connection each, and nothing on top of HTTP.
pub async fn requests_per_second(server: &Server, kind: Kind) -> f64 {
    let body = json!({ "proxmox_node": "a b", "vm_id": {}, "vm_cores": "x" }).to_string();
    let (method, path, body, status) = match kind {
        Kind::Invalid => (Method::POST, "/v0/admin/proxmox/vms/vm_id/create", body, 422),
        Kind::Document => (Method::GET, "/docs/openapi.json", String::new(), 200),
    };
    let address = server.address().to_owned();
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..REQUEST_CLIENTS {
        let (method, body, address) = (method.clone(), Bytes::from(body.clone()), address.clone());
        tasks.spawn(async move {
            let stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
            let (mut client, connection) =
                http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
            tokio::spawn(connection);
            let mut answers = 0u64;
            while began.elapsed() < LOAD_TIME {
                let request = Request::builder().method(&method).uri(path).header("host", &address);
                let request = request.header("content-type", "application/json");
                let request = request.body(Full::new(body.clone())).expect("a request");
                let mut answer = client.send_request(request).await.expect("an answer");
                assert_eq!(answer.status(), status);
                while answer.frame().await.is_some() {}
                answers += 1;
            }
            answers
        });
    }
    let answers: u64 = tasks.join_all().await.iter().sum();
    answers as f64 / began.elapsed().as_secs_f64()
}

/// Lets `clients` repeat a request for some time; answers how many succeeded in how long.
async fn repeat<F, R>(clients: usize, time: Duration, request: F) -> (u64, f64)
where
    F: Fn() -> R,
    R: Future<Output = bool> + Send + 'static,
{
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    // Each client sends one request after the other until time is up.
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
