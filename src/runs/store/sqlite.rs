//! The history of runs, in SQLite.
//!
//! One thread writes. What is to be written waits in memory, the newest version of each run
//! only, so that a database which is locked or a disk which is full neither blocks a run nor
//! loses more than a kill of the server would; until it is written it is read from there.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::config::DbConfig;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params, params_from_iter};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::config::Limits;
use crate::runs::log::files::Journals;
use crate::runs::record::Record;
use crate::runs::state::State;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS runs (
        id TEXT PRIMARY KEY, operation TEXT NOT NULL, node TEXT, state TEXT NOT NULL,
        ended INTEGER, record TEXT NOT NULL, result TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS ended ON runs (ended);";

/// The version of the tables, which SQLite keeps.
const SCHEMA_VERSION: i32 = 1;

/// How long another process may keep the database locked before a write counts as failed.
const BUSY: Duration = Duration::from_secs(5);

/// How long a start goes on trying to open a database that is locked.
const LOCKED: Duration = Duration::from_secs(10);

/// The pause before a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Versions that may wait to be written. Past that the oldest ended ones are given up.
const WAITING: usize = 10_000;

/// A run as it is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What is known of it.
    pub record: Record,
    /// The values that it reported.
    pub result: Value,
}

/// Which runs are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In one of these states; in any where there is none.
    pub states: Vec<State>,
    /// Of this operation.
    pub operation: Option<String>,
    /// About this node.
    pub node: Option<String>,
    /// Accepted before this one.
    pub before: Option<Uuid>,
}

impl Filter {
    /// Whether `record` is one of them.
    pub fn fits(&self, record: &Record) -> bool {
        (self.states.is_empty() || self.states.contains(&record.state))
            && self.operation.as_ref().is_none_or(|operation| *operation == record.operation)
            && self.node.as_ref().is_none_or(|node| record.node.as_ref() == Some(node))
            && self.before.is_none_or(|before| record.id < before)
    }
}

/// The history of one data dir.
pub struct History {
    file: PathBuf,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// A write was done or has failed.
    tried: Condvar,
    /// The number of the last version that was written, and what went wrong since.
    written: watch::Sender<Written>,
}

#[derive(Debug, Clone, Default)]
struct Written {
    version: u64,
    error: Option<String>,
}

#[derive(Default)]
struct Waiting {
    /// None means that the run is to be forgotten.
    runs: BTreeMap<Uuid, Option<Kept>>,
    version: u64,
    closed: bool,
}

