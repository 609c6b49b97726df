//! The metrics of runs.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;

use super::RunState;
use crate::ansible::executor;
use crate::telemetry::metrics::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    state: RunState,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EngineLabels {
    engine: &'static str,
}

impl EncodeLabelValue for RunState {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.name(), encoder)
    }
}

/// The metrics of a server's runs.
#[derive(Debug)]
pub struct RunMetrics {
    /// Active runs, by state.
    active: Family<RunLabels, Gauge>,
    /// Runs that have ended, by state.
    ended: Family<RunLabels, Counter>,
    /// Seconds from the start of a run to its end, without its time in the queue.
    seconds: Histogram,
    /// 1 for the engine that would start the next playbook, 0 for the other.
    engine_serves: Family<EngineLabels, Gauge>,
    /// Seconds per Ansible task.
    pub task_seconds: Histogram,
    /// Queued runs.
    pub queue_length: Gauge,
}

impl RunMetrics {
    /// Registers the metrics with all counts at zero. `engine` is the name of the configured engine.
    pub fn register(registry: &mut Registry, engine: &'static str) -> Self {
        let seconds = [0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1200.0, 3600.0];
        let metrics = Self {
            active: Family::default(),
            ended: Family::default(),
            seconds: Histogram::new(seconds),
            engine_serves: Family::default(),
            task_seconds: Histogram::new([0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0]),
            queue_length: Gauge::default(),
        };
        registry.register("runs", "Runs that have not ended", metrics.active.clone());
        registry.register("runs_ended", "Runs that have ended", metrics.ended.clone());
        registry.register(
            "run_seconds",
            "Time from the start of a run to its end",
            metrics.seconds.clone(),
        );
        let serves = "1 for the engine that would start the next playbook";
        registry.register("engine_serves", serves, metrics.engine_serves.clone());
        registry.register(
            "task_seconds",
            "Time that Ansible tasks took",
            metrics.task_seconds.clone(),
        );
        let waiting = "Queued runs";
        registry.register("queue_length", waiting, metrics.queue_length.clone());
        let build = [("version", env!("CARGO_PKG_VERSION")), ("engine", engine)];
        registry.register("build", "The version and the configured engine", Info::new(build));
        for state in RunState::ALL {
            if state.is_final() {
                drop(metrics.ended.get_or_create(&RunLabels { state }));
            } else {
                drop(metrics.active.get_or_create(&RunLabels { state }));
            }
        }
        metrics
    }

    /// Sets the number of active runs in each state.
    pub fn set_active(&self, states: &[RunState]) {
        for state in RunState::ALL.into_iter().filter(|state| !state.is_final()) {
            let count = states.iter().filter(|other| **other == state).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.active.get_or_create(&RunLabels { state }).set(count);
        }
    }

    /// Sets the engine that would start the next playbook.
    pub fn set_engine(&self, name: &str) {
        for engine in executor::NAMES {
            let serves = i64::from(engine == name);
            self.engine_serves.get_or_create(&EngineLabels { engine }).set(serves);
        }
    }

    /// Counts a run that ended in `state`, `seconds` after its start if it had started.
    pub fn count_ended(&self, state: RunState, seconds: Option<f64>) {
        self.ended.get_or_create(&RunLabels { state }).inc();
        seconds.into_iter().for_each(|seconds| self.seconds.observe(seconds));
    }
}
