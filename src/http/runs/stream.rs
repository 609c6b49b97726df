//! The events of a run as a stream of server-sent events, past ones first.
//!
//! Each job event is sent exactly once, with its number as the id. A client that reconnects names
//! the last event that it received in `Last-Event-ID`, as browsers do. The run itself is sent when
//! its state or queue position changes, and at the end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;
use uuid::Uuid;

use crate::http::App;
use crate::http::error::Error;
use crate::http::runs::body::RunBody;
use crate::http::runs::{blocking, not_found, parse};
use crate::runs::log::files::{LogKind, LogOffset};
use crate::runs::record::{QueuePosition, Record};
use crate::runs::{AnyRun, Outcome, RunSnapshot, RunState};

/// The most bytes of job events that are read ahead for a client.
const READ_AHEAD: usize = 256 * 1024;

/// The interval of keep-alive comments. nginx and Kong close a connection that is idle for 60 s
/// (`proxy_read_timeout` and `read_timeout`).
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Disables response buffering in nginx and Kong.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Handles `GET /v0/admin/runs/{run_id}/events`.
///
/// # Errors
///
/// If the run cannot be found, or its history or job events cannot be read.
pub async fn events(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let id = parse(&id)?;
    let runs = app.clone();
    let follow = match blocking(move || runs.runs.find(id)).await? {
        Some(AnyRun::Active(run)) => run.follow(),
        Some(AnyRun::Ended(stored)) => {
            let outcome = Some(Arc::new(Outcome::Finished(Default::default())));
            watch::channel(RunSnapshot { record: stored.record, outcome }).1
        }
        None => return Err(not_found(&id.to_string())),
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse().ok());
    let last: u64 = last.unwrap_or(0);
    let record = follow.borrow().record.clone();
    if record.state.is_final() && last > record.job_events {
        // The client has received everything. A 204 stops browsers from reconnecting.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let runs = app.clone();
    let from = last.min(record.job_events);
    let offset = blocking(move || Ok(runs.runs.logs().find(id, LogKind::JobEvents, from)?)).await?;
    let feed =
        EventFeed { app, id, follow, offset, ready: VecDeque::new(), last_sent: None, done: false };
    let sse = Sse::new(feed.stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = sse.into_response();
    response.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The stream of one client.
struct EventFeed {
    app: Arc<App>,
    id: Uuid,
    follow: watch::Receiver<RunSnapshot>,
    offset: LogOffset,
    ready: VecDeque<Event>,
    /// The state and queue position that were sent last.
    last_sent: Option<(RunState, Option<QueuePosition>)>,
    done: bool,
}

impl EventFeed {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut feed| async move {
            let event = feed.next().await?;
            Some((Ok(event), feed))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.done {
                return None;
            }
            let record = self.follow.borrow_and_update().record.clone();
            let ended = record.state.is_final();
            if !ended && self.has_changed(&record) {
                return Some(state_event(&record));
            }
            if self.offset.line < record.job_events {
                self.read(record.job_events).await?;
            } else if ended {
                self.done = true;
                // A client that reconnects with this id gets a 204.
                return Some(state_event(&record).id((record.job_events + 1).to_string()));
            } else {
                self.follow.changed().await.ok()?;
            }
        }
    }

    fn has_changed(&mut self, record: &Record) -> bool {
        let now = Some((record.state, record.queue.clone()));
        let changed = self.last_sent != now;
        self.last_sent = now;
        changed
    }

    /// Reads more job events, up to number `end`. Returns `None` if there are none because the run has
    /// been deleted.
    async fn read(&mut self, end: u64) -> Option<()> {
        let (app, id, offset) = (self.app.clone(), self.id, self.offset);
        let read = blocking(move || {
            Ok(app.runs.logs().read(id, LogKind::JobEvents, offset, end, READ_AHEAD)?)
        });
        let page = read.await.ok().filter(|page| !page.lines.is_empty())?;
        let numbers = offset.line + 1..;
        self.offset = page.next;
        self.ready.extend(numbers.zip(page.lines).map(|(number, line)| {
            Event::default().event("job_event").id(number.to_string()).data(line)
        }));
        Some(())
    }
}

fn state_event(record: &Record) -> Event {
    let text = serde_json::to_string(&RunBody::from(record)).unwrap_or_default();
    Event::default().event("run").data(text)
}
