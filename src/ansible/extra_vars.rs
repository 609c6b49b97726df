//! Extra variables as the YAML file that ansible-playbook reads.
//!
//! ansible-core takes every string of such a file for a template. The tag `!unsafe` makes it
//! keep a string as text wherever it is used. The tag stands once, before the whole mapping,
//! and holds for everything in it: on a single scalar ansible-core 2.19 reads `!unsafe "0100"`
//! as a number, quotes or not, while inside of a tagged mapping a quoted scalar stays text.
//!
//! What follows the tag is JSON, which is YAML as well.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use serde_json::{Map, Value};

/// What stands before the JSON object.
pub const UNSAFE_TAG: &str = "!unsafe ";

/// Renders the variables as one mapping, tagged unsafe.
pub fn to_yaml(variables: &Map<String, Value>) -> String {
    let mut json = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut json, EscapedFormatter);
    // Writing into memory does not fail, and a JSON value is always serializable.
    variables.serialize(&mut serializer).expect("a JSON object is writable");
    format!("{UNSAFE_TAG}{}\n", String::from_utf8_lossy(&json))
}

/// Escapes what PyYAML refuses to read raw: everything between ASCII's printable part and the
/// first astral plane. Astral characters stay raw, since JSON has no escape for them that
/// YAML has too.
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
    fn every_character_survives_as_json_behind_the_tag() {
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
