//! Puts, whole and in parts.

use super::*;

/// A step of a story: who, what, the reject if there is one, and what is told.
type Step = (Vec<Command>, Option<(Reject, u8)>, &'static [&'static str]);

fn tell_story(steps: Vec<Step>) -> World {
    let mut world = World::new();
    for (height, (commands, refused, expected)) in (1..).zip(steps) {
        let what = format!("step {height}: {commands:?}");
        let outcome = world.block(height, vec![tx(ADMIN, &commands)]);
        let receipt = refused.map_or(Receipt::Ok, |(reject, index)| Receipt::Rejected { reject, index });
        assert_eq!(outcome.receipts, [receipt], "{what}");
        assert_eq!(told(&outcome.events), expected, "{what}");
    }
    world
}

fn shown(world: &World, kind: FeedKind) -> Vec<String> {
    let show = |(id, item): &(FeedId, FeedItem)| format!("{id} {} {}", item.version, item.state.name());
    world.feed_items(kind).iter().map(show).collect()
}

#[test]
fn a_put_is_the_whole_truth() {
    let world = tell_story(vec![
        (
            vec![put(Only, &[("a", 1), ("b", 1)], &[("a", 1), ("f", 1)])],
            None,
            &[
                "feed_insert environment a 1",
                "feed_insert environment b 1",
                "feed_insert filter a 1",
                "feed_insert filter f 1",
                "feed_received_all",
            ],
        ),
        // Environments, then filters; then what is forgotten, in the same order.
        (
            vec![put(Only, &[("b", 2), ("c", 1)], &[("g", 1)])],
            None,
            &[
                "feed_updated environment b 2",
                "feed_insert environment c 1",
                "feed_insert filter g 1",
                "feed_delete environment a 1",
                "feed_delete filter a 1",
                "feed_delete filter f 1",
                "feed_received_all",
            ],
        ),
        // An older version of what was forgotten comes late.
        (vec![patch(Environment, "a", 1, b"late")], None, &[]),
        (vec![patch(Environment, "a", 0, b"later")], None, &[]),
        // A stale version retains; what was deleted is forgotten without a word.
        (vec![gone(Environment, "c", 5)], None, &["feed_delete environment c 5"]),
        (vec![put(Only, &[("b", 1)], &[])], None, &["feed_delete filter g 1", "feed_received_all"]),
        // Forgotten things are unseen to the next put, at any version.
        (
            vec![put(Only, &[("a", 0), ("c", 1)], &[])],
            None,
            &[
                "feed_insert environment a 0",
                "feed_insert environment c 1",
                "feed_delete environment b 2",
                "feed_received_all",
            ],
        ),
        // Newer than the mark is newer for anybody.
        (vec![patch(Environment, "b", 3, b"")], None, &["feed_insert environment b 3"]),
        // Nothing listed: everything goes.
        (
            vec![put(Only, &[], &[])],
            None,
            &[
                "feed_delete environment a 0",
                "feed_delete environment b 3",
                "feed_delete environment c 1",
                "feed_received_all",
            ],
        ),
        (vec![put(Only, &[], &[])], None, &["feed_received_all"]),
    ]);
    assert_eq!(shown(&world, Environment), ["a 0 forgotten", "b 3 forgotten", "c 1 forgotten"]);
    assert_eq!(shown(&world, Filter), ["a 1 forgotten", "f 1 forgotten", "g 1 forgotten"]);
    let expected = FeedTotals { environments: 3, filters: 3, ..FeedTotals::default() };
    assert_eq!(*world.state.feed(), expected);
}

