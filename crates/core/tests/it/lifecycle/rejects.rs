//! Every reject, the order of the checks, and transactions that fail.

use super::*;

// Every reject by its shortest path.

/// The transactions before, and the one that is refused.
struct Path {
    reject: Reject,
    before: Vec<(Address, Vec<Command>)>,
    last: Payload,
}

fn paths() -> Vec<Path> {
    use Reject::*;
    let path = |reject, before: Vec<(Address, Vec<Command>)>, last| Path { reject, before, last };
    let made = || (ADMIN, vec![create("f")]);
    let canary_at_5 = || (OPERATOR, vec![canary("f", 5)]);
    let easy = || (ADMIN, vec![create_with("f", steps_every(10))]);
    // f0 rests on nothing, f1 on f0, … f8 on f7: eight edges. A ninth is too many.
    let chain = |n: usize| create_on(&format!("f{n}"), &[format!("f{}", n - 1).as_str()]);
    let tower = || vec![(ADMIN, vec![create("f0")]), (ADMIN, (1..=8).map(chain).collect())];
    let one = |signer, command: Command| tx(signer, &[command]);
    vec![
        path(Malformed, vec![], Payload::from_bytes(b"")),
        path(Unauthorized, vec![], one(NOBODY, create("f"))),
        path(FeatureNotFound, vec![], one(OPERATOR, enable("f"))),
        path(FeatureAlreadyExists, vec![made()], one(ADMIN, create("f"))),
        path(FeatureDisabled, vec![made()], one(REPORTER, report("f", 1, 0))),
        path(RolloutInProgress, vec![made(), canary_at_5()], one(ADMIN, configure("f", FeatureChanges::default()))),
        path(InsufficientData, vec![made(), canary_at_5()], one(OPERATOR, rollout("f", 100))),
        path(
            ErrorRateExceeded,
            vec![easy(), canary_at_5(), (REPORTER, vec![report("f", 8, 1)])],
            one(OPERATOR, rollout("f", 100)),
        ),
        path(InvalidTransition, vec![], one(ADMIN, Command::ResetBreaker)),
        path(CircuitOpen, vec![made(), (GUARDIAN, vec![trip(0, false)])], one(OPERATOR, enable("f"))),
        path(PrerequisiteNotActive, vec![made(), (ADMIN, vec![create_on("g", &["f"])])], one(OPERATOR, enable("g"))),
        path(PrerequisiteCycle, vec![], one(ADMIN, create_on("f", &["f"]))),
        path(PrerequisiteNotFound, vec![], one(ADMIN, create_on("f", &["g"]))),
        path(InvalidName, vec![], raw_tx(OPERATOR, &[with_byte(&enable("f"), 0, b'_')])),
        path(InvalidPercent, vec![], raw_tx(OPERATOR, &[with_byte(&canary("f", 0), 0, 101)])),
        path(InvalidParameter, vec![], one(ADMIN, set_params(None, Some(1), None))),
        path(LimitExceeded, tower(), one(ADMIN, chain(9))),
        path(NotDue, vec![easy(), (OPERATOR, vec![canary("f", 5), rollout("f", 100)])], one(OPERATOR, advance("f"))),
        path(HeightInPast, vec![], one(GUARDIAN, trip(1, false))),
        path(ScheduleNotFound, vec![], one(OPERATOR, cancel(9, 1))),
        path(LastAdmin, vec![], one(ADMIN, revoke(ADMIN, Role::Admin))),
        path(OverrideNotFound, vec![made()], one(OPERATOR, clear_override("f", USER))),
        path(RoleNotFound, vec![], one(ADMIN, revoke(OPERATOR, Role::Reporter))),
        path(BadSequence, vec![], sequenced(OPERATOR, 0, 0, &[enable("f")])),
        path(Expired, vec![(ADMIN, vec![create("g")])], sequenced(ADMIN, 1, 1, &[create("f")])),
        path(NotScheduled, vec![], one(ADMIN, set_rules(2))),
        path(
            TimelockRequired,
            vec![(ADMIN, vec![change_params(ParamsChanges { timelock: Some(1), ..ParamsChanges::default() })])],
            one(OPERATOR, enable("f")),
        ),
        // 64 entries of 16 commands at 1 024 units each are all the work that a block does.
        path(
            BlockFull,
            vec![(ADMIN, vec![schedule(5, vec![set_host("0.0.0"); 16]); 16]); 4],
            one(OPERATOR, enable("f")),
        ),
        path(StaleReport, vec![made(), canary_at_5()], one(REPORTER, report_of_trial("f", 1, 1, 0))),
        path(FeedItemTooLarge, vec![], raw_tx(FEEDER, &[patch_bytes(b"e", 4_097)])),
        path(FeedTooManyItems, vec![(FEEDER, flood(0, 4_096))], one(FEEDER, put(FeedPart::Last, &[("~~~", 1)], &[]))),
        path(InvalidFeedId, vec![], raw_tx(FEEDER, &[patch_bytes(b"e f", 0)])),
        path(FeedPutNotOpen, vec![], one(FEEDER, put(FeedPart::Last, &[], &[]))),
    ]
}

