//! A state whose records were damaged.

use super::*;

#[test]
fn the_damaged_worlds_have_a_record_of_every_kind() {
    let keys: Vec<Vec<u8>> =
        [rich(), rich_in_plugins()].into_iter().flat_map(|world| world.records.0.into_keys()).collect();
    for prefix in KeyPrefix::ALL {
        assert!(keys.iter().any(|key| key[0] == prefix.byte()), "no record under {prefix:?}");
    }
    for kind in DueKind::ALL {
        let start = [KeyPrefix::Due.byte(), kind.byte()];
        assert!(keys.iter().any(|key| key.starts_with(&start)), "no record of {kind:?}");
    }
    assert!(keys.contains(&Key::Registry.to_bytes()), "no registry");
}

/// What a state must be when damaged records load all the same: the state of those records.
fn must_be(state: &State, records: &Records, sound: Hash, what: &str) {
    assert_eq!(state.root(), records.root(), "{what}: not the root of the records");
    assert_ne!(state.root(), sound, "{what}: the root of the sound state");
    let features = records.features();
    assert_eq!(state.feature_count(), features.len(), "{what}");
    for feature in &features {
        let name = &feature.name;
        assert_eq!(state.feature(name), Some(feature), "{what}");
        assert_eq!(state.metrics(name).copied(), query::metrics(records, name).unwrap(), "{what}");
        assert_eq!(state.policy(name), Some(&query::policy(records, name).unwrap()), "{what}");
        for user in [USER, user(1)] {
            assert_eq!(state.check(name, &user), query::check(records, name, &user).unwrap(), "{what}");
        }
    }
    let plugins = query::plugins(records, None, usize::MAX).unwrap();
    assert_eq!(state.plugin_count(), plugins.len(), "{what}");
    assert_eq!(state.registry(), &query::registry(records).unwrap(), "{what}");
    for (name, plugin) in &plugins {
        assert_eq!(state.plugin(name), Some(plugin), "{what}");
        assert!(state.plugin_versions(name).eq(&query::plugin_versions(records, name).unwrap()), "{what}");
        assert_eq!(state.deployment(name).cloned(), query::deployment(records, name).unwrap(), "{what}");
        for unit in 0..20_u8 {
            assert_eq!(state.route(name, &[unit]).cloned(), query::route(records, name, &[unit]).unwrap(), "{what}");
        }
    }
    assert_eq!(Some(*state.global()), query::global(records).unwrap(), "{what}");
    for (address, roles) in query::roles(records, None, usize::MAX).unwrap() {
        assert_eq!(state.roles_of(&address), roles, "{what}");
    }
}

/// The feature or plugin that a key belongs to.
fn owner(key: &[u8]) -> Option<Name> {
    match Key::from_bytes(key).ok()? {
        Key::Feature(name) | Key::Metrics(name) | Key::Policy(name) | Key::Active(name) => Some(name),
        Key::Change { name, .. } | Key::Override { name, .. } | Key::Step { name, .. } => Some(name),
        Key::Plugin(name) | Key::Deployment(name) => Some(name),
        Key::PluginVersion { plugin, .. } | Key::PluginChange { plugin, .. } => Some(plugin),
        Key::DeploymentDue { plugin, .. } | Key::LoadDue { plugin, .. } | Key::Deadline { plugin, .. } => Some(plugin),
        Key::Round { pool, .. } | Key::PoolEntry { pool, .. } => Some(*pool.subject()),
        Key::Dependent { dependent, .. } => Some(dependent),
        Key::Global | Key::Roles(_) | Key::Schedule { .. } | Key::Registry | Key::Sequence(_) => None,
        Key::Feed | Key::FeedItem(_) | Key::FeedIndex(_) | Key::FeedListed(_) => None,
    }
}

/// Whether the fault of one record of the feed may name another one: items are counted in the
/// totals, and the index is theirs.
fn is_of_feed(key: &[u8]) -> bool {
    key[0] == KeyPrefix::Feed.byte()
}

