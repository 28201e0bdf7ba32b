//! The stream manager: events of the connection go in, actions come out.
//!
//! It decides about messages, failures and delays, and has all the state that outlives a connection. There is no clock,
//! no randomness and no I/O here. The ledger decides whether an item is new, old or late, so nothing is dropped because
//! of its version. Versions are compared for one purpose: an invalid entry of a put is replaced by the version last sent.

use std::collections::BTreeMap;

use coalmine_core::{Command, FEED_PUT_IDS_MAX, FeedEntry, FeedId, FeedItem, FeedKey, FeedKind};

use crate::backoff::{Backoff, Delays, jitter};
use crate::command;
use crate::json::shown;
use crate::message::{Flaw, List, Message, MessageError};
use crate::secret::Salt;

/// The most items that are remembered: those of the largest put, and as many again from later messages.
const SENT_MAX: usize = 8_192;

/// An event of the connection.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The server answered.
    Response {
        /// The HTTP status; anything but 200 is a refusal.
        status: u16,
    },
    /// The stream delivered an event.
    Event {
        /// Its name.
        name: &'a str,
        /// Its data.
        data: &'a str,
        /// The first delay that the server asks for, in milliseconds.
        retry_ms: Option<u64>,
    },
    /// The connection failed or ended.
    Failed {
        /// The reason, for people.
        reason: &'a str,
    },
}

/// What to do about an input, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Pass these commands on, all of them or none.
    ///
    /// They are one message. If the ledger rejects a part of a put, or the transaction with it, the following parts must
    /// be withheld: the last part makes the ledger forget every item that no part listed, and so those of the rejected
    /// part. A host that does not see the receipts must rule out the causes of a rejection: a signer without the role,
    /// and items of another source.
    Emit(Vec<Command>),
    /// Log this.
    Log(Log),
    /// Drop the connection, wait this many milliseconds, and reconnect.
    Reconnect(u64),
    /// Drop the connection for good.
    Stop,
}

/// The level of a log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only of interest when something is wrong.
    Debug,
    /// Normal operation.
    Info,
    /// Something is wrong, but most of it was handled.
    Warn,
    /// A message or the connection was refused as a whole.
    Error,
}

/// A log entry. It never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The level.
    pub level: Level,
    /// One word, for programs.
    pub tag: &'static str,
    /// The text, for people.
    pub text: String,
}

/// The state that outlives a connection.
#[derive(Debug)]
pub struct Manager {
    salt: Salt,
    backoff: Backoff,
    /// The number of events so far.
    events: u64,
    /// The newest version of each item that was emitted since it was last listed.
    sent: BTreeMap<FeedKey, FeedEntry>,
    /// Whether the ledger may have items that are not in `sent`. A put ends that: the ledger forgets what it does not
    /// list.
    is_blind: bool,
}

impl Manager {
    /// Starts without knowledge of the items of the ledger, which [`Manager::seed`] provides.
    #[must_use]
    pub const fn new(salt: Salt, delays: Delays) -> Self {
        Self { salt, backoff: Backoff::new(delays), events: 0, sent: BTreeMap::new(), is_blind: true }
    }