#[test]
fn every_reject_is_produced_and_changes_nothing() {
    let mut produced = BTreeSet::new();
    for Path { reject, before, last } in paths() {
        let mut world = World::new();
        for (height, (signer, commands)) in (1..).zip(&before) {
            world.run(height, *signer, commands);
        }
        assert_eq!(world.probe(&last), refused(reject), "{reject}");
        produced.insert(reject);
        // Each transaction before is needed: without it this is no path to that reject.
        for left_out in 0..before.len() {
            let mut world = World::new();
            for (height, (index, (signer, commands))) in (1..).zip(before.iter().enumerate()) {
                if index != left_out {
                    world.try_run(height, *signer, commands);
                }
            }
            assert_ne!(world.probe(&last), refused(reject), "{reject} without step {left_out}");
        }
    }
    // Those of plugins have rows of their own, beside the tables of plugins.
    let is_of_plugins = |reject: &Reject| (40..80).contains(&reject.code());
    let has_row = |reject: &Reject| is_of_plugins(reject) || produced.contains(reject);
    assert!(Reject::ALL.iter().all(has_row), "a reject that no row produces");
}

/// Other ways to the same rejects: each rule, and each row of a guard table of RULES.md.
#[test]
fn rejects_by_rule() {
    let mut world = World::new();
    let needs = |names: &[&str]| {
        policy(Policy { prerequisites: names.iter().map(|text| name(text)).collect(), ..Policy::default() })
    };
    world.run(1, ADMIN, &[create("f"), create_on("g", &["f"]), create_with("r", steps_every(10))]);
    world.run(2, OPERATOR, &[canary("r", 5), rollout("r", 50), schedule(9, vec![enable("f")])]);
    let of = |changes| configure("f", changes).to_bytes();
    let some = FeatureChanges::default;
    let blocks = of(FeatureChanges { increment_blocks: Some(1), ..some() });
    let rate = of(FeatureChanges { max_error_rate: Some(10_000), ..some() });
    let rate_of = |rate_bytes: [u8; 4]| {
        let at = rate.windows(4).position(|four| four == 10_000_u32.to_be_bytes()).unwrap();
        [&rate[..at], &rate_bytes, &rate[at + 4..]].concat()
    };
    let blocks_of_0 = {
        let at = blocks.windows(4).position(|four| four == [0, 0, 0, 1]).unwrap();
        [&blocks[..at], &[0; 4], &blocks[at + 4..]].concat()
    };
    let failures_of = |invariant_checks, invariant_failures| Report { invariant_checks, invariant_failures, ..SILENCE };
    let bad = |report: Report| tell_bytes("r", report);
    use Reject::*;
    let rows: Vec<(&str, Address, Vec<u8>, Option<Reject>)> = vec![
        ("configure with other prerequisites", ADMIN, of(needs(&["g"])), Some(InvalidParameter)),
        ("configure without its own", ADMIN, configure("g", needs(&[])).to_bytes(), Some(InvalidParameter)),
        ("configure with its own", ADMIN, configure("g", needs(&["f"])).to_bytes(), None),
        ("increment_blocks 0", ADMIN, blocks_of_0, Some(InvalidParameter)),
        ("increment_blocks 1", ADMIN, blocks, None),
        ("max_error_rate 10000", ADMIN, rate.clone(), None),
        ("max_error_rate 10001", ADMIN, rate_of(10_001_u32.to_be_bytes()), Some(InvalidParameter)),
        ("more failures than checks", REPORTER, bad(failures_of(1, 2)), Some(InvalidParameter)),
        ("as many failures as checks", REPORTER, bad(failures_of(1, 1)), None),
        ("latency without operations", REPORTER, bad(Report { latency_total: 1, ..SILENCE }), Some(InvalidParameter)),
        ("peak without operations", REPORTER, bad(Report { latency_peak: 1, ..SILENCE }), Some(InvalidParameter)),
        ("latency of an error", REPORTER, bad(Report { errors: 1, latency_total: 1, ..SILENCE }), None),
        ("nothing told", REPORTER, bad(SILENCE), None),
        ("params: window 0 while off", ADMIN, set_params(None, Some(0), Some(0)).to_bytes(), None),
        ("params: on with a window", ADMIN, set_params(None, Some(1), Some(1)).to_bytes(), None),
        ("params: no due work", ADMIN, set_params_bytes(Some(0), None, None), Some(InvalidParameter)),
        ("params: least due work", ADMIN, set_params(Some(1), None, None).to_bytes(), None),
        ("params: nothing given", ADMIN, set_params(None, None, None).to_bytes(), None),
        ("nested name", OPERATOR, nested(99, &with_byte(&enable("f"), 0, b'-')), Some(InvalidName)),
        ("nested percent", OPERATOR, nested(99, &with_byte(&canary("f", 0), 0, 101)), Some(InvalidPercent)),
        ("nested report", OPERATOR, nested(99, &report("r", 1, 0).to_bytes()), Some(InvalidParameter)),
        ("nested schedule", OPERATOR, nested(99, &schedule(99, vec![enable("f")]).to_bytes()), Some(InvalidParameter)),
        ("nested unknown feature", OPERATOR, nested(99, &enable("nobody").to_bytes()), None),
        ("nested tag that is none", OPERATOR, nested(99, &[9]), Some(Malformed)),
        ("nested twice, a tag that is none", OPERATOR, nested(99, &nested(99, &[9])), Some(Malformed)),
        ("nested and cut", OPERATOR, nested(99, &[15, 2, b'a']), Some(Malformed)),
        ("schedule at this height", OPERATOR, schedule(3, vec![enable("f")]).to_bytes(), Some(HeightInPast)),
        ("schedule at the next height", OPERATOR, schedule(4, vec![enable("f")]).to_bytes(), None),
        ("cancel another id", OPERATOR, cancel(9, 2).to_bytes(), Some(ScheduleNotFound)),
        ("cancel at another height", OPERATOR, cancel(8, 1).to_bytes(), Some(ScheduleNotFound)),
        ("cancel", ADMIN, cancel(9, 1).to_bytes(), None),
        ("trip until this height", GUARDIAN, trip(3, false).to_bytes(), Some(HeightInPast)),
        ("trip until the next height", GUARDIAN, trip(4, false).to_bytes(), None),
        ("grant what is held", ADMIN, grant(OPERATOR, Role::Operator).to_bytes(), None),
        ("revoke what Admin implies", ADMIN, revoke(ADMIN, Role::Operator).to_bytes(), Some(RoleNotFound)),
        ("override as it is", OPERATOR, set_override("f", USER, true).to_bytes(), None),
        ("name of 64 bytes", OPERATOR, enable_bytes(&[b'n'; 64]), Some(FeatureNotFound)),
        ("name of 65 bytes", OPERATOR, enable_bytes(&[b'n'; 65]), Some(InvalidName)),
        ("description of 1024 bytes", ADMIN, create_bytes("new", 1_024), None),
        ("description of 1025 bytes", ADMIN, create_bytes("new", 1_025), Some(LimitExceeded)),
    ];
    for (what, signer, bytes, expected) in rows {
        let expected = expected.map_or(Receipt::Ok, refused);
        assert_eq!(world.probe(&raw_tx(signer, &[bytes])), expected, "{what}");
    }
}

