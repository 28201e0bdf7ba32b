//! The end of a block: each changed record is encoded once, and the indexes follow from the records.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::{Outcome, Receipt};
use crate::codec::Encode;
use crate::delta::{ChangedFeature, Delta, Execution};
use crate::execute::BlockError;
use crate::feature::lifecycle::automatic_step_due;
use crate::feature::record::Policy;
use crate::index::Presence;
use crate::key::Key;
use crate::overlay::Overlay;
use crate::overlay::copies::{PluginCopy, Working};
use crate::plugin::data::PluginData;
use crate::plugin::record::{PluginVersion, Registry};
use crate::state::State;
use crate::values::{Hash, Height, Name};
use crate::writes::{WriteSet, write_change, write_index, write_index_change};

impl Overlay<'_> {
    pub(super) fn finish(self, receipts: Vec<Receipt>) -> Result<Execution, BlockError> {
        let base = self.base;
        let height = self.height;
        let mut writes = WriteSet::default();
        let mut delta = DeltaBuilder::default();
        for working in self.features.touched() {
            delta.add(base, working, &mut writes);
        }
        for entry in &self.history {
            let key = Key::Change { name: entry.name, height, seq: entry.seq };
            writes.put(&key, |out| entry.change.encode(out));
        }
        for ((name, user), change) in self.override_changes() {
            let key = Key::Override { name: *name, user: *user };
            write_change(&mut writes, &key, change.as_ref(), base.override_record(name, user));
        }
        for (address, change) in self.role_changes() {
            write_change(&mut writes, &Key::Roles(*address), change.as_ref(), base.roles_record(address));
        }
        for ((at, id), change) in self.schedule_changes() {
            let key = Key::Schedule { at: *at, id: *id };
            write_change(&mut writes, &key, change.as_ref(), base.scheduled(*at, *id));
        }
        for copy in self.plugins.touched() {
            delta.add_plugin(base, copy, &mut writes);
        }
        for entry in &self.plugin_history {
            let key = Key::PluginChange { plugin: entry.name, height, seq: entry.seq };
            writes.put(&key, |out| entry.change.encode(out));
        }
        for ((dependency, dependent), change) in self.row_changes() {
            let key = Key::Dependent { dependency: *dependency, dependent: *dependent };
            write_index_change(&mut writes, &key, *change, base.plugin_states().has_row(&(*dependency, *dependent)));
        }
        for ((at, plugin), change) in self.queue_changes() {
            let key = Key::LoadDue { at: *at, plugin: *plugin };
            write_index_change(&mut writes, &key, *change, base.plugin_states().queue.contains(&(*at, *plugin)));
        }
        if self.registry != base.plugin_states().registry {
            let stored = |registry: &'_ Registry| (*registry != Registry::default()).then(|| registry.clone());
            let (now, before) = (stored(&self.registry), stored(&base.plugin_states().registry));
            write_change(&mut writes, &Key::Registry, now.as_ref(), before.as_ref());
        }
        self.feed.write(&mut writes);
        if self.global != *base.global() {
            writes.put(&Key::Global, |out| self.global.encode(out));
        }
        let patch = base.tree().prepare(&writes.tree_changes())?;
        let root = Hash(patch.root());
        let mut this = self;
        let events = core::mem::take(&mut this.events);
        let notes = core::mem::take(&mut this.notes);
        let DeltaBuilder { features, active, steps, plugins } = delta;
        let (maps, feed, global, registry) = this.into_changes();
        let delta = Delta { features, maps, global, active, steps, plugins, registry, feed };
        Ok(Execution { height, outcome: Outcome { receipts, events }, root, writes, notes, delta, patch })
    }
}

#[derive(Default)]
struct DeltaBuilder {
    features: Vec<ChangedFeature>,
    active: Vec<(Name, Presence)>,
    steps: Vec<((Height, Name), Presence)>,
    plugins: Vec<PluginData>,
}

impl DeltaBuilder {
    /// Writes what has changed of a feature: record, metrics, policy, and the indexes that follow from them.
    fn add(&mut self, base: &State, working: &Working<'_>, writes: &mut WriteSet) {
        let Working { id, feature, metrics, policy, depth, seq: _ } = working;
        let name = feature.name;
        let before = id.and_then(|id| base.entry(id));
        let feature_changed = before.is_none_or(|before| before.feature != *feature);
        let metrics_changed = before.is_none_or(|before| before.metrics != *metrics);
        let new_policy = match policy {
            Cow::Owned(policy) if before.is_none_or(|before| before.policy != *policy) => Some(policy),
            Cow::Owned(_) | Cow::Borrowed(_) => None,
        };
        if !feature_changed && !metrics_changed && new_policy.is_none() {
            return;
        }
        if feature_changed {
            writes.put_with_path(before.map(|before| before.feature_path), &Key::Feature(name), |out| {
                feature.encode(out)
            });
        }
        if metrics_changed {
            writes.put_with_path(before.map(|before| before.metrics_path), &Key::Metrics(name), |out| {
                metrics.encode(&name, out)
            });
        }
        if let Some(policy) = new_policy {
            let stored = |policy: &Policy| *policy != Policy::default();
            if stored(policy) {
                writes.put(&Key::Policy(name), |out| policy.encode(out));
            } else if before.is_some_and(|before| stored(&before.policy)) {
                writes.delete(&Key::Policy(name));
            }
        }
        let was_active = before.is_some_and(|before| before.feature.status.is_active());
        if was_active != feature.status.is_active() {
            let presence = if was_active { Presence::Removed } else { Presence::Added };
            write_index(writes, &Key::Active(name), presence);
            self.active.push((name, presence));
        }
        let was_due = before.and_then(|before| automatic_step_due(&before.feature, &before.policy));
        let due = automatic_step_due(feature, policy);
        if was_due != due {
            for (at, presence) in [(was_due, Presence::Removed), (due, Presence::Added)] {
                if let Some(at) = at {
                    write_index(writes, &Key::Step { at, name }, presence);
                    self.steps.push(((at, name), presence));
                }
            }
        }
        self.features.push(ChangedFeature {
            id: *id,
            feature: feature.clone(),
            metrics: *metrics,
            policy: new_policy.cloned(),
            depth: *depth,
        });
    }

    /// Writes what has changed of a plugin: record, versions, deployment, and when that is looked at.
    fn add_plugin(&mut self, base: &State, copy: &PluginCopy, writes: &mut WriteSet) {
        let PluginCopy { id, data, seq: _ } = copy;
        let before = id.and_then(|id| base.plugin_states().data(id));
        if before == Some(data) {
            return;
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
        let (was_due, due) = (before.and_then(PluginData::look_due), data.look_due());
        if was_due != due {
            for (at, presence) in [(was_due, Presence::Removed), (due, Presence::Added)] {
                if let Some(at) = at {
                    write_index(writes, &Key::DeploymentDue { at, plugin: name }, presence);
                }
            }
        }
        self.plugins.push(data.clone());
    }
}
