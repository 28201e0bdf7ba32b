//! Reports of a real Prometheus server's counters, and of applications of this machine.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use coalmine_core::{Command, FeatureChanges, Name, Percent, Role, Valid};
use coalmine_node::beside::Beside;
use coalmine_node::testing::{address, key, signed};
use coalmine_node::{Node, Submitted};

use crate::notify::{fast, home, wait_for};

fn shop() -> Name {
    "shop".parse().unwrap()
}

/// A feature that is a canary, and a reporter with key 9.
async fn start(node: &Node) {
    let changes = Valid::new(FeatureChanges { max_error_rate: Some(10_000), ..FeatureChanges::default() }).unwrap();
    let Command::CreateFeature { name, description, .. } = Command::create_feature(shop(), "").unwrap() else {
        panic!("it creates");
    };
    let commands = vec![
        Command::CreateFeature { name, description, changes },
        Command::GrantRole { address: address(&key(9)), role: Role::Reporter },
        Command::StartCanary { name, percent: Percent::new(10).unwrap() },
    ];
    let Submitted::Pending(id) = node.submit(&signed(node, &key(1), 1, commands)).unwrap() else { panic!("it is new") };
    assert_eq!(node.settled(id, Duration::from_secs(10)).await.unwrap().receipt.code(), 0);
}

/// What the ledger has counted: successes, errors and milliseconds.
fn counted(node: &Node) -> [u64; 3] {
    node.read(|state| {
        let (feature, metrics) = (state.feature(&shop()).unwrap(), state.metrics(&shop()).unwrap());
        [feature.success_count, feature.error_count, metrics.trial_latency_sum]
    })
}

/// A process with counters: requests that succeeded, that failed, and seconds.
#[derive(Clone, Default)]
struct Counters(Arc<Mutex<[f64; 3]>>);

impl Counters {
    fn serve(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, counters) = (listener.local_addr().unwrap().port(), self.clone());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _request = stream.read(&mut [0; 4_096]);
                let [ok, bad, seconds] = *counters.0.lock().unwrap();
                // As a library does it, the counter of errors is there only once there was one.
                let bad = if bad > 0.0 { format!("requests_total{{code=\"500\"}} {bad}\n") } else { String::new() };
                let body = format!("requests_total{{code=\"200\"}} {ok}\n{bad}seconds_sum {seconds}\n");
                let length = body.len();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n";
                let _answered = stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes());
            }
        });
        port
    }

    fn add(&self, ok: f64, bad: f64, seconds: f64) {
        let mut counters = self.0.lock().unwrap();
        counters.iter_mut().zip([ok, bad, seconds]).for_each(|(counter, more)| *counter += more);
    }
}

struct Prometheus(Child);

impl Prometheus {
    fn start(folder: &Path, port: u16) -> Self {
        let mut process = Process::new("prometheus");
        process
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(process.spawn().unwrap())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_of_a_real_prometheus_are_reported_exactly() {
    if Process::new("prometheus").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no prometheus; apt-get install prometheus brings it");
        return;
    }
    let counters = Counters::default();
    counters.add(1_000.0, 0.0, 50.0);
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        counters.serve()
    );
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let port = free_port();
    let prometheus = Prometheus::start(folder.path(), port);
    let running = fast();
    let node = running.node();
    let (home, config) = home(&format!(
        "[[reporter]]\nname = \"shop\"\nkey = \"key.pem\"\nevery = 5\nfeature = \"shop\"\n[reporter.prometheus]\n\
         url = \"http://127.0.0.1:{port}\"\nsuccesses = 'requests_total{{code!~\"5..\"}}'\n\
         errors = 'requests_total{{code=~\"5..\"}}'\nlatency = \"seconds_sum\"\n"
    ));
    // The counters are known before the trial, so that it begins with them.
    wait_for(|| query(port, "requests_total").filter(|answer| answer.contains("\"1000\"")));
    start(node).await;
    let beside = Beside::start(node, &config, home.path()).unwrap();
    wait_for(|| (node.meta_get("reporter/shop").unwrap().is_some()).then_some(()));
    counters.add(30.0, 2.0, 1.25);
    wait_for(|| (counted(node) == [30, 2, 1_250]).then_some(()));
    // The process begins again, and its first errors are counted too.
    *counters.0.lock().unwrap() = [5.0, 1.0, 0.5];
    wait_for(|| (counted(node) == [35, 3, 1_750]).then_some(()));
    // The server is away, and has missed nothing when it is back: the counters have.
    drop(prometheus);
    wait_for(|| (!beside.reporters().status()[0].error.is_empty()).then_some(()));
    counters.add(10.0, 0.0, 0.25);
    let _prometheus = Prometheus::start(folder.path(), port);
    wait_for(|| (counted(node) == [45, 3, 2_000]).then_some(()));
    assert_eq!(beside.reporters().status()[0].error, "");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(counted(node), [45, 3, 2_000]);
}

