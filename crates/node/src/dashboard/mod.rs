//! The dashboard: pages that the node renders itself, of what the ledger is doing and why. They only read.
//!
//! A page is whole without scripts. With them it follows the ledger: the script listens to the node's events and puts the
//! new content of the same page in place of the old one. The answer of the box "is it on for …?" is verified in the browser
//! by its proof. Everything comes from the node: no script, style, font or picture from anywhere else, and a policy that
//! forbids them.

mod assets;
mod check;
mod feature;
mod overview;
mod page;
mod plugin;
mod subject;
mod upcoming;
mod view;
mod words;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;

use crate::dashboard::view::{Dashboard, Query};
use crate::node::Node;

/// The pages of a node, and the files that they load.
pub fn router(node: Node) -> Router {
    Router::new()
        .route("/", get(overview_page))
        .route("/features/{name}", get(feature_page))
        .route("/plugins/{name}", get(plugin_page))
        .route("/schedule", get(schedule_page))
        .route("/calendar", get(calendar_page))
        .route("/check", get(check_page))
        .route("/assets/{name}", get(assets::asset))
        .layer(map_response(page::protect))
        .with_state(Dashboard::new(node))
}

/// The name in a path. What is no text is the name of nothing.
fn named(path: Result<Path<String>, PathRejection>) -> String {
    path.map_or_else(|_| char::REPLACEMENT_CHARACTER.into(), |Path(name)| name)
}

async fn overview_page(State(dashboard): State<Dashboard>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    page::answer(dashboard.view(move |view| overview::page(view, &query)).await)
}

async fn feature_page(
    State(dashboard): State<Dashboard>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    let name = named(name);
    let query = Query::parse(query.as_deref());
    page::answer(dashboard.view(move |view| feature::page(view, &name, &query)).await)
}

async fn plugin_page(
    State(dashboard): State<Dashboard>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    let name = named(name);
    let query = Query::parse(query.as_deref());
    page::answer(dashboard.view(move |view| plugin::page(view, &name, &query)).await)
}

async fn schedule_page(State(dashboard): State<Dashboard>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    page::answer(dashboard.view(move |view| upcoming::schedule(view, &query)).await)
}

async fn calendar_page(State(dashboard): State<Dashboard>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    page::answer(dashboard.view(move |view| upcoming::calendar(view, &query)).await)
}

async fn check_page(State(dashboard): State<Dashboard>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    page::answer(dashboard.view(move |view| check::page(view, &query)).await)
}
