//! Converts the document to OpenAPI 3.0.3, for tools that do not support 3.1, such as Kong's
//! converter.
//!
//! Schemas in 3.1 are JSON Schema 2020-12; those in 3.0 are an extended subset of an earlier draft
//! (OpenAPI 3.0.3, "Schema Object"). Keywords that 3.0 lacks are dropped, so that the result
//! accepts everything that the original accepts.

use serde_json::{Map, Value, json};

/// The URL of the license, since 3.0 has no field for its SPDX identifier.
const LICENSE_URL: &str = "https://www.gnu.org/licenses/gpl-3.0.html";

/// Converts a 3.1 document to 3.0.3.
pub fn of(document: &Value) -> Value {
    let mut rendered = document.clone();
    rendered["openapi"] = json!("3.0.3");
    rendered["info"]["license"] =
        json!({ "name": document["info"]["license"]["name"], "url": LICENSE_URL });
    let schemas = Schemas { document };
    for schema in members(&mut rendered["components"]["schemas"]) {
        *schema = schemas.render(schema);
    }
    for operation in members(&mut rendered["paths"]).flat_map(members) {
        let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
        let schemas_of_parameters = parameters.map(|parameter| &mut parameter["schema"]);
        schemas_of_parameters.for_each(|schema| *schema = schemas.render(schema));
        if let Some(body) = operation.get_mut("requestBody") {
            schemas.render_content(body);
        }
        members(&mut operation["responses"]).for_each(|response| schemas.render_content(response));
    }
    drop_unused(&mut rendered);
    rendered
}

/// Removes schemas that are no longer referenced, since nullable references were inlined.
fn drop_unused(rendered: &mut Value) {
    let text = rendered.to_string();
    if let Some(schemas) = rendered["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
    }
}

fn members(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.as_object_mut().into_iter().flat_map(Map::values_mut)
}

struct Schemas<'a> {
    document: &'a Value,
}

impl Schemas<'_> {
    fn render_content(&self, holder: &mut Value) {
        if let Some(content) = holder.get_mut("content") {
            members(content).for_each(|media| media["schema"] = self.render(&media["schema"]));
        }
    }

    fn render(&self, schema: &Value) -> Value {
        let Value::Object(members) = schema else { return schema.clone() };
        let mut members = members.clone();
        for (name, value) in &mut members {
            match (name.as_str(), &mut *value) {
                ("properties", Value::Object(properties)) => {
                    properties.values_mut().for_each(|schema| *schema = self.render(schema));
                }
                ("items" | "additionalProperties", _) => *value = self.render(value),
                _ => {}
            }
        }
        members.shift_remove("propertyNames");
        if let Some(examples) = members.shift_remove("examples") {
            members.insert("example".to_owned(), examples[0].clone());
        }
        self.choices(&mut members);
        types(&mut members);
        beside_reference(&mut members);
        Value::Object(members)
    }

    /// Converts `allOf`, `anyOf` and `oneOf`. A choice between one schema and null becomes that
    /// schema, nullable; a reference is inlined, since it cannot be nullable in 3.0.
    fn choices(&self, members: &mut Map<String, Value>) {
        for kind in ["allOf", "anyOf", "oneOf"] {
            let Some(Value::Array(choices)) = members.get(kind) else { continue };
            let others: Vec<&Value> = choices.iter().filter(|c| c["type"] != "null").collect();
            if let ([other], true) = (others.as_slice(), choices.len() > 1) {
                let mut whole = self.resolved(other);
                whole.insert("nullable".to_owned(), json!(true));
                if let Some(Value::Array(values)) = whole.get_mut("enum") {
                    values.push(Value::Null);
                }
                members.shift_remove(kind);
                members.extend(whole);
            } else {
                let rendered = choices.iter().map(|choice| self.render(choice)).collect();
                members.insert(kind.to_owned(), rendered);
            }
        }
    }

    fn resolved(&self, schema: &Value) -> Map<String, Value> {
        let target = schema["$ref"].as_str().and_then(|r| self.document.pointer(&r[1..]));
        let mut whole = target.and_then(Value::as_object).cloned().unwrap_or_default();
        let beside = schema.as_object().into_iter().flatten();
        whole.extend(
            beside.filter(|(name, _)| *name != "$ref").map(|(n, v)| (n.clone(), v.clone())),
        );
        match self.render(&Value::Object(whole)) {
            Value::Object(rendered) => rendered,
            _ => Map::new(),
        }
    }
}

