//! `convert` and `generate`.

use coalmine_core::standard;

use super::*;

#[test]
fn convert_keeps_everything() {
    let world = World::new();
    world.golden("convert canary.json canary.blocks", 0, "", "");
    world.golden("convert canary.blocks back.jsonl", 0, "", "");
    world.golden("convert canary.json same.jsonl", 0, "", "");
    world.golden("convert back.jsonl again.out --to blocks", 0, "", "");
    assert_eq!(fs::read(world.path("canary.blocks")).unwrap(), fs::read(world.path("again.out")).unwrap());
    // Expectations live in JSON only.
    assert!(world.read("same.jsonl").contains("\"expect\":{\"height\":130"));
    assert!(!world.read("back.jsonl").contains("expect"));
    for file in ["same.jsonl", "back.jsonl", "canary.blocks"] {
        assert_eq!(world.root(file), world.root("canary.json"), "{file}");
    }

    world.fails("convert canary.json out.txt", 2, "add --to json, jsonl or blocks");
    world.fails("convert canary.json out.json --to xml", 2, "write json, jsonl or blocks");

    // The blocks before the damage are kept.
    let mut bytes = fs::read(world.path("canary.blocks")).unwrap();
    bytes.truncate(bytes.len() - 1);
    world.write("torn.blocks", &bytes);
    world.fails("convert torn.blocks kept.jsonl", 2, "torn.blocks: frame 4 at byte");
    assert_eq!(world.read("kept.jsonl").lines().count(), 4);
    world.fails("run torn.blocks", 2, "the file ends within this frame");
}

#[test]
fn generated_workloads_are_reproducible_and_run() {
    let world = World::new();
    let args = "generate --features 20 --users 50 --blocks 10 --txs-per-block 200 --seed 7";
    for form in ["json", "jsonl", "blocks"] {
        world.golden(&format!("{args} -o load.{form}"), 0, "", "");
    }
    world.check(&format!("{args} -o again.blocks"), 0);
    let bytes = fs::read(world.path("load.blocks")).unwrap();
    assert_eq!(bytes, fs::read(world.path("again.blocks")).unwrap());
    assert_eq!(crc32c::crc32c(&bytes), GENERATED, "the bytes of a seed stay the same for ever");
    let (json, _) = world.check("run load.json", 0);
    assert_eq!(json, world.check("run load.blocks", 0).0);
    assert_eq!(json, world.check("run load.jsonl", 0).0);
    assert!(json.contains("\nheight 11\nblocks 11\ntransactions 2003\n"), "{json}");
    world.check("verify load.jsonl", 0);
    world.check(&format!("{args} --seed 8 -o other.blocks"), 2);

    let (jsonl, _) = world.check("generate --features 1 --blocks 1 --txs-per-block 3 --mix success=1", 0);
    assert_eq!(jsonl.matches("\"successes\":1").count(), 3, "{jsonl}");
    // Plugins are registered, deployed, reported, promoted and rolled back.
    let args = "generate --features 5 --blocks 60 --txs-per-block 40 --seed 3 \
                --mix version_success=80,version_error=3,deploy=10,register=2,health=5";
    world.check(&format!("{args} -o plugins.blocks"), 0);
    world.check(&format!("{args} -o plugins.jsonl"), 0);
    let (events, _) = world.check("run plugins.blocks --events --quiet", 0);
    assert_eq!(events, world.check("run plugins.jsonl --events --quiet", 0).0);
    for event in ["deployed", "staged", "promoted", "concluded", "deployment_rolled_back", "health_attested"] {
        assert!(events.contains(&format!(" event {event} ")), "{event}");
    }
    world.check("verify plugins.blocks", 0);
    // Rounds of several reporters, and sequences that are all accepted.
    let args = "generate --features 5 --blocks 60 --txs-per-block 40 --seed 3 --rounds 5 --quorum 2 --sequences \
                --mix success=60,error=2,version_success=40,health=5,deploy=5,canary=1,override=1";
    for form in ["json", "jsonl", "blocks"] {
        world.check(&format!("{args} -o rounds.{form}"), 0);
    }
    let (out, _) = world.check("run rounds.blocks --events --receipts --quiet", 0);
    for form in ["json", "jsonl"] {
        assert_eq!(out, world.check(&format!("run rounds.{form} --events --receipts --quiet"), 0).0, "{form}");
    }
    let header: serde_json::Value = serde_json::from_str(world.read("rounds.jsonl").lines().next().unwrap()).unwrap();
    assert_eq!(header["genesis"]["params"]["round_blocks"], 5);
    assert_eq!(header["genesis"]["roles"].as_object().unwrap().len(), 6, "three reporters reach a quorum of two");
    assert!(header["description"].as_str().unwrap().ends_with(", rounds of 5 blocks with a quorum of 2, sequences"));
    for words in [" event round_closed kind=report ", " event round_closed kind=report_version ", "acted=true"] {
        assert!(out.contains(words), "{words}");
    }
    for words in ["bad_sequence", "expired"] {
        assert!(!out.contains(words), "{words}");
    }
    for (mix, words) in [
        ("succes=1", "unknown kind \"succes\"; there are success, error"),
        ("success", "is not KIND=WEIGHT"),
        ("success=-1", "is not KIND=WEIGHT"),
        ("success=0", "at least one weight is not 0"),
    ] {
        world.fails(&format!("generate --mix {mix}"), 2, words);
    }
    world.fails("generate --features 0", 2, "0 is not in 1..=1000000");
    world.fails("generate --txs-per-block 65537", 2, "65537 is not in 0..=65536");
    world.fails("generate --quorum 2", 2, "--rounds");
    world.fails("generate --rounds 0", 2, "0 is not in 1..=1000000");
    world.fails("generate --rounds 1 --quorum 65", 2, "65 is not in 1..=64");
    world.fails("generate -o load.txt", 2, "ends in .json, .jsonl or .blocks");
}

#[test]
fn generated_features_have_standard_names_on_request() {
    let world = World::new();
    world.check("generate --features 8 --blocks 1 --txs-per-block 50 --standard-names -o load.blocks", 0);
    let (features, _) = world.check("show load.blocks features", 0);
    let mut names: Vec<&str> = features.lines().filter_map(|line| line.split(' ').next()).collect();
    names.sort_by_key(|name| standard::ALL.iter().position(|standard| standard == name).unwrap_or(usize::MAX));
    assert_eq!(names, [&standard::ALL[..], &["feature_000006", "feature_000007"]].concat());
}

/// The checksum of a generated file.
const GENERATED: u32 = 4_179_680_329;
