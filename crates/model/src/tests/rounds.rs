//! What a quorum of reporters says.

use std::collections::BTreeSet;

use super::*;
use crate::rounds::PoolKey;
use crate::support::Random;

fn reporter(n: u8) -> Address {
    Address([0x80 + n; 20])
}

/// A ledger of rounds of 10 blocks at height 10, in which `f` is Enabled and this many reporters may report.
fn with_reporters(quorum: u8, reporters: u8) -> Model {
    let mut model = ledger(rounds(10, quorum));
    all(&mut model, 10, &[(A, create("f")), (O, enable("f"))]);
    model.roles.extend((0..reporters).map(|n| (reporter(n), REPORTER)));
    model
}

fn say(n: u8, [successes, errors, latency, peak, checks, failures]: [u64; 6]) -> (Address, Command) {
    let small = |n: u64| u32::try_from(n).unwrap();
    let report = Report {
        successes: small(successes),
        errors: small(errors),
        latency_total: latency,
        latency_peak: peak,
        invariant_checks: small(checks),
        invariant_failures: small(failures),
    };
    (reporter(n), Command::Report { name: b"f".to_vec(), report, trial: None })
}

/// Successes, errors, latency, peak, checks and failures after a round in which each reporter said one of these.
#[track_caller]
fn check(quorum: u8, said: &[[u64; 6]], events: &[&str], expected: [u128; 6]) {
    let mut model = with_reporters(quorum, said.len() as u8);
    let policy = Policy { min_samples: u32::MAX, max_invariant_failures: u64::MAX, ..Policy::default() };
    model.feature_mut(b"f").policy = policy;
    let reports: Vec<(Address, Command)> = (0..).zip(said).map(|(n, said)| say(n, *said)).collect();
    all(&mut model, 11, &reports);
    assert_eq!(all(&mut model, 20, &[]), events, "{said:?}");
    let m = &model.features[&b"f"[..]].metrics;
    let got = [m.successful_ops, m.failed_ops, m.latency_sum, m.peak_latency, m.invariant_checks, m.invariant_failures];
    assert_eq!(got, expected, "{said:?}");
    assert!(model.pools.is_empty());
}

#[test]
fn the_median_speaks_for_all() {
    const CLOSED: &[&str] = &["round_closed"];
    const SHORT: &[&str] = &["round_short"];
    check(1, &[[90, 10, 500, 9, 4, 1]], CLOSED, [90, 10, 500, 9, 4, 1]);
    // Of two, the upper median: the worse rate, the larger volume and latency.
    check(2, &[[100, 0, 0, 1, 0, 0], [5, 5, 10, 7, 0, 0]], CLOSED, [50, 50, 100, 7, 0, 0]);
    // One of three lies, in either direction and by its volume: the rate is 1 %, and so is the volume that of the middle.
    check(3, &[[99, 1, 0, 0, 0, 0], [198, 2, 0, 0, 0, 0], [0, 1_000_000, 0, 0, 0, 0]], CLOSED, [198, 2, 0, 0, 0, 0]);
    check(3, &[[99, 1, 0, 0, 0, 0], [198, 2, 0, 0, 0, 0], [1_000_000, 0, 0, 0, 0, 0]], CLOSED, [198, 2, 0, 0, 0, 0]);
    // Errors are rounded up, latency down.
    check(1, &[[2, 1, 10, 4, 0, 0], [7, 0, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0]], CLOSED, [7, 0, 0, 0, 0, 0]);
    check(3, &[[2, 1, 10, 4, 0, 0], [5, 5, 0, 0, 0, 0], [7, 0, 70, 9, 0, 0]], CLOSED, [4, 3, 23, 4, 0, 0]);
    // Equal rates: the address decides, and all say the same.
    check(2, &[[9, 1, 20, 0, 0, 0], [18, 2, 40, 0, 0, 0]], CLOSED, [18, 2, 40, 0, 0, 0]);
    // Who has nothing to say does not count, neither for the rate nor for the invariants.
    check(2, &[[9, 1, 0, 0, 0, 0], [0; 6]], SHORT, [0; 6]);
    check(2, &[[9, 1, 0, 0, 5, 5], [0, 0, 0, 0, 7, 2]], CLOSED, [0, 0, 0, 0, 7, 2]);
    check(2, &[[9, 1, 0, 0, 5, 5], [9, 1, 0, 0, 0, 0]], CLOSED, [9, 1, 0, 0, 0, 0]);
    // What at least a quorum has seen: of 5, 3 and 3 failures, the second.
    check(2, &[[0, 0, 0, 0, 5, 5], [0, 0, 0, 0, 3, 3], [0, 0, 0, 0, 8, 3]], CLOSED, [0, 0, 0, 0, 3, 3]);
    check(3, &[[0, 0, 0, 0, 5, 5], [0, 0, 0, 0, 9, 0], [0, 0, 0, 0, 8, 3]], CLOSED, [0, 0, 0, 0, 9, 0]);
    check(1, &[[0, 0, 0, 0, 5, 5], [0, 0, 0, 0, 9, 0]], CLOSED, [0, 0, 0, 0, 5, 5]);
}

