//! A pin: a committed file, and what a server does now.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use regex::Regex;

use crate::support::process::ServerProcess;

/// What differs from a82a896 on purpose: the pin, a text that the line has, and why.
const DEPARTURES: &[(&str, &str, &str)] = &[];

/// Whether the files are to be written.
pub fn updates() -> bool {
    std::env::var_os("UPDATE_PINS").is_some()
}

/// The server that is looked at.
pub fn command() -> Command {
    let current = env!("CARGO_BIN_EXE_range42-backend-api");
    Command::new(std::env::var_os("PINS_SERVER").unwrap_or_else(|| current.into()))
}

/// Starts it.
pub fn start(env: &HashMap<String, String>) -> ServerProcess {
    ServerProcess::start_by(command(), env)
}

/// A file of this folder.
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pins")).join(name)
}

/// Compares line by line with the committed file, or writes it.
pub fn check(name: &str, made: &str) {
    if updates() {
        return std::fs::write(file(name), made).unwrap();
    }
    let pinned = std::fs::read_to_string(file(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let on_purpose =
        |line: &str| DEPARTURES.iter().any(|(pin, text, _)| *pin == name && line.contains(text));
    let (pinned, made): (Vec<&str>, Vec<&str>) = (pinned.lines().collect(), made.lines().collect());
    let length = pinned.len().max(made.len());
    let differences: Vec<String> = (0..length)
        .filter_map(|index| {
            let (was, is) = (pinned.get(index).copied(), made.get(index).copied());
            let departed = was.or(is).is_some_and(on_purpose);
            (was != is && !departed).then(|| {
                format!(
                    "line {}\n  was {}\n  is  {}",
                    index + 1,
                    was.unwrap_or("absent"),
                    is.unwrap_or("absent")
                )
            })
        })
        .collect();
    let shown = differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{name}: {} lines differ\n{shown}", differences.len());
}

/// A text without what differs from one time to the next: ids of runs, times, durations.
pub fn normalized(text: &str) -> String {
    let rules = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "RUN"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "TIME"),
        (r#"_ms": ?\d+"#, r#"_ms":0"#),
    ];
    rules.iter().fold(text.to_owned(), |text, (rule, word)| {
        Regex::new(rule).unwrap().replace_all(&text, *word).into_owned()
    })
}
