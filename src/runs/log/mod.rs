//! Where the logs and job events of runs are kept.

pub mod files;
