//! Plugins: commands in short, events as lines of text, and what must be true after any block.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use coalmine_core::MaxVersions;
use coalmine_core::query;
use coalmine_core::{
    Address, Bps, Command, CommandKind, Constraint, Deployment, Encode, Event, Evidence, Gate, Guardrails, Hash,
    Height, Hold, Key, KeyPrefix, LoadState, Manifest, OnComplete, Outcome, Payload, Plugin, PluginAction,
    PluginReason, Receipt, Requirement, Role, Stage, Strategy, Version, VersionReport, VersionStatus, Writer,
};

use crate::support::World;
use crate::support::commands::{ADMIN, GUARDIAN, OPERATOR, REPORTER, name, tx};

pub fn version(text: &str) -> Version {
    text.parse().unwrap_or_else(|_| panic!("{text} is no version"))
}

pub fn constraint(text: &str) -> Constraint {
    text.parse().unwrap_or_else(|_| panic!("{text} is no constraint"))
}

// Commands in short.

/// A manifest with these requirements, by name.
pub fn manifest(requirements: &[(&str, &str)]) -> Manifest {
    let ordered: BTreeMap<_, _> = requirements.iter().copied().collect();
    let requirement = |(plugin, text)| Requirement { plugin: name(plugin), constraint: constraint(text) };
    Manifest { requirements: ordered.into_iter().map(requirement).collect(), ..Manifest::of_code(Hash([0xc0; 32])) }
}

pub fn register_with(plugin: &str, text: &str, manifest: Manifest) -> Command {
    Command::register_version(name(plugin), version(text), manifest).unwrap()
}

pub fn register(plugin: &str, version: &str) -> Command {
    register_with(plugin, version, manifest(&[]))
}

pub fn register_on(plugin: &str, version: &str, requirements: &[(&str, &str)]) -> Command {
    register_with(plugin, version, manifest(requirements))
}

pub fn register_for_host(plugin: &str, version: &str, host: &str) -> Command {
    register_with(plugin, version, Manifest { host: Some(constraint(host)), ..manifest(&[]) })
}

pub fn stage(share_bps: u16, blocks: u32) -> Stage {
    Stage { share_bps: Bps::new(share_bps).unwrap(), blocks, min_requests: 0, gate: Gate::Time }
}

pub fn custom(stages: &[Stage]) -> Strategy {
    Strategy::Custom { on_complete: OnComplete::Promote, stages: stages.into() }
}

pub fn concluding(stages: &[Stage]) -> Strategy {
    Strategy::Custom { on_complete: OnComplete::Conclude, stages: stages.into() }
}

/// Guardrails that let everything pass.
pub const EASY: Guardrails = Guardrails {
    error_threshold_bps: Bps::FULL,
    success_threshold_bps: Bps::ZERO,
    min_requests: 0,
    max_blocks: None,
    auto_promote: true,
    auto_rollback: true,
    regression_z_centi: None,
};

pub fn deploy(plugin: &str, text: &str, strategy: Strategy, terms: Guardrails) -> Command {
    Command::deploy(name(plugin), version(text), strategy, &terms).unwrap()
}

/// A deployment that stays in its stage for long.
pub fn deploy_slowly(plugin: &str, version: &str) -> Command {
    deploy(plugin, version, custom(&[stage(1_000, 1_000_000)]), EASY)
}

pub fn pause(plugin: &str) -> Command {
    Command::Pause { plugin: name(plugin) }
}

pub fn resume(plugin: &str) -> Command {
    Command::Resume { plugin: name(plugin) }
}

pub fn promote(plugin: &str) -> Command {
    Command::Promote { plugin: name(plugin) }
}

pub fn roll_back(plugin: &str) -> Command {
    Command::RollbackDeployment { plugin: name(plugin) }
}

pub fn revert(plugin: &str) -> Command {
    Command::Revert { plugin: name(plugin) }
}

pub fn retire(plugin: &str, text: &str) -> Command {
    Command::RetireVersion { plugin: name(plugin), version: version(text) }
}

pub fn set_rule(plugin: &str, rule: Option<&str>) -> Command {
    Command::SetRule { plugin: name(plugin), constraint: rule.map(constraint) }
}

pub fn set_host(text: &str) -> Command {
    Command::SetHostVersion { version: version(text) }
}

