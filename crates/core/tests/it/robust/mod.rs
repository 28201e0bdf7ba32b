//! Bytes that are cut, flipped or out of place, and numbers at their edges.
//!
//! Whatever is accepted re-encodes to the very bytes that were read; nothing panics; a state whose
//! records were damaged is a fault that names the record, or the state of exactly those records.

mod contradictions;
mod damage;
mod fields;
mod limits;
mod numbers;
mod queries;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;

use coalmine_core::query::{self, Entries, Fault};
use coalmine_core::{
    ARM_REQUESTS_MAX, Address, Advance, BLOCK_SIZE_MAX, BLOCK_TXS_MAX, Block, BlockError, Bps, BreakerClosedBy,
    Bucketing, COMMAND_SIZE_MAX, CONFIG_SIZE_MAX, Cause, ChainId, Change, Command, CommandError, CommandKind,
    Constraint, Counts, DEPENDENTS_MAX, Decode, DecodeError, DecodeErrorKind, Deployment, DueKind, Encode, Event,
    EventCode, Evidence, FEED_LIVE_MAX, FEED_RECORDS_MAX, Feature, FeatureChanges, FeedEntry, FeedId, FeedItem,
    FeedKey, FeedKind, FeedPart, FeedTotals, Gate, Genesis, GenesisError, Global, Guardrails, Hash, Height, Hold,
    ItemState, Key, KeyPrefix, LOADED_MAX, Lifetime, LimitError, LoadState, METADATA_MAX, Manifest, MaxVersions,
    Metrics, MetricsRecord, Name, OnComplete, Override, Params, ParamsChanges, Payload, Percent, Plan, Plugin,
    PluginAction, PluginChange, PluginReason, PluginVersion, Policy, Pool, PoolEntry, PoolKind, REQUIREMENTS_MAX,
    Reader, Reason, Receipt, Registry, Reject, Report, Requirement, Role, Roles, RollbackEvidence, RollbackRule,
    RuleSet, SCHEDULE_COMMANDS_MAX, STAGES_MAX, STATE_KEYS, Scheduled, Shortfall, Stage, State, Status, Strategy,
    StrategyKind, TX_COMMANDS_MAX, Threshold, Transaction, TxCommand, Valid, Validate, ValueError, Version,
    VersionReport, VersionStatus, Writer,
};

use crate::common::plugins::{deploy_bytes, tell_version};
use crate::common::*;

/// Reads bytes as one type and writes what it read: how it looks, and its bytes.
type Codec = fn(&[u8]) -> Result<(String, Vec<u8>), DecodeError>;

fn codec<T: Decode + Encode + Debug>(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    let value = T::from_bytes(bytes)?;
    Ok((format!("{value:?}"), value.to_bytes()))
}

fn command_codec(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    let command = TxCommand::from_bytes(bytes)?;
    Ok((format!("{command:?}"), command.to_bytes()))
}

/// A register_version that may break any rule.
struct RawManifest {
    plugin: Vec<u8>,
    version: Vec<u8>,
    host: Vec<u8>,
    requirements: Vec<(Vec<u8>, Vec<u8>)>,
    config: Vec<u8>,
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for RawManifest {
    fn default() -> Self {
        let (plugin, version) = (b"p".to_vec(), b"1.0.0".to_vec());
        Self { plugin, version, host: vec![], requirements: vec![], config: vec![], metadata: vec![] }
    }
}

impl RawManifest {
    fn command(&self) -> Vec<u8> {
        let mut out = Writer::default();
        CommandKind::RegisterVersion.encode(&mut out);
        out.lp8(&self.plugin);
        out.lp8(&self.version);
        self.encode_behind_version(&mut out);
        out.into_bytes()
    }