/// A prerequisite that is met and one that is not; a target that leads somewhere.
#[test]
fn rollouts_ask_for_data() {
    type Row = (&'static str, u64, u32, (u32, u32), u8, u8, Option<Reject>);
    let rows: Vec<Row> = vec![
        // min_success_count, max_error_rate, successes and errors told, canary percent, target.
        ("one success short", 100, 100, (99, 0), 5, 100, Some(Reject::InsufficientData)),
        ("just enough", 100, 100, (100, 0), 5, 100, None),
        ("nothing told, nothing asked", 0, 0, (0, 0), 5, 100, None),
        ("rate at the threshold", 0, 1_000, (8, 1), 5, 100, Some(Reject::ErrorRateExceeded)),
        ("1111 of 1111", 0, 1_111, (8, 1), 5, 100, None),
        ("1111 of 1110", 0, 1_110, (8, 1), 5, 100, Some(Reject::ErrorRateExceeded)),
        ("one sample", 0, 9_999, (0, 1), 5, 100, Some(Reject::ErrorRateExceeded)),
        ("one sample, all borne", 0, 10_000, (0, 1), 5, 100, None),
        ("target above", 0, 0, (0, 0), 5, 6, None),
        ("target as it is", 0, 0, (0, 0), 5, 5, Some(Reject::InvalidPercent)),
        ("target below", 0, 0, (0, 0), 5, 4, Some(Reject::InvalidPercent)),
        ("target 100 from 100", 0, 0, (0, 0), 100, 100, None),
        ("target 0 from 0", 0, 0, (0, 0), 0, 0, Some(Reject::InvalidPercent)),
    ];
    for (what, min_success_count, max_error_rate, (successes, errors), from, target, expected) in rows {
        let mut world = World::new();
        let changes = FeatureChanges {
            min_success_count: Some(min_success_count),
            max_error_rate: Some(max_error_rate),
            ..FeatureChanges::default()
        };
        world.run(1, ADMIN, &[create_with("f", changes)]);
        world.run(2, OPERATOR, &[canary("f", from)]);
        world.run(3, REPORTER, &[report("f", successes, errors)]);
        let expected = expected.map_or(Receipt::Ok, refused);
        assert_eq!(world.probe(&tx(OPERATOR, &[rollout("f", target)])), expected, "{what}");
    }
}

// The order of the checks.

#[test]
fn of_two_rejects_the_earlier_check_wins() {
    use Reject::*;
    let bad_name = |command: &Command| {
        let mut bytes = command.to_bytes();
        bytes[2] = b'_';
        bytes
    };
    let percent_101 = |command: Command| with_byte(&command, 0, 101);
    let bad_report = |feature: &str| tell_bytes(feature, Report { invariant_failures: 1, ..SILENCE });
    let long = |feature: &str| create_bytes(feature, 1_025);
    let other_policy = policy(Policy { prerequisites: vec![name("on")], ..Policy::default() });
    let mut closed = World::new();
    closed.run(1, ADMIN, &[create("off"), create("on"), create_on("resting", &["off"])]);
    closed.run(
        2,
        ADMIN,
        &[
            create_with("rolling", manual(steps_every(50))),
            create_on("due", &["on"]),
            create("short"),
            create_with(
                "bad",
                FeatureChanges {
                    min_success_count: Some(9),
                    ..policy(Policy { min_samples: 99, ..Policy::default() })
                },
            ),
        ],
    );
    // `due` and `data` rest on `on`, which goes off when they have started.
    closed.run(
        3,
        ADMIN,
        &[
            create_with("data", policy(Policy { prerequisites: vec![name("on")], ..Policy::default() })),
            create_with("step", {
                let changes = manual(steps_every(50));
                let policy = Policy { prerequisites: vec![name("on")], ..changes.policy.clone().unwrap() };
                FeatureChanges { policy: Some(policy), ..changes }
            }),
        ],
    );
    closed.run(
        4,
        OPERATOR,
        &[
            enable("on"),
            canary("rolling", 5),
            rollout("rolling", 50),
            canary("data", 5),
            canary("step", 5),
            rollout("step", 50),
            enable("due"),
            canary("short", 5),
            canary("bad", 5),
            disable("on"),
        ],
    );
    closed.run(5, REPORTER, &[report("short", 0, 9), report("bad", 8, 1)]);
    let mut full = closed.clone();
    full.run(6, REPORTER, &[report("bad", 1, 0)]);
    let mut open = closed.clone();
    open.run(6, GUARDIAN, &[trip(0, false)]);

    // The winner, the loser, in which world, by whom, what.
    let rows: Vec<(Reject, Reject, &World, Address, Vec<u8>)> = vec![
        // Decoding before authority.
        (Malformed, Unauthorized, &closed, NOBODY, vec![9]),
        (Malformed, Unauthorized, &closed, NOBODY, with_byte(&rollback("off"), 0, 6)),
        (Malformed, Unauthorized, &closed, NOBODY, nested(99, &with_byte(&rollback("off"), 0, 6))),
        (Malformed, InvalidName, &closed, OPERATOR, bad_name(&enable("off"))[..2].to_vec()),
        // Authority before limits, existence, breaker, status, data.
        (Unauthorized, InvalidName, &closed, NOBODY, bad_name(&enable("off"))),
        (Unauthorized, InvalidPercent, &closed, NOBODY, percent_101(canary("off", 0))),
        (Unauthorized, InvalidParameter, &closed, NOBODY, bad_report("on")),
        (Unauthorized, LimitExceeded, &closed, NOBODY, long("x")),
        (Unauthorized, InvalidParameter, &closed, REPORTER, nested(99, &report("on", 1, 0).to_bytes())),
        (Unauthorized, FeatureNotFound, &closed, REPORTER, enable("x").to_bytes()),
        (Unauthorized, CircuitOpen, &open, GUARDIAN, enable("off").to_bytes()),
        (Unauthorized, InvalidTransition, &open, REPORTER, trip(0, false).to_bytes()),
        (Unauthorized, HeightInPast, &closed, GUARDIAN, schedule(1, vec![enable("off")]).to_bytes()),
        (Unauthorized, LastAdmin, &closed, OPERATOR, revoke(ADMIN, Role::Admin).to_bytes()),
        // Limits before existence, status and data.
        (InvalidPercent, FeatureNotFound, &closed, OPERATOR, percent_101(canary("x", 0))),
        (InvalidPercent, FeatureDisabled, &closed, OPERATOR, percent_101(rollout("off", 0))),
        (InvalidPercent, CircuitOpen, &open, OPERATOR, percent_101(canary("off", 0))),
        (InvalidParameter, FeatureNotFound, &closed, REPORTER, bad_report("x")),
        (InvalidParameter, FeatureDisabled, &closed, REPORTER, bad_report("off")),
        (LimitExceeded, FeatureAlreadyExists, &closed, ADMIN, long("off")),
        (InvalidPercent, HeightInPast, &closed, OPERATOR, nested(1, &percent_101(canary("x", 0)))),
        (InvalidParameter, HeightInPast, &closed, OPERATOR, nested(1, &report("on", 1, 0).to_bytes())),
        (InvalidParameter, InvalidName, &closed, OPERATOR, nested(1, &bad_name(&report("on", 1, 0)))),
        // Of the limits of one command, the first field's.
        (InvalidName, InvalidPercent, &closed, OPERATOR, [12, 1, b'_', 101].to_vec()),
        // Existence before breaker, status, prerequisites, data.
        (FeatureNotFound, CircuitOpen, &open, OPERATOR, enable("x").to_bytes()),
        (FeatureNotFound, OverrideNotFound, &closed, OPERATOR, clear_override("x", USER).to_bytes()),
        (FeatureNotFound, InvalidParameter, &closed, ADMIN, configure("x", other_policy.clone()).to_bytes()),
        (FeatureAlreadyExists, PrerequisiteCycle, &closed, ADMIN, create_on("off", &["off"]).to_bytes()),
        (FeatureAlreadyExists, PrerequisiteNotFound, &closed, ADMIN, create_on("off", &["x"]).to_bytes()),
        // Breaker before status, prerequisites, data.
        (CircuitOpen, InvalidTransition, &open, OPERATOR, enable("due").to_bytes()),
        (CircuitOpen, FeatureDisabled, &open, OPERATOR, rollout("off", 50).to_bytes()),
        (CircuitOpen, RolloutInProgress, &open, OPERATOR, canary("rolling", 5).to_bytes()),
        (CircuitOpen, PrerequisiteNotActive, &open, OPERATOR, enable("resting").to_bytes()),
        (CircuitOpen, InsufficientData, &open, OPERATOR, rollout("short", 50).to_bytes()),
        (CircuitOpen, NotDue, &open, OPERATOR, advance("rolling").to_bytes()),
        (InvalidTransition, HeightInPast, &open, GUARDIAN, trip(1, false).to_bytes()),
        // Status before prerequisites and data.
        (InvalidTransition, PrerequisiteNotActive, &closed, OPERATOR, enable("due").to_bytes()),
        (FeatureDisabled, PrerequisiteNotActive, &closed, OPERATOR, rollout("resting", 50).to_bytes()),
        (RolloutInProgress, PrerequisiteNotActive, &closed, OPERATOR, canary("step", 5).to_bytes()),
        (RolloutInProgress, InvalidParameter, &closed, ADMIN, configure("rolling", other_policy).to_bytes()),
        // Prerequisites before data.
        (PrerequisiteNotActive, InsufficientData, &closed, OPERATOR, rollout("data", 50).to_bytes()),
        (PrerequisiteNotActive, NotDue, &closed, OPERATOR, advance("step").to_bytes()),
        (PrerequisiteNotFound, LimitExceeded, &closed, ADMIN, create_on("new", &["x"]).to_bytes()),
        // Data in the order of the text.
        (InsufficientData, ErrorRateExceeded, &closed, OPERATOR, rollout("bad", 50).to_bytes()),
        (InsufficientData, InvalidPercent, &closed, OPERATOR, rollout("short", 4).to_bytes()),
        (ErrorRateExceeded, InvalidPercent, &full, OPERATOR, rollout("bad", 4).to_bytes()),
        (RoleNotFound, LastAdmin, &closed, ADMIN, revoke(OPERATOR, Role::Admin).to_bytes()),
    ];
    for (winner, loser, world, signer, bytes) in rows {
        let receipt = world.probe(&raw_tx(signer, std::slice::from_ref(&bytes)));
        assert_eq!(receipt, refused(winner), "{winner} must win over {loser}: {}", hex::encode(bytes));
    }
}

#[test]
fn authority_and_rules_are_checked_command_by_command() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f"), grant(USER, Role::Admin)]);
    let invalid = with_byte(&canary("f", 0), 0, 101);
    let bytes = |commands: &[Command]| -> Vec<Vec<u8>> { commands.iter().map(Encode::to_bytes).collect() };
    let rejected = |reject, index| Receipt::Rejected { reject, index };
    use Reject::*;
    let rows: Vec<(Address, Vec<Vec<u8>>, Receipt)> = vec![
        // The effects of the commands before count.
        (USER, bytes(&[grant(USER, Role::Operator), revoke(USER, Role::Admin), canary("f", 1)]), Receipt::Ok),
        (USER, bytes(&[revoke(USER, Role::Admin), canary("f", 1)]), rejected(Unauthorized, 1)),
        (USER, bytes(&[revoke(USER, Role::Admin), revoke(ADMIN, Role::Admin)]), rejected(Unauthorized, 1)),
        (USER, bytes(&[revoke(ADMIN, Role::Admin), revoke(USER, Role::Admin)]), rejected(LastAdmin, 1)),
        (ADMIN, bytes(&[grant(NOBODY, Role::Admin), revoke(ADMIN, Role::Admin)]), Receipt::Ok),
        (ADMIN, bytes(&[create("g"), create("g")]), rejected(FeatureAlreadyExists, 1)),
        (ADMIN, bytes(&[create("g"), create_on("h", &["g"]), enable("g"), enable("h")]), Receipt::Ok),
        (ADMIN, bytes(&[create("g"), create_on("h", &["g"]), enable("h")]), rejected(PrerequisiteNotActive, 2)),
        (OPERATOR, bytes(&[trip(0, false), enable("f")]), rejected(CircuitOpen, 1)),
        (ADMIN, bytes(&[trip(0, false), Command::ResetBreaker, enable("f")]), Receipt::Ok),
        (OPERATOR, bytes(&[schedule(9, vec![enable("f")]), cancel(9, 1)]), Receipt::Ok),
        (
            ADMIN,
            bytes(&[set_params(None, Some(1), Some(5)), set_params(None, None, Some(0))]),
            rejected(InvalidParameter, 1),
        ),
        // A rule is broken when its command's turn comes; until then the first failure decides.
        (OPERATOR, vec![enable("x").to_bytes(), invalid.clone()], rejected(FeatureNotFound, 0)),
        (OPERATOR, vec![enable("f").to_bytes(), invalid.clone()], rejected(InvalidPercent, 1)),
        (USER, vec![revoke(USER, Role::Admin).to_bytes(), invalid], rejected(Unauthorized, 1)),
        // What does not decode is no transaction at all.
        (OPERATOR, vec![enable("x").to_bytes(), vec![9]], rejected(Malformed, 0)),
        // The last of sixteen.
        (
            ADMIN,
            bytes(&[vec![grant(USER, Role::Feeder); 15], vec![create("f")]].concat()),
            rejected(FeatureAlreadyExists, 15),
        ),
    ];
    for (signer, commands, expected) in rows {
        assert_eq!(world.probe(&raw_tx(signer, &commands)), expected, "{commands:?}");
    }
}

