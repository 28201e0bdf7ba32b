//! The result of a block: its outcome, the records to write, and the changes of the decoded state.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::num::NonZeroU64;

use crate::block::Outcome;
use crate::event::Event;
use crate::feature::data::FeatureData;
use crate::feature::record::Override;
use crate::feed::record::{FeedItem, FeedKey, FeedTotals};
use crate::index::{Changes, FeatureId, PluginId, Presence, Row};
use crate::ledger::Global;
use crate::note::Note;
use crate::plugin::data::PluginData;
use crate::plugin::record::Registry;
use crate::rounds::{OpenPool, Pool};
use crate::schedule::Scheduled;
use crate::tree::Patch;
use crate::values::{Address, Hash, Height, Name, Roles};
use crate::writes::WriteSet;

/// The result of a block that has not been committed. Dropping it leaves the state untouched.
#[derive(Debug, Clone)]
pub struct Execution {
    pub(crate) height: Height,
    pub(crate) outcome: Outcome,
    pub(crate) events_before: Vec<usize>,
    pub(crate) root: Hash,
    pub(crate) writes: WriteSet,
    pub(crate) notes: Vec<(usize, Note)>,
    /// Nothing for a block that writes nothing.
    pub(crate) delta: Option<Box<Delta>>,
    pub(crate) patch: Patch,
}

/// What a block changes in the decoded state.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    pub(crate) features: Vec<TouchedFeature>,
    pub(crate) maps: MapChanges,
    pub(crate) global: Global,
    pub(crate) active: Vec<(Name, Presence)>,
    pub(crate) steps: Vec<((Height, Name), Presence)>,
    pub(crate) plugins: Vec<TouchedPlugin>,
    pub(crate) registry: Registry,
    pub(crate) feed: FeedDelta,
}

/// A feature or plugin that a block has touched, in its state so far.
#[derive(Debug, Clone)]
pub(crate) struct Touched<T, Id> {
    /// Its position in the state; `None` if this block created it.
    pub(crate) id: Option<Id>,
    pub(crate) data: T,
    /// How many history entries this block has written for it.
    pub(crate) seq: u32,
}

impl<T, Id> Touched<T, Id> {
    /// Assigns the number of its next history entry in this block.
    pub(crate) const fn next_seq(&mut self) -> u32 {
        let seq = self.seq;
        self.seq = seq.saturating_add(1);
        seq
    }
}

pub(crate) type TouchedFeature = Touched<FeatureData, FeatureId>;
pub(crate) type TouchedPlugin = Touched<PluginData, PluginId>;

/// What a block has changed in the maps of the state.
#[derive(Debug, Clone, Default)]
pub(crate) struct MapChanges {
    pub(crate) overrides: Changes<(Name, Address), Override>,
    pub(crate) roles: Changes<Address, Roles>,
    pub(crate) schedule: Changes<(Height, u64), Scheduled>,
    /// A sequence that was used is never taken back.
    pub(crate) sequences: BTreeMap<Address, NonZeroU64>,
    pub(crate) pools: Changes<Pool, OpenPool>,
    pub(crate) rows: BTreeMap<Row, Presence>,
    pub(crate) queue: BTreeMap<(Height, Name), Presence>,
}

/// What a block has changed in the feed.
#[derive(Debug, Clone)]
pub(crate) struct FeedDelta {
    pub(crate) state: FeedTotals,
    pub(crate) items: Changes<FeedKey, FeedItem>,
    pub(crate) listed: Listed,
}

/// What a block has changed in the list of an open put.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    /// Whether the ids in the committed state have been dropped, by a put that began or ended.
    pub(crate) is_cleared: bool,
    /// Ids added since. None of them is in the committed state, unless that list is cleared.
    pub(crate) added: BTreeSet<FeedKey>,
}

impl Execution {
    /// The height of the executed block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Receipts and events, both part of consensus.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The events of one transaction, by its index. Those of due work come before the first transaction's.
    #[must_use]
    pub fn events_of(&self, tx: usize) -> &[Event] {
        let end = tx.checked_add(1).and_then(|next| self.events_before.get(next));
        let end = end.copied().unwrap_or(self.outcome.events.len());
        let start = self.events_before.get(tx).copied().unwrap_or(end);
        self.outcome.events.get(start..end).unwrap_or_default()
    }

    /// The root of all records after the block.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Diagnostics, as (transaction index, note), in order. Not part of consensus.
    #[must_use]
    pub fn notes(&self) -> &[(usize, Note)] {
        &self.notes
    }

    /// The records to write when the block is committed.
    #[must_use]
    pub const fn writes(&self) -> &WriteSet {
        &self.writes
    }
}