#[test]
fn a_put_in_parts_ends_with_its_last() {
    let not_open = Some((Reject::FeedPutNotOpen, 0));
    let world = tell_story(vec![
        (vec![put(More, &[], &[])], not_open, &[]),
        (vec![put(Last, &[], &[])], not_open, &[]),
        (
            vec![put(Only, &[("a", 1), ("b", 1)], &[("f", 1)])],
            None,
            &[
                "feed_insert environment a 1",
                "feed_insert environment b 1",
                "feed_insert filter f 1",
                "feed_received_all",
            ],
        ),
        (vec![put(First, &[("a", 2)], &[])], None, &["feed_updated environment a 2"]),
        // While the put is open, patches and deletes go on.
        (vec![patch(Environment, "p", 1, b"")], None, &["feed_insert environment p 1"]),
        (vec![patch(Filter, "f", 2, b"")], None, &[]),
        (vec![gone(Environment, "d", 7)], None, &[]),
        (vec![patch(Environment, "b", 1, b"stale")], None, &[]),
        (vec![put(More, &[("a", 1), ("c", 1)], &[])], None, &["feed_insert environment c 1"]),
        // What the patches stored is retained, and so is the stale `a`; the stale patch of `b` is not.
        (
            vec![put(Last, &[], &[("g", 1)])],
            None,
            &["feed_insert filter g 1", "feed_delete environment b 1", "feed_received_all"],
        ),
        (vec![put(More, &[], &[])], not_open, &[]),
        // A put that is begun again forgets what it had listed.
        (vec![put(First, &[("x", 1)], &[])], None, &["feed_insert environment x 1"]),
        (vec![put(First, &[("y", 1)], &[("f", 1), ("g", 1)])], None, &["feed_insert environment y 1"]),
        (
            vec![put(Last, &[("a", 2)], &[])],
            None,
            &[
                "feed_delete environment c 1",
                "feed_delete environment p 1",
                "feed_delete environment x 1",
                "feed_received_all",
            ],
        ),
        // A whole put abandons an open one.
        (vec![put(First, &[("x", 2)], &[])], None, &["feed_insert environment x 2"]),
        (
            vec![put(Only, &[("a", 2)], &[])],
            None,
            &[
                "feed_delete environment x 2",
                "feed_delete environment y 1",
                "feed_delete filter f 2",
                "feed_delete filter g 1",
                "feed_received_all",
            ],
        ),
        (vec![put(Last, &[], &[])], not_open, &[]),
    ]);
    assert_eq!(
        shown(&world, Environment),
        [
            "a 2 live",
            "b 1 forgotten",
            "c 1 forgotten",
            // The put that it came with retained `d`, which never was; the next one left nothing of it.
            "p 1 forgotten",
            "x 2 forgotten",
            "y 1 forgotten"
        ]
    );
    assert!(!world.state.feed().open);
}

/// All of a put's parts in one transaction are the put, and an undone transaction is none.
#[test]
fn parts_in_one_transaction_are_one_put() {
    let parts = || vec![put(First, &[("a", 1)], &[]), put(More, &[("b", 1)], &[]), put(Last, &[], &[("f", 1)])];
    let mut whole = World::new();
    whole.run(1, FEEDER, &[put(Only, &[("z", 1)], &[("z", 1)])]);
    let mut in_parts = whole.clone();
    whole.run(2, FEEDER, &[put(Only, &[("a", 1), ("b", 1)], &[("f", 1)])]);
    in_parts.run(2, FEEDER, &parts());
    assert_eq!(whole.records, in_parts.records);

    // Every number of commands before one that fails, on an open put and on none.
    for begin in [vec![], vec![put(First, &[("q", 1), ("z", 2)], &[])]] {
        let mut world = whole.clone();
        if !begin.is_empty() {
            world.run(3, FEEDER, &begin);
        }
        let all: Vec<Command> = [
            vec![patch(Environment, "a", 3, b""), gone(Environment, "b", 3), forget(Filter, &["f", "z"])],
            parts(),
            vec![put(Only, &[], &[]), patch(Filter, "f", 9, b""), put(First, &[("q", 5)], &[])],
        ]
        .concat();
        for count in 0..=all.len() {
            let mut commands = all[..count].to_vec();
            commands.push(clear_override("none", USER));
            let expected = Receipt::Rejected { reject: Reject::FeatureNotFound, index: count as u8 };
            assert_eq!(world.probe(&tx(ADMIN, &commands)), expected);
        }
        // In a block of both, the undone one leaves no trace in what follows.
        let undone = tx(ADMIN, &[all.clone(), vec![clear_override("none", USER)]].concat());
        let (mut with, mut without) = (world.clone(), world.clone());
        let height = world.tip() + 1;
        with.block(height, vec![undone.clone(), tx(FEEDER, &parts()), undone, tx(ADMIN, &all)]);
        without.block(height, vec![tx(FEEDER, &parts()), tx(ADMIN, &all)]);
        assert_eq!(with.records, without.records);
    }
}

