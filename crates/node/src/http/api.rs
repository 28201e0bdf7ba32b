//! What every handler has: the node, limits, and what a request asks.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use coalmine_auth::Signer;
use coalmine_core::{Height, Name, State};
use coalmine_json::render::Fields;
use coalmine_store::{Tip, View as _};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::beside::Beside;
use crate::database::Snapshot;
use crate::http::hub::Hub;
use crate::http::metrics::Metrics;
use crate::http::params::{Params, name};
use crate::http::problem::{Kind, Problem};
use crate::http::routes::Route;
use crate::http::since::Sinces;
use crate::http::slots::Slots;
use crate::node::Node;

/// How long a read waits for `min_height`, and a submission for its block.
pub(super) const WAIT: Duration = Duration::from_secs(10);
/// How many reads of the database run at once.
const READS: usize = 16;
/// How many requests that run a state forward do so at once.
const FORWARD: usize = 2;
/// How often it is tried to find the state and the records at one root, and how long between two times.
const ROOT_TRIES: usize = 500;
const ROOT_PAUSE: Duration = Duration::from_millis(2);
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// Who signs for the node.
pub type NodeSigner = Arc<dyn Signer + Send + Sync>;

/// What the API is told when it starts.
#[derive(Clone)]
pub struct Options {
    /// How many streams may be open.
    pub streams: usize,
    /// How many of them to one address.
    pub streams_per_address: usize,
    /// How many blocks that have something to tell a stream may be behind before it is closed as too slow.
    pub stream_blocks: usize,
    /// How many connections may be open.
    pub connections: usize,
    /// Whether a proxy that is trusted says who asks: the last address of `X-Forwarded-For` counts then.
    pub is_behind_proxy: bool,
    /// The age of the last height above which the node is not ready.
    pub height_age_max: Duration,
    /// Who signs roots, so that proofs have an anchor.
    pub signer: Option<NodeSigner>,
    /// What runs beside the node, for the metrics.
    pub beside: Option<Beside>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            streams: 1_000,
            streams_per_address: 32,
            stream_blocks: 256,
            connections: 2_048,
            is_behind_proxy: false,
            height_age_max: Duration::from_secs(30),
            signer: None,
            beside: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            streams,
            streams_per_address,
            stream_blocks,
            connections,
            is_behind_proxy,
            height_age_max,
            signer,
            beside,
        } = self;
        f.debug_struct("Options")
            .field("streams", streams)
            .field("streams_per_address", streams_per_address)
            .field("stream_blocks", stream_blocks)
            .field("connections", connections)
            .field("is_behind_proxy", is_behind_proxy)
            .field("height_age_max", height_age_max)
            .field("signer", &signer.as_ref().map(|signer| signer.public_key()))
            .field("beside", beside)
            .finish()
    }
}

/// The API of a node. Cloning it makes another handle.
#[derive(Clone)]
pub(super) struct Api(Arc<Inner>);

struct Inner {
    node: Node,
    options: Options,
    hub: Hub,
    sinces: Arc<Sinces>,
    metrics: Metrics,
    slots: Slots,
    reads: Semaphore,
    forward: Semaphore,
    /// The last state that was cloned to be run forward.
    cloned: Mutex<Option<Arc<State>>>,
}

/// The address that a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

impl Api {
    /// Has to be called on a runtime: the hub follows the node on a task of its own.
    pub(super) fn new(node: Node, options: Options) -> Self {
        let metrics = Metrics::new();
        let sinces = Arc::new(Sinces::default());
        let hub = Hub::start(&node, &metrics, &sinces, options.stream_blocks);
        let slots = Slots::new(options.streams, options.streams_per_address);
        let (reads, forward) = (Semaphore::new(READS), Semaphore::new(FORWARD));
        Self(Arc::new(Inner { node, options, hub, sinces, metrics, slots, reads, forward, cloned: Mutex::new(None) }))
    }

