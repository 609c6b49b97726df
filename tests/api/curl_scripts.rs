//! The committed curl scripts are current, and each succeeds on a fresh demo.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::demo::{self, DemoProxmox};
use crate::support::internals::{Script, operations, scripts};
use crate::support::server::Client;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::process::Command;

/// The number of scripts that run concurrently; CI has few cores.
const AT_ONCE: usize = 4;

#[test]
fn the_committed_scripts_are_current() {
    let folder = demo::root().join("curl_utils");
    let made = scripts();
    for Script { name, text } in &made {
        let file = folder.join(name);
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == *text, "{name}: write it: cargo run -- curl-scripts");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert!(mode & 0o100 != 0, "{name} cannot be run");
    }
    let there = std::fs::read_dir(&folder).unwrap().flatten();
    let there = there.filter(|entry| entry.path().extension().is_some_and(|end| end == "sh"));
    assert_eq!(there.count(), made.len());
    assert_eq!(made.len(), operations().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_succeeds_on_a_fresh_demo() {
    let (dir, proxmox) = (tempfile::tempdir().unwrap(), DemoProxmox::start());
    let mut settings = demo::settings(dir.path(), &proxmox.inventory());
    settings.insert("RANGE42_ENGINE".to_owned(), "auto".to_owned());
    let client = Client::new(&settings);
    let base_url = client.serve().await;

    let lanes = stream::iter(lanes()).map(|lane| in_turn(lane, &base_url));
    let failed: Vec<String> = lanes.buffer_unordered(AT_ONCE).concat().await;
    assert!(failed.is_empty(), "{} scripts failed:\n{}", failed.len(), failed.join("\n"));
}

/// Groups scripts that must run in sequence: those of a group of guests, with its deletion last.
/// All other scripts use guests of their own, so each is a lane of its own.
fn lanes() -> Vec<Vec<String>> {
    let mut lanes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Script { name, .. } in scripts() {
        let stem = name.trim_end_matches(".sh");
        let group =
            ["vms-admin", "vms-vuln", "vms-student"].into_iter().find(|g| stem.ends_with(g));
        lanes.entry(group.unwrap_or(stem).to_owned()).or_default().push(name);
    }
    let mut lanes: Vec<Vec<String>> = lanes.into_values().collect();
    lanes.iter_mut().for_each(|lane| lane.sort_by_key(|name| name.contains("delete")));
    // Start the longest lanes first, so that none runs alone at the end.
    lanes.sort_by_key(|lane| std::cmp::Reverse(lane.len()));
    assert!(lanes[0].len() > 1, "those of a group are in one lane");
    lanes
}

/// Runs scripts in sequence and returns the errors of those that failed.
async fn in_turn(lane: Vec<String>, base_url: &str) -> Vec<String> {
    let mut failed = Vec::new();
    for name in lane {
        let script = demo::root().join("curl_utils").join(&name);
        let output = Command::new(&script).env("BASE_URL", base_url).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        // The self-test returns null; it succeeded if curl did.
        let succeeded = answer["rc"] == 0 || name == "debug.func_test.sh";
        if !output.status.success() || !succeeded || !bundle_leaves_it(&name, &answer) {
            let said = String::from_utf8_lossy(&output.stderr);
            failed.push(format!("{name}: {} {said} {:.2000}", output.status, text));
        }
    }
    failed
}

/// The Linux hosts of the demo are the machine that runs the tests.
fn bundle_leaves_it(name: &str, answer: &Value) -> bool {
    !name.contains(".linux.ubuntu.")
        || answer.to_string().matches("is left as it is (range42_plan_only)").count() == 3
}

#[tokio::test]
async fn scripts_take_values_from_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    let seen = dir.path().join("seen");
    let curl = format!("#!/bin/sh\n{{ printf '%s\\n' \"$@\"; cat; }} > '{}'\n", seen.display());
    crate::support::stub::write(&bin.join("curl"), &curl);
    std::fs::set_permissions(bin.join("curl"), PermissionsExt::from_mode(0o755)).unwrap();
    let run = async |name: &str, variables: &[(&str, &str)]| {
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let mut command = Command::new(demo::root().join("curl_utils").join(name));
        command.env("PATH", path).envs(variables.iter().copied());
        assert!(command.status().await.unwrap().success());
        read(&seen)
    };
    let sent = run(
        "proxmox.vms.vm_id.clone.sh",
        &[
            ("BASE_URL", "https://gateway.test"),
            ("CURL_OPTIONS", "--header apikey:x"),
            ("PROXMOX_NODE", "pve01"),
            ("VM_ID", "7000"),
            ("VM_NEW_ID", "7001"),
        ],
    )
    .await;
    for part in [
        "--header\napikey:x\n",
        "https://gateway.test/v0/admin/proxmox/vms/vm_id/clone\n",
        "\"proxmox_node\": \"pve01\"",
        "\"vm_id\": \"7000\"",
        "\"vm_new_id\": \"7001\"",
    ] {
        assert!(sent.contains(part), "{part} is not in {sent}");
    }
    let sent = run("run.bundles.bundles_name.run.sh", &[("BUNDLES_NAME", "a%2Fb")]).await;
    assert!(sent.contains("/v0/admin/run/bundles/a%2Fb/run\n"), "{sent}");
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
