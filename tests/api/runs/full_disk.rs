//! A disk that becomes full, and then has free space again. The disk and the server are real; the
//! runner is the stub.

use std::fs::{self, File};
use std::io::Write;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::process::ServerProcess;
use crate::support::stub::project;

const LIST: &str = "/v0/admin/proxmox/vms/list";
/// Slightly more than the free space that a ready server requires.
const BYTES: u64 = 80 * 1024 * 1024;

async fn list(server: &ServerProcess) -> (StatusCode, Value) {
    let body = json!({ "proxmox_node": "px" });
    let answer = server.request("POST", LIST, &body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_full_disk_is_reported_with_a_reason() {
    let (dir, mut env) = project(|_, _| {});
    let disk = dir.path().canonicalize().unwrap().join("disk");
    fs::create_dir(&disk).unwrap();
    let path = |name: &str| disk.join(name).display().to_string();
    env.extend([
        ("RANGE42_DATA_DIR".to_owned(), path("data")),
        ("RANGE42_RUNS_DIR".to_owned(), path("runs")),
    ]);
    let server = ServerProcess::start_on_disk(&disk, BYTES, &env);
    assert_eq!(list(&server).await.0, StatusCode::OK);
    let ready = server.get("/readyz").await;
    assert_eq!(ready["checks"]["data_dir"]["ready"], true, "{ready:#}");

    let filling = server.own_view_of(&disk.join("filling"));
    let mut file = File::create(&filling).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let (status, answer) = list(&server).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("database or disk is full; nothing was started"), "{answer:#}");
    assert_eq!(server.get("/healthz").await["status"], "alive");
    let runs = server.get("/v0/admin/runs").await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs:#}");
    assert_eq!(runs["runs"][0]["state"], "succeeded", "{runs:#}");
    let ready = server.get("/readyz").await;
    assert_eq!(ready["checks"]["data_dir"]["ready"], false, "{ready:#}");

    fs::remove_file(&filling).unwrap();
    assert_eq!(list(&server).await.0, StatusCode::OK);
    let left = fs::read_dir(server.own_view_of(&disk.join("runs"))).unwrap().flatten();
    let left = left.filter(|entry| entry.path().is_dir());
    assert_eq!(left.count(), 0);
}
