//! The request to end a run is stored before the run ends, because the server may be killed in
//! between.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::internals;
use crate::support::process::{ServerProcess, processes_of};
use crate::support::stub::{StubServer, project, write};
use crate::support::wait;

const START: &str = "/v0/admin/proxmox/vms/vm_id/start";

/// A runner that waits and ignores SIGTERM, so that its run stays in `canceling` for the whole
/// grace period.
fn deaf() -> Value {
    let event = json!({ "event": "verbose", "stdout": "at work" });
    json!({
        "events": [event], "lookup_events": [], "rc": 0, "lookup_rc": 0,
        "hold": true, "deaf": true,
    })
}

fn guest() -> Value {
    json!({ "proxmox_node": "px", "vm_id": 100 })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_cancel_survives_a_kill_of_the_server() {
    let (dir, env) = project(|_, _| {});
    write(&dir.path().join("runs/stub.json"), &deaf().to_string());
    let mut server = ServerProcess::start(&env);
    let request = server.request("POST", START, &guest()).header("prefer", "respond-async");
    let run: Value = request.send().await.unwrap().json().await.unwrap();
    server.run_when(&run["id"], |run| run["job_events"] == 2).await;
    let id = run["id"].as_str().unwrap();
    let cancel = server.request("POST", &format!("/v0/admin/runs/{id}/cancel"), &Value::Null);
    assert_eq!(cancel.send().await.unwrap().status(), 202);
    server.kill();
    // The playbook succeeds, although the run was canceled.
    write(&dir.path().join("runs/release"), "");
    wait::until("the runner ended", async || processes_of(id).is_empty()).await;

    let mut server = ServerProcess::start(&env);
    let run = server.run(&run["id"]).await;
    assert_eq!((&run["state"], &run["ending"]), (&json!("canceled"), &json!("asked")), "{run:#}");
    assert!(run["explanation"].as_str().unwrap().contains("had just succeeded"), "{run:#}");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limit_and_shutdown_survive_a_kill_of_the_server() {
    for (limit, ending) in [("1", "time_limit"), ("600", "shutdown")] {
        let server = StubServer::start(|_, env| {
            env.insert("RANGE42_RUN_TIME_LIMIT".to_owned(), limit.to_owned());
        });
        server.behave(&deaf());
        let client = server.client.clone();
        let answer = tokio::spawn(async move { client.json("POST", START, &guest()).await });
        wait::until("the run began", async || server.calls().len() == 1).await;
        if ending == "shutdown" {
            internals::end_all_runs(&server.client.app);
        }
        let file = server.dir.path().join("data/history.sqlite3");
        let history = rusqlite::Connection::open(file).unwrap();
        let kept = || {
            let row = history.query_row("SELECT state, record FROM runs", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            });
            let (state, record) = row.unwrap();
            assert!(["running", "canceling"].contains(&state.as_str()), "{ending}: {state}");
            state == "canceling" && record.contains(&format!("\"ending\":\"{ending}\""))
        };
        wait::until(ending, async || kept()).await;
        write(&server.runs().join("release"), "");
        answer.await.unwrap();
    }
}

/// The playbook may have begun: without a report, nobody can tell that it failed.
#[tokio::test]
async fn the_outcome_is_unknown_if_the_runner_is_killed_before_its_first_event() {
    let server = StubServer::start(|_, _| {});
    server.behave(&json!({
        "events": [], "lookup_events": [], "rc": 0, "lookup_rc": 0, "killed": true,
    }));
    let answer = server.client.json("POST", START, &guest()).await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    assert!(answer.text.contains("killed by a signal"), "{}", answer.text);
    let id = answer.headers["x-run-id"].to_str().unwrap();
    let run = server.client.get(&format!("/v0/admin/runs/{id}")).await.json();
    assert_eq!(run["state"], "unknown", "{run:#}");
}
