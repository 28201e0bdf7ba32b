//! Rejects and their order, and limits at their edges.

use super::*;

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
        ("totals last", FEEDER, put_bytes(1, &[entry(b"a", 0)], &[]), FeedTooManyItems),
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
        records.0.insert(Key::Feed.to_bytes(), FeedTotals { environments, ..FeedTotals::default() }.to_bytes());
        World::of_records(records, 1)
    })
}

/// The same without room. Its records are not kept up, because it is only probed.
fn full() -> World {
    let mut world = nearly_full().clone();
    let block = Block::from_payloads(2, vec![tx(FEEDER, &[patch(Environment, "last", 1, b"")])]).unwrap();
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
    assert_eq!(more(gone(Environment, "y", 1)), too_many(1), "and what a delete makes");
    assert_eq!(more(gone(Environment, "x", 2)), Receipt::Ok, "not of what is listed");
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
    let expected = FeedTotals { live_environments: max, environments: 2 * max, ..FeedTotals::default() };
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
        let expected = match count {
            0 => Err(DecodeErrorKind::OutOfRange),
            1..=FEED_FORGET_IDS_MAX => Ok(None),
            _ => Err(DecodeErrorKind::TooLarge),
        };
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
    assert_eq!(query::feed(&World::new().records).unwrap(), FeedTotals::default());
}

/// Deletes of what never was, at the highest version there is, lock nothing: the next put clears them away.
#[test]
fn one_block_of_deletes_does_not_close_the_feed() {
    let mut world = World::new();
    let ids: Vec<String> = (0..=FEED_UNBORN_MAX).map(|n| format!("{n:05}")).collect();
    let deletes = ids.iter().map(|id| tx(FEEDER, &[gone(Environment, id, u64::MAX)]));
    let receipts = world.block(1, deletes.collect()).receipts;
    let (last, others) = receipts.split_last().unwrap();
    assert!(others.iter().all(|receipt| *receipt == Receipt::Ok));
    assert_eq!(*last, refused(Reject::FeedTooManyItems), "so many unborn of a kind, and no more");
    assert_eq!(world.probe(&tx(FEEDER, &[gone(Filter, "one", 1)])), Receipt::Ok, "each kind has its own");
    assert_eq!(world.state.feed().unborn_environments, FEED_UNBORN_MAX);
    // One put is as good as ever, and leaves of the deletes what it lists.
    world.run(2, FEEDER, &[put(Only, &[("00000", 1), ("new", 1)], &[])]);
    let left: Vec<String> =
        world.feed_items(Environment).iter().map(|(id, item)| format!("{id} {}", item.state.name())).collect();
    assert_eq!(left, ["00000 unborn", "new live"]);
    world.run(3, FEEDER, &[put(Only, &[("new", 1)], &[])]);
    world.run(4, FEEDER, &[patch(Environment, "00000", 1, b"at last")]);
    assert!(world.feed_items(Environment)[0].1.is_live());
}

/// While a put is open there may be twice as many live items, and no more; to begin anew costs what was listed.
#[test]
fn live_items_while_a_put_is_open() {
    let mut world = World::new();
    let (max, open) = (FEED_LIVE_MAX, FEED_LIVE_OPEN_MAX);
    world.run(1, FEEDER, &flood(0, max));
    world.run(2, FEEDER, &[put(Last, &[], &[])]);
    world.run(3, FEEDER, &flood(10_000, open - max - 1));
    let live = |world: &World| world.state.feed().live_environments + world.state.feed().live_filters;
    assert_eq!(live(&world), open - 1);
    world.run(4, FEEDER, &[patch(Filter, "last", 1, b"")]);
    let too_many = refused(Reject::FeedTooManyItems);
    for command in [patch(Filter, "more", 1, b""), put(More, &[], &[("more", 1)]), put(First, &[("more", 1)], &[])] {
        assert_eq!(world.probe(&tx(FEEDER, std::slice::from_ref(&command))), too_many, "{command:?}");
    }
    assert_eq!(world.probe(&tx(FEEDER, &[put(Only, &[("more", 1)], &[])])), Receipt::Ok, "its end counts");
}
