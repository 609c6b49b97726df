//! The private data dir of one playbook run.
//!
//! ansible-runner reads its input from a directory with a fixed layout:
//!
//! ```text
//! project/      the playbook tree
//! inventory/    the inventory dir, including group_vars and host_vars
//! env/extravars the extra variables, tagged !unsafe
//! env/envvars   the environment of ansible-playbook, a YAML mapping
//! tmp/          temporary files of Ansible and of modules that run on this host
//! artifacts/    the output of ansible-runner
//! ```
//!
//! Only the service's user can read the directory. It is removed when [`PrivateDataDir`] is dropped.

use std::fs;
use std::io;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::ansible::copy::{CopyError, copy_tree};
use crate::ansible::extra_vars;
use crate::ansible::playbooks;
use crate::ansible::playbooks::{Playbook, PlaybookError};

/// The parameters of one playbook run.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The playbook and its tree.
    pub playbook: Playbook,
    /// The inventory dir; the run uses its `hosts.yml`.
    pub inventory: PathBuf,
    /// `--limit`, if any.
    pub limit: Option<String>,
    /// `--tags`, if any.
    pub tags: Option<String>,
    /// The extra variables.
    pub extra_vars: Map<String, Value>,
}

/// Why a private data dir could not be created.
#[derive(Debug, Error)]
pub enum PrivateDataDirError {
    /// The playbook was changed or removed after it had been looked up.
    #[error("{0}")]
    PlaybookGone(String),
    /// An I/O error, such as a full disk.
    #[error("cannot prepare the run directory: {0}")]
    Io(#[from] io::Error),
}

impl From<CopyError> for PrivateDataDirError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Changed(_) => Self::PlaybookGone(error.to_string()),
            CopyError::Io(error) => Self::Io(error),
        }
    }
}

/// A private data dir, removed on drop.
#[derive(Debug)]
pub struct PrivateDataDir {
    dir: tempfile::TempDir,
}

impl PrivateDataDir {
    /// Creates the directory in `runs_dir` and fills it.
    ///
    /// # Errors
    ///
    /// Returns [`PrivateDataDirError::PlaybookGone`] if the playbook changed since it was looked up, and
    /// [`PrivateDataDirError::Io`] for any other failure.
    ///
    /// # Blocking
    ///
    /// Reads and writes files.
    pub fn create(
        runs_dir: &Path,
        run_id: &str,
        invocation: &Invocation,
        env: &Map<String, Value>,
    ) -> Result<Self, PrivateDataDirError> {
        let dir = tempfile::Builder::new().prefix(&format!("{run_id}.")).tempdir_in(runs_dir)?;
        let workdir = Self { dir };
        let root = workdir.path();
        let make =
            |name: &str| fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(name));
        make("env")?;
        make("artifacts")?;
        make("tmp")?;

        let playbook = &invocation.playbook;
        let top = playbook.path.components().next().map(|c| c.as_os_str().to_owned());
        let top = top.unwrap_or_default();
        match playbook.root {
            // The local dir is the whole project, of which a playbook needs the top directory only.
            playbooks::Root::Local => {
                copy_tree(&playbook.tree.join(&top), &workdir.project().join(&top))?;
            }
            playbooks::Root::Bundles | playbooks::Root::Scenarios => {
                copy_tree(&playbook.tree, &workdir.project())?;
            }
        }
        workdir.check_copied(playbook)?;
        copy_tree(&invocation.inventory, &root.join("inventory"))?;

        write_private(&root.join("env/extravars"), &extra_vars::to_yaml(&invocation.extra_vars))?;
        let env = with_private_temp_dir(env.clone(), &root.join("tmp"));
        write_private(&root.join("env/envvars"), &Value::Object(env).to_string())?;
        Ok(workdir)
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the working directory of ansible-playbook.
    pub fn project(&self) -> PathBuf {
        self.path().join("project")
    }

    /// Returns the inventory file of the run. The path is absolute, because ansible-runner resolves
    /// a relative one against a directory that depends on its mode.
    pub fn inventory(&self) -> PathBuf {
        self.path().join("inventory/hosts.yml")
    }

    /// Looks up the playbook in the copy, which only the service can modify.
    fn check_copied(&self, playbook: &Playbook) -> Result<(), PrivateDataDirError> {
        let below_folder: PathBuf = playbook.path.components().skip(1).collect();
        let file = below_folder.to_str().unwrap_or_default();
        if playbooks::is_within(&self.project(), playbook.root, file) {
            Ok(())
        } else {
            let missing = PlaybookError::Missing(playbook.path.display().to_string());
            Err(PrivateDataDirError::PlaybookGone(missing.to_string()))
        }
    }
}

/// Makes Ansible and the modules on this host use `folder` for temporary files.
///
/// They remove these files at the end, but not if they are killed, and the files may contain
/// decrypted vault content.
pub(super) fn with_private_temp_dir(
    mut env: Map<String, Value>,
    folder: &Path,
) -> Map<String, Value> {
    for variable in ["TMPDIR", "ANSIBLE_LOCAL_TEMP"] {
        env.insert(variable.to_owned(), Value::String(folder.display().to_string()));
    }
    env
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}
