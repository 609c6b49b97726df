//! The task of a run, from its acceptance to its end: when it starts, what stops it, in which
//! state it ends, and how that is explained to clients.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;

use crate::ansible::reaper;
use crate::ansible::reaper::Stop;
use crate::redaction::Redaction;
use crate::runs::context::RunContext;
use crate::runs::outcome::conclude;
use crate::runs::phases::Phases;
use crate::runs::record::Record;
use crate::runs::recorder::Recorder;
use crate::runs::secrets;
use crate::runs::{Ending, Outcome, Run, RunResult, RunSpec, RunState, worker};

/// Drives a run to its end.
pub(super) async fn drive(context: Arc<RunContext>, run: Arc<Run>, spec: RunSpec) {
    let stop = run.stop();
    let admitted = tokio::select! {
        biased;
        () = reaper::stop_requested(&stop) => false,
        () = run.admitted.notified() => true,
    };
    let started = admitted && run.start();
    if run.is_kept() {
        return;
    }
    let secrets = spec.secrets.clone();
    let redaction = tokio::task::spawn_blocking({
        let settings = context.settings.clone();
        move || secrets::redaction(&settings, secrets.texts())
    });
    // If the secrets cannot be determined, everything is redacted.
    let redaction = redaction.await.unwrap_or_else(|_| Redaction::everything());
    let outcome = if started {
        tracing::info!("run started");
        // Boxed, so that queued runs do not pay for the memory of running ones.
        Box::pin(execute(&context, &run, spec, redaction.clone())).await
    } else {
        Outcome::Finished(RunResult::default())
    };
    finish(&context, &run, outcome, &redaction).await;
}

/// Executes the plan within the time limit. A panic is an outcome too.
async fn execute(context: &RunContext, run: &Run, spec: RunSpec, redaction: Redaction) -> Outcome {
    // First of all: for recovery, a run with a log has started.
    let log = context.logs.create(run.id);
    let playbooks = run.snapshot().record.progress.playbooks;
    let recorder = Recorder::new(redaction, log, playbooks, Some(context.metrics.clone()));
    let work = worker::execute(context, run, spec, recorder);
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::pin!(work);
    let mut time_limit = std::pin::pin!(async {
        match context.settings.limits.run_time {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    });
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = &mut time_limit => {
            tracing::warn!("the run exceeds its time limit and is being stopped");
            context.request_end(run, Ending::TimeLimit, Stop::Gently);
            work.await
        }
    };
    match ended {
        Ok(outcome) => outcome,
        Err(_) => {
            end_processes(run, Stop::AtOnce).await;
            let reason = "the server had an internal error while the run was in progress";
            Outcome::Unknown(reason.to_owned())
        }
    }
}

/// Ends the processes of the run, and returns when none is left.
async fn end_processes(run: &Run, at_least: Stop) {
    let (id, mut stop) = (run.id.to_string(), run.stop());
    if *stop.borrow() < at_least {
        stop = tokio::sync::watch::channel(at_least).1;
    }
    let ended = tokio::task::spawn_blocking(move || reaper::end(&id, None, &stop)).await;
    if let Err(error) = ended {
        tracing::error!(%error, "cannot look for the processes of the run");
    }
}

/// Records how the run ended, releases its claims, and starts the runs that can start now.
async fn finish(context: &RunContext, run: &Run, outcome: Outcome, redaction: &Redaction) {
    let outcome = redacted(outcome, redaction);
    loop {
        let before = run.snapshot().record;
        if before.ending.is_some() && before.started.is_some() {
            end_processes(run, Stop::Gently).await;
        }
        let (record, outcome) = conclude(before, outcome.clone());
        let result = match &outcome {
            Outcome::Finished(ended) => Value::Array(ended.result.clone()),
            _ => Value::Null,
        };
        // Under the lock, so that a client that sees the end finds the run in the history.
        let mut active = context.active();
        if !run.finish(&record, outcome) {
            continue;
        }
        log_end(&record);
        let duration = |ended: jiff::Timestamp| {
            record.started.map(|started| ended.duration_since(started).as_secs_f64())
        };
        context.metrics.count_ended(record.state, record.ended.and_then(duration));
        context.history.upsert(record, result);
        context.remove(&mut active, run.id);
        return;
    }
}

fn redacted(mut outcome: Outcome, redaction: &Redaction) -> Outcome {
    match &mut outcome {
        // Its values and its error come from job events, which the recorder has redacted.
        Outcome::Finished(_) => {}
        Outcome::NotFound(text)
        | Outcome::Refused(text)
        | Outcome::Failed(text)
        | Outcome::Unknown(text) => *text = redaction.text(text),
    }
    outcome
}

fn log_end(record: &Record) {
    let (state, rc, error) = (record.state.name(), record.rc, record.error.as_deref());
    match record.state {
        RunState::Succeeded => tracing::info!(state, rc, "run ended"),
        _ => tracing::warn!(state, rc, error, "run ended"),
    }
    let Phases { queue_ms, look_up_ms, prepare_ms, start_ms, play_ms, end_ms, clean_up_ms } =
        record.phases;
    tracing::debug!(
        queue_ms,
        look_up_ms,
        prepare_ms,
        start_ms,
        play_ms,
        end_ms,
        clean_up_ms,
        "duration of each phase"
    );
}
