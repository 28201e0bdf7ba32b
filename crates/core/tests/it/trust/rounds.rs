//! It takes a quorum of reporters.

use super::*;

const ROUND: u32 = 10;

/// A reporter; their addresses ascend.
const fn reporter(number: u8) -> Address {
    Address([0x60 + number; 20])
}

/// A world with rounds of ten blocks, and nine reporters.
fn world(quorum: u8) -> World {
    let changes = ParamsChanges { round_blocks: Some(ROUND), quorum: Some(quorum), ..ParamsChanges::default() };
    let mut world = World::with_params(params(changes));
    let reporters: Vec<Command> = (1..=9).map(|number| grant(reporter(number), Role::Reporter)).collect();
    world.run(1, ADMIN, &reporters);
    world
}

/// A feature in a canary that no report turns off.
fn with_feature(quorum: u8) -> World {
    let mut world = world(quorum);
    let patient = FeatureChanges {
        max_error_rate: Some(10_000),
        ..policy(Policy { max_invariant_failures: u64::MAX, ..Policy::default() })
    };
    world.run(2, ADMIN, &[create_with("f", patient)]);
    world.run(3, OPERATOR, &[canary("f", 5)]);
    world
}

/// Successes, errors, latency, peak, checks and failures of a report.
type Said = [u32; 6];

fn said([successes, errors, latency, peak, invariant_checks, invariant_failures]: Said) -> Command {
    let (latency_total, latency_peak) = (latency.into(), peak.into());
    tell("f", Report { successes, errors, latency_total, latency_peak, invariant_checks, invariant_failures })
}

