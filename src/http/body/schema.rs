//! Compiles a published JSON schema into a rule that validates a body.
//!
//! Only the keywords that the operations use are supported. Any other keyword is a programming
//! error, which the tests find because they compile the schema of every operation.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::Regex;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};

use crate::operations::RequestType;

use crate::http::body::{Errors, FieldError, Segment, coerce};

/// Replaces passwords in values that are returned to the client.
const MASK: &str = "**********";

/// The rule for a value.
#[derive(Debug)]
pub struct Rule {
    shape: Shape,
    nullable: bool,
    /// Whether the value is a password, which errors never repeat.
    secret: bool,
}

#[derive(Debug)]
enum Shape {
    Text {
        pattern: Option<Regex>,
        max_length: Option<u64>,
    },
    /// An id: digits as text, or a non-negative integer, which is converted to text.
    Digits {
        pattern: Regex,
        minimum: Option<i64>,
        maximum: Option<i64>,
    },
    Integer {
        minimum: Option<i64>,
        maximum: Option<i64>,
    },
    Number {
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    Boolean,
    List {
        item: Box<Rule>,
        min_items: Option<u64>,
        max_items: Option<u64>,
    },
    Mapping {
        value: Box<Rule>,
        max_properties: Option<u64>,
    },
    Object(Vec<Member>),
}

#[derive(Debug)]
struct Member {
    name: String,
    required: bool,
    rule: Rule,
}

impl Rule {
    /// Compiles the rule of a request type from its published schema.
    pub fn of(request: &RequestType) -> Self {
        let mut schemas = Vec::new();
        (request.schemas)(&mut schemas);
        let schemas: HashMap<String, RefOr<Schema>> = schemas.into_iter().collect();
        let document = json!({ "components": { "schemas": schemas } });
        let reference = format!("#/components/schemas/{}", (request.name)());
        Self::compile(&document, &json!({ "$ref": reference }))
    }

    /// Compiles `schema`. `$ref`s are resolved in `document`, the whole OpenAPI document.
    ///
    /// # Panics
    ///
    /// If the schema uses an unsupported keyword.
    pub fn compile(document: &Value, schema: &Value) -> Self {
        let (schema, nullable) = resolve(document, schema);
        Self {
            shape: Shape::compile(document, schema),
            nullable,
            secret: schema["format"] == "password",
        }
    }

    /// Validates `value` and returns it converted to its type. Adds any errors to `errors`.
    pub fn check<'a>(
        &'a self,
        value: &'a Value,
        loc: &mut Vec<Segment<'a>>,
        errors: &mut Errors,
    ) -> Option<Value> {
        if self.nullable && value.is_null() {
            return Some(Value::Null);
        }
        match &self.shape {
            Shape::Object(members) => check_object(members, value, loc, errors),
            Shape::List { item, min_items, max_items } => {
                check_list(item, (*min_items, *max_items), value, loc, errors)
            }
            Shape::Mapping { value: rule, max_properties } => {
                check_mapping(rule, *max_properties, value, loc, errors)
            }
            scalar => match scalar.check_scalar(value) {
                Ok(checked) => Some(checked),
                Err(refusal) => {
                    let shown = || if self.secret { Value::from(MASK) } else { value.clone() };
                    errors.add(|input| refusal.at(loc, input), value, || shown().into());
                    None
                }
            },
        }
    }
}

/// Resolves `$ref` and both notations of nullable types.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> (&'a Value, bool) {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        let target = document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        return resolve(document, target);
    }
    if let Some(variants) = schema["oneOf"].as_array() {
        let other = variants.iter().find(|v| v["type"] != "null").expect("a variant but null");
        return (resolve(document, other).0, variants.iter().any(|v| v["type"] == "null"));
    }
    (schema, types(schema).contains(&"null"))
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

impl Shape {
    fn compile(document: &Value, schema: &Value) -> Self {
        let bound = |name: &str| schema[name].as_f64().map(|f| f as i64);
        let size = |name: &str| schema[name].as_u64();
        let pattern = schema["pattern"].as_str().map(compiled);
        let named = types(schema);
        match named.iter().copied().find(|t| *t != "null") {
            Some("string") if named.contains(&"integer") => Self::Digits {
                pattern: pattern.expect("ids have a pattern"),
                minimum: bound("minimum"),
                maximum: bound("maximum"),
            },
            Some("string") => Self::Text { pattern, max_length: size("maxLength") },
            Some("integer") => {
                Self::Integer { minimum: bound("minimum"), maximum: bound("maximum") }
            }
            Some("number") => Self::Number {
                minimum: schema["minimum"].as_f64(),
                maximum: schema["maximum"].as_f64(),
            },
            Some("boolean") => Self::Boolean,
            Some("array") => Self::List {
                item: Box::new(Rule::compile(document, &schema["items"])),
                min_items: size("minItems"),
                max_items: size("maxItems"),
            },
            Some("object") if schema["properties"].is_object() => {
                Self::Object(members(document, schema))
            }
            Some("object") => Self::Mapping {
                value: Box::new(Rule::compile(document, &schema["additionalProperties"])),
                max_properties: size("maxProperties"),
            },
            _ => panic!("a schema that cannot be checked: {schema}"),
        }
    }

