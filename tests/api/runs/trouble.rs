//! Runs with faults of the data dir, the history, the clock or the engine, with the stub runner.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::support::internals::{
    self, Engine, Job, LaunchError, Launched, RUN_ID_VARIABLE, Settings,
};
use crate::support::process::{ServerProcess, processes_of};
use crate::support::server::Client;
use crate::support::stub::{StubServer, project, write};
use crate::support::wait;

const LIST: &str = "/v0/admin/proxmox/vms/list";

fn node() -> Value {
    json!({ "proxmox_node": "px" })
}

fn with(settings: &[(&str, &str)]) -> StubServer {
    StubServer::start(|_, env| {
        env.extend(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    })
}

#[tokio::test]
async fn a_data_dir_cannot_be_shared() {
    let server = with(&[]);
    let (_dir, mut env) = project(|_, _| {});
    let data = server.dir.path().join("data").display().to_string();
    env.insert("RANGE42_DATA_DIR".to_owned(), data.clone());
    let second = internals::build(Settings::from_map(&env).unwrap_or_else(|e| panic!("{e}")));
    let error = second.err().expect("the folder is in use").to_string();
    assert!(error.contains(&data) && error.contains("another server"), "{error}");
}

#[tokio::test]
async fn a_locked_history_delays_no_accepted_run_and_rejects_new_ones() {
    let server = with(&[]);
    server.behave(&json!({
        "events": [], "lookup_events": [], "rc": 0, "lookup_rc": 0, "hold": true,
    }));
    let client = server.client.clone();
    let accepted = tokio::spawn(async move { client.json("POST", LIST, &node()).await });
    wait::until("the run began", async || server.calls().len() == 1).await;
    let file = server.dir.path().join("data/history.sqlite3");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();

    let refused = server.client.json("POST", LIST, &node()).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.text.contains("nothing was started, try again later"), "{}", refused.text);
    assert_eq!(server.calls().len(), 1);
    let runs = server.client.get("/v0/admin/runs").await.json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs:#}");

    write(&server.runs().join("release"), "");
    let answer = accepted.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    let path = format!("/v0/admin/runs/{}", answer.headers["x-run-id"].to_str().unwrap());
    assert_eq!(server.client.get(&path).await.json()["state"], "succeeded", "from memory");
    let data_dir = async |is_ready: bool| {
        wait::eventually(async || {
            let ready = server.client.get("/readyz").await;
            if ready.json()["checks"]["data_dir"]["ready"] == is_ready {
                Ok(ready)
            } else {
                Err(ready.text)
            }
        })
        .await
    };
    let ready = data_dir(false).await;
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("locked"), "{}", ready.text);
    other.execute_batch("COMMIT").unwrap();
    data_dir(true).await;
    let rows = |of: &str| -> i64 {
        other.query_row(&format!("SELECT count(*) FROM runs WHERE {of}"), [], |r| r.get(0)).unwrap()
    };
    assert_eq!((rows("1"), rows("state = 'succeeded' AND spec IS NULL")), (1, 1));
}

