//! Rows and actions of the role agree about what changes something.

use std::collections::HashMap;
use std::process::Command;

use crate::support::demo::{root, venv};
use serde_json::{Value, json};

use crate::support::internals::{effects, operations};

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

/// A member that is published as a password is redacted, and no other member is.
#[test]
fn the_secrets_of_a_request_are_its_passwords() {
    let inventory = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string("openapi.json").unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut passwords = 0;
    for operation in operations() {
        let method = operation.method.to_lowercase();
        let published = &document["paths"][operation.path][method];
        let schema = &published["requestBody"]["content"]["application/json"]["schema"];
        let Some(schema) = referenced(&document, schema) else { continue };
        for (member, rule) in schema["properties"].as_object().into_iter().flatten() {
            let mut body = operation.example.clone().unwrap();
            body.insert(member.clone(), json!("a-probe"));
            let name = operation.path.contains("_name}").then_some("core/lab");
            let Some(effects) = effects(&operation.id, &body, name, inventory.path()) else {
                continue;
            };
            let is_secret = effects["secrets"].as_array().unwrap().contains(&json!("a-probe"));
            let rule = referenced(&document, rule).unwrap_or(rule);
            assert_eq!(is_secret, rule["format"] == "password", "{}: {member}", operation.path);
            passwords += usize::from(is_secret);
        }
    }
    assert!(passwords > 0);
}

fn referenced<'a>(document: &'a Value, schema: &Value) -> Option<&'a Value> {
    document.pointer(&schema["$ref"].as_str()?[1..])
}