    fn check_scalar(&self, value: &Value) -> Result<Value, Violation> {
        match self {
            Self::Text { pattern, max_length } => {
                let text = value.as_str().ok_or(STRING_TYPE)?;
                check_text(text, pattern.as_ref(), *max_length)?;
                Ok(value.clone())
            }
            Self::Digits { pattern, minimum, maximum } => {
                if let Some(text) = value.as_str() {
                    check_text(text, Some(pattern), None)?;
                    return Ok(value.clone());
                }
                let number = Some(value).filter(|value| value.is_number());
                let id = number.and_then(|number| coerce::integer(number).ok());
                let id = id.filter(|id| *id >= 0).ok_or(STRING_TYPE)?;
                check_bounds(id, *minimum, *maximum)?;
                Ok(Value::from(id.to_string()))
            }
            Self::Integer { minimum, maximum } => {
                let integer = coerce::integer(value)?;
                check_bounds(integer, *minimum, *maximum)?;
                Ok(Value::from(integer))
            }
            Self::Number { minimum, maximum } => {
                let number = coerce::number(value)?;
                check_bounds(number.as_f64().unwrap_or_default(), *minimum, *maximum)?;
                Ok(Value::Number(number))
            }
            Self::Boolean => Ok(Value::Bool(coerce::boolean(value)?)),
            Self::List { .. } | Self::Mapping { .. } | Self::Object(_) => {
                unreachable!("containers are checked by Rule::check")
            }
        }
    }
}

/// Returns the compiled pattern. Most patterns are used by many operations, and a clone shares its
/// memory with the original.
fn compiled(pattern: &str) -> Regex {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let regex = compiled.entry(pattern.to_owned());
    regex.or_insert_with(|| Regex::new(pattern).expect("a valid pattern")).clone()
}

fn members(document: &Value, schema: &Value) -> Vec<Member> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().expect("checked by the caller");
    properties
        .iter()
        .map(|(name, schema)| Member {
            name: name.clone(),
            required: required.iter().any(|r| r == name.as_str()),
            rule: Rule::compile(document, schema),
        })
        .collect()
}

/// An error without the path of the value.
struct Violation {
    kind: &'static str,
    msg: Cow<'static, str>,
    ctx: Option<Value>,
}

const STRING_TYPE: coerce::CoercionError = ("string_type", "Input should be a valid string");

impl From<coerce::CoercionError> for Violation {
    fn from((kind, msg): coerce::CoercionError) -> Self {
        Self { kind, msg: msg.into(), ctx: None }
    }
}

impl Violation {
    fn new(kind: &'static str, msg: String, ctx: Value) -> Self {
        Self { kind, msg: msg.into(), ctx: Some(ctx) }
    }

    fn at(self, loc: &[Segment], input: Arc<Value>) -> FieldError {
        let Self { kind, msg, ctx } = self;
        let loc = loc.iter().map(Value::from).collect();
        FieldError { kind, loc, msg, input, ctx }
    }
}

/// Checks the pattern before the length, because its error is more specific.
fn check_text(text: &str, pattern: Option<&Regex>, max: Option<u64>) -> Result<(), Violation> {
    if let Some(pattern) = pattern.filter(|pattern| !pattern.is_match(text)) {
        let pattern = pattern.as_str();
        let msg = format!("String should match pattern '{pattern}'");
        return Err(Violation::new("string_pattern_mismatch", msg, json!({ "pattern": pattern })));
    }
    match max {
        Some(max) if text.chars().count() as u64 > max => {
            let msg = format!("String should have at most {max} characters");
            Err(Violation::new("string_too_long", msg, json!({ "max_length": max })))
        }
        _ => Ok(()),
    }
}

