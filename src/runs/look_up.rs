//! Finds a guest by its id in a list of guests.

use serde_json::{Value, json};

/// A guest of Proxmox.
#[derive(Debug, Clone, PartialEq)]
pub struct Guest {
    /// The name as listed by Proxmox; null if the guest has none.
    pub name: Value,
    id: i64,
}

impl Guest {
    /// Returns the guest as an item of a `vm_list` result.
    pub fn as_list_item(&self) -> Value {
        json!({ "vm_id": self.id, "vm_name": self.name })
    }
}

/// Returns the first guest with the id `vm_id` among the values that a `vm_list` run reported.
///
/// `values` has one entry per job event. Entries that are not lists and items without an id are
/// ignored.
pub fn find(values: &[Value], vm_id: &str) -> Option<Guest> {
    let id: i64 = vm_id.trim().parse().ok()?;
    values
        .iter()
        .filter_map(Value::as_array)
        .flatten()
        .find(|item| item.get("vm_id").and_then(as_id) == Some(id))
        .map(|item| Guest { name: item.get("vm_name").cloned().unwrap_or(Value::Null), id })
}

/// Reads an id as the roles report it: a number (truncated), a boolean (0 or 1) or text.
fn as_id(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        Value::Bool(b) => Some(i64::from(*b)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
