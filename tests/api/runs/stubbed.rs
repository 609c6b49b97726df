//! Runs as clients see them, with a stub as the runner.

use std::fs;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::examples::example;
use crate::support::server::{Answer, Client};
use crate::support::stub::{StubServer, write};
use crate::support::wait;

const LIST: &str = "/v0/admin/proxmox/vms/list";
const START: &str = "/v0/admin/proxmox/vms/vm_id/start";
const STOP: &str = "/v0/admin/proxmox/vms/vm_id/stop";
const BUNDLE: &str = "/v0/admin/run/bundles/my_bundle-1/run";
const RUNS: &str = "/v0/admin/runs";

/// A task of the stub's playbook that printed `text` and reported `value`.
fn event(text: &str, value: Value) -> Value {
    json!({ "event": "runner_on_ok", "stdout": text, "event_data": {
        "host": "px", "task": "t", "res": { "changed": true, "vm_start": value, "vm_list": [] },
    }})
}

/// A behavior of the stub: prints two lines, then waits until the test releases it.
fn held() -> Value {
    let events = [event("first", json!(1)), event("second", json!(2))];
    json!({ "events": events, "lookup_events": [], "rc": 0, "lookup_rc": 0, "hold": true })
}

fn limited(settings: &[(&str, &str)]) -> StubServer {
    let server = StubServer::start(|_, env| {
        env.extend(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    });
    server.behave(&held());
    server
}

fn release(server: &StubServer) {
    write(&server.runs().join("release"), "");
}

fn guest(id: u32) -> Value {
    json!({ "proxmox_node": "px", "vm_id": id })
}

/// Sends a request with a header.
async fn with(
    client: &Client,
    method: &str,
    path: &str,
    header: (&str, &str),
    body: &Value,
) -> Answer {
    let request = Request::builder().method(method).uri(path).header(header.0, header.1);
    client.send(request.body(Body::from(body.to_string())).unwrap()).await
}

/// Starts a run without waiting for it.
async fn begin(client: &Client, path: &str, body: &Value) -> Value {
    let answer = with(client, "POST", path, ("prefer", "respond-async"), body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.json()
}

/// Sends a request in the background.
fn send(
    client: &Client,
    method: &'static str,
    path: &'static str,
    body: Value,
) -> JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.json(method, path, &body).await })
}

async fn run(client: &Client, id: &Value) -> Value {
    client.get(&format!("{RUNS}/{}", id.as_str().unwrap())).await.json()
}

/// Waits until a run matches.
async fn run_when(client: &Client, id: &Value, fits: impl Fn(&Value) -> bool) -> Value {
    wait::eventually(async || {
        let now = run(client, id).await;
        if fits(&now) { Ok(now) } else { Err(format!("{now:#}")) }
    })
    .await
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |run| run["state"] == state
}

#[tokio::test]
async fn respond_async_returns_the_location_of_the_run() {
    let server = limited(&[]);
    let client = &server.client;
    let body = guest(100);
    let header = ("prefer", "respond-async");
    let accepted = with(client, "POST", START, header, &body).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(accepted.headers["preference-applied"], "respond-async");
    let id = accepted.headers["x-run-id"].to_str().unwrap();
    let location = accepted.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("{RUNS}/{id}"));
    assert_eq!(client.get(location).await.json()["operation"], "post_proxmox_vms_vm_id_start");

    let waited = with(client, "POST", START, ("prefer", "wait=1"), &guest(101)).await;
    assert_eq!(waited.status, 202);
    assert_eq!(waited.headers["preference-applied"], "wait=1");

    release(&server);
    let waited = with(client, "POST", START, ("prefer", "wait=60"), &guest(102)).await;
    assert_eq!(waited.status, 200);
    assert_eq!(waited.headers["preference-applied"], "wait=60");
    let done = run_when(client, &json!(id), is("succeeded")).await;
    assert_eq!(waited.json(), json!({ "rc": done["rc"], "result": done["result"] }));
    assert_eq!(done["result"], json!([1, 2]));
}

#[tokio::test]
async fn the_queue_is_bounded_and_reports_why_runs_wait() {
    let server = limited(&[("RANGE42_MAX_RUNS", "1"), ("RANGE42_MAX_QUEUE", "1")]);
    let client = &server.client;
    let first = begin(client, START, &guest(100)).await;
    let second = begin(client, START, &guest(101)).await;
    assert_eq!(second["state"], "queued");
    assert_eq!(second["queue"]["position"], 1);
    assert!(second["queue"]["reason"].as_str().unwrap().contains("the limit"), "{second:#}");
    let refused = client.json("POST", START, &guest(102)).await;
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("nothing was started"));

    let path = format!("{RUNS}/{}/cancel", second["id"].as_str().unwrap());
    let canceled = client.json("POST", &path, &Value::Null).await;
    assert_eq!(canceled.status, 202);
    assert_eq!(canceled.json()["state"], "canceled");
    assert!(canceled.json()["explanation"].as_str().unwrap().contains("Nothing was changed"));
    release(&server);
    run_when(client, &first["id"], is("succeeded")).await;
    assert_eq!(server.calls().len(), 1, "what was canceled and refused was never started");
}