fn check_bounds<T: PartialOrd + std::fmt::Display + serde::Serialize>(
    value: T,
    minimum: Option<T>,
    maximum: Option<T>,
) -> Result<(), Violation> {
    if let Some(ge) = minimum.filter(|min| value < *min) {
        let msg = format!("Input should be greater than or equal to {ge}");
        return Err(Violation::new("greater_than_equal", msg, json!({ "ge": ge })));
    }
    if let Some(le) = maximum.filter(|max| value > *max) {
        let msg = format!("Input should be less than or equal to {le}");
        return Err(Violation::new("less_than_equal", msg, json!({ "le": le })));
    }
    Ok(())
}

fn check_object<'a>(
    members: &'a [Member],
    value: &'a Value,
    loc: &mut Vec<Segment<'a>>,
    errors: &mut Errors,
) -> Option<Value> {
    let Value::Object(sent) = value else {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        let refusal = Violation::from(("model_attributes_type", msg));
        errors.add(|input| refusal.at(loc, input), value, || value.clone().into());
        return None;
    };
    let beside = OnceCell::new();
    let mut checked = Map::new();
    for Member { name, required, rule } in members {
        loc.push(Segment::Name(name));
        match sent.get(name) {
            Some(value) => {
                if let Some(value) = rule.check(value, loc, errors) {
                    checked.insert(name.clone(), value);
                }
            }
            None if *required => {
                let refusal = Violation::from(("missing", "Field required"));
                let shown = || beside.get_or_init(|| without_secrets(members, sent)).clone();
                errors.add(|input| refusal.at(loc, input), value, shown);
            }
            None => {}
        }
        loc.pop();
    }
    Some(Value::Object(checked))
}

/// The object in which a member is missing, with its passwords masked.
fn without_secrets(members: &[Member], sent: &Map<String, Value>) -> Arc<Value> {
    let mut shown = sent.clone();
    for member in members.iter().filter(|member| member.rule.secret) {
        if let Some(value) = shown.get_mut(&member.name) {
            *value = Value::from(MASK);
        }
    }
    Value::Object(shown).into()
}

fn check_list<'a>(
    item: &'a Rule,
    (min, max): (Option<u64>, Option<u64>),
    value: &'a Value,
    loc: &mut Vec<Segment<'a>>,
    errors: &mut Errors,
) -> Option<Value> {
    let Value::Array(items) = value else {
        let refusal = Violation::from(("list_type", "Input should be a valid list"));
        errors.add(|input| refusal.at(loc, input), value, || value.clone().into());
        return None;
    };
    let actual = items.len() as u64;
    if let Some(min) = min.filter(|min| actual < *min) {
        let msg = format!("List should have at least {min} item after validation, not {actual}");
        let ctx = json!({ "field_type": "List", "min_length": min, "actual_length": actual });
        let refusal = Violation::new("too_short", msg, ctx);
        errors.add(|input| refusal.at(loc, input), value, || value.clone().into());
        return None;
    }
    if let Some(max) = max.filter(|max| actual > *max) {
        let msg = format!("List should have at most {max} items after validation, not {actual}");
        let ctx = json!({ "field_type": "List", "max_length": max, "actual_length": actual });
        errors.push(Violation::new("too_long", msg, ctx).at(loc, Value::Null.into()));
        return None;
    }
    let mut checked = Vec::with_capacity(items.len());
    for (index, value) in items.iter().enumerate() {
        loc.push(Segment::Index(index));
        checked.extend(item.check(value, loc, errors));
        loc.pop();
    }
    Some(Value::Array(checked))
}

fn check_mapping<'a>(
    rule: &'a Rule,
    max: Option<u64>,
    value: &'a Value,
    loc: &mut Vec<Segment<'a>>,
    errors: &mut Errors,
) -> Option<Value> {
    let Value::Object(entries) = value else {
        let msg = "Input should be a valid dictionary";
        let refusal = Violation::from(("dict_type", msg));
        errors.add(|input| refusal.at(loc, input), value, || value.clone().into());
        return None;
    };
    let actual = entries.len() as u64;
    if let Some(max) = max.filter(|max| actual > *max) {
        let msg =
            format!("Dictionary should have at most {max} items after validation, not {actual}");
        let ctx = json!({ "field_type": "Dictionary", "max_length": max, "actual_length": actual });
        errors.push(Violation::new("too_long", msg, ctx).at(loc, Value::Null.into()));
        return None;
    }
    let mut checked = Map::new();
    for (key, value) in entries {
        loc.push(Segment::Name(key));
        if let Some(value) = rule.check(value, loc, errors) {
            checked.insert(key.clone(), value);
        }
        loc.pop();
    }
    Some(Value::Object(checked))
}
