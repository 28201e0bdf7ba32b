//! Real clients, installed from their registries into the user's cache when they are missing. Where that is impossible, the
//! tests say SKIPPED. The programs are in `tests/clients/`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use coalmine_auth::address_of_targeting_key;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;

use super::web::{Served, World, options};

const SERVER: &[&str] = &[
    "@openfeature/server-sdk@1.23.0",
    "@openfeature/core@1.12.0",
    "@openfeature/ofrep-provider@0.1.3",
    "@openfeature/ofrep-core@0.1.4",
];
const WEB: &[&str] = &[
    "@openfeature/web-sdk@1.10.0",
    "@openfeature/core@1.12.0",
    "@openfeature/ofrep-web-provider@0.4.3",
    "@openfeature/ofrep-core@2.3.0",
    "eventsource@5.1.5",
];
const BROWSER: &[&str] = &["puppeteer-core@24.43.1"];
const PYTHON: &[&str] = &["openfeature-sdk==0.10.0", "openfeature-provider-ofrep==0.3.0"];

/// How long an installation may take.
const INSTALL: Duration = Duration::from_secs(120);
/// How long a client may take for anything.
const SOON: Duration = Duration::from_secs(30);

fn cache() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    Some(cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?.join("coalmine"))
}

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

async fn run(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(INSTALL, command.output()).await.map_err(|_| "it takes too long".to_owned())?;
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The folder with packages of npm, which has a mark for the versions in it.
pub(crate) async fn npm(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    static ONCE: Mutex<()> = Mutex::const_new(());
    let _once = ONCE.lock().await;
    let folder = cache().ok_or("there is no folder for caches")?.join(name);
    let mark = folder.join("installed.txt");
    let wanted = packages.join(" ");
    if std::fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let prefix = folder.to_string_lossy().into_owned();
    let mut arguments = vec!["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", &prefix];
    arguments.extend(packages);
    run(Path::new("npm"), &arguments).await?;
    std::fs::write(mark, wanted).map_err(|error| error.to_string())?;
    Ok(folder)
}

/// The Python of an environment with packages of PyPI.
pub(crate) async fn python(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = cache().ok_or("there is no folder for caches")?.join(name);
    let (mark, python) = (folder.join("installed.txt"), folder.join("bin/python"));
    let wanted = packages.join(" ");
    if std::fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    run(Path::new("python3"), &["-m", "venv", "--clear", &folder.to_string_lossy()]).await?;
    let mut arguments = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    arguments.extend(packages);
    run(&python, &arguments).await?;
    std::fs::write(mark, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

/// What there is, or a word that it is not.
pub(crate) fn or_skip<T>(what: &str, found: Result<T, String>) -> Option<T> {
    found.inspect_err(|why| eprintln!("SKIPPED: {what} cannot be installed: {why}")).ok()
}

/// A client that runs, and what it prints.
pub(crate) struct Client {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    pub(crate) fn start(program: &Path, arguments: &[&Path], last: &str) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(last).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What it prints next; none at its end.
    async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(SOON, self.lines.next_line()).await.expect("it says something");
        line.unwrap().map(|line| serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")))
    }

    pub(crate) async fn soon(&mut self) -> Value {
        self.next().await.expect("it goes on")
    }

    async fn all(mut self) -> Vec<Value> {
        let mut found = Vec::new();
        while let Some(value) = self.next().await {
            found.push(value);
        }
        let status = tokio::time::timeout(SOON, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
        found
    }
}

/// What a client of flags has to have found: flag, value, reason, variant, and the code of an error.
fn expected(world: &World) -> Vec<[Value; 5]> {
    let is_on = |key: &str, user: &str| {
        world.node.read(|state| state.is_enabled(&key.parse().unwrap(), &address_of_targeting_key(user)))
    };
    let bool = |key: &str, user: &str, reason: &str| {
        let on = is_on(key, user);
        [json!(key), json!(on), json!(reason), json!(if on { "on" } else { "off" }), Value::Null]
    };
    let mut rows = Vec::new();
    for (user, of_on) in [("user-1", "STATIC"), ("0x3333333333333333333333333333333333333333", "TARGETING_MATCH")] {
        let of_child = if is_on("part", user) { "STATIC" } else { "SPLIT" };
        rows.push(bool("on", user, of_on));
        rows.push(bool("off", user, "DISABLED"));
        rows.push(bool("part", user, "SPLIT"));
        rows.push(bool("child", user, of_child));
    }
    let unit = address_of_targeting_key("user-1").0;
    let version = world.node.read(|state| state.route(&"api".parse().unwrap(), &unit).unwrap().to_string());
    rows.push([json!("plugin/api"), json!(version), json!("SPLIT"), json!(version), Value::Null]);
    // The default of the code, because there is no value.
    rows.push([json!("part"), json!(true), json!("ERROR"), Value::Null, json!("TARGETING_KEY_MISSING")]);
    rows.push([json!("pay/v2 x"), json!(true), json!("ERROR"), Value::Null, json!("FLAG_NOT_FOUND")]);
    rows
}

fn check(world: &World, found: &[Value]) {
    let expected = expected(world);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, [key, value, reason, variant, error]) in found.iter().zip(expected) {
        assert_eq!(found["flagKey"], key);
        assert_eq!(found["value"], value, "{found}");
        assert_eq!(found["reason"], reason, "{found}");
        assert_eq!(found["errorCode"], error, "{found}");
        if error == Value::Null {
            assert_eq!(found["variant"], variant, "{found}");
            let metadata = &found["flagMetadata"];
            assert_eq!(
                (&metadata["height"], &metadata["root"]),
                (&json!(10), &json!(world.node.tip().root.to_string())),
                "{found}"
            );
            assert!(
                metadata["status"].is_string() && metadata["percentBp"].is_u64() && metadata["since"].is_u64(),
                "{found}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openfeature_of_servers_in_javascript() {
    let Some(folder) = or_skip("OpenFeature's server SDK", npm("openfeature-server", SERVER).await) else { return };
    let world = World::new();
    let served = Served::new(&world.node, options()).await;
    let client = Client::start(Path::new("node"), &[&script("server.mjs"), &folder], &served.url);
    check(&world, &client.all().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openfeature_in_python() {
    let Some(python) = or_skip("OpenFeature's Python SDK", python("openfeature-python", PYTHON).await) else { return };
    let world = World::new();
    let served = Served::new(&world.node, options()).await;
    let client = Client::start(&python, &[&script("python_client.py")], &served.url);
    check(&world, &client.all().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openfeature_of_the_web_follows_changes() {
    let Some(folder) = or_skip("OpenFeature's web SDK", npm("openfeature-web", WEB).await) else { return };
    let mut world = World::new();
    let served = Served::new(&world.node, options()).await;
    let mut client = Client::start(Path::new("node"), &[&script("web.mjs"), &folder], &served.url);
    let ready = client.soon().await;
    assert_eq!(
        (&ready["what"], &ready["all"]["value"], &ready["all"]["reason"]),
        (&json!("ready"), &json!(true), &json!("STATIC"))
    );
    let version = world
        .node
        .read(|state| state.route(&"api".parse().unwrap(), &address_of_targeting_key("user-1").0).unwrap().to_string());
    assert_eq!(ready["api"], version);
    // Give its stream the time to be open.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.tell(r#"{"op":"disable","name":"all"}"#);
    let changed = client.soon().await;
    assert_eq!((&changed["flagsChanged"], &changed["all"]["value"]), (&json!(["all"]), &json!(false)), "{changed}");
    // Blocks that change no flag change no flag of the client's.
    world.tell(r#"{"op":"grant_role","address":"0x4444444444444444444444444444444444444444","role":"operator"}"#);
    // Cut the stream, change something meanwhile, and it is seen after the client has come back.
    let port = served.port;
    served.cut().await;
    world.tell(r#"{"op":"enable","name":"all"}"#);
    let _served = Served::at(&world.node, options(), port).await;
    let changed = client.soon().await;
    assert_eq!((&changed["flagsChanged"], &changed["all"]["value"]), (&json!(["all"]), &json!(true)), "{changed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_takes_its_stream_up_where_it_was_cut() {
    let Some(folder) = or_skip("the driver of browsers", npm("events-browser", BROWSER).await) else { return };
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    let Some(chromium) = chromium.into_iter().find(|path| path.is_file()) else {
        eprintln!("SKIPPED: there is no Chromium; apt-get install chromium brings it");
        return;
    };
    let mut world = World::new();
    let served = Served::new(&world.node, options()).await;
    let mut client = Client::start(Path::new("node"), &[&script("browser.mjs"), &folder, &chromium], &served.url);
    for (what, id) in [("hello", ""), ("block", "9"), ("block", "10")] {
        assert_eq!(client.soon().await, json!({"what": what, "id": id}));
    }
    world.tell(r#"{"op":"disable","name":"all"}"#);
    assert_eq!(client.soon().await, json!({"what": "block", "id": "11"}));
    let port = served.port;
    served.cut().await;
    assert_eq!(client.soon().await["what"], "error");
    world.tell(r#"{"op":"enable","name":"all"}"#);
    world.tell(r#"{"op":"disable","name":"all"}"#);
    let served = Served::at(&world.node, options(), port).await;
    let mut missed = Vec::new();
    while missed.len() < 2 {
        let found = client.soon().await;
        if found["what"] == "block" {
            missed.push(found["id"].as_str().unwrap().to_owned());
        } else {
            assert!(found["what"] == "hello" || found["what"] == "error", "{found}");
        }
    }
    assert_eq!(missed, ["12", "13"]);
    drop(served);
}
