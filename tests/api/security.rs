//! No input of a client is executed: a corpus of hostile strings is sent in every string field of
//! every operation, and through real runs.

use std::fs;
use std::path::Path;

use crate::support::demo;
use crate::support::examples::{Example, example, examples};
use crate::support::server::Client;
use crate::support::stub::{StubServer, write};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// The content of a file that must not appear in any response.
const SECRET: &str = "content-of-the-secret-file";

/// Files that hostile strings try to read and create.
struct Traps {
    dir: tempfile::TempDir,
}

impl Traps {
    fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), SECRET).unwrap();
        Self { dir }
    }

    fn secret(&self) -> String {
        self.dir.path().join("secret").display().to_string()
    }

    fn made(&self) -> String {
        self.dir.path().join("made").display().to_string()
    }

    fn assert_untouched(&self) {
        assert!(!Path::new(&self.made()).exists(), "a text was run");
    }

    /// Templates that would leave a trace if they were evaluated.
    fn templates(&self) -> Vec<String> {
        let (secret, made) = (self.secret(), self.made());
        vec![
            "{{ 7*7 }}".to_owned(),
            "{{7*7}}".to_owned(),
            "{{ '{{ 7*7 }}' }}".to_owned(),
            "{% for x in [1, 2] %}x{% endfor %}".to_owned(),
            "{#a comment#}".to_owned(),
            format!("{{{{ lookup('pipe', 'touch {made}') }}}}"),
            format!("{{{{ lookup('file', '{secret}') }}}}"),
            format!("{{{{lookup('file','{secret}')}}}}"),
        ]
    }

    fn corpus(&self) -> Vec<String> {
        let (secret, made) = (self.secret(), self.made());
        let mut all = self.templates();
        all.extend([
            format!("@{secret}"),
            format!("-e@{secret}"),
            format!("--extra-vars=@{secret}"),
            secret.clone(),
            format!("../../../../../../..{secret}"),
            format!("$(touch {made})"),
            format!("`touch {made}`"),
            format!("x; touch {made}"),
            format!("x\ntouch {made}"),
            format!("!unsafe {made}"),
            "A".repeat(1_000_000),
        ]);
        let fixed = [
            "",
            " ",
            "-",
            "--",
            "-vvv",
            "--limit=all",
            "all:!proxmox",
            "!vault |",
            "../secret",
            "..%2fsecret",
            "a\0b",
            "\0",
            "a\nb",
            "a\r\nb",
            "a\n",
            "\n",
            "a\u{2028}b",
            "${HOME}",
            "{\u{200b}{ 7*7 }}",
            "｛｛ 7*7 ｝｝",
            "\u{ff10}",
            "\u{ff41}ll",
            "\u{430}ll",
            "\u{202e}lla",
            "\u{feff}all",
            "..\u{2215}secret",
            "＠secret",
            "﹣vvv",
            "\u{1f600}",
        ];
        all.extend(fixed.map(str::to_owned));
        all
    }
}

/// The strings for one field. A hostile string does not look like a volume or a URL, so it is also
/// embedded in one, which passes validation.
fn shaped(pointer: &str, texts: &[String]) -> Vec<String> {
    match pointer {
        "/iso_url" => texts.iter().map(|text| format!("https://{text}")).collect(),
        "/vm_iso" => texts.iter().map(|text| format!("local:iso/{text}.iso")).collect(),
        _ => Vec::new(),
    }
}

/// The number of parts of the corpus, which are tested concurrently.
const PARTS: usize = 3;

#[tokio::test]
async fn injections_are_inert_part_1() {
    through_every_text(0).await;
}

#[tokio::test]
async fn injections_are_inert_part_2() {
    through_every_text(1).await;
}

#[tokio::test]
async fn injections_are_inert_part_3() {
    through_every_text(2).await;
}

async fn through_every_text(part: usize) {
    let (traps, server) = (Traps::set(), StubServer::start(|_, _| {}));
    find_every_guest(&server);
    let corpus = traps.corpus();
    let (mut refused, mut passed) = (0, 0);
    let all = examples();
    assert!(all.len() >= 79, "{}", all.len());
    for example in all.iter().skip(part).step_by(PARTS) {
        for pointer in example.texts() {
            for text in corpus.iter().chain(&shaped(&pointer, &corpus)) {
                match send(&server, example, &pointer, text).await {
                    true => passed += 1,
                    false => refused += 1,
                }
            }
        }
    }
    traps.assert_untouched();
    assert!(refused > 2000 && passed > 40, "rejected {refused}, accepted {passed}");
}

