//! Removes secrets from everything that is stored, logged, streamed or returned.
//!
//! Two kinds of secrets are hidden: known secrets, even inside longer text and escaped as JSON;
//! and values that look like secrets by their name or form, such as the member `password` or a
//! Proxmox API token.

use std::sync::{Arc, LazyLock};

use aho_corasick::{AhoCorasick, Match};
use regex::{Captures, Regex};
use serde_json::Value;

/// The replacement for a secret.
pub const HIDDEN: &str = "[hidden]";

/// The minimum number of characters of a known secret. Shorter ones would match in most texts.
const MIN_LENGTH: usize = 3;

/// The minimum number of characters of a secret that is hidden inside longer words too. A shorter
/// one, such as `demo`, is hidden as a whole word only.
const MIN_LENGTH_INSIDE_WORDS: usize = 6;

/// How many times a secret may be JSON-escaped: a result, in the text of an event, in the file of
/// the event.
const ESCAPE_DEPTH: usize = 3;

/// Hides the secrets of a run or of the server.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    known: KnownSecret,
}

/// The known secrets. Matching must not fail, whatever their number and size.
#[derive(Debug, Clone, Default)]
enum KnownSecret {
    #[default]
    None,
    Some(Arc<EscapedForms>),
    /// The secrets are unknown, so all text is hidden.
    Everything,
}

/// The known secrets in all their escaped forms.
#[derive(Debug)]
struct EscapedForms {
    automaton: AhoCorasick,
    /// For each form, whether it must start and whether it must end at a word boundary.
    boundaries: Vec<(bool, bool)>,
}

/// Names of members whose value is always a secret.
static SECRET_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix) ^(?:.*[_-])?
            (?: password | passwd | passphrase | pass | pwd | secret | token | authorization
              | cipassword | (?:api|access|secret|encryption|private)[_-]?key ) s?$",
    )
    .expect("a constant")
});

/// Patterns of secrets. The capture group is kept.
static SECRET_FORMS: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    [
        r"(PVEAPIToken=)[^\s=]+=[^\s\x22\x27\\,]+",
        r"(PVE(?:AuthCookie=|:[^\s:]+:[0-9A-F]{8}::))[^\s\x22\x27\\;]+",
        r"(?i)(\bauthorization\\*[\x22\x27]?\s*[:=]\s*\\*[\x22\x27]?(?:bearer|basic)\s+)[^\s\x22\x27\\,]+",
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    ]
    .map(|form| Regex::new(form).expect("a constant"))
});

/// The name of a secret in text, up to its value. Common words and harmless variables such as
/// `PWD` match only in quotes or at the end of a longer name.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?ix) (?: password | passwd | passphrase | secret
                   | (?:api|access|secret|encryption|private)[_-]?key
                   | [_-](?:token|pass|pwd) | ["'](?:token|pass|pwd) ) s?
            \\*["']? \s*[:=]\s*"#,
    )
    .expect("a constant")
});

/// A quick check for text that may match one of the patterns. Most text does not.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)PVE|authorization|passw|passphrase|secret|(?:api|access|encryption|private).?key|token|pass\b|pwd")
        .expect("a constant")
});

/// Returns true if a member or variable of this name contains a secret.
pub fn is_secret_name(name: &str) -> bool {
    SECRET_NAME.is_match(name)
}

/// Returns all strings and numbers in a value, at any depth.
pub fn texts_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(items) => items.iter().flat_map(texts_in).collect(),
        Value::Object(members) => members.values().flat_map(texts_in).collect(),
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}

