//! Plugins: versions, and the deployments that bring a new one to everybody.
//!
//! Versions are kept without build metadata, which is what makes two spellings one version, and are
//! spelled as registered where they are told. What is to be loaded is `loading.rs`.

use std::collections::BTreeMap;

use coalmine_core::{
    Address, Bps, Event, Evidence, Hold, Lack, LoadState, PluginAction, PluginReason, Reason, Reject, StrategyKind,
    VersionStatus,
};
use semver::{BuildMetadata, Version, VersionReq};

use crate::raw::{self, PluginCommand, Stage, Strategy, Terms, is_name};
use crate::{ADMIN, GUARDIAN, Model, OPERATOR, Planted, REPORTER, U32_MAX, U64_MAX, event_name};

const STRATEGIES: [StrategyKind; 5] =
    [StrategyKind::Canary, StrategyKind::Rolling, StrategyKind::BlueGreen, StrategyKind::AbTest, StrategyKind::Custom];

/// The gates of a stage.
const TIME: u8 = 0;
const MANUAL: u8 = 1;
pub(crate) const HEALTH: u8 = 2;

/// The most requests of an arm.
const ARM_REQUESTS_MAX: u128 = (1 << 48) - 1;
/// The z of a verdict when the regression test is off.
const VERDICT_Z_CENTI: u128 = 196;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registry {
    pub(crate) host_version: Version,
    pub(crate) max_versions: u128,
    pub(crate) auto_load: bool,
}

