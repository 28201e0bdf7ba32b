//! The config feed, as rows: what each message does to an item in each state, puts in parts, the
//! order of the checks, the limits at their edges; and what holds for any order of messages.
//!
//! The rows are written from the specification of the feed. [`World`] checks after every block that
//! root, index, totals and records agree.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use coalmine_core::feed::{self, FeedAction, Receiver, Transition};
use coalmine_core::{
    Address, Block, Command, CommandKind, Decode, DecodeErrorKind, Encode, Event, FEED_FORGET_IDS_MAX, FEED_LIVE_MAX,
    FEED_PUT_IDS_MAX, FEED_RECORDS_MAX, FeedBody, FeedEntry, FeedId, FeedItem, FeedKey, FeedKind, FeedPart, FeedState,
    ItemState, Key, Note, Payload, Receipt, Reject, TxCommand, Valid, Writer, query,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::subsequence;

use crate::common::*;

use FeedAction::{Delete, Insert, Noop, Updated};
use FeedKind::{Environment, Filter};
use FeedPart::{First, Last, More, Only};

// One item: each operation from each state, below, at and above the version that is stored.

const STORED: u64 = 5;

fn live(version: u64, bytes: &[u8]) -> Option<FeedItem> {
    Some(FeedItem { version, state: ItemState::Live(body(bytes)) })
}

const fn deleted(version: u64) -> Option<FeedItem> {
    Some(FeedItem { version, state: ItemState::Deleted })
}

const fn forgotten(version: u64) -> Option<FeedItem> {
    Some(FeedItem { version, state: ItemState::Forgotten })
}

/// What an operation makes of an item: the record afterwards, none if it is not there, and the action.
type Then = (Option<FeedItem>, FeedAction);

type Operation = fn(FeedKind, Option<&FeedItem>, u64) -> Transition;

fn upsert(kind: FeedKind, stored: Option<&FeedItem>, version: u64) -> Transition {
    feed::upsert(kind, stored, version, &body(b"new"))
}

fn upsert_in_put(kind: FeedKind, stored: Option<&FeedItem>, version: u64) -> Transition {
    feed::upsert_in_put(kind, stored, version, &body(b"new"))
}

fn delete(_kind: FeedKind, stored: Option<&FeedItem>, version: u64) -> Transition {
    feed::delete(stored, version)
}

fn mark(_kind: FeedKind, stored: Option<&FeedItem>, _version: u64) -> Transition {
    feed::mark(stored.unwrap())
}

#[test]
fn operation_by_state() {
    let old = || live(STORED, b"old");
    let (gone, marked) = (|| deleted(STORED), || forgotten(STORED));
    let new = |version| live(version, b"new");
    // What is stored, and what comes of the versions 4, 5 and 6.
    type Row = (&'static str, Operation, FeedKind, Option<FeedItem>, [Then; 3]);
    let rows: Vec<Row> = vec![
        ("upsert", upsert, Environment, None, [(new(4), Insert), (new(5), Insert), (new(6), Insert)]),
        ("upsert", upsert, Environment, old(), [(old(), Noop), (old(), Noop), (new(6), Updated)]),
        ("upsert", upsert, Environment, gone(), [(gone(), Noop), (gone(), Noop), (new(6), Insert)]),
        ("upsert", upsert, Environment, marked(), [(marked(), Noop), (marked(), Noop), (new(6), Insert)]),
        ("upsert", upsert, Filter, None, [(new(4), Insert), (new(5), Insert), (new(6), Insert)]),
        ("upsert", upsert, Filter, old(), [(old(), Noop), (old(), Noop), (live(6, b"old"), Noop)]),
        ("upsert", upsert, Filter, gone(), [(gone(), Noop), (gone(), Noop), (new(6), Insert)]),
        ("upsert", upsert, Filter, marked(), [(marked(), Noop), (marked(), Noop), (new(6), Insert)]),
        ("in put", upsert_in_put, Environment, None, [(new(4), Insert), (new(5), Insert), (new(6), Insert)]),
        ("in put", upsert_in_put, Environment, old(), [(old(), Noop), (old(), Noop), (new(6), Updated)]),
        ("in put", upsert_in_put, Environment, gone(), [(gone(), Noop), (gone(), Noop), (new(6), Insert)]),
        ("in put", upsert_in_put, Environment, marked(), [(new(4), Insert), (new(5), Insert), (new(6), Insert)]),
        ("in put", upsert_in_put, Filter, old(), [(old(), Noop), (old(), Noop), (live(6, b"old"), Noop)]),
        ("in put", upsert_in_put, Filter, gone(), [(gone(), Noop), (gone(), Noop), (new(6), Insert)]),
        ("in put", upsert_in_put, Filter, marked(), [(new(4), Insert), (new(5), Insert), (new(6), Insert)]),
        ("delete", delete, Environment, None, [(deleted(4), Noop), (deleted(5), Noop), (deleted(6), Noop)]),
        ("delete", delete, Environment, old(), [(old(), Noop), (old(), Noop), (deleted(6), Delete)]),
        ("delete", delete, Filter, old(), [(old(), Noop), (old(), Noop), (deleted(6), Delete)]),
        ("delete", delete, Environment, gone(), [(gone(), Noop), (gone(), Noop), (deleted(6), Noop)]),
        ("delete", delete, Environment, marked(), [(marked(), Noop), (marked(), Noop), (deleted(6), Noop)]),
        ("mark", mark, Environment, old(), [(marked(), Delete), (marked(), Delete), (marked(), Delete)]),
        ("mark", mark, Filter, old(), [(marked(), Delete), (marked(), Delete), (marked(), Delete)]),
        ("mark", mark, Environment, gone(), [(marked(), Noop), (marked(), Noop), (marked(), Noop)]),
        ("mark", mark, Environment, marked(), [(marked(), Noop), (marked(), Noop), (marked(), Noop)]),
    ];
    for (what, operation, kind, stored, expected) in rows {
        for (version, (item, action)) in (4..).zip(expected) {
            let what = format!("{what} {version} of a {kind} that is {stored:?}");
            let then = operation(kind, stored.as_ref(), version);
            assert_eq!((then.item.as_ref().or(stored.as_ref()), then.action), (item.as_ref(), action), "{what}");
            assert!(then.item.is_none() || then.item != stored, "{what} writes what is there");
        }
    }
    for (stored, action) in [(None, Noop), (old(), Delete), (gone(), Noop), (marked(), Noop)] {
        assert_eq!(feed::forget(stored.as_ref()), action, "forget of {stored:?}");
    }
    let (first, last) =
        (feed::upsert(Environment, None, 0, &body(b"")), feed::delete(deleted(u64::MAX).as_ref(), u64::MAX));
    assert_eq!((first.item, first.action), (live(0, b""), Insert), "0 is a version");
    assert_eq!((last.item, last.action), (None, Noop), "nothing is above the last version");
}

/// The same table by commands: the record, the event and the note.
#[test]
fn commands_do_what_the_receiver_does() {
    let states: [(&str, Vec<Command>, Option<FeedItem>); 4] = [
        ("unseen", vec![], None),
        ("live", vec![patch(Filter, "i", STORED, b"old")], live(STORED, b"old")),
        ("deleted", vec![gone(Filter, "i", STORED)], deleted(STORED)),
        ("forgotten", vec![patch(Filter, "i", STORED, b"old"), put(Only, &[], &[])], forgotten(STORED)),
    ];
    for (what, before, stored) in states {
        for version in [4_u64, 5, 6] {
            let bytes = version.to_be_bytes();
            let commands = [
                (patch(Filter, "i", version, &bytes), feed::upsert(Filter, stored.as_ref(), version, &body(&bytes))),
                (gone(Filter, "i", version), feed::delete(stored.as_ref(), version)),
                (
                    put(Only, &[], &[("i", version)]),
                    feed::upsert_in_put(Filter, stored.as_ref(), version, &body(&bytes)),
                ),
            ];
            for (command, then) in commands {
                let what = format!("{} {version} of what is {what}", command.kind());
                let mut world = World::new();
                world.run(1, FEEDER, &[patch(Environment, "i", 9, b"another")]);
                if !before.is_empty() {
                    world.run(2, FEEDER, &before);
                }
                check_then(&world, FEEDER, &command, then.item.or(stored.clone()), then.action, &what);
            }
        }
        let mut world = World::new();
        if !before.is_empty() {
            world.run(2, FEEDER, &before);
        }
        check_then(&world, ADMIN, &forget(Filter, &["i"]), None, feed::forget(stored.as_ref()), what);
    }
}

/// Runs a command that is about the filter `i`, and looks at what became of that.
fn check_then(
    world: &World,
    signer: Address,
    command: &Command,
    item: Option<FeedItem>,
    action: FeedAction,
    what: &str,
) {
    let (kind, id) = (Filter, feed_id("i"));
    let was = world.state.feed_item(kind, &id).map(|item| item.version);
    let version = item.as_ref().map(|item| item.version).or(was).unwrap_or_default();
    let event = match action {
        Insert => Some(Event::FeedInsert { kind, id, version }),
        Updated => Some(Event::FeedUpdated { kind, id, version }),
        Delete => Some(Event::FeedDelete { kind, id, version }),
        Noop => None,
    };
    let told = event.as_ref().map_or("feed_noop", |event| event.code().name());
    assert_eq!(told, format!("feed_{}", action.name()), "one name for an action and its event");
    let mut world = world.clone();
    let height = world.state.tip().map_or(1, |tip| tip + 1);
    let block = Block::from_payloads(height, vec![tx(signer, std::slice::from_ref(command))]).unwrap();
    let execution = world.state.execute(&block).unwrap();
    let notes = execution.notes().to_vec();
    let outcome = world.commit(execution);
    assert_eq!(outcome.receipts, [Receipt::Ok], "{what}");
    assert_eq!(world.state.feed_item(kind, &id), item.as_ref(), "{what}");
    assert_eq!(query::feed_item(&world.records, kind, &id).unwrap(), item, "{what}");
    let about_it = |event: &&Event| match event {
        Event::FeedInsert { kind, .. } | Event::FeedUpdated { kind, .. } | Event::FeedDelete { kind, .. } => {
            *kind == Filter
        }
        _ => false,
    };
    assert_eq!(outcome.events.iter().find(about_it), event.as_ref(), "{what}");
    let note = (action == Noop).then_some((0, Note::Feed { kind, id, action }));
    assert_eq!(notes, note.into_iter().collect::<Vec<_>>(), "{what}");
}

#[test]
fn a_host_may_keep_items_of_its_own() {
    let key = |kind, id: &str| FeedKey { kind, id: feed_id(id) };
    let mut receiver = Receiver::default();
    for (key, version, expected) in [
        (key(Environment, "a"), 1, Insert),
        (key(Environment, "a"), 1, Noop),
        (key(Environment, "a"), 2, Updated),
        (key(Environment, "b"), 1, Insert),
        (key(Filter, "a"), 1, Insert),
        (key(Filter, "a"), 2, Noop),
        (key(Filter, "b"), 1, Insert),
    ] {
        assert_eq!(receiver.upsert(key, version, &body(b"")), expected, "{key:?} {version}");
    }
    assert_eq!(receiver.delete(key(Filter, "b"), 2), Delete);
    assert_eq!(receiver.delete(key(Filter, "c"), 2), Noop);
    let versions = ["a", "b", "c", "d"].map(|id| receiver.item(&key(Filter, id)).map(|item| item.version));
    assert_eq!(versions, [Some(2), Some(2), Some(2), None]);
    let mut other = receiver.clone();

    assert_eq!(receiver.purge(|key| key.kind == Filter), [key(Filter, "a")], "only what was live");
    assert!(receiver.items().map(|(key, _)| *key).eq([key(Environment, "a"), key(Environment, "b")]));
    assert_eq!(receiver.item(&key(Filter, "c")), None, "a deleted one is forgotten as well");
    assert_eq!(receiver.upsert(key(Filter, "c"), 1, &body(b"")), Insert, "and unseen then");
    assert_eq!(other.retain(|key| key.kind == Environment), [key(Filter, "a")]);
    assert_eq!(other.forget(&key(Environment, "a")), Delete);
    assert_eq!(other.forget(&key(Environment, "a")), Noop);
    assert_eq!(other.items().count(), 1);
}

// Puts.

/// The names of the events, with the id where there is one.
fn told(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| match event {
        Event::FeedInsert { kind, id, version }
        | Event::FeedUpdated { kind, id, version }
        | Event::FeedDelete { kind, id, version } => format!("{} {kind} {id} {version}", event.code()),
        _ => event.code().to_string(),
    };
    events.iter().map(told).collect()
}

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
    let expected = FeedState { environments: 3, filters: 3, ..FeedState::default() };
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
            "d 7 forgotten",
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

// Rejects and their order.

fn entry(id: &[u8], body_len: usize) -> Vec<u8> {
    let mut out = Writer::default();
    out.lp8(id);
    out.u64(1);
    out.lp16(&vec![0xbb; body_len]);
    out.into_bytes()
}

/// A feed_put of encoded items, however wrong.
fn put_bytes(part: u8, environments: &[Vec<u8>], filters: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(80);
    out.u8(part);
    for list in [environments, filters] {
        out.u16(list.len() as u16);
        list.iter().for_each(|item| out.raw(item));
    }
    out.into_bytes()
}

#[test]
fn of_two_rejects_the_earlier_check_wins() {
    use Reject::{
        FeedItemTooLarge, FeedPutNotOpen, FeedTooManyItems, InvalidFeedId, InvalidParameter, Malformed, Unauthorized,
    };
    let (long, not_open) = (4_097, 2);
    let nested_put = nested(9, &put_bytes(0, &[entry(b"", long)], &[]));
    let nested_broken = nested(9, &put_bytes(4, &[], &[]));
    // Full: another environment is one too many.
    let world = full();
    let rows: Vec<(&str, Address, Vec<u8>, Reject)> = vec![
        ("decode before authority", NOBODY, put_bytes(4, &[], &[]), Malformed),
        ("ids that do not ascend", NOBODY, put_bytes(0, &[entry(b"b", 0), entry(b"a", 0)], &[]), Malformed),
        ("an id twice", NOBODY, put_bytes(0, &[], &[entry(b"a", 0), entry(b"a", 0)]), Malformed),
        (
            "ids that are none and do not ascend",
            NOBODY,
            put_bytes(0, &[entry(b"b ", 0), entry(b"", 0)], &[]),
            Malformed,
        ),
        ("authority before ids", NOBODY, put_bytes(0, &[entry(b"", long)], &[]), Unauthorized),
        ("by the wrong role", OPERATOR, put_bytes(0, &[], &[]), Unauthorized),
        ("forgetting is for admins", FEEDER, forget(Environment, &["a"]).to_bytes(), Unauthorized),
        ("id before body", FEEDER, put_bytes(0, &[entry(b"", long)], &[]), InvalidFeedId),
        ("body before the next id", FEEDER, put_bytes(0, &[entry(b"a", long), entry(b"b ", 0)], &[]), FeedItemTooLarge),
        ("id before the next body", FEEDER, put_bytes(0, &[entry(b"a ", 0), entry(b"b", long)], &[]), InvalidFeedId),
        (
            "environments before filters",
            FEEDER,
            put_bytes(0, &[entry(b"b", long)], &[entry(b"a ", 0)]),
            FeedItemTooLarge,
        ),
        ("filters as well", FEEDER, put_bytes(0, &[], &[entry(b"a", 0), entry(b"b\x7f", 0)]), InvalidFeedId),
        ("items before the open put", FEEDER, put_bytes(not_open, &[entry(b"a", long)], &[]), FeedItemTooLarge),
        ("the open put before totals", FEEDER, put_bytes(not_open, &[entry(b"a", 0)], &[]), FeedPutNotOpen),
        ("totals last", FEEDER, put_bytes(0, &[entry(b"a", 0)], &[]), FeedTooManyItems),
        ("a patch: id before body", FEEDER, patch_bytes(b"", long), InvalidFeedId),
        ("a patch: body before totals", FEEDER, patch_bytes(b"a", long), FeedItemTooLarge),
        ("a patch: totals", FEEDER, patch_bytes(b"a", 0), FeedTooManyItems),
        ("a delete: id before totals", FEEDER, with_byte(&gone(Environment, "a", 1), 8, b' '), InvalidFeedId),
        ("a delete makes a record, too", FEEDER, gone(Environment, "a", 1).to_bytes(), FeedTooManyItems),
        ("forget: ids", ADMIN, with_byte(&forget(Environment, &["a"]), 0, b' '), InvalidFeedId),
        ("inside a schedule", OPERATOR, nested_put, InvalidParameter),
        ("inside a schedule it must decode", OPERATOR, nested_broken, Malformed),
    ];
    for (what, signer, bytes, expected) in rows {
        assert_eq!(world.probe(&raw_tx(signer, &[bytes])), refused(expected), "{what}");
    }
    // What is there already makes no record more, and the other kind has a limit of its own.
    for command in [patch(Environment, "00000", 9, b""), gone(Environment, "00000", 9), patch(Filter, "a", 1, b"")] {
        assert_eq!(world.probe(&tx(FEEDER, &[command])), Receipt::Ok);
    }
}

// Limits at their edges.

/// A ledger with room for one more environment: all the others have been forgotten.
fn nearly_full() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut records = World::new().records;
        let item = FeedItem { version: 1, state: ItemState::Forgotten }.to_bytes();
        let environments = FEED_RECORDS_MAX - 1;
        for n in 0..environments {
            let id = feed_id(&format!("{n:05}"));
            records.0.insert(Key::FeedItem(FeedKey { kind: Environment, id }).to_bytes(), item.clone());
        }
        records.0.insert(Key::Feed.to_bytes(), FeedState { environments, ..FeedState::default() }.to_bytes());
        World::of_records(records, 1)
    })
}

