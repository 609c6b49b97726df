//! Replays the vectors of the measured contract for requests and responses.

use std::fs;
use std::path::Path;

use crate::support::stub::StubServer;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};

const LIST: &str = "/v0/admin/proxmox/vms/list";

fn entries(member: &str) -> Vec<Value> {
    let raw = crate::support::contract::vectors(member);
    raw.iter().map(|entry| serde_json::from_str(entry.get()).unwrap()).collect()
}

/// Asserts that `made` equals `wanted`, in which `<text>` matches any string.
fn assert_alike(made: &Value, wanted: &Value) {
    match (made, wanted) {
        (Value::String(text), Value::String(any)) if any == "<text>" => assert!(!text.is_empty()),
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{made} is not {wanted}");
            a.iter().zip(b).for_each(|(a, b)| assert_alike(a, b));
        }
        (Value::Object(a), Value::Object(b)) => {
            let names = |o: &serde_json::Map<String, Value>| -> Vec<String> {
                let mut names: Vec<String> = o.keys().cloned().collect();
                names.sort();
                names
            };
            assert_eq!(names(a), names(b));
            a.iter().for_each(|(name, value)| assert_alike(value, &b[name]));
        }
        _ => assert_eq!(made, wanted),
    }
}

#[tokio::test]
async fn invalid_bodies_get_the_recorded_errors() {
    for vectors in entries("validation_422") {
        for (debug, names) in [
            ("false", ["stock", "stock_bad_json", "stock_empty"]),
            ("true", ["verbose(DEBUG=true)", "verbose_bad_json", "verbose_empty"]),
        ] {
            let server = StubServer::start(|_, env| {
                env.insert("DEBUG".to_owned(), debug.to_owned());
            });
            let bodies = [vectors["request"].to_string(), "{".to_owned(), String::new()];
            for (name, body) in names.into_iter().zip(bodies) {
                let request = Request::post("/v0/admin/proxmox/vms/vm_id/create");
                let answer = server.client.send(request.body(Body::from(body)).unwrap()).await;
                assert_eq!(answer.status, 422);
                assert_alike(&answer.json()["detail"], &departed(&vectors[name]));
            }
            assert_eq!(server.calls(), Vec::<Value>::new());
        }
    }
}

/// Applies two departures to a recorded response: ids may be numbers (4), and the pattern of node
/// names is stricter (3).
fn departed(errors: &Value) -> Value {
    let mut errors = errors.as_array().unwrap().clone();
    errors.retain(|error| error["type"] != "string_type");
    for error in &mut errors {
        if error["type"] == "string_pattern_mismatch" {
            error["ctx"]["pattern"] = json!("^[A-Za-z0-9][A-Za-z0-9-]*$");
        }
    }
    Value::Array(errors)
}

#[tokio::test]
async fn paths_match_the_recorded_routes() {
    let server = StubServer::start(|_, _| {});
    for case in entries("routing") {
        let answer = server
            .client
            .json(case["method"].as_str().unwrap(), case["path"].as_str().unwrap(), &case["body"])
            .await;
        assert_eq!(answer.status.as_u16(), case["recommended_status"], "{case}");
    }
}

#[tokio::test]
async fn cors_headers_match_the_recorded_ones() {
    let server = StubServer::start(|_, _| {});
    for case in entries("cors") {
        let answer = server.client.send(browser_request(&case)).await;
        if case["case"] == "unhandled 500" {
            // The measured service omitted the headers here.
            assert_eq!(answer.headers["access-control-allow-origin"], "http://localhost");
            continue;
        }
        assert_eq!(answer.status.as_u16(), case["status"], "{case}");
        assert_eq!(cors_headers(&answer.headers), case["headers"], "{case}");
        if case["body"].is_string() {
            assert_eq!(answer.text, case["body"]);
        }
    }
}

/// Headers that the measured service lacks are sent only to pages that need them.
#[tokio::test]
async fn cors_allows_and_exposes_our_own_headers() {
    let server = StubServer::start(|_, _| {});
    let measured = "Accept, Accept-Language, Authorization, Content-Language, Content-Type";
    for (wanted, allowed) in
        [("content-type,prefer", ", Prefer"), ("APIKEY, last-event-id", ", apikey, Last-Event-ID")]
    {
        let request = Request::options(LIST)
            .header("origin", "http://localhost")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", wanted);
        let answer = server.client.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{wanted}: {}", answer.text);
        let told = answer.headers["access-control-allow-headers"].to_str().unwrap();
        assert_eq!(told, format!("{measured}{allowed}"));
    }
    for (origin, told) in [("http://localhost", true), ("http://evil.test", false)] {
        let request = Request::post(LIST)
            .header("origin", origin)
            .header("content-type", "application/json")
            .header("prefer", "respond-async");
        let body = json!({ "proxmox_node": "px-testing" }).to_string();
        let answer = server.client.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status, 202);
        let exposed = answer.headers.get("access-control-expose-headers");
        assert_eq!(exposed.is_some(), told);
        let exposed = exposed.map(|names| names.to_str().unwrap().to_lowercase());
        for name in exposed.iter().flat_map(|names| names.split(", ")) {
            assert!(name == "retry-after" || answer.headers.contains_key(name), "no {name}");
        }
    }
}

