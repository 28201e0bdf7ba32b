//! What is set already differs in nothing, and a sweep is separate runs.

use coalmine_core::{Block, Command, Encode, Event, Feature, FeatureChanges, Payload, Status, TxCommand, Valid};
use coalmine_foresight::{Changes, Comparison, Difference, Observer, ReceiptDifference, Subject, Tally, WhatIfError};

use crate::stories::{Story, all, fixtures};

/// Keeps what a pass tells.
#[derive(Debug, Default, PartialEq)]
struct Told {
    differences: Vec<(usize, Difference)>,
    receipts: Vec<(usize, ReceiptDifference)>,
}

impl Observer for Told {
    fn differs(&mut self, run: usize, difference: Difference) {
        self.differences.push((run, difference));
    }

    fn receipt(&mut self, run: usize, difference: ReceiptDifference) {
        self.receipts.push((run, difference));
    }
}

/// Runs a story with changes; `None` where it comes to rules that nobody knows.
fn run(story: &Story, subject: Option<Subject>, runs: Vec<Changes<'_>>) -> Option<(Told, Tally, Vec<Tally>)> {
    let mut told = Told::default();
    let mut comparison = Comparison::new(&story.genesis, subject, runs).unwrap();
    let known = |result: Result<(), WhatIfError>| match result {
        Ok(()) => true,
        Err(WhatIfError::Block(coalmine_core::BlockError::UnknownRules { .. })) => false,
        Err(error) => panic!("{}: {error}", story.name),
    };
    for block in &story.blocks {
        if !known(comparison.feed(block, &mut told)) {
            return None;
        }
    }
    let (base, tallies) = comparison.finish(None, &mut told).unwrap();
    Some((told, base, tallies))
}

/// Sets max_error_rate in whatever creates or configures a feature; `None` sets what it has already.
fn set_rate(rate: Option<u32>) -> Changes<'static> {
    let set = move |bytes: &[u8]| {
        let TxCommand::Valid(command) = TxCommand::from_bytes(bytes).ok()? else { return None };
        let with = |changes: Valid<FeatureChanges>, default: Option<u32>| {
            let mut changes = changes.into_inner();
            let has = changes.max_error_rate.or(default);
            changes.max_error_rate = if has.is_some() { rate.or(has) } else { None };
            Valid::new(changes).unwrap()
        };
        let command = match command {
            Command::CreateFeature { name, description, changes } => {
                let changes = with(changes, Some(Feature::MAX_ERROR_RATE));
                Command::CreateFeature { name, description, changes }
            }
            Command::ConfigureFeature { name, description, changes } => {
                Command::ConfigureFeature { name, description, changes: with(changes, None) }
            }
            _ => return None,
        };
        Some(command.to_bytes())
    };
    Changes { rewrite: Some(Box::new(set)), ..Changes::default() }
}

#[test]
fn what_is_set_already_differs_in_nothing() {
    for story in all() {
        let same = Changes {
            params: Some(*story.genesis.params()),
            rewrite: Some(Box::new(|bytes: &[u8]| Some(bytes.to_vec()))),
            ..Changes::default()
        };
        let Some((told, base, tallies)) = run(&story, None, vec![same, set_rate(None)]) else { continue };
        assert_eq!(told, Told::default(), "{}", story.name);
        assert_eq!(tallies, [base, base], "{}", story.name);
    }
}

/// What a tally should count, counted from the outcomes of blocks that really have the other values.
fn by_hand(story: &Story, mut changes: Changes<'_>) -> (u64, u64) {
    let mut node = crate::stories::Node::new(&story.genesis);
    let (mut rolled_back, mut fully_on) = (0, 0);
    let mut count = |events: &[Event]| {
        for event in events {
            match event {
                Event::RolledBack { .. } | Event::DeploymentRolledBack { .. } => rolled_back += 1,
                Event::StatusChanged { to: Status::Enabled, .. } | Event::Promoted { .. } => fully_on += 1,
                _ => {}
            }
        }
    };
    for block in &story.blocks {
        assert!(node.advance(block.height().saturating_sub(1), |execution| count(&execution.outcome().events)));
        let rewrite = changes.rewrite.as_mut().unwrap();
        let payloads = block.payloads().map(|payload| {
            let Payload::Transaction(tx) = &payload else { return payload };
            let mut bytes = payload.to_bytes();
            let commands: Vec<Vec<u8>> = tx.commands().iter().map(Encode::to_bytes).collect();
            bytes.truncate(bytes.len() - commands.iter().map(|command| command.len() + 2).sum::<usize>());
            for command in commands {
                // Schedules of the stories have none of what is set.
                let command = rewrite(&command).unwrap_or(command);
                bytes.extend(u16::try_from(command.len()).unwrap().to_be_bytes());
                bytes.extend(command);
            }
            Payload::from_bytes(&bytes)
        });
        let block = Block::from_payloads(block.height(), payloads.collect()).unwrap();
        count(&node.feed(&block).outcome().events);
    }
    (rolled_back, fully_on)
}

