//! Names, pages, and who has a feature on.

use super::*;

// Names that begin one another.

#[test]
fn names_that_begin_one_another_never_meet() {
    // The longest of them is 64 bytes; lengths and heights look alike in the bytes.
    let long = "a".repeat(64);
    let names = ["a", "ab", "aa", long.as_str(), "a0", "A"];
    for first in names {
        for second in names {
            if first == second {
                continue;
            }
            let mut world = World::new();
            world.run(1, ADMIN, &[create_with(first, steps_every(5)), create_with(second, steps_every(9))]);
            world.run(2, OPERATOR, &[canary(first, 10), rollout(first, 50), set_override(first, USER, true)]);
            let quiet = world.history(second);
            assert_eq!(quiet, [(1, 0, Status::Disabled, 0, Cause::Created)]);
            world.run(3, OPERATOR, &[canary(second, 20), rollout(second, 90), set_override(second, user(1), false)]);
            world.advance(30);
            let percents = |feature: &str| -> Vec<(Height, u8)> {
                world.history(feature)[3..].iter().map(|entry| (entry.0, entry.3)).collect()
            };
            assert_eq!(percents(first), [(7, 20), (12, 30), (17, 40), (22, 50)], "{first} beside {second}");
            assert_eq!(percents(second), [(12, 30), (21, 40), (30, 50)], "{second} beside {first}");
            let overrides = |feature: &str| query::overrides(&world.records, &name(feature), None, 99).unwrap();
            assert_eq!(overrides(first).iter().map(|entry| entry.0).collect::<Vec<_>>(), [USER]);
            assert_eq!(overrides(second).iter().map(|entry| entry.0).collect::<Vec<_>>(), [user(1)]);
            assert_eq!(query::due(&world.records, &name(first)).unwrap(), None);
            assert_eq!(query::due(&world.records, &name(second)).unwrap(), Some(39));
            for height in [0, 1, 2, 3, 12, 17, 29, 30, 31, Height::MAX] {
                for feature in [first, second] {
                    let last = world.history(feature).into_iter().rfind(|entry| entry.0 <= height);
                    let found = query::feature_at(&world.records, &name(feature), height).unwrap();
                    assert_eq!(found.map(|(s, p)| (s, p.get())), last.map(|entry| (entry.2, entry.3)));
                    let found = query::last_change(&world.records, &name(feature), height).unwrap();
                    let found = found.map(|entry| (entry.height, entry.seq, entry.change.cause));
                    assert_eq!(found, last.map(|entry| (entry.0, entry.1, entry.4)));
                }
            }
        }
    }
}

// Queries.

/// Every list, a page at a time, is the whole list.
#[test]
fn pages_put_together_are_the_whole() {
    fn check<T: PartialEq + std::fmt::Debug, K>(
        what: &str,
        page: impl Fn(Option<&K>, usize) -> Vec<T>,
        key: impl Fn(&T) -> K,
    ) {
        let whole = page(None, usize::MAX);
        assert!(whole.len() >= 2, "{what}: {whole:?}");
        assert_eq!(page(None, 0), [], "{what}");
        for limit in 1..=whole.len() + 1 {
            let mut pages: Vec<T> = Vec::new();
            loop {
                let next = page(pages.last().map(&key).as_ref(), limit);
                assert!(next.len() <= limit, "{what}");
                if next.is_empty() {
                    break;
                }
                pages.extend(next);
                assert!(pages.len() <= whole.len(), "{what}: {limit} at a time never end");
            }
            assert_eq!(pages, whole, "{what}, {limit} at a time");
        }
    }
    let world = {
        let mut world = busy(1_000);
        world.run(7, OPERATOR, &[1, 2, 3].map(|n| set_override("a", user(n), true)));
        world.advance(40);
        world
    };
    let records = &world.records;
    let a = name("a");
    check("features", |after, limit| query::features(records, after, limit).unwrap(), |feature| feature.name);
    check("active", |after, limit| query::active(records, after, limit).unwrap(), |name| *name);
    check("overrides", |after, limit| query::overrides(records, &a, after, limit).unwrap(), |entry| entry.0);
    check("roles", |after, limit| query::roles(records, after, limit).unwrap(), |entry| entry.0);
    let schedule = |after: Option<&(Height, u64)>, limit| query::schedule(records, after.copied(), limit).unwrap();
    check("schedule", schedule, |entry| (entry.0, entry.1));
    let history = |after: Option<&(Height, u32)>, limit| query::history(records, &a, after.copied(), limit).unwrap();
    check("history", history, |entry| (entry.height, entry.seq));
}

