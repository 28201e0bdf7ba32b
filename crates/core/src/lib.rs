//! Feature flags and canary rollouts as consensus state.
//!
//! A pure, deterministic state machine: the same blocks give the same bytes, the same answers
//! and the same root on every node. There is no clock, no float, no randomness, no I/O and no
//! `unsafe` here; every transition is driven by block height.
//!
//! * [`State`] is the committed state, decoded, with its Merkle tree.
//! * [`State::execute`] runs a [`Block`] on it without changing it, and returns an [`Execution`]:
//!   receipts, events, the new root and one [`WriteSet`].
//! * [`State::apply`] turns an execution into the committed state, once the host (or
//!   `coalmine-store`) has durably written its write set.
//!
//! ```
//! use coalmine_core::prelude::*;
//! use coalmine_core::standard;
//!
//! let admin = Address([0x11; 20]);
//! let genesis = Genesis::new("example-1", [(admin, Role::Admin.into())])?;
//! let (mut state, _records) = State::genesis(&genesis)?;
//!
//! let name: Name = standard::VITA_RECOVERY_V2.parse()?;
//! let tx = Transaction::new(admin, vec![
//!     Command::create_feature(name, "second recovery path")?,
//!     Command::StartCanary { name, percent: Percent::new(standard::CANARY_PERCENT)? },
//! ])?;
//! let execution = state.execute(&Block::new(100, vec![tx])?)?;
//! state.apply(execution)?;
//!
//! assert!(!state.is_enabled(&name, &Address([0xee; 20])));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Plugins are code that nodes run under a name. The ledger knows the hash of each version, and decides
//! which version serves a request while a new one is being deployed:
//!
//! ```
//! use coalmine_core::prelude::*;
//!
//! let admin = Address([0x11; 20]);
//! let genesis = Genesis::new("example-1", [(admin, Role::Admin.into())])?;
//! let (mut state, _records) = State::genesis(&genesis)?;
//! let plugin: Name = "api".parse()?;
//! let (old, new): (Version, Version) = ("1.0.0".parse()?, "2.0.0".parse()?);
//!
//! // The first registered version becomes current. The canary gets 5 % of the units for 60 blocks, then 10 %, …
//! let register = |version: &Version, code| {
//!     Command::register_version(plugin, version.clone(), Manifest::of_code(Hash([code; 32])))
//! };
//! let strategy = Strategy::with_defaults(StrategyKind::Canary);
//! let guardrails = strategy.default_guardrails();
//! let deploy = Command::deploy(plugin, new.clone(), strategy, &guardrails)?;
//! let tx = Transaction::new(admin, vec![register(&old, 1)?, register(&new, 2)?, deploy])?;
//! let execution = state.execute(&Block::new(100, vec![tx])?)?;
//! state.apply(execution)?;
//!
//! // A unit is whatever requests are routed by: an account, a request id, any bytes.
//! let unit = (0..u64::MAX).map(u64::to_be_bytes).find(|unit| state.route(&plugin, unit) == Some(&new));
//! let unit = unit.ok_or("nobody")?;
//!
//! // 2 % errors exceed the 1 % that the guardrails of a canary allow: it is rolled back in this very block.
//! let report = VersionReport { requests: 1_000, errors: 20, latency_total: 9_000 };
//! let report = Command::report_version(plugin, new, report)?;
//! let execution = state.execute(&Block::new(101, vec![Transaction::new(admin, vec![report])?])?)?;
//! state.apply(execution)?;
//! assert_eq!(state.route(&plugin, &unit), Some(&old));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]
#![deny(clippy::float_arithmetic)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests"))]

extern crate alloc;

mod block;
mod bucket;
mod codec;
mod command;
mod delta;
mod event;
mod execute;
mod fault;
mod feature;
pub mod feed;
mod genesis;
mod graph;
mod hash;
mod index;
mod invariant;
mod key;
mod ledger;
mod names;
mod note;
mod overlay;
mod plugin;
pub mod query;
mod reject;
mod rounds;
mod rules;
mod schedule;
mod state;
mod tags;
pub mod tree;
mod valid;
mod values;
mod writes;

