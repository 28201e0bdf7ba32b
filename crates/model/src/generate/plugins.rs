//! The part of the worlds that is about plugins.

use coalmine_core::{Hold, LoadState, VersionStatus};
use semver::Version;

use super::{Choices, Generator, NAMES};
use crate::ADMIN;
use crate::plugins::deployment::plan;
use crate::plugins::{Deployment, HEALTH, Plugin};
use crate::raw::{self, Command, Guardrails, PluginCommand, Stage, Strategy};

/// The valid names of the plugins that most worlds use: one is a prefix of another, one is as long as a name can be.
pub const PLUGINS: [&str; 6] = ["p", "p.x", "lib", "web", "Z", NAMES[3]];
/// The versions that worlds use; two pairs are one version each.
pub const VERSIONS: [&str; 8] =
    ["1.0.0", "1.0.0+linux.1", "1.1.0", "1.10.0", "2.0.0-rc.1", "2.0.0-rc.1+x", "2.0.0", "0.9.0"];
/// Plugins of a world in which each requires the one before it: more edges than a load may follow.
const CHAIN: usize = 19;
/// Plugins below one in a world with more of them than a load may plan: as many as it may require, and one each below.
const FAN: usize = raw::REQUIREMENTS_MAX;

const CONSTRAINTS: [&str; 8] = ["*", "*", "^1", "^1", ">=1.0.0, <3.0.0", "~1.1", ">=2.0.0-rc.1", "=1.0.0"];

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn chained(index: usize) -> Vec<u8> {
    format!("chain{index:02}").into_bytes()
}

fn fanned(kind: char, index: usize) -> Vec<u8> {
    format!("{kind}{index:02}").into_bytes()
}

/// A version of code 1 without anything else.
fn registration(plugin: &[u8], version: &str, requirements: Pairs) -> PluginCommand {
    PluginCommand::RegisterVersion {
        plugin: plugin.to_vec(),
        version: version.into(),
        code_hash: [1; 32],
        host: Vec::new(),
        requirements,
        config: Vec::new(),
        metadata: Vec::new(),
    }
}

