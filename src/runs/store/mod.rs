//! Where the history of runs is kept.

pub mod sqlite;
