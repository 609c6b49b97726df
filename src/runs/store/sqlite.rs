//! The history of runs in SQLite: one row per run, written by a single thread.
//!
//! Until it is written, the newest version of a run is pending in memory and read from there. So a
//! locked database or a full disk blocks no run, and costs history only if the server is killed.

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
use crate::runs::log::files::LogFiles;
use crate::runs::record::Record;
use crate::runs::state::RunState;
use crate::runs::store::{Filter, StoredRun};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS runs (
        id TEXT PRIMARY KEY, operation TEXT NOT NULL, node TEXT, state TEXT NOT NULL,
        ended INTEGER, record TEXT NOT NULL, result TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS ended ON runs (ended);";

/// The schema version, stored as SQLite's `user_version`.
const SCHEMA_VERSION: i32 = 1;

/// How long a statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a start retries to open a locked database.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The interval between attempts to write, or to open a locked database.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The most pending runs. Above that the oldest ended ones are dropped.
const MAX_PENDING: usize = 10_000;

/// The history of runs in one data dir.
pub struct History {
    file: PathBuf,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    /// Notified after each attempt to write.
    attempted: Condvar,
    /// The result of the last attempt to write.
    written: watch::Sender<WriteState>,
}

#[derive(Debug, Clone, Default)]
struct WriteState {
    /// The newest version that is written.
    version: u64,
    /// Why the last attempt failed, if it did.
    error: Option<String>,
}

#[derive(Default)]
struct Pending {
    /// `None` deletes the run.
    runs: BTreeMap<Uuid, Option<StoredRun>>,
    /// Incremented with each change.
    version: u64,
    closed: bool,
}

impl History {
    /// Opens the database, creates it if necessary, and prunes it. A damaged database is quarantined
    /// and replaced by an empty one, so that the server can start.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened, quarantined or created.
    ///
    /// # Blocking
    ///
    /// Reads and writes files, and retries for a while if another process holds a lock.
    pub fn open(file: PathBuf, logs: LogFiles, limits: &Limits) -> io::Result<Self> {
        let limits = (limits.history_days, limits.history_runs);
        let (connection, removed) = match open_with_retry(&file, limits) {
            Err(e) if is_corruption(&e) => {
                quarantine(&file, &e)?;
                open_with_retry(&file, limits)
            }
            opened => opened,
        }
        .map_err(|e| cannot_open(&file, &e))?;
        removed.into_iter().for_each(|id| logs.remove(id));
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            wake: Condvar::new(),
            attempted: Condvar::new(),
            written: watch::Sender::new(WriteState::default()),
        });
        let writer = Writer { connection, shared: shared.clone(), logs, limits };
        let thread = std::thread::Builder::new().name("history".to_owned());
        let writer = Some(thread.spawn(move || writer.work())?);
        Ok(Self { file, shared, writer })
    }

    /// Whether the data dir has a quarantined database, which may hold runs that this one does not.
    ///
    /// # Blocking
    ///
    /// Reads the data dir.
    pub fn has_quarantined(&self) -> bool {
        let Some(folder) = self.file.parent() else { return false };
        // A folder that cannot be read may have one.
        let Ok(entries) = std::fs::read_dir(folder) else { return true };
        let mut names = entries.flatten().map(|entry| entry.file_name());
        names.any(|name| Path::new(&name).extension().is_some_and(is_quarantined))
    }

    /// Inserts or updates a run. Returns before it is written.
    pub fn upsert(&self, record: Record, result: Value) {
        self.enqueue(record.id, Some(StoredRun { record, result }));
    }

    /// Deletes a run and its log files. Returns before that is done.
    pub fn delete(&self, id: Uuid) {
        self.enqueue(id, None);
    }

    fn enqueue(&self, id: Uuid, stored: Option<StoredRun>) {
        let mut pending = lock(&self.shared.pending);
        pending.version += 1;
        pending.runs.insert(id, stored);
        self.shared.wake.notify_one();
    }

    /// Waits until all pending runs are written, a write fails, or `timeout` is over.
    pub async fn flush(&self, timeout: Duration) {
        let version = lock(&self.shared.pending).version;
        let mut written = self.shared.written.subscribe();
        let done = written.wait_for(|w| w.version >= version || w.error.is_some());
        let _ = tokio::time::timeout(timeout, done).await;
    }

    /// Waits like [`History::flush`], and returns whether all runs are written.
    ///
    /// # Blocking
    ///
    /// For at most `timeout`.
    pub fn flush_blocking(&self, timeout: Duration) -> bool {
        let pending = lock(&self.shared.pending);
        let version = pending.version;
        let is_pending = |_: &mut Pending| {
            let written = self.shared.written.borrow();
            written.version < version && written.error.is_none()
        };
        let _ = self.shared.attempted.wait_timeout_while(pending, timeout, is_pending);
        self.shared.written.borrow().version >= version
    }

    /// Why the last write failed, if it did.
    pub fn write_error(&self) -> Option<String> {
        self.shared.written.borrow().error.clone()
    }

    /// Returns a run.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the database.
    pub fn get(&self, id: Uuid) -> rusqlite::Result<Option<StoredRun>> {
        if let Some(stored) = lock(&self.shared.pending).runs.get(&id) {
            return Ok(stored.clone());
        }
        let row = self.connect()?.query_row(
            "SELECT record, result FROM runs WHERE id = ?1",
            [id.to_string()],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        );
        let Some((record, result)) = row.optional()? else { return Ok(None) };
        let result = serde_json::from_str(&result).unwrap_or(Value::Null);
        Ok(parse(&record).map(|record| StoredRun { record, result }))
    }

    /// Returns the newest runs that match `filter`, at most `count`, and whether there are more.
    ///
    /// The records in `active` replace the stored versions of these runs.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the database.
    pub fn list(
        &self,
        filter: &Filter,
        count: usize,
        active: Vec<Record>,
    ) -> rusqlite::Result<(Vec<Record>, bool)> {
        let mut newer: BTreeMap<Uuid, Option<Record>> = BTreeMap::new();
        for (id, stored) in &lock(&self.shared.pending).runs {
            newer.insert(*id, stored.as_ref().map(|stored| stored.record.clone()));
        }
        newer.extend(active.into_iter().map(|record| (record.id, Some(record))));
        // The newer version of a row may not match any more, so as many more rows are read.
        let mut rows = self.rows(filter, count + 1 + newer.len())?;
        rows.retain(|record| !newer.contains_key(&record.id));
        rows.extend(newer.into_values().flatten().filter(|record| filter.matches(record)));
        rows.sort_by_key(|record| std::cmp::Reverse(record.id));
        let more = rows.len() > count;
        rows.truncate(count);
        Ok((rows, more))
    }

    /// Returns the stored runs that have not ended.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the database.
    pub fn unfinished(&self) -> rusqlite::Result<Vec<Record>> {
        let states = RunState::ALL.into_iter().filter(|state| !state.is_final()).collect();
        self.rows(&Filter { states, ..Filter::default() }, usize::MAX >> 1)
    }

    /// Returns the ids of all runs.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the database.
    pub fn ids(&self) -> rusqlite::Result<HashSet<Uuid>> {
        let pending = lock(&self.shared.pending).runs.keys().copied().collect::<Vec<_>>();
        let connection = self.connect()?;
        let mut statement = connection.prepare("SELECT id FROM runs")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        let stored = rows.filter_map(|id| id.map(|id| id.parse().ok()).transpose());
        stored.chain(pending.into_iter().map(Ok)).collect()
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
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }
}

