//! What a run is to do, decided before anything is started.

use serde_json::{Map, Value};

use crate::ansible::catalog::Playbook;

/// A run that was asked for, checked and complete.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The operation's id, for logs and history.
    pub operation: String,
    /// The node it is about.
    pub node: Option<String>,
    /// What is done, in order; the first step that fails ends the run.
    pub steps: Vec<Step>,
    /// The action whose values are the result.
    pub action: Option<&'static str>,
}

/// One step of a run.
#[derive(Debug, Clone)]
pub enum Step {
    /// A guest must be there; its name may become the variable `vm_name` of the next step.
    LookUp {
        /// The id as it was sent.
        vm_id: String,
        /// The playbook that lists guests, where the API cannot be asked directly.
        playbook: Playbook,
        /// Whether the next step gets the name.
        name_wanted: bool,
    },
    /// A playbook is run.
    Playbook {
        /// Which one.
        playbook: Playbook,
        /// `--limit`.
        limit: Option<String>,
        /// `--tags`.
        tags: Option<String>,
        /// Its extra variables.
        extra_vars: Map<String, Value>,
    },
}
