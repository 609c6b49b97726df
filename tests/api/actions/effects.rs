//! Rows and actions of the role agree about what changes something.

use std::collections::HashMap;
use std::process::Command;

use crate::support::demo::{root, venv};
use crate::support::internals::operations;

/// Prints which actions of the role declare a change.
const CHANGES: &str = "
import json, sys
sys.path.insert(0, 'playbooks/roles/proxmox_controller')
from proxmox.actions import ACTIONS
print(json.dumps({name: action.changes for name, action in ACTIONS.items()}))
";

#[test]
fn a_row_reads_if_its_action_does() {
    let mut python = Command::new(venv("python"));
    let output = python.args(["-c", CHANGES]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let changes: HashMap<String, bool> = serde_json::from_slice(&output.stdout).unwrap();
    let mut compared = 0;
    for operation in operations() {
        let Some(action) = operation.action else { continue };
        assert_eq!(operation.reads, !changes[action], "{}: {action}", operation.path);
        compared += 1;
    }
    assert!(compared > 60, "only {compared} rows have an action");
}
