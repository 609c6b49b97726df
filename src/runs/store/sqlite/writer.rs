//! The thread that writes the history.

use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::runs::log::files::LogFiles;
use crate::runs::state::RunState;
use crate::runs::store::StoredRun;
use crate::runs::store::sqlite::open::RETRY_INTERVAL;
use crate::runs::store::sqlite::{Batch, MAX_PENDING, Shared, WriteState, lock};

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) logs: LogFiles,
    /// The most days and the most ended runs to keep.
    pub(super) limits: (u32, u32),
}

impl Writer {
    pub(super) fn work(mut self) {
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
    fn next(&self) -> (Batch, u64, bool) {
        let mut pending = lock(&self.shared.pending);
        let written = self.shared.written.borrow().version;
        while pending.version == written && !pending.closed {
            pending = self.shared.wake.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        (pending.runs.clone(), pending.version, pending.closed)
    }

    /// Writes `runs` in one transaction and prunes. Returns the runs that were deleted.
    fn write(&mut self, runs: &Batch) -> rusqlite::Result<Vec<Uuid>> {
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
        for (id, written) in runs {
            let is_written = match (written, pending.runs.get(id)) {
                (None, Some(None)) => true,
                (Some(written), Some(Some(newest))) => Arc::ptr_eq(written, newest),
                _ => false,
            };
            if is_written {
                pending.remove(*id);
            }
        }
        Ok(removed)
    }

    /// Takes the lock, so that a waiter cannot miss the notification between its check and its wait.
    fn notify_waiters(&self) {
        let _pending = lock(&self.shared.pending);
        self.shared.attempted.notify_all();
    }

    fn failed(&self, runs: Batch, error: &rusqlite::Error) {
        let reason = format!("the run history cannot be written: {error}");
        let known = self.shared.written.borrow().error.as_ref() == Some(&reason);
        if !known {
            tracing::error!(error = %error, pending = runs.len(), "the run history cannot be written");
        }
        self.shared.written.send_modify(|written| written.error = Some(reason));
        let mut pending = lock(&self.shared.pending);
        while pending.bytes > MAX_PENDING {
            let has_ended = |stored: &Option<Arc<StoredRun>>| {
                stored.as_ref().is_some_and(|s| s.record.ended.is_some())
            };
            let ended = pending.runs.iter().find(|(_, stored)| has_ended(stored));
            let Some(id) = ended.map(|(id, _)| *id) else { break };
            pending.remove(id);
            tracing::error!(run_id = %id, "too much waits to be written: the outcome of the run is lost");
        }
    }
}

fn upsert_row(
    connection: &Connection,
    StoredRun { record, result, accepted }: &StoredRun,
) -> rusqlite::Result<()> {
    let text = serde_json::to_string(record).unwrap_or_default();
    let spec = accepted.as_ref().filter(|_| record.state == RunState::Queued);
    connection.execute(
        "INSERT INTO runs (id, operation, node, state, ended, record, result, request, spec)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET state = ?4, ended = ?5, record = ?6, result = ?7,
             spec = CASE ?4 WHEN 'queued' THEN spec END",
        params![
            record.id.to_string(),
            record.operation,
            record.node,
            record.state.name(),
            record.ended.map(Timestamp::as_second),
            text,
            result.to_string(),
            accepted.as_ref().map(|accepted| &accepted.request),
            spec.map(|accepted| &accepted.spec),
        ],
    )?;
    Ok(())
}

/// Deletes runs that ended more than `days` ago, and all but the `runs` that ended last. Active runs
/// are never deleted. Returns the deleted runs.
pub(super) fn prune(
    connection: &Connection,
    (days, runs): (u32, u32),
) -> rusqlite::Result<Vec<Uuid>> {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::runs::record::{HostCounts, Progress};
    use crate::runs::store::sqlite::open::open;

    fn ended(second: i64) -> StoredRun {
        let record = json!({
            "id": Uuid::now_v7(), "operation": "o", "node": null, "guests": [], "consumer": null,
            "state": "succeeded", "explanation": "", "queue": null,
            "created": "2026-03-01T09:15:00Z", "started": null,
            "ended": Timestamp::from_second(second).unwrap(), "rc": 0, "error": null,
            "hosts": HostCounts::default(), "progress": Progress::default(), "log_lines": 0,
            "job_events": 0, "log_gap": null, "ending": null, "action": null,
        });
        let record = serde_json::from_value(record).unwrap();
        StoredRun { record, result: Value::Null, accepted: None }
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
