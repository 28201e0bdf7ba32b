//! What the manager makes of messages: good ones, bad ones, large ones and secret ones.

use coalmine_core::{
    Address, COMMAND_SIZE_MAX, Command, Encode, FeedBody, FeedEntry, FeedItem, FeedKey, FeedKind, FeedPart, ItemState,
    Transaction,
};
use coalmine_feed::backoff::Delays;
use coalmine_feed::manager::{Action, Input, Level, Manager};
use coalmine_feed::message::{Environment, Filter};
use coalmine_feed::secret::{SALT_SIZE_MIN, Salt};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A manager after a start, which does not know what the ledger holds.
fn blind() -> Manager {
    Manager::new(Salt::new(*b"a salt for tests").unwrap(), Delays::default())
}

/// A manager of a ledger without items.
fn manager() -> Manager {
    let mut manager = blind();
    manager.seed([]);
    manager
}

fn handle(manager: &mut Manager, name: &str, data: &str) -> Vec<Action> {
    manager.handle(Input::Event { name, data, retry_ms: None }, 0, 0)
}

/// What was logged and done, in one line: tags, `restart`, and short forms of the commands.
fn summary(actions: &[Action]) -> String {
    let entries = |entries: &[FeedEntry]| {
        entries.iter().map(|entry| format!("{}@{}", entry.id.as_str(), entry.version)).collect::<Vec<_>>().join(" ")
    };
    let command = |command: &Command| match command {
        Command::FeedPut { environments, filters, .. } => {
            format!("put[{}|{}]", entries(environments), entries(filters))
        }
        Command::FeedPatch { id, version, .. } => format!("patch[{}@{version}]", id.as_str()),
        Command::FeedDelete { id, version, .. } => format!("delete[{}@{version}]", id.as_str()),
        other => panic!("{other:?}"),
    };
    let action = |action: &Action| match action {
        Action::Emit(commands) => commands.iter().map(command).collect::<Vec<_>>().join(" "),
        Action::Log(log) => log.tag.to_owned(),
        Action::Reconnect(_) => "restart".to_owned(),
        Action::Stop => "stop".to_owned(),
    };
    actions.iter().map(action).collect::<Vec<_>>().join(" ")
}

