//! `encode --key` and `decode` of envelopes, with the vectors that another implementation has made.

use std::os::unix::fs::PermissionsExt;

use coalmine_auth::{Envelope, SecretKey};
use coalmine_core::{Decode, Genesis, Transaction};
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/auth/auth.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn write_key(world: &World, name: &str, pem: &str, mode: u32) {
    world.write(name, pem);
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

/// A world with the genesis of the vectors, alone and in block files, and a key file.
fn signing_world() -> (World, Value) {
    let (world, vectors) = (World::new(), vectors());
    let genesis = Genesis::from_bytes(&unhex(&vectors["envelopes"][0]["genesis"])).unwrap();
    let alone = coalmine_json::write_genesis(&genesis);
    world.write("genesis.json", &alone);
    world.write(
        "blocks.json",
        format!(r#"{{"format":"coalmine-blocks/1","genesis":{alone},"blocks":[{{"height":1}}]}}"#),
    );
    world.check("convert blocks.json blocks.jsonl", 0);
    world.check("convert blocks.json blocks.blocks", 0);
    write_key(&world, "key.pem", vectors["keys"][0]["pem"].as_str().unwrap(), 0o600);
    (world, vectors)
}

#[test]
fn envelopes_are_those_of_another_implementation() {
    let (world, vectors) = signing_world();
    let genesis = vectors["envelopes"][0]["genesis"].clone();
    let singles = vectors["envelopes"].as_array().unwrap().iter();
    let mut seen = 0;
    for vector in singles.filter(|vector| vector["genesis"] == genesis) {
        let envelope = vector["envelope"].as_str().unwrap();
        let bytes = Envelope::from_bytes(&unhex(&vector["envelope"])).unwrap();
        let transaction = coalmine_json::write_transaction(&Transaction::from_bytes(bytes.transaction()).unwrap());
        let id = vector["id"].as_str().unwrap();
        let (shown, _) = world.check(&format!("decode {envelope} --genesis genesis.json"), 0);
        assert!(
            shown.starts_with(&format!("id {id}\nscheme ")) && shown.contains("\nsignatures_good true\n"),
            "{shown}"
        );
        assert!(shown.contains("\nmalformed none\n"), "{shown}");
        let (shown, _) = world.check(&format!("decode {envelope}"), 0);
        assert!(!shown.contains("signatures_good"), "nothing is said of what was not checked: {shown}");
        if vector["scheme"] != "single" {
            assert!(shown.contains("scheme multisig\nthreshold "), "{shown}");
            continue;
        }
        seen += 1;
        let seed: [u8; 32] = unhex(&vector["seeds"][0]).try_into().unwrap();
        write_key(&world, "signer.pem", &SecretKey::from_seed(&seed).to_pem().unwrap(), 0o600);
        world.write("tx.json", &transaction);
        for genesis in ["genesis.json", "blocks.json", "blocks.jsonl", "blocks.blocks"] {
            let args = format!("encode tx.json --key signer.pem --genesis {genesis}");
            world.golden(&args, 0, &format!("{envelope}\n"), "");
        }
        let (json, _) = world.check("encode tx.json --key signer.pem --genesis genesis.json --format json", 0);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json["type"], &json["id"], &json["bytes"]),
            (&"encoded".into(), &vector["id"], &vector["envelope"])
        );
    }
    assert!(seen > 0);
}

#[test]
fn a_transaction_without_a_signer_is_that_of_the_key() {
    let (world, vectors) = signing_world();
    world.write("enable.json", r#"{"op":"enable","name":"foo"}"#);
    let (hex, _) = world.check("encode enable.json --sequence 7 --key key.pem --genesis genesis.json", 0);
    world.write("envelope.hex", &hex);
    let (shown, _) = world.check("decode envelope.hex --genesis genesis.json", 0);
    let key = vectors["keys"][0]["public"].as_str().unwrap();
    let address = vectors["keys"][0]["address"].as_str().unwrap();
    for line in [format!("keys.0 key=0x{key} signed=true"), format!("signer 0x{address}"), "sequence 7".into()] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
}

#[test]
fn what_cannot_be_signed_or_checked_is_refused() {
    let (world, vectors) = signing_world();
    let pem = vectors["keys"][0]["pem"].as_str().unwrap();
    write_key(&world, "open.pem", pem, 0o640);
    write_key(&world, "broken.pem", &pem[..40], 0o600);
    world.write("other.json", world.read("genesis.json").replace("example-1", "example-2"));
    world.write("bad.json", r#"{"roles":{"0x12":["admin"]}}"#);
    world.write("enable.json", r#"{"op":"enable","name":"foo"}"#);
    world.write("theirs.json", format!(r#"{{"op":"enable","name":"foo","signer":"{ADMIN}"}}"#));
    for (args, code, words) in [
        (
            "enable.json --key key.pem --genesis genesis.json",
            2,
            "transaction 0: the transaction has no sequence; a signed one needs it",
        ),
        ("enable.json --key key.pem --genesis genesis.json", 2, "give it one with --sequence"),
        (
            "theirs.json --sequence 1 --key key.pem --genesis genesis.json",
            2,
            "the transaction is of 0x1111111111111111111111111111111111111111, but the keys are of 0x",
        ),
        ("enable.json --sequence 1 --key nowhere.pem --genesis genesis.json", 2, "nowhere.pem: No such file"),
        (
            "enable.json --sequence 1 --key open.pem --genesis genesis.json",
            2,
            "open.pem: others may read or write this key (mode 640); chmod 600 it",
        ),
        ("enable.json --sequence 1 --key broken.pem --genesis genesis.json", 2, "broken.pem: "),
        ("enable.json --sequence 1 --key key.pem --genesis nowhere.json", 2, "nowhere.json: cannot be read"),
        ("enable.json --sequence 1 --key key.pem --genesis bad.json", 2, "bad.json:1:"),
        ("enable.json --sequence 1 --key key.pem --genesis enable.json", 2, "enable.json:1:"),
        ("enable.json --sequence 1 --key key.pem", 2, "--genesis"),
        ("enable.json --sequence 1 --genesis genesis.json", 2, "--key"),
        ("enable.json --bare --key key.pem --genesis genesis.json", 2, "cannot be used with"),
        (
            "enable.json --sequence 1 --key key.pem --genesis genesis.json -o key.pem",
            2,
            "key.pem: this is an input as well",
        ),
        (
            "enable.json --sequence 1 --key key.pem --genesis genesis.json -o genesis.json",
            2,
            "genesis.json: this is an input as well",
        ),
    ] {
        let (_, err) = world.check(&format!("encode {args}"), code);
        assert!(err.contains(words), "encode {args}: {words:?} is not in:\n{err}");
        assert!(!err.contains(pem.lines().nth(1).unwrap()), "no message has a key");
    }
    assert_eq!(world.read("key.pem"), pem);

    let (hex, _) = world.check("encode enable.json --sequence 7 --key key.pem --genesis genesis.json", 0);
    let hex = hex.trim();
    let elsewhere = format!("decode {hex} --genesis other.json");
    let (out, err) = world.check(&elsewhere, 1);
    assert!(
        out.contains("signatures_good false") && err.contains("another transaction, chain or genesis was signed"),
        "{out}{err}"
    );
    world.fails(&format!("decode {hex}00 --genesis genesis.json"), 2, "malformed");
    let transaction = &hex[10..hex.len() - 2 * (1 + 32 + 64)];
    world.fails(&format!("decode {transaction} --genesis genesis.json"), 1, "this is no envelope");
}
