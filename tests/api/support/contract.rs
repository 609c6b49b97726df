//! The measured contract, which stands beside the repository and not in it.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;
use serde_json::value::RawValue;

/// Reads a file of the contract; none, with a message, where it is not there.
pub fn read(name: &str) -> Option<Value> {
    text(name).map(|text| serde_json::from_str(&text).unwrap())
}

/// Reads one member of `vectors.json`, each of its entries as text: some hold numbers that no
/// JSON value of ours can hold.
pub fn vectors(member: &str) -> Option<Vec<Box<RawValue>>> {
    let text = text("vectors.json")?;
    let members: HashMap<String, Box<RawValue>> = serde_json::from_str(&text).unwrap();
    let member = members.get(member).unwrap_or_else(|| panic!("no {member}"));
    Some(serde_json::from_str(member.get()).unwrap_or_else(|_| vec![member.clone()]))
}

fn text(name: &str) -> Option<String> {
    let shared = std::env::var_os("RANGE42_SHARED").map(PathBuf::from);
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    let file = shared.unwrap_or_else(|| beside.into()).join("contract").join(name);
    let text = std::fs::read_to_string(file).ok();
    if text.is_none() {
        eprintln!(
            "skipped: ../shared/contract/{name} is not there (RANGE42_SHARED names another place)"
        );
    }
    text
}
