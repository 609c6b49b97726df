//! Bundles for groups of guests and for guests given by id.

use crate::support::internals::results::{
    ChangedSnapshot, CreatedSnapshot, DeletedGuest, GuestState,
};
use serde_json::json;

use crate::support::lab::Lab;

const GROUPS: [(&str, u32, usize); 3] =
    [("admin", 5000, 5), ("vuln", 5100, 5), ("student", 5200, 1)];

#[tokio::test]
async fn groups_are_created_and_deleted() {
    let lab = Lab::start(&["--small"]);
    for (group, first, count) in GROUPS {
        let answer = lab.ask(&format!("default/create-vms-{group}"), json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(!answer.json()["log_multiline"].as_array().unwrap().is_empty());
        for vm_id in first..first + count as u32 {
            let config = lab.config(vm_id).await;
            let ip = format!("ip=10.42.{}.{}/24", vm_id / 100, 10 + vm_id - first);
            assert_eq!([&config["tags"], &config["ipconfig0"]], [group, ip.as_str()]);
            assert_eq!(lab.state(vm_id).await, "running");
        }
        let deleted: Vec<DeletedGuest> =
            lab.all(&format!("default/delete-vms-{group}"), json!({})).await;
        assert_eq!(deleted.len(), count);
        assert!(!lab.guests().await.contains(&u64::from(first)));
    }
}

#[tokio::test]
async fn power_states_and_snapshots_of_a_group() {
    let lab = Lab::start(&[]);
    let taken: Vec<CreatedSnapshot> = lab.all("snapshot/create-vms-vuln", json!({})).await;
    assert_eq!(taken.len(), 5);
    assert!(taken.iter().all(|one| one.vm_snapshot_name == taken[0].vm_snapshot_name));
    let snapshots = lab.get("qemu/5104/snapshot").await.to_string();
    assert!(snapshots.contains(&taken[4].vm_snapshot_name), "{snapshots}");
    for (verb, state) in
        [("pause", "paused"), ("resume", "running"), ("stop", "stopped"), ("start", "running")]
    {
        let states: Vec<GuestState> = lab.all(&format!("default/{verb}-vms-vuln"), json!({})).await;
        let ids: Vec<&str> = states.iter().map(|vm| &*vm.vm_id).collect();
        assert_eq!(ids, ["5100", "5101", "5102", "5103", "5104"]);
        assert!(states.iter().all(|vm| vm.vm_status == state), "{states:?}");
        assert_eq!(lab.state(5103).await, state);
        assert_eq!(lab.state(5003).await, "running", "a guest of another group was changed");
    }
    let reverted: Vec<ChangedSnapshot> = lab.all("snapshot/revert-vms-vuln", json!({})).await;
    assert!(reverted.iter().all(|one| one.vm_snapshot_name == "before-exercise"));
    assert_eq!(reverted.len(), 5);
    assert_eq!(lab.config(5101).await["parent"], "before-exercise");
}

#[tokio::test]
async fn guests_by_id() {
    let lab = Lab::start(&[]);
    for (end, state) in [
        ("vm_ids/start", "running"),
        ("vm_ids/pause", "paused"),
        ("vm_ids/resume", "running"),
        ("vm_ids/stop", "stopped"),
        ("vm_ids/start", "running"),
        ("vm_ids/stop_force", "stopped"),
    ] {
        let states: Vec<GuestState> = lab.all(end, json!({ "vm_ids": [1003, "1012"] })).await;
        let seen: Vec<_> = states.iter().map(|vm| (&*vm.vm_id, &*vm.vm_status)).collect();
        assert_eq!(seen, [("1003", state), ("1012", state)]);
        assert_eq!(lab.state(1012).await, state);
    }
    let deleted: Vec<DeletedGuest> = lab.all("vm_ids/delete", json!({})).await;
    let names: Vec<_> = deleted.iter().map(|vm| (vm.vm_id, &*vm.vm_name)).collect();
    assert_eq!(names, [(1024, "printer"), (1025, "kiosk")]);
    assert!(!lab.guests().await.contains(&1024));
    // If one id has another name, no guest is deleted.
    let vms = json!({ "vms": [{ "id": 1003, "name": "backup" }, { "id": "1012", "name": "x" }] });
    let refused = lab.ask("vm_ids/delete", vms).await;
    assert_eq!(refused.status, 500);
    assert!(refused.text.contains("no VM 1012 named x"), "{}", refused.text);
    assert!(lab.guests().await.contains(&1003));
}

#[tokio::test]
async fn a_scenario_and_a_bundle_by_name() {
    let lab = Lab::start(&[]);
    let (scenario, bundle) = tokio::join!(
        lab.ask("scenarios/demo_lab/run", json!({})),
        lab.ask("bundles/ping/run", json!({}))
    );
    assert_eq!(scenario.status, 200, "{}", scenario.text);
    assert_eq!(lab.state(4001).await, "running");
    assert_eq!(bundle.status, 200, "{}", bundle.text);
}
