//! The commands `runs list`, `runs follow` and `runs cancel`.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::support::process::ServerProcess;
use crate::support::stub::{project, write};
use crate::support::wait;

fn server() -> (TempDir, ServerProcess) {
    let (dir, env) = project(|_, _| {});
    let text = "\u{1b}[0;32mok: [px]\u{1b}[0m";
    let events = json!([
        { "event": "playbook_on_task_start", "stdout": "TASK [t] ***", "event_data": { "task": "t" } },
        { "event": "runner_on_ok", "stdout": text, "event_data": { "host": "px", "res": {} } },
    ]);
    let behaviour =
        json!({ "events": events, "lookup_events": [], "rc": 0, "lookup_rc": 0, "hold": true });
    write(&dir.path().join("runs/stub.json"), &behaviour.to_string());
    (dir, ServerProcess::start(&env))
}

fn runs(server: &ServerProcess, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_range42-backend-api"));
    command.arg("runs").args(args).args(["--server", &server.url]);
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

async fn begin(server: &ServerProcess) -> String {
    let body = json!({ "proxmox_node": "px", "hosts": "all" });
    let path = "/v0/admin/run/bundles/my_bundle-1/run";
    let request = server.request("POST", path, &body).header("prefer", "respond-async");
    let run: Value = request.send().await.unwrap().json().await.unwrap();
    run["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_to_its_end() {
    let (dir, server) = server();
    let id = begin(&server).await;
    let follower = runs(&server, &["follow", &id])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server.run_when(&json!(id), |run| run["job_events"] == 3).await;
    write(&dir.path().join("runs/release"), "");
    let output = tokio::task::spawn_blocking(move || follower.wait_with_output().unwrap()).await;
    let output = output.unwrap();
    let (out, err) = texts(&output);
    // Without a terminal, there are no colors and no progress line.
    assert_eq!(out, "TASK [t] ***\nok: [px]\n", "{err}");
    assert!(err.starts_with("succeeded: The run succeeded."), "{err}");
    assert!(output.status.success());

    let (list, _) = texts(&runs(&server, &["list", "--state", "succeeded"]).output().unwrap());
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with(&format!("{id}  succeeded  px ")), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_canceled_and_followed_from_the_command_line() {
    let (_dir, server) = server();
    let id = begin(&server).await;
    server.run_when(&json!(id), |run| run["job_events"] == 3).await;
    let (said, err) = texts(&runs(&server, &["cancel", &id]).output().unwrap());
    assert!(said.starts_with("The run was canceled on request"), "{said}{err}");
    let output = runs(&server, &["follow", &id]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.starts_with("canceled: "), "{:?}", texts(&output));
    let output = runs(&server, &["follow", "nothing"]).output().unwrap();
    assert_eq!(texts(&output).1, "range42-backend-api: no run has the id nothing\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_the_progress_of_a_run() {
    let (dir, server) = server();
    let id = begin(&server).await;
    let program = env!("CARGO_BIN_EXE_range42-backend-api");
    let follow = format!("{program} runs follow {id} --server {}", server.url);
    let mut terminal = tokio::process::Command::new("script")
        .args(["-qec", &follow, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = terminal.stdout.take().unwrap();
    let mut screen = String::new();
    let expected = ["\r\u{1b}[Krunning 0:0", "task 1: t", "\u{1b}[0;32mok: [px]"];
    while !expected.iter().all(|text| screen.contains(text)) {
        let mut bytes = [0; 4096];
        let length = wait::within(output.read(&mut bytes)).await.unwrap();
        assert_ne!(length, 0, "{screen:?}");
        screen.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    write(&dir.path().join("runs/release"), "");
    wait::within(output.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(terminal.wait().await.unwrap().success());
}
