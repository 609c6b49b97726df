//! One playbook run, from the name of a playbook to its result.
//!
//! Nothing here knows HTTP. [`playbooks`] finds the playbook, [`private_data_dir`] prepares its
//! input, and an [`executor::Engine`] starts the process. [`job_events`] reads the events while
//! the process writes them, and [`execution`] ties these steps together and reports how the run
//! ended.

mod copy;
pub mod events;
pub mod execution;
pub mod executor;
pub mod extra_vars;
pub mod failure;
pub mod job_events;
pub mod playbooks;
pub mod private_data_dir;
pub mod process;
pub mod reaper;
pub mod vault;
pub mod warm;
