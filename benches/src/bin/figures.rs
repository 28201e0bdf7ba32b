//! Prints the tables of figures in a minute or two; `figures FILTER` only those whose name contains it.
//!
//! `figures --against PROGRAM [FILTER]` runs the `figures` of another build before and after each suite, and says how many
//! times as long that takes. Beside a figure stands its limit, if the case has one: the compressions of SHA-256 that it
//! takes at least, one after the other, and what part of the time that is.
//!
//! All cases of a suite take turns, and a figure is the median of its turns: what slows the machine
//! down for a while slows all of them down, so the ratios hold better than the figures do.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::panic,
    reason = "a benchmark stops where it stands"
)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use coalmine_benches::{Case, Goal, Suite, compression};

/// How long a turn of a case is meant to be.
const TURN: Duration = Duration::from_millis(20);
/// How long the turns of a suite take altogether.
const SUITE: Duration = Duration::from_secs(3);
const TURNS: usize = 7;

fn main() {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let other = match args.as_slice() {
        [flag, program, ..] if flag == "--against" => Some(program.clone()),
        _ => None,
    };
    if other.is_some() {
        args.drain(..2);
    }
    let filter = args.pop().unwrap_or_default();
    let compression = compression();
    println!("{}; a compression of SHA-256 takes {}", cpu(), time(compression));
    for suite in coalmine_benches::all() {
        let suite = suite();
        if suite.name.contains(&filter) {
            print(suite, other.as_deref(), compression);
        }
    }
}

/// The figures of another build, by case, in nanoseconds.
type Others = BTreeMap<String, f64>;

/// Runs another build for one suite. A case that it does not have is missing.
fn figures_of(program: &str, suite: &str) -> Others {
    let output = Command::new(program).arg(suite).output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not run: {error}"));
    assert!(output.status.success(), "{program} {suite:?} has failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    // A filter may let several suites pass.
    let lines =
        text.lines().skip_while(|line| !line.starts_with(&format!("| {suite} |"))).take_while(|line| !line.is_empty());
    let figure = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        Some((cells.next()?.to_owned(), nanoseconds(cells.next()?)?))
    };
    lines.filter_map(figure).collect()
}

/// Reads what [`time`] writes.
fn nanoseconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let factor = match unit {
        "ms" => 1e6,
        "µs" => 1e3,
        "ns" => 1.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown CPU".into(), |(_, model)| model.into())
}

fn print(mut suite: Suite, other: Option<&str>, compression: f64) {
    let before = other.map(|other| figures_of(other, suite.name));
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
    let after = other.map(|other| figures_of(other, suite.name));
    let others = before.zip(after);
    let (head, rule) = if other.is_some() { (" other build |", "---:|") } else { ("", "") };
    println!(
        "\n| {} | time per {unit} | {unit} per second | clock | limit |{head} goal |",
        suite.name,
        unit = suite.unit
    );
    println!("|---|---:|---:|---|---|{rule}---|");
    for (case, figure) in suite.cases.iter_mut().zip(&figures) {
        let goal = case.goal.map_or(String::new(), |goal| goal_text(goal, *figure));
        let limit = case.compressions().map_or(String::new(), |count| limit_text(count, compression, *figure));
        let (name, clock) = (&case.name, case.clock.name());
        let ratio = others.as_ref().map(|(before, after)| ratio_text(before, after, name, *figure));
        let ratio = ratio.unwrap_or_default();
        println!("| {name} | {} | {} | {clock} | {limit} |{ratio} {goal} |", time(*figure), short(1e9 / figure));
    }
    let find = |name: &str| suite.cases.iter().zip(&figures).find(|(case, _)| case.name == name).map(|(_, f)| *f);
    for ratio in &suite.ratios {
        let Some(value) = ratio.of(&find) else { continue };
        let goal = ratio.at_most.map_or(String::new(), |most| format!("≤ {most}: {}", verdict(value <= most)));
        println!("| {} | {value:.2} × | | | |{} {goal} |", ratio.name, if other.is_some() { " |" } else { "" });
    }
}

/// The compressions, their time, and the part of the figure that it is.
fn limit_text(count: f64, compression: f64, figure: f64) -> String {
    let least = count * compression;
    format!("{count:.1} × SHA-256: {}, {:.0} %", time(least), 100.0 * least / figure)
}

/// How many times as long the other build takes: before and after this one.
fn ratio_text(before: &Others, after: &Others, name: &str, figure: f64) -> String {
    match before.get(name).zip(after.get(name)) {
        Some((before, after)) => {
            format!(" {:.2} to {:.2} × |", before.min(*after) / figure, before.max(*after) / figure)
        }
        None => " |".into(),
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
