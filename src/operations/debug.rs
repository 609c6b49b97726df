//! Self-tests: the look-up of a guest, and a ping of hosts.

use super::Operation;
use super::PlaybookFile::Fixed;
use super::bundles::HostsRequest;
use super::effect::{Target::Unclaimed, changes};
use super::spec::{playbook, post, self_test};
use super::tags::{RUNNER, TESTING};
use crate::ansible::playbooks::Root;

/// The operations of this domain.
pub fn rows() -> Vec<Operation> {
    vec![
        post(
            "/v0/admin/debug/func_test",
            TESTING,
            "Look up the name of VM 1000, as a self-test",
            self_test("1000", &["VM.Audit"]),
        ),
        post(
            "/v0/admin/debug/ping",
            RUNNER,
            "Ping hosts of the inventory through Ansible",
            // Not a read, because Ansible copies a module to the hosts and runs it there.
            playbook::<HostsRequest>(Root::Local, Fixed("ping.yml"), changes(Unclaimed)),
        ),
    ]
}