impl Default for Registry {
    fn default() -> Self {
        Self { host_version: Version::new(0, 0, 0), max_versions: 5, auto_load: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    pub(crate) current: Version,
    pub(crate) previous: Option<Version>,
    /// No bytes = none.
    pub(crate) rule: Vec<u8>,
    pub(crate) load_state: LoadState,
    /// The version that is loaded, or on its way; none exactly if Unloaded.
    pub(crate) loaded: Option<Version>,
    /// Unloaded, and waiting for a plugin that it requires to be registered.
    pub(crate) waits: bool,
    pub(crate) versions: BTreeMap<Version, PluginVersion>,
    pub(crate) deployments: u128,
    pub(crate) deployment: Option<Deployment>,
    pub(crate) history: Vec<PluginChange>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u128,
    pub(crate) errors: u128,
    pub(crate) latency_sum: u128,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PluginVersion {
    /// As registered.
    pub(crate) version: Version,
    pub(crate) status: VersionStatus,
    pub(crate) code_hash: [u8; 32],
    pub(crate) registered: u128,
    /// 0 = never.
    pub(crate) reported: u128,
    pub(crate) counts: Counts,
    pub(crate) host: Vec<u8>,
    pub(crate) requirements: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) config: Vec<u8>,
    pub(crate) metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) strategy: StrategyKind,
    pub(crate) old: Version,
    pub(crate) new: Version,
    pub(crate) hold: Hold,
    /// What this stage was told to lack.
    pub(crate) held: Vec<Lack>,
    pub(crate) healthy: bool,
    pub(crate) stage: usize,
    pub(crate) stage_height: u128,
    pub(crate) start: u128,
    /// The next look; never beyond u32.
    pub(crate) due: Option<u128>,
    pub(crate) salt: u128,
    pub(crate) plan: Plan,
    pub(crate) canary: Counts,
    pub(crate) production: Counts,
    pub(crate) stage_requests: u128,
    pub(crate) stage_errors: u128,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Stage>,
    pub(crate) terms: Terms,
    pub(crate) concludes: bool,
}

/// An entry of the history of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the specification")]
pub struct PluginChange {
    pub height: u32,
    pub action: PluginAction,
    pub version: String,
    pub success: bool,
    pub share_bps: u16,
    pub duration: u32,
    pub reason: PluginReason,
    pub actor: Address,
}

/// What a plugin looks like at the end of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the specification")]
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

/// The roles that may give a command, besides Admin.
pub(crate) fn authority(command: &PluginCommand) -> u8 {
    match command {
        PluginCommand::RegisterVersion { .. }
        | PluginCommand::SetRule { .. }
        | PluginCommand::SetHostVersion { .. }
        | PluginCommand::SetRegistryParams { .. } => ADMIN,
        PluginCommand::Deploy { .. }
        | PluginCommand::Pause { .. }
        | PluginCommand::Resume { .. }
        | PluginCommand::Promote { .. }
        | PluginCommand::Revert { .. }
        | PluginCommand::RetireVersion { .. }
        | PluginCommand::Load { .. }
        | PluginCommand::Unload { .. } => OPERATOR,
        PluginCommand::RollbackDeployment { .. } => GUARDIAN | OPERATOR,
        PluginCommand::ReportVersion { .. }
        | PluginCommand::AttestHealth { .. }
        | PluginCommand::ReportLoad { .. }
        | PluginCommand::ReportUnload { .. } => REPORTER,
    }
}

/// Whether a schedule may hold the command.
pub(crate) fn is_schedulable(command: &PluginCommand) -> bool {
    match command {
        PluginCommand::Deploy { .. }
        | PluginCommand::Pause { .. }
        | PluginCommand::Resume { .. }
        | PluginCommand::Promote { .. }
        | PluginCommand::RollbackDeployment { .. }
        | PluginCommand::Revert { .. }
        | PluginCommand::RetireVersion { .. }
        | PluginCommand::Load { .. }
        | PluginCommand::Unload { .. } => true,
        PluginCommand::RegisterVersion { .. }
        | PluginCommand::SetRule { .. }
        | PluginCommand::SetHostVersion { .. }
        | PluginCommand::SetRegistryParams { .. }
        | PluginCommand::ReportVersion { .. }
        | PluginCommand::AttestHealth { .. }
        | PluginCommand::ReportLoad { .. }
        | PluginCommand::ReportUnload { .. } => false,
    }
}

/// The rules that the command alone shows to be broken: names, version, constraints, plan, numbers.
pub(crate) fn limits(command: &PluginCommand) -> Result<(), Reject> {
    let check = |holds: bool, reject: Reject| if holds { Ok(()) } else { Err(reject) };
    let name = |bytes: &[u8]| check(is_name(bytes), Reject::InvalidName);
    let version = |bytes: &[u8]| check(parse_version(bytes).is_some(), Reject::InvalidVersion);
    let constraint = |bytes: &[u8]| check(parse_constraint(bytes).is_some(), Reject::InvalidConstraint);
    let optional = |bytes: &[u8]| if bytes.is_empty() { Ok(()) } else { constraint(bytes) };
    match command {
        PluginCommand::RegisterVersion { plugin, version: v, code_hash: _, host, requirements, config, metadata } => {
            name(plugin)?;
            requirements.iter().try_for_each(|(plugin, _)| name(plugin))?;
            metadata.iter().try_for_each(|(key, _)| name(key))?;
            version(v)?;
            optional(host)?;
            requirements.iter().try_for_each(|(_, text)| constraint(text))?;
            check(config.len() <= 4_096, Reject::LimitExceeded)
        }
        PluginCommand::Deploy { plugin, version: v, strategy, terms } => {
            name(plugin)?;
            version(v)?;
            plan(strategy, terms).map(|_| ())
        }
        PluginCommand::Pause { plugin }
        | PluginCommand::Resume { plugin }
        | PluginCommand::Promote { plugin }
        | PluginCommand::RollbackDeployment { plugin }
        | PluginCommand::Revert { plugin }
        | PluginCommand::Load { plugin }
        | PluginCommand::Unload { plugin, .. } => name(plugin),
        PluginCommand::RetireVersion { plugin, version: v }
        | PluginCommand::AttestHealth { plugin, version: v, .. }
        | PluginCommand::ReportLoad { plugin, version: v, .. }
        | PluginCommand::ReportUnload { plugin, version: v, .. } => {
            name(plugin)?;
            version(v)
        }
        PluginCommand::SetRule { plugin, constraint } => {
            name(plugin)?;
            optional(constraint)
        }
        PluginCommand::SetHostVersion { version: v } => version(v),
        PluginCommand::SetRegistryParams { max_versions, auto_load: _ } => {
            check(max_versions.is_none_or(|n| (3..=64).contains(&n)), Reject::InvalidParameter)
        }
        PluginCommand::ReportVersion { plugin, version: v, requests, errors, latency_total } => {
            name(plugin)?;
            version(v)?;
            check(errors <= requests && (*requests != 0 || *latency_total == 0), Reject::InvalidParameter)
        }
    }
}

fn parse_version(bytes: &[u8]) -> Option<Version> {
    (bytes.len() <= 64).then_some(())?;
    Version::parse(std::str::from_utf8(bytes).ok()?).ok()
}

fn parse_constraint(bytes: &[u8]) -> Option<VersionReq> {
    (bytes.len() <= 128).then_some(())?;
    VersionReq::parse(std::str::from_utf8(bytes).ok()?).ok()
}

/// The version behind a spelling that was checked.
fn without_build(bytes: &[u8]) -> Version {
    Version { build: BuildMetadata::EMPTY, ..parse_version(bytes).unwrap() }
}

/// Whether a constraint that was checked, if there is one, allows a version.
pub(crate) fn allows(constraint: &[u8], version: &Version) -> bool {
    constraint.is_empty() || parse_constraint(constraint).unwrap().matches(version)
}

pub(crate) fn event_version(version: &Version) -> coalmine_core::Version {
    coalmine_core::Version::new(version.to_string().as_bytes()).expect("the version was checked")
}

/// What a strategy compiles to.
pub(crate) fn plan(strategy: &Strategy, terms: &Terms) -> Result<Plan, Reject> {
    let terms = *terms;
    let stage =
        |share_bps: u16, blocks: u32, min_requests: u64, gate: u8| Stage { share_bps, blocks, min_requests, gate };
    let growing = |initial: u16, increment: u16, blocks: u32, max: u16, observation: u32| -> Option<Vec<Stage>> {
        if initial == 0 || initial > max || (increment == 0 && initial < max) {
            return None;
        }
        let mut stages = Vec::new();
        let mut share = u128::from(initial);
        while share < u128::from(max) {
            stages.push(stage(share as u16, blocks, terms.min_requests, TIME));
            share += u128::from(increment);
        }
        stages.push(stage(max, blocks.max(observation), terms.min_requests, TIME));
        Some(stages)
    };
    let (stages, concludes) = match strategy {
        Strategy::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks } => {
            (growing(*initial_bps, *increment_bps, *increment_blocks, *max_bps, *observation_blocks), false)
        }
        Strategy::Rolling { initial_bps, increment_bps, increment_blocks } => {
            (growing(*initial_bps, *increment_bps, *increment_blocks, 10_000, 0), false)
        }
        Strategy::BlueGreen { health_blocks, bake_blocks } => {
            (Some(vec![stage(0, *health_blocks, 0, HEALTH), stage(10_000, *bake_blocks, 0, TIME)]), false)
        }
        Strategy::AbTest { share_bps, duration_blocks } => {
            (Some(vec![stage(*share_bps, *duration_blocks, 0, TIME)]), true)
        }
        Strategy::Custom { on_complete, stages } => (Some(stages.clone()), *on_complete == 1),
    };
    let stages = stages.ok_or(Reject::InvalidPlan)?;
    let blocks: u128 = stages.iter().map(|stage| u128::from(stage.blocks)).sum();
    let holds = (1..=32).contains(&stages.len())
        && stages.iter().all(|stage| stage.share_bps <= 10_000 && stage.blocks > 0)
        && stages.is_sorted_by_key(|stage| stage.share_bps)
        && stages[stages.len() - 1].share_bps > 0
        && terms.error_threshold_bps <= 10_000
        && terms.success_threshold_bps <= 10_000
        && (terms.max_blocks == 0 || u128::from(terms.max_blocks) > blocks);
    if holds { Ok(Plan { stages, terms, concludes }) } else { Err(Reject::InvalidPlan) }
}

