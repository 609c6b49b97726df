//! Crash recovery: settles the runs that a killed server left unfinished, before the next one
//! accepts requests.
//!
//! Remaining processes are ended. How a run ended is decided from the files in its directory, which
//! is then removed. Queued runs begin with this server, unless they were accepted too long ago.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;
use uuid::Uuid;

use crate::ansible::events::JobEvent;
use crate::ansible::execution::{ExecutionError, reported_rc};
use crate::ansible::extra_vars;
use crate::ansible::job_events::JobEvents;
use crate::ansible::reaper;
use crate::ansible::reaper::Stop;
use crate::config::Settings;
use crate::redaction::{is_secret_name, texts_in};
use crate::runs::log::files::{LogFiles, LogKind, LogOffset};
use crate::runs::outcome::conclude;
use crate::runs::record::{Record, now};
use crate::runs::recorder::Recorder;
use crate::runs::sealing::SealingKey;
use crate::runs::secrets;
use crate::runs::store::sqlite::History;
use crate::runs::{Outcome, RunResult, RunSpec, RunState};

/// A file in the directory of a run, written before recovery ends its processes. An exit code that
/// ansible-runner reports after that is not the playbook's own.
const STOPPED_MARKER: &str = "ended-by-the-server";

/// A file in the directory of a run that holds its record, in case the history could not be written.
const RECORD_FILE: &str = "record.json";

/// How long recovery waits until the settled runs are written to the history.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of bytes of job events that are read at once.
const PAGE_BYTES: usize = 1024 * 1024;

/// Writes the record of a run into the directory of the run.
///
/// # Errors
///
/// If the file cannot be written.
///
/// # Blocking
///
/// Writes a file.
pub(super) fn write_run_record(dir: &Path, record: &Record) -> io::Result<()> {
    fs::write(dir.join(RECORD_FILE), serde_json::to_vec(record)?)
}

/// The directory of a run of an earlier server.
struct Leftover {
    id: Uuid,
    dir: PathBuf,
}

impl Leftover {
    fn artifacts(&self) -> PathBuf {
        self.dir.join("artifacts").join(self.id.to_string())
    }

    /// The exit code that ansible-runner reported before recovery ended the run: `None` if there is
    /// no report, `Some(None)` if it reports no exit code.
    fn reported(&self) -> Option<Option<i32>> {
        let stopped = self.dir.join(STOPPED_MARKER).exists();
        (!stopped).then(|| reported_rc(&self.artifacts())).flatten()
    }

    fn record(&self) -> Option<Record> {
        let record: Record =
            serde_json::from_slice(&fs::read(self.dir.join(RECORD_FILE)).ok()?).ok()?;
        (record.id == self.id).then_some(record)
    }

    /// Ends the remaining processes of the run, and marks the directory first, since this server may
    /// be killed before it has settled the run.
    fn terminate(&self) -> Termination {
        // Read first: when a playbook is ended, ansible-runner reports an exit code as well.
        let reported = self.reported();
        let was_alive = reaper::any_alive(&self.id.to_string());
        if was_alive && reported.is_none() {
            let marked = fs::write(self.dir.join(STOPPED_MARKER), "");
            if let Err(error) = marked {
                tracing::error!(run_id = %self.id, %error, "cannot mark the run as stopped");
            }
        }
        end_processes(self.id);
        Termination { reported, was_alive }
    }
}

/// How a run was found and terminated.
#[derive(Clone, Copy)]
struct Termination {
    /// What ansible-runner had reported, see [`Leftover::reported`].
    reported: Option<Option<i32>>,
    /// Whether the run still had processes, which were ended.
    was_alive: bool,
}

impl Termination {
    fn without_directory(id: Uuid) -> Self {
        Self { reported: None, was_alive: end_processes(id) }
    }
}

/// Ends the processes of earlier runs without settling them, for a server that cannot open its
/// history. Failures are logged.
///
/// # Blocking
///
/// Reads files and waits for processes to end.
pub(super) fn terminate_leftovers(runs_dir: &Path) {
    match leftovers(runs_dir) {
        Ok(leftovers) => leftovers.iter().for_each(|leftover| {
            leftover.terminate();
        }),
        Err(error) => tracing::error!(%error, "cannot look for the processes of earlier runs"),
    }
}

