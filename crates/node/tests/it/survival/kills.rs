//! Kills under load: a node that is killed at any moment loses no transaction that it has acknowledged, executes none
//! twice, and its export comes to the same root.
//!
//! `COALMINE_NODE_KILLS` sets how many times it is killed; the moments depend on `COALMINE_NODE_KILLS_SEED`.

use std::path::Path;
use std::time::{Duration, Instant};

use coalmine_model::support::Random;

use super::child::{Conduct, Running, command};
use super::judge::{Known, copy, judge, learn, verify_export};
use super::variable;

const KILLS: usize = 25;
/// One kill in so many comes before the node has opened.
const EARLY: u64 = 6;
/// The export is verified after so many kills, and at the end.
const EXPORT: usize = 100;

#[derive(Debug, Default)]
struct Figures {
    kills: usize,
    /// Kills before the node had opened.
    while_opening: usize,
    acknowledged: usize,
    height: u32,
}

fn kill(conduct: Conduct, seed: u64, kills: usize) -> Result<Figures, String> {
    let temp = tempfile::tempdir().unwrap();
    let (folder, copied, file) = (temp.path().join("data"), temp.path().join("copy"), temp.path().join("all.blocks"));
    let mut random = Random(seed);
    let mut known = Known::new();
    let mut figures = Figures::default();
    let mut opening = Duration::from_millis(50);
    while figures.kills < kills {
        let heard = kill_once(conduct, &folder, &mut random, &mut opening)?;
        figures.kills += 1;
        figures.while_opening += usize::from(heard.is_empty());
        learn(&mut known, &heard)?;
        if !folder.join("CURRENT").exists() {
            let _unfinished = std::fs::remove_dir_all(&folder);
            continue;
        }
        // The next child is the one that recovers.
        copy(&folder, &copied);
        let tip = judge(&copied, &known)?;
        if tip.height.unwrap_or_default() < figures.height {
            return Err(format!("the height went back from {} to {tip}", figures.height));
        }
        figures.height = tip.height.unwrap_or_default();
        if figures.kills.is_multiple_of(EXPORT) || figures.kills == kills {
            verify_export(&copied, &file, tip)?;
        }
    }
    figures.acknowledged = known.len();
    Ok(figures)
}

/// Runs a node, and kills it at some moment.
fn kill_once(
    conduct: Conduct,
    folder: &Path,
    random: &mut Random,
    opening: &mut Duration,
) -> Result<Vec<super::child::Acknowledged>, String> {
    let started = Instant::now();
    let mut child = Running::start(command(&[], conduct, folder));
    if random.below(EARLY) == 0 {
        wait(random, *opening);
    } else {
        child.hear(1);
        *opening = started.elapsed();
        child.hear(1 + usize::try_from(random.below(60)).unwrap());
        wait(random, Duration::from_millis(15));
    }
    child.process.kill().unwrap();
    child.end();
    match child.failed {
        Some(why) => Err(format!("it stopped by itself: {why}")),
        None => Ok(child.acknowledged),
    }
}

/// Waits for a moment of this span, each as likely as the other.
fn wait(random: &mut Random, span: Duration) {
    let nanos = random.below(u64::try_from(span.as_nanos()).unwrap());
    std::thread::sleep(Duration::from_nanos(nanos));
}

#[test]
fn kills_lose_nothing_and_repeat_nothing() {
    let (kills, seed) =
        (variable("COALMINE_NODE_KILLS").unwrap_or(KILLS), variable("COALMINE_NODE_KILLS_SEED").unwrap_or(0));
    let started = Instant::now();
    let figures = kill(Conduct::Honest, seed, kills).unwrap_or_else(|why| {
        panic!("seed {seed}: {why}\nrepeat: COALMINE_NODE_KILLS_SEED={seed} COALMINE_NODE_KILLS={kills} cargo test --release --workspace --all-features --test it -- --nocapture survival::kills")
    });
    println!("{figures:?} in {:.1?}", started.elapsed());
}

#[test]
fn kills_find_what_was_acknowledged_too_early() {
    let why = kill(Conduct::Hasty, 0, 100).unwrap_err();
    assert!(why.contains("is lost"), "{why}");
}
