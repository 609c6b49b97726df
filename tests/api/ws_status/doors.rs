//! Which connections are accepted, and the responses to others.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::support::process::http;
use crate::ws_status::dashboard::{Dashboard, Got, Server};
use crate::ws_status::demo::DemoProxmox;

/// The response of a server that rejects the upgrade.
async fn refusal(server: &Server, query: &str, headers: &[(&'static str, &str)]) -> (u16, Value) {
    match Dashboard::connect(server.address, query, headers).await.map_err(|e| *e) {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default())
        }
        Err(other) => panic!("{query}: {other}"),
        Ok(_) => panic!("{query} {headers:?}: connected"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_are_rejected() {
    let server = Server::start("all: {}\n", &[]).await;
    for origin in ["https://evil.test", "null", "http://localhost.evil.test"] {
        let (status, body) = refusal(&server, "", &[("origin", origin)]).await;
        assert_eq!(
            (status, body),
            (403, json!({ "detail": "this origin is not allowed (CORS_ORIGIN_REGEX)" }))
        );
    }
    let allowed = [("origin", "http://localhost:3000")];
    assert!(Dashboard::connect(server.address, "", &allowed).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn same_origin_pages_are_accepted() {
    let server = Server::start("all: {}\n", &[]).await;
    for (host, origin, connects) in [
        ("range.lan", "http://range.lan", true),
        ("range.lan:8000", "https://range.lan:8000", true),
        ("range.lan:8000", "http://range.lan:8001", false),
        ("range.lan", "http://other.lan", false),
    ] {
        let headers = [("host", host), ("origin", origin)];
        let connected = Dashboard::connect(server.address, "", &headers).await.is_ok();
        assert_eq!(connected, connects, "{host} {origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_must_be_a_valid_name() {
    let server = Server::start("all: {}\n", &[]).await;
    for query in
        ["?node=", "?node=pve%2F..%2F..", "?node=-pve", "?node=a.b", "?node=pve%0A", "?node=**"]
    {
        let (status, body) = refusal(&server, query, &[]).await;
        assert_eq!(
            (status, &body["detail"][0]["loc"]),
            (422, &json!(["query", "node"])),
            "{query}"
        );
    }
    let (status, body) = refusal(&server, "?type=lxc", &[]).await;
    assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["query", "type"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_upgrade_gets_upgrade_required() {
    let server = Server::start("all: {}\n", &[]).await;
    let url = format!("http://{}/ws/vm-status", server.address);
    let answer = http().get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 426);
    assert_eq!(answer.headers()["upgrade"], "websocket");
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({ "detail": "this endpoint requires a WebSocket upgrade" })
    );
    let answer = http().post(&url).send().await.unwrap();
    assert_eq!(answer.status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited_by_the_setting() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[("RANGE42_WS_MAX_CLIENTS", "2")]).await;
    let mut first = server.dashboard("").await;
    let _second = server.dashboard("").await;
    let (status, body) = refusal(&server, "", &[]).await;
    assert_eq!(status, 503);
    assert_eq!(body, json!({ "detail": "the live status connection limit is reached" }));

    first.socket.close(None).await.unwrap();
    server.has_clients(1).await;
    server.dashboard("").await.expect("full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_from_clients_are_ignored_and_limited_in_size() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("full").await;
    for text in ["{\"type\":\"subscribe\"}", "not JSON", &"x".repeat(4096)] {
        dashboard.send(text).await;
    }
    demo.measure(1000, json!({ "cpu": 0.5 })).await;
    dashboard.expect("diff").await;
    dashboard.send(&"x".repeat(4097)).await;
    assert_eq!(dashboard.next().await, Got::Closed(1009));
}
