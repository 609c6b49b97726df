//! What the server derives from a request besides its playbook runs, as JSON.
//!
//! This is the one place through which `tests/pins` looks inside, so that the modules behind it
//! can move.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::body::Rule;
use crate::operations::table::OPERATIONS;
use crate::operations::{Method, claims};
use crate::runs::claims::Claim;

/// The claims, the guests, the join key and the secrets of a request to the operation `id`.
/// `None` if there is no such operation.
///
/// `name` is the name in its path, `inventory` the inventory dir.
///
/// # Blocking
///
/// Reads the inventory.
pub fn effects(
    id: &str,
    body: &Map<String, Value>,
    name: Option<&str>,
    inventory: &Path,
) -> Option<Value> {
    let operation = OPERATIONS.iter().find(|operation| operation.id() == id)?;
    let claims = claims::claims(operation, body, name, inventory);
    let rule = operation.request.as_ref().map(Rule::of);
    Some(json!({
        "claims": claims.iter().map(described).collect::<Vec<_>>(),
        "guests": claims::guests(body),
        "join_key": claims::same(operation, body, name),
        "deletes": operation.method == Method::Delete,
        "secrets": rule.map(|rule| rule.secrets(body)).unwrap_or_default(),
    }))
}

/// A claim as clients read it, with the group of a guest, which decides about conflicts too.
fn described(claim: &Claim) -> String {
    match claim {
        Claim::Guest { group: Some(group), .. } => format!("{claim}, of the {group} guests"),
        _ => claim.to_string(),
    }
}
