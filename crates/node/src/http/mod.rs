//! The HTTP API: [`serve`] answers on a socket, [`router`] whoever calls it.
//!
//! What there is stands in one table (`routes.rs`), from which the router, the OpenAPI document and docs/api.md are made.
//! Every answer says of which height it is, and every error is a problem document. Reads of the decoded state are answered
//! at once; what reads the database or runs a state forward does so on threads that may block, so many at a time.

mod api;
mod ask;
mod body;
mod document;
mod events;
mod flags;
mod forward;
mod hub;
mod local;
mod metrics;
mod ofrep;
mod params;
mod problem;
mod proof;
mod routes;
mod server;
mod show;
mod since;
mod slots;
mod status;
mod submit;

use axum::Extension;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio::net::TcpListener;

pub use api::{NodeSigner, Options};
pub(crate) use local::serve_local;

use crate::dashboard;
use crate::http::api::{Api, HEIGHT, height_value};
use crate::http::problem::{Kind, Problem};
use crate::http::routes::{ROUTES, Route};
use crate::node::Node;

/// The API of a node. It has to be called on a runtime: a task follows the node until that stops.
pub fn router(node: Node, options: Options) -> Router {
    let api = Api::new(node.clone(), options);
    let mut router = Router::new();
    for route in ROUTES {
        let route: &'static Route = route;
        router = router.route(route.path, route.handler().layer(Extension(route)));
    }
    router
        .with_state(api.clone())
        .merge(dashboard::router(node))
        .fallback(|| async { Problem::new(Kind::Path, "GET /openapi.json says what there is") })
        .method_not_allowed_fallback(|| async { Problem::new(Kind::Method, "the header Allow says which it takes") })
        .layer(from_fn_with_state(api, every_answer))
}

/// Answers on a socket until the node stops.
pub async fn serve(listener: TcpListener, node: Node, options: Options) {
    let (stop, connections) = (node.stop(), options.connections);
    server::serve(listener, router(node, options), connections, stop).await;
}

/// The OpenAPI document.
#[must_use]
pub fn openapi_json() -> String {
    serde_json::to_string_pretty(&document::document()).unwrap_or_default()
}

/// The text of docs/api.md.
#[must_use]
pub fn api_markdown() -> String {
    document::markdown()
}

/// What every answer has.
async fn every_answer(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if !headers.contains_key(HEIGHT) {
        headers.insert(HEIGHT, height_value(api.node().tip().height));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
