//! Storage for the records of runs.

pub mod sqlite;

use serde_json::Value;
use uuid::Uuid;

use super::record::Record;
use super::state::RunState;

/// A run as stored.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// The record.
    pub record: Record,
    /// The values that the run reported.
    pub result: Value,
}

/// Selects runs. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Runs in one of these states; in any state if empty.
    pub states: Vec<RunState>,
    /// Runs of this operation.
    pub operation: Option<String>,
    /// Runs on this node.
    pub node: Option<String>,
    /// Runs accepted before this one.
    pub before: Option<Uuid>,
}

impl Filter {
    /// Whether `record` meets all conditions.
    pub fn matches(&self, record: &Record) -> bool {
        (self.states.is_empty() || self.states.contains(&record.state))
            && self.operation.as_ref().is_none_or(|operation| *operation == record.operation)
            && self.node.as_ref().is_none_or(|node| record.node.as_ref() == Some(node))
            && self.before.is_none_or(|before| record.id < before)
    }
}