    pub(super) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(super) fn sinces(&self) -> &Sinces {
        &self.0.sinces
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.0.slots
    }

    /// Reads the decoded state with the height that it is the state of. Heights at which nothing happens are not in it.
    pub(super) fn state<T>(&self, ask: impl FnOnce(&State, Option<Height>) -> T) -> T {
        let seen = self.node().tip().height;
        self.node().read(|state| ask(state, seen.max(state.tip())))
    }

    /// Reads the records of one tip on a thread that may block.
    pub(super) async fn records<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Snapshot<'_>, Option<Height>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = turn(&self.0.reads).await?;
        let node = self.node().clone();
        blocking(move || {
            let seen = node.tip().height;
            node.records(|snapshot| ask(snapshot, seen.max(snapshot.tip()?.and_then(|tip| tip.height))))
        })
        .await
    }

    /// Asks the node on a thread that may block.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Node) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = turn(&self.0.reads).await?;
        let node = self.node().clone();
        blocking(move || ask(&node)).await
    }

    /// Runs with a state of its own, and the records of the same root. The state is cloned once for all who ask at one
    /// root, so that no block waits for what takes long.
    pub(super) async fn forward<T: Send + 'static>(
        &self,
        run: impl FnOnce(&State, &Snapshot<'_>, Option<Height>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = turn(&self.0.forward).await?;
        let api = self.clone();
        blocking(move || {
            let clone = |state: &State, _: &Snapshot<'_>| api.cloned(state);
            api.at_one_root(clone, |state, records, height| run(&state, records, height))
        })
        .await
    }

    /// Proves something with the state and the records of one root.
    pub(super) async fn prove<T: Send + 'static>(
        &self,
        prove: impl Fn(&State, &Snapshot<'_>, Option<Height>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = turn(&self.0.reads).await?;
        let api = self.clone();
        blocking(move || {
            let seen = api.node().tip().height;
            let proven = |state: &State, records: &Snapshot<'_>| prove(state, records, seen.max(state.tip()));
            api.at_one_root(proven, |proven, _, _| proven)
        })
        .await
    }

    /// Reads the state and the records of the same root: `take` while blocks wait, `then` while they do not.
    fn at_one_root<U, T>(
        &self,
        take: impl Fn(&State, &Snapshot<'_>) -> U,
        then: impl FnOnce(U, &Snapshot<'_>, Option<Height>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut then = Some(then);
        for _ in 0..ROOT_TRIES {
            let seen = self.node().tip().height;
            let found = self.node().records(|records| {
                let tip = records.tip()?;
                let is_at = |state: &State| tip == Some(Tip { height: state.tip(), root: state.root() });
                let taken = self.node().read(|state| is_at(state).then(|| take(state, records)));
                let height = seen.max(tip.and_then(|tip| tip.height));
                Ok::<_, Problem>(taken.zip(then.take()).map(|(taken, then)| then(taken, records, height)))
            })?;
            match found {
                Some(answer) => return answer,
                // A block is in the database for a moment before it is in the state.
                None => std::thread::sleep(ROOT_PAUSE),
            }
        }
        Err(Problem::new(Kind::Busy, "blocks come too fast to read a state between them").retry_after(ROOT_PAUSE))
    }

    fn cloned(&self, state: &State) -> Arc<State> {
        let mut cloned = self.0.cloned.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cloned {
            Some(known) if known.tip() == state.tip() && known.root() == state.root() => Arc::clone(known),
            Some(_) | None => {
                let fresh = Arc::new(state.clone());
                *cloned = Some(Arc::clone(&fresh));
                fresh
            }
        }
    }
}

async fn turn(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    let turn = tokio::time::timeout(TURN, semaphore.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| {
        let why = "too many such requests are being answered; ask again, or ask another node";
        Problem::new(Kind::Busy, why).retry_after(TURN)
    })
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T, Problem> + Send + 'static) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(run).await {
        Ok(answer) => answer,
        Err(error) => Err(Problem::fault(&error)),
    }
}

