//! Runs with the real ansible-runner, in a separate server process.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::demo::{self, DemoProxmox};
use crate::support::process::{ServerProcess, http, processes_of};
use crate::support::stub::write;
use crate::support::wait;

/// Three names for this machine, so that each task has three workers.
const INVENTORY: &str = r#"
all:
  hosts: { one: , two: , three: }
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    service_password: Hidden-in-the-inventory
"#;

const QUICK: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - debug: { msg: quick }
";

/// Each worker starts programs that ignore all signals except SIGKILL, and one of them leaves the
/// session of the worker.
const SLOW: &str = r#"
- hosts: all
  gather_facts: false
  tasks:
    - debug: { msg: before }
    - command: sh -c 'trap "" TERM HUP; setsid sleep 300 & sleep 300; true'
"#;

/// A playbook that ends when the test releases it.
const HELD: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - debug: { msg: before }
    - wait_for: { path: "{{ lookup('env', 'RANGE42_TEST_RELEASE') }}", sleep: 1, timeout: 60 }
    - debug: { msg: after }
"#;

const SECRET: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - debug: { msg: "in plain: {{ service_password }}, in JSON: {{ {'a': service_password} | to_json | to_json }}" }
    - debug: { msg: { password: only-known-by-its-name } }
"#;

const LONG_OUTPUT: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - debug: { msg: "{{ 'x' * 1000000 }}" }
      loop: "{{ range(10) | list }}"
    - debug: { msg: "{{ 'y' * 10000000 }}" }
"#;

struct Lab {
    dir: TempDir,
    env: HashMap<String, String>,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        write(&path.join("inventory/hosts.yml"), INVENTORY);
        for (name, text) in [
            ("quick", QUICK),
            ("slow", SLOW),
            ("held", HELD),
            ("secret", SECRET),
            ("loud", LONG_OUTPUT),
        ] {
            write(&path.join(format!("public/bundles/{name}/main.yml")), text);
        }
        let mut env = demo::settings(&path, &path.join("inventory"));
        let text = |path: &Path| path.display().to_string();
        env.insert("API_BACKEND_PUBLIC_PLAYBOOKS_DIR".to_owned(), text(&path.join("public")));
        env.insert("RANGE42_TEST_RELEASE".to_owned(), text(&path.join("release")));
        Self { dir, env }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn start(&self) -> ServerProcess {
        ServerProcess::start(&self.env)
    }

    /// Starts a server whose next runs use this engine. The engines start different processes, but
    /// runs must end in the same way.
    async fn start_with(&self, engine: &str) -> ServerProcess {
        let mut env = self.env.clone();
        env.insert("RANGE42_ENGINE".to_owned(), engine.to_owned());
        let server = ServerProcess::start(&env);
        if engine == "warm" {
            let first = server.begin("quick").await;
            server.run_when(&first["id"], is_final).await;
        }
        server.engine_serves(engine).await;
        server
    }

    fn release(&self) {
        write(&self.dir.path().join("release"), "");
    }

    fn run_dirs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("data/runs")).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Waits until all three workers of the slow bundle are running.
    async fn workers_at_work(&self, id: &str) {
        wait::eventually(async || {
            let commands = processes_of(id);
            let sleeping = commands.iter().filter(|command| command.contains("sleep\x00300"));
            if sleeping.count() >= 6 { Ok(()) } else { Err(format!("{commands:#?}")) }
        })
        .await;
    }
}

fn id_of(run: &Value) -> &str {
    run["id"].as_str().unwrap()
}