// Atomic transactions.

#[test]
fn a_transaction_that_fails_undoes_everything() {
    let params =
        Params { max_due_per_block: 5, breaker_rollbacks: NonZeroU32::new(1), breaker_window: 10, ..Params::default() };
    let mut before = World::with_params(params);
    let guarded = policy(Policy { window_blocks: NonZeroU32::new(7), ..Policy::default() });
    before.run(1, ADMIN, &[create_with("f", FeatureChanges { policy: guarded.policy, ..steps_every(3) }), create("g")]);
    before.run(2, OPERATOR, &[canary("f", 5), rollout("f", 90), set_override("f", USER, true)]);
    before.run(3, OPERATOR, &[schedule(20, vec![enable("f")])]);
    before.run(4, REPORTER, &[report("f", 20, 0)]);

    // Everything that a command can change, the breaker tripped by a report included.
    let changes = vec![
        create("h"),
        create_on("i", &["f", "g"]),
        canary("g", 50),
        report("g", 1, 0),
        set_override("f", USER, false),
        set_override("g", USER, true),
        clear_override("f", USER),
        schedule(30, vec![disable("f")]),
        cancel(20, 1),
        grant(NOBODY, Role::Admin),
        revoke(OPERATOR, Role::Operator),
        disable("f"),
        configure("f", steps_every(99)),
        bad_report("g"),
        set_params(Some(9), Some(2), Some(3)),
    ];
    let fails = enable("nobody");
    let first = tx(OPERATOR, &[set_override("g", USER, true), schedule(40, vec![enable("g")]), disable("f")]);
    let last = tx(ADMIN, &[create("z"), schedule(50, vec![enable("z")]), canary("f", 9), enable("g")]);
    let run = |between: Vec<Payload>| {
        let payloads = [vec![first.clone()], between, vec![last.clone()]].concat();
        before.state.execute(&Block::from_payloads(5, payloads).unwrap()).unwrap()
    };
    let without = run(vec![]);
    assert!(without.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok));
    // Each beginning of the list, and each single command, followed by one that fails. The first
    // transaction has changed what they find, so some fail earlier; most do not.
    let mut lists: Vec<Vec<Command>> = (1..=changes.len()).map(|n| changes[..n].to_vec()).collect();
    lists.extend(changes.iter().map(|change| vec![change.clone()]));
    let mut failed_last = 0;
    for mut commands in lists {
        commands.push(fails.clone());
        let with = run(vec![tx(ADMIN, &commands)]);
        let receipt = with.outcome().receipts[1];
        assert_ne!(receipt, Receipt::Ok);
        failed_last += usize::from(usize::from(receipt.index()) == commands.len() - 1);
        assert_eq!(with.outcome().events, without.outcome().events, "{commands:?}");
        assert_eq!(writes(&with), writes(&without), "{commands:?}");
        assert_eq!(with.root(), without.root());
        // And what is committed is the same decoded state.
        let (mut a, mut b) = (before.clone(), before.clone());
        a.commit(with);
        b.commit(without.clone());
        for height in 6..60 {
            assert_eq!(a.at(height, vec![]), b.at(height, vec![]));
            assert_eq!(a.state.root(), b.state.root());
        }
    }
    assert!(failed_last > 15, "{failed_last} lists came as far as their last command");
}

