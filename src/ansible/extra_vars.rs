//! Extra variables as the YAML file that ansible-playbook reads.
//!
//! ansible-core takes every string of such a file for a template. A string that came from a
//! client is tagged `!unsafe`, which makes Ansible keep it as text wherever it is used.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Renders the variables as YAML: one mapping, each string tagged unsafe.
pub fn to_yaml(variables: &Map<String, Value>) -> String {
    let mut yaml = String::new();
    write_mapping(&mut yaml, variables);
    yaml.push('\n');
    yaml
}

fn write_mapping(yaml: &mut String, members: &Map<String, Value>) {
    yaml.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            yaml.push_str(", ");
        }
        write_quoted(yaml, name);
        yaml.push_str(": ");
        write_value(yaml, value);
    }
    yaml.push('}');
}

fn write_value(yaml: &mut String, value: &Value) {
    match value {
        Value::Null => yaml.push_str("null"),
        Value::Bool(b) => yaml.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => yaml.push_str(&n.to_string()),
        Value::String(text) => {
            yaml.push_str("!unsafe ");
            write_quoted(yaml, text);
        }
        Value::Array(items) => {
            yaml.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    yaml.push_str(", ");
                }
                write_value(yaml, item);
            }
            yaml.push(']');
        }
        Value::Object(members) => write_mapping(yaml, members),
    }
}

/// A double-quoted scalar of YAML 1.1 in ASCII, since PyYAML refuses some characters raw.
fn write_quoted(yaml: &mut String, text: &str) {
    yaml.push('"');
    for c in text.chars() {
        match c {
            '"' => yaml.push_str("\\\""),
            '\\' => yaml.push_str("\\\\"),
            ' '..='~' => yaml.push(c),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(yaml, "\\U{:08X}", u32::from(c));
            }
        }
    }
    yaml.push('"');
}
