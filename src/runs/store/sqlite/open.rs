//! Opens the history: waits for locks, migrates the schema, quarantines a damaged database.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use thiserror::Error;
use uuid::Uuid;

use crate::runs::store::sqlite::migrations;
use crate::runs::store::sqlite::writer::prune;

/// How long a statement waits for a lock that another process holds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a start retries to open a locked database.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The interval between attempts to write, or to open a locked database.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// An error of SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The database was written by a newer server.
    #[error(
        "a newer version of this server wrote it (schema version {found}; this server knows \
         versions up to {known}). Nothing was changed"
    )]
    Newer {
        /// The version of the database.
        found: usize,
        /// The version of this server.
        known: usize,
    },
}

/// Opens, migrates and prunes the database, and creates it if necessary. A damaged one is
/// quarantined and replaced by an empty one, so that the server can start. Returns the pruned runs,
/// too.
///
/// # Errors
///
/// If the database cannot be opened, quarantined or created, or is that of a newer server.
///
/// # Blocking
///
/// Reads and writes files, and retries for a while if another process holds a lock.
pub(super) fn open_or_create(
    file: &Path,
    limits: (u32, u32),
) -> io::Result<(Connection, Vec<Uuid>)> {
    let opened = match open_with_retry(file, limits) {
        Err(OpenError::Sqlite(e)) if is_corruption(&e) => {
            quarantine(file, &e)?;
            open_with_retry(file, limits)
        }
        opened => opened,
    };
    opened.map_err(|e| cannot_open(file, &e))
}

/// Opens the database, and retries while another process holds a lock.
fn open_with_retry(file: &Path, limits: (u32, u32)) -> Result<(Connection, Vec<Uuid>), OpenError> {
    let started = Instant::now();
    loop {
        match open_and_check(file, limits) {
            Err(OpenError::Sqlite(e)) if is_locked(&e) && started.elapsed() < OPEN_TIMEOUT => {
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

fn cannot_open(file: &Path, error: &OpenError) -> io::Error {
    let file = file.display();
    let reason = match error {
        OpenError::Sqlite(error) if is_locked(error) => {
            format!("the run history {file} is locked by another process")
        }
        error => format!("the run history {file} cannot be opened: {error}"),
    };
    io::Error::other(reason)
}

/// Opens and prunes the database, and reads all that a start reads, so that damage is found while
/// the database can still be quarantined. Returns the pruned runs, too.
fn open_and_check(file: &Path, limits: (u32, u32)) -> Result<(Connection, Vec<Uuid>), OpenError> {
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
    let read_all = "SELECT max(id), max(state), max(record) FILTER (WHERE ended IS NULL), \
                    max(spec) FILTER (WHERE ended IS NULL) FROM runs";
    connection.query_row(read_all, [], |_| Ok(()))?;
    connection.set_db_config(no_checkpoint, false)?;
    Ok((connection, removed))
}

pub(super) fn open(file: &Path) -> Result<Connection, OpenError> {
    let mut connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Before anything is changed.
    migrations::version(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    migrations::migrate(&mut connection)?;
    Ok(connection)
}

fn is_corruption(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// The prefix of the extension of a quarantined database.
const QUARANTINE_PREFIX: &str = "damaged-";

pub(super) fn is_quarantined(extension: &OsStr) -> bool {
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
