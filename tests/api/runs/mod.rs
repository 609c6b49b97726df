//! Runs that tell the truth: what becomes of them, whatever happens around them.

mod edge;
mod endings;
mod full_disk;
mod real;
mod stubbed;
mod terminal;
mod trouble;
