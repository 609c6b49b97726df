//! What the finished server of commit a82a896 does, compared with what this one does.
//!
//! tests/pins/README.md says how the files are made.

mod data_dir;
mod live_status;
mod operations;
mod pin;
mod run_events;
mod runs;
