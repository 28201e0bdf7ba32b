//! Other blocks made of those that there are: commands with other values, transactions left out or added.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::{Block, Command, Encode, Height, LimitError, Params, Payload, TxCommand, Writer};

/// Changes an encoded command; `None` leaves it as it is. It is asked about each command of a block, and about each
/// command inside of a schedule.
pub type Rewrite<'c> = dyn FnMut(&[u8]) -> Option<Vec<u8>> + 'c;

/// How a replay differs from what was.
#[derive(Default)]
pub struct Changes<'c> {
    /// Parameters of the genesis in place of its own.
    pub params: Option<Params>,
    /// Other values in commands.
    pub rewrite: Option<Box<Rewrite<'c>>>,
    /// Transactions that are added at the end of the block of a height, which comes to be if there is none.
    pub inserted: BTreeMap<Height, Vec<Payload>>,
    /// Transactions that are left out: the height, and the index in the block from 0.
    pub dropped: BTreeSet<(Height, usize)>,
}

impl std::fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { params, rewrite, inserted, dropped } = self;
        f.debug_struct("Changes")
            .field("params", params)
            .field("rewrite", &rewrite.is_some())
            .field("inserted", inserted)
            .field("dropped", dropped)
            .finish()
    }
}

/// A block with changes, and which transaction of the original each of its transactions was.
pub(crate) struct Changed {
    pub(crate) block: Block,
    /// `None` for one that was added.
    pub(crate) origins: Vec<Option<usize>>,
}

impl Changes<'_> {
    /// Whether a block stays as it is, for what can be said without its transactions.
    fn leaves(&self, height: Height) -> bool {
        let is_dropped = self.dropped.range((height, 0)..=(height, usize::MAX)).next().is_some();
        self.rewrite.is_none() && !is_dropped && !self.inserted.contains_key(&height)
    }
}

impl Changes<'_> {
    /// The block of a height with the changes; `None` without any that concern it.
    pub(crate) fn apply(&mut self, height: Height, block: Option<&Block>) -> Result<Option<Changed>, LimitError> {
        if self.leaves(height) {
            return Ok(None);
        }
        let inserted = self.inserted.remove(&height);
        let is_dropped = |tx: usize| self.dropped.contains(&(height, tx));
        let mut is_changed = inserted.is_some();
        let (mut payloads, mut origins) = (Vec::new(), Vec::new());
        for (tx, payload) in block.into_iter().flat_map(Block::payloads).enumerate() {
            if is_dropped(tx) {
                is_changed = true;
                continue;
            }
            let rewritten = self.rewrite.as_mut().and_then(|rewrite| rewritten(&payload, rewrite));
            is_changed = is_changed || rewritten.is_some();
            payloads.push(rewritten.unwrap_or_else(|| payload.to_bytes()));
            origins.push(Some(tx));
        }
        for payload in inserted.into_iter().flatten() {
            payloads.push(payload.to_bytes());
            origins.push(None);
        }
        if !is_changed {
            return Ok(None);
        }
        Ok(Some(Changed { block: Block::from_encoded(height, payloads)?, origins }))
    }
}

/// The bytes of a transaction with changed commands; `None` if none changes.
fn rewritten(payload: &Payload, rewrite: &mut Rewrite<'_>) -> Option<Vec<u8>> {
    let Payload::Transaction(tx) = payload else { return None };
    let commands: Vec<Vec<u8>> = tx.commands().iter().map(TxCommand::to_bytes).collect();
    let changed: Vec<Option<Vec<u8>>> = tx
        .commands()
        .iter()
        .zip(&commands)
        .map(|(command, bytes)| {
            let nested = if let TxCommand::Valid(Command::Schedule { commands, .. }) = command {
                let nested: Vec<Vec<u8>> = commands.iter().map(Command::to_bytes).collect();
                let changed: Vec<_> = nested.iter().map(|bytes| rewrite(bytes)).collect();
                with_commands(bytes, &nested, changed)
            } else {
                None
            };
            nested.or_else(|| rewrite(bytes))
        })
        .collect();
    with_commands(&payload.to_bytes(), &commands, changed)
}

/// Bytes that end with commands, each behind a u16 length, with others in their places; `None` if none changes.
fn with_commands(bytes: &[u8], commands: &[Vec<u8>], changed: Vec<Option<Vec<u8>>>) -> Option<Vec<u8>> {
    if changed.iter().all(Option::is_none) {
        return None;
    }
    let behind = |command: &Vec<u8>| command.len().saturating_add(2);
    let end: usize = commands.iter().map(behind).fold(0, usize::saturating_add);
    let mut out = Writer::default();
    out.raw(bytes.get(..bytes.len().checked_sub(end)?)?);
    for (command, changed) in commands.iter().zip(changed) {
        // What does not fit its length cannot be written; a command is far shorter.
        let changed = changed.filter(|changed| u16::try_from(changed.len()).is_ok());
        out.lp16(changed.as_ref().unwrap_or(command));
    }
    Some(out.into_bytes())
}