/// The same without room. Its records are not kept up, because it is only probed.
fn full() -> World {
    let mut world = nearly_full().clone();
    let block = Block::from_payloads(2, vec![tx(FEEDER, &[gone(Environment, "last", 1)])]).unwrap();
    let execution = world.state.execute(&block).unwrap();
    world.state.apply(execution).unwrap();
    assert_eq!(world.state.feed().environments, FEED_RECORDS_MAX);
    world
}

#[test]
fn records_of_a_kind_at_their_limit() {
    let too_many = refused(Reject::FeedTooManyItems);
    for (world, receipt) in [(nearly_full(), Receipt::Ok), (&full(), too_many)] {
        for command in [
            patch(Environment, "a", 1, b""),
            gone(Environment, "a", 1),
            put(Only, &[("a", 1)], &[]),
            put(First, &[("a", 1)], &[]),
        ] {
            assert_eq!(world.probe(&tx(FEEDER, std::slice::from_ref(&command))), receipt, "{command:?}");
        }
        // What was forgotten is there already; erasing it makes room.
        assert_eq!(world.probe(&tx(FEEDER, &[put(Only, &[("00000", 1)], &[])])), Receipt::Ok);
        assert_eq!(
            world.probe(&tx(ADMIN, &[forget(Environment, &["00000"]), patch(Environment, "a", 1, b"")])),
            Receipt::Ok
        );
    }
}

