//! The OpenFeature Remote Evaluation Protocol, as its real clients take it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use coalmine_core::{Hash, Height, Name};
use coalmine_store::Tip;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::http::api::{Api, HEIGHT, JSON, height_value};
use crate::http::body;
use crate::http::events::config_etag;
use crate::http::flags::{Evaluator, Flag, NoValue, PLUGIN, flag_of};
use crate::http::problem::{Kind, Problem};
use crate::http::since::Of;

/// How long an evaluation waits for the height that an event has named.
const EVENT_WAIT: Duration = Duration::from_secs(2);
/// How many flags a bulk evaluation answers at most.
pub(super) const BULK_MAX: usize = 10_000;
/// Where its clients listen.
pub(super) const STREAM: &str = "/ofrep/v1/sse";

/// Why there is no evaluation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'k> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'k str>,
    error_code: &'static str,
    error_details: String,
    #[serde(skip)]
    status: u16,
}

impl<'k> Failure<'k> {
    fn new(status: u16, error_code: &'static str, details: impl Into<String>) -> Self {
        Self { key: None, error_code, error_details: details.into(), status }
    }

    const fn of(mut self, key: &'k str) -> Self {
        self.key = Some(key);
        self
    }

    fn no_value(why: NoValue, key: &'k str) -> Self {
        let failure = match why {
            NoValue::FlagNotFound => Self::new(404, "FLAG_NOT_FOUND", "there is no such feature or plugin"),
            NoValue::TargetingKeyMissing => {
                Self::new(400, "TARGETING_KEY_MISSING", "the value is not the same for everybody")
            }
        };
        failure.of(key)
    }

    fn response(&self) -> Response {
        answer(self.status, self)
    }
}

fn answer(status: u16, value: &impl Serialize) -> Response {
    let mut response = Response::new(serde_json::to_vec(value).unwrap_or_default().into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The targeting key of a request. Nothing else of the context is read, and nothing of it is kept.
async fn targeting_key(headers: &HeaderMap, body: Body) -> Result<Option<String>, Failure<'static>> {
    let bytes = body::read(headers, body).await.map_err(|Problem { kind, detail, .. }| {
        let code = if kind == Kind::Body { "PARSE_ERROR" } else { "GENERAL" };
        Failure::new(kind.status(), code, detail)
    })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let parsed = serde_json::from_slice::<Value>(&bytes);
    let mut request = match parsed {
        Ok(Value::Object(request)) => request,
        Ok(_) => return Err(Failure::new(400, "PARSE_ERROR", "the body is not an object")),
        Err(error) => return Err(Failure::new(400, "PARSE_ERROR", format!("the body is not JSON: {error}"))),
    };
    let context = match request.remove("context") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(context)) => context,
        Some(_) => return Err(Failure::new(400, "INVALID_CONTEXT", "the context is not an object")),
    };
    match context.get("targetingKey") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(key)) => Ok(Some(key.clone())),
        Some(_) => Err(Failure::new(400, "INVALID_CONTEXT", "the targetingKey is not a string")),
    }
}

/// Answers `POST /ofrep/v1/evaluate/flags/{key}`.
pub(super) async fn evaluate(
    State(api): State<Api>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let targeting_key = match targeting_key(&headers, body).await {
        Ok(targeting_key) => targeting_key,
        Err(failure) => return failure.of(&key).response(),
    };
    let named = flag_of(&key);
    let (flag, height, root) = api.state(|state, height| {
        let evaluate = |named| Evaluator::new(state, targeting_key.as_deref()).flag(key.as_str(), named);
        (named.as_ref().map_or(Err(NoValue::FlagNotFound), evaluate), height, state.root())
    });
    let flag = flag.map(|mut flag| {
        flag.metadata.since = since(&api, named.as_ref(), root, height);
        flag.metadata.height = height;
        flag.metadata.root = Some(root.to_string());
        flag
    });
    let mut response = match flag {
        Ok(flag) => {
            api.metrics().evaluated(flag.reason);
            answer(200, &flag)
        }
        Err(why) => Failure::no_value(why, &key).response(),
    };
    response.headers_mut().insert(HEIGHT, height_value(height));
    response
}

/// Either of what a list has.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'k> {
    Flag(Flag<'k>),
    Failure(Failure<'k>),
}

/// The answer to a bulk evaluation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bulk<'k> {
    flags: &'k [Entry<'k>],
    metadata: BulkMetadata,
    event_streams: [EventStream; 1],
}

#[derive(Serialize)]
struct BulkMetadata {
    chain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
    root: String,
}

#[derive(Serialize)]
struct EventStream {
    r#type: &'static str,
    endpoint: Endpoint,
}

/// Clients take the origin that they asked: one that is empty breaks some of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    request_uri: &'static str,
}

