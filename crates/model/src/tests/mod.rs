//! The rules that are about trust, as rows: a state, a command, and what comes of it.

use coalmine_core::{Address, Block, Event, Outcome};

use crate::block::Refused;
use crate::raw::{self, Changes, Command, Params, PluginCommand, Policy, Report, Sequence, Transaction};
use crate::{ADMIN, FEEDER, GUARDIAN, Model, OPERATOR, REPORTER};

mod breaker;
mod due;
mod loading;
mod rounds;
mod trust;
mod work;

const A: Address = Address([0x11; 20]);
const O: Address = Address([0x22; 20]);
const R: Address = Address([0x33; 20]);
const G: Address = Address([0x44; 20]);
const F: Address = Address([0x55; 20]);
const NOBODY: Address = Address([0x99; 20]);

/// A ledger at height 9, with a signer for each role.
fn ledger(params: Params) -> Model {
    let roles = [(A, ADMIN), (O, OPERATOR), (R, REPORTER), (G, GUARDIAN), (F, FEEDER)];
    let mut model = Model::of_raw(raw::Genesis { rules: 1, chain: b"t".to_vec(), roles: roles.into(), params });
    at(&mut model, 9, &[]);
    model
}

fn plain() -> Model {
    ledger(Params::default())
}

/// Runs a block, and gives its outcome.
fn run(model: &mut Model, h: u32, txs: &[Transaction]) -> Result<Outcome, Refused> {
    model.execute(&Block::from_encoded(h, txs.iter().map(Transaction::to_bytes)).unwrap())
}

/// Runs a block of one command a transaction, with empty blocks before it; gives receipts and events by name.
fn at(model: &mut Model, h: u32, commands: &[(Address, Command)]) -> (Vec<&'static str>, Vec<&'static str>) {
    model.advance(h.saturating_sub(1)).unwrap();
    let tx = |(signer, command): &(Address, Command)| Transaction::unsequenced(*signer, vec![command.clone()]);
    let outcome = run(model, h, &commands.iter().map(tx).collect::<Vec<_>>()).unwrap();
    (outcome.receipts.iter().map(|receipt| receipt.name()).collect(), names(&outcome))
}

fn names(outcome: &Outcome) -> Vec<&'static str> {
    outcome.events.iter().map(|event: &Event| event.code().name()).collect()
}

/// The same, and all must succeed.
#[track_caller]
fn all(model: &mut Model, h: u32, commands: &[(Address, Command)]) -> Vec<&'static str> {
    let (receipts, events) = at(model, h, commands);
    assert!(receipts.iter().all(|receipt| *receipt == "ok"), "{receipts:?}");
    events
}

/// The receipt of a command in a block of its own, which is not kept.
fn answer(model: &Model, h: u32, signer: Address, command: &Command) -> &'static str {
    at(&mut model.clone(), h, &[(signer, command.clone())]).0[0]
}

// Commands in short.

fn create(name: &str) -> Command {
    create_on(name, &[])
}

fn create_on(name: &str, prerequisites: &[&str]) -> Command {
    let prerequisites = prerequisites.iter().map(|name| name.as_bytes().to_vec()).collect();
    let policy = Some(Policy { prerequisites, ..Policy::default() });
    let changes = Changes { increment_blocks: Some(1), min_success_count: Some(0), policy, ..Changes::default() };
    Command::CreateFeature { name: name.into(), description: Vec::new(), changes }
}

fn canary(name: &str) -> Command {
    Command::StartCanary { name: name.into(), percent: 5 }
}

fn rollout(name: &str) -> Command {
    Command::StartRollout { name: name.into(), target_percent: 100 }
}

fn enable(name: &str) -> Command {
    Command::Enable { name: name.into() }
}

fn disable(name: &str) -> Command {
    Command::Disable { name: name.into() }
}

fn rollback(name: &str) -> Command {
    Command::Rollback { name: name.into(), reason: 0 }
}

fn pause_rollout(name: &str) -> Command {
    Command::PauseRollout { name: name.into() }
}

fn set_override(name: &str, enabled: bool) -> Command {
    Command::SetOverride { name: name.into(), user: NOBODY, enabled }
}

