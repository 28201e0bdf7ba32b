//! What holds a deployment, what its history says, and which versions come and go.

use super::*;

#[test]
fn holds_and_the_clock() {
    let one = |blocks| custom(&[stage(1_000, blocks)]);
    let gated = |blocks| custom(&[Stage { gate: Gate::Health, ..stage(0, blocks) }, stage(1_000, 2)]);
    let by_hand = Guardrails { auto_promote: false, ..EASY };
    let patient = Guardrails { error_threshold_bps: Bps::new(100).unwrap(), auto_rollback: false, ..EASY };
    let story = |what, strategy, terms, script, end, told| Story { what, strategy, terms, script, end, told };
    let manual = "p paused manual 0/0 0/0 0";
    assert_eq!(play(one(9), EASY, &[(11, pause("p"))], 12).1, [format!("11 {manual}")]);
    check(vec![
        story(
            "the clock of a stage goes on in a pause",
            one(5),
            EASY,
            vec![(12, pause("p")), (13, resume("p"))],
            20,
            &["12 p paused manual 0/0 0/0 0", "13 p resumed", "15 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "resumed behind its end, it is looked at in the next block",
            one(5),
            EASY,
            vec![(12, pause("p")), (18, resume("p"))],
            30,
            &["12 p paused manual 0/0 0/0 0", "18 p resumed", "19 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "a deadline heeds no pause",
            one(5),
            Guardrails { max_blocks: NonZeroU32::new(8), auto_rollback: false, ..EASY },
            vec![(12, pause("p")), (18, resume("p"))],
            30,
            &[
                "12 p paused manual 0/0 0/0 0",
                "18 p deployment_rolled_back 2.0.0 timeout 0/0 0/0 8 by itself",
                "18 refused no_deployment",
            ],
        ),
        story(
            "a deadline comes before everything else that is due",
            one(5),
            Guardrails { max_blocks: NonZeroU32::new(6), ..EASY },
            vec![(12, pause("p")), (15, resume("p"))],
            30,
            &[
                "12 p paused manual 0/0 0/0 0",
                "15 p resumed",
                "16 p deployment_rolled_back 2.0.0 timeout 0/0 0/0 6 by itself",
            ],
        ),
        story(
            "a rule pauses where it may not roll back, tells it once, and holds again",
            one(20),
            patient,
            vec![
                (12, new(100, 2)),
                (13, new(0, 0)),
                (14, resume("p")),
                (15, old(1, 0)),
                (16, resume("p")),
                (17, new(300, 0)),
            ],
            40,
            &[
                "12 p paused error_rate 2/100 0/0 100",
                "14 p resumed",
                "15 p paused error_rate 2/100 0/0 100",
                "16 p resumed",
                "30 p promoted 1.0.0 2.0.0",
            ],
        ),
        story(
            "a rule leaves a pause as it is, and says nothing",
            one(20),
            patient,
            vec![(12, pause("p")), (13, new(100, 2)), (14, pause("p"))],
            20,
            &["12 p paused manual 0/0 0/0 0", "14 refused invalid_transition"],
        ),
        story(
            "unhealthy pauses where it may not roll back",
            one(20),
            patient,
            vec![(12, attest("p", "2.0.0", false)), (13, attest("p", "2.0.0", false)), (14, promote("p"))],
            20,
            &[
                "12 p health_attested 2.0.0 false",
                "12 p paused unhealthy 0/0 0/0 0",
                "13 p health_attested 2.0.0 false",
                "14 p promoted 1.0.0 2.0.0",
            ],
        ),
        story(
            "a gate that is not opened rolls back whatever the plan says",
            gated(5),
            patient,
            vec![],
            20,
            &["15 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself"],
        ),
        story(
            "a gate is opened in a pause and left after it",
            gated(5),
            EASY,
            vec![(12, pause("p")), (13, healthy()), (20, resume("p"))],
            30,
            &[
                "12 p paused manual 0/0 0/0 0",
                "13 p health_attested 2.0.0 true",
                "20 p resumed",
                "21 p staged 1 1000",
                "23 p promoted 1.0.0 2.0.0",
            ],
        ),
        story(
            "an attestation opens one gate",
            custom(&[1, 2].map(|share| Stage { gate: Gate::Health, ..stage(share, 5) })),
            EASY,
            vec![(12, healthy())],
            30,
            &[
                "12 p health_attested 2.0.0 true",
                "13 p staged 1 2",
                "18 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself",
            ],
        ),
        story(
            "health of a stage without such a gate is told only",
            one(5),
            EASY,
            vec![(12, healthy())],
            20,
            &["12 p health_attested 2.0.0 true", "15 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "an opened gate is closed by the opposite",
            gated(5),
            patient,
            vec![(12, pause("p")), (13, healthy()), (14, attest("p", "2.0.0", false)), (20, resume("p"))],
            30,
            &[
                "12 p paused manual 0/0 0/0 0",
                "13 p health_attested 2.0.0 true",
                "14 p health_attested 2.0.0 false",
                "15 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself",
                "20 refused no_deployment",
            ],
        ),
        story(
            "a complete plan waits for promote, and may be paused and resumed to complete again",
            one(5),
            by_hand,
            vec![(16, resume("p")), (17, pause("p")), (18, resume("p")), (30, promote("p"))],
            40,
            &[
                "15 p waiting completed",
                "17 p paused manual 0/0 0/0 0",
                "18 p resumed",
                "19 p waiting completed",
                "30 p promoted 1.0.0 2.0.0",
                "16 refused not_waiting",
            ],
        ),
        story(
            "no hold hides a broken rule: a complete plan is rolled back",
            one(5),
            Guardrails { error_threshold_bps: Bps::new(100).unwrap(), ..by_hand },
            vec![(20, new(1, 1))],
            30,
            &["15 p waiting completed", "20 p deployment_rolled_back 2.0.0 error_rate 1/1 0/0 100 by itself"],
        ),
        story(
            "a rollback by command tells the counts",
            one(50),
            EASY,
            vec![(12, new(10, 1)), (13, old(20, 2)), (14, roll_back("p"))],
            20,
            &["14 p deployment_rolled_back 2.0.0 manual 1/10 0/0 0 by command"],
        ),
    ]);
}

/// A resume at a manual gate leaves the stage in that very command, whatever comes then.
#[test]
fn a_resume_at_the_last_gate_completes() {
    let gate = Stage { gate: Gate::Manual, ..stage(1_000, 3) };
    let by_hand = Guardrails { auto_promote: false, ..EASY };
    let told_better = [(12, new(100, 0)), (12, old(100, 50))];
    let story = |what, strategy, terms, script: &[(Height, Command)], end, told| Story {
        what,
        strategy,
        terms,
        script: script.into(),
        end,
        told,
    };
    check(vec![
        story(
            "and waits for promote",
            custom(&[gate]),
            by_hand,
            &[(20, resume("p"))],
            30,
            &["13 p waiting manual_gate", "20 p resumed", "20 p waiting completed"],
        ),
        story(
            "and comes too late: an open breaker hides no deadline",
            custom(&[gate]),
            Guardrails { max_blocks: NonZeroU32::new(6), ..EASY },
            &[(14, trip(0, false)), (20, Command::ResetBreaker), (20, resume("p"))],
            30,
            &[
                "13 p waiting manual_gate",
                "14 breaker_tripped consensus_failure",
                "16 p deployment_rolled_back 2.0.0 timeout 0/0 0/0 6 by itself",
                "20 breaker_closed",
                "20 refused no_deployment",
            ],
        ),
        story(
            "and is stopped by a dependent until that is gone",
            custom(&[gate]),
            EASY,
            &[
                (18, register_on("app", "1.0.0", &[("p", "^1")])),
                (19, load("app")),
                (20, resume("p")),
                (25, loaded("p", "1.0.0", false)),
                (26, resume("p")),
            ],
            40,
            &[
                "13 p waiting manual_gate",
                "18 app version_registered 1.0.0",
                "19 p load_planned 1.0.0 loading",
                "19 app load_planned 1.0.0 pending",
                "20 p resumed",
                "20 p paused dependents 0/0 0/0 50",
                "25 p load_failed 1.0.0 0",
                "25 app load_failed 1.0.0 50",
                "26 p resumed",
                // The gate stands where it stood, and asks again.
                "27 p waiting manual_gate",
            ],
        ),
        story(
            "with a verdict",
            concluding(&[gate]),
            by_hand,
            &[told_better.as_slice(), &[(20, resume("p"))]].concat(),
            30,
            &["13 p waiting manual_gate", "20 p resumed", "20 p concluded 2.0.0 canary 0/100 50/100 196"],
        ),
        story(
            "with a verdict that promotes, once nothing stops it",
            concluding(&[stage(1_000, 3)]),
            EASY,
            &[
                told_better.as_slice(),
                &[(11, register_on("app", "1.0.0", &[("p", "^1")])), (12, load("app"))],
                &[(20, loaded("p", "1.0.0", false)), (20, resume("p"))],
            ]
            .concat(),
            30,
            &[
                "11 app version_registered 1.0.0",
                "12 p load_planned 1.0.0 loading",
                "12 app load_planned 1.0.0 pending",
                "13 p paused dependents 0/0 0/0 50",
                "20 p load_failed 1.0.0 0",
                "20 app load_failed 1.0.0 50",
                "20 p resumed",
                "21 p concluded 2.0.0 canary 0/100 50/100 196",
                "21 p promoted 1.0.0 2.0.0",
            ],
        ),
    ]);
}

/// The history of whole deployments: what each entry says of share, duration, reason and actor.
#[test]
fn the_history_tells_share_duration_reason_and_actor() {
    use PluginAction::*;
    use PluginReason::{Canary, Dependents, ErrorRate, Inconclusive, Manual, None as NoReason};
    const BY_ITSELF: Address = Address::ZERO;
    let entry = |height, action, version: &str, reason, success, share, duration, actor| {
        (height, action, version.to_string(), reason, success, share, duration, actor)
    };
    let first = [
        entry(1, Registered, "1.0.0", NoReason, true, 0, 0, ADMIN),
        entry(1, Registered, "2.0.0", NoReason, true, 0, 0, ADMIN),
    ];
    let stages = custom(&[Stage { gate: Gate::Manual, ..stage(100, 5) }, stage(2_000, 5)]);
    let check = |what: &str, world: &World, rest: Vec<Entry>| {
        assert_eq!(world.plugin_history("p"), [&first[..], &rest].concat(), "{what}");
    };

    let script =
        [(12, pause("p")), (13, resume("p")), (20, resume("p")), (30, revert("p")), (31, retire("p", "2.0.0"))];
    let (world, _) = play(stages.clone(), EASY, &script, 40);
    check(
        "promoted and reverted",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 100, 0, OPERATOR),
            entry(12, Paused, "2.0.0", Manual, true, 100, 2, OPERATOR),
            entry(13, Resumed, "2.0.0", Manual, true, 100, 3, OPERATOR),
            entry(20, Resumed, "2.0.0", Manual, true, 100, 10, OPERATOR),
            entry(20, Staged, "2.0.0", Manual, true, 2_000, 10, OPERATOR),
            entry(25, Promoted, "2.0.0", NoReason, true, 2_000, 15, BY_ITSELF),
            entry(30, Reverted, "1.0.0", Manual, false, 0, 0, OPERATOR),
            entry(31, Retired, "2.0.0", Manual, true, 0, 0, OPERATOR),
        ],
    );

    let terms = Guardrails { error_threshold_bps: Bps::ZERO, auto_rollback: false, ..EASY };
    let (world, _) = play(stages.clone(), terms, &[(12, new(1, 1)), (13, roll_back("p"))], 20);
    check(
        "paused by a rule and rolled back",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 100, 0, OPERATOR),
            entry(12, Paused, "2.0.0", ErrorRate, false, 100, 2, BY_ITSELF),
            entry(13, RolledBack, "2.0.0", Manual, false, 100, 3, GUARDIAN),
        ],
    );

    let terms = Guardrails { error_threshold_bps: Bps::ZERO, ..EASY };
    let (world, _) = play(stages, terms, &[(12, new(1, 1)), (20, register("p", "2.0.0"))], 20);
    check(
        "rolled back by itself and registered again",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 100, 0, OPERATOR),
            entry(12, RolledBack, "2.0.0", ErrorRate, false, 100, 2, BY_ITSELF),
            entry(20, Registered, "2.0.0", NoReason, true, 0, 0, ADMIN),
        ],
    );

    let (world, _) = play(ab(700, 5), EASY, &[], 20);
    check(
        "inconclusive",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 700, 0, OPERATOR),
            entry(15, Concluded, "2.0.0", Inconclusive, false, 700, 5, BY_ITSELF),
        ],
    );

    let (world, _) = play(ab(700, 5), EASY, &[(12, new(100, 0)), (12, old(100, 50))], 20);
    check(
        "won",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 700, 0, OPERATOR),
            entry(15, Concluded, "2.0.0", Canary, true, 700, 5, BY_ITSELF),
            entry(15, Promoted, "2.0.0", NoReason, true, 700, 5, BY_ITSELF),
        ],
    );

    let script =
        [(11, register_on("app", "1.0.0", &[("p", "^1")])), (12, new(100, 0)), (12, old(100, 50)), (13, load("app"))];
    let (world, _) = play(ab(700, 5), EASY, &script, 20);
    check(
        "won, but kept back",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 700, 0, OPERATOR),
            entry(15, Paused, "2.0.0", Dependents, false, 700, 5, BY_ITSELF),
        ],
    );
}

