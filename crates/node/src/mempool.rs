//! Transactions that wait for a block.
//!
//! What is in here was checked when it came: whoever signed it holds a role, its sequence is free, and it can still be
//! executed. Blocks take what makes things safer first, then what came first; of one signer never a later sequence before
//! an earlier one, so that nobody's own transactions shut each other out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use coalmine_core::{Address, Hash, Height, State, Transaction, TxCommand};

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Transactions in all.
    pub transactions: usize,
    /// Transactions of one signer.
    pub per_signer: usize,
    /// Bytes of all envelopes.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: 5_000, per_signer: 64, bytes: 32 << 20 }
    }
}

/// How many ids of what has left without a block are remembered, with the reason.
const DROPPED_MAX: usize = 1_024;

/// Why a transaction does not wait, or does not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its signer holds no role.
    #[error("{0} holds no role; an admin grants one with grant_role")]
    NoRole(Address),
    /// Its sequence is not above the last one of its signer.
    #[error("sequence {sequence} is used up: the last one of this signer is {last}; sign it anew with a higher one")]
    SequenceUsed {
        /// The sequence.
        sequence: u64,
        /// The last one that was used.
        last: u64,
    },
    /// Another transaction of its signer with the same sequence waits.
    #[error("another transaction with sequence {sequence} waits; sign it anew with {next} or higher")]
    SequencePending {
        /// The sequence.
        sequence: u64,
        /// The next free one.
        next: u64,
    },
    /// The last height at which it could be executed is over.
    #[error("it was good until height {valid_until}, and the next block has height {next}; sign it anew")]
    Expired {
        /// The last height.
        valid_until: Height,
        /// The height of the next block.
        next: Height,
    },
    /// Too many transactions wait.
    #[error("too many transactions wait; try again later")]
    Full,
    /// Too many transactions of this signer wait.
    #[error("{limit} transactions of this signer wait, and no more may; try again later")]
    SignerFull {
        /// How many may wait.
        limit: usize,
    },
}

/// A transaction that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: Hash,
    pub(crate) envelope: Vec<u8>,
    pub(crate) signer: Address,
    pub(crate) sequence: u64,
    pub(crate) valid_until: Option<NonZeroU32>,
    /// Whether it only makes things safer, and goes first.
    pub(crate) is_urgent: bool,
}

impl Waiting {
    /// What waits of a transaction; none if it has no sequence.
    pub(crate) fn new(id: Hash, envelope: Vec<u8>, tx: &Transaction) -> Option<Self> {
        let sequence = tx.sequence()?;
        // A command whose values break a rule is rejected for it, whatever it pays.
        let is_free = |command: &TxCommand| match command {
            TxCommand::Valid(command) => command.kind().is_free(),
            TxCommand::Invalid { kind, reject: _, bytes: _ } => kind.is_free(),
        };
        Some(Self {
            id,
            envelope,
            signer: *tx.signer(),
            sequence: sequence.number,
            valid_until: sequence.valid_until,
            is_urgent: tx.commands().iter().all(is_free),
        })
    }
}

/// The place of a transaction in the order: urgent ones first, then by arrival.
type Place = (bool, u64);

/// The transactions that wait.
#[derive(Debug, Default)]
pub(crate) struct Mempool {
    limits: Limits,
    by_id: BTreeMap<Hash, (Arc<Waiting>, Place)>,
    by_signer: BTreeMap<Address, BTreeMap<u64, Hash>>,
    order: BTreeMap<Place, Hash>,
    bytes: usize,
    arrivals: u64,
    dropped: BTreeMap<Hash, Refusal>,
    dropped_order: VecDeque<Hash>,
}

impl Mempool {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn contains(&self, id: &Hash) -> bool {
        self.by_id.contains_key(id)
    }

    /// Why a transaction has left without a block, if that is not long ago.
    pub(crate) fn dropped(&self, id: &Hash) -> Option<Refusal> {
        self.dropped.get(id).copied()
    }

    /// The highest sequence of a signer that waits.
    pub(crate) fn last_sequence(&self, signer: &Address) -> Option<u64> {
        self.by_signer.get(signer)?.keys().next_back().copied()
    }

