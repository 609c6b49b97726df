//! The published example of every operation, and ways to change it.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::internals;

static DOCUMENT: LazyLock<Value> = LazyLock::new(internals::openapi_document);

/// An operation and a valid body.
#[derive(Debug, Clone)]
pub struct Example {
    pub method: String,
    pub path: String,
    pub body: Value,
    /// The schema of the body.
    pub schema: Value,
}

/// All operations with a body. Path parameters have their documented example.
pub fn examples() -> Vec<Example> {
    let mut all = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            let Some(reference) = content["schema"]["$ref"].as_str() else { continue };
            all.push(Example {
                method: method.to_uppercase(),
                path: with_names(path, &operation["parameters"]),
                body: content["example"].clone(),
                schema: resolved(&json!({ "$ref": reference })).clone(),
            });
        }
    }
    all
}

/// The example of the operation whose path ends with `end`.
pub fn example(end: &str) -> Example {
    let mut found = examples().into_iter().filter(|example| example.path.ends_with(end));
    let first = found.next().unwrap_or_else(|| panic!("no operation {end}"));
    assert!(found.next().is_none(), "several operations end with {end}");
    first
}

fn with_names(path: &str, parameters: &Value) -> String {
    let mut path = path.to_owned();
    let parameters = parameters.as_array().into_iter().flatten();
    for parameter in parameters.filter(|parameter| parameter["in"] == "path") {
        let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
        path = path.replace(&name, parameter["example"].as_str().unwrap());
    }
    path
}

impl Example {
    /// JSON pointers to all string fields of the schema, including those missing in the example.
    pub fn texts(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect_texts(&self.schema, &self.body, String::new(), &mut found);
        found
    }

    /// The body with another value at `pointer`.
    pub fn with(&self, pointer: &str, value: impl Into<Value>) -> Value {
        let mut body = self.body.clone();
        if body.pointer(pointer).is_none() {
            body[&pointer[1..]] = Value::Null;
        }
        *body.pointer_mut(pointer).unwrap() = value.into();
        body
    }
}

fn collect_texts(schema: &Value, value: &Value, pointer: String, found: &mut Vec<String>) {
    let schema = resolved(schema);
    let is = |name: &str| match &schema["type"] {
        Value::Array(types) => types.contains(&json!(name)),
        one => one == name,
    };
    if is("string") {
        found.push(pointer);
    } else if is("array") {
        collect_texts(&schema["items"], &value[0], pointer + "/0", found);
    } else if let Some(members) = schema["properties"].as_object() {
        for (name, member) in members {
            collect_texts(member, &value[name], format!("{pointer}/{name}"), found);
        }
    } else if is("object") {
        let (key, first) = value.as_object().unwrap().iter().next().unwrap();
        let values = &schema["additionalProperties"];
        collect_texts(values, first, format!("{pointer}/{key}"), found);
    }
}

/// Resolves references, `allOf` and "or null" in a schema.
fn resolved(schema: &Value) -> &Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(DOCUMENT.pointer(&reference[1..]).unwrap());
    }
    if let Some(base) = schema["allOf"].get(0) {
        return resolved(base);
    }
    let variants = schema["oneOf"].as_array();
    variants.and_then(|v| v.iter().find(|v| v["type"] != "null")).map_or(schema, resolved)
}