/// As many liars as a quorum withstands move the outcome nowhere where no honest reporter is.
#[test]
fn a_quorum_withstands_liars() {
    let mut random = Random(12);
    for _ in 0..300 {
        let quorum = random.pick(&[1, 2, 3, 4, 5, 7]);
        let liars = (quorum - 1) / 2;
        let honest = quorum - liars + random.below(3) as u8;
        let said: Vec<[u64; 6]> = (0..honest + liars)
            .map(|n| {
                let lies = n < liars;
                let checks = random.below(4);
                let operations = if lies { random.pick(&[1, 1 << 31]) } else { 1 + random.below(100) };
                let errors = if lies { random.pick(&[0, operations]) } else { random.below(operations / 4 + 1) };
                let latency = if lies { random.pick(&[0, u64::MAX]) } else { random.below(1_000) };
                let peak = if lies { random.pick(&[0, u64::MAX]) } else { random.below(100) };
                let failures = if lies { checks } else { random.below(checks / 2 + 1) };
                [operations - errors, errors, latency, peak, checks, failures]
            })
            .collect();
        let mut model = with_reporters(quorum, honest + liars);
        let policy = Policy { min_samples: u32::MAX, max_invariant_failures: u64::MAX, ..Policy::default() };
        model.feature_mut(b"f").policy = policy;
        // The addresses of the liars are among the others, not all before them.
        let place = |n: usize| (n * 5 % said.len()) as u8;
        let places: BTreeSet<u8> = (0..said.len()).map(place).collect();
        let place = |n: usize| if places.len() == said.len() { place(n) } else { n as u8 };
        all(&mut model, 11, &said.iter().enumerate().map(|(n, said)| say(place(n), *said)).collect::<Vec<_>>());
        all(&mut model, 20, &[]);
        let m = &model.features[&b"f"[..]].metrics;
        let truth = &said[usize::from(liars)..];
        let operations = |said: &[u64; 6]| u128::from(said[0] + said[1]);
        let n = m.successful_ops + m.failed_ops;
        assert!(truth.iter().any(|one| operations(one) <= n) && truth.iter().any(|one| operations(one) >= n));
        // Not below the best rate of an honest reporter, and above the worst by less than an error.
        let rate = |one: &[u64; 6]| (u128::from(one[1]), operations(one));
        assert!(truth.iter().map(rate).any(|(errors, of)| m.failed_ops * of >= errors * n), "{said:?}");
        assert!(truth.iter().map(rate).any(|(errors, of)| m.failed_ops * of < errors * n + of), "{said:?}");
        let latency = |one: &[u64; 6]| (u128::from(one[2]), operations(one));
        assert!(truth.iter().map(latency).any(|(sum, of)| (m.latency_sum + 1) * of > sum * n), "{said:?}");
        assert!(truth.iter().map(latency).any(|(sum, of)| m.latency_sum * of <= sum * n), "{said:?}");
        assert!(truth.iter().any(|one| u128::from(one[3]) >= m.peak_latency), "{said:?}");
        assert!(m.invariant_failures == 0 || truth.iter().any(|one| u128::from(one[5]) >= m.invariant_failures));
    }
}

