//! Plans from start to end: strategies, ties, verdicts, and what is still missing.

use super::*;

#[test]
fn each_strategy_succeeds_and_fails() {
    let canary = || canary_of(1_000, 2_000, 5, 4_000, 8);
    let rolling =
        || Strategy::Rolling { initial_bps: Bps::new(5_000).unwrap(), increment_bps: 5_000, increment_blocks: 5 };
    let blue_green = || Strategy::BlueGreen { health_blocks: 5, bake_blocks: 4 };
    let gates = || {
        let manual = Stage { gate: Gate::Manual, ..stage(100, 3) };
        let health = Stage { gate: Gate::Health, ..stage(200, 3) };
        custom(&[manual, health, stage(10_000, 2)])
    };
    let of = |what, strategy: Strategy, script: Vec<(Height, Command)>, end, told| {
        let terms = defaults(&strategy);
        Story { what, strategy, terms, script, end, told }
    };
    check(vec![
        of(
            "a canary grows by its increments, and is observed at its maximum",
            canary(),
            vec![(12, new(100, 1)), (16, new(100, 0)), (21, new(100, 0))],
            40,
            &["15 p staged 1 3000", "20 p staged 2 4000", "28 p promoted 1.0.0 2.0.0"],
        ),
        of(
            "a canary with too many errors",
            canary(),
            vec![(12, new(100, 2))],
            40,
            &["12 p deployment_rolled_back 2.0.0 error_rate 2/100 0/0 100 by itself"],
        ),
        of(
            "rolling to everybody",
            rolling(),
            vec![(11, new(50, 0)), (16, new(50, 0))],
            30,
            &["15 p staged 1 10000", "20 p promoted 1.0.0 2.0.0"],
        ),
        of(
            "rolling, and worse in its second stage alone",
            rolling(),
            vec![(11, new(1_000, 0)), (16, new(50, 3))],
            30,
            &["15 p staged 1 10000", "16 p deployment_rolled_back 2.0.0 error_rate 3/50 0/0 500 by itself"],
        ),
        of(
            "blue and green: healthy, switched and baked",
            blue_green(),
            vec![(12, healthy())],
            30,
            &["12 p health_attested 2.0.0 true", "13 p staged 1 10000", "17 p promoted 1.0.0 2.0.0"],
        ),
        of(
            "blue and green: never healthy",
            blue_green(),
            vec![],
            30,
            &["15 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself"],
        ),
        of(
            "blue and green: worse when it bakes",
            blue_green(),
            vec![(12, healthy()), (15, new(50, 3))],
            30,
            &[
                "12 p health_attested 2.0.0 true",
                "13 p staged 1 10000",
                "15 p deployment_rolled_back 2.0.0 error_rate 3/50 0/0 500 by itself",
            ],
        ),
        of(
            "an A/B test that the new version wins, which promotes nothing by itself",
            ab(5_000, 10),
            vec![(12, new(1_000, 10)), (12, old(1_000, 50))],
            30,
            &["20 p concluded 2.0.0 canary 10/1000 50/1000 196"],
        ),
        of(
            "an A/B test that the old version wins",
            ab(5_000, 10),
            vec![(12, new(1_000, 40)), (12, old(1_000, 10))],
            30,
            &["20 p concluded 2.0.0 production 40/1000 10/1000 196"],
        ),
        of(
            "an A/B test in vain",
            ab(5_000, 10),
            vec![(12, new(999, 10)), (12, old(1_000, 50))],
            30,
            &["20 p concluded 2.0.0 inconclusive 10/999 50/1000 196"],
        ),
        of(
            "a plan with a gate of each kind",
            gates(),
            vec![(20, resume("p")), (22, healthy())],
            40,
            &[
                "13 p waiting manual_gate",
                "20 p resumed",
                "20 p staged 1 200",
                "22 p health_attested 2.0.0 true",
                "23 p staged 2 10000",
                "25 p promoted 1.0.0 2.0.0",
            ],
        ),
        of(
            "a plan with a gate of each kind, unhealthy at the second",
            gates(),
            vec![(20, resume("p")), (22, attest("p", "2.0.0", false))],
            40,
            &[
                "13 p waiting manual_gate",
                "20 p resumed",
                "20 p staged 1 200",
                "22 p health_attested 2.0.0 false",
                "22 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself",
            ],
        ),
    ]);
}

