//! Commands and expectations on plugins.

use super::*;

#[test]
fn commands_on_plugins_are_their_bytes() {
    let rows = plugin_commands();
    for kind in CommandKind::ALL.iter().filter(|kind| (40..=56).contains(&kind.tag())) {
        assert!(rows.iter().any(|(json, _)| json["op"] == kind.name()), "no row for {}", kind.name());
    }
    for (json, bytes) in rows {
        let payloads = payloads(&json.to_string());
        let expected = format!("{}01{:04x}{bytes}", "11".repeat(20), bytes.len() / 2);
        assert_eq!(hex::encode(payloads[0].to_bytes()), expected, "{json}");
        assert_eq!(written_txs(payloads), [json]);
    }
}

#[test]
fn what_is_left_out_of_a_command_on_plugins_has_a_default() {
    let of = |json: Value| payloads(&json.to_string());
    let rows = [
        (
            json!({ "op": "register_version", "plugin": "a", "version": "1.0.0", "code_hash": "ab".repeat(32) }),
            json!({ "host": "", "requirements": {}, "config": "", "metadata": {} }),
        ),
        (json!({ "op": "set_rule", "plugin": "a" }), json!({ "constraint": "" })),
        (json!({ "op": "unload", "plugin": "a" }), json!({ "force": false })),
        (
            json!({ "op": "report_version", "plugin": "a", "version": "1.0.0", "requests": 7 }),
            json!({ "errors": 0, "latency_total": 0 }),
        ),
    ];
    for (short, defaults) in rows {
        let mut full = short.clone();
        full.as_object_mut().unwrap().append(&mut defaults.as_object().unwrap().clone());
        assert_eq!(of(short), of(full.clone()), "{full}");
    }
    // Sets are in order, whatever the order of the file.
    let unsorted = r#"{"op":"register_version","plugin":"a","version":"1.0.0","code_hash":"H","requirements":{"x":"1","lib":"*"}}"#
        .replace('H', &"ab".repeat(32));
    let [Payload::Transaction(_)] = &payloads(&unsorted)[..] else { panic!("it is malformed") };
}

