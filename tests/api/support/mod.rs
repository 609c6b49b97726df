//! Shared test support: servers in temporary directories, with a stub or the real runner.

pub mod contract;
pub mod demo;
pub mod examples;
pub mod internals;
pub mod lab;
pub mod process;
pub mod server;
pub mod stub;
pub mod wait;

use std::process::Command;

/// Returns the first of these commands that is installed. A missing program fails the test rather
/// than skipping it; README.md lists the requirements.
pub fn installed(commands: &[&'static [&'static str]]) -> &'static [&'static str] {
    let answers = |command: &[&str]| {
        let answer = Command::new(command[0]).args(&command[1..]).arg("--version").output();
        answer.is_ok_and(|answer| answer.status.success())
    };
    let found = commands.iter().find(|command| answers(command));
    found.unwrap_or_else(|| panic!("none of {commands:?} is installed"))
}
