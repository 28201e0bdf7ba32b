//! The commands of `coalmine`: what they make, and their exit codes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use coalmine_node::config::{Config, Overrides};

/// Runs the program in an environment without settings of its own.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coalmine"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COALMINE_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

/// Runs it, and compares the exit code and a part of what it says.
pub(crate) fn check(arguments: &[&str], code: i32, says: &str) -> String {
    let Output { status, stdout, stderr } = run(arguments);
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(code), "{arguments:?}: {out}{err}");
    assert!(out.contains(says) || err.contains(says), "{arguments:?}: {out}{err}");
    out
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_home_is_made_once() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("home");
    let at = ["--home", text(&home)];
    let out = check(&[&["init", "--chain", "shop-1"], &at[..]].concat(), 0, "chain shop-1");
    assert!(out.contains("genesis_hash ") && out.contains("admin.address 0x"), "{out}");
    for file in ["config.toml", "genesis.json", "keys/admin.pem", "keys/node.pem"] {
        assert!(home.join(file).is_file(), "{file}");
    }
    check(&[&["init"], &at[..]].concat(), 2, "this folder is not empty");
    check(&[&["config", "check"], &at[..]].concat(), 0, "good");
    let shown = check(&[&["config", "show"], &at[..]].concat(), 0, "block_interval = \"1s\"");
    assert_eq!(fs::read_to_string(home.join("config.toml")).unwrap().trim_end(), shown.trim_end());

    // Admins by address, by public key, and by file.
    let key = text(&home.join("keys/node.pem")).to_owned();
    let shown = check(&["keys", "show", &key], 0, "address 0x");
    let value = |name: &str| shown.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap().to_owned();
    for admin in [value("address"), value("public_key"), key.clone()] {
        let other = temp.path().join(format!("home-{}", admin.len()));
        check(&["init", "--admin", &admin, "--home", text(&other)], 0, "chain coalmine-");
        assert!(fs::read_to_string(other.join("genesis.json")).unwrap().contains(&value("address")));
        assert!(!other.join("keys/admin.pem").exists());
    }
    let new = text(&temp.path().join("none")).to_owned();
    check(&["init", "--admin", "nobody", "--home", &new], 2, "nobody: this is no address");
    check(&["init", "--chain", "not a chain", "--home", &new], 2, "chain");
    let identity = "0x0100000000000000000000000000000000000000000000000000000000000000";
    check(&["init", "--admin", identity, "--home", &new], 2, "anybody");
    check(&["start", "--home", &new], 2, "there is no genesis.json here; make a home with coalmine init");
    assert!(!Path::new(&new).exists());
}

#[test]
fn keys_move_between_forms() {
    let temp = tempfile::tempdir().unwrap();
    let file = |name: &str| text(&temp.path().join(name)).to_owned();
    let made = check(&["keys", "new", &file("a.pem")], 0, "address");
    check(&["keys", "new", &file("a.pem")], 2, "a.pem");
    check(&["keys", "export", &file("a.pem"), &file("a.json"), "--form", "cometbft"], 0, "address");
    let back = check(&["keys", "import", &file("a.json"), &file("b.pem"), "--form", "cometbft"], 0, "address");
    let address = |out: &str| out.lines().next().unwrap().to_owned();
    assert_eq!(address(&made), address(&back));
    assert_eq!(fs::read(file("a.pem")).unwrap(), fs::read(file("b.pem")).unwrap());
    check(&["keys", "import", &file("a.json"), &file("c.pem")], 2, "a.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        fs::set_permissions(file("a.pem"), fs::Permissions::from_mode(0o644)).unwrap();
        check(&["keys", "show", &file("a.pem")], 2, "others may read or write this key");
    }
    check(&["keys", "show", &file("none")], 2, "none");
}