fn is_final(run: &Value) -> bool {
    !["queued", "running", "canceling"].contains(&run["state"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_continues_if_its_client_disconnects() {
    let lab = Lab::new();
    let server = lab.start();
    let body = json!({ "proxmox_node": "px-testing", "hosts": "one" });
    let request = server.request("POST", "/v0/admin/run/bundles/held/run", &body);
    let client = tokio::spawn(request.send());
    let id = wait::eventually(async || {
        let run = server.get("/v0/admin/runs").await["runs"][0].clone();
        if run["progress"]["tasks"] == 2 { Ok(run["id"].clone()) } else { Err(run.to_string()) }
    });
    let id = id.await;
    client.abort();
    assert!(client.await.is_err_and(|error| error.is_cancelled()), "the run waits for the test");
    lab.release();
    let run = server.run_when(&id, is_final).await;
    assert_eq!((&run["state"], &run["rc"]), (&json!("succeeded"), &json!(0)), "{run:#}");
    assert_eq!(run["hosts"], json!({ "ok": 1, "changed": 0, "failed": 0 }));
    let log = server.get(&format!("/v0/admin/runs/{}/log", id.as_str().unwrap())).await;
    let lines = log["log_multiline"].as_array().unwrap();
    assert!(lines.iter().any(|line| line.as_str().unwrap().contains("after")), "{lines:#?}");
    assert!(lab.run_dirs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_leaves_no_process() {
    cancel_with("process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_leaves_no_process_of_the_warm_engine() {
    cancel_with("warm").await;
}

async fn cancel_with(engine: &str) {
    let temporary = tempfile::tempdir().unwrap();
    let lab = Lab::new().with("TMPDIR", temporary.path().to_str().unwrap());
    let mut server = lab.start_with(engine).await;
    let run = server.begin("slow").await;
    let id = id_of(&run);
    lab.workers_at_work(id).await;
    let path = format!("/v0/admin/runs/{id}/cancel");
    let answer = server.request("POST", &path, &Value::Null).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    assert!(answer["note"].as_str().unwrap().contains("continue there"), "{answer:#}");
    let run = server.run_when(&run["id"], is_final).await;
    // Checked immediately after the server has reported the end of the run.
    assert_eq!(processes_of(id), Vec::<String>::new());
    assert!(lab.run_dirs().is_empty());
    assert_eq!(run["state"], "canceled", "{run:#}");
    assert!(run["explanation"].as_str().unwrap().contains("Proxmox"), "{run:#}");
    let again = server.request("POST", &path, &Value::Null).send().await.unwrap();
    assert_eq!(again.status(), 409);
    // Modules and the warm-up remove their temporary files themselves, but not if they are killed.
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_exceeds_the_time_limit_is_ended() {
    let lab = Lab::new().with("RANGE42_RUN_TIME_LIMIT", "4");
    let server = lab.start();
    let body = json!({ "proxmox_node": "px-testing", "hosts": "all" });
    let request = server.request("POST", "/v0/admin/run/bundles/slow/run", &body);
    let answer = request.send().await.unwrap();
    let id = answer.headers()["x-run-id"].to_str().unwrap().to_owned();
    assert_eq!(answer.status(), 500);
    let answer: Value = answer.json().await.unwrap();
    assert!(answer["error"].as_str().unwrap().contains("exceeded its time limit"), "{answer:#}");
    assert_eq!(processes_of(&id), Vec::<String>::new());
    assert!(lab.run_dirs().is_empty());
    let run = server.run(&json!(id)).await;
    assert_eq!(run["state"], "timed_out", "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_killed_server_are_recovered() {
    killed_with("process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_runs_of_a_killed_server_are_recovered() {
    killed_with("warm").await;
}

async fn killed_with(engine: &str) {
    let lab = Lab::new().with("RANGE42_MAX_RUNS", "2");
    let mut server = lab.start_with(engine).await;
    let slow = server.begin("slow").await;
    let held = server.begin("held").await;
    let queued = server.begin("quick").await;
    assert_eq!(queued["state"], "queued", "{queued:#}");
    lab.workers_at_work(id_of(&slow)).await;
    server.run_when(&held["id"], |run| run["progress"]["tasks"] == 2).await;
    server.kill();
    // One of them ends while no server is running.
    lab.release();
    wait::until("the runner ended", async || processes_of(id_of(&held)).is_empty()).await;
    assert!(!processes_of(id_of(&slow)).is_empty(), "they outlive the server");

    let server = lab.start();
    assert_eq!(processes_of(id_of(&slow)), Vec::<String>::new());
    let slow = server.run(&slow["id"]).await;
    assert_eq!(slow["state"], "unknown", "{slow:#}");
    assert!(slow["log_lines"].as_u64().unwrap() > 3, "its log up to then: {slow:#}");
    let held = server.run(&held["id"]).await;
    assert_eq!((&held["state"], &held["rc"]), (&json!("succeeded"), &json!(0)), "{held:#}");
    let log = server.get(&format!("/v0/admin/runs/{}/log", id_of(&held))).await;
    let log = log["log_multiline"].to_string();
    assert_eq!(log.matches("PLAY RECAP").count(), 1, "{log}");
    assert_eq!(log.matches("before").count(), 1, "{log}");
    let queued = server.run_when(&queued["id"], is_final).await;
    assert_eq!(queued["state"], "succeeded", "it begins with this server: {queued:#}");
    assert!(lab.run_dirs().is_empty());
    let unfinished = server.get("/v0/admin/runs?state=running,queued,canceling").await;
    assert_eq!(unfinished["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_waits_and_then_ends_the_runs() {
    let lab = Lab::new().with("RANGE42_SHUTDOWN_WAIT", "25").with("VAULT_PASSWORD", "a-vault-pass");
    let mut server = lab.start();
    let held = server.begin("held").await;
    let body = json!({ "proxmox_node": "px-testing", "hosts": "all" });
    let slow = server.request("POST", "/v0/admin/run/bundles/slow/run", &body);
    let slow = tokio::spawn(slow.send());
    server.run_when(&held["id"], |run| run["progress"]["tasks"] == 2).await;
    let id = server.get("/v0/admin/runs").await["runs"][0]["id"].as_str().unwrap().to_owned();
    lab.workers_at_work(&id).await;
    assert!(lab.run_dirs().contains(&"vault".to_owned()));

    let watched = http().get(format!("{}/v0/admin/runs/{}/events", server.url, id_of(&held)));
    let watched = tokio::spawn(async move { watched.send().await.unwrap().text().await.unwrap() });
    server.signal(Signal::TERM);
    loop {
        // New runs are rejected once the server has received the signal.
        let refused = server.request("POST", "/v0/admin/run/bundles/quick/run", &body);
        let refused = refused.send().await.unwrap();
        if refused.status() == 503 {
            assert!(refused.headers().contains_key("retry-after"));
            break;
        }
    }
    lab.release();
    // The run that ends in time succeeds, and its event stream reports this.
    let watched = watched.await.unwrap();
    let is_run = |event: &&str| event.contains("event: run");
    let last = watched.rsplit("\n\n").find(is_run).unwrap();
    assert!(last.contains(r#""state":"succeeded""#), "{last}");
    // The other run is canceled, and its client gets an error.
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(answer.status(), 500);
    let answer: Value = answer.json().await.unwrap();
    assert!(answer["error"].as_str().unwrap().contains("shut down"), "{answer:#}");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert_eq!(processes_of(&id), Vec::<String>::new());
    assert!(lab.run_dirs().is_empty(), "{:?}", lab.run_dirs());
    let server = lab.start();
    assert_eq!(server.run(&json!(id)).await["state"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_shuts_down_unless_ignored_at_start() {
    let lab = Lab::new();
    let mut server = lab.start();
    let held = server.begin("held").await;
    server.run_when(&held["id"], |run| run["progress"]["tasks"] == 2).await;
    server.signal(Signal::HUP);
    lab.release();
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(lab.run_dirs().is_empty(), "{:?}", lab.run_dirs());
    let server = lab.start();
    assert_eq!(server.run(&held["id"]).await["state"], "succeeded");
    drop(server);

    let mut server = ServerProcess::start_with("nohup", &lab.env);
    server.signal(Signal::HUP);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(!server.log().contains("SIGHUP"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_skips_the_wait() {
    let lab = Lab::new().with("RANGE42_SHUTDOWN_WAIT", "600").with("RANGE42_MAX_RUNS", "1");
    let mut server = lab.start();
    let slow = server.begin("slow").await;
    let body = json!({ "proxmox_node": "px-testing", "hosts": "all" });
    let queued = server.request("POST", "/v0/admin/run/bundles/quick/run", &body).send();
    let queued = tokio::spawn(queued);
    lab.workers_at_work(id_of(&slow)).await;
    server.signal(Signal::TERM);
    // The queued run is rejected immediately, because it was not started.
    assert_eq!(queued.await.unwrap().unwrap().status(), 503);
    assert!(!processes_of(id_of(&slow)).is_empty());
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert_eq!(processes_of(id_of(&slow)), Vec::<String>::new());
    assert!(lab.run_dirs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_at_once() {
    let lab = Lab::new();
    let server = lab.start();
    // Each request uses a different bundle, so that none joins the run of another.
    let requests = (0..50).map(|number| {
        write(&lab.dir.path().join(format!("public/bundles/b{number}/main.yml")), QUICK);
        let body = json!({ "proxmox_node": "px-testing", "hosts": "one" });
        server.request("POST", &format!("/v0/admin/run/bundles/b{number}/run"), &body).send()
    });
    let requests: Vec<_> = requests.collect();
    let answers = join_all(requests).await;
    let mut ids: Vec<String> = Vec::new();
    for answer in answers {
        let answer = answer.unwrap();
        ids.push(answer.headers()["x-run-id"].to_str().unwrap().to_owned());
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
    assert!(lab.run_dirs().is_empty());
    let metrics = http().get(format!("{}/metrics", server.url)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("range42_runs_ended_total{state=\"succeeded\"} 50"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_delete_three_times_is_one_run() {
    let (lab, proxmox) = (Lab::new(), DemoProxmox::start());
    let mut env = demo::settings(lab.dir.path(), &proxmox.inventory());
    env.insert("RANGE42_LOG".to_owned(), "debug".to_owned());
    let server = ServerProcess::start(&env);
    let body = json!({ "proxmox_node": "px-testing", "vm_id": 1003 });
    let stop = server.request("POST", "/v0/admin/proxmox/vms/vm_id/stop_force", &body).send();
    assert_eq!(stop.await.unwrap().status(), 200);
    let delete = || server.request("DELETE", "/v0/admin/proxmox/vms/vm_id/delete", &body).send();
    let answers = join_all([delete(), delete(), delete()]).await;
    let mut seen = Vec::new();
    for answer in answers {
        let answer = answer.unwrap();
        let id = answer.headers()["x-run-id"].to_str().unwrap().to_owned();
        seen.push((answer.status().as_u16(), id, answer.text().await.unwrap()));
    }
    assert_eq!(seen[0].0, 200, "{seen:#?}");
    assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:#?}");
    let runs = server.get("/v0/admin/runs?operation=delete_proxmox_vms_vm_id_delete").await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs:#}");
    assert_eq!(runs["runs"][0]["guests"], json!(["1003"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printed_secret_is_not_stored() {
    let lab = Lab::new().with("RANGE42_LOG", "debug");
    let mut server = lab.start();
    let body = json!({ "proxmox_node": "px-testing", "hosts": "all" });
    let answer = server.request("POST", "/v0/admin/run/bundles/secret/run", &body);
    let answer = answer.send().await.unwrap();
    let id = answer.headers()["x-run-id"].to_str().unwrap().to_owned();
    assert_eq!(answer.status(), 200);
    let mut shown = vec![answer.text().await.unwrap()];
    assert!(shown[0].contains("in plain: [hidden], in JSON:"), "{}", shown[0]);
    for path in ["", "/log", "/job_events", "/events"] {
        let url = format!("{}/v0/admin/runs/{id}{path}", server.url);
        shown.push(http().get(url).send().await.unwrap().text().await.unwrap());
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    shown.push(server.log());
    let data = lab.dir.path().join("data");
    for folder in [data.clone(), data.join("logs")] {
        for file in fs::read_dir(folder).unwrap().flatten().filter(|f| f.path().is_file()) {
            shown.push(String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned());
        }
    }
    assert!(shown.len() >= 8, "history, log and events were looked at");
    for text in shown {
        assert!(!text.contains("Hidden-in-the"), "{text}");
        assert!(!text.contains("only-known-by-its-name"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_20_mb_is_stored_completely() {
    let lab = Lab::new();
    let server = lab.start();
    let run = server.begin("loud").await;
    let run = server.run_when(&run["id"], is_final).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let path = format!("/v0/admin/runs/{}", id_of(&run));
    let (mut from, mut length) = (0, 0);
    loop {
        let page = server.get(&format!("{path}/log?from={from}")).await;
        let lines = page["log_multiline"].as_array().unwrap();
        length += lines.iter().map(|line| line.as_str().unwrap().len()).sum::<usize>();
        from = page["next"].as_u64().unwrap();
        if page["complete"] == true {
            break;
        }
        assert!(!lines.is_empty());
    }
    assert!(length > 20_000_000, "{length}");
    let mut stream = http().get(format!("{}{path}/events", server.url)).send().await.unwrap();
    let mut streamed = 0;
    while let Some(chunk) = stream.chunk().await.unwrap() {
        streamed += chunk.len();
    }
    assert!(streamed > 20_000_000, "{streamed}");
}
