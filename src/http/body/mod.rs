//! Validates request bodies: returns a JSON object, or all errors at once, up to a limit.
//!
//! The rules are compiled from the published schema ([`schema`]), so that the server validates
//! exactly what `openapi.json` describes. The shape and types of the errors, and the lenient
//! parsing of numbers and booleans, are those of the API's contract (FastAPI with pydantic 2).

pub mod coerce;
mod errors;
pub mod schema;

use serde_json::{Map, Value, json};

pub use crate::http::body::errors::{Errors, FieldError, Segment};
pub use crate::http::body::schema::Rule;

/// Validates a request body and converts every member to its type.
///
/// Unknown members are dropped, because clients send more members than an operation reads. A
/// missing `content_type` means JSON.
///
/// # Errors
///
/// Returns the errors of all fields, up to a limit, if the body is not valid.
pub fn check(
    rule: &Rule,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Map<String, Value>, Vec<FieldError>> {
    if bytes.is_empty() {
        return Err(vec![missing_body()]);
    }
    if !content_type.is_none_or(is_json) {
        let text = String::from_utf8_lossy(bytes);
        return Err(vec![not_an_object(Value::from(text))]);
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|e| vec![bad_json(bytes, &e)])?;
    match value {
        Value::Null => Err(vec![missing_body()]),
        object @ Value::Object(_) => {
            let mut errors = Errors::default();
            let checked = rule.check(&object, &mut vec![Segment::Name("body")], &mut errors);
            match checked {
                Some(Value::Object(members)) if errors.is_empty() => Ok(members),
                _ => Err(errors.into_vec()),
            }
        }
        other => Err(vec![not_an_object(other)]),
    }
}

/// Whether the type is `application/json` or `application/…+json`. Parameters such as a charset are
/// ignored.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn body_error(kind: &'static str, msg: &'static str, input: Value) -> FieldError {
    FieldError { kind, loc: vec!["body".into()], msg: msg.into(), input: input.into(), ctx: None }
}

fn missing_body() -> FieldError {
    body_error("missing", "Field required", Value::Null)
}

fn not_an_object(input: Value) -> FieldError {
    body_error("model_attributes_type", "Input should be a valid dictionary or object", input)
}

/// The contract defines the position in characters from the start, but serde_json reports a line
/// and a column in bytes.
fn bad_json(bytes: &[u8], error: &serde_json::Error) -> FieldError {
    let line_start = bytes
        .split_inclusive(|b| *b == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    // At the end of the input, the column is that of the last byte, else that of the invalid byte.
    let column = if error.is_eof() { error.column() } else { error.column().saturating_sub(1) };
    let upto = bytes.get(..line_start + column).unwrap_or(bytes);
    let position = String::from_utf8_lossy(upto).chars().count();
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    FieldError {
        kind: "json_invalid",
        loc: vec!["body".into(), position.into()],
        msg: "JSON decode error".into(),
        input: json!({}).into(),
        ctx: Some(json!({ "error": reason })),
    }
}
