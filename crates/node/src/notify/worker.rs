//! Brings the events of the ledger to one sink, a step at a time.
//!
//! Each step sends at most one message or writes at most once, so that a sink that is dropped between any two of them goes
//! on where it was: no message is passed over that was neither delivered nor counted as dead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use coalmine_core::{DecodeError, Event};
use coalmine_store::{Problem, StoreError};

use crate::node::Node;
use crate::notify::carrier::{Attempt, Carrier, Form};
use crate::notify::filter::Filter;
use crate::notify::message::{Message, Position, Source, cloud_event, text};
use crate::notify::progress::{DeadLetters, Outcome, Progress};

/// How many blocks are read at once.
const READ: usize = 16;
/// How many messages are made at once.
const MESSAGES_MAX: usize = 256;
/// How often a sink writes how far it is while it goes on, or while it finds nothing to send.
const SAVE_BUSY: u64 = 1_000;
const SAVE_IDLE: u64 = 60_000;

/// How a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// The kind of sink.
    pub kind: &'static str,
    /// The first event that it has not dealt with.
    pub next: Position,
    /// How many messages it has delivered since the node started.
    pub delivered: u64,
    /// How many attempts have failed since the node started.
    pub failures: u64,
    /// How many attempts to deliver the next message have failed.
    pub attempts: u8,
    /// When it tries again, in milliseconds since 1970; 0: at once.
    pub retry_at: u64,
    /// Whether the receiver has said that it wants nothing any more.
    pub is_disabled: bool,
    /// How many messages were given up, and can be replayed.
    pub dead: u64,
    /// The first heights that were pruned before this sink looked at them.
    pub missed: u64,
    /// Why the last attempt failed; empty after one that did not.
    pub error: String,
}

/// What a sink shares with whoever asks about it.
#[derive(Debug)]
pub(crate) struct Shared {
    status: Mutex<SinkStatus>,
    is_to_replay: Mutex<bool>,
}

impl Shared {
    pub(crate) fn status(&self) -> MutexGuard<'_, SinkStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn to_replay(&self) -> MutexGuard<'_, bool> {
        self.is_to_replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn replay(&self) {
        *self.to_replay() = true;
    }
}

/// When a sink has something to do again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Now.
    No,
    /// After a time, or when somebody asks for a replay.
    For(Duration),
    /// With the next height, or when somebody asks for a replay.
    UntilBlock,
    /// When somebody asks for a replay.
    UntilAsked,
}

/// One sink at work.
pub(crate) struct Worker {
    node: Node,
    key: String,
    source: Source,
    filter: Filter,
    carrier: Box<dyn Carrier + Send>,
    progress: Progress,
    saved: Progress,
    saved_at: u64,
    dead: DeadLetters,
    queue: VecDeque<Message>,
    /// An attempt that nothing followed from yet.
    attempt: Option<(Message, Attempt, bool)>,
    is_replaying: bool,
    shared: Arc<Shared>,
}

