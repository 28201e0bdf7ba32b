//! The last blocks as messages, made once for all streams.
//!
//! Streams read at their own pace: the last blocks from memory, older ones from the database. So nothing is lost between
//! a replay and what is live, and a restart forgets nothing. A stream that was live and has fallen behind what is in
//! memory is too slow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use coalmine_answers::event_with_sentence;
use coalmine_core::{Event, Height};
use coalmine_json::render::{Fields, Value};
use coalmine_store::{Problem, StoreError, Tip};
use tokio::sync::watch;

use crate::http::metrics::Metrics;
use crate::http::since::Sinces;
use crate::node::Node;
use crate::tables::BlockRecord;

/// How many bytes of messages are kept in memory.
const KEPT_BYTES: usize = 8 << 20;
/// How many blocks are read at once.
pub(super) const READ: usize = 64;
/// How long the hub waits after a read that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The last blocks of a node.
#[derive(Debug, Clone)]
pub(super) struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    recent: Mutex<Recent>,
    /// The tip up to which all blocks are in `recent`, or were.
    seen: watch::Sender<Tip>,
}

#[derive(Debug)]
struct Recent {
    /// Every block from this height on is here.
    from: Height,
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
    /// How many blocks are kept.
    max: usize,
}

/// A block as streams tell of it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) height: Height,
    pub(super) record: BlockRecord,
    /// The whole message, with all events.
    pub(super) frame: Bytes,
    /// Whether an evaluation may be another one than before.
    pub(super) changes_flags: bool,
}

impl Message {
    fn new(record: BlockRecord) -> Self {
        let changes_flags = record.events.iter().any(changes_flags);
        let frame = block_frame(&record, |_| true);
        Self { height: record.height, record, frame, changes_flags }
    }
}

/// The message of a block with the events that are wanted.
pub(super) fn block_frame(record: &BlockRecord, is_wanted: impl Fn(&Event) -> bool) -> Bytes {
    let events = record.events.iter().filter(|event| is_wanted(event));
    let data = Fields::new()
        .with("height", record.height)
        .text("root", record.root)
        .with("time", record.time)
        .with("txs", u64::try_from(record.txs.len()).unwrap_or(u64::MAX))
        .with("events", events.map(|event| event_with_sentence(event).into()).collect::<Vec<Value>>());
    frame(Some(record.height), "block", &data)
}

/// A message of a stream. JSON has no line breaks, so its data is one line.
pub(super) fn frame(id: Option<Height>, event: &str, data: &Fields) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{id}event: {event}\ndata: {data}\n\n").into()
}

impl Hub {
    /// Follows a node on a task of its own, until the node stops.
    pub(super) fn start(node: &Node, metrics: &Metrics, sinces: &Arc<Sinces>, max: usize) -> Self {
        sinces.is_at(node.tip().root);
        let tip = node.tip();
        let from = next(tip);
        let recent = Recent { from, messages: VecDeque::new(), bytes: 0, max };
        let hub =
            Self(Arc::new(Inner { node: node.clone(), recent: Mutex::new(recent), seen: watch::Sender::new(tip) }));
        tokio::spawn(hub.clone().follow(from, metrics.clone(), Arc::clone(sinces)));
        hub
    }