#[test]
fn progress_tells_percent_next_step_and_errors_left() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create_with("f", steps_every(10)), create_with("g", manual(steps_every(10)))]);
    let progress = |world: &World, feature: &str, height| {
        let progress = query::progress(&world.records, &name(feature), height).unwrap()?;
        Some((progress.percent.get(), progress.blocks_to_step, progress.errors_left))
    };
    assert_eq!(progress(&world, "nobody", 1), None);
    assert_eq!(progress(&world, "f", 1), Some((0, None, None)), "off");
    world.run(2, OPERATOR, &[canary("f", 5), canary("g", 5)]);
    assert_eq!(progress(&world, "f", 2), Some((5, None, Some(9))), "the tenth error is the tenth sample");
    world.run(3, REPORTER, &[report("f", 300, 1)]);
    world.run(4, OPERATOR, &[rollout("f", 50), rollout("g", 50)]);
    for (height, blocks) in [(4, 10), (13, 1), (14, 0), (15, 0)] {
        // 1 % of 300 and some, rounded down: errors up to 3 of 303; the fourth is 1.3 %.
        assert_eq!(progress(&world, "f", height), Some((5, Some(blocks), Some(2))), "{height}");
        assert_eq!(progress(&world, "g", height), Some((5, Some(blocks), Some(9))), "{height}");
    }
    assert_eq!(query::due(&world.records, &name("f")).unwrap(), Some(14));
    assert_eq!(query::due(&world.records, &name("g")).unwrap(), None, "by hand alone");
    assert_eq!(query::due(&world.records, &name("nobody")).unwrap(), None);
}

// Is it on?

#[test]
fn raising_the_percent_never_switches_anybody_off() {
    for bucketing in Bucketing::ALL {
        let mut world = World::new();
        let salted = policy(Policy { bucketing: *bucketing, salt: 7, ..Policy::default() });
        world.run(1, ADMIN, &[create_with("f", salted)]);
        let users: Vec<Address> = (0..400).map(user).collect();
        let mut on: BTreeSet<Address> = BTreeSet::new();
        let f = name("f");
        for share in 0..=100 {
            world.run(u32::from(share) + 2, OPERATOR, &[canary("f", share)]);
            let now: BTreeSet<Address> = users.iter().copied().filter(|u| world.state.is_enabled(&f, u)).collect();
            assert!(on.is_subset(&now), "{bucketing} at {share} %");
            for user in &users {
                let below = match world.state.check(&f, user).why {
                    Why::Bucket { bucket, share } => bucket.get() < share.get(),
                    other => panic!("{other:?}"),
                };
                assert_eq!(below, now.contains(user));
            }
            on = now;
        }
        assert_eq!(on.len(), users.len(), "{bucketing}: everybody at 100 %");
        world.run(200, OPERATOR, &[canary("f", 0)]);
        assert!(!users.iter().any(|user| world.state.is_enabled(&f, user)), "{bucketing}: nobody at 0 %");
    }
}

#[test]
fn first_byte_is_the_first_byte_and_sha256_is_salted() {
    let mut world = World::new();
    let first_byte = policy(Policy { bucketing: Bucketing::FirstByte, salt: 1, ..Policy::default() });
    let salted = |salt| policy(Policy { salt, ..Policy::default() });
    world.run(1, ADMIN, &[create_with("b", first_byte), create("s"), create_with("t", salted(1))]);
    world.run(2, OPERATOR, &["b", "s", "t"].map(|feature| canary(feature, 5)));
    for byte in 0..=u8::MAX {
        let mut address = USER;
        address.0[0] = byte;
        assert_eq!(world.state.is_enabled(&name("b"), &address), byte % 100 < 5, "{byte}");
    }
    let on = |feature: &str| -> Vec<u32> {
        (0..4_000).filter(|n| world.state.is_enabled(&name(feature), &user(*n))).collect()
    };
    let (s, t) = (on("s"), on("t"));
    assert!((120..280).contains(&s.len()), "about 5 % of 4 000: {}", s.len());
    assert!(s.iter().filter(|user| t.contains(user)).count() < 40, "another salt and name, other users");
}