/// At, just below and just above each threshold.
#[test]
fn a_tie_at_every_threshold() {
    let one = |blocks| custom(&[stage(1_000, blocks)]);
    let errors = Guardrails { error_threshold_bps: Bps::new(100).unwrap(), min_requests: 100, ..EASY };
    let success = Guardrails { success_threshold_bps: Bps::new(9_900).unwrap(), ..EASY };
    let z = Guardrails { regression_z_centi: NonZeroU16::new(200), min_requests: 2, ..EASY };
    let z_higher = Guardrails { regression_z_centi: NonZeroU16::new(201), ..z };
    let deadline = Guardrails { max_blocks: NonZeroU32::new(6), auto_promote: false, ..EASY };
    let requests = || custom(&[Stage { min_requests: 10, ..stage(1_000, 5) }]);
    let gated = || custom(&[Stage { gate: Gate::Health, ..stage(1_000, 5) }]);
    let story = |what, strategy, terms, script, end, told| Story { what, strategy, terms, script, end, told };
    let kept: &[&str] = &["15 p promoted 1.0.0 2.0.0"];
    check(vec![
        story("errors at the threshold", one(5), errors, vec![(12, new(100, 1))], 20, kept),
        story(
            "errors above it",
            one(5),
            errors,
            vec![(12, new(10_000, 101))],
            20,
            &["12 p deployment_rolled_back 2.0.0 error_rate 101/10000 0/0 100 by itself"],
        ),
        story("one request short of a judgement", one(5), errors, vec![(12, new(99, 99))], 20, kept),
        story(
            "just enough requests for one",
            one(5),
            errors,
            vec![(12, new(99, 99)), (13, new(1, 0))],
            20,
            &["13 p deployment_rolled_back 2.0.0 error_rate 99/100 0/0 100 by itself"],
        ),
        story(
            "no requests needed are one at least",
            one(5),
            Guardrails { min_requests: 0, ..errors },
            vec![(12, old(5, 5)), (13, new(0, 0)), (14, new(1, 1))],
            20,
            &["14 p deployment_rolled_back 2.0.0 error_rate 1/1 0/0 100 by itself"],
        ),
        story("all may fail", one(5), EASY, vec![(12, new(7, 7))], 20, kept),
        story("success at the threshold", one(5), success, vec![(12, new(100, 1))], 20, kept),
        story(
            "success below it",
            one(5),
            success,
            vec![(12, new(10_000, 101))],
            20,
            &["15 p stage_held success_rate 101/10000"],
        ),
        story(
            "no requests are a success",
            one(5),
            Guardrails { success_threshold_bps: Bps::FULL, ..EASY },
            vec![],
            20,
            kept,
        ),
        story("just enough requests for the stage", requests(), EASY, vec![(12, new(10, 0))], 20, kept),
        story(
            "one too few",
            requests(),
            EASY,
            vec![(12, new(9, 0)), (14, old(99, 0))],
            20,
            &["15 p stage_held requests 0/9"],
        ),
        story(
            "z exactly there: 2 of 2 against 0 of 2",
            one(5),
            z,
            vec![(12, old(2, 0)), (13, new(2, 2))],
            20,
            &["13 p deployment_rolled_back 2.0.0 regression 2/2 0/2 200 by itself"],
        ),
        story("z a hundredth short", one(5), z_higher, vec![(12, old(2, 0)), (13, new(2, 2))], 20, kept),
        story("z exactly there, for the better", one(5), z, vec![(12, old(2, 2)), (13, new(2, 0))], 20, kept),
        story("production lacks requests", one(5), z, vec![(12, old(1, 0)), (13, new(200, 200))], 20, kept),
        story("the canary lacks requests", one(5), z, vec![(12, old(200, 0)), (13, new(1, 1))], 20, kept),
        story(
            "a report of production decides",
            one(5),
            z,
            vec![(12, new(2, 2)), (13, old(2, 0))],
            20,
            &["13 p deployment_rolled_back 2.0.0 regression 2/2 0/2 200 by itself"],
        ),
        story(
            "the last block before the deadline",
            one(5),
            deadline,
            vec![(15, promote("p"))],
            20,
            &["15 p waiting completed", "15 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "the deadline",
            one(5),
            deadline,
            vec![(16, promote("p"))],
            20,
            &[
                "15 p waiting completed",
                "16 p deployment_rolled_back 2.0.0 timeout 0/0 0/0 6 by itself",
                "16 refused no_deployment",
            ],
        ),
        story(
            "healthy in the last block of the gate",
            gated(),
            EASY,
            vec![(14, healthy())],
            20,
            &["14 p health_attested 2.0.0 true", "15 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "healthy one block late",
            gated(),
            EASY,
            vec![(15, healthy())],
            20,
            &["15 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself", "15 refused no_deployment"],
        ),
    ]);
}

#[test]
fn verdicts_with_their_figures() {
    let terms =
        Guardrails { success_threshold_bps: Bps::new(9_000).unwrap(), min_requests: 2, auto_promote: true, ..EASY };
    let z = |centi| Guardrails { regression_z_centi: centi, ..terms };
    let none_fails = Guardrails { success_threshold_bps: Bps::FULL, ..z(NonZeroU16::new(1)) };
    // Requests and errors of the new version and the old one.
    type Row = (&'static str, Guardrails, (u32, u32), (u32, u32), &'static [&'static str]);
    let rows: [Row; 10] = [
        (
            "|z| exactly there: the new one",
            z(NonZeroU16::new(200)),
            (2, 0),
            (2, 2),
            &["15 p concluded 2.0.0 canary 0/2 2/2 200", "15 p promoted 1.0.0 2.0.0"],
        ),
        (
            "|z| a hundredth short",
            z(NonZeroU16::new(201)),
            (2, 0),
            (2, 2),
            &["15 p concluded 2.0.0 inconclusive 0/2 2/2 201"],
        ),
        (
            "off means 1.96",
            terms,
            (100, 0),
            (100, 4),
            &["15 p concluded 2.0.0 canary 0/100 4/100 196", "15 p promoted 1.0.0 2.0.0"],
        ),
        (
            "off, and just short of it",
            terms,
            (100, 0),
            (100, 3),
            &["15 p concluded 2.0.0 inconclusive 0/100 3/100 196"],
        ),
        ("the old one", terms, (100, 4), (100, 0), &["15 p concluded 2.0.0 production 4/100 0/100 196"]),
        (
            "no difference",
            z(NonZeroU16::new(1)),
            (100, 4),
            (200, 8),
            &["15 p concluded 2.0.0 inconclusive 4/100 8/200 1"],
        ),
        (
            "nothing told",
            Guardrails { min_requests: 0, ..terms },
            (0, 0),
            (0, 0),
            &["15 p concluded 2.0.0 inconclusive 0/0 0/0 196"],
        ),
        ("one request short", terms, (100, 0), (1, 1), &["15 p concluded 2.0.0 inconclusive 0/100 1/1 196"]),
        (
            "better, but not good",
            none_fails,
            (100, 1),
            (100, 50),
            &["15 p concluded 2.0.0 inconclusive 1/100 50/100 1"],
        ),
        (
            "good as asked",
            z(NonZeroU16::new(1)),
            (100, 10),
            (100, 50),
            &["15 p concluded 2.0.0 canary 10/100 50/100 1", "15 p promoted 1.0.0 2.0.0"],
        ),
    ];
    for (what, terms, of_new, of_old, told) in rows {
        let script = [(12, new(of_new.0, of_new.1)), (12, old(of_old.0, of_old.1))];
        let (world, lines) = play(concluding(&[stage(5_000, 5)]), terms, &script, 30);
        assert_eq!(lines, told, "{what}");
        let is_promoted = told.len() == 2;
        let status = if is_promoted { VersionStatus::Active } else { VersionStatus::Loading };
        assert_eq!(world.version_status("p", "2.0.0"), Some(status), "{what}");
        assert!(world.deployment("p").is_none());
    }
    // What was in vain may be deployed again.
    let (world, _) = play(ab(5_000, 5), EASY, &[], 30);
    assert_eq!(world.try_next(&deploy_slowly("p", "2.0.0")), Receipt::Ok);
}

#[test]
fn a_lack_is_told_once_in_each_stage_and_looked_at_after_a_report() {
    let plan = || {
        let stages = [1_000, 2_000].map(|share| Stage { min_requests: 10, ..stage(share, 3) });
        custom(&stages)
    };
    let terms = Guardrails { success_threshold_bps: Bps::new(9_000).unwrap(), ..EASY };
    let manual = || custom(&[Stage { min_requests: 10, gate: Gate::Manual, ..stage(1_000, 3) }]);
    let story = |what, strategy, terms, script, end, told| Story { what, strategy, terms, script, end, told };
    check(vec![
        story(
            "requests, then the rate, then again in the next stage",
            plan(),
            terms,
            vec![
                (15, new(1, 0)),
                (16, new(8, 4)),
                (17, old(100, 0)),
                (18, new(1, 1)),
                (19, new(40, 0)),
                (30, new(40, 9)),
                (31, new(50, 0)),
            ],
            40,
            &[
                "13 p stage_held requests 0/0",
                // Looked at after the report of 15: nothing new to tell. After that of 16 the rate lacks too.
                "17 p stage_held success_rate 4/9",
                "20 p staged 1 2000",
                "23 p stage_held requests 0/0",
                "31 p stage_held success_rate 9/40",
                "32 p promoted 1.0.0 2.0.0",
            ],
        ),
        story(
            "both at once",
            plan(),
            terms,
            vec![(12, new(9, 9))],
            20,
            &["13 p stage_held requests 9/9", "13 p stage_held success_rate 9/9"],
        ),
        story(
            "a manual gate first fulfils the same",
            manual(),
            terms,
            vec![(20, resume("p")), (21, new(10, 0)), (30, resume("p"))],
            40,
            &[
                "13 p stage_held requests 0/0",
                "22 p waiting manual_gate",
                "30 p resumed",
                "30 p promoted 1.0.0 2.0.0",
                "20 refused not_waiting",
            ],
        ),
        story(
            "a verdict asks for nothing",
            concluding(&[Stage { min_requests: 10, ..stage(1_000, 3) }]),
            Guardrails { success_threshold_bps: Bps::FULL, ..EASY },
            vec![(12, new(1, 1))],
            20,
            &["13 p concluded 2.0.0 inconclusive 1/1 0/0 196"],
        ),
        story(
            "the stage before a verdict asks for its own",
            concluding(&[Stage { min_requests: 10, ..stage(1_000, 3) }, stage(2_000, 3)]),
            EASY,
            vec![(20, new(10, 0))],
            30,
            &["13 p stage_held requests 0/0", "21 p staged 1 2000", "24 p concluded 2.0.0 inconclusive 0/10 0/0 196"],
        ),
    ]);
}
