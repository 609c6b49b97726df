//! Metrics of the service.

pub mod metrics;
