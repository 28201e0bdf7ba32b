//! The committed features, decoded.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::bucket::{BucketPrefix, ShortPrefix, bucket_sha256};
use crate::codec::Encode;
use crate::feature::data::FeatureData;
use crate::feature::decide::{Exposure, Facts};
use crate::feature::record::Override;
use crate::index::{FeatureId, set};
use crate::key::Key;
use crate::names::Names;
use crate::tree::Path;
use crate::values::{Address, Bps, ChainId, Name};

/// A feature with its overrides, and values derived from them.
#[derive(Debug, Clone)]
pub(crate) struct FeatureEntry {
    pub(crate) data: FeatureData,
    overrides: BTreeMap<Address, Override>,
    pub(crate) feature_path: Path,
    pub(crate) metrics_path: Path,
}

impl FeatureEntry {
    fn new(data: FeatureData, overrides: BTreeMap<Address, Override>) -> Self {
        let name = data.feature.name;
        let path = |key: Key| Path::of(&key.to_bytes());
        Self { data, overrides, feature_path: path(Key::Feature(name)), metrics_path: path(Key::Metrics(name)) }
    }

    pub(crate) fn override_of(&self, user: &Address) -> Option<&Override> {
        self.overrides.get(user)
    }

    pub(crate) fn facts(&self, user: &Address) -> Facts<'_> {
        Facts {
            exposure: Exposure::of(&self.data.feature, &self.data.policy),
            prerequisites: Cow::Borrowed(&self.data.policy.prerequisites),
            user: self.override_of(user).map(|record| record.enabled),
        }
    }
}

/// What decides most questions about a feature, derived from its entry: two lines of the cache, where an entry takes
/// eight.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Glance {
    pub(crate) exposure: Exposure,
    pub(crate) has_prerequisites: bool,
    pub(crate) has_overrides: bool,
    /// `None` where there is no room for it.
    prefix: Option<ShortPrefix>,
}

const _: () = assert!(size_of::<Glance>() == 128);

impl Glance {
    fn at(chain: &ChainId, entry: &FeatureEntry) -> Self {
        let FeatureData { feature, policy, .. } = &entry.data;
        Self {
            exposure: Exposure::of(feature, policy),
            has_prerequisites: !policy.prerequisites.is_empty(),
            has_overrides: !entry.overrides.is_empty(),
            prefix: ShortPrefix::of(&BucketPrefix::of_feature(chain, &feature.name, policy.salt)),
        }
    }

    /// The bucket of a user by SHA-256.
    pub(crate) fn bucket(&self, chain: &ChainId, name: &Name, user: &Address) -> Bps {
        let bucket = self.prefix.as_ref().and_then(|prefix| prefix.bucket(user));
        bucket.unwrap_or_else(|| bucket_sha256(chain, name, self.exposure.salt, user))
    }
}

/// All features. They are never removed, so a position stays that of its feature.
#[derive(Debug, Clone, Default)]
pub(crate) struct Features {
    names: Names<FeatureId>,
    entries: Vec<FeatureEntry>,
    /// One for each entry.
    glances: Vec<Glance>,
}

impl Features {
    /// None yet, with room for so many.
    pub(crate) fn with_capacity(features: usize) -> Self {
        Self { names: Names::default(), entries: Vec::with_capacity(features), glances: Vec::with_capacity(features) }
    }

    pub(crate) fn id(&self, name: &Name) -> Option<FeatureId> {
        self.names.get(name)
    }

    pub(crate) fn entry(&self, id: FeatureId) -> Option<&FeatureEntry> {
        self.entries.get(id.index()?)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&FeatureEntry> {
        self.entry(self.id(name)?)
    }

    pub(crate) fn glance(&self, id: FeatureId) -> Option<&Glance> {
        self.glances.get(id.index()?)
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// In name order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &FeatureEntry> {
        self.names.positions().filter_map(|id| self.entry(id))
    }

    /// Adds a feature that is not there.
    pub(crate) fn add(&mut self, chain: &ChainId, data: FeatureData, overrides: BTreeMap<Address, Override>) {
        let id = u32::try_from(self.entries.len());
        debug_assert!(id.is_ok(), "the tree is full long before the ids are: each feature has two keys at least");
        self.names.insert(&data.feature.name, FeatureId(id.unwrap_or(u32::MAX)));
        let entry = FeatureEntry::new(data, overrides);
        self.glances.push(Glance::at(chain, &entry));
        self.entries.push(entry);
    }

    /// Replaces a feature by the version that a block has left.
    pub(crate) fn replace(&mut self, chain: &ChainId, id: FeatureId, data: FeatureData) {
        if let Some((entry, glance)) = self.place(id) {
            let exposure = Exposure::of(&data.feature, &data.policy);
            let is_drawn_anew = exposure.salt != glance.exposure.salt;
            glance.exposure = exposure;
            entry.data = data;
            if is_drawn_anew {
                *glance = Glance::at(chain, entry);
            }
        }
    }

    /// Sets or clears an override.
    pub(crate) fn set_override(&mut self, name: &Name, user: Address, change: Option<Override>) {
        if let Some((entry, glance)) = self.id(name).and_then(|id| self.place(id)) {
            set(&mut entry.overrides, user, change);
            glance.has_overrides = !entry.overrides.is_empty();
        }
    }

    fn place(&mut self, id: FeatureId) -> Option<(&mut FeatureEntry, &mut Glance)> {
        let at = id.index()?;
        Some((self.entries.get_mut(at)?, self.glances.get_mut(at)?))
    }
}
