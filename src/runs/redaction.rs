//! Keeping secrets out of everything that is stored, logged, streamed or answered.
//!
//! Two things are hidden: the secrets that the server knows, wherever they stand, also inside
//! longer text and in JSON's escaped forms; and what by its name or its form is a secret, such
//! as the value of a member `password` or a Proxmox API token.

use std::sync::LazyLock;

use regex::{Captures, Regex};
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
    known: Option<Regex>,
}

/// Members whose text is a secret whatever it is.
static SECRET_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:.*[_-])?(?:password|passwd|passphrase|secret|authorization|private_key|token_secret|api_token|access_token)$|^(?:ansible_.*_pass|cipassword|token)$")
        .expect("a constant")
});

/// What is a secret by its form. The parts in brackets stay.
static SECRET_FORMS: LazyLock<[Regex; 5]> = LazyLock::new(|| {
    [
        r"(PVEAPIToken=)[^\s=]+=[^\s\x22\x27\\,]+",
        r"(PVE(?:AuthCookie=|:[^\s:]+:[0-9A-F]{8}::))[^\s\x22\x27\\;]+",
        r"(?i)(\bauthorization\\*[\x22\x27]?\s*[:=]\s*\\*[\x22\x27]?(?:bearer|basic)\s+)[^\s\x22\x27\\,]+",
        r#"(?i)((?:password|passwd|passphrase|secret|private_key)\\*["']?\s*[:=]\s*(?:\\*["'])?)[^\s"'\\,;}\[]+"#,
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    ]
    .map(|form| Regex::new(form).expect("a constant"))
});

/// Whether any of the forms can be in a text at all: most texts hold none.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)PVE|authorization|passw|passphrase|secret|private.key|token")
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
        let known = inventory::texts(&settings.inventory, &is_secret_name);
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
        // The longest first, so that a secret that begins with another one is hidden whole.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        let pattern = forms.iter().map(|form| pattern(form)).collect::<Vec<_>>().join("|");
        let known = (!forms.is_empty()).then(|| Regex::new(&pattern).ok()).flatten();
        Self { known }
    }

    /// Whether a text may hold something to hide.
    pub fn concerns(&self, text: &str) -> bool {
        HINT.is_match(text) || self.known.as_ref().is_some_and(|known| known.is_match(text))
    }

    /// Hides the secrets in a text.
    pub fn text(&self, text: &str) -> String {
        let mut text = match &self.known {
            Some(known) => known.replace_all(text, HIDDEN).into_owned(),
            None => text.to_owned(),
        };
        if HINT.is_match(&text) {
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
                        other => self.value(other),
                    }
                }
                if members.keys().any(|name| self.concerns_name(name)) {
                    let all = std::mem::take(members).into_iter();
                    *members = all.map(|(name, member)| (self.text(&name), member)).collect();
                }
            }
            _ => {}
        }
    }

    fn concerns_name(&self, name: &str) -> bool {
        self.known.as_ref().is_some_and(|known| known.is_match(name))
    }
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

/// The expression that finds a form of a secret.
fn pattern(form: &str) -> String {
    let escaped = regex::escape(form);
    if form.chars().count() >= INSIDE_WORDS {
        return escaped;
    }
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
    fn what_looks_like_a_secret_is_hidden() {
        let redaction = Redaction::default();
        for (text, gone) in [
            ("Authorization: PVEAPIToken=root@pam!api=5a1b-77", "5a1b-77"),
            ("Cookie: PVEAuthCookie=PVE:root@pam:65AB01CD::c2lnbmF0dXJl", "c2lnbmF0dXJl"),
            (r#"ok: [h] => {"password": "hunter2", "a": 1}"#, "hunter2"),
            (r#"{"msg": "{\"admin_password\": \"hunter2\"}"}"#, "hunter2"),
            ("curl -H 'authorization: Bearer abc.def'", "abc.def"),
            ("useradd --password=hunter2 bob", "hunter2"),
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
            "nested": [{"Authorization": "a", "password": null, "token": ""}],
            "in a longer S3cret-one name": 1,
        });
        Redaction::of(["S3cret-one"]).value(&mut value);
        assert_eq!(
            value,
            json!({
                "vm_id": "1000", "proxmox_api_token_secret": HIDDEN, "ansible_become_pass": HIDDEN,
                "nested": [{"Authorization": HIDDEN, "password": null, "token": ""}],
                "in a longer [hidden] name": 1,
            })
        );
    }
}