/// Loads damaged records; a fault must name one of `suspects`, by key, or a record of one of their
/// features. Returns whether it was a fault.
fn load_damaged(records: &Records, sound: Hash, suspects: &[&[u8]], what: &str) -> bool {
    match records.load(Some(14)) {
        Ok(state) => {
            must_be(&state, records, sound, what);
            false
        }
        Err(Fault::Corrupt { key, .. }) => {
            let owners: BTreeSet<Name> = suspects.iter().filter_map(|suspect| owner(suspect)).collect();
            // Admins and ids are counted in the global record, and it is that count that is wrong.
            let counted = suspects.iter().any(|suspect| {
                matches!(Key::from_bytes(suspect), Ok(Key::Roles(_) | Key::Schedule { .. })) && key == [0xd4]
            });
            // A policy that rests on a feature contradicts the state without it.
            let rests = matches!(Key::from_bytes(&key), Ok(Key::Policy(name)) if
                query::policy(records, &name).is_ok_and(|policy| policy.prerequisites.iter().any(|on| owners.contains(on))));
            // `api` requires `lib`, which counts what requires it.
            let counts = key == Key::Plugin(name("lib")).to_bytes() && owners.contains(&name("api"));
            let named = counts
                || rests
                || suspects.contains(&key.as_slice())
                || owner(&key).is_some_and(|name| owners.contains(&name));
            let of_feed = is_of_feed(&key) && suspects.iter().any(|suspect| is_of_feed(suspect));
            assert!(named || counted || of_feed, "{what}: the fault names {}", hex::encode(&key));
            true
        }
        Err(Fault::Store(error)) => panic!("{what}: {error}"),
    }
}

#[test]
fn a_damaged_record_is_a_fault_or_a_state_of_its_own() {
    damage_each_record(&rich(), 1);
    // Three bits of each byte of a value: every bit of the many values of a kind, in less time.
    damage_each_record(&rich_in_plugins(), 3);
}

/// How many have an entry in a pool.
fn reporters(records: &Records, of: &Pool) -> usize {
    let is_entry = |key: &Key| matches!(key, Key::PoolEntry { pool, .. } if pool == of);
    records.keys(KeyPrefix::Trust).filter(is_entry).count()
}

fn damage_each_record(world: &World, bit_step: usize) {
    let sound = world.state.root();
    for (key, value) in &world.records.0 {
        let shown = hex::encode(key);
        // Cut: always a fault, and always of this very record.
        for len in 0..value.len() {
            let mut records = world.records.clone();
            records.0.insert(key.clone(), value[..len].to_vec());
            match records.load(Some(14)) {
                Err(Fault::Corrupt { key: named, .. }) => assert_eq!(named, *key, "{shown} cut to {len}"),
                other => panic!("{shown} cut to {len}: {other:?}"),
            }
        }
        // One byte too many: likewise.
        let mut records = world.records.clone();
        records.0.insert(key.clone(), [value.as_slice(), &[0]].concat());
        assert!(matches!(records.load(Some(14)), Err(Fault::Corrupt { key: named, .. }) if named == *key), "{shown}");
        // Flipped, in the value and in the key.
        for bit in (0..value.len() * 8).step_by(bit_step) {
            let mut records = world.records.clone();
            records.0.get_mut(key).unwrap()[bit / 8] ^= 1 << (bit % 8);
            load_damaged(&records, sound, &[key], &format!("{shown}, bit {bit} of the value"));
        }
        for bit in 0..key.len() * 8 {
            let mut records = world.records.clone();
            let value = records.0.remove(key).unwrap();
            let mut flipped = key.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if records.0.insert(flipped.clone(), value).is_some() {
                continue;
            }
            load_damaged(&records, sound, &[key, &flipped], &format!("{shown}, bit {bit} of the key"));
        }
        // Removed.
        let mut records = world.records.clone();
        records.0.remove(key);
        let fault = load_damaged(&records, sound, &[key], &format!("{shown} removed"));
        let needed = match Key::from_bytes(key).unwrap() {
            Key::Feature(_) | Key::Metrics(_) | Key::Global | Key::Step { .. } | Key::Active(_) => true,
            Key::Feed | Key::FeedItem(_) | Key::FeedIndex(_) | Key::FeedListed(_) => true,
            Key::Roles(address) => address == ADMIN,
            Key::Change { .. } | Key::Override { .. } | Key::Policy(_) => false,
            // Counted.
            Key::Schedule { .. } => true,
            Key::Plugin(_) | Key::PluginVersion { .. } | Key::Deployment(_) | Key::DeploymentDue { .. } => true,
            Key::Deadline { .. } | Key::Round { .. } => true,
            // What waits for nothing does not wait.
            Key::Dependent { dependency, .. } => dependency != Some(name("ui")),
            Key::Registry | Key::PluginChange { .. } | Key::LoadDue { .. } | Key::Sequence(_) => false,
            // Each pool has reporters, and ends once.
            Key::PoolEntry { pool, .. } => reporters(&records, &pool) == 0,
        };
        assert_eq!(fault, needed, "{shown} removed");
    }
}

