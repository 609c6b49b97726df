//! What a server that was killed left behind, settled before the next one serves.
//!
//! A run that was at work is ended, or, where it has ended meanwhile, read to its end from the
//! directory it left. Nothing stays `running` for ever, and no directory stays at all.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;
use uuid::Uuid;

use crate::ansible::events::JobEvent;
use crate::ansible::execution::reported_rc;
use crate::ansible::extra_vars;
use crate::ansible::job_events::JobEvents;
use crate::ansible::reaper;
use crate::ansible::reaper::Stop;
use crate::config::Settings;
use crate::redaction::{is_secret_name, texts_in};
use crate::runs::lifecycle::concluded;
use crate::runs::log::files::{Journals, Mark, Part};
use crate::runs::record::Record;
use crate::runs::recorder::Recorder;
use crate::runs::secrets;
use crate::runs::store::sqlite::History;
use crate::runs::{Ended, Outcome, State};

/// A file in the directory of a run that says that a server ended what was at work there: a
/// code that its runner reported after that is not its own.
const ENDED_BY_US: &str = "ended-by-the-server";

/// A file in the directory of a run with what is known of it, for a history that could not be
/// written while the run was at work.
const RECORD: &str = "record.json";

/// How long a start waits until what it settled is written.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many bytes of job events are read at once.
const PAGE: usize = 1024 * 1024;

/// Leaves word in the directory of a run whose run it is.
pub(super) fn leave_word(dir: &Path, record: &Record) -> io::Result<()> {
    fs::write(dir.join(RECORD), serde_json::to_vec(record)?)
}

/// The directory of a run that nobody took away.
struct Leftover {
    id: Uuid,
    dir: PathBuf,
}

impl Leftover {
    fn artifacts(&self) -> PathBuf {
        self.dir.join("artifacts").join(self.id.to_string())
    }

    /// The code that was reported before anybody ended the run.
    fn reported(&self) -> Option<Option<i32>> {
        let ours = self.dir.join(ENDED_BY_US).exists();
        (!ours).then(|| reported_rc(&self.artifacts())).flatten()
    }

    fn record(&self) -> Option<Record> {
        let record: Record = serde_json::from_slice(&fs::read(self.dir.join(RECORD)).ok()?).ok()?;
        (record.id == self.id).then_some(record)
    }

    /// Ends what is left of the run at work, and leaves word of that for another start, which
    /// may have to judge the run.
    fn end(&self) -> LeftEnd {
        // Looked at first: ending a playbook makes its runner write a code that is not its own.
        let reported = self.reported();
        let was_alive = reaper::any_alive(&self.id.to_string());
        if was_alive && reported.is_none() {
            let marked = fs::write(self.dir.join(ENDED_BY_US), "");
            if let Err(error) = marked {
                tracing::error!(run_id = %self.id, %error, "that the run is ended cannot be noted");
            }
        }
        end_processes(self.id);
        LeftEnd { reported, was_alive }
    }
}

/// How a run was found.
#[derive(Clone, Copy)]
struct LeftEnd {
    /// The code that it had reported itself.
    reported: Option<Option<i32>>,
    /// Whether it was still at work, and was ended.
    was_alive: bool,
}

impl LeftEnd {
    fn without_directory(id: Uuid) -> Self {
        Self { reported: None, was_alive: end_processes(id) }
    }
}

/// Ends what earlier runs left at work, where there is no history to settle them in.
pub(super) fn end_all_left(runs_dir: &Path) {
    match leftovers(runs_dir) {
        Ok(leftovers) => leftovers.iter().for_each(|leftover| {
            leftover.end();
        }),
        Err(error) => tracing::error!(%error, "earlier runs cannot be looked for"),
    }
}

/// Settles everything an earlier server left. The caller holds the lock of the data dir, so
/// nothing of it belongs to a server that is alive.
pub(super) fn recover(
    settings: &Settings,
    history: &History,
    journals: &Journals,
) -> io::Result<()> {
    let mut unfinished = history.unfinished().map_err(io::Error::other)?;
    let known = history.ids().map_err(io::Error::other)?;
    let leftovers = leftovers(&settings.runs_dir)?;
    // The history does not know all of them, where it could not be written.
    let unknown = leftovers.iter().filter(|leftover| !known.contains(&leftover.id));
    unfinished.extend(unknown.filter_map(Leftover::record));
    let ends: Vec<LeftEnd> = leftovers.iter().map(Leftover::end).collect();
    let unsettled: HashSet<Uuid> = unfinished.iter().map(|record| record.id).collect();
    for record in unfinished {
        let left = leftovers.iter().zip(&ends).find(|(leftover, _)| leftover.id == record.id);
        let (leftover, end) = left.unzip();
        let end = end.copied().unwrap_or_else(|| LeftEnd::without_directory(record.id));
        settle(settings, history, journals, record, leftover, end);
    }
    // What a run left is all there is to judge it by, until the judgement is written.
    let written = history.wait_until_written(PATIENCE);
    for Leftover { id, dir } in &leftovers {
        if !written && unsettled.contains(id) {
            tracing::error!(run_id = %id, "its directory stays, since its end cannot be written");
            continue;
        }
        match fs::remove_dir_all(dir) {
            Ok(()) => tracing::info!(run_id = %id, "the directory of an earlier run was removed"),
            Err(error) => {
                tracing::error!(run_id = %id, %error, dir = %dir.display(), "a run directory stays");
            }
        }
    }
    if history.has_one_aside() {
        tracing::warn!("the logs of the runs stay as long as the damaged history lies beside");
        return Ok(());
    }
    let known = history.ids().map_err(io::Error::other)?;
    journals.all().into_iter().filter(|id| !known.contains(id)).for_each(|id| journals.remove(id));
    Ok(())
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

/// Ends what is left of a run at work, and answers whether anything was.
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
    journals: &Journals,
    record: Record,
    leftover: Option<&Leftover>,
    LeftEnd { reported, was_alive }: LeftEnd,
) {
    let never_begun = record.state == State::Queued && leftover.is_none() && !was_alive;
    let (record, outcome) = if never_begun {
        never_begun_end(record)
    } else {
        read_end(settings, journals, record, leftover, reported, was_alive)
    };
    tracing::warn!(
        run_id = %record.id, operation = record.operation, state = record.state.name(),
        explanation = record.explanation, "an earlier server left this run unfinished"
    );
    let result = match outcome {
        Outcome::Ended(ended) => Value::Array(ended.result),
        _ => Value::Null,
    };
    history.keep(record, result);
}

