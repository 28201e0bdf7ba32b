//! Numbers, keys, commands, limits, defaults: both ways.

use super::*;

#[test]
fn numbers_are_those_of_the_code() {
    fn code<T: Copy>(
        all: &[T],
        number: impl Fn(T) -> u64,
        name: impl Fn(T) -> &'static str,
    ) -> BTreeMap<u64, &'static str> {
        let found: BTreeMap<_, _> = all.iter().map(|value| (number(*value), name(*value))).collect();
        assert_eq!(found.len(), all.len(), "a number twice in the code");
        found
    }
    let expected: BTreeMap<&str, BTreeMap<u64, &str>> = [
        ("status", code(Status::ALL, |v| v.tag().into(), Status::name)),
        ("reason", code(Reason::ALL, |v| v.tag().into(), Reason::name)),
        ("cause", code(Cause::ALL, |v| v.tag().into(), Cause::name)),
        ("bucketing", code(Bucketing::ALL, |v| v.tag().into(), Bucketing::name)),
        ("advance", code(Advance::ALL, |v| v.tag().into(), Advance::name)),
        ("lifetime", code(Lifetime::ALL, |v| v.tag().into(), Lifetime::name)),
        ("rule", code(RollbackRule::ALL, |v| v.tag().into(), RollbackRule::name)),
        ("closed_by", code(BreakerClosedBy::ALL, |v| v.tag().into(), BreakerClosedBy::name)),
        ("strategy", code(StrategyKind::ALL, |v| v.tag().into(), StrategyKind::name)),
        ("gate", code(Gate::ALL, |v| v.tag().into(), Gate::name)),
        ("on_complete", code(OnComplete::ALL, |v| v.tag().into(), OnComplete::name)),
        ("hold", code(Hold::ALL, |v| v.tag().into(), Hold::name)),
        ("shortfall", code(Shortfall::ALL, |v| v.tag().into(), Shortfall::name)),
        ("load_state", code(LoadState::ALL, |v| v.tag().into(), LoadState::name)),
        ("version_status", code(VersionStatus::ALL, |v| v.tag().into(), VersionStatus::name)),
        ("action", code(PluginAction::ALL, |v| v.tag().into(), PluginAction::name)),
        ("plugin_reason", code(PluginReason::ALL, |v| v.tag().into(), PluginReason::name)),
        ("role", code(&Role::ALL, |v| v.mask().into(), Role::name)),
        ("reject", code(Reject::ALL, |v| v.code().into(), Reject::name)),
        ("feed_kind", code(FeedKind::ALL, |v| v.tag().into(), FeedKind::name)),
        ("feed_part", code(FeedPart::ALL, |v| v.tag().into(), FeedPart::name)),
        ("item_state", (0..).zip(ItemState::NAMES).collect()),
        ("pool_kind", code(PoolKind::ALL, |v| v.tag().into(), PoolKind::name)),
        // The code has a bool.
        ("breaker", [(0, "closed"), (1, "open")].into()),
    ]
    .into();
    assert_eq!(document().numbers(), expected);
}

/// A name is read as what it is the name of, and nothing else is.
#[test]
fn names_of_numbers_are_read_back() {
    fn check<T: Copy + PartialEq + std::fmt::Debug>(
        all: &[T],
        name: fn(T) -> &'static str,
        read: fn(&str) -> Option<T>,
    ) {
        all.iter().for_each(|value| assert_eq!(read(name(*value)), Some(*value)));
        assert_eq!(read("nothing"), None);
    }
    check(Status::ALL, Status::name, Status::from_name);
    check(Reason::ALL, Reason::name, Reason::from_name);
    check(Cause::ALL, Cause::name, Cause::from_name);
    check(Hold::ALL, Hold::name, Hold::from_name);
    check(FeedKind::ALL, FeedKind::name, FeedKind::from_name);
    check(Reject::ALL, Reject::name, Reject::from_name);
}