impl Counts {
    fn add(&mut self, requests: u128, errors: u128, latency: u128) {
        self.requests = (self.requests + requests).min(U64_MAX);
        self.errors = (self.errors + errors).min(U64_MAX);
        self.latency_sum = (self.latency_sum + latency).min(U64_MAX);
    }

    /// Whether the error rate is above that of the other arm.
    fn is_worse(&self, other: &Self) -> bool {
        self.errors * other.requests > other.errors * self.requests
    }

    /// The difference of the error rates is at least this z: (e1·n2 − e2·n1)² · n · 10 000 ≥ z² · n1 · n2 · e · (n − e).
    fn differs(&self, other: &Self, z_centi: u128) -> bool {
        let (e1, n1, e2, n2) = (self.errors, self.requests, other.errors, other.requests);
        let (e, n) = (e1 + e2, n1 + n2);
        let difference = (e1 * n2).abs_diff(e2 * n1);
        product(&[difference, difference, n, 10_000]) >= product(&[z_centi, z_centi, n1, n2, e, n - e])
    }
}

/// The product of some numbers, most significant digit first; each digit is 32 bits, and there are 20 of them.
fn product(factors: &[u128]) -> [u128; 20] {
    let digits = |n: u128| (0..4).map(move |place| n >> (32 * place) & U32_MAX);
    let mut result = [0; 20];
    result[0] = 1;
    for factor in factors {
        let mut next = [0; 20];
        for (place, digit) in digits(*factor).enumerate().filter(|(_, digit)| *digit != 0) {
            let mut carry = 0;
            for from in 0..20 - place {
                let sum = next[from + place] + result[from] * digit + carry;
                next[from + place] = sum & U32_MAX;
                carry = sum >> 32;
            }
            assert_eq!(carry, 0, "a product has at most 640 bits");
        }
        result = next;
    }
    result.reverse();
    result
}

fn rate_holds(requests: u128, errors: u128, success_bps: u16) -> bool {
    (requests - errors) * 10_000 >= u128::from(success_bps) * requests
}

fn wide(n: u128) -> u64 {
    n.min(U64_MAX) as u64
}

impl Deployment {
    pub(crate) fn stage(&self) -> &Stage {
        &self.plan.stages[self.stage]
    }

    fn stage_end(&self) -> u128 {
        self.stage_height + u128::from(self.stage().blocks)
    }

    fn is_last_stage(&self) -> bool {
        self.stage + 1 == self.plan.stages.len()
    }

    /// A health stage that was attested as healthy.
    fn is_gate_open(&self) -> bool {
        self.stage().gate == HEALTH && self.healthy
    }

    fn deadline(&self) -> Option<u128> {
        let max_blocks = u128::from(self.plan.terms.max_blocks);
        (max_blocks != 0).then_some(self.start + max_blocks)
    }

    /// The next look is at this height, or at the deadline if that is earlier.
    fn look_at(&mut self, height: Option<u128>) {
        self.due = [height, self.deadline()].into_iter().flatten().filter(|due| *due <= U32_MAX).min();
    }

    /// The next look of a deployment that goes on.
    fn look_when_stage_ends(&mut self, h: u128) {
        let height = if self.is_gate_open() { h + 1 } else { self.stage_end().max(h + 1) };
        self.look_at(Some(height));
    }

    fn set_hold(&mut self, hold: Hold) {
        self.hold = hold;
        self.look_at(None);
    }

    /// What the stage lacks to be left.
    fn lacks(&self) -> Vec<Lack> {
        let mut lacks = Vec::new();
        if self.stage_requests < u128::from(self.stage().min_requests) {
            lacks.push(Lack::Requests);
        }
        if !rate_holds(self.stage_requests, self.stage_errors, self.plan.terms.success_threshold_bps) {
            lacks.push(Lack::SuccessRate);
        }
        lacks
    }

    /// What the canary arm has counted.
    fn evidence(&self, threshold: u128) -> Evidence {
        Evidence {
            requests: wide(self.canary.requests),
            errors: wide(self.canary.errors),
            production_requests: 0,
            production_errors: 0,
            threshold: wide(threshold),
        }
    }

    fn evidence_of_both(&self, threshold: u128) -> Evidence {
        Evidence {
            production_requests: wide(self.production.requests),
            production_errors: wide(self.production.errors),
            ..self.evidence(threshold)
        }
    }

    /// The rule that the reports break, if any: 2 over the deployment, 2 over the stage, 3.
    fn broken_rule(&self) -> Option<(PluginReason, Evidence)> {
        let terms = &self.plan.terms;
        let (least, bps) = (u128::from(terms.min_requests).max(1), u128::from(terms.error_threshold_bps));
        for (requests, errors) in [(self.canary.requests, self.canary.errors), (self.stage_requests, self.stage_errors)]
        {
            if requests >= least && errors * 10_000 > bps * requests {
                let evidence = Evidence { requests: wide(requests), errors: wide(errors), ..self.evidence(bps) };
                return Some((PluginReason::ErrorRate, evidence));
            }
        }
        let z_centi = u128::from(terms.regression_z_centi);
        let is_regression = z_centi != 0
            && self.canary.requests >= least
            && self.production.requests >= least
            && self.canary.is_worse(&self.production)
            && self.canary.differs(&self.production, z_centi);
        is_regression.then(|| (PluginReason::Regression, self.evidence_of_both(z_centi)))
    }