impl Drop for History {
    /// Writes the pending runs, if possible.
    fn drop(&mut self) {
        lock(&self.shared.pending).closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    logs: LogFiles,
    /// The most days and the most ended runs to keep.
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
                Ok(removed) => {
                    removed.into_iter().for_each(|id| self.logs.remove(id));
                    self.shared.written.send_replace(WriteState { version, error: None });
                    self.notify_waiters();
                }
                Err(e) => {
                    self.failed(runs, &e);
                    self.notify_waiters();
                    if closed {
                        return;
                    }
                    std::thread::sleep(RETRY_INTERVAL);
                }
            }
        }
    }

    /// Waits for pending runs and returns a copy, as they remain readable until they are written.
    fn next(&self) -> (BTreeMap<Uuid, Option<StoredRun>>, u64, bool) {
        let mut pending = lock(&self.shared.pending);
        let written = self.shared.written.borrow().version;
        while pending.version == written && !pending.closed {
            pending = self.shared.wake.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        (pending.runs.clone(), pending.version, pending.closed)
    }

    /// Writes `runs` in one transaction and prunes. Returns the runs that were deleted.
    fn write(&mut self, runs: &BTreeMap<Uuid, Option<StoredRun>>) -> rusqlite::Result<Vec<Uuid>> {
        let transaction = self.connection.transaction()?;
        let mut removed = Vec::new();
        for (id, stored) in runs {
            match stored {
                Some(stored) => upsert_row(&transaction, stored)?,
                None => {
                    transaction.execute("DELETE FROM runs WHERE id = ?1", [id.to_string()])?;
                    removed.push(*id);
                }
            }
        }
        if runs.values().flatten().any(|stored| stored.record.ended.is_some()) {
            removed.extend(prune(&transaction, self.limits)?);
        }
        transaction.commit()?;
        let mut pending = lock(&self.shared.pending);
        // A version that was added in the meantime remains pending.
        pending.runs.retain(|id, stored| match (runs.get(id), stored) {
            (Some(None), None) => false,
            (Some(Some(written)), Some(stored)) => !same_version(written, stored),
            _ => true,
        });
        Ok(removed)
    }

    /// Takes the lock, so that a waiter cannot miss the notification between its check and its wait.
    fn notify_waiters(&self) {
        let _pending = lock(&self.shared.pending);
        self.shared.attempted.notify_all();
    }

    fn failed(&self, runs: BTreeMap<Uuid, Option<StoredRun>>, error: &rusqlite::Error) {
        let reason = format!("the run history cannot be written: {error}");
        let known = self.shared.written.borrow().error.as_ref() == Some(&reason);
        if !known {
            tracing::error!(error = %error, pending = runs.len(), "the run history cannot be written");
        }
        self.shared.written.send_modify(|written| written.error = Some(reason));
        let mut pending = lock(&self.shared.pending);
        while pending.runs.len() > MAX_PENDING {
            let ended = |stored: &Option<StoredRun>| {
                stored.as_ref().is_none_or(|k| k.record.ended.is_some())
            };
            let oldest = pending.runs.iter().find(|(_, stored)| ended(stored)).map(|(id, _)| *id);
            match oldest {
                Some(id) => pending.runs.remove(&id),
                None => break,
            };
        }
    }
}

