//! The backend API of Range42: each request becomes an Ansible playbook run on Proxmox VE.
//!
//! A request walks one way through the modules: [`routes`] check it and answer it, [`runs`]
//! keep what was asked for until it is done, [`ansible`] runs one playbook, [`proxmox`] speaks
//! to the Proxmox API directly. Nothing below [`routes`] knows HTTP.

use std::sync::Arc;

use axum::Router;

pub mod ansible;
pub mod commands;
pub mod error;
pub mod kong;
pub mod metrics;
pub mod proxmox;
pub mod routes;
pub mod runs;
pub mod serve;
pub mod settings;

pub use error::Error;
pub use settings::Settings;

use metrics::Metrics;
use proxmox::status::LiveStatus;
use runs::Runs;

/// What a server is made of: shared by all requests.
pub struct App {
    /// The settings it was started with.
    pub settings: Arc<Settings>,
    /// The runs it has at work.
    pub runs: Runs,
    /// The dashboards that it keeps up to date.
    pub status: LiveStatus,
    /// What it measures of itself.
    pub metrics: Arc<Metrics>,
    /// The folders that are this server's as long as it lives.
    pub held: Vec<serve::Held>,
}

/// The whole service as a router, for the binary and for tests.
pub fn app(app: Arc<App>) -> Router {
    let router = routes::router(&app);
    routes::edge::surround(router, &app)
}
