//! Finds playbooks by name.
//!
//! A name is looked up in one of three roots. A symbolic link out of its root is treated as
//! missing. The look-up here provides an early error only: a run uses a copy, and
//! [`crate::ansible::private_data_dir`] repeats the look-up in that copy, so that a playbook
//! cannot be replaced in between.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use regex::Regex;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::Settings;

/// The directory in which a playbook is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// `playbooks/` of the service itself.
    Local,
    /// `bundles/` of the public playbooks dir.
    Bundles,
    /// `scenarios/` of the public playbooks dir.
    Scenarios,
}

impl Root {
    /// Returns the name of the directory. Symbolic links must not leave it.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Local => "playbooks",
            Self::Bundles => "bundles",
            Self::Scenarios => "scenarios",
        }
    }
}

/// The name of a playbook, which is the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybookRef {
    /// The root.
    pub root: Root,
    /// The file in the directory of the root, such as `ping/main.yml`.
    pub file: String,
}

impl PlaybookRef {
    /// The path in the tree, such as `bundles/ping/main.yml`.
    pub fn path(&self) -> PathBuf {
        Path::new(self.root.folder()).join(&self.file)
    }
}

/// A playbook of this machine, given by its tree and its path in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbook {
    /// The root that its name was looked up in.
    pub root: Root,
    /// The directory that is copied for a run.
    pub tree: PathBuf,
    /// The path in `tree`, such as `bundles/ping/main.yml`.
    pub path: PathBuf,
}

/// Why there is no playbook of a name. Clients get 400.
#[derive(Debug, Error)]
pub enum PlaybookError {
    /// `API_BACKEND_PUBLIC_PLAYBOOKS_DIR` is unset or not a directory.
    #[error("the public playbooks dir {0} (API_BACKEND_PUBLIC_PLAYBOOKS_DIR)")]
    NoPublicDir(&'static str),
    /// The name contains a character or a segment that is not allowed.
    #[error(
        "not a bundle or scenario name: {0:?} (letters, digits, _ and -, segments joined by /)"
    )]
    BadName(String),
    /// The file does not exist, or a symbolic link leaves the root.
    #[error("no playbook {0} in the playbooks dir")]
    Missing(String),
}

/// Returns true if `name` is a valid name of a bundle or scenario: segments of letters, digits,
/// `_` and `-`, separated by `/`.
pub fn is_name(name: &str) -> bool {
    static NAME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*$").expect("a constant"));
    // A longer path cannot exist, and the system's error message would contain all of it.
    name.len() <= 1024 && NAME.is_match(name)
}

/// Finds a playbook on this machine.
///
/// # Errors
///
/// Returns an error if the directory is not configured or the file does not exist.
///
/// # Blocking
///
/// Opens files.
pub fn find(settings: &Settings, playbook: &PlaybookRef) -> Result<Playbook, PlaybookError> {
    let PlaybookRef { root, file } = playbook;
    let tree = match root {
        Root::Local => settings.local_playbooks.clone(),
        Root::Bundles | Root::Scenarios => public_dir(settings)?.to_owned(),
    };
    let path = playbook.path();
    if !is_within(&tree, *root, file) {
        return Err(PlaybookError::Missing(path.display().to_string()));
    }
    Ok(Playbook { root: *root, tree, path })
}

/// The `main.yml` of the bundle or scenario `name`, which comes from a client.
///
/// # Errors
///
/// Returns an error if the directory is not configured or the name is invalid.
///
/// # Blocking
///
/// Looks at the directory.
pub fn named(settings: &Settings, root: Root, name: &str) -> Result<PlaybookRef, PlaybookError> {
    public_dir(settings)?;
    if !is_name(name) {
        return Err(PlaybookError::BadName(name.chars().take(80).collect()));
    }
    Ok(PlaybookRef { root, file: format!("{name}/main.yml") })
}

/// Returns true if `file` is a regular file in the directory of `root` in `tree`. Symbolic links
/// are followed, but must not leave that directory.
///
/// # Blocking
///
/// Opens files.
pub fn is_within(tree: &Path, root: Root, file: &str) -> bool {
    let open = || -> std::io::Result<bool> {
        let folder = Dir::open_ambient_dir(tree, ambient_authority())?.open_dir(root.folder())?;
        // Without NONBLOCK, opening a pipe would wait for a writer.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        Ok(folder.open_with(file, &options)?.metadata()?.is_file())
    };
    open().unwrap_or(false)
}

fn public_dir(settings: &Settings) -> Result<&Path, PlaybookError> {
    let dir =
        settings.public_playbooks.as_deref().ok_or(PlaybookError::NoPublicDir("is not set"))?;
    if dir.is_dir() { Ok(dir) } else { Err(PlaybookError::NoPublicDir("is not a directory")) }
}
