//! The tags under which the documentation lists the operations.
#![expect(missing_docs, reason = "each constant says in its own description what it is")]

/// A tag of operations.
#[derive(Debug, PartialEq, Eq)]
pub struct Tag {
    /// The name, on which clients depend.
    pub name: &'static str,
    /// A one-sentence description of its operations.
    pub description: &'static str,
}

const fn tag(name: &'static str, description: &'static str) -> Tag {
    Tag { name, description }
}

pub const TESTING: &Tag = &tag("__tmp_testing", "A self-test.");
pub const RUNNER: &Tag = &tag("runner", "Playbooks by their name.");
pub const FIREWALL: &Tag =
    &tag("proxmox - firewall", "The firewall of the datacenter, of a node and of a guest.");
pub const NODE_NETWORK: &Tag =
    &tag("proxmox - network - node", "The network interfaces of a node.");
pub const GUEST_NETWORK: &Tag = &tag("proxmox - network - vm", "The network cards of a guest.");
pub const STORAGE: &Tag =
    &tag("proxmox - storage", "Storages, and the ISO images and container templates on them.");
pub const USAGE: &Tag = &tag("proxmox - usage", "The guests of a node and what they use.");
pub const MANAGEMENT: &Tag = &tag("proxmox - vm management", "Create, clone and delete guests.");
pub const CONFIG: &Tag = &tag("proxmox - vm configuration", "The configuration of a guest.");
pub const LIFECYCLE: &Tag =
    &tag("proxmox - vm lifecycle", "Guests started, stopped, paused and resumed, one or several.");
pub const SNAPSHOTS: &Tag = &tag("proxmox - vm snapshots", "The snapshots of a guest.");
pub const UBUNTU: &Tag =
    &tag("bundles - core - ubuntu", "What is installed on Linux hosts and set up there.");
pub const ADMIN: &Tag = &tag(
    "bundles - core - proxmox - vms - default-configuration - admin",
    "The admin guests of the default configuration, as a group.",
);
pub const STUDENT: &Tag = &tag(
    "bundles - core - proxmox - vms - default-configuration - student",
    "The student guests of the default configuration, as a group.",
);
pub const VULN: &Tag = &tag(
    "bundles - core - proxmox - vms - default-configuration - vuln",
    "The vulnerable guests of the default configuration, as a group.",
);
pub const RUNS: &Tag = &tag("runs", "The playbook runs that operations started.");
