//! The breaker, schedules and due work.

use super::*;

#[test]
fn automatic_rollbacks_of_deployments_open_the_breaker() {
    // The terms and the command behind the deployment; what it is rolled back for; the reason of the breaker.
    let long = || custom(&[stage(1_000, 1_000)]);
    let gate = || custom(&[Stage { gate: Gate::Health, ..stage(1_000, 5) }]);
    let strict = Guardrails { error_threshold_bps: Bps::ZERO, ..EASY };
    let z = Guardrails { regression_z_centi: NonZeroU16::new(200), ..EASY };
    let late = Guardrails { max_blocks: NonZeroU32::new(1_001), ..EASY };
    type Row = (&'static str, Strategy, Guardrails, Vec<Command>, Height, Option<&'static str>);
    let rows: [Row; 7] = [
        ("error rate", long(), strict, vec![new(1, 1)], 3, Some("error_rate")),
        ("regression", long(), z, vec![old(2, 0), new(2, 2)], 3, Some("error_rate")),
        ("unhealthy", long(), EASY, vec![attest("p", "2.0.0", false)], 3, Some("invariant_violation")),
        // What ends because nobody said anything is no evidence.
        ("unhealthy in the end", gate(), EASY, vec![], 10, None),
        ("timeout", long(), late, vec![pause("p")], 1_100, None),
        ("by command", long(), EASY, vec![roll_back("p")], 3, None),
        ("paused only", long(), Guardrails { auto_rollback: false, ..strict }, vec![new(1, 1)], 3, None),
    ];
    for (what, strategy, terms, commands, end, reason) in rows {
        let params = Params {
            max_due_per_block: 1_000,
            breaker_rollbacks: NonZeroU32::new(1),
            breaker_window: 100,
            ..Params::default()
        };
        let mut world = World::with_params(params);
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
        world.next(&[deploy("p", "2.0.0", strategy, terms)]);
        if !commands.is_empty() {
            world.next(&commands);
        }
        if world.tip() < end {
            world.advance(end);
        }
        let told = world.lines_from(3);
        let tripped: Vec<_> = told.iter().filter_map(|line| line.split_once(" breaker_tripped ")).collect();
        assert_eq!(
            tripped.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(),
            Vec::from_iter(reason),
            "{what}: {told:?}"
        );
        assert_eq!(world.state.global().breaker.is_some(), reason.is_some(), "{what}");
    }
}

fn three(deployed: bool) -> World {
    let mut world = World::new();
    for plugin in ["a", "b", "c"] {
        world.next(&[register(plugin, "1.0.0"), register(plugin, "2.0.0")]);
        if deployed {
            world.next(&[deploy_slowly(plugin, "2.0.0")]);
        }
    }
    world
}

#[test]
fn a_draining_breaker_rolls_deployments_back_after_the_features() {
    let mut world = three(true);
    world.next(&[create("f"), canary("f", 5)]);
    world.next(&[set_params(Some(2), None, None), pause("b"), trip(0, true)]);
    let first = world.tip() + 1;
    assert!(world.deployment("a").is_some(), "a trip drains from the next block on");
    world.advance(first + 4);
    let gone = |height, plugin: &str| {
        format!("{height} {plugin} deployment_rolled_back 2.0.0 circuit_breaker 0/0 0/0 0 by itself")
    };
    let expected = [
        format!("{first} rolled_back"),
        gone(first, "a"),
        gone(first, "b"),
        gone(first + 1, "c"),
        format!("{} breaker_drained", first + 1),
    ];
    assert_eq!(world.lines_from(first), expected);
    assert_eq!(world.version_status("b", "2.0.0"), Some(VersionStatus::Failed));
    // Draining is no rollback that counts.
    assert_eq!(world.state.global().rollbacks_in_window, 0);
}

