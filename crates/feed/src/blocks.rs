//! The way of the commands: into transactions, into blocks, and with these to a file or a ledger.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroU64;

use coalmine_core::{
    Address, Block, Command, Execution, Genesis, Height, LimitError, Receipt, Sequence, State, TX_COMMANDS_MAX,
    Transaction,
};
use coalmine_json::blockfile::{BlockWriter, Form, Header};
use coalmine_replay::error::Error;
use coalmine_replay::runner::{self, Goal};
use coalmine_store::{Ledger, MemoryStore, Store};

/// The most transactions in one block. Even if all are full, they stay far below the limit of a block.
const BLOCK_TXS: usize = 64;

/// Transactions that wait for a block.
#[derive(Debug)]
pub(crate) struct Pending {
    signer: Address,
    /// The next sequence; `None` if the ledger asks for none.
    sequence: Option<u64>,
    transactions: VecDeque<Transaction>,
}

impl Pending {
    pub(crate) const fn new(signer: Address, sequence: Option<u64>) -> Self {
        Self { signer, sequence, transactions: VecDeque::new() }
    }

    /// Whether the next block is full already.
    pub(crate) fn is_full(&self) -> bool {
        self.transactions.len() >= BLOCK_TXS
    }

    /// Whether nothing waits, so that no put is split by ending here.
    pub(crate) fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Adds the commands of one message, as many as fit to a transaction, each of which is all or nothing.
    pub(crate) fn push(&mut self, commands: &[Command]) -> Result<(), LimitError> {
        for commands in commands.chunks(TX_COMMANDS_MAX) {
            let mut transaction = Transaction::new(self.signer, commands.to_vec())?;
            if let Some(number) = self.sequence {
                transaction = transaction.with_sequence(Sequence { number, valid_until: None });
                // The ledger rejects the last one when it comes a second time.
                self.sequence = Some(number.saturating_add(1));
            }
            self.transactions.push_back(transaction);
        }
        Ok(())
    }

    /// The block of a height; `None` if nothing waits.
    pub(crate) fn take(&mut self, height: Height) -> Result<Option<Block>, LimitError> {
        let count = self.transactions.len().min(BLOCK_TXS);
        let transactions: Vec<Transaction> = self.transactions.drain(..count).collect();
        if transactions.is_empty() { Ok(None) } else { Block::new(height, transactions).map(Some) }
    }
}

/// The destination of blocks.
pub(crate) enum Target {
    /// A block file on standard output.
    File(BlockWriter<io::Stdout>),
    /// A ledger in memory, with a line of output per block.
    Memory(Box<Ledger<MemoryStore>>),
    /// A ledger on disk, with a line of output per block.
    #[cfg(feature = "rocksdb")]
    Disk(Box<Ledger<coalmine_store::RocksStore>>),
}

impl Target {
    /// Starts a block file.
    pub(crate) fn file(genesis: Genesis) -> Result<Self, Error> {
        let out = BlockWriter::new(io::stdout(), Form::Jsonl, &Header::new(genesis)).map_err(output)?;
        Ok(Self::File(out))
    }

    /// A ledger: `memory`, or `rocksdb:PATH`, which is opened where it stands.
    pub(crate) fn ledger(store: &str, genesis: &Genesis) -> Result<Self, Error> {
        match store.strip_prefix("rocksdb:") {
            None if store == "memory" => Ok(Self::Memory(Box::new(Ledger::create(MemoryStore::new(), genesis)?))),
            None => Err(Error::Input(format!("--store {store}: it is memory, or rocksdb:PATH"))),
            Some(path) => disk(path, genesis),
        }
    }

    /// The height of the last block, if there is one.
    pub(crate) fn tip(&self) -> Option<Height> {
        match self {
            Self::File(_) => None,
            Self::Memory(ledger) => ledger.last_committed().height,
            #[cfg(feature = "rocksdb")]
            Self::Disk(ledger) => ledger.last_committed().height,
        }
    }

