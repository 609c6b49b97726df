//! Turns the job events of a run into its log, its result and its counts. Secrets are redacted
//! here, before anything else sees an event.

use serde_json::{Value, json};

use crate::ansible::events;
use crate::ansible::events::JobEvent;
use crate::ansible::failure::FailureReason;
use crate::ansible::job_events::ReadEvent;
use crate::redaction::Redaction;
use crate::runs::RunMetrics;
use crate::runs::log::files::LogWriter;
use crate::runs::record::{HostCounts, HostStatuses, Progress};

/// Members of a job event that hold no text of a playbook (ansible-runner 2.4, `awx_display.py`).
/// They are not redacted.
const EVENT_MEMBERS: [&str; 9] = [
    "counter",
    "created",
    "end_line",
    "event",
    "parent_uuid",
    "pid",
    "runner_ident",
    "start_line",
    "uuid",
];

/// The same for its `event_data`: ids, times, the name of the host, the counts of the recap.
const EVENT_DATA_MEMBERS: [&str; 17] = [
    "changed",
    "dark",
    "duration",
    "end",
    "failures",
    "host",
    "ignore_errors",
    "ignored",
    "ok",
    "play_uuid",
    "playbook_uuid",
    "processed",
    "rescued",
    "skipped",
    "start",
    "task_uuid",
    "uuid",
];

/// Records the job events of a run, playbook by playbook.
pub struct Recorder {
    redaction: Redaction,
    log: Option<LogWriter>,
    metrics: Option<std::sync::Arc<RunMetrics>>,
    hosts: HostStatuses,
    recorded: Recorded,
    report: PlaybookReport,
    action: Option<String>,
}

/// What has been recorded of a run so far.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// The progress.
    pub progress: Progress,
    /// The number of hosts by status.
    pub hosts: HostCounts,
    /// The number of lines in the log.
    pub log_lines: u64,
    /// The number of job events.
    pub job_events: u64,
    /// Why the log and the job events are incomplete, if they are.
    pub gap: Option<String>,
    /// ansible-runner's `counter` of the last event of the current playbook.
    pub counter: u64,
    /// Whether the current playbook has printed its recap.
    pub has_recap: bool,
}

/// What one playbook reported.
#[derive(Debug, Default)]
pub struct PlaybookReport {
    /// The values reported for the action.
    pub values: Vec<Value>,
    /// Why the playbook failed, if it did.
    pub failure: FailureReason,
    /// The number of the first log line of the playbook.
    pub log_from: u64,
}

impl Recorder {
    /// Creates a recorder for a run with `playbooks` playbooks. If `log` is an error, events are
    /// not stored, and the record says why.
    pub fn new(
        redaction: Redaction,
        log: std::io::Result<LogWriter>,
        playbooks: usize,
        metrics: Option<std::sync::Arc<RunMetrics>>,
    ) -> Self {
        let gap = log.as_ref().err().map(|e| format!("the log cannot be written: {e}"));
        let progress = Progress { playbooks, ..Progress::default() };
        let recorded = Recorded { progress, gap, ..Recorded::default() };
        let log = log.ok();
        let (hosts, report) = (HostStatuses::default(), PlaybookReport::default());
        Self { redaction, log, metrics, hosts, recorded, report, action: None }
    }

    /// Begins the next playbook, whose values for `action` are to be collected.
    pub fn begin_playbook(&mut self, action: Option<String>) {
        self.recorded.progress.playbook += 1;
        self.recorded.progress.task = None;
        self.action = action;
        self.recorded.counter = 0;
        self.recorded.has_recap = false;
        self.report =
            PlaybookReport { log_from: self.recorded.log_lines, ..PlaybookReport::default() };
    }

    /// Counts a playbook that was not planned.
    pub fn add_playbook(&mut self) {
        self.recorded.progress.playbooks += 1;
    }

    /// Ends the playbook and returns its report.
    pub fn end_playbook(&mut self) -> PlaybookReport {
        std::mem::take(&mut self.report)
    }

    /// Returns what has been recorded so far.
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// Stores and applies the next events.
    ///
    /// # Blocking
    ///
    /// Writes to the log files.
    pub fn record(&mut self, reads: Vec<ReadEvent>) {
        for read in reads {
            let (event, text) = self.redacted(read);
            let stdout = event.stdout.as_deref().filter(|text| !text.is_empty());
            let lines = stdout.map(events::raw_lines).unwrap_or_default();
            self.store(&text, &lines);
            self.apply(&event);
        }
    }