#[test]
fn the_drain_of_deployments_comes_before_scheduled_commands() {
    let mut world = three(true);
    let height = world.tip() + 2;
    world.next(&[schedule(height, vec![roll_back("b")]), trip(0, true)]);
    world.advance(height);
    let drained =
        |plugin| format!("{height} {plugin} deployment_rolled_back 2.0.0 circuit_breaker 0/0 0/0 0 by itself");
    let expected = [
        drained("a"),
        drained("b"),
        drained("c"),
        format!("{height} breaker_drained"),
        format!("{height} schedule_executed 1 {}", Reject::NoDeployment.code()),
    ];
    assert_eq!(world.lines_from(height), expected);
}

#[test]
fn a_breaker_that_a_round_opens_stops_what_waits_for_it_and_drains_from_the_next_block_on() {
    let params = Params {
        breaker_rollbacks: NonZeroU32::new(1),
        breaker_window: 9,
        round_blocks: NonZeroU32::new(7),
        ..Params::default()
    };
    let mut world = World::with_params(params);
    for plugin in ["a", "b", "c"] {
        world.next(&[register(plugin, "1.0.0"), register(plugin, "2.0.0")]);
    }
    let strict = Guardrails { error_threshold_bps: Bps::ZERO, ..EASY };
    let brief = |plugin| deploy(plugin, "2.0.0", custom(&[stage(1, 4)]), strict);
    world.all_at(10, &[brief("a"), brief("b"), brief("c"), auto_load(true)]);
    world.all_at(13, &[register("d", "1.0.0"), tell_version("a", "2.0.0", 1, 1)]);
    world.advance(30);
    let drained = |plugin| format!("15 {plugin} deployment_rolled_back 2.0.0 circuit_breaker 0/0 0/0 0 by itself");
    let expected = [
        "14 round_closed".to_string(),
        "14 a deployment_rolled_back 2.0.0 error_rate 1/1 0/0 0 by itself".into(),
        "14 breaker_tripped error_rate".into(),
        drained("b"),
        drained("c"),
        "15 breaker_drained".into(),
    ];
    assert_eq!(world.lines_from(14), expected);
    let height = world.tip() + 1;
    world.run(height, ADMIN, &[Command::ResetBreaker]);
    world.advance(height + 1);
    assert_eq!(world.load_state("d"), LoadState::Loading, "it has waited for the breaker");
}

#[test]
fn an_open_breaker_parks_looks_and_loads_and_no_deadline() {
    let mut world = three(false);
    let lenient = Guardrails { max_blocks: NonZeroU32::new(4), ..EASY };
    let strict = Guardrails { error_threshold_bps: Bps::ZERO, ..EASY };
    let brief = || custom(&[stage(1, 3)]);
    world.next(&[deploy("a", "2.0.0", brief(), lenient), deploy("b", "2.0.0", brief(), EASY)]);
    world.next(&[deploy("c", "2.0.0", brief(), strict), auto_load(true), register("d", "1.0.0"), trip(20, false)]);
    let start = world.tip();
    world.advance(15);
    let late = format!("{} a deployment_rolled_back 2.0.0 timeout 0/0 0/0 4 by itself", start + 3);
    assert_eq!(world.lines_from(start + 1), [late]);
    // What lowers exposure goes on.
    let told = ["c deployment_rolled_back 2.0.0 error_rate 1/1 0/0 0 by itself"];
    assert_eq!(world.next(&[tell_version("c", "2.0.0", 1, 1)]), told);
    world.advance(30);
    let expected = ["breaker_closed", "b promoted 1.0.0 2.0.0", "d load_planned 1.0.0 loading"];
    assert_eq!(world.lines_from(17), expected.map(|line| format!("20 {line}")));
}

