//! Bytes that are cut, flipped or out of place, and numbers at their edges.
//!
//! Whatever is accepted re-encodes to the very bytes that were read; nothing panics; a state whose
//! records were damaged is a fault that names the record, or the state of exactly those records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;

use coalmine_core::query::{self, Entries, Fault};
use coalmine_core::{
    ARM_REQUESTS_MAX, Address, Advance, BLOCK_SIZE_MAX, BLOCK_TXS_MAX, Block, BlockError, Bps, BreakerClosedBy,
    Bucketing, COMMAND_SIZE_MAX, CONFIG_SIZE_MAX, Cause, ChainId, Change, Command, CommandKind, Constraint, Counts,
    DEPENDENTS_MAX, Decode, DecodeError, DecodeErrorKind, Deployment, DueKind, Encode, Event, EventCode, Evidence,
    FEED_LIVE_MAX, FEED_RECORDS_MAX, Feature, FeatureChanges, FeedEntry, FeedId, FeedItem, FeedKey, FeedKind, FeedPart,
    FeedState, Gate, Genesis, GenesisError, Global, Hash, Height, Hold, ItemState, Key, KeyPrefix, LOADED_MAX, Lack,
    Lifetime, LimitError, LoadState, METADATA_MAX, Manifest, MaxVersions, Metrics, Name, OnComplete, Override, Params,
    Payload, Percent, Plan, Plugin, PluginAction, PluginChange, PluginReason, PluginVersion, Policy, REQUIREMENTS_MAX,
    Reader, Reason, Receipt, Registry, Reject, Report, Requirement, Role, Roles, RollbackRule, SCHEDULE_COMMANDS_MAX,
    STAGES_MAX, STATE_KEYS, Scheduled, Stage, State, Status, Strategy, StrategyKind, TX_COMMANDS_MAX, Terms,
    Transaction, TxCommand, Valid, Validate, ValueError, Version, VersionReport, VersionStatus, Writer,
};

use crate::common::plugins::deploy_bytes;
use crate::common::*;

// Every golden row.

/// Reads bytes as one type and writes what it read: how it looks, and its bytes.
type Codec = fn(&[u8]) -> Result<(String, Vec<u8>), DecodeError>;

fn codec<T: Decode + Encode + Debug>(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    let value = T::from_bytes(bytes)?;
    Ok((format!("{value:?}"), value.to_bytes()))
}

fn command_codec(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    let command = TxCommand::from_bytes(bytes)?;
    Ok((format!("{command:?}"), command.to_bytes()))
}

fn metrics_codec(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    let mut input = Reader::new(bytes);
    let (name, metrics) = Metrics::decode(&mut input)?;
    input.finish()?;
    let mut out = Writer::default();
    metrics.encode(&name, &mut out);
    Ok((format!("{name} {metrics:?}"), out.into_bytes()))
}

fn empty_codec(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    Reader::new(bytes).finish().map(|()| (String::new(), Vec::new()))
}

/// How the value under a key is read.
fn value_codec(key: &Key) -> (&'static str, Codec) {
    match key {
        Key::Feature(_) => ("feature", codec::<Feature>),
        Key::Metrics(_) => ("metrics", metrics_codec),
        Key::Change { .. } => ("change", codec::<Change>),
        Key::Override { .. } => ("override", codec::<Override>),
        Key::Global => ("global", codec::<Global>),
        Key::Policy(_) => ("policy", codec::<Policy>),
        Key::Roles(_) => ("roles", codec::<Roles>),
        Key::Schedule { .. } => ("scheduled", codec::<Scheduled>),
        Key::Registry => ("registry", codec::<Registry>),
        Key::Plugin(_) => ("plugin", codec::<Plugin>),
        Key::PluginVersion { .. } => ("plugin version", codec::<PluginVersion>),
        Key::Deployment(_) => ("deployment", codec::<Deployment>),
        Key::PluginChange { .. } => ("plugin change", codec::<PluginChange>),
        Key::Feed => ("feed", codec::<FeedState>),
        Key::FeedItem(_) => ("feed_item", codec::<FeedItem>),
        Key::Step { .. } | Key::Active(_) | Key::FeedIndex(_) | Key::FeedListed(_) => ("empty", empty_codec),
        Key::DeploymentDue { .. } | Key::LoadDue { .. } | Key::Dependent { .. } => ("empty", empty_codec),
    }
}

