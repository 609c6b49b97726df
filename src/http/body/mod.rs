//! From bytes to a checked JSON object, or to every error at once, as far as a person reads.
//!
//! The rules come from the published schema ([`schema`]), so that what a client reads in
//! `openapi.json` is what the service checks. The shape of the errors, their types and the lax
//! reading of numbers and booleans are those of the API's contract (FastAPI on pydantic 2).

pub mod coerce;
mod errors;
pub mod schema;

use serde_json::{Map, Value, json};

pub use crate::http::body::errors::{Errors, FieldError, Segment};
pub use crate::http::body::schema::Rule;

/// Checks a request body against `rule` and returns it with every member in its proper type.
///
/// Members that the rule does not know are dropped, as clients send more than an operation
/// reads. `content_type` absent counts as JSON.
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

/// `application/json` and every `application/…+json`; parameters such as a charset do not count.
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

/// The position is counted in characters from the start, as clients of the contract expect,
/// where serde_json gives a line and a column in bytes.
fn bad_json(bytes: &[u8], error: &serde_json::Error) -> FieldError {
    let line_start = bytes
        .split_inclusive(|b| *b == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    // At the end of the input the column names the last byte; elsewhere the offending one.
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
