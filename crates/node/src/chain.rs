//! The one hand that commits: whoever has the [`Chain`] of a node makes its blocks.
//!
//! A block is executed under the read lock of the ledger and written under none, so that readers wait for neither. What a
//! block changes, in the ledger and in the node's tables, is one batch. Nobody is told of a block before it is durable.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use coalmine_chart::ledger::samples;
use coalmine_core::{
    BLOCK_SIZE_MAX, BLOCK_TXS_MAX, Block, BlockError, Encode as _, Execution, Genesis, Hash, Height, LimitError,
    Receipt, Reject,
};
use coalmine_store::dump::Restored;
use coalmine_store::{CommitError, StoreError, Tip};

use crate::block;
use crate::database::{Batch, Database, LedgerStore, Sync};
use crate::mempool::Waiting;
use crate::node::{FIRST, Node, OLDEST, OpenError, Options};
use crate::tables::{BlockRecord, Table, TxOutcome, block_row, height_key, place_row, sample_key};

/// How many rows a block prunes at most, so that a late decision to keep less costs no block much.
const PRUNED_MAX: usize = 256;
/// How often a block is executed again without what has no room in it.
const ATTEMPTS_MAX: usize = 8;

/// Why a node makes no more blocks. What is committed stays, and questions are answered all the same.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// A block cannot be executed: it takes newer rules, or the state in memory is damaged.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A block that cannot be made.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The database has failed. Only reopening shows whether the block is in it.
    #[error("{0}; restart the node when the reason is gone")]
    Store(#[from] StoreError),
    /// The ledger refuses a commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Heights are 32 bits, and all have passed.
    #[error("there are no more heights")]
    Heights,
    /// The replicated log does not go on.
    #[error("{0}")]
    Log(String),
}

