//! Compares this server with the recorded behavior of commit a82a896.
//!
//! tests/pins/README.md describes how the files are recorded.

mod data_dir;
mod live_status;
mod operations;
mod pin;
mod run_events;
mod runs;
