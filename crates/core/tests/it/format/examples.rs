//! Examples, roots and buckets, as the text says.

use super::*;

// Examples.

/// Reads bytes as the code does, and writes them again; none where the code has no such type.
fn by_the_code(of: &str, bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    fn codec<T: Decode + Encode>(bytes: &[u8]) -> Result<Vec<u8>, String> {
        T::from_bytes(bytes).map(|value| value.to_bytes()).map_err(|error| error.to_string())
    }
    fn entry(kind: PoolKind, bytes: &[u8]) -> Result<Vec<u8>, String> {
        PoolEntry::from_bytes(kind, bytes).map(|entry| entry.to_bytes()).map_err(|error| error.to_string())
    }
    Some(match of {
        "feature" => codec::<Feature>(bytes),
        "metrics" => codec::<MetricsRecord>(bytes),
        "change" => codec::<Change>(bytes),
        "override" => codec::<Override>(bytes),
        "global" => codec::<Global>(bytes),
        "params" => codec::<Params>(bytes),
        "policy" => codec::<Policy>(bytes),
        "roles" => codec::<Roles>(bytes),
        "rollback_evidence" => codec::<RollbackEvidence>(bytes),
        "pool_report" => entry(PoolKind::Report, bytes),
        "pool_report_version" => entry(PoolKind::VersionReport, bytes),
        "pool_vote" => entry(PoolKind::Health, bytes),
        "scheduled" => codec::<Scheduled>(bytes),
        "registry" => codec::<Registry>(bytes),
        "plugin" => codec::<Plugin>(bytes),
        "plugin_version" => codec::<PluginVersion>(bytes),
        "counts" => codec::<Counts>(bytes),
        "deployment" => codec::<Deployment>(bytes),
        "plan" => codec::<Plan>(bytes),
        "guardrails" => codec::<Guardrails>(bytes),
        "stage" => codec::<Stage>(bytes),
        "plugin_change" => codec::<PluginChange>(bytes),
        "feed" => codec::<FeedTotals>(bytes),
        "feed_item" => codec::<FeedItem>(bytes),
        "command" => TxCommand::from_bytes(bytes).map(|c| c.to_bytes()).map_err(|error| error.to_string()),
        "transaction" => codec::<Transaction>(bytes),
        "block" => codec::<Block>(bytes),
        "genesis" => codec::<Genesis>(bytes),
        "receipt" => codec::<Receipt>(bytes),
        "event" => codec::<Event>(bytes),
        "evidence" => {
            // The example is one of too many errors.
            let mut input = Reader::new(bytes);
            let evidence = Evidence::decode(PluginReason::ErrorRate, &mut input);
            let evidence = evidence.and_then(|evidence| input.finish().map(|()| evidence));
            evidence.map(|evidence| evidence.to_bytes()).map_err(|error| error.to_string())
        }
        // Parts of others, what is written only, and what is no value of the core.
        "sequence" | "settings" | "feed_entry" | "grant" | "manifest" | "requirement" | "metadatum" => return None,
        "outcome" | "blocks_file" | "frame" | "bucket" | "route" => return None,
        "dump_file" | "dump_header" | "dump_chunk" | "dump_record" => return None,
        other => panic!("an example of {other}"),
    })
}

#[test]
fn every_example_decodes_and_encodes_to_itself() {
    let document = document();
    let layouts = Layouts::of(&document);
    let mut examples: Vec<(String, Vec<u8>)> = document.examples.clone();
    for table in document.tables.iter().filter(is_layout) {
        for row in &table.rows {
            layouts.whole(&layouts.parse(&row[1]), &unhex(&row[2]), &format!("{}.{}", table.heading, row[0]));
        }
        let whole: String = table.rows.iter().map(|row| row[2].as_str()).collect();
        examples.push((table.heading.clone(), unhex(&whole)));
    }
    for (of, bytes) in &examples {
        layouts.whole(&Type::Named(of.clone()), bytes, of);
        if let Some(again) = by_the_code(of, bytes) {
            assert_eq!(again.as_ref(), Ok(bytes), "the example of {of}");
        }
    }
    // Each layout, each kind of command's table, each kind of event's has one.
    let told: BTreeSet<&str> = examples.iter().map(|(of, _)| of.as_str()).collect();
    let known: BTreeSet<&str> = layouts.fields.keys().map(String::as_str).chain(["command", "event"]).collect();
    assert_eq!(told, known);
    let example = |of: &str| examples.iter().find(|(name, _)| name == of).unwrap().1.clone();
    // Settings are the end of a configure_feature; a grant is that of a genesis; a manifest is the end
    // of a version and has its parts; an outcome is written.
    let configure = [&[11, 1, b'f', 0], example("settings").as_slice()].concat();
    assert!(matches!(TxCommand::from_bytes(&configure), Ok(TxCommand::Valid(Command::ConfigureFeature { .. }))));
    let feed_put = [&[80, 0, 0, 1], example("feed_entry").as_slice(), &[0, 0]].concat();
    assert!(matches!(TxCommand::from_bytes(&feed_put), Ok(TxCommand::Valid(Command::FeedPut { .. }))));
    assert!(example("genesis").windows(21).any(|window| window == example("grant")));
    assert!(example("plugin_version").ends_with(&example("manifest")));
    for part in ["requirement", "metadatum"] {
        let part = example(part);
        assert!(example("manifest").windows(part.len()).any(|window| window == part));
    }
    let outcome = coalmine_core::Outcome { receipts: Vec::new(), events: vec![Event::BreakerDrained] };
    assert_eq!(outcome.to_bytes(), example("outcome"));
}

