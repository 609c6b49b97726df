//! What a request would change, which says what it waits for and what it is the same as.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::ansible::playbooks::Root;
use crate::inventory::groups::Groups;
use crate::operations::{Answer, Limit, Method, Operation, PlaybookFile, PlaybookWork, Work};
use crate::runs::claims::Claim;

/// Whether an action of the Proxmox role only reads. Its name says so.
pub fn is_reading(action: &str) -> bool {
    action.contains("_list") || action.contains("_get_")
}

/// The ids of the guests that a request names.
pub fn guests(body: &Map<String, Value>) -> Vec<String> {
    let mut ids = Vec::new();
    let mut add = |value: Option<&Value>| match value {
        Some(Value::String(text)) => ids.push(text.trim_start_matches('0').to_owned()),
        Some(Value::Number(number)) => ids.push(number.to_string()),
        _ => {}
    };
    add(body.get("vm_id"));
    add(body.get("vm_new_id"));
    if let Some(Value::Array(list)) = body.get("vm_ids") {
        list.iter().for_each(|id| add(Some(id)));
    }
    match body.get("vms") {
        Some(Value::Array(list)) => list.iter().for_each(|vm| add(vm.get("id"))),
        Some(Value::Object(vms)) => vms.values().for_each(|vm| add(vm.get("vm_id"))),
        _ => {}
    }
    ids
}

/// What no other run may change while this one is at work.
///
/// `inventory` is the inventory dir: the same host can be named in several ways there.
pub fn claims(
    operation: &Operation,
    body: &Map<String, Value>,
    name: Option<&str>,
    inventory: &Path,
) -> Vec<Claim> {
    let node = body.get("proxmox_node").and_then(Value::as_str).unwrap_or_default();
    let group = group(operation);
    let guest = |id| Claim::Guest { node: node.to_owned(), id, group: group.clone() };
    let guests: Vec<Claim> = guests(body).into_iter().map(guest).collect();
    let group = group.map(|name| Claim::Group { node: node.to_owned(), name });
    match &operation.work {
        Work::LookUp { .. } => Vec::new(),
        Work::CreateVms { .. } => guests.into_iter().chain(group).collect(),
        Work::Playbook(work) => match (work.root, work.limit) {
            (Root::Local, Limit::Proxmox) => action_claims(operation, guests, node),
            (Root::Local, _) => Vec::new(),
            (_, Limit::Hosts) => hosts(work, body, name, inventory),
            _ if guests.is_empty() => group.into_iter().collect(),
            _ => guests,
        },
    }
}

fn action_claims(operation: &Operation, mut guests: Vec<Claim>, node: &str) -> Vec<Claim> {
    let Answer::Result { action, .. } = operation.answer else { return Vec::new() };
    if is_reading(action) {
        return Vec::new();
    }
    if action == "vm_clone" {
        // Only the copy is changed, so that many can be made of one template at once.
        return guests.split_off(1);
    }
    if guests.is_empty() && (action.starts_with("network") || action.starts_with("firewall")) {
        return vec![Claim::Other(format!("node {node}"))];
    }
    guests
}

/// The group of guests that a bundle works on, by its name.
fn group(operation: &Operation) -> Option<String> {
    let (_, group) = operation.path.rsplit_once("-vms-")?;
    Some(group.to_owned())
}

/// The hosts that a bundle works on. One that a client chose by name can be about anything, so
/// it only keeps out itself.
fn hosts(
    work: &PlaybookWork,
    body: &Map<String, Value>,
    name: Option<&str>,
    inventory: &Path,
) -> Vec<Claim> {
    let playbook = match (work.file, name) {
        (PlaybookFile::Named, Some(name)) => {
            Some(format!("{} {name}", work.root.folder().trim_end_matches('s')))
        }
        _ => None,
    };
    let pattern = body.get("hosts").and_then(Value::as_str).unwrap_or("all");
    let hosts = hosts_of(pattern, inventory).into_iter();
    hosts.map(|name| Claim::Host { playbook: playbook.clone(), name }).collect()
}

/// The hosts that a pattern means. None among them: any, as far as can be told.
fn hosts_of(pattern: &str, inventory: &Path) -> Vec<Option<String>> {
    // An inventory that cannot be read here may say anything.
    let Ok(groups) = Groups::read(inventory) else { return vec![None] };
    let names = pattern.split([':', ',']).filter(|name| !name.is_empty());
    let hosts: Option<BTreeSet<String>> = names
        .map(|name| groups.hosts(name))
        .collect::<Option<Vec<_>>>()
        .map(|sets| sets.into_iter().flatten().collect());
    // Nothing but colons names no host, and what Ansible makes of that is its own affair.
    let hosts = hosts.filter(|hosts| !hosts.is_empty());
    hosts.map_or_else(|| vec![None], |hosts| hosts.into_iter().map(Some).collect())
}

