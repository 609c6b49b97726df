//! Runs that tell the truth: what becomes of them, whatever happens around them.

#[path = "../support/mod.rs"]
mod support;

mod edge;
mod endings;
mod full_disk;
mod real;
mod stubbed;
mod terminal;
mod trouble;