/// What comes out of a round of so many reporters, or how many counted where they were too few.
#[test]
fn a_round_says_what_a_quorum_stands_for() {
    let plain = [90, 10, 0, 0, 0, 0];
    type Row = (&'static str, u8, Vec<Said>, Result<[u64; 6], u8>);
    let rows: Vec<Row> = vec![
        ("one of one", 1, vec![[7, 3, 50, 9, 2, 1]], Ok([7, 3, 50, 9, 2, 1])),
        ("one too few", 3, vec![plain; 2], Err(2)),
        ("as many as it takes", 3, vec![plain; 3], Ok([90, 10, 0, 0, 0, 0])),
        ("silence does not count", 3, vec![plain, plain, [0; 6]], Err(2)),
        // One lies: neither its rate nor its volume is what comes out.
        ("one claims errors", 3, vec![[0, 4_000_000, 0, 0, 0, 0], plain, plain], Ok([90, 10, 0, 0, 0, 0])),
        ("one claims none, of much", 3, vec![[4_000_000, 0, 0, 0, 0, 0], plain, plain], Ok([90, 10, 0, 0, 0, 0])),
        (
            "one drowns the others",
            3,
            vec![[4_000_000, 400_000, 0, 0, 0, 0], [5, 5, 0, 0, 0, 0], [5, 5, 0, 0, 0, 0]],
            Ok([5, 5, 0, 0, 0, 0]),
        ),
        // The rate of one on the volume of another: 1/3 of 10, rounded up.
        (
            "rate and volume of two",
            3,
            vec![[2, 1, 0, 0, 0, 0], [10, 0, 0, 0, 0, 0], [0, 100, 0, 0, 0, 0]],
            Ok([6, 4, 0, 0, 0, 0]),
        ),
        ("of two the upper one", 1, vec![[100, 0, 0, 0, 0, 0], [50, 50, 0, 0, 0, 0]], Ok([50, 50, 0, 0, 0, 0])),
        // Means 1, 2 and 9; the peaks by themselves.
        (
            "latency",
            3,
            vec![[10, 0, 10, 99, 0, 0], [10, 0, 20, 3, 0, 0], [10, 0, 90, 9, 0, 0]],
            Ok([10, 0, 20, 9, 0, 0]),
        ),
        (
            "latency is rounded down",
            3,
            vec![[3, 0, 10, 9, 0, 0], [2, 0, 1, 1, 0, 0], [1, 0, 9, 9, 0, 0]],
            Ok([2, 0, 6, 9, 0, 0]),
        ),
        // Invariants need no majority: what a quorum of them saw.
        (
            "two of five saw failures",
            2,
            vec![[1, 0, 0, 0, 9, 9], [1, 0, 0, 0, 8, 5], [1, 0, 0, 0, 9, 0], [1, 0, 0, 0, 9, 0], [1, 0, 0, 0, 9, 0]],
            Ok([1, 0, 0, 0, 8, 5]),
        ),
        (
            "one of five did",
            2,
            vec![[1, 0, 0, 0, 9, 9], [1, 0, 0, 0, 9, 0], [1, 0, 0, 0, 7, 0]],
            Ok([1, 0, 0, 0, 9, 0]),
        ),
        ("checks without operations", 2, vec![[0, 0, 0, 0, 5, 1], [0, 0, 0, 0, 6, 2]], Ok([0, 0, 0, 0, 5, 1])),
        ("operations, and too few checks", 2, vec![[9, 1, 0, 0, 5, 5], [9, 1, 0, 0, 0, 0]], Ok([9, 1, 0, 0, 0, 0])),
    ];
    for (what, quorum, reports, expected) in rows {
        let mut world = with_feature(quorum);
        let payloads = (1..).zip(&reports).map(|(number, report)| tx(reporter(number), &[said(*report)]));
        let outcome = world.block(4, payloads.collect());
        assert!(outcome.receipts.iter().all(|receipt| *receipt == Receipt::Ok), "{what}");
        assert_eq!(world.feature("f").success_count + world.feature("f").error_count, 0, "{what}: not yet");
        assert!(world.at(ROUND - 1, vec![]).events.is_empty(), "{what}");
        let events = world.at(ROUND, vec![]).events;
        let (pool, reporters) = (Pool::of_feature(name("f")), u8::try_from(reports.len()).unwrap());
        let told = match expected {
            Ok(_) => Event::RoundClosed { pool, reporters, acted: true },
            Err(counted) => Event::RoundShort { pool, reporters: counted, quorum },
        };
        assert_eq!(events, [told], "{what}");
        let metrics = world.state.metrics(&name("f")).unwrap();
        let found = [metrics.successful_ops, metrics.failed_ops, metrics.latency_sum, metrics.peak_latency];
        let found = [found.as_slice(), &[metrics.invariant_checks, metrics.invariant_failures]].concat();
        assert_eq!(found, expected.unwrap_or_default(), "{what}");
        assert_eq!(world.records.keys(KeyPrefix::Trust).count(), 0, "{what}: the pool is gone");
    }
}

/// Votes: bad news about health first, a load that a quorum has seen is a fact.
#[test]
fn a_quorum_of_votes_decides() {
    const YES: bool = true;
    const NO: bool = false;
    type Row = (PoolKind, &'static [bool], Option<bool>);
    let rows: [Row; 9] = [
        (PoolKind::Health, &[YES, YES], Some(true)),
        (PoolKind::Health, &[YES, NO], None),
        (PoolKind::Health, &[NO, NO], Some(false)),
        (PoolKind::Health, &[YES, YES, NO, NO], Some(false)),
        (PoolKind::Load, &[YES, NO], None),
        (PoolKind::Load, &[NO, NO], Some(false)),
        (PoolKind::Load, &[NO, NO, YES, YES], Some(true)),
        (PoolKind::Unload, &[NO, NO, YES, YES], Some(true)),
        (PoolKind::Unload, &[NO, NO, YES], Some(false)),
    ];
    for (kind, votes, expected) in rows {
        let mut world = world(2);
        let gate = coalmine_core::Stage { gate: coalmine_core::Gate::Health, ..stage(0, 99) };
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), load("p")]);
        match kind {
            PoolKind::Health => drop(world.next(&[deploy("p", "2.0.0", custom(&[gate, stage(1, 99)]), EASY)])),
            PoolKind::Unload => {
                // Attestations of a round bring it there.
                world.at(3, [1, 2].map(|n| tx(reporter(n), &[loaded("p", "1.0.0", true)])).into());
                world.at(ROUND, vec![]);
                world.next(&[unload("p")]);
            }
            _ => {}
        }
        let say = |vote| match kind {
            PoolKind::Health => attest("p", "2.0.0", vote),
            PoolKind::Load => loaded("p", "1.0.0", vote),
            _ => unloaded("p", "1.0.0", vote),
        };
        // Who changes its mind has the last word.
        let height = world.tip() + 1;
        let mut payloads = vec![tx(reporter(1), &[say(!votes[0])])];
        payloads.extend((1..).zip(votes).map(|(number, vote)| tx(reporter(number), &[say(*vote)])));
        world.block(height, payloads);
        let end = (height / ROUND + 1) * ROUND;
        let events = world.at(end, vec![]).events;
        let what = format!("{kind} {votes:?}: {events:?}");
        let acted = events.iter().any(|event| matches!(event, Event::RoundClosed { acted: true, .. }));
        let short = events.iter().any(|event| matches!(event, Event::RoundShort { .. }));
        assert_eq!((acted, short), (expected.is_some(), expected.is_none()), "{what}");
        match kind {
            PoolKind::Health => {
                assert_eq!(world.deployment("p").is_some(), expected != Some(false), "{what}");
                assert_eq!(world.deployment("p").is_some_and(|one| one.healthy), expected == Some(true), "{what}");
            }
            PoolKind::Load => {
                let state = [LoadState::Failed, LoadState::Loaded];
                let state = expected.map_or(LoadState::Loading, |yes| state[usize::from(yes)]);
                assert_eq!(world.load_state("p"), state, "{what}");
            }
            _ => {
                let state = [LoadState::Loaded, LoadState::Unloaded];
                assert_eq!(
                    world.load_state("p"),
                    expected.map_or(LoadState::Unloading, |yes| state[usize::from(yes)]),
                    "{what}"
                );
            }
        }
    }
}

