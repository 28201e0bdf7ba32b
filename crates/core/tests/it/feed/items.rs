//! One item: each operation from each state, below, at and above the version that is stored.

use super::*;

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

fn unborn(version: u64) -> Option<FeedItem> {
    Some(FeedItem { version, state: ItemState::Unborn })
}

/// What an operation makes of an item: the record afterwards, none if it is not there, and the action.
type Then = (Option<FeedItem>, FeedAction);

type Operation = fn(FeedKind, Option<&FeedItem>, u64) -> Then;

/// What is stored behind a transition.
fn then(stored: Option<&FeedItem>, Transition { item, action }: Transition) -> Then {
    assert!(item.is_none() || item.as_ref() != stored, "writes what is there");
    (item.or(stored.cloned()), action)
}

fn upsert(kind: FeedKind, stored: Option<&FeedItem>, version: u64) -> Then {
    then(stored, feed::upsert(kind, stored, version, &body(b"new")))
}

fn upsert_in_put(kind: FeedKind, stored: Option<&FeedItem>, version: u64) -> Then {
    then(stored, feed::upsert_in_put(kind, stored, version, &body(b"new")))
}

fn delete(_kind: FeedKind, stored: Option<&FeedItem>, version: u64) -> Then {
    then(stored, feed::delete(stored, version))
}

/// It may leave nothing.
fn mark(_kind: FeedKind, stored: Option<&FeedItem>, _version: u64) -> Then {
    feed::mark(stored.unwrap())
}

#[test]
fn operation_by_state() {
    let old = || live(STORED, b"old");
    let (gone, marked, never) = (|| deleted(STORED), || forgotten(STORED), || unborn(STORED));
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
        // What never was is as what was deleted, but for the end of a put.
        ("upsert", upsert, Environment, never(), [(never(), Noop), (never(), Noop), (new(6), Insert)]),
        ("upsert", upsert, Filter, never(), [(never(), Noop), (never(), Noop), (new(6), Insert)]),
        ("in put", upsert_in_put, Filter, never(), [(never(), Noop), (never(), Noop), (new(6), Insert)]),
        ("delete", delete, Filter, never(), [(never(), Noop), (never(), Noop), (unborn(6), Noop)]),
        ("mark", mark, Environment, never(), [(None, Noop), (None, Noop), (None, Noop)]),
        ("in put", upsert_in_put, Environment, None, [(new(4), Insert), (new(5), Insert), (new(6), Insert)]),
        ("in put", upsert_in_put, Environment, old(), [(old(), Noop), (old(), Noop), (new(6), Updated)]),
        ("in put", upsert_in_put, Environment, gone(), [(gone(), Noop), (gone(), Noop), (new(6), Insert)]),
        ("in put", upsert_in_put, Environment, marked(), [(new(4), Insert), (new(5), Insert), (new(6), Insert)]),
        ("in put", upsert_in_put, Filter, old(), [(old(), Noop), (old(), Noop), (live(6, b"old"), Noop)]),
        ("in put", upsert_in_put, Filter, gone(), [(gone(), Noop), (gone(), Noop), (new(6), Insert)]),
        ("in put", upsert_in_put, Filter, marked(), [(new(4), Insert), (new(5), Insert), (new(6), Insert)]),
        ("delete", delete, Environment, None, [(unborn(4), Noop), (unborn(5), Noop), (unborn(6), Noop)]),
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
            assert_eq!(operation(kind, stored.as_ref(), version), (item, action), "{what}");
        }
    }
    for (stored, action) in [(None, Noop), (old(), Delete), (gone(), Noop), (marked(), Noop), (never(), Noop)] {
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
    let states: [(&str, Vec<Command>, Option<FeedItem>); 5] = [
        ("unseen", vec![], None),
        ("live", vec![patch(Filter, "i", STORED, b"old")], live(STORED, b"old")),
        ("deleted", vec![patch(Filter, "i", 0, b"old"), gone(Filter, "i", STORED)], deleted(STORED)),
        ("unborn", vec![gone(Filter, "i", STORED)], unborn(STORED)),
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
