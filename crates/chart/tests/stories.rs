//! Pictures of all stories and attacks: they show what the events and the records say.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use coalmine_chart::ledger::{
    LANES_MAX, Range, Recorder, Sample, feature_timeline, overview, plugin_timeline, samples,
};
use coalmine_chart::{Kind, MarkKind, Options, Picture, SIZE_MAX, Subject, Timeline};
use coalmine_core::{Decode, Encode, Event, Execution, Height, Name, PluginReason, RollbackRule};
use coalmine_json::blockfile::{BlockReader, Limits};
use coalmine_store::{Ledger, MemoryStore};

fn files() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let entries = ["scenarios", "attacks"].map(|folder| fs::read_dir(fixtures.join(folder)).unwrap());
    let mut files: Vec<PathBuf> = entries.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

/// Runs a file, and hands on the ledger before each execution, and the execution.
fn run(file: &Path, mut see: impl FnMut(&Ledger<MemoryStore>, &Execution)) -> Ledger<MemoryStore> {
    let reader = BlockReader::open(file, Limits::default()).unwrap();
    let mut ledger = Ledger::create(MemoryStore::new(), &reader.header().genesis).unwrap();
    for block in reader {
        let block = block.unwrap().block;
        while ledger.state().tip().is_none_or(|tip| tip < block.height()) {
            let below = block.height() - 1;
            let execution = match ledger.state().tip() {
                Some(tip) if tip < below => ledger.state().advance(below).unwrap(),
                _ => ledger.execute(&block).unwrap(),
            };
            see(&ledger, &execution);
            ledger.commit(execution).unwrap();
        }
    }
    ledger
}

/// Everything that a ledger ends with.
fn subjects(ledger: &Ledger<MemoryStore>) -> Vec<(Subject, Name)> {
    let features = ledger.state().features().map(|feature| (Subject::Feature, feature.name));
    features.chain(ledger.state().plugins().map(|(name, _)| (Subject::Plugin, *name))).collect()
}

fn timeline(
    ledger: &Ledger<MemoryStore>,
    (subject, name): (Subject, Name),
    range: Range,
    recorder: Option<Recorder>,
) -> Option<Timeline> {
    let place = (range, ledger.state().tip());
    match subject {
        Subject::Feature => feature_timeline(ledger.store(), &name, place, recorder).unwrap(),
        Subject::Plugin => plugin_timeline(ledger.store(), &name, place, recorder).unwrap(),
    }
}

/// The heights at which an event takes something back, and the judged rate if there is one.
fn taken_back(event: &Event, (subject, name): (Subject, Name)) -> Option<Option<u64>> {
    let about = if subject == Subject::Feature { event.feature() } else { event.plugin() };
    about.filter(|about| **about == name)?;
    match event {
        Event::RolledBack { rule: RollbackRule::ErrorRate | RollbackRule::WindowErrorRate, value, .. } => {
            Some(Some(*value))
        }
        Event::DeploymentRolledBack { reason: PluginReason::ErrorRate, evidence, .. } => {
            Some(Some(evidence.errors * 10_000 / evidence.requests))
        }
        Event::RolledBack { .. } | Event::DeploymentRolledBack { .. } | Event::Reverted { .. } => Some(None),
        Event::Concluded { winner, .. } if *winner != PluginReason::Canary => Some(None),
        _ => None,
    }
}