/// Settles all runs that an earlier server left unfinished, except for those that are still queued,
/// which are returned in the order in which they were accepted. The caller holds the lock of the data
/// dir, so that server is not running any more.
///
/// # Errors
///
/// If the history or the directory of runs cannot be read.
///
/// # Blocking
///
/// Reads and removes files, and waits for processes to end.
pub(super) fn recover(
    settings: &Settings,
    history: &History,
    logs: &LogFiles,
    sealing: &SealingKey,
) -> io::Result<Vec<(Record, RunSpec)>> {
    let unfinished = history.unfinished().map_err(io::Error::other)?;
    let (mut unfinished, specs): (Vec<Record>, Vec<Option<Vec<u8>>>) =
        unfinished.into_iter().unzip();
    let mut specs: HashMap<Uuid, Vec<u8>> = unfinished
        .iter()
        .zip(specs)
        .filter_map(|(record, spec)| Some((record.id, spec?)))
        .collect();
    let mut queued = Vec::new();
    let known = history.ids().map_err(io::Error::other)?;
    let leftovers = leftovers(&settings.runs_dir)?;
    // A run is missing from the history if that could not be written.
    let unknown = leftovers.iter().filter(|leftover| !known.contains(&leftover.id));
    unfinished.extend(unknown.filter_map(Leftover::record));
    let logged: HashSet<Uuid> = logs.all().into_iter().collect();
    let ends: Vec<Termination> = leftovers.iter().map(Leftover::terminate).collect();
    let unsettled: HashSet<Uuid> = unfinished.iter().map(|record| record.id).collect();
    for mut record in unfinished {
        let left = leftovers.iter().zip(&ends).find(|(leftover, _)| leftover.id == record.id);
        let (leftover, end) = left.unzip();
        let end = end.copied().unwrap_or_else(|| Termination::without_directory(record.id));
        if let Some(newer) = leftover.and_then(Leftover::record) {
            record.take_newer_progress(newer);
        }
        // A run opens its log before it starts anything. The history may still say that it is queued,
        // if that was locked until the server was killed. A run must never start twice.
        let has_started = record.state != RunState::Queued
            || leftover.is_some()
            || end.was_alive
            || logged.contains(&record.id);
        if has_started {
            settle(settings, history, logs, record, leftover, end);
            continue;
        }
        match still_wanted(settings, sealing, &record, specs.remove(&record.id)) {
            Ok(spec) => queued.push((record, spec)),
            Err(reason) => {
                let record = conclude_unstarted(record, &reason);
                log_settled(&record);
                history.upsert(record, Value::Null);
            }
        }
    }
    // Until its final state is written, the directory of a run is the only evidence.
    let written = history.flush_blocking(WRITE_TIMEOUT);
    for Leftover { id, dir } in &leftovers {
        if !written && unsettled.contains(id) {
            tracing::error!(run_id = %id, "keeping the run directory: the final state of the run cannot be written");
            continue;
        }
        match fs::remove_dir_all(dir) {
            Ok(()) => tracing::info!(run_id = %id, "removed the directory of an earlier run"),
            Err(error) => {
                tracing::error!(run_id = %id, %error, dir = %dir.display(), "cannot remove a run directory");
            }
        }
    }
    if history.has_quarantined() {
        tracing::warn!("no logs of runs are removed as long as a quarantined history exists");
        return Ok(queued);
    }
    let known = history.ids().map_err(io::Error::other)?;
    logs.all().into_iter().filter(|id| !known.contains(id)).for_each(|id| logs.remove(id));
    Ok(queued)
}

/// Returns the specification of a queued run, or the reason why it is canceled, as the continuation
/// of a sentence. The reason is empty if the run was stored without a specification.
fn still_wanted(
    settings: &Settings,
    sealing: &SealingKey,
    record: &Record,
    spec: Option<Vec<u8>>,
) -> Result<RunSpec, String> {
    if record.ending.is_some() {
        return Err(", and its end had been requested".to_owned());
    }
    let spec = spec.ok_or("")?;
    let age = now().duration_since(record.created);
    let limit = settings.limits.queued_max_age;
    if Duration::try_from(age).is_ok_and(|age| age > limit) {
        let limit = limit.as_secs();
        return Err(format!(", and it was accepted more than {limit} s before the next start"));
    }
    sealing
        .unseal(record.id, &spec)
        .map_err(|e| format!(", and its specification cannot be read: {e}"))
}

fn leftovers(runs_dir: &Path) -> io::Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(runs_dir)?.flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.split_once('.')?.0.parse().ok());
        if let (Some(id), true) = (id, entry.path().is_dir()) {
            found.push(Leftover { id, dir: entry.path() });
        }
    }
    Ok(found)
}

/// Ends the remaining processes of a run. Returns whether there were any.
fn end_processes(id: Uuid) -> bool {
    let run_id = id.to_string();
    let any = reaper::any_alive(&run_id);
    if any {
        reaper::end(&run_id, None, &watch::channel(Stop::Gently).1);
    }
    any
}

fn settle(
    settings: &Settings,
    history: &History,
    logs: &LogFiles,
    record: Record,
    leftover: Option<&Leftover>,
    Termination { reported, was_alive }: Termination,
) {
    let (record, outcome) =
        conclude_from_files(settings, logs, record, leftover, reported, was_alive);
    log_settled(&record);
    let result = match outcome {
        Outcome::Finished(ended) => Value::Array(ended.result),
        _ => Value::Null,
    };
    history.upsert(record, result);
}

