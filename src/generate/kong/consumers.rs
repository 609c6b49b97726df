//! The gateway's consumers and their keys.

use std::collections::HashSet;
use std::fmt;

use regex::Regex;
use serde_json::{Value, json};

/// The groups: `admin` has access to all operations, `viewer` only to those that read.
pub(super) const GROUPS: [&str; 2] = ["admin", "viewer"];

/// The minimum length of a key, which makes guessing infeasible.
const MIN_KEY_LENGTH: usize = 20;

/// A client of the gateway, with its key.
#[derive(Clone)]
pub struct Consumer {
    name: String,
    group: String,
    key: String,
}

impl Consumer {
    /// Returns the consumer in Kong's declarative format.
    pub(super) fn object(&self) -> Value {
        json!({
            "username": self.name,
            "acls": [{ "group": self.group }],
            "keyauth_credentials": [{ "key": self.key }],
        })
    }
}

/// Omits the key, so that it does not end up in a log.
impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.group)
    }
}

/// Parses a list of consumers. Each line has a name, a group and a key; empty lines and lines that
/// begin with `#` are skipped.
///
/// # Errors
///
/// The number of the first invalid line and what is wrong with it. The message contains no keys.
pub fn consumers(text: &str) -> Result<Vec<Consumer>, String> {
    let name_rule = Regex::new("^[A-Za-z0-9._-]{1,64}$").expect("a valid expression");
    let (mut names, mut keys) = (HashSet::new(), HashSet::new());
    let mut consumers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| Err(format!("line {}: {what}", index + 1));
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, group, key] = words[..] else {
            return wrong("expected a name, a group and a key");
        };
        if !name_rule.is_match(name) || !names.insert(name) {
            return wrong(
                "the name is a duplicate or has characters other than letters, digits, \".\", \"_\", \"-\"",
            );
        }
        if !GROUPS.contains(&group) {
            return wrong("the group must be \"admin\" or \"viewer\"");
        }
        if key.len() < MIN_KEY_LENGTH || !keys.insert(key) {
            return wrong("the key is a duplicate or has fewer than 20 characters");
        }
        let [name, group, key] = [name, group, key].map(str::to_owned);
        consumers.push(Consumer { name, group, key });
    }
    Ok(consumers)
}
