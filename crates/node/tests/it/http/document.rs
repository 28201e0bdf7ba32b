//! docs/api.md and the OpenAPI document say what the router does.

use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;

use super::web::World;

/// `UPDATE_DOCS=1 cargo test -p coalmine-node --test it document` writes it.
#[test]
fn the_page_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let text = coalmine_node::http::api_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == text,
        "docs/api.md differs; write it with UPDATE_DOCS=1 cargo test -p coalmine-node --test it document"
    );
}

/// Every operation of the document is answered by the router, and no path takes a method that is not there.
#[tokio::test]
async fn the_router_has_what_the_document_has() {
    let world = World::new();
    let document: Value = serde_json::from_str(&coalmine_node::http::openapi_json()).unwrap();
    assert_eq!(world.get("/openapi.json").await.json(), document);
    let mut ids = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let concrete = path
            .replace("{name}", "x")
            .replace("{id}", &"0".repeat(64))
            .replace("{address}", super::web::USER)
            .replace("{hex}", "d0")
            .replace("{key}", "x");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let request = Request::builder().method(&method).uri(&concrete).body(Body::empty()).unwrap();
            let is_stream = path.ends_with("/events") || path.ends_with("/sse");
            if is_stream && method == Method::GET {
                continue;
            }
            let answer = world.ask(request).await;
            let is_known = methods.get(method.as_str().to_lowercase()).is_some();
            assert_eq!(answer.status != 405, is_known, "{method} {path}: {}", answer.text());
        }
        for (method, operation) in methods.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            let in_path = path.matches('{').count();
            let parameters = operation["parameters"].as_array().unwrap();
            assert_eq!(parameters.iter().filter(|one| one["in"] == "path").count(), in_path, "{method} {path}");
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            assert_eq!(example.is_object(), method == "post", "{method} {path}");
        }
    }
    assert!(ids.len() > 30);
}
