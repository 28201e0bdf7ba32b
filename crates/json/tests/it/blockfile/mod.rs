//! Block files: every error with its place, every form with the same bytes.

mod damage;
mod errors;
mod forms;
mod plugins;
mod reading;

use std::fs;
use std::io::Cursor;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use coalmine_core::{
    Address, Block, Bps, Command, CommandKind, Decode, DeploymentSummary, Encode, Event, EventCode, Feature, Gate,
    LoadState, MetricsRecord, Name, Payload, Plugin, Policy, Reject, Role, Stage, Status, Strategy as Plan,
    StrategyKind, Version, VersionStatus,
};
use coalmine_json::blockfile::{
    BlockExpect, BlockReader, BlockWriter, ByName, ExpectedReceipt, FEATURE_FIELDS, FileBlock, FileError, Form, Header,
    Limits, METRICS_FIELDS, PLUGIN_FIELDS, Place, PluginFacts,
};
use coalmine_json::render::Value as Shown;
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

fn nth<T>(expected: &ByName<T>, index: usize) -> (Name, &T) {
    expected.iter().nth(index).unwrap()
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

/// A payload of these bytes survives both JSON forms.
fn check_payload(bytes: &[u8]) {
    let block = plain(Block::from_payloads(1, vec![Payload::from_bytes(bytes)]).unwrap());
    for (form, file) in [(Form::Json, "f.json"), (Form::Jsonl, "f.jsonl")] {
        let (_, read) = read_all(file, &write(form, &header(), std::slice::from_ref(&block)));
        assert_eq!(read[0].block.payloads().next().unwrap().to_bytes(), bytes);
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
            "0000000100000002000000000000000300",
        ),
        with(
            "report_version",
            53,
            json!({ "requests": 1, "errors": 2, "latency_total": 3, "deployment": 258 }),
            "000000010000000200000000000000030100000102",
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
