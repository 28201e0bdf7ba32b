//! The node as everything sees it that asks or tells: reads, submission, and what has happened.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use coalmine_auth::{Domain, ENVELOPE_SIZE_MAX, Envelope, ReservedError, VerifyError, check_genesis, check_grants};
use coalmine_chart::Subject;
use coalmine_chart::ledger::Sample;
use coalmine_core::{Address, Decode as _, DecodeError, Genesis, Hash, Height, Name, State, Transaction};
use coalmine_store::{Ledger, Problem, Snapshots as _, Store as _, StoreError, Tip};
use tokio::sync::watch;
use tokio::time::timeout_at;

use crate::database::{Batch, Database, LedgerStore, Records, Snapshot, Sync};
use crate::mempool::{Limits, Mempool, Refusal, Waiting, check};
use crate::replicas::Replicas;
use crate::tables::{
    BlockRecord, Table, TxRecord, height_key, read_block_row, read_height, read_place_row, sample_key,
};
use crate::timings::Timings;

/// The mark of the oldest height whose outcome is kept.
pub(crate) const OLDEST: &[u8] = b"oldest";
/// The mark of the first height.
pub(crate) const FIRST: &[u8] = b"first";
/// The mark of the genesis: its hash.
const GENESIS: &[u8] = b"genesis";
/// What the keys of [`Node::meta_put`] begin with.
const FOREIGN: &[u8] = b"x/";

/// What a node is told when it opens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How many heights the tables go back; `None`: to the first. The state is never pruned.
    pub keep_blocks: Option<NonZeroU32>,
    /// How much may wait.
    pub limits: Limits,
}

/// Why a node does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] coalmine_store::OpenError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key with a role that anybody can sign for.
    #[error("the genesis cannot be used: {0}")]
    Reserved(#[from] ReservedError),
    /// The database belongs to a ledger with another genesis.
    #[error(
        "the database is of the ledger with genesis {found}, genesis.json has {expected}; use the genesis.json of that ledger, or another home"
    )]
    Genesis {
        /// The hash of the genesis given.
        expected: Hash,
        /// The hash of that of the database.
        found: Hash,
    },
    /// A mark that does not decode.
    #[error("the mark {0:?} of the node is damaged; restore a copy")]
    Mark(&'static str),
}

/// Why a transaction is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// More bytes than an envelope can have.
    #[error("an envelope has at most {max} bytes, not {size}")]
    TooLarge {
        /// How many it has.
        size: usize,
        /// How many it may have.
        max: usize,
    },
    /// The bytes are no envelope.
    #[error("this is no envelope: {0}")]
    Envelope(DecodeError),
    /// What the envelope holds is no transaction.
    #[error("the envelope holds no transaction: {0}")]
    Transaction(DecodeError),
    /// A signature that is not good for this ledger, or of another key.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// It gives a role to a key that anybody can sign for.
    #[error(transparent)]
    Reserved(#[from] ReservedError),
    /// It cannot wait for a block.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node takes nothing now.
    #[error("this node takes no transactions: {0}")]
    NotAccepting(String),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a transaction that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It waits for a block.
    Pending(Hash),
    /// It was committed before.
    Committed(TxRecord),
}

/// Where a transaction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxState {
    /// It waits for a block.
    Pending,
    /// It is committed.
    Committed(TxRecord),
    /// It was never here, was pruned, or has left without a block, for a reason that is known for a while.
    Unknown(Option<Refusal>),
}

/// Why a transaction has not settled.
#[derive(Debug, thiserror::Error)]
pub enum NotSettled {
    /// Time is up, and it still waits.
    #[error("it still waits for a block")]
    Pending,
    /// It does not wait, and is in no block that is kept.
    #[error("it is in no block and does not wait{}", .0.map_or_else(String::new, |refusal| format!(": {refusal}")))]
    Gone(Option<Refusal>),
    /// The node stops, or can make no more blocks.
    #[error("the node makes no more blocks")]
    Stopping,
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The height that was waited for has not come.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("height {wanted} has not come yet; the node is at {tip}")]
pub struct Behind {
    /// The height.
    pub wanted: Height,
    /// Where the node is.
    pub tip: Tip,
}

/// The engine cannot say what is last.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the engine cannot say what is last: {0}")]
pub struct NotLinearizable(String);

/// The sequences of a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequences {
    /// The last one that a block has used up; 0 before the first.
    pub last: u64,
    /// The next one that is free, with those counted that wait.
    pub next: u64,
}

