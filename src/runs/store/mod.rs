//! Storage for the records of runs.

pub mod sqlite;
