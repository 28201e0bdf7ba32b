//! What a file says becomes data.

use super::*;

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
    assert_eq!(nth(&expect.state.metrics, 0).1[1].value, Shown::Number(u64::MAX));
    let (name, history) = nth(&expect.state.history, 0);
    assert_eq!((name.as_str(), history[0].height, history[0].status), ("a", 1, Status::Canary));
    assert!(nth(&expect.state.history, 1).1.is_empty());
    assert_eq!(expect.state.enabled[0].user, user.parse().unwrap());
    let end = header.expect.unwrap();
    assert_eq!((end.height, end.place), (Some(9), Place::Text { line: 1, column: 11 }));
    assert_eq!(nth(&end.state.features, 0).1[0].value, Shown::Text("b".into()));
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
            "f.jsonl:4:13: block 1: heights must ascend, but the block before this one is 2",
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
        "f.jsonl:1:108: unknown key \"blocks\"; the document takes $schema, format, name, description, genesis, expect"
    );
    let named = format!("{{\"$schema\":\"blocks.schema.json\",{HEAD}}}\n{{\"height\":1}}");
    assert_eq!(error("f.jsonl", &named), "no error", "an editor's key");
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
    assert_eq!(error("f", "CMB2"), "f:1:1: expected an object, found invalid JSON");
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
