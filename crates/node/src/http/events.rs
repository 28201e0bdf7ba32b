//! Event streams (SSE): blocks for whoever follows the ledger, and the notes of OFREP that flags have changed.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use coalmine_core::{Event, EventCode, Height, Name};
use coalmine_json::render::Fields;
use coalmine_store::Tip;
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::http::api::{Api, Ask, HEIGHT, height_value};
use crate::http::hub::{Message, block_frame, frame, next};
use crate::http::params::{Params, name};
use crate::http::problem::Problem;
use crate::http::slots::Slot;
use crate::node::StopSignal;

/// How often a stream without blocks tells the height, so that a client that comes back need not ask for much.
const TIP_EVERY: Duration = Duration::from_secs(10);
/// How long a stream is silent at most. Proxies close what is silent for a minute.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How long clients wait before they come back, in milliseconds.
const RETRY: &str = "retry: 2000\n";
/// How many names or kinds a filter may have.
const FILTER_MAX: usize = 100;

/// Answers `GET /v1/events`.
pub(super) async fn events(ask: Ask) -> Result<Response, Problem> {
    let filter = Filter::of(&ask.params)?;
    let from = ask.params.get::<Height>("from")?;
    let start = match last_event_id(&ask.headers) {
        // What does not come from here is like the id of another ledger.
        Some(id) => Start::Behind(id.parse().unwrap_or(Height::MAX)),
        None => from.map_or(Start::Live, Start::At),
    };
    open(&ask, start, Kind::Blocks(filter))
}

/// Answers `GET /ofrep/v1/sse`. Whoever connects is told to fetch anew: what was missed need not be known.
pub(super) async fn refetches(ask: Ask) -> Result<Response, Problem> {
    open(&ask, Start::Live, Kind::Flags)
}

fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default()).filter(|id| !id.is_empty())
}

/// Where a stream begins.
enum Start {
    /// With what comes.
    Live,
    /// At a height.
    At(Height),
    /// Behind the last block that was received.
    Behind(Height),
}

/// What a stream tells.
enum Kind {
    Blocks(Filter),
    Flags,
}

/// Which events are wanted; a list that is empty wants all.
#[derive(Default)]
struct Filter {
    features: BTreeSet<Name>,
    plugins: BTreeSet<Name>,
    kinds: BTreeSet<EventCode>,
}

impl Filter {
    fn of(params: &Params) -> Result<Self, Problem> {
        let kind = |text: &str| {
            EventCode::from_name(text).ok_or_else(|| {
                let known: Vec<&str> = EventCode::ALL.iter().map(|code| code.name()).collect();
                Problem::parameter("kind", format!("{text:?} is no kind of event; these are: {}", known.join(", ")))
            })
        };
        Ok(Self {
            features: listed(params, "feature", name)?,
            plugins: listed(params, "plugin", name)?,
            kinds: listed(params, "kind", kind)?,
        })
    }

    fn is_open(&self) -> bool {
        self.features.is_empty() && self.plugins.is_empty() && self.kinds.is_empty()
    }

    fn wants(&self, event: &Event) -> bool {
        let is_of = |names: &BTreeSet<Name>, name: Option<&Name>| name.is_some_and(|name| names.contains(name));
        let wants_all_names = self.features.is_empty() && self.plugins.is_empty();
        let is_named = is_of(&self.features, event.feature()) || is_of(&self.plugins, event.plugin());
        (wants_all_names || is_named) && (self.kinds.is_empty() || self.kinds.contains(&event.code()))
    }
}

fn listed<T: Ord>(
    params: &Params,
    parameter: &'static str,
    parse: impl Fn(&str) -> Result<T, Problem>,
) -> Result<BTreeSet<T>, Problem> {
    let list: Vec<&str> = params.text(parameter).map(|text| text.split(',').collect()).unwrap_or_default();
    if list.len() > FILTER_MAX {
        return Err(Problem::parameter(parameter, format!("a filter has at most {FILTER_MAX} entries")));
    }
    list.into_iter().map(|text| parse(text.trim())).collect()
}