fn log_settled(record: &Record) {
    tracing::warn!(
        run_id = %record.id, operation = record.operation, state = record.state.name(),
        explanation = record.explanation, "settled a run that an earlier server left unfinished"
    );
}

/// The record of a queued run that does not begin any more.
pub(super) fn conclude_unstarted(mut record: Record, reason: &str) -> Record {
    record.ended = Some(now());
    record.queue = None;
    record.state = RunState::Canceled;
    record.explanation =
        format!("The server stopped before this run started{reason}. Nothing was changed.");
    record.error = Some(record.explanation.clone());
    record
}

/// Decides from the files of the run how it ended.
fn conclude_from_files(
    settings: &Settings,
    logs: &LogFiles,
    mut record: Record,
    leftover: Option<&Leftover>,
    reported: Option<Option<i32>>,
    was_alive: bool,
) -> (Record, Outcome) {
    let mut recorder = resumed_recorder(settings, logs, &record, leftover);
    if let Some(leftover) = leftover {
        let stored = recorder.recorded().counter;
        match JobEvents::read_after(&leftover.artifacts().join("job_events"), stored) {
            Ok(events) => recorder.record(events),
            Err(error) => {
                tracing::error!(run_id = %record.id, %error, "cannot read all job events of the run")
            }
        }
    }
    let complete = recorder.recorded().has_recap;
    let report = recorder.end_playbook();
    record.update(recorder.recorded());
    let last = record.progress.playbook >= record.progress.playbooks;
    let error = report.failure.line(reported.flatten());
    let ended =
        RunResult { result: report.values, log_from: report.log_from, ..RunResult::default() };
    let outcome = match reported {
        Some(Some(0)) if last && complete => {
            Outcome::Finished(RunResult { rc: Some(0), reported: true, ..ended })
        }
        Some(Some(0)) if last => Outcome::Unknown(ExecutionError::NoRecap.to_string()),
        Some(Some(0)) => Outcome::Unknown(
            "the server stopped before all playbooks of the run had started".to_owned(),
        ),
        Some(rc @ Some(_)) => {
            Outcome::Finished(RunResult { rc, error: Some(error), reported: true, ..ended })
        }
        Some(None) | None if was_alive => Outcome::Unknown(
            "the server stopped while the run was in progress, and ended the remaining processes \
             at its next start"
                .to_owned(),
        ),
        Some(None) | None => Outcome::Unknown(
            "the server stopped while the run was in progress, and no processes were left at its \
             next start"
                .to_owned(),
        ),
    };
    let (mut record, outcome) = conclude(record, outcome);
    if record.state == RunState::Succeeded || record.state == RunState::Failed {
        record.explanation.push_str(" The server was not running at that time.");
    }
    (record, outcome)
}

/// Returns a recorder that continues after the last stored job event.
fn resumed_recorder(
    settings: &Settings,
    logs: &LogFiles,
    record: &Record,
    leftover: Option<&Leftover>,
) -> Recorder {
    let secrets = leftover.map(|l| secrets_of(&l.dir)).unwrap_or_default();
    let redaction = secrets::redaction(settings, secrets.iter());
    let log = logs.resume(record.id);
    let mut recorder = Recorder::new(redaction, log, record.progress.playbooks, None);
    let mut offset = LogOffset::default();
    loop {
        match logs.read(record.id, LogKind::JobEvents, offset, u64::MAX, PAGE_BYTES) {
            Ok(page) if page.next.line > offset.line => {
                offset = page.next;
                let stored = page.lines.iter().filter_map(|line| stored_event(line));
                stored.for_each(|(event, playbook)| {
                    recorder.replay(&event, playbook, &record.action)
                });
            }
            _ => break,
        }
    }
    if recorder.recorded().progress.playbook < record.progress.playbook {
        recorder.resume_playbook(record.progress.playbook, &record.action);
    }
    let lines = logs.find(record.id, LogKind::Log, u64::MAX).unwrap_or_default().line;
    recorder.set_log_lines(lines);
    recorder
}

fn stored_event(line: &str) -> Option<(JobEvent, usize)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let playbook = value["playbook"].as_u64()?;
    Some((serde_json::from_value(value).ok()?, usize::try_from(playbook).ok()?))
}

/// Returns the secrets among the extra variables of the run.
fn secrets_of(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("env/extravars")).unwrap_or_default();
    let json = text.strip_prefix(extra_vars::UNSAFE_TAG).unwrap_or_default();
    let variables: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let secret = variables.iter().filter(|(name, _)| is_secret_name(name));
    secret.flat_map(|(_, value)| texts_in(value)).collect()
}