pub fn max_versions(max: u16) -> Command {
    Command::SetRegistryParams { max_versions: Some(MaxVersions::new(max).unwrap()), auto_load: None }
}

/// A deploy whose strategy need not make a plan.
pub fn deploy_bytes(plugin: &str, text: &str, strategy: &Strategy, terms: &Guardrails) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::Deploy.encode(&mut out);
    out.lp8(plugin.as_bytes());
    out.lp8(text.as_bytes());
    strategy.encode(&mut out);
    terms.encode(&mut out);
    out.into_bytes()
}

/// A set_registry_params of any number of versions.
pub fn max_versions_bytes(max: u16) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::SetRegistryParams.encode(&mut out);
    out.option(Some(max), Writer::u16);
    out.option(None, Writer::bool);
    out.into_bytes()
}

pub fn auto_load(on: bool) -> Command {
    Command::SetRegistryParams { max_versions: None, auto_load: Some(on) }
}

pub fn load(plugin: &str) -> Command {
    Command::Load { plugin: name(plugin) }
}

pub fn unload(plugin: &str) -> Command {
    Command::Unload { plugin: name(plugin), force: false }
}

pub fn unload_force(plugin: &str) -> Command {
    Command::Unload { plugin: name(plugin), force: true }
}

pub fn tell_version(plugin: &str, text: &str, requests: u32, errors: u32) -> Command {
    let report = VersionReport { requests, errors, latency_total: 0 };
    Command::report_version(name(plugin), version(text), report).unwrap()
}

pub fn attest(plugin: &str, text: &str, healthy: bool) -> Command {
    Command::AttestHealth { plugin: name(plugin), version: version(text), healthy }
}

pub fn loaded(plugin: &str, text: &str, ok: bool) -> Command {
    Command::ReportLoad { plugin: name(plugin), version: version(text), ok }
}

pub fn unloaded(plugin: &str, text: &str, ok: bool) -> Command {
    Command::ReportUnload { plugin: name(plugin), version: version(text), ok }
}

/// The signer that may send a command, with as few rights as possible.
pub fn signer_of(command: &Command) -> Address {
    match command.kind().roles()[0] {
        Role::Admin => ADMIN,
        Role::Operator => OPERATOR,
        Role::Reporter => REPORTER,
        Role::Guardian => GUARDIAN,
        Role::Feeder => panic!("{} is for the feed", command.kind()),
    }
}

/// A transaction of one command, by a signer that may send it.
pub fn give(command: Command) -> Payload {
    tx(signer_of(&command), &[command])
}

// Events.

/// An event of plugins in one line: the plugin, what happened, and its fields. Evidence is
/// `errors/requests` of the new version, of the old one, and the threshold.
pub fn line(event: &Event) -> String {
    let what = event.code().name();
    let figures = |evidence: &Evidence| {
        let Evidence { requests, errors, production_requests, production_errors, threshold } = evidence;
        format!("{errors}/{requests} {production_errors}/{production_requests} {}", threshold.number())
    };
    match event {
        Event::VersionRegistered { plugin, version }
        | Event::VersionEvicted { plugin, version }
        | Event::VersionRetired { plugin, version }
        | Event::Loaded { plugin, version }
        | Event::Unloaded { plugin, version } => format!("{plugin} {what} {version}"),
        Event::Deployed { plugin, version, strategy } => format!("{plugin} {what} {version} {strategy}"),
        Event::Staged { plugin, stage, share } => format!("{plugin} {what} {stage} {}", share.get()),
        Event::StageHeld { plugin, reason, requests, errors } => {
            format!("{plugin} {what} {reason} {errors}/{requests}")
        }
        Event::Waiting { plugin, hold } => format!("{plugin} {what} {hold}"),
        Event::Paused { plugin, reason, evidence } => format!("{plugin} {what} {reason} {}", figures(evidence)),
        Event::Resumed { plugin } => format!("{plugin} {what}"),
        Event::Promoted { plugin, from, to } | Event::Reverted { plugin, from, to } => {
            format!("{plugin} {what} {from} {to}")
        }
        Event::DeploymentRolledBack { plugin, version, reason, evidence, actor } => {
            let by = if *actor == Address::ZERO { "by itself" } else { "by command" };
            format!("{plugin} {what} {version} {reason} {} {by}", figures(evidence))
        }
        Event::Concluded { plugin, version, winner, evidence } => {
            format!("{plugin} {what} {version} {winner} {}", figures(evidence))
        }
        Event::HealthAttested { plugin, version, healthy } => format!("{plugin} {what} {version} {healthy}"),
        Event::LoadPlanned { plugin, version, state } => format!("{plugin} {what} {version} {state}"),
        Event::LoadFailed { plugin, version, code } => format!("{plugin} {what} {version} {code}"),
        Event::LoadDisputed { plugin, version, ok } => format!("{plugin} {what} {version} {ok}"),
        Event::BreakerTripped { reason, .. } => format!("{what} {reason}"),
        Event::ScheduleExecuted { id, code, .. } => format!("{what} {id} {code}"),
        _ => what.into(),
    }
}

