//! The log of a run while it is written, with a progress line below it.

use std::io;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use crate::ansible::events::{raw_lines, strip_ansi};
use crate::cli::runs::{Server, said, took};
use crate::runs::record::Record;

/// The pause before a stream that broke off is taken up again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often that is tried in a row.
const ATTEMPTS: u32 = 30;

/// Follows a run to its end.
pub(super) async fn follow(server: &Server, id: &str) -> Result<ExitCode, String> {
    let mut screen = Screen::new();
    let mut last_id = String::new();
    let mut failures = 0;
    loop {
        let headers = [("last-event-id", last_id.clone())];
        let headers = if last_id.is_empty() { &[][..] } else { &headers[..] };
        match server.ask(Method::GET, &format!("/{id}/events"), headers).await {
            Ok(stream) => {
                let seen = last_id.clone();
                if let Some(run) = read(stream, &mut screen, &mut last_id).await {
                    return Ok(screen.end(&run));
                }
                failures = if seen == last_id { failures + 1 } else { 0 };
            }
            // A run that was never found is not waited for.
            Err(error) if screen.run.is_none() || failures >= ATTEMPTS => return Err(error),
            Err(_) => failures += 1,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Shows what a stream brings. Answers the run when it has ended, and nothing where the stream
/// broke off before.
async fn read(mut stream: Response, screen: &mut Screen, last_id: &mut String) -> Option<Record> {
    let mut received: Vec<u8> = Vec::new();
    // Events can be large; what has been searched for their end is not searched again.
    let mut searched = 0;
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    loop {
        let chunk = tokio::select! {
            chunk = stream.chunk() => chunk.map_err(said).ok().flatten()?,
            _ = clock.tick() => {
                screen.progress();
                continue;
            }
        };
        received.extend_from_slice(&chunk);
        while let Some(end) = end_of_event(&received[searched..]) {
            let event: Vec<u8> = received.drain(..searched + end).collect();
            searched = 0;
            let event = Event::parse(&String::from_utf8_lossy(&event));
            if !event.id.is_empty() {
                *last_id = event.id;
            }
            match event.kind.as_str() {
                "job_event" => screen.job_event(&event.data),
                "run" => screen.run = serde_json::from_str(&event.data).ok(),
                _ => {}
            }
            if let Some(run) = screen.run.take_if(|run| run.state.is_final()) {
                return Some(run);
            }
        }
        searched = received.len().saturating_sub(1);
        screen.progress();
    }
}

/// An empty line ends an event.
fn end_of_event(text: &[u8]) -> Option<usize> {
    text.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2)
}

/// A server-sent event.
#[derive(Default)]
struct Event {
    kind: String,
    id: String,
    data: String,
}

impl Event {
    fn parse(text: &str) -> Self {
        let mut event = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event.kind = value.to_owned(),
                "id" => event.id = value.to_owned(),
                "data" => event.data.push_str(value),
                _ => {}
            }
        }
        event
    }
}

/// The log on standard output; below it, at a terminal, one line that says how far the run is.
struct Screen {
    colours: bool,
    terminal: bool,
    run: Option<Record>,
    tasks: usize,
    task: String,
}

impl Screen {
    fn new() -> Self {
        let colours = io::stdout().is_terminal();
        let terminal = io::stderr().is_terminal();
        Self { colours, terminal, run: None, tasks: 0, task: String::new() }
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
            let line = if self.colours { line } else { strip_ansi(&line) };
            // Whoever closed the pipe has seen enough.
            let _ = writeln!(out, "{line}");
        }
    }

    fn progress(&self) {
        let (true, Some(run)) = (self.terminal, &self.run) else { return };
        let text = match &run.queue {
            Some(place) => format!("queued, place {}: {}", place.position, place.reason),
            None => {
                let state = run.state.name();
                format!("{state} {}, task {}: {}", took(run), self.tasks, self.task)
            }
        };
        // Some terminals do not know their width, and say 0.
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

    /// The last line says how it ended.
    fn end(&self, run: &Record) -> ExitCode {
        self.clear();
        let hosts = run.hosts;
        eprintln!("{}: {} ({})", run.state.name(), run.explanation, took(run));
        eprintln!("hosts: {} ok, {} changed, {} failed", hosts.ok, hosts.changed, hosts.failed);
        if let Some(error) = &run.error {
            eprintln!("{error}");
        }
        let succeeded = run.state == crate::runs::State::Succeeded;
        if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
