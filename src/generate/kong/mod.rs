//! The configuration of the gateway: Kong's declarative format, made from the operation table.
//!
//! Kong has its timeouts and retries at a *service*, so there is one service for each kind of
//! request, all of them at the same address: those that run playbooks, those that are answered
//! at once, streams, and what is open to all.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{SECRET_HEADER, Settings};
use crate::generate::openapi;
use crate::operations::OPERATIONS;

mod consumers;

pub use crate::generate::kong::consumers::{Consumer, consumers};

use crate::generate::kong::consumers::GROUPS;

/// The header that Kong reads a consumer's key from.
pub const KEY_HEADER: &str = "apikey";

/// The longest time that Kong can wait, in milliseconds.
const LONGEST_TIMEOUT: u64 = i32::MAX as u64 - 1;

const HEADING: &str = "\
# The gateway's configuration, written by `range42-backend-api kong` from the operation table.
";

const NOBODY: &str = "\
# It has no consumers and so lets nobody in; docs/deploy.md says how to write one with yours.
";

/// The WebSocket, which OpenAPI has no words for.
const WEB_SOCKET: [&str; 3] = ["get_ws_vm_status", "GET", "/ws/vm-status"];

/// What the configuration depends on besides the operations.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Where Kong finds the server.
    pub upstream: String,
    /// How long a run may take; none where it has no limit.
    pub run_limit: Option<Duration>,
    /// The time between two pings of a WebSocket.
    pub ping_every: Duration,
    /// What Kong is to send in [`SECRET_HEADER`].
    pub secret: Option<String>,
    /// Who may come in.
    pub consumers: Vec<Consumer>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            upstream: "http://api:8000".to_owned(),
            run_limit: Some(Duration::from_secs(3600)),
            ping_every: Duration::from_secs(20),
            secret: None,
            consumers: Vec::new(),
        }
    }
}

impl Gateway {
    /// What these settings say.
    pub fn of(settings: &Settings) -> Self {
        let secret = settings.gateway.secret.clone();
        let (run_limit, ping_every) = (settings.limits.run_time, settings.status.ping_every);
        Self { run_limit, ping_every, secret, ..Self::default() }
    }
}

/// The text of the configuration.
pub fn text(gateway: &Gateway) -> String {
    let yaml = yaml_serde::to_string(&configuration(gateway)).expect("a JSON value is writable");
    let nobody = if gateway.consumers.is_empty() { NOBODY } else { "" };
    format!("{HEADING}{nobody}{yaml}")
}

/// The configuration.
pub fn configuration(gateway: &Gateway) -> Value {
    let mut routes = Routes::default();
    for (path, methods) in openapi::document()["paths"].as_object().expect("the document has paths")
    {
        for (method, object) in methods.as_object().expect("a path has methods") {
            let Some(id) = object["operationId"].as_str() else { continue };
            routes.add(&method.to_uppercase(), path, id);
        }
    }
    let [id, method, path] = WEB_SOCKET;
    routes.add(method, path, id);
    let runs = run_timeout(gateway.run_limit);
    let streams = stream_timeout(gateway.ping_every);
    let mut configuration = json!({
        "_format_version": "3.0",
        "services": [
            service("range42-runs", gateway, runs, routes.runs, closed(false)),
            service("range42-quick", gateway, 60_000, routes.quick, closed(false)),
            // A browser can send no header when it opens a stream, so the key may stand in the
            // query.
            service("range42-streams", gateway, streams, routes.streams, closed(true)),
            service("range42-open", gateway, 15_000, open_routes(), vec![open(gateway)]),
        ],
        "plugins": everywhere(gateway),
    });
    if !gateway.consumers.is_empty() {
        configuration["consumers"] = gateway.consumers.iter().map(Consumer::object).collect();
    }
    configuration
}

/// A run may wait in the queue for one that takes all of its time, and then take all of its
/// own. A gateway that gives up earlier repeats a DELETE, and leaves its client without answer.
fn run_timeout(limit: Option<Duration>) -> u64 {
    let twice = limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    twice.map_or(LONGEST_TIMEOUT, |ms| ms.saturating_mul(2).clamp(60_000, LONGEST_TIMEOUT))
}

/// A WebSocket is given up after two pings without an answer, by the server and not before it
/// by the gateway. A stream of events says something more often than that.
fn stream_timeout(ping_every: Duration) -> u64 {
    let ms = u64::try_from(ping_every.as_millis()).unwrap_or(u64::MAX);
    ms.saturating_mul(3).saturating_add(15_000).clamp(75_000, LONGEST_TIMEOUT)
}

