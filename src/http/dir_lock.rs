//! Exclusive locks on the directories that a server writes to.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// An exclusive lock on a directory, released when dropped. The kernel releases it as well if the
/// server is killed.
#[derive(Debug)]
pub struct DirLock {
    _dir: File,
}

impl DirLock {
    /// Locks a directory, creating it if it is missing.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another server holds the lock; otherwise the error of the system.
    ///
    /// # Blocking
    ///
    /// Performs file I/O, but does not wait for the lock.
    pub fn acquire(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // The directory itself is locked, which needs no lock file.
        let handle = File::open(dir)?;
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _dir: handle }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(io::Error::new(io::ErrorKind::ResourceBusy, "in use by another server"))
            }
            Err(error) => Err(error.into()),
        }
    }
}
