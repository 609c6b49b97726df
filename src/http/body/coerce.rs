//! Lenient parsing of JSON scalars as integers, numbers and booleans.
//!
//! Clients send `"3"` for 3, `1.0` for 1 and `"yes"` for true, and the contract requires that these
//! are accepted. Each function returns the value in its target type, or the kind and the message of
//! the error.

use serde_json::{Number, Value};

/// The kind and the message of an error.
pub type CoercionError = (&'static str, &'static str);

const INT_TYPE: CoercionError = ("int_type", "Input should be a valid integer");
const INT_PARSING: CoercionError =
    ("int_parsing", "Input should be a valid integer, unable to parse string as an integer");
const INT_FROM_FLOAT: CoercionError =
    ("int_from_float", "Input should be a valid integer, got a number with a fractional part");
const INT_SIZE: CoercionError =
    ("int_parsing_size", "Unable to parse input as an integer, exceeded maximum size");
const FLOAT_TYPE: CoercionError = ("float_type", "Input should be a valid number");
const FLOAT_PARSING: CoercionError =
    ("float_parsing", "Input should be a valid number, unable to parse string as a number");
const FINITE: CoercionError = ("finite_number", "Input should be a finite number");
const BOOL_TYPE: CoercionError = ("bool_type", "Input should be a valid boolean");
const BOOL_PARSING: CoercionError =
    ("bool_parsing", "Input should be a valid boolean, unable to interpret input");

/// Parses an integer from a whole number, numeric text, or a boolean.
///
/// # Errors
///
/// Returns an error for any other value, for fractions, and for numbers that are too large.
pub fn integer(value: &Value) -> Result<i64, CoercionError> {
    match value {
        Value::Bool(b) => Ok(i64::from(*b)),
        Value::Number(n) => integer_from_number(n),
        Value::String(text) => integer_from_text(text),
        _ => Err(INT_TYPE),
    }
}

fn integer_from_number(number: &Number) -> Result<i64, CoercionError> {
    if let Some(whole) = number.as_i64() {
        return Ok(whole);
    }
    let float = number.as_f64().unwrap_or(f64::INFINITY);
    if float.fract() != 0.0 {
        return Err(INT_FROM_FLOAT);
    }
    // Beyond 2^53, a float does not represent a unique integer.
    if float.abs() < 9_007_199_254_740_992.0 { Ok(float as i64) } else { Err(INT_SIZE) }
}

/// Accepts digits with an optional sign, single underscores between digits, surrounding blanks, and
/// a fraction that consists of zeros.
fn integer_from_text(text: &str) -> Result<i64, CoercionError> {
    let trimmed = text.trim();
    let (whole, fraction) = trimmed.split_once('.').unwrap_or((trimmed, "0"));
    if fraction.is_empty() || fraction.bytes().any(|b| b != b'0') {
        return Err(INT_PARSING);
    }
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    if digits.is_empty() || digits.bytes().any(|b| !b.is_ascii_digit() && b != b'_') {
        return Err(INT_PARSING);
    }
    without_underscores(whole).ok_or(INT_PARSING)?.parse().map_err(|_| INT_SIZE)
}

/// Removes underscores. Returns `None` if one of them is not between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit =
        |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let between_digits = |at: usize| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1));
    let fits = text.match_indices('_').all(|(at, _)| between_digits(at));
    fits.then(|| text.replace('_', ""))
}

/// Parses a finite number from a number, numeric text, or a boolean.
///
/// # Errors
///
/// Returns an error for any other value, and for infinities and NaN.
pub fn number(value: &Value) -> Result<Number, CoercionError> {
    let float = match value {
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Number(n) => return Ok(n.clone()),
        Value::String(text) => {
            let plain = without_underscores(text.trim()).ok_or(FLOAT_PARSING)?;
            plain.parse().map_err(|_| FLOAT_PARSING)?
        }
        _ => return Err(FLOAT_TYPE),
    };
    Number::from_f64(float).ok_or(FINITE)
}

/// Parses a boolean from true, false, 0, 1, or text such as `yes` and `off`, regardless of case.
///
/// # Errors
///
/// Returns an error for any other value.
pub fn boolean(value: &Value) -> Result<bool, CoercionError> {
    match value {
        Value::Bool(b) => Ok(*b),
        Value::Number(n) => match n.as_f64() {
            Some(0.0) => Ok(false),
            Some(1.0) => Ok(true),
            Some(f) if f.fract() == 0.0 => Err(BOOL_PARSING),
            _ => Err(BOOL_TYPE),
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
            _ => Err(BOOL_PARSING),
        },
        _ => Err(BOOL_TYPE),
    }
}
