//! The measured contract of `tests/contract`.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// The cases: a request, what the runner does, and what is expected.
pub fn cases() -> Vec<Value> {
    serde_json::from_str(&text("cases.json")).unwrap()
}

/// Reads one member of `vectors.json`, each of its entries as text: some hold numbers that no
/// JSON value of ours can hold.
pub fn vectors(member: &str) -> Vec<Box<RawValue>> {
    let members: HashMap<String, Box<RawValue>> =
        serde_json::from_str(&text("vectors.json")).unwrap();
    let member = members.get(member).unwrap_or_else(|| panic!("no {member}"));
    serde_json::from_str(member.get()).unwrap_or_else(|_| vec![member.clone()])
}

fn text(name: &str) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/").to_owned() + name;
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}