#[test]
fn a_configuration_is_read_strictly() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("config.toml");
    for (about, content, why) in [
        ("nothing", "", ""),
        ("a part", "keep_blocks = 7\n[http]\nlisten = \"127.0.0.1:1\"\n", ""),
        ("unknown", "blok_interval = \"1s\"", "line 1, column 1: unknown field `blok_interval`"),
        ("unknown inside", "[http]\nlisten = \"127.0.0.1:1\"\nport = 3", "line 3, column 1: unknown field `port`"),
        ("no time", "block_interval = \"soon\"", "write a time as 500ms or 2s"),
        ("a number", "block_interval = 1", "line 1, column 18"),
        ("too short", "block_interval = \"1ms\"", "block_interval is 10ms to 1h, not 1ms"),
        ("too long", "block_interval = \"2h\"", "block_interval is 10ms to 1h, not 2h"),
        ("no engine", "engine = \"steam\"", "unknown variant `steam`"),
        ("no address", "[http]\nlisten = \"here\"", "line 2, column 10"),
        ("no filter", "[log]\nfilter = \"a=b=c\"", "log filter"),
        ("no toml", "a secret = ", "line 1"),
    ] {
        fs::write(&file, content).unwrap();
        let found = Config::read(&file).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(found.contains(why) && found.is_empty() == why.is_empty(), "{about}: {found}");
        assert!(!found.contains("secret"), "no message shows what the file has: {found}");
    }
    fs::write(&file, "keep_blocks = 7").unwrap();
    let overrides = Overrides { keep_blocks: Some(8), ..Overrides::default() };
    assert_eq!(Config::read(&file).unwrap().with(&overrides).unwrap().keep_blocks, 8);
    fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(Config::read(&file).unwrap_err().to_string().contains("at most"));

    // A flag goes before the environment, and that before the file.
    fs::write(&file, "keep_blocks = 7").unwrap();
    for (environment, flags, keeps) in
        [(None, &[][..], 7), (Some("8"), &[], 8), (Some("8"), &["--keep-blocks", "9"], 9)]
    {
        let mut command = program(&["config", "show", "--home", text(temp.path())]);
        command.args(flags).envs(environment.map(|value| ("COALMINE_KEEP_BLOCKS", value)));
        let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(shown.contains(&format!("keep_blocks = {keeps}\n")), "{shown}");
    }
}

#[test]
fn bad_usage_is_refused() {
    for (arguments, code, says) in [
        (&["--help"][..], 0, "Exit codes"),
        (&["--version"], 0, "coalmine 0."),
        (&[], 2, "Usage"),
        (&["frobnicate"], 2, "unrecognized subcommand"),
        (&["tx"], 2, "there is no op"),
        (&["tx", "start_canry"], 2, "the nearest is start_canary"),
        (&["tx", "start_canary", "name"], 2, "a field is written as --FIELD VALUE"),
        (&["tx", "start_canary", "--nme", "x"], 2, "start_canary has no field nme"),
        (&["tx", "start_canary", "--name"], 2, "--name lacks its value"),
        (&["tx", "start_canary", "--name", "a", "--name", "b"], 2, "--name stands twice"),
        (&["tx", "start_canary", "--name", "a", "--percent", "101"], 2, "percent"),
        (&["tx", "start_canary", "--help"], 0, "percent of users for whom it is on"),
        (&["tx", "--ops"], 0, "start_canary name percent"),
        (&["tx", "{\"op\":\"enable\"}"], 2, "name"),
        (&["tx", "@/nowhere", "--key", "x"], 2, "/nowhere"),
        (&["status", "--node", "http://127.0.0.1:1"], 3, "cannot be reached"),
        (&["export", "--blocks", "a.txt", "--home", "/nowhere"], 2, "genesis.json"),
        (&["dev", "/nowhere.json"], 2, "/nowhere.json"),
        (&["dev", "--block-interval", "1us"], 2, "block_interval"),
    ] {
        check(arguments, code, says);
    }
    let json = run(&["--format", "json", "status", "--node", "http://127.0.0.1:1"]);
    let error = String::from_utf8(json.stderr).unwrap();
    assert!(error.starts_with("{\"type\":\"error\",\"message\":\"") && error.contains("\"exit_code\":3"), "{error}");
}