fn open(ask: &Ask, start: Start, kind: Kind) -> Result<Response, Problem> {
    let slot = ask.api.slots().take(ask.peer)?;
    let reader = Reader::new(ask.api.clone(), slot, start, kind);
    let tip = ask.api.node().tip();
    let frames = unfold(reader, |mut reader| async move {
        let frame = reader.frame().await?;
        Some((Ok::<_, Infallible>(frame), reader))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx holds event streams back unless it is told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert(HEIGHT, height_value(tip.height));
    Ok(response)
}

/// One open stream.
struct Reader {
    api: Api,
    _slot: Slot,
    kind: Kind,
    seen: watch::Receiver<Tip>,
    stop: StopSignal,
    /// The next height to tell of.
    next: Height,
    /// The height that the client has as its last id.
    told: Option<Height>,
    is_live: bool,
    is_over: bool,
    queue: VecDeque<Bytes>,
    tip_due: Instant,
    comment_due: Instant,
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}

impl Reader {
    fn new(api: Api, slot: Slot, start: Start, kind: Kind) -> Self {
        // Whatever is committed from here on is seen later.
        let seen = api.hub().seen();
        let (tip, oldest, stop) = (*seen.borrow(), api.node().oldest_outcome(), api.node().stop());
        let mut reader = Self {
            api,
            _slot: slot,
            kind,
            seen,
            stop,
            next: next(tip),
            told: None,
            is_live: true,
            is_over: false,
            queue: VecDeque::new(),
            tip_due: after(TIP_EVERY),
            comment_due: after(COMMENT_EVERY),
        };
        match reader.kind {
            Kind::Flags => reader.push_refetch(tip),
            Kind::Blocks(_) => reader.begin(start, tip, oldest),
        }
        reader
    }

    fn begin(&mut self, start: Start, tip: Tip, oldest: Height) {
        let from = match start {
            Start::Live => None,
            Start::At(height) => Some(height),
            Start::Behind(height) => Some(height.checked_add(1).unwrap_or(Height::MAX)),
        };
        let is_known = |from: &Height| *from >= oldest && *from <= self.next;
        let data = tip_fields(tip).with("oldest", oldest);
        match from {
            // The tip is the id only if nothing before it is missing.
            None => self.push_hello(tip.height, &data),
            Some(from) if is_known(&from) => {
                self.push_hello(None, &data);
                (self.next, self.is_live) = (from, from == self.next);
            }
            Some(_) => {
                self.push_hello(None, &data);
                self.push_reset(tip, oldest);
            }
        }
    }

    fn push_hello(&mut self, id: Option<Height>, data: &Fields) {
        self.told = id;
        self.queue.push_back([RETRY.as_bytes(), &frame(id, "hello", data)].concat().into());
    }

    fn push_reset(&mut self, tip: Tip, oldest: Height) {
        let data = tip_fields(tip).with("oldest", oldest);
        self.queue.push_back(frame(tip.height, "reset", &data));
        self.told = tip.height;
    }

    fn push_refetch(&mut self, tip: Tip) {
        let data = Fields::new().with("type", "refetchEvaluation").with("etag", config_etag(tip));
        self.queue.push_back(frame(tip.height, "message", &data));
        self.told = tip.height;
    }

    /// The next frame; `None` at the end.
    async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if self.stop.is_stopping() {
                return None;
            }
            if let Some(frame) = self.queue.pop_front() {
                self.comment_due = after(COMMENT_EVERY);
                return Some(frame);
            }
            if self.is_over {
                return None;
            }
            let tip = *self.seen.borrow_and_update();
            if tip.height >= Some(self.next) {
                self.read(tip).await;
            } else {
                self.is_live = true;
                self.wait(tip).await;
            }
        }
    }

    /// Takes the next blocks.
    async fn read(&mut self, tip: Tip) {
        match self.api.hub().blocks(self.next, self.is_live).await {
            Ok(Some((messages, until))) => {
                self.tell(&messages);
                match until.checked_add(1) {
                    Some(next) => self.next = next,
                    None => self.is_over = true,
                }
            }
            Ok(None) => self.end(tip),
            Err(error) => {
                tracing::error!(%error, "a stream cannot read what has happened");
                self.end(tip);
            }
        }
    }

    /// Says that something is missing, and ends: whoever comes back begins anew.
    fn end(&mut self, tip: Tip) {
        self.is_over = true;
        match self.kind {
            Kind::Flags => {}
            Kind::Blocks(_) => self.push_reset(tip, self.api.node().oldest_outcome()),
        }
    }

    fn tell(&mut self, messages: &[std::sync::Arc<Message>]) {
        match &self.kind {
            Kind::Flags => {
                if let Some(last) = messages.iter().rev().find(|message| message.changes_flags) {
                    self.push_refetch(Tip { height: Some(last.height), root: last.record.root });
                }
            }
            Kind::Blocks(filter) => {
                for message in messages {
                    if filter.is_open() {
                        self.queue.push_back(message.frame.clone());
                    } else if message.record.events.iter().any(|event| filter.wants(event)) {
                        self.queue.push_back(block_frame(&message.record, |event| filter.wants(event)));
                    } else {
                        continue;
                    }
                    self.told = Some(message.height);
                    self.tip_due = after(TIP_EVERY);
                }
            }
        }
    }

    /// Waits for the next height, the end, or the time to say something.
    async fn wait(&mut self, tip: Tip) {
        let (tip_due, comment_due) = (self.tip_due, self.comment_due);
        tokio::select! {
            moved = self.seen.changed() => if moved.is_err() { self.is_over = true },
            () = self.stop.stopped() => {}
            () = tokio::time::sleep_until(tip_due) => {
                self.tip_due = after(TIP_EVERY);
                if matches!(self.kind, Kind::Blocks(_)) && tip.height > self.told {
                    self.queue.push_back(frame(tip.height, "tip", &tip_fields(tip)));
                    self.told = tip.height;
                }
            }
            () = tokio::time::sleep_until(comment_due) => self.queue.push_back(Bytes::from_static(b":\n\n")),
        }
    }
}

fn tip_fields(tip: Tip) -> Fields {
    Fields::new().with("tip", tip.height).text("root", tip.root)
}

/// What a state of all flags is called in OFREP: its height, and the beginning of its root.
pub(super) fn config_etag(tip: Tip) -> String {
    let root: String = tip.root.to_string().chars().take(16).collect();
    format!("{}-{root}", tip.height.unwrap_or_default())
}