/// How a node is.
#[derive(Debug, Clone)]
pub struct Health {
    /// Where its blocks come from.
    pub engine: &'static str,
    /// How long ago its height last moved.
    pub last_height_age: Duration,
    /// Whether it takes transactions.
    pub accepting: bool,
    /// Why it is not ready; empty if it is.
    pub reasons: Vec<String>,
}

/// Ends with the node: for whoever keeps a stream or a task open.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Whether the node is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the node stops.
    pub async fn stopped(&mut self) {
        // If its sender is gone, so is the node.
        let _gone = self.0.wait_for(|is_stopping| *is_stopping).await;
    }
}

/// A running node. Cloning it makes another handle.
#[derive(Debug, Clone)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    genesis: Genesis,
    domain: Domain,
    options: Options,
    database: Database,
    ledger: RwLock<Ledger<LedgerStore>>,
    records: Records,
    /// Locked before the ledger, never after it.
    pool: Mutex<Mempool>,
    oldest: Mutex<Height>,
    tip: watch::Sender<Tip>,
    stop: watch::Sender<bool>,
    /// The same for a thread that waits, and what wakes it.
    is_stopping: Mutex<bool>,
    wake: Condvar,
    status: Mutex<Status>,
    timings: Timings,
}

#[derive(Debug)]
struct Status {
    engine: &'static str,
    moved: Instant,
    /// Why there are no more blocks.
    stopped: Option<String>,
    /// The other nodes, if there are any.
    replicas: Option<Arc<dyn Replicas>>,
}

impl Node {
    pub(crate) fn open(
        (database, store): (Database, LedgerStore),
        genesis: &Genesis,
        options: Options,
    ) -> Result<Self, OpenError> {
        check_genesis(genesis)?;
        let ledger = Ledger::open_or_create(store, genesis)?;
        let domain = Domain::of(genesis);
        match database.get(Table::Meta, GENESIS)? {
            // Of a ledger that has just been created, or whose node died before it wrote this.
            None => {
                let mut batch = Batch::default();
                batch.put(Table::Meta, GENESIS, domain.genesis().0);
                database.write(batch, Sync::Now)?;
            }
            Some(found) if found == domain.genesis().0 => {}
            Some(found) => {
                let found = found.try_into().map(Hash).map_err(|_| OpenError::Mark("genesis"))?;
                return Err(OpenError::Genesis { expected: *domain.genesis(), found });
            }
        }
        let oldest = match database.get(Table::Meta, OLDEST)? {
            Some(value) => read_height(&value).map_err(|_| OpenError::Mark("oldest"))?,
            None => 0,
        };
        Ok(Self(Arc::new(Inner {
            genesis: genesis.clone(),
            domain,
            options,
            records: ledger.store().reader(),
            database,
            tip: watch::Sender::new(ledger.last_committed()),
            ledger: RwLock::new(ledger),
            pool: Mutex::new(Mempool::new(options.limits)),
            oldest: Mutex::new(oldest),
            stop: watch::Sender::new(false),
            is_stopping: Mutex::new(false),
            wake: Condvar::new(),
            status: Mutex::new(Status { engine: "none", moved: Instant::now(), stopped: None, replicas: None }),
            timings: Timings::default(),
        })))
    }

