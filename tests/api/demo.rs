//! Runs with the real ansible-runner, against the fake Proxmox over TLS.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::demo::{self, DemoProxmox};
use crate::support::process::ServerProcess;
use crate::support::server::{Answer, Client};
use crate::support::stub::write;
use serde_json::{Value, json};
use tempfile::TempDir;

const LIST: &str = "/v0/admin/proxmox/vms/list";

/// A server with a copy of the demo's inventory, modified by `change`.
fn server(dir: &TempDir, proxmox: &DemoProxmox, change: (&str, &str)) -> Client {
    let hosts = fs::read_to_string(proxmox.inventory().join("hosts.yml")).unwrap();
    assert!(hosts.contains(change.0), "{hosts}");
    write(&dir.path().join("inventory/hosts.yml"), &hosts.replace(change.0, change.1));
    Client::new(&demo::settings(dir.path(), &dir.path().join("inventory")))
}

async fn list(client: &Client) -> Answer {
    client.json("POST", LIST, &json!({ "proxmox_node": "px-testing" })).await
}

#[tokio::test]
async fn list_returns_the_guests_of_the_node() {
    let (dir, proxmox) = (tempfile::tempdir().unwrap(), DemoProxmox::start());
    let client = server(&dir, &proxmox, ("all:", "all:"));

    let answer = list(&client).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let first = &body["result"][0][0];
    assert_eq!(body["rc"], 0);
    assert_eq!(first["action"], "vm_list");
    assert_eq!((&first["vm_id"], &first["vm_status"]), (&json!(1000), &json!("running")));
    assert!(answer.headers.contains_key("x-run-id") && answer.headers.contains_key("x-request-id"));

    let log = json!({ "proxmox_node": "px-testing", "as_json": false });
    let answer = client.json("POST", LIST, &log).await.json();
    let lines: Vec<&str> =
        answer["log_multiline"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(lines.iter().any(|line| line.starts_with("PLAY RECAP")), "{lines:?}");

    // If the look-up finds no guest, no playbook is started.
    let missing = json!({ "proxmox_node": "px-testing", "vm_id": 4711 });
    let answer = client.json("DELETE", "/v0/admin/proxmox/vms/vm_id/delete", &missing).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["detail"].as_str().unwrap()),
        (404, "no VM has the id 4711 on node px-testing")
    );

    let runs = client.get("/v0/admin/runs?operation=post_proxmox_vms_list").await.json();
    let phases = &runs["runs"][0]["phases"];
    // Starting Python and ending Ansible take more than a millisecond each.
    for phase in ["start_ms", "play_ms", "end_ms"] {
        assert!(phases[phase].as_u64().unwrap() > 0, "{phases}");
    }
    assert_eq!(phases["look_up_ms"], 0, "{phases}");

    let left: Vec<_> =
        fs::read_dir(dir.path().join("data/runs")).unwrap().flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "run directories stay: {left:?}");
}

#[tokio::test]
async fn a_failed_run_reports_its_cause_in_one_line() {
    let proxmox = DemoProxmox::start();
    let api_host = proxmox.text("api_host").to_owned();
    let secret = proxmox.text("token_secret").to_owned();
    let ca_file = format!("proxmox_ca_file: {}", proxmox.text("cert"));
    let cases = [
        (secret.as_str(), "00000000-0000-0000-0000-000000000000", "401"),
        (api_host.as_str(), "127.0.0.1:1", "refused"),
        (ca_file.as_str(), "proxmox_ca_file: ''", "certificate"),
    ];
    for (old, new, reason) in cases {
        let dir = tempfile::tempdir().unwrap();
        let answer = list(&server(&dir, &proxmox, (old, new))).await;
        let body = answer.json();
        let error = body["error"].as_str().unwrap_or_default();
        assert_eq!(answer.status, 500, "{}", answer.text);
        assert!(error.contains(reason) && !error.contains('\n') && error.len() < 300, "{error:?}");
        assert!(!answer.text.contains(&secret), "the token is in the answer");
    }
    let dir = tempfile::tempdir().unwrap();
    let client = server(&dir, &proxmox, ("all:", "all:"));
    let unknown = json!({ "proxmox_node": "px-testing", "vm_id": "4711" });
    let answer = client.json("POST", "/v0/admin/proxmox/vms/vm_id/start", &unknown).await.json();
    assert!(answer["error"].as_str().unwrap().contains("4711"), "{answer}");
}

#[tokio::test]
async fn a_user_role_replaces_the_included_role() {
    let (dir, proxmox) = (tempfile::tempdir().unwrap(), DemoProxmox::start());
    let role = dir.path().join("roles/range42-ansible_roles-proxmox_controller/tasks/main.yml");
    write(&role, "- ansible.builtin.debug: { var: vm_list }\n  vars: { vm_list: [theirs] }\n");
    let mut env = demo::settings(dir.path(), &proxmox.inventory());
    env.insert("ANSIBLE_ROLES_PATH".to_owned(), dir.path().join("roles").display().to_string());
    let answer = list(&Client::new(&env)).await.json();
    assert_eq!(answer["result"], json!([["theirs"]]), "{answer}");
}