#[test]
fn each_kind_of_due_work_has_a_budget_of_its_own() {
    let mut world = three(false);
    world.next(&[create_with("f", steps_every(1)), auto_load(true)]);
    world.next(&[canary("f", 5)]);
    let at = world.tip() + 3;
    let plan = || custom(&[stage(1, 2)]);
    let load_c = schedule(at, vec![load("c")]);
    world.next(&[deploy("b", "2.0.0", plan(), EASY), deploy("a", "2.0.0", plan(), EASY), load_c]);
    world.next(&[set_params(Some(1), None, None), rollout("f", 100), register("d", "1.0.0"), register("e", "1.0.0")]);
    assert_eq!(world.tip() + 1, at);
    world.advance(at + 5);
    let expected = [
        // One of each kind in every block: scheduled commands, steps, looks, the load queue.
        (at, "c load_planned 1.0.0 loading"),
        (at, "schedule_executed 1 0"),
        (at, "stepped"),
        (at, "a promoted 1.0.0 2.0.0"),
        (at, "d load_planned 1.0.0 loading"),
        (at + 1, "stepped"),
        (at + 1, "b promoted 1.0.0 2.0.0"),
        (at + 1, "e load_planned 1.0.0 loading"),
        (at + 2, "stepped"),
        (at + 3, "stepped"),
        (at + 4, "stepped"),
        (at + 5, "stepped"),
    ];
    assert_eq!(world.lines_from(at), expected.map(|(height, line)| format!("{height} {line}")));
}

#[test]
fn plugin_commands_by_schedule() {
    use CommandKind::{AttestHealth, ReportLoad, ReportUnload, ReportVersion};
    let said_of_the_world = [ReportVersion, AttestHealth, ReportLoad, ReportUnload];
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
    let commands = [
        register("q", "1.0.0"),
        deploy_slowly("p", "2.0.0"),
        pause("p"),
        resume("p"),
        promote("p"),
        roll_back("p"),
        revert("p"),
        retire("p", "3.0.0"),
        set_rule("p", None),
        set_host("1.0.0"),
        max_versions(3),
        load("p"),
        unload("p"),
        tell_version("p", "1.0.0", 1, 0),
        attest("p", "1.0.0", true),
        loaded("p", "1.0.0", true),
        unloaded("p", "1.0.0", true),
    ];
    for command in &commands {
        let may = !said_of_the_world.contains(&command.kind());
        let expected = if may { Receipt::Ok } else { refused(Reject::InvalidParameter) };
        let payload = raw_tx(ADMIN, &[schedule_bytes(99, std::slice::from_ref(command))]);
        assert_eq!(world.probe(&payload), expected, "{command:?}");
    }
    // Their own rules are checked at once, everything else when they run.
    let nest = |bytes: &[u8]| world.probe(&raw_tx(OPERATOR, &[nested(99, bytes)]));
    assert_eq!(nest(&raw_deploy("p", "x", ab(1, 1), EASY)), refused(Reject::InvalidVersion));
    assert_eq!(nest(&raw_deploy("p", "9.0.0", ab(1, 0), EASY)), refused(Reject::InvalidPlan));
    assert_eq!(nest(&raw_deploy("none", "9.0.0", ab(1, 1), EASY)), Receipt::Ok);

    let all = |commands: &[Command]| schedule(5, commands.to_vec());
    let deployed = [deploy_slowly("p", "2.0.0"), pause("p"), resume("p"), promote("p")];
    let undone = [deploy_slowly("p", "3.0.0"), resume("p")];
    world.run(4, OPERATOR, &[all(&deployed), all(&undone), all(&[revert("p"), load("p")])]);
    world.advance(5);
    let not_waiting = Reject::NotWaiting.code();
    let expected = [
        "p deployed 2.0.0 custom".to_string(),
        "p paused manual 0/0 0/0 0".into(),
        "p resumed".into(),
        "p promoted 1.0.0 2.0.0".into(),
        "schedule_executed 1 0".into(),
        format!("schedule_executed 2 {not_waiting}"),
        "p reverted 2.0.0 1.0.0".into(),
        "p load_planned 1.0.0 loading".into(),
        "schedule_executed 3 0".into(),
    ];
    assert_eq!(world.lines_from(5), expected.map(|line| format!("5 {line}")));
    assert_eq!(world.plugin("p").deployments, 1, "what failed counts nothing");
    // The history of one height counts on through transactions, and through what was undone.
    let entries: Vec<_> = world.plugin_history("p").iter().filter(|entry| entry.0 == 5).map(|entry| entry.1).collect();
    use PluginAction::{Deployed, Paused, Promoted, Resumed, Reverted};
    assert_eq!(entries, [Deployed, Paused, Resumed, Promoted, Reverted]);
}

