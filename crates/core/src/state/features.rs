//! The committed features, decoded.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;

use crate::bucket::BucketPrefix;
use crate::codec::Encode;
use crate::feature::decide::Facts;
use crate::feature::record::{Feature, Metrics, Override, Policy};
use crate::key::Key;
use crate::tree::Path;
use crate::values::{Address, ChainId};

/// Everything about a feature but its history.
#[derive(Debug, Clone)]
pub(crate) struct FeatureEntry {
    pub(crate) feature: Feature,
    pub(crate) metrics: Metrics,
    pub(crate) policy: Policy,
    pub(crate) overrides: BTreeMap<Address, Override>,
    /// Follows from the policy.
    pub(crate) bucket: BucketPrefix,
    /// The longest path of prerequisites below it, in edges.
    pub(crate) depth: u32,
    pub(crate) feature_path: Path,
    pub(crate) metrics_path: Path,
}

impl FeatureEntry {
    pub(crate) fn new(chain: &ChainId, feature: Feature, metrics: Metrics, policy: Policy, depth: u32) -> Self {
        let name = feature.name;
        let path = |key: Key| Path::of(&key.to_bytes());
        Self {
            bucket: BucketPrefix::of_feature(chain, &name, policy.salt),
            feature,
            metrics,
            policy,
            overrides: BTreeMap::new(),
            depth,
            feature_path: path(Key::Feature(name)),
            metrics_path: path(Key::Metrics(name)),
        }
    }

    pub(crate) fn facts(&self, user: &Address) -> Facts<'_> {
        Facts {
            status: self.feature.status,
            percent: self.feature.rollout_percent,
            policy: Cow::Borrowed(&self.policy),
            user: self.overrides.get(user).map(|record| record.enabled),
            prefix: Some(&self.bucket),
        }
    }
}