#[test]
fn reports_add_up_and_nothing_overflows() {
    let max = u64::from(u32::MAX);
    let mut model = with_reporters(1, 1);
    all(&mut model, 11, &vec![say(0, [max, max, u64::MAX, 3, 1, 0]); 3]);
    all(&mut model, 12, &[say(0, [1, 0, 0, 2, 0, 0])]);
    let key = PoolKey::of_feature(b"f");
    let expected = [3 * max + 1, 3 * max, u64::MAX, 3, 3, 0].map(u128::from);
    assert_eq!(model.pools[&key].entries[&reporter(0)], expected);
    let huge = u128::from(u64::MAX);
    model.pools.get_mut(&key).unwrap().entries.insert(reporter(0), vec![huge, huge, huge, huge, huge, huge]);
    assert_eq!(all(&mut model, 20, &[]), ["round_closed", "rolled_back"]);
    assert_eq!(model.features[&b"f"[..]].error_count, huge);
}

/// The guard judges what a round says, and the breaker counts it.
#[test]
fn a_round_acts_as_one_report() {
    let mut model = with_reporters(2, 2);
    (model.params.breaker_rollbacks, model.params.breaker_window) = (1, 5);
    all(&mut model, 11, &[say(0, [0, 20, 0, 0, 0, 0]), say(1, [0, 20, 0, 0, 0, 0])]);
    all(&mut model, 12, &[(G, trip(0, false))]);
    assert_eq!(all(&mut model, 20, &[]), ["round_closed", "rolled_back", "breaker_tripped"]);
}

#[test]
fn a_pool_takes_64_reporters_and_ends_with_its_round() {
    let mut model = with_reporters(64, 65);
    let reports: Vec<(Address, Command)> = (0..65).map(|n| say(n, [1, 0, 0, 0, 0, 0])).collect();
    let (receipts, _) = at(&mut model, 19, &reports);
    assert_eq!((receipts[63], receipts[64]), ("ok", "limit_exceeded"));
    assert_eq!(at(&mut model.clone(), 20, &[]).1, ["round_closed"]);
    // Who has lost the role meanwhile does not count.
    model.roles.remove(&reporter(3));
    assert_eq!(at(&mut model.clone(), 20, &[]).1, ["round_short"]);
    // Admin implies it. The quorum is that of the closing.
    model.roles.insert(reporter(3), ADMIN);
    assert_eq!(at(&mut model.clone(), 20, &[]).1, ["round_closed"]);
    model.roles.remove(&reporter(3));
    model.params.quorum = 63;
    assert_eq!(at(&mut model.clone(), 20, &[]).1, ["round_closed"]);
}

#[test]
fn a_pool_stays_open_when_rounds_change() {
    let mut model = with_reporters(1, 2);
    all(&mut model, 11, &[say(0, [10, 0, 0, 0, 0, 0])]);
    model.params.round_blocks = 3;
    all(&mut model, 12, &[say(1, [20, 0, 0, 0, 0, 0])]);
    assert_eq!(model.pools[&PoolKey::of_feature(b"f")].due, 20);
    model.params.round_blocks = 0;
    all(&mut model, 13, &[say(1, [1, 0, 0, 0, 0, 0])]);
    assert_eq!(model.features[&b"f"[..]].success_count, 1);
    assert_eq!(all(&mut model, 20, &[]), ["round_closed"]);
    assert_eq!(model.features[&b"f"[..]].success_count, 21);
}