/// Lets look-ups find the guests of the examples, so that requests get past them.
fn find_every_guest(server: &StubServer) {
    let listed = [1000, 1020, 1022, 9000].map(|id| json!({ "vm_id": id, "vm_name": "found" }));
    let event = json!({"event": "runner_on_ok", "event_data": {"res": {"vm_list": listed}}});
    server.behave(&json!({ "events": [], "lookup_events": [event], "rc": 0, "lookup_rc": 0 }));
}

/// Sends the example with `text` at `pointer`. Either nothing is started, or the text reaches the
/// run unchanged, as a separate argument or tagged `!unsafe`, which the stub checks.
async fn send(server: &StubServer, example: &Example, pointer: &str, text: &str) -> bool {
    let place = || {
        let start: String = text.chars().take(80).collect();
        format!("{} {pointer} {start:?}", example.path)
    };
    let body = example.with(pointer, text);
    let answer = server.client.json(&example.method, &example.path, &body).await;
    let calls = server.take_calls();
    assert!(!answer.text.contains(SECRET), "{}: the file was read", place());
    if answer.status != 200 {
        assert!([400, 422].contains(&answer.status.as_u16()), "{}: {}", place(), answer.text);
        assert!(calls.is_empty(), "{}: rejected, but run: {calls:?}", place());
        return false;
    }
    let arrived = calls.iter().any(|call| {
        call["limit"] == text || call["tags"] == text || holds(&call["extravars"], text)
    });
    // These two control the run, and are not variables if they are empty or unused.
    let steers = ["/proxmox_api_host", "/proxmox_node"].contains(&pointer);
    assert!(arrived || steers, "{}: arrived as {calls:?}", place());
    true
}

fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(members) => members.values().any(|member| holds(member, text)),
        _ => false,
    }
}

/// The API host receives the operator's token, so clients must not choose it.
#[tokio::test]
async fn only_the_configured_host_receives_the_token() {
    const API_HOST: &str = "proxmox_api_host";
    let host = "proxmox: {hosts: {px: {proxmox_api_host: pve.test}}}";
    let token = "proxmox: {hosts: {px: {proxmox_api_token_id: root@pam!api}}}";
    let vaulted_value = "all: {vars: {proxmox_api_host: !vault '$ANSIBLE_VAULT;1.1;AES256 31'}}";
    let vaulted_file = "$ANSIBLE_VAULT;1.1;AES256\n3132\n";
    for (file, text, admitted) in [
        ("root/inventory/hosts.yml", "all: {}", true),
        ("root/inventory/hosts.yml", host, true),
        ("root/inventory/hosts.yml", token, false),
        ("root/inventory/hosts.yml", vaulted_value, false),
        ("root/inventory/group_vars/all/vault.yml", vaulted_file, false),
        ("root/inventory/group_vars/all", "proxmox_api_token_secret: '{{ x }}'", false),
        ("root/inventory/host_vars/px.yml", "proxmox_api_host: pve.test:8006", true),
        ("root/playbooks/group_vars/all.yml", "proxmox_api_user: root@pam", false),
        ("vars.yml", vaulted_file, false),
        ("vars.yml", "proxmox_api_token_secret: secret", false),
        ("vars.yml", "proxmox_api_host: pve.test", true),
        ("vars.yml", "greeting: hello", true),
    ] {
        let server = StubServer::start(|dir, env| {
            write(&dir.join(file), text);
            if file == "vars.yml" {
                let path = dir.join(file).display().to_string();
                env.insert("API_BACKEND_VAULT_FILE".to_owned(), path);
            }
        });
        let names_host = |example: &Example| example.schema["properties"].get(API_HOST).is_some();
        let examples: Vec<Example> = examples().into_iter().filter(names_host).collect();
        assert!(examples.len() >= 2, "{}", examples.len());
        for mut example in examples {
            example.body[API_HOST] = json!("PVE.test");
            let answer = server.client.json(&example.method, &example.path, &example.body).await;
            let wanted = if admitted { 200 } else { 400 };
            assert_eq!(answer.status, wanted, "{file}: {text}: {}", answer.text);
            assert_eq!(server.take_calls().len(), usize::from(admitted), "{file}: {text}");
        }
    }
}