#[test]
fn a_record_under_the_name_of_another_is_a_fault_or_a_state_of_its_own() {
    double_each_record(&rich(), &["a", "ab"]);
    double_each_record(&rich_in_plugins(), &["api", "lib", "web"]);
}

/// The names are those that the world has records of.
fn double_each_record(world: &World, names: &[&str]) {
    let sound = world.state.root();
    for (key, value) in &world.records.0 {
        for other in names.iter().chain(&["abc", "z"]).copied() {
            let moved = match Key::from_bytes(key).unwrap() {
                Key::Feature(_) => Key::Feature(name(other)),
                Key::Metrics(_) => Key::Metrics(name(other)),
                Key::Change { height, seq, .. } => Key::Change { name: name(other), height: height + 1, seq },
                Key::Override { user, .. } => Key::Override { name: name(other), user },
                Key::Policy(_) => Key::Policy(name(other)),
                Key::Step { at, .. } => Key::Step { at, name: name(other) },
                Key::Active(_) => Key::Active(name(other)),
                Key::Schedule { at, .. } => Key::Schedule { at, id: 99 },
                Key::Plugin(_) => Key::Plugin(name(other)),
                Key::PluginVersion { version, .. } => Key::PluginVersion { plugin: name(other), version },
                Key::Deployment(_) => Key::Deployment(name(other)),
                Key::PluginChange { height, seq, .. } => {
                    Key::PluginChange { plugin: name(other), height: height + 1, seq }
                }
                Key::Dependent { dependency, .. } => Key::Dependent { dependency, dependent: name(other) },
                Key::DeploymentDue { at, .. } => Key::DeploymentDue { at, plugin: name(other) },
                Key::LoadDue { at, .. } => Key::LoadDue { at, plugin: name(other) },
                Key::Deadline { at, .. } => Key::Deadline { at, plugin: name(other) },
                // Those of another address are as good, and a pool has a due entry of its own.
                Key::Global | Key::Roles(_) | Key::Registry | Key::Sequence(_) => continue,
                Key::PoolEntry { .. } | Key::Round { .. } => continue,
                // Counted: one more is never sound, whatever its id.
                Key::Feed | Key::FeedItem(_) | Key::FeedIndex(_) | Key::FeedListed(_) => continue,
            };
            let moved = moved.to_bytes();
            if world.records.0.contains_key(&moved) {
                continue;
            }
            let mut records = world.records.clone();
            records.0.insert(moved.clone(), value.clone());
            let what = format!("{} doubled as {}", hex::encode(key), hex::encode(&moved));
            let fault = load_damaged(&records, sound, &[key, &moved], &what);
            // A record that has its name inside is never taken for another's; and nothing is kept
            // for a feature or plugin that does not exist.
            let known = names.contains(&other);
            let named_inside = matches!(Key::from_bytes(key), Ok(Key::Feature(_) | Key::Metrics(_)));
            assert!(fault || (known && !named_inside), "{what} is accepted");
        }
    }
}
