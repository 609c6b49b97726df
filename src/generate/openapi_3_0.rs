//! The document as OpenAPI 3.0.3, for tools that do not read 3.1, such as Kong's converter.
//!
//! 3.1 takes its schemas from JSON Schema 2020-12, 3.0 from an earlier draft with words of its
//! own (OpenAPI 3.0.3, "Schema Object"). What 3.0 has no word for is left out, so that it
//! accepts whatever 3.1 does.

use serde_json::{Map, Value, json};

/// Where the text of the licence is; 3.0 has no member for its SPDX name.
const LICENCE_URL: &str = "https://www.gnu.org/licenses/gpl-3.0.html";

/// Renders a 3.1 document as 3.0.3.
pub fn of(document: &Value) -> Value {
    let mut rendered = document.clone();
    rendered["openapi"] = json!("3.0.3");
    rendered["info"]["license"] =
        json!({ "name": document["info"]["license"]["name"], "url": LICENCE_URL });
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

/// What only nullable members referred to stands in their place now, and nobody refers to it.
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

    /// Renders the schemas of which some or all must fit. "Something or null" becomes that
    /// something, nullable: a reference cannot say so and is replaced by what it stands for.
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

/// 3.0 has one type for a schema, and a word for "or null".
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
        // Of any type and nullable, but nothing except null.
        [] => members
            .extend([("type".to_owned(), json!("string")), ("enum".to_owned(), json!([null]))]),
        [only] => members.extend([("type".to_owned(), json!(only))]),
        several => {
            let choices = several.iter().map(|name| one_of_several(name, members)).collect();
            members.retain(|name, _| kind_of(name).is_none());
            members.insert("anyOf".to_owned(), choices);
        }
    }
    if others.len() < names.len() {
        members.insert("nullable".to_owned(), json!(true));
    }
}

/// The schema of the values of one type, with the words that are about such values.
fn one_of_several(name: &str, members: &Map<String, Value>) -> Value {
    let about = members.iter().filter(|(word, _)| kind_of(word) == Some(kind_of_type(name)));
    let mut choice = Map::from_iter([("type".to_owned(), json!(name))]);
    choice.extend(about.map(|(word, value)| (word.clone(), value.clone())));
    Value::Object(choice)
}

/// The kind of value that a word of a schema is about, if it is about one.
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

/// 3.0 reads nothing that stands beside a reference.
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
        assert_eq!(rendered["info"]["license"], json!({ "name": "GPL-3.0", "url": LICENCE_URL }));
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
