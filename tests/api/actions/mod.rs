//! Every action over HTTP, through the real ansible-runner, against a fake Proxmox that keeps state
//! and validates each request with the schema of Proxmox VE. Results are parsed as the published
//! type, and changes are read back from Proxmox.

mod bundles;
mod effects;
mod firewall;
mod guests;
mod network;
mod refusals;

use crate::support::internals::operations;

/// Each operation with a result is called somewhere in these files, by the end of its path.
#[test]
fn every_operation_is_tested() {
    let files = [
        include_str!("bundles.rs"),
        include_str!("firewall.rs"),
        include_str!("guests.rs"),
        include_str!("network.rs"),
    ];
    let mut actions = std::collections::BTreeSet::new();
    for operation in operations() {
        let Some(action) = operation.action else { continue };
        actions.insert(action);
        let parts: Vec<&str> = operation.path.rsplit('/').take(2).collect();
        let end = format!("\"{}/{}\"", parts[1], parts[0]);
        let of_a_group = operation.path.contains("/run/bundles/");
        assert!(of_a_group || files.iter().any(|file| file.contains(&end)), "{}", operation.path);
    }
    assert!(actions.len() >= 41, "{actions:?}");
}
