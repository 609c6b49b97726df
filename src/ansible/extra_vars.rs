//! Writes extra variables as a YAML file for ansible-playbook.
//!
//! ansible-core evaluates every string of such a file as a template, unless it is tagged
//! `!unsafe`. The file has a single tag that applies to the whole mapping: ansible-core 2.19
//! parses a tagged scalar such as `!unsafe "0100"` as a number, even if it is quoted, but keeps a
//! quoted scalar inside a tagged mapping as a string.
//!
//! The mapping is written as JSON, which is valid YAML.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use serde_json::{Map, Value};

/// The tag in front of the JSON object.
pub const UNSAFE_TAG: &str = "!unsafe ";

/// Returns the variables as one mapping tagged `!unsafe`.
pub fn to_yaml(variables: &Map<String, Value>) -> String {
    let mut json = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut json, EscapedFormatter);
    // Writing to memory does not fail, and a JSON value is always serializable.
    variables.serialize(&mut serializer).expect("a JSON object is writable");
    format!("{UNSAFE_TAG}{}\n", String::from_utf8_lossy(&json))
}

/// Escapes the characters that PyYAML rejects unescaped: everything in the Basic Multilingual
/// Plane except printable ASCII. Characters above it are written as they are, because JSON
/// escapes them as surrogate pairs, which YAML does not support.
struct EscapedFormatter;

impl Formatter for EscapedFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            match c {
                ' '..='~' | '\u{10000}'.. => write!(writer, "{c}")?,
                _ => write!(writer, "\\u{:04x}", u32::from(c))?,
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: serde_json::ser::CharEscape,
    ) -> io::Result<()> {
        CompactFormatter.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_character_round_trips() {
        let text: String =
            (0..=0x2FFF).filter_map(char::from_u32).chain("\u{1F600}".chars()).collect();
        let variables = json!({ "a": text, "ids": ["0100", ""], "n": 1.5, "b": true, "z": null });
        let Value::Object(variables) = variables else { unreachable!() };
        let yaml = to_yaml(&variables);
        let json = yaml.strip_prefix(UNSAFE_TAG).unwrap();
        assert_eq!(serde_json::from_str::<Map<String, Value>>(json).unwrap(), variables);
        let printable = |c: char| matches!(c, ' '..='~' | '\n' | '\u{10000}'..);
        assert!(json.chars().all(printable));
    }
}
