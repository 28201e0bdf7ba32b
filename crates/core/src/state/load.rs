//! Rebuilds the state from its records, and refuses records that contradict each other.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader};
use crate::fault::Fault;
use crate::feature::data::FeatureData;
use crate::feature::lifecycle::{count_below, steps_down};
use crate::feature::record::{
    Change, Feature, Metrics, MetricsRecord, Override, PREREQUISITE_DEPTH_MAX, PREREQUISITES_BELOW_MAX, Policy,
};
use crate::feed::record::{FeedItem, FeedTotals};
use crate::invariant::promised;
use crate::key::Key;
use crate::ledger::Global;
use crate::plugin::deployment::Deployment;
use crate::plugin::record::{Plugin, PluginChange, PluginVersion, Registry};
use crate::query::trust::sequence;
use crate::rounds::PoolEntry;
use crate::rules::RuleSet;
use crate::schedule::{SCHEDULED_MAX, Scheduled};
use crate::state::State;
use crate::state::features::Features;
use crate::state::feed::Feed;
use crate::state::plugins::{PluginLoader, Plugins};
use crate::state::trust::{Trust, TrustLoader};
use crate::tree::{Builder, Tree};
use crate::values::{Address, Height, Name, Role, Roles};

impl State {
    /// Rebuilds the state from all its records, given in any order and each key once.
    ///
    /// # Errors
    /// [`Fault::Corrupt`] names the record that does not decode or contradicts another one.
    pub fn load<K, V>(
        entries: impl IntoIterator<Item = Result<(K, V), Fault>>,
        tip: Option<Height>,
    ) -> Result<Self, Fault>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut loader = Loader::default();
        for entry in entries {
            let (key, value) = entry?;
            loader.add(key.as_ref(), value.as_ref())?;
        }
        loader.finish(tip)
    }
}

/// Collects decoded records until all are there and can be checked against each other.
#[derive(Default)]
struct Loader {
    tree: Builder,
    global: Option<Global>,
    roles: BTreeMap<Address, Roles>,
    features: BTreeMap<Name, Feature>,
    metrics: BTreeMap<Name, Metrics>,
    policies: BTreeMap<Name, Policy>,
    overrides: ByName<(Address, Override)>,
    /// A history entry of each feature that has any.
    changes: BTreeMap<Name, (Height, u32)>,
    /// The feature whose history entry came last.
    last_changed: Option<Name>,
    active: BTreeSet<Name>,
    steps: BTreeSet<(Height, Name)>,
    schedule: BTreeMap<(Height, u64), Scheduled>,
    plugins: PluginLoader,
    feed: Feed,
    trust: TrustLoader,
}

/// Collects what belongs to names. A scan brings all of one name at once, which then takes one lookup.
struct ByName<T> {
    open: Option<(Name, Vec<T>)>,
    closed: BTreeMap<Name, Vec<T>>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { open: None, closed: BTreeMap::new() }
    }
}

impl<T> ByName<T> {
    fn push(&mut self, name: Name, item: T) {
        match &mut self.open {
            Some((open, items)) if *open == name => items.push(item),
            Some(_) | None => {
                self.close();
                let mut items = self.closed.remove(&name).unwrap_or_default();
                items.push(item);
                self.open = Some((name, items));
            }
        }
    }

    fn close(&mut self) {
        self.closed.extend(self.open.take());
    }

    fn finish(mut self) -> BTreeMap<Name, Vec<T>> {
        self.close();
        self.closed
    }
}

