//! Copies a playbook tree that other processes may be modifying.
//!
//! Every directory and file is opened relative to its parent directory, without following
//! symbolic links. Replacing a file with a link during the copy therefore cannot make the copy
//! include the target of the link.

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;
use thiserror::Error;

/// Never needed by a playbook, at any depth: a tree may contain nested repositories.
const EXCLUDED: &str = ".git";

/// Directories at the top of a tree that no playbook needs and that can be large. Deeper in the
/// tree the names have no special meaning: a bundle may be called `target`.
const EXCLUDED_AT_TOP: [&str; 3] = [".venv", "node_modules", "target"];

/// Why a tree could not be copied.
#[derive(Debug, Error)]
pub enum CopyError {
    /// An entry changed its type between being listed and being opened.
    #[error("{} changed while it was being copied for the run", .0.display())]
    Changed(PathBuf),
    /// An I/O error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Copies a directory.
///
/// Symbolic links are copied as links. A link within the directory points to the copied file; a
/// link out of the directory keeps its target.
///
/// # Errors
///
/// Returns [`CopyError::Changed`] if an entry was replaced during the copy, and
/// [`CopyError::Io`] for any other failure.
///
/// # Blocking
///
/// Reads and writes files.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), CopyError> {
    let folder = openat(CWD, from, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    copy_folder(from, Path::new(""), folder.map_err(io::Error::from)?, to)
}

/// Copies the open directory `folder`, whose path in `tree` is `below`.
fn copy_folder(tree: &Path, below: &Path, folder: OwnedFd, to: &Path) -> Result<(), CopyError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for entry in Dir::read_from(&folder).map_err(io::Error::from)? {
        let entry = entry.map_err(io::Error::from)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let (below, target) = (below.join(name), to.join(name));
        match copy_entry(tree, &folder, (name, entry.file_type()), &below, &target) {
            // The entry was removed after it was listed, so it is no longer part of the tree.
            Err(CopyError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied?,
        }
    }
    Ok(())
}

fn copy_entry(
    tree: &Path,
    folder: &OwnedFd,
    (name, listed): (&OsStr, FileType),
    below: &Path,
    target: &Path,
) -> Result<(), CopyError> {
    let changed = |error: Errno| changed(error, below);
    let kind = kind(folder, name, listed).map_err(changed)?;
    if kind.is_dir() {
        if is_excluded(below) {
            return Ok(());
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = openat(folder, name, flags, Mode::empty()).map_err(changed)?;
        copy_folder(tree, below, inner, target)
    } else if kind.is_symlink() {
        let link = readlinkat(folder, name, Vec::new()).map_err(changed)?;
        let link = Path::new(OsStr::from_bytes(link.as_bytes()));
        Ok(symlink(link_target(tree, below, link), target)?)
    } else if kind.is_file() {
        copy_file(folder.as_fd(), name, below, target)
    } else {
        // Pipes, sockets and devices are of no use to a playbook.
        Ok(())
    }
}

/// Returns true if the directory is not copied.
fn is_excluded(below: &Path) -> bool {
    below.ends_with(EXCLUDED) || EXCLUDED_AT_TOP.iter().any(|name| below == Path::new(name))
}

/// Returns the type of an entry. Some file systems do not report it in the listing.
fn kind(folder: &OwnedFd, name: &OsStr, listed: FileType) -> Result<FileType, Errno> {
    if listed != FileType::Unknown {
        return Ok(listed);
    }
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

fn copy_file(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    below: &Path,
    target: &Path,
) -> Result<(), CopyError> {
    // Without NONBLOCK, opening a pipe that replaced the file would wait for a writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(|e| changed(e, below))?;
    let mut source = File::from(file);
    let found = source.metadata()?;
    if !found.is_file() {
        return Err(CopyError::Changed(below.to_owned()));
    }
    // Readable by the service whatever the original mode; a script stays executable.
    let mode = 0o600 | (found.permissions().mode() & 0o100);
    let mut copy = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(target)?;
    io::copy(&mut source, &mut copy)?;
    Ok(())
}

/// Interprets an error from opening an entry as the type that the listing reported.
fn changed(error: Errno, below: &Path) -> CopyError {
    match error {
        Errno::LOOP | Errno::NOTDIR | Errno::INVAL => CopyError::Changed(below.to_owned()),
        other => CopyError::Io(other.into()),
    }
}

/// Returns the target for the copy of a link. A relative target outside of the tree is made
/// absolute, because it would resolve to another path from the copy.
fn link_target(tree: &Path, below: &Path, target: &Path) -> PathBuf {
    let mut depth = below.components().count() as isize - 1;
    let leaves = target.is_relative()
        && target.components().any(|part| {
            depth += match part {
                Component::ParentDir => -1,
                Component::Normal(_) => 1,
                _ => 0,
            };
            depth < 0
        });
    if leaves { tree.join(below).parent().unwrap_or(tree).join(target) } else { target.to_owned() }
}