#[test]
fn no_round_ends_beyond_the_last_height() {
    let mut model =
        Model::of_raw(raw::Genesis { rules: 1, chain: vec![], roles: [(A, ADMIN)].into(), params: rounds(10, 1) });
    at(&mut model, u32::MAX - 6, &[(A, create("f")), (A, enable("f"))]);
    // 4 294 967 290 is the last multiple of ten.
    assert_eq!(answer(&model, u32::MAX - 5, A, &report("f", 1, 0)), "limit_exceeded");
    let mut model =
        Model::of_raw(raw::Genesis { rules: 1, chain: vec![], roles: [(A, ADMIN)].into(), params: rounds(5, 1) });
    at(&mut model, u32::MAX - 6, &[(A, create("f")), (A, enable("f"))]);
    assert_eq!(answer(&model, u32::MAX - 5, A, &report("f", 1, 0)), "ok");
}

#[test]
fn a_new_trial_forgets_what_was_said() {
    let f = "f";
    let rows: [(Address, Command, bool); 7] = [
        (O, canary(f), true),
        (O, disable(f), true),
        (G, rollback(f), true),
        (O, enable(f), false),
        (O, rollout(f), false),
        (O, set_override(f, true), false),
        (G, trip(0, true), false),
    ];
    for (signer, command, forgets) in rows {
        let mut model = ledger(rounds(10, 1));
        all(&mut model, 10, &[(A, create(f)), (O, canary(f))]);
        all(&mut model, 11, &[(R, report(f, 1, 0))]);
        all(&mut model, 12, &[(signer, command.clone())]);
        assert_eq!(model.pools.is_empty(), forgets, "{command:?}");
    }
    let mut model = ledger(rounds(10, 1));
    all(
        &mut model,
        10,
        &[(A, create(f)), (O, canary(f)), (O, rollout(f)), (R, report(f, 1, 0)), (G, pause_rollout(f))],
    );
    assert_eq!(model.pools.len(), 1);
    all(&mut model, 11, &[(G, trip(0, true))]);
    assert_eq!(all(&mut model, 12, &[]), ["rolled_back", "breaker_drained"]);
    assert!(model.pools.is_empty());
}

#[test]
fn a_step_of_a_ledger_with_rounds_needs_operations() {
    let mut model = ledger(rounds(2, 1));
    all(&mut model, 10, &[(A, create("f")), (O, canary("f")), (O, rollout("f")), (R, report("f", 20, 0))]);
    assert_eq!(all(&mut model, 11, &[]), ["step_held"]);
    assert_eq!(all(&mut model, 12, &[]), ["round_closed", "stepped"]);
    assert_eq!(all(&mut model, 13, &[]), ["step_held"]);
    let advance = Command::AdvanceRollout { name: b"f".to_vec() };
    model.feature_mut(b"f").policy.advance = 1;
    assert_eq!(all(&mut model, 14, &[(O, advance)]), ["step_held"]);
}

/// A deployment of 2.0.0 over 1.0.0 behind a health gate of 20 blocks, in rounds of 10 with this quorum.
fn deploying(quorum: u8) -> Model {
    let mut model = with_reporters(quorum, 5);
    all(&mut model, 11, &[(A, register("p", "1.0.0", &[])), (A, register("p", "2.0.0+build", &[]))]);
    all(&mut model, 12, &[(O, deploy("p", "2.0.0", 2, 20, 0, true))]);
    model
}

#[track_caller]
fn check_votes(quorum: u8, healthy: &[bool], events: &[&str]) {
    let mut model = deploying(quorum);
    let vote = |(n, yes): (u8, &bool)| (reporter(n), attest_version(54, "p", "2.0.0", *yes));
    all(&mut model, 13, &(0..).zip(healthy).map(vote).collect::<Vec<_>>());
    assert_eq!(all(&mut model, 20, &[]), events, "{healthy:?}");
}

#[test]
fn bad_news_on_health_comes_first() {
    check_votes(2, &[true, true], &["round_closed", "health_attested"]);
    check_votes(2, &[true, true, false], &["round_closed", "health_attested"]);
    check_votes(2, &[true, true, false, false], &["round_closed", "health_attested", "deployment_rolled_back"]);
    check_votes(2, &[true, false], &["round_short"]);
    check_votes(1, &[true, true, true, false], &["round_closed", "health_attested", "deployment_rolled_back"]);
}