pub fn lines(outcome: &Outcome) -> Vec<String> {
    outcome.events.iter().map(line).collect()
}

/// The height at which a deployment ends by itself: its deadline, or that of a gate that was not attested.
fn deadline(deployment: &Deployment) -> Option<Height> {
    let after = |from: Height, blocks: u32| u64::from(from) + u64::from(blocks);
    let stage = deployment.current_stage().unwrap();
    let gate =
        (stage.gate == Gate::Health && !deployment.healthy).then(|| after(deployment.stage_height, stage.blocks));
    let whole = deployment.plan.guardrails().max_blocks.map(|blocks| after(deployment.start, blocks.get()));
    [gate, whole].into_iter().flatten().min().and_then(|at| Height::try_from(at).ok())
}

// A world with plugins.

/// One entry of a history: height, action, version, reason, success, share, duration, actor.
pub type Entry = (Height, PluginAction, String, PluginReason, bool, u16, u32, Address);

impl World {
    /// Runs each command in its own transaction, all in the next block, and all must succeed.
    #[track_caller]
    pub fn next(&mut self, commands: &[Command]) -> Vec<String> {
        let height = self.state.tip().map_or(1, |tip| tip + 1);
        self.all_at(height, commands)
    }

    /// The same at a height, with empty blocks before it.
    #[track_caller]
    pub fn all_at(&mut self, height: Height, commands: &[Command]) -> Vec<String> {
        let outcome = self.at(height, commands.iter().cloned().map(give).collect());
        for (command, receipt) in commands.iter().zip(&outcome.receipts) {
            assert_eq!(*receipt, Receipt::Ok, "at {height}: {command:?}");
        }
        lines(&outcome)
    }

    /// The receipt that a command would get in the next block, from a signer that may send it.
    #[track_caller]
    pub fn try_next(&self, command: &Command) -> Receipt {
        self.probe(&give(command.clone()))
    }

    pub fn plugin(&self, plugin: &str) -> &Plugin {
        self.state.plugin(&name(plugin)).unwrap_or_else(|| panic!("no plugin {plugin}"))
    }

    pub fn deployment(&self, plugin: &str) -> Option<&Deployment> {
        self.state.deployment(&name(plugin))
    }

    pub fn hold(&self, plugin: &str) -> Option<Hold> {
        self.deployment(plugin).map(|deployment| deployment.hold)
    }

    pub fn load_state(&self, plugin: &str) -> LoadState {
        self.plugin(plugin).load_state
    }

    pub fn version_status(&self, plugin: &str, text: &str) -> Option<VersionStatus> {
        self.state.plugin_version(&name(plugin), &version(text)).map(|record| record.status)
    }

    /// The versions of a plugin by precedence, each with its status.
    pub fn versions(&self, plugin: &str) -> Vec<(String, VersionStatus)> {
        let plugin = name(plugin);
        let versions = self.state.plugin_versions(&plugin);
        versions.map(|record| (record.version.to_string(), record.status)).collect()
    }

    pub fn plugin_history(&self, plugin: &str) -> Vec<Entry> {
        let history = query::plugin_history(&self.records, &name(plugin), None, usize::MAX).unwrap();
        let entry = |entry: query::PluginHistoryEntry| {
            let change = entry.change;
            let version = change.version.to_string();
            let (share, duration) = (change.share.get(), change.duration);
            (entry.height, change.action, version, change.reason, change.success, share, duration, change.actor)
        };
        history.into_iter().map(entry).collect()
    }

