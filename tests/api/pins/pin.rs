//! Compares the behavior of a server with a recorded file, the pin.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use regex::Regex;

use crate::support::process::ServerProcess;

/// The maximum length of the lines in the failure message.
const LINE: usize = 1500;

/// Whether to write the files instead of comparing them.
pub fn updates() -> bool {
    std::env::var_os("UPDATE_PINS").is_some()
}

/// The server under test.
pub fn command() -> Command {
    let current = env!("CARGO_BIN_EXE_range42-backend-api");
    Command::new(std::env::var_os("PINS_SERVER").unwrap_or_else(|| current.into()))
}

/// Starts the server under test.
pub fn start(env: &HashMap<String, String>) -> ServerProcess {
    ServerProcess::start_by(command(), env)
}

/// A file of `tests/pins`.
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pins")).join(name)
}

/// Compares line by line with the committed file, or writes it.
pub fn check(name: &str, made: &str) {
    if updates() {
        return std::fs::write(file(name), made).unwrap();
    }
    let pinned = std::fs::read_to_string(file(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let shorter = |line: &str| line.chars().take(LINE).collect::<String>();
    let changes = changes(&pinned, made);
    let shown: Vec<String> = changes.iter().take(40).map(|line| shorter(line)).collect();
    assert!(changes.is_empty(), "{name}: {} lines differ\n{}", changes.len(), shown.join("\n"));
}

/// The differences that `diff` reports: lines only in the first (`-`) or the second text (`+`).
fn changes(pinned: &str, made: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let files = ["pinned", "made"].map(|name| folder.path().join(name));
    std::fs::write(&files[0], pinned).unwrap();
    std::fs::write(&files[1], made).unwrap();
    let output = Command::new("diff").arg("-U0").args(&files).output().unwrap();
    // Exit code 1 means that the texts differ, 2 that diff failed.
    assert_eq!(output.status.code(), Some(i32::from(pinned != made)), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().skip(2).filter(|line| !line.starts_with("@@"));
    lines.map(str::to_owned).collect()
}

/// Replaces values that differ between recordings: run ids, times and durations.
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
