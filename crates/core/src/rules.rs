//! The rule sets that this build knows.
//!
//! Whoever changes what any block does adds a rule set and keeps the old ones, so that old blocks give their old bytes
//! for ever. What differs is one `match` on the rule set, at the place where it differs.

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feature::record::Feature;
use crate::values::Percent;

/// The number of blocks between the schedule of a change of rules and the block that makes it, at least.
pub const RULES_NOTICE: u32 = 600;

/// A set of rules by which blocks are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleSet {
    /// The first one.
    One,
    /// Only for tests of the way from one rule set to the next: it differs in a tag, a default and a field.
    #[cfg(feature = "test-rules")]
    Test,
}

impl RuleSet {
    /// Every rule set of this build, ascending.
    pub const ALL: &'static [Self] = &[
        Self::One,
        #[cfg(feature = "test-rules")]
        Self::Test,
    ];
    /// The rule set of a new ledger.
    pub const LATEST: Self = Self::One;

    /// The number that encodes it. Numbers are never reused.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::One => 1,
            #[cfg(feature = "test-rules")]
            Self::Test => u16::MAX,
        }
    }

    /// A second tag of disable, under the rules for tests.
    #[cfg(feature = "test-rules")]
    pub const TEST_TAG: u8 = 0x7F;

    /// How many percentage points a step of a new feature adds.
    pub(crate) const fn increment_percent(self) -> Percent {
        match self {
            Self::One => Feature::INCREMENT_PERCENT,
            #[cfg(feature = "test-rules")]
            Self::Test => Percent::FULL,
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
