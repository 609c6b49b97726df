//! The live status messages that a client gets while guests and Proxmox change.

use std::time::Duration;

use futures_util::StreamExt;
use regex::Regex;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::pins::pin;
use crate::support::demo::{self, DemoProxmox};
use crate::support::process::http;

#[tokio::test(flavor = "multi_thread")]
async fn live_status_says_the_same() {
    let proxmox = DemoProxmox::start_with(&["--small"]);
    let dir = tempfile::tempdir().unwrap();
    let mut env = demo::settings(dir.path(), &proxmox.inventory());
    env.insert("RANGE42_WS_POLL_SECONDS".to_owned(), "0.2".to_owned());
    let server = pin::start(&env);
    let address = server.url.strip_prefix("http://").unwrap();
    let connect = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        client_async(format!("ws://{address}/ws/vm-status"), stream).await.unwrap().0
    };
    let control = async |path: &str, body: Value| {
        let url = format!("{}{path}", proxmox.text("control"));
        let answer = http().put(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success());
    };
    let delete = async || {
        let body = json!({ "proxmox_node": "px-testing", "vm_id": "1003" });
        let path = "/v0/admin/proxmox/vms/vm_id/delete";
        let answer = server.request("DELETE", path, &body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    };
    let mut client = connect().await;
    let mut lines = vec!["a client comes".to_owned(), message(&mut client).await];
    lines.push("1001 is busy".to_owned());
    control("/vms/1001", json!({ "stats": { "cpu": 0.77 } })).await;
    lines.push(message(&mut client).await);
    lines.push("1003 is deleted".to_owned());
    delete().await;
    loop {
        let line = message(&mut client).await;
        // The VM is stopped before it is deleted; a poll may or may not see this.
        if line.contains("removed") {
            lines.push(line);
            break;
        }
    }
    lines.push("Proxmox does not answer".to_owned());
    control("/faults", json!({ "answer": { "status": 500, "message": "made to fail" } })).await;
    lines.push(message(&mut client).await);
    lines.push("another client comes".to_owned());
    let mut late = connect().await;
    lines.extend([message(&mut late).await, message(&mut late).await]);
    lines.push("Proxmox answers again".to_owned());
    control("/vms/1001", json!({ "stats": { "cpu": 0.02 } })).await;
    control("/faults", json!({})).await;
    lines.extend([message(&mut client).await, message(&mut late).await]);
    pin::check("live_status.txt", &(lines.join("\n") + "\n"));
}

/// The next message, without values that depend on the time.
async fn message(client: &mut WebSocketStream<TcpStream>) -> String {
    let next = async {
        loop {
            match client.next().await.unwrap().unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(60), next).await.expect("no message");
    let uptime = Regex::new(r#""uptime":\d+"#).unwrap();
    pin::normalized(&uptime.replace_all(&text, r#""uptime":0"#))
}
