//! The state of a run is correct, even if the server, the runner, the disk or the clock fails.

mod edge;
mod endings;
mod full_disk;
mod real;
mod restart;
mod stubbed;
mod terminal;
mod trouble;
