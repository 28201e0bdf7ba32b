//! The state machine: each entry is a block, which is executed and kept as those of every engine.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use coalmine_core::{Hash, Height};
use coalmine_raft::{BoxError, Machine, Outcome, Proposal, Source};
use coalmine_store::Snapshots as _;
use coalmine_store::dump::{Dump, read};
use sha2::{Digest as _, Sha256};

use super::clock::Mark;
use crate::chain::{Chain, Stamp, Stopped};
use crate::database::{Batch, Records, Sync};
use crate::tables::Table;

/// The mark of how far the log is applied.
const APPLIED: &[u8] = b"raft";

/// Why a machine has stopped, for whoever wants to know more than a text.
pub(super) type Reason = Arc<Mutex<Option<Stopped>>>;

/// Applies entries to the chain of a node.
#[derive(Debug)]
pub struct BlockMachine {
    chain: Chain,
    reason: Reason,
}

impl BlockMachine {
    /// Takes over the blocks of a node.
    #[must_use]
    pub fn new(chain: Chain) -> Self {
        Self { chain, reason: Reason::default() }
    }

    pub(super) fn reason(&self) -> Reason {
        Arc::clone(&self.reason)
    }

    fn commit(&mut self, proposal: Proposal, mark: Vec<u8>) -> Result<Outcome, Stopped> {
        let Proposal { height, time, envelopes } = proposal;
        let next = match self.chain.committed().height {
            Some(tip) => tip.checked_add(1).ok_or(Stopped::Heights)?,
            None => 1,
        };
        let height: Height = height.unwrap_or(next).max(next);
        let txs: Vec<(Hash, &[u8])> =
            envelopes.iter().map(|envelope| (Hash(Sha256::digest(envelope).into()), envelope.as_slice())).collect();
        let marks = vec![(APPLIED.into(), mark), (Mark::KEY.into(), Mark { time, height }.to_row())];
        // The log has it durably, and keeps it until this is durable too.
        self.chain.commit(height, &txs, &Stamp { time, marks }, Sync::Later)?;
        Ok(Outcome { height: Some(height), root: self.chain.committed().root.0 })
    }
}

impl Machine for BlockMachine {
    type Source = RecordsSource;

    fn mark(&self) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(self.chain.node().inner().database().get(Table::Meta, APPLIED)?)
    }

    fn block(&mut self, proposal: Proposal, mark: Vec<u8>) -> Result<Outcome, BoxError> {
        self.commit(proposal, mark).map_err(|stopped| {
            let text = stopped.to_string();
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(stopped);
            text.into()
        })
    }

    fn rest(&mut self, mark: Vec<u8>) -> Result<(), BoxError> {
        let mut batch = Batch::default();
        batch.put(Table::Meta, APPLIED, mark);
        Ok(self.chain.node().inner().database().write(batch, Sync::Later)?)
    }

    fn source(&self) -> RecordsSource {
        RecordsSource(self.chain.node().inner().reader())
    }

    fn install(&mut self, snapshot: &mut dyn Read, mark: Vec<u8>) -> Result<(), BoxError> {
        let restored = read(snapshot)?;
        let chain = self.chain.node().genesis().chain();
        if restored.header().chain != *chain {
            return Err(format!(
                "the snapshot is of chain {:?}, this node of {:?}",
                restored.header().chain.as_str(),
                chain.as_str()
            )
            .into());
        }
        let stamp = Stamp { time: 0, marks: vec![(APPLIED.into(), mark)] };
        Ok(self.chain.replace(restored, &stamp)?)
    }
}

/// The records of a node, of which dumps are made.
#[derive(Debug)]
pub struct RecordsSource(Records);

impl Source for RecordsSource {
    fn write(&self, held: &mut dyn FnMut(), out: &mut dyn Write) -> Result<(), BoxError> {
        let snapshot = self.0.snapshot();
        held();
        Ok(Dump::new(snapshot)?.write_to(out)?)
    }
}
