//! Synthetic ledgers: a genesis, the blocks that fill it, and blocks of traffic on top.
//!
//! Everything follows from numbers given here, so a case measures the same on every machine. The
//! traffic is made so that nearly every transaction succeeds however long it runs: an error of the
//! generator would make the figures better, not worse. The full variety of rules is not here.

use std::collections::VecDeque;
use std::sync::Arc;

use coalmine_core::{
    Address, BLOCK_TXS_MAX, Block, Bps, Command, Description, FeatureChanges, Gate, Genesis, Guardrails, Hash, Height,
    Manifest, Name, OnComplete, Payload, Percent, Reason, Receipt, Report, Role, Stage, State, Strategy, Transaction,
    Valid, Version, VersionReport,
};
use coalmine_model::support::Random;

pub(crate) const ADMIN: Address = Address([0xad; 20]);
pub(crate) const OPERATOR: Address = Address([0x0b; 20]);
pub(crate) const REPORTER: Address = Address([0x4e; 20]);

/// The size of a ledger: how much of each thing it holds before it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) features: u64,
    /// Overrides, all of the first feature.
    pub(crate) overrides: u64,
    /// History entries, all of the first feature.
    pub(crate) history: u64,
    /// Plugins, each with a deployment.
    pub(crate) plugins: u64,
}

impl Size {
    pub(crate) const fn features(features: u64) -> Self {
        Self { features, overrides: 0, history: 0, plugins: 0 }
    }

    pub(crate) const fn plugins(plugins: u64) -> Self {
        Self { features: 0, overrides: 0, history: 0, plugins }
    }
}

pub(crate) fn name(feature: u64) -> Name {
    format!("feature_{feature:07}").parse().expect("the text obeys the rule of names")
}

pub(crate) fn plugin(number: u64) -> Name {
    format!("plugin_{number:07}").parse().expect("the text obeys the rule of names")
}

pub(crate) fn user(number: u64) -> Address {
    let mut random = Random(number);
    let mut address = [0; 20];
    address.copy_from_slice(&random.bytes(20));
    Address(address)
}

pub(crate) fn genesis() -> Genesis {
    let roles = [(ADMIN, Role::Admin.into()), (OPERATOR, Role::Operator.into()), (REPORTER, Role::Reporter.into())];
    Genesis::new("bench-1", roles).expect("the genesis obeys its rules")
}

fn payload(signer: Address, commands: Vec<Command>) -> Payload {
    Payload::Transaction(Transaction::new(signer, commands).expect("the commands obey their rules"))
}

fn start_canary_of(feature: u64) -> Command {
    Command::StartCanary { name: name(feature), percent: Percent::new(50).unwrap() }
}

pub(crate) fn start_canary(feature: u64) -> Payload {
    payload(OPERATOR, vec![start_canary_of(feature)])
}

pub(crate) fn report(feature: u64, successes: u32, errors: u32) -> Payload {
    let latency_total = u64::from(successes + errors) * 120;
    let report =
        Report { successes, errors, latency_total, latency_peak: 120, invariant_checks: 0, invariant_failures: 0 };
    payload(REPORTER, vec![Command::report(name(feature), report).unwrap()])
}

fn invariant(feature: u64) -> Payload {
    let report = Report {
        successes: 0,
        errors: 0,
        latency_total: 0,
        latency_peak: 0,
        invariant_checks: 1,
        invariant_failures: 0,
    };
    payload(REPORTER, vec![Command::report(name(feature), report).unwrap()])
}

fn set_override(feature: u64, user: Address) -> Payload {
    payload(OPERATOR, vec![Command::SetOverride { name: name(feature), user, enabled: true }])
}

/// A feature whose guard bears every error rate, and whose steps lie far ahead.
fn create(feature: u64) -> Payload {
    let changes = FeatureChanges {
        increment_blocks: Some(u32::MAX / 2),
        max_error_rate: Some(10_000),
        min_success_count: Some(0),
        ..FeatureChanges::default()
    };
    let description = Description::new("a feature of the benchmark").expect("the text is short");
    payload(
        ADMIN,
        vec![Command::CreateFeature { name: name(feature), description, changes: Valid::new(changes).unwrap() }],
    )
}