/// One key can neither spoil a round nor make one, and a key that was taken away counts no more.
#[test]
fn a_key_counts_while_it_holds_the_role() {
    let mut world = with_feature(2);
    world.block(4, vec![tx(reporter(1), &[said([0, 9, 0, 0, 0, 0])]), tx(reporter(2), &[said([9, 0, 0, 0, 0, 0])])]);
    world.run(5, ADMIN, &[revoke(reporter(1), Role::Reporter)]);
    let pool = Pool::of_feature(name("f"));
    assert_eq!(world.at(ROUND, vec![]).events, [Event::RoundShort { pool: pool.clone(), reporters: 1, quorum: 2 }]);
    // The quorum counts as it stands when the round closes, and what one says over again is one voice.
    let mut world = with_feature(3);
    world.block(4, vec![tx(reporter(1), &[said([1, 0, 0, 0, 0, 0])]); 3]);
    world.block(5, vec![tx(reporter(2), &[said([3, 0, 0, 0, 0, 0])])]);
    world.run(6, ADMIN, &[change_params(ParamsChanges { quorum: Some(2), ..ParamsChanges::default() })]);
    let closed = Event::RoundClosed { pool, reporters: 2, acted: true };
    assert_eq!(world.at(ROUND, vec![]).events, [closed]);
    assert_eq!(world.feature("f").success_count, 3, "three and three");
}

/// A pool takes 64 reporters; those who are in it go on.
#[test]
fn a_pool_takes_64_reporters() {
    let mut world = with_feature(1);
    let many: Vec<Address> = (0..65).map(|n| user(1_000 + n)).collect();
    for chunk in many.chunks(16) {
        let grants: Vec<Command> = chunk.iter().map(|address| grant(*address, Role::Reporter)).collect();
        world.next(&grants);
    }
    let at = (world.tip() / ROUND + 1) * ROUND;
    let receipts = world.at(at, many.iter().map(|one| tx(*one, &[report("f", 1, 0)])).collect()).receipts;
    assert!(receipts[..64].iter().all(|receipt| *receipt == Receipt::Ok));
    assert_eq!(receipts[64], refused(Reject::LimitExceeded));
    assert_eq!(world.probe(&tx(many[0], &[report("f", 1, 0)])), Receipt::Ok);
    assert_eq!(world.probe(&tx(many[64], &[report("f", 1, 0)])), refused(Reject::LimitExceeded));
}

/// Reporters may speak in any order: a state keeps them in that of its records, so that it is the one that they make.
#[test]
fn a_pool_is_in_the_order_of_its_records() {
    let pools = |state: &State| {
        let text = format!("{state:?}");
        let (_, trust) = text.split_once(", trust: ").unwrap();
        let (trust, _) = trust.split_once(", tree: ").unwrap();
        assert!(trust.contains("OpenPool"), "{trust}");
        trust.to_owned()
    };
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let mut world = with_feature(3);
        world.block(4, order.map(|number| tx(reporter(number), &[report("f", 1, 0)])).to_vec());
        let reloaded = world.records.load(world.state.tip()).unwrap();
        assert_eq!(pools(&world.state), pools(&reloaded), "{order:?}");
    }
}