    fn verdict_z(&self) -> u128 {
        match self.plan.terms.regression_z_centi {
            0 => VERDICT_Z_CENTI,
            z_centi => u128::from(z_centi),
        }
    }

    /// Which arm won.
    fn verdict(&self) -> PluginReason {
        let (canary, production, terms) = (&self.canary, &self.production, &self.plan.terms);
        let least = u128::from(terms.min_requests);
        if canary.requests < least || production.requests < least || !canary.differs(production, self.verdict_z()) {
            return PluginReason::Inconclusive;
        }
        if canary.is_worse(production) {
            return PluginReason::Production;
        }
        let holds = rate_holds(canary.requests, canary.errors, terms.success_threshold_bps);
        if production.is_worse(canary) && holds { PluginReason::Canary } else { PluginReason::Inconclusive }
    }
}

impl Plugin {
    pub(crate) fn version(&self, version: &Version) -> &PluginVersion {
        &self.versions[version]
    }

    /// A version as it was registered.
    pub(crate) fn spelled(&self, version: &Version) -> &Version {
        &self.version(version).version
    }

    fn set_status(&mut self, version: &Version, status: VersionStatus) {
        self.versions.get_mut(version).unwrap().status = status;
    }

    /// The version that gives way to a new one.
    fn oldest_to_evict(&self) -> Option<Version> {
        let may_go = |(version, v): &(&Version, &PluginVersion)| {
            let is_past = match v.status {
                VersionStatus::Deprecated | VersionStatus::Failed | VersionStatus::Retired => true,
                VersionStatus::Loading | VersionStatus::Active | VersionStatus::Canary => false,
            };
            is_past && self.previous.as_ref() != Some(*version) && self.loaded.as_ref() != Some(*version)
        };
        let oldest =
            self.versions.iter().filter(may_go).min_by_key(|(version, v)| (v.reported, v.registered, *version));
        oldest.map(|(version, _)| version.clone())
    }
}

impl Model {
    pub(crate) fn plugin(&self, name: &[u8]) -> Result<&Plugin, Reject> {
        self.plugins.get(name).ok_or(Reject::PluginNotFound)
    }

    /// The plugin after its existence was checked.
    pub(crate) fn plugin_mut(&mut self, name: &[u8]) -> &mut Plugin {
        self.plugins.get_mut(name).unwrap()
    }

    /// The plugin and the version that the command names.
    pub(crate) fn plugin_version(&self, name: &[u8], version: &[u8]) -> Result<(&Plugin, Version), Reject> {
        let plugin = self.plugin(name)?;
        let version = without_build(version);
        if plugin.versions.contains_key(&version) { Ok((plugin, version)) } else { Err(Reject::VersionNotFound) }
    }

    /// The deployment after its existence was checked.
    fn deployment_mut(&mut self, name: &[u8]) -> &mut Deployment {
        self.plugin_mut(name).deployment.as_mut().unwrap()
    }

    fn deployment_of(&self, name: &[u8]) -> Result<&Deployment, Reject> {
        self.plugin(name)?.deployment.as_ref().ok_or(Reject::NoDeployment)
    }

    pub(crate) fn deploying_names(&self) -> Vec<Vec<u8>> {
        let deploying = self.plugins.iter().filter(|(_, plugin)| plugin.deployment.is_some());
        deploying.map(|(name, _)| name.clone()).collect()
    }

    /// Appends to the history what has happened to a version, with the deployment as it is now.
    #[expect(clippy::too_many_arguments, reason = "an entry has that many fields")]
    pub(crate) fn tell(
        &mut self,
        h: u128,
        name: &[u8],
        action: PluginAction,
        version: &Version,
        success: bool,
        reason: PluginReason,
        actor: Address,
    ) {
        let plugin = self.plugin_mut(name);
        let (share_bps, start) = match &plugin.deployment {
            Some(deployment) => (deployment.stage().share_bps, deployment.start),
            None => (0, h),
        };
        let version = plugin.spelled(version).to_string();
        let (height, duration) = (h as u32, (h - start) as u32);
        plugin.history.push(PluginChange { height, action, version, success, share_bps, duration, reason, actor });
    }

    /// Due work of kinds 2 and 3; gives how much was done altogether.
    pub(crate) fn run_due_plugins(&mut self, h: u128, mut used: u128) -> u128 {
        let due = |plugin: &Plugin| plugin.deployment.as_ref().and_then(|deployment| deployment.due);
        let mut looks: Vec<(u128, Vec<u8>)> =
            self.plugins.iter().filter_map(|(name, plugin)| Some((due(plugin)?, name.clone()))).collect();
        looks.sort();
        let early = self.off_by(Planted::StageEarly);
        for (_, name) in looks.into_iter().filter(|(due, _)| *due <= h + early) {
            if used == self.max_due_per_block || self.breaker.is_some() {
                return used;
            }
            self.look(h, &name);
            used += 1;
        }
        let queued: Vec<(u128, Vec<u8>)> = self.load_queue.iter().filter(|(due, _)| *due <= h).cloned().collect();
        for entry in queued {
            if used == self.max_due_per_block || self.breaker.is_some() {
                return used;
            }
            self.load_queue.remove(&entry);
            self.load_by_itself(h, &entry.1);
            used += 1;
        }
        used
    }

