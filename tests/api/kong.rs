//! The gateway's configuration is current, complete and valid for Kong.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::support::internals::kong::{self, KongSettings};
use crate::support::internals::operations;
use regex::Regex;
use serde_json::{Value, json};

fn committed() -> Value {
    yaml_serde::from_str(&std::fs::read_to_string("kong/kong.yml").unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}

/// Returns the routes that match a request, with their services. As in Kong's router, slashes are
/// merged, and a regular expression (prefix `~`) is anchored at the start of the path.
fn matches<'a>(configuration: &'a Value, method: &str, path: &str) -> Vec<(&'a Value, &'a Value)> {
    let path = path.replace("//", "/");
    let takes = |route: &Value| {
        let fits = |rule: &Value| expression(text(rule)).is_match(&path);
        list(route, "methods").contains(&json!(method)) && list(route, "paths").iter().any(fits)
    };
    let services = list(configuration, "services").iter();
    services
        .flat_map(|service| list(service, "routes").iter().map(move |route| (service, route)))
        .filter(|(_, route)| takes(route))
        .collect()
}

/// The regular expression of a path, compiled once.
fn expression(rule: &str) -> Regex {
    static COMPILED: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let compile = || {
        let rule = rule.strip_prefix('~').expect("every path is a regular expression");
        Regex::new(&format!("^{rule}")).unwrap()
    };
    COMPILED.lock().unwrap().entry(rule.to_owned()).or_insert_with(compile).clone()
}

#[test]
fn the_committed_file_is_current() {
    let committed = std::fs::read_to_string("kong/kong.yml").unwrap();
    let current = kong::text(&KongSettings::default());
    assert!(committed == current, "write it with `range42-backend-api kong > kong/kong.yml`");
}

#[test]
fn every_operation_matches_exactly_one_route() {
    let configuration = committed();
    for operation in operations() {
        let mut paths = vec![
            operation.path.replace("{bundles_name}", "core%2Flinux%2Fubuntu%2Finstall%2Fdocker"),
            operation.path.replace('{', "a").replace('}', "z"),
        ];
        paths.push(operation.path.replace("network/node/list", "network//node/list"));
        for path in &paths {
            let found = matches(&configuration, &operation.method, path);
            assert_eq!(found.len(), 1, "{path}: {found:?}");
            let (service, route) = found[0];
            assert_eq!(text(&route["name"]), operation.id);
            // A DELETE must not be retried, nor time out before the run ends.
            assert_eq!((text(&service["name"]), &service["retries"]), ("range42-runs", &json!(0)));
            assert!(service["read_timeout"].as_u64().unwrap() > 3_600_000);
            assert!(matches(&configuration, "GET", path).is_empty(), "{path}");
            assert_eq!(matches(&configuration, "OPTIONS", path).len(), 1, "{path}");
        }
        for other in ["/x", "%2Fx"] {
            let longer = format!("{}{other}", operation.path);
            assert!(matches(&configuration, &operation.method, &longer).is_empty());
        }
    }
    let runs = list(&configuration, "services").iter().find(|s| s["name"] == "range42-runs");
    assert_eq!(list(runs.unwrap(), "routes").len(), operations().len());
}

#[test]
fn streams_and_docs_have_routes_but_health_checks_do_not() {
    let configuration = committed();
    let service_of = |path: &str| {
        let found = matches(&configuration, "GET", path);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        text(&found[0].0["name"])
    };
    assert_eq!(service_of("/ws/vm-status"), "range42-streams");
    for path in ["runs", "runs/0192", "runs/0192/log", "runs/0192/job_events"] {
        assert_eq!(service_of(&format!("/v0/admin/{path}")), "range42-quick");
    }
    assert_eq!(service_of("/v0/admin/runs/0192/events"), "range42-streams");
    let docs = ["openapi.json", "redoc", "redoc.standalone.js", "swagger", "swagger/index.html"];
    for page in docs {
        assert_eq!(service_of(&format!("/docs/{page}")), "range42-open");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/", "/docs", "/docs/redocx"] {
        assert!(matches(&configuration, "GET", path).is_empty(), "{path}");
    }
}

