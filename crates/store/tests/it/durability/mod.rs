//! Durability of the RocksDB store, as figures: what is acknowledged survives kills, failing system
//! calls and power cuts, and damaged bytes never pass for a state. The full disk is in `rocks`.
//!
//! Each harness has a short form, which runs when nothing else is said, a long form, and a planted
//! fault that it must find. A failure prints the command that repeats it. The long forms:
//!
//! | harness | long form |
//! |---|---|
//! | `kills` | `COALMINE_KILLS=1000` |
//! | `io_faults` | `COALMINE_IO_FAULTS=all` |
//! | `power_cuts` | `COALMINE_POWER_CUTS=60` |
//! | `bit_rot` | `COALMINE_BIT_ROT=all` |
//!
//! before `cargo test --release --workspace --all-features --test it -- --nocapture durability::HARNESS`.

mod bit_rot;
mod child;
mod io_faults;
mod kills;
mod power_cuts;
mod story;

use std::io::Write as _;
use std::str::FromStr;

/// The command that runs a harness, for behind the variables that say how.
fn command(harness: &str) -> String {
    format!("cargo test --release --workspace --all-features --test it -- --nocapture durability::{harness}")
}

/// A number or word that the environment may give.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} cannot be {text:?}")))
}

/// How many cases lie between two that are tried: what the environment says, where `all` leaves out none.
fn step(name: &str, short: usize) -> usize {
    match std::env::var(name).as_deref() {
        Ok("all") => 1,
        _ => variable(name).unwrap_or(short),
    }
}

/// Tells why a harness cannot run, where the test runner does not keep it to itself.
fn skipped(why: &str) {
    std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}
