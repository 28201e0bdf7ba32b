//! Writes the seeds of every target into `fuzz/seeds`, from the golden vectors and the scenarios.
//!
//! `cargo run -p coalmine-fuzz-checks --example seeds` writes the same files every time and leaves
//! alone what else is there: inputs that have found something are kept beside them under names.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a tool of the tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use coalmine_json::blockfile::Header;
use coalmine_json::blockfile::{BlockReader, BlockWriter, Form, Limits};
use coalmine_model::support::Random;
use coalmine_replay::generate::{Generator, Workload};
use serde_json::Value;

/// Rows of one type that become seeds.
const ROWS_OF_A_TYPE: usize = 2;
/// Longer scenarios are no seeds.
const SCENARIO_SIZE_MAX: u64 = 10_400;
/// Nor are longer blocks.
const BLOCK_SIZE_MAX: usize = 2_000;

/// Lines of versions and constraints.
const LINES: [&str; 16] = [
    "1.2.3\n1.2.3-rc.1\n1.2.3+build\n^1.2",
    "1.0.0-alpha\n1.0.0-alpha.1\n1.0.0-alpha.beta\n1.0.0-beta.2\n1.0.0-beta.11\n1.0.0-rc.1\n1.0.0\n*",
    "1.0.0-0\n1.0.0-0a\n1.0.0--\n1.0.0+00\n1.0.0+0\n>=1.0.0-0",
    "0.0.0\n18446744073709551615.0.0\n18446744073709551616.0.0\n<18446744073709551615",
    "01.0.0\n1.00.0\n1.0.0-01\n1.0.0-\n1.0.0+\n1.0.0-a..b\nv1.0.0",
    "0.0.3\n0.0.4\n^0.0.3\n^0.0\n^0\n~0.0.3",
    "0.2.3\n0.3.0\n^0.2.3\n~0.2.3\n~0.2\n~0",
    "1.2.3\n1.3.0-a\n=1.2.3\n=1.2\n=1\n1.2.*\n1.x\n1.*.*\n1.*.3",
    "1.2.3\n2.0.0-rc.1\n>1.2\n>=1.2\n<1.2\n<=1.2\n<2",
    "1.2.3-b\n1.2.3-a\n>1.2.3-a\n<1.2.3-b, >=1.2.3-a\n<=1.2.3-b\n>=1, >=1.2.3-a",
    "1.5.0\n>=1.0.0, <2.0.0\n>= 1.0.0 , < 2.0.0 \n >1,,<2\n>1,\n,",
    "x\nX\n * \n*, 1\n1, *\n>*\n1.X.x",
    "1.0.0\n^1.0.0+build\n^1.0+build\n^1-a\n1.0.0-x\n>=1.0.0-x",
    "1.0.0\n1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
    "1.0.0\n1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
    "1.0.0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n1.0.0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = root.join("fuzz/seeds").join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    };
    for file in ["records", "commands", "events", "blocks"] {
        for (name, bytes) in vectors(&root.join("fixtures/vectors").join(file).with_extension("json")) {
            write("decode", &format!("{file}-{name}"), &bytes);
        }
    }
    for (number, bytes) in envelopes(&root.join("fixtures/auth/auth.json")).into_iter().enumerate() {
        write("decode", &format!("envelope-{number:02}"), &bytes);
    }
    for len in [200_usize, 1_000, 3_000] {
        for seed in 0..8 {
            write("block", &format!("{len}-{seed}"), &noise(seed, len));
        }
    }
    for (number, edits) in edits().into_iter().enumerate() {
        write("load", &format!("{number:02}"), &edits);
    }
    for (form, extension) in [(Form::Json, "json"), (Form::Jsonl, "jsonl"), (Form::Blocks, "blocks")] {
        write("blockfile", &format!("generated.{extension}"), &generated(form));
        for scenario in scenarios(&root.join("fixtures/scenarios")) {
            let name = scenario.file_stem().unwrap().to_string_lossy().into_owned();
            write("blockfile", &format!("{name}.{extension}"), &converted(&scenario, form));
        }
    }
    for (number, proof) in coalmine_fuzz_checks::genuine_proofs().enumerate() {
        write("proof", &format!("{number:02}"), &chosen(number, proof));
    }
    for (number, bundle) in coalmine_fuzz_checks::genuine_bundles().iter().enumerate() {
        write("proof", &format!("bundle-{number:02}"), &chosen(0, bundle));
    }
    for (number, block) in
        coalmine_fuzz_checks::lived_blocks().filter(|block| block.len() <= BLOCK_SIZE_MAX).enumerate()
    {
        write("execute", &format!("{number:02}"), &block);
    }
    for (number, dump) in coalmine_fuzz_checks::dumps().enumerate() {
        write("restore", &format!("{number:02}"), &dump);
    }
    for (number, dump) in coalmine_fuzz_checks::binary_dumps().enumerate() {
        write("dump", &format!("{number:02}"), &dump);
    }
    for name in ["genesis", "lived"] {
        write("dump", name, &fs::read(root.join("fixtures/dumps").join(name).with_extension("dump")).unwrap());
    }
    for (number, stream) in streams().into_iter().enumerate() {
        write("feed", &format!("{number:02}"), &stream);
    }
    for (number, lines) in LINES.into_iter().enumerate() {
        write("version", &format!("{number:02}"), lines.as_bytes());
    }
    // Protobuf that means the same in more bytes: a field unknown to it, and the key's field twice.
    let genuine: Vec<&[u8]> = coalmine_fuzz_checks::genuine_proofs().take(2).collect();
    for (number, proof) in genuine.into_iter().enumerate() {
        write("proof", &format!("unknown-field-{number}"), &chosen(number, &[proof, &[0x78, 0x01]].concat()));
        write("proof", &format!("twice-{number}"), &chosen(number, &[proof, proof].concat()));
    }
}