impl Redaction {
    /// Creates a redaction that hides `secrets` and everything that looks like a secret.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<String> = Vec::new();
        for secret in secrets.into_iter().map(str::trim) {
            if secret.chars().count() >= MIN_LENGTH {
                forms.extend(escaped_forms(secret));
            }
        }
        forms.sort();
        forms.dedup();
        if forms.is_empty() {
            return Self::default();
        }
        let boundaries = forms.iter().map(|form| boundaries(form)).collect();
        let known = match AhoCorasick::new(&forms) {
            Ok(automaton) => KnownSecret::Some(Arc::new(EscapedForms { automaton, boundaries })),
            Err(error) => {
                tracing::error!(%error, "too many secrets: all text is hidden");
                KnownSecret::Everything
            }
        };
        Self { known }
    }

    /// Creates a redaction that hides all text, for use if the secrets cannot be determined.
    pub fn everything() -> Self {
        Self { known: KnownSecret::Everything }
    }

    /// Returns true if the text may contain a secret.
    pub fn may_match(&self, text: &str) -> bool {
        HINT.is_match(text) || self.contains_known(text)
    }

    /// Hides the secrets in a text.
    pub fn text(&self, text: &str) -> String {
        let mut text = match &self.known {
            KnownSecret::None => text.to_owned(),
            KnownSecret::Some(forms) => forms.hide(text),
            KnownSecret::Everything => return HIDDEN.to_owned(),
        };
        if HINT.is_match(&text) {
            for form in SECRET_FORMS.iter() {
                let hide = |found: &Captures| format!("{}{HIDDEN}", &found[1]);
                text = form.replace_all(&text, hide).into_owned();
            }
            text = hide_named(&text);
        }
        text
    }

    /// Hides the secrets in all strings of a value, including the names of members. Members whose
    /// name marks a secret are hidden entirely.
    pub fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.may_match(text) => *text = self.text(text),
            // A secret can be a number.
            Value::Number(number) if self.contains_known(&number.to_string()) => {
                let text = self.text(&number.to_string());
                if text == HIDDEN {
                    *value = Value::String(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(members) => {
                members.iter_mut().for_each(|(name, member)| self.member(name, member));
                if members.keys().any(|name| self.contains_known(name)) {
                    let all = std::mem::take(members).into_iter();
                    *members = all.map(|(name, member)| (self.text(&name), member)).collect();
                }
            }
            _ => {}
        }
    }

    /// Hides the secrets in the value of a member, or the whole value if the name marks a secret.
    /// The name is kept.
    pub fn member(&self, name: &str, value: &mut Value) {
        if SECRET_NAME.is_match(name) { hide_all(value) } else { self.value(value) }
    }

    fn contains_known(&self, name: &str) -> bool {
        match &self.known {
            KnownSecret::None => false,
            KnownSecret::Some(forms) => forms.automaton.is_match(name),
            KnownSecret::Everything => true,
        }
    }
}

impl EscapedForms {
    /// Hides all forms in the text, even if they overlap.
    fn hide(&self, text: &str) -> String {
        let mut spans: Vec<(usize, usize)> = self
            .automaton
            .find_overlapping_iter(text)
            .filter(|found| self.is_at_boundaries(text, found))
            .map(|found| (found.start(), found.end()))
            .collect();
        spans.sort();
        let (mut hidden, mut from) = (String::with_capacity(text.len()), 0);
        for (start, end) in spans {
            if start >= from {
                hidden.push_str(&text[from..start]);
                hidden.push_str(HIDDEN);
            }
            from = from.max(end);
        }
        hidden.push_str(&text[from..]);
        hidden
    }

    fn is_at_boundaries(&self, text: &str, found: &Match) -> bool {
        let (before, after) = self.boundaries[found.pattern().as_usize()];
        let continues = |c: Option<char>| c.is_some_and(is_word_char);
        !(before && continues(text[..found.start()].chars().next_back())
            || after && continues(text[found.end()..].chars().next()))
    }
}

/// Hides all strings and numbers of a value, except empty strings.
fn hide_all(value: &mut Value) {
    match value {
        Value::String(text) if text.is_empty() => {}
        Value::String(_) | Value::Number(_) => *value = Value::from(HIDDEN),
        Value::Array(items) => items.iter_mut().for_each(hide_all),
        Value::Object(members) => members.values_mut().for_each(hide_all),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Hides the values that follow the name of a secret.
fn hide_named(text: &str) -> String {
    let (mut hidden, mut from) = (String::with_capacity(text.len()), 0);
    while let Some(named) = NAMED.find_at(text, from) {
        let (opening, length) = measure_value(&text[named.end()..]);
        let value = named.end() + opening;
        hidden.push_str(&text[from..value]);
        if length > 0 {
            hidden.push_str(HIDDEN);
        }
        from = value + length;
    }
    hidden.push_str(&text[from..]);
    hidden
}

/// Returns the lengths of the opening quote and of the value after it.
fn measure_value(text: &str) -> (usize, usize) {
    let escapes = text.bytes().take_while(|byte| *byte == b'\\').count();
    match text[escapes..].chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let opening = escapes + 1;
            (opening, quoted_length(&text[opening..], quote as u8, escapes))
        }
        Some(open @ ('[' | '{')) if escapes == 0 => (0, bracketed_length(text, open as u8)),
        _ => {
            let ends = |c: char| c.is_whitespace() || "\"'\\,;}[".contains(c);
            (0, text.find(ends).unwrap_or(text.len()))
        }
    }
}