#[test]
fn ids_of_a_put_and_live_items_at_their_limits() {
    let end = |ids: &[(&str, u64)]| put(Last, ids, &[]);
    let too_many = |index| Receipt::Rejected { reject: Reject::FeedTooManyItems, index };
    let max = FEED_PUT_IDS_MAX;
    assert_eq!(max, FEED_LIVE_MAX, "or what is live when a put ends is not within its limit");

    let mut world = World::new();
    world.run(1, FEEDER, &flood(0, max - 1));
    let at = |extra: &[(&str, u64)]| world.probe(&tx(FEEDER, &[end(extra)]));
    assert_eq!(at(&[("x", 1)]), Receipt::Ok, "as many as a put may list");
    assert_eq!(at(&[("x", 1), ("y", 1)]), too_many(0), "one more");
    assert_eq!(at(&[("00000", 1), ("x", 1)]), Receipt::Ok, "an id that is listed already counts once");
    let more = |command: Command| world.probe(&tx(FEEDER, &[put(More, &[("x", 1)], &[]), command]));
    assert_eq!(more(put(More, &[], &[("x", 1)])), too_many(1), "both kinds count");
    assert_eq!(more(patch(Environment, "y", 1, b"")), too_many(1), "and what a patch adds");
    assert_eq!(more(patch(Environment, "x", 2, b"")), Receipt::Ok, "not what is listed");
    assert_eq!(more(gone(Environment, "y", 1)), Receipt::Ok, "nor what a delete makes");
    assert_eq!(more(put(First, &[("y", 1)], &[])), Receipt::Ok, "a put that begins has all its ids left");

    // The put ends with as many live items as there may be.
    world.run(2, FEEDER, &[end(&[("x", 1)])]);
    assert_eq!((world.state.feed().live_environments, world.state.feed().listed), (max, 0));
    for (commands, receipt) in [
        (vec![patch(Environment, "y", 1, b"")], too_many(0)),
        (vec![patch(Filter, "y", 1, b"")], too_many(0)),
        (vec![patch(Environment, "x", 2, b"")], Receipt::Ok),
        (vec![gone(Environment, "y", 2)], Receipt::Ok),
        (vec![gone(Environment, "x", 2), patch(Filter, "y", 1, b"")], Receipt::Ok),
        // While a put is open there may be more, and when it ends there are not.
        (vec![put(First, &[], &[]), patch(Environment, "y", 1, b"")], Receipt::Ok),
        (vec![put(First, &[("y", 1)], &[]), put(Last, &[], &[]), patch(Filter, "y", 1, b"")], Receipt::Ok),
        (vec![put(Only, &[("y", 1)], &[])], Receipt::Ok),
    ] {
        assert_eq!(world.probe(&tx(FEEDER, &commands)), receipt, "{commands:?}");
    }
    // A second put of other ids: twice as many live until it ends.
    world.run(3, FEEDER, &flood(10_000, max));
    assert_eq!(world.state.feed().live_environments, 2 * max);
    world.run(4, FEEDER, &[end(&[])]);
    let expected = FeedState { live_environments: max, environments: 2 * max, ..FeedState::default() };
    assert_eq!(*world.state.feed(), expected);
}

