//! The specification of a run: all that is needed to execute it, apart from the playbooks, the
//! inventory and the settings of the machine that does.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ansible::playbooks::PlaybookRef;
use crate::runs::claims::Claim;

/// The version of [`RunSpec`] that this server writes. It reads no other.
pub const SPEC_VERSION: u32 = 1;

/// A run, checked and complete, before anything is started. Nothing in it depends on the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunSpec {
    /// [`SPEC_VERSION`].
    pub spec_version: u32,
    /// The operationId.
    pub operation: String,
    /// What was asked, for people.
    pub request: RequestSummary,
    /// The consumer, as identified by the gateway.
    pub consumer: Option<String>,
    /// The Proxmox node of the request.
    pub node: Option<String>,
    /// The ids of the guests named in the request.
    pub guests: Vec<String>,
    /// What the run may change. Runs with conflicting claims do not run at the same time.
    pub claims: Vec<Claim>,
    /// A request with the same key joins this run while it is active. With `None`, none does.
    pub join_key: Option<String>,
    /// Whether the run deletes what it claims.
    pub deletes: bool,
    /// The steps, in order. The first one that fails ends the run.
    pub steps: Vec<Step>,
    /// The action whose reported values are the result.
    pub action: Option<String>,
    /// The secrets, which are not serialized with the rest.
    #[serde(skip)]
    pub secrets: Secrets,
}

/// The request that a run was made from, without its secrets.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RequestSummary {
    /// The path parameters, by name.
    pub path_parameters: BTreeMap<String, String>,
    /// The members of the body. Secrets are replaced.
    pub body: Map<String, Value>,
}

/// One step of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Looks a guest up and fails if it does not exist.
    LookUp {
        /// The id of the guest as sent by the client.
        vm_id: String,
        /// The playbook that lists guests, used if the inventory has no plain credentials for the
        /// Proxmox API.
        playbook: PlaybookRef,
        /// Whether the next step gets the name of the guest as the variable `vm_name`.
        name_wanted: bool,
    },
    /// Runs a playbook.
    Playbook {
        /// The playbook.
        playbook: PlaybookRef,
        /// `--limit`.
        limit: Option<String>,
        /// `--tags`.
        tags: Option<String>,
        /// The extra variables. A variable that is a secret is null here, at its place.
        extra_vars: Map<String, Value>,
    },
}

/// The secrets of a run: extra variables, by the index of their step and their name. `Debug` does
/// not print them.
#[derive(Debug, Clone, Default)]
pub struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// Moves the variables of a step whose value is one of `secrets` out of `extra_vars`.
    pub fn take_from(
        &mut self,
        step: usize,
        extra_vars: &mut Map<String, Value>,
        secrets: &[&str],
    ) {
        for (name, value) in extra_vars {
            let Some(text) = value.as_str().filter(|text| secrets.contains(text)) else { continue };
            self.0.insert(format!("{step}.{name}"), text.into());
            *value = Value::Null;
        }
    }

    /// Puts the variables of a step back at their places.
    pub fn reveal_in(&self, step: usize, extra_vars: &mut Map<String, Value>) {
        for (name, value) in extra_vars.iter_mut().filter(|(_, value)| value.is_null()) {
            if let Some(secret) = self.0.get(&format!("{step}.{name}")) {
                *value = secret.expose_secret().into();
            }
        }
    }

    /// The texts to redact.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(ExposeSecret::expose_secret)
    }

    /// The variables, for sealing.
    pub(super) fn exposed(&self) -> BTreeMap<&str, &str> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret())).collect()
    }

    pub(super) fn from_exposed(variables: BTreeMap<String, String>) -> Self {
        Self(variables.into_iter().map(|(name, text)| (name, text.into())).collect())
    }
}
