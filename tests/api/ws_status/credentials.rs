//! Credentials, TLS certificates, and the errors if they are rejected.

use serde_json::json;

use crate::support::wait;
use crate::ws_status::dashboard::Server;
use crate::ws_status::demo::DemoProxmox;

const NOT_FOUND: &str = "Proxmox credentials not found in backend inventory";

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_reported_and_close_the_connection() {
    let server = Server::start("all: {}\n", &[]).await;
    assert_eq!(server.dashboard("").await.expect_error().await, NOT_FOUND);
    std::fs::write(server.hosts(), "all: [\n").unwrap();
    assert_eq!(server.dashboard("").await.expect_error().await, NOT_FOUND);
    std::fs::remove_file(server.hosts()).unwrap();
    assert_eq!(server.dashboard("?node=*").await.expect_error().await, NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_token_is_reported_and_closes_the_connection() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("full").await;
    demo.faults(json!({ "no_token": true })).await;
    let error = dashboard.expect_error().await;
    assert!(error.starts_with("the Proxmox API refuses the token"), "{error}");
    assert!(!error.contains(demo.ready("token_secret")));
    server.has_clients(0).await;

    demo.faults(json!({ "answer": { "status": 403, "message": "Permission check failed" } })).await;
    let error = server.dashboard("").await.expect_error().await;
    assert!(error.ends_with("Permission check failed"), "{error}");

    demo.faults(json!({})).await;
    server.dashboard("").await.expect("full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_credentials_apply_from_the_next_poll() {
    let (demo, other) = (DemoProxmox::start(), DemoProxmox::start());
    let wrong = demo.inventory().replace(demo.ready("token_secret"), "wrong");
    let server = Server::start(&wrong, &[]).await;
    let error = server.dashboard("").await.expect_error().await;
    assert!(error.starts_with("the Proxmox API refuses the token"), "{error}");

    std::fs::write(server.hosts(), demo.inventory()).unwrap();
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("full").await;

    // The same client continues with another Proxmox.
    other.measure(1000, json!({ "cpu": 0.66 })).await;
    std::fs::write(server.hosts(), other.inventory()).unwrap();
    assert_eq!(dashboard.expect("diff").await["changes"]["1000"]["cpu"], 66.0);

    // A partially written file does not close connections.
    std::fs::write(server.hosts(), "").unwrap();
    assert_eq!(dashboard.expect("stale").await["error"], "cannot read hosts.yml: it is empty");
    let mut late = server.dashboard("").await;
    late.expect("full").await;
    late.expect("stale").await;
    std::fs::write(server.hosts(), other.inventory()).unwrap();
    dashboard.expect("diff").await;

    std::fs::write(server.hosts(), "all: {}\n").unwrap();
    assert_eq!(dashboard.expect_error().await, NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_node_follows_the_inventory() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let mut follower = server.dashboard("").await;
    let mut named = server.dashboard("?node=px-testing").await;
    assert_eq!(follower.expect("full").await["vms"].as_array().unwrap().len(), 11);
    named.expect("full").await;
    let moved = demo.inventory().replace("proxmox_node: px-testing", "proxmox_node: px-testing-2");
    std::fs::write(server.hosts(), moved).unwrap();
    let full = follower.expect("full").await;
    assert_eq!(full["vms"].as_array().unwrap().len(), 1);
    assert_eq!(full["vms"][0]["vmid"], 1200);
    // A client that named the node stays with it.
    demo.measure(1000, json!({ "cpu": 0.9 })).await;
    assert_eq!(named.expect("diff").await["changes"]["1000"]["cpu"], 90.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_credentials_end_the_backoff() {
    let demo = DemoProxmox::start();
    let port = demo.ready("api_host").split(':').nth(1).unwrap();
    // Nothing listens on port 9.
    let nowhere = demo.inventory().replace(&format!(":{port}\""), ":9\"");
    let server = Server::start(&nowhere, &[("RANGE42_WS_POLL_SECONDS", "1")]).await;
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("stale").await;
    wait::until("two polls failed", async || server.polls("failed").await >= 2).await;
    std::fs::write(server.hosts(), demo.inventory()).unwrap();
    dashboard.expect("full").await;
    assert_eq!(server.polls("failed").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified_as_configured_in_the_inventory() {
    let demo = DemoProxmox::start();
    let without_file: String = demo
        .inventory()
        .lines()
        .filter(|line| !line.contains("ca_file"))
        .collect::<Vec<_>>()
        .join("\n");
    let server = Server::start(&without_file, &[]).await;
    let stale = server.dashboard("").await.expect("stale").await;
    let error = stale["error"].as_str().unwrap();
    assert!(error.contains("certificate"), "{error}");

    let unchecked = without_file.replace("proxmox_validate_certs: true", "");
    assert_ne!(unchecked, without_file);
    let server = Server::start(&unchecked, &[]).await;
    server.dashboard("").await.expect("full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_node_is_reported_and_closes_the_connection() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    for query in ["?node=pve99", "?node=pve99&type=all"] {
        let error = server.dashboard(query).await.expect_error().await;
        assert_eq!(error, "the Proxmox API has no node named \"pve99\"");
    }
}
