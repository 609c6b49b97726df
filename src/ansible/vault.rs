//! The Ansible vault password.
//!
//! Ansible takes a password from a file only. Where the operator has one, its path is passed
//! on; where only the password is set, it goes into a file of our own that nobody else can
//! read and that is removed when the server ends, however it ends short of a kill -9. What a
//! kill -9 leaves is removed at the next start.

use std::fs;
use std::io;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::VaultSource;

/// The folder below the runs dir that holds the password file of a running server.
const FOLDER: &str = "vault";

/// A password file for as long as this value lives.
#[derive(Debug, Default)]
pub struct VaultPassword {
    file: Option<PathBuf>,
    made: Option<PathBuf>,
}

impl VaultPassword {
    /// Prepares the password file; `runs_dir` is where one of our own is made.
    pub fn prepare(source: &VaultSource, runs_dir: &Path) -> io::Result<Self> {
        let folder = runs_dir.join(FOLDER);
        remove_folder(&folder);
        match source {
            VaultSource::File(path) => Ok(Self { file: Some(path.clone()), made: None }),
            VaultSource::Password(password) => {
                let made = Self { file: Some(folder.join("password")), made: Some(folder.clone()) };
                fs::DirBuilder::new().mode(0o700).create(&folder)?;
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                options.open(folder.join("password"))?.write_all(password.as_bytes())?;
                Ok(made)
            }
            VaultSource::None => {
                tracing::warn!(
                    "neither VAULT_PASSWORD_FILE nor VAULT_PASSWORD is set: \
                     playbooks that read vaulted files will fail"
                );
                Ok(Self::default())
            }
        }
    }

    /// The file to hand to Ansible, if there is a password at all.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl Drop for VaultPassword {
    fn drop(&mut self) {
        if let Some(folder) = &self.made {
            remove_folder(folder);
        }
    }
}

fn remove_folder(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::error!(folder = %folder.display(), error = %e, "the vault password file stays");
        }
        _ => {}
    }
}