/// A feed_forget of any ids.
fn forget_bytes(ids: &[FeedId]) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::FeedForget.encode(&mut out);
    Filter.encode(&mut out);
    out.u8(ids.len().try_into().unwrap());
    ids.iter().for_each(|id| out.lp8(id.as_bytes()));
    out.into_bytes()
}

#[test]
fn values_at_their_limits() {
    let kind = |bytes: &[u8]| match TxCommand::from_bytes(bytes) {
        Ok(TxCommand::Valid(_)) => Ok(None),
        Ok(TxCommand::Invalid { reject, .. }) => Ok(Some(reject)),
        Err(error) => Err(error.kind),
    };
    for (id_len, body_len, expected) in [
        (0, 0, Some(Reject::InvalidFeedId)),
        (1, 0, None),
        (128, 4_096, None),
        (129, 0, Some(Reject::InvalidFeedId)),
        (255, 0, Some(Reject::InvalidFeedId)),
        (1, 4_097, Some(Reject::FeedItemTooLarge)),
        (1, 8_000, Some(Reject::FeedItemTooLarge)),
    ] {
        assert_eq!(kind(&patch_bytes(&vec![b'e'; id_len], body_len)), Ok(expected), "{id_len} {body_len}");
    }
    for byte in 0..=u8::MAX {
        let expected = (!(0x21..=0x7e).contains(&byte)).then_some(Reject::InvalidFeedId);
        assert_eq!(kind(&patch_bytes(&[b'e', byte], 0)), Ok(expected), "id e{byte:02x}");
    }
    for count in 0..=40 {
        let ids: Vec<FeedId> = (0..count).map(|n| feed_id(&format!("{n:02}"))).collect();
        let expected =
            if (1..=FEED_FORGET_IDS_MAX).contains(&count) { Ok(None) } else { Err(DecodeErrorKind::TooLarge) };
        assert_eq!(kind(&forget_bytes(&ids)), expected, "{count} ids");
        assert_eq!(Valid::new(ids).is_ok(), expected.is_ok(), "{count} ids");
    }
    for (ids, sorted) in [(["a", "b"], true), (["a", "ab"], true), (["b", "a"], false), (["a", "a"], false)] {
        let entries = ids.map(|id| FeedEntry { id: feed_id(id), version: 1, body: body(b"") }).to_vec();
        let expected = if sorted { Ok(None) } else { Err(DecodeErrorKind::Unsorted) };
        let ids = ids.map(feed_id).to_vec();
        let items: Vec<Vec<u8>> = ids.iter().map(|id| entry(id.as_bytes(), 0)).collect();
        for bytes in [forget_bytes(&ids), put_bytes(0, &items, &[]), put_bytes(0, &[], &items)] {
            assert_eq!(kind(&bytes), expected, "{ids:?}");
        }
        assert_eq!((Valid::new(ids).is_ok(), Valid::new(entries).is_ok()), (sorted, sorted));
    }
    // A count that the bytes do not hold.
    assert_eq!(kind(&[80, 0, 0xff, 0xff]), Err(DecodeErrorKind::Short));
    assert!(FeedBody::new(&[0; 4_097]).is_err());
    let too_long = [&[0; 9][..], &4_097_u32.to_be_bytes(), &[0; 4_097]].concat();
    assert_eq!(FeedItem::from_bytes(&too_long).unwrap_err().kind, DecodeErrorKind::TooLarge);
}

