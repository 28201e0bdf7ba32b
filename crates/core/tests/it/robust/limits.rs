//! Limits to the byte, and values that contradict themselves.

use super::*;

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
    // Commands in a transaction.
    for (count, kind) in [(0, DecodeErrorKind::OutOfRange), (17, DecodeErrorKind::TooLarge)] {
        assert_eq!(Transaction::from_bytes(&[&[0; 20], [count].as_slice()].concat()).unwrap_err().kind, kind);
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
        let terms = Guardrails { max_blocks: None, ..strategy.default_guardrails() };
        let bytes = deploy_bytes("p", "1.0.0", &strategy, &terms);
        match TxCommand::from_bytes(&bytes).unwrap() {
            TxCommand::Valid(_) => assert!((1..=STAGES_MAX).contains(&count), "{count} stages"),
            TxCommand::Invalid { reject, .. } => {
                assert!(!(1..=STAGES_MAX).contains(&count) && reject == Reject::InvalidPlan, "{count} stages");
            }
        }
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
        constraint: None,
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
            // The arm may have been halved since.
            ("more requests than the canary", true, &|d| d.stage_requests = 10),
            ("more errors than the canary", true, &|d| d.stage_errors = 6),
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
    let paused = Event::Paused { plugin: name("p"), reason: PluginReason::Manual, evidence };
    assert_eq!(Event::from_bytes(&paused.to_bytes()), Ok(paused));
    // What its threshold is one of follows from the reason, and the number has to fit.
    for (reason, number, threshold) in [
        (PluginReason::None, 0, Ok(Threshold::None)),
        (PluginReason::None, 1, Err(DecodeErrorKind::NotCanonical)),
        (PluginReason::Manual, 0, Ok(Threshold::None)),
        (PluginReason::Manual, 1, Err(DecodeErrorKind::NotCanonical)),
        (PluginReason::ErrorRate, 0, Ok(Threshold::ErrorRate(0))),
        (PluginReason::ErrorRate, u64::MAX, Ok(Threshold::ErrorRate(u64::MAX))),
        (PluginReason::Regression, 196, Ok(Threshold::Z(196))),
        (PluginReason::Timeout, 60, Ok(Threshold::Blocks(60))),
        (PluginReason::Unhealthy, 0, Ok(Threshold::None)),
        (PluginReason::Unhealthy, 1, Err(DecodeErrorKind::NotCanonical)),
        (PluginReason::CircuitBreaker, 0, Ok(Threshold::None)),
        (PluginReason::CircuitBreaker, 1, Err(DecodeErrorKind::NotCanonical)),
        (PluginReason::Dependents, 0, Ok(Threshold::None)),
        (PluginReason::Dependents, 51, Ok(Threshold::Reject(Reject::HasDependents))),
        (PluginReason::Dependents, 30, Err(DecodeErrorKind::UnknownTag)),
        (PluginReason::Dependents, 0x1_0033, Err(DecodeErrorKind::UnknownTag)),
        (PluginReason::Canary, 196, Ok(Threshold::Z(196))),
        (PluginReason::Production, 196, Ok(Threshold::Z(196))),
        (PluginReason::Inconclusive, 196, Ok(Threshold::Z(196))),
        (PluginReason::LoadError, 0, Ok(Threshold::None)),
        (PluginReason::LoadError, 1, Err(DecodeErrorKind::NotCanonical)),
    ] {
        let bytes = [[0; 32].as_slice(), &number.to_be_bytes()].concat();
        let decoded = Evidence::decode(reason, &mut Reader::new(&bytes));
        assert_eq!(
            decoded.map(|evidence| evidence.threshold).map_err(|error| error.kind),
            threshold,
            "{reason} {number}"
        );
        if let Ok(evidence) = decoded {
            assert_eq!(evidence.to_bytes(), bytes, "{reason} {number}");
        }
    }
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
    // Rules, and the parameters about trust: timelock, sequenced, round_blocks, quorum.
    type Trust = (u16, u32, u8, u32, u8);
    let whole = |roles: &[(Address, u8)], params: [u32; 3], (rules, timelock, sequenced, round, quorum): Trust| {
        let mut out = Writer::default();
        out.u16(rules);
        out.lp8(b"c");
        out.u16(u16::try_from(roles.len()).unwrap());
        for (address, mask) in roles {
            out.address(address);
            out.u8(*mask);
        }
        params.into_iter().for_each(|param| out.u32(param));
        out.u32(timelock);
        out.u8(sequenced);
        out.u32(round);
        out.u8(quorum);
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
        // It stands for what happens by itself.
        (vec![(Address::ZERO, 2), (ADMIN, 1)], params, Err(DecodeErrorKind::OutOfRange)),
    ] {
        assert_eq!(whole(&roles, params, (1, 0, 0, 0, 1)), expected, "{roles:?} {params:?}");
    }
    for (trust, expected) in [
        ((1, 1_000_000, 1, 1_000_000, 64), Ok(())),
        ((0, 0, 0, 0, 1), Err(DecodeErrorKind::UnknownTag)),
        ((2, 0, 0, 0, 1), Err(DecodeErrorKind::UnknownTag)),
        ((1, 1_000_001, 0, 0, 1), Err(DecodeErrorKind::OutOfRange)),
        ((1, 0, 2, 0, 1), Err(DecodeErrorKind::NotCanonical)),
        ((1, 0, 0, 1_000_001, 1), Err(DecodeErrorKind::OutOfRange)),
        ((1, 0, 0, 0, 0), Err(DecodeErrorKind::OutOfRange)),
        ((1, 0, 0, 0, 65), Err(DecodeErrorKind::OutOfRange)),
    ] {
        assert_eq!(whole(&[(ADMIN, 1)], params, trust), expected, "{trust:?}");
    }
}

