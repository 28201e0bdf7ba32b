//! The records of plugins: D9 to DD, and D7 of kinds 2, 3 and 5.

use std::collections::BTreeMap;

use coalmine_core::{Encode, Hold, LoadState, PluginAction, PluginReason, Shortfall, StrategyKind, VersionStatus};
use semver::Version;

use super::{position, put_u8, put_u32, put_u64};
use crate::Model;
use crate::plugins::{Counts, Deployment, Plugin, PluginChange, PluginVersion, Registry};
use crate::raw::{put_lp8, put_lp16, put_pairs, put_stages};

const LOAD_STATES: [LoadState; 6] = [
    LoadState::Unloaded,
    LoadState::Pending,
    LoadState::Loading,
    LoadState::Loaded,
    LoadState::Failed,
    LoadState::Unloading,
];
const STATUSES: [VersionStatus; 6] = [
    VersionStatus::Loading,
    VersionStatus::Active,
    VersionStatus::Canary,
    VersionStatus::Deprecated,
    VersionStatus::Failed,
    VersionStatus::Retired,
];
const STRATEGIES: [StrategyKind; 5] =
    [StrategyKind::Canary, StrategyKind::Rolling, StrategyKind::BlueGreen, StrategyKind::AbTest, StrategyKind::Custom];
const HOLDS: [Hold; 6] =
    [Hold::Running, Hold::Paused, Hold::PausedByRule, Hold::ManualGate, Hold::Completed, Hold::Dependents];
const ACTIONS: [PluginAction; 13] = [
    PluginAction::Registered,
    PluginAction::Deployed,
    PluginAction::Staged,
    PluginAction::Paused,
    PluginAction::Resumed,
    PluginAction::Promoted,
    PluginAction::RolledBack,
    PluginAction::Reverted,
    PluginAction::Concluded,
    PluginAction::Retired,
    PluginAction::Loaded,
    PluginAction::Unloaded,
    PluginAction::LoadFailed,
];
const REASONS: [PluginReason; 12] = [
    PluginReason::None,
    PluginReason::Manual,
    PluginReason::ErrorRate,
    PluginReason::Regression,
    PluginReason::Timeout,
    PluginReason::Unhealthy,
    PluginReason::CircuitBreaker,
    PluginReason::Dependents,
    PluginReason::Canary,
    PluginReason::Production,
    PluginReason::Inconclusive,
    PluginReason::LoadError,
];

fn put_u16(out: &mut Vec<u8>, n: u128) {
    out.extend(u16::try_from(n).unwrap().to_be_bytes());
}

fn put_version(out: &mut Vec<u8>, version: Option<&Version>) {
    put_lp8(out, version.map_or(String::new(), ToString::to_string).as_bytes());
}

/// A prefix, a name behind its length, and what follows it.
fn key(prefix: u8, name: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut key = vec![prefix];
    put_lp8(&mut key, name);
    key.extend(tail);
    key
}

fn due_key(kind: u8, due: u128, name: &[u8]) -> Vec<u8> {
    let mut key = vec![0xD7, kind];
    put_u32(&mut key, due);
    key.extend(name);
    key
}

pub(super) fn entries(model: &Model, entries: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    if model.registry != Registry::default() {
        entries.insert(vec![0xD9], registry(&model.registry));
    }
    for (name, p) in &model.plugins {
        entries.insert([&[0xD9], &name[..]].concat(), plugin(p, model.dependents_count(name)));
        for (without_build, v) in &p.versions {
            entries.insert(key(0xDA, name, without_build.to_string().as_bytes()), version(v));
        }
        if let Some(d) = &p.deployment {
            entries.insert([&[0xDB], &name[..]].concat(), deployment(p, d));
            if let Some(due) = d.due {
                entries.insert(due_key(2, due, name), Vec::new());
            }
            if let Some(due) = d.deadline_due() {
                entries.insert(due_key(5, due, name), Vec::new());
            }
        }
        for (index, change_of_plugin) in p.history.iter().enumerate() {
            let height = change_of_plugin.height;
            let seq = p.history[..index].iter().filter(|change| change.height == height).count();
            let tail = [height.to_be_bytes(), (seq as u32).to_be_bytes()].concat();
            entries.insert(key(0xDC, name, &tail), change(change_of_plugin));
        }
    }
    for (required, dependent) in model.dependent_rows() {
        entries.insert(key(0xDD, &required, &dependent), Vec::new());
    }
    for (due, name) in &model.load_queue {
        entries.insert(due_key(3, *due, name), Vec::new());
    }
}

