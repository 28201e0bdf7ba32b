//! A command as a transaction carries it.

use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::command::{COMMAND_SIZE_MAX, Command, CommandKind};
use crate::reject::Reject;

/// A command as a transaction carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxCommand {
    /// Its values obey their rules.
    Valid(Command),
    /// It decodes, but breaks a rule; whoever has the authority to give it gets this reject.
    Invalid {
        /// The kind, which decides who has the authority.
        kind: CommandKind,
        /// The first rule it breaks.
        reject: Reject,
        /// The bytes as they came.
        bytes: Vec<u8>,
    },
}

impl TxCommand {
    /// Reads a command from the whole of `bytes`.
    ///
    /// # Errors
    /// Bytes that do not decode: the transaction is malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        if bytes.len() > COMMAND_SIZE_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let kind = CommandKind::decode(&mut input)?;
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

/// Why bytes are no command that could take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// They do not decode.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// They decode, but a value breaks its rule.
    #[error("a value of the command breaks its rule: {0}")]
    Invalid(Reject),
}

impl Command {
    /// Reads a command from the whole of `bytes`.
    ///
    /// # Errors
    /// [`CommandError`] for bytes that do not decode, and for a command that is refused whoever sends it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CommandError> {
        match TxCommand::from_bytes(bytes)? {
            TxCommand::Valid(command) => Ok(command),
            TxCommand::Invalid { kind: _, reject, bytes: _ } => Err(CommandError::Invalid(reject)),
        }
    }
}
