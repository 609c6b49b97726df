//! The specification of a run, complete before anything is started.

use serde_json::{Map, Value};

use crate::ansible::playbooks::Playbook;
use crate::runs::claims::Claim;

/// A request for a run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// What the run does.
    pub plan: Plan,
    /// The ids of the guests named in the request.
    pub guests: Vec<String>,
    /// What the run may change. Runs with conflicting claims do not run at the same time.
    pub claims: Vec<Claim>,
    /// A request with the same key joins this run while it is active. With `None`, none does.
    pub join_key: Option<String>,
    /// Whether the run deletes what it claims.
    pub deletes: bool,
    /// The secrets in the request, to be redacted from everything that is stored.
    pub secrets: Vec<String>,
    /// The consumer, as identified by the gateway.
    pub consumer: Option<String>,
}

/// What a run does, checked and complete.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The operationId.
    pub operation: String,
    /// The Proxmox node of the request.
    pub node: Option<String>,
    /// The steps, in order. The first one that fails ends the run.
    pub steps: Vec<Step>,
    /// The action whose reported values are the result.
    pub action: Option<&'static str>,
}

/// One step of a run.
#[derive(Debug, Clone)]
pub enum Step {
    /// Looks a guest up and fails if it does not exist.
    LookUp {
        /// The id of the guest as sent by the client.
        vm_id: String,
        /// The playbook that lists guests, used if the inventory has no plain credentials for the
        /// Proxmox API.
        playbook: Playbook,
        /// Whether the next step gets the name of the guest as the variable `vm_name`.
        name_wanted: bool,
    },
    /// Runs a playbook.
    Playbook {
        /// The playbook.
        playbook: Playbook,
        /// `--limit`.
        limit: Option<String>,
        /// `--tags`.
        tags: Option<String>,
        /// The extra variables.
        extra_vars: Map<String, Value>,
    },
}
