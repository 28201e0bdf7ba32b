//! The ledger: a store and the decoded state of its records, always at the same tip.
//!
//! A block is executed against the state, written durably, and only then applied to the state. So
//! the state never contains a block that the store lacks. After a failed write the ledger refuses
//! every further commit.

use std::sync::Arc;

use coalmine_core::query::Entries;
use coalmine_core::{
    Block, BlockError, ChainId, DecodeError, Encode, Execution, FORMAT, Fault, Genesis, Hash, Height, Key, Reader,
    RuleSet, STATE_KEYS, StaleExecution, State, tree,
};

use crate::error::{Problem, StoreError};
use crate::store::{Snapshots, Staging, Store, View, Write};
use crate::tip::Tip;

/// Why a ledger could not be created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is corrupt, or reading the store failed.
    #[error(transparent)]
    Fault(Fault),
    /// The records do not fit into the state tree.
    #[error(transparent)]
    Tree(#[from] tree::TreeError),
    /// The store is empty, so there is no ledger to open.
    #[error("the store has no state yet; create the ledger from a genesis, or restore a dump into it")]
    Empty,
    /// The store is not empty, so no ledger can be created in it.
    #[error("the store holds a ledger already ({0}); open it, or create the new one in an empty store")]
    NotEmpty(Tip),
    /// The state has a format or rule set that this build does not know.
    #[error(
        "the state has format {format} and rules {rules}, this build knows format {FORMAT} and rules up to {}; open it with a newer build",
        RuleSet::LATEST.number()
    )]
    Rules {
        /// The state's format number.
        format: u16,
        /// The number of the state's rule set.
        rules: u16,
    },
    /// The root of the records is not that of the tip.
    #[error(
        "the records do not belong together: the store is at {tip}, but its records have root {computed}; restore a copy or replay the blocks"
    )]
    Root {
        /// The tip of the store.
        tip: Tip,
        /// The root computed from the records.
        computed: Hash,
    },
    /// The store holds the ledger of another chain.
    #[error("the store is of chain {:?}, the genesis is of {:?}; use the store of that chain, or a new one", found.as_str(), expected.as_str())]
    Chain {
        /// The chain of the genesis.
        expected: Box<ChainId>,
        /// The chain of the store.
        found: Box<ChainId>,
    },
    /// The store is not at the tip that the host expects.
    #[error(
        "the store is at {found}, but {expected} was expected; restore a copy that is there, or replay the blocks up to it"
    )]
    Anchor {
        /// The tip that the host expects.
        expected: Tip,
        /// The tip of the store.
        found: Tip,
    },
}

impl From<Fault> for OpenError {
    /// A failure of the store during a read keeps its own message.
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
    /// The block was executed on another state. Nothing was written.
    #[error(transparent)]
    Stale(#[from] StaleExecution),
    /// The store failed. Only reopening shows whether the block is in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed earlier. Nothing was written.
    #[error(
        "an earlier commit failed, so this ledger commits nothing more; reopen it and go on from its last committed block"
    )]
    Failed,
    /// A staged block is outstanding. Nothing was written.
    #[error("a staged block is outstanding; finish it with committed() or abandon() before the next one")]
    Staged,
    /// A staged block was dropped. Nothing was written.
    #[error(
        "a staged block was dropped without committed() or abandon(), so whether it was written is unknown and this ledger commits nothing more; reopen the database, and the ledger on it"
    )]
    Dropped,
}

/// Why a ledger could not advance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// The height is not above the tip, or a fault stops the node.
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
    phase: Phase,
}

/// Whether the next block can be committed.
#[derive(Debug)]
enum Phase {
    Ready,
    /// A block is in a batch of the host. Its [`Staged`] holds the other half of the mark.
    Staged(Arc<()>),
    Failed,
}

/// A block in a batch of the host: the token for [`Ledger::committed`] or [`Ledger::abandon`].
///
/// Until one of them has it back, the ledger commits nothing else. Dropping the token is safe, and
/// says that nobody knows whether the batch was written: from then on the ledger refuses to commit,
/// until the database and the ledger are opened again.
#[derive(Debug)]
#[must_use = "give it back with committed() or abandon(); dropping it stops the ledger"]
pub struct Staged {
    execution: Execution,
    mark: Arc<()>,
}

impl Staged {
    /// Returns the execution of the block.
    #[must_use]
    pub const fn execution(&self) -> &Execution {
        &self.execution
    }
}

/// Another state in a batch of the host, to take the place of that of a ledger: the token for [`Ledger::replaced`].
///
/// Dropping it has the effect of dropping [`Staged`].
#[derive(Debug)]
#[must_use = "give it back with replaced(); dropping it stops the ledger"]
pub struct Replacement {
    state: State,
    mark: Arc<()>,
}

