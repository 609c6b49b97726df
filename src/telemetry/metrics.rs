//! What the service measures of itself, in the text format of Prometheus.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::ansible::executor;
use crate::runs::State;

/// The labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Its method; one that no route knows is `other`.
    pub method: &'static str,
    /// The route that it matched, so that ids in paths do not become labels.
    pub route: String,
    /// The status of the answer.
    pub status: u16,
}

/// The label of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RunLabels {
    /// Where it is in its life, or how it ended.
    pub state: State,
}

/// The label of a poll of Proxmox.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PollLabels {
    /// `ok`; `failed`, which passes; or `refused`, which lasts.
    pub result: &'static str,
}

/// The label of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EngineLabels {
    /// Its name.
    pub engine: &'static str,
}

/// Polls of Proxmox, by result.
pub type Polls = Family<PollLabels, Counter>;

impl EncodeLabelValue for State {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.name(), encoder)
    }
}

/// All measures of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    /// Runs that have not ended, by state.
    runs: Family<RunLabels, Gauge>,
    /// Runs that have ended, by state.
    runs_ended: Family<RunLabels, Counter>,
    /// How long runs took, from the start of their work.
    run_seconds: Histogram,
    /// 1 for the engine that would start a playbook now, 0 for the other.
    engine_serves: Family<EngineLabels, Gauge>,
    /// How long tasks took.
    pub task_seconds: Histogram,
    /// How many runs wait for their turn.
    pub queue_length: Gauge,
    /// WebSocket clients that are connected.
    pub websocket_clients: Gauge,
    /// Polls of Proxmox for the live status.
    pub polls: Polls,
}

impl Metrics {
    /// All at zero. `engine` is the one that was chosen to start playbook runs.
    pub fn new(engine: &'static str) -> Self {
        let mut registry = Registry::with_prefix("range42");
        let new = Self {
            requests: Family::default(),
            request_seconds: Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0]),
            runs: Family::default(),
            runs_ended: Family::default(),
            run_seconds: Histogram::new([
                0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1200.0, 3600.0,
            ]),
            engine_serves: Family::default(),
            task_seconds: Histogram::new([0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0]),
            queue_length: Gauge::default(),
            websocket_clients: Gauge::default(),
            polls: Family::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests by matched route", new.requests.clone());
        registry.register("request_seconds", "Time to the answer", new.request_seconds.clone());
        registry.register("runs", "Runs that have not ended", new.runs.clone());
        registry.register("runs_ended", "Runs that have ended", new.runs_ended.clone());
        registry.register("run_seconds", "Time that runs took", new.run_seconds.clone());
        registry.register(
            "engine_serves",
            "1 for the engine that would start a playbook now",
            new.engine_serves.clone(),
        );
        registry.register("task_seconds", "Time that tasks took", new.task_seconds.clone());
        registry.register("queue_length", "Runs waiting for their turn", new.queue_length.clone());
        registry.register(
            "websocket_clients",
            "Connected WebSocket clients",
            new.websocket_clients.clone(),
        );
        registry.register("polls", "Polls of Proxmox by result", new.polls.clone());
        let build = [("version", env!("CARGO_PKG_VERSION")), ("engine", engine)];
        registry.register("build", "The version, and the engine that was chosen", Info::new(build));
        for state in State::ALL {
            if state.is_final() {
                drop(new.runs_ended.get_or_create(&RunLabels { state }));
            } else {
                drop(new.runs.get_or_create(&RunLabels { state }));
            }
        }
        Self { registry, ..new }
    }

    /// Counts an answered request.
    pub fn answered(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Says in which states the runs are that have not ended.
    pub fn count_runs(&self, states: Vec<State>) {
        for state in State::ALL.into_iter().filter(|state| !state.is_final()) {
            let count = states.iter().filter(|other| **other == state).count();
            self.runs
                .get_or_create(&RunLabels { state })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Says which engine would start a playbook now.
    pub fn engine_serves(&self, name: &str) {
        for engine in executor::NAMES {
            self.engine_serves
                .get_or_create(&EngineLabels { engine })
                .set(i64::from(engine == name));
        }
    }

    /// Counts a run that ended, after `seconds` of work.
    pub fn ended(&self, state: State, seconds: Option<f64>) {
        self.runs_ended.get_or_create(&RunLabels { state }).inc();
        seconds.into_iter().for_each(|seconds| self.run_seconds.observe(seconds));
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