fn clear_override(name: &str) -> Command {
    Command::ClearOverride { name: name.into(), user: NOBODY }
}

fn report(name: &str, successes: u32, errors: u32) -> Command {
    Command::Report { name: name.into(), report: Report { successes, errors, ..Report::default() }, trial: None }
}

fn trip(until: u32, drain: bool) -> Command {
    Command::TripBreaker { reason: 0, until, drain }
}

fn schedule(at: u32, commands: &[Command]) -> Command {
    Command::Schedule { at, commands: commands.to_vec() }
}

fn set_params() -> [Option<u32>; 4] {
    [None; 4]
}

/// Breaker rollbacks and window, timelock, blocks of a round.
fn params([breaker_rollbacks, breaker_window, timelock, round_blocks]: [Option<u32>; 4]) -> Command {
    Command::SetParams {
        max_due_per_block: None,
        breaker_rollbacks,
        breaker_window,
        timelock,
        sequenced: None,
        round_blocks,
        quorum: None,
    }
}

fn max_due(n: u32) -> Params {
    Params { max_due_per_block: n, ..Params::default() }
}

fn rounds(round_blocks: u32, quorum: u8) -> Params {
    Params { round_blocks, quorum, ..Params::default() }
}

fn register(plugin: &str, version: &str, requirements: &[&str]) -> Command {
    Command::Plugin(PluginCommand::RegisterVersion {
        plugin: plugin.into(),
        version: version.into(),
        code_hash: [1; 32],
        host: Vec::new(),
        requirements: requirements.iter().map(|name| (name.as_bytes().to_vec(), b"*".to_vec())).collect(),
        config: Vec::new(),
        metadata: Vec::new(),
    })
}

/// A deployment of one stage behind this gate (0 time, 1 manual, 2 health).
fn deploy(plugin: &str, version: &str, gate: u8, blocks: u32, max_blocks: u32, auto_rollback: bool) -> Command {
    let stage = raw::Stage { share_bps: 100, blocks, min_requests: 0, gate };
    let terms = raw::Guardrails {
        error_threshold_bps: 100,
        success_threshold_bps: 0,
        min_requests: 0,
        max_blocks,
        auto_promote: true,
        auto_rollback,
        regression_z_centi: 0,
    };
    let strategy = raw::Strategy::Custom { on_complete: 0, stages: vec![stage] };
    Command::Plugin(PluginCommand::Deploy { plugin: plugin.into(), version: version.into(), strategy, terms })
}

fn on_plugin(tag: u8, plugin: &str) -> Command {
    let plugin = plugin.into();
    Command::Plugin(match tag {
        42 => PluginCommand::Pause { plugin },
        43 => PluginCommand::Resume { plugin },
        44 => PluginCommand::Promote { plugin },
        45 => PluginCommand::RollbackDeployment { plugin },
        46 => PluginCommand::Revert { plugin },
        51 => PluginCommand::Load { plugin },
        _ => panic!("{tag} has more fields"),
    })
}

fn unload(plugin: &str, force: bool) -> Command {
    Command::Plugin(PluginCommand::Unload { plugin: plugin.into(), force })
}

/// An attestation (54 health, 55 load, 56 unload) of 1.0.0.
fn attest(tag: u8, plugin: &str, yes: bool) -> Command {
    attest_version(tag, plugin, "1.0.0", yes)
}

fn attest_version(tag: u8, plugin: &str, version: &str, yes: bool) -> Command {
    let (plugin, version) = (plugin.into(), version.into());
    Command::Plugin(match tag {
        54 => PluginCommand::AttestHealth { plugin, version, healthy: yes },
        55 => PluginCommand::ReportLoad { plugin, version, ok: yes },
        56 => PluginCommand::ReportUnload { plugin, version, ok: yes },
        _ => panic!("{tag} attests nothing"),
    })
}

fn report_version(plugin: &str, version: &str, requests: u32, errors: u32) -> Command {
    Command::Plugin(PluginCommand::ReportVersion {
        plugin: plugin.into(),
        version: version.into(),
        requests,
        errors,
        latency_total: 0,
        deployment: None,
    })
}
