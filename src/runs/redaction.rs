//! Keeping secrets out of everything that is stored, logged, streamed or answered.
//!
//! Two things are hidden: the secrets that the server knows, wherever they stand, also inside
//! longer text and in JSON's escaped forms; and what by its name or its form is a secret, such
//! as the value of a member `password` or a Proxmox API token.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Captures, Regex, RegexBuilder};
use serde_json::Value;

use crate::proxmox::inventory;
use crate::settings::{Settings, VaultSource};

/// What stands in the place of a secret.
pub const HIDDEN: &str = "[hidden]";

/// Shorter secrets are not looked for: they would be found in every other word.
const SHORTEST: usize = 3;

/// From this length on a secret is hidden inside of longer words too. A shorter one, such as
/// `demo`, is hidden only where it stands by itself.
const INSIDE_WORDS: usize = 6;

/// How often JSON can have been put into a string of JSON: a result within an event's text,
/// within the event's file.
const ESCAPE_DEPTH: usize = 3;

/// Hides the secrets of one run, or of the server.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    /// Finds known secrets wherever they stand. However many there are, it can be built.
    long: Option<AhoCorasick>,
    /// Finds the short ones, as words.
    short: Option<Regex>,
}

/// Members whose text or number is a secret whatever it is.
static SECRET_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:.*[_-])?(?:cipassword|password|passwd|passphrase|pass|pwd|secret|authorization|private_key|api_?key|token)$")
        .expect("a constant")
});

/// What comes before a secret in quotes; the brackets hold the backslashes and the quote.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)(?:password|passwd|passphrase|secret|private_key|api_?key|_pass|\b(?:pwd|token)|_(?:pwd|token))\\*["']?\s*[:=]\s*(\\*)(["'])"#)
        .expect("a constant")
});

/// What is a secret by its form. The parts in brackets stay.
static SECRET_FORMS: LazyLock<[Regex; 5]> = LazyLock::new(|| {
    [
        r"(PVEAPIToken=)[^\s=]+=[^\s\x22\x27\\,]+",
        r"(PVE(?:AuthCookie=|:[^\s:]+:[0-9A-F]{8}::))[^\s\x22\x27\\;]+",
        r"(?i)(\bauthorization\\*[\x22\x27]?\s*[:=]\s*\\*[\x22\x27]?(?:bearer|basic)\s+)[^\s\x22\x27\\,]+",
        r#"(?i)((?:password|passwd|passphrase|secret|private_key|api_?key|_pass|\b(?:pwd|token)|_(?:pwd|token))\\*["']?\s*[:=]\s*)[^\s"'\\,;}\[]+"#,
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    ]
    .map(|form| Regex::new(form).expect("a constant"))
});

/// Whether any of the forms can be in a text at all: most texts hold none.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)PVE|authorization|passw|passphrase|_pass|pwd|secret|private.key|api.?key|token",
    )
    .expect("a constant")
});

/// Whether a member or variable of this name holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    SECRET_NAME.is_match(name)
}

impl Redaction {
    /// Hides what a server with these settings knows, and `secrets` besides. Reads the
    /// inventory, since it may have changed; blocks.
    pub fn of_server(settings: &Settings, secrets: &[String]) -> Self {
        let vault = match &settings.vault {
            VaultSource::Password(password) => Some(password.clone()),
            VaultSource::File(file) => std::fs::read_to_string(file).ok(),
            VaultSource::None => None,
        };
        let mut known = inventory::texts(&settings.inventory, &is_secret_name);
        known.extend(
            settings.vars_file.iter().flat_map(|f| inventory::texts_of(f, &is_secret_name)),
        );
        let own = vault.iter().chain(&settings.gateway.secret);
        Self::of(known.iter().chain(own).chain(secrets).map(String::as_str))
    }

    /// Hides `secrets`, and what looks like one.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<String> = Vec::new();
        for secret in secrets.into_iter().map(str::trim) {
            if secret.chars().count() >= SHORTEST {
                forms.extend(written_forms(secret));
            }
        }
        let (long, short): (Vec<_>, Vec<_>) =
            forms.into_iter().partition(|form| form.chars().count() >= INSIDE_WORDS);
        // Of two secrets that begin alike, the longer one is hidden whole.
        let long = (!long.is_empty()).then(|| {
            let builder =
                AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&long);
            builder.expect("secrets are far shorter than what it can take")
        });
        let short = (!short.is_empty()).then(|| {
            let words = short.iter().map(|form| word(form)).collect::<Vec<_>>().join("|");
            let regex = RegexBuilder::new(&words).size_limit(usize::MAX).build();
            regex.expect("escaped texts are an expression")
        });
        Self { long, short }
    }

    /// Whether a text may hold something to hide.
    pub fn concerns(&self, text: &str) -> bool {
        HINT.is_match(text) || self.knows(text)
    }

    /// Whether a text holds a known secret.
    fn knows(&self, text: &str) -> bool {
        self.long.as_ref().is_some_and(|long| long.is_match(text))
            || self.short.as_ref().is_some_and(|short| short.is_match(text))
    }

    /// Hides the secrets in a text.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(long) = &self.long {
            let found = long.find_iter(&text).map(|found| found.range()).collect();
            text = with_hidden(&text, found);
        }
        if let Some(short) = &self.short {
            text = short.replace_all(&text, HIDDEN).into_owned();
        }
        if HINT.is_match(&text) {
            text = with_hidden(&text, quoted_secrets(&text));
            for form in SECRET_FORMS.iter() {
                let hide = |found: &Captures| format!("{}{HIDDEN}", &found[1]);
                text = form.replace_all(&text, hide).into_owned();
            }
        }
        text
    }

    /// Hides the secrets in every text of a value, names of members included, and the text of
    /// every member that is a secret by its name.
    pub fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.concerns(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    match member {
                        Value::String(text) if SECRET_NAME.is_match(name) => {
                            if !text.is_empty() {
                                *text = HIDDEN.to_owned();
                            }
                        }
                        Value::Number(_) if SECRET_NAME.is_match(name) => {
                            *member = Value::from(HIDDEN);
                        }
                        other => self.value(other),
                    }
                }
                if members.keys().any(|name| self.knows(name)) {
                    let all = std::mem::take(members).into_iter();
                    *members = all.map(|(name, member)| (self.text(&name), member)).collect();
                }
            }
            _ => {}
        }
    }
}

