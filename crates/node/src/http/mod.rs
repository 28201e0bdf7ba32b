//! The HTTP API.

use axum::Router;

use crate::dashboard;
use crate::node::Node;

/// The routes of the API.
pub fn router(node: Node) -> Router {
    Router::new().merge(dashboard::router(node))
}
