//! The end of a block: encodes each changed record once, and derives the indexes from the records.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::block::{Outcome, Receipt};
use crate::codec::Encode;
use crate::delta::{Delta, Execution, TouchedFeature, TouchedPlugin};
use crate::execute::error::BlockError;
use crate::execute::executor::{Executor, Output};
use crate::feature::data::FeatureData;
use crate::feature::record::MetricsRecord;
use crate::index::{Presence, moved};
use crate::key::Key;
use crate::overlay::Overlay;
use crate::plugin::data::PluginData;
use crate::plugin::record::PluginVersion;
use crate::rounds::{OpenPool, Pool, PoolEntry};
use crate::state::State;
use crate::values::{Address, Hash, Height, Name};
use crate::writes::{WriteSet, stored, write_change, write_index, write_index_change};

impl Executor<'_> {
    pub(super) fn finish(self, receipts: Vec<Receipt>) -> Result<Execution, BlockError> {
        let Self { height, overlay, out, work_left: _, due_max: _ } = self;
        let Output { events, events_before, history, plugin_history, tx: _, notes, stopped } = out;
        if let Some(error) = stopped {
            return Err(error);
        }
        let Overlay { base, features, plugins, global, registry, feed, maps, .. } = overlay;
        // A feature is two records, or four if it starts or stops something; a plugin is the same.
        let touched = features.len_max().saturating_add(plugins.len_max());
        let single = history.len().saturating_add(plugin_history.len()).saturating_add(maps.overrides.len());
        let mut writes = WriteSet::with_capacity(touched.saturating_mul(2).saturating_add(single));
        let mut indexes = Indexes::default();
        let features = features.into_kept(|touched| indexes.add(base, touched, &mut writes));
        for entry in &history {
            let key = Key::Change { name: entry.name, height, seq: entry.seq };
            writes.put(&key, |out| entry.change.encode(out));
        }
        for ((name, user), change) in &maps.overrides {
            let key = Key::Override { name: *name, user: *user };
            write_change(&mut writes, &key, change.as_ref(), base.override_record(name, user));
        }
        for (address, change) in &maps.roles {
            write_change(&mut writes, &Key::Roles(*address), change.as_ref(), base.roles_record(address));
        }
        for ((at, id), change) in &maps.schedule {
            let key = Key::Schedule { at: *at, id: *id };
            write_change(&mut writes, &key, change.as_ref(), base.scheduled(*at, *id));
        }
        for (signer, sequence) in &maps.sequences {
            writes.put(&Key::Sequence(*signer), |out| out.u64(sequence.get()));
        }
        for (pool, change) in &maps.pools {
            write_pool(&mut writes, pool, change.as_ref(), base.trust().pools.get(pool));
        }
        let plugins = plugins.into_kept(|touched| write_plugin(base, touched, &mut writes));
        for entry in &plugin_history {
            let key = Key::PluginChange { plugin: entry.name, height, seq: entry.seq };
            writes.put(&key, |out| entry.change.encode(out));
        }
        for ((dependency, dependent), change) in &maps.rows {
            let key = Key::Dependent { dependency: *dependency, dependent: *dependent };
            write_index_change(&mut writes, &key, *change, base.plugin_states().has_row(&(*dependency, *dependent)));
        }
        for ((at, plugin), change) in &maps.queue {
            let key = Key::LoadDue { at: *at, plugin: *plugin };
            write_index_change(&mut writes, &key, *change, base.plugin_states().queue.contains(&(*at, *plugin)));
        }
        if registry != base.plugin_states().registry {
            write_change(&mut writes, &Key::Registry, stored(&registry), stored(&base.plugin_states().registry));
        }
        feed.write(&mut writes);
        if global != *base.global() {
            writes.put(&Key::Global, |out| global.encode(out));
        }
        let patch = base.tree().prepare(&writes.tree_changes())?;
        let root = Hash(patch.root());
        let Indexes { active, steps } = indexes;
        // The decoded state follows from the records.
        let delta = (!writes.is_empty()).then(|| {
            let feed = feed.into_delta();
            Box::new(Delta { features, maps, global, active, steps, plugins, registry, feed })
        });
        Ok(Execution {
            height,
            outcome: Outcome { receipts, events },
            events_before,
            root,
            writes,
            notes,
            delta,
            patch,
        })
    }
}

