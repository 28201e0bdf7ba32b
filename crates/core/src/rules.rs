//! The rule sets that this build knows.
//!
//! Whoever changes what any block does adds a rule set and keeps the old ones, so that old blocks give their old bytes
//! for ever. What differs is one `match` on the rule set, at the place where it differs.

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

    /// Looks up a rule set by its number; `None` if this build does not know it.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|rules| rules.number() == number)
    }
}