    /// The events of plugins from a height on, each after its height.
    pub fn lines_from(&self, height: Height) -> Vec<String> {
        let since = self.events.iter().filter(|(at, _)| *at >= height);
        since.map(|(at, event)| format!("{at} {}", line(event))).collect()
    }

    /// Checks that the records of plugins agree with each other and with the state.
    pub(super) fn check_plugins(&self) {
        let records = &self.records;
        let plugins = query::plugins(records, None, usize::MAX).unwrap();
        assert_eq!(self.state.registry(), &query::registry(records).unwrap());
        assert_eq!(self.state.plugin_count(), plugins.len());
        let (mut looks, mut deadlines) = (BTreeSet::new(), BTreeSet::new());
        let mut rows = BTreeSet::new();
        let row = |key| {
            let Key::Dependent { dependency, dependent } = key else { panic!("{key:?} is no row") };
            (dependency, dependent)
        };
        let stored: BTreeSet<_> = records.keys(KeyPrefix::Dependent).map(row).collect();
        for (plugin, record) in &plugins {
            assert_eq!(self.state.plugin(plugin), Some(record));
            let versions = query::plugin_versions(records, plugin).unwrap();
            assert!(self.state.plugin_versions(plugin).eq(&versions));
            let deployment = query::deployment(records, plugin).unwrap();
            assert_eq!(self.state.deployment(plugin), deployment.as_ref());

            let of_status = |status| versions.iter().filter(move |one| one.status == status).map(|one| &one.version);
            assert!(of_status(VersionStatus::Active).eq([&record.current]), "{plugin}: one current version");
            assert!(of_status(VersionStatus::Canary).eq(deployment.iter().map(|one| &one.new)), "{plugin}: its canary");
            if let Some(previous) = &record.previous {
                assert!(of_status(VersionStatus::Deprecated).any(|one| one == previous), "{plugin}: previous");
            }
            assert_eq!(usize::from(record.versions), versions.len());
            let is_unloaded = record.load_state == LoadState::Unloaded;
            assert_eq!(record.loaded.as_ref(), (!is_unloaded).then_some(&record.current));
            if let Some(deployment) = &deployment {
                assert_eq!(deployment.old, record.current);
                assert!(!deployment.new.is_same(&record.current), "{plugin}: the canary is current");
                deadlines.extend(deadline(deployment).map(|at| (at, *plugin)));
                if let Some(due) = deployment.due.map(NonZeroU32::get) {
                    looks.insert((due, *plugin));
                    assert!(Some(due) > self.state.tip() || self.has_backlog(), "{plugin} is overdue");
                }
            }

            if !is_unloaded {
                rows.insert((None, *plugin));
            }
            let current = versions.iter().find(|one| one.version == record.current).unwrap();
            let required = current.manifest.requirements.iter().map(|requirement| requirement.plugin);
            let required: Vec<_> = required.map(|one| (Some(one), *plugin)).collect();
            let is_waiting = is_unloaded && required.first().is_some_and(|first| stored.contains(first));
            if record.load_state.pins_requirements() || is_waiting {
                rows.extend(required);
            }
        }
        for (plugin, record) in &plugins {
            let count = rows.iter().filter(|(dependency, _)| *dependency == Some(*plugin)).count();
            assert_eq!(usize::from(record.dependents), count, "{plugin}: dependents");
        }
        assert_eq!(stored, rows, "the index of dependents");
        let (mut due, mut due_deadlines) = (BTreeSet::new(), BTreeSet::new());
        for key in records.keys(KeyPrefix::Due) {
            match key {
                Key::DeploymentDue { at, plugin } => assert!(due.insert((at, plugin))),
                Key::Deadline { at, plugin } => assert!(due_deadlines.insert((at, plugin))),
                Key::LoadDue { plugin, .. } => assert!(self.state.plugin(&plugin).is_some()),
                _ => {}
            }
        }
        assert_eq!(due, looks, "the looks that are due");
        assert_eq!(due_deadlines, deadlines, "the deadlines");
    }

    /// Whether due work may be left over: by the limit of a block, or by a breaker that was open.
    fn has_backlog(&self) -> bool {
        let global = self.state.global();
        let mut told = self.events.iter().rev().take_while(|(at, _)| Some(*at) == self.state.tip());
        let was_open = told.any(|(_, event)| matches!(event, Event::BreakerClosed { .. }));
        global.breaker.is_some() || was_open || global.params.max_due_per_block < 1_000
    }
}