/// The one command of this deploy, with these fields beside the strategy.
fn deploy_of(kind: StrategyKind, fields: &Value) -> (Plan, coalmine_core::Guardrails) {
    let mut command = json!({ "op": "deploy", "plugin": "a", "version": "1.0.0", "strategy": kind.name() });
    command.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
    let payloads = payloads(&command.to_string());
    let [Payload::Transaction(tx)] = &payloads[..] else { panic!("{command} is malformed") };
    match tx.commands() {
        [coalmine_core::TxCommand::Valid(Command::Deploy { strategy, .. })] => {
            (strategy.strategy().clone(), *strategy.plan().guardrails())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults_of_a_deploy_are_those_of_its_strategy() {
    for kind in StrategyKind::ALL {
        let mut strategy = Plan::with_defaults(*kind);
        let mut fields = json!({});
        if let Plan::Custom { stages, .. } = &mut strategy {
            fields = json!({ "stages": [{ "share_bps": 10_000, "blocks": 7 }] });
            stages.push(Stage { share_bps: Bps::FULL, blocks: 7, min_requests: 0, gate: Gate::Time });
        }
        let terms = strategy.default_guardrails();
        assert_ne!(terms.max_blocks, None, "{}", kind.name());
        assert_eq!(deploy_of(*kind, &fields), (strategy, terms), "{}", kind.name());
    }
    // The deadline follows from the stages that there are, up to the end of all heights.
    for (duration_blocks, max_blocks) in [(10, 80), (1 << 28, 1 << 31), (1 << 29, u32::MAX)] {
        let (_, terms) = deploy_of(StrategyKind::AbTest, &json!({ "duration_blocks": duration_blocks }));
        assert_eq!(terms.max_blocks, NonZeroU32::new(max_blocks));
    }
    let (_, terms) = deploy_of(StrategyKind::Rolling, &json!({ "initial_bps": 10_000, "max_blocks": 0 }));
    assert_eq!(terms.max_blocks, None, "none is a value, too");
}

#[test]
fn errors_of_commands_on_plugins_say_where() {
    let hash = "ab".repeat(32);
    let register = format!(r#""op":"register_version","plugin":"a","version":"1.0.0","code_hash":"{hash}""#);
    let deploy = r#""op":"deploy","plugin":"a","version":"1.0.0""#;
    let terms = "error_threshold_bps, success_threshold_bps, min_requests, max_blocks, auto_promote, auto_rollback, regression_z_centi";
    let stage = |stage: &str| format!(r#"{{{deploy},"strategy":"custom","stages":[{stage}]}}"#);
    let rows: &[(String, String)] = &[
        (r#"^{"op":"register_version","plugin":"a","version":"1.0.0"}"#.into(), r#"register_version: "code_hash" is missing"#.into()),
        (
            r#"{"op":"register_version","plugin":"a","version":"1.0.0","code_hash":^"00"}"#.into(),
            r#"code_hash: "00" is invalid: a hash is 64 hexadecimal digits"#.into(),
        ),
        (
            format!(r#"{{{register},^"requires":{{}}}}"#),
            r#"unknown key "requires"; register_version takes op, signer, sequence, valid_until, repeat, plugin, version, code_hash, host, requirements, config, metadata"#.into(),
        ),
        (r#"{"op":"load","plugin":^7}"#.into(), "plugin: expected a string, found a number".into()),
        (r#"{"op":"retire_version","plugin":"a","version":^1.0}"#.into(), "version: expected a string, found a number".into()),
        (format!(r#"{{{register},"host":^null}}"#), "host: expected a string, found null".into()),
        (format!(r#"{{{register},"requirements":^["lib"]}}"#), "requirements: expected an object, found an array".into()),
        (format!(r#"{{{register},"requirements":{{"lib":^1}}}}"#), "requirements: lib: expected a string, found a number".into()),
        (format!(r#"{{{register},"requirements":{{"lib":"*",^"lib":"*"}}}}"#), r#"requirements: repeated key "lib""#.into()),
        (format!(r#"{{{register},"config":^"0x00"}}"#), "config: invalid hex: Invalid character 'x' at position 1".into()),
        (format!(r#"{{{register},"metadata":{{"team":^true}}}}"#), "metadata: team: expected a string, found a bool".into()),
        (format!("^{{{deploy}}}"), r#"deploy: "strategy" is missing"#.into()),
        (
            format!(r#"{{{deploy},"strategy":^"big_bang"}}"#),
            r#"strategy: unknown strategy "big_bang"; there are canary, rolling, blue_green, ab_test, custom"#.into(),
        ),
        (
            format!(r#"{{{deploy},"strategy":"rolling",^"max_bps":1}}"#),
            format!(
                r#"unknown key "max_bps"; deploy takes op, signer, sequence, valid_until, repeat, plugin, version, strategy, initial_bps, increment_bps, increment_blocks, {terms}"#
            ),
        ),
        (
            format!(r#"{{{deploy},"strategy":"canary","initial_bps":^65536}}"#),
            "initial_bps: 65536 is out of range; it must be 0 to 65535".into(),
        ),
        (
            format!(r#"{{{deploy},"strategy":"canary","regression_z_centi":^1.96}}"#),
            "regression_z_centi: 1.96 is not an integer; write it without fraction and exponent".into(),
        ),
        (
            format!(r#"{{{deploy},"strategy":"canary","auto_promote":^1}}"#),
            "auto_promote: expected true or false, found a number".into(),
        ),
        (
            format!(r#"{{{deploy},"strategy":"canary","max_blocks":^null}}"#),
            "max_blocks: expected an integer, found null".into(),
        ),
        (format!(r#"^{{{deploy},"strategy":"custom"}}"#), r#"deploy: "stages" is missing"#.into()),
        (format!(r#"{{{deploy},"strategy":"custom","stages":^{{}}}}"#), "stages: expected an array, found an object".into()),
        (
            format!(r#"{{{deploy},"strategy":"custom","stages":[],"on_complete":^"keep"}}"#),
            r#"on_complete: unknown on_complete "keep"; there are promote, conclude"#.into(),
        ),
        (stage("^7"), "stages: expected an object, found a number".into()),
        (stage(r#"^{"share_bps":1}"#), r#"stages: a stage: "blocks" is missing"#.into()),
        (stage(r#"{"share_bps":^-1,"blocks":1}"#), "stages: share_bps: -1 is negative; it must be 0 to 65535".into()),
        (
            stage(r#"{"share_bps":1,"blocks":1,"gate":^"auto"}"#),
            r#"stages: gate: unknown gate "auto"; there are time, manual, health"#.into(),
        ),
        (
            stage(r#"{"share_bps":1,"blocks":1,^"wait":1}"#),
            r#"stages: unknown key "wait"; a stage takes share_bps, blocks, min_requests, gate"#.into(),
        ),
        (r#"{"op":"set_rule","plugin":"a","constraint":^null}"#.into(), "constraint: expected a string, found null".into()),
        (r#"^{"op":"set_host_version"}"#.into(), r#"set_host_version: "version" is missing"#.into()),
        (
            r#"{"op":"set_registry_params","max_versions":^65536}"#.into(),
            "max_versions: 65536 is out of range; it must be 0 to 65535".into(),
        ),
        (
            r#"{"op":"set_registry_params","auto_load":^"on"}"#.into(),
            "auto_load: expected true or false, found a string".into(),
        ),
        (r#"{"op":"unload","plugin":"a","force":^1}"#.into(), "force: expected true or false, found a number".into()),
        (r#"^{"op":"report_version","plugin":"a","version":"1.0.0"}"#.into(), r#"report_version: "requests" is missing"#.into()),
        (
            r#"{"op":"report_version","plugin":"a","version":"1.0.0","requests":^4294967296}"#.into(),
            "requests: 4294967296 is out of range; it must be 0 to 4294967295".into(),
        ),
        (
            r#"{"op":"report_version","plugin":"a","version":"1.0.0","requests":1,"errors":^-1}"#.into(),
            "errors: -1 is negative; it must be 0 to 4294967295".into(),
        ),
        (r#"^{"op":"attest_health","plugin":"a","version":"1.0.0"}"#.into(), r#"attest_health: "healthy" is missing"#.into()),
        (r#"^{"op":"report_load","plugin":"a","version":"1.0.0"}"#.into(), r#"report_load: "ok" is missing"#.into()),
        (
            r#"{"op":"report_unload","plugin":"a","version":"1.0.0","ok":^0}"#.into(),
            "ok: expected true or false, found a number".into(),
        ),
    ];
    for (tx, expected) in rows {
        let text = document(&format!("{{\"height\":1,\"txs\":[{{\"raw\":\"\"}},\n{tx}]}}"));
        check(&text, &format!("block 1, transaction 1: {expected}"));
    }

    let many = |count: usize| (0..count).map(|n| format!(r#""p{n}":"*""#)).collect::<Vec<_>>().join(",");
    let stages = |count: usize| stage(&[r#"{"share_bps":1,"blocks":1}"#].repeat(count).join(","));
    for (tx, expected) in [
        (
            format!(r#"{{"op":"retire_version","plugin":"a","version":"{}"}}"#, "1".repeat(256)),
            "version: 256 bytes; the length of a name has room for 255",
        ),
        (
            format!(r#"{{{register},"requirements":{{{}}}}}"#, many(256)),
            "requirements: the count of pairs has room for 255",
        ),
        (
            format!(r#"{{{register},"metadata":{{"{}":""}}}}"#, "k".repeat(256)),
            "metadata: 256 bytes; the length of a name has room for 255",
        ),
        (
            format!(r#"{{{register},"config":"{}"}}"#, "00".repeat(65_536)),
            "config: 65536 bytes; the length of bytes has room for 65535",
        ),
        (stages(256), "stages: the count of stages has room for 255"),
    ] {
        let error = error("f.json", &document(&format!("{{\"height\":1,\"txs\":[{tx}]}}")));
        assert!(error.ends_with(expected), "{error}");
    }
    // What just fits is a transaction; what it breaks is for the ledger to refuse.
    payloads(&format!(r#"{{{register},"requirements":{{{}}},"config":"{}"}}"#, many(255), "00".repeat(4_097)));
    payloads(&stages(255));
}

#[test]
fn bytes_of_plugins_that_json_cannot_express_are_raw() {
    let register = |rest: &str| format!("280161 05312e302e30 {}{rest}", "ab".repeat(32)).replace(' ', "");
    let deploy = |strategy: &str, flags: &str| {
        format!("290161 05312e302e30 {strategy} 00000000 {:016x}{:08x}{flags}0000", 0, 0).replace(' ', "")
    };
    let rows = [
        ("sets in order", register("00 02 016100 016200 0000 00"), true),
        ("requirements out of order", register("00 02 016200 016100 0000 00"), false),
        ("a requirement twice", register("00 02 016100 016100 0000 00"), false),
        ("metadata out of order", register("00 00 0000 02 016200 016100"), false),
        ("metadata that are not UTF-8", register("00 00 0000 01 0161 01ff"), false),
        ("a host that is not UTF-8", register("01ff 00 0000 00"), false),
        ("something behind the end", register("00 00 0000 00 00"), false),
        ("a count without its entries", register("00 01 0000 00"), false),
        ("a strategy", deploy("03 0001 00000001", "0101"), true),
        ("an unknown strategy", deploy("05 0001 00000001", "0101"), false),
        ("a bool of 2", deploy("03 0001 00000001", "0201"), false),
        ("an unknown gate", deploy("04 00 01 0001 00000001 0000000000000000 03", "0101"), false),
        ("an unknown end", deploy("04 02 00", "0101"), false),
        ("fewer stages than their count", deploy("04 00 02 0001 00000001 0000000000000000 00", "0101"), false),
    ];
    for (what, command, has_json) in rows {
        let command = command.replace(' ', "");
        let bytes = hex::decode(format!("{}01{:04x}{command}", "11".repeat(20), command.len() / 2)).unwrap();
        let written = written_txs(vec![Payload::from_bytes(&bytes)]);
        assert_eq!(written[0].get("raw").is_none(), has_json, "{what}: {written:?}");
        check_payload(&bytes);
    }
}

#[test]
fn errors_of_expectations_on_plugins_say_where() {
    let fields = "current, previous, status, canary, paused, waiting, share_bps, stage, load_state, versions";
    let version = "a version is SemVer 2.0 of at most 64 bytes, such as 1.4.0 or 2.0.0-rc.1";
    let rows: &[(&str, String)] = &[
        (r#"{"plugins":^[]}"#, "plugins: expected an object, found an array".into()),
        (
            r#"{"plugins":{^"a b":{}}}"#,
            r#"plugins: "a b": a name is 1 to 64 of the characters A-Z a-z 0-9 _ . : - and begins with a letter or digit"#.into(),
        ),
        (r#"{"plugins":{"a":^"1.0.0"}}"#, "plugins: a: expected an object, found a string".into()),
        (r#"{"plugins":{"a":{^"version":"1.0.0"}}}"#, format!(r#"plugins: a: unknown key "version"; a plugin takes {fields}"#)),
        (r#"{"plugins":{"a":{"current":^"1.0"}}}"#, format!(r#"plugins: a: current: "1.0" is invalid: {version}"#)),
        (r#"{"plugins":{"a":{"current":^null}}}"#, "plugins: a: current: expected a string, found null".into()),
        (r#"{"plugins":{"a":{"previous":^1}}}"#, "plugins: a: previous: expected a string, found a number".into()),
        (
            r#"{"plugins":{"a":{"status":^"running"}}}"#,
            r#"plugins: a: status: unknown status "running"; there are none, pending, active, promoting"#.into(),
        ),
        (r#"{"plugins":{"a":{"paused":^null}}}"#, "plugins: a: paused: expected true or false, found null".into()),
        (
            r#"{"plugins":{"a":{"share_bps":^65536}}}"#,
            "plugins: a: share_bps: 65536 is out of range; it must be 0 to 65535".into(),
        ),
        (r#"{"plugins":{"a":{"stage":^256}}}"#, "plugins: a: stage: 256 is out of range; it must be 0 to 255".into()),
        (
            r#"{"plugins":{"a":{"load_state":^"on"}}}"#,
            r#"plugins: a: load_state: unknown load state "on"; there are unloaded, pending, loading, loaded, failed, unloading"#.into(),
        ),
        (r#"{"plugins":{"a":{"versions":^[]}}}"#, "plugins: a: versions: expected an object, found an array".into()),
        (r#"{"plugins":{"a":{"versions":{^"1":"active"}}}}"#, format!(r#"plugins: a: versions: "1": {version}"#)),
        (
            r#"{"plugins":{"a":{"versions":{"1.0.0":^"current"}}}}"#,
            r#"plugins: a: versions: 1.0.0: unknown status "current"; there are loading, active, canary, deprecated, failed, retired"#.into(),
        ),
        (r#"{"routes":^{}}"#, "routes: expected an array, found an object".into()),
        (r#"{"routes":[^{"plugin":"a","unit":"0x"}]}"#, r#"routes: "version" is missing"#.into()),
        (
            r#"{"routes":[{"plugin":"a","unit":"0x","version":null,^"height":1}]}"#,
            r#"routes: unknown key "height"; an entry of routes takes plugin, unit, version"#.into(),
        ),
        (r#"{"routes":[{"plugin":^1,"unit":"0x","version":null}]}"#, "routes: plugin: expected a string, found a number".into()),
        (r#"{"routes":[{"plugin":"a","unit":^"aa","version":null}]}"#, r#"routes: unit: invalid hex: it begins with 0x"#.into()),
        (r#"{"routes":[{"plugin":"a","unit":^"0xa","version":null}]}"#, "routes: unit: invalid hex: Odd number of digits".into()),
        (r#"{"routes":[{"plugin":"a","unit":"0x","version":^"v1"}]}"#, format!(r#"routes: version: "v1" is invalid: {version}"#)),
    ];
    for (expect, expected) in rows {
        check(&document(&format!("{{\"height\":1,\"expect\":{expect}}}")), &format!("block 1: expect: {expected}"));
    }
}

#[test]
fn expectations_on_plugins_become_data() {
    let expect = r#"{"plugins":{"a":{"current":"1.0.0+linux","previous":null,"status":"promoting","canary":"2.0.0-rc.1","paused":false,
        "waiting":true,"share_bps":10000,"stage":31,"load_state":"unloading","versions":{"1.0.0":"deprecated","3.0.0":null}},"b":{}},
        "routes":[{"plugin":"a","unit":"0x","version":"1.0.0"},{"plugin":"b","unit":"0x00FF","version":null}]}"#;
    let (_, blocks) = read_all("f.json", document(&format!("{{\"height\":1,\"expect\":{expect}}}")).as_bytes());
    let state = &blocks[0].expect.as_ref().unwrap().state;
    let (name, plugin) = nth(&state.plugins, 0);
    assert_eq!(name.as_str(), "a");
    let values: Vec<_> = plugin.fields.iter().map(|field| (field.field.key, field.value.to_string())).collect();
    assert_eq!(
        values.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        PLUGIN_FIELDS.iter().map(|field| field.key).collect::<Vec<_>>()
    );
    // Build metadata does not matter.
    assert_eq!(values[0].1, "1.0.0");
    let expected = ["1.0.0", "none", "promoting", "2.0.0-rc.1", "false", "true", "10000", "31", "unloading"];
    assert_eq!(values.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), expected);
    let versions: Vec<_> = plugin.versions.iter().map(|(version, status)| (version.to_string(), *status)).collect();
    assert_eq!(versions, [("1.0.0".into(), Some(VersionStatus::Deprecated)), ("3.0.0".into(), None)]);
    assert!(nth(&state.plugins, 1).1.fields.is_empty());
    assert_eq!((&state.routes[0].unit[..], state.routes[0].version.clone()), (&[][..], Some("1.0.0".parse().unwrap())));
    assert_eq!((&state.routes[1].unit[..], state.routes[1].version.clone()), (&[0, 0xff][..], None));

    let current: Version = "1.0.0+mac".parse().unwrap();
    let plugin = Plugin {
        current,
        previous: None,
        constraint: None,
        load_state: LoadState::Unloading,
        loaded: None,
        versions: 1,
        deployments: 0,
        dependents: 0,
    };
    let facts = PluginFacts { plugin, standing: DeploymentSummary::of(None) };
    let found: Vec<String> = PLUGIN_FIELDS.iter().map(|field| (field.of)(&facts).to_string()).collect();
    assert_eq!(found, ["1.0.0", "none", "none", "none", "false", "false", "0", "0", "unloading"]);
}
