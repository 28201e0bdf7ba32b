//! Stores on disk.

use super::*;

#[test]
fn a_run_continues_where_the_store_stands() {
    let world = World::new();
    let root = world.root("canary.json");
    let (out, _) = world.check("run canary.json --store rocksdb:s --until 110", 0);
    let rejected = format!("100 tx 5 enable nothing by {ADMIN}: feature_not_found (there is no feature nothing)\n");
    assert!(out.starts_with(&format!("{rejected}height 110\nblocks 2\n")), "{out}");
    let (out, err) = world.check("run canary.json --store rocksdb:s --root-every 3", 0);
    assert!(
        out.contains("125 root ")
            && out
                .contains(&format!("height 130\nblocks 2\ntransactions 0\nok 0\nrejected 0\nevents 2\nroot {root}\n")),
        "{out}"
    );
    assert!(err.contains("rocksdb:s: 2 blocks skipped, the store is at height 110"), "{err}");
    let (out, err) = world.check("run canary.json --store rocksdb:s", 0);
    assert!(out.starts_with("height 130\nblocks 0\n"), "{out}");
    assert!(err.contains("4 blocks skipped"), "{err}");
    let (out, _) = world.check("run canary.json --store rocksdb:s --until 120", 0);
    assert!(out.starts_with("height 130\nblocks 0\n"), "nothing is taken back: {out}");

    // Blocks that are not those of the store, and a file that begins above it.
    world.write("other.json", CANARY.replace("two words", "three words"));
    world.fails("run other.json --store rocksdb:s", 1, "they are not its blocks");
    world.write("next.jsonl", format!("{HEADER}\n{{\"height\":500}}\n"));
    world.check("run next.jsonl --store rocksdb:s", 0);
    world.fails("run next.jsonl --store rocksdb:s", 1, "name every file from the genesis on");
    world.write("chain.jsonl", format!("{}\n{{\"height\":600}}\n", HEADER.replace("example-1", "x")));
    world.fails("run chain.jsonl --store rocksdb:s", 1, "the store is of chain \"example-1\", the files are of \"x\"");
}

#[test]
fn stores_are_verified_dumped_and_restored() {
    let world = World::new();
    let root = world.root("canary.json");
    world.check("run canary.json --store rocksdb:s", 0);
    let (out, _) = world.check("verify-store rocksdb:s", 0);
    assert!(out.starts_with(&format!("height 130\nroot {root}\nrecords ")), "{out}");
    world.check(&format!("verify-store rocksdb:s --expect 130:{root}"), 0);
    world.fails(&format!("verify-store rocksdb:s --expect 131:{root}"), 1, "expected height 131");
    world.fails(&format!("verify-store rocksdb:s --expect 130:{}", "0".repeat(64)), 1, "expected height 130");
    world.fails("verify-store rocksdb:s --expect 130", 2, "write HEIGHT:ROOT");
    world.fails("verify-store canary.json", 2, "verify-store reads rocksdb:PATH");

    world.check("dump rocksdb:s -o s.dump", 0);
    assert_eq!(world.read("s.dump"), world.check("dump canary.json", 0).0);
    let (out, _) = world.check("restore s.dump rocksdb:t", 0);
    assert!(out.starts_with(&format!("height 130\nroot {root}\n")), "{out}");
    world.golden("diff rocksdb:s rocksdb:t", 0, "", "");
    world.fails("restore s.dump rocksdb:t", 2, "rocksdb:t: this folder is not empty");
    world.fails("restore s.dump memory", 2, "restore writes to rocksdb:PATH");
    world.write("bad.dump", world.read("s.dump").replace(&root, &"0".repeat(64)));
    world.fails("restore bad.dump rocksdb:u", 1, "its records have root");
    assert!(!world.path("u").exists(), "a dump that is refused leaves nothing behind");
    // The binary form has the same bytes as that of the block file.
    world.check("dump rocksdb:s --binary -o b.dump", 0);
    assert_eq!(fs::read(world.path("b.dump")).unwrap(), world.run("dump canary.json --binary").stdout);
    let (out, _) = world.check("restore b.dump rocksdb:v", 0);
    assert!(out.starts_with(&format!("height 130\nroot {root}\n")), "{out}");
    world.golden("diff rocksdb:s rocksdb:v", 0, "", "");
    let torn = fs::read(world.path("b.dump")).unwrap();
    fs::write(world.path("torn.dump"), &torn[..torn.len() - 1]).unwrap();
    world.fails("restore torn.dump rocksdb:u", 2, "torn.dump: the dump is cut off: chunk 1 of 1 has");
    assert!(!world.path("u").exists(), "a dump that is refused leaves nothing behind");
    world.check("run canary.json --store rocksdb:t --until 200", 0);

    for args in ["features", "feature base", "metrics base", "history base", "roles", "schedule", "global", "stale"] {
        let expected = world.check(&format!("show canary.json {args}"), 0).0;
        assert_eq!(world.check(&format!("show rocksdb:s {args}"), 0).0, expected, "{args}");
    }
    world.golden("show rocksdb:s features --at 100", 0, "base status=canary percent=5\n", "");
    world.fails(&format!("check rocksdb:s base {USER} --at 100"), 2, "is not known");
    world.check(&format!("prove rocksdb:s is-enabled top {USER} -o proof.json"), 0);
    world.check(&format!("verify-proof proof.json --root {root}"), 0);
    let (out, _) = world.check("bisect canary.json rocksdb:s", 0);
    assert_eq!(out, "height 130\ndiffer none\n");
    world.check("bisect rocksdb:t canary.json", 0);

    let (out, _) = world.check("verify canary.json", 0);
    assert!(out.ends_with("runs=memory,rocksdb,rocksdb-reopened\n"), "{out}");
}

#[test]
fn a_store_that_fails_gives_exit_code_3() {
    let world = World::new();
    world.fails("show rocksdb:missing features", 3, "there is no store here");
    world.fails("verify-store rocksdb:canary.json", 3, "not a folder");
    world.check("run canary.json --store rocksdb:s", 0);
    let log = log_of(&world.path("s"));
    let mut bytes = fs::read(&log).unwrap();
    bytes[20] ^= 1;
    fs::write(&log, bytes).unwrap();
    let (_, err) = world.check("verify-store rocksdb:s", 3);
    assert!(err.contains("RocksDB store s"), "{err}");
}

/// The log that holds the records of a store.
fn log_of(folder: &std::path::Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|ext| ext == "log"));
    logs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}
