//! Commands that wait for their height.

use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::command::tx::TxCommand;
use crate::command::{Command, SCHEDULE_COMMANDS_MAX};
use crate::valid::Valid;
use crate::values::Address;

/// Commands that run at the start of a block: the value under a key `D7` of kind 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Who scheduled them. Authority is checked against this address's roles when they run, not when scheduled.
    pub actor: Address,
    /// 1 to 16 commands, run as one atomic transaction.
    pub commands: Valid<Vec<Command>>,
}

impl Encode for Scheduled {
    fn encode(&self, out: &mut Writer) {
        out.address(&self.actor);
        Command::encode_list(&self.commands, out);
    }
}

impl Decode for Scheduled {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let actor = input.address()?;
        let count = input.count_u8(1..=SCHEDULE_COMMANDS_MAX)?;
        let mut commands = Vec::with_capacity(count);
        for _ in 0..count {
            match TxCommand::from_bytes(input.lp16()?)? {
                TxCommand::Valid(command) => commands.push(command),
                TxCommand::Invalid { .. } => return Err(input.error(DecodeErrorKind::OutOfRange)),
            }
        }
        let commands = Valid::new(commands).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?;
        Ok(Self { actor, commands })
    }
}
