//! Fields so small that every value is tried.

use super::*;

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
    check::<Shortfall>(Shortfall::ALL.iter().map(|value| value.tag()).collect());
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
        evidence: Some(RollbackEvidence {
            rule: RollbackRule::Command,
            errors: 0,
            successes: 0,
            value: 0,
            threshold: 0,
        }),
    }
    .to_bytes();
    let policy_bytes = Policy::default().to_bytes();
    let last_of_policy = policy_bytes.len() - 1;
    let global = World::new().records.0[&Key::Global.to_bytes()].clone();
    // format, rules, lp8 chain, admins, scheduled.
    let breaker = 2 + 2 + 1 + 9 + 4 + 4;
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
        ("change cause", codec::<Change>, change.clone(), 2, vec![7]),
        ("change cause without evidence", codec::<Change>, change[..24].to_vec(), 2, (0..=6).chain([8]).collect()),
        ("change rule", codec::<Change>, change.clone(), 24, (0..=5).collect()),
        ("change reason of a rollback", codec::<Change>, change.clone(), 3, (0..=5).collect()),
        ("change reason without one", codec::<Change>, [&change[..2], &[1], &change[3..24]].concat(), 3, vec![0]),
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
        (
            "plugin change action",
            codec::<PluginChange>,
            plugin_change.clone(),
            0,
            (0..=12).filter(|action| ![6, 8].contains(action)).collect(),
        ),
        (
            "plugin change action with evidence",
            codec::<PluginChange>,
            [plugin_change.as_slice(), &[0; 40]].concat(),
            0,
            vec![6, 8],
        ),
        ("plugin change success", codec::<PluginChange>, plugin_change.clone(), 7, flag.clone()),
        ("plugin change share, high byte", codec::<PluginChange>, plugin_change.clone(), 8, (0..=0x27).collect()),
        ("plugin change reason", codec::<PluginChange>, plugin_change, 14, (0..=11).collect()),
        ("due kind", codec::<Key>, one_step, 1, vec![1, 2, 3, 5]),
        ("due kind of a look", codec::<Key>, one_look, 1, vec![1, 2, 3, 5]),
        ("due kind of a round", codec::<Key>, [&[0xd7, 4, 0, 0, 0, 9, 0, 1][..], b"f"].concat(), 1, vec![4]),
        ("pool kind of a feature", codec::<Key>, [&[0xd7, 4, 0, 0, 0, 9, 0, 1][..], b"f"].concat(), 6, vec![0]),
        (
            "pool kind of a version",
            codec::<Key>,
            [&[0xdf, 2, 1, 1][..], b"p", &[5], b"1.0.0", &[7; 20]].concat(),
            2,
            (1..=4).collect(),
        ),
        ("section of trust", codec::<Key>, [&[0xdf, 1][..], &[7; 20]].concat(), 1, vec![1]),
        ("sequence", rows::sequence_codec, vec![0; 8], 7, (1..=u8::MAX).collect()),
        ("vote", rows::vote_codec, vec![0], 0, flag.clone()),
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
        ("feed open", codec::<FeedTotals>, [&[0; 12], &[1; 9][..], &[0; 8]].concat(), 0, vec![1]),
        (
            "feed open, nothing listed",
            codec::<FeedTotals>,
            [&[0; 16], &[1, 0, 0, 0, 0][..], &[0; 8]].concat(),
            0,
            flag.clone(),
        ),
        ("feed open, nothing else", codec::<FeedTotals>, vec![0; 29], 0, vec![1]),
        ("feed tombstone", codec::<FeedItem>, vec![0; 13], 8, (0..=3).collect()),
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
    let rejects: Vec<u16> = (1..=29).chain(40..=58).chain(80..=83).collect();
    for n in &any {
        assert_eq!(Reject::from_code(*n).map(Reject::code), rejects.contains(n).then_some(*n));
    }
    let receipts = [&[0], rejects.as_slice()].concat();
    let global = World::new().records.0[&Key::Global.to_bytes()].clone();
    let registry = [&[5][..], b"0.0.1", &[0, 3, 0]].concat();
    let plugin = Plugin {
        current: version("1.0.0"),
        previous: None,
        constraint: None,
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
    // A genesis has the rules of a release, and the record of other rules has another layout.
    let rules = [RuleSet::LATEST.number()];
    let rows: Vec<Field<'_>> = vec![
        ("receipt code", codec::<Receipt>, &[0; 3], 0, &receipts),
        ("global format", codec::<Global>, &global, 0, &[coalmine_core::FORMAT]),
        ("global rules", codec::<Global>, &global, 2, &rules),
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
        ("genesis rules", codec::<Genesis>, &genesis, 0, &rules),
        ("genesis roles", codec::<Genesis>, &genesis, 3, &[1]),
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

const TERMS: Guardrails = Guardrails {
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
        ("chain", codec::<Genesis>, &genesis, 2, 3),
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
    check("one that may not be scheduled", vec![enable("f"), cancel(9, 1)], schedule);

    let params = ParamsChanges::default;
    check("no change", params(), None);
    check("no due work", ParamsChanges { max_due_per_block: Some(0), ..params() }, parameter);
    check("no quorum", ParamsChanges { quorum: Some(0), ..params() }, parameter);
    check("a quorum of 64", ParamsChanges { quorum: Some(64), ..params() }, None);
    check("a quorum of 65", ParamsChanges { quorum: Some(65), ..params() }, parameter);
    for (blocks, expected) in [(0, None), (1_000_000, None), (1_000_001, parameter), (u32::MAX, parameter)] {
        check("timelock", ParamsChanges { timelock: Some(blocks), ..params() }, expected);
        check("round", ParamsChanges { round_blocks: Some(blocks), ..params() }, expected);
    }
    check("a window that others may need", ParamsChanges { breaker_window: Some(0), ..params() }, None);
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
