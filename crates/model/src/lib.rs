//! A plain reference model of the state machine: read it before `coalmine-core`.
//!
//! It has the rules in their plainest form. Every number is a u128, every block looks at everything, a transaction
//! works on a copy of the whole state, and what core keeps up incrementally (indexes, due entries, counts, the tree)
//! is derived from scratch whenever somebody asks. It shares the vocabulary of core (addresses, rejects, events) and
//! none of its logic or codecs, so a mistake in either shows as a difference between the two. RULES.md, in the folder
//! of core, has the same rules in prose, and FORMAT.md the bytes. Not here: speed, stores, faults.
//!
//! The order in which to read:
//!
//! 1. [`Model`], in this file: everything that a ledger keeps;
//! 2. `block.rs`: what a block does, step by step;
//! 3. `command.rs`: what each command does, as a list of guards and then the writes; before it, `authority.rs`,
//!    `limits.rs` and `work.rs`: who may send it, with which values, and what it pays;
//! 4. `feature.rs` and `breaker.rs`: trials, steps, the guard; what stops everything;
//! 5. `schedule.rs` and `rounds.rs`: what waits, and what a quorum of reporters says;
//! 6. `plugins/`: versions in `mod.rs`, then `commands.rs`, `deployment.rs` and `engine.rs`;
//! 7. `loading.rs`, then `feed.rs`;
//! 8. `answers.rs` and `plugins/answers.rs`: who has a feature on, which version serves whom.
//!
//! The bytes are last and can wait: [`raw`] reads and writes commands, `records/` the keys and values of a state,
//! `root.rs` its root. [`generate`] makes random worlds to run through model and core, [`support`] runs them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test support: a model that is wrong must fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::{Address, Encode, Event, Genesis, Reason};

mod answers;
mod authority;
mod block;
mod breaker;
mod command;
mod feature;
mod feed;
pub mod generate;
mod limits;
mod loading;
mod plugins;
pub mod raw;
mod records;
mod root;
mod rounds;
mod schedule;
pub mod support;
#[cfg(test)]
mod tests;
mod work;

pub use answers::OpenRound;
pub use block::Refused;
pub use plugins::{PluginAnswer, PluginChange};
pub use root::root;

use breaker::Breaker;
use feature::Feature;
use plugins::{Plugin, Registry};
use rounds::{Pool, PoolKey};
use schedule::Scheduled;

/// The order of the tags in records and commands.
const REASONS: [Reason; 6] = [
    Reason::Manual,
    Reason::ErrorRate,
    Reason::InvariantViolation,
    Reason::CircuitBreaker,
    Reason::ConsensusFailure,
    Reason::Performance,
];

const ADMIN: u8 = 1;
const OPERATOR: u8 = 2;
const REPORTER: u8 = 4;
const GUARDIAN: u8 = 8;
const FEEDER: u8 = 16;

/// The newest rule set that this model knows; it knows all before it, too.
const RULES_KNOWN: u16 = 1;
/// The rule set for tests of the way from one to the next, which a model knows only if it is told. A new feature grows by
/// 100 percent under it, disable has a second tag, and the count of the schedule is wider.
pub const TEST_RULES: u16 = u16::MAX;

const U64_MAX: u128 = u64::MAX as u128;
const U32_MAX: u128 = u32::MAX as u128;

/// A rule that the model gets wrong on purpose: a harness that compares core with the model proves itself by noticing.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The guard fires at the threshold of the error rate, not only above it.
    RateAtThreshold,
    /// Steps are made a block early.
    StepEarly,
    /// The breaker expires a block late.
    BreakerLate,
    /// A rejected transaction keeps the effects of its first commands.
    RejectLeaves,
    /// A guardian may start a canary.
    GuardianStarts,
    /// A stage of a deployment ends a block early.
    StageEarly,
    /// The deadline of a deployment comes a block late.
    DeadlineLate,
    /// A plugin is loaded before its requirements.
    LoadEarly,
    /// A round counts reporters who have lost the role.
    RoundOfAnybody,
    /// A round acts on what one reporter says.
    RoundOfOne,
    /// A step that no round has fed is made.
    ShortRoundGrows,
    /// A sequence may be used twice.
    SequenceTwice,
    /// A transaction runs after the last height at which it may.
    ExpiredRuns,
    /// The timelock is a block shorter.
    TimelockShort,
    /// A guardian may cancel any entry of the schedule.
    GuardianCancelsAll,
    /// An entry that changes to unknown rules stops nobody.
    UnknownRulesSkipped,
    /// New rules are in force in the block that changes to them.
    RulesAtOnce,
    /// What is undone gets its price back.
    UndoRefunds,
    /// The commands of an emergency pay.
    EmergencyPays,
    /// Scheduled commands come before the drain.
    DrainLast,
    /// Deadlines wait for the breaker.
    DeadlineWaits,
    /// The breaker counts a deadline as a fault.
    DeadlineCounts,
    /// A breaker that is open cannot be made stricter.
    OpenBreakerStays,
    /// A reset of the breaker leaves the count of rollbacks.
    ResetKeepsCount,
    /// A step is made over a prerequisite that is off.
    StepIgnoresPrerequisite,
    /// A step that is held stays due.
    HeldStepStays,
    /// A paused rollout starts again from nothing.
    PauseLosesPercent,
    /// A report of a finished trial counts for the next one.
    StaleReportCounts,
    /// The history of a rollback has no figures.
    HistoryWithoutFigures,
    /// A version that may not run is deployed.
    DeployOfForbidden,
    /// An arm that is full takes no more reports.
    FullArmRefuses,
}

