//! The result of a block: what it says, what a store writes, and what the decoded state takes over.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::block::Outcome;
use crate::feature::data::FeatureData;
use crate::feature::record::Override;
use crate::feed::record::{FeedItem, FeedKey, FeedTotals};
use crate::index::{Changes, FeatureId, PluginId, Presence, Row};
use crate::ledger::Global;
use crate::note::Note;
use crate::plugin::data::PluginData;
use crate::plugin::record::Registry;
use crate::schedule::Scheduled;
use crate::tree::Patch;
use crate::values::{Address, Hash, Height, Name, Roles};
use crate::writes::WriteSet;

/// The result of a block that has not been committed.
#[derive(Debug, Clone)]
pub struct Execution {
    pub(crate) height: Height,
    pub(crate) outcome: Outcome,
    pub(crate) root: Hash,
    pub(crate) writes: WriteSet,
    pub(crate) notes: Vec<(usize, Note)>,
    pub(crate) delta: Delta,
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

/// A feature or a plugin that a block has touched, as the block has left it so far.
#[derive(Debug, Clone)]
pub(crate) struct Touched<T, Id> {
    /// Its place in the state; none if this block created it.
    pub(crate) id: Option<Id>,
    pub(crate) data: T,
    /// How many history entries this block has written for it.
    pub(crate) seq: u32,
}

impl<T, Id> Touched<T, Id> {
    /// The number of the next history entry that this block writes for it.
    pub(crate) const fn next_seq(&mut self) -> u32 {
        let seq = self.seq;
        self.seq = seq.saturating_add(1);
        seq
    }
}

pub(crate) type TouchedFeature = Touched<FeatureData, FeatureId>;
pub(crate) type TouchedPlugin = Touched<PluginData, PluginId>;

/// Everything that a block has changed in the maps of the state.
#[derive(Debug, Clone, Default)]
pub(crate) struct MapChanges {
    pub(crate) overrides: Changes<(Name, Address), Override>,
    pub(crate) roles: Changes<Address, Roles>,
    pub(crate) schedule: Changes<(Height, u64), Scheduled>,
    pub(crate) rows: BTreeMap<Row, Presence>,
    pub(crate) queue: BTreeMap<(Height, Name), Presence>,
}

/// What a block changes in the feed.
#[derive(Debug, Clone)]
pub(crate) struct FeedDelta {
    pub(crate) state: FeedTotals,
    pub(crate) items: Changes<FeedKey, FeedItem>,
    pub(crate) listed: Listed,
}

/// How the block has changed what the open put retains.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    /// Whether everything that the state has is gone.
    pub(crate) is_cleared: bool,
    /// What was added since; nothing of it is in the state, unless that is gone.
    pub(crate) added: BTreeSet<FeedKey>,
}

impl Execution {
    /// The height of the block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Receipts and events.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The root after the block.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// What is to be said of transactions besides, each by its index, in order. Not part of consensus.
    #[must_use]
    pub fn notes(&self) -> &[(usize, Note)] {
        &self.notes
    }

    /// The records that change.
    #[must_use]
    pub const fn writes(&self) -> &WriteSet {
        &self.writes
    }
}