#[test]
fn only_docs_are_public_and_viewers_only_read() {
    let configuration = committed();
    let plugin = |of: &Value, name: &str| -> Option<Value> {
        list(of, "plugins").iter().find(|p| p["name"] == name).map(|p| p["config"].clone())
    };
    for service in list(&configuration, "services") {
        let key = plugin(service, "key-auth");
        assert_eq!(key.is_none(), service["name"] == "range42-open", "{}", service["name"]);
        let Some(key) = key else {
            // Without a key, consumer headers come from the client.
            let removed = plugin(service, "request-transformer").unwrap()["remove"].clone();
            assert!(list(&removed, "headers").contains(&json!("x-consumer-username")));
            continue;
        };
        assert_eq!(
            (&key["hide_credentials"], &key["key_names"]),
            (&json!(true), &json!(["apikey"]))
        );
        for route in list(service, "routes") {
            let allow = plugin(route, "acl").unwrap()["allow"].clone();
            assert!(list(&json!({ "allow": allow }), "allow").contains(&json!("admin")), "{route}");
        }
    }
    let viewers: Vec<&str> = operations()
        .iter()
        .filter(|operation| {
            let (_, route) = matches(&configuration, &operation.method, operation.path)[0];
            list(&plugin(route, "acl").unwrap(), "allow").contains(&json!("viewer"))
        })
        .map(|operation| operation.path.trim_start_matches("/v0/admin/"))
        .collect();
    let looks =
        Regex::new("^debug/func_test$|/list(_usage|_iso|_template)?$|/vm_get_config").unwrap();
    let expected: Vec<&str> = operations()
        .iter()
        .map(|operation| operation.path.trim_start_matches("/v0/admin/"))
        .filter(|path| looks.is_match(path))
        .collect();
    assert_eq!(viewers, expected);
    assert!(viewers.len() > 10);
}

/// Kong rejects unknown fields. These are the fields in the schema of Kong 3 that the configuration
/// uses, with their types.
#[test]
fn every_field_is_in_the_schema_of_kong() {
    const TOP: &[(&str, &str)] = &[
        ("_format_version", "text"),
        ("services", "list"),
        ("plugins", "list"),
        ("consumers", "list"),
    ];
    const SERVICE: &[(&str, &str)] = &[
        ("name", "text"),
        ("url", "text"),
        ("retries", "number"),
        ("connect_timeout", "number"),
        ("write_timeout", "number"),
        ("read_timeout", "number"),
        ("plugins", "list"),
        ("routes", "list"),
    ];
    const ROUTE: &[(&str, &str)] = &[
        ("name", "text"),
        ("methods", "list"),
        ("paths", "list"),
        ("strip_path", "bool"),
        ("response_buffering", "bool"),
        ("plugins", "list"),
    ];
    const PLUGIN: &[(&str, &str)] = &[("name", "text"), ("config", "map")];
    const CONSUMER: &[(&str, &str)] =
        &[("username", "text"), ("acls", "list"), ("keyauth_credentials", "list")];

    let configuration = kong::configuration(&gateway());
    known(&configuration, TOP);
    assert_eq!(configuration["_format_version"], "3.0");
    let name = Regex::new("^[A-Za-z0-9._~-]+$").unwrap();
    let mut names = Vec::new();
    for service in list(&configuration, "services") {
        known(service, SERVICE);
        for route in list(service, "routes") {
            known(route, ROUTE);
            assert!(name.is_match(text(&route["name"])), "{route}");
            names.push(text(&route["name"]));
            list(route, "plugins").iter().for_each(|plugin| known(plugin, PLUGIN));
        }
        for plugin in list(service, "plugins") {
            known(plugin, PLUGIN);
            plugin_known(plugin);
        }
    }
    for plugin in list(&configuration, "plugins") {
        known(plugin, PLUGIN);
        plugin_known(plugin);
    }
    list(&configuration, "consumers").iter().for_each(|consumer| known(consumer, CONSUMER));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "route names are not unique");
}

fn known(object: &Value, members: &[(&str, &str)]) {
    for (name, value) in object.as_object().unwrap() {
        let kind = match value {
            Value::String(_) => "text",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Array(_) => "list",
            Value::Object(_) => "map",
            Value::Null => "null",
        };
        assert!(
            members.contains(&(name.as_str(), kind)),
            "{name} ({kind}) is not in the schema of Kong"
        );
    }
}

