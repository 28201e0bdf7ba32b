//! The decoded form of a feature: everything but its history and overrides.

use crate::feature::lifecycle::automatic_step_due;
use crate::feature::record::{Feature, Metrics, Policy};
use crate::values::Height;

/// A feature in the committed state, or as a block has left it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeatureData {
    pub(crate) feature: Feature,
    pub(crate) metrics: Metrics,
    pub(crate) policy: Policy,
    /// The longest path of prerequisites below it, in edges. Not stored: it follows from the policies.
    pub(crate) depth: u32,
}

impl FeatureData {
    /// The height from which a block makes the next step without a command; `None` if there is no such step.
    pub(crate) fn automatic_step_due(&self) -> Option<Height> {
        automatic_step_due(&self.feature, &self.policy)
    }
}