    /// Applies an event that an earlier server stored.
    pub fn replay(&mut self, event: &JobEvent, playbook: usize, action: &Option<String>) {
        if playbook != self.recorded.progress.playbook {
            self.resume_playbook(playbook, action);
        }
        self.recorded.job_events += 1;
        self.apply(event);
    }

    /// Resumes with the playbook that an earlier server ran.
    pub fn resume_playbook(&mut self, playbook: usize, action: &Option<String>) {
        self.recorded.progress.playbook = playbook.saturating_sub(1);
        self.begin_playbook(action.clone());
    }

    /// Sets the number of log lines that an earlier server stored.
    pub fn set_log_lines(&mut self, lines: u64) {
        self.recorded.log_lines = lines;
    }

    /// Redacts the secrets in an event. Members without text of a playbook, such as its number, kind
    /// and counts, are left alone: a secret like `1` must not destroy them.
    fn redacted(&self, ReadEvent { mut event, text }: ReadEvent) -> (JobEvent, String) {
        if !self.redaction.may_match(&text) {
            return (event, text);
        }
        event.stdout = event.stdout.map(|text| self.redaction.text(&text));
        if let Some(data) = &mut event.event_data {
            data.task = data.task.take().map(|task| self.redaction.text(&task));
            data.res.iter_mut().for_each(|res| self.redact_members(res, &[]));
        }
        let text = match serde_json::from_str::<Value>(&text) {
            Ok(mut whole) => {
                self.redact_event(&mut whole);
                whole.to_string()
            }
            // A number is out of range. What cannot be redacted is not stored.
            Err(_) => json!({
                "counter": event.counter, "event": event.event, "stdout": event.stdout,
            })
            .to_string(),
        };
        (event, text)
    }

    fn redact_event(&self, whole: &mut Value) {
        let data = whole.get_mut("event_data").map(Value::take);
        self.redact_members(whole, &EVENT_MEMBERS);
        if let Some(mut data) = data {
            let res = data.get_mut("res").map(Value::take);
            self.redact_members(&mut data, &EVENT_DATA_MEMBERS);
            if let Some(mut res) = res {
                self.redact_members(&mut res, &[]);
                data["res"] = res;
            }
            whole["event_data"] = data;
        }
    }

    /// Redacts the secrets in the members of an object, except in those named in `exempt`. Names of
    /// members are left alone: ansible-runner, a module or the action has chosen them.
    fn redact_members(&self, object: &mut Value, exempt: &[&str]) {
        let Value::Object(members) = object else { return self.redaction.value(object) };
        for (name, member) in
            members.iter_mut().filter(|(name, _)| !exempt.contains(&name.as_str()))
        {
            self.redaction.member(name, member);
        }
    }

    fn store(&mut self, text: &str, lines: &[String]) {
        let Some(log) = &mut self.log else { return };
        let number = self.recorded.job_events + 1;
        // `seq` and `playbook` are put before the members of the event, all on one line.
        let members = text.trim_start().strip_prefix('{').unwrap_or("}").replace('\n', " ");
        let comma = if members.trim_start().starts_with('}') { "" } else { "," };
        let playbook = self.recorded.progress.playbook;
        let line = format!("{{\"seq\":{number},\"playbook\":{playbook}{comma}{members}");
        match log.append(&line, lines) {
            Ok(()) => {
                self.recorded.job_events = number;
                self.recorded.log_lines += lines.len() as u64;
            }
            Err(e) => {
                tracing::error!(error = %e, "cannot write the log of the run, which ends here");
                self.recorded.gap = Some(format!("the log ends early: {e}"));
                self.log = None;
            }
        }
    }

    fn apply(&mut self, event: &JobEvent) {
        self.hosts.apply(event);
        self.recorded.hosts = self.hosts.counts();
        self.recorded.counter = event.counter;
        self.recorded.has_recap |= event.event == "playbook_on_stats";
        self.report.failure.observe(event);
        let data = event.event_data.as_ref();
        if matches!(
            event.event.as_str(),
            "playbook_on_task_start" | "playbook_on_handler_task_start"
        ) {
            self.recorded.progress.tasks += 1;
            self.recorded.progress.task = data.and_then(|data| data.task.clone());
        }
        if let Some(action) = &self.action {
            self.report.values.extend(events::extract([event], action));
        }
        if let (Some(metrics), Some(seconds)) = (&self.metrics, data.and_then(|d| d.duration)) {
            metrics.task_seconds.observe(seconds);
        }
    }
}