#[test]
fn sizes_are_limited_as_the_text_says() {
    let kind = |bytes: &[u8]| TxCommand::from_bytes(bytes).unwrap_err().kind;
    let cut = [CommandKind::Schedule.tag(), 0, 0];
    let frame = nested(9, &[]).len();
    for (inside, expected) in [
        (vec![0; COMMAND_SIZE_MAX - frame], DecodeErrorKind::UnknownTag),
        (vec![0; COMMAND_SIZE_MAX - frame + 1], DecodeErrorKind::TooLarge),
        (cut.into(), DecodeErrorKind::Short),
    ] {
        assert_eq!(kind(&nested(9, &inside)), expected, "{} bytes", inside.len());
    }
    let describe = |len: usize| Command::create_feature("f".parse().unwrap(), &"d".repeat(len));
    assert!(describe(Description::LEN_MAX).is_ok());
    assert_eq!(describe(Description::LEN_MAX + 1), Err(ValueError::Description));
    let chain = |len: usize| Genesis::new(&"c".repeat(len), [(ADMIN, Role::Admin.into())]);
    assert!(chain(Name::LEN_MAX).is_ok());
    assert_eq!(chain(Name::LEN_MAX + 1), Err(GenesisError::Chain(ValueError::ChainId)));
}

#[test]
fn events_are_those_of_the_code() {
    let document = document();
    let told = two_columns(document.table(Some("event"), &["code", "event"]));
    let code: BTreeMap<u64, &str> = EventCode::ALL.iter().map(|event| (event.tag().into(), event.name())).collect();
    assert_eq!(told, code);
}

#[test]
fn commands_are_those_of_the_code() {
    let document = document();
    let table = document.table(Some("command"), &["tag", "command", "fields", "who", "scheduled"]);
    let told: Vec<(String, String, String, String)> =
        table.rows.iter().map(|row| (row[0].clone(), row[1].clone(), row[3].clone(), row[4].clone())).collect();
    let code: Vec<_> = CommandKind::ALL
        .iter()
        .map(|kind| {
            let who: Vec<&str> = kind.roles().iter().map(|role| role.name()).collect();
            let scheduled = if kind.is_schedulable() { "yes" } else { "no" };
            (kind.tag().to_string(), kind.name().to_owned(), who.join(", "), scheduled.to_owned())
        })
        .collect();
    assert_eq!(told, code);
}

#[test]
fn keys_are_those_of_the_code() {
    let document = document();
    let table = document.table(Some("Keys"), &["prefix", "record"]);
    let told: BTreeSet<String> = table.rows.iter().map(|row| row[0].clone()).collect();
    let code: BTreeSet<String> = KeyPrefix::ALL.iter().map(|prefix| format!("{:02X}", prefix.byte())).collect();
    assert_eq!(told, code);
    assert_eq!((STATE_KEYS.start, STATE_KEYS.end), (0xd0, 0xe0), "as the text says");
    let kinds: Vec<u8> = table
        .rows
        .iter()
        .filter(|row| row[0] == "D7")
        .map(|row| unhex(row[2].split(", ").next().unwrap().strip_prefix("kind =").unwrap())[0])
        .collect();
    assert_eq!(kinds, DueKind::ALL.map(DueKind::byte));
    for row in &table.rows {
        let example = unhex(&row[4]);
        let key = Key::from_bytes(&example).unwrap_or_else(|error| panic!("{}: {error}", row[4]));
        assert_eq!(key.to_bytes(), example);
        assert_eq!(format!("{:02X}", key.prefix().byte()), row[0]);
    }
}

