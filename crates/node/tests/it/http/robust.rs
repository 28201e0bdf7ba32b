//! Over sockets: what is slow, huge, endless or malformed, and how everything ends.

use std::time::{Duration, Instant};

use coalmine_node::http::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::web::{Served, World, options};

async fn connect(served: &Served) -> TcpStream {
    TcpStream::connect(("127.0.0.1", served.port)).await.unwrap()
}

/// What comes until the peer closes, or for so long.
async fn answer_within(stream: &mut TcpStream, time: Duration) -> (String, bool) {
    let mut bytes = Vec::new();
    let closed = tokio::time::timeout(time, stream.read_to_end(&mut bytes)).await.is_ok();
    (String::from_utf8_lossy(&bytes).into_owned(), closed)
}

/// Sends all that the peer takes, and returns what it says.
async fn exchange(served: &Served, parts: &[&[u8]]) -> String {
    let mut stream = connect(served).await;
    for part in parts {
        // Whoever refuses a request may close before all of it has come.
        let _sent = stream.write_all(part).await;
    }
    answer_within(&mut stream, Duration::from_secs(2)).await.0
}

/// The status of an answer; 0 if there is none.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn requests_that_are_none_are_refused_and_the_next_is_answered() {
    let world = World::new();
    let served = Served::new(&world.node, options()).await;
    let long = vec![b'a'; 100 * 1024];
    let many = "x-y: z\r\n".repeat(200);
    let body = vec![b'0'; 300 * 1024];
    let head = b"POST /v1/transactions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    // A row is what is sent, and the status of the answer.
    let rows: &[(&[&[u8]], u16)] = &[
        (&[b"hello\r\n\r\n"], 400),
        (&[&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], b"\r\n\r\n"], 400),
        (&[b"GET /livez HTTP/1.1\r\nhost: x\r\nx: ", &long, b"\r\n\r\n"], 431),
        (&[b"GET /", &long, b" HTTP/1.1\r\n\r\n"], 431),
        (&[b"GET /livez HTTP/1.1\r\nhost: x\r\n", many.as_bytes(), b"\r\n"], 431),
        (&[b"GET /livez HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n"], 400),
        (&[head, b"content-length: 300000\r\n\r\n", &body[..300_000]], 413),
        (&[head, b"content-length: 99999999999999999999\r\n\r\n"], 400),
        (&[head, b"content-length: 18446744073709551615\r\n\r\n"], 431),
        (&[head, b"transfer-encoding: chunked\r\n\r\n4b000\r\n", &body, b"\r\n0\r\n\r\n"], 413),
        (&[head, b"transfer-encoding: chunked\r\n\r\nzz\r\n"], 400),
        (&[head, b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc"], 400),
        (&[head, b"content-length: 3\r\n\r\nabc"], 400),
        (&[b"GET /v1/features/%0d%0aset-cookie:%20a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], 400),
        (&[b"GET http://evil.example/livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], 200),
    ];
    for (parts, expected) in rows {
        let answer = exchange(&served, parts).await;
        let shown: String = parts.iter().map(|part| String::from_utf8_lossy(&part[..part.len().min(60)])).collect();
        assert_eq!(status(&answer), *expected, "{shown:?}: {answer:?}");
        let headers = answer.split("\r\n\r\n").next().unwrap();
        assert!(!headers.contains("set-cookie"), "{answer}");
    }
    // One connection, two requests: a problem does not end it.
    let two = "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(&served, &[two.as_bytes()]).await;
    assert!(answer.contains("404 Not Found") && answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn whoever_is_too_slow_is_cut() {
    let world = World::new();
    let served = Served::new(&world.node, options()).await;
    let begin = Instant::now();
    let mut idle = connect(&served).await;
    let mut headers = connect(&served).await;
    headers.write_all(b"GET /livez HTTP/1.1\r\nhost: ").await.unwrap();
    let mut body = connect(&served).await;
    body.write_all(b"POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nab").await.unwrap();
    let mut kept = connect(&served).await;
    kept.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let wait = Duration::from_secs(14);
    let [idle, headers, body, kept] = {
        let (a, b, c, d) = tokio::join!(
            answer_within(&mut idle, wait),
            answer_within(&mut headers, wait),
            answer_within(&mut body, wait),
            answer_within(&mut kept, wait)
        );
        [a, b, c, d]
    };
    assert!(begin.elapsed() >= Duration::from_secs(9), "{:?}", begin.elapsed());
    assert!(idle.1, "an idle connection is closed: {idle:?}");
    assert!(headers.1, "headers that do not end are given up: {headers:?}");
    assert_eq!(status(&body.0), 408, "{body:?}");
    assert!(body.0.contains("urn:coalmine:problem:too_slow"));
    assert!(kept.1 && kept.0.contains("200 OK"), "a connection that is kept is idle, too: {kept:?}");
}

#[tokio::test]
async fn many_bodies_at_once_take_little_memory() {
    let world = World::new();
    let served = Served::new(&world.node, options()).await;
    let before = resident();
    let mut open = Vec::new();
    // Each announces as much as it may, and sends almost all.
    for _ in 0..128 {
        let mut stream = connect(&served).await;
        stream.write_all(b"POST /v1/check HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 262144\r\n\r\n").await.unwrap();
        let _sent = tokio::time::timeout(Duration::from_millis(20), stream.write_all(&vec![b' '; 262_143])).await;
        open.push(stream);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    let answer = exchange(&served, &[b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"]).await;
    assert_eq!(status(&answer), 200);
}

/// The memory of this process in bytes; 0 where it is not told.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[tokio::test]
async fn when_the_node_stops_streams_end_and_answers_are_finished() {
    let world = World::new();
    let served = Served::new(&world.node, options()).await;
    let mut stream = connect(&served).await;
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let mut waiting = connect(&served).await;
    waiting.write_all(b"GET /v1/status?min_height=1000 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let idle = connect(&served).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    served.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let (rest, closed) = answer_within(&mut stream, Duration::from_secs(1)).await;
    assert!(closed && rest.contains("event: hello") && rest.ends_with("0\r\n\r\n"), "it ends as a whole: {rest:?}");
    let (answer, closed) = answer_within(&mut waiting, Duration::from_secs(1)).await;
    assert!(closed && status(&answer) == 503, "{answer:?}");
    drop(idle);
}

#[tokio::test]
async fn connections_are_limited() {
    let world = World::new();
    let served = Served::new(&world.node, Options { connections: 2, ..options() }).await;
    let (first, _second) = (connect(&served).await, connect(&served).await);
    let mut third = connect(&served).await;
    third.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(answer_within(&mut third, Duration::from_millis(300)).await, (String::new(), false));
    drop(first);
    assert_eq!(status(&answer_within(&mut third, Duration::from_secs(3)).await.0), 200);
}
