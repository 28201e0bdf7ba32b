//! A block that is run dry: what it would do, and to whom.

use std::borrow::Cow;
use std::collections::BTreeSet;

use coalmine_core::{
    Address, Block, BlockError, Decode, Event, Execution, Fault, Hash, Height, Key, Name, Note, Payload, Read, Receipt,
    State,
};

use crate::calendar::{Calendar, Upcoming};
use crate::rejection::{Rejection, rejections};
use crate::switched::{FeatureShift, PluginShift, Users, feature_shift, plugin_shift, with_dependents};

/// What is asked besides the effect of the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Of whom it is asked whether they are switched on or off.
    pub users: Users,
    /// How many blocks to look ahead, with the block and without it.
    pub blocks: u32,
}

/// What a block would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The height of the block.
    pub height: Height,
    /// What becomes of each of its transactions.
    pub transactions: Vec<TxPreview>,
    /// The events of the block, what is due in it included.
    pub events: Vec<Event>,
    /// The events of the block if it were empty: what happens anyway.
    pub events_without: Vec<Event>,
    /// The records that change, in the order of their keys.
    pub records: Vec<RecordChange>,
    /// The root after the block.
    pub root: Hash,
    /// Every feature that the block touches, or that rests on one which it switches, in name order.
    pub features: Vec<FeatureShift>,
    /// Every plugin that the block touches.
    pub plugins: Vec<PluginShift>,
    /// Of how many users it was asked.
    pub users: u64,
    /// Whether they are derived addresses, so that the figures are an estimate.
    pub is_estimate: bool,
    /// What falls due after the block.
    pub upcoming: Vec<Upcoming>,
    /// What would fall due if the block were empty.
    pub upcoming_without: Vec<Upcoming>,
}

/// What becomes of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxPreview {
    /// The signer; `None` of bytes that are no transaction.
    pub signer: Option<Address>,
    /// The receipt.
    pub receipt: Receipt,
    /// Why it would be rejected.
    pub rejection: Option<Rejection>,
    /// Notes of the block on it.
    pub notes: Vec<Note>,
}

/// A record that the block puts, changes or deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value before; `None` if it did not exist.
    pub before: Option<Vec<u8>>,
    /// Its value after; `None` if it is deleted.
    pub after: Option<Vec<u8>>,
}

/// Why a block cannot be previewed.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// It cannot be executed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The store failed, or has a corrupt record.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Runs a block on a state without changing it. `records` are those of the state: a store, or what is left of one.
///
/// # Errors
/// The block does not follow the tip, the rules of it or of a block that follows are unknown, or the store fails.
pub fn preview(state: &State, records: &impl Read, block: &Block, options: &Options) -> Result<Preview, PreviewError> {
    let execution = state.execute(block)?;
    let empty = state.execute(&Block::empty(block.height()))?;
    let transactions = transactions(state, block, &execution)?;
    let records = changes(&execution, records)?;
    let (height, root, events) = (execution.height(), execution.root(), execution.outcome().events.clone());
    let mut after = state.clone();
    let applied = after.apply(execution);
    debug_assert!(applied.is_ok(), "it was executed on this state");

    let addresses = options.users.addresses();
    let (touched_features, touched_plugins) = touched(&records);
    let touched_features = with_those_switched(state, &after, touched_features, &records);
    let features = touched_features.iter().map(|name| feature_shift(state, &after, name, &addresses)).collect();
    let plugins = touched_plugins.iter().map(|name| plugin_shift(state, &after, name, &addresses)).collect();

    let events_without = empty.outcome().events.clone();
    let upcoming = Calendar::of(Cow::Owned(after), options.blocks).collect::<Result<_, _>>()?;
    let upcoming_without = without(state, height, options.blocks)?;
    Ok(Preview {
        height,
        transactions,
        events,
        events_without,
        records,
        root,
        features,
        plugins,
        users: u64::try_from(addresses.len()).unwrap_or(u64::MAX),
        is_estimate: matches!(options.users, Users::Sample(_)),
        upcoming,
        upcoming_without,
    })
}