impl History {
    /// Opens the database, or makes it. A damaged one is put aside, since a server without
    /// its past is better than none.
    pub fn open(file: PathBuf, journals: Journals, limits: &Limits) -> io::Result<Self> {
        let limits = (limits.history_days, limits.history_runs);
        let (connection, gone) = match open_when_free(&file, limits) {
            Err(e) if is_damage(&e) => {
                put_aside(&file, &e)?;
                open_when_free(&file, limits)
            }
            opened => opened,
        }
        .map_err(|e| cannot_open(&file, &e))?;
        gone.into_iter().for_each(|id| journals.remove(id));
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            tried: Condvar::new(),
            written: watch::Sender::new(Written::default()),
        });
        let writer = Writer { connection, shared: shared.clone(), journals, limits };
        let thread = std::thread::Builder::new().name("history".to_owned());
        let writer = Some(thread.spawn(move || writer.work())?);
        Ok(Self { file, shared, writer })
    }

    /// Whether a damaged history lies beside this one, which knows runs that this one does not.
    pub fn has_one_aside(&self) -> bool {
        let Some(folder) = self.file.parent() else { return false };
        // What cannot be looked at is not known to be empty.
        let Ok(entries) = std::fs::read_dir(folder) else { return true };
        let mut names = entries.flatten().map(|entry| entry.file_name());
        names.any(|name| Path::new(&name).extension().is_some_and(is_aside))
    }

    /// Keeps this version of a run. Returns at once.
    pub fn keep(&self, record: Record, result: Value) {
        self.wait_for_writer(record.id, Some(Kept { record, result }));
    }

    /// Forgets a run. Returns at once; its files are removed with its row.
    pub fn forget(&self, id: Uuid) {
        self.wait_for_writer(id, None);
    }

    fn wait_for_writer(&self, id: Uuid, kept: Option<Kept>) {
        let mut waiting = lock(&self.shared.waiting);
        waiting.version += 1;
        waiting.runs.insert(id, kept);
        self.shared.wake.notify_one();
    }

    /// Waits until everything up to now is written, but not longer than `patience`.
    pub async fn written(&self, patience: Duration) {
        let version = lock(&self.shared.waiting).version;
        let mut written = self.shared.written.subscribe();
        let done = written.wait_for(|w| w.version >= version || w.error.is_some());
        let _ = tokio::time::timeout(patience, done).await;
    }

    /// The same for who may block. Answers whether it is written.
    pub fn wait_until_written(&self, patience: Duration) -> bool {
        let waiting = lock(&self.shared.waiting);
        let version = waiting.version;
        let undecided = |_: &mut Waiting| {
            let written = self.shared.written.borrow();
            written.version < version && written.error.is_none()
        };
        let _ = self.shared.tried.wait_timeout_while(waiting, patience, undecided);
        self.shared.written.borrow().version >= version
    }

    /// Why the last write failed, if it did.
    pub fn trouble(&self) -> Option<String> {
        self.shared.written.borrow().error.clone()
    }

    /// One run. Blocks.
    pub fn get(&self, id: Uuid) -> rusqlite::Result<Option<Kept>> {
        if let Some(kept) = lock(&self.shared.waiting).runs.get(&id) {
            return Ok(kept.clone());
        }
        let row = self.connect()?.query_row(
            "SELECT record, result FROM runs WHERE id = ?1",
            [id.to_string()],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        );
        let Some((record, result)) = row.optional()? else { return Ok(None) };
        let result = serde_json::from_str(&result).unwrap_or(Value::Null);
        Ok(parse(&record).map(|record| Kept { record, result }))
    }

    /// The newest runs that fit, at most `count`, and whether there are more. Blocks.
    ///
    /// `live` are runs whose newest version is not here; they take the place of the row.
    pub fn list(
        &self,
        filter: &Filter,
        count: usize,
        live: Vec<Record>,
    ) -> rusqlite::Result<(Vec<Record>, bool)> {
        let mut newer: BTreeMap<Uuid, Option<Record>> = BTreeMap::new();
        for (id, kept) in &lock(&self.shared.waiting).runs {
            newer.insert(*id, kept.as_ref().map(|kept| kept.record.clone()));
        }
        newer.extend(live.into_iter().map(|record| (record.id, Some(record))));
        // Rows that have a newer version may not fit any more: that many more are read.
        let mut rows = self.rows(filter, count + 1 + newer.len())?;
        rows.retain(|record| !newer.contains_key(&record.id));
        rows.extend(newer.into_values().flatten().filter(|record| filter.fits(record)));
        rows.sort_by_key(|record| std::cmp::Reverse(record.id));
        let more = rows.len() > count;
        rows.truncate(count);
        Ok((rows, more))
    }

    /// The runs that have not ended. Blocks.
    pub fn unfinished(&self) -> rusqlite::Result<Vec<Record>> {
        let states = State::ALL.into_iter().filter(|state| !state.is_final()).collect();
        self.rows(&Filter { states, ..Filter::default() }, usize::MAX >> 1)
    }

    /// The runs that are kept. Blocks.
    pub fn ids(&self) -> rusqlite::Result<HashSet<Uuid>> {
        let waiting = lock(&self.shared.waiting).runs.keys().copied().collect::<Vec<_>>();
        let connection = self.connect()?;
        let mut statement = connection.prepare("SELECT id FROM runs")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        let kept = rows.filter_map(|id| id.map(|id| id.parse().ok()).transpose());
        kept.chain(waiting.into_iter().map(Ok)).collect()
    }

    fn rows(&self, filter: &Filter, count: usize) -> rusqlite::Result<Vec<Record>> {
        let mut sql = "SELECT record FROM runs WHERE 1".to_owned();
        let mut values: Vec<Sql> = Vec::new();
        if !filter.states.is_empty() {
            let marks = vec!["?"; filter.states.len()].join(", ");
            sql.push_str(&format!(" AND state IN ({marks})"));
            values.extend(filter.states.iter().map(|state| Sql::from(state.name().to_owned())));
        }
        let before = filter.before.map(|id| id.to_string());
        for (condition, value) in [
            (" AND operation = ?", &filter.operation),
            (" AND node = ?", &filter.node),
            (" AND id < ?", &before),
        ] {
            if let Some(value) = value {
                sql.push_str(condition);
                values.push(Sql::from(value.clone()));
            }
        }
        sql.push_str(" ORDER BY id DESC LIMIT ?");
        values.push(Sql::from(i64::try_from(count).unwrap_or(i64::MAX)));
        let connection = self.connect()?;
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(0))?;
        rows.filter_map(|row| row.map(|text| parse(&text)).transpose()).collect()
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.file)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    }
}