#[test]
fn bad_input_is_logged_once_and_never_half_applied() {
    let long_id = "x".repeat(129);
    let fitting_id = "x".repeat(128);
    let long_name = "n".repeat(4_096);
    let put = |environments: &str| format!(r#"{{"path":"/","data":{{"environments":{environments}}}}}"#);
    let patch = |id: &str, data: &str| format!(r#"{{"path":"/environments/{id}","data":{data}}}"#);
    let many = |count: usize| {
        let list = (0..count).map(|n| format!(r#""e{n}":{{"envID":"e{n}"}}"#)).collect::<Vec<_>>().join(",");
        put(&format!("{{{list}}}"))
    };
    let deep = "[".repeat(100_000);
    let rows: &[(&str, &str, &str)] = &[
        // Not JSON, or another shape: the stream starts again.
        ("put", "", "malformed restart"),
        ("put", "{\"path\":\"/\"", "malformed restart"),
        ("put", "[]", "malformed restart"),
        ("put", "\u{feff}{}", "malformed restart"),
        ("put", "{\"path\":\"/\",\"path\":7}", "malformed restart"),
        ("put", &put("7"), "malformed restart"),
        ("put", &put(r#"{"a":{"envID":"a"},"b":{"envID":"b","version":"2"}}"#), "malformed restart"),
        ("put", &put(r#"{"a":{"envID":"a","sdkKey":"sdk-secret"}}"#), "malformed restart"),
        ("put", &put(r#"{"a":{"envID":"a","secureMode":1}}"#), "malformed restart"),
        ("put", &put(r#"{"a":{"envID":"a","sdkKey":{"expiring":{"value":"k","timestamp":-1}}}}"#), "malformed restart"),
        ("patch", &patch("a", "[1]"), "malformed restart"),
        ("patch", &patch("a", &deep), "malformed restart"),
        ("patch", &patch("a", "{\"envID\":\"\\ud800\"}"), "malformed restart"),
        ("delete", "nonsense", "malformed restart"),
        // Versions.
        ("patch", &patch("a", r#"{"envID":"a","version":18446744073709551615}"#), "patch[a@18446744073709551615]"),
        ("patch", &patch("a", r#"{"envID":"a","version":18446744073709551616}"#), "malformed restart"),
        ("patch", &patch("a", r#"{"envID":"a","version":9e99}"#), "malformed restart"),
        ("patch", &patch("a", &format!("{{\"version\":{}}}", "9".repeat(99))), "malformed restart"),
        ("patch", &patch("a", r#"{"envID":"a","version":-1}"#), "negative_version"),
        ("delete", r#"{"path":"/filters/a","version":-1}"#, "negative_version"),
        (
            "put",
            &put(r#"{"a":{"envID":"a","version":-1},"b":{"envID":"b"}}"#),
            "put_received negative_version put[b@0|]",
        ),
        // Ids that the ledger does not take.
        ("patch", &patch("a b", r#"{"envID":"a b"}"#), "invalid_id"),
        ("patch", &patch("ä", r#"{"envID":"ä"}"#), "invalid_id"),
        ("patch", &patch("a\\u0000", r#"{"envID":"a\u0000"}"#), "invalid_id"),
        ("patch", &patch(&long_id, &format!("{{\"envID\":\"{long_id}\"}}")), "invalid_id"),
        ("patch", &patch(&fitting_id, &format!("{{\"envID\":\"{fitting_id}\"}}")), &format!("patch[{fitting_id}@0]")),
        ("delete", r#"{"path":"/filters/","version":1}"#, "invalid_id"),
        ("put", &put(r#"{"\n":{"envID":"\n"},"b":{"envID":"b"}}"#), "put_received invalid_id put[b@0|]"),
        // Of an id that is listed twice the last counts, however it is spelled.
        (
            "put",
            &put(r#"{"b":{"envID":"b"},"a":{"envID":"a","version":1},"\u0061":{"envID":"a","version":2}}"#),
            "put_received put[a@2 b@0|]",
        ),
        ("put", &put(r#"{"a":{"envID":"a","version":"1"},"a":{"envID":"a","version":2}}"#), "malformed restart"),
        // Bodies and lists that the ledger does not take.
        ("patch", &patch("a", &format!(r#"{{"envID":"a","envName":"{long_name}"}}"#)), "too_large"),
        ("put", &many(4_097), "too_many_items"),
        ("put", &many(8_193), "malformed restart"),
        // Kinds and paths.
        ("patch", r#"{"path":"/segments/a","data":{}}"#, "unknown_entity"),
        ("patch", r#"{"path":"/Environments/a","data":{}}"#, "unknown_entity"),
        ("put", r#"{"path":"/environments/a","data":{}}"#, "wrong_path"),
        ("put", "null", "malformed restart"),
        ("put", r#"{"path":"/"}"#, "malformed restart"),
        ("put", r#"{"path":"/","data":null}"#, "malformed restart"),
        ("put", r#"{"path":"/","DATA": null }"#, "malformed restart"),
        ("put", r#"{"path":"/","data":{},"data":null}"#, "malformed restart"),
        ("put", r#"{"path":"/","data":{}}"#, "put_received put[|]"),
        ("put", r#"{"path":"/","data":null,"Data":{"filters":null}}"#, "put_received put[|]"),
        ("message", "{}", "unknown_event"),
        ("put ", "{}", "unknown_event"),
        // Repeated members: the last counts, whatever its case.
        ("put", &put(r#"{"a":{"envID":"a","version":1},"a":{"envID":"a","version":2}}"#), "put_received put[a@2|]"),
        ("delete", r#"{"path":"/filters/a","PATH":"/filters/b","Version":1,"version":2}"#, "delete[b@2]"),
    ];
    for (event, data, expected) in rows {
        let mut manager = manager();
        assert_eq!(&summary(&handle(&mut manager, event, data)), expected, "{event} {data:.200}");
        // What was refused leaves nothing behind.
        let fresh = handle(&mut manager, "put", &put(r#"{"z":{"envID":"z","version":1}}"#));
        assert_eq!(summary(&fresh), "put_received put[z@1|]", "{event} {data:.200}");
    }
}

#[test]
fn entries_say_where_and_keep_secrets() {
    let rows = [
        (
            "put",
            r#"{"path":"/","data":{"environments":{"a":{"envID":"a","sdkKey":"sdk-secret"}}}}"#,
            "event 1 (put): data.environments.a.sdkKey: a value of the wrong type",
        ),
        (
            "patch",
            r#"{"path":"/environments/a","data":{"envID":"a","sdkKey":{"expiring":{"value":["sdk-secret"]}}}}"#,
            "event 1 (patch): data.sdkKey.expiring.value: a value of the wrong type",
        ),
        ("patch", "{\"path\":\n\"sdk-secret", "event 1 (patch): not JSON from line 2, column 11 on"),
        (
            "patch",
            r#"{"path":"/environments/a","data":{"envID":"sdk-secret"}}"#,
            "event 1 (patch): environment \"a\": its envID is that of another environment",
        ),
        ("delete", r#"{"path":"/filters/a","version":1e3}"#, "event 1 (delete): version: a value of the wrong type"),
        ("sdk\n\u{1b}[31m", "sdk-secret", "event 1 (sdk\\n\\u{1b}[31m): unknown event"),
    ];
    for (event, data, expected) in rows {
        let actions = handle(&mut manager(), event, data);
        let Some(Action::Log(log)) = actions.first() else { panic!("{actions:?}") };
        assert_eq!(log.text, expected);
    }

    let several =
        r#"{"path":"/","data":{"environments":{"a":{"envID":"x"},"b":{"envID":"x"},"c":{"version":-1,"envID":"c"}}}}"#;
    let actions = handle(&mut manager(), "put", several);
    let texts: Vec<&str> = actions
        .iter()
        .filter_map(|action| if let Action::Log(log) = action { Some(&*log.text) } else { None })
        .collect();
    assert_eq!(
        texts,
        [
            "event 1 (put): 0 items",
            "event 1 (put): environment \"a\": its envID is that of another environment; and 1 more",
            "event 1 (put): environment \"c\": its version is negative",
        ]
    );
}

#[test]
fn bodies_hold_what_is_known_and_no_secret() {
    let environment = json!({
        "envID": "e", "envKey": "k", "envName": "n", "projKey": "p", "projName": "q", "defaultTtl": 2, "secureMode": true,
        "mobKey": "mob-secret", "sdkKey": { "value": "sdk-secret", "expiring": { "value": "old-secret", "timestamp": 9 } },
        "token": "other-secret", "version": 3,
    });
    let patch = json!({ "path": "/environments/e", "data": environment }).to_string();
    let actions = handle(&mut manager(), "patch", &patch);
    let [Action::Emit(commands)] = &actions[..] else { panic!("{actions:?}") };
    let [Command::FeedPatch { body, version: 3, .. }] = &commands[..] else { panic!("{commands:?}") };
    let text = str::from_utf8(body.as_bytes()).unwrap();
    assert!(!text.contains("secret\"") && !text.contains("-secret"), "{text}");

    let salt = Salt::new(*b"a salt for tests").unwrap();
    let read = Environment::from_body(body.as_bytes()).unwrap();
    assert_eq!(read.mob_key, salt.hide("mob-secret"));
    assert_eq!(read.sdk_key.value, salt.hide("sdk-secret"));
    assert_eq!(read.sdk_key.expiring.unwrap().value, salt.hide("old-secret"));
    assert_eq!((read.env_id.as_str(), read.default_ttl, read.secure_mode), ("e", 2, true));
    // The same key under another salt is another text, and the salt itself is never shown.
    assert_ne!(salt.hide("k"), Salt::new(*b"another salt ...").unwrap().hide("k"));
    assert_eq!(format!("{salt:?}"), "Salt(..)");
    assert!(Salt::new([0; SALT_SIZE_MIN - 1]).is_err());

    assert!(Environment::from_body(b"\xff").is_err());
    assert!(Filter::from_body(b"[]").is_err());
}

#[test]
fn a_flawed_entry_of_a_put_is_retained_as_it_was_last_sent() {
    let put = |entry: Value| json!({ "path": "/", "data": { "environments": { "a": entry, "z": { "envID": "z" } } } });
    let wrong = put(json!({ "envID": "other", "version": 9 }));
    let rows: &[(&[(&str, Value)], &str)] = &[
        // Never seen: there is nothing to retain.
        (&[], "put[z@0|]"),
        (&[("put", put(json!({ "envID": "a", "version": 3 })))], "put[a@3 z@0|]"),
        (&[("patch", json!({ "path": "/environments/a", "data": { "envID": "a", "version": 4 } }))], "put[a@4 z@0|]"),
        // A late one does not take the place of a newer one.
        (
            &[
                ("put", put(json!({ "envID": "a", "version": 5 }))),
                ("patch", json!({ "path": "/environments/a", "data": { "envID": "a", "version": 4 } })),
                ("put", put(json!({ "envID": "a", "version": 4 }))),
            ],
            "put[a@5 z@0|]",
        ),
        // Deleted: listed as of the delete, which the ledger takes for late.
        (
            &[
                ("put", put(json!({ "envID": "a", "version": 3 }))),
                ("delete", json!({ "path": "/environments/a", "version": 7 })),
            ],
            "put[a@7 z@0|]",
        ),
        // Not listed any more, so it is as never seen.
        (&[("put", put(json!({ "envID": "a" }))), ("put", json!({ "path": "/", "data": {} }))], "put[z@0|]"),
        // A filter of the same id is another item.
        (&[("patch", json!({ "path": "/filters/a", "data": { "key": "k" } }))], "put[z@0|]"),
    ];
    for (before, expected) in rows {
        let mut manager = manager();
        for (event, data) in *before {
            handle(&mut manager, event, &data.to_string());
        }
        let found = summary(&handle(&mut manager, "put", &wrong.to_string()));
        assert_eq!(found, format!("put_received wrong_id {expected}"), "{before:?}");
    }
}

#[test]
fn a_flawed_entry_after_a_restart_is_retained_if_the_ledger_is_known() {
    let key = |kind, id: &str| FeedKey { kind, id: id.parse().unwrap() };
    let live = |version| FeedItem { version, state: ItemState::Live(FeedBody::new(b"{}").unwrap()) };
    let (environment, filter) = (FeedKind::Environment, FeedKind::Filter);
    let items = [
        (key(environment, "a"), live(3)),
        (key(environment, "b"), FeedItem { version: 4, state: ItemState::Deleted }),
        (key(environment, "c"), FeedItem { version: 5, state: ItemState::Forgotten }),
        (key(filter, "f"), live(6)),
    ];
    let long = "n".repeat(4_096);
    let environments = ["a", "b", "c"].map(|id| (id.to_owned(), json!({ "envID": id, "envName": long, "version": 9 })));
    let environments: serde_json::Map<_, _> = environments.into_iter().collect();
    let data =
        json!({ "environments": environments, "filters": { "f": { "key": long }, "g": { "key": "k" }, "ä": {} } });
    let put = json!({ "path": "/", "data": data }).to_string();

    let mut seeded = blind();
    seeded.seed(items.iter().map(|(key, item)| (key, item)));
    for _ in 0..2 {
        assert_eq!(summary(&handle(&mut seeded, "put", &put)), "put_received invalid_id too_large put[a@3|f@6 g@0]");
    }

    // A manager that was not seeded logs that once. After a put the ledger holds nothing that it does not list.
    let mut blind = blind();
    let actions = handle(&mut blind, "put", &put);
    assert_eq!(summary(&actions), "put_received invalid_id too_large not_retained put[|g@0]");
    let Action::Log(log) = &actions[3] else { panic!("{actions:?}") };
    assert_eq!(log.level, Level::Error);
    let text = "no version of it was sent since the start, so the ledger forgets it; and 3 more";
    assert_eq!(log.text, format!("event 1 (put): environment \"a\": {text}"));
    assert_eq!(summary(&handle(&mut blind, "put", &put)), "put_received invalid_id too_large put[|g@0]");

    // More than is remembered may be there.
    let many: Vec<_> = (0..8_192).map(|n| (key(filter, &format!("f{n}")), live(1))).collect();
    for (count, tags) in [(8_191, "put_received"), (8_192, "put_received not_retained")] {
        let mut manager = self::blind();
        manager.seed(many[..count].iter().map(|(key, item)| (key, item)));
        let put = json!({ "path": "/", "data": { "environments": { "a": { "envID": "x" } } } }).to_string();
        assert_eq!(summary(&handle(&mut manager, "put", &put)).replace("wrong_id ", ""), format!("{tags} put[|]"));
    }
}

#[test]
fn what_is_remembered_is_limited() {
    let mut manager = manager();
    let id = |n: usize| format!("e{n:05}");
    for n in 0..9_000 {
        let patch = json!({ "path": format!("/environments/{}", id(n)), "data": { "envID": id(n), "version": 1 } });
        handle(&mut manager, "patch", &patch.to_string());
    }
    let wrong = json!({ id(0): { "envID": "x" }, id(8_191): { "envID": "x" }, id(8_192): { "envID": "x" } });
    let put = json!({ "path": "/", "data": { "environments": wrong } });
    let found = summary(&handle(&mut manager, "put", &put.to_string()));
    assert_eq!(found, "put_received wrong_id put[e00000@1 e08191@1|]");
}

/// The commands of a put of environments and filters with names of the given lengths.
fn put_of(environments: &[usize], filters: &[usize]) -> Vec<Command> {
    let list = |prefix: &str, sizes: &[usize], field: &str| -> Value {
        let entry = |n: usize, size: usize| {
            let id = format!("{prefix}{n:04}");
            (id.clone(), json!({ "envID": id, field: "n".repeat(size), "version": n }))
        };
        sizes.iter().enumerate().map(|(n, size)| entry(n, *size)).collect::<serde_json::Map<_, _>>().into()
    };
    let data = json!({ "environments": list("e", environments, "envName"), "filters": list("f", filters, "key") });
    let actions = handle(&mut manager(), "put", &json!({ "path": "/", "data": data }).to_string());
    let [Action::Log(_), Action::Emit(commands)] = &actions[..] else { panic!("{actions:?}") };
    commands.clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Parts are in order, none is too long or empty, and together they list everything once.
    #[test]
    fn a_put_is_split_without_loss(
        environments in prop::collection::vec(0_usize..3_900, 0..40),
        filters in prop::collection::vec(0_usize..3_900, 0..40),
    ) {
        let commands = put_of(&environments, &filters);
        let mut listed = Vec::new();
        let last = commands.len() - 1;
        for (index, command) in commands.iter().enumerate() {
            let Command::FeedPut { part, environments, filters } = command else { panic!("{command:?}") };
            let expected = match index {
                0 if last == 0 => FeedPart::Only,
                0 => FeedPart::First,
                _ if index == last => FeedPart::Last,
                _ => FeedPart::More,
            };
            prop_assert_eq!(*part, expected);
            prop_assert!(command.to_bytes().len() <= COMMAND_SIZE_MAX);
            Transaction::new(Address::ZERO, vec![command.clone()]).unwrap();
            prop_assert!(last == 0 || environments.len() + filters.len() > 0);
            listed.extend(environments.iter().chain(filters.iter()).map(|entry| entry.id.as_str().to_owned()));
        }
        let ids = |prefix: char, count: usize| (0..count).map(move |n| format!("{prefix}{n:04}"));
        let all: Vec<String> = ids('e', environments.len()).chain(ids('f', filters.len())).collect();
        prop_assert_eq!(listed, all);
    }
}

proptest! {
    /// No text makes the manager panic, and none that is damaged goes on by half: at most one message comes of it.
    #[test]
    fn any_text_is_taken(
        event in "put|patch|delete|reconnect|.*",
        at in 0_usize..200,
        dropped in 0_usize..20,
        inserted in r#"[{}\[\]",:0-9a-z/ \\]{0,4}|.*"#,
    ) {
        let whole = r#"{"path":"/environments/a","version":3,"data":{"envID":"a","version":3,"sdkKey":{"value":"k",
            "expiring":{"value":"o","timestamp":9}},"environments":{"a":{"envID":"a"}},"filters":{"f":{"key":"k"}}}}"#;
        let mut data: Vec<char> = whole.chars().collect();
        let at = at.min(data.len());
        let end = (at + dropped).min(data.len());
        data.splice(at..end, inserted.chars());
        let actions = handle(&mut manager(), &event, &data.into_iter().collect::<String>());
        prop_assert!(actions.iter().filter(|action| matches!(action, Action::Emit(_))).count() <= 1);
        prop_assert!(actions.len() <= 5);
    }
}

#[test]
fn the_longest_put_takes_all_its_parts() {
    // Two of the long bodies fit into a part.
    assert_eq!(put_of(&[3_900; 300], &[3_900; 300]).len(), 300);
    let short = put_of(&[0; 4_096], &[]);
    assert!((64..=128).contains(&short.len()), "{}", short.len());
}
