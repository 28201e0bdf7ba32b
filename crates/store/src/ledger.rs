//! The ledger: a store and the decoded state on top of it, always at the same tip.
//!
//! A block is executed against the state, written durably, and only then applied. What the store
//! did not take is not in the state; after a failed write the ledger refuses every further one.

use coalmine_core::{
    Block, BlockError, DecodeError, Encode, Execution, FORMAT, Fault, Genesis, Hash, Height, Key, RULES, Reader,
    StaleExecution, State, tree,
};

use crate::error::StoreError;
use crate::store::{STATE, Snapshots, Store, View};
use crate::tip::Tip;
use coalmine_core::query::Entries;

/// Why a ledger could not be created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is corrupt, or the store failed while it was read.
    #[error(transparent)]
    Fault(Fault),
    /// The state does not fit the tree.
    #[error(transparent)]
    Tree(#[from] tree::TreeError),
    /// The store is empty.
    #[error("the store has no state yet; create the ledger from a genesis, or restore a dump into it")]
    Empty,
    /// The store is not empty.
    #[error("the store holds a ledger already ({0}); open it, or create the new one in an empty store")]
    NotEmpty(Tip),
    /// The state was written under rules that this build does not know.
    #[error(
        "the state has format {format} and rules {rules}, this build knows format {FORMAT} and rules {RULES}; open it with a newer build"
    )]
    Rules {
        /// The format number of the state.
        format: u16,
        /// The number of its rule set.
        rules: u16,
    },
    /// The records do not give the root that the store remembers.
    #[error(
        "the records do not belong together: the store remembers {tip}, but its records have root {computed}; restore a copy or replay the blocks"
    )]
    Root {
        /// What the store remembers.
        tip: Tip,
        /// The root of the records.
        computed: Hash,
    },
    /// The store is not where the host expects it.
    #[error(
        "the store is at {found}, but {expected} was expected; restore a copy that is there, or replay the blocks up to it"
    )]
    Anchor {
        /// Where the host expects it.
        expected: Tip,
        /// Where it is.
        found: Tip,
    },
}

impl From<Fault> for OpenError {
    /// A store that failed below a read tells its own story.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => match error.downcast::<StoreError>() {
                Ok(error) => Self::Store(*error),
                Err(error) => Self::Fault(Fault::Store(error)),
            },
            Fault::Corrupt { .. } => Self::Fault(fault),
        }
    }
}

/// Why an execution could not be committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// It was executed on another state. Nothing was written.
    #[error(transparent)]
    Stale(#[from] StaleExecution),
    /// The store failed. Whether the block is in it is known after reopening.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed earlier. Nothing was written.
    #[error(
        "an earlier commit failed, so this ledger commits nothing more; reopen it and go on from its last committed block"
    )]
    Failed,
}

/// Why a ledger could not advance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// The height is not above the tip, or the node must stop.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A store and its state.
#[derive(Debug)]
pub struct Ledger<S> {
    store: S,
    state: State,
    failed: bool,
}

impl<S: Store> Ledger<S> {
    /// Begins a ledger in an empty store. The genesis is durable when this returns.
    ///
    /// # Errors
    /// The store is not empty, or fails.
    pub fn create(mut store: S, genesis: &Genesis) -> Result<Self, OpenError> {
        refuse_used(&store)?;
        let (state, writes) = State::genesis(genesis)?;
        store.commit(&Tip { height: None, root: state.root() }, writes.iter())?;
        Ok(Self { store, state, failed: false })
    }

    /// Opens the ledger of a store: reads and decodes every record, rebuilds the tree and compares
    /// its root with the one that the store remembers.
    ///
    /// # Errors
    /// The store is empty, fails, or holds anything else than exactly the state of its tip.
    pub fn open(store: S) -> Result<Self, OpenError> {
        let (state, _) = load(&store.reader().snapshot())?;
        Ok(Self { store, state, failed: false })
    }

    /// Opens the ledger of a store that must be at `expected`: a host that keeps height and root of
    /// its own finds out about a store that was exchanged or has lost blocks.
    ///
    /// # Errors
    /// As for [`Ledger::open`], and [`OpenError::Anchor`].
    pub fn open_at(store: S, expected: Tip) -> Result<Self, OpenError> {
        match store.tip()? {
            Some(found) if found != expected => Err(OpenError::Anchor { expected, found }),
            _ => Self::open(store),
        }
    }

