//! Everything about a feature but its history and its overrides, decoded.

use crate::feature::lifecycle::automatic_step_due;
use crate::feature::record::{Feature, Metrics, Policy};
use crate::values::Height;

/// A feature as the state has it, or as a block has left it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeatureData {
    pub(crate) feature: Feature,
    pub(crate) metrics: Metrics,
    pub(crate) policy: Policy,
    /// The longest path of prerequisites below it, in edges. Follows from the policies.
    pub(crate) depth: u32,
}

impl FeatureData {
    /// The height at which a block makes the next step without a command, if it ever does.
    pub(crate) fn automatic_step_due(&self) -> Option<Height> {
        automatic_step_due(&self.feature, &self.policy)
    }
}
