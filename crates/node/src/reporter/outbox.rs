//! Signs reports, sends them, and finds out what became of them.

use coalmine_auth::{Envelope, SecretKey, Signer as _};
use coalmine_core::{Address, Command, Encode as _, Height, Sequence, Transaction};
use coalmine_store::StoreError;

use crate::mempool::Refusal;
use crate::node::{Node, SubmitError, Submitted, TxState};
use crate::reporter::book::{Book, Fate, Pending};

/// A report that has not been executed after so many heights never is, and is signed anew.
const VALID_FOR: Height = 100;

/// Sends the reports of one book.
pub(crate) struct Outbox {
    node: Node,
    key: SecretKey,
    name: String,
}

impl Outbox {
    pub(crate) const fn new(node: Node, key: SecretKey, name: String) -> Self {
        Self { node, key, name }
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.node
    }

    fn address(&self) -> Address {
        self.key.public_key().address()
    }

    /// What became of the report under way; nothing while it may still be executed.
    pub(crate) fn fate(&self, book: &Book) -> Result<Option<Fate>, StoreError> {
        let Some(pending) = book.pending() else { return Ok(None) };
        // The order matters: a report that a block has executed is in the database before the sequence is used up. So one
        // that is not there afterwards is not what has used it up.
        let tip = self.node.tip().height;
        let last = self.node.sequence(&self.address()).last;
        Ok(match self.node.transaction(&pending.id)? {
            TxState::Committed(record) => Some(Fate::Executed(record.receipt)),
            TxState::Pending => None,
            TxState::Unknown(_) if last < pending.sequence => (tip >= Some(pending.valid_until)).then_some(Fate::Never),
            TxState::Unknown(_) if self.node.oldest_outcome() > pending.made => {
                tracing::warn!(reporter = self.name, "what became of a report was pruned; it counts as executed");
                Some(Fate::Executed(coalmine_core::Receipt::Ok))
            }
            TxState::Unknown(_) => Some(Fate::Never),
        })
    }

    /// Strikes out the report under way, if it is known what became of it. Returns whether the book has changed.
    pub(crate) fn settle(&self, book: &mut Book) -> Result<bool, StoreError> {
        let Some(fate) = self.fate(book)? else { return Ok(false) };
        if let Some((subject, reject)) = book.settle(fate) {
            tracing::warn!(reporter = self.name, %subject, reject = reject.name(), "a report does not count");
        }
        Ok(true)
    }

    /// Signs the next report, if none is under way and there is something to say. It must be written down before it is sent.
    pub(crate) fn sign(&self, book: &mut Book) -> bool {
        if book.pending().is_some() {
            return false;
        }
        let parts = book.propose();
        let commands: Vec<Command> = parts.iter().filter_map(|part| part.command()).collect();
        if commands.is_empty() || commands.len() != parts.len() {
            return false;
        }
        let made = self.node.tip().height.unwrap_or_default();
        let valid_until = made.saturating_add(VALID_FOR);
        let number = self.node.sequence(&self.address()).next;
        let sequence = Sequence { number, valid_until: std::num::NonZeroU32::new(valid_until) };
        let signed = Transaction::new(self.address(), commands)
            .map(|tx| Envelope::sign(self.node.domain(), &tx.with_sequence(sequence), &self.key));
        // Neither fails for what is proposed and a key in memory.
        let Ok(Ok(envelope)) = signed else { return false };
        let (id, envelope) = (envelope.id(), envelope.to_bytes());
        book.sign(Pending { envelope, id, sequence: number, valid_until, made, parts });
        true
    }

    /// Sends the report under way, which may have been sent before. Returns why it is not taken now, if it is not.
    pub(crate) fn send(&self, book: &Book) -> Option<String> {
        let pending = book.pending()?;
        match self.node.submit(&pending.envelope) {
            Ok(Submitted::Pending(_) | Submitted::Committed(_)) => None,
            // Whether it was executed, or another one has its sequence, is found out with the next block.
            Err(SubmitError::Refused(
                Refusal::SequenceUsed { .. } | Refusal::SequencePending { .. } | Refusal::Expired { .. },
            )) => None,
            Err(error) => Some(error.to_string()),
        }
    }
}