/// The changes of the indexes of features.
#[derive(Default)]
struct Indexes {
    active: Vec<(Name, Presence)>,
    steps: Vec<((Height, Name), Presence)>,
}

impl Indexes {
    /// Writes the changed records of a feature and its index entries. Returns whether anything has changed.
    fn add(&mut self, base: &State, touched: &TouchedFeature, writes: &mut WriteSet) -> bool {
        let entry = touched.id.and_then(|id| base.entry(id));
        let before = entry.map(|entry| &entry.data);
        let FeatureData { feature, metrics, policy, depth: _ } = &touched.data;
        let name = feature.name;
        let feature_changed = before.is_none_or(|before| before.feature != *feature);
        let metrics_changed = before.is_none_or(|before| before.metrics != *metrics);
        let policy_changed = before.is_none_or(|before| before.policy != *policy);
        if !feature_changed && !metrics_changed && !policy_changed {
            return false;
        }
        if feature_changed {
            writes.put_with_path(entry.map(|entry| entry.feature_path), &Key::Feature(name), |out| feature.encode(out));
        }
        if metrics_changed {
            writes.put_with_path(entry.map(|entry| entry.metrics_path), &Key::Metrics(name), |out| {
                MetricsRecord { name, metrics: *metrics }.encode(out)
            });
        }
        if policy_changed {
            write_change(writes, &Key::Policy(name), stored(policy), before.and_then(|before| stored(&before.policy)));
        }
        let was_active = before.is_some_and(|before| before.feature.status.is_active());
        if was_active != feature.status.is_active() {
            let presence = if was_active { Presence::Removed } else { Presence::Added };
            write_index(writes, &Key::Active(name), presence);
            self.active.push((name, presence));
        }
        let was_due = before.and_then(FeatureData::automatic_step_due);
        for (at, presence) in moved(was_due, touched.data.automatic_step_due()) {
            write_index(writes, &Key::Step { at, name }, presence);
            self.steps.push(((at, name), presence));
        }
        true
    }
}

/// Writes the entries of a pool that differ, and when it closes.
fn write_pool(writes: &mut WriteSet, pool: &Pool, now: Option<&OpenPool>, before: Option<&OpenPool>) {
    let due = |pool: Option<&OpenPool>| pool.map(|pool| pool.due);
    for (at, presence) in moved(due(before), due(now)) {
        write_index(writes, &Key::Round { at, pool: pool.clone() }, presence);
    }
    let entries = |pool: Option<&OpenPool>| -> BTreeMap<Address, PoolEntry> {
        pool.into_iter().flat_map(|pool| &pool.entries).copied().collect()
    };
    let (before, now) = (entries(before), entries(now));
    for reporter in before.keys().chain(now.keys().filter(|reporter| !before.contains_key(reporter))) {
        let key = Key::PoolEntry { pool: pool.clone(), reporter: *reporter };
        write_change(writes, &key, now.get(reporter), before.get(reporter));
    }
}

/// Writes the changed records of a plugin: itself, versions, deployment and the heights of its next check and its
/// deadline. Returns whether anything has changed.
fn write_plugin(base: &State, touched: &TouchedPlugin, writes: &mut WriteSet) -> bool {
    let data = &touched.data;
    let before = touched.id.and_then(|id| base.plugin_states().data(id));
    if before == Some(data) {
        return false;
    }
    let name = data.name;
    write_change(writes, &Key::Plugin(name), Some(&data.plugin), before.map(|before| &before.plugin));
    let key_of = |record: &PluginVersion| Key::PluginVersion { plugin: name, version: record.version.clone() };
    for record in data.versions.iter() {
        let before = before.and_then(|before| before.versions.get(&record.version));
        write_change(writes, &key_of(record), Some(record), before);
    }
    for record in before.into_iter().flat_map(|before| before.versions.iter()) {
        if data.versions.get(&record.version).is_none() {
            writes.delete(&key_of(record));
        }
    }
    let deployment_before = before.and_then(|before| before.deployment.as_ref());
    write_change(writes, &Key::Deployment(name), data.deployment.as_ref(), deployment_before);
    for (at, presence) in moved(before.and_then(PluginData::check_due), data.check_due()) {
        write_index(writes, &Key::DeploymentDue { at, plugin: name }, presence);
    }
    for (at, presence) in moved(before.and_then(PluginData::deadline_due), data.deadline_due()) {
        write_index(writes, &Key::Deadline { at, plugin: name }, presence);
    }
    true
}
