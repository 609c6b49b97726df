//! The OpenAPI description of the routes of the runs.

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::runs::PATH;
use crate::http::runs::body::RunBody;
use crate::operations::tags;
use crate::runs::RunState;

/// Returns the members of the document's `paths`.
pub fn paths() -> Map<String, Value> {
    let one = format!("{PATH}/{{run_id}}");
    let page_of = |what: &str, first: u64| {
        vec![
            run_id(),
            query(
                "from",
                &format!("The number of the first {what} to return. Numbers start at {first}."),
                json!({ "type": "integer", "minimum": 0 }),
            ),
            query(
                "limit",
                &format!("The maximum number of {what}s. A response also ends after 1 MiB."),
                json!({ "type": "integer", "minimum": 1, "maximum": 10000, "default": 1000 }),
            ),
        ]
    };
    let mut paths = Map::new();
    paths.insert(
        PATH.to_owned(),
        json!({ "get": operation(
            "get_runs", "List runs, newest first", list_parameters(),
            &[("200", response("A page of runs.", "RunList")), ("400", bad()), ("503", unreadable())],
        )}),
    );
    paths.insert(one.clone(), json!({
        "get": operation(
            "get_runs_run_id", "Read a run", vec![run_id()],
            &[("200", response("The run.", "RunWithResult")), ("404", missing()), ("503", unreadable())],
        ),
        "delete": operation(
            "delete_runs_run_id", "Delete a run that has ended", vec![run_id()],
            &[("204", json!({ "description": "The run and its log are deleted." })), ("404", missing()), ("409", response("The run has not ended.", "Detail")), ("503", unreadable())],
        ),
    }));
    paths.insert(format!("{one}/log"), json!({ "get": operation(
        "get_runs_run_id_log", "Read the log of a run", page_of("line", 0),
        &[("200", response("Lines of the log.", "RunLogPage")), ("400", bad()), ("404", missing()), ("503", unreadable())],
    )}));
    paths.insert(format!("{one}/job_events"), json!({ "get": operation(
        "get_runs_run_id_job_events", "Read the job events of a run", page_of("event", 1),
        &[("200", response("Job events.", "RunJobEvents")), ("400", bad()), ("404", missing()), ("503", unreadable())],
    )}));
    paths.insert(format!("{one}/events"), json!({ "get": operation(
        "get_runs_run_id_events", "Follow a run", vec![run_id(), last_event_id()],
        &[
            ("200", json!({
                "description": "Server-sent events. `job_event`: a job event, with its number as the id; starts with the first one, or the one after Last-Event-ID. `run`: the run, sent when its state or queue position changes. The stream ends when the run ends.",
                "content": { "text/event-stream": { "schema": {
                    "type": "object",
                    "description": "One event of the stream.",
                    "required": ["event", "data"],
                    "properties": {
                        "event": { "type": "string", "enum": ["job_event", "run"] },
                        "id": { "type": "string", "description": "The number of the job event." },
                        "data": { "type": "string", "description": "The job event or the run, as JSON." },
                    },
                } } },
            })),
            ("204", json!({ "description": "The run has ended, and the client has received all events." })),
            ("404", missing()), ("503", unreadable()),
        ],
    )}));
    paths.insert(format!("{one}/cancel"), json!({ "post": operation(
        "post_runs_run_id_cancel", "Cancel a run", vec![run_id()],
        &[
            ("202", response("A running run is `canceling` until none of its processes is left. A queued run is `canceled` at once. Tasks that Proxmox has accepted continue there.", "RunWithResult")),
            ("404", missing()), ("409", response("The run has already ended.", "Detail")), ("503", unreadable()),
        ],
    )}));
    paths
}

fn operation(
    id: &str,
    summary: &str,
    parameters: Vec<Value>,
    responses: &[(&str, Value)],
) -> Value {
    let responses: Map<String, Value> =
        responses.iter().map(|(status, r)| ((*status).to_owned(), r.clone())).collect();
    json!({
        "operationId": id, "tags": [tags::RUNS.name], "summary": summary,
        "parameters": parameters, "responses": responses,
    })
}

fn list_parameters() -> Vec<Value> {
    let states = RunState::ALL.map(RunState::name);
    let (list, pattern) = (states.join(", "), states.join("|"));
    vec![
        query(
            "state",
            &format!("Only runs in one of these states, separated by commas: {list}."),
            json!({ "type": "string", "pattern": format!("^({pattern})(,({pattern}))*$") }),
        ),
        query(
            "operation",
            "Only runs of the operation with this operationId.",
            json!({ "type": "string" }),
        ),
        query("node", "Only runs on this node.", json!({ "type": "string" })),
        query(
            "cursor",
            "`next` of the previous page.",
            json!({ "type": "string", "format": "uuid" }),
        ),
        query(
            "limit",
            "The maximum number of runs.",
            json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
        ),
    ]
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn run_id() -> Value {
    json!({
        "name": "run_id", "in": "path", "required": true,
        "description": "The id of the run, as in X-Run-Id.",
        "schema": { "type": "string", "format": "uuid" },
        "example": "01936f3e-8c1a-7d2b-9a54-2f6f0c1e7b10",
    })
}

fn last_event_id() -> Value {
    json!({
        "name": "Last-Event-ID", "in": "header",
        "description": "The id of the last event that the client received. An unknown id is ignored.",
        "schema": { "type": "string" },
    })
}

fn response(description: &str, schema: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": reference(schema) } },
    })
}

fn missing() -> Value {
    response("The run does not exist.", "Detail")
}

fn bad() -> Value {
    response("A parameter is invalid.", "Detail")
}

fn unreadable() -> Value {
    response("The run history cannot be read at present.", "Detail")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Returns the schemas of the responses.
pub fn schemas() -> Map<String, Value> {
    let mut derived: Vec<(String, RefOr<Schema>)> = vec![("Run".to_owned(), RunBody::schema())];
    <RunBody as ToSchema>::schemas(&mut derived);
    let mut schemas: Map<String, Value> = derived
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).expect("a schema is writable")))
        .collect();
    let number = |text: &str| json!({ "type": "integer", "description": text });
    let complete = json!({ "type": "boolean", "description": "Whether the run has ended and nothing follows." });
    let page = |items: &str, schema: Value, text: &str| {
        let array = json!({ "type": "array", "items": schema, "description": text });
        json!({
            "type": "object",
            "required": ["from", "next", items, "state", "complete"],
            "properties": {
                "from": number("The requested number."),
                "next": number("The number to request next."),
                items: array, "state": reference("State"), "complete": complete,
            },
        })
    };
    let line = json!({ "type": "string" });
    let event = json!({ "type": "object", "description": "A job event of ansible-runner, with its number in the run (`seq`) and the number of its playbook (`playbook`)." });
    schemas.insert(
        "RunLogPage".to_owned(),
        page("log_multiline", line, "The lines, without ANSI escapes."),
    );
    schemas.insert("RunJobEvents".to_owned(), page("job_events", event, "The job events."));
    schemas.insert("RunList".to_owned(), json!({
        "type": "object",
        "required": ["runs", "next"],
        "properties": {
            "runs": { "type": "array", "items": reference("Run") },
            "next": { "type": ["string", "null"], "description": "The cursor of the next page; null on the last page." },
        },
    }));
    schemas.insert("RunWithResult".to_owned(), json!({
        "allOf": [reference("Run"), {
            "type": "object",
            "required": ["result"],
            "properties": {
                "result": { "type": "array", "items": {}, "description": "The values that the run reported; empty until it has ended." },
                "note": { "type": "string", "description": "What canceling does not undo." },
            },
        }],
    }));
    schemas
}
