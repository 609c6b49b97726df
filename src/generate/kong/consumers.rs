//! Who may come in through the gateway, and with what key.

use std::collections::HashSet;
use std::fmt;

use regex::Regex;
use serde_json::{Value, json};

/// Who may do everything, and who may only look.
pub(super) const GROUPS: [&str; 2] = ["admin", "viewer"];

/// The shortest key that is let through: one that nobody guesses.
const SHORTEST_KEY: usize = 20;

/// A client with a key.
#[derive(Clone)]
pub struct Consumer {
    name: String,
    group: String,
    key: String,
}

impl Consumer {
    /// The consumer as Kong reads it.
    pub(super) fn object(&self) -> Value {
        json!({
            "username": self.name,
            "acls": [{ "group": self.group }],
            "keyauth_credentials": [{ "key": self.key }],
        })
    }
}

/// A key gets into no log.
impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.group)
    }
}

/// Reads consumers, one a line: a name, a group and a key. Empty lines and those that begin
/// with `#` are skipped. No key gets into an error.
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
            return wrong("a name, a group and a key are needed");
        };
        if !name_rule.is_match(name) || !names.insert(name) {
            return wrong(
                "the name stands there twice, or is not of letters, digits, \".\", \"_\", \"-\"",
            );
        }
        if !GROUPS.contains(&group) {
            return wrong("the group is neither \"admin\" nor \"viewer\"");
        }
        if key.len() < SHORTEST_KEY || !keys.insert(key) {
            return wrong("the key is another one's, or shorter than 20 characters");
        }
        let [name, group, key] = [name, group, key].map(str::to_owned);
        consumers.push(Consumer { name, group, key });
    }
    Ok(consumers)
}
