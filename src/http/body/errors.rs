//! The errors of a body. Their total size is limited, regardless of the size of the body.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::http::body::FieldError;

/// The maximum number of errors. More are not useful, and a body can contain a million.
const MOST: usize = 100;

/// The maximum number of input bytes that the errors of a body repeat. The error for a missing
/// member repeats the whole surrounding object, so without a limit the response could be many times
/// as large as the body.
const REPEATED: usize = 64 * 1024;

/// The approximate size in JSON of any part of a value that is not text, in bytes.
const SMALL: usize = 8;

/// The errors of a body, in the order of its fields.
#[derive(Debug)]
pub struct Errors {
    found: Vec<FieldError>,
    room: usize,
}

impl Default for Errors {
    fn default() -> Self {
        Self { found: Vec::new(), room: REPEATED }
    }
}

impl Errors {
    /// Whether there are no errors so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Adds an error about `value`. Its input is `shown`, or null if that exceeds the size limit.
    /// If there are too many errors, this one is dropped, because the body is rejected anyway.
    pub(super) fn add(
        &mut self,
        error: impl FnOnce(Arc<Value>) -> FieldError,
        value: &Value,
        shown: impl FnOnce() -> Arc<Value>,
    ) {
        if self.found.len() == MOST {
            return;
        }
        let input = match after(self.room, value) {
            Some(room) => {
                self.room = room;
                shown()
            }
            None => Value::Null.into(),
        };
        self.found.push(error(input));
    }

    /// Adds an error without checking its size.
    pub fn push(&mut self, error: FieldError) {
        if self.found.len() < MOST {
            self.found.push(error);
        }
    }

    /// Returns all errors.
    pub fn into_vec(self) -> Vec<FieldError> {
        self.found
    }
}

/// Returns the remaining `room` after `value`, or `None` if it does not fit. Visits no more of the
/// value than fits.
fn after(room: usize, value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => room.checked_sub(text.len() + SMALL),
        Value::Array(items) => items.iter().try_fold(room.checked_sub(SMALL)?, after),
        Value::Object(members) => after_members(room.checked_sub(SMALL)?, members),
        _ => room.checked_sub(SMALL),
    }
}

fn after_members(room: usize, members: &Map<String, Value>) -> Option<usize> {
    members
        .iter()
        .try_fold(room, |room, (name, value)| after(room.checked_sub(name.len() + SMALL)?, value))
}
