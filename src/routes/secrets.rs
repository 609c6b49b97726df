//! The secrets among the members of a request, which the published schema marks as passwords.

use serde_json::{Map, Value};

/// The texts of all members of `body` that the schema `name` of `document` calls passwords.
pub fn of(document: &Value, name: &str, body: &Map<String, Value>) -> Vec<String> {
    let schemas = &document["components"]["schemas"];
    let Some(members) = schemas[name]["properties"].as_object() else { return Vec::new() };
    members
        .iter()
        .filter(|(_, schema)| is_password(schemas, schema))
        .filter_map(|(member, _)| body.get(member)?.as_str().map(str::to_owned))
        .collect()
}

fn is_password(schemas: &Value, schema: &Value) -> bool {
    if schema["format"] == "password" {
        return true;
    }
    let referred = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    let variants = ["anyOf", "oneOf", "allOf"].iter().filter_map(|kind| schema[*kind].as_array());
    referred.is_some_and(|name| is_password(schemas, &schemas[name]))
        || variants.flatten().any(|variant| is_password(schemas, variant))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::openapi::DOCUMENT;
    use super::*;

    #[test]
    fn the_password_of_a_new_user_is_one() {
        let body = json!({"user": "bob", "password": "pw-1", "hosts": "all"});
        assert_eq!(of(&DOCUMENT, "AddUserRequest", body.as_object().unwrap()), ["pw-1"]);
    }
}