fn registry(registry: &Registry) -> Vec<u8> {
    let mut out = Vec::new();
    put_version(&mut out, Some(&registry.host_version));
    put_u16(&mut out, registry.max_versions);
    out.push(u8::from(registry.auto_load));
    out
}

fn plugin(plugin: &Plugin, dependents: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_version(&mut out, Some(plugin.spelled(&plugin.current)));
    put_version(&mut out, plugin.previous.as_ref().map(|previous| plugin.spelled(previous)));
    put_lp8(&mut out, &plugin.rule);
    out.push(position(&LOAD_STATES, plugin.load_state));
    put_version(&mut out, plugin.loaded.as_ref().map(|loaded| plugin.spelled(loaded)));
    put_u16(&mut out, plugin.versions.len() as u128);
    put_u32(&mut out, plugin.deployments);
    put_u16(&mut out, dependents as u128);
    out
}

fn put_counts(out: &mut Vec<u8>, counts: &Counts) {
    put_u64(out, counts.requests);
    put_u64(out, counts.errors);
    put_u64(out, counts.latency_sum);
}

fn version(v: &PluginVersion) -> Vec<u8> {
    let mut out = Vec::new();
    put_version(&mut out, Some(&v.version));
    out.push(position(&STATUSES, v.status));
    out.extend(v.code_hash);
    put_u32(&mut out, v.registered);
    put_u32(&mut out, v.reported);
    put_counts(&mut out, &v.counts);
    put_lp8(&mut out, &v.host);
    put_pairs(&mut out, &v.requirements);
    put_lp16(&mut out, &v.config);
    put_pairs(&mut out, &v.metadata);
    out
}

fn deployment(plugin: &Plugin, d: &Deployment) -> Vec<u8> {
    let mut out = vec![position(&STRATEGIES, d.strategy)];
    put_version(&mut out, Some(plugin.spelled(&d.old)));
    put_version(&mut out, Some(plugin.spelled(&d.new)));
    out.push(position(&HOLDS, d.hold));
    out.push(u8::from(d.held.contains(&Shortfall::Requests)) + 2 * u8::from(d.held.contains(&Shortfall::SuccessRate)));
    out.push(u8::from(d.healthy));
    put_u8(&mut out, d.stage as u128);
    put_u32(&mut out, d.stage_height);
    put_u32(&mut out, d.start);
    put_u32(&mut out, d.due.unwrap_or(0));
    put_u64(&mut out, d.salt);
    put_stages(&mut out, &d.plan.stages);
    d.plan.terms.put(&mut out);
    out.push(u8::from(d.plan.concludes));
    put_counts(&mut out, &d.canary);
    put_counts(&mut out, &d.production);
    put_u64(&mut out, d.stage_requests);
    put_u64(&mut out, d.stage_errors);
    out
}

fn change(change: &PluginChange) -> Vec<u8> {
    let mut out = vec![position(&ACTIONS, change.action)];
    put_lp8(&mut out, change.version.as_bytes());
    out.push(u8::from(change.success));
    out.extend(change.share_bps.to_be_bytes());
    out.extend(change.duration.to_be_bytes());
    out.push(position(&REASONS, change.reason));
    out.extend(change.actor.0);
    out.extend(change.evidence.iter().flat_map(Encode::to_bytes));
    out
}
