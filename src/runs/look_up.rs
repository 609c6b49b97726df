//! Finding a guest by its id.

use serde_json::{Value, json};

/// The guest that was found. Its name is null where Proxmox has none for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The name as it was listed.
    pub name: Value,
    id: i64,
}

impl Found {
    /// The guest by its id and name, as a list has it.
    pub fn listed(&self) -> Value {
        json!({ "vm_id": self.id, "vm_name": self.name })
    }
}

/// Searches what a `vm_list` run reported for the first guest with the id `vm_id`.
///
/// `values` has one entry per event. Entries that are not lists, and items that are not
/// objects or carry no id, are passed over.
pub fn find(values: &[Value], vm_id: &str) -> Option<Found> {
    let id: i64 = vm_id.trim().parse().ok()?;
    values
        .iter()
        .filter_map(Value::as_array)
        .flatten()
        .find(|item| item.get("vm_id").and_then(as_id) == Some(id))
        .map(|item| Found { name: item.get("vm_name").cloned().unwrap_or(Value::Null), id })
}

/// An id as roles write it: a number, a fraction cut off, a boolean as 0 or 1, or text.
fn as_id(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        Value::Bool(b) => Some(i64::from(*b)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