    /// Treats the items of the ledger as sent. To be called before the first message, without items for a new ledger.
    ///
    /// An invalid entry of a put is replaced by the version last sent. After a restart without this call there is none,
    /// so the ledger forgets the item, which can only be logged as an error.
    pub fn seed<'a>(&mut self, items: impl IntoIterator<Item = (&'a FeedKey, &'a FeedItem)>) {
        for (FeedKey { kind, id }, item) in items {
            // A deleted item keeps its version without being listed.
            if let Some(body) = item.body() {
                self.remember(*kind, FeedEntry { id: *id, version: item.version, body: body.clone() });
            }
        }
        // At the limit, some items may not have been remembered.
        self.is_blind = self.sent.len() >= SENT_MAX;
    }

    /// Decides what to do. `random` is any number, and only affects delays.
    pub fn handle(&mut self, input: Input<'_>, now_ms: u64, random: u64) -> Vec<Action> {
        match input {
            Input::Response { status: 200 } => Vec::new(),
            Input::Response { status: status @ (401 | 403) } => {
                let text = format!("HTTP error {status}: the key is not valid; no further attempt is made");
                vec![log(Level::Error, "invalid_key", text), Action::Stop]
            }
            Input::Response { status } => {
                vec![log(Level::Warn, "http_error", format!("HTTP error {status}")), self.reconnect(now_ms, random)]
            }
            Input::Failed { reason } => {
                vec![log(Level::Warn, "failed", reason), self.reconnect(now_ms, random)]
            }
            Input::Event { name, data, retry_ms } => {
                self.events = self.events.saturating_add(1);
                self.backoff.good(now_ms);
                if let Some(retry_ms) = retry_ms {
                    self.backoff.set_base(retry_ms);
                }
                match Message::read(name, data, &self.salt) {
                    Ok(Message::Put { environments, filters }) => self.put(&environments, &filters),
                    Ok(Message::Patch { kind, id, entry }) => self.patch(kind, &id, entry),
                    Ok(Message::Delete { kind, id, version }) => self.delete(kind, &id, version),
                    Ok(Message::Reconnect) => {
                        let text = self.place(name);
                        vec![log(Level::Info, "deliberate_reconnect", text), self.reconnect(now_ms, random)]
                    }
                    Err(error) => self.refuse(name, &error, now_ms, random),
                }
            }
        }
    }

    fn put(&mut self, environments: &List<'_>, filters: &List<'_>) -> Vec<Action> {
        let place = self.place("put");
        let mut flaws = Flaws::default();
        let environments = self.listed(FeedKind::Environment, environments, &mut flaws);
        let filters = self.listed(FeedKind::Filter, filters, &mut flaws);
        let count = environments.len().saturating_add(filters.len());
        if u32::try_from(count).unwrap_or(u32::MAX) > FEED_PUT_IDS_MAX {
            // Sending a part would delete the rest, and a new connection would bring the same put.
            let text =
                format!("{place}: {count} items; the ledger accepts at most {FEED_PUT_IDS_MAX}, so none is sent");
            return vec![log(Level::Error, "too_many_items", text)];
        }
        self.is_blind = false;
        let mut before = std::mem::take(&mut self.sent);
        let mut remember = |kind, entry: &FeedEntry| {
            let key = FeedKey { kind, id: entry.id };
            let newer = before.remove(&key).filter(|sent| sent.version >= entry.version);
            self.sent.insert(key, newer.unwrap_or_else(|| entry.clone()));
        };
        environments.iter().for_each(|entry| remember(FeedKind::Environment, entry));
        filters.iter().for_each(|entry| remember(FeedKind::Filter, entry));

        let mut actions = vec![log(Level::Info, "put_received", format!("{place}: {count} items"))];
        let Flaws { invalid, lost } = flaws;
        actions.extend(invalid.into_iter().map(|(flaw, items)| {
            log(Level::Warn, flaw.tag(), format!("{place}: {}: {flaw}{}", items.first, items.more()))
        }));
        actions.extend(lost.map(|items| {
            let text = "no version of it was sent since the start, so the ledger forgets it";
            log(Level::Error, "not_retained", format!("{place}: {}: {text}{}", items.first, items.more()))
        }));
        actions.push(match command::put(environments, filters) {
            Ok(commands) => Action::Emit(commands),
            Err(error) => log(Level::Error, "malformed", format!("{place}: {error}")),
        });
        actions
    }

    /// The entries of a list that go to the ledger.
    ///
    /// The source means to retain a listed id even if its entry is invalid, and the only way to retain an id is to list
    /// it. So an invalid entry is replaced by the version last sent, which the ledger ignores as late.
    fn listed(&self, kind: FeedKind, list: &List<'_>, flaws: &mut Flaws) -> Vec<FeedEntry> {
        let mut entries = Vec::new();
        for (id, entry) in list.iter(&self.salt) {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(flaw) => {
                    let which = || which(kind, id);
                    flaws.invalid.entry(flaw).and_modify(Several::add).or_insert_with(|| Several::new(which()));
                    // No ledger has an item with an invalid id.
                    let Ok(id) = FeedId::new(id.as_bytes()) else { continue };
                    match self.sent.get(&FeedKey { kind, id }) {
                        Some(sent) => entries.push(sent.clone()),
                        None if self.is_blind => match &mut flaws.lost {
                            Some(lost) => lost.add(),
                            None => flaws.lost = Some(Several::new(which())),
                        },
                        None => {}
                    }
                }
            }
        }
        entries
    }

    fn patch(&mut self, kind: FeedKind, id: &str, entry: Result<FeedEntry, Flaw>) -> Vec<Action> {
        match entry {
            Ok(entry) => {
                self.remember(kind, entry.clone());
                let FeedEntry { id, version, body } = entry;
                vec![Action::Emit(vec![Command::FeedPatch { kind, id, version, body }])]
            }
            Err(flaw) => vec![self.flawed("patch", kind, id, flaw)],
        }
    }

    fn delete(&mut self, kind: FeedKind, id: &str, version: Result<(FeedId, u64), Flaw>) -> Vec<Action> {
        match version {
            Ok((id, version)) => {
                let key = FeedKey { kind, id };
                if let Some(sent) = self.sent.get_mut(&key) {
                    sent.version = sent.version.max(version);
                }
                vec![Action::Emit(vec![Command::FeedDelete { kind, id, version }])]
            }
            Err(flaw) => vec![self.flawed("delete", kind, id, flaw)],
        }
    }

    /// Remembers an entry, up to the limit. An item beyond it is forgotten by a put with an invalid entry for it.
    fn remember(&mut self, kind: FeedKind, entry: FeedEntry) {
        let is_full = self.sent.len() >= SENT_MAX;
        let key = FeedKey { kind, id: entry.id };
        if self.sent.get(&key).map_or(!is_full, |sent| sent.version < entry.version) {
            self.sent.insert(key, entry);
        }
    }

    fn refuse(&mut self, event: &str, error: &MessageError, now_ms: u64, random: u64) -> Vec<Action> {
        let text = format!("{}: {error}", self.place(event));
        match error {
            MessageError::UnknownEvent => vec![log(Level::Warn, "unknown_event", text)],
            MessageError::WrongPath => vec![log(Level::Info, "wrong_path", text)],
            MessageError::UnknownEntity => vec![log(Level::Debug, "unknown_entity", text)],
            // What was lost is not known, so the stream must start again with a put.
            MessageError::Malformed(_) => {
                vec![log(Level::Error, "malformed", text), self.reconnect(now_ms, random)]
            }
        }
    }

    fn reconnect(&mut self, now_ms: u64, random: u64) -> Action {
        Action::Reconnect(jitter(self.backoff.fail(now_ms), random))
    }

    fn flawed(&self, event: &str, kind: FeedKind, id: &str, flaw: Flaw) -> Action {
        log(Level::Warn, flaw.tag(), format!("{}: {}: {flaw}", self.place(event), which(kind, id)))
    }

    /// The position of the last event in the stream.
    fn place(&self, event: &str) -> String {
        format!("event {} ({})", self.events, shown(event))
    }
}

/// The flaws of a put.
#[derive(Debug, Default)]
struct Flaws {
    /// The items with each flaw.
    invalid: BTreeMap<Flaw, Several>,
    /// The flawed items without a version to send instead.
    lost: Option<Several>,
}

/// The first of several items, and how many more there are.
#[derive(Debug)]
struct Several {
    first: String,
    more: usize,
}

impl Several {
    const fn new(first: String) -> Self {
        Self { first, more: 0 }
    }

    const fn add(&mut self) {
        self.more = self.more.saturating_add(1);
    }

    fn more(&self) -> String {
        if self.more == 0 { String::new() } else { format!("; and {} more", self.more) }
    }
}

fn which(kind: FeedKind, id: &str) -> String {
    format!("{} \"{}\"", kind.name(), shown(id))
}

fn log(level: Level, tag: &'static str, text: impl Into<String>) -> Action {
    Action::Log(Log { level, tag, text: text.into() })
}

impl Flaw {
    /// The flaw in one word.
    const fn tag(self) -> &'static str {
        match self {
            Self::WrongId => "wrong_id",
            Self::InvalidId => "invalid_id",
            Self::NegativeVersion => "negative_version",
            Self::TooLarge => "too_large",
        }
    }
}
