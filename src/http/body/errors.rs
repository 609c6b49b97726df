//! The errors of a body. Their total size is limited, regardless of the size of the body.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

/// The maximum number of errors. More are not useful, and a body can contain a million.
const MAX_ERRORS: usize = 100;

/// The maximum number of input bytes that the errors of a body repeat. The error for a missing
/// member repeats the whole surrounding object, so without a limit the response could be many times
/// as large as the body.
const MAX_INPUT_BYTES: usize = 64 * 1024;

/// The approximate size in JSON of any part of a value that is not text, in bytes.
const APPROXIMATE_SIZE: usize = 8;

/// A segment of the path to a member.
#[derive(Debug, Clone, Copy)]
pub enum Segment<'a> {
    /// The part of the request, such as `body`, or the name of a member or key.
    Name(&'a str),
    /// The index in a list.
    Index(usize),
}

impl From<&Segment<'_>> for Value {
    fn from(segment: &Segment) -> Self {
        match *segment {
            Segment::Name(name) => name.into(),
            Segment::Index(index) => index.into(),
        }
    }
}

/// An error in a request body.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldError {
    /// The stable name of the kind of error, such as `string_pattern_mismatch`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The path to the member: `body`, then names, keys and indices.
    pub loc: Vec<Value>,
    /// The message for people.
    pub msg: Cow<'static, str>,
    /// The input, unless it could be a secret or is too large. The errors of missing members of the
    /// same object share it.
    pub input: Arc<Value>,
    /// The parameter of the violated rule, such as its pattern, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

impl FieldError {
    /// Returns the verbose shape, for responses with `DEBUG=true`.
    pub fn verbose(&self) -> Verbose<'_> {
        let text = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
        let field = self.loc.iter().map(text).collect::<Vec<_>>().join(".");
        let Self { kind, msg, input, ctx, .. } = self;
        Verbose { field, msg, kind, input, ctx: ctx.as_ref() }
    }
}

/// A [`FieldError`] with `loc` joined by dots. All members are present.
#[derive(Serialize)]
pub struct Verbose<'a> {
    field: String,
    msg: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    input: &'a Value,
    ctx: Option<&'a Value>,
}

/// The errors of a body, in the order of its fields.
#[derive(Debug)]
pub struct Errors {
    found: Vec<FieldError>,
    room: usize,
}

impl Default for Errors {
    fn default() -> Self {
        Self { found: Vec::new(), room: MAX_INPUT_BYTES }
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
        if self.found.len() == MAX_ERRORS {
            return;
        }
        let input = match remaining_room(self.room, value) {
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
        if self.found.len() < MAX_ERRORS {
            self.found.push(error);
        }
    }

    /// Returns all errors.
    pub fn into_vec(self) -> Vec<FieldError> {
        self.found
    }
}

/// Returns what remains of `room` after `value`, or `None` if it does not fit. Visits no more of the
/// value than fits.
fn remaining_room(room: usize, value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => room.checked_sub(text.len() + APPROXIMATE_SIZE),
        Value::Array(items) => {
            items.iter().try_fold(room.checked_sub(APPROXIMATE_SIZE)?, remaining_room)
        }
        Value::Object(members) => {
            remaining_room_of_members(room.checked_sub(APPROXIMATE_SIZE)?, members)
        }
        _ => room.checked_sub(APPROXIMATE_SIZE),
    }
}

fn remaining_room_of_members(room: usize, members: &Map<String, Value>) -> Option<usize> {
    members.iter().try_fold(room, |room, (name, value)| {
        remaining_room(room.checked_sub(name.len() + APPROXIMATE_SIZE)?, value)
    })
}
