//! The firewalls of the datacenter, of nodes and of guests.

use crate::support::internals::results::{
    Alias, DatacenterFirewall, DeletedAlias, DeletedRule, GuestFirewall, NodeFirewall, Rule,
};
use serde_json::{Value, json};

use crate::support::lab::{Lab, NODE};

const RULES: &str = "qemu/1000/firewall/rules";

#[tokio::test]
async fn enabling_and_disabling() {
    let lab = Lab::start(&[]);
    // With the API host given by name, and with the one from the inventory.
    let api_host = lab.proxmox.text("api_host");
    for (of_guest, of_node, of_datacenter, api_host, word, value) in [
        ("vm/enable", "node/enable", "datacenter/enable", api_host, "enabled", 1),
        ("vm/disable", "node/disable", "datacenter/disable", "", "disabled", 0),
    ] {
        let guest: GuestFirewall = lab.guest(of_guest, 1000).await;
        let node: NodeFirewall = lab.one(of_node, json!({})).await;
        let api_host = json!({ "proxmox_api_host": api_host });
        let datacenter: DatacenterFirewall = lab.one(of_datacenter, api_host).await;
        assert_eq!((&*guest.vm_firewall, guest.vm_id, &*guest.vm_name), (word, 1000, "gateway"));
        assert_eq!((&*node.node_firewall, &*node.proxmox_node), (word, NODE));
        assert_eq!(datacenter.dc_firewall, word);
        for path in ["/cluster/firewall/options", "firewall/options", "qemu/1000/firewall/options"]
        {
            assert_eq!(lab.get(path).await["enable"], value, "{path}");
        }
    }
}

#[tokio::test]
async fn rules() {
    let lab = Lab::start(&[]);
    let applied: Rule = lab.one("rules/apply", json!({ "vm_fw_log": "info" })).await;
    assert_eq!((&*applied.vm_fw_action, &*applied.vm_fw_type), ("ACCEPT", "in"));
    let kept = lab.get(RULES).await;
    assert_eq!(kept.as_array().unwrap().len(), 2);
    assert_eq!(
        [&kept[0]["dport"], &kept[0]["source"], &kept[0]["comment"], &kept[0]["log"]],
        ["22", "10.42.0.0/24", "ssh from the lab", "info"]
    );
    let listed: Vec<Rule> = lab.guest("rules/list", 1000).await;
    assert_eq!(listed[0].vm_fw_dport.as_deref(), Some("22"));
    assert_eq!(listed[1].vm_fw_comment.as_deref(), Some("ping"));
    let deleted: DeletedRule = lab.one("rules/delete", json!({ "vm_fw_pos": 0 })).await;
    assert_eq!(deleted.vm_fw_pos, 0);
    let left = lab.get(RULES).await;
    assert_eq!((left.as_array().unwrap().len(), &left[0]["proto"]), (1, &json!("icmp")));
}

#[tokio::test]
async fn aliases() {
    let lab = Lab::start(&[]);
    let added: Alias = lab.one("alias/add", json!({})).await;
    assert_eq!((&*added.vm_fw_alias_name, &*added.vm_fw_alias_cidr), ("lab-net", "10.42.0.0/24"));
    let kept = lab.get("qemu/1000/firewall/aliases/lab-net").await;
    assert_eq!([&kept["cidr"], &kept["comment"]], ["10.42.0.0/24", "the lab"]);
    let listed: Vec<Alias> = lab.guest("alias/list", 1000).await;
    let names: Vec<&str> = listed.iter().map(|alias| &*alias.vm_fw_alias_name).collect();
    assert_eq!(names, ["lab-net", "scanners"]);
    let deleted: DeletedAlias = lab.one("alias/delete", json!({})).await;
    assert_eq!(deleted.vm_fw_alias_name, "scanners");
    let left: Value = lab.get("qemu/1000/firewall/aliases").await;
    assert_eq!(left.as_array().unwrap().len(), 1);
}