#[tokio::test]
async fn a_damaged_history_is_quarantined() {
    let server = StubServer::start(|path, _| {
        write(&path.join("data/history.sqlite3"), &"not a database ".repeat(100));
    });
    assert_eq!(server.client.json("POST", LIST, &node()).await.status, 200);
    let names: Vec<String> = fs::read_dir(server.dir.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("history.damaged-")), "{names:?}");
    assert_eq!(
        server.client.get("/v0/admin/runs").await.json()["runs"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_history_of_a_newer_server_is_refused_and_not_changed() {
    let (dir, env) = project(|_, _| {});
    let file = dir.path().join("data/history.sqlite3");
    fs::create_dir(dir.path().join("data")).unwrap();
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.execute_batch("CREATE TABLE runs (id); PRAGMA user_version = 99").unwrap();
    drop(newer);
    let before = fs::read(&file).unwrap();
    let refused = internals::build(Settings::from_map(&env).unwrap_or_else(|e| panic!("{e}")));
    let reason = refused.err().expect("it starts").to_string();
    assert!(
        reason.contains("a newer version of this server wrote it (schema version 99"),
        "{reason}"
    );
    assert_eq!(reason.lines().count(), 1, "{reason}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

/// The servers of schema version 1 set the version of any database back to 1.
#[tokio::test]
async fn a_history_that_an_older_server_has_used_is_upgraded_again() {
    let (dir, env) = project(|_, _| {});
    let build = || {
        let settings = Settings::from_map(&env).unwrap_or_else(|e| panic!("{e}"));
        internals::build(settings).unwrap_or_else(|e| panic!("{e}"))
    };
    drop(build());
    let history = rusqlite::Connection::open(dir.path().join("data/history.sqlite3")).unwrap();
    history.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(build());
    let version: i64 = history.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
}

#[tokio::test]
async fn failures_to_write_a_log_or_prepare_a_run_are_reported() {
    let server = with(&[]);
    let logs = server.dir.path().join("data/logs");
    fs::remove_dir(&logs).unwrap();
    write(&logs, "a file in its place");
    let answer = server.client.json("POST", LIST, &node()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let path = format!("/v0/admin/runs/{}", answer.headers["x-run-id"].to_str().unwrap());
    let run = server.client.get(&path).await.json();
    assert!(run["log_gap"].as_str().unwrap().contains("cannot be written"), "{run:#}");

    fs::remove_dir_all(server.runs()).unwrap();
    let answer = server.client.json("POST", LIST, &node()).await;
    assert_eq!(answer.status, 500);
    assert!(answer.json()["detail"].as_str().unwrap().contains("run directory"), "{}", answer.text);
    let ready = server.client.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["checks"]["data_dir"]["ready"]),
        (503, &json!(false))
    );
}

/// An active run whose server was killed, in a data dir whose history is locked.
struct Locked {
    dir: tempfile::TempDir,
    env: HashMap<String, String>,
    id: Value,
    history: rusqlite::Connection,
}

impl Locked {
    async fn with(lock: &str) -> Self {
        let (dir, env) = project(|_, _| {});
        let behaviour = json!({
            "events": [], "lookup_events": [], "rc": 0, "lookup_rc": 0, "hold": true, "late": true,
        });
        write(&dir.path().join("runs/stub.json"), &behaviour.to_string());
        let mut server = ServerProcess::start(&env);
        let request = server.request("POST", LIST, &node()).header("prefer", "respond-async");
        let run: Value = request.send().await.unwrap().json().await.unwrap();
        server.run_when(&run["id"], |run| run["job_events"] == 1).await;
        server.kill();
        let history = rusqlite::Connection::open(dir.path().join("data/history.sqlite3")).unwrap();
        history.execute_batch(lock).unwrap();
        Self { dir, env, id: run["id"].clone(), history }
    }

    fn run_dirs(&self) -> usize {
        let entries = fs::read_dir(self.dir.path().join("runs")).unwrap().flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    }

    fn processes(&self) -> Vec<String> {
        processes_of(self.id.as_str().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_of_a_run_is_kept_until_its_end_is_written() {
    let locked = Locked::with("BEGIN EXCLUSIVE").await;
    // The history can be read, so the server starts; the end of the run cannot be written.
    let mut server = ServerProcess::start(&locked.env);
    assert_eq!(locked.processes(), Vec::<String>::new());
    assert_eq!(server.run(&locked.id).await["state"], "unknown");
    assert_eq!(locked.run_dirs(), 1);
    server.kill();
    locked.history.execute_batch("COMMIT").unwrap();
    let server = ServerProcess::start(&locked.env);
    assert_eq!(locked.run_dirs(), 0);
    let run = server.run(&locked.id).await;
    // Meanwhile the runner has reported success, but only because it was terminated.
    assert_eq!(run["state"], "unknown", "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_missing_in_the_history_is_recovered_after_a_kill() {
    let (dir, env) = project(|_, _| {});
    let held = json!({ "events": [], "rc": 0, "hold": true, "late": true });
    write(&dir.path().join("runs/stub.json"), &held.to_string());
    let mut server = ServerProcess::start(&env);
    let request = server.request("POST", LIST, &node()).header("prefer", "respond-async");
    let run: Value = request.send().await.unwrap().json().await.unwrap();
    server.run_when(&run["id"], |run| run["job_events"] == 1).await;
    server.kill();
    let history = rusqlite::Connection::open(dir.path().join("data/history.sqlite3")).unwrap();
    history.execute_batch("DELETE FROM runs").unwrap();
    let rows = |state: &str| -> i64 {
        let select = "SELECT count(*) FROM runs WHERE state = ?1";
        history.query_row(select, [state], |row| row.get(0)).unwrap()
    };
    let server = ServerProcess::start(&env);
    let run = server.run(&run["id"]).await;
    assert_eq!(run["state"], "unknown", "{run:#}");
    assert_eq!((&run["node"], &run["job_events"]), (&json!("px"), &json!(1)), "{run:#}");
    assert_eq!(rows("unknown"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_locked_history_fails_with_a_reason() {
    let lock = "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE";
    let locked = Locked::with(lock).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_range42-backend-api"));
    let ended = command.envs(&locked.env).env("PORT", "0").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("history.sqlite3 is locked by another process"), "{said}");
    assert_eq!(locked.processes(), Vec::<String>::new());
    assert_eq!(locked.run_dirs(), 1);
}

/// The pages of the history are damaged, but its header is intact; the logs of its runs are kept.
#[tokio::test]
async fn a_partly_damaged_history_is_quarantined_with_its_files() {
    let (dir, env) = project(|_, _| {});
    let data = dir.path().join("data");
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(data.join(folder)).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    let settings = || Settings::from_map(&env).unwrap_or_else(|e| panic!("{e}"));
    let serve = || Client::of(internals::build(settings()).unwrap_or_else(|e| panic!("{e}")));
    let before = serve();
    assert_eq!(before.json("POST", LIST, &node()).await.status, 200);
    internals::history_is_written(&before.app).await;
    // As after a kill: the newest rows are only in the write-ahead log.
    let copies = ["history.sqlite3", "history.sqlite3-wal"]
        .map(|name| (data.join(name), fs::read(data.join(name)).unwrap()));
    drop(before);
    let file = data.join("history.sqlite3");
    // Until the first server has closed the database.
    wait::until("the database is closed", async || !data.join("history.sqlite3-wal").exists())
        .await;
    let mut damaged = fs::read(&file).unwrap();
    damaged[4096..].fill(0xA5);
    fs::write(&file, &damaged).unwrap();
    // An incomplete file is sufficient: SQLite does not create a `-wal` for a database that it
    // cannot read, so if one is quarantined, it is this one.
    fs::write(&copies[1].0, &copies[1].1[..32]).unwrap();
    let logs = names("logs");
    assert_eq!(logs.len(), 2);

    for _ in 0..2 {
        let after = serve();
        let aside: Vec<String> =
            names(".").into_iter().filter(|name| name.starts_with("history.damaged-")).collect();
        assert!(aside.iter().any(|name| name.ends_with("-wal")), "{aside:?}");
        let main = aside.iter().find(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
        assert_eq!(fs::read(data.join(main.unwrap())).unwrap(), damaged);
        assert!(aside.iter().all(|name| name.starts_with(main.unwrap())), "{aside:?}");
        assert_eq!(names("logs"), logs, "only the damaged one knows whose they are");
        assert_eq!(after.get("/v0/admin/runs").await.json()["runs"], json!([]));
        drop(after);
    }
}

/// An engine that panics.
struct Faulty;

impl Engine for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn launch<'a>(&'a self, _: &'a Job) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        Box::pin(async { panic!("a fault of the engine") })
    }
}

#[tokio::test]
async fn an_internal_error_ends_the_run() {
    let (dir, env) = project(|_, _| {});
    let settings = Settings::from_map(&env).unwrap_or_else(|e| panic!("{e}"));
    let built =
        internals::build_with(settings, |_| Box::new(Faulty)).unwrap_or_else(|e| panic!("{e}"));
    let client = Client::of(built);
    let answer = client.json("POST", LIST, &node()).await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    let runs = client.get("/v0/admin/runs").await.json();
    assert_eq!(runs["runs"][0]["state"], "unknown", "{runs:#}");
    assert_eq!(fs::read_dir(dir.path().join("runs")).unwrap().count(), 0);
}

/// An engine that starts a process of the run, but then returns an error.
struct Silent(fn(std::io::Error) -> LaunchError);

impl Engine for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn launch<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        Box::pin(async {
            let mut sleeper = std::process::Command::new("sleep");
            let mut sleeper = sleeper.arg("300").env(RUN_ID_VARIABLE, &job.run_id).spawn().unwrap();
            std::thread::spawn(move || sleeper.wait());
            Err(self.0(std::io::Error::other("no word of it")))
        })
    }
}

#[tokio::test]
async fn processes_of_a_failed_launch_are_ended() {
    type Way = fn(std::io::Error) -> LaunchError;
    let ways: [(Way, &str); 2] =
        [(LaunchError::Unknown, "unknown"), (LaunchError::NothingStarted, "failed")];
    for (way, state) in ways {
        let (_dir, env) = project(|_, _| {});
        let settings = Settings::from_map(&env).unwrap_or_else(|e| panic!("{e}"));
        let built = internals::build_with(settings, |_| Box::new(Silent(way)));
        let client = Client::of(built.unwrap_or_else(|e| panic!("{e}")));
        let answer = client.json("POST", LIST, &node()).await;
        assert_eq!(answer.status, 500, "{}", answer.text);
        assert!(answer.text.contains("no word of it"), "{}", answer.text);
        let id = answer.headers["x-run-id"].to_str().unwrap();
        assert_eq!(processes_of(id), Vec::<String>::new());
        let run = client.get(&format!("/v0/admin/runs/{id}")).await.json();
        assert_eq!(run["state"], state, "{run:#}");
    }
}

#[tokio::test]
async fn old_runs_are_deleted_with_their_logs() {
    let server = with(&[("RANGE42_HISTORY_RUNS", "2")]);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let answer = server.client.json("POST", LIST, &node()).await;
        ids.push(answer.headers["x-run-id"].to_str().unwrap().to_owned());
    }
    internals::history_is_written(&server.client.app).await;
    let runs = server.client.get("/v0/admin/runs").await.json();
    let kept: Vec<&str> =
        runs["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(kept, [&ids[3], &ids[2]]);
    wait::eventually(async || {
        let files = fs::read_dir(server.dir.path().join("data/logs")).unwrap().flatten();
        let names: Vec<_> = files.map(|e| e.file_name().into_string().unwrap()).collect();
        let is_kept = |name: &String| kept.iter().any(|id| name.starts_with(id));
        if names.len() == 4 && names.iter().all(is_kept) {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn health_checks_and_metrics_report_the_state() {
    let server = with(&[("RANGE42_MAX_RUNS", "1")]);
    assert_eq!(server.client.get("/healthz").await.status, 200);
    let ready = server.client.get("/readyz").await;
    let checks = ready.json()["checks"].clone();
    for check in ["server", "runner", "playbooks", "inventory", "data_dir"] {
        assert_eq!(checks[check]["ready"], true, "{check}: {}", ready.text);
    }
    fs::remove_file(server.dir.path().join("root/inventory/hosts.yml")).unwrap();
    let ready = server.client.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.json()["checks"]["inventory"]["reason"].as_str().unwrap().contains("hosts.yml"));
    write(&server.dir.path().join("root/inventory/hosts.yml"), "all: {}\n");

    assert_eq!(server.client.json("POST", LIST, &node()).await.status, 200);
    assert_eq!(server.client.json("POST", LIST, &json!({})).await.status, 422);
    assert_eq!(
        server.client.get("/v0/admin/runs/01936f3e-8c1a-7d2b-9a54-2f6f0c1e7b10").await.status,
        404
    );
    let text = server.client.get("/metrics").await.text;
    for line in [
        "range42_requests_total{method=\"POST\",route=\"/v0/admin/proxmox/vms/list\",status=\"200\"} 1",
        "range42_requests_total{method=\"POST\",route=\"/v0/admin/proxmox/vms/list\",status=\"422\"} 1",
        "range42_requests_total{method=\"GET\",route=\"/v0/admin/runs/{run_id}\",status=\"404\"} 1",
        "range42_runs_ended_total{state=\"succeeded\"} 1",
        "range42_runs{state=\"running\"} 0",
        "range42_queue_length 0",
        "range42_run_seconds_count 1",
        "range42_engine_serves{engine=\"process\"} 1",
        "range42_engine_serves{engine=\"warm\"} 0",
        "range42_websocket_clients 0",
        "range42_build_info{version=",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}
