//! Network interfaces of nodes and guests, and storages.

use std::collections::BTreeSet;

use crate::support::internals::results::{
    AddedGuestInterface, AddedNodeInterface, ContainerTemplate, DeletedGuestInterface,
    DeletedNodeInterface, DownloadedIso, GuestInterface, IsoImage, NodeInterface, Storage,
};
use serde_json::json;

use crate::support::lab::Lab;

#[tokio::test]
async fn node_interfaces() {
    let lab = Lab::start(&[]);
    let (listed, added, deleted) = tokio::join!(
        lab.one::<Vec<NodeInterface>>("node/list", json!({})),
        lab.one::<AddedNodeInterface>("node/add", json!({ "bridge_ports": "eno2" })),
        lab.one::<DeletedNodeInterface>("node/delete", json!({})),
    );
    let bridge = listed.iter().find(|one| one.iface == "vmbr0").unwrap();
    assert_eq!(bridge.ip_settings_cidr.as_deref(), Some("192.0.2.11/24"));
    assert_eq!((&*added.iface_name, added.iface_autostart), ("vmbr42", 1));
    assert_eq!(deleted.iface_name, "vmbr42");
    // fakepve validates these two requests, but does not store the change.
    let sent = lab.asked("POST", "/nodes/px-testing/network").await;
    let members: BTreeSet<&str> = sent[0].split('&').collect();
    let wanted = [
        "iface=vmbr42",
        "type=bridge",
        "autostart=1",
        "address=10.42.0.1",
        "netmask=255.255.255.0",
        "bridge_ports=eno2",
    ];
    assert_eq!(members, BTreeSet::from(wanted));
    assert_eq!(lab.asked("DELETE", "/nodes/px-testing/network/vmbr42").await.len(), 1);
}

#[tokio::test]
async fn guest_interfaces() {
    let lab = Lab::start(&[]);
    // A network card of a running guest is changed at the next start.
    let more = json!({
        "vm_id": 1003,
        "iface_trunks": true, "iface_rate": 2.5, "iface_queues": 2, "iface_mtu": 1400,
        "iface_macaddr": "BC:24:11:AA:BB:CC", "iface_link_down": true,
    });
    let added: AddedGuestInterface = lab.one("vm/add", more).await;
    assert_eq!((added.vm_id, &*added.iface_model), (1003, "virtio"));
    let config = lab.config(1003).await;
    let settings: BTreeSet<&str> = config["net1"].as_str().unwrap().split(',').collect();
    let wanted = [
        "virtio=BC:24:11:AA:BB:CC",
        "bridge=vmbr0",
        "tag=42",
        "trunks=2-4094",
        "rate=2.5",
        "queues=2",
        "mtu=1400",
        "link_down=1",
        "firewall=1",
    ];
    assert_eq!(settings, BTreeSet::from(wanted));
    let listed: Vec<GuestInterface> = lab.guest("vm/list", 1003).await;
    let devices: Vec<&str> = listed.iter().map(|card| &*card.vm_network_device).collect();
    assert_eq!(devices, ["net0", "net1"]);
    let deleted: DeletedGuestInterface = lab.one("vm/delete", json!({ "vm_id": "1003" })).await;
    assert_eq!(deleted.vm_vmnet_id, 1);
    assert!(lab.config(1003).await.get("net1").is_none());
}

#[tokio::test]
async fn storages() {
    let lab = Lab::start(&[]);
    let (all, isos, templates, download) = tokio::join!(
        lab.one::<Vec<Storage>>("storage/list", json!({ "storage_name": "" })),
        lab.one::<Vec<IsoImage>>("storage_name/list_iso", json!({ "storage_name": "library" })),
        lab.one::<Vec<ContainerTemplate>>("storage_name/list_template", json!({})),
        lab.one::<DownloadedIso>("storage/download_iso", json!({})),
    );
    let names: BTreeSet<&str> = all.iter().map(|storage| &*storage.storage_name).collect();
    assert_eq!(names, BTreeSet::from(["archive", "library", "local", "local-lvm"]));
    assert_eq!(isos.len(), 3);
    assert!(isos.iter().all(|iso| iso.iso_vol_id.starts_with("library:iso/")));
    assert_eq!(templates.len(), 2);
    assert!(templates.iter().all(|one| one.template_vol_id.starts_with("local:vztmpl/")));
    assert!(download.raw_info.data.starts_with("UPID:px-testing:"));
    let content = lab.get("storage/local/content").await;
    assert!(content.to_string().contains("local:iso/lab-tools.iso"), "{content}");
}