/// ansible-runner also reads this variable, from the environment of the server.
#[tokio::test(flavor = "multi_thread")]
async fn the_included_role_is_found_after_user_roles() {
    let (dir, proxmox) = (tempfile::tempdir().unwrap(), DemoProxmox::start());
    write(&dir.path().join("roles/another/tasks/main.yml"), "[]\n");
    let mut env = demo::settings(dir.path(), &proxmox.inventory());
    env.insert("ANSIBLE_ROLES_PATH".to_owned(), dir.path().join("roles").display().to_string());
    // These must not reach ansible-runner either.
    env.insert("RUNNER_ROLE".to_owned(), "another".to_owned());
    env.insert("RUNNER_OMIT_EVENTS".to_owned(), "true".to_owned());
    env.insert("JOB_ID".to_owned(), "of-the-build-server".to_owned());
    for engine in ["process", "warm"] {
        env.insert("RANGE42_ENGINE".to_owned(), engine.to_owned());
        let server = ServerProcess::start(&env);
        let list = || async {
            let body = json!({ "proxmox_node": "px-testing" });
            let answer = server.request("POST", LIST, &body).send().await.unwrap();
            answer.json::<Value>().await.unwrap()
        };
        let first = list().await;
        assert_eq!(first["result"][0][0]["vm_id"], 1000, "{engine}: {first}");
        if engine == "warm" {
            server.engine_serves("warm").await;
            let second = list().await;
            assert_eq!(second["result"][0][0]["vm_id"], 1000, "{engine}: {second}");
            let log = server.log();
            assert!(!log.contains("its environment differs"), "{log}");
        }
    }
}

#[tokio::test]
async fn an_untrustworthy_runner_result_is_an_error() {
    let proxmox = DemoProxmox::start();
    let scripts = [
        ("exit 0", "without a result"),
        ("echo 'no such option' >&2; exit 2", "no such option"),
        (
            "mkdir -p $2/artifacts/$5/job_events; echo '{' > $2/artifacts/$5/job_events/1-x.json; echo 0 > $2/artifacts/$5/rc",
            "cannot read job event 1-x.json",
        ),
        (
            "mkdir -p $2/artifacts/$5/job_events; echo '{}' > $2/artifacts/$5/job_events/1-x.json; echo 0 > $2/artifacts/$5/rc",
            "without a recap",
        ),
    ];
    for (script, reason) in scripts {
        let dir = tempfile::tempdir().unwrap();
        let runner = dir.path().join("runner");
        executable(&runner, &format!("#!/bin/sh\n{script}\n"));
        let mut env = demo::settings(dir.path(), &proxmox.inventory());
        env.insert("RANGE42_RUNNER".to_owned(), runner.display().to_string());
        let answer = list(&Client::new(&env)).await;
        assert_eq!(answer.status, 500, "{script}: {}", answer.text);
        assert!(answer.text.contains(reason), "{script}: {}", answer.text);
    }
}

fn executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    write(path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Encrypts a variables file with ansible-vault and runs a playbook that reads it.
async fn read_vaulted(password_setting: impl Fn(&Path) -> (String, String), vars_file: bool) {
    let (dir, proxmox) = (tempfile::tempdir().unwrap(), DemoProxmox::start());
    let dir_path = dir.path();
    write(&dir_path.join("password"), "open sesame");
    let secret = dir_path.join("public/bundles/reads-vault/secret.yml");
    write(&secret, "greeting: from the vault\n");
    let encrypt = Command::new(demo::venv("ansible-vault"))
        .args(["encrypt", "--vault-password-file"])
        .args([&dir_path.join("password"), &secret])
        .output()
        .unwrap();
    assert!(encrypt.status.success(), "{encrypt:?}");
    let mut env = demo::settings(dir_path, &proxmox.inventory());
    let vars_files = if vars_file {
        env.insert("API_BACKEND_VAULT_FILE".to_owned(), secret.display().to_string());
        ""
    } else {
        "  vars_files: [secret.yml]\n"
    };
    let tasks = "  tasks:\n    - ansible.builtin.debug: { msg: 'it says {{ greeting }}' }\n";
    let play = format!("- hosts: px-testing\n  gather_facts: false\n{vars_files}{tasks}");
    write(&dir_path.join("public/bundles/reads-vault/main.yml"), &play);
    env.insert(
        "API_BACKEND_PUBLIC_PLAYBOOKS_DIR".to_owned(),
        dir_path.join("public").display().to_string(),
    );
    env.extend([password_setting(dir_path)]);
    let client = Client::new(&env);
    let body = json!({ "proxmox_node": "px-testing", "hosts": null });
    let answer = client.json("POST", "/v0/admin/run/bundles/reads-vault/run", &body).await;
    assert!(answer.text.contains("it says from the vault"), "{}", answer.text);
    drop(client);
    assert!(!dir_path.join("data/runs/vault").exists(), "the password file stays");
}

#[tokio::test]
async fn a_vault_password_file_decrypts_vaulted_files() {
    read_vaulted(
        |dir| ("VAULT_PASSWORD_FILE".to_owned(), dir.join("password").display().to_string()),
        false,
    )
    .await;
}

#[tokio::test]
async fn a_vault_password_decrypts_vaulted_files_and_the_vars_file() {
    read_vaulted(|_| ("VAULT_PASSWORD".to_owned(), "open sesame".to_owned()), false).await;
    read_vaulted(|_| ("VAULT_PASSWORD".to_owned(), "open sesame".to_owned()), true).await;
}
