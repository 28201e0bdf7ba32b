//! The stream manager: what happens on the connection goes in, what to do comes out.
//!
//! It decides about messages, failures and delays, and holds all that outlives a connection. There is no clock, no
//! randomness and no I/O here. Whether an item is new, old or late is the ledger's to tell, so nothing is dropped for its
//! version. Versions are compared for one purpose: an entry of a put that cannot be read goes as it was last sent.

use std::collections::BTreeMap;

use coalmine_core::{Command, FEED_PUT_IDS_MAX, FeedEntry, FeedId, FeedItem, FeedKey, FeedKind};

use crate::backoff::{Backoff, Delays, jitter};
use crate::command;
use crate::json::shown;
use crate::message::{Flaw, List, Message, MessageError};
use crate::secret::Salt;

/// The most items that are remembered: those of the largest put, and as many that came since.
const SENT_MAX: usize = 8_192;

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The server answered.
    Response {
        /// Its status; all but 200 are refusals.
        status: u16,
    },
    /// The stream brought an event.
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
        /// How, for people.
        reason: &'a str,
    },
}

/// What to do about it, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Hand these commands on, all or none of them.
    ///
    /// They are a message, and the parts of a put are one: when the ledger rejects a part, or the transaction that holds
    /// it, the parts behind it must be withheld. The last part forgets every item that no part listed, and so those of a
    /// part that was rejected. Whoever cannot see the receipts must keep the causes of a rejection away: a signer
    /// without the role, and items of another source.
    Emit(Vec<Command>),
    /// Tell somebody.
    Log(Log),
    /// Drop the connection, wait so many milliseconds, and connect anew.
    Reconnect(u64),
    /// Drop the connection for good.
    Stop,
}

/// How much a log entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Of no interest while all is well.
    Debug,
    /// As it should be.
    Info,
    /// Not as it should be.
    Warn,
    /// Something was refused as a whole.
    Error,
}

/// Something worth telling. There is never a secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How much it matters.
    pub level: Level,
    /// What it is, in one word for programs.
    pub tag: &'static str,
    /// What it is, for people.
    pub text: String,
}

/// All that outlives a connection.
#[derive(Debug)]
pub struct Manager {
    salt: Salt,
    backoff: Backoff,
    /// How many events there were.
    events: u64,
    /// The newest that was emitted of each item since it was last listed.
    sent: BTreeMap<FeedKey, FeedEntry>,
    /// Whether the ledger may hold items that are not in `sent`. A put ends that: what it does not list is forgotten.
    is_blind: bool,
}

impl Manager {
    /// Nothing has happened yet, and what the ledger holds is not known; [`Manager::seed`] tells it.
    #[must_use]
    pub const fn new(salt: Salt, delays: Delays) -> Self {
        Self { salt, backoff: Backoff::new(delays), events: 0, sent: BTreeMap::new(), is_blind: true }
    }

    /// Takes the items of the ledger for sent, before the first message: those of its state, or none where it is new.
    ///
    /// An entry of a put that is flawed goes as it was last sent. After a restart without this call there is nothing to
    /// send of such an item, the ledger forgets it, and all that can be done is to log it as an error.
    pub fn seed<'a>(&mut self, items: impl IntoIterator<Item = (&'a FeedKey, &'a FeedItem)>) {
        for (FeedKey { kind, id }, item) in items {
            // What is deleted keeps its version without being listed.
            if let Some(body) = item.body() {
                self.remember(*kind, FeedEntry { id: *id, version: item.version, body: body.clone() });
            }
        }
        // Where no more is remembered, something may be missing.
        self.is_blind = self.sent.len() >= SENT_MAX;
    }

    /// Decides what to do. `random` is any number; it moves delays only.
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
            // A part of what there is would delete the rest, and asking again would bring the same.
            let text =
                format!("{place}: {count} items; the ledger takes {FEED_PUT_IDS_MAX}, so none of them goes there");
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
        let Flaws { told, lost } = flaws;
        actions.extend(told.into_iter().map(|(flaw, items)| {
            log(Level::Warn, flaw.tag(), format!("{place}: {}: {flaw}{}", items.first, items.more()))
        }));
        actions.extend(lost.map(|items| {
            let text = "it was not sent since the start, so it cannot be retained: the ledger forgets it";
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
    /// A listed id counts as retained whatever is wrong with its entry, and the only way to retain an id is to list it:
    /// so a flawed one goes as it was last sent, which the ledger takes for late and passes over.
    fn listed(&self, kind: FeedKind, list: &List<'_>, flaws: &mut Flaws) -> Vec<FeedEntry> {
        let mut entries = Vec::new();
        for (id, entry) in list.iter(&self.salt) {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(flaw) => {
                    let which = || which(kind, id);
                    flaws.told.entry(flaw).and_modify(Several::add).or_insert_with(|| Several::new(which()));
                    // No ledger holds an item whose id is none.
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

    /// Beyond the limit nothing is remembered; what that costs is that a put which lists such an item flawed forgets it.
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
            // What came cannot be told from what is lost, so the stream starts again with a put.
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

    /// Where in the stream the last event stands.
    fn place(&self, event: &str) -> String {
        format!("event {} ({})", self.events, shown(event))
    }
}

/// What is wrong with a put.
#[derive(Debug, Default)]
struct Flaws {
    /// The items with each flaw.
    told: BTreeMap<Flaw, Several>,
    /// The flawed items of which there is nothing to send.
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
