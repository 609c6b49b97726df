//! Recovery from the data dir of a killed server of commit a82a896.

use std::fs;
use std::path::Path;
use std::process::Command;

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::pins::pin;
use crate::support::process::{ServerProcess, processes_of};
use crate::support::stub;
use crate::support::wait;

const FIXTURE: &str = "data-a82a896";

/// The project folder in the fixture's paths.
const PROJECT: &str = "/srv/range42";

const VM: &str = "/v0/admin/proxmox/vms/vm_id";

#[tokio::test(flavor = "multi_thread")]
async fn a_start_settles_what_the_finished_server_left() {
    if pin::updates() {
        make().await;
    }
    let fixture = pin::file(FIXTURE);
    let wal = fs::metadata(fixture.join("data/history.sqlite3-wal")).unwrap().len();
    assert!(wal > 0, "the fixture has no uncheckpointed WAL");
    let (dir, mut env) = stub::project(|_, _| {});
    fs::remove_dir(dir.path().join("runs")).unwrap();
    for folder in ["data", "runs"] {
        copy(&fixture.join(folder), &dir.path().join(folder));
    }
    // Keeps the runs of the fixture, whose age increases.
    env.insert("RANGE42_HISTORY_DAYS".to_owned(), "36500".to_owned());
    let begun = jiff::Timestamp::now().to_string();
    let server = pin::start(&env);
    let list = server.get("/v0/admin/runs?limit=1000").await;
    let mut runs = Vec::new();
    for run in list["runs"].as_array().unwrap() {
        let path = format!("/v0/admin/runs/{}", run["id"].as_str().unwrap());
        let one = server.get(&path).await;
        let log = server.get(&format!("{path}/log")).await;
        let job_events = server.get(&format!("{path}/job_events")).await;
        runs.push(json!({ "run": one, "log": log, "job_events": job_events }));
    }
    let left: Vec<_> = fs::read_dir(dir.path().join("runs")).unwrap().flatten().collect();
    assert!(left.is_empty(), "run directories are left: {left:?}");
    let made = serde_json::to_string_pretty(&runs).unwrap() + "\n";
    let time = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z").unwrap();
    let made = time.replace_all(&made, |found: &regex::Captures| {
        if found[0] > *begun { "RESTART".to_owned() } else { found[0].to_owned() }
    });
    pin::check("restart.json", &made);
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

/// Creates the fixture with the server under test.
async fn make() {
    let (dir, env) = stub::project(|_, _| {});
    let runs = dir.path().join("runs");
    let behave = |rc: u8, more: Value| {
        let res = json!({ "changed": true, "vm_list": [1], "vm_start": 1 });
        let data = json!({ "host": "px", "task": "t", "res": res });
        let events = json!([{ "event": "runner_on_ok", "stdout": "a line", "event_data": data }]);
        let mut behaviour =
            json!({ "events": events, "lookup_events": events, "rc": rc, "lookup_rc": rc });
        behaviour.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fs::write(runs.join("stub.json"), behaviour.to_string()).unwrap();
    };
    let guest = |id: u32| json!({ "proxmox_node": "px", "vm_id": id });
    let held = json!({ "hold": true });

    // A run that exceeds its time limit.
    let mut limited = env.clone();
    limited.insert("RANGE42_RUN_TIME_LIMIT".to_owned(), "1".to_owned());
    let mut server = pin::start(&limited);
    behave(0, held.clone());
    let run = begin(&server, &format!("{VM}/start"), &guest(100)).await;
    server.run_when(&run["id"], |run| run["state"] == "timed_out").await;
    server.kill();

    // Runs that end, one that is deleted, and one whose outcome cannot be determined afterwards.
    let mut server = pin::start(&env);
    for rc in [0, 2, 0] {
        behave(rc, json!({}));
        let run = begin(&server, &format!("{VM}/start"), &guest(200)).await;
        let state = if rc == 0 { "succeeded" } else { "failed" };
        server.run_when(&run["id"], |run| run["state"] == state).await;
        if rc == 2 {
            let path = format!("/v0/admin/runs/{}", run["id"].as_str().unwrap());
            let other = begin(&server, &format!("{VM}/stop"), &guest(201)).await;
            server.run_when(&other["id"], |run| run["state"] == "failed").await;
            let answer = server.request("DELETE", &path, &Value::Null).send().await.unwrap();
            assert!(answer.status().is_success());
        }
    }
    behave(0, held.clone());
    let canceled = begin(&server, &format!("{VM}/start"), &guest(300)).await;
    at_work(&server, &canceled).await;
    cancel(&server, &canceled).await;
    server.run_when(&canceled["id"], |run| run["state"] == "canceled").await;
    let lost = begin(&server, &format!("{VM}/start"), &guest(400)).await;
    at_work(&server, &lost).await;
    server.kill();
    kill_runner(&lost);

    // Active runs: one that two requests share and that will succeed, one that will be killed, one
    // that is queued behind it, and one that is being canceled.
    let mut server = pin::start(&env);
    let bundle = json!({ "proxmox_node": "px", "hosts": "db" });
    let path = "/v0/admin/run/bundles/my_bundle-1/run";
    let joined = begin(&server, path, &bundle).await;
    assert_eq!(begin(&server, path, &bundle).await["id"], joined["id"]);
    let running = begin(&server, &format!("{VM}/start"), &guest(500)).await;
    let queued = begin(&server, &format!("{VM}/stop"), &guest(500)).await;
    at_work(&server, &joined).await;
    at_work(&server, &running).await;
    assert_eq!(server.run(&queued["id"]).await["state"], "queued");
    behave(0, json!({ "hold": true, "deaf": true }));
    let canceling = begin(&server, &format!("{VM}/start"), &guest(600)).await;
    at_work(&server, &canceling).await;
    cancel(&server, &canceling).await;
    server.kill();
    for run in [&running, &canceling] {
        kill_runner(run);
    }
    fs::write(runs.join("release"), "").unwrap();
    wait::until("the runner ended", async || {
        processes_of(joined["id"].as_str().unwrap()).is_empty()
    })
    .await;
    keep(dir.path());
}

async fn begin(server: &ServerProcess, path: &str, body: &Value) -> Value {
    let request = server.request("POST", path, body).header("prefer", "respond-async");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json().await.unwrap()
}

async fn at_work(server: &ServerProcess, run: &Value) {
    server.run_when(&run["id"], |run| run["job_events"] == 2).await;
}

async fn cancel(server: &ServerProcess, run: &Value) {
    let path = format!("/v0/admin/runs/{}/cancel", run["id"].as_str().unwrap());
    let answer = server.request("POST", &path, &Value::Null).send().await.unwrap();
    assert_eq!(answer.status(), 202);
}

fn kill_runner(run: &Value) {
    for process in processes_of(run["id"].as_str().unwrap()) {
        let pid = process.split('"').nth(1).unwrap().parse().unwrap();
        // The process may have exited in the meantime.
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
}

/// Creates the folder of the fixture, without paths of this machine and files that are recreated.
fn keep(dir: &Path) {
    let fixture = pin::file(FIXTURE);
    let _ = fs::remove_dir_all(&fixture);
    fs::create_dir(&fixture).unwrap();
    for folder in ["data", "runs"] {
        copy(&dir.join(folder), &fixture.join(folder));
    }
    for name in ["runs/stub.json", "runs/calls.jsonl", "runs/release", "data/history.sqlite3-shm"] {
        let _ = fs::remove_file(fixture.join(name));
    }
    let here = dir.canonicalize().unwrap().display().to_string();
    rename_project(&fixture, &here);
}

fn rename_project(folder: &Path, here: &str) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            rename_project(&path, here);
        } else if let Ok(text) = fs::read_to_string(&path)
            && text.contains(here)
        {
            fs::write(&path, text.replace(here, PROJECT)).unwrap();
        }
    }
}