/// Status, override, prerequisites: who decides.
#[test]
fn who_decides_whether_it_is_on() {
    // How `f` and its prerequisite `p` stand, the users' own switches, on, decided by whom and why.
    let switch = |f: Option<bool>, p: Option<bool>| {
        let set = |feature: &str, on: Option<bool>| on.map(|on| set_override(feature, USER, on));
        [set("f", f), set("p", p)].into_iter().flatten().collect::<Vec<_>>()
    };
    let (on, off) = (Some(true), Some(false));
    let both = || vec![enable("p"), enable("f")];
    let then = |last: Command| [both(), vec![last]].concat();
    let half = || vec![canary("p", 0), enable("f")];
    let at = |share| vec![enable("p"), canary("f", share)];
    type Row = (&'static str, Vec<Command>, Vec<Command>, (bool, &'static str, &'static str));
    let rows: Vec<Row> = vec![
        ("both enabled", both(), vec![], (true, "f", "status")),
        ("own switch off", both(), switch(off, None), (false, "f", "override")),
        ("canary at 0", at(0), vec![], (false, "f", "bucket")),
        ("canary at 0, own switch on", at(0), switch(on, None), (true, "f", "override")),
        ("canary at 100", at(100), vec![], (true, "f", "bucket")),
        ("disabled, own switch on", then(disable("f")), switch(on, None), (false, "f", "status")),
        ("rolled back, own switch on", then(rollback("f")), switch(on, None), (false, "f", "status")),
        ("prerequisite at 0", half(), vec![], (false, "p", "bucket")),
        ("prerequisite at 0, own switch on", half(), switch(on, None), (false, "p", "bucket")),
        ("prerequisite on for the user", half(), switch(None, on), (true, "f", "status")),
        ("prerequisite off for the user", both(), switch(on, off), (false, "p", "override")),
        ("prerequisite disabled since", then(disable("p")), switch(on, on), (false, "p", "status")),
        ("both disabled since", [both(), vec![disable("f"), disable("p")]].concat(), vec![], (false, "f", "status")),
    ];
    for (what, commands, switches, (on, by, why)) in rows {
        let mut world = World::new();
        world.run(1, ADMIN, &[create("p"), create_on("f", &["p"])]);
        if !commands.is_empty() {
            world.run(2, OPERATOR, &commands);
        }
        if !switches.is_empty() {
            world.run(3, OPERATOR, &switches);
        }
        let verdict = world.state.check(&name("f"), &USER);
        let reason = match verdict.why {
            Why::Unknown => "unknown",
            Why::Status(_) => "status",
            Why::Override => "override",
            Why::Bucket { .. } => "bucket",
        };
        assert_eq!((verdict.on, verdict.decided_by, reason), (on, name(by), why), "{what}");
        assert_eq!(query::check(&world.records, &name("f"), &USER).unwrap(), verdict, "{what}");
        assert_eq!(world.state.is_enabled(&name("f"), &USER), on, "{what}");
    }
    let world = World::new();
    let verdict = world.state.check(&name("x"), &USER);
    assert_eq!((verdict.on, verdict.why), (false, Why::Unknown));
    assert!(!world.state.is_enabled(&name("x"), &USER));
    assert_eq!(world.state.resolve(&name("x")), None);
    // A handle that another state gave leads nowhere here.
    let mut other = World::new();
    other.run(1, ADMIN, &[create("f")]);
    let handle = other.state.resolve(&name("f")).unwrap();
    assert!(!world.state.is_enabled_by(handle, &USER));
}

/// Reads of the records, counted by key.
struct Counted<'a>(&'a Records, RefCell<BTreeMap<Vec<u8>, u32>>);