impl<S: Store> Ledger<S> {
    /// Creates a ledger in an empty store. When this returns, the genesis is durable.
    ///
    /// # Errors
    /// The store is not empty, or fails.
    pub fn create(mut store: S, genesis: &Genesis) -> Result<Self, OpenError> {
        refuse_used(&store)?;
        let (state, writes) = State::genesis(genesis)?;
        store.commit(None, &Tip { height: None, root: state.root() }, writes.iter())?;
        Ok(Self::ready(store, state))
    }

    /// Opens the ledger of a store: decodes every record, rebuilds the tree, and compares its root
    /// with that of the tip.
    ///
    /// # Errors
    /// The store is empty, fails, or does not hold exactly the state of its tip.
    pub fn open(store: S) -> Result<Self, OpenError> {
        let (state, _) = load(&store.reader().snapshot())?;
        Ok(Self::ready(store, state))
    }

    /// Opens the ledger of a store that must be at `expected`. A host that records height and root
    /// itself thereby detects a store that was swapped or has lost blocks.
    ///
    /// # Errors
    /// As for [`Ledger::open`], and [`OpenError::Anchor`].
    pub fn open_at(store: S, expected: Tip) -> Result<Self, OpenError> {
        match store.tip()? {
            Some(found) if found != expected => Err(OpenError::Anchor { expected, found }),
            _ => Self::open(store),
        }
    }

    /// Opens the ledger of a store, or creates it if the store is empty.
    ///
    /// # Errors
    /// As for [`Ledger::create`] and [`Ledger::open`], and [`OpenError::Chain`] if the ledger there
    /// belongs to another chain than the genesis.
    pub fn open_or_create(store: S, genesis: &Genesis) -> Result<Self, OpenError> {
        if store.tip()?.is_none() {
            return Self::create(store, genesis);
        }
        let ledger = Self::open(store)?;
        let (expected, found) = (Box::new(*genesis.chain()), Box::new(ledger.state.global().chain));
        if found == expected { Ok(ledger) } else { Err(OpenError::Chain { expected, found }) }
    }

    /// Fills an empty store with records, such as those of a dump, and opens the ledger. The
    /// records are checked first, and written in one batch.
    ///
    /// # Errors
    /// The store is not empty or fails, or the records are not exactly the state of the tip.
    pub fn restore<K: AsRef<[u8]>, V: AsRef<[u8]>>(store: S, tip: Tip, records: &[(K, V)]) -> Result<Self, OpenError> {
        refuse_used(&store)?;
        let key = Key::Global.to_bytes();
        if let Some((_, global)) = records.iter().find(|(found, _)| found.as_ref() == key) {
            check_rules(global.as_ref(), tip.height)?;
        }
        let state = State::load(records.iter().map(|(key, value)| Ok((key, value))), tip.height)?;
        compare_root(&state, tip)?;
        Self::fill(store, state, records.iter().map(|(key, value)| (key.as_ref(), value.as_ref())))
    }

    /// Writes a state, whose records these are, into an empty store.
    pub(crate) fn fill<'r>(
        mut store: S,
        state: State,
        records: impl Iterator<Item = (&'r [u8], &'r [u8])>,
    ) -> Result<Self, OpenError> {
        refuse_used(&store)?;
        let tip = Tip { height: state.tip(), root: state.root() };
        store.commit(None, &tip, records.map(|(key, value)| (key, Some(value))))?;
        Ok(Self::ready(store, state))
    }

    const fn ready(store: S, state: State) -> Self {
        Self { store, state, phase: Phase::Ready }
    }

    /// Executes the next block without changing the state or the store.
    ///
    /// # Errors
    /// As for [`State::execute`].
    pub fn execute(&self, block: &Block) -> Result<Execution, BlockError> {
        self.state.execute(block)
    }

    /// Commits an execution: durably in the store, then to the state in memory.
    ///
    /// # Errors
    /// After [`CommitError::Store`] the state is as before, and every further commit is refused.
    /// With any other error nothing was written.
    pub fn commit(&mut self, execution: Execution) -> Result<(), CommitError> {
        self.check(&execution)?;
        self.phase = Phase::Failed;
        self.store.commit(Some(&self.last_committed()), &tip_of(&execution), execution.writes().iter())?;
        self.state.apply(execution)?;
        self.phase = Phase::Ready;
        Ok(())
    }

    /// Commits empty blocks until the tip is `to`. Only heights with due work, and `to` itself, cost
    /// an execution; `observe` sees each of these before it is committed.
    ///
    /// # Errors
    /// `to` is below the tip, or a commit failed; the blocks before the failed one are committed.
    pub fn advance_to(&mut self, to: Height, mut observe: impl FnMut(&Execution)) -> Result<(), AdvanceError> {
        while self.state.tip() != Some(to) {
            let execution = self.state.advance(to)?;
            observe(&execution);
            self.commit(execution)?;
        }
        Ok(())
    }

    /// Returns the state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Returns the store and drops the state.
    #[must_use]
    pub fn into_store(self) -> S {
        self.store
    }

    /// Returns height and root of the last committed block. A host replays its own log after it.
    #[must_use]
    pub const fn last_committed(&self) -> Tip {
        Tip { height: self.state.tip(), root: self.state.root() }
    }

    /// Checks that an execution may be committed now.
    fn check(&self, execution: &Execution) -> Result<(), CommitError> {
        self.check_ready()?;
        if !self.state.accepts(execution) {
            return Err(StaleExecution.into());
        }
        Ok(())
    }

    fn check_ready(&self) -> Result<(), CommitError> {
        match &self.phase {
            Phase::Ready => (),
            // The token holds the other half of the mark.
            Phase::Staged(mark) if Arc::strong_count(mark) > 1 => return Err(CommitError::Staged),
            Phase::Staged(_) => return Err(CommitError::Dropped),
            Phase::Failed => return Err(CommitError::Failed),
        }
        Ok(())
    }
}

