//! Block files: every error with its place, every form with the same bytes.

use std::fs;
use std::io::Cursor;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use coalmine_core::{
    Address, Block, Bps, Command, CommandKind, Decode, Encode, Event, EventCode, Feature, Gate, LoadState, Metrics,
    Name, Payload, Plugin, Policy, Reader, Reject, Role, Stage, Standing, Status, Strategy as Plan, StrategyKind,
    Version, VersionStatus,
};
use coalmine_replay::blockfile::{
    BlockExpect, BlockReader, BlockWriter, ByName, ExpectedReceipt, FEATURE_FIELDS, FieldValue, FileBlock, FileError,
    Form, Header, Limits, METRICS_FIELDS, PLUGIN_FIELDS, Place, PluginFacts,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const ADMIN: Address = Address([0x11; 20]);
const HEAD: &str =
    r#""format":"coalmine-blocks/1","genesis":{"roles":{"0x1111111111111111111111111111111111111111":["admin"]}}"#;

fn open(file: &str, bytes: &[u8]) -> Result<BlockReader, FileError> {
    BlockReader::new(file, Cursor::new(bytes.to_vec()), Form::of(Path::new(file)), Limits::default())
}

/// The header, the blocks up to the first error, and the error.
fn read(file: &str, bytes: &[u8]) -> (Option<Header>, Vec<FileBlock>, Option<FileError>) {
    let reader = match open(file, bytes) {
        Ok(reader) => reader,
        Err(error) => return (None, Vec::new(), Some(error)),
    };
    let header = reader.header().clone();
    let (mut blocks, mut errors) = (Vec::new(), Vec::new());
    for block in reader {
        assert!(errors.is_empty(), "nothing comes after an error");
        match block {
            Ok(block) => blocks.push(block),
            Err(error) => errors.push(error),
        }
    }
    (Some(header), blocks, errors.pop())
}

fn read_all(file: &str, bytes: &[u8]) -> (Header, Vec<FileBlock>) {
    let (header, blocks, error) = read(file, bytes);
    assert!(error.is_none(), "{}", error.unwrap());
    (header.unwrap(), blocks)
}

fn write(form: Form, header: &Header, blocks: &[FileBlock]) -> Vec<u8> {
    let mut writer = BlockWriter::new(Vec::new(), form, header).unwrap();
    for FileBlock { block, expect, .. } in blocks {
        writer.block(block, expect.as_ref().map(|expect| expect.text.as_str())).unwrap();
    }
    writer.finish().unwrap()
}

fn plain(block: Block) -> FileBlock {
    FileBlock { place: Place::File, block, expect: None }
}

fn header() -> Header {
    Header::new(coalmine_core::Genesis::new("", [(ADMIN, Role::Admin.into())]).unwrap())
}

fn document(blocks: &str) -> String {
    format!("{{{HEAD},\n\"blocks\":[{blocks}]}}")
}

/// The payloads of a block with these `txs`.
fn payloads(txs: &str) -> Vec<Payload> {
    let (_, blocks) = read_all("f.json", document(&format!(r#"{{"height":1,"txs":[{txs}]}}"#)).as_bytes());
    blocks[0].block.payloads().collect()
}

fn error(file: &str, text: &str) -> String {
    let (_, _, error) = read(file, text.as_bytes());
    error.map_or_else(|| "no error".into(), |error| error.to_string())
}

/// The document has an error of this message where `^` stands.
fn check(marked: &str, message: &str) {
    let (before, after) = marked.split_once('^').unwrap();
    let line = before.split('\n').count();
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    assert_eq!(error("f.json", &format!("{before}{after}")), format!("f.json:{line}:{column}: {message}"), "{marked}");
}

#[test]
fn errors_of_the_document_say_where() {
    let rows: &[(&str, &str)] = &[
        ("", "f.json: the file is empty"),
        (" \n", "f.json:2:1: expected an object, found nothing"),
        ("7", "f.json:1:1: expected an object, found a number"),
        ("oops", "f.json:1:1: expected an object, found no JSON"),
        ("{", "f.json:1:2: not valid JSON: EOF while parsing an object"),
        ("{}", "f.json:1:1: \"format\" is missing"),
        ("{\n \"format\":\"x/2\"}", "f.json:2:11: unknown format \"x/2\"; this build reads \"coalmine-blocks/1\""),
        ("{\"format\":1}", "f.json:1:11: format: expected a string, found a number"),
        ("{\"a\":1,\n  \"a\":2}", "f.json:2:3: repeated key \"a\""),
        ("{\"a\":1,\n  \"\\u0061\":2}", "f.json:2:3: repeated key \"a\""),
        (
            "{\"é\\u001b\": 1}",
            "f.json:1:2: unknown key \"é\\u{1b}\"; the document takes format, name, description, genesis, expect, blocks",
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

#[test]
fn errors_of_the_genesis_say_where() {
    let a = "0x1111111111111111111111111111111111111111";
    let rows: &[(&str, &str)] = &[
        ("^3", "genesis: expected an object, found a number"),
        ("^{}", r#"genesis: "roles" is missing"#),
        (r#"{^"role":1}"#, r#"unknown key "role"; genesis takes chain, roles, params"#),
        (r#"{"roles":^{}}"#, "a genesis names at least one admin"),
        (r#"{"roles":^{"A":["operator"]}}"#, "a genesis names at least one admin"),
        (r#"{"roles":{"A":^[]}}"#, "every address of a genesis has at least one role"),
        (
            r#"{"roles":{"A":["admin",^"boss"]}}"#,
            r#"unknown role "boss"; there are admin, operator, reporter, guardian, feeder"#,
        ),
        (r#"{"roles":{^"0x11":["admin"]}}"#, r#""0x11" is wrong: an address is 0x followed by 40 hexadecimal digits"#),
        (
            r#"{"chain":^"a/b","roles":{"A":["admin"]}}"#,
            r#""a/b": a chain id is 0 to 64 of the characters A-Z a-z 0-9 _ . : -"#,
        ),
        (
            r#"{"roles":{"A":["admin"]},"params":^{"breaker_rollbacks":1}}"#,
            "max_due_per_block is at least 1, and breaker_window is not 0 while breaker_rollbacks is on",
        ),
        (
            r#"{"roles":{"A":["admin"]},"params":{"breaker_window":^4294967296}}"#,
            "breaker_window: 4294967296 is out of range; it must be 0 to 4294967295",
        ),
        (
            r#"{"roles":{"A":["admin"]},"params":{^"window":1}}"#,
            r#"unknown key "window"; params takes max_due_per_block, breaker_rollbacks, breaker_window"#,
        ),
    ];
    for (genesis, expected) in rows {
        let genesis = genesis.replace('A', a);
        check(&format!("{{\"format\":\"coalmine-blocks/1\",\"genesis\":{genesis},\"blocks\":[]}}"), expected);
    }
    let roles = format!(r#"{{"0x{}":["admin"],^"0x{}":["admin"]}}"#, "ab".repeat(20), "AB".repeat(20));
    check(
        &format!(r#"{{"blocks":[],"genesis":{{"roles":{roles}}},"format":"coalmine-blocks/1"}}"#),
        &format!("0x{} is there twice", "ab".repeat(20)),
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
            "block 7: heights rise, but the block before this one is 7",
        ),
        (r#"{"height":7},{"height":^6}"#, "block 6: heights rise, but the block before this one is 7"),
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
            r#"signer: "0x12" is wrong: an address is 0x followed by 40 hexadecimal digits"#,
        ),
        (r#"^{"op":"enable"}"#, r#"enable: "name" is missing"#),
        (r#"{"op":"enable","name":^7}"#, "name: expected a string, found a number"),
        (r#"{"op":"enable","name":"a",^"name":"a"}"#, r#"repeated key "name""#),
        (r#"{"op":"enable",^"nam":"a"}"#, r#"unknown key "nam"; enable takes op, signer, repeat, name"#),
        (
            r#"{"op":"enable","name":"a",^"commands":[]}"#,
            r#"unknown key "commands"; enable takes op, signer, repeat, name"#,
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
            r#"unknown key "name"; a transaction without "op" takes signer, commands, repeat"#,
        ),
        (r#"{"commands":^{}}"#, "commands: expected an array, found an object"),
        (r#"{"op":"schedule","at":9,"commands":[^{"op":"enable"}]}"#, r#"commands: enable: "name" is missing"#),
        (r#"{"op":"enable","name":"a","repeat":^-2}"#, "repeat: -2 is negative; it must be 0 to 4294967295"),
        (r#"^{"op":"enable","name":"a","repeat":65537}"#, "a block has at most 65536 transactions"),
        (r#"{"raw":^"abc"}"#, "raw: wrong hex: Odd number of digits"),
        (r#"{"raw":^"0g"}"#, "raw: wrong hex: Invalid character 'g' at position 1"),
        (r#"{"raw":"00",^"signer":""}"#, r#"unknown key "signer"; a raw transaction takes raw, repeat"#),
        (
            r#"{"op":"record_success","name":"a",^"ok":true}"#,
            r#"unknown key "ok"; record_success takes op, name, count, latency, signer, repeat"#,
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
            "body: wrong hex: Odd number of digits",
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
        (format!(r#"{{"commands":[{}]}}"#, [command; 256].join(",")), "the count of commands has room for 255"),
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
    payloads(&format!(r#"{{"commands":[{}]}}"#, [command; 255].join(",")));
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
            r#"block 1: expect: unknown key "receipt"; expect takes receipts, events, root, features, metrics, history, enabled, plugins, routes, feed"#,
        ),
        (
            r#"{^"height":1}"#,
            r#"block 1: expect: unknown key "height"; expect takes receipts, events, root, features, metrics, history, enabled, plugins, routes, feed"#,
        ),
        (
            r#"{^"plugin":{}}"#,
            r#"block 1: expect: unknown key "plugin"; expect takes receipts, events, root, features, metrics, history, enabled, plugins, routes, feed"#,
        ),
        (r#"{"root":^"00"}"#, r#"block 1: expect: root: "00" is wrong: a hash is 64 hexadecimal digits"#),
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
            r#"block 1: expect: feed: environments: a: state: unknown state "gone"; there are live, deleted, forgotten"#,
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
        r#"expect: unknown key "receipts"; the final expect takes height, root, features, metrics, history, enabled, plugins, routes, feed"#,
    );
    end(r#"{"height":^true}"#, "expect: height: expected an integer, found a bool");
}

fn nth<T>(expected: &ByName<T>, index: usize) -> (Name, &T) {
    expected.iter().nth(index).unwrap()
}

#[test]
fn expectations_become_data() {
    let user = "0x2222222222222222222222222222222222222222";
    let root = "ab".repeat(32);
    let expect = format!(
        r#"{{"receipts":["ok","unauthorized"],"events":["stepped","params_set"],"root":"{root}",
           "features":{{"a":{{"status":"canary","rollout_percent":5,"enabled_by":"{}"}},"b":{{}}}},
           "metrics":{{"a":{{"name":"a","latency_sum":18446744073709551615}}}},
           "history":{{"a":[{{"percent":5,"height":1,"status":"canary"}}],"b":[]}},
           "enabled":[{{"name":"a","user":"{user}","value":true}}]}}"#,
        user.to_uppercase().replace("0X", "0x"),
    );
    let text = format!(
        "{{\"expect\":{{\"height\":9,\"features\":{{\"b\":{{\"name\":\"b\"}}}}}},\n\"blocks\":[{{\"txs\":[],\n \"expect\":{expect},\"height\":1}}],{HEAD}}}"
    );
    let (header, blocks) = read_all("f.json", text.as_bytes());
    let expect: &BlockExpect = blocks[0].expect.as_ref().unwrap();
    assert_eq!(blocks[0].place, Place::Text { line: 2, column: 11 });
    assert_eq!(expect.place, Place::Text { line: 3, column: 11 });
    assert_eq!(expect.receipts, Some(vec![ExpectedReceipt::Ok, ExpectedReceipt::Rejected(Reject::Unauthorized)]));
    assert_eq!(expect.events, Some(vec![EventCode::Stepped, Event::ParamsSet.code()]));
    assert_eq!(expect.state.root.unwrap().to_string(), root);
    let features: Vec<_> = expect.state.features.iter().collect();
    assert_eq!(features.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let fields: Vec<_> = features[0].1.iter().map(|field| (field.field.key, field.value.to_string())).collect();
    assert_eq!(
        fields,
        [("status", "canary".into()), ("rollout_percent", "5".into()), ("enabled_by", user.to_string())]
    );
    assert_eq!(nth(&expect.state.metrics, 0).1[1].value, FieldValue::Number(u64::MAX));
    let (name, history) = nth(&expect.state.history, 0);
    assert_eq!((name.as_str(), history[0].height, history[0].status), ("a", 1, Status::Canary));
    assert!(nth(&expect.state.history, 1).1.is_empty());
    assert_eq!(expect.state.enabled[0].user, user.parse().unwrap());
    let end = header.expect.unwrap();
    assert_eq!((end.height, end.place), (Some(9), Place::Text { line: 1, column: 11 }));
    assert_eq!(nth(&end.state.features, 0).1[0].value, FieldValue::Text("b".into()));
}

#[test]
fn shorthands_are_reports() {
    let rows: &[(&str, [u64; 6])] = &[
        (r#""op":"record_success""#, [1, 0, 0, 0, 0, 0]),
        (r#""op":"record_success","count":3,"latency":7"#, [3, 0, 21, 7, 0, 0]),
        (r#""op":"record_success","count":0,"latency":7"#, [0, 0, 0, 0, 0, 0]),
        (r#""op":"record_success","latency":18446744073709551615"#, [1, 0, u64::MAX, u64::MAX, 0, 0]),
        (r#""op":"record_error""#, [0, 1, 0, 0, 0, 0]),
        (r#""op":"record_error","count":4294967295,"latency":2"#, [0, 4294967295, 8589934590, 2, 0, 0]),
        (r#""op":"record_invariant","ok":true"#, [0, 0, 0, 0, 1, 0]),
        (r#""op":"record_invariant","ok":false,"count":5"#, [0, 0, 0, 0, 5, 5]),
    ];
    for (short, [successes, errors, total, peak, checks, failures]) in rows {
        let report = format!(
            r#"{{"op":"report","name":"a","successes":{successes},"errors":{errors},"latency_total":{total},
                "latency_peak":{peak},"invariant_checks":{checks},"invariant_failures":{failures}}}"#
        );
        assert_eq!(payloads(&format!("{{{short},\"name\":\"a\"}}")), payloads(&report), "{short}");
    }
}

#[test]
fn a_policy_is_the_default_but_for_what_is_given() {
    let policy = |policy: &str| {
        let tx = payloads(&format!(r#"{{"op":"create_feature","name":"a","description":"","policy":{policy}}}"#));
        let bytes = tx[0].to_bytes();
        // Signer, count and length, then the tag, the name, the empty text, four flags and the fifth.
        bytes[20 + 1 + 2 + 1 + 2 + 2 + 4 + 1..].to_vec()
    };
    assert_eq!(policy("{}"), Policy::default().to_bytes());
    let changed = Policy { salt: 7, prerequisites: vec!["b".parse().unwrap()], ..Policy::default() };
    assert_eq!(policy(r#"{"prerequisites":["b"],"salt":7}"#), changed.to_bytes());
    // Prerequisites stay in the order given: unsorted ones, and wrong names, are for the ledger to refuse.
    let refused = r#"{"op":"create_feature","name":"a","description":"","policy":{"prerequisites":["c","b/"]}}"#;
    assert!(matches!(&payloads(refused)[..], [Payload::Malformed(_)]));
}

#[test]
fn the_default_signer_is_the_first_admin_of_the_file() {
    let (low, high) = (format!("0x{}", "22".repeat(20)), format!("0x{}", "33".repeat(20)));
    let text = format!(
        r#"{{"blocks":[{{"height":1,"txs":[{{"op":"reset_breaker"}}]}}],"format":"coalmine-blocks/1",
        "genesis":{{"roles":{{"0x{}":["operator"],"{high}":["operator","admin"],"{low}":["admin"]}}}}}}"#,
        "11".repeat(20)
    );
    let (header, blocks) = read_all("f.json", text.as_bytes());
    assert_eq!(header.signer.to_string(), high);
    assert_eq!(
        hex::encode(blocks[0].block.payloads().next().unwrap().to_bytes()),
        format!("{}0100011f", "33".repeat(20))
    );
    // Written, the genesis is sorted, so the signer is no longer the default and has to be named.
    let written = String::from_utf8(write(Form::Jsonl, &header, &blocks)).unwrap();
    assert!(
        written.ends_with(&format!("{{\"height\":1,\"txs\":[{{\"signer\":\"{high}\",\"op\":\"reset_breaker\"}}]}}\n"))
    );
    let (header, again) = read_all("f.jsonl", written.as_bytes());
    assert_eq!(header.signer.to_string(), low);
    assert_eq!(again[0].block, blocks[0].block);
}

#[test]
fn lines_say_where_and_blank_ones_do_not_count() {
    let rows: &[(&str, &str)] = &[
        ("\n{\"height\":1}\r\n\n {\"height\":2}", "no error"),
        (
            "{\"height\":2}\n\n  {\"height\":1}\n",
            "f.jsonl:4:13: block 1: heights rise, but the block before this one is 2",
        ),
        ("{\"height\":2}{\"height\":3}", "f.jsonl:2:13: not valid JSON: trailing characters"),
        ("{\"height\":2", "f.jsonl:2:12: not valid JSON: EOF while parsing an object"),
        ("[1]", "f.jsonl:2:1: expected an object, found an array"),
        (
            "{\"height\":1,\"txs\":[{\"op\":\"é\",\"op\":1}]}",
            "f.jsonl:2:30: block 1, transaction 0: repeated key \"op\"",
        ),
    ];
    for (lines, expected) in rows {
        assert_eq!(error("f.jsonl", &format!("{{{HEAD}}}\n{lines}")), *expected, "{lines}");
    }
    assert_eq!(
        error("f.jsonl", &format!("{{{HEAD},\"blocks\":[]}}\n")),
        "f.jsonl:1:108: unknown key \"blocks\"; the document takes format, name, description, genesis, expect"
    );
    let mut bytes = format!("{{{HEAD}}}\n{{\"height\":1}}\n{{\"hé").into_bytes();
    bytes.push(0xff);
    let (_, blocks, error) = read("f.jsonl", &bytes);
    assert_eq!(blocks.len(), 1);
    assert_eq!(error.unwrap().to_string(), "f.jsonl:3:5: the text is not UTF-8");
    assert_eq!(read("f.json", &bytes).2.unwrap().to_string(), "f.json:3:5: the text is not UTF-8");
}

#[test]
fn the_content_decides_the_form() {
    let json = document("{\"height\":1},\n{\"height\":2}");
    let jsonl = format!("{{{HEAD}}}\n{{\"height\":1}}\n{{\"height\":2}}\n");
    let (header, blocks) = read_all("f.json", json.as_bytes());
    let pretty = String::from_utf8(write(Form::Json, &header, &blocks)).unwrap();
    let binary = write(Form::Blocks, &header, &blocks);
    let files: &[&str] = &["f", "<stdin>", "f.txt"];
    for file in files {
        for bytes in [json.as_bytes(), json.replace('\n', "").as_bytes(), pretty.as_bytes(), jsonl.as_bytes(), &binary]
        {
            let (_, read) = read_all(file, bytes);
            assert_eq!(read.iter().map(|block| block.block.height()).collect::<Vec<_>>(), [1, 2], "{file}");
        }
    }
    assert_eq!(read_all("f", format!("{{{HEAD}}}").as_bytes()).1.len(), 0);
    assert_eq!(read_all("f.json", &binary).1.len(), 2);
    assert_eq!(error("f.blocks", &json), "f.blocks: not a .blocks file: it does not begin with CMB1");
    assert_eq!(error("f", "CMB2"), "f:1:1: expected an object, found no JSON");
    assert_eq!(error("f.blocks", ""), "f.blocks: the file is empty");
}

#[test]
fn limits_hold() {
    let limits = Limits { line_size_max: 200, document_size_max: 300 };
    let read = |file: &str, text: &str| {
        let bytes = text.as_bytes().to_vec();
        let reader = BlockReader::new(file, Cursor::new(bytes), Form::of(Path::new(file)), limits);
        let error = reader.map(|reader| reader.filter_map(Result::err).next());
        error.map_or_else(|error| error.to_string(), |error| error.map_or("ok".into(), |error| error.to_string()))
    };
    let spaces = |n: usize| " ".repeat(n);
    let head = format!("{{{HEAD}");
    let rows: &[(&str, String, &str)] = &[
        ("f.jsonl", format!("{head}}}\n{{\"height\":1}}{}\n", spaces(187)), "ok"),
        (
            "f.jsonl",
            format!("{head}}}\n{{\"height\":1}}{}\n", spaces(188)),
            "f.jsonl:2:1: a line is at most 200 bytes long",
        ),
        ("f.jsonl", format!("{head}}}{}", spaces(200)), "f.jsonl:1:1: a line is at most 200 bytes long"),
        ("f.json", format!("{head},\"blocks\":[]{}}}", spaces(299 - 12 - head.len())), "ok"),
        (
            "f.json",
            format!("{head},\"blocks\":[]{}}}", spaces(300 - 12 - head.len())),
            "f.json: a .json file is at most 300 bytes long; write this one as .jsonl",
        ),
        ("f", format!("{head},\"blocks\":\n[]{}}}", spaces(298 - 12 - head.len())), "ok"),
        (
            "f",
            format!("{head},\"blocks\":\n[]{}}}", spaces(300 - 12 - head.len())),
            "f: a .json file is at most 300 bytes long; write this one as .jsonl",
        ),
    ];
    for (file, text, expected) in rows {
        assert_eq!(read(file, text), *expected, "{file} of {} bytes", text.len());
    }
}

#[test]
fn files_are_opened_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    fs::write(&path, document("{\"height\":1}")).unwrap();
    assert_eq!(BlockReader::open(&path, Limits::default()).unwrap().count(), 1);
    let missing = dir.path().join("b.json");
    let error = BlockReader::open(&missing, Limits::default()).err().unwrap().to_string();
    assert!(error.starts_with(&format!("{}: cannot be read: ", missing.display())), "{error}");
    assert!(BlockReader::open(dir.path(), Limits::default()).is_err());
}

fn fixtures(file: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vectors").join(file);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The entries of `txs` as the writer writes these payloads.
fn written_txs(payloads: Vec<Payload>) -> Vec<Value> {
    let blocks = [plain(Block::from_payloads(1, payloads).unwrap())];
    let written = write(Form::Jsonl, &header(), &blocks);
    let line: Value = serde_json::from_slice(written.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap();
    line["txs"].as_array().cloned().unwrap_or_default()
}

#[test]
fn commands_agree_with_the_vectors() {
    let rows = fixtures("commands.json");
    assert!(rows.len() > 100);
    for row in rows {
        let bytes = row["bytes"].as_str().unwrap();
        let payloads = payloads(&row["fields"].to_string());
        let expected = format!("{}01{:04x}{bytes}", "11".repeat(20), bytes.len() / 2);
        assert_eq!(hex::encode(payloads[0].to_bytes()), expected, "{}", row["id"]);
        assert_eq!(written_txs(payloads), [row["fields"].clone()], "{}", row["id"]);
    }
}

/// Every command on plugins, in full, and its bytes.
fn plugin_commands() -> Vec<(Value, String)> {
    let lp8 = |text: &str| format!("{:02x}{}", text.len(), hex::encode(text));
    let [a, v] = ["a", "1.0.0"].map(lp8);
    let hash = "ab".repeat(32);
    let deploy = |strategy: Value, strategy_bytes: &str| {
        let mut command = json!({
            "op": "deploy", "plugin": "a", "version": "1.0.0", "error_threshold_bps": 258, "success_threshold_bps": 772,
            "min_requests": 5, "max_blocks": 6, "auto_promote": false, "auto_rollback": true, "regression_z_centi": 400,
        });
        command.as_object_mut().unwrap().append(&mut strategy.as_object().unwrap().clone());
        (command, format!("29{a}{v}{strategy_bytes}01020304{:016x}{:08x}00010190", 5, 6))
    };
    let of_plugin = |op: &str, tag: u8| (json!({ "op": op, "plugin": "a" }), format!("{tag:02x}{a}"));
    let with = |op: &str, tag: u8, more: Value, bytes: &str| {
        let mut command = json!({ "op": op, "plugin": "a", "version": "1.0.0" });
        command.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        (command, format!("{tag:02x}{a}{v}{bytes}"))
    };
    vec![
        with("register_version", 40, json!({ "code_hash": hash }), &format!("{hash}0000000000")),
        with(
            "register_version",
            40,
            json!({
                "code_hash": hash, "host": ">=1, <2", "requirements": { "lib": "^1.0", "x": "" }, "config": "00ff",
                "metadata": { "note": "größer", "team": "" },
            }),
            &format!(
                "{hash}{}02{}{}{}00000200ff02{}{}{}00",
                lp8(">=1, <2"),
                lp8("lib"),
                lp8("^1.0"),
                lp8("x"),
                lp8("note"),
                lp8("größer"),
                lp8("team")
            ),
        ),
        deploy(
            json!({
                "strategy": "canary", "initial_bps": 1, "increment_bps": 2, "increment_blocks": 3, "max_bps": 4,
                "observation_blocks": 5,
            }),
            "000001000200000003000400000005",
        ),
        deploy(
            json!({ "strategy": "rolling", "initial_bps": 1, "increment_bps": 2, "increment_blocks": 3 }),
            "010001000200000003",
        ),
        deploy(json!({ "strategy": "blue_green", "health_blocks": 1, "bake_blocks": 2 }), "020000000100000002"),
        deploy(json!({ "strategy": "ab_test", "share_bps": 1, "duration_blocks": 2 }), "03000100000002"),
        deploy(
            json!({
                "strategy": "custom", "on_complete": "conclude",
                "stages": [
                    { "share_bps": 1, "blocks": 2, "min_requests": 3, "gate": "manual" },
                    { "share_bps": 4, "blocks": 5, "min_requests": 6, "gate": "health" },
                ],
            }),
            "040102000100000002000000000000000301000400000005000000000000000602",
        ),
        deploy(json!({ "strategy": "custom", "on_complete": "promote", "stages": [] }), "040000"),
        of_plugin("pause", 42),
        of_plugin("resume", 43),
        of_plugin("promote", 44),
        of_plugin("rollback_deployment", 45),
        of_plugin("revert", 46),
        with("retire_version", 47, json!({}), ""),
        (json!({ "op": "set_rule", "plugin": "a" }), format!("30{a}00")),
        (json!({ "op": "set_rule", "plugin": "a", "constraint": "~1.2" }), format!("30{a}{}", lp8("~1.2"))),
        (json!({ "op": "set_host_version", "version": "1.0.0" }), format!("31{v}")),
        (json!({ "op": "set_registry_params" }), "320000".into()),
        (json!({ "op": "set_registry_params", "max_versions": 7, "auto_load": false }), "320100070100".into()),
        of_plugin("load", 51),
        (json!({ "op": "unload", "plugin": "a", "force": true }), format!("34{a}01")),
        with(
            "report_version",
            53,
            json!({ "requests": 1, "errors": 2, "latency_total": 3 }),
            "00000001000000020000000000000003",
        ),
        with("attest_health", 54, json!({ "healthy": true }), "01"),
        with("report_load", 55, json!({ "ok": false }), "00"),
        with("report_unload", 56, json!({ "ok": true }), "01"),
        (
            json!({ "op": "schedule", "at": 9, "commands": [{ "op": "load", "plugin": "a" }] }),
            format!("200000000901{:04x}33{a}", 3),
        ),
    ]
}

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
fn deploy_of(kind: StrategyKind, fields: &Value) -> (Plan, coalmine_core::Terms) {
    let mut command = json!({ "op": "deploy", "plugin": "a", "version": "1.0.0", "strategy": kind.name() });
    command.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
    let payloads = payloads(&command.to_string());
    let [Payload::Transaction(tx)] = &payloads[..] else { panic!("{command} is malformed") };
    match tx.commands() {
        [coalmine_core::TxCommand::Valid(Command::Deploy { strategy, .. })] => {
            (strategy.strategy().clone(), *strategy.plan().terms())
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
        let terms = strategy.default_terms();
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
            r#"code_hash: "00" is wrong: a hash is 64 hexadecimal digits"#.into(),
        ),
        (
            format!(r#"{{{register},^"requires":{{}}}}"#),
            r#"unknown key "requires"; register_version takes op, signer, repeat, plugin, version, code_hash, host, requirements, config, metadata"#.into(),
        ),
        (r#"{"op":"load","plugin":^7}"#.into(), "plugin: expected a string, found a number".into()),
        (r#"{"op":"retire_version","plugin":"a","version":^1.0}"#.into(), "version: expected a string, found a number".into()),
        (format!(r#"{{{register},"host":^null}}"#), "host: expected a string, found null".into()),
        (format!(r#"{{{register},"requirements":^["lib"]}}"#), "requirements: expected an object, found an array".into()),
        (format!(r#"{{{register},"requirements":{{"lib":^1}}}}"#), "requirements: lib: expected a string, found a number".into()),
        (format!(r#"{{{register},"requirements":{{"lib":"*",^"lib":"*"}}}}"#), r#"requirements: repeated key "lib""#.into()),
        (format!(r#"{{{register},"config":^"0x00"}}"#), "config: wrong hex: Invalid character 'x' at position 1".into()),
        (format!(r#"{{{register},"metadata":{{"team":^true}}}}"#), "metadata: team: expected a string, found a bool".into()),
        (format!("^{{{deploy}}}"), r#"deploy: "strategy" is missing"#.into()),
        (
            format!(r#"{{{deploy},"strategy":^"big_bang"}}"#),
            r#"strategy: unknown strategy "big_bang"; there are canary, rolling, blue_green, ab_test, custom"#.into(),
        ),
        (
            format!(r#"{{{deploy},"strategy":"rolling",^"max_bps":1}}"#),
            format!(
                r#"unknown key "max_bps"; deploy takes op, signer, repeat, plugin, version, strategy, initial_bps, increment_bps, increment_blocks, {terms}"#
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
        (r#"{"plugins":{"a":{"current":^"1.0"}}}"#, format!(r#"plugins: a: current: "1.0" is wrong: {version}"#)),
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
        (r#"{"routes":[{"plugin":"a","unit":^"aa","version":null}]}"#, r#"routes: unit: wrong hex: it begins with 0x"#.into()),
        (r#"{"routes":[{"plugin":"a","unit":^"0xa","version":null}]}"#, "routes: unit: wrong hex: Odd number of digits".into()),
        (r#"{"routes":[{"plugin":"a","unit":"0x","version":^"v1"}]}"#, format!(r#"routes: version: "v1" is wrong: {version}"#)),
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
    let expected = ["1.0.0", "null", "promoting", "2.0.0-rc.1", "false", "true", "10000", "31", "unloading"];
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
        rule: None,
        load_state: LoadState::Unloading,
        loaded: None,
        versions: 1,
        deployments: 0,
        dependents: 0,
    };
    let facts = PluginFacts { plugin, standing: Standing::of(None) };
    let found: Vec<String> = PLUGIN_FIELDS.iter().map(|field| (field.of)(&name, &facts).to_string()).collect();
    assert_eq!(found, ["1.0.0", "null", "none", "null", "false", "false", "0", "0", "unloading"]);
}

#[test]
fn fields_agree_with_the_vectors() {
    let mut seen = 0;
    for row in fixtures("records.json") {
        let (id, fields) = (&row["id"], &row["fields"]);
        let kind = row["type"].as_str().unwrap();
        let key = match kind {
            "feature" => "features",
            "metrics" => "metrics",
            _ => continue,
        };
        let name = fields["name"].as_str().unwrap();
        let expect = json!({ key: { name: fields } });
        let (_, blocks) = read_all("f.json", document(&format!("{{\"height\":1,\"expect\":{expect}}}")).as_bytes());
        let state = &blocks[0].expect.as_ref().unwrap().state;
        let value = hex::decode(row["value"].as_str().unwrap()).unwrap();
        let count = if kind == "feature" {
            let record = Feature::from_bytes(&value).unwrap();
            let (name, expected) = nth(&state.features, 0);
            assert!(expected.iter().all(|field| (field.field.of)(&name, &record) == field.value), "{id}");
            assert_eq!(expected.len(), FEATURE_FIELDS.len());
            expected.len()
        } else {
            let (_, record) = Metrics::decode(&mut Reader::new(&value)).unwrap();
            let (name, expected) = nth(&state.metrics, 0);
            assert!(expected.iter().all(|field| (field.field.of)(&name, &record) == field.value), "{id}");
            assert_eq!(expected.len(), METRICS_FIELDS.len());
            expected.len()
        };
        assert_eq!(count, fields.as_object().unwrap().len(), "{id}");
        seen += 1;
    }
    assert!(seen > 2);
}

#[test]
fn blocks_agree_with_the_vectors() {
    // The vectors name the bytes of a malformed transaction so, and every transaction has a signer and a list.
    let to_file = |tx: &Value| match tx.get("malformed") {
        Some(raw) => json!({ "raw": raw }),
        None => tx.clone(),
    };
    let explicit = |mut tx: Value| {
        if tx.get("raw").is_some() {
            return tx;
        }
        let signer = tx["signer"].take();
        let signer = if signer.is_null() { json!(ADMIN.to_string()) } else { signer };
        let commands = match tx.get("commands").filter(|_| tx.get("op").is_none()) {
            Some(commands) => commands.clone(),
            None => {
                tx.as_object_mut().unwrap().remove("signer");
                json!([tx])
            }
        };
        json!({ "signer": signer, "commands": commands })
    };
    let unfold = |txs: Vec<Value>| {
        txs.into_iter().flat_map(|mut tx| {
            let repeat = tx.as_object_mut().unwrap().remove("repeat").map_or(1, |n| n.as_u64().unwrap());
            vec![tx; usize::try_from(repeat).unwrap()]
        })
    };
    let mut seen = 0;
    for row in fixtures("blocks.json") {
        let (id, fields) = (&row["id"], &row["fields"]);
        let bytes = match row["type"].as_str().unwrap() {
            "transaction" => {
                let payloads = payloads(&fields.to_string());
                let bytes = payloads[0].to_bytes();
                let written: Vec<Value> = written_txs(payloads).into_iter().map(explicit).collect();
                assert_eq!(written, std::slice::from_ref(fields), "{id}");
                bytes
            }
            "block" => {
                let txs: Vec<Value> = fields["txs"].as_array().unwrap().iter().map(to_file).collect();
                let text = document(&json!({ "height": fields["height"], "txs": txs }).to_string());
                let (_, blocks) = read_all("f.json", text.as_bytes());
                let written = unfold(written_txs(blocks[0].block.payloads().collect())).map(explicit);
                assert_eq!(written.collect::<Vec<_>>(), txs, "{id}");
                blocks[0].block.to_bytes()
            }
            "genesis" => {
                let text = json!({ "format": "coalmine-blocks/1", "genesis": fields, "blocks": [] }).to_string();
                let (header, _) = read_all("f.json", text.as_bytes());
                let written: Value = serde_json::from_slice(&write(Form::Jsonl, &header, &[])).unwrap();
                let mut written = written["genesis"].clone();
                let defaults = json!({ "max_due_per_block": 1_000, "breaker_rollbacks": 0, "breaker_window": 0 });
                let entries = written.as_object_mut().unwrap();
                entries.entry("chain").or_insert(json!(""));
                entries.entry("params").or_insert(defaults);
                assert_eq!(written, *fields, "{id}");
                header.genesis.to_bytes()
            }
            _ => continue,
        };
        assert_eq!(hex::encode(bytes), row["bytes"].as_str().unwrap(), "{id}");
        seen += 1;
    }
    assert!(seen > 10);
}

#[test]
fn documents_are_written_for_people() {
    let text = r#"{"format":"coalmine-blocks/1","name":"n","description":"a \" b: \\",
        "genesis":{"chain":"c","roles":{"0x1111111111111111111111111111111111111111":["operator","admin"]},"params":{"breaker_window":5}},
        "blocks":[{"height":1,"txs":[{"op":"enable","name":"a"},{"commands":[{"name":"a","op":"enable"}]},
            {"signer":"0x2222222222222222222222222222222222222222","op":"record_error","name":"a: b","repeat":2},{"raw":"00FF"}],
            "expect":{"receipts":["ok" , "ok"],"features":{}}},
        {"height":5}],"expect":{"height":7}}"#;
    let (header, blocks) = read_all("f.json", text.as_bytes());
    let expected = r#"{
  "format": "coalmine-blocks/1",
  "name": "n",
  "description": "a \" b: \\",
  "genesis": { "chain": "c", "roles": { "0x1111111111111111111111111111111111111111": [ "admin", "operator" ] }, "params": { "max_due_per_block": 1000, "breaker_rollbacks": 0, "breaker_window": 5 } },
  "blocks": [
    { "height": 1,
      "txs": [
        { "op": "enable", "name": "a", "repeat": 2 },
        { "signer": "0x2222222222222222222222222222222222222222", "op": "report", "name": "a: b", "successes": 0, "errors": 1, "latency_total": 0, "latency_peak": 0, "invariant_checks": 0, "invariant_failures": 0, "repeat": 2 },
        { "raw": "00ff" }
      ],
      "expect": { "receipts": [ "ok", "ok" ], "features": {} } },
    { "height": 5 }
  ],
  "expect": { "height": 7 }
}
"#;
    assert_eq!(String::from_utf8(write(Form::Json, &header, &blocks)).unwrap(), expected);
    let (header, blocks) = read_all("f.json", expected.as_bytes());
    assert_eq!(String::from_utf8(write(Form::Json, &header, &blocks)).unwrap(), expected);
    let lines = r#"{"format":"coalmine-blocks/1","name":"n","description":"a \" b: \\","genesis":{"chain":"c","roles":{"0x1111111111111111111111111111111111111111":["admin","operator"]},"params":{"max_due_per_block":1000,"breaker_rollbacks":0,"breaker_window":5}},"expect":{"height":7}}
{"height":1,"txs":[{"op":"enable","name":"a","repeat":2},{"signer":"0x2222222222222222222222222222222222222222","op":"report","name":"a: b","successes":0,"errors":1,"latency_total":0,"latency_peak":0,"invariant_checks":0,"invariant_failures":0,"repeat":2},{"raw":"00ff"}],"expect":{"receipts":["ok","ok"],"features":{}}}
{"height":5}
"#;
    assert_eq!(String::from_utf8(write(Form::Jsonl, &header, &blocks)).unwrap(), lines);
    let empty = write(Form::Json, &header, &[]);
    assert!(String::from_utf8(empty).unwrap().contains("\n  \"blocks\": [],\n"));
}

/// Genesis and blocks survive every form, and a second trip changes no byte of the file.
fn check_round_trips(name: &str, header: &Header, blocks: &[FileBlock]) {
    let binary = write(Form::Blocks, header, blocks);
    for (form, file) in [(Form::Json, "f.json"), (Form::Jsonl, "f.jsonl"), (Form::Blocks, "f.blocks")] {
        let written = write(form, header, blocks);
        let (read_header, read_blocks) = read_all(file, &written);
        assert!(write(Form::Blocks, &read_header, &read_blocks) == binary, "{name} through {file}");
        assert!(write(form, &read_header, &read_blocks) == written, "{name} twice through {file}");
        let expects = |blocks: &[FileBlock]| blocks.iter().filter(|block| block.expect.is_some()).count();
        let kept = if form == Form::Blocks { 0 } else { expects(blocks) };
        assert_eq!(expects(&read_blocks), kept, "{name} through {file}");
    }
}

#[test]
fn the_vectors_survive_every_form() {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let mut seen = 0;
    for folder in ["reference", "model/features", "model/plugins", "ledger"] {
        let Ok(entries) = fs::read_dir(vectors.join(folder)) else {
            eprintln!("skipped: there is no {}", vectors.join(folder).display());
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.display().to_string();
            if Form::of(&path).is_none() {
                continue;
            }
            let (header, blocks) = read_all(&name, &fs::read(&path).unwrap());
            assert!(!blocks.is_empty());
            check_round_trips(&name, &header, &blocks);
            seen += 1;
        }
    }
    eprintln!("{seen} files");
}

/// A small binary file and the blocks in it.
fn small() -> (Vec<u8>, Vec<FileBlock>) {
    let text = document(
        r#"{"height":1,"txs":[{"op":"enable","name":"a"},{"raw":"00"}]},{"height":2},{"height":9,"txs":[{"op":"reset_breaker"}]}"#,
    );
    let (header, blocks) = read_all("f.json", text.as_bytes());
    (write(Form::Blocks, &header, &blocks), blocks)
}

/// Damaged bytes give an error, or a prefix of the blocks and then an error.
fn check_damaged(bytes: &[u8], whole: &[FileBlock], ends: bool) {
    for file in ["f.blocks", "f", "f.jsonl"] {
        let (_, blocks, error) = read(file, bytes);
        assert!(error.is_some() || ends, "{bytes:?} was read without an error");
        assert!(blocks.len() < whole.len());
        assert!(blocks.iter().zip(whole).all(|(a, b)| a.block == b.block));
    }
}

#[test]
fn torn_frames_keep_the_blocks_before_them() {
    let (bytes, whole) = small();
    // Where a frame ends, a shorter file is a whole one.
    let mut ends = vec![];
    let mut at = 4;
    while at < bytes.len() {
        at += 8 + usize::try_from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
        ends.push(at);
    }
    assert_eq!(ends.len(), 4);
    for len in 0..bytes.len() {
        check_damaged(&bytes[..len], &whole, ends.contains(&len));
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check_damaged(&flipped, &whole, false);
    }
}

#[test]
fn damaged_frames_say_which() {
    let (bytes, _) = small();
    let message = |bytes: &[u8]| {
        let (_, blocks, error) = read("f.blocks", bytes);
        (blocks.len(), error.map(|error| error.to_string()).unwrap_or_default())
    };
    let with = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let mut more = bytes.clone();
    more.push(0);
    let frame = |bytes: &[u8]| {
        let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(bytes);
        frame.extend_from_slice(&crc32c::crc32c(bytes).to_be_bytes());
        frame
    };
    let appended = |frames: &[u8]| [&bytes, frames].concat();
    let old = frame(&Block::empty(9).to_bytes());
    let torn = "the file ends within this frame";
    let rows: Vec<(Vec<u8>, usize, String)> = vec![
        (bytes[..4].into(), 0, "f.blocks: frame 0 at byte 4: the genesis is missing".into()),
        (bytes[..20].into(), 0, format!("f.blocks: frame 0 at byte 4: {torn}")),
        (with(8, b"\xff"), 0, "f.blocks: frame 0 at byte 4: the frame is damaged: its checksum does not match its bytes".into()),
        (
            [b"CMB1".to_vec(), frame(b"\0")].concat(),
            0,
            "f.blocks: frame 0 at byte 4: the genesis does not decode: the input ends too early (0 bytes before the end)".into(),
        ),
        (with(48, b"\x01"), 0, "f.blocks: frame 1 at byte 48: the frame claims 16777259 bytes; it has at most 16777216".into()),
        (bytes[..bytes.len() - 1].into(), 2, format!("f.blocks: frame 3 at byte {}: {torn}", bytes.len() - 44)),
        (more, 3, format!("f.blocks: frame 4 at byte {}: {torn}", bytes.len())),
        (
            appended(&frame(b"")),
            3,
            format!("f.blocks: frame 4 at byte {}: the block does not decode: the input ends too early (0 bytes before the end)", bytes.len()),
        ),
        (
            appended(&old),
            3,
            format!("f.blocks: frame 4 at byte {}: block 9: heights rise, but the block before this one is 9", bytes.len()),
        ),
    ];
    for (bytes, blocks, expected) in rows {
        assert_eq!(message(&bytes), (blocks, expected));
    }
}

/// A payload of these bytes survives both JSON forms.
fn check_payload(bytes: &[u8]) {
    let block = plain(Block::from_payloads(1, vec![Payload::from_bytes(bytes)]).unwrap());
    for (form, file) in [(Form::Json, "f.json"), (Form::Jsonl, "f.jsonl")] {
        let (_, read) = read_all(file, &write(form, &header(), std::slice::from_ref(&block)));
        assert_eq!(read[0].block.payloads().next().unwrap().to_bytes(), bytes);
    }
}

#[test]
fn what_json_cannot_express_is_raw() {
    let signer = "11".repeat(20);
    let rows: &[(&str, Value)] = &[
        ("", json!({ "raw": "" })),
        (&signer, json!({ "raw": signer })),
        (&format!("{signer}0000"), json!({ "raw": format!("{signer}0000") })),
        (&format!("{signer}00"), json!({ "commands": [] })),
        (&format!("{signer}0100011f"), json!({ "op": "reset_breaker" })),
        (
            &format!("{signer}0200011f00011f"),
            json!({ "commands": [{ "op": "reset_breaker" }, { "op": "reset_breaker" }] }),
        ),
        // A name that is not UTF-8, an unknown tag, a bool of 2, an optional flag of 2, two roles in one.
        (&format!("{signer}0100030f01ff"), json!({ "raw": format!("{signer}0100030f01ff") })),
        (&format!("{signer}01000127"), json!({ "raw": format!("{signer}01000127") })),
        (&format!("{signer}0100071e000000000002"), json!({ "raw": format!("{signer}0100071e000000000002") })),
        (&format!("{signer}01000424020000"), json!({ "raw": format!("{signer}01000424020000") })),
        (&format!("{signer}01001622{signer}03"), json!({ "raw": format!("{signer}01001622{signer}03") })),
    ];
    for (bytes, expected) in rows {
        let bytes = hex::decode(bytes).unwrap();
        assert_eq!(written_txs(vec![Payload::from_bytes(&bytes)]), std::slice::from_ref(expected));
        check_payload(&bytes);
    }
    // Schedules inside schedules, as deep as the bytes of one command go.
    let mut command = vec![31];
    while command.len() < 60_000 {
        let len = u16::try_from(command.len()).unwrap().to_be_bytes();
        command = [&[32, 0, 0, 0, 1, 1], &len[..], &command].concat();
    }
    let len = u16::try_from(command.len()).unwrap().to_be_bytes();
    check_payload(&[&[0x11; 20], &[1][..], &len, &command].concat());
}

fn golden_transactions() -> impl Strategy<Value = Vec<u8>> {
    let golden = fixtures("commands.json").into_iter().map(|row| row["bytes"].as_str().unwrap().to_owned());
    let plugins = plugin_commands().into_iter().map(|(_, bytes)| bytes);
    let commands: Vec<Vec<u8>> = golden.chain(plugins).map(|bytes| hex::decode(bytes).unwrap()).collect();
    let command = prop::sample::select(commands);
    (any::<[u8; 20]>(), prop::collection::vec(command, 0..4)).prop_map(|(signer, commands)| {
        let mut bytes = signer.to_vec();
        bytes.push(u8::try_from(commands.len()).unwrap());
        for command in commands {
            bytes.extend_from_slice(&u16::try_from(command.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(&command);
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_payload(&bytes);
    }

    #[test]
    fn damaged_transactions_survive(
        mut bytes in golden_transactions(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        len in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(len.index(bytes.len()));
        }
        check_payload(&bytes);
    }

    #[test]
    fn damaged_text_is_an_error_or_a_file(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        len in any::<prop::sample::Index>(),
    ) {
        let (_, blocks) = small();
        for (form, file) in [(Form::Json, "f.json"), (Form::Jsonl, "f.jsonl"), (Form::Blocks, "f")] {
            let mut bytes = write(form, &header(), &blocks);
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            read(file, &bytes);
            bytes.truncate(len.index(bytes.len()));
            read(file, &bytes);
        }
    }
}
