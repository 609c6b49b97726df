//! What is wrong with a body: one error for each member, which together stay small however large the body is.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

/// More errors than this help nobody, and a body has room for a million.
const MOST: usize = 100;

/// Bytes of what was sent that the errors of one body repeat. A member that is missing repeats
/// all that stands beside it, so without a limit the answer could be a multiple of the body.
const REPEATED: usize = 64 * 1024;

/// What the parts of a value that are no text count for, as JSON and roughly.
const SMALL: usize = 8;

/// A segment of the path to a member.
#[derive(Debug, Clone, Copy)]
pub enum Segment<'a> {
    /// Where it is looked for, or the name of a member or key.
    Name(&'a str),
    /// The place in a list.
    Index(usize),
}

impl From<&Segment<'_>> for Value {
    fn from(step: &Segment) -> Self {
        match *step {
            Segment::Name(name) => name.into(),
            Segment::Index(index) => index.into(),
        }
    }
}

/// One thing that is wrong with a request body.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldError {
    /// A stable name of the kind of error, such as `string_pattern_mismatch`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The path to the member: `body`, then names, keys and indices.
    pub loc: Vec<Value>,
    /// A sentence for a person.
    pub msg: Cow<'static, str>,
    /// What was sent, except where it could be a secret or is too much to repeat. Members that
    /// are missing side by side share what was sent in their place.
    pub input: Arc<Value>,
    /// The rule that was broken, where it has a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

impl FieldError {
    /// The verbose shape, which `DEBUG=true` answers.
    pub fn verbose(&self) -> Verbose<'_> {
        let text = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
        let field = self.loc.iter().map(text).collect::<Vec<_>>().join(".");
        let Self { kind, msg, input, ctx, .. } = self;
        Verbose { field, msg, kind, input, ctx: ctx.as_ref() }
    }
}

/// A [`FieldError`] with `loc` joined by dots, and every member there.
#[derive(Serialize)]
pub struct Verbose<'a> {
    field: String,
    msg: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    input: &'a Value,
    ctx: Option<&'a Value>,
}

/// What is wrong with one body, in the order of its fields.
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
    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Adds an error about `value`, which is repeated as `shown` where there is room for it, and
    /// as null where there is none. Beyond the limit an error is dropped: those before it are
    /// enough to refuse the body.
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

    /// Adds an error as it is.
    pub fn push(&mut self, error: FieldError) {
        if self.found.len() < MOST {
            self.found.push(error);
        }
    }

    /// All that was found.
    pub fn into_vec(self) -> Vec<FieldError> {
        self.found
    }
}

/// What is left of `room` once `value` is in it, or none where it does not fit. It looks at no
/// more of the value than would fit.
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