/// Answers `POST /ofrep/v1/evaluate/flags`.
pub(super) async fn evaluate_all(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let targeting_key = match targeting_key(&headers, body).await {
        Ok(targeting_key) => targeting_key,
        Err(failure) => return failure.response(),
    };
    let config = flag_config_etag(query.as_deref());
    if let Some(height) = config.as_deref().and_then(|etag| etag.split('-').next()?.parse::<Height>().ok()) {
        // Whatever there is afterwards is the answer: evaluations go on while a node is behind.
        let _behind = api.node().wait_for(height, EVENT_WAIT).await;
    }
    let all = api.clone();
    // Many flags take longer than a task should hold its thread.
    let evaluated = tokio::task::spawn_blocking(move || bulk(&all, targeting_key.as_deref(), config.as_deref())).await;
    match evaluated {
        Ok(Ok(answer)) => answer.response(&headers),
        Ok(Err(failure)) => failure.response(),
        Err(error) => {
            let problem = Problem::fault(&error);
            Failure::new(500, "GENERAL", problem.detail).response()
        }
    }
}

fn flag_config_etag(query: Option<&str>) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == "flagConfigEtag").map(|(_, value)| value.into_owned())
}

/// All flags, as bytes.
struct Evaluated {
    body: Vec<u8>,
    etag: String,
    height: Option<Height>,
    /// Whether the client knows of another configuration: its copy may not be called unchanged then.
    is_other_config: bool,
}

/// Since when a flag is as it is in a state.
fn since(api: &Api, named: Option<&(Of, Name)>, root: Hash, height: Option<Height>) -> Option<Height> {
    let (of, name) = named?;
    api.sinces().since(api.node(), *of, name, (root, height.unwrap_or_default()))
}

fn bulk(api: &Api, targeting_key: Option<&str>, config: Option<&str>) -> Result<Evaluated, Failure<'static>> {
    let (found, chain, height, root) = api.state(|state, height| {
        if state.feature_count().saturating_add(state.plugin_count()) > BULK_MAX {
            let details = format!("there are more than {BULK_MAX} flags; evaluate them one by one");
            return Err(Failure::new(400, "GENERAL", details));
        }
        let evaluator = Evaluator::new(state, targeting_key);
        let features = state.features().map(|feature| (feature.name.to_string(), (Of::Feature, feature.name)));
        let plugins = state.plugins().map(|(name, _)| (format!("{PLUGIN}{name}"), (Of::Plugin, *name)));
        let evaluate = |(key, named): (String, (Of, Name))| {
            let flag = evaluator.flag(key.clone(), &named);
            (key, named, flag)
        };
        let found: Vec<_> = features.chain(plugins).map(evaluate).collect();
        Ok((found, state.global().chain, height, state.root()))
    })?;
    let mut flags: Vec<Entry<'_>> = Vec::with_capacity(found.len());
    for (key, named, flag) in &found {
        flags.push(match flag {
            Ok(flag) => {
                api.metrics().evaluated(flag.reason);
                let mut flag = flag.clone();
                flag.metadata.since = since(api, Some(named), root, height);
                Entry::Flag(flag)
            }
            Err(why) => Entry::Failure(Failure::no_value(*why, key)),
        });
    }
    let all = Bulk {
        flags: &flags,
        metadata: BulkMetadata { chain: chain.as_str().into(), height, root: root.to_string() },
        event_streams: [EventStream { r#type: "sse", endpoint: Endpoint { request_uri: STREAM } }],
    };
    let body = serde_json::to_vec(&all).unwrap_or_default();
    let etag = etag(targeting_key, &serde_json::to_vec(&flags).unwrap_or_default());
    // Heights at which nothing happens have the root of the one before.
    let own = config_etag(Tip { height, root });
    let root_of = |etag: &str| etag.split_once('-').map(|(_, root)| root.to_owned());
    let is_other_config = config.is_some_and(|config| root_of(config) != root_of(&own));
    Ok(Evaluated { body, etag, height, is_other_config })
}

/// The ETag of an answer, which says nothing of the height: it changes when a flag does, or the context.
fn etag(targeting_key: Option<&str>, flags: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update([u8::from(targeting_key.is_some())]);
    hash.update(Sha256::digest(targeting_key.unwrap_or_default()));
    hash.update(flags);
    let hash: [u8; 32] = hash.finalize().into();
    format!("\"{}\"", hex::encode(hash))
}

impl Evaluated {
    fn response(self, headers: &HeaderMap) -> Response {
        let Self { body, etag, height, is_other_config } = self;
        let asked = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut known = asked.flat_map(|list| list.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
        let is_unchanged = !is_other_config && known.any(|known| known == etag);
        let mut response =
            if is_unchanged { StatusCode::NOT_MODIFIED.into_response() } else { Response::new(body.into()) };
        let headers = response.headers_mut();
        if !is_unchanged {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(header::ETAG, etag);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("ETag"));
        headers.insert(HEIGHT, height_value(height));
        response
    }
}