/// What a request asks: its parameters, checked, with the node as far as the request wants to see it.
pub(super) struct Ask {
    pub(super) api: Api,
    pub(super) params: Params,
    pub(super) headers: HeaderMap,
    pub(super) peer: IpAddr,
    paths: Vec<(String, String)>,
}

impl FromRequestParts<Api> for Ask {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let route = parts.extensions.get::<&'static Route>().copied();
        let known = |name: &str| route.and_then(|route| route.parameter(name));
        let params = Params::parse(parts.uri.query(), known)?;
        let paths = RawPathParams::from_request_parts(parts, api).await;
        let paths = paths.map_err(|error| Problem::new(Kind::Path, error.to_string()))?;
        let paths = paths.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let peer = peer(parts, api.options().is_behind_proxy);
        let ask = Self { api: api.clone(), params, headers: parts.headers.clone(), peer, paths };
        ask.wait().await?;
        Ok(ask)
    }
}

/// Who asks. Without a connection it is a test, or this process.
fn peer(parts: &Parts, is_behind_proxy: bool) -> IpAddr {
    let direct = parts.extensions.get::<Peer>().map_or(IpAddr::from([127, 0, 0, 1]), |Peer(address)| *address);
    let forwarded = || {
        let last = parts.headers.get_all("x-forwarded-for").iter().next_back()?;
        last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    };
    if is_behind_proxy { forwarded().unwrap_or(direct) } else { direct }
}

impl Ask {
    /// Waits until the node has come as far as the request wants.
    async fn wait(&self) -> Result<(), Problem> {
        if let Some(height) = self.params.get::<Height>("min_height")? {
            self.api.node().wait_for(height, WAIT).await?;
        }
        match self.params.text("consistency") {
            None | Some("local") => Ok(()),
            Some("linearizable") => self.api.node().linearizable().await.map(|_| ()).map_err(|why| {
                Problem::new(Kind::NotLinearizable, why.to_string()).retry_after(Duration::from_secs(1))
            }),
            Some(other) => {
                let why = format!("{other:?} is not local, which is the default, or linearizable");
                Err(Problem::parameter("consistency", why))
            }
        }
    }

    /// A part of the path.
    pub(super) fn path(&self, part: &str) -> &str {
        self.paths.iter().find(|(name, _)| name == part).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The name in the path.
    pub(super) fn name(&self) -> Result<Name, Problem> {
        name(self.path("name"))
    }
}

/// An answer that is no problem.
#[derive(Debug)]
pub(super) struct Reply {
    status: u16,
    media_type: &'static str,
    body: Vec<u8>,
    /// The height that it is about, where it is not the one of the node at the end.
    height: Option<Height>,
}

/// The media type of most answers.
pub(super) const JSON: &str = "application/json";

impl Reply {
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value).map_err(|error| Problem::fault(&error))?;
        Ok(Self { status: 200, media_type: JSON, body, height: None })
    }

    pub(super) fn fields(fields: Fields) -> Result<Self, Problem> {
        Self::json(&fields)
    }

    pub(super) const fn of_type(media_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, media_type, body, height: None }
    }

    pub(super) const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) const fn at(mut self, height: Option<Height>) -> Self {
        self.height = height;
        self
    }
}

/// The header that says of which height an answer is.
pub(super) const HEIGHT: &str = "coalmine-height";

/// The value of the header of a height; `none` before the first block.
pub(super) fn height_value(height: Option<Height>) -> HeaderValue {
    height.map_or_else(|| HeaderValue::from_static("none"), HeaderValue::from)
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let Self { status, media_type, body, height } = self;
        let mut response = Response::new(body.into());
        *response.status_mut() = status.try_into().unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if height.is_some() {
            headers.insert(HEIGHT, height_value(height));
        }
        response
    }
}