    pub(crate) fn plugin_command(&mut self, h: u128, actor: Address, command: &PluginCommand) -> Result<(), Reject> {
        match command {
            PluginCommand::RegisterVersion { .. } => self.register_version(h, actor, command),
            PluginCommand::Deploy { plugin, version, strategy, terms } => {
                self.deploy(h, actor, plugin, version, strategy, terms)
            }
            PluginCommand::Pause { plugin: name } => {
                match self.deployment_of(name)?.hold {
                    Hold::Paused | Hold::PausedByRule => return Err(Reject::InvalidTransition),
                    Hold::Running | Hold::ManualGate | Hold::Completed | Hold::Dependents => {}
                }
                let deployment = self.deployment_mut(name);
                deployment.set_hold(Hold::Paused);
                let (new, reason) = (deployment.new.clone(), PluginReason::Manual);
                self.events.push(Event::Paused { plugin: event_name(name), reason, evidence: Evidence::default() });
                self.tell(h, name, PluginAction::Paused, &new, true, reason, actor);
                Ok(())
            }
            PluginCommand::Resume { plugin } => self.resume(h, actor, plugin),
            PluginCommand::Promote { plugin: name } => {
                self.plugin(name)?;
                self.breaker_is_closed()?;
                let deployment = self.deployment_of(name)?;
                if deployment.stage().gate == HEALTH && !deployment.healthy {
                    return Err(Reject::NotWaiting);
                }
                self.may_take_over(name, &deployment.new)?;
                self.promote(h, actor, PluginReason::Manual, name);
                Ok(())
            }
            PluginCommand::RollbackDeployment { plugin: name } => {
                let evidence = self.deployment_of(name)?.evidence(0);
                self.roll_back_deployment(h, name, PluginReason::Manual, evidence, actor);
                Ok(())
            }
            PluginCommand::Revert { plugin: name } => {
                let plugin = self.plugin(name)?;
                if plugin.deployment.is_some() {
                    return Err(Reject::DeploymentInProgress);
                }
                let previous = plugin.previous.clone().ok_or(Reject::NoPreviousVersion)?;
                self.may_take_over(name, &previous)?;
                let plugin = self.plugin_mut(name);
                let from = plugin.current.clone();
                plugin.set_status(&from, VersionStatus::Failed);
                plugin.set_status(&previous, VersionStatus::Active);
                plugin.current = previous.clone();
                plugin.previous = None;
                let (from, to) = (event_version(plugin.spelled(&from)), event_version(plugin.spelled(&previous)));
                self.events.push(Event::Reverted { plugin: event_name(name), from, to });
                self.tell(h, name, PluginAction::Reverted, &previous, false, PluginReason::Manual, actor);
                self.load_follows(h, name);
                Ok(())
            }
            PluginCommand::RetireVersion { plugin: name, version } => {
                let (plugin, version) = self.plugin_version(name, version)?;
                match plugin.version(&version).status {
                    VersionStatus::Active | VersionStatus::Canary => return Err(Reject::VersionInUse),
                    VersionStatus::Retired => return Err(Reject::InvalidTransition),
                    VersionStatus::Loading | VersionStatus::Deprecated | VersionStatus::Failed => {}
                }
                let plugin = self.plugin_mut(name);
                plugin.set_status(&version, VersionStatus::Retired);
                plugin.previous = plugin.previous.take().filter(|previous| *previous != version);
                let told = event_version(plugin.spelled(&version));
                self.events.push(Event::VersionRetired { plugin: event_name(name), version: told });
                self.tell(h, name, PluginAction::Retired, &version, true, PluginReason::Manual, actor);
                Ok(())
            }
            PluginCommand::SetRule { plugin: name, constraint } => {
                let plugin = self.plugin(name)?;
                if plugin.load_state != LoadState::Unloaded && !allows(constraint, &plugin.current) {
                    return Err(Reject::RuleViolated);
                }
                self.plugin_mut(name).rule.clone_from(constraint);
                Ok(())
            }
            PluginCommand::SetHostVersion { version } => {
                let host = parse_version(version).unwrap();
                let runs = |plugin: &Plugin| {
                    plugin.loaded.as_ref().is_none_or(|loaded| allows(&plugin.version(loaded).host, &host))
                };
                if !self.plugins.values().all(runs) {
                    return Err(Reject::HostTooOld);
                }
                self.registry.host_version = host;
                Ok(())
            }
            PluginCommand::SetRegistryParams { max_versions, auto_load } => {
                self.registry.max_versions = max_versions.map_or(self.registry.max_versions, u128::from);
                self.registry.auto_load = auto_load.unwrap_or(self.registry.auto_load);
                Ok(())
            }
            PluginCommand::Load { plugin } => self.load(h, plugin),
            PluginCommand::Unload { plugin, force } => self.unload(h, plugin, *force),
            PluginCommand::ReportVersion { plugin, version, requests, errors, latency_total } => {
                self.report_version(h, plugin, version, (*requests).into(), (*errors).into(), (*latency_total).into())
            }
            PluginCommand::AttestHealth { plugin, version, healthy } => {
                self.attest_health(h, plugin, version, *healthy)
            }
            PluginCommand::ReportLoad { plugin, version, ok } => self.report_load(h, actor, plugin, version, *ok),
            PluginCommand::ReportUnload { plugin, version, ok } => self.report_unload(h, actor, plugin, version, *ok),
        }
    }

