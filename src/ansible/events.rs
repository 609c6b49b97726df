//! Job events as ansible-runner writes them, and what a client reads out of them.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// One job event, a file of `artifacts/<ident>/job_events`.
///
/// Members that the service does not read are left where they are, in the text of the event.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct JobEvent {
    /// Its number in the run, from 1.
    #[serde(default)]
    pub counter: u64,
    /// Its kind, such as `runner_on_ok`.
    #[serde(default)]
    pub event: String,
    /// The text that Ansible printed with it, colours included.
    #[serde(default)]
    pub stdout: Option<String>,
    /// What happened: host, task, result.
    #[serde(default)]
    pub event_data: Option<EventData>,
}

/// The part of `event_data` that the service reads.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct EventData {
    /// The host that the event is about.
    #[serde(default)]
    pub host: Option<String>,
    /// The name of the task.
    #[serde(default)]
    pub task: Option<String>,
    /// The module's result.
    #[serde(default)]
    pub res: Option<Value>,
    /// A failure that the playbook said to ignore.
    #[serde(default)]
    pub ignore_errors: Option<bool>,
    /// Seconds that the task took.
    #[serde(default)]
    pub duration: Option<f64>,
    /// Counts per host, in `playbook_on_stats` only.
    #[serde(flatten)]
    pub stats: Stats,
}

/// The recap: for each kind of outcome, how many tasks each host had of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Stats {
    /// Tasks that ended well.
    #[serde(default)]
    pub ok: Option<Value>,
    /// Tasks that changed something.
    #[serde(default)]
    pub changed: Option<Value>,
    /// Tasks that failed.
    #[serde(default)]
    pub failures: Option<Value>,
    /// Tasks whose host did not answer.
    #[serde(default)]
    pub dark: Option<Value>,
}

impl JobEvent {
    /// The module's result, where the event has one that is an object.
    fn result(&self) -> Option<&serde_json::Map<String, Value>> {
        self.event_data.as_ref()?.res.as_ref()?.as_object()
    }
}

/// The values under `action` in the results of successful tasks, in order, as they are.
///
/// Only `runner_on_ok` counts, and only the top level of the result: facts, loop items and
/// failures may carry the same name and mean something else.
pub fn extract<'a>(events: impl IntoIterator<Item = &'a JobEvent>, action: &str) -> Vec<Value> {
    events
        .into_iter()
        .filter(|event| event.event == "runner_on_ok")
        .filter_map(|event| event.result()?.get(action).cloned())
        .collect()
}

/// Removes ANSI escape sequences: ESC, a character of the C1 set, and what may follow it as
/// parameters up to a final character. Only CSI (`ESC [`) has parameters by the standard; that
/// the others lose them too is what clients of the contract see.
pub fn strip_ansi(text: &str) -> String {
    static ANSI: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\x1b[@-_][0-?]*[ -/]*[@-~]").expect("a constant"));
    ANSI.replace_all(text, "").into_owned()
}

/// Blanks as Python's `str.strip` knows them, which adds four separators to Unicode's.
fn python_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

fn is_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Splits as Python's `str.splitlines` does: at CRLF, and at each of ten single characters.
fn split_lines(text: &str) -> Vec<String> {
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

/// The one line that says why a run failed.
///
/// Ansible prints a failed task as `fatal: [host]: FAILED! => {…}`; the sentence in the result's
/// `msg` takes the place of the object. A failure that the playbook ignores is not the reason.
/// Without a failed task it is the first error of ansible-playbook itself, and without that
/// the exit code.
#[derive(Debug, Clone, Default)]
pub struct FailureLine {
    task: Option<String>,
    marked: Option<String>,
    error: Option<String>,
}

impl FailureLine {
    /// Looks at the next event of the run.
    pub fn see(&mut self, event: &JobEvent) {
        if self.task.is_some() {
            return;
        }
        self.task = failed_task(event);
        for line in split_lines(&strip_ansi(event.stdout.as_deref().unwrap_or_default())) {
            let has = |marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
            if self.marked.is_none() && has(&["fatal:", "FAILED"]) {
                self.marked = Some(line.trim().to_owned());
            } else if self.error.is_none() && has(&["ERROR! ", "[ERROR]: "]) {
                self.error = Some(line.trim().to_owned());
            }
        }
    }

    /// The line, for a run that ended with `rc`.
    pub fn line(self, rc: Option<i32>) -> String {
        self.task.or(self.marked).or(self.error).unwrap_or_else(|| match rc {
            Some(rc) => format!("the playbook failed with exit code {rc}"),
            None => "the playbook ended without an exit code".to_owned(),
        })
    }
}

/// The lines of one event's text as they are kept: colours included, one string a line.
///
/// The text of a run is that of its events joined by line feeds. A carriage return at the end
/// of an event makes one line break with the line feed that follows.
pub fn raw_lines(stdout: &str) -> Vec<String> {
    let text = stdout.strip_suffix('\r').unwrap_or(stdout);
    let mut lines = split_lines(text);
    if text.is_empty() || text.ends_with(is_break) {
        lines.push(String::new());
    }
    lines
}

/// What a client reads of kept lines: trimmed as a whole, without colours.
pub fn clean_lines(raw: &[String]) -> Vec<String> {
    split_lines(&strip_ansi(python_trim(&raw.join("\n"))))
}

fn failed_task(event: &JobEvent) -> Option<String> {
    if !matches!(event.event.as_str(), "runner_on_failed" | "runner_on_unreachable") {
        return None;
    }
    let data = event.event_data.as_ref()?;
    if data.ignore_errors == Some(true) {
        return None;
    }
    let printed = strip_ansi(event.stdout.as_deref()?);
    let line = printed.lines().find(|line| line.contains("fatal:"))?.trim();
    let sentence = event.result().and_then(|res| res.get("msg")?.as_str()).unwrap_or_default();
    match line.split_once(" => ") {
        Some((head, _)) if !sentence.is_empty() => {
            let sentence = sentence.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            Some(format!("{head} => {sentence}"))
        }
        _ => Some(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kept line by line as the events come, the log reads as if all had been joined first.
    #[test]
    fn kept_lines_read_like_the_whole_text() {
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
            let kept: Vec<String> = texts[..count].iter().flat_map(|t| raw_lines(t)).collect();
            assert_eq!(clean_lines(&kept), whole, "{count} events");
        }
    }
}
