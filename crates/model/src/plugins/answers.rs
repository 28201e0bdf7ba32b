//! Reads of plugins. None of them changes anything.

use std::collections::BTreeMap;

use coalmine_core::{Hold, LoadState, VersionStatus};
use semver::Version;

use crate::plugins::{Counts, Deployment, HEALTH, PluginChange};
use crate::root::sha256;
use crate::{Model, raw};

/// The summary of a plugin at the end of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of FORMAT.md")]
pub struct PluginAnswer {
    pub current: String,
    pub previous: Option<String>,
    pub status: &'static str,
    pub canary: Option<String>,
    pub paused: bool,
    pub waiting: bool,
    pub share_bps: u16,
    pub stage: usize,
    pub load_state: LoadState,
    pub versions: BTreeMap<String, VersionStatus>,
}

impl Model {
    /// The names of all plugins, ascending.
    pub fn plugin_names(&self) -> impl Iterator<Item = &[u8]> {
        self.plugins.keys().map(Vec::as_slice)
    }

    /// The summary of a plugin.
    #[must_use]
    pub fn plugin_answer(&self, name: &[u8]) -> Option<PluginAnswer> {
        let plugin = self.plugins.get(name)?;
        let told = |version: &Version| plugin.spelled(version).to_string();
        let deployment = plugin.deployment.as_ref();
        let has_hold = |holds: &[Hold]| deployment.is_some_and(|deployment| holds.contains(&deployment.hold));
        Some(PluginAnswer {
            current: told(&plugin.current),
            previous: plugin.previous.as_ref().map(told),
            status: match deployment {
                None => "none",
                Some(_) if has_hold(&[Hold::Completed]) => "promoting",
                Some(deployment) if deployment.stage().gate == HEALTH => "pending",
                Some(_) => "active",
            },
            canary: deployment.map(|deployment| told(&deployment.new)),
            paused: has_hold(&[Hold::Paused, Hold::PausedByRule, Hold::Dependents]),
            waiting: has_hold(&[Hold::ManualGate, Hold::Completed]),
            share_bps: deployment.map_or(0, |deployment| deployment.stage().share_bps),
            stage: deployment.map_or(0, |deployment| deployment.stage),
            load_state: plugin.load_state,
            versions: plugin.versions.iter().map(|(version, v)| (version.to_string(), v.status)).collect(),
        })
    }

    /// The version that serves a unit.
    #[must_use]
    pub fn route(&self, name: &[u8], unit: &[u8]) -> Option<String> {
        let plugin = self.plugins.get(name)?;
        let version = match &plugin.deployment {
            Some(deployment) if self.route_bucket(name, deployment, unit) < deployment.stage().share_bps.into() => {
                &deployment.new
            }
            Some(_) | None => &plugin.current,
        };
        Some(plugin.spelled(version).to_string())
    }

    fn route_bucket(&self, name: &[u8], deployment: &Deployment, unit: &[u8]) -> u128 {
        let mut input = b"coalmine/route/1".to_vec();
        raw::put_lp8(&mut input, &self.chain);
        raw::put_lp8(&mut input, name);
        input.extend((deployment.salt as u64).to_be_bytes());
        input.extend(unit);
        let hash = sha256(&[&input]);
        let first = hash[..8].iter().fold(0, |n, byte| n << 8 | u128::from(*byte));
        (first * 10_000) >> 64
    }

    /// The health score of a version in basis points.
    #[must_use]
    pub fn health_score(&self, name: &[u8], version: &[u8]) -> Option<u16> {
        let (plugin, version) = self.plugin_version(name, version).ok()?;
        let Counts { requests, errors, latency_sum: _ } = plugin.version(&version).counts;
        if requests == 0 {
            return Some(10_000);
        }
        let rate = (requests - errors) * 10_000 / requests;
        let is_above = |bps: u128| errors * 10_000 > bps * requests;
        let score = match (is_above(500), is_above(100)) {
            (true, _) => rate / 2,
            (false, true) => rate * 4 / 5,
            (false, false) => rate,
        };
        Some(score as u16)
    }

    /// All entries of the history of a plugin.
    #[must_use]
    pub fn plugin_history(&self, name: &[u8]) -> &[PluginChange] {
        self.plugins.get(name).map_or(&[], |plugin| &plugin.history)
    }
}