    fn register_version(&mut self, h: u128, actor: Address, command: &PluginCommand) -> Result<(), Reject> {
        let PluginCommand::RegisterVersion { plugin: name, version, code_hash, host, requirements, config, metadata } =
            command
        else {
            panic!("registers nothing");
        };
        let key = without_build(version);
        let mut record = PluginVersion {
            version: parse_version(version).unwrap(),
            status: VersionStatus::Loading,
            code_hash: *code_hash,
            registered: h,
            reported: 0,
            counts: Counts::default(),
            host: host.clone(),
            requirements: requirements.clone(),
            config: config.clone(),
            metadata: metadata.clone(),
        };
        match self.plugins.get(name) {
            None => {
                record.status = VersionStatus::Active;
                let plugin = Plugin {
                    current: key.clone(),
                    previous: None,
                    rule: Vec::new(),
                    load_state: LoadState::Unloaded,
                    loaded: None,
                    waits: false,
                    versions: BTreeMap::from([(key.clone(), record)]),
                    deployments: 0,
                    deployment: None,
                    history: Vec::new(),
                };
                self.plugins.insert(name.clone(), plugin);
                for dependent in self.waiting_for(name) {
                    self.queue_load(h, &dependent);
                }
            }
            Some(plugin) if plugin.versions.contains_key(&key) => {
                let old = plugin.version(&key);
                if old.status != VersionStatus::Failed || old.code_hash != *code_hash {
                    return Err(Reject::VersionAlreadyExists);
                }
                self.plugin_mut(name).versions.insert(key.clone(), record);
            }
            Some(plugin) => {
                let mut after = plugin.clone();
                let mut evicted = Vec::new();
                while after.versions.len() as u128 >= self.registry.max_versions {
                    let oldest = after.oldest_to_evict().ok_or(Reject::LimitExceeded)?;
                    evicted.extend(after.versions.remove(&oldest));
                }
                after.versions.insert(key.clone(), record);
                self.plugins.insert(name.clone(), after);
                for v in evicted {
                    let version = event_version(&v.version);
                    self.events.push(Event::VersionEvicted { plugin: event_name(name), version });
                }
            }
        }
        let told = event_version(self.plugins[name].spelled(&key));
        self.events.push(Event::VersionRegistered { plugin: event_name(name), version: told });
        self.tell(h, name, PluginAction::Registered, &key, true, PluginReason::None, actor);
        if self.registry.auto_load && self.plugins[name].load_state == LoadState::Unloaded {
            self.queue_load(h, name);
        }
        Ok(())
    }

    fn deploy(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        version: &[u8],
        strategy: &Strategy,
        terms: &Terms,
    ) -> Result<(), Reject> {
        let (plugin, new) = self.plugin_version(name, version)?;
        self.breaker_is_closed()?;
        if plugin.deployment.is_some() {
            return Err(Reject::DeploymentInProgress);
        }
        match plugin.version(&new).status {
            VersionStatus::Loading | VersionStatus::Deprecated => {}
            VersionStatus::Active => return Err(Reject::VersionInUse),
            VersionStatus::Failed | VersionStatus::Retired => return Err(Reject::InvalidTransition),
            VersionStatus::Canary => panic!("a canary without a deployment"),
        }
        if plugin.deployments == U32_MAX {
            return Err(Reject::LimitExceeded);
        }
        let plugin = self.plugin_mut(name);
        plugin.deployments += 1;
        let mut deployment = Deployment {
            strategy: STRATEGIES[usize::from(strategy.tag())],
            old: plugin.current.clone(),
            new: new.clone(),
            hold: Hold::Running,
            held: Vec::new(),
            healthy: false,
            stage: 0,
            stage_height: h,
            start: h,
            due: None,
            salt: (h << 32) + plugin.deployments,
            plan: plan(strategy, terms).unwrap(),
            canary: Counts::default(),
            production: Counts::default(),
            stage_requests: 0,
            stage_errors: 0,
        };
        deployment.look_when_stage_ends(h);
        let strategy = deployment.strategy;
        plugin.deployment = Some(deployment);
        plugin.set_status(&new, VersionStatus::Canary);
        plugin.previous = plugin.previous.take().filter(|previous| *previous != new);
        let told = event_version(plugin.spelled(&new));
        self.events.push(Event::Deployed { plugin: event_name(name), version: told, strategy });
        self.tell(h, name, PluginAction::Deployed, &new, true, PluginReason::Manual, actor);
        Ok(())
    }

    fn resume(&mut self, h: u128, actor: Address, name: &[u8]) -> Result<(), Reject> {
        self.plugin(name)?;
        self.breaker_is_closed()?;
        let hold = self.deployment_of(name)?.hold;
        match hold {
            Hold::Paused | Hold::PausedByRule | Hold::ManualGate | Hold::Dependents => {}
            Hold::Running | Hold::Completed => return Err(Reject::NotWaiting),
        }
        let deployment = self.deployment_mut(name);
        deployment.hold = Hold::Running;
        deployment.look_when_stage_ends(h);
        let new = deployment.new.clone();
        self.events.push(Event::Resumed { plugin: event_name(name) });
        self.tell(h, name, PluginAction::Resumed, &new, true, PluginReason::Manual, actor);
        if hold == Hold::ManualGate && !self.ends_at_deadline(h, name) {
            self.leave_stage(h, actor, PluginReason::Manual, name);
        }
        Ok(())
    }

    fn report_version(
        &mut self,
        h: u128,
        name: &[u8],
        version: &[u8],
        requests: u128,
        errors: u128,
        latency: u128,
    ) -> Result<(), Reject> {
        let (plugin, version) = self.plugin_version(name, version)?;
        let mut plugin = plugin.clone();
        let v = plugin.versions.get_mut(&version).unwrap();
        v.reported = h;
        v.counts.add(requests, errors, latency);
        let Some(deployment) = &mut plugin.deployment else {
            self.plugins.insert(name.to_vec(), plugin);
            return Ok(());
        };
        let (is_canary, is_production) = (version == deployment.new, version == deployment.old);
        let arm = if is_canary { &mut deployment.canary } else { &mut deployment.production };
        if is_canary || is_production {
            if arm.requests + requests > ARM_REQUESTS_MAX {
                return Err(Reject::LimitExceeded);
            }
            arm.add(requests, errors, latency);
        }
        if is_canary {
            deployment.stage_requests += requests;
            deployment.stage_errors += errors;
            if deployment.hold == Hold::Running && !deployment.held.is_empty() {
                deployment.look_at(Some(h + 1));
            }
        }
        let broken = if is_canary || is_production { deployment.broken_rule() } else { None };
        self.plugins.insert(name.to_vec(), plugin);
        if let Some((reason, evidence)) = broken {
            self.break_rule(h, name, reason, evidence);
        }
        Ok(())
    }

