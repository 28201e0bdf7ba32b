//! Prints the tables of figures in a minute or two; `figures FILTER` only those whose name contains it.
//!
//! All cases of a suite take turns, and a figure is the median of its turns: what slows the machine
//! down for a while slows all of them down, so the ratios hold better than the figures do.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a benchmark stops where it stands")]

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use coalmine_benches::{Case, Goal, Suite};

/// How long a turn of a case is meant to be.
const TURN: Duration = Duration::from_millis(20);
/// How long the turns of a suite take altogether.
const SUITE: Duration = Duration::from_secs(3);
const TURNS: usize = 7;

fn main() {
    let filter = env::args().nth(1).unwrap_or_default();
    println!("{}", cpu());
    for suite in coalmine_benches::all() {
        let suite = suite();
        if suite.name.contains(&filter) {
            print(suite);
        }
    }
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown CPU".into(), |(_, model)| model.into())
}

fn print(mut suite: Suite) {
    let turns: Vec<u64> = suite.cases.iter_mut().map(calibrate).collect();
    let mut samples = vec![Vec::new(); suite.cases.len()];
    let start = Instant::now();
    while start.elapsed() < SUITE || samples.iter().any(|samples| samples.len() < TURNS) {
        for ((case, times), samples) in suite.cases.iter_mut().zip(&turns).zip(&mut samples) {
            // What ran before has left its own data in the caches.
            case.run(*times / 4);
            samples.push(case.run(*times).as_secs_f64() * 1e9 / (*times * case.units) as f64);
        }
    }
    let figures: Vec<f64> = samples.into_iter().map(median).collect();
    println!("\n| {} | time per {unit} | {unit} per second | clock | goal |", suite.name, unit = suite.unit);
    println!("|---|---:|---:|---|---|");
    for (case, figure) in suite.cases.iter().zip(&figures) {
        let goal = case.goal.map_or(String::new(), |goal| goal_text(goal, *figure));
        println!("| {} | {} | {} | {} | {goal} |", case.name, time(*figure), short(1e9 / figure), case.clock.name());
    }
    let find = |name: &str| suite.cases.iter().zip(&figures).find(|(case, _)| case.name == name).map(|(_, f)| *f);
    for ratio in &suite.ratios {
        let Some(value) = ratio.of(&find) else { continue };
        let goal = ratio.at_most.map_or(String::new(), |most| format!("≤ {most}: {}", verdict(value <= most)));
        println!("| {} | {value:.2} × | | | {goal} |", ratio.name);
    }
}

/// How many runs make a turn.
fn calibrate(case: &mut Case) -> u64 {
    let mut times = 1;
    loop {
        let taken = case.run(times);
        if taken >= TURN / 2 {
            return (times as f64 * TURN.as_secs_f64() / taken.as_secs_f64()).ceil() as u64;
        }
        times *= 2;
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

fn goal_text(goal: Goal, figure: f64) -> String {
    let verdict = verdict(goal.holds(figure));
    match goal {
        Goal::Nanoseconds(most) => format!("≤ {}: {verdict}", time(most)),
        Goal::PerSecond(least) => format!("≥ {} a second: {verdict}", short(least)),
    }
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "met" } else { "missed" }
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n >= 1e6 => format!("{:.2} ms", n / 1e6),
        n if n >= 1e3 => format!("{:.2} µs", n / 1e3),
        n => format!("{n:.1} ns"),
    }
}

fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e3 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.1}"),
    }
}
