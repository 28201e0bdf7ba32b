//! The harnesses of TESTING.md: `cargo evidence NAME`.
//!
//! What a harness needs it installs: commands of cargo, targets, packages of Debian. Where that fails for a
//! part of it, it prints a line that begins with `SKIPPED:`. A failure begins with `FAILED:`.
#![allow(clippy::arithmetic_side_effects, reason = "it counts bytes and lines of our own sources")]

mod asserted;
mod builds;
mod core_tests;
mod coverage;
mod fuzz;
mod host;
mod long;
mod mutants;
mod supply;
mod switch;
mod workspace;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Runs a harness of TESTING.md in its long form.
#[derive(Debug, Parser)]
#[command(name = "cargo evidence", bin_name = "cargo evidence", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    harness: Harness,
}

#[derive(Debug, Subcommand)]
enum Harness {
    /// Search of a finite space, with a height more; takes 5 GB
    Search,
    /// Random worlds, core beside the model
    Worlds,
    /// Every pair of actions at the heights at which something happens
    Edges,
    /// Every role, command and status, and a million blocks of random guardians
    Roles,
    /// The same blocks in every profile and on every target
    Builds(builds::Args),
    /// Block files of old versions
    Golden,
    /// Kills, failing system calls, loss of power and bit rot
    Durability,
    /// A node that is killed under load, and whose disk fails
    NodeKills,
    /// Hostile bytes; takes days
    Fuzz(fuzz::Args),
    /// What the tests of core reach
    Coverage(coverage::Args),
    /// Changes of core that some test must notice
    Mutants(mutants::Args),
    /// An idle block, and the size of a state under spam
    Bounds,
    /// A million addresses and a hundred features
    Buckets,
    /// Instances and traps of plugins by the ten thousand, and memory afterwards
    Plugins,
    /// Bans, licences and sources of what is linked
    Supply,
    /// In short form, those that are no cargo test: supply, builds, coverage, mutants
    Short,
}

fn main() -> ExitCode {
    let found = match Cli::parse().harness {
        Harness::Search => long::run(long::SEARCH),
        Harness::Worlds => long::run(long::WORLDS),
        Harness::Edges => long::run(long::EDGES),
        Harness::Roles => long::run(long::ROLES),
        Harness::Builds(args) => builds::run(&args),
        Harness::Golden => long::run(long::GOLDEN),
        Harness::Durability => long::run_with("strace", long::DURABILITY),
        Harness::NodeKills => long::run_with("strace", long::NODE_KILLS),
        Harness::Fuzz(args) => fuzz::run(&args),
        Harness::Coverage(args) => coverage::run(&args),
        Harness::Mutants(args) => mutants::run(&args),
        Harness::Bounds => long::run_with("valgrind", long::BOUNDS),
        Harness::Buckets => long::run(long::BUCKETS),
        Harness::Plugins => long::run(long::PLUGINS),
        Harness::Supply => supply::run(),
        Harness::Short => short(),
    };
    match found {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the short forms, each with its time, until one fails.
fn short() -> Result<()> {
    step("supply", supply::run)?;
    step("builds", || builds::run(&builds::Args::short()))?;
    step("coverage", || coverage::run(&coverage::Args::default()))?;
    step("mutants", || mutants::run(&mutants::Args::short()))?;
    step("mutants, planted", || mutants::run(&mutants::Args::planted()))
}

fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    let start = Instant::now();
    run()?;
    eprintln!("== {name}: {} s", start.elapsed().as_secs());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let check = |line: &str, is_ok: bool| assert_eq!(Cli::try_parse_from(line.split(' ')).is_ok(), is_ok, "{line}");
        check("evidence short", true);
        check("evidence", false);
        check("evidence mutants --short", true);
        check("evidence mutants --short --planted", false);
        check("evidence builds --short --build s390x --seed 3", true);
        check("evidence builds --build sparc", false);
        check("evidence fuzz --executions 1000 --asan decode execute", true);
        check("evidence fuzz --asan decode", false);
        check("evidence fuzz nothing", false);
        check("evidence node-kills", true);
    }
}
