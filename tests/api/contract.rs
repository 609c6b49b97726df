//! Replays the measured contract against the router, with the stub as the runner.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::server::Answer;
use crate::support::stub::StubServer;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

/// Cases that measured what this service departs from, and what it answers instead.
const FAILED_LOOK_UP: &str = "lookup.rc_ignored";
const SELF_TEST: &str = "post.debug_func_test#hit";

/// In how many parts the cases are replayed, side by side.
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
        server.behave(&behaviour(case, &mock));
        let answer = server.client.send(request(case)).await;
        if let Err(difference) = compare(case, &answer, &server.calls()) {
            failures.push(format!("{}: {difference}", case["id"]));
        }
    }
    assert!(cases.len() > 2000, "only {} cases", cases.len());
    let shown = failures.iter().take(30).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} cases differ:\n{shown}", failures.len(), cases.len());
}

/// What the runner answers in this case.
fn behaviour(case: &Value, mock: &Value) -> Value {
    let engine = &case["engine"];
    let setup = &case["setup"];
    let mut events: Vec<Value> = mock["noise_events"].as_array().unwrap().clone();
    for key in mock["keys"].as_array().unwrap() {
        let key = key.as_str().unwrap();
        events
            .push(json!({"event": "runner_on_failed", "event_data": {"res": {key: "BAD-failed"}}}));
        events
            .push(json!({"event": "runner_item_on_ok", "event_data": {"res": {key: "BAD-item"}}}));
        events.push(json!({"event": "runner_on_ok", "event_data": {"res": {"ansible_facts": {key: "BAD-nested"}}}}));
        events.push(json!({"event": "runner_on_ok", "event_data": {"res": {key: {"mark": key}}}}));
    }
    events.push(json!({"event": "verbose", "stdout": mock["log"]}));
    let listed = |list: &Value| json!([{"event": "runner_on_ok", "stdout": "", "event_data": {"res": {"vm_list": list}}}]);
    let lookup_events = match (
        &engine["lookup"],
        &engine["lookup_values"],
        &setup["lookup"],
        &setup["lookup_events"],
    ) {
        (list @ Value::Array(_), ..) | (_, _, list @ Value::Array(_), _) => listed(list),
        (_, Value::Array(values), ..) => {
            values.iter().flat_map(|v| listed(v).as_array().unwrap().clone()).collect()
        }
        (_, _, _, events @ Value::Array(_)) => events.clone(),
        _ => mock["lookup_events"].clone(),
    };
    let rc = |value: &Value| if value.is_null() { json!(0) } else { value.clone() };
    let lookup_rc =
        if engine["lookup_rc"].is_null() { &setup["lookup_rc"] } else { &engine["lookup_rc"] };
    json!({
        "events": events,
        "lookup_events": lookup_events,
        "rc": rc(&engine["rc"]),
        "lookup_rc": rc(lookup_rc),
        "rc_by_run": if engine["rc_by_run"].is_null() { json!({}) } else { engine["rc_by_run"].clone() },
        "raises": setup["runner"] == "raises",
    })
}

fn request(case: &Value) -> Request<Body> {
    let bytes = if let Some(hex) = case["raw_body_hex"].as_str() {
        let digits: Vec<char> = hex.chars().collect();
        digits
            .chunks(2)
            .map(|two| u8::from_str_radix(&String::from_iter(two), 16).unwrap())
            .collect()
    } else if let Some([text, times]) = case["raw_body_repeat"].as_array().map(Vec::as_slice) {
        text.as_str().unwrap().repeat(times.as_u64().unwrap() as usize).into_bytes()
    } else if let Some(text) = case["raw_body"].as_str() {
        text.as_bytes().to_vec()
    } else {
        case["body"].to_string().into_bytes()
    };
    let mut request = Request::builder()
        .method(case["method"].as_str().unwrap())
        .uri(case["path"].as_str().unwrap());
    if let Some(content_type) = case["content_type"].as_str() {
        request = request.header("content-type", content_type);
    }
    request.body(Body::from(bytes)).unwrap()
}

/// Breaks a server as the words of a case say.
fn with_broken_server(words: &str) -> StubServer {
    StubServer::start(|dir, env| break_server(words, dir, env))
}

fn break_server(words: &str, dir: &Path, env: &mut HashMap<String, String>) {
    let (root, public) = (dir.join("root"), dir.join("public"));
    let mut public_dir = |value: &str| {
        env.insert("API_BACKEND_PUBLIC_PLAYBOOKS_DIR".to_owned(), value.to_owned());
    };
    let outside = dir.join("outside.yml");
    fs::write(&outside, "outside").unwrap();
    let link_away = |name: &str| {
        for file in files_named(&public, name) {
            fs::remove_file(&file).unwrap();
            symlink(&outside, &file).unwrap();
        }
    };
    if let Some(file) = words.strip_prefix("local playbook file absent: ") {
        fs::remove_file(root.join(file)).unwrap();
    } else if let Some(folder) = words.strip_prefix("playbook folder absent: ") {
        fs::remove_dir_all(public.join(folder)).unwrap();
    } else if let Some((file, folder)) = words.split_once(" absent in ") {
        fs::remove_file(public.join(folder).join(file)).unwrap();
    } else {
        match words {
            "inventory directory absent" => fs::remove_dir_all(root.join("inventory")).unwrap(),
            "inventory/hosts.yml absent" => {
                fs::remove_file(root.join("inventory/hosts.yml")).unwrap()
            }
            "main.yml is a symlink that leaves the playbooks tree" => link_away("main.yml"),
            "init.yml is a symlink that leaves the playbooks tree" => link_away("init.yml"),
            "API_BACKEND_PUBLIC_PLAYBOOKS_DIR not set"
            | "API_BACKEND_PUBLIC_PLAYBOOKS_DIR empty" => public_dir(""),
            "API_BACKEND_PUBLIC_PLAYBOOKS_DIR names a file" => {
                public_dir(outside.to_str().unwrap())
            }
            "API_BACKEND_PUBLIC_PLAYBOOKS_DIR names no directory" => public_dir("/nonexistent"),
            other => panic!("unknown setup: {other}"),
        }
    }
}

fn files_named(folder: &Path, name: &str) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            files.extend(files_named(&entry.path(), name));
        } else if entry.file_name() == name {
            files.push(entry.path());
        }
    }
    files
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

/// A look-up passes the node, which the measured service did not.
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