#[test]
fn pages_put_together_are_the_whole() {
    let mut world = World::new();
    world.run(1, FEEDER, &[put(Only, &[("a", 1), ("ab", 1), ("b", 1)], &[("0", 1), ("z", 1)])]);
    world.run(2, FEEDER, &[put(First, &[("a", 1)], &[])]);
    for kind in FeedKind::ALL {
        let whole = world.feed_items(*kind);
        for limit in 1..5 {
            let mut pages = Vec::new();
            while let page @ [_, ..] =
                &query::feed_items(&world.records, *kind, pages.last().map(|(id, _)| id), limit).unwrap()[..]
            {
                pages.extend(page.to_vec());
            }
            assert_eq!(pages, whole, "{kind} by {limit}");
        }
        assert_eq!(query::feed_items(&world.records, *kind, None, 0).unwrap(), []);
    }
    assert_eq!(query::feed_item(&world.records, Environment, &feed_id("c")).unwrap(), None);
    assert_eq!(query::feed(&world.records).unwrap(), *world.state.feed());
    assert_eq!(query::feed(&World::new().records).unwrap(), FeedState::default());
}

// Any messages in any order.

/// Messages about a few items, each version of an item once.
fn messages() -> impl Strategy<Value = Vec<Command>> {
    let of_item = |id: &'static str| {
        subsequence((0..6_u64).collect::<Vec<_>>(), 0..=6).prop_flat_map(move |versions| {
            let message = |version| {
                prop_oneof![
                    2 => Just(patch(Environment, id, version, &version.to_be_bytes())),
                    1 => Just(gone(Environment, id, version)),
                ]
            };
            versions.into_iter().map(message).collect::<Vec<_>>()
        })
    };
    ["a", "b", "c"].map(of_item).prop_map(|items| items.concat())
}

