//! What the server derives from a request besides its playbook runs, as JSON.
//!
//! Tests compare it with what an earlier version derived.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::http::body::{self, Rule};
use crate::operations::{Method, OPERATIONS, claims};
use crate::runs::claims::Claim;

/// The claims, the guests, the join key and the secrets of a request to the operation `id`.
/// `None` if there is no such operation, or the body does not fit its type.
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
    let request = match &operation.request {
        Some(request) => {
            let bytes = Value::Object(body.clone()).to_string();
            let checked = body::check(&Rule::of(request), None, bytes.as_bytes()).ok()?;
            (request.parse)(checked).ok()?
        }
        None => Box::new(()),
    };
    let claims = claims::claims(operation, request.as_ref(), name, inventory);
    Some(json!({
        "claims": claims.iter().map(claim_to_json).collect::<Vec<_>>(),
        "guests": request.guests(),
        "join_key": claims::join_key(operation, body, name),
        "deletes": operation.method == Method::Delete,
        "secrets": request.secrets(),
    }))
}

/// A claim as clients read it, with the group of a guest, which decides about conflicts too.
fn claim_to_json(claim: &Claim) -> String {
    match claim {
        Claim::Guest { group: Some(group), .. } => format!("{claim}, of the {group} guests"),
        _ => claim.to_string(),
    }
}
