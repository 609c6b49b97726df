//! The life of a run: from a plan to an outcome, whatever becomes of the client.

pub mod look_up;
pub mod plan;
mod work;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use crate::ansible::engine::Engine;
use crate::ansible::vault::VaultPassword;
use crate::settings::Settings;
pub use plan::{Plan, Step};

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its playbooks ran; `rc` of the last one says how that went.
    Ended(Ended),
    /// What it was to work on does not exist.
    NotFound(String),
    /// It could not be begun as the server is set up; nothing was started.
    Refused(String),
    /// It failed without a result.
    Failed(String),
}

/// What a run reported.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code of ansible-playbook; none where a signal ended it.
    pub rc: Option<i32>,
    /// The values reported under the plan's action.
    pub result: Vec<Value>,
    /// The lines of the log.
    pub log: Vec<String>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// A run that was accepted.
pub struct Accepted {
    /// Its id.
    pub id: Uuid,
    outcome: oneshot::Receiver<Outcome>,
}

impl Accepted {
    /// Waits for the end. Dropping this changes nothing about the run.
    pub async fn outcome(self) -> Outcome {
        // The sender is gone only if the run's task panicked.
        let crashed = "the run ended by a fault of the server";
        self.outcome.await.unwrap_or_else(|_| Outcome::Failed(crashed.to_owned()))
    }
}

/// The runs of a server.
#[derive(Clone)]
pub struct Runs {
    inner: Arc<Means>,
}

/// What every run needs.
pub(crate) struct Means {
    pub(crate) settings: Arc<Settings>,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) vault: VaultPassword,
}

impl Runs {
    /// No runs yet.
    pub fn new(settings: Arc<Settings>, engine: Box<dyn Engine>, vault: VaultPassword) -> Self {
        Self { inner: Arc::new(Means { settings, engine, vault }) }
    }

    /// Starts a run. It belongs to a task of its own from here on.
    pub fn start(&self, plan: Plan) -> Accepted {
        let id = Uuid::now_v7();
        let (sender, outcome) = oneshot::channel();
        let means = self.inner.clone();
        let span = tracing::info_span!("run", run_id = %id, operation = plan.operation);
        let work = async move {
            tracing::info!("run started");
            let outcome = work::perform(&means, id, plan).await;
            log_end(&outcome);
            // A client that went away does not want it any more.
            let _ = sender.send(outcome);
        };
        tokio::spawn(work.instrument(span));
        Accepted { id, outcome }
    }
}

fn log_end(outcome: &Outcome) {
    match outcome {
        Outcome::Ended(Ended { rc: Some(0), .. }) => tracing::info!(rc = 0, "run succeeded"),
        Outcome::Ended(Ended { rc, error, .. }) => {
            tracing::warn!(rc = ?rc, error = error.as_deref().unwrap_or_default(), "run failed");
        }
        Outcome::NotFound(reason) | Outcome::Refused(reason) => {
            tracing::warn!(error = %reason, "run not begun");
        }
        Outcome::Failed(reason) => tracing::error!(error = %reason, "run failed"),
    }
}
