//! Job events as ansible-runner writes them, and the text and results they carry.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// One job event, a file in `artifacts/<ident>/job_events`.
///
/// Only the members that the service reads are parsed; the file is stored in full.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct JobEvent {
    /// The number of the event in its run, counted from 1.
    #[serde(default)]
    pub counter: u64,
    /// The kind of the event, such as `runner_on_ok`.
    #[serde(default)]
    pub event: String,
    /// The text that Ansible printed for the event, with ANSI colors.
    #[serde(default)]
    pub stdout: Option<String>,
    /// Host, task and result.
    #[serde(default)]
    pub event_data: Option<EventData>,
}

/// The part of `event_data` that the service reads.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct EventData {
    /// The host.
    #[serde(default)]
    pub host: Option<String>,
    /// The name of the task.
    #[serde(default)]
    pub task: Option<String>,
    /// The module's result.
    #[serde(default)]
    pub res: Option<Value>,
    /// Whether the playbook ignores the failure.
    #[serde(default)]
    pub ignore_errors: Option<bool>,
    /// The duration of the task in seconds.
    #[serde(default)]
    pub duration: Option<f64>,
    /// Task counts per host, in `playbook_on_stats` only.
    #[serde(flatten)]
    pub stats: Stats,
}

/// The recap: for each outcome, the number of tasks per host.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Stats {
    /// Tasks that succeeded.
    #[serde(default)]
    pub ok: Option<Value>,
    /// Tasks that changed something.
    #[serde(default)]
    pub changed: Option<Value>,
    /// Tasks that failed.
    #[serde(default)]
    pub failures: Option<Value>,
    /// Tasks whose host was unreachable.
    #[serde(default)]
    pub dark: Option<Value>,
}

impl JobEvent {
    /// Returns the module's result if it is an object.
    pub(super) fn result(&self) -> Option<&serde_json::Map<String, Value>> {
        self.event_data.as_ref()?.res.as_ref()?.as_object()
    }
}

/// Returns the values of the member `action` in the results of successful tasks, in order.
///
/// Reads `runner_on_ok` events and the top level of the result only: facts, loop items and
/// failures may have a member of the same name with another meaning.
pub fn extract<'a>(events: impl IntoIterator<Item = &'a JobEvent>, action: &str) -> Vec<Value> {
    events
        .into_iter()
        .filter(|event| event.event == "runner_on_ok")
        .filter_map(|event| event.result()?.get(action).cloned())
        .collect()
}

/// Removes ANSI escape sequences: ESC, a C1 character, parameters and a final character.
///
/// By ECMA-48 only CSI (`ESC [`) takes parameters. The contract removes them after every C1
/// character, so this function does the same.
pub fn strip_ansi(text: &str) -> String {
    static ANSI: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\x1b[@-_][0-?]*[ -/]*[@-~]").expect("a constant"));
    ANSI.replace_all(text, "").into_owned()
}

/// Trims like Python's `str.strip`, which also removes the separators U+001C to U+001F.
fn python_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

fn is_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Splits like Python's `str.splitlines`: at CRLF and at each of ten single characters.
pub(super) fn split_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_break) {
        lines.push(rest[..at].to_owned());
        let broken = &rest[at..];
        let width = if broken.starts_with("\r\n") {
            2
        } else {
            broken.chars().next().map_or(0, char::len_utf8)
        };
        rest = &broken[width..];
    }
    if !rest.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}

/// Splits the text of one event into the lines that are stored, with ANSI colors.
///
/// The log of a run is the text of its events joined by line feeds. A carriage return at the end
/// of an event and the line feed that follows it are a single line break.
pub fn raw_lines(stdout: &str) -> Vec<String> {
    let text = stdout.strip_suffix('\r').unwrap_or(stdout);
    let mut lines = split_lines(text);
    if text.is_empty() || text.ends_with(is_break) {
        lines.push(String::new());
    }
    lines
}

/// Returns stored lines as clients read them: without colors, and trimmed as a whole.
pub fn clean_lines(raw: &[String]) -> Vec<String> {
    split_lines(&strip_ansi(python_trim(&raw.join("\n"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines stored event by event must equal the lines of the joined text.
    #[test]
    fn stored_lines_equal_the_lines_of_the_joined_text() {
        let texts = [
            "\r\nPLAY [all] \u{1b}[0m",
            "a\r",
            "b\r\nc\n",
            "\n",
            "\r",
            " d  ",
            "\u{1b}[32mok\u{1b}[0m: e\x0bf\u{85}",
            "x\n\n y \n \u{1b}[0m",
            " \r\n\r",
        ];
        for count in 0..=texts.len() {
            let joined = texts[..count].join("\n");
            let whole = split_lines(&strip_ansi(python_trim(&joined)));
            let stored: Vec<String> = texts[..count].iter().flat_map(|t| raw_lines(t)).collect();
            assert_eq!(clean_lines(&stored), whole, "{count} events");
        }
    }
}
