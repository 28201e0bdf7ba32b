//! Durability of a node, as figures: what it has acknowledged survives kills, and nothing is executed twice.
//!
//! | harness | long form |
//! |---|---|
//! | `kills` | `COALMINE_NODE_KILLS=1000` |
//!
//! before `cargo test --release --workspace --all-features --test it -- --nocapture survival::HARNESS`.

mod child;
mod disk;
mod faults;
mod judge;
mod kills;

use std::str::FromStr;

/// A number that the environment may give.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} cannot be {text:?}")))
}

/// Tells why a harness cannot run, where the test runner does not keep it to itself.
fn skipped(why: &str) {
    use std::io::Write as _;

    std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}
