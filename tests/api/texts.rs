//! Snapshots of the texts for people. After a change, update them with `INSTA_UPDATE=always cargo
//! test texts`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use insta::{assert_snapshot, with_settings};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::process::ServerProcess;
use crate::support::stub::{StubServer, project, write};

const LIST: &str = "/v0/admin/proxmox/vms/list";
const RUNS: &str = "/v0/admin/runs";

/// Values that differ between runs of the test, and their replacements.
const VARYING: [(&str, &str); 7] = [
    (env!("CARGO_MANIFEST_DIR"), "[project]"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[id]"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "[time]"),
    (r"127\.0\.0\.1:\d+", "[address]"),
    (r"(/[^/\s:]+)*/\.tmp\w+", "[dir]"),
    (r"\b\d+:\d\d\b", "[took]"),
    (r"range42-backend-api \d+\.\d+\.\d+", "range42-backend-api [version]"),
];

/// The binary without settings.
fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_range42-backend-api"));
    command.env_clear();
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn both(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn the_help() {
    let commands = ["", "serve", "openapi", "kong", "curl-scripts", "healthcheck", "runs"];
    let further = ["runs list", "runs follow", "runs cancel"];
    let pages = commands.iter().chain(&further).map(|words| {
        let output = binary().args(words.split_whitespace()).arg("--help").output().unwrap();
        assert!(output.status.success(), "{}", both(&output));
        format!("$ range42-backend-api {words}\n{}", text(&output.stdout))
    });
    assert_snapshot!(pages.collect::<Vec<_>>().join("\n"));
}

#[test]
fn settings_that_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("API_BACKEND_VAULT_FILE", "nowhere"),
        ("CORS_ORIGIN_REGEX", "("),
        ("PORT", "eighty"),
        ("PROJECT_ROOT_DIR", "/nonexistent"),
        ("RANGE42_ENGINE", "steam"),
        ("RANGE42_GATEWAY_SECRET", "short"),
        ("RANGE42_LOG", "loud=="),
        ("RANGE42_LOG_FORMAT", "xml"),
        ("RANGE42_MAX_RUNS", "0"),
        ("RANGE42_RUN_TIME_LIMIT", "-1"),
        ("RANGE42_RUNNER", "/nonexistent"),
        ("RANGE42_WS_POLL_SECONDS", "often"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("VAULT_PASSWORD_FILE", "/nonexistent"),
    ];
    let said = settings.map(|(name, value)| {
        // If the setting were accepted, no server would respond, which is exit code 1.
        let settings = [("HOST", "127.0.0.1"), ("PORT", "1"), (name, value)];
        let output = binary().arg("healthcheck").envs(settings).current_dir(&dir).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}: {}", both(&output));
        assert_eq!(both(&output).lines().count(), 1, "{name}: {}", both(&output));
        format!("{name}={value}\n    {}", both(&output))
    });
    assert_snapshot!(said.concat());
}

#[test]
fn the_start_and_the_end_of_a_server() {
    let (_dir, env) = project(|_, _| {});
    let mut server = binary()
        .envs(&env)
        .envs([("HOST", "127.0.0.1"), ("PORT", "0"), ("RANGE42_MAX_RUNS", "4")])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&server);
    let mut log = String::new();
    for line in BufReader::new(server.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains(" ready") {
            kill_process(pid, Signal::TERM).unwrap();
        }
        log.push_str(&line);
        log.push('\n');
    }
    assert!(server.wait().unwrap().success(), "{log}");
    with_settings!({ filters => VARYING }, { assert_snapshot!(log) });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_and_the_commands_about_runs() {
    let (dir, mut env) = project(|_, _| {});
    write(&dir.path().join("runs/stub.json"), &json!({ "events": [], "rc": 0 }).to_string());
    env.insert("RANGE42_MAX_RUNS".to_owned(), "1".to_owned());
    let server = ServerProcess::start(&env);
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let mut said = String::new();
    let mut run = |words: &str, port: &str| {
        let settings = [("HOST", "127.0.0.1"), ("PORT", port)];
        let output = binary().args(words.split_whitespace()).envs(settings).output().unwrap();
        let code = output.status.code().unwrap();
        said.push_str(&format!(
            "$ range42-backend-api {words}\n{}exit code {code}\n\n",
            both(&output)
        ));
    };
    run("healthcheck", &port);
    run("healthcheck", "1");
    run("runs list", &port);
    run("runs list", "1");
    let listed = server.request("POST", LIST, &json!({ "proxmox_node": "px" })).send();
    assert_eq!(listed.await.unwrap().status(), 200);
    write(
        &dir.path().join("runs/stub.json"),
        &json!({ "events": [], "rc": 0, "hold": true }).to_string(),
    );
    let held = server.begin("ping").await;
    server.run_when(&held["id"], |run| run["job_events"] == 1).await;
    let queued = server.begin("my_bundle-1").await;
    run("runs list", &port);
    run("runs list --state asleep", &port);
    for begun in [&queued, &held] {
        run(&format!("runs cancel {}", begun["id"].as_str().unwrap()), &port);
        server.run_when(&begun["id"], |run| run["state"] == "canceled").await;
    }
    run(&format!("runs follow {}", held["id"].as_str().unwrap()), &port);
    with_settings!({ filters => VARYING }, { assert_snapshot!(said) });
}

/// The explanations of each outcome of a run, and of a queued run.
#[tokio::test(flavor = "multi_thread")]
async fn the_explanations_of_runs() {
    let server = StubServer::start(|_, env| {
        env.insert("RANGE42_MAX_RUNS".to_owned(), "1".to_owned());
        env.insert("RANGE42_RUN_TIME_LIMIT".to_owned(), "2".to_owned());
    });
    let failed = json!({
        "event": "runner_on_failed", "stdout": "fatal: [px]",
        "event_data": { "host": "px", "task": "start", "res": { "msg": "VM 100 is locked" } },
    });
    let behaviours = [
        ("ends well", json!({ "events": [], "rc": 0 })),
        ("fails", json!({ "events": [failed], "rc": 2 })),
        ("fails without a word", json!({ "events": [], "rc": 4 })),
        ("does not run at all", json!({ "raises": true })),
        ("leaves no exit code", json!({ "events": [], "rc": null })),
        ("takes too long", json!({ "events": [], "rc": 0, "hold": true })),
    ];
    let mut said = String::new();
    let mut tell = |what: &str, run: &Value| {
        said.push_str(&format!("{what}: {}\n", run["state"].as_str().unwrap()));
        for member in ["explanation", "error"] {
            run[member].as_str().into_iter().for_each(|t| said.push_str(&format!("    {t}\n")));
        }
    };
    for (what, behaviour) in behaviours {
        server.behave(&behaviour);
        let answer = server.client.json("POST", LIST, &json!({ "proxmox_node": "px" })).await;
        let id = answer.headers["x-run-id"].to_str().unwrap();
        tell(what, &server.client.get(&format!("{RUNS}/{id}")).await.json());
    }
    with_settings!({ filters => VARYING }, { assert_snapshot!(said) });
}