#[tokio::test]
async fn path_parameters_accept_only_names() {
    let (traps, server) = (Traps::set(), StubServer::start(|_, _| {}));
    let body = json!({ "proxmox_node": "n", "hosts": "all" });
    for folder in ["bundles", "scenarios"] {
        for text in traps.corpus().iter().filter(|text| text.len() < 1000) {
            let name = utf8_percent_encode(text, NON_ALPHANUMERIC);
            let path = format!("/v0/admin/run/{folder}/{name}/run");
            let answer = server.client.json("POST", &path, &body).await;
            let status = answer.status.as_u16();
            assert!([400, 404].contains(&status), "{text:?}: {status} {}", answer.text);
        }
    }
    assert!(server.take_calls().is_empty());
    traps.assert_untouched();
}

#[tokio::test]
async fn only_the_guest_keys_of_the_operation_are_accepted() {
    let (traps, server) = (Traps::set(), StubServer::start(|_, _| {}));
    let example = example("default/create-vms-student");
    for text in traps.corpus() {
        let vm = example.body["vms"]["student-box-01"].clone();
        let mut body = example.with("/vms", json!({}));
        body["vms"][&text] = vm;
        let answer = server.client.json(&example.method, &example.path, &body).await;
        assert!([400, 413].contains(&answer.status.as_u16()), "{:.300}", answer.text);
    }
    assert!(server.take_calls().is_empty());
}

/// Validation errors repeat the input, but never a password: not an invalid one, not one next to a
/// missing field, and not in the verbose shape.
#[tokio::test]
async fn validation_errors_contain_no_password() {
    let path = "/v0/admin/run/bundles/core/linux/ubuntu/configure/add-user";
    for debug in ["false", "true"] {
        let server = StubServer::start(|_, env| {
            env.insert("DEBUG".to_owned(), debug.to_owned());
        });
        for (password, errors) in [(json!("right.Horse-1"), 4), (json!("wrong Horse"), 5)] {
            let body = json!({ "proxmox_node": "n", "password": password });
            let answer = server.client.json("POST", path, &body).await;
            assert_eq!(answer.status, 422, "{}", answer.text);
            assert!(!answer.text.contains("Horse"), "{}", answer.text);
            assert_eq!(answer.text.matches("\"**********\"").count(), errors, "{}", answer.text);
        }
        assert!(server.take_calls().is_empty());
    }
}

/// The size of the response must not exceed the order of the request's size.
#[tokio::test]
async fn validation_errors_are_small_for_large_bodies() {
    let server = StubServer::start(|_, _| {});
    let base = "/v0/admin/run/bundles/core/proxmox/configure/default/create-vms-student";
    let guests = |count: usize| -> Value {
        let guests = (0..count).map(|n| (n.to_string(), json!({})));
        json!({ "proxmox_node": "n", "vms": guests.collect::<serde_json::Map<_, _>>() })
    };
    let too_many = server.client.json("POST", base, &guests(90_000)).await;
    assert_eq!(
        (too_many.status.as_u16(), too_many.json()["detail"].as_array().unwrap().len()),
        (422, 1)
    );
    assert_eq!(too_many.json()["detail"][0]["type"], "too_long");
    let most = server.client.json("POST", base, &guests(100)).await;
    assert_eq!((most.status.as_u16(), most.json()["detail"].as_array().unwrap().len()), (422, 100));

    // Each missing field would repeat the whole object.
    let beside = json!({ "more": vec![0; 400_000] });
    let path = "/v0/admin/proxmox/vms/vm_id/create";
    let answer = server.client.json("POST", path, &beside).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.len() < 10_000, "{} bytes", answer.text.len());
    assert!(answer.json()["detail"].as_array().unwrap().iter().all(|e| e["input"].is_null()));
    let little = json!({ "proxmox_node": "n" });
    let answer = server.client.json("POST", path, &little).await;
    assert_eq!(answer.json()["detail"][0]["input"], little);
}