impl Loader {
    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.decode(key, value).map_err(|cause| Fault::Corrupt { key: key.into(), cause })?;
        self.tree.push(key, value);
        Ok(())
    }

    fn decode(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        let mismatch = DecodeError::whole(DecodeErrorKind::Mismatch);
        match Key::from_bytes(key)? {
            Key::Feature(name) => {
                let feature = Feature::from_bytes(value)?;
                if feature.name != name || steps_down(&feature) {
                    return Err(mismatch);
                }
                self.features.insert(name, feature);
            }
            Key::Metrics(name) => {
                let record = MetricsRecord::from_bytes(value)?;
                if record.name != name {
                    return Err(mismatch);
                }
                self.metrics.insert(name, record.metrics);
            }
            Key::Change { name, height, seq } => {
                Change::from_bytes(value)?;
                // A scan brings the whole history of a feature at once.
                if self.last_changed.replace(name) != Some(name) {
                    self.changes.insert(name, (height, seq));
                }
            }
            Key::Override { name, user } => {
                self.overrides.push(name, (user, Override::from_bytes(value)?));
            }
            Key::Global => self.global = Some(Global::from_bytes(value)?),
            Key::Policy(name) => {
                let policy = Policy::from_bytes(value)?;
                if policy == Policy::default() {
                    return Err(DecodeError::whole(DecodeErrorKind::NotCanonical));
                }
                self.policies.insert(name, policy);
            }
            // What happens without a signer has no roles.
            Key::Roles(Address::ZERO) => return Err(mismatch),
            Key::Roles(address) => {
                self.roles.insert(address, Roles::from_bytes(value)?);
            }
            Key::Schedule { at, id } => {
                self.schedule.insert((at, id), Scheduled::from_bytes(value)?);
            }
            Key::Step { at, name } => {
                Reader::new(value).finish()?;
                self.steps.insert((at, name));
            }
            Key::Active(name) => {
                Reader::new(value).finish()?;
                self.active.insert(name);
            }
            Key::Registry => self.plugins.registry = Some(Registry::from_bytes(value)?),
            Key::Plugin(name) => {
                self.plugins.plugins.insert(name, Plugin::from_bytes(value)?);
            }
            Key::PluginVersion { plugin, version } => {
                let record = PluginVersion::from_bytes(value)?;
                if record.version.without_build() != version {
                    return Err(mismatch);
                }
                self.plugins.versions.entry(plugin).or_default().put(record);
            }
            Key::Deployment(name) => {
                self.plugins.deployments.insert(name, Deployment::from_bytes(value)?);
            }
            Key::PluginChange { plugin, height, seq } => {
                PluginChange::from_bytes(value)?;
                self.plugins.changes.insert(plugin, (height, seq));
            }
            Key::Dependent { dependency, dependent } => {
                Reader::new(value).finish()?;
                self.plugins.rows.insert((dependency, dependent));
            }
            Key::DeploymentDue { at, plugin } => {
                Reader::new(value).finish()?;
                self.plugins.checks.insert((at, plugin));
            }
            Key::LoadDue { at, plugin } => {
                Reader::new(value).finish()?;
                self.plugins.queue.insert((at, plugin));
            }
            Key::Round { at, pool } => {
                Reader::new(value).finish()?;
                self.trust.rounds.insert((at, pool));
            }
            Key::Deadline { at, plugin } => {
                Reader::new(value).finish()?;
                self.plugins.deadlines.insert((at, plugin));
            }
            Key::Sequence(address) => {
                self.trust.sequences.insert(address, sequence(value)?);
            }
            Key::PoolEntry { pool, reporter } => {
                let entry = PoolEntry::from_bytes(pool.kind(), value)?;
                self.trust.entries.entry(pool).or_default().insert(reporter, entry);
            }
            Key::Feed => self.feed.state = FeedTotals::from_bytes(value)?,
            Key::FeedItem(key) => {
                self.feed.items.insert(key, FeedItem::from_bytes(value)?);
            }
            Key::FeedIndex(key) => {
                Reader::new(value).finish()?;
                self.feed.index.insert(key);
            }
            Key::FeedListed(key) => {
                Reader::new(value).finish()?;
                self.feed.listed.insert(key);
            }
        }
        Ok(())
    }

    fn finish(mut self, tip: Option<Height>) -> Result<State, Fault> {
        let global = self.global.ok_or_else(|| mismatch(Key::Global))?;
        let admins = self.roles.values().filter(|roles| roles.contains(Role::Admin)).count();
        // No ledger starts with rules that are only for tests.
        let may_start = tip.is_some() || global.rules <= RuleSet::LATEST;
        let is_sound = may_start
            && admins != 0
            && usize::try_from(global.admins) == Ok(admins)
            && usize::try_from(global.scheduled) == Ok(self.schedule.len())
            && global.scheduled <= SCHEDULED_MAX
            && self.schedule.keys().all(|(_, id)| (1..global.next_schedule_id).contains(id));
        if !is_sound {
            return Err(mismatch(Key::Global));
        }
        let depths = self.depths()?;
        for (name, policy) in &self.policies {
            if count_below(policy, |name| self.policies.get(name)) > PREREQUISITES_BELOW_MAX {
                return Err(mismatch(Key::Policy(*name)));
            }
        }
        let mut state = State {
            tip,
            global,
            roles: self.roles,
            features: Features::with_capacity(self.features.len()),
            active: BTreeSet::new(),
            steps: BTreeSet::new(),
            schedule: self.schedule,
            plugins: Plugins::default(),
            feed: self.feed,
            trust: Trust::default(),
            tree: Tree::new(),
        };
        let mut overrides = self.overrides.finish();
        for (name, feature) in self.features {
            let metrics = self.metrics.remove(&name).ok_or_else(|| mismatch(Key::Metrics(name)))?;
            let policy = self.policies.remove(&name).unwrap_or_default();
            let depth = promised(depths.get(&name).copied(), "every feature has its depth by now");
            let data = FeatureData { feature, metrics, policy, depth };
            if data.feature.status.is_active() {
                state.active.insert(name);
            }
            if let Some(at) = data.automatic_step_due() {
                state.steps.insert((at, name));
            }
            state.features.add(&state.global.chain, data, overrides.remove(&name).into_iter().flatten().collect());
        }
        // Whatever is left belongs to no feature. The indexes must equal those that follow from the features.
        let orphan = [
            self.metrics.first_key_value().map(|(name, _)| Key::Metrics(*name)),
            self.policies.first_key_value().map(|(name, _)| Key::Policy(*name)),
            overrides.iter().find_map(|(name, users)| {
                users.iter().map(|(user, _)| *user).min().map(|user| Key::Override { name: *name, user })
            }),
            self.changes
                .iter()
                .find(|(name, _)| state.features.id(name).is_none())
                .map(|(name, (height, seq))| Key::Change { name: *name, height: *height, seq: *seq }),
            self.active.symmetric_difference(&state.active).next().map(|name| Key::Active(*name)),
            self.steps.symmetric_difference(&state.steps).next().map(|(at, name)| Key::Step { at: *at, name: *name }),
            state.feed.contradiction(),
        ];
        if let Some(key) = orphan.into_iter().flatten().next() {
            return Err(mismatch(key));
        }
        state.plugins = self.plugins.finish(&state.global.chain).map_err(|key| mismatch(*key))?;
        state.trust = self.trust.finish().map_err(|key| mismatch(*key))?;
        state.tree = self.tree.finish().map_err(|error| Fault::Store(alloc::boxed::Box::new(error)))?;
        Ok(state)
    }

    /// Computes the depth of every feature, each in the round in which the depths of all its prerequisites are known.
    /// Features left over after the last round are in a cycle, miss a prerequisite, or exceed the maximum depth.
    fn depths(&self) -> Result<BTreeMap<Name, u32>, Fault> {
        let mut depths = BTreeMap::new();
        for name in self.features.keys().filter(|name| !self.policies.contains_key(name)) {
            depths.insert(*name, 0);
        }
        let mut open: Vec<&Name> = self.policies.keys().filter(|name| self.features.contains_key(name)).collect();
        for _ in 0..=PREREQUISITE_DEPTH_MAX {
            open.retain(|name| {
                let prerequisites =
                    self.policies.get(name).map(|policy| policy.prerequisites.as_slice()).unwrap_or_default();
                let below: Option<Vec<u32>> = prerequisites.iter().map(|below| depths.get(below).copied()).collect();
                let depth = below.map(|below| below.into_iter().max().map_or(0, |depth: u32| depth.saturating_add(1)));
                match depth {
                    Some(depth) if depth <= PREREQUISITE_DEPTH_MAX => {
                        depths.insert(**name, depth);
                        false
                    }
                    Some(_) | None => true,
                }
            });
        }
        match open.first() {
            Some(name) => Err(mismatch(Key::Policy(**name))),
            None => Ok(depths),
        }
    }
}

fn mismatch(key: Key) -> Fault {
    Fault::Corrupt { key: key.to_bytes(), cause: DecodeError::whole(DecodeErrorKind::Mismatch) }
}
