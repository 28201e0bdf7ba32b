//! Every error of the JSON forms, with its place.

use super::*;

#[test]
fn errors_of_the_document_say_where() {
    let rows: &[(&str, &str)] = &[
        ("", "f.json: the file is empty"),
        (" \n", "f.json:2:1: expected an object, found nothing"),
        ("7", "f.json:1:1: expected an object, found a number"),
        ("oops", "f.json:1:1: expected an object, found invalid JSON"),
        ("{", "f.json:1:2: not valid JSON: EOF while parsing an object"),
        ("{}", "f.json:1:1: \"format\" is missing"),
        ("{\n \"format\":\"x/2\"}", "f.json:2:11: unknown format \"x/2\"; this build reads \"coalmine-blocks/1\""),
        ("{\"format\":1}", "f.json:1:11: format: expected a string, found a number"),
        ("{\"a\":1,\n  \"a\":2}", "f.json:2:3: repeated key \"a\""),
        ("{\"a\":1,\n  \"\\u0061\":2}", "f.json:2:3: repeated key \"a\""),
        (
            "{\"é\\u001b\": 1}",
            "f.json:1:2: unknown key \"é\\u{1b}\"; the document takes $schema, format, name, description, genesis, expect, blocks",
        ),
        ("{\"é\": x}", "f.json:1:7: not valid JSON: expected value"),
        ("{\"a\": 1}\n\n ]", "f.json:3:2: not valid JSON: trailing characters"),
        ("{\"format\":\"\\ud800\"}", "f.json:1:18: format: not valid JSON: unexpected end of hex escape"),
        ("{\"format\":\"coalmine-blocks/1\"}", "f.json:1:1: \"genesis\" is missing"),
    ];
    for (text, expected) in rows {
        assert_eq!(error("f.json", text), *expected, "{text}");
    }
}

/// What is wrong with parameters.
const PARAMS: &str = "max_due_per_block is at least 1, breaker_window is not 0 while breaker_rollbacks is on, timelock and round_blocks are at most 1000000, and quorum is 1 to 64";