/// A text with something else in the place of what stands in `places`.
fn with_hidden(text: &str, places: Vec<Range<usize>>) -> String {
    let (mut shown, mut from) = (String::with_capacity(text.len()), 0);
    for place in places {
        shown.push_str(&text[from..place.start]);
        shown.push_str(HIDDEN);
        from = place.end;
    }
    shown + &text[from..]
}

/// Where secrets stand in quotes after a name that says so, up to the quote that closes them: it
/// has as many backslashes before it as the first one, and those inside of a secret have more.
fn quoted_secrets(text: &str) -> Vec<Range<usize>> {
    let (mut places, mut from) = (Vec::new(), 0);
    while let Some(found) = QUOTED.captures_at(text, from) {
        let (depth, quote, start) = (found[1].len(), &found[2], found.get_match().end());
        let closes = |(at, _): &(usize, &str)| {
            let before = &text[start..start + at];
            before.len() - before.trim_end_matches('\\').len() <= depth
        };
        let rest = &text[start..];
        let end = rest.match_indices(quote).find(closes).map_or(rest.len(), |(at, _)| at);
        let secret = rest[..end].trim_end_matches('\\').len();
        if secret > 0 {
            places.push(start..start + secret);
        }
        from = start + end;
    }
    places
}

/// A secret as it is, and as JSON writes it, with and without characters beyond ASCII, once
/// or several times over.
fn written_forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
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

/// The expression that finds a form of a secret where it is a word.
fn word(form: &str) -> String {
    let escaped = regex::escape(form);
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let before = if edge(form.chars().next()) { r"\b" } else { "" };
    let after = if edge(form.chars().next_back()) { r"\b" } else { "" };
    format!("{before}{escaped}{after}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "pä\"ss\\w0rd/1";

    #[test]
    fn known_secrets_are_hidden_in_every_written_form() {
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
    fn short_secrets_are_hidden_as_words_only() {
        let redaction = Redaction::of(["demo", "ab"]);
        assert_eq!(redaction.text("demo-1 demos ab"), format!("{HIDDEN}-1 demos ab"));
    }

    #[test]
    fn any_number_of_secrets_is_hidden() {
        let secrets: Vec<String> = (0..60).map(|n| format!("{n:04}").repeat(1000)).collect();
        let redaction = Redaction::of(secrets.iter().map(String::as_str));
        assert!(secrets.iter().all(|secret| redaction.text(secret) == HIDDEN));
    }

    #[test]
    fn what_is_behind_a_secret_in_quotes_stays() {
        let text = r#"{"password": "a b", "user": "bob", "token": ""}"#;
        let hidden = r#"{"password": "[hidden]", "user": "bob", "token": ""}"#;
        assert_eq!(Redaction::default().text(text), hidden);
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        let redaction = Redaction::default();
        for (text, gone) in [
            ("Authorization: PVEAPIToken=root@pam!api=5a1b-77", "5a1b-77"),
            ("Cookie: PVEAuthCookie=PVE:root@pam:65AB01CD::c2lnbmF0dXJl", "c2lnbmF0dXJl"),
            (r#"ok: [h] => {"password": "hunter2", "a": 1}"#, "hunter2"),
            (r#"{"msg": "{\"admin_password\": \"hunter2\"}"}"#, "hunter2"),
            ("curl -H 'authorization: Bearer abc.def'", "abc.def"),
            ("useradd --password=hunter2 bob", "hunter2"),
            (r#"{"password": "correct horse", "a": 1}"#, "horse"),
            (r#"{"password": "cor\"rect horse", "a": 1}"#, "horse"),
            (r#"{"msg": "{\"password\": \"correct horse\"}"}"#, "horse"),
            ("db_pwd: 'correct horse'", "horse"),
            ("api_key=hunter2", "hunter2"),
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
    fn members_are_hidden_by_name_and_the_rest_stays() {
        let mut value = json!({
            "vm_id": "1000", "proxmox_api_token_secret": "uuid", "ansible_become_pass": "x",
            "nested": [{"Authorization": "a", "password": null, "token": ""}], "pin_pwd": 1234,
            "in a longer S3cret-one name": 1,
        });
        Redaction::of(["S3cret-one"]).value(&mut value);
        assert_eq!(
            value,
            json!({
                "vm_id": "1000", "proxmox_api_token_secret": HIDDEN, "ansible_become_pass": HIDDEN,
                "nested": [{"Authorization": HIDDEN, "password": null, "token": ""}],
                "pin_pwd": HIDDEN,
                "in a longer [hidden] name": 1,
            })
        );
    }
}
