//! Rejected transactions: who, what and why, in one sentence that is the same wherever it is told.

use std::fmt;

use coalmine_core::{
    Address, Block, BlockError, CommandKind, Event, Execution, Name, Note, Payload, Reader, Receipt, Reject, State,
    Transaction, TxCommand,
};

use crate::found::Found;
use crate::limits::has_name;
use crate::why::{feature_of, kind, plugin_of, why, why_found};

/// Of how many rejected transactions of a block it is looked up what decided; of more, the reject says enough.
const EXPLAINED_MAX: usize = 64;
/// How many transactions may be executed once more to find the state that a rejected one found, besides half of those that a
/// block has.
const WORK_MIN: usize = 100;

/// A rejected transaction. As text it is `tx 1 start_canary search_v3 by 0xdd…: unauthorized (holds guardian, needs
/// operator)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The number of the transaction in its block.
    pub tx: usize,
    /// The number of the command in it that is rejected.
    pub index: u8,
    /// The signer; `None` of bytes that are no transaction.
    pub signer: Option<Address>,
    /// What the command is, if the bytes are one.
    pub op: Option<CommandKind>,
    /// The feature or plugin that it is about.
    pub subject: Option<Name>,
    /// The reject.
    pub reject: Reject,
    /// What decided, with names and figures; else what the reject means.
    pub why: String,
}

impl Rejection {
    /// Describes a rejected transaction, given why it is.
    #[must_use]
    pub fn new(tx: usize, payload: &Payload, reject: Reject, index: u8, why: String) -> Self {
        let (mut signer, mut op, mut subject) = (None, None, None);
        if let Payload::Transaction(transaction) = payload {
            signer = Some(*transaction.signer());
            let command = transaction.commands().get(usize::from(index));
            op = command.map(kind);
            subject = command.and_then(subject_of);
        }
        Self { tx, index, signer, op, subject, reject, why }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tx, index: _, signer, op, subject, reject, why } = self;
        write!(f, "tx {tx}")?;
        if let Some(op) = op {
            write!(f, " {op}")?;
        }
        if let Some(subject) = subject {
            write!(f, " {subject}")?;
        }
        if let Some(signer) = signer {
            write!(f, " by {signer}")?;
        }
        write!(f, ": {reject} ({why})")
    }
}

fn subject_of(command: &TxCommand) -> Option<Name> {
    match command {
        TxCommand::Valid(command) => feature_of(command).or(plugin_of(command)).copied(),
        TxCommand::Invalid { kind, bytes, .. } => {
            let mut input = Reader::new(bytes.get(1..)?);
            has_name(*kind).then(|| input.name().ok())?
        }
    }
}

/// The rejected transactions of a block on the state before it, given its execution, each with what decided.
///
/// What a command found follows from the transactions before it, which are executed once more. Where a block has many
/// rejected ones that is not done for all of them, and the later ones say what their reject means.
///
/// # Errors
/// The block cannot be executed on the state.
pub fn rejections(state: &State, block: &Block, execution: &Execution) -> Result<Vec<Rejection>, BlockError> {
    let outcome = execution.outcome();
    let mut rejections: Vec<Rejection> = Vec::new();
    let mut work_left = outcome.receipts.len().div_euclid(2).saturating_add(WORK_MIN);
    let gives_roles = |event: &Event| matches!(event, Event::RoleGranted { .. } | Event::RoleRevoked { .. });
    let roles_stay = !outcome.events.iter().any(gives_roles);
    for (tx, (payload, receipt)) in block.payloads().zip(&outcome.receipts).enumerate() {
        let Receipt::Rejected { reject, index } = receipt else { continue };
        let work = tx.saturating_add(1);
        let why = if is_told_by_itself(&payload, *reject, *index) || (*reject == Reject::Unauthorized && roles_stay) {
            why(state, block.height(), &payload, *reject, *index)
        } else if rejections.len() < EXPLAINED_MAX && work <= work_left {
            work_left = work_left.saturating_sub(work);
            let before = state.execute(&before_command(block, tx, &payload, *index))?;
            why_found(&Found::after(state, &before), block.height(), &payload, *reject, *index)
        } else {
            reject.reason().into()
        };
        let at = execution.notes().iter().find_map(|(of, note)| match note {
            Note::Refused { plugin } if *of == tx => Some(plugin),
            Note::Refused { .. } | Note::Feed { .. } => None,
        });
        let why = match at {
            Some(plugin) => format!("at {plugin}: {why}"),
            None => why,
        };
        rejections.push(Rejection::new(tx, &payload, *reject, *index, why));
    }
    Ok(rejections)
}

/// Whether the bytes alone say why they are rejected.
fn is_told_by_itself(payload: &Payload, reject: Reject, index: u8) -> bool {
    let Payload::Transaction(tx) = payload else { return true };
    matches!(tx.commands().get(usize::from(index)), Some(TxCommand::Invalid { reject: broken, .. }) if *broken == reject)
}

/// The block up to a rejected command: the transactions before its own, and the commands before it.
fn before_command(block: &Block, tx: usize, payload: &Payload, index: u8) -> Block {
    let mut payloads: Vec<Payload> = block.payloads().take(tx).collect();
    if let Payload::Transaction(tx) = payload {
        let commands = tx.commands().iter().take(index.into()).filter_map(|command| match command {
            TxCommand::Valid(command) => Some(command.clone()),
            TxCommand::Invalid { .. } => None,
        });
        let before = Transaction::new(*tx.signer(), commands.collect());
        let before = before.map(|before| match tx.sequence() {
            Some(sequence) => before.with_sequence(*sequence),
            None => before,
        });
        payloads.extend(before.ok().map(Payload::Transaction));
    }
    Block::from_payloads(block.height(), payloads).unwrap_or_else(|_| Block::empty(block.height()))
}
