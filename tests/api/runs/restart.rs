//! Queued runs, when their server ends or is killed.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::process::ServerProcess;
use crate::support::stub::{project, write};
use crate::support::wait;

const VM: &str = "/v0/admin/proxmox/vms/vm_id";
const ADD_USER: &str = "/v0/admin/run/bundles/core/linux/ubuntu/configure/add-user";
const PASSWORD: &str = "known-to.nobody-71";

fn guest() -> Value {
    json!({ "proxmox_node": "px", "vm_id": 100 })
}

fn add_user() -> Value {
    json!({
        "proxmox_node": "px", "hosts": "db", "user": "operator", "password": PASSWORD,
        "change_pwd_at_logon": true, "shell_path": "/bin/bash",
    })
}

fn behave(dir: &Path, hold: bool) {
    let behavior =
        json!({ "events": [], "lookup_events": [], "rc": 0, "lookup_rc": 0, "hold": hold });
    write(&dir.join("runs/stub.json"), &behavior.to_string());
}

fn calls(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("runs/calls.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn begin(server: &ServerProcess, path: &str, body: &Value) -> Value {
    let request = server.request("POST", path, body).header("prefer", "respond-async");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json().await.unwrap()
}

/// A server with one slot, which a held run occupies, and a project.
async fn busy() -> (tempfile::TempDir, HashMap<String, String>, ServerProcess) {
    let (dir, mut env) = project(|_, _| {});
    env.insert("RANGE42_MAX_RUNS".to_owned(), "1".to_owned());
    behave(dir.path(), true);
    let server = ServerProcess::start(&env);
    let held = begin(&server, &format!("{VM}/start"), &guest()).await;
    server.run_when(&held["id"], |run| run["job_events"] == 1).await;
    (dir, env, server)
}

fn is_final(run: &Value) -> bool {
    run["ended"].is_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_runs_of_a_killed_server_begin_in_their_order_with_their_secrets() {
    let (dir, env, mut server) = busy().await;
    let first = begin(&server, ADD_USER, &add_user()).await;
    let second = begin(&server, &format!("{VM}/stop"), &guest()).await;
    assert_eq!((&first["state"], &second["state"]), (&json!("queued"), &json!("queued")));
    server.kill();
    let data = dir.path().join("data");
    for file in fs::read_dir(&data).unwrap().flatten().filter(|file| file.path().is_file()) {
        let bytes = fs::read(file.path()).unwrap();
        let is_in = bytes.windows(PASSWORD.len()).any(|text| text == PASSWORD.as_bytes());
        assert!(!is_in, "{} has the password", file.path().display());
    }
    let mode = fs::metadata(data.join("secret.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    behave(dir.path(), false);
    let server = ServerProcess::start(&env);
    for run in [&first, &second] {
        let run = server.run_when(&run["id"], is_final).await;
        assert_eq!(run["state"], "succeeded", "{run:#}");
    }
    let again = server.request("POST", ADD_USER, &add_user()).send().await.unwrap();
    assert_eq!(again.status(), 200);
    let calls = calls(dir.path());
    assert_eq!(calls.len(), 4, "{calls:#?}");
    assert_eq!(calls[2]["extravars"]["proxmox_vm_action"], "vm_stop", "{:#}", calls[2]);
    assert_eq!(calls[1]["extravars_text"], calls[3]["extravars_text"], "equal to the byte");
    assert!(calls[1]["extravars_text"].as_str().unwrap().contains(PASSWORD));
    let history = rusqlite::Connection::open(data.join("history.sqlite3")).unwrap();
    let request: String = history
        .query_row(
            "SELECT request FROM runs WHERE id = ?1",
            [first["id"].as_str().unwrap()],
            |row| row.get(0),
        )
        .unwrap();
    assert!(request.contains("operator") && !request.contains(PASSWORD), "{request}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_runs_that_are_too_old_or_unreadable_are_canceled() {
    let (dir, mut env, mut server) = busy().await;
    let queued = begin(&server, &format!("{VM}/stop"), &guest()).await;
    server.kill();
    behave(dir.path(), false);
    fs::write(dir.path().join("data/secret.key"), [7; 32]).unwrap();
    let mut server = ServerProcess::start(&env);
    let run = server.run(&queued["id"]).await;
    assert_eq!(run["state"], "canceled", "{run:#}");
    let explanation = run["explanation"].as_str().unwrap();
    assert!(explanation.contains("it was not sealed with the key of this server"), "{explanation}");
    server.kill();

    behave(dir.path(), true);
    let _ = fs::remove_file(dir.path().join("runs/release"));
    let mut server = ServerProcess::start(&env);
    let held = begin(&server, &format!("{VM}/start"), &guest()).await;
    server.run_when(&held["id"], |run| run["job_events"] == 1).await;
    let queued = begin(&server, &format!("{VM}/stop"), &guest()).await;
    server.kill();
    env.insert("RANGE42_QUEUED_MAX_AGE".to_owned(), "0".to_owned());
    let server = ServerProcess::start(&env);
    let run = server.run(&queued["id"]).await;
    assert_eq!(run["state"], "canceled", "{run:#}");
    let explanation = run["explanation"].as_str().unwrap();
    assert!(explanation.contains("accepted more than 0 s before the next start"), "{explanation}");
    assert!(explanation.contains("Nothing was changed"), "{explanation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_keeps_queued_runs_that_no_client_waits_for() {
    let (dir, env, mut server) = busy().await;
    let kept = begin(&server, &format!("{VM}/stop"), &guest()).await;
    let awaited = server.request("POST", ADD_USER, &add_user()).send();
    let awaited = tokio::spawn(awaited);
    wait::until("two runs are queued", async || {
        let runs = server.get("/v0/admin/runs?state=queued").await;
        runs["runs"].as_array().unwrap().len() == 2
    })
    .await;
    server.signal(Signal::TERM);
    let answer = awaited.await.unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    let canceled = json!(answer.headers()["x-run-id"].to_str().unwrap());
    write(&dir.path().join("runs/release"), "");
    assert_eq!(server.wait(), Some(0));

    behave(dir.path(), false);
    let server = ServerProcess::start(&env);
    let run = server.run_when(&kept["id"], is_final).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let run = server.run(&canceled).await;
    assert_eq!(run["state"], "canceled", "{run:#}");
}

/// The end of a run could not be written before the server was killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_started_never_starts_again() {
    let (dir, env, mut server) = busy().await;
    let queued = begin(&server, &format!("{VM}/stop"), &guest()).await;
    let history = rusqlite::Connection::open(dir.path().join("data/history.sqlite3")).unwrap();
    history.execute_batch("BEGIN EXCLUSIVE").unwrap();
    behave(dir.path(), false);
    write(&dir.path().join("runs/release"), "");
    server.run_when(&queued["id"], is_final).await;
    server.kill();
    history.execute_batch("COMMIT").unwrap();

    let server = ServerProcess::start(&env);
    let run = server.run_when(&queued["id"], is_final).await;
    assert_eq!(run["state"], "unknown", "{run:#}");
    assert_eq!(calls(dir.path()).len(), 2, "the held run and this one, once each");
}