impl Generator<'_> {
    /// A world with plugins starts with some versions, at times with more plugins than one load may plan.
    pub(super) fn first_plugins(&mut self) -> Vec<Vec<u8>> {
        let signer = self.signer(ADMIN);
        let mut commands = Vec::new();
        if self.choices.percent(60) {
            let max_versions = self.choices.maybe(60, &[3, 3, 4, 64], &[2]);
            let auto_load = self.choices.maybe(60, &[true, true, false], &[false]);
            commands.push(PluginCommand::SetRegistryParams { max_versions, auto_load });
        }
        if self.choices.percent(60) {
            commands.push(PluginCommand::SetHostVersion { version: b"1.0.0".to_vec() });
        }
        let any = |plugin: Vec<u8>| (plugin, b"*".to_vec());
        match self.choices.below(40) {
            0..3 => {
                for index in 0..CHAIN {
                    let below = index.checked_sub(1).map(|below| any(chained(below))).into_iter().collect();
                    commands.push(registration(&chained(index), "1.0.0", below));
                }
            }
            3 => {
                for index in 0..FAN {
                    commands.push(registration(&fanned('f', index), "1.0.0", vec![any(fanned('g', index))]));
                    commands.push(registration(&fanned('g', index), "1.0.0", Vec::new()));
                }
                let all = (0..FAN).map(|index| any(fanned('f', index))).collect();
                commands.push(registration(b"fan", "1.0.0", all));
            }
            _ => {
                let count = 2 + self.choices.below(4);
                for plugin in PLUGINS.iter().take(count) {
                    for version in VERSIONS.iter().step_by(2).take(1 + self.choices.below(3)) {
                        let requirements = self.requirements(plugin.as_bytes(), &PLUGINS[..count]);
                        commands.push(registration(plugin.as_bytes(), version, requirements));
                    }
                }
            }
        }
        commands.into_iter().map(|command| self.sealed(signer, vec![Command::Plugin(command)])).collect()
    }

    /// Heights at which something is due for a plugin.
    pub(super) fn plugin_heights(&self) -> Vec<u128> {
        let deployments = self.model.plugins.values().filter_map(|plugin| plugin.deployment.as_ref());
        let of_deployments = |d: &Deployment| [d.due, d.deadline_due()];
        deployments
            .flat_map(of_deployments)
            .flatten()
            .chain(self.model.load_queue.iter().map(|(due, _)| *due))
            .collect()
    }

    /// A command on plugins: mostly one that some plugin is ready for.
    pub(super) fn plugin_command(&mut self) -> PluginCommand {
        let mut kind = 40;
        for _ in 0..3 {
            kind = self.choices.pick(&[
                40, 40, 40, 41, 41, 41, 41, 41, 42, 43, 43, 43, 44, 44, 45, 46, 46, 47, 48, 49, 50, 51, 51, 51, 51, 51,
                52, 52, 52, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53, 53,
                53, 54, 54, 54, 54, 54, 54, 54, 55, 55, 55, 55, 55, 55, 55, 56, 56, 56,
            ]);
            if self.model.plugins.values().any(|plugin| suits(kind, plugin)) {
                break;
            }
        }
        self.plugin_command_of(kind)
    }

    /// A command inside a schedule: mostly one that may be scheduled.
    pub(super) fn nested_plugin_command(&mut self) -> PluginCommand {
        let kind =
            self.choices.pick_or(&[40, 41, 41, 42, 43, 43, 44, 45, 46, 47, 48, 49, 50, 51, 51, 52], &[53, 54, 55, 56]);
        self.plugin_command_of(kind)
    }

    /// Deployments that wait at a gate and have the same deadline, of all plugins that can be deployed.
    pub(super) fn deployments_at_once(&mut self) -> Vec<Command> {
        let ready: Vec<Vec<u8>> =
            self.model.plugins.keys().filter(|name| suits(41, &self.model.plugins[*name])).cloned().collect();
        let gate = self.choices.pick(&[0, 1, 1, 2]);
        let stages = vec![Stage { share_bps: 5_000, blocks: 2, min_requests: 0, gate }];
        let strategy = Strategy::Custom { on_complete: self.choices.pick(&[0, 0, 1]), stages };
        let (_, terms) = self.strategy();
        let terms = Guardrails { max_blocks: self.choices.pick(&[3, 3, 4, 6]), ..terms };
        let deploy = |plugin: &Vec<u8>| {
            let may_deploy = [VersionStatus::Loading, VersionStatus::Deprecated];
            let version = self.versions_in(plugin, &may_deploy).remove(0);
            let (plugin, strategy) = (plugin.clone(), strategy.clone());
            Command::Plugin(PluginCommand::Deploy { plugin, version, strategy, terms })
        };
        ready.iter().take(16).map(deploy).collect()
    }

    /// The plugin whose deployment has the earliest deadline.
    fn first_to_end(&self) -> Option<Vec<u8>> {
        let deadline = |plugin: &Plugin| plugin.deployment.as_ref().and_then(Deployment::deadline_due);
        let deadlines = self.model.plugins.iter().filter_map(|(name, plugin)| Some((deadline(plugin)?, name)));
        deadlines.min().map(|(_, name)| name.clone())
    }

    fn plugin_command_of(&mut self, kind: u8) -> PluginCommand {
        let mut plugin = self.plugin_for(kind);
        if (kind == 43 || kind == 44)
            && let Some(first) = self.first_to_end()
            && self.choices.percent(30)
        {
            plugin = first;
        }
        let known = self.model.plugins.get(&plugin);
        let spelled = |version: &Version| version.to_string().into_bytes();
        match kind {
            40 => self.register(plugin),
            41 => {
                let usual = self.versions_in(&plugin, &[VersionStatus::Loading, VersionStatus::Deprecated]);
                let version = self.version_of(&plugin, &usual);
                let (strategy, terms) = self.strategy();
                PluginCommand::Deploy { plugin, version, strategy, terms }
            }
            42 => PluginCommand::Pause { plugin },
            43 => PluginCommand::Resume { plugin },
            44 => PluginCommand::Promote { plugin },
            45 => PluginCommand::RollbackDeployment { plugin },
            46 => PluginCommand::Revert { plugin },
            47 => {
                let past = [VersionStatus::Loading, VersionStatus::Deprecated, VersionStatus::Failed];
                let usual = self.versions_in(&plugin, &past);
                PluginCommand::RetireVersion { version: self.version_of(&plugin, &usual), plugin }
            }
            48 => PluginCommand::SetRule {
                plugin,
                constraint: self.choices.pick_or(&["", "", "*", "^1", ">=1.1.0", "<2.0.0"], &["||"]).into(),
            },
            49 => PluginCommand::SetHostVersion {
                version: self.choices.pick_or(&["0.0.0", "1.0.0", "1.5.0", "2.0.0-rc.1", "2.0.0+b"], &["", "2"]).into(),
            },
            50 => PluginCommand::SetRegistryParams {
                max_versions: self.choices.maybe(60, &[3, 3, 4, 5, 64], &[2, 65]),
                auto_load: self.choices.maybe(50, &[true, true, false], &[false]),
            },
            51 => PluginCommand::Load { plugin },
            52 => PluginCommand::Unload { plugin, force: self.choices.percent(60) },
            53 => self.version_report(plugin),
            54 => {
                let deployment = known.and_then(|plugin| plugin.deployment.as_ref());
                let usual: Vec<Vec<u8>> = deployment.map(|d| spelled(&d.new)).into_iter().collect();
                let version = self.version_of(&plugin, &usual);
                PluginCommand::AttestHealth { plugin, version, healthy: self.choices.percent(80) }
            }
            _ => {
                let loaded = known.and_then(|plugin| plugin.loaded.as_ref());
                let usual: Vec<Vec<u8>> = loaded.map(spelled).into_iter().collect();
                let (version, ok) = (self.version_of(&plugin, &usual), self.choices.percent(80));
                if kind == 55 {
                    PluginCommand::ReportLoad { plugin, version, ok }
                } else {
                    PluginCommand::ReportUnload { plugin, version, ok }
                }
            }
        }
    }

    /// Mostly a plugin that a command may succeed on, if there is one.
    fn plugin_for(&mut self, kind: u8) -> Vec<u8> {
        if kind == 40 && self.choices.percent(30) {
            return self.choices.pick(&PLUGINS).into();
        }
        let all: Vec<Vec<u8>> = self.model.plugins.keys().cloned().collect();
        let suited: Vec<Vec<u8>> = all.iter().filter(|name| suits(kind, &self.model.plugins[*name])).cloned().collect();
        match self.choices.below(100) {
            0 => self.choices.pick(&[&b""[..], b"-a", b"a b", &[b'z'; 65]]).into(),
            1..4 => self.choices.pick(&PLUGINS).into(),
            4..90 if !suited.is_empty() => self.choices.pick(&suited),
            _ if all.is_empty() => PLUGINS[0].into(),
            _ => self.choices.pick(&all),
        }
    }

    fn versions_in(&self, plugin: &[u8], statuses: &[VersionStatus]) -> Vec<Vec<u8>> {
        let Some(plugin) = self.model.plugins.get(plugin) else { return Vec::new() };
        let versions = plugin.versions.iter().filter(|(_, v)| statuses.contains(&v.status));
        versions.map(|(version, _)| version.to_string().into_bytes()).collect()
    }

    /// Mostly one of these versions, at times in another spelling, rarely anything else.
    fn version_of(&mut self, plugin: &[u8], usual: &[Vec<u8>]) -> Vec<u8> {
        let all = self.versions_in(plugin, VersionStatus::ALL);
        let mut version = match self.choices.below(100) {
            0 => {
                return self.choices.pick(&[&b""[..], b"1.0", b"v1.0.0", b"01.0.0", b"1.0.0-\xff", &[b'1'; 65]]).into();
            }
            1..5 => self.choices.pick(&VERSIONS).into(),
            5..93 if !usual.is_empty() => self.choices.pick(usual),
            _ if all.is_empty() => VERSIONS[0].into(),
            _ => self.choices.pick(&all),
        };
        if self.choices.percent(8) && !version.contains(&b'+') {
            version.extend(b"+other");
        }
        version
    }

    fn register(&mut self, plugin: Vec<u8>) -> PluginCommand {
        let failed = self.versions_in(&plugin, &[VersionStatus::Failed]);
        let known = self.versions_in(&plugin, VersionStatus::ALL);
        let mut fresh: Vec<Vec<u8>> = VERSIONS.iter().map(|version| version.as_bytes().to_vec()).collect();
        fresh.retain(|version| !known.contains(version));
        let usual = if self.choices.percent(35) && !failed.is_empty() { failed } else { fresh };
        let version = self.version_of(&plugin, &usual);
        let existing: Vec<Vec<u8>> = self.model.plugins.keys().cloned().collect();
        let mut names: Vec<&str> = PLUGINS[..5].to_vec();
        names.extend(existing.iter().take(8).map(|name| std::str::from_utf8(name).unwrap()));
        let requirements = self.requirements(&plugin, &names);
        let choices = &mut self.choices;
        let mut metadata: Pairs = vec![(b"author".to_vec(), b"somebody".to_vec()), (b"licence".to_vec(), vec![])];
        metadata.truncate(choices.pick(&[0, 0, 0, 1, 2]));
        if choices.percent(2) {
            metadata = choices.pick(&[
                vec![(b"b".to_vec(), vec![]), (b"a".to_vec(), vec![])],
                vec![(b"".to_vec(), vec![])],
                vec![(b"a".to_vec(), vec![0xff])],
                (0..=raw::METADATA_MAX as u8).map(|n| (vec![b'a' + n], vec![])).collect(),
            ]);
        }
        PluginCommand::RegisterVersion {
            plugin,
            version,
            code_hash: choices.pick(&[[1; 32], [1; 32], [1; 32], [1; 32], [2; 32]]),
            host: choices.pick_or(&["", "", "", "^1", ">=1.0.0", "*", "<2.0.0"], &["||", " "]).into(),
            requirements,
            config: vec![7; choices.pick_or(&[0, 0, 3, 4_096], &[4_097])],
            metadata,
        }
    }

    /// Mostly nothing or plugins earlier in the list, at times later ones, the plugin itself or unknown ones.
    fn requirements(&mut self, own: &[u8], names: &[&str]) -> Pairs {
        let choices = &mut self.choices;
        let position = names.iter().position(|name| name.as_bytes() == own).unwrap_or(names.len());
        let mut requirements: Pairs = (0..choices.pick(&[0, 0, 0, 1, 1, 2, 3]))
            .map(|_| {
                let earlier = &names[..position];
                let name = match choices.below(100) {
                    0 => "",
                    1..4 => "unknown",
                    4..92 if !earlier.is_empty() => choices.pick(earlier),
                    _ => choices.pick(names),
                };
                (name.into(), choices.pick_or(&CONSTRAINTS, &["", "||", "1.0.0 - 2.0.0"]).into())
            })
            .collect();
        requirements.sort();
        if choices.percent(99) {
            requirements.dedup_by(|one, other| one.0 == other.0);
        }
        if choices.percent(1) {
            let many = raw::REQUIREMENTS_MAX + choices.below(2);
            requirements = (0..many).map(|index| (fanned('f', index), b"*".to_vec())).collect();
        }
        requirements
    }

    fn strategy(&mut self) -> (Strategy, Guardrails) {
        let choices = &mut self.choices;
        let blocks = |choices: &mut Choices<'_>| choices.pick_or(&[1, 1, 2, 2, 3, 4, 6], &[0, u32::MAX]);
        let strategy = match choices.below(8) {
            0 => Strategy::Canary {
                initial_bps: choices.pick_or(&[1, 500, 2_500, 5_000], &[0, 10_001]),
                increment_bps: choices.pick_or(&[2_500, 5_000, 10_000, 65_535], &[0, 1, 150]),
                increment_blocks: blocks(choices),
                max_bps: choices.pick_or(&[5_000, 5_000, 7_500, 10_000], &[0, 10_001]),
                observation_blocks: choices.pick(&[0, 1, 3, 6]),
            },
            1 => Strategy::Rolling {
                initial_bps: choices.pick_or(&[1, 1_000, 5_000, 10_000], &[0, 10_001]),
                increment_bps: choices.pick_or(&[2_500, 5_000, 10_000], &[0, 300]),
                increment_blocks: blocks(choices),
            },
            2 | 3 => Strategy::BlueGreen { health_blocks: blocks(choices), bake_blocks: blocks(choices) },
            4 | 5 => Strategy::AbTest {
                share_bps: choices.pick_or(&[1, 5_000, 10_000], &[0, 10_001]),
                duration_blocks: blocks(choices),
            },
            _ => {
                let count = choices.pick_or(&[1, 1, 2, 2, 3, 4], &[0, 32, 33]);
                let mut stages: Vec<Stage> = (0..count)
                    .map(|_| Stage {
                        share_bps: choices.pick(&[0, 1, 100, 2_500, 5_000, 10_000]),
                        blocks: blocks(choices),
                        min_requests: choices.pick(&[0, 0, 0, 1, 10, 20, u64::MAX]),
                        gate: choices.pick_or(&[0, 0, 1, 1, 1, 2], &[3]),
                    })
                    .collect();
                if choices.percent(97) {
                    stages.sort_by_key(|stage| stage.share_bps);
                }
                if let Some(last) = stages.last_mut()
                    && choices.percent(97)
                {
                    last.share_bps = last.share_bps.max(1);
                }
                Strategy::Custom { on_complete: choices.pick_or(&[0, 0, 1], &[2]), stages }
            }
        };
        let mut terms = Guardrails {
            error_threshold_bps: choices.pick_or(&[0, 100, 500, 1_000, 1_000, 5_000, 10_000], &[10_001]),
            success_threshold_bps: choices.pick_or(&[0, 0, 5_000, 9_000, 9_000, 9_500, 10_000], &[10_001]),
            min_requests: choices.pick(&[0, 0, 1, 1, 10, 10, 20]),
            max_blocks: 0,
            auto_promote: choices.percent(65),
            auto_rollback: choices.percent(55),
            regression_z_centi: choices.pick(&[0, 0, 0, 1, 100, 196, 200, 400, u16::MAX]),
        };
        // The length of the plan decides what a deadline may be.
        let stages = plan(&strategy, &Guardrails { error_threshold_bps: 0, success_threshold_bps: 0, ..terms });
        let sum: u32 = stages.map_or(0, |plan| plan.stages.iter().fold(0, |sum, s| s.blocks.saturating_add(sum)));
        let deadline = |n: u32| sum.saturating_add(n);
        terms.max_blocks = choices.pick_or(
            &[0, 0, 0, deadline(1), deadline(3), sum.saturating_mul(8), sum.saturating_mul(8), u32::MAX],
            &[deadline(0), 1],
        );
        (strategy, terms)
    }

    /// A report that at times meets a threshold of the deployment exactly, or misses it by one.
    fn version_report(&mut self, plugin: Vec<u8>) -> PluginCommand {
        let deployment = self.model.plugins.get(&plugin).and_then(|plugin| plugin.deployment.clone());
        let is_canary = self.choices.percent(65);
        let arm = |d: &Deployment| if is_canary { d.new.to_string() } else { d.old.to_string() };
        let usual: Vec<Vec<u8>> = deployment.as_ref().map(|d| arm(d).into_bytes()).into_iter().collect();
        let version = self.version_of(&plugin, &usual);
        let choices = &mut self.choices;
        let mut requests: u32 = choices.pick(&[0, 1, 9, 10, 10, 20, 32, 50, 100, 1_000]);
        // Production fares worse than the canary, so that at times the canary wins.
        let mut errors = if is_canary {
            choices.pick(&[0, 0, 0, 0, 0, 0, requests / 20, requests / 10, requests])
        } else {
            choices.pick(&[0, requests / 10, requests / 4, requests / 2, requests])
        };
        if let Some(d) = &deployment {
            if choices.percent(25) {
                let least = choices.pick(&[u128::from(d.stage().min_requests), u128::from(d.plan.terms.min_requests)]);
                let missing = least.saturating_sub(choices.pick(&[d.stage_requests, d.canary.requests]));
                requests = u32::try_from(missing).unwrap_or(requests).saturating_sub(choices.pick(&[0, 0, 1]));
                errors = errors.min(requests);
            }
            if choices.percent(30) {
                let success = 10_000 - u128::from(d.plan.terms.success_threshold_bps);
                let bps = choices.pick(&[u128::from(d.plan.terms.error_threshold_bps), success]);
                let (n, e) = choices.pick(&[(d.canary.requests, d.canary.errors), (d.stage_requests, d.stage_errors)]);
                let exact = (bps * (n + u128::from(requests)) / 10_000).saturating_sub(e) as u32;
                errors = exact.saturating_add(choices.pick(&[0, 0, 1])).min(requests);
            }
        }
        if choices.percent(1) {
            (requests, errors) = choices.pick(&[(u32::MAX, 0), (u32::MAX, u32::MAX), (1, 2)]);
        }
        let latency_total = if requests == 0 && choices.percent(97) { 0 } else { choices.pick(&[0, 1, 500, u64::MAX]) };
        let running = self.model.plugins.get(&plugin).map_or(0, |plugin| plugin.deployments as u32);
        let deployment = choices.maybe(20, &[running], &[0, running.wrapping_add(1), running.wrapping_sub(1)]);
        PluginCommand::ReportVersion { plugin, version, requests, errors, latency_total, deployment }
    }
}

