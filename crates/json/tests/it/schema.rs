//! The JSON Schema takes what the reader takes, and refuses what it refuses.

use std::fs;
use std::path::{Path, PathBuf};

use coalmine_json::blockfile::{BlockReader, Form, Limits};
use coalmine_json::{Op, schema};
use jsonschema::Validator;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::to_value(schema()).unwrap()
}

/// The validator of the whole schema, or of one of its definitions.
fn validator(definition: Option<&str>) -> Validator {
    let mut schema = document();
    if let Some(definition) = definition {
        let definitions = schema["definitions"].take();
        schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#", "$ref": format!("#/definitions/{definition}"),
            "definitions": definitions,
        });
    }
    jsonschema::draft7::new(&schema).unwrap()
}

#[track_caller]
fn accepts(validator: &Validator, value: &Value, what: &str) {
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {}", error.instance_path(), error.to_string().chars().take(300).collect::<String>()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

/// Block files below the folder, the form at hand.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path, extension) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    found
}

#[test]
fn it_is_a_schema() {
    assert!(jsonschema::meta::is_valid(&document()));
    assert!(serde_json::to_string(&schema()).unwrap().len() < 256 * 1024, "an editor loads it at each start");
}

#[test]
fn every_fixture_is_valid() {
    let (whole, header, block) = (validator(None), validator(Some("header")), validator(Some("block")));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut seen = 0;
    // The second folder lies outside of the repository, and may be absent.
    for folder in [root.join("fixtures"), root.join("../shared/vectors/rules"), root.join("../shared/vectors/attacks")]
    {
        for file in files(&folder, "json") {
            let value: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            if value["format"] == "coalmine-blocks/1" {
                accepts(&whole, &value, &file.display().to_string());
                let mut named = value.clone();
                named["$schema"] = json!("../blocks.schema.json");
                accepts(&whole, &named, "one that names the schema");
                seen += 1;
            }
        }
        for file in files(&folder, "jsonl") {
            for (index, line) in fs::read_to_string(&file).unwrap().lines().enumerate().take(40) {
                let value: Value = serde_json::from_str(line).unwrap();
                accepts(if index == 0 { &header } else { &block }, &value, &file.display().to_string());
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn every_example_is_valid() {
    let (command, transaction) = (validator(Some("command")), validator(Some("transaction")));
    for op in Op::all() {
        let mut value: Value = serde_json::from_str(op.example()).unwrap();
        accepts(&command, &value, op.name());
        value["signer"] = json!("0x1111111111111111111111111111111111111111");
        value["repeat"] = json!(3);
        assert!(!command.is_valid(&value), "{}", op.name());
        accepts(&transaction, &value, op.name());
        value["more"] = json!(1);
        assert!(!transaction.is_valid(&value), "{}", op.name());
        for (key, _) in value.as_object().unwrap() {
            let mut without = value.clone();
            without.as_object_mut().unwrap().remove("more");
            without.as_object_mut().unwrap().remove(key);
            let is_read =
                coalmine_json::read_transactions(&without.to_string(), Some(&coalmine_core::Address::ZERO)).is_ok();
            assert_eq!(transaction.is_valid(&without), is_read, "{} without {key}", op.name());
        }
    }
}

/// Both refuse the file.
#[test]
fn what_the_reader_refuses_is_not_valid() {
    const GENESIS: &str = r#"{"chain":"x","roles":{"0x1111111111111111111111111111111111111111":["admin"]}}"#;
    let whole = validator(None);
    let check = |text: String| {
        let reader = BlockReader::new("f", std::io::Cursor::new(text.clone()), Some(Form::Json), Limits::default());
        let is_read = reader.is_ok_and(|reader| reader.into_iter().all(|block| block.is_ok()));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(whole.is_valid(&value), is_read, "the schema says the one, the reader the other: {text}");
        is_read
    };
    let document = |genesis: &str, blocks: &str| {
        check(format!(r#"{{"format":"coalmine-blocks/1","genesis":{genesis},"blocks":[{blocks}]}}"#))
    };
    assert!(document(GENESIS, r#"{"height":1}"#));
    for (good, bad) in [
        (r#"{"op":"start_canary","name":"a","percent":101}"#, r#"{"op":"start_canary","name":"a","percent":256}"#),
        (r#"{"op":"enable","name":"not a name"}"#, r#"{"op":"enable","name":7}"#),
        (r#"{"op":"enable","name":"a"}"#, r#"{"op":"enable","nam":"a"}"#),
        (r#"{"op":"enable","name":"a"}"#, r#"{"op":"enabel","name":"a"}"#),
        (r#"{"op":"enable","name":"a"}"#, r#"{"op":"enable"}"#),
        (r#"{"op":"enable","name":"a","sequence":1,"valid_until":2}"#, r#"{"op":"enable","name":"a","valid_until":2}"#),
        (r#"{"commands":[{"op":"enable","name":"a"}]}"#, r#"{"commands":[{"op":"enable","name":"a","repeat":2}]}"#),
        (r#"{"raw":"00","repeat":2}"#, r#"{"raw":"0"}"#),
        (r#"{"commands":[]}"#, "{}"),
        (r#"{"op":"rollback","name":"a","reason":"performance"}"#, r#"{"op":"rollback","name":"a","reason":"bad"}"#),
        (
            r#"{"op":"deploy","plugin":"a","version":"1.0.0","strategy":"blue_green","bake_blocks":1}"#,
            r#"{"op":"deploy","plugin":"a","version":"1.0.0","strategy":"canary","bake_blocks":1}"#,
        ),
        (
            r#"{"op":"deploy","plugin":"a","version":"1.0.0","strategy":"custom","stages":[{"share_bps":1,"blocks":2}]}"#,
            r#"{"op":"deploy","plugin":"a","version":"1.0.0","strategy":"custom","stages":[{"share_bps":1}]}"#,
        ),
        (
            r#"{"op":"deploy","plugin":"a","version":"1.0.0","strategy":"rolling"}"#,
            r#"{"op":"deploy","plugin":"a","version":"1.0.0"}"#,
        ),
        (
            r#"{"op":"create_feature","name":"a","description":"","policy":{"salt":1}}"#,
            r#"{"op":"create_feature","name":"a","description":"","policy":{"sal":1}}"#,
        ),
        (
            r#"{"op":"schedule","at":9,"commands":[{"op":"enable","name":"a"}]}"#,
            r#"{"op":"schedule","at":9,"commands":[{"op":"enable"}]}"#,
        ),
        (r#"{"op":"record_success","name":"a","latency":1}"#, r#"{"op":"record_invariant","name":"a"}"#),
    ] {
        let block = |tx: &str| format!(r#"{{"height":1,"txs":[{tx}]}}"#);
        assert!(document(GENESIS, &block(good)), "{good}");
        assert!(!document(GENESIS, &block(bad)), "{bad}");
    }
    for (good, bad) in [
        (r#""features":{"a":{"status":"canary"}}"#, r#""features":{"a":{"status":"canaries"}}"#),
        (r#""features":{"a":{}}"#, r#""features":{"a b":{}}"#),
        (r#""receipts":["ok","malformed"]"#, r#""receipts":["okay"]"#),
        (r#""events":["stepped"]"#, r#""events":["steped"]"#),
        (r#""root":"0xabababababababababababababababababababababababababababababababab""#, r#""root":"0xab""#),
        (r#""breaker":null"#, r#""breaker":true"#),
        (r#""breaker":{"actor":"automatic"}"#, r#""breaker":{"actor":"me"}"#),
        (r#""overrides":{"a":{"0x1111111111111111111111111111111111111111":null}}"#, r#""overrides":{"a":null}"#),
        (r#""schedule":[{"commands":[]}]"#, r#""schedule":[{"commands":[{}]}]"#),
        (r#""params":{"quorum":255}"#, r#""params":{"quorum":256}"#),
        (r#""plugins":{"a":{"previous":null,"versions":{"1.0.0":null}}}"#, r#""plugins":{"a":{"current":null}}"#),
        (
            r#""routes":[{"plugin":"a","unit":"0x","version":null}]"#,
            r#""routes":[{"plugin":"a","unit":"","version":null}]"#,
        ),
        (r#""feed":{"filters":{"a":null}}"#, r#""feed":{"filter":{}}"#),
    ] {
        let block = |expect: &str| format!(r#"{{"height":1,"expect":{{{expect}}}}}"#);
        assert!(document(GENESIS, &block(good)), "{good}");
        assert!(!document(GENESIS, &block(bad)), "{bad}");
    }
    for bad in [
        r#"{"roles":{}}"#,
        r#"{"roles":{"0x11":["admin"]}}"#,
        r#"{"roles":{"0x1111111111111111111111111111111111111111":["root"]}}"#,
        r#"{"roles":{"0x1111111111111111111111111111111111111111":["admin"]},"chain":"a b"}"#,
        r#"{"roles":{"0x1111111111111111111111111111111111111111":["admin"]},"params":{"quorums":1}}"#,
        r#"{"role":{}}"#,
    ] {
        assert!(!document(bad, ""), "{bad}");
    }
    assert!(!document(GENESIS, r#"{"hight":1}"#));
    assert!(!check(r#"{"format":"coalmine-blocks/2","genesis":{},"blocks":[]}"#.into()));
    assert!(!check(format!(r#"{{"format":"coalmine-blocks/1","genesis":{GENESIS}}}"#)));
}
