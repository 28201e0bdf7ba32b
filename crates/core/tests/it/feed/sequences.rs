//! Any messages in any order.

use super::*;

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
            // Only whether an item that is gone was ever there depends on what was seen first.
            let seen = |(key, item): (&FeedKey, &FeedItem)| (*key, item.version, item.body().cloned());
            world.state.feed_items().map(seen).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(&plain), run(&shuffled));
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
