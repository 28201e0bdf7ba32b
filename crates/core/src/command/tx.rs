//! A command as a transaction carries it.

use alloc::vec::Vec;

use crate::codec::{DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::command::wire::kind_field;
use crate::command::{COMMAND_SIZE_MAX, Command, CommandKind};
use crate::reject::Reject;
use crate::rules::RuleSet;

/// A command as a transaction carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxCommand {
    /// All values obey their rules.
    Valid(Command),
    /// The bytes decode but break a rule; a signer with the authority gets this reject.
    Invalid {
        /// The kind, which decides the authority needed.
        kind: CommandKind,
        /// The reject of the first broken rule.
        reject: Reject,
        /// The bytes as received.
        bytes: Vec<u8>,
    },
}

impl TxCommand {
    /// Decodes a command that takes up all of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that do not decode; the transaction is then malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::under(RuleSet::LATEST, bytes)
    }

    /// The same, under the rules of a block.
    pub(crate) fn under(rules: RuleSet, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::under(rules, bytes);
        if bytes.len() > COMMAND_SIZE_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let kind = kind_field(&mut input)?;
        let command = Command::decode(kind, &mut input)?;
        input.finish()?;
        Ok(match command {
            Ok(command) => Self::Valid(command),
            Err(reject) => Self::Invalid { kind, reject, bytes: bytes.into() },
        })
    }
}

impl Encode for TxCommand {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Valid(command) => command.encode(out),
            Self::Invalid { bytes, .. } => out.raw(bytes),
        }
    }
}

/// The reason that bytes are not a valid command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The bytes do not decode.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The bytes decode, but a value breaks its rule.
    #[error("a value of the command breaks its rule: {0}")]
    Invalid(Reject),
}

impl Command {
    /// Decodes a command that takes up all of `bytes`.
    ///
    /// # Errors
    /// [`CommandError`] for bytes that do not decode or that break a rule whoever the signer is.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CommandError> {
        match TxCommand::from_bytes(bytes)? {
            TxCommand::Valid(command) => Ok(command),
            TxCommand::Invalid { kind: _, reject, bytes: _ } => Err(CommandError::Invalid(reject)),
        }
    }
}