    fn attest_health(&mut self, h: u128, name: &[u8], version: &[u8], healthy: bool) -> Result<(), Reject> {
        let (plugin, version) = self.plugin_version(name, version)?;
        if plugin.deployment.as_ref().is_none_or(|deployment| deployment.new != version) {
            return Err(Reject::NoDeployment);
        }
        let told = event_version(plugin.spelled(&version));
        self.events.push(Event::HealthAttested { plugin: event_name(name), version: told, healthy });
        let deployment = self.deployment_mut(name);
        if !healthy {
            deployment.healthy = false;
            let evidence = deployment.evidence(0);
            self.break_rule(h, name, PluginReason::Unhealthy, evidence);
        } else if deployment.stage().gate == HEALTH && !deployment.healthy {
            deployment.healthy = true;
            if deployment.hold == Hold::Running {
                deployment.look_at(Some(h + 1));
            }
        }
        Ok(())
    }

    /// Rolls the deployment back, or pauses it, as its plan says.
    fn break_rule(&mut self, h: u128, name: &[u8], reason: PluginReason, evidence: Evidence) {
        let deployment = self.deployment_mut(name);
        if deployment.plan.terms.auto_rollback {
            self.roll_back_deployment(h, name, reason, evidence, Address::ZERO);
        } else if deployment.hold != Hold::PausedByRule {
            deployment.set_hold(Hold::PausedByRule);
            let new = deployment.new.clone();
            self.events.push(Event::Paused { plugin: event_name(name), reason, evidence });
            self.tell(h, name, PluginAction::Paused, &new, false, reason, Address::ZERO);
        }
    }

    pub(crate) fn drain_deployment(&mut self, h: u128, name: &[u8]) {
        let evidence = self.deployment_mut(name).evidence(0);
        self.roll_back_deployment(h, name, PluginReason::CircuitBreaker, evidence, Address::ZERO);
    }

    fn roll_back_deployment(&mut self, h: u128, name: &[u8], reason: PluginReason, evidence: Evidence, actor: Address) {
        let plugin = self.plugin_mut(name);
        let new = plugin.deployment.as_ref().unwrap().new.clone();
        plugin.set_status(&new, VersionStatus::Failed);
        let version = event_version(plugin.spelled(&new));
        self.events.push(Event::DeploymentRolledBack { plugin: event_name(name), version, reason, evidence, actor });
        self.tell(h, name, PluginAction::RolledBack, &new, false, reason, actor);
        self.plugin_mut(name).deployment = None;
        match reason {
            PluginReason::ErrorRate | PluginReason::Regression => self.count_rollback(h, Reason::ErrorRate),
            PluginReason::Unhealthy => self.count_rollback(h, Reason::InvariantViolation),
            PluginReason::Timeout => self.count_rollback(h, Reason::Performance),
            PluginReason::Manual | PluginReason::CircuitBreaker => {}
            PluginReason::None
            | PluginReason::Dependents
            | PluginReason::Canary
            | PluginReason::Production
            | PluginReason::Inconclusive
            | PluginReason::LoadError => panic!("{reason} rolls nothing back"),
        }
    }

    /// Rolls a deployment back whose deadline has passed.
    fn ends_at_deadline(&mut self, h: u128, name: &[u8]) -> bool {
        let late = self.off_by(Planted::DeadlineLate);
        let deployment = self.deployment_mut(name);
        let has_passed = deployment.deadline().is_some_and(|deadline| h >= deadline + late);
        if has_passed {
            let evidence = deployment.evidence(deployment.plan.terms.max_blocks.into());
            self.roll_back_deployment(h, name, PluginReason::Timeout, evidence, Address::ZERO);
        }
        has_passed
    }

    /// Looks at a deployment whose due entry has come.
    fn look(&mut self, h: u128, name: &[u8]) {
        if self.ends_at_deadline(h, name) {
            return;
        }
        let early = self.off_by(Planted::StageEarly);
        let deployment = self.deployment_mut(name);
        if deployment.hold != Hold::Running {
            deployment.look_at(None);
            return;
        }
        if deployment.is_gate_open() {
            self.leave_stage(h, Address::ZERO, PluginReason::None, name);
            return;
        }
        if h + early < deployment.stage_end() {
            deployment.look_when_stage_ends(h);
            return;
        }
        if deployment.stage().gate == HEALTH {
            let evidence = deployment.evidence(0);
            self.roll_back_deployment(h, name, PluginReason::Unhealthy, evidence, Address::ZERO);
            return;
        }
        let is_end_of_trial = deployment.plan.concludes && deployment.is_last_stage();
        let lacks = if is_end_of_trial { Vec::new() } else { deployment.lacks() };
        if !lacks.is_empty() {
            deployment.look_at(None);
            let (requests, errors) = (wide(deployment.stage_requests), wide(deployment.stage_errors));
            for reason in lacks {
                let deployment = self.deployment_mut(name);
                if !deployment.held.contains(&reason) {
                    deployment.held.push(reason);
                    self.events.push(Event::StageHeld { plugin: event_name(name), reason, requests, errors });
                }
            }
        } else if deployment.stage().gate == MANUAL {
            self.wait(name, Hold::ManualGate);
        } else {
            self.leave_stage(h, Address::ZERO, PluginReason::None, name);
        }
    }