/// Some messages, and the same in an order of its own with some of them again.
fn reordered() -> impl Strategy<Value = (Vec<Command>, Vec<Command>)> {
    messages().prop_flat_map(|messages| {
        let again = subsequence(messages.clone(), 0..=messages.len());
        again.prop_flat_map(move |again| {
            (Just(messages.clone()), Just([messages.clone(), again].concat()).prop_shuffle())
        })
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    let id = || proptest::sample::select(vec!["a", "b", "c"]);
    let kind = || proptest::sample::select(vec![Environment, Filter]);
    let list = || {
        subsequence(vec!["a", "b", "c"], 0..=3)
            .prop_flat_map(|ids| ids.into_iter().map(|id| (Just(id), 0..6_u64)).collect::<Vec<_>>())
    };
    let part = proptest::sample::select(FeedPart::ALL.to_vec());
    prop_oneof![
        4 => (kind(), id(), 0..6_u64).prop_map(|(kind, id, version)| patch(kind, id, version, &[version as u8])),
        3 => (kind(), id(), 0..6_u64).prop_map(|(kind, id, version)| gone(kind, id, version)),
        3 => (part, list(), list()).prop_map(|(part, environments, filters)| put(part, &environments, &filters)),
        1 => (kind(), id()).prop_map(|(kind, id)| forget(kind, &[id])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_puts_the_order_of_messages_does_not_matter((plain, shuffled) in reordered()) {
        let run = |messages: &[Command]| {
            let mut world = World::new();
            world.block(1, messages.iter().map(|command| tx(FEEDER, std::slice::from_ref(command))).collect());
            world
        };
        let (plain, shuffled) = (run(&plain), run(&shuffled));
        prop_assert_eq!(plain.records, shuffled.records);
    }

    #[test]
    fn what_is_told_is_a_reliable_sequence(commands in proptest::collection::vec(any_command(), 0..40)) {
        let mut world = World::new();
        for (height, command) in (1..).zip(&commands) {
            world.block(height, vec![tx(ADMIN, std::slice::from_ref(command))]);
        }
        let mut live: BTreeMap<(FeedKind, FeedId), u64> = BTreeMap::new();
        for (_, event) in &world.events {
            match event {
                Event::FeedInsert { kind, id, version } => {
                    prop_assert!(live.insert((*kind, *id), *version).is_none(), "inserted twice: {event:?}");
                }
                Event::FeedUpdated { kind, id, version } => {
                    let before = live.insert((*kind, *id), *version);
                    prop_assert!(before.is_some_and(|before| before < *version), "not inserted: {event:?}");
                }
                Event::FeedDelete { kind, id, version } => {
                    let before = live.remove(&(*kind, *id));
                    prop_assert!(before.is_some_and(|before| before <= *version), "not inserted: {event:?}");
                }
                _ => {}
            }
        }
        // Whoever followed the events knows what is live; the version of a filter may have risen.
        let held: Vec<(FeedKind, FeedId)> =
            world.state.feed_items().filter(|(_, item)| item.is_live()).map(|(key, _)| (key.kind, key.id)).collect();
        prop_assert!(live.keys().eq(&held));
    }

    #[test]
    fn blocks_of_any_size_come_to_the_same(commands in proptest::collection::vec(any_command(), 0..24)) {
        let payload = |command: &Command| tx(ADMIN, std::slice::from_ref(command));
        let (mut one, mut many) = (World::new(), World::new());
        one.block(1, commands.iter().map(payload).collect());
        for (height, command) in (1..).zip(&commands) {
            many.block(height, vec![payload(command)]);
        }
        prop_assert_eq!(one.records, many.records);
    }
}