/// Returns the length up to the closing quote.
///
/// A quote that is escaped as many times as the opening one closes the value, one that is escaped
/// more often is part of it, and one that is escaped less often closes a surrounding string. Each
/// level of escaping turns n backslashes before a quote into 2n + 1.
fn quoted_length(text: &str, quote: u8, escapes: usize) -> usize {
    let mut backslashes = 0;
    for (index, byte) in text.bytes().enumerate() {
        if byte == b'\\' {
            backslashes += 1;
            continue;
        }
        let of_value = (backslashes + 1) / (escapes + 1);
        if byte == quote && of_value % 2 == 1 {
            return index - escapes;
        }
        if byte == quote && of_value == 0 {
            return index - backslashes;
        }
        backslashes = 0;
    }
    text.len()
}

/// Returns the length up to the bracket that matches the first one.
fn bracketed_length(text: &str, open: u8) -> usize {
    let close = if open == b'[' { b']' } else { b'}' };
    let mut depth = 0_usize;
    for (index, byte) in text.bytes().enumerate() {
        if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                return index + 1;
            }
        }
    }
    text.len()
}

/// Returns a secret unescaped and JSON-escaped up to [`ESCAPE_DEPTH`] times, with non-ASCII
/// characters both raw and escaped.
fn escaped_forms(secret: &str) -> Vec<String> {
    // A terminal ends lines with CR LF.
    let mut forms = vec![secret.to_owned(), secret.replace('\n', "\r\n")];
    for escape in [escape_json, escape_json_ascii] {
        let mut form = secret.to_owned();
        for _ in 0..ESCAPE_DEPTH {
            form = escape(&form);
            forms.push(form.clone());
        }
    }
    forms
}

fn escape_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn escape_json_ascii(text: &str) -> String {
    let mut units = [0; 2];
    escape_json(text)
        .chars()
        .map(|c| match c {
            c if c.is_ascii() => c.to_string(),
            c => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        })
        .collect()
}

