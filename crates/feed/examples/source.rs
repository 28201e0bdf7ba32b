//! A source to try `feed` with: it sends two environments and a filter, then a change every other second, forever.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:8030").await?;
    eprintln!("source: http://{}", listener.local_addr()?);
    let routes =
        Router::new().route("/relay_auto_config", get(async || Sse::new(events()).keep_alive(KeepAlive::new())));
    Ok(axum::serve(listener, routes).await?)
}

fn events() -> impl Stream<Item = Result<Event, Infallible>> {
    let put = json!({ "path": "/", "data": {
        "environments": { "production": environment("production", 1), "staging": environment("staging", 1) },
        "filters": { "shop.eu": { "projKey": "shop", "key": "eu", "version": 1 } },
    } });
    // Production changes; staging is deleted and comes back.
    let later = stream::iter(2_u64..).then(|version| async move {
        sleep(Duration::from_secs(2)).await;
        let patch = |id: &str| {
            event("patch", &json!({ "path": format!("/environments/{id}"), "data": environment(id, version) }))
        };
        match version % 3 {
            0 => event("delete", &json!({ "path": "/environments/staging", "version": version })),
            1 => patch("staging"),
            _ => patch("production"),
        }
    });
    stream::iter([event("put", &put)]).chain(later).map(Ok)
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

fn environment(id: &str, version: u64) -> Value {
    json!({
        "envID": id, "envKey": id, "envName": id, "projKey": "shop", "projName": "Shop", "mobKey": format!("mob-{id}"),
        "sdkKey": { "value": format!("sdk-{id}-{version}") }, "defaultTtl": 5, "secureMode": true, "version": version,
    })
}
