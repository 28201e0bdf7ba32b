//! What only this machine may ask of a node: it takes reports of applications, says how notifications and reporters are,
//! and sends notifications again.
//!
//! Whoever reaches it is believed. So it listens on an address of this machine alone and takes nothing from pages in a
//! browser: the host of a request must be this machine, and a body must be JSON, which a page of another origin may not
//! send without asking first, and it gets no answer to that.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use coalmine_json::render::{Fields, Value};
use tokio::net::TcpListener;

use crate::beside::Beside;
use crate::http::api::Reply;
use crate::http::body;
use crate::http::problem::{Kind, Problem};
use crate::http::server;
use crate::node::StopSignal;
use crate::notify::SinkStatus;
use crate::outgoing::is_loopback;
use crate::reporter::{KEY_LEN_MAX, LocalError, ReporterStatus};

/// How many connections may be open.
const CONNECTIONS: usize = 256;

/// Answers on a socket of this machine until the node stops.
pub(crate) async fn serve_local(listener: TcpListener, beside: Beside, stop: StopSignal) {
    server::serve(listener, router(beside), CONNECTIONS, stop).await;
}

pub(crate) fn router(beside: Beside) -> Router {
    Router::new()
        .route("/v1/report", post(report))
        .route("/v1/notify", get(status))
        .route("/v1/notify/replay", post(replay_all))
        .route("/v1/notify/{sink}/replay", post(replay))
        .fallback(|| async {
            Problem::new(Kind::Path, "there are POST /v1/report, GET /v1/notify and POST /v1/notify/replay")
        })
        .layer(from_fn(of_this_machine))
        .with_state(beside)
}

/// Refuses what a page of a browser could send to this machine under another name.
async fn of_this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    if !is_loopback(name) || request.headers().contains_key(header::ORIGIN) {
        return Problem::new(Kind::Path, "this is for programs of this machine alone, by its own name").into_response();
    }
    next.run(request).await
}

async fn report(State(beside): State<Beside>, headers: HeaderMap, body: Body) -> Result<Reply, Problem> {
    let Some(local) = beside.local() else {
        return Err(Problem::new(Kind::NotAccepting, "no key is configured for reports: set key in [local]"));
    };
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap_or_default().to_owned());
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_LEN_MAX) {
        let why = format!("Idempotency-Key has 1 to {KEY_LEN_MAX} ASCII characters");
        return Err(Problem::new(Kind::Parameter, why));
    }
    let report = body::json(&headers, body).await?;
    let taken = tokio::task::spawn_blocking(move || local.take(&report, key.as_deref())).await;
    match taken {
        Ok(Ok(taken)) => Reply::json(&taken),
        Ok(Err(LocalError::Report(what))) => Err(Problem::body(what)),
        Ok(Err(LocalError::Store(error))) => Err(error.into()),
        Ok(Err(LocalError::Fault(error))) => Err(error.into()),
        Err(error) => Err(Problem::fault(&error)),
    }
}

async fn status(State(beside): State<Beside>) -> Result<Reply, Problem> {
    let pending = {
        let sinks = beside.sinks().clone();
        tokio::task::spawn_blocking(move || sinks.pending()).await.map_err(|error| Problem::fault(&error))??
    };
    let sinks = beside.sinks().status().into_iter().zip(pending);
    let sinks: Vec<Value> = sinks.map(|(sink, (_, pending))| sink_fields(&sink, pending).into()).collect();
    let reporters: Vec<Value> = beside.reporters().status().iter().map(|one| reporter_fields(one).into()).collect();
    Reply::fields(Fields::new().with("sinks", sinks).with("reporters", reporters))
}

async fn replay_all(State(beside): State<Beside>, headers: HeaderMap) -> Result<Reply, Problem> {
    replayed(&beside, &headers, None)
}

async fn replay(State(beside): State<Beside>, Path(sink): Path<String>, headers: HeaderMap) -> Result<Reply, Problem> {
    replayed(&beside, &headers, Some(&sink))
}

fn replayed(beside: &Beside, headers: &HeaderMap, sink: Option<&str>) -> Result<Reply, Problem> {
    if !body::is_json(headers) {
        return Err(Problem::new(Kind::MediaType, "say Content-Type: application/json, also without a body"));
    }
    match beside.sinks().replay(sink) {
        Some(dead) => Reply::fields(Fields::new().with("replayed", dead)),
        None => Err(Problem::new(Kind::Path, "there is no such sink; GET /v1/notify lists them")),
    }
}

fn sink_fields(sink: &SinkStatus, pending: u64) -> Fields {
    let state = if sink.is_disabled {
        "disabled"
    } else if sink.error.is_empty() {
        "good"
    } else {
        "failing"
    };
    Fields::new()
        .with("name", sink.name.as_str())
        .with("type", sink.kind)
        .with("state", state)
        .with("pending", pending)
        .with("dead", sink.dead)
        .with("next", format!("{}-{}", sink.next.height, sink.next.index))
        .with("delivered", sink.delivered)
        .with("failures", sink.failures)
        .with("attempts", u32::from(sink.attempts))
        .with("retry_at", (sink.retry_at > 0).then(|| time(sink.retry_at)))
        .with("missed_heights", sink.missed)
        .with("error", (!sink.error.is_empty()).then(|| sink.error.clone()))
}

fn reporter_fields(reporter: &ReporterStatus) -> Fields {
    Fields::new()
        .with("name", reporter.name.as_str())
        .with("reports", reporter.reports)
        .with("failures", reporter.failures)
        .with("read_until", (reporter.read_until > 0).then(|| time(reporter.read_until)))
        .with("error", (!reporter.error.is_empty()).then(|| reporter.error.clone()))
}

fn time(milliseconds: u64) -> String {
    humantime::format_rfc3339_seconds(crate::notify::time(milliseconds)).to_string()
}
