//! The rule sets that this build knows.
//!
//! Whoever changes what any block does adds a rule set and keeps the old ones, so that old blocks give their old bytes
//! for ever. What differs is one `match` on the rule set, at the place where it differs.

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};

/// The number of blocks between the schedule of a change of rules and the block that makes it, at least.
pub const RULES_NOTICE: u32 = 600;

/// A set of rules by which blocks are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleSet {
    /// The first one.
    One,
}

impl RuleSet {
    /// Every rule set of this build, ascending.
    pub const ALL: &'static [Self] = &[Self::One];
    /// The rule set of a new ledger.
    pub const LATEST: Self = Self::One;

    /// The number that encodes it. Numbers are never reused.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::One => 1,
        }
    }

    /// Looks up a rule set by its number; `None` if this build does not know it.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|rules| rules.number() == number)
    }
}

impl Encode for RuleSet {
    fn encode(&self, out: &mut Writer) {
        out.u16(self.number());
    }
}

impl Decode for RuleSet {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = input.u16()?;
        Self::from_number(number).ok_or(input.error(DecodeErrorKind::UnknownTag))
    }
}
