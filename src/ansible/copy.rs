//! Copying a tree of playbooks while others may change it.
//!
//! Every folder and file is opened from the folder that it was listed in, and never through a
//! symbolic link. So nobody who swaps a file for a link in mid-copy can make the copy hold what
//! the link points to.

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

/// What no playbook reads, wherever it is: a tree may hold others' repositories.
const NEVER_COPIED: &str = ".git";

/// Folders at the top of a tree that no playbook reads and that can be large. Further down they
/// may be anything: a bundle can be called `target`.
const LEFT_OUT_AT_THE_TOP: [&str; 3] = [".venv", "node_modules", "target"];

/// Why a tree was not copied.
#[derive(Debug, Error)]
pub enum CopyError {
    /// A folder, file or link became something else between being listed and being opened.
    #[error("{} changed while it was copied for the run", .0.display())]
    Changed(PathBuf),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Copies a directory. A symbolic link stays a link: one that stays inside the directory leads
/// to the copy's own file, and one that leaves it to where the operator pointed it.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), CopyError> {
    let folder = openat(CWD, from, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    copy_folder(from, Path::new(""), folder.map_err(io::Error::from)?, to)
}

/// Copies the open `folder`, which is `below` the top of `tree`.
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
            // It was removed since it was listed, and then it is not part of the tree.
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
        if is_left_out(below) {
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
        // No playbook reads a pipe, a socket or a device.
        Ok(())
    }
}

/// Whether the folder that is `below` the top of the tree stays where it is.
fn is_left_out(below: &Path) -> bool {
    below.ends_with(NEVER_COPIED) || LEFT_OUT_AT_THE_TOP.iter().any(|name| below == Path::new(name))
}

/// What an entry is; some file systems do not say it where they list it.
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
    // Without NONBLOCK, a pipe that took the file's place would be waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(|e| changed(e, below))?;
    let mut source = File::from(file);
    let found = source.metadata()?;
    if !found.is_file() {
        return Err(CopyError::Changed(below.to_owned()));
    }
    // The service reads it whoever owned it; a script stays one.
    let mode = 0o600 | (found.permissions().mode() & 0o100);
    let mut copy = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(target)?;
    io::copy(&mut source, &mut copy)?;
    Ok(())
}

/// What it means that an entry which was just listed cannot be opened as what it was.
fn changed(error: Errno, below: &Path) -> CopyError {
    match error {
        Errno::LOOP | Errno::NOTDIR | Errno::INVAL => CopyError::Changed(below.to_owned()),
        other => CopyError::Io(other.into()),
    }
}

/// Where the copy of a link must point: a relative path that climbs out of the tree would lead
/// somewhere else from the copy, so it is made absolute.
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
