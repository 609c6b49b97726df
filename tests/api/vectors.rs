//! Replays the vectors of the measured contract against the functions they describe.
//!
//! Exceptions, where this service is stricter, are listed here with their reasons. A test fails if
//! an exception is not needed.

use crate::support::internals::{self, is_name, strip_ansi};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The entries of a field of `vectors.json`.
fn entries<T: serde::de::DeserializeOwned>(member: &str) -> Vec<T> {
    let raw = crate::support::contract::vectors(member);
    raw.iter().map(|entry| serde_json::from_str(entry.get()).unwrap()).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn results_are_extracted_from_events() {
    for case in entries::<Value>("extract") {
        let read = internals::results(&case["events"], case["key"].as_str().unwrap());
        match (read, &case["result"]) {
            // The measured service crashed here; in this one, a damaged event fails the run.
            (Err(_), Value::Null) if !case["raises"].is_null() => {}
            (Ok(made), result) => assert_eq!(&Value::Array(made), result, "{}", case["name"]),
            (Err(error), _) => panic!("{}: {error}", case["name"]),
        }
    }
}

#[test]
fn log_lines_are_extracted_from_events() {
    for case in entries::<Value>("logs") {
        let event = |stdout: &Value| match stdout.as_str() {
            Some("@absent") => json!({ "event": "verbose" }),
            _ => json!({ "event": "verbose", "stdout": stdout }),
        };
        let events: Value = case["stdouts"].as_array().unwrap().iter().map(event).collect();
        let lines = internals::log_lines(&events).unwrap();
        assert_eq!(json!(lines), case["log_multiline"], "{}", case["name"]);
        assert_eq!(strip_ansi(case["log_ansi"].as_str().unwrap()), case["log_plain"]);
    }
}

#[test]
fn ansi_colors_are_removed() {
    for case in entries::<Value>("ansi") {
        assert_eq!(strip_ansi(case["in"].as_str().unwrap()), case["out"], "{case}");
    }
}

#[test]
fn guests_are_found_by_id() {
    for case in entries::<Value>("lookup") {
        let values = case["vm_list_values"].as_array().unwrap();
        let found = internals::name_of_guest(values, case["target"].as_str().unwrap());
        match case["name"].as_str().unwrap() {
            // Validation rejects ids above 999999999, the maximum of Proxmox VE.
            "huge" => assert_eq!(found, None),
            name => assert_eq!(
                found,
                case["found"].as_object().map(|guest| guest["vm_name"].clone()),
                "{name}"
            ),
        }
    }
}

#[test]
fn bundle_names_are_distinguished_from_paths() {
    for names in entries::<Value>("names") {
        for case in names["cases"].as_array().unwrap() {
            assert_eq!(json!(is_name(case["name"].as_str().unwrap())), case["ok"], "{case}");
        }
    }
}

/// Coerces `value` with the schema `{"type": …}`; returns the value or the kind of error.
fn coerced(json_type: &str, value: &Value) -> Result<Value, &'static str> {
    internals::read_laxly(&Value::Null, &json!({ "type": json_type }), value)
}

/// A scalar and its coerced value. Some numbers do not fit into `serde_json::Value`.
#[derive(Deserialize)]
struct Coercion {
    r#type: String,
    r#in: Box<RawValue>,
    out: Option<Box<RawValue>>,
    error: Option<String>,
}

#[test]
fn scalars_are_coerced() {
    let mut stricter = Vec::new();
    let cases = entries::<Coercion>("coercion");
    for case in &cases {
        let json_type = match case.r#type.as_str() {
            "int" => "integer",
            "float" => "number",
            "bool" => "boolean",
            _ => "string",
        };
        let sent: Value = serde_json::from_str(case.r#in.get()).unwrap();
        let wanted = case.out.as_ref().and_then(|out| serde_json::from_str(out.get()).ok());
        match (coerced(json_type, &sent), &case.error) {
            (Err(kind), Some(error)) if kind == error => {}
            (Ok(value), None) if wanted.as_ref().is_some_and(|wanted| same(&value, wanted)) => {}
            // Every number that Proxmox accepts is finite and fits into 64 bits.
            (Err(kind @ ("int_parsing_size" | "finite_number")), None) => stricter.push(kind),
            (made, _) => panic!("{json_type} {:.80}: {made:?}, not {:?}", sent, case.out),
        }
    }
    if !cases.is_empty() {
        let (large, infinite) = (["int_parsing_size"; 2], ["finite_number"; 4]);
        assert_eq!(stricter, [large.as_slice(), &infinite].concat());
    }
}