    async fn follow(self, mut from: Height, metrics: Metrics, sinces: Arc<Sinces>) {
        let mut tips = self.0.node.watch();
        let mut stop = self.0.node.stop();
        loop {
            let tip = *tips.borrow_and_update();
            match self.take(from, tip, &metrics, &sinces).await {
                Ok(()) => {
                    from = next(tip).max(from);
                    self.0.seen.send_replace(tip);
                }
                Err(error) => {
                    tracing::error!(%error, "streams cannot read what has happened");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            tokio::select! {
                moved = tips.changed() => if moved.is_err() { return },
                () = stop.stopped() => return,
            }
        }
    }

    /// Takes the blocks from a height to a tip.
    async fn take(&self, mut from: Height, tip: Tip, metrics: &Metrics, sinces: &Sinces) -> Result<(), StoreError> {
        while let Some(to) = tip.height.filter(|to| from <= *to) {
            let (records, until) = self.read(from, to).await?;
            let mut recent = self.recent();
            for record in records {
                metrics.block(&record);
                sinces.changed(&record.events);
                recent.push(Arc::new(Message::new(record)));
            }
            let Some(next) = until.checked_add(1) else { break };
            from = next;
        }
        sinces.is_at(tip.root);
        Ok(())
    }

    /// The blocks of the database from a height on, and the height up to which these are all, at most `to`.
    async fn read(&self, from: Height, to: Height) -> Result<(Vec<BlockRecord>, Height), StoreError> {
        let node = self.0.node.clone();
        let read = tokio::task::spawn_blocking(move || node.outcomes(from, READ)).await;
        let mut records = match read {
            Ok(records) => records?,
            Err(error) => return Err(StoreError::new("a read", Problem::Damaged(error.to_string()))),
        };
        let last = records.last().map(|record| record.height).filter(|last| records.len() == READ && *last < to);
        records.retain(|record| record.height <= to);
        Ok((records, last.unwrap_or(to)))
    }

    /// The next blocks from a height on that have something to tell, and the height up to which these are all; nothing if
    /// all is told. `None` if a stream that is live is too slow for it.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn blocks(
        &self,
        from: Height,
        is_live: bool,
    ) -> Result<Option<(Vec<Arc<Message>>, Height)>, StoreError> {
        let Some(to) = self.0.seen.borrow().height.filter(|to| from <= *to) else {
            return Ok(Some((Vec::new(), from.saturating_sub(1))));
        };
        if let Some(found) = self.recent().blocks(from, to) {
            return Ok(Some(found));
        }
        if is_live {
            return Ok(None);
        }
        let (records, until) = self.read(from, to).await?;
        Ok(Some((records.into_iter().map(|record| Arc::new(Message::new(record))).collect(), until)))
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the tip up to which [`Hub::blocks`] knows everything.
    pub(super) fn seen(&self) -> watch::Receiver<Tip> {
        self.0.seen.subscribe()
    }
}

impl Recent {
    fn push(&mut self, message: Arc<Message>) {
        self.bytes = self.bytes.saturating_add(message.frame.len());
        self.messages.push_back(message);
        while self.messages.len() > self.max || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.frame.len());
            self.from = oldest.height.saturating_add(1);
        }
    }

    /// The first blocks from one height to another, and the height up to which these are all; `None` if some are gone.
    fn blocks(&self, from: Height, to: Height) -> Option<(Vec<Arc<Message>>, Height)> {
        if from < self.from {
            return None;
        }
        let start = self.messages.partition_point(|message| message.height < from);
        let found: Vec<Arc<Message>> =
            self.messages.iter().skip(start).take_while(|message| message.height <= to).take(READ).cloned().collect();
        let until = found.last().filter(|_| found.len() == READ).map_or(to, |last| last.height);
        Some((found, until))
    }
}

/// Whether an evaluation may be another one after an event.
const fn changes_flags(event: &Event) -> bool {
    match event {
        Event::FeatureCreated { .. }
        | Event::FeatureConfigured { .. }
        | Event::StatusChanged { .. }
        | Event::Stepped { .. }
        | Event::RolledBack { .. }
        | Event::OverrideSet { .. }
        | Event::OverrideCleared { .. }
        | Event::VersionRegistered { .. }
        | Event::Deployed { .. }
        | Event::Staged { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Promoted { .. }
        | Event::DeploymentRolledBack { .. }
        | Event::Reverted { .. }
        | Event::Concluded { .. }
        | Event::VersionRetired { .. } => true,
        Event::StepHeld { .. }
        | Event::StepBlocked { .. }
        | Event::BreakerTripped { .. }
        | Event::BreakerClosed { .. }
        | Event::BreakerDrained
        | Event::Scheduled { .. }
        | Event::ScheduleCancelled { .. }
        | Event::ScheduleExecuted { .. }
        | Event::RoleGranted { .. }
        | Event::RoleRevoked { .. }
        | Event::ParamsSet
        | Event::RulesSet { .. }
        | Event::RoundClosed { .. }
        | Event::RoundShort { .. }
        | Event::VersionEvicted { .. }
        | Event::StageHeld { .. }
        | Event::Waiting { .. }
        | Event::HealthAttested { .. }
        | Event::LoadPlanned { .. }
        | Event::Loaded { .. }
        | Event::LoadFailed { .. }
        | Event::LoadDisputed { .. }
        | Event::Unloaded { .. }
        | Event::FeedInsert { .. }
        | Event::FeedUpdated { .. }
        | Event::FeedDelete { .. }
        | Event::FeedReceivedAll => false,
    }
}

/// The height behind a tip.
pub(super) fn next(tip: Tip) -> Height {
    tip.height.map_or(0, |height| height.saturating_add(1))
}
