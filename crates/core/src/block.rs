//! Blocks, transactions and receipts, with their canonical encoding.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::command::tx::TxCommand;
use crate::command::{COMMAND_SIZE_MAX, Command};
use crate::event::Event;
use crate::invariant::promised;
use crate::reject::Reject;
use crate::rules::RuleSet;
use crate::values::{Address, Height};

/// Maximum number of commands in a transaction; the minimum is 1.
pub const TX_COMMANDS_MAX: usize = 16;
/// Maximum number of transactions in a block.
pub const BLOCK_TXS_MAX: usize = 65_536;
/// Maximum size of an encoded block, in bytes.
pub const BLOCK_SIZE_MAX: usize = 16 * 1_024 * 1_024;
/// The same without the eight bytes of height and count.
const PAYLOADS_SIZE_MAX: usize = BLOCK_SIZE_MAX - 8;

/// Why a transaction or a block cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The transaction has no command, or too many.
    #[error("a transaction holds 1 to {TX_COMMANDS_MAX} commands, not {count}")]
    Commands {
        /// The number of commands given.
        count: usize,
    },
    /// A command that is too long.
    #[error("command {index} takes {size} bytes; a command takes at most {COMMAND_SIZE_MAX}")]
    CommandSize {
        /// Index of the command, from 0.
        index: usize,
        /// Its encoded size, in bytes.
        size: usize,
    },
    /// The block has too many transactions.
    #[error("a block holds at most {BLOCK_TXS_MAX} transactions; put the rest into the next one")]
    Transactions,
    /// The transactions exceed the size of a block together.
    #[error("a block takes at most {BLOCK_SIZE_MAX} bytes; put the rest into the next one")]
    BlockSize,
}

/// What keeps a transaction from being executed twice, or late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Above that of every earlier transaction of the signer. Gaps are fine.
    pub number: u64,
    /// The last height at which the transaction may be executed; `None`: there is no last one.
    pub valid_until: Option<NonZeroU32>,
}

/// Marks the count of commands of a transaction that has a sequence.
const SEQUENCED: u8 = 0x80;

/// The commands of one signer, which take effect all or not at all. The host has authenticated the signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    signer: Address,
    sequence: Option<Sequence>,
    commands: Vec<TxCommand>,
}

impl Transaction {
    /// Makes a transaction.
    ///
    /// # Errors
    /// [`LimitError`] for no or more than 16 commands, or one that takes more than 8 KiB.
    pub fn new(signer: Address, commands: Vec<Command>) -> Result<Self, LimitError> {
        if commands.is_empty() || commands.len() > TX_COMMANDS_MAX {
            return Err(LimitError::Commands { count: commands.len() });
        }
        for (index, command) in commands.iter().enumerate() {
            let size = command.to_bytes().len();
            if size > COMMAND_SIZE_MAX {
                return Err(LimitError::CommandSize { index, size });
            }
        }
        Ok(Self { signer, sequence: None, commands: commands.into_iter().map(TxCommand::Valid).collect() })
    }

    /// The same transaction with a sequence.
    #[must_use]
    pub fn with_sequence(self, sequence: Sequence) -> Self {
        Self { sequence: Some(sequence), ..self }
    }

    /// The sequence, if it has one.
    #[must_use]
    pub const fn sequence(&self) -> Option<&Sequence> {
        self.sequence.as_ref()
    }

    /// The signer, whose roles decide what the commands may do.
    #[must_use]
    pub const fn signer(&self) -> &Address {
        &self.signer
    }

    /// The commands, in order.
    #[must_use]
    pub fn commands(&self) -> &[TxCommand] {
        &self.commands
    }
}

impl Encode for Transaction {
    fn encode(&self, out: &mut Writer) {
        out.address(&self.signer);
        let count = u8::try_from(self.commands.len());
        let count = promised(count.ok(), "a transaction holds at most 16 commands");
        match &self.sequence {
            None => out.u8(count),
            Some(Sequence { number, valid_until }) => {
                out.u8(SEQUENCED | count);
                out.u64(*number);
                out.nonzero_u32(*valid_until);
            }
        }
        self.commands.iter().for_each(|command| out.lp16(&command.to_bytes()));
    }
}

impl Decode for Transaction {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let signer = input.address()?;
        let counted = input.u8()?;
        let count = input.count_within(counted & !SEQUENCED, 1..=TX_COMMANDS_MAX)?;
        let sequence = if counted & SEQUENCED == 0 {
            None
        } else {
            Some(Sequence { number: input.u64()?, valid_until: input.nonzero_u32()? })
        };
        let mut commands = Vec::with_capacity(count);
        for _ in 0..count {
            commands.push(TxCommand::under(input.rules(), input.lp16()?)?);
        }
        Ok(Self { signer, sequence, commands })
    }
}

/// One entry of a block: a transaction, or bytes that are not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Bytes that decode.
    Transaction(Transaction),
    /// Bytes that do not decode; their receipt is [`Reject::Malformed`].
    Malformed(Vec<u8>),
}

impl Payload {
    /// Decodes a transaction; keeps the bytes when they do not decode.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::under(RuleSet::LATEST, bytes)
    }

    fn under(rules: RuleSet, bytes: &[u8]) -> Self {
        let tx = Transaction::decode_whole(Reader::under(rules, bytes));
        tx.map_or_else(|_| Self::Malformed(bytes.into()), Self::Transaction)
    }
}