/// The most plugins of a ledger that have a deployment: there may be few more.
const DEPLOYED: u64 = 1_000;

/// Of so many plugins, every how many-th has a deployment: they are spread over all names.
const fn step(plugins: u64) -> u64 {
    if plugins > DEPLOYED { plugins / DEPLOYED } else { 1 }
}

/// The number of a plugin that has a deployment, of so many.
pub(crate) fn deployed(plugins: u64, index: u64) -> u64 {
    index % plugins.min(DEPLOYED) * step(plugins)
}

/// A plugin whose second version, if it is deployed, serves half of the units for ever, whatever is reported of it.
fn deploy(number: u64, is_deployed: bool) -> Payload {
    let (plugin, [old, new]) = (plugin(number), versions());
    let register = |version: &Version| Command::RegisterVersion {
        plugin,
        version: version.clone(),
        manifest: Valid::new(Arc::new(Manifest::of_code(Hash([0xc0; 32])))).unwrap(),
    };
    let stage = Stage { share_bps: Bps::new(5_000).unwrap(), blocks: u32::MAX / 2, min_requests: 0, gate: Gate::Time };
    let strategy = Strategy::Custom { on_complete: OnComplete::Promote, stages: vec![stage] };
    let terms = Guardrails { error_threshold_bps: Bps::FULL, max_blocks: None, ..strategy.default_guardrails() };
    let deploy = Command::deploy(plugin, new.clone(), strategy, &terms).unwrap();
    let mut commands = vec![register(&old), register(&new)];
    commands.extend(is_deployed.then_some(deploy));
    payload(ADMIN, commands)
}

fn versions() -> [Version; 2] {
    ["1.0.0", "2.0.0"].map(|text| text.parse().expect("the text is a version"))
}

/// A report of the new version of a plugin.
pub(crate) fn report_version(number: u64, requests: u32, errors: u32) -> Payload {
    let [_, version] = versions();
    let report = VersionReport { requests, errors, latency_total: u64::from(requests) * 120 };
    payload(REPORTER, vec![Command::report_version(plugin(number), version, report).unwrap()])
}

/// Transactions of a block that fills a ledger, so that 16 of its dearest commands each fit into the work of a block.
const FILLING_TXS: usize = BLOCK_TXS_MAX / 16;

/// The blocks that fill an empty ledger: every feature ends as a canary, every other one rolling out.
pub(crate) fn filling(size: Size) -> impl Iterator<Item = Block> {
    let creations = (0..size.features).map(create);
    let canaries = (0..size.features).map(start_canary);
    let rollouts = (0..size.features).skip(1).step_by(2).map(|feature| {
        payload(OPERATOR, vec![Command::StartRollout { name: name(feature), target_percent: Percent::FULL }])
    });
    let overrides = (0..size.overrides).map(|number| set_override(0, user(number)));
    let history = (0..size.history / 16).map(|_| payload(OPERATOR, vec![start_canary_of(0); 16]));
    let plugins = (0..size.plugins).map(move |number| deploy(number, number % step(size.plugins) == 0));
    let mut payloads = creations.chain(canaries).chain(rollouts).chain(overrides).chain(history).chain(plugins);
    (1..).map_while(move |height| {
        let some: Vec<Payload> = payloads.by_ref().take(FILLING_TXS).collect();
        (!some.is_empty()).then(|| block(height, some))
    })
}

/// A block that sets overrides.
pub(crate) fn overrides(height: Height, pairs: impl IntoIterator<Item = (u64, Address)>) -> Block {
    block(height, pairs.into_iter().map(|(feature, user)| set_override(feature, user)).collect())
}

/// A ledger of this size, in memory.
pub(crate) fn filled(size: Size) -> State {
    let (mut state, _) = State::genesis(&genesis()).unwrap();
    for block in filling(size) {
        let execution = state.execute(&block).unwrap();
        assert!(execution.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok), "{size:?} is not filled");
        state.apply(execution).unwrap();
    }
    state
}