/// Everything in the golden rows that is decoded: the type, how, the row, the bytes.
fn golden() -> Vec<(&'static str, Codec, String, Vec<u8>)> {
    let mut found: Vec<(&'static str, Codec, String, Vec<u8>)> = Vec::new();
    for row in rows("records") {
        let key = row.hex("key");
        let (kind, codec_of_value) = value_codec(&Key::from_bytes(&key).unwrap());
        found.push(("key", codec::<Key>, row.id.clone(), key));
        found.push((kind, codec_of_value, row.id.clone(), row.bytes()));
    }
    found.extend(
        rows("commands").into_iter().map(|row| ("command", command_codec as Codec, row.id.clone(), row.bytes())),
    );
    found.extend(rows("events").into_iter().map(|row| ("event", codec::<Event> as Codec, row.id.clone(), row.bytes())));
    for row in rows("blocks") {
        let (kind, codec): (_, Codec) = match row.kind.as_str() {
            "transaction" => ("transaction", codec::<Transaction>),
            "block" => ("block", codec::<Block>),
            "genesis" => ("genesis", codec::<Genesis>),
            "receipt" => ("receipt", codec::<Receipt>),
            // Outcomes are written, never read.
            "outcome" => continue,
            other => panic!("{}: unknown type {other}", row.id),
        };
        found.push((kind, codec, row.id.clone(), row.bytes()));
    }
    found
}

#[test]
fn what_is_cut_is_refused() {
    for (kind, decode, id, bytes) in golden() {
        let step = if bytes.len() > 1_500 { 7 } else { 1 };
        for len in (0..bytes.len()).step_by(step) {
            match decode(&bytes[..len]) {
                Err(_) => {}
                // A key that ends with a name is another key when it is cut.
                Ok((_, again)) => {
                    assert_eq!(kind, "key", "{id} is accepted when cut to {len} bytes");
                    assert_eq!(again, bytes[..len], "{id} cut to {len} bytes");
                }
            }
        }
    }
}

#[test]
fn what_is_too_long_is_refused() {
    for (kind, decode, id, bytes) in golden() {
        for extra in [0_u8, 1, b'a', 0xff] {
            let longer = [bytes.as_slice(), &[extra]].concat();
            if let Ok((_, again)) = decode(&longer) {
                assert_eq!((kind, again), ("key", longer), "{id} is accepted with a byte too many");
            }
        }
    }
}

#[test]
fn what_is_flipped_is_refused_or_another_value() {
    for (_, decode, id, bytes) in golden() {
        assert_eq!(decode(&bytes).unwrap().1, bytes, "{id}");
        let mut flipped = bytes.clone();
        // What is long has its parts many times; of its bits one in 61 takes every place in a byte.
        let step = if bytes.len() > 1_500 { 61 } else { 1 };
        for bit in (0..bytes.len() * 8).step_by(step) {
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok((_, again)) = decode(&flipped) {
                assert_eq!(again, flipped, "{id}: bit {bit} flipped is accepted and written otherwise");
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn no_two_encodings_read_alike() {
    let mut seen: BTreeMap<(&str, String), Vec<u8>> = BTreeMap::new();
    for (kind, decode, id, bytes) in golden() {
        let (look, _) = decode(&bytes).unwrap();
        let before = seen.entry((kind, look)).or_insert_with(|| bytes.clone());
        assert_eq!(*before, bytes, "{id} reads as a {kind} of other bytes does");
    }
}

// Fields so small that every value is tried.

/// The bytes that are accepted in the place of one byte of `bytes`.
fn accepted(decode: Codec, bytes: &[u8], at: usize) -> Vec<u8> {
    let with = |byte: &u8| [&bytes[..at], &[*byte], &bytes[at + 1..]].concat();
    let accepted = |byte: &u8| decode(&with(byte)).is_ok_and(|(_, again)| again == with(byte));
    (0..=u8::MAX).filter(accepted).collect()
}

#[test]
fn every_byte_of_an_enum_is_tried() {
    fn check<T: Decode + Encode + Debug>(all: Vec<u8>) {
        assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        assert_eq!(accepted(codec::<T>, &[0], 0), all, "{}", std::any::type_name::<T>());
    }
    check::<Status>(Status::ALL.iter().map(|value| value.tag()).collect());
    check::<Reason>(Reason::ALL.iter().map(|value| value.tag()).collect());
    check::<Cause>(Cause::ALL.iter().map(|value| value.tag()).collect());
    check::<Bucketing>(Bucketing::ALL.iter().map(|value| value.tag()).collect());
    check::<Advance>(Advance::ALL.iter().map(|value| value.tag()).collect());
    check::<Lifetime>(Lifetime::ALL.iter().map(|value| value.tag()).collect());
    check::<CommandKind>(CommandKind::ALL.iter().map(|value| value.tag()).collect());
    check::<EventCode>(EventCode::ALL.iter().map(|value| value.tag()).collect());
    check::<RollbackRule>(RollbackRule::ALL.iter().map(|value| value.tag()).collect());
    check::<BreakerClosedBy>(BreakerClosedBy::ALL.iter().map(|value| value.tag()).collect());
    check::<StrategyKind>(StrategyKind::ALL.iter().map(|value| value.tag()).collect());
    check::<Gate>(Gate::ALL.iter().map(|value| value.tag()).collect());
    check::<OnComplete>(OnComplete::ALL.iter().map(|value| value.tag()).collect());
    check::<Hold>(Hold::ALL.iter().map(|value| value.tag()).collect());
    check::<Lack>(Lack::ALL.iter().map(|value| value.tag()).collect());
    check::<LoadState>(LoadState::ALL.iter().map(|value| value.tag()).collect());
    check::<VersionStatus>(VersionStatus::ALL.iter().map(|value| value.tag()).collect());
    check::<PluginAction>(PluginAction::ALL.iter().map(|value| value.tag()).collect());
    check::<PluginReason>(PluginReason::ALL.iter().map(|value| value.tag()).collect());
    check::<FeedKind>(FeedKind::ALL.iter().map(|value| value.tag()).collect());
    check::<FeedPart>(FeedPart::ALL.iter().map(|value| value.tag()).collect());
    check::<Roles>((1..32).collect());
    for byte in 0..=u8::MAX {
        assert_eq!(
            KeyPrefix::from_byte(byte).map(KeyPrefix::byte),
            KeyPrefix::ALL.iter().map(|p| p.byte()).find(|b| *b == byte)
        );
        assert_eq!(Role::from_mask(byte).map(Role::mask), [1, 2, 4, 8, 16].into_iter().find(|mask| *mask == byte));
        assert!(KeyPrefix::from_byte(byte).is_none() || STATE_KEYS.contains(&byte));
    }
}

#[test]
fn every_byte_of_a_small_field_is_tried() {
    let share: Vec<u8> = (0..=100).collect();
    let (flag, any): (Vec<u8>, Vec<u8>) = ((0..=1).collect(), (0..=u8::MAX).collect());
    let step: Vec<u8> = (1..=100).collect();
    let one_role = vec![1, 2, 4, 8, 16];
    let feature = world_with_feature().records.0[&Key::Feature(name("f")).to_bytes()].clone();
    // lp32 name of 1 byte, lp32 empty description, then the status.
    let status = 4 + 1 + 4;
    let change = Change {
        status: Status::Canary,
        percent: Percent::ZERO,
        cause: Cause::RolledBack,
        reason: Reason::Manual,
        actor: Address::ZERO,
    }
    .to_bytes();
    let policy_bytes = Policy::default().to_bytes();
    let last_of_policy = policy_bytes.len() - 1;
    let global = World::new().records.0[&Key::Global.to_bytes()].clone();
    // format, rules, lp8 chain, admins.
    let breaker = 2 + 2 + 1 + 9 + 4;
    let open = {
        let mut world = World::new();
        world.run(1, OPERATOR, &[trip(0, false)]);
        world.records.0[&Key::Global.to_bytes()].clone()
    };
    let granted = Event::RoleGranted { address: USER, role: Role::Admin }.to_bytes();
    let stepped = Event::Stepped { name: name("f"), from_percent: Percent::ZERO, to_percent: Percent::ZERO }.to_bytes();
    let changed = Event::StatusChanged {
        name: name("f"),
        from: Status::Canary,
        to: Status::Canary,
        percent: Percent::ZERO,
        cause: Cause::Stepped,
        actor: Address::ZERO,
    }
    .to_bytes();
    let mut one_step = Key::Step { at: 0, name: name("f") }.to_bytes();
    one_step[1] = DueKind::Step.byte();
    let tags = |all: &[Status]| -> Vec<u8> { all.iter().map(|status| status.tag()).collect() };

    let deployed = a_deployment().to_bytes();
    // strategy, lp8 old, lp8 new.
    let hold = 1 + 6 + 6;
    let requiring = a_version().to_bytes();
    // lp8 version.
    let of_version = 6;
    let plugin_change = a_plugin_change().to_bytes();
    let one_look = Key::DeploymentDue { at: 0, plugin: name("f") }.to_bytes();

    type Field = (&'static str, Codec, Vec<u8>, usize, Vec<u8>);
    let rows: Vec<Field> = vec![
        ("feature status", codec::<Feature>, feature.clone(), status, tags(Status::ALL)),
        ("feature rollout_percent", codec::<Feature>, feature.clone(), status + 1, share.clone()),
        ("feature target_percent", codec::<Feature>, feature.clone(), status + 2, share.clone()),
        ("feature increment_percent", codec::<Feature>, feature.clone(), status + 3, step),
        ("feature reserved", codec::<Feature>, feature.clone(), feature.len() - 1, vec![0]),
        ("feature reserved, the first", codec::<Feature>, feature.clone(), feature.len() - 5, vec![0]),
        ("change percent", codec::<Change>, change.clone(), 1, share.clone()),
        ("change cause", codec::<Change>, change.clone(), 2, (0..=7).collect()),
        ("change reason of a rollback", codec::<Change>, change.clone(), 3, (0..=5).collect()),
        ("change reason without one", codec::<Change>, [&change[..2], &[1], &change[3..]].concat(), 3, vec![0]),
        ("override enabled", codec::<Override>, vec![0; 25], 0, flag.clone()),
        ("policy version", codec::<Policy>, policy_bytes.clone(), 0, vec![1]),
        ("policy bucketing", codec::<Policy>, policy_bytes.clone(), 1, flag.clone()),
        ("policy advance", codec::<Policy>, policy_bytes.clone(), 2, flag.clone()),
        ("policy lifetime", codec::<Policy>, policy_bytes.clone(), last_of_policy - 5, (0..=3).collect()),
        ("policy count", codec::<Policy>, policy_bytes, last_of_policy, vec![0]),
        ("global breaker, nothing else", codec::<Global>, global.clone(), breaker, flag.clone()),
        ("global draining while closed", codec::<Global>, global.clone(), breaker + 1, vec![0]),
        ("global draining while open", codec::<Global>, open.clone(), breaker + 1, flag.clone()),
        ("global until while closed", codec::<Global>, global.clone(), breaker + 9, vec![0]),
        ("global until while open", codec::<Global>, open.clone(), breaker + 9, any.clone()),
        ("global reason while closed", codec::<Global>, global.clone(), breaker + 10, vec![0]),
        ("global reason while open", codec::<Global>, open.clone(), breaker + 10, (0..=5).collect()),
        ("global actor while closed", codec::<Global>, global, breaker + 11, vec![0]),
        ("global closed with the fields of an open one", codec::<Global>, open, breaker, vec![1]),
        ("deployment strategy", codec::<Deployment>, deployed.clone(), 0, (0..=4).collect()),
        ("deployment hold", codec::<Deployment>, deployed.clone(), hold, (0..=5).collect()),
        ("deployment held", codec::<Deployment>, deployed.clone(), hold + 1, (0..=3).collect()),
        ("deployment healthy", codec::<Deployment>, deployed.clone(), hold + 2, flag.clone()),
        ("deployment stage, one of two", codec::<Deployment>, deployed.clone(), hold + 3, flag.clone()),
        ("deployment stages, the width of two", codec::<Deployment>, deployed, hold + 24, vec![2]),
        ("version status", codec::<PluginVersion>, requiring.clone(), of_version, (0..=5).collect()),
        ("version metadata", codec::<PluginVersion>, requiring.clone(), requiring.len() - 1, vec![0]),
        ("plugin change action", codec::<PluginChange>, plugin_change.clone(), 0, (0..=12).collect()),
        ("plugin change success", codec::<PluginChange>, plugin_change.clone(), 7, flag.clone()),
        ("plugin change share, high byte", codec::<PluginChange>, plugin_change.clone(), 8, (0..=0x27).collect()),
        ("plugin change reason", codec::<PluginChange>, plugin_change, 14, (0..=11).collect()),
        ("due kind", codec::<Key>, one_step, 1, (1..=3).collect()),
        ("due kind of a look", codec::<Key>, one_look, 1, (1..=3).collect()),
        ("due kind with an id", codec::<Key>, Key::Schedule { at: 0, id: 0 }.to_bytes(), 1, vec![0]),
        ("granted role", codec::<Event>, granted.clone(), granted.len() - 1, one_role.clone()),
        ("stepped from", codec::<Event>, stepped.clone(), 3, share.clone()),
        ("stepped to", codec::<Event>, stepped, 4, share.clone()),
        ("status_changed percent", codec::<Event>, changed, 5, share),
        // What breaks a rule is a command all the same; what is no value is none.
        ("canary percent", command_codec, canary("f", 0).to_bytes(), 3, any.clone()),
        ("increment_percent", command_codec, configure("f", steps_of(1)).to_bytes(), 5, any.clone()),
        ("rollback reason", command_codec, rollback("f").to_bytes(), 3, (0..=5).collect()),
        ("override enabled", command_codec, set_override("f", USER, true).to_bytes(), 23, flag.clone()),
        ("trip drain", command_codec, trip(0, true).to_bytes(), 6, flag.clone()),
        ("granted role", command_codec, grant(USER, Role::Admin).to_bytes(), 21, one_role),
        ("optional", command_codec, configure("f", FeatureChanges::default()).to_bytes(), 3, vec![0]),
        ("scheduled commands", command_codec, schedule(0, vec![enable("f")]).to_bytes(), 5, vec![1]),
        ("transaction commands", codec::<Transaction>, tx(ADMIN, &[enable("f")]).to_bytes(), 20, vec![1]),
        ("receipt index", codec::<Receipt>, vec![0, 2, 0], 2, any),
        ("receipt index of ok", codec::<Receipt>, vec![0, 0, 0], 2, vec![0]),
        ("feed section", codec::<Key>, vec![0xde, 0, b'e'], 1, (0..=5).collect()),
        ("feed id", codec::<Key>, vec![0xde, 0, b'e'], 2, (0x21..=0x7e).collect()),
        ("feed open", codec::<FeedState>, [&[0; 12], &[1; 9][..]].concat(), 0, vec![1]),
        ("feed open, nothing listed", codec::<FeedState>, [&[0; 16], &[1, 0, 0, 0, 0][..]].concat(), 0, flag.clone()),
        ("feed open, nothing else", codec::<FeedState>, vec![0; 21], 0, vec![1]),
        ("feed tombstone", codec::<FeedItem>, vec![0; 13], 8, (0..=2).collect()),
        ("feed tombstone with a body", codec::<FeedItem>, [&[0; 12], &[1, 7][..]].concat(), 8, vec![0]),
        ("feed_put part", command_codec, put(FeedPart::Only, &[], &[]).to_bytes(), 1, (0..=3).collect()),
        ("feed_patch kind", command_codec, patch(FeedKind::Filter, "e", 1, b"").to_bytes(), 1, flag.clone()),
        ("feed_forget ids", command_codec, forget(FeedKind::Filter, &["e"]).to_bytes(), 2, vec![1]),
        ("feed_insert kind", codec::<Event>, [80, 0, 1, b'e'].into_iter().chain([0; 8]).collect(), 1, flag.clone()),
        (
            "feed_insert id",
            codec::<Event>,
            [80, 0, 1, b'e'].into_iter().chain([0; 8]).collect(),
            3,
            (0x21..=0x7e).collect(),
        ),
    ];
    for (field, decode, bytes, at, expected) in rows {
        assert_eq!(accepted(decode, &bytes, at), expected, "{field}");
    }
}

fn steps_of(increment: u8) -> FeatureChanges {
    FeatureChanges { increment_percent: Some(percent(increment)), ..FeatureChanges::default() }
}

fn world_with_feature() -> World {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    world
}

#[test]
fn every_u8_of_a_rule_is_its_reject() {
    let of = |bytes: &[u8]| match TxCommand::from_bytes(bytes).unwrap() {
        TxCommand::Valid(_) => None,
        TxCommand::Invalid { reject, .. } => Some(reject),
    };
    for byte in 0..=u8::MAX {
        let over = (byte > 100).then_some(Reject::InvalidPercent);
        assert_eq!(of(&with_byte(&canary("f", 0), 0, byte)), over, "percent {byte}");
        assert_eq!(of(&with_byte(&rollout("f", 0), 0, byte)), over, "target {byte}");
        let increment = (byte == 0 || byte > 100).then_some(Reject::InvalidParameter);
        assert_eq!(of(&with_byte(&configure("f", steps_of(1)), 4, byte)), increment, "increment {byte}");
        // The one character of a name.
        let named = (!byte.is_ascii_alphanumeric()).then_some(Reject::InvalidName);
        assert_eq!(of(&with_byte(&enable("f"), 0, byte)), named, "name {byte}");
        let inside = byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        assert_eq!(of(&with_byte(&enable("ff"), 0, byte)), (!inside).then_some(Reject::InvalidName), "name f{byte}");
        assert_eq!(Name::new(&[b'f', byte]).is_ok(), inside);
    }
}

/// The numbers that are accepted in the place of two bytes of `bytes`.
fn accepted_u16(decode: Codec, bytes: &[u8], at: usize) -> Vec<u16> {
    let mut bytes = bytes.to_vec();
    let mut accepted = |number: &u16| {
        bytes[at..at + 2].copy_from_slice(&number.to_be_bytes());
        decode(&bytes).is_ok_and(|(_, again)| again == bytes)
    };
    (0..=u16::MAX).filter(|number| accepted(number)).collect()
}

#[test]
fn every_u16_is_tried() {
    for n in 0..=u16::MAX {
        assert_eq!(Bps::new(n).map(Bps::get).ok(), (n <= 10_000).then_some(n));
    }
    let (any, share): (Vec<u16>, Vec<u16>) = ((0..=u16::MAX).collect(), (0..=10_000).collect());
    let rejects: Vec<u16> = (1..=23).chain(40..=58).chain(80..=83).collect();
    for n in &any {
        assert_eq!(Reject::from_code(*n).map(Reject::code), rejects.contains(n).then_some(*n));
    }
    let receipts = [&[0], rejects.as_slice()].concat();
    let global = World::new().records.0[&Key::Global.to_bytes()].clone();
    let registry = [&[5][..], b"0.0.1", &[0, 3, 0]].concat();
    let plugin = Plugin {
        current: version("1.0.0"),
        previous: None,
        rule: None,
        load_state: LoadState::Unloaded,
        loaded: None,
        versions: 1,
        deployments: 0,
        dependents: 0,
    }
    .to_bytes();
    let plan = Plan::compile(&Strategy::AbTest { share_bps: Bps::new(1).unwrap(), duration_blocks: 1 }, &TERMS)
        .unwrap()
        .to_bytes();
    // A count, one stage of fifteen bytes.
    let terms = 1 + 15;
    let staged = Event::Staged { plugin: name("p"), stage: 0, share: Bps::ZERO }.to_bytes();
    let failed = Event::LoadFailed { plugin: name("p"), version: version("1.0.0"), code: 0 }.to_bytes();
    let executed = Event::ScheduleExecuted { id: 0, code: 0, index: 0 }.to_bytes();
    let changed = a_plugin_change().to_bytes();
    let deploy = Command::deploy(
        name("p"),
        version("1.0.0"),
        Strategy::AbTest { share_bps: Bps::new(1).unwrap(), duration_blocks: 1 },
        &TERMS,
    )
    .unwrap()
    .to_bytes();
    // Tag, lp8 plugin, lp8 version, strategy.
    let (in_strategy, in_terms) = (1 + 2 + 6 + 1, 1 + 2 + 6 + 7);
    let requiring = a_version().to_bytes();
    let genesis = Genesis::new("", [(ADMIN, Role::Admin.into())]).unwrap().to_bytes();
    let one_tx = tx(ADMIN, &[enable("f")]).to_bytes();
    let creating = create_bytes("f", 3);
    let patching = patch(FeedKind::Filter, "e", 1, b"ab").to_bytes();
    let putting = put(FeedPart::Only, &[], &[]).to_bytes();
    let registering = RawManifest { config: vec![7; 3], ..RawManifest::default() }.command();
    type Field<'a> = (&'static str, Codec, &'a [u8], usize, &'a [u16]);
    let rows: Vec<Field<'_>> = vec![
        ("receipt code", codec::<Receipt>, &[0; 3], 0, &receipts),
        ("global format", codec::<Global>, &global, 0, &[coalmine_core::FORMAT]),
        ("global rules", codec::<Global>, &global, 2, &[coalmine_core::RULES]),
        ("registry max_versions", codec::<Registry>, &registry, 6, &any[3..=64]),
        ("plugin versions", codec::<Plugin>, &plugin, plugin.len() - 8, &any),
        ("plugin dependents", codec::<Plugin>, &plugin, plugin.len() - 2, &any),
        // The last stage of a plan has a share.
        ("plan share", codec::<Plan>, &plan, 1, &share[1..]),
        ("plan error threshold", codec::<Plan>, &plan, terms, &share),
        ("plan success threshold", codec::<Plan>, &plan, terms + 2, &share),
        ("plan z", codec::<Plan>, &plan, terms + 18, &any),
        ("plugin change share", codec::<PluginChange>, &changed, 8, &share),
        ("staged share", codec::<Event>, &staged, staged.len() - 2, &share),
        ("load_failed code", codec::<Event>, &failed, failed.len() - 2, &any),
        ("schedule_executed code", codec::<Event>, &executed, executed.len() - 3, &any),
        // What breaks a rule is a command all the same.
        ("deploy share", command_codec, &deploy, in_strategy, &any),
        ("deploy error threshold", command_codec, &deploy, in_terms, &any),
        ("deploy success threshold", command_codec, &deploy, in_terms + 2, &any),
        ("deploy z", command_codec, &deploy, deploy.len() - 2, &any),
        // Lengths and counts: what is there, and no other.
        ("genesis roles", codec::<Genesis>, &genesis, 1, &[1]),
        ("command length", codec::<Transaction>, &one_tx, 21, &[3]),
        ("description length", command_codec, &creating, 3, &[3]),
        ("manifest config length", command_codec, &registering, registering.len() - 6, &[3]),
        ("version config length", codec::<PluginVersion>, &requiring, requiring.len() - 3, &[0]),
        ("body length", command_codec, &patching, patching.len() - 4, &[2]),
        ("put environments", command_codec, &putting, 2, &[0]),
        ("put filters", command_codec, &putting, 4, &[0]),
    ];
    for (field, decode, bytes, at, expected) in rows {
        assert_eq!(accepted_u16(decode, bytes, at), expected, "{field}");
    }
    // Of those commands the ones that obey the rules.
    let valid = |at: usize| -> Vec<u16> {
        let mut bytes = deploy.clone();
        let mut is_valid = |number: &u16| {
            bytes[at..at + 2].copy_from_slice(&number.to_be_bytes());
            matches!(TxCommand::from_bytes(&bytes), Ok(TxCommand::Valid(_)))
        };
        (0..=u16::MAX).filter(|number| is_valid(number)).collect()
    };
    assert_eq!(valid(in_strategy), share[1..], "share of a deploy");
    assert_eq!(valid(in_terms), share, "error threshold of a deploy");
    assert_eq!(valid(in_terms + 2), share, "success threshold of a deploy");
}

const TERMS: Terms = Terms {
    error_threshold_bps: Bps::ZERO,
    success_threshold_bps: Bps::ZERO,
    min_requests: 0,
    max_blocks: None,
    auto_promote: true,
    auto_rollback: true,
    regression_z_centi: None,
};

#[test]
fn every_u8_length_is_tried() {
    // The bytes, and where a length stands in them: what is there, and no other.
    let patching = patch(FeedKind::Filter, "abc", 1, b"").to_bytes();
    let forgetting = forget(FeedKind::Filter, &["abc"]).to_bytes();
    let enabling = enable("abc").to_bytes();
    let retiring = Command::RetireVersion { plugin: name("p"), version: version("1.0.0") }.to_bytes();
    let registering = RawManifest {
        host: b">=1".to_vec(),
        requirements: vec![(b"abc".to_vec(), b"*".to_vec())],
        ..RawManifest::default()
    }
    .command();
    let policy = Policy { prerequisites: vec![name("abc")], ..Policy::default() }.to_bytes();
    let history = Key::Change { name: name("abc"), height: 1, seq: 0 }.to_bytes();
    let created = Event::FeatureCreated { name: name("abc") }.to_bytes();
    let registry = [&[5][..], b"0.0.1", &[0, 3, 0]].concat();
    let genesis = Genesis::new("abc", [(ADMIN, Role::Admin.into())]).unwrap().to_bytes();
    let rows: Vec<(&str, Codec, &[u8], usize, u8)> = vec![
        ("name of a command", command_codec, &enabling, 1, 3),
        ("id of a patch", command_codec, &patching, 2, 3),
        ("id of a forget", command_codec, &forgetting, 3, 3),
        ("ids of a forget", command_codec, &forgetting, 2, 1),
        ("plugin of a register", command_codec, &registering, 1, 1),
        ("version of a retire", command_codec, &retiring, 3, 5),
        ("host of a register", command_codec, &registering, 41, 3),
        ("requirements of a register", command_codec, &registering, 45, 1),
        ("plugin of a requirement", command_codec, &registering, 46, 3),
        ("constraint of a requirement", command_codec, &registering, 50, 1),
        ("metadata of a register", command_codec, &registering, registering.len() - 1, 0),
        ("prerequisites", codec::<Policy>, &policy, policy.len() - 5, 1),
        ("name of a prerequisite", codec::<Policy>, &policy, policy.len() - 4, 3),
        ("name of a key", codec::<Key>, &history, 1, 3),
        ("name of an event", codec::<Event>, &created, created.len() - 4, 3),
        ("host version", codec::<Registry>, &registry, 0, 5),
        ("chain", codec::<Genesis>, &genesis, 0, 3),
    ];
    let found = rows.iter().map(|(field, decode, bytes, at, _)| (*field, accepted(*decode, bytes, *at)));
    let expected = rows.iter().map(|(field, .., length)| (*field, vec![*length]));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    // The lengths that a value itself may have.
    for len in 0..=usize::from(u8::MAX) {
        let text = vec![b'1'; len];
        let digits = [b"1.0.0-".to_vec(), vec![b'a'; len.saturating_sub(6)]].concat();
        let spaced = [b"*".to_vec(), vec![b' '; len.saturating_sub(1)]].concat();
        for (what, is_ok, fits) in [
            ("name", Name::new(&text).is_ok(), (1..=64).contains(&len)),
            ("chain", ChainId::new(&text).is_ok(), len <= 64),
            ("feed id", coalmine_core::FeedId::new(&text).is_ok(), (1..=128).contains(&len)),
            ("version", len > 6 && Version::new(&digits).is_ok(), (7..=64).contains(&len)),
            ("constraint", len > 0 && Constraint::new(&spaced).is_ok(), (1..=128).contains(&len)),
        ] {
            assert_eq!(is_ok, fits, "a {what} of {len} bytes");
        }
    }
}

// Values whose parts obey a rule together.

#[test]
fn a_value_that_breaks_its_rule_is_no_valid_one() {
    fn check<T: Validate + Debug>(what: &str, value: T, expected: Option<ValueError>) {
        assert_eq!(Valid::new(value).err(), expected, "{what}");
    }
    let (parameter, list) = (Some(ValueError::Parameter), Some(ValueError::List));
    let changes = FeatureChanges::default();
    check("defaults", changes.clone(), None);
    check("a step of 0 %", FeatureChanges { increment_percent: Some(Percent::ZERO), ..changes.clone() }, parameter);
    check("steps of 0 blocks", FeatureChanges { increment_blocks: Some(0), ..changes.clone() }, parameter);
    check("a rate of 10 000", FeatureChanges { max_error_rate: Some(10_000), ..changes.clone() }, None);
    check("a rate of 10 001", FeatureChanges { max_error_rate: Some(10_001), ..changes }, parameter);

    let report = Report {
        successes: 0,
        errors: 0,
        latency_total: 0,
        latency_peak: 0,
        invariant_checks: 0,
        invariant_failures: 0,
    };
    check("nothing", report, None);
    check("more failed checks than checks", Report { invariant_failures: 1, ..report }, parameter);
    check("latency of nothing", Report { latency_total: 1, ..report }, parameter);
    check("a peak of nothing", Report { latency_peak: 1, ..report }, parameter);
    let report = VersionReport { requests: 0, errors: 0, latency_total: 0 };
    check("no request", report, None);
    check("more errors than requests", VersionReport { errors: 1, ..report }, parameter);
    check("latency of no request", VersionReport { latency_total: 1, ..report }, parameter);

    let manifest = Manifest::of_code(Hash([7; 32]));
    let text = |len: usize| vec![(name("k"), "x".repeat(len))];
    check("a text of 255", Manifest { metadata: text(255), ..manifest.clone() }, None);
    check("a text of 256", Manifest { metadata: text(256), ..manifest.clone() }, list);
    check("a long config", Manifest { config: vec![0; CONFIG_SIZE_MAX + 1], ..manifest }, Some(ValueError::Config));

    let schedule = Some(ValueError::Schedule);
    check("16 commands", vec![enable("f"); 16], None);
    check("17 commands", vec![enable("f"); 17], schedule);
    check("no command", Vec::<Command>::new(), schedule);
    check("one that may not be scheduled", vec![enable("f"), Command::ResetBreaker], schedule);
}

#[test]
fn a_transaction_over_a_limit_says_which() {
    let long = |len: usize| {
        let config = vec![0; len];
        let manifest = Manifest { config, ..Manifest::of_code(Hash([7; 32])) };
        Command::register_version(name("p"), version("1.0.0"), manifest).unwrap()
    };
    let entry = |n: usize| FeedEntry { id: feed_id(&format!("e{n:04}")), version: 1, body: body(&[0xbb; 1_000]) };
    let put = |count: usize| Command::FeedPut {
        part: FeedPart::Only,
        environments: Valid::new((0..count).map(entry).collect()).unwrap(),
        filters: Valid::default(),
    };
    let size = put(9).to_bytes().len();
    for (commands, expected) in [
        (vec![], Some(LimitError::Commands { count: 0 })),
        (vec![enable("f"); 16], None),
        (vec![enable("f"); 17], Some(LimitError::Commands { count: 17 })),
        (vec![long(4_096)], None),
        (vec![enable("f"), put(8)], None),
        (vec![enable("f"), put(9)], Some(LimitError::CommandSize { index: 1, size })),
    ] {
        assert_eq!(Transaction::new(ADMIN, commands).err(), expected);
    }
    let error = Transaction::new(ADMIN, vec![]).unwrap_err();
    assert_eq!(error.to_string(), "a transaction holds 1 to 16 commands, not 0");
}

// Limits.

#[test]
fn limits_hold_to_the_byte() {
    // Commands in a transaction, and in a schedule.
    for count in 0..=255_usize {
        let tx = raw_tx(ADMIN, &vec![enable("f").to_bytes(); count]);
        let fits = (1..=TX_COMMANDS_MAX).contains(&count);
        assert_eq!(matches!(tx, Payload::Transaction(_)), fits, "{count} commands");
        assert_eq!(Transaction::new(ADMIN, vec![enable("f"); count]).is_ok(), fits, "{count} commands");
        let fits = (1..=SCHEDULE_COMMANDS_MAX).contains(&count);
        let bytes = schedule_bytes(9, &vec![enable("f"); count]);
        assert_eq!(TxCommand::from_bytes(&bytes).is_ok(), fits, "{count} scheduled commands");
    }
    // The size of a command. The name is as long as it likes: what is too long breaks a rule, no limit.
    let long = |len: usize| create_bytes("f", len);
    let overhead = long(0).len();
    for (len, expected) in [
        (1_024, None),
        (1_025, Some(Reject::LimitExceeded)),
        (COMMAND_SIZE_MAX - overhead, Some(Reject::LimitExceeded)),
    ] {
        match TxCommand::from_bytes(&long(len)).unwrap() {
            TxCommand::Valid(_) => assert_eq!(expected, None, "{len}"),
            TxCommand::Invalid { reject, .. } => assert_eq!(expected, Some(reject), "{len}"),
        }
    }
    let too_long = TxCommand::from_bytes(&long(COMMAND_SIZE_MAX - overhead + 1)).map(|_| ());
    assert_eq!(too_long.map_err(|error| error.kind), Err(DecodeErrorKind::TooLarge));
    // Prerequisites.
    for count in [0_u32, 1, 16, 17, 255] {
        let names = (0..count).map(|n| name(&format!("p{n:03}"))).collect();
        let bytes = Policy { prerequisites: names, ..Policy::default() }.to_bytes();
        assert_eq!(Policy::from_bytes(&bytes).is_ok(), count <= 16, "{count} prerequisites");
    }
    for (names, canonical) in
        [(vec!["a", "b"], true), (vec!["b", "a"], false), (vec!["a", "a"], false), (vec!["a", "ab"], true)]
    {
        let prerequisites: Vec<Name> = names.iter().map(|text| name(text)).collect();
        let policy = Policy { prerequisites, ..Policy::default() };
        let (is_valid, decodes) = (policy.validate().is_ok(), Policy::from_bytes(&policy.to_bytes()).is_ok());
        let changes = FeatureChanges { policy: Some(policy), ..FeatureChanges::default() };
        assert_eq!((is_valid, decodes, Valid::new(changes).is_ok()), (canonical, canonical, canonical));
    }
    // Transactions in a block, and its size.
    let block = |payloads| Block::from_payloads(1, payloads).err();
    let some = |count: usize, len: usize| vec![Payload::Malformed(vec![0xff; len]); count];
    assert_eq!(block(some(BLOCK_TXS_MAX, 0)), None);
    assert_eq!(block(some(BLOCK_TXS_MAX + 1, 0)), Some(LimitError::Transactions));
    let exactly = (BLOCK_SIZE_MAX - 8) / 256 - 4;
    assert_eq!(block(some(256, exactly)), None);
    assert_eq!(block(some(256, exactly + 1)), Some(LimitError::BlockSize));
    let exactly = BLOCK_SIZE_MAX - 8 - 4;
    assert_eq!(block(some(1, exactly)), None);
    assert_eq!(block(some(1, exactly + 1)), Some(LimitError::BlockSize));
    // The count is checked against the bytes at hand before anything is made room for.
    for count in [1, u32::MAX] {
        let frame = [1_u32.to_be_bytes(), count.to_be_bytes()].concat();
        assert_eq!(Block::from_bytes(&frame).unwrap_err().kind, DecodeErrorKind::TooLarge);
    }
    let mut frame = vec![0; BLOCK_SIZE_MAX + 1];
    assert_eq!(Block::from_bytes(&frame).unwrap_err().kind, DecodeErrorKind::TooLarge);
    frame.pop();
    assert_eq!(Block::from_bytes(&frame).unwrap_err().kind, DecodeErrorKind::Leftover);
}

/// What is no command is malformed, what breaks a rule is a reject.
#[test]
fn limits_of_a_manifest_hold_to_the_byte() {
    #[derive(Debug, PartialEq)]
    enum Found {
        Valid,
        Malformed(DecodeErrorKind),
        Rejected(Reject),
    }
    use Found::{Malformed, Rejected, Valid};
    let of = |edit: &dyn Fn(&mut RawManifest)| {
        let mut raw = RawManifest::default();
        edit(&mut raw);
        match TxCommand::from_bytes(&raw.command()) {
            Err(error) => Malformed(error.kind),
            Ok(TxCommand::Invalid { reject, .. }) => Rejected(reject),
            Ok(TxCommand::Valid(_)) => Valid,
        }
    };
    let names = |count: usize, text: &[u8]| -> Vec<(Vec<u8>, Vec<u8>)> {
        (0..count).map(|n| (format!("p{n:03}").into_bytes(), text.to_vec())).collect()
    };
    let pairs = |keys: &[&str]| -> Vec<(Vec<u8>, Vec<u8>)> {
        keys.iter().map(|key| (key.as_bytes().to_vec(), b"1.0.0".to_vec())).collect()
    };
    let spaced = |len: usize| [b">=1".to_vec(), vec![b' '; len - 3]].concat();
    let versioned = |len: usize| [b"1.0.0-".to_vec(), vec![b'a'; len - 6]].concat();
    for (what, found, expected) in [
        ("nothing", of(&|_| {}), Valid),
        ("a plugin of 64 bytes", of(&|raw| raw.plugin = vec![b'p'; 64]), Valid),
        ("a plugin of 65 bytes", of(&|raw| raw.plugin = vec![b'p'; 65]), Rejected(Reject::InvalidName)),
        ("a version of 64 bytes", of(&|raw| raw.version = versioned(64)), Valid),
        ("a version of 65 bytes", of(&|raw| raw.version = versioned(65)), Rejected(Reject::InvalidVersion)),
        ("a version of 255 bytes", of(&|raw| raw.version = versioned(255)), Rejected(Reject::InvalidVersion)),
        ("a version that is no text", of(&|raw| raw.version = vec![0xff]), Rejected(Reject::InvalidVersion)),
        ("a host of 128 bytes", of(&|raw| raw.host = spaced(128)), Valid),
        ("a host of 129 bytes", of(&|raw| raw.host = spaced(129)), Rejected(Reject::InvalidConstraint)),
        ("a host that is no text", of(&|raw| raw.host = vec![0xff]), Rejected(Reject::InvalidConstraint)),
        ("32 requirements", of(&|raw| raw.requirements = names(REQUIREMENTS_MAX, b"*")), Valid),
        (
            "33 requirements",
            of(&|raw| raw.requirements = names(REQUIREMENTS_MAX + 1, b"*")),
            Malformed(DecodeErrorKind::TooLarge),
        ),
        ("255 requirements", of(&|raw| raw.requirements = names(255, b"*")), Malformed(DecodeErrorKind::TooLarge)),
        (
            "a requirement that is no text",
            of(&|raw| raw.requirements = names(1, b"\xff")),
            Rejected(Reject::InvalidConstraint),
        ),
        (
            "a requirement without a constraint",
            of(&|raw| raw.requirements = names(1, b"")),
            Rejected(Reject::InvalidConstraint),
        ),
        ("requirements in order", of(&|raw| raw.requirements = pairs(&["A", "a", "aa", "b"])), Valid),
        (
            "requirements out of order",
            of(&|raw| raw.requirements = pairs(&["b", "a"])),
            Malformed(DecodeErrorKind::Unsorted),
        ),
        ("a requirement twice", of(&|raw| raw.requirements = pairs(&["a", "a"])), Malformed(DecodeErrorKind::Unsorted)),
        (
            "no names, and out of order",
            of(&|raw| raw.requirements = pairs(&["-", "!"])),
            Malformed(DecodeErrorKind::Unsorted),
        ),
        ("16 metadata", of(&|raw| raw.metadata = names(METADATA_MAX, b"")), Valid),
        ("17 metadata", of(&|raw| raw.metadata = names(METADATA_MAX + 1, b"")), Malformed(DecodeErrorKind::TooLarge)),
        ("metadata out of order", of(&|raw| raw.metadata = pairs(&["b", "a"])), Malformed(DecodeErrorKind::Unsorted)),
        ("metadata twice", of(&|raw| raw.metadata = pairs(&["a", "a"])), Malformed(DecodeErrorKind::Unsorted)),
        ("metadata of 255 bytes", of(&|raw| raw.metadata = names(1, &[b'x'; 255])), Valid),
        ("metadata that is no text", of(&|raw| raw.metadata = names(1, b"\xff")), Malformed(DecodeErrorKind::NotUtf8)),
        ("a config of 4 096 bytes", of(&|raw| raw.config = vec![0xff; CONFIG_SIZE_MAX]), Valid),
        (
            "a config of 4 097 bytes",
            of(&|raw| raw.config = vec![0xff; CONFIG_SIZE_MAX + 1]),
            Rejected(Reject::LimitExceeded),
        ),
        (
            "as much as a command holds",
            of(&|raw| raw.config = vec![0xff; COMMAND_SIZE_MAX - RawManifest::default().command().len()]),
            Rejected(Reject::LimitExceeded),
        ),
        (
            "one byte more",
            of(&|raw| raw.config = vec![0xff; COMMAND_SIZE_MAX - RawManifest::default().command().len() + 1]),
            Malformed(DecodeErrorKind::TooLarge),
        ),
    ] {
        assert_eq!(found, expected, "{what}");
    }
    // Stages of a custom plan: any number decodes.
    for count in 0..=255_usize {
        let stage = Stage { share_bps: Bps::new(1).unwrap(), blocks: 1, min_requests: 0, gate: Gate::Time };
        let strategy = Strategy::Custom { on_complete: OnComplete::Promote, stages: vec![stage; count] };
        let terms = Terms { max_blocks: None, ..strategy.default_terms() };
        let bytes = deploy_bytes("p", "1.0.0", &strategy, &terms);
        match TxCommand::from_bytes(&bytes).unwrap() {
            TxCommand::Valid(_) => assert!((1..=STAGES_MAX).contains(&count), "{count} stages"),
            TxCommand::Invalid { reject, .. } => {
                assert!(!(1..=STAGES_MAX).contains(&count) && reject == Reject::InvalidPlan, "{count} stages");
            }
        }
    }
}

/// A register_version that may break any rule.
struct RawManifest {
    plugin: Vec<u8>,
    version: Vec<u8>,
    host: Vec<u8>,
    requirements: Vec<(Vec<u8>, Vec<u8>)>,
    config: Vec<u8>,
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for RawManifest {
    fn default() -> Self {
        let (plugin, version) = (b"p".to_vec(), b"1.0.0".to_vec());
        Self { plugin, version, host: vec![], requirements: vec![], config: vec![], metadata: vec![] }
    }
}

impl RawManifest {
    fn command(&self) -> Vec<u8> {
        let mut out = Writer::default();
        CommandKind::RegisterVersion.encode(&mut out);
        out.lp8(&self.plugin);
        out.lp8(&self.version);
        self.encode_behind_version(&mut out);
        out.into_bytes()
    }

    fn encode_behind_version(&self, out: &mut Writer) {
        out.hash(&Hash([7; 32]));
        out.lp8(&self.host);
        pairs(out, &self.requirements);
        out.lp16(&self.config);
        pairs(out, &self.metadata);
    }
}

fn pairs(out: &mut Writer, pairs: &[(Vec<u8>, Vec<u8>)]) {
    out.u8(u8::try_from(pairs.len()).unwrap());
    for (key, text) in pairs {
        out.lp8(key);
        out.lp8(text);
    }
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn constraint(text: &str) -> Constraint {
    text.parse().unwrap()
}

/// A version without requirements.
fn a_plugin_change() -> PluginChange {
    PluginChange {
        action: PluginAction::Staged,
        version: version("1.0.0"),
        success: true,
        share: Bps::ZERO,
        duration: 0,
        reason: PluginReason::None,
        actor: Address::ZERO,
    }
}

fn a_version() -> PluginVersion {
    PluginVersion {
        version: version("1.0.0"),
        status: VersionStatus::Loading,
        registered: 1,
        reported: None,
        counts: Counts::default(),
        manifest: Manifest::of_code(Hash([7; 32])).into(),
    }
}

/// A blue_green deployment in its first stage.
fn a_deployment() -> Deployment {
    let strategy = Strategy::with_defaults(StrategyKind::BlueGreen);
    Deployment {
        strategy: strategy.kind(),
        old: version("1.0.0"),
        new: version("2.0.0"),
        hold: Hold::Running,
        held: Default::default(),
        healthy: false,
        stage: 0,
        stage_height: 1,
        start: 1,
        due: None,
        salt: 1,
        plan: Plan::compile(&strategy, &strategy.default_terms()).unwrap().into(),
        canary: Counts { requests: 9, errors: 5, latency_sum: 0 },
        production: Counts::default(),
        stage_requests: 8,
        stage_errors: 4,
    }
}

/// Records whose fields contradict each other do not decode.
#[test]
fn what_contradicts_itself_is_refused() {
    type Edit<'a, T> = &'a dyn Fn(&mut T);
    fn check<T: Clone + Encode + Decode>(sound: &T, rows: &[(&str, bool, Edit<'_, T>)]) {
        for (what, good, edit) in rows {
            let mut value = sound.clone();
            edit(&mut value);
            assert_eq!(T::from_bytes(&value.to_bytes()).is_ok(), *good, "{what}");
        }
    }
    let feature = rich().state.feature(&name("a")).unwrap().clone();
    check(
        &feature,
        &[
            ("as it is stored", true, &|_| {}),
            ("steps by nothing", false, &|feature| feature.increment_percent = percent(0)),
            ("steps after no block", false, &|feature| feature.increment_blocks = 0),
            ("every error allowed", true, &|feature| feature.max_error_rate = 10_000),
            ("more than every error", false, &|feature| feature.max_error_rate = 10_001),
        ],
    );
    check(
        &Registry { auto_load: true, ..Registry::default() },
        &[
            ("auto_load", true, &|_| {}),
            ("the default", false, &|registry| registry.auto_load = false),
            ("3 versions", true, &|registry| registry.max_versions = MaxVersions::MIN),
            ("64 versions", true, &|registry| registry.max_versions = MaxVersions::MAX),
        ],
    );
    for (max, good) in [(2_u16, false), (3, true), (64, true), (65, false)] {
        let mut bytes = Registry { max_versions: MaxVersions::MAX, ..Registry::default() }.to_bytes();
        let at = bytes.len() - 3;
        bytes[at..at + 2].copy_from_slice(&max.to_be_bytes());
        assert_eq!(
            (Registry::from_bytes(&bytes).is_ok(), MaxVersions::new(max).is_ok()),
            (good, good),
            "{max} versions"
        );
    }
    let plugin = Plugin {
        current: version("1.0.0"),
        previous: None,
        rule: None,
        load_state: LoadState::Unloaded,
        loaded: None,
        versions: 1,
        deployments: 0,
        dependents: 0,
    };
    check(&plugin, &[("unloaded with a version", false, &|plugin| plugin.loaded = Some(version("1.0.0")))]);
    for state in LoadState::ALL {
        let row: Edit<'_, Plugin> = &|plugin| plugin.load_state = *state;
        check(&plugin, &[(state.name(), *state == LoadState::Unloaded, row)]);
        check(
            &Plugin { loaded: Some(version("1.0.0")), ..plugin.clone() },
            &[(state.name(), *state != LoadState::Unloaded, row)],
        );
    }
    let requirement = |plugin: &str| Requirement { plugin: name(plugin), constraint: constraint("*") };
    let manifest = |edit: &dyn Fn(&mut Manifest)| {
        let mut manifest = Manifest::of_code(Hash([7; 32]));
        edit(&mut manifest);
        std::sync::Arc::new(manifest)
    };
    let many = |count: usize| (0..count).map(|n| requirement(&format!("p{n:03}"))).collect::<Vec<_>>();
    let texts = |count: usize| (0..count).map(|n| (name(&format!("p{n:03}")), String::new())).collect::<Vec<_>>();
    check(
        &a_version(),
        &[
            ("sound", true, &|_| {}),
            ("as many errors as requests", true, &|v| v.counts = Counts { requests: 1, errors: 1, latency_sum: 0 }),
            ("more", false, &|v| v.counts = Counts { requests: 1, errors: 2, latency_sum: 0 }),
            ("32 requirements", true, &|v| v.manifest = manifest(&|m| m.requirements = many(32))),
            ("33 requirements", false, &|v| v.manifest = manifest(&|m| m.requirements = many(33))),
            ("out of order", false, &|v| {
                v.manifest = manifest(&|m| m.requirements = vec![requirement("b"), requirement("a")])
            }),
            ("twice", false, &|v| {
                v.manifest = manifest(&|m| m.requirements = vec![requirement("a"), requirement("a")])
            }),
            ("16 metadata", true, &|v| v.manifest = manifest(&|m| m.metadata = texts(16))),
            ("17 metadata", false, &|v| v.manifest = manifest(&|m| m.metadata = texts(17))),
            ("a config of 4 096", true, &|v| v.manifest = manifest(&|m| m.config = vec![0; CONFIG_SIZE_MAX])),
            ("a config of 4 097", false, &|v| v.manifest = manifest(&|m| m.config = vec![0; CONFIG_SIZE_MAX + 1])),
        ],
    );
    let most = Counts { requests: ARM_REQUESTS_MAX, errors: ARM_REQUESTS_MAX, latency_sum: u64::MAX };
    let above = Counts { requests: ARM_REQUESTS_MAX + 1, ..most };
    check(
        &a_deployment(),
        &[
            ("sound", true, &|_| {}),
            ("the last stage", true, &|d| d.stage = 1),
            ("no stage of the plan", false, &|d| d.stage = 2),
            ("the most requests", true, &|d| (d.canary, d.production) = (most, most)),
            ("a canary above them", false, &|d| d.canary = above),
            ("production above them", false, &|d| d.production = above),
            ("all of the canary in the stage", true, &|d| (d.stage_requests, d.stage_errors) = (9, 5)),
            ("more requests than the canary", false, &|d| d.stage_requests = 10),
            ("more errors than the canary", false, &|d| d.stage_errors = 6),
            ("more errors than requests", false, &|d| (d.stage_requests, d.stage_errors) = (3, 4)),
            ("one version", false, &|d| d.new = d.old.clone()),
            ("one version but for its build", false, &|d| d.new = version("1.0.0+b")),
        ],
    );
    let change = PluginChange { share: Bps::FULL, ..a_plugin_change() };
    // lp8 version between action and success.
    let mut bytes = change.to_bytes();
    assert!(PluginChange::from_bytes(&bytes).is_ok());
    bytes[9] += 1;
    assert_eq!(PluginChange::from_bytes(&bytes).unwrap_err().kind, DecodeErrorKind::OutOfRange, "a share of 10 001");
    let mut staged = Event::Staged { plugin: name("p"), stage: 0, share: Bps::FULL }.to_bytes();
    assert!(Event::from_bytes(&staged).is_ok());
    *staged.last_mut().unwrap() += 1;
    assert_eq!(Event::from_bytes(&staged).unwrap_err().kind, DecodeErrorKind::OutOfRange, "a share of 10 001");
    // What a deployment was judged by may be anything: it is told, not kept.
    let evidence = Evidence { requests: 0, errors: u64::MAX, ..Evidence::default() };
    assert_eq!(Evidence::from_bytes(&evidence.to_bytes()), Ok(evidence));
    // A key has no build metadata, and a version that is one.
    let key = |version: &[u8]| Key::from_bytes(&[b"\xda\x01p", version].concat());
    for (text, good) in [("1.0.0", true), ("1.0.0-a", true), ("1.0.0+b", false), ("1.0", false), ("", false)] {
        assert_eq!(key(text.as_bytes()).is_ok(), good, "{text}");
    }
}

/// Schedules in schedules, as deep as a command is long: refused, without as many calls on the stack.
#[test]
fn nesting_has_no_depth() {
    for (innermost, decodes) in [(enable("f").to_bytes(), true), (vec![9], false)] {
        let mut bytes = innermost;
        while bytes.len() + 8 <= COMMAND_SIZE_MAX {
            bytes = nested(9, &bytes);
        }
        match TxCommand::from_bytes(&bytes) {
            Ok(TxCommand::Invalid { reject, .. }) => assert!(decodes && reject == Reject::InvalidParameter),
            other => assert!(!decodes && other.is_err(), "{other:?}"),
        }
    }
}

/// What a block file could carry must come out of a block as it went in.
#[test]
fn every_block_reads_back_as_itself() {
    let payloads = vec![
        tx(ADMIN, &[create("f")]),
        raw_tx(ADMIN, &[with_byte(&canary("f", 0), 0, 101)]),
        Payload::from_bytes(b""),
        Payload::from_bytes(&[0xff; 40]),
        tx(OPERATOR, &[enable("f"), disable("f")]),
    ];
    let block = Block::from_payloads(7, payloads).unwrap();
    assert!(!block.is_empty() && Block::empty(7).is_empty());
    assert_eq!(Block::from_bytes(&block.to_bytes()), Ok(block));
    let transactions = vec![Transaction::new(ADMIN, vec![create("f")]).unwrap(); 2];
    let payloads = transactions.iter().cloned().map(Payload::Transaction).collect();
    assert_eq!(Block::new(7, transactions), Block::from_payloads(7, payloads));
    let genesis = Genesis::new("c", [(ADMIN, Role::Admin.into()), (USER, Roles::from(Role::Feeder) | Role::Reporter)]);
    let genesis = genesis.unwrap();
    assert_eq!(Genesis::from_bytes(&genesis.to_bytes()), Ok(genesis));
}

#[test]
fn a_genesis_unites_the_roles_of_an_address() {
    let roles = |mask| Roles::from_mask(mask).unwrap();
    for (given, expected) in [
        (vec![(ADMIN, 1), (ADMIN, 4)], vec![(ADMIN, 5)]),
        (vec![(ADMIN, 4), (ADMIN, 1)], vec![(ADMIN, 5)]),
        (vec![(USER, 2), (ADMIN, 1), (USER, 16), (USER, 2)], vec![(ADMIN, 1), (USER, 18)]),
        (vec![(ADMIN, 1), (ADMIN, 0)], vec![(ADMIN, 1)]),
    ] {
        let given = given.into_iter().map(|(address, mask)| (address, roles(mask)));
        let genesis = Genesis::new("c", given).unwrap();
        let united = genesis.roles().iter().map(|(address, roles)| (*address, roles.mask()));
        assert_eq!(united.collect::<BTreeMap<_, _>>(), expected.into_iter().collect());
    }
    let nobody = Genesis::new("c", [(ADMIN, Role::Admin.into()), (USER, Roles::NONE), (USER, Roles::NONE)]);
    assert_eq!(nobody, Err(GenesisError::NoRole));
}

#[test]
fn a_genesis_obeys_its_rules() {
    let genesis = |roles: &[(Address, u8)], params: [u32; 3]| {
        let mut out = Writer::default();
        out.lp8(b"c");
        out.u16(u16::try_from(roles.len()).unwrap());
        for (address, mask) in roles {
            out.address(address);
            out.u8(*mask);
        }
        params.into_iter().for_each(|param| out.u32(param));
        Genesis::from_bytes(&out.into_bytes()).map(|_| ()).map_err(|error| error.kind)
    };
    let params = [1_000, 0, 0];
    for (roles, params, expected) in [
        (vec![(ADMIN, 1)], params, Ok(())),
        (vec![(ADMIN, 1), (OPERATOR, 31)], [1, 1, 1], Ok(())),
        (vec![], params, Err(DecodeErrorKind::OutOfRange)),
        (vec![(ADMIN, 30)], params, Err(DecodeErrorKind::OutOfRange)),
        (vec![(ADMIN, 1), (OPERATOR, 0)], params, Err(DecodeErrorKind::OutOfRange)),
        (vec![(ADMIN, 1), (OPERATOR, 32)], params, Err(DecodeErrorKind::UnknownTag)),
        (vec![(OPERATOR, 1), (ADMIN, 1)], params, Err(DecodeErrorKind::Unsorted)),
        (vec![(ADMIN, 1), (ADMIN, 1)], params, Err(DecodeErrorKind::Unsorted)),
        (vec![(ADMIN, 1)], [0, 0, 0], Err(DecodeErrorKind::OutOfRange)),
        (vec![(ADMIN, 1)], [1, 1, 0], Err(DecodeErrorKind::OutOfRange)),
        (vec![(ADMIN, 1)], [1, 0, 7], Ok(())),
    ] {
        assert_eq!(genesis(&roles, params), expected, "{roles:?} {params:?}");
    }
}

#[test]
fn a_genesis_that_is_built_obeys_them_too() {
    let build = |chain: &str, roles: &[(Address, Roles)], params: [u32; 3]| {
        let [max_due_per_block, breaker_rollbacks, breaker_window] = params;
        let params =
            Params { max_due_per_block, breaker_rollbacks: NonZeroU32::new(breaker_rollbacks), breaker_window };
        let chain = ChainId::new(chain.as_bytes())?;
        Genesis::with_params(chain, roles.iter().copied().collect(), params).map(|_| ())
    };
    let (admin, operator) = ((ADMIN, Role::Admin.into()), (OPERATOR, Role::Operator.into()));
    let params = [1, 0, 0];
    let (longest, long) = ("c".repeat(64), "c".repeat(65));
    for (chain, roles, params, expected) in [
        ("", vec![admin, operator], params, Ok(())),
        (longest.as_str(), vec![admin], [1, 1, 1], Ok(())),
        (long.as_str(), vec![admin], params, Err(GenesisError::Chain(ValueError::ChainId))),
        ("a b", vec![admin], params, Err(GenesisError::Chain(ValueError::ChainId))),
        ("c", vec![], params, Err(GenesisError::NoAdmin)),
        ("c", vec![operator], params, Err(GenesisError::NoAdmin)),
        ("c", vec![admin, (OPERATOR, Roles::NONE)], params, Err(GenesisError::NoRole)),
        ("c", vec![admin], [0, 0, 0], Err(GenesisError::Params)),
        ("c", vec![admin], [1, 1, 0], Err(GenesisError::Params)),
    ] {
        assert_eq!(build(chain, &roles, params), expected, "{chain} {roles:?} {params:?}");
    }
    let many = |count: u32| (0..count).map(|n| (user(n), Role::Admin.into()));
    assert!(Genesis::new("c", many(65_535)).is_ok_and(|genesis| genesis.roles().len() == 65_535));
    assert_eq!(Genesis::new("c", many(65_536)), Err(GenesisError::TooManyAddresses));
}

// A state whose records were damaged.

/// A small ledger with a record of every kind but those of plugins.
fn rich() -> World {
    let mut world =
        World::with_params(Params { max_due_per_block: 9, breaker_rollbacks: NonZeroU32::new(5), breaker_window: 50 });
    world.run(10, ADMIN, &[create_with("a", steps_every(100))]);
    world.run(11, ADMIN, &[create_on("ab", &["a"]), grant(USER, Role::Reporter)]);
    world.run(12, OPERATOR, &[canary("a", 5), rollout("a", 50), set_override("a", USER, true), canary("ab", 1)]);
    world.run(13, REPORTER, &[report("a", 3, 0)]);
    world.at(
        14,
        vec![
            tx(OPERATOR, &[schedule(40, vec![enable("a"), canary("ab", 2)])]),
            // An item in each state, and an open put that lists one of them.
            tx(
                FEEDER,
                &[put(FeedPart::Only, &[("e", 1), ("f", 1)], &[("e", 1)]), put(FeedPart::Only, &[("e", 2)], &[])],
            ),
            tx(FEEDER, &[gone(FeedKind::Filter, "g", 1), put(FeedPart::First, &[("e", 2)], &[])]),
        ],
    );
    world
}

/// A small ledger with a record of every kind of plugins.
///
/// `api` is Loading and in a canary; it requires `lib`, which is Loaded. `web` waits for `ui`, which
/// does not exist, and `late` is in the load queue.
fn rich_in_plugins() -> World {
    let mut world = World::new();
    let deploy = {
        let strategy = Strategy::with_defaults(StrategyKind::AbTest);
        let terms = strategy.default_terms();
        Command::deploy(name("api"), version("1.1.0"), strategy, &terms).unwrap()
    };
    let host = Command::SetHostVersion { version: version("1.4.0") };
    let auto = Command::SetRegistryParams { max_versions: None, auto_load: Some(true) };
    let attest = Command::ReportLoad { plugin: name("lib"), version: version("1.0.0"), ok: true };
    let api = [register("api", "1.0.0+b", &["lib"]), register("api", "1.1.0", &["lib"])];
    world.run(10, ADMIN, &[&[host, register("lib", "1.0.0", &[])], &api[..]].concat());
    world.run(11, ADMIN, &[auto, register("web", "1.0.0", &["ui"])]);
    world.run(12, OPERATOR, &[Command::Load { plugin: name("api") }]);
    world.run(13, REPORTER, &[attest]);
    let outcome = world.at(14, vec![tx(OPERATOR, &[deploy]), tx(ADMIN, &[register("late", "1.0.0", &[])])]);
    assert_eq!(outcome.receipts, [Receipt::Ok, Receipt::Ok]);
    world
}

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

/// A version that requires any of these plugins.
fn register(plugin: &str, text: &str, requirements: &[&str]) -> Command {
    let requirement = |plugin: &&str| Requirement { plugin: name(plugin), constraint: constraint("*") };
    let requirements = requirements.iter().map(requirement).collect();
    let manifest = Manifest { requirements, ..Manifest::of_code(Hash([7; 32])) };
    Command::RegisterVersion {
        plugin: name(plugin),
        version: version(text),
        manifest: Valid::new(Arc::new(manifest)).unwrap(),
    }
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
        Key::DeploymentDue { plugin, .. } | Key::LoadDue { plugin, .. } => Some(plugin),
        Key::Dependent { dependent, .. } => Some(dependent),
        Key::Global | Key::Roles(_) | Key::Schedule { .. } | Key::Registry => None,
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
            Key::Change { .. } | Key::Override { .. } | Key::Policy(_) | Key::Schedule { .. } => false,
            Key::Plugin(_) | Key::PluginVersion { .. } | Key::Deployment(_) | Key::DeploymentDue { .. } => true,
            // What waits for nothing does not wait.
            Key::Dependent { dependency, .. } => dependency != Some(name("ui")),
            Key::Registry | Key::PluginChange { .. } | Key::LoadDue { .. } => false,
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
                Key::Global | Key::Roles(_) | Key::Registry => continue,
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

/// Records that decode, each by itself, and contradict each other.
#[test]
fn a_contradiction_is_a_fault() {
    let on = |names: &[&str]| {
        let prerequisites = names.iter().map(|text| name(text)).collect();
        Policy { prerequisites, ..Policy::default() }.to_bytes()
    };
    let global = |edit: &dyn Fn(&mut Global)| {
        let mut global = *rich().state.global();
        edit(&mut global);
        global.to_bytes()
    };
    let totals = |edit: &dyn Fn(&mut FeedState)| {
        let mut totals = *rich().state.feed();
        edit(&mut totals);
        totals.to_bytes()
    };
    let item = |id: &str| FeedKey { kind: FeedKind::Environment, id: feed_id(id) };
    let forgotten = FeedItem { version: 0, state: ItemState::Forgotten }.to_bytes();
    let (a, ab) = (name("a"), name("ab"));
    let rolling = |at: u8, target: u8| {
        let mut feature = rich().feature("a").clone();
        feature.status = Status::RollingOut;
        (feature.rollout_percent, feature.target_percent) = (percent(at), percent(target));
        feature.to_bytes()
    };
    // What is put, and the record that the fault names.
    let rows: Vec<(&str, Key, Vec<u8>, Key)> = vec![
        ("a default policy", Key::Policy(a), Policy::default().to_bytes(), Key::Policy(a)),
        ("an unknown prerequisite", Key::Policy(a), on(&["z"]), Key::Policy(a)),
        ("itself", Key::Policy(a), on(&["a"]), Key::Policy(a)),
        ("a circle", Key::Policy(a), on(&["ab"]), Key::Policy(a)),
        ("too many admins", Key::Global, global(&|global| global.admins += 1), Key::Global),
        ("too few", Key::Global, global(&|global| global.admins = 0), Key::Global),
        ("an admin more", Key::Roles(user(1)), vec![1], Key::Global),
        ("an id not given yet", Key::Global, global(&|global| global.next_schedule_id = 1), Key::Global),
        ("active and rolling", Key::Step { at: 112, name: ab }, vec![], Key::Step { at: 112, name: ab }),
        ("due twice", Key::Step { at: 113, name: a }, vec![], Key::Step { at: 113, name: a }),
        ("a put that is not open", Key::Feed, totals(&|totals| totals.open = false), Key::Feed),
        ("an environment more", Key::Feed, totals(&|totals| totals.environments += 1), Key::Feed),
        ("a filter less", Key::Feed, totals(&|totals| totals.filters -= 1), Key::Feed),
        ("a live filter", Key::Feed, totals(&|totals| totals.live_filters += 1), Key::Feed),
        ("none live", Key::Feed, totals(&|totals| totals.live_environments = 0), Key::Feed),
        ("one listed more", Key::Feed, totals(&|totals| totals.listed += 1), Key::Feed),
        ("an item more", Key::FeedItem(item("z")), forgotten, Key::Feed),
        ("one listed that is not counted", Key::FeedListed(item("z")), vec![], Key::Feed),
        ("indexed and unknown", Key::FeedIndex(item("z")), vec![], Key::FeedIndex(item("z"))),
        ("indexed and forgotten", Key::FeedIndex(item("f")), vec![], Key::FeedIndex(item("f"))),
        ("rolling down", Key::Feature(a), rolling(100, 99), Key::Feature(a)),
    ];
    for (what, key, value, named) in rows {
        let mut records = rich().records;
        records.0.insert(key.to_bytes(), value);
        match records.load(Some(14)) {
            Err(Fault::Corrupt { key, .. }) => assert_eq!(Key::from_bytes(&key), Ok(named), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// As many items as the feed may hold load, and one more does not: every command on it would be refused.
#[test]
fn a_feed_beyond_its_limits_is_a_fault() {
    use ItemState::{Forgotten, Live};
    let live = || Live(body(b""));
    // How many items there are of each kind, what they are, whether a put is open, and whether the state loads.
    let rows = [
        ("records", FEED_RECORDS_MAX, 0, Forgotten, false, true),
        ("an environment more", FEED_RECORDS_MAX + 1, 0, Forgotten, false, false),
        ("a filter more while a put is open", 0, FEED_RECORDS_MAX + 1, Forgotten, true, false),
        ("live items", FEED_LIVE_MAX - 1, 1, live(), false, true),
        ("a live item more", FEED_LIVE_MAX, 1, live(), false, false),
        ("a live item more while a put is open", FEED_LIVE_MAX, 1, live(), true, true),
    ];
    for (what, environments, filters, state, open, loads) in rows {
        let mut records = World::new().records;
        let item = FeedItem { version: 0, state };
        let mut totals = FeedState { environments, filters, open, ..FeedState::default() };
        if item.is_live() {
            (totals.live_environments, totals.live_filters) = (environments, filters);
        }
        records.0.insert(Key::Feed.to_bytes(), totals.to_bytes());
        let kinds = [(FeedKind::Environment, environments), (FeedKind::Filter, filters)];
        for (kind, n) in kinds.into_iter().flat_map(|(kind, count)| (0..count).map(move |n| (kind, n))) {
            let key = FeedKey { kind, id: feed_id(&n.to_string()) };
            records.0.insert(Key::FeedItem(key).to_bytes(), item.to_bytes());
            if item.is_indexed() {
                records.0.insert(Key::FeedIndex(key).to_bytes(), Vec::new());
            }
        }
        match records.load(None) {
            Ok(_) => assert!(loads, "{what}"),
            Err(Fault::Corrupt { key, .. }) => assert_eq!((key, loads), (Key::Feed.to_bytes(), false), "{what}"),
            Err(fault) => panic!("{what}: {fault:?}"),
        }
    }
}

/// One edit of the records: a key, and its new value or none.
type Put = (Key, Option<Vec<u8>>);

/// Records of plugins that decode, each by itself, and contradict each other.
#[test]
fn a_contradiction_among_plugins_is_a_fault() {
    fn edit<T: Decode + Encode>(key: Key, edit: impl FnOnce(&mut T)) -> Put {
        let mut value = T::from_bytes(&rich_in_plugins().records.0[&key.to_bytes()]).unwrap();
        edit(&mut value);
        (key, Some(value.to_bytes()))
    }
    let plugin = |text: &str, change: &dyn Fn(&mut Plugin)| edit(Key::Plugin(name(text)), change);
    let deployment = |change: &dyn Fn(&mut Deployment)| edit(Key::Deployment(name("api")), change);
    let version_key = |plugin: &str, text: &str| Key::PluginVersion { plugin: name(plugin), version: version(text) };
    let status = |text: &str, status: VersionStatus| {
        edit(version_key("api", text), |record: &mut PluginVersion| record.status = status)
    };
    let another = |plugin: &str, text: &str, status: VersionStatus| {
        let record = PluginVersion { version: version(text), status, ..a_version() };
        (version_key(plugin, text), Some(record.to_bytes()))
    };
    let row = |dependency: Option<&str>, dependent: &str| Key::Dependent {
        dependency: dependency.map(name),
        dependent: name(dependent),
    };
    let added = |key: Key| (key, Some(Vec::new()));
    let gone = |key: Key| (key, None);
    let look = |at, plugin: &str| Key::DeploymentDue { at, plugin: name(plugin) };
    let records = rich_in_plugins().records;
    let value = |key: Key| records.0[&key.to_bytes()].clone();
    let api = || Key::Plugin(name("api"));
    let lib = || Key::Plugin(name("lib"));
    let canary = || Key::Deployment(name("api"));
    let due = query::deployment(&records, &name("api")).unwrap().unwrap().due.unwrap().get();
    let requiring = |plugins: &[&str]| {
        edit(version_key("web", "1.0.0"), |record: &mut PluginVersion| {
            let requirement = |plugin: &&str| Requirement { plugin: name(plugin), constraint: constraint("*") };
            let requirements = plugins.iter().map(requirement).collect();
            record.manifest = Manifest { requirements, ..Manifest::clone(&record.manifest) }.into();
        })
    };
    let change = Key::PluginChange { plugin: name("lib"), height: 10, seq: 0 };
    let orphan = Key::PluginChange { plugin: name("z"), height: 10, seq: 0 };
    // What is put, and the record that the fault names.
    let rows: Vec<(&str, Vec<Put>, Key)> = vec![
        // A plugin against its versions.
        ("a current one that is not there", vec![plugin("api", &|p| p.current = version("3.0.0"))], api()),
        ("spelled otherwise", vec![plugin("api", &|p| p.current = version("1.0.0+c"))], api()),
        ("too many versions", vec![plugin("api", &|p| p.versions += 1)], api()),
        ("too few versions", vec![plugin("api", &|p| p.versions -= 1)], api()),
        ("a version more", vec![another("api", "3.0.0", VersionStatus::Loading)], api()),
        ("a version less", vec![gone(version_key("api", "1.1.0"))], api()),
        ("a previous one that is not there", vec![plugin("api", &|p| p.previous = Some(version("0.1.0")))], api()),
        ("a previous one spelled otherwise", vec![plugin("api", &|p| p.previous = Some(version("1.1.0+x")))], api()),
        ("previous is current", vec![plugin("api", &|p| p.previous = Some(p.current.clone()))], api()),
        ("loaded is another", vec![plugin("api", &|p| p.loaded = Some(version("1.1.0")))], api()),
        ("loaded is spelled otherwise", vec![plugin("api", &|p| p.loaded = Some(version("1.0.0")))], api()),
        ("no versions at all", vec![gone(version_key("lib", "1.0.0"))], lib()),
        // Versions against the plugin and its deployment.
        ("two active ones", vec![status("1.1.0", VersionStatus::Active)], version_key("api", "1.1.0")),
        ("current is not active", vec![status("1.0.0", VersionStatus::Deprecated)], version_key("api", "1.0.0")),
        ("new is no canary", vec![status("1.1.0", VersionStatus::Loading)], version_key("api", "1.1.0")),
        ("a canary without a deployment", vec![gone(canary()), gone(look(due, "api"))], version_key("api", "1.1.0")),
        (
            "two canaries",
            vec![another("api", "3.0.0", VersionStatus::Canary), plugin("api", &|p| p.versions += 1)],
            version_key("api", "3.0.0"),
        ),
        (
            "the record of another version",
            vec![(version_key("api", "1.1.0"), Some(value(version_key("api", "1.0.0"))))],
            version_key("api", "1.1.0"),
        ),
        // A deployment against the plugin.
        ("an old one that is not current", vec![deployment(&|d| d.old = version("3.0.0"))], canary()),
        ("an old one spelled otherwise", vec![deployment(&|d| d.old = version("1.0.0"))], canary()),
        ("a new one that is not there", vec![deployment(&|d| d.new = version("3.0.0"))], canary()),
        ("a new one spelled otherwise", vec![deployment(&|d| d.new = version("1.1.0+x"))], canary()),
        // The looks.
        ("no look", vec![gone(look(due, "api"))], look(due, "api")),
        ("a look too many", vec![added(look(due + 1, "api"))], look(due + 1, "api")),
        ("a look at another height", vec![deployment(&|d| d.due = NonZeroU32::new(due + 1))], look(due, "api")),
        ("a deadline that is not due", vec![deployment(&|d| d.due = None)], Key::Deployment(name("api"))),
        (
            "a look beyond the deadline",
            vec![deployment(&|d| d.due = NonZeroU32::new(u32::MAX))],
            Key::Deployment(name("api")),
        ),
        ("a look while it is held", vec![deployment(&|d| d.hold = Hold::Paused)], Key::Deployment(name("api"))),
        ("the cohort of another deployment", vec![deployment(&|d| d.salt += 1)], Key::Deployment(name("api"))),
        ("a gate that is none", vec![deployment(&|d| d.healthy = true)], Key::Deployment(name("api"))),
        ("a look at no deployment", vec![added(look(due, "lib"))], look(due, "lib")),
        // The index of dependents.
        ("too many dependents", vec![plugin("lib", &|p| p.dependents += 1)], lib()),
        ("too few dependents", vec![plugin("lib", &|p| p.dependents -= 1)], lib()),
        ("a requirement without its row", vec![gone(row(Some("lib"), "api"))], row(Some("lib"), "api")),
        ("loaded without the row of the host", vec![gone(row(None, "lib"))], row(None, "lib")),
        ("unloaded with a row of the host", vec![added(row(None, "late"))], row(None, "late")),
        ("a row that nothing requires", vec![added(row(Some("lib"), "late"))], row(Some("lib"), "late")),
        ("a row of what is not there", vec![added(row(Some("z"), "api"))], row(Some("z"), "api")),
        ("a row for what is not there", vec![added(row(Some("lib"), "z"))], row(Some("lib"), "z")),
        ("a row of the host for it", vec![added(row(None, "z"))], row(None, "z")),
        ("it waits for one of two", vec![requiring(&["ui", "uj"])], row(Some("uj"), "web")),
        ("it waits for another", vec![requiring(&["uj"])], row(Some("ui"), "web")),
        ("it waits for nothing", vec![requiring(&[])], row(Some("ui"), "web")),
        (
            "a plugin that waits for a known one, uncounted",
            vec![requiring(&["late", "ui"]), added(row(Some("late"), "web"))],
            Key::Plugin(name("late")),
        ),
        (
            "failed, and it holds on to its requirements",
            vec![plugin("api", &|p| p.load_state = LoadState::Failed)],
            lib(),
        ),
        (
            "failed, and its row is left",
            vec![plugin("api", &|p| p.load_state = LoadState::Failed), plugin("lib", &|p| p.dependents = 0)],
            row(Some("lib"), "api"),
        ),
        // What belongs to nothing.
        ("a version of nothing", vec![another("z", "1.0.0", VersionStatus::Active)], version_key("z", "1.0.0")),
        (
            "a deployment of nothing",
            vec![(Key::Deployment(name("z")), Some(value(canary())))],
            Key::Deployment(name("z")),
        ),
        ("a change of nothing", vec![(orphan.clone(), Some(value(change)))], orphan),
        (
            "nothing in the load queue",
            vec![added(Key::LoadDue { at: 20, plugin: name("z") })],
            Key::LoadDue { at: 20, plugin: name("z") },
        ),
        ("a plugin gone", vec![gone(lib())], version_key("lib", "1.0.0")),
    ];
    for (what, puts, named) in rows {
        let mut records = records.clone();
        for (key, value) in puts {
            match value {
                Some(value) => records.0.insert(key.to_bytes(), value),
                None => records.0.remove(&key.to_bytes()),
            };
        }
        match records.load(Some(14)) {
            Err(Fault::Corrupt { key, .. }) => assert_eq!(Key::from_bytes(&key), Ok(named), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// Plugins put straight into the records, each with one version that requires the others given.
fn with_plugins(plugins: &[(String, LoadState, u16, Vec<&str>)]) -> Records {
    let mut records = World::new().records;
    for (plugin, load_state, dependents, requirements) in plugins {
        let current = version("1.0.0");
        let loaded = (*load_state != LoadState::Unloaded).then(|| current.clone());
        let (previous, rule) = (None, None);
        let record = Plugin {
            current: current.clone(),
            previous,
            rule,
            load_state: *load_state,
            loaded,
            versions: 1,
            deployments: 0,
            dependents: *dependents,
        };
        let requirement = |plugin: &&str| Requirement { plugin: name(plugin), constraint: constraint("*") };
        let requirements: Vec<Requirement> = requirements.iter().map(requirement).collect();
        let mut keys = Vec::new();
        if *load_state != LoadState::Unloaded {
            keys.push(Key::Dependent { dependency: None, dependent: name(plugin) });
        }
        for requirement in requirements.iter().filter(|_| load_state.holds_requirements()) {
            keys.push(Key::Dependent { dependency: Some(requirement.plugin), dependent: name(plugin) });
        }
        records.0.extend(keys.into_iter().map(|key| (key.to_bytes(), Vec::new())));
        let manifest = Manifest { requirements, ..Manifest::of_code(Hash([7; 32])) }.into();
        let of_version = PluginVersion { status: VersionStatus::Active, manifest, ..a_version() };
        records.0.insert(Key::Plugin(name(plugin)).to_bytes(), record.to_bytes());
        let key = Key::PluginVersion { plugin: name(plugin), version: current };
        records.0.insert(key.to_bytes(), of_version.to_bytes());
    }
    records
}

#[test]
fn the_longest_keys_are_of_an_item_and_of_a_version() {
    let item = FeedKey { kind: FeedKind::Filter, id: FeedId::new(&[b'i'; FeedId::LEN_MAX]).unwrap() };
    let longest = version(&format!("1.0.0-{}", "x".repeat(Version::LEN_MAX - 6)));
    let plugin = name(&"p".repeat(Name::LEN_MAX));
    for key in [Key::FeedItem(item), Key::PluginVersion { plugin, version: longest }] {
        assert_eq!(key.to_bytes().len(), Key::LEN_MAX, "{key:?}");
    }
}

/// What is scheduled is 1 to 16 commands, each of a kind that can be.
#[test]
fn a_schedule_record_holds_what_can_be_scheduled() {
    let rows = [
        (vec![], Err(DecodeErrorKind::TooLarge)),
        (vec![enable("a")], Ok(())),
        (vec![enable("a"); 16], Ok(())),
        (vec![enable("a"); 17], Err(DecodeErrorKind::TooLarge)),
        (vec![create("a")], Err(DecodeErrorKind::OutOfRange)),
        (vec![enable("a"), report("a", 1, 0)], Err(DecodeErrorKind::OutOfRange)),
        (vec![schedule(9, vec![enable("a")])], Err(DecodeErrorKind::OutOfRange)),
    ];
    for (commands, expected) in rows {
        let mut bytes = OPERATOR.0.to_vec();
        // What is behind tag and height in a command is behind the actor in the record.
        bytes.extend(&schedule_bytes(9, &commands)[5..]);
        let found = Scheduled::from_bytes(&bytes).map(|_| ()).map_err(|error| error.kind);
        assert_eq!((found, Valid::new(commands.clone()).is_ok()), (expected, expected.is_ok()), "{commands:?}");
    }
}

/// What is held exists, and leads in no circle; what is waited for need not exist.
#[test]
fn what_plugins_hold_on_to_is_sound() {
    use LoadState::{Failed, Loaded, Loading, Pending, Unloading};
    let dependent = |on: &str, plugin: &str| Key::Dependent { dependency: Some(name(on)), dependent: name(plugin) };
    let plugin = |text: &str| Key::Plugin(name(text));
    // Name, load state, dependents, requirements; the record that the fault names.
    type Row = (&'static str, Vec<(&'static str, LoadState, u16, Vec<&'static str>)>, Option<Key>);
    let rows: Vec<Row> = vec![
        ("a chain", vec![("a", Loaded, 1, vec![]), ("b", Loaded, 1, vec!["a"]), ("c", Loading, 0, vec!["b"])], None),
        ("itself", vec![("a", Loaded, 1, vec!["a"])], Some(plugin("a"))),
        ("each other", vec![("a", Loaded, 1, vec!["b"]), ("b", Unloading, 1, vec!["a"])], Some(plugin("a"))),
        (
            "a circle and what leads to it",
            vec![("a", Pending, 0, vec!["b"]), ("b", Pending, 2, vec!["c"]), ("c", Pending, 1, vec!["b"])],
            Some(plugin("a")),
        ),
        ("a circle that one has left", vec![("a", Loaded, 0, vec!["b"]), ("b", Failed, 1, vec!["a"])], None),
        ("what does not exist", vec![("a", Pending, 0, vec!["z"])], Some(dependent("z", "a"))),
    ];
    for (what, plugins, named) in rows {
        let plugins: Vec<_> =
            plugins.into_iter().map(|(name, state, count, on)| (name.into(), state, count, on)).collect();
        match (with_plugins(&plugins).load(Some(1)), named) {
            (Ok(_), None) => {}
            (Err(fault), Some(named)) if names(&fault, &named) => {}
            (found, named) => panic!("{what}: {found:?}, not {named:?}"),
        }
    }
    // Those that wait for one that does not exist.
    let waiting = |count: usize| {
        let plugins = (0..count).map(|n| (format!("p{n:04}"), LoadState::Unloaded, 0, vec!["z"])).collect::<Vec<_>>();
        let mut records = with_plugins(&plugins);
        records.0.extend(plugins.iter().map(|(plugin, ..)| (dependent("z", plugin).to_bytes(), Vec::new())));
        records.load(Some(1))
    };
    assert!(waiting(DEPENDENTS_MAX).is_ok());
    let last = format!("p{DEPENDENTS_MAX:04}");
    assert!(matches!(waiting(DEPENDENTS_MAX + 1), Err(fault) if names(&fault, &dependent("z", &last))));
}

#[test]
fn indexes_of_plugins_that_are_too_long_are_faults() {
    let plugins = |count: usize, state: LoadState, on: &[&'static str]| {
        (0..count).map(|n| (format!("p{n:04}"), state, 0, on.to_vec())).collect::<Vec<_>>()
    };
    // Dependents of one plugin.
    for (count, sound) in [(DEPENDENTS_MAX, true), (DEPENDENTS_MAX + 1, false)] {
        let mut all = plugins(count, LoadState::Pending, &["lib"]);
        all.push(("lib".into(), LoadState::Loaded, u16::try_from(count).unwrap(), Vec::new()));
        match with_plugins(&all).load(Some(1)) {
            Ok(_) => assert!(sound, "{count} dependents"),
            Err(fault) => assert!(!sound && names(&fault, &Key::Plugin(name("lib"))), "{count} dependents: {fault}"),
        }
    }
    // Rows of the host; failed plugins have one too.
    for (count, sound) in [(LOADED_MAX, true), (LOADED_MAX + 1, false)] {
        match with_plugins(&plugins(count, LoadState::Failed, &["z"])).load(Some(1)) {
            Ok(_) => assert!(sound, "{count} rows of the host"),
            Err(fault) => assert!(!sound && names(&fault, &Key::Plugin(name("p0000"))), "{count} rows: {fault}"),
        }
    }
    // Versions of one plugin.
    let mut records = with_plugins(&plugins(1, LoadState::Unloaded, &[]));
    let plugin = name("p0000");
    for count in 2..=65_u16 {
        let another = version(&format!("1.0.{count}"));
        let record = PluginVersion { version: another.clone(), ..a_version() };
        records.0.insert(Key::PluginVersion { plugin, version: another }.to_bytes(), record.to_bytes());
        let key = Key::Plugin(plugin).to_bytes();
        let mut value = Plugin::from_bytes(&records.0[&key]).unwrap();
        value.versions = count;
        records.0.insert(key, value.to_bytes());
        match records.load(Some(1)) {
            Ok(_) => assert!(count <= 64, "{count} versions"),
            Err(fault) => assert!(count > 64 && names(&fault, &Key::Plugin(plugin)), "{count} versions: {fault}"),
        }
    }
}

fn names(fault: &Fault, named: &Key) -> bool {
    matches!(fault, Fault::Corrupt { key, .. } if *key == named.to_bytes())
}

/// A path of as many prerequisites as a feature may have loads, a longer one does not.
#[test]
fn a_path_that_is_too_long_is_a_fault() {
    let on = |text: &str| Policy { prerequisites: vec![name(text)], ..Policy::default() }.to_bytes();
    for (edges, sound) in [(8, true), (9, false)] {
        let mut world = World::new();
        let features: Vec<String> = (0..=9).map(|n| format!("f{n}")).collect();
        for feature in &features {
            world.run(world.state.tip().map_or(1, |tip| tip + 1), ADMIN, &[create(feature)]);
        }
        for pair in features[..=edges].windows(2) {
            world.records.0.insert(Key::Policy(name(&pair[1])).to_bytes(), on(&pair[0]));
        }
        assert_eq!(world.records.load(Some(99)).is_ok(), sound, "{edges} edges");
    }
}

/// The key of the fault must be that of a record in the store, or the operator looks in vain.
#[test]
fn a_fault_names_a_record_that_is_there() {
    let world = rich();
    let orphans = [
        (Key::Metrics(name("z")), Key::Metrics(name("a"))),
        (Key::Policy(name("z")), Key::Policy(name("ab"))),
        (Key::Override { name: name("z"), user: USER }, Key::Override { name: name("a"), user: USER }),
        (Key::Change { name: name("z"), height: 12, seq: 3 }, Key::Change { name: name("a"), height: 12, seq: 0 }),
        (Key::Active(name("z")), Key::Active(name("a"))),
        (Key::Step { at: 5, name: name("z") }, Key::Step { at: 112, name: name("a") }),
    ];
    for (orphan, like) in orphans {
        let mut records = world.records.clone();
        let value = records.0[&like.to_bytes()].clone();
        let value = if matches!(orphan, Key::Metrics(_)) { rename(&value, b'z') } else { value };
        records.0.insert(orphan.to_bytes(), value);
        match records.load(Some(14)) {
            Err(Fault::Corrupt { key, .. }) => assert_eq!(Key::from_bytes(&key), Ok(orphan)),
            other => panic!("{orphan:?}: {other:?}"),
        }
    }
}

/// The name of one byte inside a record replaced.
fn rename(value: &[u8], byte: u8) -> Vec<u8> {
    [&value[..4], &[byte], &value[5..]].concat()
}

#[test]
fn a_fault_of_the_source_is_passed_on_and_a_key_twice_is_one() {
    let world = rich();
    let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| Ok((key.clone(), value.clone()));
    for at in 0..=world.records.0.len() {
        let mut entries: Vec<Result<_, Fault>> = world.records.0.iter().map(entry).collect();
        entries.insert(at, Err(Fault::store(std::io::Error::other("disk"))));
        let fault = State::load(entries, None).unwrap_err();
        assert_eq!(fault.to_string(), "the store failed: disk");
        assert!(matches!(fault, Fault::Store(_)));
    }
    for first in world.records.0.iter() {
        let entries = world.records.0.iter().chain([first]).map(entry);
        assert!(State::load(entries, None).is_err(), "{} twice", hex::encode(first.0));
    }
    assert!(Records::default().load(None).is_err(), "no records are no state");
}

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
            Key::PluginChange { plugin, .. } => query::plugin_history(&records, &plugin, None, 99).map(|_| ()),
            // The value of an index entry is not read by queries; loading refuses it.
            Key::Step { .. }
            | Key::Active(_)
            | Key::Dependent { .. }
            | Key::DeploymentDue { .. }
            | Key::LoadDue { .. }
            | Key::FeedIndex(_)
            | Key::FeedListed(_) => continue,
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

// Numbers at their edges.

const LAST: Height = Height::MAX;

/// A ledger whose record under `key` was edited.
fn edited<T: Decode + Encode>(world: &World, key: Key, edit: impl FnOnce(&mut T)) -> World {
    let mut records = world.records.clone();
    let mut value = T::from_bytes(&records.0[&key.to_bytes()]).unwrap();
    edit(&mut value);
    records.0.insert(key.to_bytes(), value.to_bytes());
    World::of_records(records, world.tip())
}

fn edited_metrics(world: &World, feature: &str, edit: impl FnOnce(&mut Metrics)) -> World {
    let mut records = world.records.clone();
    let key = Key::Metrics(name(feature));
    let mut metrics = query::metrics(&records, &name(feature)).unwrap().unwrap();
    edit(&mut metrics);
    let mut out = Writer::default();
    metrics.encode(&name(feature), &mut out);
    records.0.insert(key.to_bytes(), out.into_bytes());
    World::of_records(records, world.tip())
}

#[test]
fn the_last_height_is_a_height_and_nothing_follows_it() {
    let mut world = World::new();
    world.run(LAST - 6, ADMIN, &[create_with("f", steps_every(5)), create_with("g", steps_every(6))]);
    world.run(LAST - 5, OPERATOR, &[canary("f", 5), rollout("f", 100), canary("g", 5), rollout("g", 100)]);
    // One falls due at the last height, the other a block too late: never.
    assert!(world.records.keys(KeyPrefix::Due).eq([Key::Step { at: LAST, name: name("f") }]));
    world.run(LAST - 2, OPERATOR, &[schedule(LAST, vec![set_override("f", USER, true)]), trip(LAST, false)]);
    assert_eq!(world.probe(&tx(OPERATOR, &[trip(0, false)])), refused(Reject::InvalidTransition));
    world.advance(LAST - 1);
    let outcome = world.block(
        LAST,
        vec![
            tx(OPERATOR, &[advance("g")]),
            tx(OPERATOR, &[schedule(LAST, vec![enable("g")])]),
            tx(OPERATOR, &[trip(LAST, false)]),
            tx(OPERATOR, &[canary("f", 1)]),
            tx(REPORTER, &[report("f", 1, 0)]),
        ],
    );
    let codes: Vec<&str> = outcome.receipts.iter().map(Receipt::name).collect();
    assert_eq!(codes, ["not_due", "height_in_past", "height_in_past", "rollout_in_progress", "ok"]);
    let names: Vec<&str> = outcome.events.iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["breaker_closed", "override_set", "schedule_executed", "stepped"]);
    assert_eq!(world.stands("f"), (Status::RollingOut, 15));
    for (height, to) in [(LAST, LAST), (0, 0), (1, 1)] {
        assert!(matches!(world.state.execute(&Block::empty(height)), Err(BlockError::NotAbove { .. })));
        assert!(matches!(world.state.advance(to), Err(BlockError::NotAbove { .. })));
    }
}

#[test]
fn the_first_block_may_have_any_height_and_every_next_one_follows() {
    for first in [0, 1, 100, LAST - 1, LAST] {
        let mut world = World::new();
        world.block(first, Vec::new());
        for wrong in [0, first, first.saturating_sub(1), first.saturating_add(2)] {
            if Some(wrong) != first.checked_add(1) {
                assert!(world.state.execute(&Block::empty(wrong)).is_err(), "{wrong} after {first}");
            }
        }
    }
}

#[test]
fn schedule_ids_end() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let mut world = edited::<Global>(&world, Key::Global, |global| global.next_schedule_id = u64::MAX - 1);
    let payload = tx(OPERATOR, &[schedule(9, vec![enable("f")])]);
    assert_eq!(world.block(2, vec![payload.clone()]).events, [Event::Scheduled { id: u64::MAX - 1, at: 9 }]);
    assert_eq!(world.probe(&payload), refused(Reject::LimitExceeded));
    world.run(3, OPERATOR, &[cancel(9, u64::MAX - 1)]);
    assert_eq!(world.probe(&payload), refused(Reject::LimitExceeded), "an id is used once");
}

#[test]
fn counters_saturate() {
    let mut world = World::new();
    let changes = FeatureChanges {
        max_error_rate: Some(10_000),
        ..policy(Policy { window_blocks: NonZeroU32::new(10), max_invariant_failures: u64::MAX, ..Policy::default() })
    };
    world.run(1, ADMIN, &[create_with("f", changes)]);
    world.run(2, OPERATOR, &[canary("f", 1)]);
    let mut world = edited::<Feature>(&world, Key::Feature(name("f")), |feature| {
        (feature.success_count, feature.error_count) = (u64::MAX - 1, u64::MAX - 1);
    });
    world = edited_metrics(&world, "f", |metrics| {
        let near = u64::MAX - 1;
        *metrics = Metrics {
            total_operations: near,
            successful_ops: near,
            failed_ops: 0,
            peak_latency: near,
            invariant_checks: near,
            invariant_failures: near,
            latency_sum: near,
            trial_invariant_failures: near,
            trial_latency_sum: near,
            trial_operations: near,
            step_operations: near,
            window_start: 2,
            current_successes: near,
            current_errors: near,
            previous_successes: near,
            previous_errors: near,
        };
    });
    let most = Report {
        successes: u32::MAX,
        errors: u32::MAX,
        latency_total: u64::MAX,
        latency_peak: u64::MAX,
        invariant_checks: u32::MAX,
        invariant_failures: u32::MAX,
    };
    world.run(3, REPORTER, &[tell("f", most), tell("f", most)]);
    let max = u64::MAX;
    let expected = Metrics {
        total_operations: max,
        successful_ops: max,
        failed_ops: u64::from(u32::MAX) * 2,
        peak_latency: max,
        invariant_checks: max,
        invariant_failures: max,
        latency_sum: max,
        trial_invariant_failures: max,
        trial_latency_sum: max,
        trial_operations: max,
        step_operations: max,
        window_start: 2,
        current_successes: max,
        current_errors: max,
        previous_successes: max - 1,
        previous_errors: max - 1,
    };
    assert_eq!(world.state.metrics(&name("f")), Some(&expected));
    assert_eq!((world.feature("f").success_count, world.feature("f").error_count), (max, max));
    assert_eq!(world.stands("f"), (Status::Canary, 1));
}

#[test]
fn rates_are_right_at_the_largest_counts() {
    let max = u64::MAX;
    // errors and successes before a report of one success, the highest rate, whether it is exceeded.
    for (errors, successes, max_error_rate, exceeded) in [
        (max, max, 5_000, false),
        (max, max, 4_999, true),
        (max, 0, 9_999, false),
        (max, 0, 9_998, true),
        (1, max, 0, false),
        (max / 100, max, 99, false),
        (max / 100, max, 98, true),
    ] {
        let mut world = World::new();
        let changes = FeatureChanges { max_error_rate: Some(max_error_rate), ..FeatureChanges::default() };
        world.run(1, ADMIN, &[create_with("f", changes)]);
        world.run(2, OPERATOR, &[canary("f", 1)]);
        let mut world = edited::<Feature>(&world, Key::Feature(name("f")), |feature| {
            (feature.error_count, feature.success_count) = (errors, successes);
        });
        let payload = tx(OPERATOR, &[rollout("f", 100)]);
        let receipt = if successes < 100 {
            Reject::InsufficientData
        } else if exceeded {
            Reject::ErrorRateExceeded
        } else {
            Reject::Malformed
        };
        if receipt == Reject::Malformed {
            assert_eq!(world.probe(&payload), Receipt::Ok);
        } else {
            assert_eq!(world.probe(&payload), refused(receipt));
        }
        world.run(3, REPORTER, &[report("f", 1, 0)]);
        let rolled_back = world.feature("f").status == Status::RolledBack;
        assert_eq!(rolled_back, exceeded, "{errors} {successes} {max_error_rate}");
    }
}

#[test]
fn the_breaker_counts_to_the_end() {
    let params =
        Params { max_due_per_block: u32::MAX, breaker_rollbacks: NonZeroU32::new(u32::MAX), breaker_window: u32::MAX };
    let mut world = World::with_params(params);
    world.run(0, ADMIN, &[create("f")]);
    let mut world = edited::<Global>(&world, Key::Global, |global| global.rollbacks_in_window = u32::MAX - 2);
    for (height, open) in [(1, false), (4, true), (7, true)] {
        world.run(height, OPERATOR, &[canary("f", 1)]);
        world.run(height + 1, REPORTER, &[bad_report("f")]);
        assert_eq!(world.state.global().breaker.is_some(), open, "{height}");
        if open {
            world.run(height + 2, ADMIN, &[Command::ResetBreaker]);
        }
    }
    assert_eq!(world.state.global().rollbacks_in_window, u32::MAX, "the count stays where it is");
}