/// Why the state of a dump is not in the place of that of a node.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The ledger of the node.
    #[error(transparent)]
    Open(#[from] coalmine_store::OpenError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger refuses it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What an engine says of a block besides its height.
#[derive(Debug, Clone, Default)]
pub struct Stamp {
    /// When it is made, in milliseconds since 1970. No part of the block.
    pub time: u64,
    /// What the engine keeps with the block: keys and values of the table meta.
    pub marks: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The right to commit to a node, of which there is one.
#[derive(Debug)]
pub struct Chain {
    node: Node,
}

impl Chain {
    /// Opens the node of a database, or creates its ledger.
    ///
    /// # Errors
    /// The database fails, is damaged, or is of another ledger.
    pub fn open(database: (Database, LedgerStore), genesis: &Genesis, options: Options) -> Result<Self, OpenError> {
        Ok(Self { node: Node::open(database, genesis, options)? })
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The last block that is in the database.
    #[must_use]
    pub fn committed(&self) -> Tip {
        self.node.inner().ledger().last_committed()
    }

    /// Whether an empty block at a height above the tip would change something, or one before it.
    ///
    /// # Errors
    /// A block up to there cannot be executed.
    pub fn is_due(&self, height: Height) -> Result<bool, Stopped> {
        is_due(&self.node, height)
    }

    /// Lets heights pass at which nothing happens, without writing them: [`Chain::is_due`] must have said so.
    pub fn pass(&mut self, height: Height) {
        self.node.inner().seen(Tip { height: Some(height), root: self.committed().root });
    }

    /// Commits empty blocks until the tip is `to`. Only heights with due work, and `to` itself, cost a write.
    ///
    /// # Errors
    /// [`Stopped`]; the blocks before it are committed.
    pub fn advance(&mut self, to: Height, stamp: &Stamp) -> Result<(), Stopped> {
        while self.committed().height != Some(to) {
            let execution = self.node.inner().ledger().state().advance(to)?;
            // Nobody is waiting for a height at which nothing happens.
            let sync = if execution.writes().is_empty() && stamp.marks.is_empty() { Sync::Later } else { Sync::Now };
            self.write(execution, &[], stamp, sync)?;
        }
        Ok(())
    }

    /// Writes marks, on the tip or at an empty height above it.
    ///
    /// # Errors
    /// As for [`Chain::make`].
    pub fn rest(&mut self, height: Height, stamp: &Stamp) -> Result<(), Stopped> {
        if self.committed().height != Some(height) {
            return self.advance(height, stamp);
        }
        let mut batch = Batch::default();
        for (key, value) in &stamp.marks {
            batch.put(Table::Meta, key.clone(), value.clone());
        }
        Ok(self.node.inner().database().write(batch, Sync::Now)?)
    }

    /// Makes the block of a height from what waits, and commits it.
    ///
    /// # Errors
    /// [`Stopped`]; the block is not committed, as far as anybody knows.
    pub fn make(&mut self, height: Height, stamp: &Stamp) -> Result<(), Stopped> {
        self.catch_up(height, stamp)?;
        let (selected, execution) = choose(&self.node, height, BLOCK_SIZE_MAX / 2)?;
        let txs: Vec<(Hash, &[u8])> =
            selected.iter().map(|waiting| (waiting.id, waiting.envelope.as_slice())).collect();
        self.write(execution, &txs, stamp, Sync::Now)
    }

    /// Commits a block of given envelopes, which an engine keeps until it is durable here.
    ///
    /// # Errors
    /// As for [`Chain::make`].
    pub fn commit(
        &mut self,
        height: Height,
        envelopes: &[(Hash, &[u8])],
        stamp: &Stamp,
        sync: Sync,
    ) -> Result<(), Stopped> {
        self.catch_up(height, stamp)?;
        let bytes: Vec<&[u8]> = envelopes.iter().map(|(_, envelope)| *envelope).collect();
        let execution = execute(&self.node, &block::to_execute(self.node.domain(), height, &bytes)?)?;
        self.write(execution, envelopes, stamp, sync)
    }

    /// Puts the state of a dump in the place of this one. The history of before is pruned first, since what lies between
    /// the two is not there.
    ///
    /// # Errors
    /// The database fails; the state is the old one or the new one.
    pub fn replace(&mut self, restored: Restored, stamp: &Stamp) -> Result<(), ReplaceError> {
        let inner = self.node.inner();
        let tip = restored.header().tip;
        let end = self.committed().height.map_or(0, |tip| tip.saturating_add(1));
        while self.node.oldest_outcome() < end {
            let mut batch = Batch::default();
            let oldest = self.prune_below(end, &mut batch)?;
            inner.database().write(batch, Sync::Later)?;
            inner.pruned(oldest);
        }
        let mut batch = Batch::default();
        let oldest = tip.height.map_or(0, |tip| tip.saturating_add(1));
        batch.put(Table::Meta, OLDEST, height_key(oldest));
        for (key, value) in &stamp.marks {
            batch.put(Table::Meta, key.clone(), value.clone());
        }
        let replacement = restored.stage(&mut inner.ledger_mut(), &mut batch)?;
        inner.ledger().store().write(batch, Sync::Now)?;
        inner.ledger_mut().replaced(replacement)?;
        inner.pruned(Some(oldest));
        inner.settle([], oldest);
        inner.seen(tip);
        Ok(())
    }

    /// Commits the heights before one, of which only those with due work are executed.
    fn catch_up(&mut self, height: Height, stamp: &Stamp) -> Result<(), Stopped> {
        let before = height.checked_sub(1).filter(|before| self.committed().height.is_some_and(|tip| tip < *before));
        let stamp = Stamp { time: stamp.time, marks: Vec::new() };
        before.map_or(Ok(()), |before| self.advance(before, &stamp))
    }

    fn write(&mut self, execution: Execution, txs: &[(Hash, &[u8])], stamp: &Stamp, sync: Sync) -> Result<(), Stopped> {
        let begin = Instant::now();
        let inner = self.node.inner();
        let (height, root) = (execution.height(), execution.root());
        let mut batch = Batch::default();
        let sampled = samples(&execution, inner.ledger().state());
        let events_of = |place| u32::try_from(execution.events_of(place).len()).unwrap_or(u32::MAX);
        let receipts = execution.outcome().receipts.iter().enumerate();
        let outcome = |((place, receipt), (id, _)): ((usize, &Receipt), &(Hash, &[u8]))| TxOutcome {
            id: *id,
            receipt: *receipt,
            events: events_of(place),
        };
        let record = BlockRecord {
            height,
            root,
            time: stamp.time,
            txs: receipts.zip(txs).map(outcome).collect(),
            events: execution.outcome().events.clone(),
            sampled: sampled.iter().map(|(subject, name, _)| (*subject, *name)).collect(),
        };
        if !record.is_quiet() || !record.sampled.is_empty() {
            batch.put(Table::Outcomes, height_key(height), record.to_row());
        }
        if !txs.is_empty() {
            let envelopes: Vec<&[u8]> = txs.iter().map(|(_, envelope)| *envelope).collect();
            batch.put(Table::Blocks, height_key(height), block_row(&envelopes));
        }
        let used = Receipt::Rejected { reject: Reject::BadSequence, index: 0 }.code();
        for ((outcome, (id, _)), index) in record.txs.iter().zip(txs).zip(0..) {
            // A leader that does not know yet what is in the blocks of the one before it puts it into another one, where
            // it is rejected. What became of it is what the first one says.
            if outcome.receipt.code() != used || inner.database().get(Table::Transactions, &id.0)?.is_none() {
                batch.put(Table::Transactions, id.0, place_row(height, index));
            }
        }
        for (subject, name, sample) in &sampled {
            batch.put(Table::Samples, sample_key(*subject, name, height), sample.to_bytes());
        }
        for (key, value) in &stamp.marks {
            batch.put(Table::Meta, key.clone(), value.clone());
        }
        if inner.ledger().last_committed().height.is_none() {
            batch.put(Table::Meta, FIRST, height_key(height));
        }
        let oldest = self.prune(height, &mut batch)?;
        let staged = inner.ledger_mut().stage(execution, &mut batch)?;
        // The token is lost with an error: the ledger then commits nothing more.
        inner.ledger().store().write(batch, sync)?;
        inner.ledger_mut().committed(staged)?;
        self.node.timings().committed(begin.elapsed());
        inner.pruned(oldest);
        inner.settle(txs.iter().map(|(id, _)| id), height.saturating_add(1));
        inner.seen(Tip { height: Some(height), root });
        Ok(())
    }

    /// Deletes what is older than what is kept. Returns the oldest height that is left.
    fn prune(&self, height: Height, batch: &mut Batch) -> Result<Option<Height>, StoreError> {
        let Some(keep) = self.node.inner().options().keep_blocks else { return Ok(None) };
        self.prune_below(height.saturating_sub(keep.get().saturating_sub(1)), batch)
    }

    /// Deletes what is below a height, or a part of it.
    fn prune_below(&self, wanted: Height, batch: &mut Batch) -> Result<Option<Height>, StoreError> {
        let (inner, oldest) = (self.node.inner(), self.node.oldest_outcome());
        if wanted <= oldest {
            return Ok(None);
        }
        let mut records = Vec::new();
        inner.each_outcome(oldest, wanted, &mut |record| {
            records.push(record);
            if records.len() < PRUNED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let last = records.last().filter(|_| records.len() == PRUNED_MAX);
        let oldest = last.map_or(wanted, |last| last.height.saturating_add(1));
        for record in records {
            batch.delete(Table::Outcomes, height_key(record.height));
            batch.delete(Table::Blocks, height_key(record.height));
            record.txs.iter().for_each(|tx| batch.delete(Table::Transactions, tx.id.0));
            for (subject, name) in &record.sampled {
                batch.delete(Table::Samples, sample_key(*subject, name, record.height));
            }
        }
        batch.put(Table::Meta, OLDEST, height_key(oldest));
        Ok(Some(oldest))
    }
}

/// What waits and goes into a block of a height above the tip, at most so many bytes of it, and what comes of it.
pub(crate) fn choose(node: &Node, height: Height, bytes_max: usize) -> Result<(Vec<Arc<Waiting>>, Execution), Stopped> {
    let mut selected = node.inner().pool().select(BLOCK_TXS_MAX, bytes_max);
    let mut attempt: usize = 0;
    loop {
        let envelopes: Vec<&[u8]> = selected.iter().map(|waiting| waiting.envelope.as_slice()).collect();
        let execution = execute(node, &block::to_execute(node.domain(), height, &envelopes)?)?;
        let full = Receipt::Rejected { reject: Reject::BlockFull, index: 0 }.code();
        let receipts = &execution.outcome().receipts;
        let is_full = |place: usize| receipts.get(place).is_some_and(|receipt| receipt.code() == full);
        let has_room = !(0..selected.len()).any(is_full);
        // What finds no room in a block of its own will find none in the next one either.
        if has_room || selected.len() == 1 || attempt == ATTEMPTS_MAX {
            return Ok((selected, execution));
        }
        attempt = attempt.saturating_add(1);
        selected = without_full(&selected, is_full);
    }
}

/// Whether an empty block at a height above the tip would change something, or one before it.
pub(crate) fn is_due(node: &Node, height: Height) -> Result<bool, Stopped> {
    let execution = node.inner().ledger().state().advance(height)?;
    Ok(execution.height() != height || !execution.writes().is_empty())
}

fn execute(node: &Node, block: &Block) -> Result<Execution, BlockError> {
    let begin = Instant::now();
    let execution = node.inner().ledger().execute(block);
    node.timings().executed(begin.elapsed());
    execution
}

/// What is left for a block without what has no room in it, and without what its signers have signed to run after that.
fn without_full(selected: &[Arc<Waiting>], is_full: impl Fn(usize) -> bool) -> Vec<Arc<Waiting>> {
    let mut waiting_on = BTreeSet::new();
    let mut left = Vec::new();
    for (place, waiting) in selected.iter().enumerate() {
        if is_full(place) || waiting_on.contains(&waiting.signer) {
            waiting_on.insert(waiting.signer);
        } else {
            left.push(Arc::clone(waiting));
        }
    }
    left
}
