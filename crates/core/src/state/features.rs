//! The committed features, decoded.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;

use crate::bucket::BucketPrefix;
use crate::codec::Encode;
use crate::feature::data::FeatureData;
use crate::feature::decide::Facts;
use crate::feature::record::Override;
use crate::key::Key;
use crate::tree::Path;
use crate::values::{Address, ChainId};

/// A feature with its overrides, and values derived from them.
#[derive(Debug, Clone)]
pub(crate) struct FeatureEntry {
    pub(crate) data: FeatureData,
    pub(crate) overrides: BTreeMap<Address, Override>,
    bucket: BucketPrefix,
    pub(crate) feature_path: Path,
    pub(crate) metrics_path: Path,
}

impl FeatureEntry {
    pub(crate) fn new(chain: &ChainId, data: FeatureData) -> Self {
        let name = data.feature.name;
        let path = |key: Key| Path::of(&key.to_bytes());
        Self {
            bucket: BucketPrefix::of_feature(chain, &name, data.policy.salt),
            data,
            overrides: BTreeMap::new(),
            feature_path: path(Key::Feature(name)),
            metrics_path: path(Key::Metrics(name)),
        }
    }

    /// Replaces the feature by the version that a block has left.
    pub(crate) fn set(&mut self, chain: &ChainId, data: FeatureData) {
        if data.policy.salt != self.data.policy.salt {
            self.bucket = BucketPrefix::of_feature(chain, &data.feature.name, data.policy.salt);
        }
        self.data = data;
    }

    pub(crate) fn facts(&self, user: &Address) -> Facts<'_> {
        Facts {
            status: self.data.feature.status,
            percent: self.data.feature.rollout_percent,
            policy: Cow::Borrowed(&self.data.policy),
            user: self.overrides.get(user).map(|record| record.enabled),
            prefix: Some(&self.bucket),
        }
    }
}
