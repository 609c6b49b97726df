//! Storage for the logs and job events of runs.

pub mod files;
