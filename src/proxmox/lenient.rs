//! Deserializes the loosely typed values of Proxmox.
//!
//! Proxmox is written in Perl, whose JSON encoder sends a number as a string if it was last used
//! as a string, and vice versa.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Deserializes a number from a number, boolean or string. Null and empty strings are 0.
///
/// # Errors
///
/// Returns an error for all other values.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(0.0),
        Value::Bool(b) => Ok(f64::from(u8::from(b))),
        Value::Number(n) => Ok(n.as_f64().unwrap_or_default()),
        Value::String(text) if text.is_empty() => Ok(0.0),
        Value::String(text) => text.parse().map_err(Error::custom),
        _ => Err(Error::custom("neither a number nor a string")),
    }
}

/// Deserializes an unsigned integer, such as an ID.
///
/// # Errors
///
/// Like [`number`].
pub fn unsigned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer).map(|number| number as u64)
}

/// Deserializes a string from a string or number. Null is `None`.
///
/// # Errors
///
/// Returns an error for all other values.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(Error::custom("neither a string nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_strings_and_strings_from_numbers() {
        #[derive(Debug, Default, Deserialize, PartialEq)]
        #[serde(default)]
        struct Sent {
            #[serde(deserialize_with = "number")]
            cpu: f64,
            #[serde(deserialize_with = "unsigned")]
            vmid: u64,
            #[serde(deserialize_with = "text")]
            name: Option<String>,
        }
        let read = |text: &str| serde_json::from_str::<Sent>(text).map_err(|e| e.to_string());
        let sent =
            |cpu, vmid, name: Option<&str>| Ok(Sent { cpu, vmid, name: name.map(str::to_owned) });
        let regular = r#"{"cpu": 0.5, "vmid": 100, "name": "web"}"#;
        assert_eq!(read(regular), sent(0.5, 100, Some("web")));
        let swapped = r#"{"cpu": "0.5", "vmid": "100", "name": 2024}"#;
        assert_eq!(read(swapped), sent(0.5, 100, Some("2024")));
        assert_eq!(read(r#"{"cpu": null, "name": null}"#), sent(0.0, 0, None));
        assert!(read(r#"{"name": ["web"]}"#).is_err() && read(r#"{"cpu": "much"}"#).is_err());
    }
}
