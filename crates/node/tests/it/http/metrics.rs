//! Metrics: their names, that promtool takes them, and that a real Prometheus does.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::web::{Served, World, options};

#[tokio::test]
async fn metrics_say_what_is() {
    let mut world = World::new();
    world.settle().await;
    world.tell(r#"[{"op":"create_feature","name":"bad","description":""},{"op":"start_canary","name":"bad","percent":5},{"op":"record_error","name":"bad","count":100}]"#);
    world.post_json("/ofrep/v1/evaluate/flags/all", "{}").await;
    world.post_json("/ofrep/v1/evaluate/flags", "{}").await;
    world.settle().await;
    let answer = openmetrics(&world).await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    for line in [
        "coalmine_height 11",
        "coalmine_head_height 11",
        "coalmine_pending_txs 0",
        "coalmine_sse_clients 0",
        "coalmine_ready 1",
        "coalmine_breaker_open 0",
        "coalmine_txs_total{code=\"ok\"} 11",
        "coalmine_rollbacks_total{reason=\"error_rate\"} 1",
        "coalmine_evaluations_total{reason=\"STATIC\"} 3",
        "coalmine_evaluations_total{reason=\"DISABLED\"} 3",
        "coalmine_feature_info{feature=\"part\",status=\"canary\"} 1",
        "coalmine_feature_info{feature=\"bad\",status=\"rolled_back\"} 1",
        "coalmine_feature_percent_bps{feature=\"part\"} 5000",
        "coalmine_feature_error_rate_bps{feature=\"bad\"} 10000",
        "coalmine_plugin_share_bps{plugin=\"api\"} 500",
        "coalmine_block_txs_count 11",
        "coalmine_block_commit_seconds_count 11",
        "coalmine_block_execute_seconds_count 11",
        "# TYPE coalmine_block_interval_seconds histogram",
        "# UNIT coalmine_block_interval_seconds seconds",
        &format!(
            "coalmine_build_info{{version=\"{}\",rules=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION"),
            coalmine_core::RuleSet::LATEST.number()
        ),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("0x"), "no address is a label");
    // What is gone has no series.
    world.tell(r#"{"op":"disable","name":"all"}"#);
    let text = openmetrics(&world).await.text();
    assert!(
        text.contains("{feature=\"all\",status=\"disabled\"} 1")
            && !text.contains("{feature=\"all\",status=\"enabled\"}")
    );
}

/// What Prometheus gets.
async fn openmetrics(world: &World) -> super::web::Answer {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let request = axum::http::Request::get("/metrics").header("accept", accept);
    world.ask(request.body(axum::body::Body::empty()).unwrap()).await
}

#[tokio::test]
async fn who_does_not_name_openmetrics_gets_the_older_form() {
    let world = World::new();
    world.settle().await;
    let answer = world.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    assert!(text.contains("# TYPE coalmine_txs_total counter\ncoalmine_txs_total{code=\"ok\"} 10\n"), "{text}");
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
    let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples(&text), samples(&openmetrics(&world).await.text()));
}

/// Whether a program is there. Debian's package prometheus has both.
fn has(program: &str) -> bool {
    let found = std::process::Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: there is no {program}; apt-get install prometheus brings it");
    }
    found
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    if !has("promtool") {
        return;
    }
    let world = World::new();
    world.post_json("/ofrep/v1/evaluate/flags/all", "{}").await;
    let text = world.get("/metrics").await.body;
    let mut command = Command::new("promtool");
    let mut child = command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&text).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[tokio::test]
async fn a_real_prometheus_scrapes_it() {
    if !has("prometheus") {
        return;
    }
    let world = World::new();
    let served = Served::new(&world.node, options()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: coalmine\n  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        served.port
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let port = free_port();
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut found = String::new();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let query = "/api/v1/query?query=coalmine_feature_percent_bps%7Bfeature%3D%22part%22%7D";
        found = fetch(port, query).await.unwrap_or_default();
        if found.contains("\"5000\"") {
            break;
        }
    }
    assert!(found.contains("\"5000\"") && found.contains("\"job\":\"coalmine\""), "{found}");
    let up = fetch(port, "/api/v1/query?query=up").await.unwrap();
    assert!(up.contains(",\"1\"]"), "{up}");
    let types = fetch(port, "/api/v1/targets/metadata?metric=coalmine_block_interval_seconds").await.unwrap();
    assert!(types.contains("histogram"), "{types}");
    prometheus.start_kill().unwrap();
    let _ended = prometheus.wait().await;
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The body of a page.
async fn fetch(port: u16, path: &str) -> Option<String> {
    use tokio::io::AsyncReadExt as _;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}