/// Whether a form must start and end at a word boundary. This holds for short forms, at each end
/// that is a word character.
fn boundaries(form: &str) -> (bool, bool) {
    if form.chars().count() >= MIN_LENGTH_INSIDE_WORDS {
        return (false, false);
    }
    let is_word = |c: Option<char>| c.is_some_and(is_word_char);
    (is_word(form.chars().next()), is_word(form.chars().next_back()))
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "pä\"ss\\w0rd/1";

    #[test]
    fn known_secrets_are_hidden_in_all_escaped_forms() {
        let redaction = Redaction::of([SECRET]);
        let mut text = format!("x{SECRET}y");
        for depth in 0..=ESCAPE_DEPTH {
            assert_eq!(redaction.text(&text).matches(HIDDEN).count(), 1, "depth {depth}: {text}");
            text = Value::from(text).to_string();
        }
        let ascii = r#"{"a": "xp\u00e4\"ss\\w0rd/1y"}"#;
        assert_eq!(redaction.text(ascii), format!(r#"{{"a": "x{HIDDEN}y"}}"#));
    }

    #[test]
    fn short_secrets_are_hidden_as_whole_words_only() {
        let redaction = Redaction::of(["demo", "ab"]);
        assert_eq!(redaction.text("demo-1 demos ab"), format!("{HIDDEN}-1 demos ab"));
    }

    #[test]
    fn values_that_look_like_secrets_are_hidden() {
        let redaction = Redaction::default();
        for (text, gone) in [
            ("Authorization: PVEAPIToken=root@pam!api=5a1b-77", "5a1b-77"),
            ("Cookie: PVEAuthCookie=PVE:root@pam:65AB01CD::c2lnbmF0dXJl", "c2lnbmF0dXJl"),
            (r#"ok: [h] => {"password": "hunter2", "a": 1}"#, "hunter2"),
            (r#"{"msg": "{\"admin_password\": \"hunter2\"}"}"#, "hunter2"),
            ("curl -H 'authorization: Bearer abc.def'", "abc.def"),
            ("useradd --password=hunter2 bob", "hunter2"),
            (r#""password": "correct horse", "b": 1"#, "horse"),
            (r#"'password': 'correct horse'"#, "horse"),
            (r#""secret": "q\"uote tail""#, "tail"),
            (r#"{"msg": "{\"password\": \"q\\\"uote tail\"}"}"#, "tail"),
            (r#""passwd": "[bracket""#, "bracket"),
            (r#""passwords": ["first one", "second"]"#, "second"),
            (r#""api_key": "abc def""#, "def"),
            ("gitlab_token=abcdef", "abcdef"),
            ("db_pass: abcdef", "abcdef"),
            ("vault_pwd: abcdef", "abcdef"),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----",
                "b3BlbnNz",
            ),
        ] {
            let hidden = redaction.text(text);
            assert!(!hidden.contains(gone) && hidden.contains(HIDDEN), "{hidden}");
        }
    }

    #[test]
    fn a_quoted_secret_ends_at_its_closing_quote() {
        let redaction = Redaction::default();
        for (text, hidden) in [
            (r#"{"password": "a b", "c": "d"}"#, r#"{"password": "[hidden]", "c": "d"}"#),
            (r#"{"password": "a\\", "c": "d"}"#, r#"{"password": "[hidden]", "c": "d"}"#),
            (
                r#"{"m": "{\"password\": \"a\\\"b\", \"c\": 1}"}"#,
                r#"{"m": "{\"password\": \"[hidden]\", \"c\": 1}"}"#,
            ),
            (r#"{"m": "password: \"a", "c": 1}"#, r#"{"m": "password: \"[hidden]", "c": 1}"#),
            (r#"{"password": "", "c": "d"}"#, r#"{"password": "", "c": "d"}"#),
            ("PWD=/root 5 pass: 3", "PWD=/root 5 pass: 3"),
            ("password: [hidden]", "password: [hidden]"),
        ] {
            assert_eq!(redaction.text(text), hidden);
        }
    }

    #[test]
    fn many_and_overlapping_secrets_are_hidden() {
        let long = |number: usize| format!("{number:05}-").repeat(700);
        let mut secrets: Vec<String> = (0..300).map(long).collect();
        secrets.extend(["small-one".to_owned(), "one-more".to_owned(), "ab.".to_owned()]);
        secrets.push("ab.c".to_owned());
        let redaction = Redaction::of(secrets.iter().map(String::as_str));
        let text = format!("x {} small-one-more ab.cd", secrets[299]);
        assert_eq!(redaction.text(&text), format!("x {HIDDEN} {HIDDEN} {HIDDEN}cd"));
        assert_eq!(Redaction::of(["a1\nb2x"]).text("a1\r\nb2x"), HIDDEN);
        assert_eq!(Redaction::everything().text("a text"), HIDDEN);
    }

    #[test]
    fn members_are_hidden_by_name_and_others_are_kept() {
        let mut value = json!({
            "vm_id": "1000", "proxmox_api_token_secret": "uuid", "ansible_become_pass": "x",
            "nested": [{"Authorization": "a", "password": null, "token": ""}],
            "passwords": ["a", {"b": "c"}], "pin_pass": 1234, "no_pass": false,
            "in a longer S3cret-one name": 1,
        });
        Redaction::of(["S3cret-one"]).value(&mut value);
        assert_eq!(
            value,
            json!({
                "vm_id": "1000", "proxmox_api_token_secret": HIDDEN, "ansible_become_pass": HIDDEN,
                "nested": [{"Authorization": HIDDEN, "password": null, "token": ""}],
                "passwords": [HIDDEN, {"b": HIDDEN}], "pin_pass": HIDDEN, "no_pass": false,
                "in a longer [hidden] name": 1,
            })
        );
    }
}