#[test]
fn limits_and_defaults_are_those_of_the_code() {
    let document = document();
    let pairs = |column: &str| -> BTreeMap<String, u64> {
        let table = document.table(None, &[column, "value"]);
        let pairs: BTreeMap<_, _> = table.rows.iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
        assert_eq!(pairs.len(), table.rows.len(), "a {column} twice");
        pairs
    };
    let size = |size: usize| u64::try_from(size).unwrap();
    let expected = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    let limits = [
        ("FORMAT", FORMAT.into()),
        ("RULES_NOTICE", RULES_NOTICE.into()),
        ("NAME_LEN_MAX", size(Name::LEN_MAX)),
        ("DESCRIPTION_LEN_MAX", size(Description::LEN_MAX)),
        ("KEY_LEN_MAX", size(Key::LEN_MAX)),
        ("COMMAND_SIZE_MAX", size(COMMAND_SIZE_MAX)),
        ("TX_COMMANDS_MAX", size(TX_COMMANDS_MAX)),
        ("SCHEDULE_COMMANDS_MAX", size(SCHEDULE_COMMANDS_MAX)),
        ("SCHEDULED_MAX", SCHEDULED_MAX.into()),
        ("SCHEDULED_RESERVED", SCHEDULED_RESERVED.into()),
        ("BLOCK_WORK_MAX", BLOCK_WORK_MAX.into()),
        ("BLOCK_TXS_MAX", size(BLOCK_TXS_MAX)),
        ("BLOCK_SIZE_MAX", size(BLOCK_SIZE_MAX)),
        // The width of the count.
        ("GENESIS_ADDRESSES_MAX", u16::MAX.into()),
        ("PREREQUISITES_MAX", size(PREREQUISITES_MAX)),
        ("PREREQUISITE_DEPTH_MAX", PREREQUISITE_DEPTH_MAX.into()),
        ("PREREQUISITES_BELOW_MAX", size(PREREQUISITES_BELOW_MAX)),
        ("PARAMS_BLOCKS_MAX", Params::BLOCKS_MAX.into()),
        ("QUORUM_MAX", Params::QUORUM_MAX.into()),
        ("REPORTERS_MAX", size(Pool::REPORTERS_MAX)),
        ("VERSION_LEN_MAX", size(Version::LEN_MAX)),
        ("CONSTRAINT_LEN_MAX", size(Constraint::LEN_MAX)),
        ("COMPARATORS_MAX", size(Constraint::COMPARATORS_MAX)),
        ("VERSIONS_MIN", MaxVersions::MIN.get().into()),
        ("VERSIONS_MAX", MaxVersions::MAX.get().into()),
        ("REQUIREMENTS_MAX", size(REQUIREMENTS_MAX)),
        ("METADATA_MAX", size(METADATA_MAX)),
        ("CONFIG_SIZE_MAX", size(CONFIG_SIZE_MAX)),
        ("STAGES_MAX", size(STAGES_MAX)),
        ("ARM_REQUESTS_MAX", ARM_REQUESTS_MAX),
        ("DEPLOYMENTS_MAX", size(DEPLOYMENTS_MAX)),
        ("DEPENDENTS_MAX", size(DEPENDENTS_MAX)),
        ("LOADED_MAX", size(LOADED_MAX)),
        ("LOAD_PLUGINS_MAX", size(LOAD_PLUGINS_MAX)),
        ("LOAD_DEPTH_MAX", size(LOAD_DEPTH_MAX)),
        ("FEED_ID_LEN_MAX", size(FeedId::LEN_MAX)),
        ("FEED_BODY_LEN_MAX", size(FeedBody::LEN_MAX)),
        ("FEED_FORGET_IDS_MAX", size(FEED_FORGET_IDS_MAX)),
        ("FEED_PUT_IDS_MAX", FEED_PUT_IDS_MAX.into()),
        ("FEED_LIVE_MAX", FEED_LIVE_MAX.into()),
        ("FEED_LIVE_OPEN_MAX", FEED_LIVE_OPEN_MAX.into()),
        ("FEED_UNBORN_MAX", FEED_UNBORN_MAX.into()),
        ("FEED_RECORDS_MAX", FEED_RECORDS_MAX.into()),
        ("BUCKETS", BUCKETS.into()),
        ("DEPTH_MAX", tree::DEPTH_MAX.into()),
    ];
    assert_eq!(pairs("limit"), expected(&limits));

    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let feature = world.feature("f");
    let policy = Policy::default();
    let params = Params::default();
    let registry = Registry::default();
    assert_eq!(registry.host_version.to_string(), "0.0.0", "as the text says");
    assert!(policy.prerequisites.is_empty(), "as the table, which has no list");
    let defaults = [
        ("target_percent", feature.target_percent.get().into()),
        ("increment_percent", feature.increment_percent.get().into()),
        ("increment_blocks", feature.increment_blocks.into()),
        ("max_error_rate", feature.max_error_rate.into()),
        ("min_success_count", feature.min_success_count),
        ("bucketing", policy.bucketing.tag().into()),
        ("advance", policy.advance.tag().into()),
        ("salt", policy.salt),
        ("min_samples", policy.min_samples.into()),
        ("window_blocks", policy.window_blocks.map_or(0, NonZeroU32::get).into()),
        ("step_min_operations", policy.step_min_operations),
        ("max_invariant_failures", policy.max_invariant_failures),
        ("max_latency", policy.max_latency.map_or(0, NonZeroU64::get)),
        ("lifetime", policy.lifetime.tag().into()),
        ("expires_at", policy.expires_at.map_or(0, NonZeroU32::get).into()),
        ("max_due_per_block", params.max_due_per_block.into()),
        ("breaker_rollbacks", params.breaker_rollbacks.map_or(0, NonZeroU32::get).into()),
        ("breaker_window", params.breaker_window.into()),
        ("timelock", params.timelock.map_or(0, NonZeroU32::get).into()),
        ("sequenced", params.sequenced.into()),
        ("round_blocks", params.round_blocks.map_or(0, NonZeroU32::get).into()),
        ("quorum", params.quorum.into()),
        ("max_versions", registry.max_versions.get().into()),
        ("auto_load", registry.auto_load.into()),
    ];
    assert_eq!(pairs("default"), expected(&defaults));
}

