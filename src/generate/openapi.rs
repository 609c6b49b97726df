//! Generates the OpenAPI document from the operations.

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::openapi_3_0;
use crate::generate::kong;
use crate::http::runs;
use crate::operations::OPERATIONS;
use crate::operations::tags;
use crate::operations::tags::Tag;
use crate::operations::{Answer, LookUp, Method, Operation, RequestType, Work};

/// A supported version of the OpenAPI specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// 3.0.3, for tools that do not support 3.1.
    #[value(name = "3.0")]
    V3_0,
    /// 3.1.0, which the server serves and the repository contains.
    #[value(name = "3.1")]
    V3_1,
}

/// Returns the document as JSON text.
pub fn text(version: Version) -> String {
    let text = match version {
        Version::V3_0 => serde_json::to_string_pretty(&openapi_3_0::of(&document())),
        Version::V3_1 => serde_json::to_string_pretty(&document()),
    };
    let mut text = text.expect("a JSON value can be serialized");
    text.push('\n');
    text
}

/// Returns the OpenAPI 3.1 document, with all operations and schemas.
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS.iter() {
        let method = match operation.method {
            Method::Post => "post",
            Method::Delete => "delete",
        };
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[method] = operation_object(operation);
    }
    paths.extend(runs::paths());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "CR42 - API",
            "version": "v0.1",
            "description": "Cyber ranges on Proxmox VE. Each operation runs an Ansible playbook \
                            and returns what the playbook reported.",
            "license": { "name": "GPL-3.0", "identifier": "GPL-3.0-only" },
        },
        "servers": [{ "url": "/", "description": "This server." }],
        // The service itself requires no key; the gateway does.
        "security": [{}, { "gatewayKey": [] }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "gatewayKey": {
                "type": "apiKey", "in": "header", "name": kong::KEY_HEADER,
                "description": "A consumer's key, required if the API is called through the gateway.",
            } },
        },
    })
}

fn tags() -> Vec<Value> {
    let mut tags: Vec<&Tag> = Vec::new();
    for tag in OPERATIONS.iter().map(|operation| operation.tag).chain([tags::RUNS]) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags.iter().map(|tag| json!({ "name": tag.name, "description": tag.description })).collect()
}

fn operation_object(operation: &Operation) -> Value {
    let mut object = json!({
        "operationId": operation.id(),
        "tags": [operation.tag.name],
        "summary": operation.summary,
    });
    let parameters = path_parameter(operation.path).into_iter().chain([prefer_parameter()]);
    object["parameters"] = parameters.collect();
    if let Some(request) = &operation.request {
        object["requestBody"] = json!({
            "required": true,
            "content": { "application/json": {
                "schema": reference(&request_name(operation, request)),
                "example": operation.example_body(),
            } },
        });
    }
    object["responses"] = responses(operation);
    object
}

/// The name of a request body's schema. Each operation that creates a group of guests requires
/// other keys, so it has a schema of its own, which adds them to the shared one.
fn request_name(operation: &Operation, request: &RequestType) -> String {
    match operation.work {
        Work::CreateVms { folder, .. } => {
            let group = folder.rsplit('-').next().unwrap_or_default();
            format!("{}{}{}", &group[..1].to_uppercase(), &group[1..], (request.name)())
        }
        _ => (request.name)(),
    }
}

/// The schema of a request body, if the operation has one of its own; see [`request_name`].
fn own_schema(operation: &Operation, request: &RequestType) -> Option<Value> {
    let Work::CreateVms { keys, .. } = operation.work else { return None };
    let vm = reference("NewVm");
    let members: Map<String, Value> = keys.iter().map(|k| ((*k).to_owned(), vm.clone())).collect();
    let vms = json!({
        "type": "object", "required": keys, "maxProperties": keys.len(), "properties": members,
    });
    Some(json!({
        "allOf": [
            reference(&(request.name)()),
            { "type": "object", "properties": { "vms": vms } },
        ],
        "example": operation.example_body(),
    }))
}

fn path_parameter(path: &str) -> Option<Value> {
    let name = path.split_once('{')?.1.split_once('}')?.0;
    Some(json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": "The path below its directory. Encode the slashes of a nested path as %2F.",
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*$", "maxLength": 1024 },
        "example": path_example(name),
    }))
}

/// Returns a value of a path parameter that works with the included bundles and scenarios.
pub fn path_example(parameter: &str) -> &'static str {
    if parameter == "scenario_name" { "demo_lab" } else { "ping" }
}

