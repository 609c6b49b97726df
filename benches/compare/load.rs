//! Throughput: how much a server does when it is asked by many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
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

/// Answers per second.
pub async fn requests_per_second(server: &Server, kind: Kind) -> f64 {
    let body = json!({ "proxmox_node": "a b", "vm_id": {}, "vm_cores": "x" });
    let (count, seconds) = repeat(REQUEST_CLIENTS, LOAD_TIME, || {
        let (server, body) = (server.clone(), body.clone());
        async move {
            match kind {
                Kind::Invalid => {
                    server.send(Method::POST, "/v0/admin/proxmox/vms/vm_id/create", &body).await
                        == 422
                }
                Kind::Document => {
                    server.send(Method::GET, "/docs/openapi.json", &json!(null)).await == 200
                }
            }
        }
    })
    .await;
    count as f64 / seconds
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
