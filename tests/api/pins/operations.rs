//! For each operation: the claims and the join key of its example, its secrets and its Kong groups.

use std::collections::BTreeMap;

use crate::support::internals::effects;
use serde_json::{Map, Value, json};

use crate::pins::pin;

/// Host groups, so that host patterns can be resolved.
const HOSTS: &str = "all: {hosts: {db: }, children: {web: {hosts: {web-1: , web-2: }}}}\n";

/// Changes of the example, for the operations that have these members.
const VARIANTS: &[(&str, &str)] = &[
    ("hosts", r#""web""#),
    ("hosts", r#""db:web-1""#),
    ("hosts", r#"":""#),
    ("hosts", "null"),
    ("vm_id", r#""0100""#),
    ("vm_id", "100"),
    ("as_json", "false"),
];

#[test]
fn every_operation_has_the_same_effects() {
    let inventory = tempfile::tempdir().unwrap();
    std::fs::write(inventory.path().join("hosts.yml"), HOSTS).unwrap();
    let groups = kong_groups();
    let text = std::fs::read_to_string("openapi.json").unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    // Sorted, so that the result does not depend on the order of the operations.
    let mut all = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            let content = &operation["requestBody"]["content"]["application/json"];
            let example = content["example"].as_object().cloned().unwrap_or_default();
            let name = path.contains("_name}").then_some("core/lab");
            let of = |body: &Map<String, Value>| effects(id, body, name, inventory.path());
            let Some(mut entry) = of(&example) else { continue };
            entry["example"] = Value::Object(example.clone());
            let variants: Vec<Value> = VARIANTS
                .iter()
                .filter(|(member, _)| example.contains_key(*member) || *member == "as_json")
                .filter_map(|(member, value)| {
                    let mut body = example.clone();
                    body.insert((*member).to_owned(), serde_json::from_str(value).unwrap());
                    // Not all operations accept all of these values.
                    let effects = of(&body)?;
                    Some(json!({
                        "with": format!("{member}: {value}"),
                        "claims": effects["claims"],
                        "join_key": effects["join_key"],
                    }))
                })
                .collect();
            entry["variants"] = json!(variants);
            let schema =
                content["schema"]["$ref"].as_str().map(|at| document.pointer(&at[1..]).unwrap());
            entry["hidden_members"] = json!(hidden(schema, &example, of));
            entry["kong_groups"] = groups[id].clone();
            all.insert(id.to_owned(), entry);
        }
    }
    // Operations that were added later have no record.
    let recorded: Map<String, Value> =
        serde_json::from_slice(&std::fs::read(pin::file("operations.json")).unwrap()).unwrap();
    assert_eq!(recorded.len(), 80);
    all.retain(|id, _| recorded.contains_key(id));
    let made = serde_json::to_string_pretty(&all).unwrap();
    pin::check("operations.json", &(made + "\n"));
}

/// The members whose text is treated as a secret.
fn hidden(
    schema: Option<&Value>,
    example: &Map<String, Value>,
    of: impl Fn(&Map<String, Value>) -> Option<Value>,
) -> Vec<String> {
    let Some(members) = schema.and_then(|schema| schema["properties"].as_object()) else {
        return Vec::new();
    };
    let secret = |member: &&String| {
        let mut body = example.clone();
        body.insert((*member).clone(), json!("a-probe"));
        // A member that does not accept text cannot be a secret.
        of(&body).is_some_and(|of| of["secrets"].as_array().unwrap().contains(&json!("a-probe")))
    };
    members.keys().filter(secret).cloned().collect()
}

/// The groups of each route, from the output of the command `kong`.
fn kong_groups() -> BTreeMap<String, Value> {
    let output = pin::command().arg("kong").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let configuration: Value = yaml_serde::from_slice(&output.stdout).unwrap();
    let services = configuration["services"].as_array().unwrap();
    services
        .iter()
        .flat_map(|service| service["routes"].as_array().unwrap())
        .map(|route| {
            let allowed = route["plugins"][0]["config"]["allow"].clone();
            (route["name"].as_str().unwrap().to_owned(), allowed)
        })
        .collect()
}
