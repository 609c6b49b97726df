//! The curl scripts of `curl_utils/`, one for each operation, made from its example.

use serde_json::{Map, Value};

use crate::operations::OPERATIONS;
use crate::operations::Operation;

/// Members of bodies that a script takes from its environment, each by its own name in
/// capitals: what differs between one range and another.
const OVERRIDABLE: [&str; 6] = ["proxmox_node", "hosts", "vm_id", "vm_new_id", "id", "name"];

/// A script, ready to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Script {
    /// The name of its file: the path below `/v0/admin/`, joined by dots.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The scripts of all operations, in the order of the table.
pub fn scripts() -> Vec<Script> {
    OPERATIONS.iter().map(script).collect()
}

fn script(operation: &Operation) -> Script {
    let below = operation.path.trim_start_matches("/v0/admin/");
    let name = below.replace(['{', '}'], "").replace('/', ".") + ".sh";
    let mut variables = Variables::default();
    let path = variables.path(operation);
    let body = operation.example_body().map(|body| variables.body(body));
    let method = format!("{:?}", operation.method).to_uppercase();
    let defaults = variables.defaults();
    let request = format!("--request {method} \"$BASE_URL{path}\"");
    let call = match body {
        None => request,
        Some(body) => format!(
            "{request} \\\n    --header 'Content-Type: application/json' --data @- <<END\n{body}\nEND"
        ),
    };
    let text = format!(
        "#!/bin/sh\n# {}: {method} {}\n#\n# Made by `range42-backend-api curl-scripts`; \
         README.md beside it says how it is used.\nset -eu\n{defaults}\n\
         # shellcheck disable=SC2086\ncurl ${{CURL_OPTIONS:-}} --silent --show-error \
         --fail-with-body --write-out '\\n' \\\n    {call}\n",
        operation.summary, operation.path,
    );
    Script { name, text }
}

/// What a script takes from its environment, with what it takes without.
#[derive(Default)]
struct Variables {
    defaults: Vec<(String, String)>,
}

impl Variables {
    fn path(&mut self, operation: &Operation) -> String {
        let Some((before, rest)) = operation.path.split_once('{') else {
            return operation.path.to_owned();
        };
        let (parameter, after) = rest.split_once('}').unwrap_or((rest, ""));
        let name = self.add(parameter, crate::generate::openapi::path_example(parameter));
        format!("{before}${{{name}}}{after}")
    }

    /// The body with variables in the place of what can be overridden.
    fn body(&mut self, body: Map<String, Value>) -> String {
        let mut body = Value::Object(body);
        self.mark(&mut body, None);
        let text = serde_json::to_string_pretty(&body).unwrap_or_default();
        // What the shell would read in the text itself; the marks have nothing of the kind.
        let text = text.replace('\\', "\\\\").replace('$', "\\$").replace('`', "\\`");
        self.defaults.iter().fold(text, |text, (name, _)| {
            text.replace(&format!("\"@number:{name}@\""), &format!("${name}"))
                .replace(&format!("@text:{name}@"), &format!("${name}"))
        })
    }

    /// Puts marks in the place of values, which become variables once it is text. What stands
    /// in a list or a mapping gets its position as a number.
    fn mark(&mut self, value: &mut Value, number: Option<usize>) {
        let Value::Object(members) = value else { return };
        for (name, value) in members {
            match value {
                // The guests to make, by their keys.
                Value::Object(guests) => {
                    for (position, guest) in guests.values_mut().enumerate() {
                        self.mark(guest, Some(position + 1));
                    }
                }
                Value::Array(items) => {
                    for (position, item) in items.iter_mut().enumerate() {
                        match item {
                            Value::Object(_) => self.mark(item, Some(position + 1)),
                            id => self.mark_one(id, "vm_id", Some(position + 1)),
                        }
                    }
                }
                value if OVERRIDABLE.contains(&name.as_str()) => self.mark_one(value, name, number),
                _ => {}
            }
        }
    }

    fn mark_one(&mut self, value: &mut Value, name: &str, number: Option<usize>) {
        let (kind, default) = match &*value {
            Value::String(text) => ("text", text.clone()),
            Value::Number(number) => ("number", number.to_string()),
            _ => return,
        };
        let name = match number {
            Some(number) => format!("vm_{}_{number}", name.trim_start_matches("vm_")),
            None => name.to_owned(),
        };
        let name = self.add(&name, &default);
        *value = Value::from(format!("@{kind}:{name}@"));
    }

    fn add(&mut self, name: &str, default: &str) -> String {
        let name = name.to_uppercase();
        self.defaults.push((name.clone(), default.to_owned()));
        name
    }

    fn defaults(&self) -> String {
        let base = [("BASE_URL".to_owned(), "http://localhost:8000".to_owned())];
        let lines = base.iter().chain(&self.defaults);
        lines.map(|(name, default)| format!(": \"${{{name}:={default}}}\"\n")).collect()
    }
}