#[test]
fn promote_rollback_and_revert_move_current_and_previous() {
    use VersionStatus::{Active, Canary, Deprecated, Failed, Loading};
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0+b"), register("p", "3.0.0")]);
    let mut step = |command: Command, current: &str, previous: Option<&str>, statuses: [VersionStatus; 3]| {
        world.next(std::slice::from_ref(&command));
        let plugin = world.plugin("p");
        let previous_is = plugin.previous.as_ref().map(ToString::to_string);
        assert_eq!((plugin.current.to_string().as_str(), previous_is.as_deref()), (current, previous), "{command:?}");
        let now: Vec<_> = world.versions("p").into_iter().map(|(_, status)| status).collect();
        assert_eq!(now, statuses, "{command:?}");
    };
    // Commands may name a version without its build metadata, or with another; the records keep what was registered.
    step(deploy_slowly("p", "2.0.0"), "1.0.0", None, [Active, Canary, Loading]);
    step(promote("p"), "2.0.0+b", Some("1.0.0"), [Deprecated, Active, Loading]);
    step(revert("p"), "1.0.0", None, [Active, Failed, Loading]);
    step(register("p", "2.0.0+c"), "1.0.0", None, [Active, Loading, Loading]);
    step(deploy_slowly("p", "2.0.0"), "1.0.0", None, [Active, Canary, Loading]);
    step(promote("p"), "2.0.0+c", Some("1.0.0"), [Deprecated, Active, Loading]);
    step(deploy_slowly("p", "3.0.0"), "2.0.0+c", Some("1.0.0"), [Deprecated, Active, Canary]);
    step(roll_back("p"), "2.0.0+c", Some("1.0.0"), [Deprecated, Active, Failed]);
    // Deploying the previous version leaves nothing to revert to.
    step(deploy_slowly("p", "1.0.0"), "2.0.0+c", None, [Canary, Active, Failed]);
    step(roll_back("p"), "2.0.0+c", None, [Failed, Active, Failed]);
    step(register("p", "3.0.0"), "2.0.0+c", None, [Failed, Active, Loading]);
    step(deploy_slowly("p", "3.0.0"), "2.0.0+c", None, [Failed, Active, Canary]);
    step(promote("p"), "3.0.0", Some("2.0.0+c"), [Failed, Deprecated, Active]);
    // And so does retiring it.
    step(retire("p", "2.0.0"), "3.0.0", None, [Failed, VersionStatus::Retired, Active]);
    assert_eq!(world.try_next(&revert("p")), refused(Reject::NoPreviousVersion));
    assert_eq!(world.plugin("p").deployments, 5);
}

