//! Due work: the order of its kinds, the budget of each, deadlines and blocked steps.

use super::*;

#[test]
fn each_kind_has_its_own_budget() {
    let mut model = ledger(Params { max_due_per_block: 1, ..rounds(10, 1) });
    let features = ["a", "b"];
    all(&mut model, 10, &features.map(|name| (A, create(name))));
    all(&mut model, 11, &features.map(|name| (O, canary(name))));
    let plugins =
        ["p", "q"].into_iter().flat_map(|name| ["1.0.0", "2.0.0"].map(|version| (A, register(name, version, &[]))));
    all(&mut model, 12, &plugins.collect::<Vec<_>>());
    all(&mut model, 13, &["p", "q"].map(|name| (O, deploy(name, "2.0.0", 0, 6, 7, true))));
    let pause = ["p", "q"].map(|name| (O, on_plugin(42, name)));
    all(&mut model, 14, &pause);
    let waiting = [(O, schedule(20, &[rollback("a")])), (O, schedule(20, &[rollback("b")]))];
    all(&mut model, 15, &waiting);
    all(&mut model, 16, &features.map(|name| (R, report(name, 5, 0))));
    all(&mut model, 17, &features.map(|name| (O, rollout(name))));
    assert_eq!(all(&mut model, 18, &[]), ["step_held"]);
    assert_eq!(all(&mut model, 19, &[]), ["step_held"]);
    // One round, one deadline, one scheduled entry, one step; then the others.
    let first = ["round_closed", "deployment_rolled_back", "rolled_back", "schedule_executed", "step_held"];
    assert_eq!(all(&mut model, 20, &[]), first);
    assert_eq!(
        all(&mut model, 21, &[]),
        ["round_closed", "deployment_rolled_back", "rolled_back", "schedule_executed"]
    );
    assert!(all(&mut model, 22, &[]).is_empty());
}

#[test]
fn an_open_breaker_holds_up_steps_looks_and_loading_alone() {
    let mut model = plain();
    all(&mut model, 10, &[(A, create("f")), (O, canary("f")), (O, rollout("f"))]);
    let versions = ["1.0.0", "2.0.0"].map(|version| (A, register("p", version, &[])));
    all(&mut model, 11, &versions);
    let registry = PluginCommand::SetRegistryParams { max_versions: None, auto_load: Some(true) };
    all(&mut model, 12, &[(O, deploy("p", "2.0.0", 0, 2, 5, true)), (A, Command::Plugin(registry))]);
    all(&mut model, 13, &[(A, register("q", "1.0.0", &[])), (G, trip(20, false))]);
    assert!(all(&mut model, 14, &[(O, schedule(15, &[disable("f")]))]) == ["scheduled"]);
    assert_eq!(all(&mut model, 15, &[]), ["status_changed", "schedule_executed"]);
    assert!(all(&mut model, 16, &[]).is_empty());
    assert_eq!(all(&mut model, 17, &[]), ["deployment_rolled_back"]);
    assert!(all(&mut model, 18, &[]).is_empty());
    assert_eq!(all(&mut model, 20, &[]), ["breaker_closed", "load_planned"]);
}

#[test]
fn deadlines_end_what_waits_and_count_for_nothing() {
    // Gate, blocks of the stage, deadline, hold (a command after the start), and when it ends.
    let rows: [(u8, u32, u32, Option<u8>, u32); 6] = [
        (0, 5, 9, Some(42), 19),
        (1, 5, 9, None, 19),
        (2, 5, 0, None, 15),
        (2, 5, 9, Some(42), 15),
        (2, 8, 9, None, 18),
        (0, 5, u32::MAX, Some(42), u32::MAX),
    ];
    for (gate, blocks, max_blocks, command, end) in rows {
        let mut model = ledger(Params { breaker_rollbacks: 1, breaker_window: 9, ..Params::default() });
        all(&mut model, 10, &["1.0.0", "2.0.0"].map(|version| (A, register("p", version, &[]))));
        model.tip = Some(9);
        all(&mut model, 10, &[(O, deploy("p", "2.0.0", gate, blocks, max_blocks, false))]);
        if let Some(tag) = command {
            all(&mut model, 11, &[(O, on_plugin(tag, "p"))]);
        }
        if end == u32::MAX {
            assert_eq!(model.deployment_mut(b"p").deadline_due(), None);
            continue;
        }
        model.advance(end - 1).unwrap();
        assert!(model.plugins[&b"p"[..]].deployment.is_some());
        assert_eq!(all(&mut model, end, &[]), ["deployment_rolled_back"]);
    }
}