/// The same in the middle of a block that has touched the same records before and does after.
#[test]
fn an_undone_transaction_leaves_numbers_as_they_were() {
    let params =
        Params { max_due_per_block: 5, breaker_rollbacks: NonZeroU32::new(2), breaker_window: 10, ..Params::default() };
    let mut world = World::with_params(params);
    world.run(1, ADMIN, &[create("f"), create("g")]);
    world.run(2, OPERATOR, &[canary("f", 5), canary("g", 5)]);
    let fails = enable("nobody");
    let outcome = world.block(
        3,
        vec![
            tx(OPERATOR, &[schedule(9, vec![enable("f")]), canary("f", 6)]),
            tx(
                ADMIN,
                &[canary("f", 7), schedule(9, vec![enable("f")]), bad_report("f"), bad_report("g"), fails.clone()],
            ),
            tx(ADMIN, &[canary("f", 8), schedule(9, vec![enable("f")]), fails]),
            tx(OPERATOR, &[schedule(9, vec![enable("f")]), canary("f", 9)]),
            tx(REPORTER, &[bad_report("g")]),
        ],
    );
    let names: Vec<&str> = outcome.receipts.iter().map(Receipt::name).collect();
    assert_eq!(names, ["ok", "feature_not_found", "feature_not_found", "ok", "ok"]);
    let ids: Vec<u64> = outcome
        .events
        .iter()
        .filter_map(|e| if let Event::Scheduled { id, .. } = e { Some(*id) } else { None })
        .collect();
    assert_eq!(ids, [1, 2], "ids of undone transactions are not consumed");
    let seqs: Vec<_> = world.history("f").iter().filter(|e| e.0 == 3).map(|e| (e.1, e.3)).collect();
    assert_eq!(seqs, [(0, 6), (1, 9)]);
    assert_eq!(world.state.global().rollbacks_in_window, 1);
    assert_eq!(world.state.global().breaker, None);
    assert_eq!(world.stands("f"), (Status::Canary, 9));
}
