//! A node in memory with its API, and how tests ask it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use coalmine_auth::SecretKey;
use coalmine_node::http::{self, Options, router};
use coalmine_node::testing::{self, Manual, key, signed};
use coalmine_node::{Node, Options as NodeOptions};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_service::Service as _;

/// A user whom nothing is known of.
pub(super) const USER: &str = "0x2222222222222222222222222222222222222222";

/// What every world begins with, in blocks of one transaction each.
///
/// `on` is enabled with an override that is off, `part` is at 50 %, `off` is disabled, `back` is rolled back, `child` rests
/// on `part` and `orphan` on `back`; `api` has a deployment, `web` has none.
const STORY: &[&str] = &[
    r#"[{"op":"create_feature","name":"on","description":""},{"op":"enable","name":"on"},
        {"op":"set_override","name":"on","user":"0x3333333333333333333333333333333333333333","enabled":false}]"#,
    r#"[{"op":"create_feature","name":"part","description":""},{"op":"start_canary","name":"part","percent":50}]"#,
    r#"{"op":"create_feature","name":"off","description":"never on"}"#,
    r#"[{"op":"create_feature","name":"back","description":""},{"op":"start_canary","name":"back","percent":5},
        {"op":"rollback","name":"back","reason":"manual"}]"#,
    r#"[{"op":"create_feature","name":"child","description":"","policy":{"prerequisites":["part"]}},
        {"op":"enable","name":"child"}]"#,
    r#"{"op":"create_feature","name":"all","description":""}"#,
    r#"{"op":"enable","name":"all"}"#,
    r#"[{"op":"register_version","plugin":"api","version":"1.0.0","code_hash":"006523d52bc3c123377e96df40ad78bade5df4ac87dea8f1ecb39cfff056f0aa"},
        {"op":"register_version","plugin":"api","version":"2.0.0","code_hash":"1917e543b4d3347d8bb9078c67834e677cff91e8d211a02f001d5a5798389a3b"},
        {"op":"register_version","plugin":"web","version":"0.1.0","code_hash":"006523d52bc3c123377e96df40ad78bade5df4ac87dea8f1ecb39cfff056f0aa"}]"#,
    r#"{"op":"deploy","plugin":"api","version":"2.0.0","strategy":"canary"}"#,
    r#"{"op":"schedule","at":5000,"commands":[{"op":"disable","name":"part"}]}"#,
];

/// How many blocks a world begins with.
pub(super) const BLOCKS: u32 = 10;

/// A node whose blocks a test makes, and its API.
pub(super) struct World {
    pub(super) node: Node,
    pub(super) blocks: Manual,
    pub(super) router: Router,
    sequence: u64,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(super) fn options() -> Options {
    Options { signer: Some(std::sync::Arc::new(key(9))), ..Options::default() }
}

impl World {
    /// A world without blocks.
    pub(super) fn empty() -> Self {
        Self::with(options(), NodeOptions::default())
    }

    pub(super) fn with(options: Options, node_options: NodeOptions) -> Self {
        let (node, blocks) = testing::manual(&testing::genesis(), node_options);
        let router = router(node.clone(), options);
        Self { node, blocks, router, sequence: 0 }
    }

    /// A world with a story.
    pub(super) fn new() -> Self {
        Self::empty().told()
    }

    pub(super) fn told(mut self) -> Self {
        for commands in STORY {
            self.tell(commands);
        }
        self
    }

    /// Signs commands by the admin.
    pub(super) fn signed(&mut self, commands: &str) -> Vec<u8> {
        self.sequence += 1;
        signed_by(&self.node, &key(1), self.sequence, commands)
    }

    /// Commits a block with a transaction, which has to succeed.
    pub(super) fn tell(&mut self, commands: &str) -> u32 {
        let envelope = self.signed(commands);
        self.node.submit(&envelope).unwrap();
        let height = self.blocks.block().unwrap();
        let record = self.node.outcome(height).unwrap().unwrap();
        assert_eq!(record.txs[0].receipt.name(), "ok", "{commands}");
        height
    }

    pub(super) async fn ask(&self, request: Request<Body>) -> Answer {
        ask(&self.router, request).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// The object of a path that has to be there.
    pub(super) async fn found(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        answer.json()
    }

    pub(super) async fn post(&self, path: &str, media_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header("content-type", media_type);
        self.ask(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn post_json(&self, path: &str, body: &str) -> Answer {
        self.post(path, "application/json", body.to_owned()).await
    }

    /// Lets the task that follows the node see its tip.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) fn signed_by(node: &Node, key: &SecretKey, sequence: u64, commands: &str) -> Vec<u8> {
    signed(node, key, sequence, coalmine_json::read_commands(commands).unwrap())
}

pub(super) async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(Duration::from_secs(20), body.collect()).await.expect("it ends");
    let body = body.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A node that serves on a socket.
pub(super) struct Served {
    pub(super) url: String,
    pub(super) port: u16,
    node: Node,
    task: Option<JoinHandle<()>>,
}

impl Served {
    pub(super) async fn new(node: &Node, options: Options) -> Self {
        Self::at(node, options, 0).await
    }

    /// On a given port.
    pub(super) async fn at(node: &Node, options: Options, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(http::serve(listener, node.clone(), options));
        Self { url: format!("http://127.0.0.1:{port}"), port, node: node.clone(), task: Some(task) }
    }

    /// Cuts all connections, as if the machine were gone.
    pub(super) async fn cut(mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ended = task.await;
    }

    /// Stops the node and waits until the server has ended.
    pub(super) async fn stop(mut self) {
        self.node.begin_stop();
        self.task.take().unwrap().await.unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// A message of a stream.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) id: Option<String>,
    pub(super) event: String,
    pub(super) data: Value,
    pub(super) is_comment: bool,
}

/// A stream that is read in the process.
pub(super) struct Stream {
    body: Body,
    buffer: Vec<u8>,
}

impl Stream {
    pub(super) async fn open(world: &World, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = world.router.clone().call(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert!(response.headers().contains_key("coalmine-height"));
        Self { body: response.into_body(), buffer: Vec::new() }
    }

    /// The next message; none at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(parse(std::str::from_utf8(&frame).unwrap()));
            }
            let frame = self.body.frame().await?;
            self.buffer.extend(frame.unwrap().into_data().unwrap());
        }
    }

    /// The next message that has to come soon.
    pub(super) async fn soon(&mut self) -> Frame {
        tokio::time::timeout(Duration::from_secs(5), self.next()).await.expect("it comes").expect("no end")
    }

    /// Whether nothing comes for a while.
    pub(super) async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(100), self.next()).await.is_err()
    }
}

pub(super) fn parse(text: &str) -> Frame {
    let mut frame = Frame::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some(("id", id)) => frame.id = Some(id.into()),
            Some(("event", event)) => frame.event = event.into(),
            Some(("data", data)) => frame.data = serde_json::from_str(data).unwrap(),
            Some(("retry", _)) => {}
            _ => frame.is_comment = line.starts_with(':'),
        }
    }
    frame
}