/// Converts a list of types: a schema in 3.0 has a single type, and `nullable` for null.
fn types(members: &mut Map<String, Value>) {
    let names: Vec<String> = match members.get("type") {
        Some(Value::String(only)) if only == "null" => vec![only.clone()],
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => return,
    };
    let others: Vec<&str> = names.iter().map(String::as_str).filter(|n| *n != "null").collect();
    members.shift_remove("type");
    match others.as_slice() {
        // Null only, which 3.0 has no type for.
        [] => members
            .extend([("type".to_owned(), json!("string")), ("enum".to_owned(), json!([null]))]),
        [only] => members.extend([("type".to_owned(), json!(only))]),
        several => {
            let choices = several.iter().map(|name| schema_of_type(name, members)).collect();
            members.retain(|name, _| kind_of(name).is_none());
            members.insert("anyOf".to_owned(), choices);
        }
    }
    if others.len() < names.len() {
        members.insert("nullable".to_owned(), json!(true));
    }
}

/// The schema for one of several types, with the keywords that apply to that type.
fn schema_of_type(name: &str, members: &Map<String, Value>) -> Value {
    let applicable = members.iter().filter(|(word, _)| kind_of(word) == Some(kind_of_type(name)));
    let mut choice = Map::from_iter([("type".to_owned(), json!(name))]);
    choice.extend(applicable.map(|(word, value)| (word.clone(), value.clone())));
    Value::Object(choice)
}

/// The kind of value that a keyword applies to, if it is specific to one.
fn kind_of(word: &str) -> Option<&'static str> {
    match word {
        "pattern" | "minLength" | "maxLength" | "format" => Some("string"),
        "minimum" | "maximum" | "multipleOf" => Some("number"),
        _ => None,
    }
}

fn kind_of_type(name: &str) -> &str {
    if name == "integer" { "number" } else { name }
}

/// Wraps a reference in `allOf` if it has siblings, which 3.0 ignores.
fn beside_reference(members: &mut Map<String, Value>) {
    if members.len() > 1
        && let Some(reference) = members.shift_remove("$ref")
    {
        members.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_keep_their_meaning() {
        let document = json!({
            "openapi": "3.1.0",
            "info": { "license": { "name": "GPL-3.0", "identifier": "GPL-3.0-only" } },
            "paths": { "/": { "get": {
                "parameters": [{ "schema": { "type": ["string", "null"] } }],
                "responses": { "200": { "content": { "application/json": {
                    "schema": { "type": "null" },
                } } } },
            } } },
            "components": { "schemas": {
                "Name": { "type": "string", "pattern": "^a$", "examples": ["a"], "description": "A name." },
                "Id": { "type": ["string", "integer"], "pattern": "^1$", "minimum": 1, "description": "An id." },
                "Kind": { "type": "string", "enum": ["b"] },
                "Both": { "type": "object", "propertyNames": { "type": "string" }, "properties": {
                    "name": { "$ref": "#/components/schemas/Name", "description": "Its name." },
                    "other": { "oneOf": [{ "$ref": "#/components/schemas/Name", "description": "Another." }, { "type": "null" }] },
                    "kind": { "oneOf": [{ "$ref": "#/components/schemas/Kind" }, { "type": "null" }] },
                    "plain": { "$ref": "#/components/schemas/Id" },
                    "itself": { "$ref": "#/components/schemas/Both" },
                } },
            } },
        });
        let rendered = of(&document);
        assert_eq!(rendered["info"]["license"], json!({ "name": "GPL-3.0", "url": LICENSE_URL }));
        let get = &rendered["paths"]["/"]["get"];
        assert_eq!(get["parameters"][0]["schema"], json!({ "type": "string", "nullable": true }));
        assert_eq!(
            get["responses"]["200"]["content"]["application/json"]["schema"],
            json!({ "type": "string", "nullable": true, "enum": [null] })
        );
        let name =
            json!({ "type": "string", "pattern": "^a$", "example": "a", "description": "A name." });
        assert_eq!(
            rendered["components"]["schemas"],
            json!({
                "Name": name,
                "Id": { "description": "An id.", "anyOf": [
                    { "type": "string", "pattern": "^1$" }, { "type": "integer", "minimum": 1 },
                ] },
                "Both": { "type": "object", "properties": {
                    "name": { "allOf": [{ "$ref": "#/components/schemas/Name" }], "description": "Its name." },
                    "other": { "type": "string", "pattern": "^a$", "example": "a", "description": "Another.", "nullable": true },
                    "kind": { "type": "string", "enum": ["b", null], "nullable": true },
                    "plain": { "$ref": "#/components/schemas/Id" },
                    "itself": { "$ref": "#/components/schemas/Both" },
                } },
            })
        );
    }
}
