//! The measured contract of `tests/contract`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The cases: a request, the behavior of the runner, and the expected response.
pub fn cases() -> Vec<Value> {
    serde_json::from_str(&text("cases.json")).unwrap()
}

/// Reads a member of `vectors.json`. Its entries are returned as text, because some contain numbers
/// that `serde_json::Value` cannot represent.
pub fn vectors(member: &str) -> Vec<Box<RawValue>> {
    let members: HashMap<String, Box<RawValue>> =
        serde_json::from_str(&text("vectors.json")).unwrap();
    let member = members.get(member).unwrap_or_else(|| panic!("no {member}"));
    serde_json::from_str(member.get()).unwrap_or_else(|_| vec![member.clone()])
}

fn text(name: &str) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/").to_owned() + name;
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The behavior of the stub in a case.
pub fn behaviour(case: &Value, mock: &Value) -> Value {
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

/// The body of the request of a case.
pub fn bytes(case: &Value) -> Vec<u8> {
    if let Some(hex) = case["raw_body_hex"].as_str() {
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
    }
}

/// Breaks a project as a case describes, before its server is started.
pub fn break_server(words: &str, dir: &Path, env: &mut HashMap<String, String>) {
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
