//! A request that Proxmox rejects fails the run with the error message of Proxmox.

use serde_json::{Value, json};

use crate::support::internals::operations;
use crate::support::lab::Lab;

const WORDS: &str = "Permission check failed (/vms, VM.Audit)";

/// The number of concurrent runs; CI has few cores.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn every_action_reports_the_error_of_proxmox() {
    use futures_util::{StreamExt, stream};
    let lab = Lab::start(&[]);
    lab.fault(json!({ "answer": { "status": 403, "message": WORDS } })).await;
    let actions = operations()
        .into_iter()
        .filter(|operation| operation.action.is_some() && operation.path.contains("/proxmox/"));
    let refused = actions.map(async |operation| {
        let body = Value::Object(operation.example.unwrap());
        let answer = lab.server.json(&operation.method, operation.path, &body).await;
        assert_eq!(answer.status, 500, "{}: {}", operation.path, answer.text);
        // A failed look-up starts no run, so there is no result and no log.
        let body = answer.json();
        let said = body["error"].as_str().or(body["detail"].as_str()).unwrap_or_default();
        let bundle = operation.path.contains("/vm_ids/");
        assert!(
            said.contains(WORDS) || (bundle && said.contains("403")),
            "{}: {said}",
            operation.path
        );
        assert!(!said.contains('\n'), "{said:?}");
    });
    stream::iter(refused).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn operations_that_look_up_a_guest_report_failures() {
    let lab = Lab::start(&[]);
    let cases = [
        ("vm_id/delete", json!({ "vm_id": "1001" }), "VM 1001 is running - destroy failed"),
        ("vm_id/clone", json!({ "vm_new_id": "1000" }), "config file already exists"),
        (
            "snapshot/create",
            json!({ "vm_id": "1020" }),
            "snapshot name 'before-exercise' already used",
        ),
        ("snapshot/delete", json!({ "vm_id": "1000" }), "snapshot 'clean' does not exist"),
        (
            "snapshot/revert",
            json!({ "vm_id": "1000" }),
            "snapshot 'before-exercise' does not exist",
        ),
    ];
    for (end, changes, words) in cases {
        let answer = lab.ask(end, changes).await;
        let body = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &body["rc"]),
            (500, &json!(2)),
            "{end}: {}",
            answer.text
        );
        let error = body["error"].as_str().unwrap();
        assert!(error.contains(words) && !error.contains('\n'), "{end}: {error}");
    }
    for end in ["vm_id/delete", "vm_id/clone", "vm/enable", "vm/disable", "snapshot/create"] {
        let answer = lab.ask(end, json!({ "vm_id": 4242 })).await;
        assert_eq!(answer.status, 404, "{end}: {}", answer.text);
    }
}

#[tokio::test]
async fn requests_that_proxmox_rejects() {
    let lab = Lab::start(&[]);
    let cases = [
        ("vm_id/start", json!({ "vm_id": "1000" }), "VM 1000 already running"),
        ("vm_id/pause", json!({ "vm_id": "1012" }), "VM 1012 not running"),
        ("vm_id/create", json!({ "vm_id": "1000" }), "VM 1000 already exists"),
        ("rules/apply", json!({ "vm_fw_dport": "99999" }), "dport: "),
        ("rules/delete", json!({ "vm_fw_pos": 7 }), "no rule at position 7"),
        ("node/add", json!({ "iface_type": "nonsense" }), "type: "),
        (
            "storage/download_iso",
            json!({ "proxmox_storage": "local-lvm" }),
            "not a file based storage",
        ),
        ("config/vm_get_config", json!({ "vm_id": "4242" }), "4242.conf' does not exist"),
    ];
    for (end, changes, words) in cases {
        let answer = lab.ask(end, changes).await;
        let body = answer.json();
        assert_eq!(answer.status, 500, "{end}: {}", answer.text);
        let error = body["error"].as_str().unwrap_or_default();
        assert!(error.contains(words) && !error.contains('\n'), "{end}: {error}");
    }
}