#[tokio::test]
async fn changes_of_the_same_guest_wait_for_each_other() {
    let server = limited(&[("RANGE42_MAX_RUNS", "9")]);
    let client = &server.client;
    let first = begin(client, START, &guest(100)).await;
    let second = begin(client, STOP, &json!({ "proxmox_node": "px", "vm_id": "0100" })).await;
    assert_eq!(second["state"], "queued", "{second:#}");
    let reason = second["queue"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("guest 100 of node px") && reason.contains(first["id"].as_str().unwrap())
    );
    let other = begin(client, STOP, &guest(101)).await;
    run_when(client, &other["id"], is("running")).await;
    // Operations that only read never wait.
    let reading =
        begin(client, "/v0/admin/proxmox/vms/vm_id/config/vm_get_config", &guest(100)).await;
    run_when(client, &reading["id"], is("running")).await;
    assert_eq!(run(client, &second["id"]).await["state"], "queued");
    release(&server);
    let second = run_when(client, &second["id"], is("succeeded")).await;
    let first = run(client, &first["id"]).await;
    // Times are parsed before they are compared, because the number of their digits varies.
    let time = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time(&second["started"]) >= time(&first["ended"]), "{first:#} {second:#}");
}

#[tokio::test]
async fn an_equal_deletion_or_bundle_joins_the_active_run() {
    let server = limited(&[]);
    let client = &server.client;
    for (method, path, body) in [
        (
            "DELETE",
            "/v0/admin/proxmox/vms/vm_ids/delete",
            json!({
                "proxmox_node": "px", "vms": [{ "id": "100", "name": "a" }],
            }),
        ),
        ("POST", BUNDLE, json!({ "proxmox_node": "px", "hosts": "db" })),
    ] {
        let _ = fs::remove_file(server.runs().join("release"));
        server.behave(&held());
        let first = send(client, method, path, body.clone());
        let mut other_form = body.clone();
        other_form["as_json"] = json!(false);
        let second = send(client, method, path, other_form);
        let mut different = body.clone();
        different["proxmox_node"] = json!("px2");
        if body.get("hosts").is_some() {
            different["hosts"] = json!("web");
        }
        let different = send(client, method, path, different);
        wait::eventually(async || {
            let runs = client.get(&format!("{RUNS}?state=running")).await;
            let running = runs.json()["runs"].as_array().unwrap().clone();
            let at_work = running.iter().filter(|run| run["job_events"] == 3).count() == 2;
            if at_work { Ok(()) } else { Err(runs.text) }
        })
        .await;
        release(&server);
        let answers = [first.await.unwrap(), second.await.unwrap(), different.await.unwrap()];
        let ids = answers.each_ref().map(|answer| answer.headers["x-run-id"].clone());
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:#?}");
        assert_eq!(ids[0], ids[1], "{path}");
        assert_ne!(ids[0], ids[2], "{path}");
        assert!(answers[1].json()["log_multiline"].is_array());
        assert_eq!(server.calls().len(), 2);
        // After its end, the same request starts a new run.
        let again = client.json(method, path, &body).await;
        assert_ne!(again.headers["x-run-id"], ids[0]);
    }
}

#[tokio::test]
async fn a_deletion_does_not_join_across_another_change() {
    let server = limited(&[]);
    let client = &server.client;
    let delete = async |id: u32| {
        let path = "/v0/admin/proxmox/vms/vm_id/delete";
        let answer = with(client, "DELETE", path, ("prefer", "respond-async"), &guest(id)).await;
        answer.headers["x-run-id"].clone()
    };
    let (first, of_another) = (delete(100).await, delete(200).await);
    begin(client, START, &guest(100)).await;
    let third = delete(100).await;
    assert_ne!(third, first);
    assert_eq!(delete(100).await, third, "the same again joins the last one");
    assert_eq!(delete(200).await, of_another, "nothing came between these");
    release(&server);
    let third = json!(third.to_str().unwrap());
    let third = run_when(client, &third, |run| !run["ended"].is_null()).await;
    assert!(third["started"].is_string(), "it was done by itself: {third:#}");
}