/// Whether a command of this kind may succeed on the plugin.
fn suits(kind: u8, plugin: &Plugin) -> bool {
    let deployment = plugin.deployment.as_ref();
    let has_hold = |holds: &[Hold]| deployment.is_some_and(|deployment| holds.contains(&deployment.hold));
    let may_deploy = |status: VersionStatus| [VersionStatus::Loading, VersionStatus::Deprecated].contains(&status);
    match kind {
        40 => plugin.versions.len() < 4,
        41 => deployment.is_none() && plugin.versions.values().any(|v| may_deploy(v.status)),
        42 => has_hold(&[Hold::Running, Hold::ManualGate, Hold::Completed, Hold::Dependents]),
        43 => has_hold(&[Hold::Paused, Hold::PausedByRule, Hold::ManualGate, Hold::Dependents]),
        44 | 45 | 53 => deployment.is_some(),
        46 => deployment.is_none() && plugin.previous.is_some(),
        47 => plugin.versions.len() > 2,
        51 => [LoadState::Unloaded, LoadState::Failed].contains(&plugin.load_state),
        52 => {
            [LoadState::Loaded, LoadState::Loaded, LoadState::Failed, LoadState::Unloading].contains(&plugin.load_state)
        }
        54 => deployment.is_some_and(|deployment| deployment.stage().gate == HEALTH && !deployment.healthy),
        55 => plugin.load_state == LoadState::Loading,
        56 => plugin.load_state == LoadState::Unloading,
        _ => true,
    }
}
