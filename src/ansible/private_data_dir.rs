//! The private data dir of one playbook run.
//!
//! ansible-runner takes its input from a directory of a fixed layout. Ours holds, for one run:
//!
//! ```text
//! project/      the playbook tree, each playbook in its place
//! inventory/    the inventory dir, group_vars and host_vars included
//! env/extravars the extra variables, client strings tagged unsafe
//! env/envvars   the environment of ansible-playbook, a YAML mapping
//! tmp/          temporary files of Ansible and of modules on this machine
//! artifacts/    what ansible-runner writes
//! ```
//!
//! The directory is readable by the service's user alone and goes when its value is dropped.

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
use crate::ansible::playbooks::{CatalogError, Playbook};

/// What one playbook run is made of.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The playbook and the tree it belongs to.
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

/// Why a private data dir could not be made.
#[derive(Debug, Error)]
pub enum WorkdirError {
    /// The playbook was there when it was looked up, and is not what was copied.
    #[error("{0}")]
    PlaybookGone(String),
    /// The system refused; a full disk ends here.
    #[error("cannot prepare the run directory: {0}")]
    Io(#[from] io::Error),
}

impl From<CopyError> for WorkdirError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Changed(_) => Self::PlaybookGone(error.to_string()),
            CopyError::Io(error) => Self::Io(error),
        }
    }
}

/// A private data dir for as long as this value lives.
#[derive(Debug)]
pub struct Workdir {
    dir: tempfile::TempDir,
}

impl Workdir {
    /// Makes the directory below `runs_dir` and fills it.
    pub fn create(
        runs_dir: &Path,
        run_id: &str,
        invocation: &Invocation,
        env: &Map<String, Value>,
    ) -> Result<Self, WorkdirError> {
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
            // The local dir is the whole project; its playbooks need only their own folder.
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
        let env = with_own_temporary_folder(env.clone(), &root.join("tmp"));
        write_private(&root.join("env/envvars"), &Value::Object(env).to_string())?;
        Ok(workdir)
    }

    /// The private data dir itself.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The folder that ansible-playbook runs in.
    pub fn project(&self) -> PathBuf {
        self.path().join("project")
    }

    /// The inventory file of the run. It is absolute, as ansible-runner resolves a relative
    /// one against a folder that depends on the mode it runs in.
    pub fn inventory(&self) -> PathBuf {
        self.path().join("inventory/hosts.yml")
    }

    /// Looks the playbook up again, in the copy, which nobody else can change.
    fn check_copied(&self, playbook: &Playbook) -> Result<(), WorkdirError> {
        let below_folder: PathBuf = playbook.path.components().skip(1).collect();
        let file = below_folder.to_str().unwrap_or_default();
        if playbooks::is_within(&self.project(), playbook.root, file) {
            Ok(())
        } else {
            let missing = CatalogError::Missing(playbook.path.display().to_string());
            Err(WorkdirError::PlaybookGone(missing.to_string()))
        }
    }
}

/// Has Ansible and the modules that run on this machine keep their temporary files in `folder`.
/// They remove them at their end, but not when they are killed, and what a killed run leaves
/// behind may be the text of a vaulted file.
pub(super) fn with_own_temporary_folder(
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