fn plugin_known(plugin: &Value) {
    let members: &[(&str, &str)] = match text(&plugin["name"]) {
        "key-auth" => &[
            ("key_names", "list"),
            ("key_in_header", "bool"),
            ("key_in_query", "bool"),
            ("key_in_body", "bool"),
            ("hide_credentials", "bool"),
        ],
        "correlation-id" => {
            &[("header_name", "text"), ("generator", "text"), ("echo_downstream", "bool")]
        }
        "rate-limiting" => &[("minute", "number"), ("limit_by", "text"), ("policy", "text")],
        "request-transformer" => &[("add", "map"), ("replace", "map"), ("remove", "map")],
        other => panic!("an unknown plugin {other}"),
    };
    known(&plugin["config"], members);
}

fn gateway() -> KongSettings {
    let consumers = kong::consumers(
        "# name group key\n\nalice admin 0123456789abcdefghij\nbob viewer 0123456789abcdefghik\n",
    );
    KongSettings {
        secret: Some("a secret of this test".to_owned()),
        consumers: consumers.unwrap(),
        ..KongSettings::default()
    }
}

#[test]
fn configured_consumers_and_secret_are_included() {
    let configuration = kong::configuration(&gateway());
    assert_eq!(
        configuration["consumers"][0],
        json!({
            "username": "alice",
            "acls": [{ "group": "admin" }],
            "keyauth_credentials": [{ "key": "0123456789abcdefghij" }],
        })
    );
    let header = json!(["x-range42-gateway:a secret of this test"]);
    let places = [&configuration["plugins"], &configuration["services"][3]["plugins"]];
    for plugins in places {
        let found = plugins.as_array().unwrap().iter().find(|p| p["name"] == "request-transformer");
        let config = &found.unwrap()["config"];
        // `add` does nothing if the client sent the header, `replace` nothing if it did not.
        assert_eq!((&config["add"]["headers"], &config["replace"]["headers"]), (&header, &header));
    }
    assert!(!kong::text(&KongSettings::default()).contains("x-range42-gateway"));
}

#[test]
fn errors_about_consumers_contain_no_keys() {
    let long = "0123456789abcdefghij";
    for wrong in [
        format!("alice admin {long} more"),
        "alice admin".to_owned(),
        format!("alice root {long}"),
        "alice admin short-one".to_owned(),
        format!("al:ice admin {long}"),
        format!("alice admin {long}\nalice viewer {long}x"),
        format!("alice admin {long}\nbob viewer {long}"),
    ] {
        let error = kong::consumers(&wrong).unwrap_err();
        assert!(error.starts_with("line "), "{error}");
        assert!(!error.contains(long) && !error.contains("short-one"), "{error}");
    }
}

#[test]
fn the_gateway_timeout_exceeds_the_run_time_limit() {
    let read_timeout = |run_limit| {
        let gateway = KongSettings { run_limit, ..KongSettings::default() };
        kong::configuration(&gateway)["services"][0]["read_timeout"].as_u64().unwrap()
    };
    assert_eq!(read_timeout(Some(Duration::from_secs(60))), 120_000);
    assert_eq!(read_timeout(Some(Duration::from_secs(1))), 60_000);
    assert_eq!(read_timeout(None), 2_147_483_646);
    assert_eq!(read_timeout(Some(Duration::MAX)), 2_147_483_646);
}

#[test]
fn the_gateway_timeout_exceeds_the_ping_timeout() {
    let read_timeout = |ping_every| {
        let gateway = KongSettings { ping_every, ..KongSettings::default() };
        kong::configuration(&gateway)["services"][2]["read_timeout"].as_u64().unwrap()
    };
    assert_eq!(read_timeout(Duration::from_secs(20)), 75_000);
    assert_eq!(read_timeout(Duration::from_secs(1)), 75_000);
    assert_eq!(read_timeout(Duration::from_secs(60)), 195_000);
    assert_eq!(read_timeout(Duration::MAX), 2_147_483_646);
}