fn prefer_parameter() -> Value {
    json!({
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async` returns 202 immediately, with the URL of the run in Location; `wait=N` first waits up to N seconds for the run to end (RFC 7240).",
        // No example: Swagger UI would send it with every request.
        "schema": { "type": "string" },
    })
}

fn responses(operation: &Operation) -> Value {
    let success = match operation.answer {
        Answer::Guest => reference("FoundGuest"),
        Answer::Log => reference("RunLog"),
        Answer::Result { name, list, .. } => {
            json!({ "anyOf": [reference(&answer_name(&name(), list)), reference("RunLog")] })
        }
    };
    let failure = match operation.answer {
        Answer::Guest => reference("Detail"),
        _ => json!({ "anyOf": [reference("RunFailure"), reference("Detail")] }),
    };
    let mut responses = json!({
        "200": response("The playbook succeeded.", success),
        "202": response("The run continues in the background, as requested with Prefer.", reference("RunWithResult")),
        "400": response("The configuration of the server does not allow the operation; nothing was started.", reference("Detail")),
        "408": response("The body did not arrive in time; nothing was started.", reference("Detail")),
        "413": response("The body exceeds the size limit; nothing was started.", reference("Detail")),
        "422": response("The body does not match the schema; nothing was started.", reference("Invalid")),
        "500": response("The run failed or was canceled, or an internal error occurred.", failure),
        "503": response("The queue is full, or the server is shutting down; nothing was started.", reference("Detail")),
    });
    if looks_up(operation) {
        responses["404"] =
            response("The guest does not exist; nothing was changed.", reference("Detail"));
    }
    if operation.request.is_none() {
        let members = responses.as_object_mut().expect("an object");
        members.retain(|status, _| !["408", "413", "422"].contains(&status.as_str()));
    }
    responses
}

fn looks_up(operation: &Operation) -> bool {
    match &operation.work {
        Work::Playbook(work) => work.look_up != LookUp::No,
        Work::LookUp { .. } => true,
        Work::CreateVms { .. } => false,
    }
}

fn response(description: &str, schema: Value) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": schema } },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The name of the schema of a response whose entries have the schema `item`.
fn answer_name(item: &str, list: bool) -> String {
    if list { format!("{item}ListAnswer") } else { format!("{item}Answer") }
}

fn schemas() -> Map<String, Value> {
    let mut all: Vec<(String, RefOr<Schema>)> = Vec::new();
    let mut answers: Vec<(String, bool)> = Vec::new();
    let mut schemas = shared_schemas();
    schemas.extend(runs::schemas());
    for operation in OPERATIONS.iter() {
        if let Some(request) = &operation.request {
            (request.schemas)(&mut all);
            let own = own_schema(operation, request);
            schemas.extend(own.map(|schema| (request_name(operation, request), schema)));
        }
        if let Answer::Result { name, schemas, list, .. } = operation.answer {
            schemas(&mut all);
            answers.push((name(), list));
        }
    }
    for (name, list) in answers {
        let item = reference(&name);
        let entry = if list { json!({ "type": "array", "items": item }) } else { item };
        schemas.insert(answer_name(&name, list), json!({
            "type": "object",
            "required": ["rc", "result"],
            "properties": {
                "rc": { "type": "integer", "description": "The exit code of ansible-playbook, 0.", "example": 0 },
                "result": { "type": "array", "description": "What the playbook reported, one entry per event.", "items": entry },
            },
        }));
    }
    schemas.extend(published(all));
    let mut sorted: Vec<_> = schemas.into_iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.into_iter().collect()
}

fn published(schemas: Vec<(String, RefOr<Schema>)>) -> Map<String, Value> {
    let value = |schema| serde_json::to_value(schema).expect("a schema can be serialized");
    schemas.into_iter().map(|(name, schema)| (name, value(schema))).collect()
}

/// The schemas that operations share.
fn shared_schemas() -> Map<String, Value> {
    let lines = json!({ "type": "array", "items": { "type": "string" }, "description": "The lines of the log, without ANSI colors." });
    let rc = json!({ "type": ["integer", "null"], "description": "The exit code of ansible-playbook; null if a signal terminated it." });
    let schemas = json!({
        "RunLog": {
            "type": "object",
            "required": ["rc", "log_multiline"],
            "properties": { "rc": rc, "log_multiline": lines },
            "example": { "rc": 0, "log_multiline": ["PLAY [all] ***", "", "ok: [px-testing]"] },
        },
        "RunFailure": {
            "type": "object",
            "required": ["rc", "error", "log_multiline"],
            "properties": {
                "rc": rc,
                "error": { "type": "string", "description": "Why the run failed, in one line." },
                "result": { "type": "array", "description": "What the playbook reported before it failed.", "items": {} },
                "log_multiline": lines,
            },
            "example": {
                "rc": 2, "result": [],
                "error": "fatal: [px-testing]: FAILED! => VM 4711 does not exist on node px-testing",
                "log_multiline": ["PLAY RECAP ***"],
            },
        },
        "FoundGuest": {
            "type": "object",
            "description": "The guest that was looked up.",
            "required": ["vm_id", "vm_name"],
            "properties": {
                "vm_id": { "type": "integer", "description": "Its id." },
                "vm_name": { "type": ["string", "null"], "description": "Its name; null if it has none." },
            },
            "example": { "vm_id": 1000, "vm_name": "gateway" },
        },
        "Detail": {
            "type": "object",
            "required": ["detail"],
            "properties": { "detail": { "type": "string", "description": "What is wrong, in one sentence." } },
            "example": { "detail": "no VM has the id 4711 on node px-testing" },
        },
        "Invalid": {
            "type": "object",
            "required": ["detail"],
            "properties": { "detail": { "type": "array", "items": reference("FieldError") } },
        },
        "FieldError": {
            "type": "object",
            "required": ["msg", "type"],
            "properties": {
                "type": { "type": "string", "description": "A stable identifier of the kind of error." },
                "loc": {
                    "type": "array",
                    "items": { "type": ["string", "integer"] },
                    "description": "The path to the field. With DEBUG=true, `field` has it instead, joined by dots.",
                },
                "field": { "type": "string", "description": "The path to the field; only with DEBUG=true." },
                "msg": { "type": "string", "description": "A human-readable message." },
                "input": { "description": "The rejected value; passwords are masked." },
                "ctx": { "type": ["object", "null"], "description": "The violated constraint." },
            },
            "example": {
                "type": "string_pattern_mismatch", "loc": ["body", "vm_id"],
                "msg": "String should match pattern '^0*[1-9][0-9]{2,8}$'", "input": "x",
                "ctx": { "pattern": "^0*[1-9][0-9]{2,8}$" },
            },
        },
    });
    match schemas {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