#[tokio::test]
async fn bundles_on_the_same_host_wait_for_each_other() {
    let server = limited(&[("RANGE42_MAX_RUNS", "9")]);
    let client = &server.client;
    let docker = "/v0/admin/run/bundles/core/linux/ubuntu/install/docker";
    let compose = "/v0/admin/run/bundles/core/linux/ubuntu/install/docker-compose";
    let on = |hosts: &str| json!({ "proxmox_node": "px", "hosts": hosts });
    let install = |hosts: &str| {
        json!({
            "proxmox_node": "px", "hosts": hosts, "packages_cleaning": false,
            "install_package_docker": true, "install_package_docker_compose": true,
            "install_ntpclient_and_update_time": false,
        })
    };
    let waits = async |path: &str, body: Value| {
        let waiting = begin(client, path, &body).await;
        assert_eq!(waiting["state"], "queued", "{body}");
        waiting
    };
    let first = begin(client, docker, &install("web")).await;
    let second = waits(compose, install("db:web-1")).await;
    let reason = second["queue"]["reason"].as_str().unwrap();
    assert!(reason.contains("host web-1"), "{reason}");
    let elsewhere = begin(client, compose, &install("web-3")).await;
    run_when(client, &elsewhere["id"], is("running")).await;
    let everywhere = waits(docker, install("all")).await;
    // The effects of a bundle by name are unknown, so it conflicts only with itself.
    let named = begin(client, BUNDLE, &on("all")).await;
    run_when(client, &named["id"], is("running")).await;
    let again = waits(BUNDLE, on("db")).await;
    let other = begin(client, "/v0/admin/run/bundles/ping/run", &on("all")).await;
    run_when(client, &other["id"], is("running")).await;
    release(&server);
    for run in [first, second, elsewhere, everywhere, named, again, other] {
        run_when(client, &run["id"], is("succeeded")).await;
    }
}

#[tokio::test]
async fn responses_about_a_run_have_its_id() {
    let server = limited(&[]);
    let client = &server.client;
    let begun = begin(client, START, &guest(100)).await;
    let id = begun["id"].as_str().unwrap();
    for (method, path, status) in [
        ("GET", "", 200),
        ("GET", "/log", 200),
        ("GET", "/job_events", 200),
        ("GET", "/log?limit=0", 400),
        ("DELETE", "", 409),
        ("POST", "/cancel", 202),
    ] {
        let answer = client.json(method, &format!("{RUNS}/{id}{path}"), &Value::Null).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.headers["x-run-id"], id, "{method} {path}");
    }
    for path in ["", "/018f0000-0000-7000-8000-000000000000", "/x/log"] {
        let answer = client.get(&format!("{RUNS}{path}")).await;
        assert!(!answer.headers.contains_key("x-run-id"), "{path}");
    }
}