fn query(port: u16, query: &str) -> Option<String> {
    ask(port, &format!("GET /api/v1/query?query={query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
}

/// What a server answers to bytes.
fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn post(port: u16, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let rest = format!("connection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    ask(port, &format!("POST {path} HTTP/1.1\r\n{rest}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_report_to_this_machine_alone() {
    let running = fast();
    let node = running.node();
    start(node).await;
    let port = free_port();
    let (home, config) = home(&format!("[local]\nlisten = \"127.0.0.1:{port}\"\nkey = \"key.pem\"\n"));
    let _beside = Beside::start(node, &config, home.path()).unwrap();
    let json = "host: localhost\r\ncontent-type: application/json\r\n";
    let report = r#"{"feature":"shop","successes":3,"errors":1,"latency_total":40}"#;
    for (path, headers, body, expected) in [
        ("/v1/report", json.to_owned(), report, "{\"counted\":true}"),
        ("/v1/report", format!("{json}idempotency-key: a\r\n"), report, "{\"counted\":true}"),
        ("/v1/report", format!("{json}idempotency-key: a\r\n"), report, "{\"counted\":true,\"repeated\":true}"),
        (
            "/v1/report",
            json.into(),
            r#"{"feature":"none","successes":3}"#,
            "{\"counted\":false,\"why\":\"there is no such feature\"}",
        ),
        ("/v1/report", json.into(), r#"{"plugin":"a","version":"1.0.0"}"#, "\"why\":\"there is no such plugin\""),
        ("/v1/report", json.into(), r#"{"feature":"shop","successes":-1}"#, "HTTP/1.1 400"),
        ("/v1/report", json.into(), "{", "HTTP/1.1 400"),
        ("/v1/report", "host: localhost\r\ncontent-type: text/plain\r\n".into(), report, "HTTP/1.1 415"),
        // A page of a browser may know another name of this machine.
        ("/v1/report", json.replace("localhost", "evil.example.org"), report, "HTTP/1.1 404"),
        ("/v1/report", format!("{json}origin: http://evil.example.org\r\n"), report, "HTTP/1.1 404"),
        ("/v1/report", format!("{json}idempotency-key: {}\r\n", "a".repeat(256)), report, "HTTP/1.1 400"),
        ("/v1/notify/replay", json.into(), "", "HTTP/1.1 404"),
        ("/v1/notify/x/replay", json.into(), "", "HTTP/1.1 404"),
        ("/v1/notify/replay", "host: localhost\r\n".into(), "", "HTTP/1.1 415"),
    ] {
        let answer = post(port, path, &headers, body);
        assert!(answer.contains(expected), "{headers}{body}\n{answer}");
    }
    wait_for(|| (counted(node) == [6, 2, 80]).then_some(()));
    let answer = ask(port, "GET /v1/notify HTTP/1.1\r\nhost: [::1]:8701\r\nconnection: close\r\n\r\n").unwrap();
    assert!(answer.contains("\"sinks\":[]") && answer.contains("\"name\":\"local\""), "{answer}");
}