#[test]
fn an_attested_gate_has_no_deadline_of_its_own() {
    let mut model = plain();
    all(&mut model, 10, &["1.0.0", "2.0.0"].map(|version| (A, register("p", version, &[]))));
    all(&mut model, 11, &[(O, deploy("p", "2.0.0", 2, 5, 30, true)), (O, on_plugin(42, "p"))]);
    all(&mut model, 12, &[(R, attest_version(54, "p", "2.0.0", true))]);
    assert!(all(&mut model, 20, &[]).is_empty());
    assert_eq!(all(&mut model, 21, &[(O, on_plugin(43, "p"))]), ["resumed"]);
    assert_eq!(all(&mut model, 22, &[]), ["promoted"]);
}

/// One budget for deadlines, two that are late: neither resume nor promote brings the second through.
#[test]
fn resume_and_promote_look_at_the_deadline() {
    for tag in [43, 44] {
        let mut model = ledger(max_due(1));
        let plugins =
            ["p", "q"].into_iter().flat_map(|name| ["1.0.0", "2.0.0"].map(|version| (A, register(name, version, &[]))));
        all(&mut model, 10, &plugins.collect::<Vec<_>>());
        all(&mut model, 11, &["p", "q"].map(|name| (O, deploy(name, "2.0.0", 1, 2, 5, true))));
        assert_eq!(all(&mut model, 16, &[(O, on_plugin(tag, "q"))]), vec!["deployment_rolled_back"; 2]);
        assert_eq!(model.plugins[&b"q"[..]].current.to_string(), "1.0.0");
    }
}

/// A look that comes before its turn among the deadlines sees that the deadline has passed.
#[test]
fn no_look_promotes_past_the_deadline() {
    let mut model = ledger(max_due(1));
    let names = ["p", "q", "r"];
    let plugins =
        names.into_iter().flat_map(|name| ["1.0.0", "2.0.0"].map(|version| (A, register(name, version, &[]))));
    all(&mut model, 10, &plugins.collect::<Vec<_>>());
    all(&mut model, 11, &names.map(|name| (O, deploy(name, "2.0.0", 0, 5, 6, true))));
    assert_eq!(all(&mut model, 16, &[]), ["promoted"]);
    assert_eq!(all(&mut model, 17, &[]), ["deployment_rolled_back"; 2]);
}

#[test]
fn a_step_is_blocked_by_its_first_dead_prerequisite() {
    let mut model = plain();
    all(&mut model, 10, &[(A, create("x")), (A, create("a")), (A, create_on("f", &["a", "x"]))]);
    all(&mut model, 11, &[(O, enable("a")), (O, enable("x")), (O, canary("f")), (O, rollout("f"))]);
    assert_eq!(all(&mut model, 12, &[(O, disable("x")), (O, disable("a"))])[0], "stepped");
    model.advance(12).unwrap();
    let outcome = run(&mut model, 13, &[]).unwrap();
    let blocked = Event::StepBlocked { name: "f".parse().unwrap(), prerequisite: "a".parse().unwrap() };
    assert_eq!(outcome.events, [blocked]);
    let advance = Command::AdvanceRollout { name: b"f".to_vec() };
    assert_eq!(answer(&model, 14, O, &advance), "prerequisite_not_active");
    all(&mut model, 14, &[(O, enable("a")), (O, enable("x"))]);
    assert_eq!(all(&mut model, 15, &[]), ["stepped"]);
}