/// Compares values, treating 1 and 1.0 as equal.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

/// Strings that the contract's pattern accepts and this service rejects.
const STRICTER: &[(&[&str], &[&str], &str)] = &[
    (&["proxmox_node"], &["", "-", "-a", "--x"], "departure 3: it becomes a limit"),
    (&["hosts"], &["-", "-a", "--x"], "departure 3: it becomes a limit"),
    (&["vm_id", "vm_new_id"], &["0", "22"], "ids of Proxmox VE begin at 100"),
    (&["id"], &["0"], "no guest has this id"),
    (
        &["vm_fw_alias_cidr", "vm_fw_source", "vm_fw_dest"],
        &[
            "0",
            ".",
            "/",
            "//",
            "1.2.3",
            "999.999.999.999",
            "1.2.3.4.5",
            "/24",
            "/240",
            "255.255.255.0/",
            "22",
        ],
        "neither an address nor a network",
    ),
    (&["ip_address", "ip_gateway"], &["999.999.999.999"], "not an address"),
    (&["ip_netmask"], &["10.0.0.1", "999.999.999.999"], "not a netmask"),
    (&["vm_fw_log", "iso_file_content_type"], &["02-AB-cd-00-11-9f"], "longer than any of these"),
];

fn is_stricter(field: &str, text: &str) -> bool {
    STRICTER.iter().any(|(fields, texts, _)| fields.contains(&field) && texts.contains(&text))
}

#[test]
fn fields_match_their_patterns() {
    let document = internals::openapi_document();
    let mut checked = 0;
    for patterns in entries::<Value>("field_patterns") {
        for case in patterns["patterns"].as_array().unwrap() {
            for field in texts(&case["fields"]) {
                checked += 1;
                for schema in schemas_of(&document, field, case["pattern"].as_str().unwrap()) {
                    check_field(
                        field,
                        |text| internals::read_laxly(&document, schema, &json!(text)),
                        case,
                    );
                }
            }
        }
        assert_eq!(checked, 48);
    }
}

fn check_field(field: &str, read: impl Fn(&str) -> Result<Value, &'static str>, case: &Value) {
    let kind = |text: &str| read(text).err();
    for text in texts(&case["accept"]) {
        assert_eq!(kind(text).is_some(), is_stricter(field, text), "{field}: {text:?}");
    }
    for text in texts(&case["reject"]) {
        assert_eq!(kind(text), Some("string_pattern_mismatch"), "{field}: {text:?}");
    }
}

/// The schemas of all string fields of requests called `field`. Two types of host pattern share a
/// name; they differ in whether a colon may join hosts.
fn schemas_of<'a>(document: &'a Value, field: &str, pattern: &str) -> Vec<&'a Value> {
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let found: Vec<&Value> = schemas
        .iter()
        .filter(|(name, _)| match name.as_str() {
            // Other fields with these two names are free text without a pattern in the contract.
            "NewVm" => field == "vm_ip",
            "DotFilesRequest" => field != "user",
            name => name.ends_with("Request") || name == "NamedGuest",
        })
        .filter_map(|(_, schema)| schema["properties"].get(field))
        .filter(|schema| field != "hosts" || joins_hosts(schema) == pattern.contains(':'))
        .collect();
    assert!(!found.is_empty(), "no request has {field}");
    found
}

fn joins_hosts(schema: &Value) -> bool {
    schema["$ref"].as_str().is_some_and(|name| name.ends_with("/TargetHosts"))
}