/// A node that runs.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }

    /// The exit code, which has to come within ten seconds.
    pub(crate) fn end(mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if Instant::now() > until => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn dev_plays_a_story_and_ends_on_a_signal() {
    // It tells the service manager, too.
    let temp = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(temp.path().join("notify")).unwrap();
    let (said, heard) = std::sync::mpsc::channel();
    // As a service manager does, it reads whatever it is told: the queue of a socket is short.
    std::thread::spawn(move || {
        let mut message = [0; 256];
        while let Ok(len) = manager.recv(&mut message) {
            if said.send(String::from_utf8_lossy(&message[..len]).trim().to_owned()).is_err() {
                return;
            }
        }
    });
    let hear = || heard.recv_timeout(Duration::from_secs(10)).unwrap();
    let mut child = program(&["dev", "--port", "0", "--block-interval", "20ms", "--log", "info"]);
    child.env("NOTIFY_SOCKET", temp.path().join("notify")).env("WATCHDOG_USEC", "200000").env_remove("WATCHDOG_PID");
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.by_ref().take(8).collect();
    let key = said.iter().find(|line| line.trim_start().starts_with("admin")).unwrap();
    let file = key.split_whitespace().last().unwrap().to_owned();
    assert!(Path::new(&file).is_file(), "{said:?}");
    let mut err = child.stderr.take().unwrap();
    let running = Running(child);
    assert_eq!([hear(), hear(), hear()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    std::thread::sleep(Duration::from_millis(2_500));
    running.signal("-TERM");
    assert_eq!(running.end(), Some(0));
    assert_eq!(std::iter::repeat_with(hear).find(|said| said != "WATCHDOG=1").unwrap(), "STOPPING=1");
    assert!(!Path::new(&file).exists(), "the keys go with it");
    let mut log = String::new();
    err.read_to_string(&mut log).unwrap();
    assert!(!log.contains("WARN") && !log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn a_transaction_is_sent_watched_and_answered() {
    let mut child = program(&["dev", "--empty", "--port", "0", "--block-interval", "20ms"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Whoever stops listening ends it.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.by_ref().take(8).collect();
    let _running = Running(child);
    let word = |start: &str| {
        let line = said.iter().find(|line| line.trim_start().starts_with(start)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    let (node, key) = (word("look at it"), word("admin"));
    let temp = tempfile::tempdir().unwrap();
    let at = ["--node", &node, "--key", &key];
    // A home has a genesis, and what is signed for another ledger is refused.
    let none = ["--home", text(temp.path())];
    let tx = |words: &[&str], code, says: &str| check(&[&["tx"], &at[..], &none[..], words].concat(), code, says);

    let out = tx(&["create_feature", "--name", "hello", "--description", "12"], 0, "state committed");
    for line in ["preview: ok in block", "preview: hello is created", "result ok", "event hello is created"] {
        assert!(out.contains(line), "{line}: {out}");
    }
    tx(&["create_feature", "--name", "hello", "--description", ""], 1, "feature_already_exists");
    tx(&["--dry-run", "enable", "--name=hello"], 0, "preview");
    let pending = tx(&["--no-wait", "--no-preview", "enable", "--name", "hello"], 0, "state pending");
    assert!(!pending.contains("preview"), "{pending}");
    let both = ["start_canary", "--name", "other", "--percent", "5", "+", "disable", "--name", "hello"];
    tx(&both, 1, "feature_not_found");
    tx(&["--sequence", "1", "disable", "--name", "hello"], 2, "is used up");
    tx(&["--valid-until", "1", "disable", "--name", "hello"], 2, "it was good until height 1");
    let json =
        "[{\"op\":\"create_feature\",\"name\":\"third\",\"description\":\"\"},{\"op\":\"enable\",\"name\":\"third\"}]";
    let file = temp.path().join("commands.json");
    fs::write(&file, json).unwrap();
    tx(&[&format!("@{}", text(&file))], 0, "state committed");
    tx(&["--format", "json", "--no-preview", "disable", "--name", "third"], 0, "\"state\":\"committed\"");
    let stranger = text(&temp.path().join("stranger.pem")).to_owned();
    check(&["keys", "new", &stranger], 0, "address");
    let at_stranger = ["--node", &node, "--key", &stranger];
    check(
        &[&["tx"], &at_stranger[..], &none[..], &["--no-preview", "enable", "--name", "hello"]].concat(),
        2,
        "holds no role",
    );

    let status = check(&["status", "--node", &node], 0, "chain dev-1");
    assert!(status.contains("engine.is_ready true"), "{status}");
    let seen = check(&["watch", "--node", &node, "--from", "0", "--blocks", "2"], 0, "feature_created");
    assert_eq!(seen.lines().count(), 2, "{seen}");
    let seen = check(
        &["watch", "--node", &node, "--from", "0", "--blocks", "1", "--feature", "third", "--format", "json"],
        0,
        "",
    );
    assert!(seen.contains("\"third\"") && !seen.contains("\"hello\""), "{seen}");
    check(&["watch", "--node", &node, "--kind", "no such kind"], 2, "kind");
    // With the genesis of another ledger in the home, the signature is good for that one alone.
    let home = temp.path().join("home");
    check(&["init", "--home", text(&home)], 0, "chain");
    let elsewhere = ["--home", text(&home), "--no-preview", "enable", "--name", "hello"];
    check(&[&["tx"], &at[..], &elsewhere[..]].concat(), 2, "another transaction, chain or genesis was signed");
}
