//! The folders that a server writes to, each held by one server at a time.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// A folder for as long as this value lives. The kernel lets go of it however the server ends.
#[derive(Debug)]
pub struct Held {
    _folder: File,
}

/// Makes the folder where it is missing, and takes it.
pub fn hold(folder: &Path) -> io::Result<Held> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // The lock is on the folder itself, so that no file tells of it.
    let handle = File::open(folder)?;
    match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Held { _folder: handle }),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another server uses it"))
        }
        Err(error) => Err(error.into()),
    }
}
