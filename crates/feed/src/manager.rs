//! The stream manager: what happens on the connection goes in, what to do comes out.
//!
//! It decides about messages, failures and delays, and holds all that outlives a connection. There is no clock, no
//! randomness and no I/O here. Whether an item is new, old or late is not decided here: the ledger knows the versions.

use std::collections::BTreeMap;

use coalmine_core::{Command, FEED_PUT_IDS_MAX, FeedEntry, FeedId, FeedKey, FeedKind};

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
}

impl Manager {
    /// Nothing has happened yet.
    #[must_use]
    pub const fn new(salt: Salt, delays: Delays) -> Self {
        Self { salt, backoff: Backoff::new(delays), events: 0, sent: BTreeMap::new() }
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
                    Ok(Message::Put { environments, filters }) => self.put(environments, filters),
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

    fn put(&mut self, environments: List, filters: List) -> Vec<Action> {
        let place = self.place("put");
        let mut flaws = Flaws::new();
        let environments = self.listed(FeedKind::Environment, environments, &mut flaws);
        let filters = self.listed(FeedKind::Filter, filters, &mut flaws);
        let count = environments.len().saturating_add(filters.len());
        if u32::try_from(count).unwrap_or(u32::MAX) > FEED_PUT_IDS_MAX {
            // A part of what there is would delete the rest, and asking again would bring the same.
            let text =
                format!("{place}: {count} items; the ledger takes {FEED_PUT_IDS_MAX}, so none of them goes there");
            return vec![log(Level::Error, "too_many_items", text)];
        }
        let mut before = std::mem::take(&mut self.sent);
        let mut remember = |kind, entry: &FeedEntry| {
            let key = FeedKey { kind, id: entry.id };
            let newer = before.remove(&key).filter(|sent| sent.version >= entry.version);
            self.sent.insert(key, newer.unwrap_or_else(|| entry.clone()));
        };
        environments.iter().for_each(|entry| remember(FeedKind::Environment, entry));
        filters.iter().for_each(|entry| remember(FeedKind::Filter, entry));

        let mut actions = vec![log(Level::Info, "put_received", format!("{place}: {count} items"))];
        actions.extend(flaws.into_iter().map(|(flaw, (which, more))| {
            let more = if more == 0 { String::new() } else { format!("; and {more} more") };
            log(Level::Warn, flaw.tag(), format!("{place}: {which}: {flaw}{more}"))
        }));
        actions.push(Action::Emit(command::put(environments, filters)));
        actions
    }

    /// The entries of a list that go to the ledger.
    ///
    /// A listed id counts as retained whatever is wrong with its entry, and the only way to retain an id is to list it:
    /// so a flawed one goes as it was last sent, which the ledger takes for late and passes over.
    fn listed(&self, kind: FeedKind, list: List, flaws: &mut Flaws) -> Vec<FeedEntry> {
        let mut entries = Vec::new();
        for (id, entry) in list {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(flaw) => {
                    flaws
                        .entry(flaw)
                        .and_modify(|(_, more)| *more = more.saturating_add(1))
                        .or_insert_with(|| (which(kind, &id), 0));
                    let key = FeedId::new(id.as_bytes()).map(|id| FeedKey { kind, id });
                    entries.extend(key.ok().and_then(|key| self.sent.get(&key)).cloned());
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

/// The first item with each flaw, and how many more there are.
type Flaws = BTreeMap<Flaw, (String, usize)>;

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