/// Commits blocks in a batch that the host writes, together with data of its own.
///
/// ```
/// # use coalmine_core::{Address, Block, Genesis, Role};
/// # use coalmine_store::{Ledger, MemoryBatch, MemoryStore};
/// # let genesis = Genesis::new("example-1", [(Address([0x11; 20]), Role::Admin.into())])?;
/// let mut ledger = Ledger::create(MemoryStore::new(), &genesis)?;
/// let database = ledger.store().handle();
///
/// let execution = ledger.execute(&Block::empty(1))?;
/// let mut batch = MemoryBatch::default();
/// let staged = ledger.stage(execution, &mut batch)?;
/// database.write(batch); // a host that fails here returns early, and drops the token
/// ledger.committed(staged)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<S: Staging> Ledger<S> {
    /// Puts a block into the host's batch, which the host then writes. A batch takes one block.
    ///
    /// The token that it returns is for [`Ledger::committed`], after the batch was written, or for
    /// [`Ledger::abandon`], if it never will be. Whoever tried to write the batch and failed drops
    /// the token. Until then the ledger commits nothing else.
    ///
    /// # Errors
    /// As for [`Ledger::commit`]; the batch is left as it was.
    pub fn stage(&mut self, execution: Execution, batch: &mut S::Batch) -> Result<Staged, CommitError> {
        self.check(&execution)?;
        let (base, tip) = (self.last_committed(), tip_of(&execution));
        self.store.stage(Some(&base), &tip, execution.writes().iter(), batch)?;
        let mark = Arc::new(());
        self.phase = Phase::Staged(Arc::clone(&mark));
        Ok(Staged { execution, mark })
    }

    /// Makes a staged block the state, after the host has written the batch.
    ///
    /// # Errors
    /// [`Problem::NotWritten`] if the block is not in the store; every further commit is refused
    /// then. [`CommitError::Stale`] for the token of another ledger.
    pub fn committed(&mut self, staged: Staged) -> Result<(), CommitError> {
        self.take_back(&staged.mark)?;
        self.check_written(tip_of(&staged.execution))?;
        self.state.apply(staged.execution)?;
        self.phase = Phase::Ready;
        Ok(())
    }

    /// Puts a whole state in the place of this one, by the writes that lead to it.
    pub(crate) fn stage_state<'w>(
        &mut self,
        state: State,
        writes: impl IntoIterator<Item = Write<'w>>,
        batch: &mut S::Batch,
    ) -> Result<Replacement, StoreError> {
        // A ledger whose last block is in doubt is opened again before anything else.
        if self.check_ready().is_err() {
            return Err(StoreError::new(self.store.place(), Problem::Other(CommitError::Failed.to_string())));
        }
        let (base, tip) = (self.last_committed(), Tip { height: state.tip(), root: state.root() });
        self.store.stage(Some(&base), &tip, writes, batch)?;
        let mark = Arc::new(());
        self.phase = Phase::Staged(Arc::clone(&mark));
        Ok(Replacement { state, mark })
    }

    /// Makes a restored state the state, after the host has written its batch.
    ///
    /// # Errors
    /// As for [`Ledger::committed`].
    pub fn replaced(&mut self, replacement: Replacement) -> Result<(), CommitError> {
        self.take_back(&replacement.mark)?;
        let Replacement { state, mark: _ } = replacement;
        self.check_written(Tip { height: state.tip(), root: state.root() })?;
        self.state = state;
        self.phase = Phase::Ready;
        Ok(())
    }

    fn check_written(&self, expected: Tip) -> Result<(), CommitError> {
        let found = self.store.tip()?;
        if found == Some(expected) { Ok(()) } else { Err(self.refused(Problem::NotWritten { expected, found })) }
    }

    /// Forgets a staged block whose batch was not written. Batch and token are gone after that, so
    /// neither can be used by mistake, and the ledger goes on at the block before.
    ///
    /// This is not for a write that failed: the batch can be in the log of the database all the
    /// same, and come back when that is opened again. Drop the token then.
    ///
    /// # Errors
    /// [`Problem::Moved`] if the store is not at the block before; every further commit is refused
    /// then. [`CommitError::Stale`] for the token of another ledger.
    pub fn abandon(&mut self, staged: Staged, batch: S::Batch) -> Result<(), CommitError> {
        drop(batch);
        self.take_back(&staged.mark)?;
        let (expected, found) = (Some(self.last_committed()), self.store.tip()?);
        if found != expected {
            return Err(self.refused(Problem::Moved { expected, found }));
        }
        self.phase = Phase::Ready;
        Ok(())
    }

    /// Takes the token back. The ledger is failed from here until its caller knows better.
    fn take_back(&mut self, given: &Arc<()>) -> Result<(), CommitError> {
        match &self.phase {
            Phase::Staged(mark) if Arc::ptr_eq(mark, given) => {
                self.phase = Phase::Failed;
                Ok(())
            }
            Phase::Ready | Phase::Staged(_) | Phase::Failed => Err(StaleExecution.into()),
        }
    }

    fn refused(&self, problem: Problem) -> CommitError {
        StoreError::new(self.store.place(), problem).into()
    }
}

