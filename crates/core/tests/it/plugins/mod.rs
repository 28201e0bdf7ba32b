//! Plugins as a whole: what every command does from every status, hold and load state; every reject;
//! plans from their start to each of their ends; giving way, breaker, schedules and due work.
//!
//! Loading has its own file. The world of `common` checks after every block that records, indexes
//! and state agree.

mod due;
mod holds;
mod plans;
mod rejects;
mod status;

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::num::NonZeroU32;

use coalmine_core::{
    Address, Block, Bps, Command, CommandKind, Encode, Event, Gate, Guardrails, Height, Hold, LoadState, OnComplete,
    Params, Payload, PluginAction, PluginReason, Receipt, Reject, ReportedShortfalls, Shortfall, Stage, Strategy,
    StrategyKind, VersionStatus, Writer,
};

use crate::common::plugins::*;
use crate::common::*;

/// A command made of bytes that may break its rules.
fn raw(kind: CommandKind, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    kind.encode(&mut out);
    write(&mut out);
    out.into_bytes()
}

/// A command of a plugin and a version, both as they are given, and what follows them.
fn raw_named(kind: CommandKind, plugin: &str, version: &str, rest: &[u8]) -> Vec<u8> {
    raw(kind, |out| {
        out.lp8(plugin.as_bytes());
        out.lp8(version.as_bytes());
        out.raw(rest);
    })
}

/// The rest of a deploy behind plugin and version.
fn raw_plan(strategy: Strategy, terms: Guardrails) -> Vec<u8> {
    let whole = deploy_bytes("p", "1.0.0", &strategy, &terms);
    let head = 1 + (1 + "p".len()) + (1 + "1.0.0".len());
    whole[head..].to_vec()
}

fn raw_deploy(plugin: &str, version: &str, strategy: Strategy, terms: Guardrails) -> Vec<u8> {
    raw_named(CommandKind::Deploy, plugin, version, &raw_plan(strategy, terms))
}

fn ab(share_bps: u16, duration_blocks: u32) -> Strategy {
    Strategy::AbTest { share_bps: Bps::new(share_bps).unwrap(), duration_blocks }
}

fn canary_of(
    initial_bps: u16,
    increment_bps: u16,
    increment_blocks: u32,
    max_bps: u16,
    observation_blocks: u32,
) -> Strategy {
    Strategy::Canary {
        initial_bps: Bps::new(initial_bps).unwrap(),
        increment_bps,
        increment_blocks,
        max_bps: Bps::new(max_bps).unwrap(),
        observation_blocks,
    }
}

/// A strategy at work: `p` goes from 1.0.0 to 2.0.0, deployed at height 10.
struct Story {
    what: &'static str,
    strategy: Strategy,
    terms: Guardrails,
    /// Commands with their heights. Those of one height are transactions of one block.
    script: Vec<(Height, Command)>,
    /// The last block.
    end: Height,
    /// All that is told from height 11 on, and what is refused.
    told: &'static [&'static str],
}

/// The world after a story, and what was told of it.
fn play(strategy: Strategy, terms: Guardrails, script: &[(Height, Command)], end: Height) -> (World, Vec<String>) {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    world.all_at(10, &[deploy("p", "2.0.0", strategy, terms)]);
    let mut refusals = Vec::new();
    for height in script.iter().map(|(height, _)| *height).collect::<BTreeSet<_>>() {
        let commands: Vec<&Command> = script.iter().filter(|(at, _)| *at == height).map(|(_, one)| one).collect();
        let outcome = world.at(height, commands.iter().map(|command| give((*command).clone())).collect());
        for receipt in outcome.receipts {
            if let Receipt::Rejected { reject, .. } = receipt {
                refusals.push(format!("{height} refused {reject}"));
            }
        }
    }
    world.advance(end);
    let told = [world.lines_from(11), refusals].concat();
    (world, told)
}

fn check(stories: Vec<Story>) {
    for Story { what, strategy, terms, script, end, told } in stories {
        assert_eq!(play(strategy, terms, &script, end).1, told, "{what}");
    }
}

/// A report of the new version.
fn new(requests: u32, errors: u32) -> Command {
    tell_version("p", "2.0.0", requests, errors)
}

/// A report of the old version.
fn old(requests: u32, errors: u32) -> Command {
    tell_version("p", "1.0.0", requests, errors)
}

fn healthy() -> Command {
    attest("p", "2.0.0", true)
}

/// The terms of a strategy where nothing is said.
fn defaults(strategy: &Strategy) -> Guardrails {
    strategy.default_guardrails()
}
