//! Replays the measured contract against the router, with the stub as the runner.

use crate::support::server::Answer;
use crate::support::stub::StubServer;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

/// The cases in which this service intentionally differs from the measured one.
const FAILED_LOOK_UP: &str = "lookup.rc_ignored";
const SELF_TEST: &str = "post.debug_func_test#hit";

/// The number of parts of the cases, which are replayed concurrently.
const PARTS: usize = 4;

#[tokio::test]
async fn first_part_of_the_cases() {
    replay(0).await;
}

#[tokio::test]
async fn second_part_of_the_cases() {
    replay(1).await;
}

#[tokio::test]
async fn third_part_of_the_cases() {
    replay(2).await;
}

#[tokio::test]
async fn fourth_part_of_the_cases() {
    replay(3).await;
}

async fn replay(part: usize) {
    let cases = crate::support::contract::cases();
    let mock: Value =
        serde_json::from_str(crate::support::contract::vectors("mock")[0].get()).unwrap();
    let plain = StubServer::start(|_, _| {});
    let mut failures = Vec::new();
    for case in cases.iter().skip(part).step_by(PARTS) {
        let broken = case["setup"]["server"].as_str().map(with_broken_server);
        let server = broken.as_ref().unwrap_or(&plain);
        server.behave(&crate::support::contract::behaviour(case, &mock));
        let answer = server.client.send(request(case)).await;
        if let Err(difference) = compare(case, &answer, &server.calls()) {
            failures.push(format!("{}: {difference}", case["id"]));
        }
    }
    assert!(cases.len() > 2000, "only {} cases", cases.len());
    let shown = failures.iter().take(30).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} cases differ:\n{shown}", failures.len(), cases.len());
}

fn request(case: &Value) -> Request<Body> {
    let bytes = crate::support::contract::bytes(case);
    let mut request = Request::builder()
        .method(case["method"].as_str().unwrap())
        .uri(case["path"].as_str().unwrap());
    if let Some(content_type) = case["content_type"].as_str() {
        request = request.header("content-type", content_type);
    }
    request.body(Body::from(bytes)).unwrap()
}

/// A server that is broken as a case describes.
fn with_broken_server(words: &str) -> StubServer {
    StubServer::start(|dir, env| crate::support::contract::break_server(words, dir, env))
}

fn compare(case: &Value, answer: &Answer, calls: &[Value]) -> Result<(), String> {
    let id = case["id"].as_str().unwrap();
    let expect = &case["expect"];
    let status = answer.status.as_u16();
    let look_up_failed = id.ends_with(FAILED_LOOK_UP);
    let statuses = if look_up_failed { json!([500]) } else { expect["status"].clone() };
    if !statuses.as_array().unwrap().contains(&json!(status)) {
        return Err(format!("status {status}, not {statuses}: {}", shortened(&answer.text)));
    }
    if status == 405 && !answer.headers.contains_key("allow") {
        return Err("405 without Allow".to_owned());
    }
    if let Some(wanted) = expect["runs"].as_array() {
        let mut wanted: Vec<Value> =
            wanted.iter().map(|run| departed(run, &case["body"])).collect();
        if look_up_failed || id == SELF_TEST {
            wanted.truncate(1);
        }
        let made: Vec<Value> = calls.iter().map(as_run).collect();
        if made != wanted {
            return Err(format!("runs {}, not {}", json!(made), json!(wanted)));
        }
    }
    if !look_up_failed && !expect["body"].is_null() && !includes(&answer.json(), &expect["body"]) {
        return Err(format!("body {}, not {}", shortened(&answer.text), expect["body"]));
    }
    if let (422, Some(wanted)) = (status, expect["detail_types"].as_array()) {
        let detail = answer.json()["detail"].as_array().cloned().unwrap_or_default();
        let made: Vec<Value> =
            detail.iter().map(|d| json!({"loc": d["loc"], "type": d["type"]})).collect();
        if made != *wanted {
            return Err(format!("detail {}, not {}", json!(made), json!(wanted)));
        }
    }
    Ok(())
}

/// Adds the node to look-ups, which the measured service omitted.
fn departed(run: &Value, body: &Value) -> Value {
    let mut run = run.clone();
    if run["extravars"] == json!({"proxmox_vm_action": "vm_list"})
        && body["proxmox_node"].is_string()
    {
        run["extravars"]["proxmox_node"] = body["proxmox_node"].clone();
    }
    run
}

fn as_run(call: &Value) -> Value {
    let local = call["playbook"].as_str().unwrap().starts_with("playbooks/");
    json!({
        "root": if local { "local" } else { "public" },
        "playbook": call["playbook"],
        "inventory": call["inventory"],
        "limit": call["limit"],
        "tags": call["tags"],
        "extravars": call["extravars"],
    })
}

/// Whether `whole` has every member of `part`, with equal values.
fn includes(whole: &Value, part: &Value) -> bool {
    match part {
        Value::Object(members) => {
            members.iter().all(|(k, v)| whole.get(k).is_some_and(|w| includes(w, v)))
        }
        _ => whole == part,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}