/// The number of the key in front of its proof.
fn chosen(number: usize, proof: &[u8]) -> Vec<u8> {
    [&[u8::try_from(number).unwrap()], proof].concat()
}

/// Events of the stream, in messages as the source sends them.
fn streams() -> Vec<Vec<u8>> {
    let environment = |id: &str, version: i64| {
        format!(
            r#"{{"envID":"{id}","envKey":"prod","envName":"Production","mobKey":"mob-1","projKey":"p","projName":"P","sdkKey":{{"value":"sdk-1","expiring":{{"value":"sdk-0","timestamp":9}}}},"defaultTtl":5,"secureMode":true,"version":{version}}}"#
        )
    };
    let filter = |version: i64| format!(r#"{{"projKey":"p","key":"f","version":{version}}}"#);
    let put = |environments: &[(&str, i64)], filters: &[(&str, i64)]| {
        let list = |items: Vec<String>| items.join(",");
        let environments = environments.iter().map(|(id, version)| format!(r#""{id}":{}"#, environment(id, *version)));
        let filters = filters.iter().map(|(id, version)| format!(r#""{id}":{}"#, filter(*version)));
        let (environments, filters) = (list(environments.collect()), list(filters.collect()));
        format!(r#"A{{"path":"/","data":{{"environments":{{{environments}}},"filters":{{{filters}}}}}}}"#)
    };
    let patch = |path: &str, data: String| format!(r#"B{{"path":"{path}","data":{data}}}"#);
    let delete = |path: &str, version: i64| format!(r#"C{{"path":"{path}","version":{version}}}"#);
    let all = [("e1", 3), ("e2", 4)];
    let rows = [
        vec![put(&[], &[])],
        vec![put(&all, &[("f1", 1)])],
        vec![put(&all, &[]), put(&all[..1], &[("f1", 1)])],
        vec![patch("/environments/e1", environment("e1", 5))],
        vec![patch("/environments/e1", environment("other", 5))],
        vec![patch("/filters/f1", filter(2)), delete("/filters/f1", 3), patch("/filters/f1", filter(2))],
        vec![delete("/environments/e1", -1), delete("/filters/a b", 1)],
        vec![put(&all, &[("f1", 7)]), delete("/environments/e1", 9), put(&all, &[])],
        vec!["D".into(), "E{}".into(), "A{".into()],
        vec![patch("/elsewhere/e1", "null".into()), patch("/filters/", "{}".into())],
        vec![put(&[("e1", -3)], &[("f 1", 1)]), put(&all, &[("f1", 1)])],
        vec![r#"A{"PATH":"/","data":null,"Data":{"Filters":{"a":{},"a":{"version":9}}}}"#.into()],
    ];
    rows.iter().map(|events| events.join("\0").into_bytes()).collect()
}

/// A world, then one edit: its kind, a record, and what the kind asks for. Every kind of edit of every kind of
/// record that the first world with such a record has.
fn edits() -> Vec<Vec<u8>> {
    let mut records: BTreeMap<&[u8], (u8, u16)> = BTreeMap::new();
    for world in 0..=u8::MAX {
        for (record, key) in (0..).zip(coalmine_fuzz_checks::lived_keys(world)) {
            records.entry(coalmine_fuzz_checks::kind_of_record(key)).or_insert((world, record));
        }
    }
    let edits = records.into_values().flat_map(|(world, record)| {
        let [high, low] = u16::to_be_bytes(record);
        (0..6).map(move |kind| vec![world, kind, high, low, 0, 1, 3])
    });
    edits.collect()
}

/// The bytes of the first rows of every type, by id; of records the key, too.
fn vectors(file: &Path) -> Vec<(String, Vec<u8>)> {
    let rows: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut seeds = Vec::new();
    for row in rows.as_array().unwrap() {
        let count = seen.entry(row["type"].as_str().unwrap().into()).or_default();
        *count += 1;
        if *count > ROWS_OF_A_TYPE {
            continue;
        }
        for field in ["bytes", "value", "key"] {
            if let Some(text) = row[field].as_str().filter(|text| !text.is_empty()) {
                let id = row["id"].as_str().unwrap();
                let name = if field == "bytes" { id.into() } else { format!("{id}-{field}") };
                seeds.push((name, hex::decode(text).unwrap()));
            }
        }
    }
    seeds
}

/// The envelopes of the vectors.
fn envelopes(path: &Path) -> Vec<Vec<u8>> {
    let vectors: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let rows = vectors["envelopes"].as_array().unwrap().iter();
    rows.map(|row| hex::decode(row["envelope"].as_str().unwrap()).unwrap()).collect()
}

/// The first byte of each of so many numbers.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| random.next().to_be_bytes()[0]).collect()
}

fn generated(form: Form) -> Vec<u8> {
    let workload = Workload { features: 3, users: 3, blocks: 3, txs_per_block: 12, seed: 4, mix: Default::default() };
    let generator = Generator::new(workload);
    let mut writer = BlockWriter::new(Vec::new(), form, &Header::new(generator.genesis().unwrap())).unwrap();
    for block in generator {
        writer.block(&block.unwrap(), None).unwrap();
    }
    writer.finish().unwrap()
}

/// The short scenarios, in the order of their names.
fn scenarios(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .map(Result::unwrap)
        .filter(|entry| entry.metadata().unwrap().len() <= SCENARIO_SIZE_MAX)
        .map(|entry| entry.path())
        .filter(|path| Form::of(path) == Some(Form::Json))
        .collect();
    files.sort();
    files
}

fn converted(scenario: &Path, form: Form) -> Vec<u8> {
    if form == Form::Json {
        return fs::read(scenario).unwrap();
    }
    let mut reader = BlockReader::open(scenario, Limits::default()).unwrap();
    let header = reader.header().clone();
    let mut writer = BlockWriter::new(Vec::new(), form, &header).unwrap();
    for block in &mut reader {
        let block = block.unwrap();
        let expect = block.expect.as_ref().map(|expect| expect.text.as_str());
        writer.block(&block.block, expect).unwrap();
    }
    writer.finish().unwrap()
}
