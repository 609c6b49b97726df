//! Faults of Proxmox are reported, and do not remove guests.

use serde_json::{Value, json};

use crate::ws_status::dashboard::Server;
use crate::ws_status::demo::DemoProxmox;

/// Expects one `stale` message during a fault, then a diff, and no removed guests.
async fn survives(demo: &DemoProxmox, server: &Server, fault: Value, words: &str) {
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("full").await;
    demo.faults(fault.clone()).await;
    let stale = dashboard.expect("stale").await;
    let members: Vec<_> = stale.as_object().unwrap().keys().collect();
    assert_eq!(members, ["type", "since", "error"]);
    let error = stale["error"].as_str().unwrap();
    assert!(error.contains(words), "{fault}: {error}");
    let since = stale["since"].as_str().unwrap();
    since.parse::<jiff::Timestamp>().unwrap_or_else(|e| panic!("{since}: {e}"));

    // A new client gets the last known state, marked as stale.
    let mut late = server.dashboard("").await;
    assert_eq!(late.expect("full").await["vms"].as_array().unwrap().len(), 11);
    assert_eq!(late.expect("stale").await, stale);

    demo.measure(1001, json!({ "cpu": 0.77 })).await;
    demo.faults(json!({})).await;
    let diff = dashboard.expect("diff").await;
    let changes = diff["changes"].as_object().unwrap();
    assert!(changes.values().all(|change| change["type"] == "changed"), "{diff}");
    assert_eq!(changes["1001"]["cpu"], 77.0, "{fault}");
    assert_eq!(late.expect("diff").await, diff);
    demo.measure(1001, json!({ "cpu": 0.02 })).await;
    dashboard.expect("diff").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn error_responses_are_reported_once_as_stale() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let answer = |status: u16| json!({ "answer": { "status": status, "message": "made to fail" } });
    survives(&demo, &server, answer(500), "500: made to fail").await;
    survives(&demo, &server, answer(503), "503").await;
    survives(&demo, &server, answer(596), "596").await;
    survives(&demo, &server, json!({ "node_offline": true }), "595: No route to host").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_are_reported_once_as_stale() {
    let demo = DemoProxmox::start();
    let limit = [("RANGE42_WS_POLL_LIMIT_SECONDS", "0.5")];
    let server = Server::start(&demo.inventory(), &limit).await;
    survives(&demo, &server, json!({ "offline": true }), "does not answer").await;
    survives(&demo, &server, json!({ "drop": 1 }), "does not answer").await;
    // The demo runs 20 times faster than Proxmox.
    survives(&demo, &server, json!({ "hang": 30 }), "no answer in time").await;
    survives(&demo, &server, json!({ "latency": 0.8 }), "no answer in time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_permissions_removes_no_guests() {
    let demo = DemoProxmox::start();
    let root = "proxmox_api_user: root@pam";
    assert!(demo.inventory().contains(root), "{}", demo.inventory());
    let auditor = demo.inventory().replace(root, "proxmox_api_user: auditor@pve");
    let server = Server::start(&auditor, &[]).await;
    let mut one = server.dashboard("").await;
    let mut all = server.dashboard("?node=*").await;
    assert_eq!(one.expect("full").await["vms"].as_array().unwrap().len(), 11);
    all.expect("full").await;
    demo.faults(json!({ "blind": true })).await;
    let mut ends = Vec::new();
    for mut dashboard in [one, all] {
        ends.push(dashboard.expect_error().await);
    }
    ends.push(server.dashboard("").await.expect_error().await);
    assert!(ends.iter().all(|error| error.ends_with("grant it VM.Audit")), "{ends:?}");
    demo.faults(json!({})).await;
    server.dashboard("").await.expect("full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_is_reported_even_without_changes() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("full").await;
    demo.faults(json!({ "answer": { "status": 503 } })).await;
    dashboard.expect("stale").await;
    demo.wait_for_requests(3).await;
    demo.faults(json!({})).await;
    assert_eq!(dashboard.expect("diff").await, json!({ "type": "diff", "changes": {} }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_connects_during_a_fault_gets_a_full_message_later() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    demo.faults(json!({ "offline": true })).await;
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("stale").await;
    demo.faults(json!({})).await;
    assert_eq!(dashboard.expect("full").await["vms"].as_array().unwrap().len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_proxmox_removes_no_guests() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("full").await;
    demo.restart().await;
    demo.wait_for_requests(2).await;
    demo.measure(1000, json!({ "cpu": 0.9 })).await;
    loop {
        let crate::ws_status::dashboard::Got::Message(message) = dashboard.next().await else {
            panic!()
        };
        if message["type"] == "stale" || message["changes"] == json!({}) {
            continue; // A poll hit the closed port.
        }
        assert_eq!(message["changes"]["1000"]["cpu"], 90.0, "{message}");
        assert_eq!(message["changes"].as_object().unwrap().len(), 1);
        break;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_poll_interval_backs_off_during_a_fault() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let mut dashboard = server.dashboard("?node=*").await;
    dashboard.expect("full").await;
    demo.faults(json!({ "answer": { "status": 503 } })).await;
    dashboard.expect("stale").await;
    demo.forget_requests().await;
    // The fourth further request follows delays of at least 1, 2, 4 and 8 intervals. A server with a
    // healthy Proxmox counts the intervals.
    let healthy = DemoProxmox::start();
    let clock = Server::start(&healthy.inventory(), &[]).await;
    let mut watching = clock.dashboard("").await;
    watching.expect("full").await;
    let began = clock.polls("ok").await;
    demo.wait_for_requests(4).await;
    let intervals = clock.polls("ok").await - began;
    assert!(intervals > 8, "{intervals} intervals for four requests");
}
