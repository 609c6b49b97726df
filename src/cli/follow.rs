//! `runs follow`: the log of a run as it is written, with a progress line below it.

use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use futures_util::stream::try_unfold;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::ansible::events::{raw_lines, strip_ansi};
use crate::cli::runs::{Server, duration};
use crate::runs::record::Record;

/// The delay before a stream that broke off is resumed.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// The most attempts in a row without a new event.
const MAX_RECONNECTS: u32 = 30;

/// Follows a run to its end. The exit code is 0 if the run succeeded.
///
/// # Errors
///
/// If the run cannot be found, or the stream cannot be resumed.
pub(super) async fn follow(server: &Server, id: &str) -> Result<ExitCode, String> {
    let mut screen = Screen::new();
    let mut last_id = String::new();
    let mut failures = 0;
    loop {
        let headers = [("last-event-id", last_id.clone())];
        let headers = if last_id.is_empty() { &[][..] } else { &headers[..] };
        match server.send(Method::GET, &format!("/{id}/events"), headers).await {
            Ok(stream) => {
                let seen = last_id.clone();
                if let Some(run) = read(stream, &mut screen, &mut last_id).await {
                    return Ok(screen.end(&run));
                }
                failures = if seen == last_id { failures + 1 } else { 0 };
            }
            // Without a first response, there is nothing to resume.
            Err(error) if screen.run.is_none() || failures >= MAX_RECONNECTS => return Err(error),
            Err(_) => failures += 1,
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

/// Prints the events of a stream. Returns the run when it has ended, or `None` if the stream broke
/// off before.
async fn read(stream: Response, screen: &mut Screen, last_id: &mut String) -> Option<Record> {
    let chunks = try_unfold(stream, |mut stream| async {
        Ok::<_, reqwest::Error>(stream.chunk().await?.map(|chunk| (chunk, stream)))
    });
    let mut events = pin!(chunks.eventsource());
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    loop {
        let event = tokio::select! {
            event = events.next() => event?.ok()?,
            _ = clock.tick() => {
                screen.progress();
                continue;
            }
        };
        if !event.id.is_empty() {
            *last_id = event.id;
        }
        match event.event.as_str() {
            "job_event" => screen.job_event(&event.data),
            "run" => screen.run = serde_json::from_str(&event.data).ok(),
            _ => {}
        }
        if let Some(run) = screen.run.take_if(|run| run.state.is_final()) {
            return Some(run);
        }
        screen.progress();
    }
}

/// The terminal: the log goes to standard output, the progress line to standard error.
struct Screen {
    colors: bool,
    terminal: bool,
    run: Option<Record>,
    tasks: usize,
    task: String,
}

impl Screen {
    fn new() -> Self {
        let colors = io::stdout().is_terminal();
        let terminal = io::stderr().is_terminal();
        Self { colors, terminal, run: None, tasks: 0, task: String::new() }
    }

    fn job_event(&mut self, data: &str) {
        let Ok(event) = serde_json::from_str::<Value>(data) else { return };
        if event["event"].as_str().is_some_and(|kind| kind.ends_with("task_start")) {
            self.tasks += 1;
            self.task = event["event_data"]["task"].as_str().unwrap_or_default().to_owned();
        }
        let printed = event["stdout"].as_str().unwrap_or_default();
        if printed.is_empty() {
            return;
        }
        self.clear();
        let mut out = io::stdout().lock();
        for line in raw_lines(printed) {
            let line = if self.colors { line } else { strip_ansi(&line) };
            // A closed pipe is not an error: the reader has seen enough.
            let _ = writeln!(out, "{line}");
        }
    }

    fn progress(&self) {
        let (true, Some(run)) = (self.terminal, &self.run) else { return };
        let text = match &run.queue {
            Some(queue) => format!("queued at position {}: {}", queue.position, queue.reason),
            None => {
                let state = run.state.name();
                format!("{state} {}, task {}: {}", duration(run), self.tasks, self.task)
            }
        };
        // Some terminals report a width of 0.
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
        let width = if width == 0 { 80 } else { width };
        let text: String = text.chars().take(usize::from(width).saturating_sub(1)).collect();
        self.clear();
        let mut terminal = io::stderr().lock();
        let _ = write!(terminal, "{text}").and_then(|()| terminal.flush());
    }

    fn clear(&self) {
        if self.terminal {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }

    /// Prints how the run ended.
    fn end(&self, run: &Record) -> ExitCode {
        self.clear();
        let hosts = run.hosts;
        eprintln!("{}: {} ({})", run.state.name(), run.explanation, duration(run));
        eprintln!("hosts: {} ok, {} changed, {} failed", hosts.ok, hosts.changed, hosts.failed);
        if let Some(error) = &run.error {
            eprintln!("{error}");
        }
        let succeeded = run.state == crate::runs::RunState::Succeeded;
        if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy may change line ends and split data into several lines.
    #[tokio::test]
    async fn any_valid_framing_of_the_stream_is_parsed() {
        let text = ": still there\r\n\r\nid: 1\r\nevent: job_event\r\n\
            data: {\"event\": \"playbook_on_task_start\",\r\n\
            data: \"event_data\": {\"task\": \"t\"}}\r\n\r\nid: 2\r\n";
        let mut screen = Screen::new();
        let mut last_id = String::new();
        let response = hyper::Response::new(text).into();
        assert!(read(response, &mut screen, &mut last_id).await.is_none());
        assert_eq!((screen.tasks, screen.task.as_str()), (1, "t"));
        assert_eq!(last_id, "1", "an incomplete event is requested again");
    }
}