impl Encode for Payload {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Transaction(tx) => tx.encode(out),
            Self::Malformed(bytes) => out.raw(bytes),
        }
    }
}

/// The transactions of one height.
///
/// They stay encoded and are decoded one at a time: decoded, a block of many small commands would take many times
/// its size.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    height: Height,
    count: u32,
    /// Each payload after its length, as in the encoding.
    payloads: Vec<u8>,
}

impl Block {
    /// Makes a block of transactions.
    ///
    /// # Errors
    /// As for [`Block::from_encoded`].
    pub fn new(height: Height, txs: Vec<Transaction>) -> Result<Self, LimitError> {
        Self::from_encoded(height, txs.iter().map(Transaction::to_bytes))
    }

    /// Makes a block of payloads.
    ///
    /// # Errors
    /// As for [`Block::from_encoded`].
    pub fn from_payloads(height: Height, payloads: Vec<Payload>) -> Result<Self, LimitError> {
        Self::from_encoded(height, payloads.iter().map(Payload::to_bytes))
    }

    /// Makes a block of payloads that are already encoded.
    ///
    /// # Errors
    /// [`LimitError`] for more than 65 536 of them, or more than 16 MiB encoded.
    pub fn from_encoded<P: AsRef<[u8]>>(
        height: Height,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<Self, LimitError> {
        let mut out = Writer::default();
        let mut count: u32 = 0;
        for payload in payloads {
            out.lp32(payload.as_ref());
            count = count.saturating_add(1);
            if usize::try_from(count).unwrap_or(usize::MAX) > BLOCK_TXS_MAX {
                return Err(LimitError::Transactions);
            }
            if out.len() > PAYLOADS_SIZE_MAX {
                return Err(LimitError::BlockSize);
            }
        }
        Ok(Self { height, count, payloads: out.into_bytes() })
    }

    /// A block without transactions.
    #[must_use]
    pub const fn empty(height: Height) -> Self {
        Self { height, count: 0, payloads: Vec::new() }
    }

    /// The height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Whether there is no transaction.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Decodes the transactions lazily, in order.
    pub fn payloads(&self) -> impl Iterator<Item = Payload> {
        self.payloads_under(RuleSet::LATEST)
    }

    /// The same, under the rules of the block.
    pub(crate) fn payloads_under(&self, rules: RuleSet) -> impl Iterator<Item = Payload> {
        let mut input = Reader::new(&self.payloads);
        // The lengths were checked or written here, so reading stops at the end and nowhere else.
        core::iter::from_fn(move || input.lp32().ok().map(|bytes| Payload::under(rules, bytes)))
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payloads: Vec<Payload> = self.payloads().collect();
        f.debug_struct("Block").field("height", &self.height).field("payloads", &payloads).finish()
    }
}

impl Encode for Block {
    fn encode(&self, out: &mut Writer) {
        out.u32(self.height);
        out.u32(self.count);
        out.raw(&self.payloads);
    }
}

impl Decode for Block {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.remaining() > BLOCK_SIZE_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let (height, count) = (input.u32()?, input.u32()?);
        // Every transaction takes the four bytes of its length at least.
        let room = (input.remaining() / 4).min(BLOCK_TXS_MAX);
        if usize::try_from(count).unwrap_or(usize::MAX) > room {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let bytes = input.clone().rest();
        for _ in 0..count {
            input.lp32()?;
        }
        let len = bytes.len().saturating_sub(input.remaining());
        Ok(Self {
            height,
            count,
            payloads: promised(bytes.get(..len), "what was read is part of what there was").into(),
        })
    }
}

/// The result of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// All its commands took effect.
    Ok,
    /// One command was rejected, so none took effect.
    Rejected {
        /// The reason.
        reject: Reject,
        /// Index of the rejected command, from 0.
        index: u8,
    },
}

impl Receipt {
    /// 0 for success, or the code of the reject.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Ok => 0,
            Self::Rejected { reject, .. } => reject.code(),
        }
    }

    /// Index of the rejected command; 0 for success.
    #[must_use]
    pub const fn index(&self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Rejected { index, .. } => *index,
        }
    }

    /// `ok`, or the name of the reject.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected { reject, .. } => reject.name(),
        }
    }
}

impl Encode for Receipt {
    fn encode(&self, out: &mut Writer) {
        out.u16(self.code());
        out.u8(self.index());
    }
}

impl Decode for Receipt {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (code, index) = (input.u16()?, input.u8()?);
        match (code, index, Reject::from_code(code)) {
            (0, 0, _) => Ok(Self::Ok),
            (_, _, Some(reject)) => Ok(Self::Rejected { reject, index }),
            (_, _, None) => Err(input.error(DecodeErrorKind::UnknownTag)),
        }
    }
}

/// The receipts and events of a block: what it did, besides changing the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// One receipt per transaction, in order.
    pub receipts: Vec<Receipt>,
    /// The events, in the order in which they happened.
    pub events: Vec<Event>,
}

impl Encode for Outcome {
    fn encode(&self, out: &mut Writer) {
        out.count_u32(self.receipts.len());
        self.receipts.iter().for_each(|receipt| receipt.encode(out));
        out.count_u32(self.events.len());
        self.events.iter().for_each(|event| out.lp16(&event.to_bytes()));
    }
}
