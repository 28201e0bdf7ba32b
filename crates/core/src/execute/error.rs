//! Why a block could not be executed.

use crate::tree::TreeError;
use crate::values::Height;

/// Why a block could not be executed. The state is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The block does not follow the tip.
    #[error("block {found} does not follow: the next height is {expected}")]
    Height {
        /// The height after the tip.
        expected: Height,
        /// The height of the block.
        found: Height,
    },
    /// There is no height after the tip, or the target is not above it.
    #[error("height {to} is not above the tip {tip}")]
    NotAbove {
        /// The tip.
        tip: Height,
        /// The height asked for.
        to: Height,
    },
    /// The tree is full or damaged. The node must stop.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A scheduled change of rules is due, and this build does not know the new ones. The store stays good for a build
    /// that does.
    #[error("block {height} changes to rule set {rules}, which this build does not know; go on with a newer build")]
    UnknownRules {
        /// The number of the rule set.
        rules: u16,
        /// The height of the block that would change to it.
        height: Height,
    },
    /// An invariant of the state does not hold, which only corrupt memory or a bug can cause. The node must stop.
    #[error("the state in memory is damaged: {0}; load it from the store again")]
    Broken(&'static str),
}