fn browser_request(case: &Value) -> Request<Body> {
    let (method, body) = match (&case["preflight"], case["case"].as_str()) {
        (Value::Bool(false), None) => ("POST", json!({ "proxmox_node": "px-testing" })),
        (Value::Bool(false), Some("422")) => ("POST", json!({})),
        // No request can crash a handler; a runner that fails to start comes closest.
        (Value::Bool(false), Some(_)) => ("POST", json!({ "proxmox_node": "px-testing" })),
        _ => ("OPTIONS", Value::Null),
    };
    // Requests of other origins are accepted only with a content type that requires a preflight.
    let mut request = Request::builder().method(method).uri(LIST);
    request = request.header("content-type", "application/json");
    for (name, member) in [
        ("origin", "origin"),
        ("access-control-request-method", "request_method"),
        ("access-control-request-headers", "request_headers"),
    ] {
        if let Some(value) = case[member].as_str() {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(body.to_string())).unwrap()
}

/// The CORS headers of a response, in the format of the vectors.
fn cors_headers(headers: &HeaderMap) -> Value {
    let listed = headers.iter().filter(|(name, _)| {
        let name = name.as_str();
        name.starts_with("access-control-") || name == "allow" || name == "vary"
    });
    listed.map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap()))).collect()
}

/// Vault password, variables file and tags are passed to Ansible as recorded. Rows with a command
/// line from the caller are skipped: this service does not accept any.
#[tokio::test]
async fn runs_get_the_recorded_command_line() {
    let rows = entries("cmdline");
    let ours: Vec<_> = rows.iter().filter(|row| row["caller_cmdline"].is_null()).collect();
    assert_eq!(ours.len(), rows.len() / 2);
    for row in ours {
        let server = StubServer::start(|dir, env| {
            for (setting, file) in
                [("VAULT_PASSWORD_FILE", "pass.txt"), ("API_BACKEND_VAULT_FILE", "vars.yml")]
            {
                if row[setting].is_string() {
                    let path = dir.join(file);
                    fs::write(&path, "").unwrap();
                    env.insert(setting.to_owned(), path.display().to_string());
                }
            }
            if row["managed_vault_path"].is_string() {
                env.insert("VAULT_PASSWORD".to_owned(), "secret".to_owned());
            }
        });
        let made = command_line(&server, row["tags"].is_string()).await;
        assert_eq!(made, wanted_words(row, server.dir.path()), "{row}");
    }
}

/// The command-line words of a run. Tags are those of the first run of a create operation.
async fn command_line(server: &StubServer, with_tags: bool) -> Option<Vec<String>> {
    let vm = json!({ "vm_id": 4100, "vm_ip": "10.42.0.11", "vm_description": "one" });
    let (path, body) = if with_tags {
        let base = "/v0/admin/run/bundles/core/proxmox/configure/default";
        let vms = json!({ "student-box-01": vm });
        (format!("{base}/create-vms-student"), json!({ "proxmox_node": "n", "vms": vms }))
    } else {
        (LIST.to_owned(), json!({ "proxmox_node": "n" }))
    };
    let answer = server.client.json("POST", &path, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    server.calls()[0]["cmdline"].as_str().map(|line| shlex::split(line).unwrap())
}

fn wanted_words(row: &Value, dir: &Path) -> Option<Vec<String>> {
    let dir = dir.canonicalize().unwrap();
    let line = row["wanted_cmdline"].as_str()?;
    let words = shlex::split(line).unwrap().into_iter().map(|word| {
        word.replace("/s/pass.txt", &dir.join("pass.txt").display().to_string())
            .replace("/v/vars.yml", &dir.join("vars.yml").display().to_string())
            .replace("/t/vault_pass.txt", &dir.join("runs/vault/password").display().to_string())
            .replace("red", "student-box-01")
    });
    Some(words.collect())
}

/// The runner gets the same input as that of the measured service, and its directory is always
/// removed.
#[tokio::test]
async fn the_runner_is_called_as_documented() {
    let server = StubServer::start(|_, _| {});
    for vectors in entries("runner_call") {
        let body = json!({ "proxmox_node": "n", "inventory": "hosts", "hosts": "elsewhere" });
        server.client.json("POST", LIST, &body).await;
        let calls = server.calls();
        assert_eq!(calls[0]["playbook"], vectors["kwargs"]["playbook"]);
        assert_eq!(calls[0]["inventory"], "inventory/hosts.yml");
        assert_eq!(calls[0]["limit"], "proxmox");
        for path in vectors["temp_layout"].as_array().unwrap() {
            assert!(calls[0]["layout"].as_array().unwrap().contains(path), "{path} is missing");
        }
    }
    let mut left: Vec<_> =
        fs::read_dir(server.runs()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.retain(|name| name != "stub.json" && name != "calls.jsonl");
    assert!(left.is_empty(), "{left:?} was left");
}

/// Runs always use the server's inventory, whatever the request names.
#[tokio::test]
async fn clients_cannot_choose_the_inventory() {
    let server = StubServer::start(|_, _| {});
    for case in entries("inventory_names") {
        let body = json!({ "proxmox_node": "n", "inventory": case["name"] });
        assert_eq!(server.client.json("POST", LIST, &body).await.status, 200);
        assert_eq!(server.calls().last().unwrap()["inventory"], "inventory/hosts.yml");
    }
}
