//! Notifications to real receivers: the packages standardwebhooks and cloudevents of npm and PyPI, a channel, a mailbox.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use coalmine_auth::{PublicKey, Signer as _, create_key};
use coalmine_core::{Command, Height};
use coalmine_node::beside::Beside;
use coalmine_node::config::Config;
use coalmine_node::testing::{Running, genesis, key, running, signed};
use coalmine_node::{Node, Options, Submitted};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::clients::{Client, npm, or_skip, python, script};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SOON: Duration = Duration::from_secs(30);

/// A home with a configuration, and a key for signatures.
pub(crate) fn home(config: &str) -> (TempDir, Config) {
    let home = tempfile::tempdir().unwrap();
    create_key(&home.path().join("key.pem"), &key(9)).unwrap();
    let file = home.path().join("config.toml");
    fs::write(&file, config).unwrap();
    let config = Config::read(&file).unwrap_or_else(|error| panic!("{error}"));
    (home, config)
}

pub(crate) fn fast() -> Running {
    running(&genesis(), Options::default(), Duration::from_millis(20))
}

/// Creates features in one block.
async fn create(node: &Node, sequence: u64, names: &[&str]) -> Height {
    let commands = names.iter().map(|name| Command::create_feature(name.parse().unwrap(), "").unwrap());
    let envelope = signed(node, &key(1), sequence, commands.collect());
    let Submitted::Pending(id) = node.submit(&envelope).unwrap() else { panic!("it is new") };
    node.settled(id, SOON).await.unwrap().height
}

