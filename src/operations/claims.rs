//! What a request changes, and with which runs it therefore conflicts or which run it joins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::request::Request;
use super::{Operation, Target, Work};
use crate::inventory::groups::Groups;
use crate::runs::claims::Claim;

/// Returns the resources that no other run may change while this run is active.
///
/// `name` is the name in the path. `inventory` is the inventory dir, which is needed because a
/// request can refer to a host by its name or by any of its groups.
///
/// # Blocking
///
/// Reads the inventory.
pub fn claims(
    operation: &Operation,
    request: &dyn Request,
    name: Option<&str>,
    inventory: &Path,
) -> Vec<Claim> {
    let node = request.node().unwrap_or_default();
    let guests = |group: Option<&str>| {
        let guest =
            |id| Claim::Guest { node: node.to_owned(), id, group: group.map(str::to_owned) };
        request.guests().into_iter().map(guest).collect::<Vec<_>>()
    };
    let group = |name: &str| Claim::Group { node: node.to_owned(), name: name.to_owned() };
    match operation.effect.target() {
        None | Some(Target::Unclaimed) => Vec::new(),
        Some(Target::Guests) => guests(None),
        Some(Target::Copy) => guests(None).into_iter().skip(1).collect(),
        Some(Target::Group(name)) => vec![group(name)],
        Some(Target::NewGuests(name)) => {
            guests(Some(name)).into_iter().chain([group(name)]).collect()
        }
        Some(Target::Node) => vec![Claim::Other(format!("node {node}"))],
        Some(Target::Datacenter) => vec![Claim::Other("the datacenter".to_owned())],
        Some(Target::Hosts) => hosts(None, request, inventory),
        Some(Target::HostsByName) => hosts(playbook(operation, name), request, inventory),
    }
}

/// A description of the playbook that the client names, such as `bundle ping`.
fn playbook(operation: &Operation, name: Option<&str>) -> Option<String> {
    let Work::Playbook(work) = &operation.work else { return None };
    let kind = work.root.folder().trim_end_matches('s');
    name.map(|name| format!("{kind} {name}"))
}

fn hosts(playbook: Option<String>, request: &dyn Request, inventory: &Path) -> Vec<Claim> {
    let hosts = hosts_of(request.hosts().unwrap_or("all"), inventory).into_iter();
    hosts.map(|name| Claim::Host { playbook: playbook.clone(), name }).collect()
}

/// The hosts that match a pattern. `None` stands for all hosts; it is the result if the pattern
/// cannot be resolved.
fn hosts_of(pattern: &str, inventory: &Path) -> Vec<Option<String>> {
    // If the inventory cannot be read, the pattern may match any host.
    let Ok(groups) = Groups::read(inventory) else { return vec![None] };
    let names = pattern.split([':', ',']).filter(|name| !name.is_empty());
    let hosts: Option<BTreeSet<String>> = names
        .map(|name| groups.hosts(name))
        .collect::<Option<Vec<_>>>()
        .map(|sets| sets.into_iter().flatten().collect());
    // A pattern of separators only names no hosts, so how Ansible resolves it is unknown.
    let hosts = hosts.filter(|hosts| !hosts.is_empty());
    hosts.map_or_else(|| vec![None], |hosts| hosts.into_iter().map(Some).collect())
}

/// The join key: a request joins the active run that has the same key. `None` if the operation does
/// not declare that equal requests join.
pub fn join_key(
    operation: &Operation,
    members: &Map<String, Value>,
    name: Option<&str>,
) -> Option<String> {
    if !operation.joins {
        return None;
    }
    // `as_json` only affects the response, not the run.
    let members: BTreeMap<&String, &Value> =
        members.iter().filter(|(member, _)| *member != "as_json").collect();
    let members = serde_json::to_string(&members).ok()?;
    Some(format!("{} {} {members}", operation.id(), name.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::OPERATIONS;
    use super::*;

    /// The claims of the operation whose path ends with `end`, for its example with `changes`
    /// applied.
    fn of(end: &str, changes: Value) -> Vec<String> {
        let operation = OPERATIONS.iter().find(|o| o.path.ends_with(end)).expect(end);
        let mut members = operation.example_body().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        let request = (operation.request.as_ref().unwrap().parse)(members).unwrap();
        let inventory = tempfile::tempdir().unwrap();
        let hosts = "all: {children: {web: {hosts: {web-1: , web-2: }}}}";
        std::fs::write(inventory.path().join("hosts.yml"), hosts).unwrap();
        let claims = claims(operation, request.as_ref(), Some("core/lab"), inventory.path());
        claims.iter().map(Claim::to_string).collect()
    }

    #[test]
    fn claims_follow_what_is_changed() {
        for (end, changes, claims) in [
            ("vms/list", json!({}), &[][..]),
            ("vm_id/start", json!({"vm_id": "0100"}), &["guest 100 of node px-testing"]),
            (
                "vm_id/clone",
                json!({"vm_id": "9000", "vm_new_id": "120"}),
                &["guest 120 of node px-testing"],
            ),
            (
                "vm_ids/stop",
                json!({"vm_ids": ["1", "2"]}),
                &["guest 1 of node px-testing", "guest 2 of node px-testing"],
            ),
            (
                "create-vms-student",
                json!({}),
                &["guest 5200 of node px-testing", "the student guests of node px-testing"],
            ),
            ("stop-vms-admin", json!({}), &["the admin guests of node px-testing"]),
            ("network/node/add", json!({}), &["node px-testing"]),
            ("firewall/datacenter/enable", json!({}), &["the datacenter"]),
            ("storage/download_iso", json!({}), &[]),
            ("install/docker", json!({"hosts": "web"}), &["host web-1", "host web-2"]),
            ("install/docker", json!({"hosts": "db:web-1:db"}), &["host db", "host web-1"]),
            ("install/docker", json!({"hosts": "db:all"}), &["all hosts"]),
            ("install/docker", json!({"hosts": ":"}), &["all hosts"]),
            ("{bundles_name}/run", json!({"hosts": null}), &["all hosts with bundle core/lab"]),
            ("{bundles_name}/run", json!({"hosts": "db"}), &["host db with bundle core/lab"]),
            ("debug/ping", json!({"hosts": "all"}), &[]),
        ] {
            assert_eq!(of(end, changes), claims, "{end}");
        }
    }

    /// Operations that only read need no privileges to change anything.
    #[test]
    fn privileges_fit_the_effect() {
        for operation in OPERATIONS.iter() {
            let audits = operation.privileges.iter().all(|privilege| privilege.ends_with(".Audit"));
            let asks_proxmox = !operation.privileges.is_empty();
            let reads = operation.effect.is_reading();
            assert!(!asks_proxmox || reads == audits, "{}", operation.path);
        }
    }
}
