//! `-o` and `convert`: what they replace, and what they never destroy.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A row is a command that would write what it reads, and the file that standard input comes from.
#[test]
fn no_output_destroys_an_input() {
    let world = World::new();
    world.check("dump canary.json -o state.dump", 0);
    world.check("prove canary.json feature base -o proof.json", 0);
    world.check("convert canary.json canary.jsonl", 0);
    fs::create_dir(world.path("store")).unwrap();
    world.write("store/CURRENT", "MANIFEST-000005");
    let inputs = ["canary.json", "canary.jsonl", "state.dump", "proof.json", "store/CURRENT"];
    for input in inputs {
        let (input, name) = (world.path(input), input.replace('/', "-"));
        symlink(&input, world.path(&format!("symbolic-{name}"))).unwrap();
        fs::hard_link(&input, world.path(&format!("hard-{name}"))).unwrap();
    }
    let before: Vec<String> = inputs.iter().map(|input| world.read(input)).collect();
    for (args, stdin) in [
        ("convert canary.json canary.json", ""),
        ("convert canary.json ./canary.json", ""),
        ("convert canary.json symbolic-canary.json", ""),
        ("convert canary.json hard-canary.json", ""),
        ("convert symbolic-canary.json canary.json", ""),
        ("convert hard-canary.json symbolic-canary.json", ""),
        ("convert hard-canary.jsonl canary.jsonl", ""),
        ("convert - canary.json", "canary.json"),
        ("convert - hard-canary.json", "canary.json"),
        ("convert - canary.json", "hard-canary.json"),
        ("convert - symbolic-canary.jsonl", "canary.jsonl"),
        ("run canary.json -o hard-canary.json", ""),
        ("run - -o canary.json", "canary.json"),
        ("run /dev/stdin -o canary.json", "canary.json"),
        ("run canary.json plugins.json -o hard-canary.json", ""),
        ("run plugins.json - -o hard-canary.json", "canary.json"),
        ("verify canary.json -o hard-canary.json", ""),
        ("verify - -o canary.json", "canary.json"),
        ("show canary.json features -o hard-canary.json", ""),
        ("show - features -o hard-canary.json", "canary.json"),
        ("show state.dump features -o hard-state.dump", ""),
        ("show - features -o hard-state.dump", "state.dump"),
        ("dump - -o state.dump", "state.dump"),
        ("diff canary.json state.dump -o hard-state.dump", ""),
        ("diff canary.json - -o hard-state.dump", "state.dump"),
        ("bisect canary.json state.dump -o symbolic-canary.json", ""),
        ("prove state.dump feature base -o hard-state.dump", ""),
        ("check - base 0x00000000000000000000000000000000000000aa -o state.dump", "state.dump"),
        ("verify-store rocksdb:store -o store/CURRENT", ""),
        ("verify-store rocksdb:store -o hard-store-CURRENT", ""),
        ("run canary.json --store rocksdb:store -o symbolic-store-CURRENT", ""),
    ] {
        check(&world, args, stdin, None);
    }
    let root = world.root("canary.json");
    for (file, stdin) in [("proof.json", ""), ("-", "proof.json")] {
        check(&world, &format!("verify-proof {file} --root {root} -o hard-proof.json"), stdin, None);
    }
    // Standard output that is appended to an input.
    for (args, stdin, stdout) in [
        ("convert canary.jsonl - --to jsonl", "", "canary.jsonl"),
        ("convert - - --to jsonl", "canary.jsonl", "hard-canary.jsonl"),
        ("run --events canary.json", "", "hard-canary.json"),
        ("show state.dump features -o -", "", "state.dump"),
    ] {
        check(&world, args, stdin, Some(stdout));
    }
    let after: Vec<String> = inputs.iter().map(|input| world.read(input)).collect();
    assert_eq!(after, before);
    assert_eq!(leftovers(&world), Vec::<String>::new());

    #[track_caller]
    fn check(world: &World, args: &str, stdin: &str, stdout: Option<&str>) {
        let mut command = world.command(args);
        if !stdin.is_empty() {
            command.stdin(File::open(world.path(stdin)).unwrap());
        }
        if let Some(stdout) = stdout {
            command.stdout(File::options().append(true).open(world.path(stdout)).unwrap());
        }
        let output = command.output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "replay {args} < {stdin}\n{err}");
        assert!(err.contains("this is an input as well; write to another file"), "replay {args} < {stdin}\n{err}");
    }
}