/// Fields that an operation does not define are ignored, whatever their names.
#[tokio::test]
async fn clients_cannot_choose_variable_names() {
    let server = StubServer::start(|_, _| {});
    find_every_guest(&server);
    for example in examples() {
        let send = async |body: &Value| {
            let answer = server.client.json(&example.method, &example.path, body).await;
            assert_eq!(answer.status, 200, "{}: {}", example.path, answer.text);
            let mut calls = server.take_calls();
            calls.iter_mut().for_each(|call| call["layout"] = Value::Null);
            calls
        };
        let plain = send(&example.body).await;
        let mut more = example.body.clone();
        for name in [
            "ansible_connection",
            "ansible_python_interpreter",
            "ansible_become_user",
            "proxmox_api_token_secret",
            "proxmox_vm_action",
            "PROXMOX_VM_ACTION",
            "tags",
            "limit",
            "cmdline",
            "inventory",
            "extravars",
            "-e",
            "@x",
            "",
        ] {
            more[name] = json!("hostile");
        }
        assert_eq!(send(&more).await, plain, "{}", example.path);
    }
}

/// A playbook that uses its variable in every way that ours do, and reports the result.
const PLAYBOOK: &str = r#"
- hosts: "{{ hosts }}"
  gather_facts: false
  vars:
    given: "{{ iso_url if iso_url is defined else vm_iso }}"
    answer:
      kind: "{{ given | type_debug }}"
      text: "{{ given }}"
      fact: "{{ kept }}"
      joined: "{{ 'x' ~ given }}"
      printed: "{{ printed.stdout }}"
      file: "{{ lookup('ansible.builtin.file', 'seen') }}"
      items: "{{ looped.results | map(attribute='msg') }}"
      nested: "{{ {'a': [given]} }}"
      other: "{{ vm_id | default(none) }}"
  tasks:
    - ansible.builtin.set_fact: { kept: "{{ given }}" }
    - ansible.builtin.debug: { msg: "{{ given }}" }
      when: given == kept
    - ansible.builtin.debug: { msg: "{{ item }}" }
      loop: ["{{ given }}"]
      register: looped
    - ansible.builtin.command: { argv: [printf, "%s", "{{ given }}"] }
      register: printed
    - ansible.builtin.copy: { content: "{{ given }}", dest: "{{ playbook_dir }}/seen" }
    - ansible.builtin.debug: { var: storage_download_iso }
      vars: { storage_download_iso: "{{ answer }}" }
    - ansible.builtin.debug: { var: vm_create }
      vars: { vm_create: "{{ answer }}" }
"#;

#[tokio::test]
async fn ansible_does_not_evaluate_templates_in_values() {
    let (traps, dir) = (Traps::set(), tempfile::tempdir().unwrap());
    let project = dir.path().join("project");
    write(&project.join("playbooks/generic.yml"), PLAYBOOK);
    let host = "proxmox: {hosts: {here: {ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'}}}\n";
    write(&project.join("inventory/hosts.yml"), host);
    let mut env = demo::settings(dir.path(), &project.join("inventory"));
    env.insert("API_BACKEND_WWWAPP_PLAYBOOKS_DIR".to_owned(), project.display().to_string());
    let client = Client::new(&env);

    // URLs cannot contain blanks, so they get the strings without any. Volumes get the others, in
    // two parts, since their length is limited.
    let templates = traps.templates();
    let dense: String = templates.iter().filter(|text| !text.contains(' ')).cloned().collect();
    let shell = format!("$(touch {})`id` @/etc/passwd --flag", traps.made());
    let (first, second) = templates.split_at(5);
    let requests = [
        ("storage/download_iso", "/iso_url", format!("https://x/{dense}`id`!unsafe")),
        ("vm_id/create", "/vm_iso", format!("local:iso/{}{shell}.iso", first.concat())),
        ("vm_id/create", "/vm_iso", format!("local:iso/{}.iso", second.concat())),
    ];
    let sent = requests.map(|(end, pointer, text)| {
        let (client, example) = (&client, example(end));
        async move {
            // YAML 1.1 would read this as the number 64.
            let mut body = example.with("/vm_id", "0100");
            body[&pointer[1..]] = json!(text);
            let answer = client.json(&example.method, &example.path, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let seen = answer.json()["result"][0].clone();
            let plain = json!({
                "kind": seen["kind"], "text": text, "fact": text, "joined": format!("x{text}"),
                "printed": text, "file": text, "items": [text], "nested": {"a": [text]},
                "other": if end == "vm_id/create" { json!("0100") } else { Value::Null },
            });
            assert_eq!(seen, plain);
            assert!(seen["kind"].as_str().unwrap().contains("str"), "{}", seen["kind"]);
        }
    });
    futures_util::future::join_all(sent).await;
    traps.assert_untouched();
}
