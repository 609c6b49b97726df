//! Guests, their configuration and their snapshots.

use crate::support::internals::results::{
    ChangedSnapshot, ClonedGuest, CreatedGuest, CreatedSnapshot, DeletedGuest, GuestCdrom,
    GuestConfig, GuestCpu, GuestRam, GuestState, GuestTags, GuestUsage, ListedGuest,
    ListedSnapshot,
};
use serde_json::{Value, json};

use crate::support::lab::{Lab, NODE};

#[tokio::test]
async fn lists() {
    let lab = Lab::start(&[]);
    let (list, usage) = tokio::join!(
        lab.one::<Vec<ListedGuest>>("vms/list", json!({})),
        lab.one::<Vec<GuestUsage>>("vms/list_usage", json!({})),
    );
    let mut known = lab.guests().await;
    known.sort_unstable();
    assert_eq!(list.iter().map(|vm| vm.vm_id as u64).collect::<Vec<_>>(), known);
    assert_eq!(usage.iter().map(|vm| vm.vm_id as u64).collect::<Vec<_>>(), known);
    let first = &list[0];
    assert_eq!(
        (&*first.vm_name, &*first.vm_status, &*first.vm_tags),
        ("gateway", "running", "admin")
    );
    assert_eq!(
        (&*first.action, &*first.source, &*first.proxmox_node),
        ("vm_list", "proxmox", NODE)
    );
    assert_eq!((usage[0].cpu_allocated, usage[0].ram_max), (2, 2 << 30));
}

#[tokio::test]
async fn power() {
    let lab = Lab::start(&[]);
    for (end, state) in [
        ("vm_id/start", "running"),
        ("vm_id/pause", "paused"),
        ("vm_id/resume", "running"),
        ("vm_id/stop", "stopped"),
        ("vm_id/start", "running"),
        ("vm_id/stop_force", "stopped"),
    ] {
        let answer: GuestState = lab.guest(end, 1003).await;
        assert_eq!(
            (&*answer.vm_id, &*answer.vm_name, &*answer.vm_status),
            ("1003", "backup", state)
        );
        assert_eq!(lab.state(1003).await, state);
    }
}

#[tokio::test]
async fn creating_cloning_and_deleting() {
    let lab = Lab::start(&[]);
    let iso = json!({ "vm_iso": "local:iso/virtio-win-0.1.271.iso", "vm_id": 4200 });
    let (created, cloned) = tokio::join!(
        lab.one::<CreatedGuest>("vm_id/create", iso),
        lab.one::<ClonedGuest>("vm_id/clone", json!({})),
    );
    let config = lab.config(4200).await;
    assert_eq!((created.vm_id, &*created.vm_name), (4200, "fresh-box"));
    assert_eq!(
        (&config["name"], &config["cores"], &config["memory"]),
        (&json!("fresh-box"), &json!(2), &json!("2048"))
    );
    assert!(config["scsi0"].as_str().unwrap().contains("size=8G"), "{config}");
    assert!(
        config["ide2"].as_str().unwrap().contains("local:iso/virtio-win-0.1.271.iso"),
        "{config}"
    );
    assert!(created.raw_data.data.starts_with("UPID:px-testing:"));

    let config = lab.config(4300).await;
    assert_eq!((&*cloned.vm_id, &*cloned.vm_id_clone_from), ("4300", "9000"));
    assert_eq!(
        (&config["name"], &config["description"]),
        (&json!("cloned-box"), &json!("a copy of the template"))
    );
    assert!(config.get("lock").is_none(), "the response was sent before the clone was complete");

    let deleted: DeletedGuest = lab.guest("vm_id/delete", 4200).await;
    assert_eq!((deleted.vm_id, &*deleted.vm_name), (4200, "fresh-box"));
    assert!(!lab.guests().await.contains(&4200));
}