#[test]
fn pictures_say_what_events_and_records_say() {
    let (mut pictures, mut judged, mut pauses) = (0, 0, 0);
    for file in files() {
        let ledger = run(&file, |_, _| {});
        for subject in subjects(&ledger) {
            let mut direct = Recorder::new(subject.0, subject.1, Range::default());
            let mut kept = Recorder::new(subject.0, subject.1, Range::default());
            let mut expected: Vec<(Height, Option<u64>)> = Vec::new();
            let mut paused: Vec<(Height, bool)> = Vec::new();
            run(&file, |before, execution| {
                let height = execution.height();
                direct.execution(execution);
                // A host that keeps samples and events gives the same picture.
                for (of, name, sample) in samples(execution, before.state()) {
                    if (of, name) == subject {
                        let sample = Sample::from_bytes(&sample.to_bytes()).unwrap();
                        kept.sample(height, &sample);
                    }
                }
                for event in &execution.outcome().events {
                    kept.event(height, event);
                    expected.extend(taken_back(event, subject).map(|rate| (height, rate)));
                    if let Event::Paused { plugin, reason, .. } = event
                        && (Subject::Plugin, *plugin) == subject
                    {
                        paused.push((height, *reason == PluginReason::ErrorRate));
                    }
                }
            });
            let place = format!("{} {}", file.display(), subject.1);
            let picture = timeline(&ledger, subject, Range::default(), Some(direct)).unwrap();
            assert_eq!(timeline(&ledger, subject, Range::default(), Some(kept)).unwrap(), picture, "{place}");

            let heights: Vec<Height> = expected.iter().map(|(height, _)| *height).collect();
            let marked: Vec<Height> = picture.marks.of(MarkKind::Rollback).map(|mark| mark.height).collect();
            assert_eq!(marked, heights, "{place}");
            for (height, rate) in expected.iter().filter_map(|(height, rate)| Some((height, (*rate)?))) {
                judged += 1;
                let lines = picture.rates.iter().filter(|curve| matches!(curve.kind, Kind::Main | Kind::Recent));
                let mut points = lines.flat_map(|curve| curve.series.points());
                assert!(points.any(|point| point == (*height, Some(rate as u32))), "{place}: {rate} at {height}");
            }
            let held: Vec<_> = picture.marks.of(MarkKind::Hold).filter(|mark| mark.label == "paused").collect();
            if subject.0 == Subject::Plugin {
                assert_eq!(
                    held.iter().map(|mark| mark.height).collect::<Vec<_>>(),
                    paused.iter().map(|at| at.0).collect::<Vec<_>>()
                );
                for (mark, (_, by_rate)) in held.iter().zip(paused) {
                    assert_eq!(mark.sentence.contains("above the limit of"), by_rate, "{place}: {}", mark.sentence);
                    pauses += usize::from(by_rate);
                }
            }
            let share = match subject.0 {
                Subject::Feature => {
                    Some(u32::from(ledger.state().feature(&subject.1).unwrap().rollout_percent.get()) * 100)
                }
                Subject::Plugin => {
                    ledger.state().deployment(&subject.1).map(|deployment| deployment.share().get().into())
                }
            };
            assert_eq!(picture.share.last().unwrap_or(0), share.unwrap_or(0), "{place}");
            assert!(!picture.headline.is_empty(), "{place}");

            // A store alone has the same shares and rollbacks, and says what it has not.
            let stored = timeline(&ledger, subject, Range::default(), None).unwrap();
            assert_eq!(stored.share, picture.share, "{place}");
            assert_eq!(stored.marks.count(MarkKind::Rollback), picture.marks.count(MarkKind::Rollback));
            assert!(stored.rates.is_empty() && stored.note.contains("plot the block file"), "{place}");
            for picture in [&picture, &stored] {
                let svg = Picture::Timeline(picture).svg(&Options::default()).unwrap();
                roxmltree::Document::parse(&svg).unwrap();
                assert!(svg.len() < SIZE_MAX, "{place}");
            }
            pictures += 1;
        }
        let tip = ledger.state().tip();
        let all = overview(ledger.store(), (Range::default(), tip), LANES_MAX).unwrap();
        assert_eq!(all.total, subjects(&ledger).len() as u64);
        assert_eq!(all.lanes.len(), subjects(&ledger).len().min(LANES_MAX));
        roxmltree::Document::parse(&Picture::Overview(&all).svg(&Options::default()).unwrap()).unwrap();
    }
    assert!(pictures > 100 && judged > 15 && pauses > 0, "{pictures} {judged} {pauses}");
}

#[test]
fn a_range_is_a_part_of_the_whole() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scenarios/vita-recovery-canary.json");
    let ledger = run(&file, |_, _| {});
    let subject = subjects(&ledger)[0];
    let part = |from, to| timeline(&ledger, subject, Range { from, to }, None);
    for (from, to, shares, rollbacks, headline) in [
        (None, None, vec![500, 2_500, 4_500, 0], 1, "Rolled back at block 450"),
        (Some(300), None, vec![500, 2_500, 4_500, 0], 1, "Rolled back at block 450"),
        (Some(350), Some(400), vec![2_500, 4_500], 0, "Rolling out: on for 45"),
        (None, Some(100), vec![500], 0, "Canary: on for 5"),
        (Some(350), Some(360), vec![2_500], 0, "Rolling out: on for 25"),
    ] {
        let picture = part(from, to).unwrap();
        let drawn: Vec<u32> = picture.share.points().filter_map(|(_, value)| value).collect();
        assert_eq!(drawn, shares, "{from:?} {to:?}");
        assert_eq!(picture.marks.count(MarkKind::Rollback), rollbacks);
        assert!(picture.headline.starts_with(headline), "{}", picture.headline);
        assert_eq!((picture.from, picture.to), (from.unwrap_or(100), to.unwrap_or(450)));
    }
    assert_eq!(part(None, Some(99)), None);
}

#[test]
fn an_overview_shows_what_is_open_before_what_is_settled() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scenarios/plugin-thresholds.json");
    let ledger = run(&file, |_, _| {});
    let shown = |lanes| overview(ledger.store(), (Range::default(), ledger.state().tip()), lanes).unwrap();
    let names = |lanes| shown(lanes).lanes.iter().map(|lane| lane.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(3), ["deadline", "worse", "errors"]);
    assert_eq!(names(40)[..3], names(3));
    assert_eq!((shown(3).total, shown(0).lanes.len()), (8, 0));
}
