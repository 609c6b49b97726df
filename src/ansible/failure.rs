//! Why a playbook failed, in one line.

use crate::ansible::events::{JobEvent, split_lines, strip_ansi};

/// Extracts the reason for a failure from the events of a run.
///
/// Ansible prints a failed task as `fatal: [host]: FAILED! => {…}`; the object is replaced by the
/// `msg` of the result. Ignored failures are skipped. If no task failed, the reason is the first
/// error of ansible-playbook itself, or else the exit code.
#[derive(Debug, Clone, Default)]
pub struct FailureReason {
    task: Option<String>,
    fatal_line: Option<String>,
    error_line: Option<String>,
}

impl FailureReason {
    /// Processes the next event of the run.
    pub fn observe(&mut self, event: &JobEvent) {
        if self.task.is_some() {
            return;
        }
        self.task = failed_task(event);
        for line in split_lines(&strip_ansi(event.stdout.as_deref().unwrap_or_default())) {
            let has = |marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
            if self.fatal_line.is_none() && has(&["fatal:", "FAILED"]) {
                self.fatal_line = Some(line.trim().to_owned());
            } else if self.error_line.is_none() && has(&["ERROR! ", "[ERROR]: "]) {
                self.error_line = Some(line.trim().to_owned());
            }
        }
    }

    /// Returns the reason, given the exit code of the run.
    pub fn line(self, rc: Option<i32>) -> String {
        self.task.or(self.fatal_line).or(self.error_line).unwrap_or_else(|| match rc {
            Some(rc) => format!("the playbook failed with exit code {rc}"),
            None => "the playbook ended without an exit code".to_owned(),
        })
    }
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
    let msg = event.result().and_then(|res| res.get("msg")?.as_str()).unwrap_or_default();
    match line.split_once(" => ") {
        Some((head, _)) if !msg.is_empty() => {
            let msg = msg.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            Some(format!("{head} => {msg}"))
        }
        _ => Some(line.to_owned()),
    }
}
