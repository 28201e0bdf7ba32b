//! `cargo bench -p coalmine-benches [-- FILTER]`: every case under criterion.
//!
//! The times are those of the clock of the case, so the throughput of most of them is per second of
//! CPU time.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a benchmark stops where it stands")]

use std::collections::BTreeMap;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args();
    for suite in coalmine_benches::all() {
        let mut suite = suite();
        let mut best: BTreeMap<&str, f64> = BTreeMap::new();
        let mut group: BenchmarkGroup<'_, _> = criterion.benchmark_group(suite.name);
        for case in &mut suite.cases {
            group.throughput(Throughput::Elements(case.units));
            let name = format!("{} ({})", case.name, case.clock.name());
            let mut least = f64::INFINITY;
            group.bench_function(name, |bencher| {
                // What is built once is not part of the warm-up.
                case.prepare();
                bencher.iter_custom(|times| {
                    let taken = case.run(times);
                    least = least.min(taken.as_secs_f64() * 1e9 / (times * case.units) as f64);
                    taken
                });
            });
            if least.is_finite() {
                best.insert(&case.name, least);
            }
        }
        group.finish();
        for ratio in &suite.ratios {
            if let Some(value) = ratio.of(&|name| best.get(name).copied()) {
                println!("{}/{}: {value:.2} ×", suite.name, ratio.name);
            }
        }
    }
    criterion.final_summary();
}