/// Executes the next block on a state.
pub(crate) fn commit(state: &mut State, block: &Block) {
    let execution = state.execute(block).unwrap();
    state.apply(execution).unwrap();
}

pub(crate) fn block(height: Height, payloads: Vec<Payload>) -> Block {
    Block::from_payloads(height, payloads).expect("the block is within its limits")
}

/// Blocks of mixed traffic over all features, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    random: Random,
    features: u64,
    txs: usize,
    height: Height,
    /// Overrides that are set, the oldest first.
    set: VecDeque<(u64, Address)>,
}

impl Traffic {
    /// Traffic behind the block `tip`.
    pub(crate) fn new(features: u64, txs: usize, tip: Height) -> Self {
        Self { random: Random(42), features, txs, height: tip, set: VecDeque::new() }
    }

    pub(crate) fn next(&mut self) -> Block {
        self.height += 1;
        let payloads = (0..self.txs).map(|_| self.payload()).collect();
        block(self.height, payloads)
    }

    /// 70 % successes, 10 % errors, and a fifth of everything else that is usual.
    fn payload(&mut self) -> Payload {
        let feature = self.random.below(self.features);
        match self.random.below(100) {
            0..70 => report(feature, 1, 0),
            70..80 => report(feature, 0, 1),
            80..85 => invariant(feature),
            85..90 => self.set_override(feature),
            90..94 => self.clear_override(feature),
            94..97 => start_canary(feature & !1),
            97..98 => payload(
                OPERATOR,
                vec![
                    Command::Rollback { name: name(feature | 1), reason: Reason::Manual },
                    start_canary_of(feature | 1),
                    Command::StartRollout { name: name(feature | 1), target_percent: Percent::FULL },
                ],
            ),
            98..99 => {
                let user = user(self.random.next());
                let nested = Command::SetOverride { name: name(feature), user, enabled: false };
                payload(
                    OPERATOR,
                    vec![Command::Schedule { at: self.height + 1, commands: Valid::new(vec![nested]).unwrap() }],
                )
            }
            _ => report(feature, 500, 2),
        }
    }

    fn set_override(&mut self, feature: u64) -> Payload {
        let user = user(self.random.next());
        self.set.push_back((feature, user));
        set_override(feature, user)
    }

    fn clear_override(&mut self, feature: u64) -> Payload {
        match self.set.pop_front() {
            Some((feature, user)) => payload(OPERATOR, vec![Command::ClearOverride { name: name(feature), user }]),
            None => self.set_override(feature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_every_transaction_of_the_traffic_succeeds() {
        let mut state = filled(Size::features(1_000));
        let mut traffic = Traffic::new(1_000, 1_000, state.tip().unwrap());
        let (mut rejected, mut records) = (0, 0);
        for _ in 0..100 {
            let execution = state.execute(&traffic.next()).unwrap();
            rejected += execution.outcome().receipts.iter().filter(|receipt| **receipt != Receipt::Ok).count();
            records += execution.writes().len();
            state.apply(execution).unwrap();
        }
        assert!(rejected < 100, "{rejected} of 100 000 rejected");
        assert!((1_200..1_500).contains(&(records / 100)), "{} records a block", records / 100);
    }

    #[test]
    fn a_filled_ledger_has_its_size() {
        let size = Size { overrides: 10, history: 32, plugins: 3, ..Size::features(4) };
        let (mut state, _) = State::genesis(&genesis()).unwrap();
        let mut history = 0;
        for block in filling(size) {
            let execution = state.execute(&block).unwrap();
            assert!(execution.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok));
            history += execution.writes().iter().filter(|(key, _)| key.first() == Some(&0xd2)).count();
            state.apply(execution).unwrap();
        }
        assert_eq!((state.feature_count(), state.plugin_count()), (4, 3));
        assert_eq!(history, 4 + 4 + 2 + 32);
        // More than a block can do, and more deployments than there may be.
        filled(Size { history: 100_000, ..Size::features(1) });
        let state = filled(Size::plugins(5_000));
        assert!((0..DEPLOYED).all(|index| state.deployment(&plugin(deployed(5_000, index))).is_some()));
    }
}
