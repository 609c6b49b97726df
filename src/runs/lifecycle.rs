//! One run from its acceptance to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;

use crate::ansible::reaper;
use crate::ansible::reaper::Stop;
use crate::redaction::Redaction;
use crate::runs::phases::Phases;
use crate::runs::record::{Record, now};
use crate::runs::recorder::Recorder;
use crate::runs::secrets;
use crate::runs::state::CANNOT_UNDO;
use crate::runs::{Asked, Ended, Ending, Means, Outcome, Run, State, worker};

/// Lives the life of a run, in a task of its own.
pub(super) async fn live(means: Arc<Means>, run: Arc<Run>, asked: Asked) {
    let stop = run.stop();
    let turn = tokio::select! {
        biased;
        () = reaper::stop_requested(&stop) => false,
        () = run.turn.notified() => true,
    };
    let begun = turn && run.begin();
    let secrets = asked.secrets.clone();
    let redaction = tokio::task::spawn_blocking({
        let settings = means.settings.clone();
        move || secrets::redaction(&settings, &secrets)
    });
    // Where it is not known what is secret, everything is.
    let redaction = redaction.await.unwrap_or_else(|_| Redaction::everything());
    let outcome = if begun {
        tracing::info!("run started");
        // In a place of its own, which a run that waits does not need yet.
        Box::pin(at_work(&means, &run, asked, redaction.clone())).await
    } else {
        Outcome::Ended(Ended::default())
    };
    end(&means, &run, outcome, &redaction).await;
}

/// The work itself, ended when its time is up. A panic in it is an outcome like another.
async fn at_work(means: &Means, run: &Run, asked: Asked, redaction: Redaction) -> Outcome {
    let journal = means.journals.write(run.id);
    let playbooks = run.view().record.progress.playbooks;
    let recorder = Recorder::new(redaction, journal, playbooks, Some(means.metrics.clone()));
    let work = AssertUnwindSafe(worker::perform(means, run, asked.plan, recorder)).catch_unwind();
    tokio::pin!(work);
    let mut time_left = std::pin::pin!(async {
        match means.settings.limits.run_time {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    });
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = &mut time_left => {
            tracing::warn!("the run takes longer than a run may: it is being ended");
            means.begin_to_end(run, Ending::TimeLimit, Stop::Gently);
            work.await
        }
    };
    match ended {
        Ok(outcome) => outcome,
        Err(_) => {
            end_processes(run, Stop::AtOnce).await;
            Outcome::Unclear("the server had a fault while it watched the run".to_owned())
        }
    }
}

/// Looks until no process of the run is left.
async fn end_processes(run: &Run, at_least: Stop) {
    let (id, mut stop) = (run.id.to_string(), run.stop());
    if *stop.borrow() < at_least {
        stop = tokio::sync::watch::channel(at_least).1;
    }
    let ended = tokio::task::spawn_blocking(move || reaper::end(&id, None, &stop)).await;
    if let Err(error) = ended {
        tracing::error!(%error, "the processes of the run could not be looked for");
    }
}

/// Writes down how the run ended, frees what it held, and lets the next ones begin.
async fn end(means: &Means, run: &Run, outcome: Outcome, redaction: &Redaction) {
    let outcome = redacted(outcome, redaction);
    loop {
        let before = run.view().record;
        if before.ending.is_some() && before.started.is_some() {
            end_processes(run, Stop::Gently).await;
        }
        let (record, outcome) = concluded(before, outcome.clone());
        let result = match &outcome {
            Outcome::Ended(ended) => Value::Array(ended.result.clone()),
            _ => Value::Null,
        };
        // Whoever hears of the end and looks the run up finds it in the history.
        let mut live = means.live();
        if !run.finish(&record, outcome) {
            continue;
        }
        log_end(&record);
        let took = |ended: jiff::Timestamp| {
            record.started.map(|started| ended.duration_since(started).as_secs_f64())
        };
        means.metrics.count_ended(record.state, record.ended.and_then(took));
        means.history.keep(record, result);
        live.runs.remove(&run.id);
        live.same.retain(|_, joinable| joinable.run.id != run.id);
        let turns = live.queue.leave(run.id);
        means.take_turns(&live, &turns);
        return;
    }
}

/// What is known of a run at its end, and what it answers.
pub(super) fn concluded(mut record: Record, outcome: Outcome) -> (Record, Outcome) {
    record.ended = Some(now());
    record.queue = None;
    let outcome = match record.ending {
        Some(ending) => {
            record.state = ending.state();
            record.explanation = ended_before_done(&record, ending, &outcome);
            let ended = match outcome {
                Outcome::Ended(ended) => ended,
                _ => Ended::default(),
            };
            Outcome::Ended(Ended { error: Some(record.explanation.clone()), ..ended })
        }
        None => {
            (record.state, record.explanation) = by_itself(&outcome);
            outcome
        }
    };
    match &outcome {
        Outcome::Ended(ended) => {
            record.rc = ended.rc;
            record.error.clone_from(&ended.error);
        }
        Outcome::NotFound(reason)
        | Outcome::Refused(reason)
        | Outcome::Failed(reason)
        | Outcome::Unclear(reason) => record.error = Some(reason.clone()),
    }
    (record, outcome)
}

fn by_itself(outcome: &Outcome) -> (State, String) {
    match outcome {
        Outcome::Ended(Ended { rc: Some(0), .. }) => {
            (State::Succeeded, "The run ended well.".to_owned())
        }
        Outcome::Ended(Ended { rc: Some(rc), .. }) => {
            (State::Failed, format!("A playbook failed with exit code {rc}."))
        }
        Outcome::Ended(Ended { rc: None, reported: true, .. }) => {
            (State::Failed, "A playbook was ended by a signal that was not ours.".to_owned())
        }
        Outcome::Ended(Ended { rc: None, reported: false, .. }) => {
            let sentence = "ansible-runner was killed, so it is not known how far the playbook \
                            came. What was left of it has been ended.";
            (State::Unknown, sentence.to_owned())
        }
        Outcome::NotFound(reason) => {
            (State::Failed, format!("Nothing was changed, because {reason}."))
        }
        Outcome::Refused(reason) => {
            (State::Failed, format!("Nothing was started, because there is {reason}."))
        }
        Outcome::Failed(reason) => (State::Failed, format!("The run failed: {reason}.")),
        Outcome::Unclear(reason) => {
            (State::Unknown, format!("It is not known how the run ended: {reason}."))
        }
    }
}

fn ended_before_done(record: &Record, ending: Ending, outcome: &Outcome) -> String {
    if record.started.is_none() {
        return format!("{} before it was begun. Nothing was done.", ending.reason());
    }
    let late = match outcome {
        Outcome::Ended(Ended { rc: Some(0), .. }) => " A playbook of it had just ended well.",
        _ => "",
    };
    format!("{}.{late} {CANNOT_UNDO}", ending.reason())
}

fn redacted(mut outcome: Outcome, redaction: &Redaction) -> Outcome {
    match &mut outcome {
        // Its values and its error come from job events, which are redacted as they are read.
        Outcome::Ended(_) => {}
        Outcome::NotFound(text)
        | Outcome::Refused(text)
        | Outcome::Failed(text)
        | Outcome::Unclear(text) => *text = redaction.text(text),
    }
    outcome
}

fn log_end(record: &Record) {
    let (state, rc, error) = (record.state.name(), record.rc, record.error.as_deref());
    match record.state {
        State::Succeeded => tracing::info!(state, rc, "run ended"),
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
        "where its time went"
    );
}
