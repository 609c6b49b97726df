//! What the tests share: servers in temporary folders, with a stub or the real runner.

pub mod contract;
pub mod demo;
pub mod examples;
pub mod internals;
pub mod lab;
pub mod process;
pub mod server;
pub mod stub;
