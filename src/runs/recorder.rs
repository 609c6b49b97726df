//! What is made of a run's job events: its log, its result, its counts.

use serde_json::{Value, json};

use crate::ansible::events;
use crate::ansible::events::JobEvent;
use crate::ansible::failure::FailureReason;
use crate::ansible::job_events::ReadEvent;
use crate::redaction::Redaction;
use crate::runs::RunMetrics;
use crate::runs::log::files::Journal;
use crate::runs::record::{HostCounts, Hosts, Progress};

/// Members of a job event that hold no text of a playbook (ansible-runner 2.4, `awx_display.py`).
const OF_THE_EVENT: [&str; 9] = [
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

/// The same of its `event_data`: ids, times, the name of the host, the counts of the recap.
const OF_ITS_DATA: [&str; 17] = [
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

/// Takes the job events of a run, playbook by playbook.
pub struct Recorder {
    redaction: Redaction,
    journal: Option<Journal>,
    metrics: Option<std::sync::Arc<RunMetrics>>,
    hosts: Hosts,
    seen: Seen,
    playbook: Report,
    action: Option<String>,
}

/// What has been seen of a run so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How far it is.
    pub progress: Progress,
    /// How the hosts fared.
    pub hosts: HostCounts,
    /// Lines of the log.
    pub log_lines: u64,
    /// Job events.
    pub job_events: u64,
    /// Why not all of it could be kept.
    pub gap: Option<String>,
    /// The number of the playbook's last event, as ansible-runner counts.
    pub counter: u64,
    /// Whether the playbook has printed its recap.
    pub recap: bool,
}

/// What one playbook said.
#[derive(Debug, Default)]
pub struct Report {
    /// The values under the action's name.
    pub values: Vec<Value>,
    /// Why it failed, if it did.
    pub failure: FailureReason,
    /// The number of the line that its log begins with.
    pub log_from: u64,
}

impl Recorder {
    /// Starts with nothing. Without a journal, `gap` says why.
    pub fn new(
        redaction: Redaction,
        journal: std::io::Result<Journal>,
        playbooks: usize,
        metrics: Option<std::sync::Arc<RunMetrics>>,
    ) -> Self {
        let gap = journal.as_ref().err().map(|e| format!("the log cannot be kept: {e}"));
        let progress = Progress { playbooks, ..Progress::default() };
        let seen = Seen { progress, gap, ..Seen::default() };
        let journal = journal.ok();
        let (hosts, playbook) = (Hosts::default(), Report::default());
        Self { redaction, journal, metrics, hosts, seen, playbook, action: None }
    }

    /// The next playbook begins; its values under `action` are wanted.
    pub fn begin_playbook(&mut self, action: Option<String>) {
        self.seen.progress.playbook += 1;
        self.seen.progress.task = None;
        self.action = action;
        self.seen.counter = 0;
        self.seen.recap = false;
        self.playbook = Report { log_from: self.seen.log_lines, ..Report::default() };
    }

    /// A playbook that looks something up comes before the others.
    pub fn one_more_playbook(&mut self) {
        self.seen.progress.playbooks += 1;
    }

    /// What the playbook said, now that it has ended.
    pub fn end_playbook(&mut self) -> Report {
        std::mem::take(&mut self.playbook)
    }

    /// What has been seen so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Takes the next events: keeps them and learns from them.
    pub fn take(&mut self, reads: Vec<ReadEvent>) {
        for read in reads {
            let (event, text) = self.redacted(read);
            let stdout = event.stdout.as_deref().filter(|text| !text.is_empty());
            let lines = stdout.map(events::raw_lines).unwrap_or_default();
            self.keep(&text, &lines);
            self.learn(&event);
        }
    }

    /// Learns from an event that was kept before.
    pub fn recall(&mut self, event: &JobEvent, playbook: usize, action: &Option<String>) {
        if playbook != self.seen.progress.playbook {
            self.recall_playbook(playbook, action);
        }
        self.seen.job_events += 1;
        self.learn(event);
    }

    /// Goes to a playbook that was at work before.
    pub fn recall_playbook(&mut self, playbook: usize, action: &Option<String>) {
        self.seen.progress.playbook = playbook.saturating_sub(1);
        self.begin_playbook(action.clone());
    }

    /// The lines of the log that were kept before.
    pub fn recall_lines(&mut self, lines: u64) {
        self.seen.log_lines = lines;
    }

    /// Hides the secrets in an event. Whatever is secret, the event stays one: its number, its
    /// kind and its counts are not text that a person wrote, and are left as they are.
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
            // A number beyond what JSON values hold. What cannot be redacted is not kept.
            Err(_) => json!({
                "counter": event.counter, "event": event.event, "stdout": event.stdout,
            })
            .to_string(),
        };
        (event, text)
    }

    fn redact_event(&self, whole: &mut Value) {
        let data = whole.get_mut("event_data").map(Value::take);
        self.redact_members(whole, &OF_THE_EVENT);
        if let Some(mut data) = data {
            let res = data.get_mut("res").map(Value::take);
            self.redact_members(&mut data, &OF_ITS_DATA);
            if let Some(mut res) = res {
                self.redact_members(&mut res, &[]);
                data["res"] = res;
            }
            whole["event_data"] = data;
        }
    }

    /// Hides the secrets in the members of an object, those in `kept` apart. Their names stay:
    /// they are those of ansible-runner, of a module, or of the action whose value is answered.
    fn redact_members(&self, object: &mut Value, kept: &[&str]) {
        let Value::Object(members) = object else { return self.redaction.value(object) };
        for (name, member) in members.iter_mut().filter(|(name, _)| !kept.contains(&name.as_str()))
        {
            self.redaction.member(name, member);
        }
    }

    fn keep(&mut self, text: &str, lines: &[String]) {
        let Some(journal) = &mut self.journal else { return };
        let number = self.seen.job_events + 1;
        // The event's own members follow ours in the same object, on one line.
        let members = text.trim_start().strip_prefix('{').unwrap_or("}").replace('\n', " ");
        let comma = if members.trim_start().starts_with('}') { "" } else { "," };
        let playbook = self.seen.progress.playbook;
        let line = format!("{{\"seq\":{number},\"playbook\":{playbook}{comma}{members}");
        match journal.add(&line, lines) {
            Ok(()) => {
                self.seen.job_events = number;
                self.seen.log_lines += lines.len() as u64;
            }
            Err(e) => {
                tracing::error!(error = %e, "the log of the run cannot be kept from here on");
                self.seen.gap = Some(format!("the log ends early: {e}"));
                self.journal = None;
            }
        }
    }

    fn learn(&mut self, event: &JobEvent) {
        self.hosts.see(event);
        self.seen.hosts = self.hosts.counts();
        self.seen.counter = event.counter;
        self.seen.recap |= event.event == "playbook_on_stats";
        self.playbook.failure.observe(event);
        let data = event.event_data.as_ref();
        if matches!(
            event.event.as_str(),
            "playbook_on_task_start" | "playbook_on_handler_task_start"
        ) {
            self.seen.progress.tasks += 1;
            self.seen.progress.task = data.and_then(|data| data.task.clone());
        }
        if let Some(action) = &self.action {
            self.playbook.values.extend(events::extract([event], action));
        }
        if let (Some(metrics), Some(seconds)) = (&self.metrics, data.and_then(|d| d.duration)) {
            metrics.task_seconds.observe(seconds);
        }
    }
}