/// The routes of each service.
#[derive(Default)]
struct Routes {
    runs: Vec<Value>,
    quick: Vec<Value>,
    streams: Vec<Value>,
}

impl Routes {
    /// Adds an operation of the document. What is not below these folders (health, metrics) is
    /// for the machines beside the server and has no route.
    fn add(&mut self, method: &str, path: &str, id: &str) {
        if !path.starts_with("/v0/") && !path.starts_with("/ws/") {
            return;
        }
        let operation = OPERATIONS.iter().find(|o| o.path == path && o.id() == id);
        let looks_only =
            operation.map_or(method == "GET", |operation| operation.effect.is_reading());
        let mut route = route(id, method, &expression(path), looks_only);
        if operation.is_some() {
            self.runs.push(route);
        } else if path.starts_with("/ws/") || path.ends_with("/events") {
            route["response_buffering"] = json!(false);
            self.streams.push(route);
        } else {
            self.quick.push(route);
        }
    }
}

/// A regular expression, as Kong marks one, for exactly this path. Kong matches it after it has
/// made `//` one slash; a `%2F` stays as it is.
fn expression(path: &str) -> String {
    let segment = |segment: &str| match segment.strip_prefix('{') {
        Some(_) => "[^/]+".to_owned(),
        None => regex::escape(segment).replace("\\-", "-"),
    };
    format!("~{}$", path.split('/').map(segment).collect::<Vec<_>>().join("/"))
}

fn route(name: &str, method: &str, path: &str, looks_only: bool) -> Value {
    let groups = if looks_only { &GROUPS[..] } else { &GROUPS[..1] };
    json!({
        "name": name,
        "methods": [method],
        "paths": [path],
        "strip_path": false,
        "plugins": [{ "name": "acl", "config": { "allow": groups } }],
    })
}

/// The docs, which hold nothing of the range, and the question that a browser asks before it
/// sends a key; the server answers that one by its own rule.
fn open_routes() -> Vec<Value> {
    let route = |name: &str, method: &str, path: &str| json!({ "name": name, "methods": [method], "paths": [path], "strip_path": false });
    vec![
        route(
            "get_docs",
            "GET",
            r"~/docs/(?:openapi\.json|redoc(?:\.standalone\.js)?|swagger(?:/.*)?)$",
        ),
        route("preflight", "OPTIONS", "~/(?:v0|docs)/.*$"),
    ]
}

fn service(
    name: &str,
    gateway: &Gateway,
    read: u64,
    routes: Vec<Value>,
    plugins: Vec<Value>,
) -> Value {
    json!({
        "name": name,
        "url": gateway.upstream,
        "retries": 0,
        "connect_timeout": 5_000,
        "write_timeout": 60_000,
        "read_timeout": read,
        "plugins": plugins,
        "routes": routes,
    })
}

/// What a service has that wants a key.
fn closed(key_in_query: bool) -> Vec<Value> {
    vec![json!({
        "name": "key-auth",
        "config": {
            "key_names": [KEY_HEADER],
            "key_in_header": true,
            "key_in_query": key_in_query,
            "key_in_body": false,
            "hide_credentials": true,
        },
    })]
}

/// Without a key nobody has a name, whatever the client says. This takes the place of the same
/// plugin of [`everywhere`].
fn open(gateway: &Gateway) -> Value {
    let names = ["username", "custom-id", "id", "groups"].map(|name| format!("x-consumer-{name}"));
    let mut plugin =
        secret(gateway).unwrap_or_else(|| json!({ "name": "request-transformer", "config": {} }));
    plugin["config"]["remove"] = json!({ "headers": names });
    plugin
}

fn everywhere(gateway: &Gateway) -> Vec<Value> {
    let mut plugins = vec![
        json!({
            "name": "correlation-id",
            "config": { "header_name": "X-Request-ID", "generator": "uuid", "echo_downstream": true },
        }),
        json!({
            "name": "rate-limiting",
            "config": { "minute": 600, "limit_by": "consumer", "policy": "local" },
        }),
    ];
    plugins.extend(secret(gateway));
    plugins
}

/// Sets the header whether or not the client sent one.
fn secret(gateway: &Gateway) -> Option<Value> {
    let header = format!("{SECRET_HEADER}:{}", gateway.secret.as_ref()?);
    let headers = json!({ "headers": [header] });
    let config = json!({ "add": headers, "replace": headers });
    Some(json!({ "name": "request-transformer", "config": config }))
}
