//! The router: every route of the service.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::http::operations::Endpoint;
use crate::http::{App, docs, fallbacks, health, live_status, metrics, runs};
use crate::operations::OPERATIONS;
use crate::operations::{Method, Operation};

/// Paths that clients use in addition to an operation's published path.
const ALIASES: [(&str, &str); 1] =
    [("/v0/admin/proxmox/network/node/list", "/v0/admin/proxmox/network//node/list")];

/// Returns the router with all routes, without [`middleware`](crate::http::middleware).
pub fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for operation in OPERATIONS.iter() {
        let endpoint = Arc::new(Endpoint::new(app.clone(), operation));
        router = router.route(operation.path, operation_route(operation, &endpoint));
        for (_, alias) in ALIASES.iter().filter(|(path, _)| *path == operation.path) {
            router = router.route(alias, operation_route(operation, &endpoint));
        }
    }
    router
        .merge(docs::routes())
        .merge(live_status::routes(app))
        .merge(runs::routes(app))
        .merge(health::routes(app))
        .merge(metrics::routes(app))
        .method_not_allowed_fallback(fallbacks::method_not_allowed)
        .fallback(fallbacks::not_found)
}

/// Whether a route matches this path.
pub(crate) fn is_route(path: &str) -> bool {
    let matches = |route: &str| {
        let (mut route, mut path) = (route.split('/'), path.split('/'));
        loop {
            match (route.next(), path.next()) {
                (None, None) => return true,
                (Some(r), Some(p)) if r == p || (r.starts_with('{') && !p.is_empty()) => {}
                _ => return false,
            }
        }
    };
    OPERATIONS.iter().map(|operation| operation.path).any(matches)
        || runs::paths().keys().any(|path| matches(path))
        || health::PATHS.contains(&path)
        || ["/docs/redoc", "/docs/openapi.json", live_status::PATH].contains(&path)
}

fn operation_route(operation: &Operation, endpoint: &Arc<Endpoint>) -> MethodRouter {
    let filter = match operation.method {
        Method::Post => MethodFilter::POST,
        Method::Delete => MethodFilter::DELETE,
    };
    let endpoint = endpoint.clone();
    on(filter, move |request| endpoint.call(request))
}