/// Temporary files that were left behind.
fn leftovers(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.folder.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn what_is_no_input_is_replaced() {
    let world = World::new();
    let (shown, _) = world.check("show canary.json features", 0);
    world.write("old", "old and longer than what replaces it".repeat(9));
    fs::set_permissions(world.path("old"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink(world.path("old"), world.path("link")).unwrap();
    world.golden("show canary.json features -o link", 0, "", "");
    assert_eq!(world.read("old"), shown);
    assert!(fs::symlink_metadata(world.path("link")).unwrap().is_symlink(), "the link stays");
    assert_eq!(fs::metadata(world.path("old")).unwrap().permissions().mode() & 0o777, 0o640);
    world.golden("show canary.json features -o new", 0, "", "");
    assert_eq!(world.read("new"), shown);
    let other = fs::metadata(world.path("canary.json")).unwrap().permissions().mode();
    assert_eq!(fs::metadata(world.path("new")).unwrap().permissions().mode(), other, "as any new file");
    world.golden("show canary.json features -o /dev/null", 0, "", "");
    world.golden("show canary.json features -o /dev/stdout", 0, &shown, "");
    world.fails("show canary.json features -o .", 2, ".: cannot be written: Is a directory");
    world.fails("show canary.json features -o none/new", 2, "none/new: cannot be written: No such file");
    world.fails("show canary.json features -o /dev/full", 3, "/dev/full: cannot be written: No space left");
    // A file from which nothing is read may be written, whatever standard input is.
    let mut command = world.command("show canary.json features -o old");
    assert!(command.stdin(File::open(world.path("old")).unwrap()).status().unwrap().success());
    assert_eq!(leftovers(&world), Vec::<String>::new());
}

/// A file has what standard output would have, and nothing takes its place if there is nothing.
#[test]
fn what_was_found_before_an_error_is_kept() {
    let world = World::new();
    world.write("bad.json", "{");
    world.write("other.json", CANARY.replace(r#""count": 3"#, "").replace(r#""repeat": 3"#, r#""repeat": 4"#));
    for (args, code) in [
        ("verify canary.json bad.json", 2),
        ("diff canary.json other.json", 1),
        ("bisect canary.json other.json", 1),
        ("run other.json", 1),
        ("show canary.json feature nothing", 2),
        ("show canary.json history nothing", 2),
        ("show bad.json features", 2),
    ] {
        world.write("found", "old");
        let (out, _) = world.check(args, code);
        world.check(&format!("{args} -o found"), code);
        let expected = if out.is_empty() { "old" } else { &out };
        assert_eq!(world.read("found"), expected, "{args}");
    }
    assert_eq!(leftovers(&world), Vec::<String>::new());
}

/// A disk that is full leaves what was there, and nothing half.
#[test]
fn a_full_disk_leaves_no_half_file() {
    let world = World::new();
    world.check("generate --features 20 --users 50 --blocks 10 --txs-per-block 200 --seed 7 -o load.blocks", 0);
    for (args, out) in [
        ("convert load.blocks OUT", "new.jsonl"),
        ("convert load.blocks OUT", "old.jsonl"),
        ("dump load.blocks -o OUT", "old.dump"),
        ("run load.blocks --receipts -o OUT", "old.txt"),
        ("check load.blocks feature_000000 --users users -o OUT", "old.txt"),
        ("generate --blocks 9 -o OUT", "old.blocks"),
    ] {
        world.write("users", format!("{USER}\n").repeat(3_000));
        if out.starts_with("old") {
            world.write(out, "old");
        }
        // A limit on the size of files stands for the disk: the write fails, since the signal is ignored.
        let line =
            format!("trap '' XFSZ; ulimit -f 16; exec {} {}", env!("CARGO_BIN_EXE_replay"), args.replace("OUT", out));
        let output = Command::new("sh").args(["-c", &line]).current_dir(world.folder.path()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{args}\n{err}");
        assert!(err.contains(&format!("{out}: cannot be written: File too large")), "{args}\n{err}");
        let found = fs::read_to_string(world.path(out)).ok();
        assert_eq!(found.as_deref(), out.starts_with("old").then_some("old"), "{args}");
    }
    assert_eq!(leftovers(&world), Vec::<String>::new());
}

/// A file that grows while it is read is told from one that is read whole.
#[test]
fn a_source_that_changes_while_it_is_read_is_refused() {
    let world = World::new();
    // The run is slow enough to be met: the file is much larger than what is read ahead.
    world.check("generate --features 20 --users 50 --blocks 400 --txs-per-block 200 --seed 7 -o load.jsonl", 0);
    for command in ["run load.jsonl --quiet", "dump load.jsonl -o state.dump", "convert load.jsonl load.blocks"] {
        let mut child = world.command(command).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut file = File::options().append(true).open(world.path("load.jsonl")).unwrap();
        // It changes until it is seen, or the run ends.
        while child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(2));
            file.write_all(b"\n").unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}\n{err}");
        assert!(err.contains("load.jsonl: cannot be read: it was changed while it was read"), "{command}\n{err}");
    }
    assert!(!world.path("state.dump").exists());
}
