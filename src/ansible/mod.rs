//! One playbook run, from a checked playbook name to its end.
//!
//! Nothing here knows HTTP. [`catalog`] finds the playbook, [`workdir`] makes the private data
//! dir, an [`engine::Engine`] starts a process on it, [`job_events`] reads what the process
//! writes while it writes, and [`execution`] puts these together and says how it ended.

pub mod catalog;
mod copy;
pub mod engine;
pub mod events;
pub mod execution;
pub mod extra_vars;
pub mod groups;
pub mod job_events;
pub mod processes;
pub mod vault;
pub mod warm;
pub mod workdir;