    /// The sequence of the signer's next transaction; `None` if the ledger, or that of the genesis, asks for none.
    pub(crate) fn next_sequence(&self, genesis: &Genesis, signer: &Address) -> Option<u64> {
        let (params, last) = match self.state() {
            None => (genesis.params(), None),
            Some(state) => (&state.global().params, state.sequence_of(signer)),
        };
        params.sequenced.then(|| last.map_or(0, NonZeroU64::get).saturating_add(1))
    }

    /// The state of the ledger; `None` if the blocks go to a file.
    pub(crate) fn state(&self) -> Option<&State> {
        match self {
            Self::File(_) => None,
            Self::Memory(ledger) => Some(ledger.state()),
            #[cfg(feature = "rocksdb")]
            Self::Disk(ledger) => Some(ledger.state()),
        }
    }

    /// Writes or executes a block with transactions.
    pub(crate) fn block(&mut self, block: &Block) -> Result<(), Error> {
        match self {
            Self::File(out) => {
                out.block(block, None).map_err(output)?;
                // The reader of a pipe is waiting for it.
                io::stdout().flush().map_err(output)
            }
            Self::Memory(ledger) => execute(ledger, Goal::Block(block)),
            #[cfg(feature = "rocksdb")]
            Self::Disk(ledger) => execute(ledger, Goal::Block(block)),
        }
    }

    /// Passes a height without a block. In a file it is a gap.
    pub(crate) fn empty(&mut self, height: Height) -> Result<(), Error> {
        match self {
            Self::File(_) => Ok(()),
            Self::Memory(ledger) => execute(ledger, Goal::Height(height)),
            #[cfg(feature = "rocksdb")]
            Self::Disk(ledger) => execute(ledger, Goal::Height(height)),
        }
    }
}

#[cfg(feature = "rocksdb")]
fn disk(path: &str, genesis: &Genesis) -> Result<Target, Error> {
    use coalmine_store::{Durability, RocksStore};

    let path = std::path::Path::new(path);
    let open = if RocksStore::exists(path) { RocksStore::open } else { RocksStore::create };
    Ok(Target::Disk(Box::new(Ledger::open_or_create(open(path, Durability::Synced)?, genesis)?)))
}

#[cfg(not(feature = "rocksdb"))]
fn disk(_path: &str, _genesis: &Genesis) -> Result<Target, Error> {
    Err(Error::Input("this build has no RocksDB; build it with --features rocksdb to use rocksdb:PATH".into()))
}

/// Executes and commits up to a goal, and prints a line per block with receipts or events.
fn execute<S: Store>(ledger: &mut Ledger<S>, goal: Goal<'_>) -> Result<(), Error> {
    while let Some(execution) = runner::next(ledger.state(), goal)? {
        accepted(&execution)?;
        let outcome = execution.outcome();
        if !outcome.receipts.is_empty() || !outcome.events.is_empty() {
            let (transactions, events) = (outcome.receipts.len(), outcome.events.len());
            let (height, root) = (execution.height(), execution.root());
            writeln!(io::stdout(), "height {height} transactions {transactions} events {events} root {root}")
                .map_err(output)?;
        }
        ledger.commit(execution)?;
    }
    Ok(())
}

/// Refuses a block with a rejected transaction: the rest of a put without one of its parts would make the ledger forget
/// the items of that part.
fn accepted(execution: &Execution) -> Result<(), Error> {
    match execution.outcome().receipts.iter().find(|receipt| **receipt != Receipt::Ok) {
        None => Ok(()),
        Some(receipt) => Err(Error::Differs(format!(
            "the ledger rejects the feed at height {}: {}; nothing of this block is committed",
            execution.height(),
            receipt.name()
        ))),
    }
}

pub(crate) fn output(error: io::Error) -> Error {
    Error::Output { to: "standard output".into(), error }
}