/// What falls due above a height if nothing is sent, as far as a calendar that starts there would look.
fn without(state: &State, height: Height, blocks: u32) -> Result<Vec<Upcoming>, BlockError> {
    let is_later = |upcoming: &Result<Upcoming, BlockError>| match upcoming {
        Ok(upcoming) => upcoming.height > height,
        Err(_) => true,
    };
    Calendar::new(state, blocks.saturating_add(1)).filter(is_later).collect()
}

fn transactions(state: &State, block: &Block, execution: &Execution) -> Result<Vec<TxPreview>, BlockError> {
    let receipts = &execution.outcome().receipts;
    let mut rejections = rejections(state, block, execution)?.into_iter().peekable();
    let mut previews = Vec::with_capacity(receipts.len());
    for (tx, (payload, receipt)) in block.payloads().zip(receipts).enumerate() {
        let rejection = rejections.next_if(|rejection| rejection.tx == tx);
        let notes = execution.notes().iter().filter(|(of, _)| *of == tx).map(|(_, note)| *note).collect();
        let signer = match &payload {
            Payload::Transaction(tx) => Some(*tx.signer()),
            Payload::Malformed(_) => None,
        };
        previews.push(TxPreview { signer, receipt: *receipt, rejection, notes });
    }
    Ok(previews)
}

fn changes(execution: &Execution, records: &impl Read) -> Result<Vec<RecordChange>, Fault> {
    let change = |(key, after): (&[u8], Option<&[u8]>)| {
        let before = records.get(key)?;
        Ok(RecordChange { key: key.to_vec(), before, after: after.map(<[u8]>::to_vec) })
    };
    let mut changes = execution.writes().iter().map(change).collect::<Result<Vec<_>, Fault>>()?;
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(changes)
}

/// The features and plugins whose records change.
fn touched(records: &[RecordChange]) -> (BTreeSet<Name>, BTreeSet<Name>) {
    let (mut features, mut plugins) = (BTreeSet::new(), BTreeSet::new());
    for key in records.iter().filter_map(|record| Key::from_bytes(&record.key).ok()) {
        match key {
            Key::Feature(name)
            | Key::Metrics(name)
            | Key::Policy(name)
            | Key::Change { name, .. }
            | Key::Override { name, .. } => {
                features.insert(name);
            }
            Key::Plugin(name) | Key::Deployment(name) => {
                plugins.insert(name);
            }
            Key::PluginVersion { plugin, .. } | Key::PluginChange { plugin, .. } => {
                plugins.insert(plugin);
            }
            Key::Global
            | Key::Roles(_)
            | Key::Schedule { .. }
            | Key::Step { .. }
            | Key::Active(_)
            | Key::Registry
            | Key::Dependent { .. }
            | Key::DeploymentDue { .. }
            | Key::LoadDue { .. }
            | Key::Round { .. }
            | Key::Deadline { .. }
            | Key::Feed
            | Key::FeedItem(_)
            | Key::FeedIndex(_)
            | Key::FeedListed(_)
            | Key::Sequence(_)
            | Key::PoolEntry { .. } => {}
        }
    }
    (features, plugins)
}

/// The features, and those that rest on one of them which may be on for others than before.
fn with_those_switched(
    before: &State,
    after: &State,
    touched: BTreeSet<Name>,
    records: &[RecordChange],
) -> BTreeSet<Name> {
    let exposure = |state: &State, name: &Name| {
        let (feature, policy) = (state.feature(name)?, state.policy(name)?);
        Some((feature.status, feature.rollout_percent, policy.bucketing, policy.salt, policy.prerequisites.clone()))
    };
    let has_override = |name: &Name| {
        let of = |record: &RecordChange| match Key::from_bytes(&record.key) {
            Ok(Key::Override { name, .. }) => Some(name),
            Ok(_) | Err(_) => None,
        };
        records.iter().filter_map(of).any(|found| found == *name)
    };
    let moved = touched.iter().filter(|name| exposure(before, name) != exposure(after, name) || has_override(name));
    let mut all = with_dependents(after, moved.copied().collect());
    all.extend(touched);
    all
}