    /// Marks a database whose records came from a dump as that of a ledger: what was before is not there.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) fn mark_restored(database: &Database, genesis: &Genesis, tip: &Tip) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Table::Meta, GENESIS, Domain::of(genesis).genesis().0);
        batch.put(Table::Meta, OLDEST, height_key(tip.height.map_or(0, |tip| tip.saturating_add(1))));
        database.write(batch, Sync::Now)
    }

    /// The state before the first block.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.0.genesis
    }

    /// What signatures are for.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.0.domain
    }

    /// Height and root. The height moves with the clock, also when nothing happens; `None` before the first block.
    #[must_use]
    pub fn tip(&self) -> Tip {
        *self.0.tip.borrow()
    }

    /// Follows the tip.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Tip> {
        self.0.tip.subscribe()
    }

    /// Makes sure that what is read from here on has everything that was acknowledged before: by this node, or by
    /// another one that replicates with it.
    ///
    /// # Errors
    /// The engine has stopped, so nobody knows.
    pub async fn linearizable(&self) -> Result<Tip, NotLinearizable> {
        if let Some(why) = self.0.status().stopped.clone() {
            return Err(NotLinearizable(why));
        }
        // A single node acknowledges nothing before everybody can read it.
        let replicas = self.0.status().replicas.clone();
        if let Some(replicas) = replicas {
            replicas.linearize().await.map_err(NotLinearizable)?;
        }
        Ok(self.tip())
    }

    /// How long blocks take.
    pub(crate) fn timings(&self) -> &Timings {
        &self.0.timings
    }

    /// Reads the state. Blocks wait for it to end before they are applied, so it must be short.
    pub fn read<T>(&self, ask: impl FnOnce(&State) -> T) -> T {
        ask(self.0.ledger().state())
    }

    /// Reads the records, as they were at one tip: for histories, and for what takes longer.
    pub fn records<T>(&self, ask: impl FnOnce(&Snapshot<'_>) -> T) -> T {
        ask(&self.0.records.snapshot())
    }

    /// Waits until the tip is at a height.
    ///
    /// # Errors
    /// Time is up, or the node stops.
    pub async fn wait_for(&self, height: Height, at_most: Duration) -> Result<Tip, Behind> {
        let mut tips = self.watch();
        let mut stop = self.stop();
        let there = tips.wait_for(|tip| tip.height >= Some(height));
        let found = tokio::select! {
            found = tokio::time::timeout(at_most, there) => found.ok().and_then(Result::ok).map(|tip| *tip),
            () = stop.stopped() => None,
        };
        found.ok_or_else(|| Behind { wanted: height, tip: self.tip() })
    }

    /// Takes a signed transaction. The same envelope again gets the same answer, and is never executed twice.
    ///
    /// # Errors
    /// [`SubmitError`]: nothing was taken.
    pub fn submit(&self, envelope: &[u8]) -> Result<Submitted, SubmitError> {
        if envelope.len() > ENVELOPE_SIZE_MAX {
            return Err(SubmitError::TooLarge { size: envelope.len(), max: ENVELOPE_SIZE_MAX });
        }
        let decoded = Envelope::from_bytes(envelope).map_err(SubmitError::Envelope)?;
        let id = decoded.id();
        if let Some(known) = self.known(&id)? {
            return Ok(known);
        }
        if let Some(reason) = self.not_accepting() {
            return Err(SubmitError::NotAccepting(reason));
        }
        let tx = Transaction::from_bytes(decoded.transaction()).map_err(SubmitError::Transaction)?;
        let waiting = Waiting::new(id, envelope.into(), &tx).ok_or(VerifyError::NotSequenced)?;
        // What costs little to find out comes before the signatures.
        let next = self.tip().height.map_or(0, |tip| tip.saturating_add(1));
        if let Err(refusal) = self.read(|state| check(&waiting, state, next)) {
            return self.unless_known(&id, refusal);
        }
        decoded.verify(self.domain())?;
        check_grants(&tx)?;
        let mut pool = self.0.pool();
        let taken = pool.insert(waiting, self.0.ledger().state(), next);
        drop(pool);
        taken.map(|()| Submitted::Pending(id)).or_else(|refusal| self.unless_known(&id, refusal))
    }

    /// A block may have committed an envelope since it was looked for, or another thread may have taken it.
    fn unless_known(&self, id: &Hash, refusal: Refusal) -> Result<Submitted, SubmitError> {
        self.known(id)?.ok_or(SubmitError::Refused(refusal))
    }

    /// Where an envelope is that came before.
    fn known(&self, id: &Hash) -> Result<Option<Submitted>, StoreError> {
        Ok(match self.transaction(id)? {
            TxState::Pending => Some(Submitted::Pending(*id)),
            TxState::Committed(record) => Some(Submitted::Committed(record)),
            TxState::Unknown(_) => None,
        })
    }

    /// Waits until a transaction is committed.
    ///
    /// # Errors
    /// [`NotSettled`].
    pub async fn settled(&self, id: Hash, at_most: Duration) -> Result<TxRecord, NotSettled> {
        let deadline = tokio::time::Instant::now().checked_add(at_most).unwrap_or_else(tokio::time::Instant::now);
        let (mut tips, mut stop) = (self.watch(), self.stop());
        loop {
            match self.transaction(&id)? {
                TxState::Committed(record) => return Ok(record),
                TxState::Unknown(refusal) => return Err(NotSettled::Gone(refusal)),
                TxState::Pending if stop.is_stopping() || self.0.status().stopped.is_some() => {
                    return Err(NotSettled::Stopping);
                }
                TxState::Pending => {}
            }
            tokio::select! {
                moved = timeout_at(deadline, tips.changed()) => if moved.is_err() { return Err(NotSettled::Pending) },
                // The block in hand is finished all the same, and may have it.
                () = stop.stopped() => {}
            }
        }
    }

    /// Where a transaction is.
    ///
    /// # Errors
    /// The database fails.
    pub fn transaction(&self, id: &Hash) -> Result<TxState, StoreError> {
        // What has left for a block is in the database before it leaves.
        if self.0.pool().contains(id) {
            return Ok(TxState::Pending);
        }
        let place = self.0.database.get(Table::Transactions, &id.0)?;
        let place =
            place.map(|row| read_place_row(&row)).transpose().map_err(|error| self.0.damaged("transactions", error))?;
        let record = match place {
            Some((height, index)) => self.outcome(height)?.and_then(|record| record.tx(index)),
            None => None,
        };
        Ok(record.map_or_else(|| TxState::Unknown(self.0.pool().dropped(id)), TxState::Committed))
    }

    /// The sequences of a signer.
    #[must_use]
    pub fn sequence(&self, address: &Address) -> Sequences {
        let pending = self.0.pool().last_sequence(address).unwrap_or_default();
        let last = self.read(|state| state.sequence_of(address).map_or(0, |last| last.get()));
        Sequences { last, next: last.max(pending).saturating_add(1) }
    }

    /// What came of the block at a height; none if nothing happened there, or if it was pruned.
    ///
    /// # Errors
    /// The database fails.
    pub fn outcome(&self, height: Height) -> Result<Option<BlockRecord>, StoreError> {
        let row = self.0.database.get(Table::Outcomes, &height_key(height))?;
        row.map(|row| BlockRecord::from_row(height, &row))
            .transpose()
            .map_err(|error| self.0.damaged("outcomes", error))
    }

    /// The blocks from a height on that have transactions or events, ascending, at most so many.
    ///
    /// # Errors
    /// The database fails.
    pub fn outcomes(&self, from: Height, limit: usize) -> Result<Vec<BlockRecord>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        self.0.each_outcome(from, Height::MAX, &mut |record| {
            if !record.is_quiet() {
                found.push(record);
            }
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    }

    /// The oldest height whose outcome is kept.
    #[must_use]
    pub fn oldest_outcome(&self) -> Height {
        *self.0.oldest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The envelopes of a block.
    ///
    /// # Errors
    /// The database fails.
    pub fn envelopes(&self, height: Height) -> Result<Vec<Vec<u8>>, StoreError> {
        let row = self.0.database.get(Table::Blocks, &height_key(height))?;
        let envelopes = row.map(|row| read_block_row(&row)).transpose();
        Ok(envelopes.map_err(|error| self.0.damaged("blocks", error))?.unwrap_or_default())
    }

    /// The samples of a feature or plugin from a height to another, both included, ascending, at most so many.
    ///
    /// # Errors
    /// The database fails.
    pub fn samples(
        &self,
        subject: Subject,
        name: &Name,
        from: Height,
        to: Height,
        limit: usize,
    ) -> Result<Vec<(Height, Sample)>, StoreError> {
        let mut found = Vec::new();
        let mut damage = None;
        let (start, end) = (sample_key(subject, name, from), [sample_key(subject, name, to), vec![0]].concat());
        if limit == 0 {
            return Ok(found);
        }
        self.0.database.scan(Table::Samples, &start, &end, &mut |key, value| {
            let height = key.get(key.len().saturating_sub(4)..).unwrap_or_default();
            match read_height(height).and_then(|height| Ok((height, Sample::from_bytes(value)?))) {
                Ok(sample) => found.push(sample),
                Err(error) => damage = Some(error),
            }
            if damage.is_none() && found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        damage.map_or(Ok(found), |error| Err(self.0.damaged("samples", error)))
    }

    /// Whether this is the node that does what only one of several does, such as telling others: the leader of those that
    /// replicate, or the only one.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0.status().replicas.as_ref().is_none_or(|replicas| replicas.is_leader())
    }

    /// How many transactions wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.0.pool().len()
    }

    /// How the node is.
    #[must_use]
    pub fn health(&self) -> Health {
        let not_accepting = self.not_accepting();
        let status = self.0.status();
        let mut reasons: Vec<String> = Vec::new();
        reasons.extend(status.stopped.clone());
        if reasons.is_empty() {
            reasons.extend(not_accepting.clone());
            reasons.extend(status.replicas.as_ref().and_then(|replicas| replicas.trouble()));
        }
        Health {
            engine: status.engine,
            last_height_age: status.moved.elapsed(),
            accepting: not_accepting.is_none(),
            reasons,
        }
    }

    /// Why no transactions are taken.
    fn not_accepting(&self) -> Option<String> {
        if *self.0.stop.borrow() {
            return Some("it stops".into());
        }
        self.0.status().stopped.clone()
    }

    /// A signal that comes when the node stops.
    #[must_use]
    pub fn stop(&self) -> StopSignal {
        StopSignal(self.0.stop.subscribe())
    }

    /// Stops the node: no more transactions, streams end, and the engine ends after the block in hand.
    pub fn begin_stop(&self) {
        self.0.stop.send_replace(true);
        *self.0.is_stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.wake.notify_all();
    }

    /// Reads a mark of what is built on the node, such as the cursor of a sink.
    ///
    /// # Errors
    /// The database fails.
    pub fn meta_get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.database.get(Table::Meta, &[FOREIGN, key.as_bytes()].concat())
    }

    /// Writes a mark of what is built on the node; none deletes it. It is durable when this returns.
    ///
    /// # Errors
    /// The database fails.
    pub fn meta_put(&self, key: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        let (mut batch, key) = (Batch::default(), [FOREIGN, key.as_bytes()].concat());
        match value {
            Some(value) => batch.put(Table::Meta, key, value),
            None => batch.delete(Table::Meta, key),
        }
        self.0.database.write(batch, Sync::Now)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    pub(crate) const fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    /// A block is applied after all that can fail, so the ledger behind a poisoned lock is whole.
    pub(crate) fn ledger(&self) -> RwLockReadGuard<'_, Ledger<LedgerStore>> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ledger_mut(&self) -> RwLockWriteGuard<'_, Ledger<LedgerStore>> {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pool(&self) -> MutexGuard<'_, Mempool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a block has executed out of what waits, and what can no longer be executed.
    pub(crate) fn settle<'i>(&self, ids: impl IntoIterator<Item = &'i Hash>, next: Height) {
        let mut pool = self.pool();
        pool.committed(ids, self.ledger().state(), next);
    }

    /// Waits on the thread of an engine. Returns early, and true, when the node stops.
    pub(crate) fn pause(&self, at_most: Duration) -> bool {
        let is_stopping = self.is_stopping.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(is_stopping, at_most, |is_stopping| !*is_stopping);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Shows a tip to everybody.
    pub(crate) fn seen(&self, tip: Tip) {
        self.status().moved = Instant::now();
        self.tip.send_replace(tip);
    }

    pub(crate) fn pruned(&self, oldest: Option<Height>) {
        if let Some(oldest) = oldest {
            *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = oldest;
        }
    }

    /// Says which engine makes the blocks.
    pub(crate) fn runs(&self, engine: &'static str) {
        self.status().engine = engine;
    }

    /// Says who the other nodes are.
    #[cfg(feature = "raft")]
    pub(crate) fn replicates(&self, replicas: Arc<dyn Replicas>) {
        self.status().replicas = Some(replicas);
    }

    /// Takes snapshots of the records, on any thread.
    #[cfg(feature = "raft")]
    pub(crate) fn reader(&self) -> Records {
        self.records.clone()
    }

    /// Says that there are no more blocks, and why.
    pub(crate) fn halted(&self, reason: String) {
        self.status().stopped = Some(reason);
        // Whoever waits for a block waits in vain.
        self.tip.send_modify(|_| ());
    }

    /// Visits the outcomes from a height to below another, ascending.
    pub(crate) fn each_outcome(
        &self,
        from: Height,
        below: Height,
        visit: &mut dyn FnMut(BlockRecord) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut damage = None;
        self.database.scan(
            Table::Outcomes,
            &height_key(from),
            &height_key(below),
            &mut |key, value| match read_height(key).and_then(|height| BlockRecord::from_row(height, value)) {
                Ok(record) => visit(record),
                Err(error) => {
                    damage = Some(error);
                    ControlFlow::Break(())
                }
            },
        )?;
        damage.map_or(Ok(()), |error| Err(self.damaged("outcomes", error)))
    }

    pub(crate) fn damaged(&self, table: &str, error: DecodeError) -> StoreError {
        StoreError::new(format!("{}, table {table}", self.database.place()), Problem::Damaged(error.to_string()))
    }
}