    /// Fills an empty store with the records of another one, such as a dump, and opens it. The
    /// records are checked first, and written in one batch.
    ///
    /// # Errors
    /// The store is not empty or fails, or the records are not exactly the state of the tip.
    pub fn restore<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        mut store: S,
        tip: Tip,
        records: &[(K, V)],
    ) -> Result<Self, OpenError> {
        refuse_used(&store)?;
        let state = State::load(records.iter().map(|(key, value)| Ok((key, value))), tip.height)?;
        compare_root(&state, tip)?;
        store.commit(&tip, records.iter().map(|(key, value)| (key.as_ref(), Some(value.as_ref()))))?;
        Ok(Self { store, state, failed: false })
    }

    /// Executes the next block and changes nothing.
    ///
    /// # Errors
    /// As for [`State::execute`].
    pub fn execute(&self, block: &Block) -> Result<Execution, BlockError> {
        self.state.execute(block)
    }

    /// Makes an execution the state: durably in the store, then in memory.
    ///
    /// # Errors
    /// [`CommitError::Stale`] and [`CommitError::Failed`] before anything is written. After
    /// [`CommitError::Store`] the state is as before, and every further commit is refused.
    pub fn commit(&mut self, execution: Execution) -> Result<(), CommitError> {
        self.check(&execution)?;
        self.failed = true;
        self.store.commit(&tip_of(&execution), execution.writes().iter())?;
        self.state.apply(execution)?;
        self.failed = false;
        Ok(())
    }

    /// Feeds empty blocks until the tip is `to`, at the cost of those at which something is due.
    /// `observe` sees each of these before it is committed.
    ///
    /// # Errors
    /// `to` is below the tip, or a commit failed; the blocks before it are committed.
    pub fn advance_to(&mut self, to: Height, mut observe: impl FnMut(&Execution)) -> Result<(), AdvanceError> {
        while self.state.tip() != Some(to) {
            let execution = self.state.advance(to)?;
            observe(&execution);
            self.commit(execution)?;
        }
        Ok(())
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Gives the store back.
    #[must_use]
    pub fn into_store(self) -> S {
        self.store
    }

    /// Height and root of the last committed block, from which a host continues with its own log.
    #[must_use]
    pub const fn last_committed(&self) -> Tip {
        Tip { height: self.state.tip(), root: self.state.root() }
    }

    /// Whether an execution may be committed now.
    fn check(&self, execution: &Execution) -> Result<(), CommitError> {
        if self.failed {
            return Err(CommitError::Failed);
        }
        if !self.state.accepts(execution) {
            return Err(StaleExecution.into());
        }
        Ok(())
    }
}

/// Committing through a host's own batch.
#[cfg(feature = "rocksdb")]
impl<T: crate::rocks::Columns> Ledger<crate::rocks::RocksStore<T>> {
    /// Puts a block into the host's own batch. The host writes the batch and then calls
    /// [`Ledger::committed`], or [`Ledger::abandon`] if the write failed.
    ///
    /// # Errors
    /// As for [`Ledger::commit`]; the batch is as before.
    pub fn stage(&self, execution: &Execution, batch: &mut rocksdb::WriteBatch) -> Result<(), CommitError> {
        self.check(execution)?;
        Ok(self.store.stage(&tip_of(execution), execution.writes().iter(), batch)?)
    }

    /// Makes an execution the state after the host has written the batch that [`Ledger::stage`] filled.
    ///
    /// # Errors
    /// As for [`Ledger::commit`], and a block that is not in the store: every further commit is refused then.
    pub fn committed(&mut self, execution: Execution) -> Result<(), CommitError> {
        self.check(&execution)?;
        self.failed = true;
        self.store.written(&tip_of(&execution))?;
        self.state.apply(execution)?;
        self.failed = false;
        Ok(())
    }

    /// Tells that writing a staged batch failed: every further commit is refused until the host has
    /// reopened its database and the ledger on it.
    pub fn abandon(&mut self) {
        self.failed = true;
    }
}

/// What [`verify`] read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The tip, whose root is that of the records.
    pub tip: Tip,
    /// How many records there are.
    pub records: u64,
    /// Bytes of all keys and values.
    pub bytes: u64,
}

/// Reads a store or snapshot from end to end, decodes every record, rebuilds the root and compares.
///
/// # Errors
/// As for [`Ledger::open`].
pub fn verify(view: &impl View) -> Result<Verified, OpenError> {
    load(view).map(|(_, verified)| verified)
}

fn load(view: &impl View) -> Result<(State, Verified), OpenError> {
    let tip = view.tip()?.ok_or(OpenError::Empty)?;
    check_rules(view)?;
    let mut verified = Verified { tip, records: 0, bytes: 0 };
    let entries = Entries::new(view, STATE.0, STATE.1).inspect(|entry| {
        if let Ok((key, value)) = entry {
            let len = key.len().saturating_add(value.len());
            verified.records = verified.records.saturating_add(1);
            verified.bytes = verified.bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        }
    });
    let state = State::load(entries, tip.height)?;
    compare_root(&state, tip)?;
    Ok((state, verified))
}

fn compare_root(state: &State, tip: Tip) -> Result<(), OpenError> {
    let computed = state.root();
    if computed == tip.root { Ok(()) } else { Err(OpenError::Root { tip, computed }) }
}

/// A state of other rules would only look corrupt; its first four bytes tell the two apart.
fn check_rules(view: &impl View) -> Result<(), OpenError> {
    let key = Key::Global.to_bytes();
    let Some(global) = view.get(&key)? else { return Ok(()) };
    let mut input = Reader::new(&global);
    let mut read = || -> Result<(u16, u16), DecodeError> { Ok((input.u16()?, input.u16()?)) };
    let (format, rules) = read().map_err(|cause| Fault::Corrupt { key, cause })?;
    if (format, rules) == (FORMAT, RULES) { Ok(()) } else { Err(OpenError::Rules { format, rules }) }
}

fn refuse_used(store: &impl View) -> Result<(), OpenError> {
    store.tip()?.map_or(Ok(()), |tip| Err(OpenError::NotEmpty(tip)))
}

fn tip_of(execution: &Execution) -> Tip {
    Tip { height: Some(execution.height()), root: execution.root() }
}
