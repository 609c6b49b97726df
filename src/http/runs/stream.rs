//! The events of a run as a stream: what was, then what comes, without a gap or a double.
//!
//! Each job event is sent once, with its number as the id of the server-sent event; a client
//! that comes back says the last one it has seen in `Last-Event-ID`, as browsers do. Between
//! them the run itself is sent when its state changes, and once more at the end.

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
use crate::runs::log::files::{Mark, Part};
use crate::runs::record::{Place, Record};
use crate::runs::{Found, Outcome, State, View};

/// How many bytes of job events are read ahead of a client.
const PAGE: usize = 256 * 1024;

/// Proxies cut connections that are silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Tells buffering proxies that this is a stream.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `GET …/events`.
pub async fn events(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let id = parse(&id)?;
    let runs = app.clone();
    let follow = match blocking(move || runs.runs.find(id)).await? {
        Some(Found::Live(run)) => run.follow(),
        Some(Found::Past(kept)) => {
            let outcome = Some(Arc::new(Outcome::Ended(Default::default())));
            watch::channel(View { record: kept.record, outcome }).1
        }
        None => return Err(not_found(&id.to_string())),
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse().ok());
    let last: u64 = last.unwrap_or(0);
    let record = follow.borrow().record.clone();
    if record.state.is_final() && last > record.job_events {
        // All of it has been seen. This answer keeps a browser from asking for ever.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let runs = app.clone();
    let from = last.min(record.job_events);
    let mark = blocking(move || Ok(runs.runs.journals().find(id, Part::JobEvents, from)?)).await?;
    let feed = Feed { app, id, follow, mark, ready: VecDeque::new(), told: None, done: false };
    let sse = Sse::new(feed.stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = sse.into_response();
    response.headers_mut().insert(UNBUFFERED, HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What one client has been sent, and where the rest comes from.
struct Feed {
    app: Arc<App>,
    id: Uuid,
    follow: watch::Receiver<View>,
    mark: Mark,
    ready: VecDeque<Event>,
    /// The state and place that the client knows.
    told: Option<(State, Option<Place>)>,
    done: bool,
}

impl Feed {
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
            if !ended && self.is_news(&record) {
                return Some(state_event(&record));
            }
            if self.mark.line < record.job_events {
                self.read(record.job_events).await?;
            } else if ended {
                self.done = true;
                // Its id says that there is nothing after it.
                return Some(state_event(&record).id((record.job_events + 1).to_string()));
            } else {
                self.follow.changed().await.ok()?;
            }
        }
    }

    fn is_news(&mut self, record: &Record) -> bool {
        let now = Some((record.state, record.queue.clone()));
        let news = self.told != now;
        self.told = now;
        news
    }

    /// Reads more job events, up to the one numbered `end`. None where they are gone, since
    /// the run was deleted meanwhile.
    async fn read(&mut self, end: u64) -> Option<()> {
        let (app, id, mark) = (self.app.clone(), self.id, self.mark);
        let read =
            blocking(move || Ok(app.runs.journals().read(id, Part::JobEvents, mark, end, PAGE)?));
        let page = read.await.ok().filter(|page| !page.lines.is_empty())?;
        let numbers = mark.line + 1..;
        self.mark = page.next;
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
