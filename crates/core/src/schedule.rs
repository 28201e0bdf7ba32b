//! Commands that wait for their height.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::command::tx::TxCommand;
use crate::command::{Command, SCHEDULE_COMMANDS_MAX};
use crate::rules::RuleSet;
use crate::valid::Valid;
use crate::values::{Address, Height};

/// The most entries that wait at the same time.
pub const SCHEDULED_MAX: u32 = 4_096;

/// How many of them only an admin may use.
pub const SCHEDULED_RESERVED: u32 = 64;

/// Commands that run at the start of a block: the value under a key `D7` of kind 0.
///
/// They stay encoded until they run: decoded, they would take many times their size for as long as they wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Who scheduled them. Authority is checked against this address's roles when they run, not when scheduled.
    pub actor: Address,
    /// A count, then each command behind a u16 length.
    commands: Arc<[u8]>,
}

impl Scheduled {
    pub(crate) fn new(actor: Address, commands: &Valid<Vec<Command>>) -> Self {
        let mut out = Writer::default();
        Command::encode_list(commands, &mut out);
        Self { actor, commands: out.into_bytes().into() }
    }

    /// The 1 to 16 commands, run as one atomic transaction.
    ///
    /// # Errors
    /// Any [`DecodeErrorKind`].
    pub fn commands(&self) -> Result<Valid<Vec<Command>>, DecodeError> {
        self.commands_under(RuleSet::LATEST)
    }

    /// The same, under the rules of a block, which may be others than those under which they were scheduled.
    pub(crate) fn commands_under(&self, rules: RuleSet) -> Result<Valid<Vec<Command>>, DecodeError> {
        let mut input = Reader::under(rules, &self.commands);
        let count = input.count_u8(1..=SCHEDULE_COMMANDS_MAX)?;
        let mut commands = Vec::with_capacity(count);
        for _ in 0..count {
            match TxCommand::under(rules, input.lp16()?)? {
                TxCommand::Valid(command) => commands.push(command),
                TxCommand::Invalid { .. } => return Err(input.error(DecodeErrorKind::OutOfRange)),
            }
        }
        input.finish()?;
        Valid::new(commands).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }
}

/// A change of the rules that is scheduled.
///
/// It takes effect if its scheduler is an admin then, and is undone with its entry otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledRules {
    /// The height of the block that makes the change; the block after it is the first under the new rules.
    pub at: Height,
    /// The id of the entry, by which it can be cancelled.
    pub id: u64,
    /// Who has scheduled it.
    pub actor: Address,
    /// The number of the rule set.
    pub number: u16,
    /// The rule set; `None` if this build does not know it, and so stops before the block.
    pub rules: Option<RuleSet>,
}

/// The changes of the rules in an entry of the schedule, under the rules in force.
pub(crate) fn changes_of_rules(rules: RuleSet, at: Height, id: u64, entry: &Scheduled) -> Vec<ScheduledRules> {
    // What does not decode is consumed when its turn comes, and changes nothing.
    let commands = entry.commands_under(rules).map(Valid::into_inner).unwrap_or_default();
    let numbers = commands.iter().filter_map(|command| {
        let Command::SetRules { rules } = command else { return None };
        Some(*rules)
    });
    let change = |number| ScheduledRules { at, id, actor: entry.actor, number, rules: RuleSet::from_number(number) };
    numbers.map(change).collect()
}

impl Encode for Scheduled {
    fn encode(&self, out: &mut Writer) {
        out.address(&self.actor);
        out.raw(&self.commands);
    }
}

impl Decode for Scheduled {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let scheduled = Self { actor: input.address()?, commands: input.rest().into() };
        // It was written under the current rules or earlier ones.
        if RuleSet::ALL.iter().any(|rules| scheduled.commands_under(*rules).is_ok()) {
            return Ok(scheduled);
        }
        scheduled.commands().map(|_| scheduled)
    }
}