#[test]
fn at_most_64_features_lie_below_one() {
    let mut model = plain();
    let all_names: Vec<String> = (0..65).map(|n| format!("n{n:02}")).collect();
    let names: Vec<&str> = all_names.iter().map(String::as_str).collect();
    for (index, name) in names.iter().enumerate() {
        // Five groups of 13: the first of each rests on the twelve others.
        let below = if index % 13 == 12 { &names[index - 12..index] } else { &[] };
        all(&mut model, 10 + index as u32, &[(A, create_on(name, below))]);
    }
    let tops: Vec<&str> = names.iter().copied().skip(12).step_by(13).collect();
    // Four groups are 52, and there is room for 12.
    let four = |more: &[&'static str]| -> Vec<&str> { [&tops[..4], more].concat() };
    assert_eq!(answer(&model, 80, A, &create_on("f", &tops)), "limit_exceeded");
    assert_eq!(answer(&model, 80, A, &create_on("f", &four(&[]))), "ok");
    // A group without its first has nothing below it but itself.
    let rest = ["n52", "n53", "n54", "n55", "n56", "n57", "n58", "n59", "n60", "n61", "n62", "n63"];
    assert_eq!(answer(&model, 80, A, &create_on("f", &four(&rest))), "ok");
    all(&mut model, 80, &[(A, create("o")), (A, create_on("p", &["o"]))]);
    let mut one_more = four(&rest);
    one_more.pop();
    one_more.push("p");
    assert_eq!(answer(&model, 81, A, &create_on("q", &one_more)), "limit_exceeded");
    // What lies below two of them counts once.
    one_more.pop();
    one_more.push("n63");
    one_more.swap_remove(4);
    one_more.push("o");
    one_more.sort_unstable();
    assert_eq!(answer(&model, 81, A, &create_on("q", &one_more)), "ok");
}

/// What is seen of an earlier trial or deployment judges no later one.
#[test]
fn stale_reports_are_refused() {
    let of_trial = |trial| Command::Report { name: b"f".to_vec(), report: Report::default(), trial: Some(trial) };
    let mut model = plain();
    all(&mut model, 10, &[(A, create("f")), (A, register("p", "1.0.0", &[])), (A, register("p", "2.0.0", &[]))]);
    assert_eq!(answer(&model, 11, R, &of_trial(9)), "feature_disabled");
    all(&mut model, 11, &[(O, enable("f"))]);
    assert_eq!((answer(&model, 12, R, &of_trial(0)), answer(&model, 12, R, &of_trial(11))), ("ok", "stale_report"));
    all(&mut model, 12, &[(O, disable("f")), (O, canary("f")), (O, enable("f"))]);
    assert_eq!((answer(&model, 13, R, &of_trial(12)), answer(&model, 13, R, &of_trial(0))), ("ok", "stale_report"));
    let of_deployment = |version: &str, deployment| {
        let (plugin, version) = (b"p".to_vec(), version.into());
        let (requests, errors, latency_total) = (0, 0, 0);
        let deployment = Some(deployment);
        Command::Plugin(PluginCommand::ReportVersion { plugin, version, requests, errors, latency_total, deployment })
    };
    assert_eq!(answer(&model, 13, R, &of_deployment("1.0.0", 0)), "stale_report");
    assert_eq!(answer(&model, 13, R, &of_deployment("9.0.0", 0)), "version_not_found");
    all(&mut model, 13, &[(O, deploy("p", "2.0.0", 0, 5, 0, true))]);
    for version in ["1.0.0", "2.0.0"] {
        let answers = [0, 1, 2].map(|number| answer(&model, 14, R, &of_deployment(version, number)));
        assert_eq!(answers, ["stale_report", "ok", "stale_report"]);
    }
    all(&mut model, 14, &[(G, on_plugin(45, "p"))]);
    assert_eq!(answer(&model, 15, R, &of_deployment("1.0.0", 1)), "stale_report");
}
