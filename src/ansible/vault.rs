//! The Ansible vault password.
//!
//! Ansible reads the password from a file. `VAULT_PASSWORD_FILE` is passed on as it is. For
//! `VAULT_PASSWORD`, the service writes a private file that is removed at shutdown, or at the
//! next start if the server was killed.

use std::fs;
use std::io;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::VaultSource;

/// The directory in the runs dir that contains the password file of a running server.
const FOLDER: &str = "vault";

/// The vault password file. A file that the service has written is removed on drop.
#[derive(Debug, Default)]
pub struct VaultPassword {
    file: Option<PathBuf>,
    written: Option<PathBuf>,
}

impl VaultPassword {
    /// Prepares the password file. If necessary, one is written to `runs_dir`.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    ///
    /// # Blocking
    ///
    /// Writes and removes files.
    pub fn prepare(source: &VaultSource, runs_dir: &Path) -> io::Result<Self> {
        let folder = runs_dir.join(FOLDER);
        remove_folder(&folder);
        match source {
            VaultSource::File(path) => Ok(Self { file: Some(path.clone()), written: None }),
            VaultSource::Password(password) => {
                let written =
                    Self { file: Some(folder.join("password")), written: Some(folder.clone()) };
                fs::DirBuilder::new().mode(0o700).create(&folder)?;
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                options.open(folder.join("password"))?.write_all(password.as_bytes())?;
                Ok(written)
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

    /// Returns the file to pass to Ansible, if a password is configured.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl Drop for VaultPassword {
    fn drop(&mut self) {
        if let Some(folder) = &self.written {
            remove_folder(folder);
        }
    }
}

fn remove_folder(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::error!(folder = %folder.display(), error = %e, "cannot remove the vault password file");
        }
        _ => {}
    }
}
