//! What the benchmarks measure, shared by `cargo bench` and by the table of `figures`.
//!
//! A [`Case`] runs one operation a number of times and says how long that took by the clock that
//! fits it: mostly the CPU time of its thread, because the wall clock of a busy machine measures the
//! other programs. Building what a case needs is never in its time. Not here: sampling and
//! statistics, which belong to the two programs.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark stops where it stands"
)]

mod case;
mod clock;
mod limit;
pub mod memory;
mod suites;
mod workload;

pub use case::{Case, Figures, Goal, Ratio, Suite};
pub use clock::Clock;
pub use limit::compression;
pub use suites::all;