#[test]
fn an_identical_put_changes_no_byte() {
    let same = [put(Only, &[("a", 1), ("b", 1)], &[("a", 1)])];
    let mut world = World::new();
    world.run(1, FEEDER, &same);
    let records = world.records.clone();
    for commands in [
        same.to_vec(),
        vec![put(First, &[("a", 1)], &[]), put(Last, &[("b", 1)], &[("a", 1)])],
        // Stale versions of the same ids are the same to the state.
        vec![put(Only, &[("a", 0), ("b", 1)], &[("a", 0)])],
    ] {
        let height = world.tip() + 1;
        let block = Block::from_payloads(height, vec![tx(FEEDER, &commands)]).unwrap();
        let execution = world.state.execute(&block).unwrap();
        assert!(execution.writes().is_empty(), "{commands:?}");
        let outcome = world.commit(execution);
        assert_eq!(told(&outcome.events), ["feed_received_all"]);
        assert_eq!(world.records, records);
    }
}

/// A block of puts gives what a block each gives, and pays for the index of the state once.
#[test]
fn puts_in_one_block_follow_each_other() {
    let puts = [
        put(Only, &[("a", 1), ("b", 1)], &[]),
        patch(Environment, "c", 1, b""),
        put(Only, &[("b", 2)], &[("f", 1)]),
        gone(Environment, "b", 3),
        put(Only, &[("a", 1)], &[]),
        forget(Environment, &["b", "c"]),
        put(First, &[("b", 1)], &[]),
        put(Last, &[], &[]),
    ];
    let (mut one, mut many) = (World::new(), World::new());
    let outcome = one.block(1, puts.iter().map(|command| tx(ADMIN, std::slice::from_ref(command))).collect());
    for (height, command) in (1..).zip(&puts) {
        many.run(height, ADMIN, std::slice::from_ref(command));
    }
    assert_eq!(one.records, many.records);
    let events: Vec<Event> = many.events.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(outcome.events, events);
}

#[test]
fn notes_belong_to_their_transactions() {
    let mut world = World::new();
    world.run(1, FEEDER, &[patch(Filter, "f", 1, b"")]);
    let payloads = vec![
        tx(FEEDER, &[patch(Filter, "f", 2, b""), patch(Filter, "g", 1, b"")]),
        Payload::from_bytes(b""),
        tx(FEEDER, &[gone(Filter, "x", 1), put(Last, &[], &[])]),
        tx(FEEDER, &[put(Only, &[("e", 1)], &[("f", 1)])]),
    ];
    let execution = world.state.execute(&Block::from_payloads(2, payloads).unwrap()).unwrap();
    let note = |tx: usize, kind, id: &str| (tx, Note::Feed { kind, id: feed_id(id), action: Noop });
    assert_eq!(execution.notes(), [note(0, Filter, "f"), note(3, Filter, "f")]);
    // A mark on what was deleted is told to nobody: there was no message about it.
    world.run(2, FEEDER, &[gone(Filter, "g", 1)]);
    let marking = Block::from_payloads(3, vec![tx(FEEDER, &[put(Only, &[], &[("f", 3)])])]).unwrap();
    assert_eq!(world.state.execute(&marking).unwrap().notes(), [note(0, Filter, "f")]);
    assert_eq!(world.state.execute(&Block::empty(3)).unwrap().notes(), []);
}