impl Worker {
    /// Takes up a sink where it was. One that is new begins with the next block.
    pub(crate) fn new(
        node: Node,
        name: &str,
        kind: &'static str,
        filter: Filter,
        carrier: Box<dyn Carrier + Send>,
    ) -> Result<Self, StoreError> {
        let key = format!("notify/{name}");
        let damaged = |error: DecodeError| StoreError::new(key.clone(), Problem::Damaged(error.to_string()));
        let endpoint = carrier.endpoint();
        let dead = node.meta_get(&dead_key(&key))?.map(|bytes| DeadLetters::from_bytes(&bytes)).transpose();
        let dead = dead.map_err(damaged)?.unwrap_or_default();
        let saved = node.meta_get(&key)?.map(|bytes| Progress::from_bytes(&bytes)).transpose().map_err(damaged)?;
        let progress = match &saved {
            Some(saved) if saved.endpoint == endpoint => saved.clone(),
            // Another receiver: what the old one has said or failed at does not count.
            Some(saved) => Progress { endpoint, ..saved.encouraged() },
            None => {
                let height = node.tip().height.map_or(0, |tip| tip.saturating_add(1));
                let progress = Progress::new(Position { height, index: 0 }, endpoint);
                // What happens from now on is told, also after a crash before the first message.
                node.meta_put(&key, Some(&progress.to_bytes()))?;
                progress
            }
        };
        let status = SinkStatus {
            name: name.into(),
            kind,
            next: progress.next,
            delivered: 0,
            failures: 0,
            attempts: progress.attempts,
            retry_at: progress.retry_at,
            is_disabled: progress.is_disabled,
            dead: dead.count(),
            missed: 0,
            error: String::new(),
        };
        Ok(Self {
            source: Source {
                chain: node.genesis().chain().as_str().into(),
                genesis: hex::encode(node.domain().genesis().0.get(..4).unwrap_or_default()),
            },
            node,
            key,
            filter,
            carrier,
            saved: saved.unwrap_or_else(|| progress.clone()),
            saved_at: 0,
            progress,
            dead,
            queue: VecDeque::new(),
            attempt: None,
            is_replaying: false,
            shared: Arc::new(Shared { status: Mutex::new(status), is_to_replay: Mutex::new(false) }),
        })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Does one thing. `roll` is any number.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) fn step(&mut self, now: SystemTime, roll: u32) -> Result<Pause, StoreError> {
        let at = milliseconds(now);
        if let Some((message, attempt, is_replay)) = self.attempt.take() {
            let done =
                if is_replay { self.after_replay(&message, attempt) } else { self.after(&message, attempt, at, roll) };
            self.show();
            return done.map(|()| Pause::No);
        }
        if std::mem::take(&mut *self.shared.to_replay()) {
            self.progress = self.progress.encouraged();
            self.is_replaying = true;
            self.show();
        }
        if self.is_replaying {
            return self.replay(now).map(|()| Pause::No);
        }
        if self.progress.is_disabled {
            return Ok(Pause::UntilAsked);
        }
        let pause = self.progress.pause(at);
        if pause > Duration::ZERO {
            return Ok(Pause::For(pause));
        }
        if self.queue.is_empty() {
            let from = self.present(self.progress.next);
            let (found, next) = self.read(from, None)?;
            self.queue = found.into();
            if self.queue.is_empty() {
                let is_behind = next > self.progress.next;
                self.progress.next = next;
                self.show();
                let is_late = at.saturating_sub(self.saved_at) >= SAVE_IDLE;
                if is_late || self.saved.attempts != self.progress.attempts {
                    self.save(at)?;
                }
                let caught_up = self.node.tip().height.is_none_or(|tip| next.height > tip);
                return Ok(if is_behind && !caught_up { Pause::No } else { Pause::UntilBlock });
            }
        }
        if let Some(message) = self.queue.pop_front() {
            let attempt = self.carrier.carry(&message, now);
            self.attempt = Some((message, attempt, false));
        }
        Ok(Pause::No)
    }

    fn after(&mut self, message: &Message, attempt: Attempt, at: u64, roll: u32) -> Result<(), StoreError> {
        let Attempt { outcome, what } = attempt;
        let follows = self.progress.is_failing;
        let (progress, is_dead) = self.progress.after(message.next, message.time, outcome, at, roll);
        let name = self.name();
        match outcome {
            Outcome::Delivered => self.delivered(&name),
            Outcome::Failed { .. } => {
                let in_s = progress.pause(at).as_secs();
                tracing::warn!(
                    sink = name,
                    id = message.id,
                    attempt = self.progress.attempts.saturating_add(1),
                    retry_in_s = in_s,
                    reason = what,
                    "a notification was not delivered"
                );
            }
            Outcome::Gone => {
                tracing::error!(
                    sink = name,
                    reason = what,
                    "a sink is disabled; coalmine notify replay enables it again"
                );
            }
        }
        if outcome != Outcome::Delivered {
            self.failed(what);
            // The next attempt makes the message again from what is durable.
            self.queue.clear();
        }
        if is_dead {
            tracing::error!(
                sink = name,
                id = message.id,
                "a notification is given up; coalmine notify replay sends it again"
            );
            self.dead.add(message.first, message.next, follows);
            // A crash between the two writes tries the message again, and counts it once.
            self.save_dead()?;
        }
        self.progress = progress;
        let is_due = at.saturating_sub(self.saved_at) >= SAVE_BUSY || self.queue.is_empty();
        if outcome != Outcome::Delivered || is_due { self.save(at) } else { Ok(()) }
    }