#[test]
fn a_failed_version_registered_again_is_a_new_one() {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    world.next(&[deploy_slowly("p", "2.0.0"), new(10, 3), roll_back("p"), new(5, 0)]);
    let record = |world: &World| world.state.plugin_version(&name("p"), &version("2.0.0")).unwrap().clone();
    let old_record = record(&world);
    assert_eq!(
        (old_record.counts.requests, old_record.counts.errors, old_record.reported),
        (15, 3, NonZeroU32::new(2))
    );
    let mut again = manifest(&[("q", "^1")]);
    again.config = vec![1, 2, 3];
    world.all_at(9, &[register_with("p", "2.0.0+again", again.clone())]);
    let new_record = record(&world);
    assert_eq!((new_record.registered, new_record.reported, new_record.counts), (9, None, Default::default()));
    assert_eq!((new_record.version.to_string().as_str(), &*new_record.manifest), ("2.0.0+again", &again));
    assert_eq!(world.plugin("p").versions, 2);
}

#[test]
fn the_oldest_versions_out_of_use_give_way() {
    use VersionStatus::{Failed, Retired};
    let mut world = World::new();
    world.next(&[max_versions(6), register("p", "1.0.0")]);
    // Six versions out of use but for the current one, told at different heights.
    let versions = ["0.1.0", "0.2.0", "0.3.0", "0.4.0-rc.1", "0.4.0"];
    let all: Vec<Command> = versions.iter().map(|one| register("p", one)).collect();
    world.next(&all);
    let all: Vec<Command> = versions.iter().map(|one| retire("p", one)).collect();
    world.next(&all);
    // 0.1.0 was told last, so it goes last; 0.3.0 before; the others never, and 0.4.0-rc.1 precedes 0.4.0.
    world.all_at(10, &[tell_version("p", "0.3.0", 1, 0)]);
    world.all_at(11, &[tell_version("p", "0.1.0", 1, 0)]);
    let mut gone = Vec::new();
    for (height, text) in (20..).zip(["1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"]) {
        let told = world.all_at(height, &[register("p", text)]);
        gone.push(told[0].clone());
        assert_eq!(told[1..], [format!("p version_registered {text}")]);
    }
    let order = ["0.2.0", "0.4.0-rc.1", "0.4.0", "0.3.0", "0.1.0"];
    assert_eq!(gone, order.map(|text| format!("p version_evicted {text}")));
    assert_eq!(world.try_next(&register("p", "1.6.0")), refused(Reject::LimitExceeded));

    // A lower limit lets several go at once, or none at all if that is not enough.
    world.next(&[retire("p", "1.1.0"), deploy_slowly("p", "1.2.0"), roll_back("p"), max_versions(5)]);
    assert_eq!(world.version_status("p", "1.1.0"), Some(Retired));
    assert_eq!(world.version_status("p", "1.2.0"), Some(Failed));
    assert_eq!(
        world.next(&[register("p", "1.6.0")]),
        ["p version_evicted 1.1.0", "p version_evicted 1.2.0", "p version_registered 1.6.0"]
    );
    world.next(&[retire("p", "1.3.0"), max_versions(4)]);
    assert_eq!(world.try_next(&register("p", "1.7.0")), refused(Reject::LimitExceeded));
    assert_eq!(world.plugin("p").versions, 5);

    // Neither the previous version nor a Failed one that is registered again makes anything go.
    world.next(&[max_versions(5), deploy_slowly("p", "1.4.0"), promote("p")]);
    assert_eq!(world.next(&[register("p", "1.8.0")])[0], "p version_evicted 1.3.0");
    assert_eq!(world.try_next(&register("p", "1.9.0")), refused(Reject::LimitExceeded), "1.0.0 is the previous one");
    world.next(&[max_versions(3), deploy_slowly("p", "1.5.0"), roll_back("p")]);
    assert_eq!(world.next(&[register("p", "1.5.0")]), ["p version_registered 1.5.0"]);
}