impl Read for Counted<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        *self.1.borrow_mut().entry(key.to_vec()).or_default() += 1;
        self.0.get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.0.scan(start, end, visit)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault> {
        self.0.last(start, end)
    }
}

/// Eight layers of four features, each on all four of the layer below: 65 536 paths, 33 features.
#[test]
fn each_prerequisite_is_evaluated_once() {
    let mut world = World::new();
    let layer = |depth: usize| (0..4).map(move |n| format!("layer{depth}-{n}")).collect::<Vec<String>>();
    for depth in 0..8 {
        let below: Vec<String> = if depth == 0 { vec![] } else { layer(depth - 1) };
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        let creates: Vec<Command> = layer(depth).iter().map(|feature| create_on(feature, &below)).collect();
        world.run(world.state.tip().map_or(1, |tip| tip + 1), ADMIN, &creates);
        let enables: Vec<Command> = layer(depth).iter().map(|feature| enable(feature)).collect();
        world.run(world.tip() + 1, OPERATOR, &enables);
    }
    let top = layer(7);
    let below: Vec<&str> = top.iter().map(String::as_str).collect();
    world.run(100, ADMIN, &[create_on("top", &below), enable("top")]);
    let check = |world: &World, on: bool| {
        let counted = Counted(&world.records, RefCell::default());
        assert_eq!(query::check(&counted, &name("top"), &USER).unwrap().on, on);
        assert_eq!(world.state.is_enabled(&name("top"), &USER), on);
        counted.1.into_inner()
    };
    let reads = check(&world, true);
    assert_eq!(reads.keys().filter(|key| key[0] == KeyPrefix::Feature.byte()).count(), 33);
    assert!(reads.values().all(|times| *times == 1), "{reads:?}");
    // The deepest decides.
    world.run(101, OPERATOR, &[set_override("layer0-3", USER, false)]);
    check(&world, false);
    assert_eq!(world.state.check(&name("top"), &USER).decided_by, name("layer0-3"));
    // A ninth edge is too many.
    assert_eq!(world.probe(&tx(ADMIN, &[create_on("roof", &["top"])])), refused(Reject::LimitExceeded));
}

#[test]
fn all_three_ways_to_ask_agree() {
    let mut world = busy(1_000);
    let f = |feature: &str| name(feature);
    world.run(10, ADMIN, &[create_on("on-a", &["a"]), create_on("on-both", &["a", "on-a"])]);
    world.run(11, OPERATOR, &[canary("on-a", 60), canary("on-both", 80)]);
    for height in [12, 18, 30, 60, 120, 200] {
        world.advance(height);
        for feature in ["a", "ab", "b", "c", "d", "e", "on-a", "on-both", "nobody"] {
            let handle = world.state.resolve(&f(feature));
            for number in 0..60 {
                let user = user(number);
                let verdict = world.state.check(&f(feature), &user);
                assert_eq!(query::check(&world.records, &f(feature), &user).unwrap(), verdict);
                assert_eq!(world.state.is_enabled(&f(feature), &user), verdict.on);
                assert_eq!(handle.is_some_and(|handle| world.state.is_enabled_by(handle, &user)), verdict.on);
            }
        }
    }
}

// Execution without commit.

