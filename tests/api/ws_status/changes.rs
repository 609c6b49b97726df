//! The messages that clients get, and when.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::ws_status::dashboard::Server;
use crate::ws_status::demo::DemoProxmox;

const ITEM: [&str; 9] =
    ["cpu", "maxmem", "mem", "name", "status", "tags", "template", "uptime", "vmid"];

fn members(item: &Value) -> Vec<&str> {
    item.as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn item(full: &Value, vmid: u64) -> &Value {
    full["vms"].as_array().unwrap().iter().find(|item| item["vmid"] == vmid).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_has_all_guests_except_templates() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    demo.measure(1000, json!({ "cpu": 0.123_46, "mem": 123_456_789 })).await;
    let mut dashboard = server.dashboard("").await;
    let full = dashboard.expect("full").await;
    let ids: Vec<_> = full["vms"].as_array().unwrap().iter().map(|vm| &vm["vmid"]).collect();
    let expected = [1000, 1001, 1002, 1003, 1010, 1011, 1012, 1020, 1021, 1022, 1023];
    assert_eq!(ids, expected, "sorted, and without template 9000");
    let gateway = item(&full, 1000);
    assert_eq!(members(gateway), ITEM);
    assert_eq!(gateway["name"], "gateway");
    assert_eq!(gateway["status"], "running");
    assert_eq!(gateway["cpu"].to_string(), "12.3");
    assert_eq!(gateway["mem"], 123_456_789);
    assert_eq!(gateway["maxmem"], 2048_u64 << 20);
    assert_eq!(gateway["template"], 0);
    assert_eq!(gateway["tags"], "admin");
    assert!(gateway["uptime"].as_u64().unwrap() > 86_400);
    assert_eq!(item(&full, 1023)["tags"], "ot;vuln");
    assert_eq!(full.as_object().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_changes_are_sent_once_they_add_up() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    demo.measure(1000, json!({ "cpu": 0.10, "mem": 1 })).await;
    let mut dashboard = server.dashboard("").await;
    assert_eq!(item(&dashboard.expect("full").await, 1000)["cpu"], 10.0);

    // CPU within two points, and memory in use: polled, but not sent.
    for cpu in [0.11, 0.12] {
        demo.measure(1000, json!({ "cpu": cpu, "mem": 2 })).await;
        demo.wait_for_requests(2).await;
    }
    // The third step is as small as the others, but more than two points from the sent value.
    demo.measure(1000, json!({ "cpu": 0.121, "mem": 3 })).await;
    let diff = dashboard.expect("diff").await;
    let changes = diff["changes"].as_object().unwrap();
    assert_eq!(changes.keys().collect::<Vec<_>>(), ["1000"]);
    let change = &changes["1000"];
    assert_eq!(
        (&change["type"], &change["cpu"], &change["mem"]),
        (&json!("changed"), &json!(12.1), &json!(3))
    );
    let mut whole: Vec<_> = ITEM.into_iter().chain(["type"]).collect();
    whole.sort_unstable();
    assert_eq!(members(change), whole);

    // A client that connects while the CPU value is between two sent values gets the last sent one.
    demo.measure(1000, json!({ "cpu": 0.14, "mem": 4 })).await;
    demo.wait_for_requests(2).await;
    let mut late = server.dashboard("").await;
    let full = late.expect("full").await;
    assert_eq!((&item(&full, 1000)["cpu"], &item(&full, 1000)["mem"]), (&json!(12.1), &json!(4)));
    demo.measure(1000, json!({ "cpu": 0.142, "mem": 4 })).await;
    let told = dashboard.expect("diff").await;
    assert_eq!(told["changes"]["1000"]["cpu"], 14.2);
    assert_eq!(late.expect("diff").await, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_name_tags_memory_and_status_are_sent() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("full").await;
    for (form, member, value) in [
        ([("name", "portal")], "name", json!("portal")),
        ([("tags", "admin;new")], "tags", json!("admin;new")),
        ([("memory", "1024")], "maxmem", json!(1024_u64 << 20)),
    ] {
        demo.ask(Method::PUT, "qemu/1003/config", &form).await;
        let diff = dashboard.expect("diff").await;
        assert_eq!(diff["changes"]["1003"][member], value);
        assert_eq!(diff["changes"]["1003"]["type"], "changed");
    }
    demo.ask(Method::POST, "qemu/1000/status/stop", &[]).await;
    let diff = dashboard.expect("diff").await;
    assert_eq!(diff["changes"]["1000"]["status"], "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn added_and_removed_guests_are_sent_except_templates() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let mut dashboard = server.dashboard("").await;
    dashboard.expect("full").await;

    demo.ask(Method::POST, "qemu", &[("vmid", "500"), ("name", "fresh")]).await;
    let diff = dashboard.expect("diff").await;
    assert_eq!(diff["changes"]["500"]["type"], "added");
    assert_eq!(diff["changes"]["500"]["vmid"], 500);
    assert_eq!(diff["changes"]["500"]["status"], "stopped");
    assert_eq!(members(&diff["changes"]["500"]).len(), ITEM.len() + 1);

    demo.ask(Method::POST, "qemu/500/template", &[]).await;
    let gone = json!({ "type": "diff", "changes": { "500": { "type": "removed", "vmid": 500 } } });
    assert_eq!(dashboard.expect("diff").await, gone);

    demo.ask(Method::DELETE, "qemu/1022", &[]).await;
    let gone =
        json!({ "type": "diff", "changes": { "1022": { "type": "removed", "vmid": 1022 } } });
    assert_eq!(dashboard.expect("diff").await, gone);
}

fn ids(full: &Value) -> Vec<u64> {
    full["vms"].as_array().unwrap().iter().map(|vm| vm["vmid"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_covers_all_nodes_of_a_cluster() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let node = demo.ready("node");
    let mut cluster = server.dashboard("?node=*").await;
    let full = cluster.expect("full").await;
    let expected = [1000, 1001, 1002, 1003, 1010, 1011, 1012, 1020, 1021, 1022, 1023, 1200];
    assert_eq!(ids(&full), expected, "neither templates nor containers");
    assert_eq!(item(&full, 1000)["node"], node);
    assert_eq!(item(&full, 1200)["node"], "px-testing-2");
    assert!(item(&full, 1000).get("type").is_none());

    let mut here = server.dashboard("").await;
    here.expect("full").await;
    let mut there = server.dashboard("?node=px-testing-2").await;
    assert_eq!(ids(&there.expect("full").await), [1200]);

    demo.ask(Method::POST, "qemu", &[("vmid", "500"), ("name", "fresh")]).await;
    let change = cluster.expect("diff").await["changes"]["500"].clone();
    assert_eq!((&change["type"], &change["node"]), (&json!("added"), &json!(node)));
    assert_eq!(here.expect("diff").await["changes"]["500"]["type"], "added");

    // Proxmox reports guests on an unreachable node as `unknown`; they are not removed.
    demo.faults(json!({ "node_offline": true })).await;
    let diff = cluster.expect("diff").await;
    let changes = diff["changes"].as_object().unwrap();
    assert!(changes.values().all(|change| change["type"] == "changed"), "{diff}");
    assert!(changes.values().all(|change| change["status"] == "unknown"), "{diff}");
    assert_eq!(changes.len(), expected.len() + 1);
    let stale = there.expect("stale").await;
    assert!(stale["error"].as_str().unwrap().contains("595"), "{stale}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_included_on_request() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[]).await;
    let node = demo.ready("node");
    let mut cluster = server.dashboard("?node=*&type=all").await;
    let full = cluster.expect("full").await;
    assert_eq!(ids(&full).len(), 14);
    let container = item(&full, 1101);
    assert_eq!((&container["type"], &container["name"]), (&json!("lxc"), &json!("scoreboard")));
    assert_eq!(item(&full, 1000)["type"], "qemu");

    let mut one_node = server.dashboard(&format!("?node={node}&type=all")).await;
    let full = one_node.expect("full").await;
    assert_eq!(ids(&full).len(), 13);
    assert_eq!(item(&full, 1101)["type"], "lxc");
    assert!(item(&full, 1101).get("node").is_none());

    // In a diff, `type` is the kind of change, so the type of the guest has another name.
    demo.ask(Method::POST, "lxc/1101/status/start", &[]).await;
    let change = cluster.expect("diff").await["changes"]["1101"].clone();
    assert_eq!((&change["type"], &change["guest_type"]), (&json!("changed"), &json!("lxc")));
    assert_eq!((&change["status"], &change["node"]), (&json!("running"), &json!(node)));
    assert_eq!(one_node.expect("diff").await["changes"]["1101"]["status"], "running");
}