#[tokio::test]
async fn configuration() {
    let lab = Lab::start(&[]);
    let (config, cpu, ram, cdrom, tags) = tokio::join!(
        lab.guest::<GuestConfig>("config/vm_get_config", 1000),
        lab.guest::<GuestCpu>("config/vm_get_config_cpu", 1000),
        lab.guest::<GuestRam>("config/vm_get_config_ram", 1000),
        lab.guest::<GuestCdrom>("config/vm_get_config_cdrom", 1000),
        lab.one::<GuestTags>(
            "config/vm_set_tag",
            json!({ "vm_id": 1003, "vm_tag_name": "web,dmz" })
        ),
    );
    assert_eq!(json!(config.raw_data.data), lab.config(1000).await);
    assert_eq!(
        (&*cpu.action, cpu.vm_cores, cpu.vm_sockets),
        ("vm_get_config_cpu", Some(2), Some(1))
    );
    assert_eq!(ram.vm_ram_allocated.as_deref(), Some("2048"));
    assert_eq!(cdrom.vm_cdrom_iso.as_deref(), Some("local:iso/debian-12.11.0-amd64-netinst.iso"));
    assert_eq!(tags.tags, "web,dmz");
    assert_eq!(lab.config(1003).await["tags"], "web,dmz");
}

#[tokio::test]
async fn snapshots() {
    let lab = Lab::start(&[]);
    let created: CreatedSnapshot = lab.one("snapshot/create", json!({})).await;
    assert_eq!((created.vm_id, &*created.vm_snapshot_name), (1000, "before-exercise"));
    let kept = async |lab: &Lab, vm_id: u32| -> Vec<String> {
        let listed = lab.get(&format!("qemu/{vm_id}/snapshot")).await;
        let names = listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
        names.filter(|name| *name != "current").map(str::to_owned).collect()
    };
    assert_eq!(kept(&lab, 1000).await, ["before-exercise"]);

    let listed: Vec<ListedSnapshot> = lab.guest("snapshot/list", 1020).await;
    let names: Vec<&str> = listed.iter().map(|one| &*one.vm_snapshot_name).collect();
    assert_eq!(names, ["clean", "before-exercise"]);

    let _: GuestTags = lab.one("config/vm_set_tag", json!({ "vm_tag_name": "later" })).await;
    let reverted: ChangedSnapshot = lab.guest("snapshot/revert", 1000).await;
    assert_eq!((reverted.vm_id, &*reverted.vm_snapshot_name), (1000, "before-exercise"));
    assert_eq!(lab.config(1000).await["tags"], "admin");

    let gone = json!({ "vm_id": "1000", "vm_snapshot_name": "before-exercise" });
    let deleted: ChangedSnapshot = lab.one("snapshot/delete", gone).await;
    assert_eq!(deleted.vm_id, 1000);
    assert_eq!(kept(&lab, 1000).await, Vec::<String>::new());
}

/// The published web UI sends numbers for ids, booleans for integers, unknown fields, and `as_json`
/// where it has no effect.
#[tokio::test]
async fn requests_as_the_web_ui_sends_them() {
    let lab = Lab::start(&[]);
    let habits = json!({ "vm_id": 1000, "hosts": "all", "inventory": "hosts", "as_json": "true" });
    let rule = json!({ "vm_fw_enable": true, "vm_fw_pos": "0", "vm_id": 1000, "hosts": "all" });
    let ping = json!({ "hosts": NODE, "as_json": true, "inventory": "hosts" });
    let (cpu, rule, ping) = tokio::join!(
        lab.one::<GuestCpu>("config/vm_get_config_cpu", habits),
        lab.one::<Value>("rules/apply", rule),
        lab.ask("debug/ping", ping),
    );
    assert_eq!(cpu.vm_id, "1000");
    assert_eq!((&rule["vm_fw_enable"], &rule["vm_id"]), (&json!(1), &json!("1000")));
    assert_eq!(ping.status, 200, "{}", ping.text);
    assert!(ping.json()["log_multiline"].as_array().is_some_and(|lines| !lines.is_empty()));
}