/// What makes two requests the same, for operations where the same request joins the run that
/// is at work: deletions, which gateways repeat on a timeout, and bundles.
pub fn same(
    operation: &Operation,
    body: &Map<String, Value>,
    name: Option<&str>,
) -> Option<String> {
    let is_bundle = match &operation.work {
        Work::Playbook(work) => work.root != Root::Local,
        Work::CreateVms { .. } => true,
        Work::LookUp { .. } => false,
    };
    if operation.method != Method::Delete && !is_bundle {
        return None;
    }
    // How it is answered makes no difference to what is done.
    let members: BTreeMap<&String, &Value> =
        body.iter().filter(|(member, _)| *member != "as_json").collect();
    let members = serde_json::to_string(&members).ok()?;
    Some(format!("{} {} {members}", operation.id(), name.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::table::OPERATIONS;

    fn of(path: &str, body: Value) -> (Vec<String>, bool) {
        let operation = OPERATIONS.iter().find(|o| o.path.ends_with(path)).expect(path);
        let body = body.as_object().unwrap();
        let inventory = tempfile::tempdir().unwrap();
        let hosts = "all: {children: {web: {hosts: {web-1: , web-2: }}}}";
        std::fs::write(inventory.path().join("hosts.yml"), hosts).unwrap();
        let claims = claims(operation, body, Some("core/lab"), inventory.path());
        (claims.iter().map(Claim::to_string).collect(), same(operation, body, None).is_some())
    }

    #[test]
    fn claims_follow_what_is_changed() {
        let node = "px-testing";
        for (path, body, claims, joins) in [
            ("vms/list", json!({}), &[][..], false),
            ("vm_id/config/vm_get_config", json!({"vm_id": "1000"}), &[], false),
            ("vm_id/start", json!({"vm_id": "0100"}), &["guest 100 of node px-testing"], false),
            ("vm_id/delete", json!({"vm_id": 100}), &["guest 100 of node px-testing"], true),
            (
                "vm_id/clone",
                json!({"vm_id": "9000", "vm_new_id": "12"}),
                &["guest 12 of node px-testing"],
                false,
            ),
            (
                "vm_ids/stop",
                json!({"vm_ids": ["1", 2]}),
                &["guest 1 of node px-testing", "guest 2 of node px-testing"],
                true,
            ),
            (
                "vm_ids/delete",
                json!({"vms": [{"id": "7", "name": "a"}]}),
                &["guest 7 of node px-testing"],
                true,
            ),
            (
                "create-vms-student",
                json!({"vms": {"student-box-01": {"vm_id": 4100}}}),
                &["guest 4100 of node px-testing", "the student guests of node px-testing"],
                true,
            ),
            ("stop-vms-admin", json!({}), &["the admin guests of node px-testing"], true),
            ("delete-vms-admin", json!({}), &["the admin guests of node px-testing"], true),
            ("node/add", json!({"iface_name": "vmbr9"}), &["node px-testing"], false),
            ("storage/download_iso", json!({}), &[], false),
            ("install/docker", json!({"hosts": "web"}), &["host web-1", "host web-2"], true),
            ("install/docker", json!({"hosts": "db:web-1:db"}), &["host db", "host web-1"], true),
            ("install/docker", json!({"hosts": "db:all"}), &["all hosts"], true),
            ("install/docker", json!({"hosts": ":"}), &["all hosts"], true),
            (
                "{bundles_name}/run",
                json!({"hosts": null}),
                &["all hosts with bundle core/lab"],
                true,
            ),
            ("{bundles_name}/run", json!({"hosts": "db"}), &["host db with bundle core/lab"], true),
            ("debug/ping", json!({"hosts": "all"}), &[], false),
        ] {
            let mut body = body;
            body["proxmox_node"] = json!(node);
            let expected = claims.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
            assert_eq!(of(path, body), (expected, joins), "{path}");
        }
    }

    #[test]
    fn every_action_that_only_reads_is_known() {
        let reading = OPERATIONS.iter().filter_map(|operation| match operation.answer {
            Answer::Result { action, .. } if is_reading(action) => Some(operation.path),
            _ => None,
        });
        let reading: Vec<&str> = reading.collect();
        assert!(reading.iter().all(|path| path.contains("list") || path.contains("get_")));
        assert_eq!(reading.len(), 14, "{reading:#?}");
    }
}
