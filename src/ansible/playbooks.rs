//! From the name of a playbook to a file that may be run.
//!
//! A name is looked up below one of three roots, and a symbolic link that leads out of its root
//! does not count as being there. The look-up here only gives an early answer: what is run is
//! a copy, and [`crate::ansible::private_data_dir`] looks the playbook up again in that copy, so that nothing
//! can be swapped in between.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use regex::Regex;
use rustix::fs::OFlags;
use thiserror::Error;

use crate::config::Settings;

/// Where a playbook is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// `playbooks/` of the service itself.
    Local,
    /// `bundles/` of the public playbooks dir.
    Bundles,
    /// `scenarios/` of the public playbooks dir.
    Scenarios,
}

impl Root {
    /// The folder below the playbooks dir that nothing may lead out of.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Local => "playbooks",
            Self::Bundles => "bundles",
            Self::Scenarios => "scenarios",
        }
    }
}

/// A playbook that was found: the tree it belongs to and its place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbook {
    /// The root that its name was looked up in.
    pub root: Root,
    /// The directory that is copied for a run.
    pub tree: PathBuf,
    /// Its path below `tree`, such as `bundles/ping/main.yml`.
    pub path: PathBuf,
}

/// Why a name does not lead to a playbook. Each is the client's 400.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// `API_BACKEND_PUBLIC_PLAYBOOKS_DIR` is not set, or is no directory.
    #[error("the public playbooks dir {0} (API_BACKEND_PUBLIC_PLAYBOOKS_DIR)")]
    NoPublicDir(&'static str),
    /// The name has a character or a segment that no bundle or scenario has.
    #[error(
        "not a bundle or scenario name: {0:?} (letters, digits, _ and -, segments joined by /)"
    )]
    BadName(String),
    /// Nothing there, or a link that leads out of the root.
    #[error("no playbook {0} in the playbooks dir")]
    Missing(String),
}

/// Whether `name` is one of a bundle or scenario: segments of letters, digits, `_` and `-`.
pub fn is_name(name: &str) -> bool {
    static NAME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*$").expect("a constant"));
    // A path of this length cannot exist, and the system's own error would name it in full.
    name.len() <= 1024 && NAME.is_match(name)
}

/// Finds a file of a root by its path below the root's folder.
pub fn find(settings: &Settings, root: Root, file: &str) -> Result<Playbook, CatalogError> {
    let tree = match root {
        Root::Local => settings.local_playbooks.clone(),
        Root::Bundles | Root::Scenarios => public_dir(settings)?.to_owned(),
    };
    let path = Path::new(root.folder()).join(file);
    if !is_within(&tree, root, file) {
        return Err(CatalogError::Missing(path.display().to_string()));
    }
    Ok(Playbook { root, tree, path })
}

/// Finds the `main.yml` of the bundle or scenario that a client names.
pub fn find_named(settings: &Settings, root: Root, name: &str) -> Result<Playbook, CatalogError> {
    public_dir(settings)?;
    if !is_name(name) {
        return Err(CatalogError::BadName(name.chars().take(80).collect()));
    }
    find(settings, root, &format!("{name}/main.yml"))
}

/// Whether `file` is a regular file below the folder of `root` in `tree`, every link followed
/// and none leading out of that folder.
pub fn is_within(tree: &Path, root: Root, file: &str) -> bool {
    let open = || -> std::io::Result<bool> {
        let folder = Dir::open_ambient_dir(tree, ambient_authority())?.open_dir(root.folder())?;
        // Opening a FIFO would wait for a writer.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        Ok(folder.open_with(file, &options)?.metadata()?.is_file())
    };
    open().unwrap_or(false)
}

fn public_dir(settings: &Settings) -> Result<&Path, CatalogError> {
    let dir =
        settings.public_playbooks.as_deref().ok_or(CatalogError::NoPublicDir("is not set"))?;
    if dir.is_dir() { Ok(dir) } else { Err(CatalogError::NoPublicDir("is not a directory")) }
}