/// The result of [`verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The tip. Its root is the root of the records.
    pub tip: Tip,
    /// The number of records.
    pub records: u64,
    /// The total length of keys and values, in bytes.
    pub bytes: u64,
}

/// Decodes every record of a store or snapshot, recomputes the root, and compares it with the tip's.
///
/// # Errors
/// As for [`Ledger::open`].
pub fn verify(view: &impl View) -> Result<Verified, OpenError> {
    load(view).map(|(_, verified)| verified)
}

fn load(view: &impl View) -> Result<(State, Verified), OpenError> {
    let tip = view.tip()?.ok_or(OpenError::Empty)?;
    if let Some(global) = view.get(&Key::Global.to_bytes())? {
        check_rules(&global, tip.height)?;
    }
    let mut verified = Verified { tip, records: 0, bytes: 0 };
    let entries = Entries::new(view, &[STATE_KEYS.start], &[STATE_KEYS.end]).inspect(|entry| {
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

/// Compares the root of a state with that of a tip.
pub(crate) fn compare_root(state: &State, tip: Tip) -> Result<(), OpenError> {
    let computed = state.root();
    if computed == tip.root { Ok(()) } else { Err(OpenError::Root { tip, computed }) }
}

/// Checks format and rules, the first four bytes of the global record of a state at a height: without
/// this, a state of other rules would look corrupt.
///
/// # Errors
/// [`OpenError::Rules`] if this build does not know them, or knows them for tests alone and the state is
/// that of a genesis, since no ledger starts with them; a fault if there are fewer bytes.
pub fn check_rules(global: &[u8], height: Option<Height>) -> Result<(), OpenError> {
    let mut input = Reader::new(global);
    let mut read = || -> Result<(u16, u16), DecodeError> { Ok((input.u16()?, input.u16()?)) };
    let corrupt = |cause| Fault::Corrupt { key: Key::Global.to_bytes(), cause };
    let (format, rules) = read().map_err(corrupt)?;
    check_numbers(format, rules, height)
}

/// The same for the two numbers.
pub(crate) fn check_numbers(format: u16, rules: u16, height: Option<Height>) -> Result<(), OpenError> {
    let may_be = |rules: RuleSet| height.is_some() || rules <= RuleSet::LATEST;
    let is_known = format == FORMAT && RuleSet::from_number(rules).is_some_and(may_be);
    if is_known { Ok(()) } else { Err(OpenError::Rules { format, rules }) }
}

fn refuse_used(store: &impl View) -> Result<(), OpenError> {
    store.tip()?.map_or(Ok(()), |tip| Err(OpenError::NotEmpty(tip)))
}

fn tip_of(execution: &Execution) -> Tip {
    Tip { height: Some(execution.height()), root: execution.root() }
}
