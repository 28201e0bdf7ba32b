//! Kills: a process that is killed, in the middle of a commit or while it creates, opens or recovers
//! its store, loses no acknowledged block.
//!
//! `COALMINE_KILLS` sets how many times it is killed, `COALMINE_KILLS_SEED` begins with the story of
//! another seed; the moments depend on the seed as well, as far as clocks can be repeated.

use std::path::Path;
use std::time::{Duration, Instant};

use coalmine_model::support::Random;

use crate::durability::child::{Conduct, Running, command};
use crate::durability::story::{Story, copy, judge};
use crate::durability::variable;

const KILLS: usize = 40;

/// One kill in so many comes before the child has acknowledged anything.
const EARLY: u64 = 4;

#[derive(Debug, Default)]
struct Figures {
    kills: usize,
    /// Kills before the child had opened its store.
    while_opening: usize,
    /// Kills between the log and the acknowledgement.
    beyond: usize,
    blocks: usize,
}

/// Kills children until there were so many kills, each story in a folder of its own.
fn kill(conduct: Conduct, seed: u64, kills: usize) -> Result<Figures, String> {
    let mut figures = Figures::default();
    for seed in seed.. {
        if figures.kills == kills {
            break;
        }
        let temp = tempfile::tempdir().unwrap();
        kill_story(conduct, seed, kills, temp.path(), &mut figures).map_err(|why| {
            let again = super::command("kills");
            format!("seed {seed}: {why}\nrepeat: COALMINE_KILLS_SEED={seed} COALMINE_KILLS={kills} {again}")
        })?;
    }
    Ok(figures)
}

fn kill_story(conduct: Conduct, seed: u64, kills: usize, temp: &Path, figures: &mut Figures) -> Result<(), String> {
    let (folder, copied) = (temp.join("store"), temp.join("copy"));
    let tips = Story::of_seed(seed).tips();
    let mut random = Random(seed);
    let mut acknowledged = None;
    let (mut opening, mut committing) = (Duration::from_millis(20), Duration::from_millis(2));
    while figures.kills < kills && acknowledged < Some(tips.len() - 1) {
        let started = Instant::now();
        let mut child = Running::start(command(&[], conduct, seed, &folder));
        let early = random.below(EARLY) == 0;
        let mut heard = None;
        if early {
            wait(&mut random, opening);
        } else {
            heard = child.acknowledged();
            opening = started.elapsed();
            let (opened, more) = (Instant::now(), u32::try_from(random.below(4)).unwrap());
            for _ in 0..more {
                heard = child.acknowledged().or(heard);
            }
            committing = opened.elapsed().checked_div(more).unwrap_or(committing);
            wait(&mut random, committing);
        }
        child.kill();
        let heard = child.end().or(heard);
        if let Some(why) = child.failed {
            return Err(format!("stopped by itself: {why}"));
        }
        acknowledged = acknowledged.max(heard);
        figures.kills += usize::from(child.killed);
        figures.while_opening += usize::from(heard.is_none());
        // The next child is the one that recovers.
        copy(&folder, &copied);
        let found = judge(&copied, &tips, acknowledged, conduct.durability())?;
        figures.beyond += usize::from(found > acknowledged);
        match found {
            Some(_) => acknowledged = found,
            None => drop(std::fs::remove_dir_all(&folder)),
        }
    }
    figures.blocks += acknowledged.unwrap_or(0);
    Ok(())
}

/// Waits for a moment of this span, each as likely as the other.
fn wait(random: &mut Random, span: Duration) {
    let nanos = random.below(u64::try_from(span.as_nanos()).unwrap());
    let moment = Instant::now() + Duration::from_nanos(nanos);
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
}

#[test]
fn kills_lose_no_acknowledged_block() {
    let kills = variable("COALMINE_KILLS").unwrap_or(KILLS);
    let started = Instant::now();
    let figures = kill(Conduct::Honest, variable("COALMINE_KILLS_SEED").unwrap_or(0), kills);
    println!("{:?} in {:.1?}", figures.unwrap_or_else(|why| panic!("{why}")), started.elapsed());
}

#[test]
fn kills_find_a_block_that_was_acknowledged_too_early() {
    let why = kill(Conduct::Hasty, 0, 400).unwrap_err();
    assert!(why.contains("is lost"), "{why}");
}
