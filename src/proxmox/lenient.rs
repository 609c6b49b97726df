//! Values as Proxmox sends them.
//!
//! It is written in Perl, where a number that was once used as text is sent as text, and a text
//! of digits that was once used as a number is sent as a number.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A number; 0 where there is none.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(0.0),
        Value::Bool(b) => Ok(f64::from(u8::from(b))),
        Value::Number(n) => Ok(n.as_f64().unwrap_or_default()),
        Value::String(text) if text.is_empty() => Ok(0.0),
        Value::String(text) => text.parse().map_err(Error::custom),
        _ => Err(Error::custom("neither a number nor text")),
    }
}

/// A whole number that is not negative, such as an id.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer).map(|number| number as u64)
}

/// Text, if there is any.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(Error::custom("neither text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_text_and_text_as_numbers() {
        #[derive(Debug, Default, Deserialize, PartialEq)]
        #[serde(default)]
        struct Sent {
            #[serde(deserialize_with = "number")]
            cpu: f64,
            #[serde(deserialize_with = "whole")]
            vmid: u64,
            #[serde(deserialize_with = "text")]
            name: Option<String>,
        }
        let read = |text: &str| serde_json::from_str::<Sent>(text).map_err(|e| e.to_string());
        let sent =
            |cpu, vmid, name: Option<&str>| Ok(Sent { cpu, vmid, name: name.map(str::to_owned) });
        let as_meant = r#"{"cpu": 0.5, "vmid": 100, "name": "web"}"#;
        assert_eq!(read(as_meant), sent(0.5, 100, Some("web")));
        let turned = r#"{"cpu": "0.5", "vmid": "100", "name": 2024}"#;
        assert_eq!(read(turned), sent(0.5, 100, Some("2024")));
        assert_eq!(read(r#"{"cpu": null, "name": null}"#), sent(0.0, 0, None));
        assert!(read(r#"{"name": ["web"]}"#).is_err() && read(r#"{"cpu": "much"}"#).is_err());
    }
}
