//! The vectors, through every form.

use super::*;

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
            let (_, expected) = nth(&state.features, 0);
            assert!(expected.iter().all(|field| (field.field.of)(&record) == field.value), "{id}");
            assert_eq!(expected.len(), FEATURE_FIELDS.len());
            expected.len()
        } else {
            let record = MetricsRecord::from_bytes(&value).unwrap();
            let (_, expected) = nth(&state.metrics, 0);
            assert!(expected.iter().all(|field| (field.field.of)(&record) == field.value), "{id}");
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
        let mut whole = json!({ "signer": signer });
        let fields = tx.as_object_mut().unwrap();
        fields.remove("signer");
        for key in ["sequence", "valid_until"] {
            if let Some(value) = fields.remove(key) {
                whole[key] = value;
            }
        }
        let commands = tx.get("commands").filter(|_| tx.get("op").is_none()).cloned();
        whole["commands"] = commands.unwrap_or_else(|| json!([tx]));
        whole
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
                let defaults = json!({
                    "max_due_per_block": 1_000, "breaker_rollbacks": 0, "breaker_window": 0, "timelock": 0,
                    "sequenced": false, "round_blocks": 0, "quorum": 1,
                });
                let entries = written.as_object_mut().unwrap();
                entries.entry("rules").or_insert(json!(1));
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

/// What has come with rounds, rule sets and the timelock, in full, and its bytes.
#[test]
fn commands_of_trust_have_their_bytes() {
    let report = json!({
        "op": "report", "name": "a", "successes": 1, "errors": 2, "latency_total": 3, "latency_peak": 4,
        "invariant_checks": 5, "invariant_failures": 6,
    });
    let with_trial = |trial: u32| {
        let mut report = report.clone();
        report["trial"] = json!(trial);
        report
    };
    let numbers = format!("{:08x}{:08x}{:016x}{:016x}{:08x}{:08x}", 1, 2, 3, 4, 5, 6);
    for (command, bytes) in [
        (report.clone(), format!("140161{numbers}00")),
        (with_trial(0), format!("140161{numbers}0100000000")),
        (with_trial(258), format!("140161{numbers}0100000102")),
        (json!({ "op": "pause_rollout", "name": "a" }), "150161".into()),
        (json!({ "op": "set_params" }), "2400000000000000".into()),
        (
            json!({
                "op": "set_params", "max_due_per_block": 1, "breaker_rollbacks": 2, "breaker_window": 3, "timelock": 4,
                "sequenced": true, "round_blocks": 5, "quorum": 6,
            }),
            "240100000001010000000201000000030100000004010101000000050106".into(),
        ),
        (json!({ "op": "set_params", "sequenced": false, "quorum": 255 }), "240000000001000001ff".into()),
        (json!({ "op": "set_rules", "rules": 258 }), "250102".into()),
    ] {
        let read = payloads(&command.to_string());
        let expected = format!("{}01{:04x}{bytes}", "11".repeat(20), bytes.len() / 2);
        assert_eq!(hex::encode(read[0].to_bytes()), expected, "{command}");
        assert_eq!(written_txs(read), std::slice::from_ref(&command));
    }
}

/// A transaction with a sequence: its JSON, and its bytes behind the signer.
#[test]
fn sequences_have_their_bytes() {
    let enable = "0003".to_owned() + "0f0161";
    for (tx, bytes) in [
        (json!({ "op": "enable", "name": "a" }), format!("01{enable}")),
        (json!({ "sequence": 0, "op": "enable", "name": "a" }), format!("81{:016x}00000000{enable}", 0)),
        (json!({ "sequence": 7, "op": "enable", "name": "a" }), format!("81{:016x}00000000{enable}", 7)),
        (
            json!({ "sequence": u64::MAX, "valid_until": 1_200, "op": "enable", "name": "a" }),
            format!("81{:016x}000004b0{enable}", u64::MAX),
        ),
        (
            json!({ "signer": "0x2222222222222222222222222222222222222222", "sequence": 258, "valid_until": u32::MAX,
                "commands": [{ "op": "enable", "name": "a" }, { "op": "reset_breaker" }] }),
            format!("82{:016x}ffffffff{enable}00011f", 258),
        ),
        (json!({ "sequence": 1, "commands": [] }), format!("80{:016x}00000000", 1)),
    ] {
        let signer = if tx.get("signer").is_some() { "22" } else { "11" };
        let read = payloads(&tx.to_string());
        assert_eq!(hex::encode(read[0].to_bytes()), format!("{}{bytes}", signer.repeat(20)), "{tx}");
        assert_eq!(written_txs(read), std::slice::from_ref(&tx));
    }
    // What is left out is none, and a repeated transaction repeats its sequence.
    let given = |more: &str| payloads(&format!(r#"{{"op":"enable","name":"a"{more}}}"#));
    assert_eq!(given(r#","sequence":7,"valid_until":0"#), given(r#","sequence":7"#));
    let thrice = given(r#","sequence":7,"valid_until":9,"repeat":3"#);
    assert_eq!(thrice, [0; 3].map(|_| given(r#","sequence":7,"valid_until":9"#)[0].clone()));
    // One command is written inline in a list as well; what is cut off is raw.
    let cut = payloads(&format!(r#"{{"raw":"{}81{:014x}"}}"#, "11".repeat(20), 0));
    assert!(written_txs(cut)[0].get("raw").is_some());
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
  "genesis": { "chain": "c", "roles": { "0x1111111111111111111111111111111111111111": [ "admin", "operator" ] }, "params": { "max_due_per_block": 1000, "breaker_rollbacks": 0, "breaker_window": 5, "timelock": 0, "sequenced": false, "round_blocks": 0, "quorum": 1 } },
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
    let lines = r#"{"format":"coalmine-blocks/1","name":"n","description":"a \" b: \\","genesis":{"chain":"c","roles":{"0x1111111111111111111111111111111111111111":["admin","operator"]},"params":{"max_due_per_block":1000,"breaker_rollbacks":0,"breaker_window":5,"timelock":0,"sequenced":false,"round_blocks":0,"quorum":1}},"expect":{"height":7}}
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
        // Only what is no transaction is written as bytes.
        let payloads = blocks.iter().flat_map(|block| block.block.payloads());
        let malformed = payloads.filter(|payload| matches!(payload, Payload::Malformed(_))).count();
        let raw = written.windows(5).filter(|bytes| *bytes == b"\"raw\"").count();
        assert!(form == Form::Blocks || raw <= malformed, "{name} through {file}");
        assert_eq!(expects(&read_blocks), kept, "{name} through {file}");
    }
}

#[test]
fn the_vectors_survive_every_form() {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let mut seen = 0;
    for folder in ["reference", "rules/features", "rules/plugins", "rules/feed", "attacks", "ledger"] {
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
