//! Settings by path: what they do to a command, and what is said of wrong ones.

use coalmine_core::{Command, CommandKind, Encode, Params, StrategyKind, TxCommand};
use coalmine_json::{Applied, Setting, SettingOf};

fn command(json: &str) -> Vec<u8> {
    let document = format!(
        r#"{{"format":"coalmine-blocks/1","genesis":{{"roles":{{"0x{}":["admin"]}}}},"blocks":[{{"height":1,"txs":[{json}]}}]}}"#,
        "11".repeat(20)
    );
    use coalmine_json::blockfile::{BlockReader, Form, Limits};
    let reader =
        BlockReader::new("test", std::io::Cursor::new(document.into_bytes()), Some(Form::Json), Limits::default());
    let block = reader.unwrap().next().unwrap().unwrap().block;
    let coalmine_core::Payload::Transaction(tx) = block.payloads().next().unwrap() else { panic!("{json}") };
    tx.commands()[0].to_bytes()
}

fn decoded(bytes: &[u8]) -> Command {
    match TxCommand::from_bytes(bytes).unwrap() {
        TxCommand::Valid(command) => command,
        TxCommand::Invalid { kind, reject, .. } => panic!("{kind}: {reject}"),
    }
}

#[test]
fn a_setting_changes_its_field_and_no_other() {
    let create = r#"{"op":"create_feature","name":"a.b","description":"d"}"#;
    let rated =
        r#"{"op":"create_feature","name":"a.b","description":"d","max_error_rate":250,"policy":{"window_blocks":10}}"#;
    let described = r#"{"op":"configure_feature","name":"a.b","description":"e"}"#;
    let canary = r#"{"op":"deploy","plugin":"api","version":"2.0.0","strategy":"canary"}"#;
    let green = r#"{"op":"deploy","plugin":"api","version":"2.0.0","strategy":"blue_green"}"#;
    let params = r#"{"op":"set_params","quorum":3}"#;
    let set =
        |json: &str, more: &str| Some(json.replacen('}', &format!(",{more}}}"), usize::from(!json.contains("policy"))));
    for (path, value, before, after) in [
        ("feature.a.b.max_error_rate", "200", create, set(create, r#""max_error_rate":200"#)),
        ("feature.a.b.max_error_rate", "250", rated, Some(rated.to_owned())),
        ("feature.a.b.max_error_rate", "200", rated, Some(rated.replace("250", "200"))),
        ("feature.a.b.description", "two words", create, Some(create.replace(r#""d""#, r#""two words""#))),
        ("policy.a.b.window_blocks", "50", create, set(create, r#""policy":{"window_blocks":50}"#)),
        ("policy.a.b.window_blocks", "50", rated, Some(rated.replace("window_blocks\":10", "window_blocks\":50"))),
        ("policy.a.b.bucketing", "first_byte", create, set(create, r#""policy":{"bucketing":"first_byte"}"#)),
        ("policy.a.b.prerequisites", "c,d", create, set(create, r#""policy":{"prerequisites":["c","d"]}"#)),
        ("deploy.api.error_threshold_bps", "300", canary, set(canary, r#""error_threshold_bps":300"#)),
        ("deploy.api.auto_rollback", "false", green, set(green, r#""auto_rollback":false"#)),
        // The deadline follows the stages, as if the value had been there from the beginning.
        ("deploy.api.increment_blocks", "10", canary, set(canary, r#""increment_blocks":10"#)),
        ("params.quorum", "5", params, Some(params.replace('3', "5"))),
        // What does not set the field is left as it is.
        ("params.timelock", "5", params, None),
        ("feature.a.b.max_error_rate", "200", described, None),
        ("policy.a.b.window_blocks", "50", described, None),
        ("deploy.api.increment_bps", "10", green, None),
    ] {
        let setting = Setting::new(path, value).unwrap_or_else(|error| panic!("{error}"));
        let applied = setting.apply(&command(before));
        let expected = after.map_or(Applied::Unset, |after| Applied::Set(command(&after)));
        assert_eq!(applied, expected, "{setting} on {before}");
        if let Applied::Set(bytes) = applied {
            decoded(&bytes);
        }
    }
    // Of something else: another name, another kind, bytes that are no command.
    for (path, value, before) in [
        ("feature.a.max_error_rate", "200", command(create)),
        ("deploy.web.min_requests", "1", command(canary)),
        ("params.quorum", "2", command(create)),
        ("feature.a.b.max_error_rate", "200", vec![CommandKind::Enable.tag(), 3, b'a', b'.', b'b']),
        ("feature.a.b.max_error_rate", "200", Vec::new()),
        ("feature.a.b.max_error_rate", "200", vec![CommandKind::CreateFeature.tag(), 9]),
    ] {
        assert_eq!(Setting::new(path, value).unwrap().apply(&before), Applied::Other, "{path}");
    }
}

/// Every path is taken with a value of its type, and sets something.
#[test]
fn every_path_is_a_setting() {
    let paths = Setting::paths();
    for path in &paths {
        let path = path.replace("NAME", "x");
        let found = ["1", "true", "sha256", "manual", "ops", "x", "promote", r#"[{"share_bps":1,"blocks":1}]"#]
            .iter()
            .find_map(|value| Setting::new(&path, value).ok());
        assert!(found.is_some(), "{path}");
    }
    let of = |prefix: &str| paths.iter().filter(|path| path.starts_with(prefix)).count();
    assert_eq!(of("params."), 7);
    assert_eq!(of("policy.NAME."), 11);
    assert_eq!(of("feature.NAME."), 5);
    let names = StrategyKind::ALL.len();
    assert!(of("deploy.NAME.") > names + 7, "{paths:?}");
}

#[test]
fn the_parameters_of_a_genesis_take_what_is_theirs() {
    let params = Params::default();
    let set = |path: &str, value: &str| Setting::new(path, value).unwrap().apply_to(&params);
    assert_eq!(set("params.quorum", "3"), Params { quorum: 3, ..params });
    assert_eq!(set("params.sequenced", "true"), Params { sequenced: true, ..params });
    assert_eq!(set("policy.x.salt", "3"), params);
    assert_eq!(*Setting::new("params.quorum", "3").unwrap().of(), SettingOf::Params);
}

#[test]
fn a_wrong_setting_is_answered_by_what_there_is() {
    for (path, value, words) in [
        (
            "feature",
            "1",
            "feature has no name; write feature.NAME.FIELD, with a field of description, increment_percent",
        ),
        ("feature.x", "1", "feature.x has no name"),
        (
            "features.x.max_error_rate",
            "1",
            "there are feature.NAME.FIELD, policy.NAME.FIELD, deploy.NAME.FIELD and params.FIELD",
        ),
        (
            "feature.x.error_rate",
            "1",
            "there is no setting feature.x.error_rate; feature has description, increment_percent, increment_blocks, max_error_rate, min_success_count",
        ),
        ("feature.x.policy", "1", "there is no setting feature.x.policy"),
        ("params.x.quorum", "1", "there is no setting params.x.quorum; params has max_due_per_block"),
        ("params", "1", "there is no setting params"),
        ("deploy.api.plugin", "x", "there is no setting deploy.api.plugin; deploy has initial_bps"),
        ("feature.-x.max_error_rate", "1", "a name is 1 to 64"),
        (
            "feature.x.max_error_rate",
            "many",
            "feature.x.max_error_rate=many: max_error_rate takes integer (0 to 10000)",
        ),
        ("feature.x.max_error_rate", "20000", "max_error_rate takes integer (0 to 10000)"),
        ("feature.x.max_error_rate", "-1", "max_error_rate takes integer"),
        ("feature.x.max_error_rate", "", "max_error_rate takes integer"),
        ("policy.x.bucketing", "md5", "bucketing takes sha256 | first_byte"),
        ("deploy.x.auto_promote", "yes", "auto_promote takes true or false"),
        ("policy.x.window_blocks", "4294967296", "window_blocks takes integer (0 to 4294967295)"),
    ] {
        let error = Setting::new(path, value).unwrap_err();
        assert!(error.contains(words), "{path}={value}: {error}");
    }
}
