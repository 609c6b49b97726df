//! The event stream of a run.

use serde_json::{Value, json};

use crate::pins::pin;
use crate::support::process::http;
use crate::support::stub;

const LIST: &str = "/v0/admin/proxmox/vms/list";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_streamed_as_it_was() {
    let (dir, env) = stub::project(|_, _| {});
    let event = |text: &str| {
        let res = json!({ "changed": true, "vm_list": [text] });
        let data = json!({ "host": "px", "task": "List", "res": res });
        json!({ "event": "runner_on_ok", "stdout": text, "event_data": data })
    };
    let behaviour = json!({
        "events": [event("first"), event("second")], "lookup_events": [event("first"), event("second")],
        "rc": 0, "lookup_rc": 0, "hold": true,
    });
    stub::write(&dir.path().join("runs/stub.json"), &behaviour.to_string());
    let server = pin::start(&env);
    let request = server.request("POST", LIST, &json!({ "proxmox_node": "px" }));
    let answer = request.header("prefer", "respond-async").send().await.unwrap();
    let run: Value = answer.json().await.unwrap();
    let id = run["id"].as_str().unwrap();
    server.run_when(&run["id"], |run| run["job_events"] == 3).await;

    let url = format!("{}/v0/admin/runs/{id}/events", server.url);
    let mut stream = http().get(&url).send().await.unwrap();
    let mut live = format!("content-type: {:?}\n", stream.headers()["content-type"]);
    let mut released = false;
    while let Some(chunk) = stream.chunk().await.unwrap() {
        live += std::str::from_utf8(&chunk).unwrap();
        if live.matches("event: job_event").count() == 3 && !released {
            released = true;
            stub::write(&dir.path().join("runs/release"), "");
        }
    }
    let again = http().get(&url).header("last-event-id", "2").send().await.unwrap();
    let again = again.text().await.unwrap();
    let seen = http().get(&url).header("last-event-id", "4").send().await.unwrap();
    let seen = (seen.status().as_u16(), seen.text().await.unwrap());
    let made = format!("live\n{live}after event 2\n{again}after event 4\n{seen:?}\n");
    pin::check("run_events.txt", &pin::normalized(&made));
}