/// Whether two versions of a run are the same. Later versions differ in at least one of these
/// members.
fn same_version(a: &StoredRun, b: &StoredRun) -> bool {
    let key = |stored: &StoredRun| {
        let Record { state, ended, ending, progress, .. } = &stored.record;
        (*state, *ended, *ending, progress.playbook)
    };
    key(a) == key(b)
}

fn upsert_row(
    connection: &Connection,
    StoredRun { record, result }: &StoredRun,
) -> rusqlite::Result<()> {
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

/// Deletes runs that ended more than `days` ago, and all but the `runs` that ended last. Active runs
/// are never deleted. Returns the deleted runs.
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

/// Opens the database, and retries while another process holds a lock.
fn open_with_retry(file: &Path, limits: (u32, u32)) -> rusqlite::Result<(Connection, Vec<Uuid>)> {
    let started = Instant::now();
    loop {
        match open_and_check(file, limits) {
            Err(e) if is_locked(&e) && started.elapsed() < OPEN_TIMEOUT => {
                tracing::warn!("the run history is locked by another process, retrying");
                // SQLite may report a lock without waiting, and does not notify when it is released.
                std::thread::sleep(RETRY_INTERVAL);
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

/// Opens and prunes the database, and reads all that a start reads, so that damage is found while
/// the database can still be quarantined. Returns the pruned runs, too.
fn open_and_check(file: &Path, limits: (u32, u32)) -> rusqlite::Result<(Connection, Vec<Uuid>)> {
    let connection = open(file)?;
    // Closing a damaged database must not write to it.
    let no_checkpoint = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(no_checkpoint, true)?;
    // After a failure, the next end of a run prunes again.
    let removed = prune(&connection, limits).or_else(|error| match is_corruption(&error) {
        true => Err(error),
        false => {
            tracing::warn!(%error, "cannot prune the run history now");
            Ok(Vec::new())
        }
    })?;
    let read_all = "SELECT max(id), max(state), max(record) FILTER (WHERE ended IS NULL) FROM runs";
    connection.query_row(read_all, [], |_| Ok(()))?;
    connection.set_db_config(no_checkpoint, false)?;
    Ok((connection, removed))
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // Nothing is written unless the schema changes: the disk may be full, or a backup may have
    // locked the database.
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != SCHEMA_VERSION {
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    Ok(connection)
}

fn is_corruption(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// The prefix of the extension of a quarantined database.
const QUARANTINE_PREFIX: &str = "damaged-";

fn is_quarantined(extension: &OsStr) -> bool {
    extension.to_string_lossy().starts_with(QUARANTINE_PREFIX)
}

/// Renames a damaged database and its `-wal` and `-shm` files. The newest rows may be in the `-wal`
/// file, which SQLite finds by its name.
fn quarantine(file: &Path, error: &rusqlite::Error) -> io::Result<()> {
    let target =
        file.with_extension(format!("{QUARANTINE_PREFIX}{}", Timestamp::now().as_millisecond()));
    tracing::error!(%error, file = %target.display(), "the run history is damaged: it was quarantined, a new one is created");
    for suffix in ["-wal", "-shm"] {
        let named = |file: &Path| {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        match std::fs::rename(named(file), named(&target)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    std::fs::rename(file, target)
}

fn parse(text: &str) -> Option<Record> {
    serde_json::from_str(text)
        .inspect_err(|error| tracing::error!(%error, "cannot read a row of the run history"))
        .ok()
}

/// Ignores poisoning: each change under the lock is a single step, so a panic leaves no partial one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runs::record::{HostCounts, Progress};

    fn ended(second: i64) -> StoredRun {
        let record = json!({
            "id": Uuid::now_v7(), "operation": "o", "node": null, "guests": [], "consumer": null,
            "state": "succeeded", "explanation": "", "queue": null,
            "created": "2026-03-01T09:15:00Z", "started": null,
            "ended": Timestamp::from_second(second).unwrap(), "rc": 0, "error": null,
            "hosts": HostCounts::default(), "progress": Progress::default(), "log_lines": 0,
            "job_events": 0, "log_gap": null, "ending": null, "action": null,
        });
        StoredRun { record: serde_json::from_value(record).unwrap(), result: Value::Null }
    }

    #[test]
    fn the_runs_that_ended_first_are_pruned_first() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder.path().join("history.sqlite3")).unwrap();
        let now = Timestamp::now().as_second();
        let [long, first, second] = [now, now - 20, now - 10].map(ended);
        [&long, &first, &second]
            .into_iter()
            .for_each(|stored| upsert_row(&connection, stored).unwrap());
        assert_eq!(prune(&connection, (1, 2)).unwrap(), [first.record.id]);
    }
}
