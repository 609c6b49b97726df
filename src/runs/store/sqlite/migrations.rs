//! The schema of the history, as the list of steps that lead to it.
//!
//! `user_version` is the number of steps that a database has had. A released step never changes. A
//! step only adds (*expand*). A later release removes what no version uses any more (*contract*).

use rusqlite::{Connection, TransactionBehavior};

use crate::runs::store::sqlite::open::OpenError;

/// A change of the schema.
struct Step {
    sql: &'static str,
    /// A query that returns 1 if the step has been applied. Servers of version 1 reset
    /// `user_version` to 1, so the version alone is not sufficient.
    is_done: Option<&'static str>,
}

const STEPS: &[Step] = &[
    Step {
        sql: "CREATE TABLE IF NOT EXISTS runs (
         id TEXT PRIMARY KEY, operation TEXT NOT NULL, node TEXT, state TEXT NOT NULL,
         ended INTEGER, record TEXT NOT NULL, result TEXT NOT NULL
     ) WITHOUT ROWID;
     CREATE INDEX IF NOT EXISTS ended ON runs (ended);",
        is_done: None,
    },
    // What was asked, and the sealed specification of a queued run.
    Step {
        sql: "ALTER TABLE runs ADD COLUMN request TEXT;
              ALTER TABLE runs ADD COLUMN spec BLOB;",
        is_done: Some("SELECT count(*) FROM pragma_table_info('runs') WHERE name = 'spec'"),
    },
];

/// The version of this server's schema.
pub const VERSION: usize = STEPS.len();

/// Brings the database to the current version. Writes nothing if it has that already: the disk may
/// be full, or a backup may have locked the database.
///
/// # Errors
///
/// [`OpenError::Newer`] if the database has a newer version, which is left as it is, and any error
/// of SQLite.
///
/// # Blocking
///
/// Reads and writes the database.
pub fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let found = version(connection)?;
    if found == VERSION {
        return Ok(());
    }
    // The lock is taken first: another process must not migrate at the same time.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    for step in STEPS.get(found..).ok_or(OpenError::Newer { found, known: VERSION })? {
        let is_done = match step.is_done {
            Some(query) => transaction.query_row(query, [], |row| row.get(0))?,
            None => false,
        };
        if !is_done {
            transaction.execute_batch(step.sql)?;
        }
    }
    transaction.pragma_update(None, "user_version", i64::try_from(VERSION).unwrap_or(i64::MAX))?;
    transaction.commit()?;
    Ok(())
}

/// The version of a database.
///
/// # Errors
///
/// [`OpenError::Newer`] if it is newer than this server's, and any error of SQLite.
///
/// # Blocking
///
/// Reads the database.
pub fn version(connection: &Connection) -> Result<usize, OpenError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match usize::try_from(found) {
        Ok(found) if found <= VERSION => Ok(found),
        _ => Err(OpenError::Newer {
            found: usize::try_from(found).unwrap_or(usize::MAX),
            known: VERSION,
        }),
    }
}