/// The fields of a default deploy, read by the layouts from what the code writes.
#[test]
fn defaults_of_a_deploy_are_those_of_the_code() {
    let document = document();
    let layouts = Layouts::of(&document);
    let names: Vec<&str> = StrategyKind::ALL.iter().map(|kind| kind.name()).collect();
    let table = document.table(None, &[&["deploy"], names.as_slice()].concat());
    for (column, kind) in StrategyKind::ALL.iter().enumerate() {
        let strategy = Strategy::with_defaults(*kind);
        let terms = strategy.default_guardrails();
        let bytes = deploy_bytes("p", "1.0.0", &strategy, &terms);
        let Value::Object(read) = layouts.whole(&Type::Named("command".into()), &bytes, kind.name()) else { panic!() };
        let figure = |value: &Value| match value {
            Value::Bool(flag) => u64::from(*flag).to_string(),
            Value::Array(pair) => pair[0].to_string(),
            value => value.to_string(),
        };
        let told = table.rows.iter().map(|row| (row[0].clone(), row[column + 1].clone()));
        let told: BTreeMap<String, String> = told.filter(|(_, cell)| !cell.is_empty()).collect();
        let without = ["op", "plugin", "version", "strategy", "stages"];
        let code = read.iter().filter(|(field, _)| !without.contains(&field.as_str()));
        let code: BTreeMap<String, String> = code.map(|(field, value)| (field.clone(), figure(value))).collect();
        assert_eq!(told, code, "{}", kind.name());
    }
}

#[test]
fn ids_are_as_the_text_says() {
    let inside: Vec<u8> = (0..=u8::MAX).filter(|byte| FeedId::new(&[*byte]).is_ok()).collect();
    assert_eq!(inside, (b'!'..=b'~').collect::<Vec<u8>>());
    for (len, fits) in [(0, false), (1, true), (128, true), (129, false), (255, false)] {
        assert_eq!(FeedId::new(&vec![b'e'; len]).is_ok(), fits, "{len}");
    }
}

#[test]
fn names_are_as_the_text_says() {
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(byte);
    let inside: Vec<u8> = (0..=u8::MAX).filter(|byte| Name::new(&[b'a', *byte]).is_ok()).collect();
    assert_eq!(inside, (0..=u8::MAX).filter(alphabet).collect::<Vec<u8>>());
    let first: Vec<u8> = (0..=u8::MAX).filter(|byte| Name::new(&[*byte]).is_ok()).collect();
    assert_eq!(first, (0..=u8::MAX).filter(u8::is_ascii_alphanumeric).collect::<Vec<u8>>());
}
