//! The parts of the library that tests use directly, rather than through the binary or HTTP. No
//! other test file names a module of the library, so that moving a module changes only this file.

use std::time::Duration;

use serde_json::{Map, Value};

pub use range42_backend_api::ansible::events::strip_ansi;
pub use range42_backend_api::ansible::executor::{
    Engine, Job, LaunchError, Launched, RUN_ID_VARIABLE,
};
pub use range42_backend_api::ansible::playbooks::is_name;
pub use range42_backend_api::ansible::reaper::{Stop, end as end_processes, identify};
pub use range42_backend_api::ansible::warm::WarmEngine;
pub use range42_backend_api::config::Settings;
pub use range42_backend_api::generate::curl_scripts::{Script, scripts};
pub use range42_backend_api::generate::kong;
pub use range42_backend_api::http::effects::effects;
pub use range42_backend_api::http::server::{build, build_with};
pub use range42_backend_api::http::{App, app as router};
pub use range42_backend_api::redaction::Redaction;
pub use range42_backend_api::runs::RunState;
pub use range42_backend_api::runs::claims::{Claim, conflict};
pub use range42_backend_api::runs::scheduler::Queue;

/// The type of each action's `result`.
pub mod results {
    pub use range42_backend_api::operations::{
        firewall::*, network::*, snapshots::*, storage::*, vm_config::*, vms::*,
    };
}

use range42_backend_api::ansible::events::{self, JobEvent};
use range42_backend_api::generate::openapi::{self, Version};
use range42_backend_api::http::body::{Errors, Rule};
use range42_backend_api::operations::OPERATIONS;
use range42_backend_api::operations::{Answer, PlaybookFile, Work};
use range42_backend_api::runs::look_up;

/// An operation.
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: &'static str,
    /// The action whose values are the result, for operations that have one.
    pub action: Option<&'static str>,
    /// Whether it declares to change nothing.
    pub reads: bool,
    /// A body that works on a fresh demo.
    pub example: Option<Map<String, Value>>,
}

/// All operations, in the order of the table.
pub fn operations() -> Vec<Operation> {
    let rows = OPERATIONS.iter().map(|row| Operation {
        id: row.id(),
        method: format!("{:?}", row.method).to_uppercase(),
        path: row.path,
        action: match row.answer {
            Answer::Result { action, .. } => Some(action),
            Answer::Log | Answer::Guest => None,
        },
        reads: row.effect.is_reading(),
        example: row.example_body(),
    });
    rows.collect()
}

/// The files below `bundles/` that operations run.
pub fn bundle_files() -> Vec<String> {
    let files = OPERATIONS.iter().flat_map(|row| match &row.work {
        Work::Playbook(work) if work.root.folder() == "bundles" => match work.file {
            PlaybookFile::Fixed(file) => vec![file.to_owned()],
            PlaybookFile::Named => Vec::new(),
        },
        Work::CreateVms { folder, .. } => {
            vec![format!("{folder}/init.yml"), format!("{folder}/main.yml")]
        }
        Work::Playbook(_) | Work::LookUp { .. } => Vec::new(),
    });
    files.collect()
}

/// The OpenAPI document, as `openapi` prints it.
pub fn openapi_document() -> Value {
    openapi::document()
}

/// The OpenAPI document as text, which is committed.
pub fn openapi_text() -> String {
    openapi::text(Version::V3_1)
}

/// The values that job events report under `key`, or which event is damaged.
pub fn results(events: &Value, key: &str) -> serde_json::Result<Vec<Value>> {
    Ok(events::extract(&job_events(events)?, key))
}

/// The log lines of job events.
pub fn log_lines(events: &Value) -> serde_json::Result<Vec<String>> {
    let printed = job_events(events)?.into_iter().filter_map(|event| event.stdout);
    let kept: Vec<String> =
        printed.filter(|text| !text.is_empty()).flat_map(|text| events::raw_lines(&text)).collect();
    Ok(events::clean_lines(&kept))
}

fn job_events(events: &Value) -> serde_json::Result<Vec<JobEvent>> {
    serde_json::from_value(events.clone())
}

/// The name of the guest `vm_id` in a reported list of guests.
pub fn name_of_guest(listed: &[Value], vm_id: &str) -> Option<Value> {
    look_up::find(listed, vm_id).map(|found| found.name)
}

/// Coerces `value` with a schema of `document`; returns the value or the kind of the first error.
pub fn read_laxly(document: &Value, schema: &Value, value: &Value) -> Result<Value, &'static str> {
    let rule = Rule::compile(document, schema);
    let mut errors = Errors::default();
    let read = rule.check(value, &mut Vec::new(), &mut errors);
    match errors.into_vec().first() {
        Some(error) => Err(error.kind),
        None => Ok(read.expect("a value or an error")),
    }
}

/// Waits until all changes are written to the history.
pub async fn history_is_written(app: &App) {
    app.runs.flush_history(Duration::from_secs(60)).await;
}

/// Ends all runs, as on shutdown.
pub fn end_all_runs(app: &App) {
    app.runs.cancel_all(Stop::Gently);
}