/// Salt and record of a deployment, and what a plan without a deadline leaves due.
#[test]
fn a_deployment_keeps_what_it_started_with() {
    let strategy = Strategy::with_defaults(StrategyKind::Canary);
    let terms = defaults(&strategy);
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    world.all_at(10, &[deploy("p", "2.0.0", strategy, terms), old(3, 1), new(2, 1)]);
    let deployment = world.deployment("p").unwrap();
    assert_eq!((deployment.salt, deployment.start, deployment.due), (10 << 32 | 1, 10, NonZeroU32::new(70)));
    assert_eq!((deployment.canary.requests, deployment.canary.errors), (2, 1));
    assert_eq!((deployment.production.requests, deployment.production.errors), (3, 1));
    assert_eq!((deployment.stage_requests, deployment.stage_errors), (2, 1));
    assert_eq!((deployment.plan.guardrails(), deployment.plan.on_complete()), (&terms, OnComplete::Promote));
    // A stage that ends beyond all heights is never due, its deadline is.
    let far = |max_blocks| deploy("p", "2.0.0", custom(&[stage(1, u32::MAX - 1)]), Guardrails { max_blocks, ..EASY });
    for (max_blocks, due) in [(0, 0), (u32::MAX, 0)] {
        let mut world = World::new();
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
        world.all_at(10, &[far(NonZeroU32::new(max_blocks))]);
        assert_eq!(world.deployment("p").unwrap().due, NonZeroU32::new(due));
        world.advance(u32::MAX - 5);
        assert_eq!(world.hold("p"), Some(Hold::Running));
    }
    let event = world.events.iter().rev().find_map(|(at, event)| match event {
        Event::Deployed { strategy, .. } => Some((*at, *strategy)),
        _ => None,
    });
    assert_eq!(event, Some((10, StrategyKind::Canary)));
}

#[test]
fn a_due_pause_does_not_hide_a_deadline_that_has_passed() {
    let mut world = World::new();
    let plan = custom(&[stage(100, 5)]);
    let terms = Guardrails { max_blocks: NonZeroU32::new(10), min_requests: 0, ..plan.default_guardrails() };
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), deploy("p", "2.0.0", plan, terms)]);
    let start = world.tip();
    // The open breaker parks its looks, and not its deadline.
    world.next(&[trip(start + 20, false), schedule(start + 20, vec![pause("p")])]);
    world.advance(start + 21);
    let lines = world.lines_from(start + 2);
    let at = start + 10;
    assert!(lines.contains(&format!("{at} p deployment_rolled_back 2.0.0 timeout 0/0 0/0 10 by itself")), "{lines:?}");
}

#[test]
fn a_lack_is_told_once() {
    let told = ReportedShortfalls::default().with(Shortfall::Requests);
    assert_eq!(told.with(Shortfall::Requests), told);
    assert_eq!([Shortfall::Requests, Shortfall::SuccessRate].map(|lack| told.contains(lack)), [true, false]);
    assert_eq!((told.is_empty(), ReportedShortfalls::default().is_empty()), (false, true));
}

