//! What the tests share: servers in temporary folders, with a stub or the real runner.

pub mod contract;
pub mod demo;
pub mod examples;
pub mod internals;
pub mod lab;
pub mod process;
pub mod server;
pub mod stub;

use std::process::Command;

/// The first of these commands that is installed. A test never passes because its program is
/// missing: without one it fails, and README says what the tests need.
pub fn installed(commands: &[&'static [&'static str]]) -> &'static [&'static str] {
    let answers = |command: &[&str]| {
        let answer = Command::new(command[0]).args(&command[1..]).arg("--version").output();
        answer.is_ok_and(|answer| answer.status.success())
    };
    let found = commands.iter().find(|command| answers(command));
    found.unwrap_or_else(|| panic!("none of {commands:?} is installed"))
}
