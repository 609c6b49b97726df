//! Storage for the records of runs.

pub mod sqlite;

use std::sync::Arc;

use serde::Serialize;
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
    /// What is stored when the run is accepted, and not read with the record.
    pub accepted: Option<Arc<AcceptedRun>>,
}

impl StoredRun {
    /// The size as JSON, in bytes.
    pub fn bytes(&self) -> usize {
        let accepted = self.accepted.as_ref().map_or(0, |accepted| accepted.bytes());
        json_bytes(&self.record) + json_bytes(&self.result) + accepted
    }
}

/// The length of a value as JSON, in bytes.
fn json_bytes(value: &impl Serialize) -> usize {
    /// Counts what is written to it.
    struct Counter(usize);

    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut counter = Counter(0);
    // Neither the counter nor the types of a run fail.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// What is stored of a run when it is accepted.
#[derive(Debug)]
pub struct AcceptedRun {
    /// The request, without its secrets, as JSON.
    pub request: String,
    /// The sealed specification, which is deleted when the run starts or ends.
    pub spec: Vec<u8>,
}

impl AcceptedRun {
    /// The size, in bytes.
    pub fn bytes(&self) -> usize {
        self.request.len() + self.spec.len()
    }
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
