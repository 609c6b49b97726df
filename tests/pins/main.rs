//! What the finished server of commit a82a896 does, compared with what this one does.
//!
//! README.md beside it says how the files are made.

#[path = "../support/mod.rs"]
mod support;

mod data_dir;
mod live_status;
mod operations;
mod pin;
mod run_events;
mod runs;
