//! What a run is to do, decided before anything is started.

use serde_json::{Map, Value};

use crate::ansible::playbooks::Playbook;
use crate::runs::claims::Claim;

/// A request for a run.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What it is to do.
    pub plan: Plan,
    /// The ids of the guests that it names.
    pub guests: Vec<String>,
    /// What no other run may change meanwhile.
    pub claims: Vec<Claim>,
    /// What makes another request the same as this one, where the same joins it rather than
    /// being done again.
    pub same: Option<String>,
    /// Whether it deletes what it claims.
    pub deletes: bool,
    /// Secrets that came with it.
    pub secrets: Vec<String>,
    /// Who asked, as the gateway says.
    pub consumer: Option<String>,
}

/// What a run is to do, checked and complete.
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