/// Behind the budget of deadlines the turn may come late; no promote and no resume brings a deployment past its own.
#[test]
fn nothing_gets_past_a_deadline() {
    for command in [promote("b"), resume("b")] {
        let mut world = World::with_params(Params { max_due_per_block: 1, ..Params::default() });
        let brief = Guardrails { max_blocks: NonZeroU32::new(10), ..EASY };
        for plugin in ["a", "b"] {
            world.next(&[register(plugin, "1.0.0"), register(plugin, "2.0.0")]);
        }
        let plan = || custom(&[stage(1_000, 9)]);
        world.all_at(10, &[deploy("a", "2.0.0", plan(), brief), deploy("b", "2.0.0", plan(), brief)]);
        world.all_at(11, &[pause("a"), pause("b")]);
        let told = world.all_at(20, std::slice::from_ref(&command));
        let late = |plugin| format!("{plugin} deployment_rolled_back 2.0.0 timeout 0/0 0/0 10 by itself");
        assert_eq!(told, ["a", "b"].map(late), "{command:?}");
        assert_eq!(world.version_status("b", "2.0.0"), Some(VersionStatus::Failed));
    }
}

/// 1 024 deployments run at a time.
#[test]
fn deployments_that_run_have_a_limit() {
    let of = |n: u32| format!("p{n:04}");
    let mut state = World::new().state;
    for (height, numbers) in (1..).zip([0..700_u32, 700..1_025]) {
        let commands = numbers
            .flat_map(|n| [register(&of(n), "1.0.0"), register(&of(n), "2.0.0"), deploy_slowly(&of(n), "2.0.0")]);
        let block = Block::from_payloads(height, commands.map(give).collect()).unwrap();
        let execution = state.execute(&block).unwrap();
        let refusals = execution.outcome().receipts.iter().filter(|receipt| **receipt != Receipt::Ok);
        let expected: &[Receipt] = if height == 1 { &[] } else { &[refused(Reject::LimitExceeded)] };
        assert!(refusals.eq(expected));
        state.apply(execution).unwrap();
    }
    let block = Block::from_payloads(3, vec![give(roll_back("p0000")), give(deploy_slowly("p1024", "2.0.0"))]).unwrap();
    assert_eq!(
        state.execute(&block).unwrap().outcome().receipts,
        [Receipt::Ok; 2],
        "a place that is left is taken again"
    );
}

/// The history keeps the figures of a verdict, as the event has them.
#[test]
fn the_history_tells_the_figures_of_a_verdict() {
    let strict = Guardrails { error_threshold_bps: Bps::new(100).unwrap(), ..EASY };
    let of = |strategy: Strategy, terms: Guardrails, commands: &[Command]| {
        let mut world = World::new();
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
        world.next(&[deploy("p", "2.0.0", strategy, terms)]);
        world.next(commands);
        world.advance(20);
        let told = world.events.iter().rev().find_map(|(_, event)| match event {
            Event::DeploymentRolledBack { evidence, .. } | Event::Concluded { evidence, .. } => Some(*evidence),
            _ => None,
        });
        let entries = coalmine_core::query::plugin_history(&world.records, &name("p"), None, 99).unwrap();
        let kept: Vec<_> = entries.iter().filter_map(|entry| entry.change.evidence).collect();
        (kept, told)
    };
    let long = || custom(&[stage(1_000, 99)]);
    let figures = |kept: &[coalmine_core::Evidence]| {
        kept.iter()
            .map(|one| {
                [one.requests, one.errors, one.production_requests, one.production_errors, one.threshold.number()]
            })
            .collect::<Vec<_>>()
    };
    for (what, strategy, terms, commands, expected) in [
        ("error rate", long(), strict, vec![new(50, 3)], [50, 3, 0, 0, 100]),
        ("by command", long(), EASY, vec![new(9, 2), roll_back("p")], [9, 2, 0, 0, 0]),
        ("unhealthy", long(), EASY, vec![new(9, 1), attest("p", "2.0.0", false)], [9, 1, 0, 0, 0]),
        ("a verdict", concluding(&[stage(1_000, 5)]), EASY, vec![new(100, 0), old(100, 50)], [100, 0, 100, 50, 196]),
    ] {
        let (kept, told) = of(strategy, terms, &commands);
        assert_eq!(figures(&kept), [expected], "{what}");
        assert_eq!(told, Some(kept[0]), "{what}");
    }
}