impl Planted {
    /// Every planted fault.
    pub const ALL: [Self; 31] = [
        Self::RateAtThreshold,
        Self::StepEarly,
        Self::BreakerLate,
        Self::RejectLeaves,
        Self::GuardianStarts,
        Self::StageEarly,
        Self::DeadlineLate,
        Self::LoadEarly,
        Self::RoundOfAnybody,
        Self::RoundOfOne,
        Self::ShortRoundGrows,
        Self::SequenceTwice,
        Self::ExpiredRuns,
        Self::TimelockShort,
        Self::GuardianCancelsAll,
        Self::UnknownRulesSkipped,
        Self::RulesAtOnce,
        Self::UndoRefunds,
        Self::EmergencyPays,
        Self::DrainLast,
        Self::DeadlineWaits,
        Self::DeadlineCounts,
        Self::OpenBreakerStays,
        Self::ResetKeepsCount,
        Self::StepIgnoresPrerequisite,
        Self::HeldStepStays,
        Self::PauseLosesPercent,
        Self::StaleReportCounts,
        Self::HistoryWithoutFigures,
        Self::DeployOfForbidden,
        Self::FullArmRefuses,
    ];
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    planted: Option<Planted>,
    knows_test_rules: bool,
    tip: Option<u128>,
    /// The rules of the next block.
    rules: u16,
    /// The rules of the current block: those that the block before it left.
    rules_of_block: u16,
    chain: Vec<u8>,
    params: raw::Params,
    breaker: Option<Breaker>,
    rollback_window_start: u128,
    rollbacks_in_window: u128,
    next_schedule_id: u128,
    roles: BTreeMap<Address, u8>,
    /// The last sequence that each signer has used.
    sequences: BTreeMap<Address, u64>,
    features: BTreeMap<Vec<u8>, Feature>,
    /// Scheduled entries by height and id.
    schedule: BTreeMap<(u128, u128), Scheduled>,
    /// What reporters have said in rounds that are not closed yet.
    pools: BTreeMap<PoolKey, Pool>,
    registry: Registry,
    plugins: BTreeMap<Vec<u8>, Plugin>,
    /// The load queue: heights and plugins, due work of kind 3.
    load_queue: BTreeSet<(u128, Vec<u8>)>,
    feed: feed::Feed,
    /// The events of the current block. They are part of the state, so that a failed transaction takes them back.
    events: Vec<Event>,
    /// What is left of the work of the current block. No failure gives any of it back.
    work_left: u128,
}

impl Model {
    /// The state before the first block.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        Self::of_raw(raw::Genesis::from_bytes(&genesis.to_bytes()).expect("a genesis is encoded as the format says"))
    }

    /// The state before the first block, of a genesis that is valid.
    #[must_use]
    pub fn of_raw(genesis: raw::Genesis) -> Self {
        let raw::Genesis { rules, chain, roles, params } = genesis;
        Self {
            planted: None,
            knows_test_rules: false,
            tip: None,
            rules,
            rules_of_block: rules,
            chain,
            params,
            breaker: None,
            rollback_window_start: 0,
            rollbacks_in_window: 0,
            next_schedule_id: 1,
            roles,
            sequences: BTreeMap::new(),
            features: BTreeMap::new(),
            schedule: BTreeMap::new(),
            pools: BTreeMap::new(),
            registry: Registry::default(),
            plugins: BTreeMap::new(),
            load_queue: BTreeSet::new(),
            feed: feed::Feed::default(),
            events: Vec::new(),
            work_left: 0,
        }
    }

    /// The same with a planted fault.
    #[doc(hidden)]
    #[must_use]
    pub fn planted(genesis: &Genesis, planted: Option<Planted>) -> Self {
        Self { planted, ..Self::genesis(genesis) }
    }

    /// The same, knowing the rules for tests, as a build of core does that has them.
    #[must_use]
    pub fn with_test_rules(self) -> Self {
        Self { knows_test_rules: true, ..self }
    }

    fn knows(&self, rules: u16) -> bool {
        rules <= RULES_KNOWN || (self.knows_test_rules && rules == TEST_RULES)
    }

    fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    /// By how many a rule with this fault is off: 1, or 0 without it.
    fn off_by(&self, planted: Planted) -> u128 {
        u128::from(self.has(planted))
    }
}