#[test]
fn execution_changes_nothing_and_a_stale_one_is_refused() {
    let mut world = busy(1_000);
    let look = |world: &World| format!("{:?}", world.state);
    let before = look(&world);
    let block = Block::from_payloads(
        7,
        vec![
            tx(ADMIN, &[create("x"), grant(USER, Role::Operator)]),
            tx(OPERATOR, &[disable("a"), schedule(9, vec![enable("a")]), set_override("b", USER, true)]),
            tx(REPORTER, &[bad_report("b")]),
        ],
    )
    .unwrap();
    let first = world.state.execute(&block).unwrap();
    let second = world.state.execute(&block).unwrap();
    let empty = world.state.execute(&Block::empty(7)).unwrap();
    let far = world.state.advance(90).unwrap();
    assert_eq!(look(&world), before, "executing changes the state");
    assert_eq!((writes(&first), first.root(), first.outcome()), (writes(&second), second.root(), second.outcome()));
    assert_ne!(first.root(), empty.root());

    assert!([&first, &second, &empty, &far].iter().all(|execution| world.state.accepts(execution)));
    let other = world.clone();
    world.commit(first.clone());
    let after = look(&world);
    for stale in [first.clone(), second, empty.clone(), far] {
        assert!(!world.state.accepts(&stale));
        assert!(world.state.apply(stale).is_err());
        assert_eq!(look(&world), after, "a stale execution changes the state");
    }
    // Another height is refused; so is an execution of a state that was loaded anew.
    for height in [0, 6, 7, 9] {
        let expected = BlockError::Height { expected: 8, found: height };
        assert_eq!(world.state.execute(&Block::empty(height)).unwrap_err(), expected);
    }
    let mut reloaded = other.records.load(other.state.tip()).unwrap();
    assert!(reloaded.apply(first.clone()).is_err());
    // The clone that has not moved takes it, and ends where the other did.
    let mut other = other;
    other.commit(first);
    assert_eq!(other.records, world.records);
    // An empty block that changes nothing makes the others stale all the same: the height moves.
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let (one, two) = (world.state.execute(&Block::empty(2)).unwrap(), world.state.execute(&Block::empty(2)).unwrap());
    world.commit(one);
    assert!(world.state.apply(two).is_err());
    assert_eq!(world.state.tip(), Some(2));
}

#[test]
fn a_block_outcome_has_a_receipt_for_each_transaction() {
    let mut world = World::new();
    let outcome: Outcome = world.block(
        1,
        vec![
            tx(ADMIN, &[create("f")]),
            Payload::from_bytes(b"not a transaction"),
            tx(NOBODY, &[create("g")]),
            tx(ADMIN, &[create("f")]),
            tx(ADMIN, &[create("g")]),
        ],
    );
    let names: Vec<&str> = outcome.receipts.iter().map(Receipt::name).collect();
    assert_eq!(names, ["ok", "malformed", "unauthorized", "feature_already_exists", "ok"]);
    let created: Vec<Name> = world.records.features().iter().map(|feature| feature.name).collect();
    assert_eq!(created, [name("f"), name("g")]);
    assert_eq!(outcome.events.len(), 2);
}

/// 64 features may lie below one at most, whatever the paths.
#[test]
fn at_most_64_prerequisites_lie_below() {
    // Four layers of 16, each of which rests on the whole layer below: 16 ^ 4 paths.
    let of = |layer: usize, n: usize| format!("{layer}-{n:02}");
    let layer = |layer: usize| (0..16).map(|n| of(layer, n)).collect::<Vec<_>>();
    let mut world = World::new();
    for number in 0..4 {
        let below = if number == 0 { Vec::new() } else { layer(number - 1) };
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        let creates: Vec<Command> = layer(number).iter().map(|feature| create_on(feature, &below)).collect();
        world.run(world.state.tip().map_or(1, |tip| tip + 1), ADMIN, &creates);
        let enables: Vec<Command> = layer(number).iter().map(|feature| enable(feature)).collect();
        world.run(world.tip() + 1, OPERATOR, &enables);
    }
    let fourth = layer(3);
    let fourth: Vec<&str> = fourth.iter().map(String::as_str).collect();
    world.run(world.tip() + 1, ADMIN, &[create_on("top", &fourth), enable("top"), create("more")]);
    assert!(world.state.is_enabled(&name("top"), &USER));
    // One more below, whatever the paths.
    let fifteen = [&fourth[..15], &["more"]].concat();
    assert_eq!(world.probe(&tx(ADMIN, &[create_on("other", &fifteen)])), Receipt::Ok, "64 again: 48, 15 and one");
    assert_eq!(world.probe(&tx(ADMIN, &[create_on("other", &["top"])])), refused(Reject::LimitExceeded));
}