/// The reflected polynomial of CRC-32C.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x82f6_3b78 };
        }
    }
    !crc
}

#[test]
fn the_block_file_holds_a_genesis_and_blocks() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    let document = document();
    let layouts = Layouts::of(&document);
    let cells: Vec<Vec<u8>> =
        document.table(Some("blocks_file"), &["field"]).rows.iter().map(|row| unhex(&row[2])).collect();
    let [magic, frames @ ..] = cells.as_slice() else { panic!() };
    assert_eq!(magic, &layouts.texts["magic"]);
    let alone = document.table(Some("frame"), &["field"]).rows.iter().map(|row| row[2].as_str()).collect::<String>();
    assert_eq!(frames.last(), Some(&unhex(&alone)));
    let mut inside = frames.iter().map(|frame| {
        let bytes = &frame[4..frame.len() - 4];
        assert_eq!(frame[..4], u32::try_from(bytes.len()).unwrap().to_be_bytes());
        assert_eq!(frame[frame.len() - 4..], crc32c(bytes).to_be_bytes());
        bytes
    });
    assert!(Genesis::from_bytes(inside.next().unwrap()).is_ok());
    assert!(inside.all(|bytes| Block::from_bytes(bytes).is_ok()));
}

/// The example is a dump that the store writes and reads.
#[test]
fn the_dump_holds_the_state_of_a_genesis() {
    let document = document();
    let cells = |of: &str| -> Vec<Vec<u8>> {
        document.table(Some(of), &["field"]).rows.iter().map(|row| unhex(&row[2])).collect()
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dumps/genesis.dump");
    assert_eq!(cells("dump_file").concat(), std::fs::read(path).unwrap());
    let [_, header, hash, records @ ..] = &cells("dump_file")[..] else { panic!() };
    assert_eq!(header[4..], cells("dump_header").concat());
    assert_eq!(hash.as_slice(), sha256(&[&header[4..]]));
    assert!(header.ends_with(&cells("dump_chunk").concat()));
    let chunk = records.concat();
    let len = u32::try_from(chunk.len()).unwrap().to_be_bytes();
    assert_eq!(cells("dump_chunk"), [len.to_vec(), sha256(&[&chunk]).to_vec()]);
    assert_eq!(records.last(), Some(&cells("dump_record").concat()));
}

// Roots and buckets, as the text says.

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// The root of leaves, each with its path, below a depth.
fn root_of(texts: &BTreeMap<String, Vec<u8>>, leaves: &[([u8; 32], [u8; 32])], depth: usize) -> [u8; 32] {
    match leaves {
        [] => texts["empty"].as_slice().try_into().unwrap(),
        [(_, leaf)] => *leaf,
        leaves => {
            let is_right = |path: &[u8; 32]| path[depth / 8] << (depth % 8) & 0x80 != 0;
            let side = |right| leaves.iter().filter(|(path, _)| is_right(path) == right).copied().collect::<Vec<_>>();
            let (left, right) = (root_of(texts, &side(false), depth + 1), root_of(texts, &side(true), depth + 1));
            sha256(&[&texts["inner"], &left, &right])
        }
    }
}

#[test]
fn roots_are_as_the_text_says() {
    let document = document();
    let texts = Layouts::of(&document).texts;
    assert_eq!(texts["empty"], tree::EMPTY_ROOT);
    let leaf = |key: &[u8], value: &[u8]| {
        let path = sha256(&[key]);
        (path, sha256(&[&texts["leaf"], &path, &sha256(&[value])]))
    };
    for row in rows("roots") {
        let pairs = row.fields["pairs"].as_array().unwrap();
        let leaves: Vec<_> = pairs
            .iter()
            .map(|pair| leaf(&unhex(pair[0].as_str().unwrap()), &unhex(pair[1].as_str().unwrap())))
            .collect();
        assert_eq!(root_of(&texts, &leaves, 0).as_slice(), row.hex("root"), "{}", row.id);
    }
    // The worked example.
    let (one, two) = (leaf(&[0xd0, b'a'], b"one"), leaf(&[0xd0, b'b'], b"two"));
    let expected = [
        ("path of d061", one.0),
        ("leaf of d061", one.1),
        ("path of d062", two.0),
        ("leaf of d062", two.1),
        ("root", root_of(&texts, &[one, two], 0)),
    ];
    let told = &document.table(Some("State root"), &["what", "hash"]).rows;
    let told: Vec<(&str, Vec<u8>)> = told.iter().map(|row| (row[0].as_str(), unhex(&row[1]))).collect();
    assert_eq!(told, expected.map(|(what, hash)| (what, hash.to_vec())));
    let tree = tree::Tree::from_entries([([0xd0, b'a'], b"one"), ([0xd0, b'b'], b"two")]).unwrap();
    assert_eq!(tree.root(), expected[4].1);
}

#[test]
fn buckets_are_as_the_text_says() {
    for row in rows("buckets") {
        let hash = sha256(&[&row.bytes()]);
        let first = u128::from(u64::from_be_bytes(*hash.first_chunk().unwrap()));
        let number = if row.kind == "route" { "bucket" } else { "sha256" };
        assert_eq!((first * u128::from(BUCKETS)) >> 64, u128::from(row.number(number)), "{}", row.id);
        if row.kind == "route" {
            continue;
        }
        let user: Address = row.fields["user"].as_str().unwrap().parse().unwrap();
        assert_eq!(u64::from(user.0[0]) % 100 * 100, row.number("first_byte"), "{}", row.id);
    }
}