impl Drop for History {
    /// Everything that can be written is written before the server ends.
    fn drop(&mut self) {
        lock(&self.shared.waiting).closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    journals: Journals,
    /// Days and runs that are kept.
    limits: (u32, u32),
}

impl Writer {
    fn work(mut self) {
        loop {
            let (runs, version, closed) = self.next();
            if runs.is_empty() && closed {
                return;
            }
            match self.write(&runs) {
                Ok(gone) => {
                    gone.into_iter().for_each(|id| self.journals.remove(id));
                    self.shared.written.send_replace(Written { version, error: None });
                    self.tell();
                }
                Err(e) => {
                    self.failed(runs, &e);
                    self.tell();
                    if closed {
                        return;
                    }
                    std::thread::sleep(AGAIN);
                }
            }
        }
    }

    /// Waits for something to write. It stays readable until it is written.
    fn next(&self) -> (BTreeMap<Uuid, Option<Kept>>, u64, bool) {
        let mut waiting = lock(&self.shared.waiting);
        let written = self.shared.written.borrow().version;
        while waiting.version == written && !waiting.closed {
            waiting = self.shared.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        (waiting.runs.clone(), waiting.version, waiting.closed)
    }

    /// Writes all of it or nothing, and answers the runs that are no longer kept.
    fn write(&mut self, runs: &BTreeMap<Uuid, Option<Kept>>) -> rusqlite::Result<Vec<Uuid>> {
        let transaction = self.connection.transaction()?;
        let mut gone = Vec::new();
        for (id, kept) in runs {
            match kept {
                Some(kept) => put(&transaction, kept)?,
                None => {
                    transaction.execute("DELETE FROM runs WHERE id = ?1", [id.to_string()])?;
                    gone.push(*id);
                }
            }
        }
        if runs.values().flatten().any(|kept| kept.record.ended.is_some()) {
            gone.extend(prune(&transaction, self.limits)?);
        }
        transaction.commit()?;
        let mut waiting = lock(&self.shared.waiting);
        // A version that came meanwhile stays.
        waiting.runs.retain(|id, kept| match (runs.get(id), kept) {
            (Some(None), None) => false,
            (Some(Some(written)), Some(kept)) => !same_version(written, kept),
            _ => true,
        });
        Ok(gone)
    }

    /// Under the lock, so that nobody who has just looked misses it.
    fn tell(&self) {
        let _waiting = lock(&self.shared.waiting);
        self.shared.tried.notify_all();
    }

    fn failed(&self, runs: BTreeMap<Uuid, Option<Kept>>, error: &rusqlite::Error) {
        let reason = format!("the run history cannot be written: {error}");
        let known = self.shared.written.borrow().error.as_ref() == Some(&reason);
        if !known {
            tracing::error!(error = %error, waiting = runs.len(), "the run history cannot be written");
        }
        self.shared.written.send_modify(|written| written.error = Some(reason));
        let mut waiting = lock(&self.shared.waiting);
        while waiting.runs.len() > WAITING {
            let ended =
                |kept: &Option<Kept>| kept.as_ref().is_none_or(|k| k.record.ended.is_some());
            let oldest = waiting.runs.iter().find(|(_, kept)| ended(kept)).map(|(id, _)| *id);
            match oldest {
                Some(id) => waiting.runs.remove(&id),
                None => break,
            };
        }
    }
}

/// Versions of a run differ in their state, their place in its playbooks, why they are to be
/// ended, or their end.
fn same_version(a: &Kept, b: &Kept) -> bool {
    let key = |kept: &Kept| {
        let Record { state, ended, ending, progress, .. } = &kept.record;
        (*state, *ended, *ending, progress.playbook)
    };
    key(a) == key(b)
}

fn put(connection: &Connection, Kept { record, result }: &Kept) -> rusqlite::Result<()> {
    let text = serde_json::to_string(record).unwrap_or_default();
    connection.execute(
        "INSERT INTO runs (id, operation, node, state, ended, record, result)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET state = ?4, ended = ?5, record = ?6, result = ?7",
        params![
            record.id.to_string(),
            record.operation,
            record.node,
            record.state.name(),
            record.ended.map(Timestamp::as_second),
            text,
            result.to_string(),
        ],
    )?;
    Ok(())
}

/// Forgets what is too old or too many, the runs that ended first. Runs that have not ended are
/// never among it.
fn prune(connection: &Connection, (days, runs): (u32, u32)) -> rusqlite::Result<Vec<Uuid>> {
    let age = SignedDuration::from_hours(24 * i64::from(days));
    let oldest = Timestamp::now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut statement = connection.prepare_cached(
        "DELETE FROM runs WHERE ended < ?1 OR id IN (
             SELECT id FROM runs WHERE ended IS NOT NULL
             ORDER BY ended DESC, id DESC LIMIT -1 OFFSET ?2
         ) RETURNING id",
    )?;
    let rows =
        statement.query_map(params![oldest.as_second(), runs], |row| row.get::<_, String>(0))?;
    rows.filter_map(|id| id.map(|id| id.parse().ok()).transpose()).collect()
}

/// Opens the database, if need be after another process has let go of it.
fn open_when_free(file: &Path, limits: (u32, u32)) -> rusqlite::Result<(Connection, Vec<Uuid>)> {
    let begun = Instant::now();
    loop {
        match open_and_check(file, limits) {
            Err(e) if is_locked(&e) && begun.elapsed() < LOCKED => {
                tracing::warn!("the run history is locked by another process: trying again");
                // A lock can be refused at once, and tells nobody when it ends.
                std::thread::sleep(AGAIN);
            }
            opened => return opened,
        }
    }
}

fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn cannot_open(file: &Path, error: &rusqlite::Error) -> io::Error {
    let file = file.display();
    let reason = match is_locked(error) {
        true => format!("the run history {file} is locked by another process"),
        false => format!("the run history {file} cannot be opened: {error}"),
    };
    io::Error::other(reason)
}

/// Opens the database and reads all that a start reads, so that damage is met here, where the
/// database can still be put aside. Answers the runs that are no longer kept, too.
fn open_and_check(file: &Path, limits: (u32, u32)) -> rusqlite::Result<(Connection, Vec<Uuid>)> {
    let connection = open(file)?;
    // A damaged database stays as it was found: closing it must not write into it.
    let stays = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(stays, true)?;
    // What is not forgotten now is forgotten at the next end of a run.
    let gone = prune(&connection, limits).or_else(|error| match is_damage(&error) {
        true => Err(error),
        false => {
            tracing::warn!(%error, "old runs cannot be forgotten now");
            Ok(Vec::new())
        }
    })?;
    let read_all = "SELECT max(id), max(state), max(record) FILTER (WHERE ended IS NULL) FROM runs";
    connection.query_row(read_all, [], |_| Ok(()))?;
    connection.set_db_config(stays, false)?;
    Ok((connection, gone))
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // Nothing is written where there is nothing to change: the disk may be full, or the database
    // locked by somebody who copies it.
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != SCHEMA_VERSION {
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    Ok(connection)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// How the extension of a database that was put aside begins.
const ASIDE: &str = "damaged-";

fn is_aside(extension: &OsStr) -> bool {
    extension.to_string_lossy().starts_with(ASIDE)
}

/// Renames the database with the files that belong to it: its newest rows may be in the one that
/// is named `-wal`, and SQLite finds that by its name.
fn put_aside(file: &Path, error: &rusqlite::Error) -> io::Result<()> {
    let aside = file.with_extension(format!("{ASIDE}{}", Timestamp::now().as_millisecond()));
    tracing::error!(%error, aside = %aside.display(), "the run history is damaged: a new one is begun");
    for suffix in ["-wal", "-shm"] {
        let named = |file: &Path| {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        match std::fs::rename(named(file), named(&aside)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    std::fs::rename(file, aside)
}

fn parse(text: &str) -> Option<Record> {
    serde_json::from_str(text)
        .inspect_err(|error| tracing::error!(%error, "a row of the run history cannot be read"))
        .ok()
}

/// What the lock protects is whole after a panic too: every change of it is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runs::record::{HostCounts, Progress};

    fn ended(second: i64) -> Kept {
        let record = json!({
            "id": Uuid::now_v7(), "operation": "o", "node": null, "guests": [], "consumer": null,
            "state": "succeeded", "explanation": "", "queue": null,
            "created": "2026-03-01T09:15:00Z", "started": null,
            "ended": Timestamp::from_second(second).unwrap(), "rc": 0, "error": null,
            "hosts": HostCounts::default(), "progress": Progress::default(), "log_lines": 0,
            "job_events": 0, "log_gap": null, "ending": null, "action": null,
        });
        Kept { record: serde_json::from_value(record).unwrap(), result: Value::Null }
    }

    #[test]
    fn the_runs_that_ended_first_are_forgotten_first() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder.path().join("history.sqlite3")).unwrap();
        let now = Timestamp::now().as_second();
        let [long, first, second] = [now, now - 20, now - 10].map(ended);
        [&long, &first, &second].into_iter().for_each(|kept| put(&connection, kept).unwrap());
        assert_eq!(prune(&connection, (1, 2)).unwrap(), [first.record.id]);
    }
}
