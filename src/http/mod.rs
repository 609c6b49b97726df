//! The HTTP API. No other layer depends on axum.

pub mod body;
mod connection;
mod dir_lock;
pub mod docs;
pub mod effects;
pub mod error;
mod fallbacks;
pub mod health;
mod live_status;
mod metrics;
pub mod middleware;
mod operations;
mod prefer;
mod router;
pub mod runs;
pub mod server;
mod state;

pub use error::Error;
pub use state::App;

use std::sync::Arc;

use axum::Router;

/// Returns the router of the whole service, including its middleware.
pub fn app(app: Arc<App>) -> Router {
    let router = router::router(&app);
    middleware::wrap(router, &app)
}