#[test]
fn errors_of_the_genesis_say_where() {
    let a = "0x1111111111111111111111111111111111111111";
    let rows: &[(&str, &str)] = &[
        ("^3", "genesis: expected an object, found a number"),
        ("^{}", r#"genesis: "roles" is missing"#),
        (r#"{^"role":1}"#, r#"unknown key "role"; genesis takes rules, chain, roles, params"#),
        (r#"{"roles":^{}}"#, "a genesis names at least one admin"),
        (r#"{"roles":^{"A":["operator"]}}"#, "a genesis names at least one admin"),
        (r#"{"roles":{"A":^[]}}"#, "every address of a genesis has at least one role"),
        (
            r#"{"roles":{"A":["admin",^"boss"]}}"#,
            r#"unknown role "boss"; there are admin, operator, reporter, guardian, feeder"#,
        ),
        (
            r#"{"roles":{^"0x11":["admin"]}}"#,
            r#""0x11" is invalid: an address is 0x followed by 40 hexadecimal digits"#,
        ),
        (
            r#"{"chain":^"a/b","roles":{"A":["admin"]}}"#,
            r#""a/b": a chain id is 0 to 64 of the characters A-Z a-z 0-9 _ . : -"#,
        ),
        (r#"{"roles":{"A":["admin"]},"params":^{"breaker_rollbacks":1}}"#, PARAMS),
        (r#"{"roles":{"A":["admin"]},"params":^{"max_due_per_block":0}}"#, PARAMS),
        (r#"{"roles":{"A":["admin"]},"params":^{"timelock":1000001}}"#, PARAMS),
        (r#"{"roles":{"A":["admin"]},"params":^{"round_blocks":1000001}}"#, PARAMS),
        (r#"{"roles":{"A":["admin"]},"params":^{"quorum":0}}"#, PARAMS),
        (r#"{"roles":{"A":["admin"]},"params":^{"quorum":65}}"#, PARAMS),
        (r#"{"roles":{"A":["admin"]},"params":^7}"#, "params: expected an object, found a number"),
        (r#"{"roles":{"A":["admin"]},"params":{"quorum":^256}}"#, "quorum: 256 is out of range; it must be 0 to 255"),
        (r#"{"roles":{"A":["admin"]},"params":{"sequenced":^1}}"#, "sequenced: expected true or false, found a number"),
        (
            r#"{"roles":^{"A":["admin"],"0x0000000000000000000000000000000000000000":["reporter"]}}"#,
            "the zero address has no roles",
        ),
        (
            r#"{"rules":^2,"roles":{"A":["admin"]}}"#,
            "rule set 2 is needed, and this build knows those up to 1; use a newer build",
        ),
        (r#"{"rules":^65536,"roles":{"A":["admin"]}}"#, "rules: 65536 is out of range; it must be 0 to 65535"),
        (
            r#"{"roles":{"A":["admin"]},"params":{"breaker_window":^4294967296}}"#,
            "breaker_window: 4294967296 is out of range; it must be 0 to 4294967295",
        ),
        (
            r#"{"roles":{"A":["admin"]},"params":{^"window":1}}"#,
            r#"unknown key "window"; params takes max_due_per_block, breaker_rollbacks, breaker_window, timelock, sequenced, round_blocks, quorum"#,
        ),
    ];
    for (genesis, expected) in rows {
        let genesis = genesis.replace('A', a);
        check(&format!("{{\"format\":\"coalmine-blocks/1\",\"genesis\":{genesis},\"blocks\":[]}}"), expected);
    }
    let roles = format!(r#"{{"0x{}":["admin"],^"0x{}":["admin"]}}"#, "ab".repeat(20), "AB".repeat(20));
    check(
        &format!(r#"{{"blocks":[],"genesis":{{"roles":{roles}}},"format":"coalmine-blocks/1"}}"#),
        &format!("0x{} is repeated", "ab".repeat(20)),
    );
}

#[test]
fn errors_of_a_block_say_where() {
    let rows: &[(&str, &str)] = &[
        ("^5", "expected an object, found a number"),
        ("^{}", r#"a block: "height" is missing"#),
        (r#"{"height":^"1"}"#, "height: expected an integer, found a string"),
        (r#"{"height":^4294967296}"#, "height: 4294967296 is out of range; it must be 0 to 4294967295"),
        (r#"{"height":^-1}"#, "height: -1 is negative; it must be 0 to 4294967295"),
        (r#"{"height":^1.0}"#, "height: 1.0 is not an integer; write it without fraction and exponent"),
        (r#"{"height":^1e3}"#, "height: 1e3 is not an integer; write it without fraction and exponent"),
        (r#"{"height":1,^"tx":[]}"#, r#"block 1: unknown key "tx"; a block takes height, txs, expect"#),
        (r#"{"height":1,"txs":^{}}"#, "block 1: txs: expected an array, found an object"),
        (r#"{"height":1,"txs":[^7]}"#, "block 1, transaction 0: expected an object, found a number"),
        (
            r#"{"height":7},
 {"height":^7}"#,
            "block 7: heights must ascend, but the block before this one is 7",
        ),
        (r#"{"height":7},{"height":^6}"#, "block 6: heights must ascend, but the block before this one is 7"),
    ];
    for (blocks, expected) in rows {
        check(&document(blocks), expected);
    }
}

#[test]
fn errors_of_a_transaction_say_where() {
    let rows: &[(&str, &str)] = &[
        ("^{}", r#"a transaction needs "op", "commands" or "raw""#),
        (
            r#"{"signer":^"0x12","op":"enable"}"#,
            r#"signer: "0x12" is invalid: an address is 0x followed by 40 hexadecimal digits"#,
        ),
        (r#"^{"op":"enable"}"#, r#"enable: "name" is missing"#),
        (r#"{"op":"enable","name":^7}"#, "name: expected a string, found a number"),
        (r#"{"op":"enable","name":"a",^"name":"a"}"#, r#"repeated key "name""#),
        (
            r#"{"op":"enable",^"nam":"a"}"#,
            r#"unknown key "nam"; enable takes op, signer, sequence, valid_until, repeat, name"#,
        ),
        (
            r#"{"op":"enable","name":"a",^"commands":[]}"#,
            r#"unknown key "commands"; enable takes op, signer, sequence, valid_until, repeat, name"#,
        ),
        (r#"^{"op":"start_canary","name":"a"}"#, r#"start_canary: "percent" is missing"#),
        (r#"{"op":"start_canary","name":"a","percent":^256}"#, "percent: 256 is out of range; it must be 0 to 255"),
        (r#"{"op":"start_canary","name":"a","percent":^-0}"#, "percent: -0 is negative; it must be 0 to 255"),
        (
            r#"{"op":"start_canary","name":"a","percent":^5.5}"#,
            "percent: 5.5 is not an integer; write it without fraction and exponent",
        ),
        (r#"{"op":"start_canary","name":"a","percent":^null}"#, "percent: expected an integer, found null"),
        (
            r#"{"op":"rollback","name":"a","reason":^"fun"}"#,
            r#"reason: unknown reason "fun"; there are manual, error_rate, invariant_violation, circuit_breaker, consensus_failure, performance"#,
        ),
        (
            r#"{"op":"set_override","name":"a","user":"0x1111111111111111111111111111111111111111","enabled":^1}"#,
            "enabled: expected true or false, found a number",
        ),
        (r#"^{"op":"create_feature","name":"a"}"#, r#"create_feature: "description" is missing"#),
        (
            r#"{"op":"create_feature","name":"a","description":"","policy":{"salt":^18446744073709551616}}"#,
            "policy: salt: 18446744073709551616 is out of range; it must be 0 to 18446744073709551615",
        ),
        (
            r#"{"op":"create_feature","name":"a","description":"","policy":{"prerequisites":["a",^7]}}"#,
            "policy: prerequisites: expected a string, found a number",
        ),
        (
            r#"{"op":"create_feature","name":"a","description":"","policy":{^"sal":1}}"#,
            r#"policy: unknown key "sal"; policy takes bucketing, advance, salt, min_samples, window_blocks, step_min_operations, max_invariant_failures, max_latency, lifetime, expires_at, prerequisites"#,
        ),
        (
            r#"{"commands":[{"op":"enable","name":"a"},{"op":"enable","name":^true}]}"#,
            "commands: name: expected a string, found a bool",
        ),
        (
            r#"{"commands":[{"op":"enable","name":"a",^"signer":""}]}"#,
            r#"commands: unknown key "signer"; enable takes op, name"#,
        ),
        (
            r#"{"commands":[],^"name":"a"}"#,
            r#"unknown key "name"; a transaction without "op" takes signer, sequence, valid_until, commands, repeat"#,
        ),
        (r#"{"commands":^{}}"#, "commands: expected an array, found an object"),
        (r#"{"op":"schedule","at":9,"commands":[^{"op":"enable"}]}"#, r#"commands: enable: "name" is missing"#),
        (
            r#"{"op":"enable","name":"a","sequence":^18446744073709551616}"#,
            "sequence: 18446744073709551616 is out of range; it must be 0 to 18446744073709551615",
        ),
        (r#"{"op":"enable","name":"a","sequence":^"7"}"#, "sequence: expected an integer, found a string"),
        (
            r#"{"op":"enable","name":"a","sequence":7,"valid_until":^4294967296}"#,
            "valid_until: 4294967296 is out of range; it must be 0 to 4294967295",
        ),
        (r#"{"commands":[],"valid_until":^9}"#, r#""valid_until" stands only beside "sequence""#),
        (r#"{"raw":"00",^"sequence":7}"#, r#"unknown key "sequence"; a raw transaction takes raw, repeat"#),
        (
            r#"{"commands":[{"op":"enable","name":"a",^"sequence":7}]}"#,
            r#"commands: unknown key "sequence"; enable takes op, name"#,
        ),
        (r#"{"op":"enable","name":"a","repeat":^-2}"#, "repeat: -2 is negative; it must be 0 to 4294967295"),
        (r#"^{"op":"enable","name":"a","repeat":65537}"#, "a block has at most 65536 transactions"),
        (r#"{"raw":^"abc"}"#, "raw: invalid hex: Odd number of digits"),
        (r#"{"raw":^"0g"}"#, "raw: invalid hex: Invalid character 'g' at position 1"),
        (r#"{"raw":"00",^"signer":""}"#, r#"unknown key "signer"; a raw transaction takes raw, repeat"#),
        (
            r#"{"op":"record_success","name":"a",^"ok":true}"#,
            r#"unknown key "ok"; record_success takes op, name, count, latency, signer, sequence, valid_until, repeat"#,
        ),
        (
            r#"{"op":"record_success","name":"a","count":2,"latency":^18446744073709551615}"#,
            "latency: 2 times 18446744073709551615 is out of range; the total must be 0 to 18446744073709551615",
        ),
        (
            r#"{"op":"record_success","name":"a","count":^4294967296}"#,
            "count: 4294967296 is out of range; it must be 0 to 4294967295",
        ),
        (r#"^{"op":"record_invariant","name":"a"}"#, r#"record_invariant: "ok" is missing"#),
        (r#"^{"op":"record_invariant","ok":true}"#, r#"record_invariant: "name" is missing"#),
        (r#"^{"op":"feed_patch","kind":"filter","id":"a","version":1}"#, r#"feed_patch: "body" is missing"#),
        (
            r#"{"op":"feed_patch","kind":^"filters","id":"a","version":1,"body":""}"#,
            r#"kind: unknown kind "filters"; there are environment, filter"#,
        ),
        (
            r#"{"op":"feed_patch","kind":"filter","id":"a","version":^-1,"body":""}"#,
            "version: -1 is negative; it must be 0 to 18446744073709551615",
        ),
        (
            r#"{"op":"feed_patch","kind":"filter","id":"a","version":1,"body":^"0"}"#,
            "body: invalid hex: Odd number of digits",
        ),
        (r#"{"op":"feed_put","part":^"all"}"#, r#"part: unknown part "all"; there are only, first, more, last"#),
        (r#"{"op":"feed_put","environments":^[]}"#, "environments: expected an object, found an array"),
        (r#"{"op":"feed_put","filters":{"a":^{"version":1}}}"#, r#"filters: a: an item: "body" is missing"#),
        (
            r#"{"op":"feed_put","filters":{"a":{"version":1,"body":"",^"id":"a"}}}"#,
            r#"filters: a: unknown key "id"; an item takes version, body"#,
        ),
        (
            r#"{"op":"feed_put","filters":{"a":{"version":1,"body":""},^"a":{"version":2,"body":""}}}"#,
            r#"filters: repeated key "a""#,
        ),
    ];
    for (tx, expected) in rows {
        let text = document(&format!("{{\"height\":1,\"txs\":[{{\"raw\":\"\"}},\n{tx}]}}"));
        check(&text, &format!("block 1, transaction 1: {expected}"));
    }
    let ops: Vec<&str> = CommandKind::ALL
        .iter()
        .map(|kind| kind.name())
        .chain(["record_success", "record_error", "record_invariant"])
        .collect();
    let message = format!("unknown op \"\"; there are {}", ops.join(", "));
    check(&document("{\"height\":1,\"txs\":[{\"op\":^\"\"}]}"), &format!("block 1, transaction 0: {message}"));
}

#[test]
fn values_too_long_for_their_length_are_errors() {
    let wrap = |command: &str, times: usize| {
        let (open, close) = (r#"{"op":"schedule","at":1,"commands":["#, "]}");
        format!("{}{command}{}", open.repeat(times), close.repeat(times))
    };
    let command = r#"{"op":"enable","name":"a"}"#;
    let rows: &[(String, &str)] = &[
        (
            format!(r#"{{"op":"enable","name":"{}"}}"#, "n".repeat(256)),
            "256 bytes; the length of a name has room for 255",
        ),
        (
            format!(r#"{{"op":"create_feature","name":"a","description":"{}"}}"#, "d".repeat(65_536)),
            "65536 bytes; the length of a text has room for 65535",
        ),
        (
            format!(r#"{{"op":"create_feature","name":"a","description":"{}"}}"#, "d".repeat(65_530)),
            "65540 bytes; the length of a command has room for 65535",
        ),
        (format!(r#"{{"commands":[{}]}}"#, [command; 128].join(",")), "the count of commands has room for 127"),
        (
            format!(r#"{{"sequence":1,"commands":[{}]}}"#, [command; 128].join(",")),
            "the count of commands has room for 127",
        ),
        (
            format!(r#"{{"op":"schedule","at":1,"commands":[{}]}}"#, [command; 256].join(",")),
            "the count of commands has room for 255",
        ),
        (
            format!(
                r#"{{"op":"create_feature","name":"a","description":"","policy":{{"prerequisites":[{}]}}}}"#,
                ["\"a\""; 256].join(",")
            ),
            "the count of names has room for 255",
        ),
        (wrap(command, 9), "schedules are nested more than 8 deep"),
        (format!("{{\"raw\":\"{}\"}}", "00".repeat(16 * 1_024 * 1_024)), "a block has at most 16777216 bytes"),
        (format!("{{\"raw\":\"{}\",\"repeat\":65536}}", "00".repeat(256)), "a block has at most 16777216 bytes"),
    ];
    for (tx, expected) in rows {
        let text = document(&format!("{{\"height\":1,\"txs\":[{tx}]}}"));
        let error = error("f.json", &text);
        assert!(error.ends_with(expected), "{error}");
    }
    // What just fits is a transaction, if only a malformed or rejected one.
    payloads(&format!(r#"{{"op":"enable","name":"{}"}}"#, "n".repeat(255)));
    payloads(&format!(r#"{{"commands":[{}]}}"#, [command; 127].join(",")));
    payloads(&format!(r#"{{"op":"schedule","at":1,"commands":[{}]}}"#, [command; 255].join(",")));
    payloads(&wrap(command, 8));
    assert_eq!(payloads(r#"{"raw":"","repeat":65536}"#).len(), 65_536);
    assert_eq!(payloads(r#"{"raw":"","repeat":0}"#).len(), 0);
    let mut lines = format!("{{{HEAD}}}\n{{\"height\":1,\"txs\":[");
    lines.push_str(&["{\"raw\":\"\"}"; 65_537].join(","));
    lines.push_str("]}\n");
    let expected = "f.jsonl:2:720916: block 1, transaction 65536: a block has at most 65536 transactions";
    assert_eq!(error("f.jsonl", &lines), expected);
}

#[test]
fn depth_is_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(1_000_000), close.repeat(1_000_000));
        let found = if open == "[" { "an array" } else { "an object" };
        let text = document(&format!("{{\"height\":1,\"txs\":[{{\"op\":{deep}}}]}}"));
        let expected = format!("f.json:2:36: block 1, transaction 0: expected a string, found {found}");
        assert_eq!(error("f.json", &text), expected);
    }
}

#[test]
fn errors_of_expectations_say_where() {
    let rows: &[(&str, &str)] = &[
        ("^[]", "block 1: expect: expected an object, found an array"),
        (
            r#"{^"receipt":[]}"#,
            r#"block 1: expect: unknown key "receipt"; expect takes receipts, events, root, features, metrics, history, enabled, plugins, routes, feed, breaker, roles, overrides, schedule, params, registry"#,
        ),
        (
            r#"{^"height":1}"#,
            r#"block 1: expect: unknown key "height"; expect takes receipts, events, root, features, metrics, history, enabled, plugins, routes, feed, breaker, roles, overrides, schedule, params, registry"#,
        ),
        (
            r#"{^"plugin":{}}"#,
            r#"block 1: expect: unknown key "plugin"; expect takes receipts, events, root, features, metrics, history, enabled, plugins, routes, feed, breaker, roles, overrides, schedule, params, registry"#,
        ),
        (r#"{"root":^"00"}"#, r#"block 1: expect: root: "00" is invalid: a hash is 64 hexadecimal digits"#),
        (r#"{"receipts":["ok",^0]}"#, "block 1: expect: receipts: expected a string, found a number"),
        (
            r#"{"features":{^"a b":{}}}"#,
            r#"block 1: expect: features: "a b": a name is 1 to 64 of the characters A-Z a-z 0-9 _ . : - and begins with a letter or digit"#,
        ),
        (r#"{"features":{"a":^null}}"#, "block 1: expect: features: a: expected an object, found null"),
        (
            r#"{"features":{"a":{^"percent":1}}}"#,
            r#"block 1: expect: features: a: unknown key "percent"; a feature takes name, description, status, rollout_percent, target_percent, increment_percent, increment_blocks, start_block, last_increment_block, error_count, success_count, max_error_rate, min_success_count, enabled_by, rollback_reason"#,
        ),
        (
            r#"{"features":{"a":{"status":^"on"}}}"#,
            r#"block 1: expect: features: a: status: unknown status "on"; there are disabled, canary, rolling_out, enabled, rolled_back"#,
        ),
        (
            r#"{"features":{"a":{"start_block":^4294967296}}}"#,
            "block 1: expect: features: a: start_block: 4294967296 is out of range; it must be 0 to 4294967295",
        ),
        (
            r#"{"features":{"a":{"enabled_by":^7}}}"#,
            "block 1: expect: features: a: enabled_by: expected a string, found a number",
        ),
        (
            r#"{"metrics":{"a":{"window_start":^true}}}"#,
            "block 1: expect: metrics: a: window_start: expected an integer, found a bool",
        ),
        (
            r#"{"history":{"a":[^{"height":1,"status":"canary"}]}}"#,
            r#"block 1: expect: history: a: "percent" is missing"#,
        ),
        (
            r#"{"history":{"a":[{"height":1,"status":"canary","percent":^101}]}}"#,
            "block 1: expect: history: a: percent: a percent is 0 to 100",
        ),
        (
            r#"{"enabled":[^{"name":"a","user":"0x1111111111111111111111111111111111111111"}]}"#,
            r#"block 1: expect: enabled: "value" is missing"#,
        ),
        (
            r#"{"feed":{^"items":{}}}"#,
            r#"block 1: expect: feed: unknown key "items"; feed takes environments, filters"#,
        ),
        (r#"{"feed":{"filters":^[]}}"#, "block 1: expect: feed: filters: expected an object, found an array"),
        (
            r#"{"feed":{"filters":{"a":{^"tombstone":0}}}}"#,
            r#"block 1: expect: feed: filters: a: unknown key "tombstone"; an item takes version, state, body"#,
        ),
        (
            r#"{"feed":{"environments":{"a":{"state":^"gone"}}}}"#,
            r#"block 1: expect: feed: environments: a: state: unknown state "gone"; there are live, deleted, forgotten, unborn"#,
        ),
        (
            r#"{"breaker":{^"open":true}}"#,
            r#"block 1: expect: breaker: unknown key "open"; breaker takes draining, since, until, reason, actor"#,
        ),
        (
            r#"{"breaker":{"actor":^"me"}}"#,
            r#"block 1: expect: breaker: actor: "me" is invalid: an address is 0x followed by 40 hexadecimal digits"#,
        ),
        (
            r#"{"roles":{^"me":[]}}"#,
            r#"block 1: expect: roles: "me" is invalid: an address is 0x followed by 40 hexadecimal digits"#,
        ),
        (
            r#"{"roles":{"0x1111111111111111111111111111111111111111":[^"root"]}}"#,
            r#"block 1: expect: roles: unknown role "root"; there are admin, operator, reporter, guardian, feeder"#,
        ),
        (
            r#"{"overrides":{"f":{"0x1111111111111111111111111111111111111111":^true}}}"#,
            "block 1: expect: overrides: f: 0x1111111111111111111111111111111111111111: expected an object, found a bool",
        ),
        (
            r#"{"schedule":[{^"height":1}]}"#,
            r#"block 1: expect: schedule: unknown key "height"; an entry of schedule takes at, id, actor, commands"#,
        ),
        (
            r#"{"schedule":[{"commands":[{"op":^"open"}]}]}"#,
            &format!(
                r#"block 1: expect: schedule: commands: unknown op "open"; there are {}, record_success, record_error, record_invariant"#,
                CommandKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
            ),
        ),
        (r#"{"params":{"quorum":^256}}"#, "block 1: expect: params: quorum: 256 is out of range; it must be 0 to 255"),
        (
            r#"{"registry":{^"versions":3}}"#,
            r#"block 1: expect: registry: unknown key "versions"; registry takes host_version, max_versions, auto_load"#,
        ),
    ];
    for (expect, expected) in rows {
        check(&document(&format!("{{\"height\":1,\"expect\":{expect}}}")), expected);
    }
    let many: Vec<String> = (0..20).map(|n| format!(r#""f{n}":{{}}"#)).collect();
    let expect = format!(r#"{{"features":{{{},^"f7":{{}}}}}}"#, many.join(","));
    let message = r#"block 1: expect: features: repeated key "f7""#;
    check(&document(&format!("{{\"height\":1,\"expect\":{expect}}}")), message);
    for (key, what, known) in [("receipts", "receipt", "ok, malformed,"), ("events", "event", "feature_created,")] {
        let text = document(&format!("{{\"height\":1,\"expect\":{{\"{key}\":[\"no\"]}}}}"));
        let error = error("f.json", &text);
        assert!(error.contains(&format!("expect: {key}: unknown {what} \"no\"; there are {known}")), "{error}");
    }
    let end = |expect: &str, message: &str| check(&format!("{{{HEAD},\"blocks\":[],\n\"expect\":{expect}}}"), message);
    end(
        r#"{^"receipts":[]}"#,
        r#"expect: unknown key "receipts"; the final expect takes height, root, features, metrics, history, enabled, plugins, routes, feed, breaker, roles, overrides, schedule, params, registry"#,
    );
    end(r#"{"height":^true}"#, "expect: height: expected an integer, found a bool");
}