fn never_begun_end(mut record: Record) -> (Record, Outcome) {
    record.ended = Some(crate::runs::record::now());
    record.queue = None;
    record.state = State::Canceled;
    record.explanation = "The server ended before this run was begun. Nothing was done.".to_owned();
    record.error = Some(record.explanation.clone());
    (record, Outcome::Ended(Ended::default()))
}

/// Reads what the run left, and judges by it.
fn read_end(
    settings: &Settings,
    journals: &Journals,
    mut record: Record,
    leftover: Option<&Leftover>,
    reported: Option<Option<i32>>,
    was_alive: bool,
) -> (Record, Outcome) {
    let mut recorder = resumed(settings, journals, &record, leftover);
    if let Some(leftover) = leftover {
        let stored = recorder.seen().counter;
        match JobEvents::read_after(&leftover.artifacts().join("job_events"), stored) {
            Ok(events) => recorder.take(events),
            Err(error) => tracing::error!(run_id = %record.id, %error, "not all could be read"),
        }
    }
    let complete = recorder.seen().recap;
    let report = recorder.end_playbook();
    record.learn(recorder.seen());
    let last = record.progress.playbook >= record.progress.playbooks;
    let error = report.failure.line(reported.flatten());
    let ended = Ended { result: report.values, log_from: report.log_from, ..Ended::default() };
    let outcome = match reported {
        Some(Some(0)) if last && complete => {
            Outcome::Ended(Ended { rc: Some(0), reported: true, ..ended })
        }
        Some(Some(0)) => Outcome::Unclear(
            "the server ended, and of the playbooks of this run only the first ones were done"
                .to_owned(),
        ),
        Some(rc @ Some(_)) => {
            Outcome::Ended(Ended { rc, error: Some(error), reported: true, ..ended })
        }
        Some(None) | None if was_alive => Outcome::Unclear(
            "the server ended while it was at work. At the next start its processes were ended"
                .to_owned(),
        ),
        Some(None) | None => Outcome::Unclear(
            "the server ended while it was at work, and its processes were gone at the next start"
                .to_owned(),
        ),
    };
    let (mut record, outcome) = concluded(record, outcome);
    if record.state == State::Succeeded || record.state == State::Failed {
        record.explanation.push_str(" The server was away at that time.");
    }
    (record, outcome)
}

/// A recorder that knows what was kept of a run, and goes on where that ends.
fn resumed(
    settings: &Settings,
    journals: &Journals,
    record: &Record,
    leftover: Option<&Leftover>,
) -> Recorder {
    let secrets = leftover.map(|l| secrets_of(&l.dir)).unwrap_or_default();
    let redaction = secrets::redaction(settings, &secrets);
    let journal = journals.resume(record.id);
    let mut recorder = Recorder::new(redaction, journal, record.progress.playbooks, None);
    let mut mark = Mark::default();
    loop {
        match journals.read(record.id, Part::JobEvents, mark, u64::MAX, PAGE) {
            Ok(page) if page.next.line > mark.line => {
                mark = page.next;
                let kept = page.lines.iter().filter_map(|line| kept_event(line));
                kept.for_each(|(event, playbook)| {
                    recorder.recall(&event, playbook, &record.action)
                });
            }
            _ => break,
        }
    }
    if recorder.seen().progress.playbook < record.progress.playbook {
        recorder.recall_playbook(record.progress.playbook, &record.action);
    }
    let lines = journals.find(record.id, Part::Log, u64::MAX).unwrap_or_default().line;
    recorder.recall_lines(lines);
    recorder
}

fn kept_event(line: &str) -> Option<(JobEvent, usize)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let playbook = value["playbook"].as_u64()?;
    Some((serde_json::from_value(value).ok()?, usize::try_from(playbook).ok()?))
}

/// The secrets among the variables of the run.
fn secrets_of(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("env/extravars")).unwrap_or_default();
    let json = text.strip_prefix(extra_vars::UNSAFE_TAG).unwrap_or_default();
    let variables: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let secret = variables.iter().filter(|(name, _)| is_secret_name(name));
    secret.flat_map(|(_, value)| texts_in(value)).collect()
}