/// What was pooled of a trial or a deployment judges no other, and counts for the breaker when it acts.
#[test]
fn a_round_ends_with_what_it_is_about() {
    let told = |number| tx(reporter(number), &[report("f", 1, 1)]);
    for (what, command, goes) in [
        ("a new trial", canary("f", 7), true),
        ("a rollback", rollback("f"), true),
        ("a disable", disable("f"), true),
        ("enable from a canary", enable("f"), false),
        ("an override", set_override("f", USER, true), false),
    ] {
        let mut world = with_feature(2);
        world.block(4, vec![told(1), told(2)]);
        world.run(5, OPERATOR, &[command]);
        let left = world.records.keys(KeyPrefix::Trust).count();
        assert_eq!(left, if goes { 0 } else { 2 }, "{what}");
        assert_eq!(world.at(ROUND, vec![]).events.is_empty(), goes, "{what}");
    }
    let counted = |commands: &[Command]| {
        let mut world = world(2);
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
        world.next(&[deploy_slowly("p", "2.0.0")]);
        let payloads = [1, 2].map(|n| {
            tx(
                reporter(n),
                &[tell_version("p", "2.0.0", 1, 0), tell_version("p", "1.0.0", 1, 0), attest("p", "2.0.0", true)],
            )
        });
        world.at(4, payloads.into());
        world.next(commands);
        world.records.keys(KeyPrefix::Trust).count()
    };
    assert_eq!(counted(&[pause("p")]), 6);
    for end in [promote("p"), roll_back("p")] {
        assert_eq!(counted(&[end]), 0);
    }
}

/// With the breaker open, too, and before everything else that is due; enough of them open it.
#[test]
fn a_round_acts_as_one_report_whatever_the_breaker_says() {
    let mut world = with_feature(2);
    world.next(&[create("g"), canary("g", 5), set_params(None, Some(1), Some(99))]);
    world.next(&[trip(0, false)]);
    let height = world.tip() + 1;
    let bad = |number| tx(reporter(number), &[report("g", 0, 50)]);
    world.block(height, vec![bad(1), bad(2)]);
    let events = world.at(ROUND, vec![]).events;
    let names: Vec<&str> = events.iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["round_closed", "rolled_back", "breaker_tripped"]);
    assert_eq!(world.stands("g"), (Status::RolledBack, 0));
    let breaker = world.state.global().breaker.unwrap();
    assert_eq!((breaker.draining, breaker.until, breaker.reason), (true, None, Reason::ConsensusFailure));
}

/// A later length of rounds moves no open pool; with rounds off reports act at once, and the pool still closes.
#[test]
fn an_open_pool_closes_when_it_was_to() {
    for round_blocks in [0, 3, 1_000] {
        let mut world = with_feature(1);
        world.block(4, vec![tx(reporter(1), &[report("f", 5, 0)])]);
        world.run(
            5,
            ADMIN,
            &[change_params(ParamsChanges { round_blocks: Some(round_blocks), ..ParamsChanges::default() })],
        );
        world.block(6, vec![tx(reporter(2), &[report("f", 7, 0)])]);
        let now = if round_blocks == 0 { 7 } else { 0 };
        assert_eq!(world.feature("f").success_count, now, "{round_blocks}");
        world.at(ROUND, vec![]);
        let then = if round_blocks == 0 { 7 + 5 } else { 7 };
        assert_eq!(world.feature("f").success_count, then, "{round_blocks}");
    }
}

/// A step without any traffic is held while rounds are on.
#[test]
fn a_round_that_is_short_lets_nothing_grow() {
    let mut world = world(2);
    world.run(2, ADMIN, &[create_with("f", steps_every(5))]);
    world.run(3, OPERATOR, &[canary("f", 5), rollout("f", 100)]);
    world.block(4, vec![tx(reporter(1), &[report("f", 9, 0)])]);
    let held = Event::StepHeld { name: name("f"), operations: 0, needed: 0 };
    assert_eq!(world.at(8, vec![]).events, [held]);
    world.at(ROUND, vec![]);
    world.block(ROUND + 1, [1, 2].map(|n| tx(reporter(n), &[report("f", 9, 0)])).into());
    assert_eq!(world.stands("f"), (Status::RollingOut, 5));
    world.advance(30);
    assert_eq!(world.stands("f"), (Status::RollingOut, 15), "one step for the traffic of a round");
}