#[test]
fn a_sweep_is_separate_runs() {
    let rates = [0, 50, 10_000];
    let mut different = 0;
    for story in all() {
        let all_runs = || rates.iter().map(|rate| set_rate(Some(*rate))).collect();
        let Some((told, base, tallies)) = run(&story, None, all_runs()) else { continue };
        for (number, rate) in rates.iter().enumerate() {
            let Some((alone, base_alone, tally)) = run(&story, None, vec![set_rate(Some(*rate))]) else { continue };
            assert_eq!((base, tallies[number]), (base_alone, tally[0]), "{} {rate}", story.name);
            let mine = |run: usize| run == number;
            let differences: Vec<_> =
                told.differences.iter().filter(|(run, _)| mine(*run)).map(|(_, one)| one).collect();
            assert_eq!(differences, alone.differences.iter().map(|(_, one)| one).collect::<Vec<_>>(), "{}", story.name);
            let receipts: Vec<_> = told.receipts.iter().filter(|(run, _)| mine(*run)).map(|(_, one)| one).collect();
            assert_eq!(receipts, alone.receipts.iter().map(|(_, one)| one).collect::<Vec<_>>(), "{}", story.name);
            different += differences.len();
        }
    }
    assert!(different > 100, "{different}");
    for story in fixtures() {
        let Some((_, _, tallies)) = run(&story, None, vec![set_rate(Some(10_000))]) else { continue };
        let counted = (tallies[0].rolled_back.count, tallies[0].fully_on.count);
        assert_eq!(counted, by_hand(&story, set_rate(Some(10_000))), "{}", story.name);
    }
}

#[test]
fn what_is_left_out_or_added_must_fit_the_blocks() {
    let story = fixtures().into_iter().find(|story| story.name == "vita-recovery-canary").unwrap();
    let first = story.blocks[0].height();
    let payload = story.blocks[0].payloads().next().unwrap();
    let drop = |height, tx| Changes { dropped: [(height, tx)].into(), ..Changes::default() };
    let insert = |height| Changes { inserted: [(height, vec![payload.clone()])].into(), ..Changes::default() };
    let ends = |changes: Changes<'_>| {
        let mut comparison = Comparison::new(&story.genesis, None, vec![changes]).unwrap();
        let mut told = Told::default();
        for block in &story.blocks {
            if let Err(error) = comparison.feed(block, &mut told) {
                return Err(error.to_string());
            }
        }
        comparison.finish(None, &mut told).map(|_| told).map_err(|error| error.to_string())
    };
    let none =
        |height, tx: usize, why: &str| format!("there is no transaction {tx} at height {height} to leave out: {why}");
    for (changes, found) in [
        (drop(first, 0), None),
        (drop(first, 999), Some(none(first, 999, "the block has transactions 0 to 1"))),
        (drop(first - 1, 0), Some(none(first - 1, 0, "no block has that height"))),
        (drop(u32::MAX, 0), Some(none(u32::MAX, 0, "no block has that height"))),
        (insert(first), None),
        (insert(first + 1), None),
        (
            insert(first - 1),
            Some(format!(
                "height {} is before the first block, at height {first}; nothing can be added there",
                first - 1
            )),
        ),
        (insert(1_000_000), None),
    ] {
        assert_eq!(ends(changes).err(), found);
    }
    // A transaction that is added is one with a receipt of its own.
    let told = ends(insert(1_000_000)).unwrap();
    let (_, receipt) = &told.receipts[0];
    assert_eq!((receipt.height, receipt.tx, receipt.base), (1_000_000, None, None));
    assert_eq!(receipt.changed.unwrap().name(), "feature_already_exists");
}