    /// Checks a transaction against the state and what waits, and takes it in.
    pub(crate) fn insert(&mut self, waiting: Waiting, state: &State, next: Height) -> Result<(), Refusal> {
        check(&waiting, state, next)?;
        let of_signer = self.by_signer.get(&waiting.signer);
        if of_signer.is_some_and(|of_signer| of_signer.contains_key(&waiting.sequence)) {
            let last = self.last_sequence(&waiting.signer).unwrap_or(waiting.sequence);
            return Err(Refusal::SequencePending { sequence: waiting.sequence, next: last.saturating_add(1) });
        }
        if of_signer.map_or(0, BTreeMap::len) >= self.limits.per_signer {
            return Err(Refusal::SignerFull { limit: self.limits.per_signer });
        }
        let bytes = self.bytes.saturating_add(waiting.envelope.len());
        if self.by_id.len() >= self.limits.transactions || bytes > self.limits.bytes {
            return Err(Refusal::Full);
        }
        self.bytes = bytes;
        let place = (!waiting.is_urgent, self.arrivals);
        self.arrivals = self.arrivals.saturating_add(1);
        self.order.insert(place, waiting.id);
        self.by_signer.entry(waiting.signer).or_default().insert(waiting.sequence, waiting.id);
        self.dropped.remove(&waiting.id);
        self.by_id.insert(waiting.id, (Arc::new(waiting), place));
        Ok(())
    }

    /// What the next block takes, in order: at most so many, and so many bytes.
    pub(crate) fn select(&self, count: usize, bytes: usize) -> Vec<Arc<Waiting>> {
        let mut taken = BTreeSet::new();
        let mut selected = Vec::new();
        let mut left = bytes;
        for id in self.order.values() {
            let Some((waiting, _)) = self.by_id.get(id) else { continue };
            // What the signer has to run before it comes along.
            let before = self.by_signer.get(&waiting.signer).into_iter().flat_map(|all| all.range(..=waiting.sequence));
            for id in before.map(|(_, id)| id) {
                let Some((waiting, _)) = self.by_id.get(id).filter(|_| !taken.contains(id)) else { continue };
                let size = waiting.envelope.len().saturating_add(4);
                if selected.len() >= count || size > left {
                    return selected;
                }
                left = left.saturating_sub(size);
                taken.insert(*id);
                selected.push(Arc::clone(waiting));
            }
        }
        selected
    }

    /// Drops what a block has executed, and then what can no longer be executed at `next`.
    pub(crate) fn committed<'i>(&mut self, ids: impl IntoIterator<Item = &'i Hash>, state: &State, next: Height) {
        ids.into_iter().for_each(|id| drop(self.remove(id)));
        // Whoever made the block, it may have taken a role or used a sequence of anybody.
        let refused =
            self.by_id.values().filter_map(|(waiting, _)| Some((waiting.id, check(waiting, state, next).err()?)));
        let refused: Vec<(Hash, Refusal)> = refused.collect();
        refused.into_iter().for_each(|(id, refusal)| self.drop_for(&id, refusal));
    }

    fn drop_for(&mut self, id: &Hash, refusal: Refusal) {
        self.remove(id);
        if self.dropped.insert(*id, refusal).is_none() {
            self.dropped_order.push_back(*id);
        }
        while self.dropped_order.len() > DROPPED_MAX {
            if let Some(oldest) = self.dropped_order.pop_front() {
                self.dropped.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, id: &Hash) -> Option<Arc<Waiting>> {
        let (waiting, place) = self.by_id.remove(id)?;
        self.order.remove(&place);
        self.bytes = self.bytes.saturating_sub(waiting.envelope.len());
        if let Some(of_signer) = self.by_signer.get_mut(&waiting.signer) {
            of_signer.remove(&waiting.sequence);
            if of_signer.is_empty() {
                self.by_signer.remove(&waiting.signer);
            }
        }
        Some(waiting)
    }
}

/// Checks what only the state knows.
pub(crate) fn check(waiting: &Waiting, state: &State, next: Height) -> Result<(), Refusal> {
    if let Some(valid_until) = waiting.valid_until.map(NonZeroU32::get)
        && valid_until < next
    {
        return Err(Refusal::Expired { valid_until, next });
    }
    if state.roles_of(&waiting.signer).is_empty() {
        return Err(Refusal::NoRole(waiting.signer));
    }
    let last = state.sequence_of(&waiting.signer).map_or(0, |last| last.get());
    if waiting.sequence <= last {
        return Err(Refusal::SequenceUsed { sequence: waiting.sequence, last });
    }
    Ok(())
}
