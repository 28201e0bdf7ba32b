//! The `feed` binary against a server on the loopback interface: what it writes, what it applies, how it ends.

use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use coalmine_core::{Event, Execution, FeedId, FeedKind, ItemState};
use coalmine_feed::message::Environment;
use coalmine_replay::error::Error;
use coalmine_replay::runner::{self, BlockSource, Failure, Goal, Observer};
use coalmine_store::{Ledger, MemoryStore};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(20);

/// A server that answers its n-th request, counted from 0, as `answer` says.
async fn serve(answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static) -> String {
    let count = Arc::new(AtomicUsize::new(0));
    let handler = move || async move { answer(count.fetch_add(1, Ordering::SeqCst)) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/relay_auto_config", get(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

/// These events, and then a stream that stays open.
fn open(list: Vec<Sent>) -> Response {
    Sse::new(stream::iter(list).map(Ok::<_, Infallible>).chain(stream::once(pending()))).into_response()
}

fn closed(list: Vec<Sent>) -> Response {
    Sse::new(stream::iter(list).map(Ok::<_, Infallible>)).into_response()
}

fn sent(name: &str, data: &Value) -> Sent {
    Sent::default().event(name).data(data.to_string())
}

fn environment(id: &str, version: u64) -> Value {
    json!({ "envID": id, "envName": "x".repeat(200), "sdkKey": { "value": "sdk-secret" }, "version": version })
}

fn put(version: u64, count: usize) -> Sent {
    let environments = (0..count).map(|n| format!("e{n}")).map(|id| (id.clone(), environment(&id, version)));
    let environments: serde_json::Map<_, _> = environments.collect();
    // Whoever loses the stream comes back soon.
    let retry = Duration::from_millis(10);
    sent("put", &json!({ "path": "/", "data": { "environments": environments } })).retry(retry)
}

fn patch(id: &str, version: u64) -> Sent {
    sent("patch", &json!({ "path": format!("/environments/{id}"), "data": environment(id, version) }))
}

/// A folder with a key and a salt.
struct Setting(TempDir);

impl Setting {
    fn new() -> Self {
        let setting = Self(TempDir::new().unwrap());
        setting.secret("key", b"key-1\n");
        setting.secret("salt", &[7; 16]);
        setting
    }

    /// Writes a file that is its owner's alone.
    fn secret(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        self.allow(name, 0o600);
    }

    fn allow(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_feed"));
        let files = ["--key-file", "key", "--salt-file", "salt"];
        command.current_dir(self.0.path()).args(files).args(arguments).kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        timeout(SOON, self.command(arguments).output()).await.unwrap().unwrap()
    }
}

fn logged(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What happened to the feed, in order, and the ledger that it happened to.
#[derive(Default)]
struct Watch(Vec<String>);

impl Observer for Watch {
    fn executed(&mut self, _goal: Goal<'_>, execution: &Execution) -> Result<(), Error> {
        let outcome = execution.outcome();
        assert!(outcome.receipts.iter().all(|receipt| receipt.code() == 0), "{:?}", outcome.receipts);
        self.0.extend(outcome.events.iter().map(|event| match event {
            Event::FeedInsert { id, version, .. } => format!("insert {id}@{version}"),
            Event::FeedUpdated { id, version, .. } => format!("updated {id}@{version}"),
            Event::FeedDelete { id, version, .. } => format!("delete {id}@{version}"),
            Event::FeedReceivedAll => "all".to_owned(),
            other => panic!("{other:?}"),
        }));
        Ok(())
    }

    fn failed(&mut self, failure: Failure) {
        panic!("{failure}");
    }
}

fn replay(file: &Path) -> (Ledger<MemoryStore>, Vec<String>) {
    let mut blocks = BlockSource::open(vec![file.into()]).unwrap();
    let mut ledger = Ledger::create(MemoryStore::new(), blocks.genesis()).unwrap();
    let mut watch = Watch::default();
    runner::run(&mut ledger, &mut blocks, None, &mut watch).unwrap_or_else(|error| panic!("{error}"));
    (ledger, watch.0)
}

#[tokio::test]
async fn what_it_writes_can_be_replayed_and_nothing_is_lost_or_done_twice() {
    // The connection breaks off after each of the first five answers, and each begins with what there is by then:
    // some of it is known already, and the last message of the connection before comes once more.
    let base = serve(|n| {
        let version = 10 * u64::try_from(n).unwrap();
        let events =
            vec![put(version + 1, 3), patch("e0", version + 2), patch("e0", version + 2), patch("e1", version)];
        let more = vec![sent("delete", &json!({ "path": "/environments/e2", "version": version + 5 }))];
        if n < 5 { closed([events, more].concat()) } else { open([events, vec![patch("last", 1)]].concat()) }
    })
    .await;
    let setting = Setting::new();
    let mut child =
        setting.command(&["--block-time", "20", &base]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !String::from_utf8_lossy(&lines).contains(&hex("last")) {
        let read = stdout.read_until(b'\n', &mut lines);
        assert_ne!(timeout(SOON, read).await.unwrap().unwrap(), 0, "it ended");
    }
    drop(child);
    let file = setting.path("blocks.jsonl");
    fs::write(&file, lines).unwrap();

    let (ledger, happened) = replay(&file);
    let mut expected = Vec::new();
    for n in 0..6_u64 {
        let (put, patch) = (10 * n + 1, 10 * n + 2);
        let listed = if n == 0 { "insert" } else { "updated" };
        expected.extend(["e0", "e1"].map(|id| format!("{listed} {id}@{put}")));
        expected.extend([format!("insert e2@{put}"), "all".to_owned(), format!("updated e0@{patch}")]);
        if n < 5 {
            expected.push(format!("delete e2@{}", 10 * n + 5));
        }
    }
    expected.push("insert last@1".to_owned());
    assert_eq!(happened, expected);

    let id: FeedId = "e0".parse().unwrap();
    let item = ledger.state().feed_item(FeedKind::Environment, &id).unwrap();
    let ItemState::Live(body) = &item.state else { panic!("{item:?}") };
    assert!(Environment::from_body(body.as_bytes()).unwrap().sdk_key.value.starts_with("sha256:"));
}

fn hex(text: &str) -> String {
    format!("\"id\":\"{text}\"")
}

#[tokio::test]
async fn a_signal_ends_it_after_what_has_come() {
    // Far more than one block takes: thousands of items in parts, at a block time that never comes.
    let base = serve(|_| open(vec![patch("first", 1), put(1, 2_000)])).await;
    let setting = Setting::new();
    let file = setting.path("blocks.jsonl");
    let mut child = setting
        .command(&["--block-time", "600000", "--height", "7", &base])
        .stdout(fs::File::create(&file).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A put is logged when it is on its way.
    let mut log_lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = timeout(SOON, log_lines.next_line()).await.unwrap().unwrap() {
        if line.contains("put_received") {
            break;
        }
    }
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    assert_eq!(timeout(SOON, child.wait()).await.unwrap().unwrap().code(), Some(0));
    let (ledger, happened) = replay(&file);
    // The first one, those of the put, the first one again as it is not listed, and that all have come.
    assert_eq!(happened.len(), 2_003);
    assert_eq!(ledger.last_committed().height, Some(7));
}

#[tokio::test]
async fn a_signal_ends_it_while_nobody_reads_its_output() {
    // More than a pipe holds.
    let base = serve(|_| open(vec![put(1, 2_000)])).await;
    let setting = Setting::new();
    let mut command = setting.command(&["--block-time", "20", &base]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log_lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !timeout(SOON, log_lines.next_line()).await.unwrap().unwrap().unwrap().contains("put_received") {}
    sleep(Duration::from_millis(500)).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    // It ends though the pipe is open, as what is kept of it shows.
    let unread = child.stdout.take().unwrap();
    assert_eq!(timeout(SOON, child.wait()).await.unwrap().unwrap().code(), Some(3));
    drop(unread);
    let last = timeout(SOON, log_lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(last.contains("interrupted, and it is not read"), "{last}");
}

#[tokio::test]
async fn a_put_that_takes_several_blocks_is_written_whole() {
    // Two of the longest entries fit into a part, sixteen parts into a transaction, and 64 of those into a block.
    const COUNT: usize = 2_200;
    let environments = (0..COUNT).map(|n| {
        let id = format!("e{n}");
        (id.clone(), json!({ "envID": id, "envName": "x".repeat(3_900), "version": 1 }))
    });
    let environments: serde_json::Map<_, _> = environments.collect();
    let event = sent("put", &json!({ "path": "/", "data": { "environments": environments } }));
    let base = serve(move |_| open(vec![event.clone()])).await;
    let setting = Setting::new();
    let output = setting.run(&["--block-time", "20", "--blocks", "1", &base]).await;
    assert_eq!(output.status.code(), Some(0), "{}", logged(&output));
    let file = setting.path("blocks.jsonl");
    fs::write(&file, output.stdout).unwrap();
    let (_, happened) = replay(&file);
    assert_eq!(happened.len(), COUNT + 1);
    assert_eq!(happened.last().map(String::as_str), Some("all"));
}

#[tokio::test]
async fn it_ends_when_the_reader_of_its_output_went_away() {
    let base = serve(|_| open(vec![put(1, 1)])).await;
    let setting = Setting::new();
    let mut command = setting.command(&["--block-time", "20", &base]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(timeout(SOON, child.wait()).await.unwrap().unwrap().code(), Some(141));
}

#[tokio::test]
async fn blocks_are_applied_to_a_store() {
    let base = serve(|_| open(vec![put(1, 2), patch("e0", 2), patch("e0", 3)])).await;
    let setting = Setting::new();
    let output = setting.run(&["--block-time", "500", "--store", "memory", "--blocks", "1", &base]).await;
    assert_eq!(output.status.code(), Some(0), "{}", logged(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" transactions 3 events 5 root "), "{text}");

    let genesis = r#"{"format":"coalmine-blocks/1","genesis":{"chain":"c","roles":{"0x2222222222222222222222222222222222222222":["admin"],"0x3333333333333333333333333333333333333333":["feeder"],"0x4444444444444444444444444444444444444444":["operator"]}}}"#;
    fs::write(setting.path("genesis.jsonl"), genesis).unwrap();
    // Admins and feeders may feed, operators may not.
    for (signer, code) in [(None, 0), (Some("33"), 0), (Some("44"), 1)] {
        let signer = signer.map(|byte| format!("--signer=0x{}", byte.repeat(20)));
        let mut arguments =
            vec!["--genesis", "genesis.jsonl", "--block-time", "500", "--store", "memory", "--blocks", "1", &base];
        arguments.extend(signer.as_deref());
        let output = setting.run(&arguments).await;
        assert_eq!(output.status.code(), Some(code), "{}", logged(&output));
        assert_eq!(logged(&output).contains("the ledger rejects the feed at height 1: unauthorized"), code == 1);
    }
}

/// A ledger that is sequenced takes no transaction without a number.
#[tokio::test]
async fn transactions_have_sequences_where_the_ledger_asks_for_them() {
    let base = serve(|_| open(vec![put(1, 2), patch("e0", 2), patch("e0", 3)])).await;
    let setting = Setting::new();
    let genesis = r#"{"format":"coalmine-blocks/1","genesis":{"roles":{"0x2222222222222222222222222222222222222222":["admin"]},"params":{"sequenced":true}}}"#;
    fs::write(setting.path("genesis.jsonl"), genesis).unwrap();
    let arguments = ["--genesis", "genesis.jsonl", "--block-time", "500", "--blocks", "1", &base];
    let output = setting.run(&arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", logged(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!((1..=3).all(|number| text.contains(&format!("\"sequence\":{number},"))), "{text}");
    let output = setting.run(&[&arguments[..], &["--store", "memory"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", logged(&output));
}

#[tokio::test]
async fn bad_usage_and_refused_keys_have_their_codes() {
    let refusing = serve(|_| StatusCode::FORBIDDEN.into_response()).await;
    let setting = Setting::new();
    setting.secret("short", b"salt");
    setting.secret("binary", &[0xff; 16]);
    setting.secret("control", b"a\x01b");
    setting.secret("empty", b" \n");
    setting.secret("long", &[b'k'; 4_097]);
    let rows: &[(&[&str], i32, &str)] = &[
        (&[&refusing], 1, "the server refuses the key"),
        (&["nonsense"], 2, "invalid address"),
        (&["ftp://127.0.0.1"], 2, "http:// or https://"),
        (&["--key-file", "absent", &refusing], 2, "absent: cannot be read"),
        (&["--key-file", "binary", &refusing], 2, "binary: the key is not text"),
        (&["--key-file", "control", &refusing], 2, "cannot carry"),
        (&["--key-file", "empty", &refusing], 2, "empty: the key is empty"),
        (&["--key-file", "long", &refusing], 2, "long: longer than 4096 bytes"),
        (&["--salt-file", "short", &refusing], 2, "at least 16 bytes"),
        (&["--salt-file", "long", &refusing], 2, "long: longer than 4096 bytes"),
        (&["--store", "disk", &refusing], 2, "it is memory, or rocksdb:PATH"),
        (&["--genesis", "absent", &refusing], 2, "absent"),
        (&["--block-time", "0", &refusing], 2, "--block-time"),
        (&["--store", "memory", "--height", "3", &refusing], 2, "cannot be used with"),
        (&[], 2, "BASE"),
    ];
    for (arguments, code, expected) in rows {
        let mut command = Command::new(env!("CARGO_BIN_EXE_feed"));
        command.current_dir(setting.0.path()).kill_on_drop(true);
        for (option, file) in [("--key-file", "key"), ("--salt-file", "salt")] {
            if !arguments.contains(&option) {
                command.args([option, file]);
            }
        }
        let output = timeout(SOON, command.args(*arguments).output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {}", logged(&output));
        assert!(logged(&output).contains(expected), "{arguments:?}: {}", logged(&output));
        assert!(!logged(&output).contains("key-1"));
    }
}

#[tokio::test]
async fn secrets_that_others_can_reach_are_refused() {
    let refusing = serve(|_| StatusCode::FORBIDDEN.into_response()).await;
    let setting = Setting::new();
    for (file, modes) in [("key", [0o644, 0o640, 0o604]), ("salt", [0o660, 0o606, 0o400])] {
        for mode in modes {
            setting.allow(file, mode);
            let output = setting.run(&[&refusing]).await;
            let refusal = format!(
                "feed: {file}: others have access to it (mode {mode:o}); make it its owner's alone: chmod 600 {file}\n"
            );
            let is_refused = mode & 0o077 != 0;
            assert_eq!(output.status.code(), Some(if is_refused { 2 } else { 1 }), "{}", logged(&output));
            assert_eq!(logged(&output).contains(&refusal), is_refused, "{file} {mode:o}: {}", logged(&output));
        }
        setting.allow(file, 0o600);
    }
}

#[tokio::test]
async fn plain_http_beyond_this_machine_is_warned_of() {
    let setting = Setting::new();
    // It ends before anything is sent.
    setting.secret("key", b"a\x01b");
    for (base, is_warned) in [
        ("http://example.com", true),
        ("HTTP://example.com:8030/path", true),
        ("http://10.0.0.1", true),
        ("http://[2001:db8::1]:80", true),
        ("http://localhost.example.com", true),
        ("http://127.0.0.1.example.com", true),
        ("http://0.0.0.0", true),
        ("http://127.0.0.1", false),
        ("http://127.9.9.9:8030", false),
        ("http://[::1]:8030", false),
        ("http://[::ffff:127.0.0.1]", false),
        ("http://LocalHost:8030", false),
        ("https://example.com", false),
        ("ftp://example.com", false),
    ] {
        let output = setting.run(&[base]).await;
        assert_eq!(output.status.code(), Some(2), "{base}: {}", logged(&output));
        assert_eq!(logged(&output).contains("feed: warning: plain_http: the key"), is_warned, "{base}");
    }
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used_only_if_asked_for() {
    // Nothing listens on port 1.
    const NOBODY: &str = "http://127.0.0.1:1";
    let server = serve(|_| open(vec![put(1, 1)])).await;
    let setting = Setting::new();
    for (base, proxy, option, is_reached) in [
        (server.as_str(), NOBODY, None, true),
        (server.as_str(), NOBODY, Some("--env-proxy"), false),
        (NOBODY, server.as_str(), None, false),
        (NOBODY, server.as_str(), Some("--env-proxy"), true),
    ] {
        let mut command = setting.command(&["--block-time", "20", "--blocks", "1", "--verbose", base]);
        command.args(option).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"] {
            command.env(name, proxy);
        }
        let mut child = command.env_remove("no_proxy").env_remove("NO_PROXY").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
        let expected = if is_reached { "put_received" } else { "failed" };
        assert!(first.contains(expected), "{base} through {proxy} {option:?}: {first}");
    }
}