#[test]
fn good_news_on_loading_comes_first() {
    let mut model = with_reporters(2, 4);
    all(
        &mut model,
        11,
        &[(A, register("p", "1.0.0", &[])), (A, register("q", "1.0.0", &["p"])), (O, on_plugin(51, "q"))],
    );
    let votes = |tag: u8, plugin: &str, votes: [bool; 4]| -> Vec<(Address, Command)> {
        (0..).zip(votes).map(|(n, yes)| (reporter(n), attest(tag, plugin, yes))).collect()
    };
    assert_eq!(answer(&model, 12, R, &attest(55, "unknown", true)), "plugin_not_found");
    assert_eq!(answer(&model, 12, R, &attest_version(55, "p", "1.0.1", true)), "version_not_found");
    all(&mut model, 12, &[(A, register("p", "2.0.0", &[]))]);
    assert_eq!(answer(&model, 13, R, &attest_version(55, "p", "2.0.0", true)), "not_loaded");
    // q is Pending until p is Loaded, so what was said of it is dropped.
    all(&mut model, 13, &votes(55, "q", [true; 4]));
    all(&mut model, 14, &votes(55, "p", [true, false, true, false]));
    assert_eq!(all(&mut model, 20, &[]), ["round_closed", "loaded", "round_closed", "loaded"]);
    all(&mut model, 21, &votes(55, "p", [false; 4]));
    assert_eq!(all(&mut model, 30, &[]), ["round_closed"]);
    // q has to be unloaded first.
    all(&mut model, 31, &[(O, unload("p", true))]);
    all(&mut model, 32, &votes(56, "p", [true; 4]));
    all(&mut model, 33, &votes(56, "q", [true, false, false, true]));
    assert_eq!(all(&mut model, 40, &[]), ["round_closed", "round_closed", "unloaded"]);
}

#[test]
fn the_end_of_a_deployment_forgets_what_was_said_of_its_versions() {
    let said = [(R, report_version("p", "1.0.0", 5, 0)), (R, report_version("p", "2.0.0", 5, 0))];
    let rows: [(Address, Command, usize); 4] = [
        (G, on_plugin(45, "p"), 0),
        (O, on_plugin(42, "p"), 3),
        (R, report_version("p", "1.0.0", 1, 0), 3),
        (R, attest_version(54, "p", "1.0.0", true), 3),
    ];
    for (signer, command, left) in rows {
        let mut model = deploying(3);
        all(&mut model, 13, &said);
        all(&mut model, 14, &[(R, attest_version(54, "p", "2.0.0+other", true))]);
        at(&mut model, 15, &[(signer, command.clone())]);
        assert_eq!(model.pools.len(), left, "{command:?}");
    }
    // A deployment begins without what was said before.
    let mut model = deploying(3);
    all(&mut model, 13, &[(G, on_plugin(45, "p")), (A, register("p", "2.0.0", &[]))]);
    all(&mut model, 14, &said);
    assert_eq!(model.pools.len(), 2);
    all(&mut model, 15, &[(O, deploy("p", "2.0.0", 0, 20, 0, true))]);
    assert!(model.pools.is_empty());
}

/// An arm is halved to make room for a round; one that does not fit even then is dropped.
#[test]
fn an_arm_makes_room_once() {
    let most = (1 << 48) - 1;
    for (said, acts) in [(1, true), (most / 2, true), (most / 2 + 1, true), (most / 2 + 2, false), (most + 1, false)] {
        let mut model = deploying(1);
        model.deployment_mut(b"p").canary.requests = most;
        all(&mut model, 13, &[(R, report_version("p", "2.0.0", 1, 0))]);
        let pool = model.pools.values_mut().next().unwrap();
        pool.entries.insert(R, vec![said, 0, 0]);
        let outcome = model.advance(20).unwrap().pop().unwrap().1;
        assert_eq!(names(&outcome), ["round_closed"]);
        assert!(matches!(&outcome.events[0], Event::RoundClosed { acted, .. } if *acted == acts), "{said}");
        let requests = model.deployment_mut(b"p").canary.requests;
        assert_eq!(requests, if acts { most / 2 + said } else { most }, "{said}");
    }
}
