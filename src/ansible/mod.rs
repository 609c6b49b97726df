//! One playbook run, from a checked playbook name to its end.
//!
//! Nothing here knows HTTP. [`catalog`] finds the playbook, [`workdir`] makes the private data
//! dir, an [`engine::Engine`] starts a process on it, [`job_events`] reads what the process
//! writes while it writes, and [`execution`] puts these together and says how it ended.

mod copy;
pub mod events;
pub mod execution;
pub mod executor;
pub mod extra_vars;
pub mod job_events;
pub mod playbooks;
pub mod private_data_dir;
pub mod reaper;
pub mod vault;
pub mod warm;