pub use block::{
    BLOCK_SIZE_MAX, BLOCK_TXS_MAX, Block, LimitError, Outcome, Payload, Receipt, Sequence, TX_COMMANDS_MAX, Transaction,
};
pub use bucket::{BUCKETS, bucket_first_byte, bucket_of_unit, bucket_sha256};
pub use codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
pub use command::tx::{CommandError, TxCommand};
pub use command::{COMMAND_SIZE_MAX, Command, CommandKind, SCHEDULE_COMMANDS_MAX};
pub use delta::Execution;
pub use event::fields::EventValue;
pub use event::{BreakerClosedBy, Event, EventCode};
pub use execute::BlockError;
pub use execute::price::BLOCK_WORK_MAX;
pub use feature::decide::{Exposure, Facts, Lookup, Verdict, Why, decide};
pub use feature::lifecycle::{Progress, blocks_to_step};
pub use feature::record::{
    Advance, Bucketing, Cause, Change, Feature, FeatureChanges, Lifetime, Metrics, MetricsRecord, Override,
    PREREQUISITE_DEPTH_MAX, PREREQUISITES_BELOW_MAX, PREREQUISITES_MAX, Policy, Reason, RollbackEvidence, RollbackRule,
    Status,
};
pub use feature::report::{Report, ReportTotals};
pub use feed::FeedAction;
pub use feed::record::{
    FEED_FORGET_IDS_MAX, FEED_LIVE_MAX, FEED_LIVE_OPEN_MAX, FEED_PUT_IDS_MAX, FEED_RECORDS_MAX, FEED_UNBORN_MAX,
    FeedBody, FeedEntry, FeedId, FeedItem, FeedKey, FeedKind, FeedPart, FeedTotals, ItemState,
};
pub use genesis::{Genesis, GenesisError};
pub use key::{DueKind, Key, KeyPrefix, STATE_KEYS};
pub use ledger::{Global, OpenBreaker, Params, ParamsChanges};
pub use note::Note;
pub use plugin::deployment::{
    ARM_REQUESTS_MAX, Deployment, DeploymentStatus, DeploymentSummary, Hold, ReportedShortfalls, Shortfall,
};
pub use plugin::engine::deployment_errors_left;
pub use plugin::manifest::{CONFIG_SIZE_MAX, METADATA_MAX, Manifest, REQUIREMENTS_MAX, Requirement};
pub use plugin::plan::{
    CompiledStrategy, Gate, Guardrails, OnComplete, Plan, STAGES_MAX, Stage, Strategy, StrategyKind,
};
pub use plugin::record::{
    Counts, DEPENDENTS_MAX, DEPLOYMENTS_MAX, Evidence, LOAD_DEPTH_MAX, LOAD_PLUGINS_MAX, LOADED_MAX, LoadState,
    MaxVersions, Plugin, PluginAction, PluginChange, PluginReason, PluginVersion, Registry, Threshold, VersionReport,
    VersionStatus,
};
pub use plugin::requirements::{LoadRefusal, PlannedLoad};
pub use plugin::version::{Constraint, Version};
pub use query::{Fault, Read};
pub use reject::Reject;
pub use rounds::{Pool, PoolEntry, PoolKind};
pub use rules::{RULES_NOTICE, RuleSet};
pub use schedule::{SCHEDULED_MAX, SCHEDULED_RESERVED, Scheduled, ScheduledRules};
pub use state::plugins::{PluginsMark, Router};
pub use state::{Handle, PluginHandle, StaleExecution, State};
pub use valid::{Valid, Validate};
pub use values::{Address, Bps, ChainId, Description, FORMAT, Hash, Height, Name, Percent, Role, Roles, ValueError};
pub use writes::WriteSet;

/// What every host needs: blocks and what is in them, the state, and what comes out of a block.
///
/// ```
/// use coalmine_core::prelude::*;
/// ```
pub mod prelude {
    pub use crate::{
        Address, Block, BlockError, Bps, Command, Event, Execution, Genesis, Guardrails, Hash, Height, Manifest, Name,
        Outcome, Percent, Receipt, Reject, Report, Role, State, Strategy, StrategyKind, Transaction, Valid, Version,
        VersionReport,
    };
}

/// Names of the reference implementation's standard features.
pub mod standard {
    /// Second recovery path.
    pub const VITA_RECOVERY_V2: &str = "vita_recovery_v2";
    /// Tribute gaming detection.
    pub const TRIBUTE_GAMING_DETECT: &str = "tribute_gaming_detect";
    /// Cross-chain proofs.
    pub const CROSS_CHAIN_PROOFS: &str = "cross_chain_proofs";
    /// Commit-reveal investing.
    pub const COMMIT_REVEAL_INVEST: &str = "commit_reveal_invest";
    /// Enhanced audit logging.
    pub const ENHANCED_AUDIT_LOGGING: &str = "enhanced_audit_logging";
    /// Automatic circuit breaker.
    pub const CIRCUIT_BREAKER_AUTO: &str = "circuit_breaker_auto";
    /// All of the names, in the order of the reference.
    pub const ALL: [&str; 6] = [
        VITA_RECOVERY_V2,
        TRIBUTE_GAMING_DETECT,
        CROSS_CHAIN_PROOFS,
        COMMIT_REVEAL_INVEST,
        ENHANCED_AUDIT_LOGGING,
        CIRCUIT_BREAKER_AUTO,
    ];
    /// The reference's default percentage of a canary.
    pub const CANARY_PERCENT: u8 = 5;
}