#[tokio::test]
async fn runs_are_listed_by_page_and_by_filter() {
    let server = limited(&[]);
    let client = &server.client;
    release(&server);
    let mut ids = Vec::new();
    for number in 0..5 {
        let body = json!({ "proxmox_node": format!("px{}", number % 2) });
        let answer = client.json("POST", LIST, &body).await;
        ids.insert(0, answer.headers["x-run-id"].to_str().unwrap().to_owned());
    }
    let mut failing = held();
    failing["rc"] = json!(2);
    server.behave(&failing);
    let failed = client.json("POST", START, &guest(100)).await;
    ids.insert(0, failed.headers["x-run-id"].to_str().unwrap().to_owned());
    let listed = async |query: &str| {
        let page = client.get(&format!("{RUNS}{query}")).await.json();
        let runs = page["runs"].as_array().unwrap_or_else(|| panic!("{query}: {page:#}"));
        let ids: Vec<String> =
            runs.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect();
        (ids, page["next"].clone())
    };
    assert_eq!(listed("").await, (ids.clone(), Value::Null));
    let (first, next) = listed("?limit=4").await;
    assert_eq!((first.as_slice(), &next), (&ids[..4], &json!(ids[3])));
    let (rest, next) = listed(&format!("?limit=4&cursor={}", ids[3])).await;
    assert_eq!((rest.as_slice(), &next), (&ids[4..], &Value::Null));
    assert_eq!(listed("?state=failed,unknown").await.0, ids[..1]);
    assert_eq!(listed("?node=px1").await.0, [ids[2].clone(), ids[4].clone()]);
    assert_eq!(listed("?operation=post_proxmox_vms_list&limit=1").await.0, ids[1..2]);
    for bad in ["?state=asleep", "?limit=many", "?cursor=x"] {
        assert_eq!(client.get(&format!("{RUNS}{bad}")).await.status, 400, "{bad}");
    }

    let failed = run(client, &json!(ids[0])).await;
    assert_eq!((&failed["rc"], &failed["guests"]), (&json!(2), &json!(["100"])));
    assert_eq!(failed["error"], "the playbook failed with exit code 2");
    let path = format!("{RUNS}/{}", ids[0]);
    assert_eq!(client.json("DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(listed("").await.0, ids[1..]);
    assert_eq!(client.get(&format!("{RUNS}/none")).await.status, 404);
}

#[tokio::test]
async fn an_active_run_cannot_be_deleted_and_a_late_success_stays_canceled() {
    let server = limited(&[]);
    let client = &server.client;
    let mut late = held();
    late["late"] = json!(true);
    server.behave(&late);
    let answer = send(client, "POST", START, guest(100));
    let live = wait::eventually(async || {
        let run = client.get(RUNS).await.json()["runs"][0].clone();
        if run["log_lines"] == 2 { Ok(run) } else { Err(run.to_string()) }
    });
    let live = live.await;
    let path = format!("{RUNS}/{}", live["id"].as_str().unwrap());
    assert_eq!(client.json("DELETE", &path, &Value::Null).await.status, 409);
    assert_eq!(live["state"], "running");
    let canceling = client.json("POST", &format!("{path}/cancel"), &Value::Null).await;
    assert_eq!(canceling.json()["state"], "canceling");
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 500);
    let body = answer.json();
    // The run succeeded after its cancellation: it is canceled, and the explanation mentions this.
    assert_eq!((&body["rc"], &body["result"]), (&json!(0), &json!([1, 2])));
    assert!(body["error"].as_str().unwrap().contains("canceled on request"), "{body:#}");
    let run = run(client, &live["id"]).await;
    assert_eq!(run["state"], "canceled");
    assert!(run["explanation"].as_str().unwrap().contains("had just succeeded"), "{run:#}");
    assert_eq!(client.json("POST", &format!("{path}/cancel"), &Value::Null).await.status, 409);
}

/// Reads an event stream until `enough` events have arrived, and returns their ids and kinds.
async fn events(
    client: &Client,
    id: &str,
    last: Option<&str>,
    enough: usize,
) -> Vec<(String, String)> {
    use axum::http::StatusCode;
    let mut request = Request::get(format!("{RUNS}/{id}/events"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = client.open(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("\n\n").count() < enough {
        let Some(chunk) = body.next().await else { break };
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    events.map(|event| (field(event, "id:"), field(event, "event:"))).collect()
}

#[tokio::test]
async fn the_stream_replays_and_follows_without_gaps_or_duplicates() {
    let server = limited(&[]);
    let client = server.client.clone();
    let begun = begin(&client, START, &guest(100)).await;
    let id = begun["id"].as_str().unwrap().to_owned();
    run_when(&client, &begun["id"], |run| run["job_events"] == 3).await;
    let all = {
        let (client, id) = (client.clone(), id.clone());
        tokio::spawn(async move { events(&client, &id, None, usize::MAX).await })
    };
    // A client that reconnects after the first event gets the events that follow it.
    let seen = events(&client, &id, Some("1"), 3).await;
    let pair = |id: &str, kind: &str| (id.to_owned(), kind.to_owned());
    assert_eq!(seen, [pair("", "run"), pair("2", "job_event"), pair("3", "job_event")]);
    release(&server);
    let job_events = ["1", "2", "3"].map(|id| pair(id, "job_event"));
    let mut expected = vec![pair("", "run")];
    expected.extend(job_events.clone());
    expected.push(pair("4", "run"));
    assert_eq!(all.await.unwrap(), expected);
    // After the end of the run, the same events are read from the files.
    assert_eq!(events(&client, &id, None, usize::MAX).await, expected[1..]);
    assert_eq!(events(&client, &id, Some("3"), usize::MAX).await, expected[4..]);
    let request = Request::get(format!("{RUNS}/{id}/events")).header("last-event-id", "4");
    let nothing = client.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(nothing.status, 204);

    let page = client.get(&format!("{RUNS}/{id}/job_events?from=2&limit=1")).await.json();
    assert_eq!((&page["next"], &page["complete"]), (&json!(3), &json!(false)));
    assert_eq!(page["job_events"][0]["seq"], 2);
    assert_eq!(page["job_events"][0]["stdout"], "second");
    let page = client.get(&format!("{RUNS}/{id}/log?from=1")).await.json();
    assert_eq!(page["log_multiline"], json!(["second"]));
    assert_eq!((&page["next"], &page["complete"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn passwords_in_results_are_redacted() {
    let server = limited(&[("VAULT_PASSWORD", "vault \"word\"")]);
    let secret = "Pass.word_42";
    let escaped = json!({ "a": "vault \"word\"" }).to_string();
    server.behave(&json!({
        "events": [event(&format!("made with {secret}x and {escaped}"), json!(secret))],
        "lookup_events": [], "rc": 0, "lookup_rc": 0,
    }));
    let path = "/v0/admin/run/bundles/core/linux/ubuntu/configure/add-user";
    let body = json!({
        "proxmox_node": "px", "hosts": "all", "user": "bob", "password": secret,
        "change_pwd_at_logon": true, "shell_path": "/bin/sh",
    });
    let answer = server.client.json("POST", path, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json()["log_multiline"],
        json!([r#"made with [hidden]x and {"a":"[hidden]"}"#])
    );
    assert_eq!(server.calls()[0]["extravars"]["TARGET_PASSWORD"], secret, "the playbook gets it");
    let id = answer.headers["x-run-id"].to_str().unwrap();
    let events = server.client.get(&format!("{RUNS}/{id}/job_events")).await;
    assert!(events.text.contains("[hidden]") && !events.text.contains(secret), "{}", events.text);
}

/// A secret may equal any value: the number of an event, the name of a member, a count.
#[tokio::test]
async fn redaction_loses_no_event_or_result() {
    for secret in ["101", "vm_list", "event", "stdout", "res", "runner_on_ok", "event_data"] {
        let server = limited(&[("VAULT_PASSWORD", secret)]);
        let numbered = |number: u32| {
            json!({
                "event": "runner_on_ok", "stdout": format!("line {number}"), "event_data": {
                    "host": "px", "task": "t", "duration": 101, "res": { "vm_list": [number, secret] },
                },
            })
        };
        let events: Vec<Value> = (1..=120).map(numbered).collect();
        server.behave(&json!({ "events": events, "lookup_events": [], "rc": 0, "lookup_rc": 0 }));
        let answer =
            server.client.json("POST", LIST, &json!({ "proxmox_node": "px-testing" })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["result"].as_array().unwrap().len(), 120, "{secret}");
        assert_eq!(answer.json()["result"][0], json!([1, "[hidden]"]), "{secret}");
        let id = answer.headers["x-run-id"].to_str().unwrap();
        let kept = server.client.get(&format!("{RUNS}/{id}")).await.json();
        assert_eq!(kept["job_events"], 121, "{secret}: {kept}");
        assert_eq!(kept["log_lines"], 120, "{secret}");
        let page = server.client.get(&format!("{RUNS}/{id}/job_events")).await.json();
        let counters = page["job_events"].as_array().unwrap().iter().map(|event| &event["counter"]);
        let expected: Vec<Value> = (1..=121).map(Value::from).collect();
        assert!(counters.eq(&expected), "{secret}: {page}");
    }
}

#[tokio::test]
async fn every_published_path_of_runs_is_routed() {
    let server = limited(&[]);
    release(&server);
    let answer = server.client.json("POST", LIST, &json!({ "proxmox_node": "px" })).await;
    let id = answer.headers["x-run-id"].to_str().unwrap();
    let document = server.client.get("/docs/openapi.json").await.json();
    let published = document["paths"].as_object().unwrap().iter();
    let published: Vec<_> = published.filter(|(path, _)| path.starts_with(RUNS)).collect();
    assert_eq!(published.len(), 6);
    for (path, methods) in published {
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "delete") {
            let path = path.replace("{run_id}", id);
            let answer = server.client.json(&method.to_uppercase(), &path, &Value::Null).await;
            let expected = if path.ends_with("/cancel") { 409 } else { 200 };
            assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_playbook_that_disappears_after_another_has_run_is_a_failure() {
    let server = limited(&[]);
    let example = example("default/create-vms-student");
    let (client, body) = (server.client.clone(), example.body);
    let answer = tokio::spawn(async move { client.json("POST", &example.path, &body).await });
    wait::until("init.yml runs", async || server.calls().len() == 1).await;
    let main = server.calls()[0]["playbook"].as_str().unwrap().replace("init.yml", "main.yml");
    fs::remove_file(server.dir.path().join("public").join(main)).unwrap();
    release(&server);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 500, "{}", answer.text);
    let id = answer.headers["x-run-id"].to_str().unwrap();
    let run = run(&server.client, &json!(id)).await;
    assert_eq!(run["state"], "failed", "{run:#}");
    let explanation = run["explanation"].as_str().unwrap();
    assert!(!explanation.contains("Nothing was"), "{explanation}");
}