    /// Sends the oldest dead letter.
    fn replay(&mut self, now: SystemTime) -> Result<(), StoreError> {
        let Some(range) = self.dead.first().cloned() else {
            self.is_replaying = false;
            self.show();
            return self.save(milliseconds(now));
        };
        let from = self.present(range.first);
        let (found, next) = self.read(from, Some(range.next))?;
        match found.into_iter().next() {
            Some(message) => {
                let attempt = self.carrier.carry(&message, now);
                self.attempt = Some((message, attempt, true));
                Ok(())
            }
            None => {
                self.dead.done(next);
                self.show();
                self.save_dead()
            }
        }
    }

    fn after_replay(&mut self, message: &Message, attempt: Attempt) -> Result<(), StoreError> {
        if attempt.outcome == Outcome::Delivered {
            let name = self.name();
            self.delivered(&name);
            self.dead.done(message.next);
            return self.save_dead();
        }
        tracing::warn!(
            sink = self.name(),
            id = message.id,
            reason = attempt.what,
            "a replay ends: a notification was not delivered"
        );
        self.failed(attempt.what);
        self.is_replaying = false;
        Ok(())
    }

    /// Where what is left begins, for a position whose height may have been pruned.
    fn present(&mut self, from: Position) -> Position {
        let oldest = self.node.oldest_outcome();
        if oldest <= from.height {
            return from;
        }
        let missed = u64::from(oldest.saturating_sub(from.height));
        tracing::error!(
            sink = self.name(),
            from = from.height,
            oldest,
            "heights were pruned before their events were sent; keep more blocks"
        );
        let mut status = self.shared.status();
        status.missed = status.missed.saturating_add(missed);
        Position { height: oldest, index: 0 }
    }

    /// The next messages from a position on, up to another one: the first ones, and if there are
    /// none, where to look next.
    fn read(&self, from: Position, until: Option<Position>) -> Result<(Vec<Message>, Position), StoreError> {
        let Some(tip) = self.node.tip().height else { return Ok((Vec::new(), from)) };
        let end = Position { height: tip.saturating_add(1), index: 0 }
            .min(until.unwrap_or(Position { height: u32::MAX, index: u32::MAX }));
        let mut records = self.node.outcomes(from.height, READ)?;
        let is_all = records.len() < READ;
        let read = records.last().map(|last| Position { height: last.height.saturating_add(1), index: 0 });
        records.retain(|record| record.height <= tip);
        let mut messages = Vec::new();
        for record in &records {
            let wanted = |index: u32, event: &Event| {
                let position = Position { height: record.height, index };
                position >= from && position < end && self.filter.wants(event)
            };
            let events = (0..).zip(&record.events).filter(|(index, event)| wanted(*index, event));
            match self.carrier.form() {
                Form::CloudEvent => {
                    let room = MESSAGES_MAX.saturating_sub(messages.len());
                    let events = events.take(room);
                    messages.extend(events.map(|(index, event)| cloud_event(&self.source, record, index, event)));
                }
                Form::Text => messages.extend(text(&self.source, record, &events.collect::<Vec<_>>())),
            }
        }
        let next = if is_all { end } else { read.unwrap_or(end).min(end) };
        Ok((messages, next.max(from)))
    }

    /// Writes how far the sink is, if that has changed.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) fn save(&mut self, at: u64) -> Result<(), StoreError> {
        self.saved_at = at;
        if self.progress == self.saved {
            return Ok(());
        }
        self.node.meta_put(&self.key, Some(&self.progress.to_bytes()))?;
        self.saved = self.progress.clone();
        Ok(())
    }

    fn save_dead(&self) -> Result<(), StoreError> {
        self.node.meta_put(&dead_key(&self.key), Some(&self.dead.to_bytes()))
    }

    fn name(&self) -> String {
        self.shared.status().name.clone()
    }

    fn delivered(&self, name: &str) {
        let mut status = self.shared.status();
        status.delivered = status.delivered.saturating_add(1);
        if !std::mem::take(&mut status.error).is_empty() {
            tracing::info!(sink = name, "a sink takes notifications again");
        }
    }

    fn failed(&self, what: String) {
        let mut status = self.shared.status();
        status.failures = status.failures.saturating_add(1);
        status.error = what;
    }

    /// Shows everybody how the sink is.
    fn show(&self) {
        let mut status = self.shared.status();
        status.next = self.progress.next;
        status.attempts = self.progress.attempts;
        status.retry_at = self.progress.retry_at;
        status.is_disabled = self.progress.is_disabled;
        status.dead = self.dead.count();
    }
}

fn dead_key(key: &str) -> String {
    format!("{key}/dead")
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
