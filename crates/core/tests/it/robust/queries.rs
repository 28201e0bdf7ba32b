//! Queries over damaged records.

use super::*;

/// Entries are read by the page, here around the ends of the first two.
#[test]
fn entries_come_once_each_and_in_order() {
    for count in [0, 1, 1_023, 1_024, 1_025, 2_048, 2_049] {
        let key = |number: u16| [&[0xd0][..], &number.to_be_bytes()].concat();
        let records = Records((0..count).map(|number| (key(number), vec![1])).collect());
        let read: Vec<_> = Entries::new(&records, &[0xd0], &[0xd1]).map(Result::unwrap).collect();
        assert_eq!(read, Vec::from_iter(records.0), "{count} entries");
    }
}

#[test]
fn a_query_says_fault_where_a_record_is_damaged() {
    [rich(), rich_in_plugins()].iter().for_each(query_each_record_damaged);
    let world = rich();
    // The entry of a step that must be there.
    let mut records = world.records.clone();
    let step = Key::Step { at: 112, name: name("a") }.to_bytes();
    assert_eq!(query::due(&records, &name("a")).unwrap(), Some(112));
    records.0.remove(&step);
    let fault = query::due(&records, &name("a")).unwrap_err();
    let found = format!("corrupt record under key {}: ", hex::encode(&step));
    assert!(fault.to_string().starts_with(&found), "{fault}");
    assert!(matches!(fault, Fault::Corrupt { key, .. } if key == step));
    // A verdict needs the ledger's id, and says so.
    records.0.remove(&Key::Global.to_bytes());
    assert!(matches!(query::check(&records, &name("ab"), &user(1)), Err(Fault::Corrupt { key, .. }) if key == [0xd4]));
    // A record under another record's key is a fault, never the other's.
    let mut records = world.records.clone();
    for prefix in [Key::Feature, Key::Metrics] {
        let value = records.0[&prefix(name("a")).to_bytes()].clone();
        records.0.insert(prefix(name("z")).to_bytes(), value);
    }
    assert!(matches!(query::feature(&records, &name("z")), Err(Fault::Corrupt { .. })));
    assert!(matches!(query::metrics(&records, &name("z")), Err(Fault::Corrupt { .. })));
    assert!(matches!(query::check(&records, &name("z"), &USER), Err(Fault::Corrupt { .. })));
    // So it is with plugins.
    let mut records = rich_in_plugins().records;
    let of = |text: &str| Key::PluginVersion { plugin: name("api"), version: version(text) }.to_bytes();
    let value = records.0[&of("1.0.0")].clone();
    records.0.insert(of("1.1.0"), value);
    let versions = query::plugin_versions(&records, &name("api"));
    assert!(matches!(versions, Err(Fault::Corrupt { key, .. }) if key == of("1.1.0")));
    records.0.remove(&Key::Global.to_bytes());
    assert!(matches!(query::route(&records, &name("api"), b""), Err(Fault::Corrupt { key, .. }) if key == [0xd4]));
}

fn query_each_record_damaged(world: &World) {
    for (key, value) in &world.records.0 {
        let decoded = Key::from_bytes(key).unwrap();
        let mut records = world.records.clone();
        records.0.insert(key.clone(), [value.as_slice(), &[7]].concat());
        let result = match decoded {
            Key::Feature(name) => query::feature(&records, &name).map(|_| ()),
            Key::Metrics(name) => query::metrics(&records, &name).map(|_| ()),
            Key::Change { name, height, seq } => {
                let last = Key::Change { name, height, seq: seq + 1 };
                let last = !world.records.0.contains_key(&last.to_bytes());
                assert_eq!(query::feature_at(&records, &name, height).is_err(), last);
                assert_eq!(query::last_change(&records, &name, height).is_err(), last);
                query::history(&records, &name, None, 99).map(|_| ())
            }
            Key::Override { name, user } => {
                assert!(query::check(&records, &name, &user).is_err());
                assert!(query::overrides(&records, &name, None, 9).is_err());
                query::override_of(&records, &name, &user).map(|_| ())
            }
            Key::Global => query::global(&records).map(|_| ()),
            Key::Policy(name) => query::policy(&records, &name).map(|_| ()),
            Key::Roles(address) => {
                assert!(query::roles(&records, None, 9).is_err());
                query::roles_of(&records, &address).map(|_| ())
            }
            Key::Schedule { .. } => query::schedule(&records, None, 9).map(|_| ()),
            Key::Registry => query::registry(&records).map(|_| ()),
            Key::Plugin(name) => {
                assert!(query::plugins(&records, None, 9).is_err());
                assert!(query::route(&records, &name, b"unit").is_err());
                query::plugin(&records, &name).map(|_| ())
            }
            Key::PluginVersion { plugin, .. } => query::plugin_versions(&records, &plugin).map(|_| ()),
            Key::Deployment(name) => {
                assert!(query::route(&records, &name, b"unit").is_err());
                query::deployment(&records, &name).map(|_| ())
            }
            Key::PluginChange { plugin, height, seq } => {
                let last = Key::PluginChange { plugin, height, seq: seq + 1 };
                let last = !world.records.0.contains_key(&last.to_bytes());
                assert_eq!(query::last_plugin_change(&records, &plugin, height).is_err(), last);
                query::plugin_history(&records, &plugin, None, 99).map(|_| ())
            }
            // The value of an index entry is not read by queries; loading refuses it.
            Key::Step { .. }
            | Key::Active(_)
            | Key::Dependent { .. }
            | Key::DeploymentDue { .. }
            | Key::LoadDue { .. }
            | Key::Round { .. }
            | Key::Deadline { .. }
            | Key::FeedIndex(_)
            | Key::FeedListed(_)
            | Key::Sequence(_)
            | Key::PoolEntry { .. } => continue,
            Key::Feed => query::feed(&records).map(|_| ()),
            Key::FeedItem(FeedKey { kind, id }) => {
                assert!(query::feed_items(&records, kind, None, 9).is_err());
                query::feed_item(&records, kind, &id).map(|_| ())
            }
        };
        match result {
            Err(Fault::Corrupt { key: named, .. }) => assert_eq!(named, *key),
            other => panic!("{decoded:?}: {other:?}"),
        }
    }
}