#[test]
fn a_genesis_that_is_built_obeys_them_too() {
    let build = |chain: &str, roles: &[(Address, Roles)], params: [u32; 3]| {
        let [max_due_per_block, breaker_rollbacks, breaker_window] = params;
        let params = Params {
            max_due_per_block,
            breaker_rollbacks: NonZeroU32::new(breaker_rollbacks),
            breaker_window,
            ..Params::default()
        };
        let chain = ChainId::new(chain.as_bytes())?;
        Genesis::with_params(RuleSet::LATEST, chain, roles.iter().copied().collect(), params).map(|_| ())
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
        ("c", vec![admin, (Address::ZERO, Role::Reporter.into())], params, Err(GenesisError::ZeroAddress)),
        ("c", vec![admin], [0, 0, 0], Err(GenesisError::Params)),
        ("c", vec![admin], [1, 1, 0], Err(GenesisError::Params)),
    ] {
        assert_eq!(build(chain, &roles, params), expected, "{chain} {roles:?} {params:?}");
    }
    let many = |count: u32| (0..count).map(|n| (user(n), Role::Admin.into()));
    assert!(Genesis::new("c", many(65_535)).is_ok_and(|genesis| genesis.roles().len() == 65_535));
    assert_eq!(Genesis::new("c", many(65_536)), Err(GenesisError::TooManyAddresses));
}

/// Constructors and `Command::from_bytes` give a command that obeys its rules, or say which one is broken.
#[test]
fn a_command_is_valid_or_says_why_not() {
    assert_eq!(Command::from_bytes(&enable("f").to_bytes()), Ok(enable("f")));
    let malformed = DecodeError { kind: DecodeErrorKind::Short, ..TxCommand::from_bytes(&[]).unwrap_err() };
    assert_eq!(Command::from_bytes(&[]), Err(CommandError::Malformed(malformed)));
    assert_eq!(Command::from_bytes(&create_bytes("f", 1_025)), Err(CommandError::Invalid(Reject::LimitExceeded)));

    let (plugin, version) = (name("p"), Version::zero());
    let too_large = Manifest { config: vec![0; CONFIG_SIZE_MAX + 1], ..Manifest::of_code(Hash::default()) };
    assert_eq!(Command::register_version(plugin, version.clone(), too_large), Err(ValueError::Config));
    let strategy = Strategy::Custom { on_complete: OnComplete::Promote, stages: Vec::new() };
    let guardrails = Strategy::with_defaults(StrategyKind::Canary).default_guardrails();
    assert_eq!(Command::deploy(plugin, version, strategy, &guardrails), Err(ValueError::Plan));
}