    fn encode_behind_version(&self, out: &mut Writer) {
        out.hash(&Hash([7; 32]));
        out.lp8(&self.host);
        pairs(out, &self.requirements);
        out.lp16(&self.config);
        pairs(out, &self.metadata);
    }
}

fn pairs(out: &mut Writer, pairs: &[(Vec<u8>, Vec<u8>)]) {
    out.u8(u8::try_from(pairs.len()).unwrap());
    for (key, text) in pairs {
        out.lp8(key);
        out.lp8(text);
    }
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn constraint(text: &str) -> Constraint {
    text.parse().unwrap()
}

/// A version without requirements.
fn a_plugin_change() -> PluginChange {
    PluginChange {
        action: PluginAction::Staged,
        version: version("1.0.0"),
        success: true,
        share: Bps::ZERO,
        duration: 0,
        reason: PluginReason::None,
        actor: Address::ZERO,
        evidence: None,
    }
}

fn a_version() -> PluginVersion {
    PluginVersion {
        version: version("1.0.0"),
        status: VersionStatus::Loading,
        registered: 1,
        reported: None,
        counts: Counts::default(),
        manifest: Manifest::of_code(Hash([7; 32])).into(),
    }
}

/// A blue_green deployment in its first stage.
fn a_deployment() -> Deployment {
    let strategy = Strategy::with_defaults(StrategyKind::BlueGreen);
    Deployment {
        strategy: strategy.kind(),
        old: version("1.0.0"),
        new: version("2.0.0"),
        hold: Hold::Running,
        held: Default::default(),
        healthy: false,
        stage: 0,
        stage_height: 1,
        start: 1,
        due: None,
        salt: 1,
        plan: Plan::compile(&strategy, &strategy.default_guardrails()).unwrap().into(),
        canary: Counts { requests: 9, errors: 5, latency_sum: 0 },
        production: Counts::default(),
        stage_requests: 8,
        stage_errors: 4,
    }
}

/// A small ledger with a record of every kind but those of plugins.
fn rich() -> World {
    let mut world = World::with_params(Params {
        max_due_per_block: 9,
        breaker_rollbacks: NonZeroU32::new(5),
        breaker_window: 50,
        ..Params::default()
    });
    world.run(10, ADMIN, &[create_with("a", steps_every(100))]);
    world.run(11, ADMIN, &[create_on("ab", &["a"]), grant(USER, Role::Reporter)]);
    world.run(12, OPERATOR, &[canary("a", 5), rollout("a", 50), set_override("a", USER, true), canary("ab", 1)]);
    world.run(13, REPORTER, &[report("a", 3, 0)]);
    world.at(
        14,
        vec![
            tx(OPERATOR, &[schedule(40, vec![enable("a"), canary("ab", 2)])]),
            // An item in each state, and an open put that lists one of them.
            tx(
                FEEDER,
                &[put(FeedPart::Only, &[("e", 1), ("f", 1)], &[("e", 1)]), put(FeedPart::Only, &[("e", 2)], &[])],
            ),
            tx(FEEDER, &[gone(FeedKind::Filter, "g", 1), put(FeedPart::First, &[("e", 2)], &[])]),
            // A round of two reporters, and a signer who counts.
            tx(ADMIN, &[change_params(ParamsChanges { round_blocks: Some(7), ..ParamsChanges::default() })]),
            tx(REPORTER, &[report("a", 5, 1)]),
            sequenced(USER, 3, 0, &[report("a", 4, 0)]),
        ],
    );
    world
}

/// A small ledger with a record of every kind of plugins.
///
/// `api` is Loading and in a canary; it requires `lib`, which is Loaded. `web` waits for `ui`, which
/// does not exist, and `late` is in the load queue.
fn rich_in_plugins() -> World {
    let mut world = World::new();
    let deploy = {
        let strategy = Strategy::with_defaults(StrategyKind::AbTest);
        let terms = strategy.default_guardrails();
        Command::deploy(name("api"), version("1.1.0"), strategy, &terms).unwrap()
    };
    let host = Command::SetHostVersion { version: version("1.4.0") };
    let auto = Command::SetRegistryParams { max_versions: None, auto_load: Some(true) };
    let attest = Command::ReportLoad { plugin: name("lib"), version: version("1.0.0"), ok: true };
    let api = [register("api", "1.0.0+b", &["lib"]), register("api", "1.1.0", &["lib"])];
    world.run(10, ADMIN, &[&[host, register("lib", "1.0.0", &[])], &api[..]].concat());
    world.run(11, ADMIN, &[auto, register("web", "1.0.0", &["ui"])]);
    world.run(12, OPERATOR, &[Command::Load { plugin: name("api") }]);
    world.run(13, REPORTER, &[attest]);
    let rounds = change_params(ParamsChanges { round_blocks: Some(7), ..ParamsChanges::default() });
    let outcome = world.at(
        14,
        vec![
            tx(OPERATOR, &[deploy]),
            tx(ADMIN, &[register("late", "1.0.0", &[]), rounds]),
            tx(REPORTER, &[tell_version("api", "1.1.0", 5, 1)]),
        ],
    );
    assert_eq!(outcome.receipts, [Receipt::Ok; 3]);
    world
}

/// A version that requires any of these plugins.
fn register(plugin: &str, text: &str, requirements: &[&str]) -> Command {
    let requirement = |plugin: &&str| Requirement { plugin: name(plugin), constraint: constraint("*") };
    let requirements = requirements.iter().map(requirement).collect();
    let manifest = Manifest { requirements, ..Manifest::of_code(Hash([7; 32])) };
    Command::RegisterVersion {
        plugin: name(plugin),
        version: version(text),
        manifest: Valid::new(Arc::new(manifest)).unwrap(),
    }
}