fn hex_of(key: &PublicKey) -> String {
    key.to_string().trim_start_matches("0x").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_of_npm_take_what_is_sent() {
    let packages = ["standardwebhooks@1.1.1", "cloudevents@10.0.0"];
    let Some(folder) = or_skip("the npm packages", npm("webhooks", &packages).await) else { return };
    let arguments = json!({ "secret": SECRET, "key": hex_of(&key(9).public_key()), "statuses": [302] });
    let mut receiver = Client::start(Path::new("node"), &[&script("webhook.mjs"), &folder], &arguments.to_string());
    let port = receiver.soon().await["port"].clone();
    let running = fast();
    let node = running.node();
    let (home, config) = home(&format!(
        "[[notify]]\nname = \"ops\"\nfeatures = [\"shop*\"]\n[notify.webhook]\nurl = \"http://127.0.0.1:{port}/hook\"\n\
         secrets = [\"whsec_{}\", \"{SECRET}\"]\nkey = \"key.pem\"\n",
        "c2VjcmV0".repeat(5)
    ));
    let beside = Beside::start(node, &config, home.path()).unwrap();
    let height = create(node, 1, &["shop-a", "other", "shop-b"]).await;
    // The first attempt is redirected, which is not followed; five seconds later comes the same again.
    let mut ids = Vec::new();
    let mut bodies = Vec::new();
    for (status, index, name) in [(302, 0, "shop-a"), (204, 0, "shop-a"), (204, 2, "shop-b")] {
        let seen = receiver.soon().await;
        assert_eq!((&seen["error"], &seen["status"]), (&Value::Null, &json!(status)), "{seen}");
        assert_eq!((&seen["shared"], &seen["key"], &seen["tampered"]), (&json!(true), &json!(true), &json!("refused")));
        assert_eq!(seen["event"], json!(format!("{height}-{index}")), "{seen}");
        assert_eq!(seen["type"], json!("io.coalmine.feature.feature_created.v1"));
        assert_eq!((&seen["source"], &seen["subject"]), (&json!("/coalmine/test-1"), &json!(name)));
        assert_eq!(seen["data"]["name"], json!(name));
        ids.push(seen["id"].clone());
        bodies.push(seen["body"].clone());
    }
    assert!(ids[0] == ids[1] && bodies[0] == bodies[1] && ids[1] != ids[2]);
    let status = wait_for(|| Some(beside.sinks().status()[0].clone()).filter(|status| status.delivered == 2));
    assert_eq!((status.failures, status.dead, status.is_disabled), (1, 0, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_of_pypi_take_what_is_sent() {
    let packages = ["standardwebhooks==1.1.0", "cloudevents==2.2.0"];
    let Some(python) = or_skip("the PyPI packages", python("webhooks-python", &packages).await) else { return };
    let mut receiver = Client::start(&python, &[&script("webhook_receiver.py")], SECRET);
    let port = receiver.soon().await["port"].clone();
    let running = fast();
    let (home, config) = home(&format!(
        "[[notify]]\nname = \"ops\"\n[notify.webhook]\nurl = \"http://127.0.0.1:{port}/\"\nsecrets = [\"{SECRET}\"]\n"
    ));
    let _beside = Beside::start(running.node(), &config, home.path()).unwrap();
    create(running.node(), 1, &["a", "b"]).await;
    for name in ["a", "b"] {
        let seen = receiver.soon().await;
        assert_eq!(seen["error"], Value::Null, "{seen}");
        assert_eq!((&seen["shared"], &seen["tampered"]), (&json!(true), &json!("refused")));
        assert_eq!((&seen["subject"], &seen["data"]["sentence"]), (&json!(name), &json!(format!("{name} is created"))));
    }
}

/// Waits for something on a thread that may block.
pub(crate) fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < SOON, "it never comes");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A server that gives each connection to a function.
fn server(mut answer: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(&mut answer));
    port
}

/// Reads a request and answers with a status line and headers; gives its head and body away.
fn answer_http(stream: TcpStream, answer: &str, seen: &Sender<(String, String)>) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let _seen = seen.send((head, String::from_utf8(body).unwrap()));
    let _answered = reader.get_mut().write_all(
        format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 15\r\n\r\ninvalid_payload").as_bytes(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_gets_a_line_for_each_event_and_is_gone_when_it_says_so() {
    let (send, seen): (_, Receiver<(String, String)>) = channel();
    let mut answers = vec!["410 Gone", "429 Too Many Requests\r\nretry-after: 1", "200 OK"];
    let port = server(move |stream| answer_http(stream, answers.pop().unwrap_or("200 OK"), &send));
    let running = fast();
    let node = running.node();
    let (home, config) = home("[[notify]]\nname = \"chat\"\n[notify.slack]\nurl = { file = \"url.txt\" }\n");
    let url = home.path().join("url.txt");
    fs::write(&url, format!("http://127.0.0.1:{port}/services/T0/B0/very-secret\n")).unwrap();
    // A secret that others can read is none.
    fs::set_permissions(&url, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Beside::start(node, &config, home.path()).unwrap_err().to_string();
    assert!(error.contains("notify \"chat\": url:") && error.contains("chmod 600"), "{error}");
    fs::set_permissions(&url, fs::Permissions::from_mode(0o600)).unwrap();
    let beside = Beside::start(node, &config, home.path()).unwrap();
    create(node, 1, &["a", "b"]).await;
    let (head, body) = seen.recv_timeout(SOON).unwrap();
    assert!(head.starts_with("POST /services/T0/B0/very-secret HTTP/1.1"), "{head}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({ "text": "• a is created\n• b is created" }));
    wait_for(|| (beside.sinks().status()[0].delivered == 1).then_some(()));
    // It is busy, and five seconds later it is gone.
    create(node, 2, &["c"]).await;
    seen.recv_timeout(SOON).unwrap();
    let status = wait_for(|| Some(beside.sinks().status()[0].clone()).filter(|status| status.failures == 1));
    assert_eq!((status.attempts, status.error.as_str()), (1, "status 429: invalid_payload"));
    seen.recv_timeout(SOON).unwrap();
    wait_for(|| beside.sinks().status()[0].is_disabled.then_some(()));
    assert_eq!(beside.sinks().pending().unwrap(), [("chat".to_owned(), 1)]);
    // Somebody says that it is there again.
    assert_eq!((beside.sinks().replay(Some("nobody")), beside.sinks().replay(Some("chat"))), (None, Some(0)));
    let (_, body) = seen.recv_timeout(SOON).unwrap();
    assert!(body.contains("c is created"), "{body}");
    assert!(!format!("{config:?}{beside:?}{}", config.to_text()).contains("very-secret"));
}

/// An SMTP server that takes one mail.
fn take_mail(stream: TcpStream, seen: &Sender<String>) {
    let mut reader = BufReader::new(stream);
    let say = |reader: &mut BufReader<TcpStream>, text: &str| drop(reader.get_mut().write_all(text.as_bytes()));
    say(&mut reader, "220 test\r\n");
    let (mut mail, mut is_data) = (String::new(), false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        mail.push_str(&line);
        match line.trim_end() {
            "." if is_data => {
                is_data = false;
                let _seen = seen.send(std::mem::take(&mut mail));
                say(&mut reader, "250 taken\r\n");
            }
            "DATA" => {
                is_data = true;
                say(&mut reader, "354 go on\r\n");
            }
            "QUIT" => say(&mut reader, "221 bye\r\n"),
            _ if !is_data => say(&mut reader, "250 good\r\n"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_gets_a_mail_for_each_block() {
    let (send, seen) = channel();
    let port = server(move |stream| take_mail(stream, &send));
    let running = fast();
    let node = running.node();
    let (home, config) = home(&format!(
        "[[notify]]\nname = \"mail\"\n[notify.email]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
         from = \"coalmine <coalmine@example.org>\"\nto = [\"Ops <ops@example.org>\", \"b@example.org\"]\n"
    ));
    let _beside = Beside::start(node, &config, home.path()).unwrap();
    let height = create(node, 1, &["a", "b"]).await;
    let mail = seen.recv_timeout(SOON).unwrap();
    let genesis: String = hex_of(&PublicKey(node.domain().genesis().0)).chars().take(8).collect();
    for expected in [
        "MAIL FROM:<coalmine@example.org>".to_owned(),
        "RCPT TO:<ops@example.org>".into(),
        "RCPT TO:<b@example.org>".into(),
        "Subject: test-1: a is created (and 1 more)".into(),
        format!("Message-ID: <{genesis}-{height}-0@example.org>"),
        "Auto-Submitted: auto-generated".into(),
        "Content-Type: text/plain; charset=utf-8".into(),
    ] {
        assert!(mail.contains(&expected), "{expected} is not in {mail}");
    }
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let check = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        fs::write(&file, text).unwrap();
        Config::read(&file).map(|_| ()).map_err(|error| error.to_string())
    };
    let sink = |text: &str| format!("[[notify]]\nname = \"a\"\n{text}\n");
    let email = |text: &str| {
        let base = "[notify.email]\nhost = \"mail.example.org\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n";
        sink(&format!("{base}{text}"))
    };
    let reporter = |text: &str, prometheus: &str| {
        format!(
            "[[reporter]]\nname = \"a\"\nkey = \"k.pem\"\n{text}\n[reporter.prometheus]\nurl = \"http://127.0.0.1:9090\"\n{prometheus}\n"
        )
    };
    for (text, expected) in [
        (sink(""), "it takes exactly one of [notify.webhook]"),
        (sink("[notify.slack]\nurl = \"https://a\"\n[notify.webhook]\nurl = \"https://a\""), "it takes exactly one of"),
        (sink("[notify.slack]\nurl = 5"), "a text, or { file = \"PATH\" }, or { env = \"NAME\" }"),
        (sink("[notify.slack]\nurl = \"https://a\"\nurls = 1"), "unknown field `urls`"),
        (sink("kinds = [\"bad\"]\n[notify.slack]\nurl = \"https://a\""), "unknown variant `bad`"),
        (sink("features = [\"*a\"]\n[notify.slack]\nurl = \"https://a\""), "a * may stand at its end"),
        ("[[notify]]\nname = \"a b\"\n[notify.slack]\nurl = \"https://a\"\n".into(), "a name is 1 to 64"),
        (sink("[notify.slack]\nurl = \"https://a\"").repeat(2), "there are two of this name"),
        (email("tls = \"none\""), "tls: none is for a mail server on this machine"),
        (email("user = \"a\""), "user and password: there are both or neither"),
        (email("").replace("b@example.org", "nobody"), "to: \"nobody\" is no mailbox"),
        (email("").replace("[\"b@example.org\"]", "[]"), "to: there is nobody to write to"),
        (reporter("feature = \"a\"", ""), "it takes exactly one of successes and requests"),
        (reporter("", "successes = \"a\""), "it takes exactly one of feature and plugin"),
        (reporter("feature = \"a\"\nevery = 0", "successes = \"a\""), "every is 1 to 100000 blocks, not 0"),
        (reporter("feature = \"a\"", "successes = \"sum(a)\""), "successes: \"sum(a)\" is no selector"),
        (reporter("feature = \"a\"", "successes = \"a\"\nversion_label = \"v\""), "version_label is for a plugin"),
        (reporter("feature = \"a b\"", "successes = \"a\""), "\"a b\": a name is"),
        ("[local]\nlisten = \"0.0.0.0:1\"\n".into(), "it is an address of this machine alone"),
        ("[local]\nkey = \"k.pem\"\n".into(), "key: without listen nobody can report"),
    ] {
        let error = check(&text).unwrap_err();
        assert!(error.contains(expected), "{text}\n{error}");
    }
    // No message shows what may be a secret.
    for text in
        [sink("[notify.webhook]\nurl = \"https://a\"\nsecrets = \"whsec_hidden\""), sink("slack = \"whsec_hidden\"")]
    {
        let error = check(&text).unwrap_err();
        assert!(!error.contains("hidden") && error.contains("line "), "{error}");
    }
}

#[test]
fn the_examples_of_the_documentation_are_configurations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/notify.md");
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
    let (_home, config) = home(&blocks.collect::<String>());
    let kinds: Vec<&str> = config.notify.iter().map(|sink| sink.kind()).collect();
    assert_eq!(kinds, ["webhook", "slack", "email"]);
    assert_eq!((config.reporter.len(), config.local.listen.is_some()), (2, true));
    // What is shown can be read again, and is the same but for secrets.
    let (_home, again) = home(&config.to_text());
    assert_eq!(again.to_text(), config.to_text());
    for metric in text.split("`coalmine_").skip(1).map(|rest| rest.split(['`', '{']).next().unwrap()) {
        let name = metric.trim_end_matches("_total");
        let known = include_str!("../../src/http/metrics.rs").contains(&format!("\"{name}\""));
        assert!(known, "there is no metric {metric}");
    }
}
