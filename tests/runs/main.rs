//! Runs that tell the truth: what becomes of them, whatever happens around them.

#[path = "../support/mod.rs"]
mod support;

mod real;
mod stubbed;
mod trouble;
