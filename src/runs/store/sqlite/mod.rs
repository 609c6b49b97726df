//! The history of runs in SQLite: one row per run, written by a single thread.
//!
//! Until it is written, the newest version of a run is pending in memory and read from there. So a
//! locked database or a full disk blocks no run, and costs history only if the server is killed.

mod migrations;
mod open;
mod writer;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::config::Limits;
use crate::runs::log::files::LogFiles;
use crate::runs::record::Record;
use crate::runs::store::sqlite::writer::Writer;
use crate::runs::store::{AcceptedRun, Filter, StoredRun};

/// The most bytes of pending runs, as JSON. Above that the oldest ended ones are dropped.
const MAX_PENDING: usize = 64 * 1024 * 1024;

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

/// Runs to write; `None` deletes the run. A copy shares the runs.
type Batch = BTreeMap<Uuid, Option<Arc<StoredRun>>>;

#[derive(Default)]
struct Pending {
    runs: Batch,
    /// The size of `runs`.
    bytes: usize,
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
        let (connection, removed) = open::open_or_create(&file, limits)?;
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
        names.any(|name| Path::new(&name).extension().is_some_and(open::is_quarantined))
    }

    /// Inserts a run that is being accepted. Returns before it is written, with the version to wait
    /// for with [`History::committed`].
    pub fn insert(&self, record: Record, accepted: AcceptedRun) -> u64 {
        let accepted = Some(Arc::new(accepted));
        self.enqueue(record.id, Some(StoredRun { record, result: Value::Null, accepted }))
    }

    /// Waits until `version` is committed. Returns false if that takes longer than `timeout`.
    pub async fn committed(&self, version: u64, timeout: Duration) -> bool {
        let mut written = self.shared.written.subscribe();
        let committed = written.wait_for(|written| written.version >= version);
        tokio::time::timeout(timeout, committed).await.is_ok_and(|result| result.is_ok())
    }

    /// Inserts or updates a run. Returns before it is written.
    pub fn upsert(&self, record: Record, result: Value) {
        self.enqueue(record.id, Some(StoredRun { record, result, accepted: None }));
    }

    /// Deletes a run and its log files. Returns before that is done.
    pub fn delete(&self, id: Uuid) {
        self.enqueue(id, None);
    }

    fn enqueue(&self, id: Uuid, mut stored: Option<StoredRun>) -> u64 {
        let mut bytes = stored.as_ref().map_or(0, StoredRun::bytes);
        let mut pending = lock(&self.shared.pending);
        pending.version += 1;
        // An update that comes before the run is inserted must not lose what is inserted with it.
        let earlier = pending.remove(id);
        if let (Some(stored @ StoredRun { accepted: None, .. }), Some(earlier)) =
            (&mut stored, earlier)
        {
            stored.accepted.clone_from(&earlier.accepted);
            bytes += stored.accepted.as_ref().map_or(0, |accepted| accepted.bytes());
        }
        pending.bytes += bytes;
        pending.runs.insert(id, stored.map(Arc::new));
        self.shared.wake.notify_one();
        pending.version
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
        let pending = lock(&self.shared.pending).runs.get(&id).cloned();
        if let Some(stored) = pending {
            return Ok(stored.map(Arc::unwrap_or_clone));
        }
        let row = self.connect()?.query_row(
            "SELECT record, result FROM runs WHERE id = ?1",
            [id.to_string()],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        );
        let Some((record, result)) = row.optional()? else { return Ok(None) };
        let result = serde_json::from_str(&result).unwrap_or(Value::Null);
        Ok(parse(&record).map(|record| StoredRun { record, result, accepted: None }))
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
        let pending = lock(&self.shared.pending).runs.clone();
        for (id, stored) in pending {
            newer.insert(id, stored.map(|stored| stored.record.clone()));
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

    /// Returns the stored runs that have not ended, oldest first, with their sealed specification if
    /// they were queued.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the database.
    pub fn unfinished(&self) -> rusqlite::Result<Vec<(Record, Option<Vec<u8>>)>> {
        let connection = self.connect()?;
        let mut statement =
            connection.prepare("SELECT record, spec FROM runs WHERE ended IS NULL ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        rows.filter_map(|row| {
            let parsed = |(text, spec): (String, _)| parse(&text).map(|record| (record, spec));
            row.map(parsed).transpose()
        })
        .collect()
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
        connection.busy_timeout(open::BUSY_TIMEOUT)?;
        Ok(connection)
    }
}

impl Pending {
    /// Removes a run and returns it, unless it was to be deleted.
    fn remove(&mut self, id: Uuid) -> Option<Arc<StoredRun>> {
        let removed = self.runs.remove(&id).flatten()?;
        self.bytes = self.bytes.saturating_sub(removed.bytes());
        Some(removed)
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

fn parse(text: &str) -> Option<Record> {
    serde_json::from_str(text)
        .inspect_err(|error| tracing::error!(%error, "cannot read a row of the run history"))
        .ok()
}

/// Ignores poisoning: each change under the lock is a single step, so a panic leaves no partial one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