    fn wait(&mut self, name: &[u8], hold: Hold) {
        self.deployment_mut(name).set_hold(hold);
        self.events.push(Event::Waiting { plugin: event_name(name), hold });
    }

    /// The next stage, or the end of the plan.
    fn leave_stage(&mut self, h: u128, actor: Address, reason: PluginReason, name: &[u8]) {
        let deployment = self.deployment_mut(name);
        let new = deployment.new.clone();
        if !deployment.is_last_stage() {
            deployment.stage += 1;
            deployment.stage_height = h;
            deployment.stage_requests = 0;
            deployment.stage_errors = 0;
            deployment.held.clear();
            deployment.healthy = false;
            deployment.look_when_stage_ends(h);
            let (stage, share) = (deployment.stage as u8, Bps::new(deployment.stage().share_bps).unwrap());
            self.events.push(Event::Staged { plugin: event_name(name), stage, share });
            self.tell(h, name, PluginAction::Staged, &new, true, reason, actor);
            return;
        }
        let auto_promote = deployment.plan.terms.auto_promote;
        if !deployment.plan.concludes {
            if !auto_promote {
                self.wait(name, Hold::Completed);
            } else if let Err(reject) = self.may_take_over(name, &new) {
                self.stop(h, actor, name, reject);
            } else {
                self.promote(h, actor, reason, name);
            }
            return;
        }
        let winner = deployment.verdict();
        let evidence = deployment.evidence_of_both(deployment.verdict_z());
        let promotes = winner == PluginReason::Canary && auto_promote;
        if promotes && let Err(reject) = self.may_take_over(name, &new) {
            self.stop(h, actor, name, reject);
            return;
        }
        let version = event_version(self.plugin_mut(name).spelled(&new));
        self.events.push(Event::Concluded { plugin: event_name(name), version, winner, evidence });
        self.tell(h, name, PluginAction::Concluded, &new, winner == PluginReason::Canary, winner, actor);
        if promotes {
            self.promote(h, actor, reason, name);
        } else {
            let plugin = self.plugin_mut(name);
            plugin.deployment = None;
            plugin.set_status(&new, VersionStatus::Loading);
        }
    }

    /// A promotion that nobody commanded is not allowed.
    fn stop(&mut self, h: u128, actor: Address, name: &[u8], reject: Reject) {
        let deployment = self.deployment_mut(name);
        deployment.set_hold(Hold::Dependents);
        let (new, reason) = (deployment.new.clone(), PluginReason::Dependents);
        let evidence = Evidence { threshold: reject.code().into(), ..Evidence::default() };
        self.events.push(Event::Paused { plugin: event_name(name), reason, evidence });
        self.tell(h, name, PluginAction::Paused, &new, false, reason, actor);
    }

    fn promote(&mut self, h: u128, actor: Address, reason: PluginReason, name: &[u8]) {
        let plugin = self.plugin_mut(name);
        let Deployment { old, new, .. } = plugin.deployment.clone().unwrap();
        plugin.set_status(&old, VersionStatus::Deprecated);
        plugin.set_status(&new, VersionStatus::Active);
        let (from, to) = (event_version(plugin.spelled(&old)), event_version(plugin.spelled(&new)));
        plugin.current = new.clone();
        plugin.previous = Some(old);
        self.events.push(Event::Promoted { plugin: event_name(name), from, to });
        self.tell(h, name, PluginAction::Promoted, &new, true, reason, actor);
        self.plugin_mut(name).deployment = None;
        self.load_follows(h, name);
    }
}

/// Reads. None of them changes anything.
impl Model {
    /// The names of all plugins, ascending.
    pub fn plugin_names(&self) -> impl Iterator<Item = &[u8]> {
        self.plugins.keys().map(Vec::as_slice)
    }

    /// What a plugin looks like now.
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
        let hash = crate::root::sha256(&[&input]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(canary: (u128, u128), production: (u128, u128), z_centi: u128, worse: bool, differs: bool) {
        let counts = |(requests, errors)| Counts { requests, errors, latency_sum: 0 };
        let (canary, production) = (counts(canary), counts(production));
        assert_eq!((canary.is_worse(&production), canary.differs(&production, z_centi)), (worse, differs));
    }

    #[test]
    fn rates_are_compared_exactly() {
        check((100, 10), (100, 10), 1, false, false);
        check((100, 10), (100, 10), 0, false, true);
        check((0, 0), (100, 10), 196, false, true);
        // p = 1/4, n1 = n2 = 32: z = (3/8 − 1/8) / sqrt(3/16 · 1/16) = 4 / sqrt(3), 2.3094...
        check((32, 12), (32, 4), 230, true, true);
        check((32, 12), (32, 4), 231, true, false);
        check((32, 4), (32, 12), 230, false, true);
        // p = 1/2, n1 = n2 = 50: z = (3/5 − 2/5) / sqrt(1/4 · 1/25) = 2, met exactly.
        check((50, 30), (50, 20), 200, true, true);
        check((50, 30), (50, 20), 201, true, false);
        let most = ARM_REQUESTS_MAX;
        check((most, most), (most, 0), 65_535, true, true);
        check((most, most / 2 + 1), (most, most / 2), 1, true, false);
    }

    #[test]
    fn products_carry() {
        let place = |at: usize, digit| {
            let mut digits = [0; 20];
            digits[19 - at] = digit;
            digits
        };
        assert_eq!(product(&[]), place(0, 1));
        assert_eq!(product(&[1 << 32, 1 << 96, 3]), place(4, 3));
        assert_eq!(product(&[u128::MAX, 0]), [0; 20]);
        assert_eq!(product(&[U64_MAX, U64_MAX])[16..], [U32_MAX, U32_MAX - 1, 0, 1]);
    }
}
