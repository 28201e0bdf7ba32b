//! The connection under virtual time: a transport that plays a script, minutes in no time.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Running, WAITING_MAX, is_alone, peak_kib, start};
use bytes::Bytes;
use coalmine_feed::backoff::Delays;
use coalmine_feed::stream::{self, EndpointError, Limits, Refused};
use coalmine_feed::transport::{ByteStream, HttpTransport, Request, Response, ResponseFuture, TransportError};
use eventsource_client::Client;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const PUT: &str =
    "event: put\ndata: {\"path\":\"/\",\"data\":{\"environments\":{\"e\":{\"envID\":\"e\",\"version\":1}}}}\n\n";

/// An answer, or none.
struct Answer {
    after: Duration,
    status: u16,
    chunks: Vec<(Duration, Bytes)>,
    end: End,
}

/// What follows the last chunk.
#[derive(Clone, Copy)]
enum End {
    Closed,
    Reset,
    /// Nothing, ever.
    Silence,
}

fn answer(status: u16, body: &str, end: End) -> Answer {
    let chunks = vec![(Duration::ZERO, Bytes::copy_from_slice(body.as_bytes()))];
    Answer { after: Duration::ZERO, status, chunks, end }
}

/// When a request came, and what it said.
type Asked = (Instant, Request<Option<Bytes>>);

/// Plays one answer per request; where the script ends, connections are refused.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Asked>>>,
    chunks: Arc<Mutex<usize>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
    }

    /// The times between requests, in milliseconds.
    fn pauses(&self) -> Vec<u128> {
        let requests = self.requests.lock().unwrap();
        requests.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis()).collect()
    }
}

impl HttpTransport for Script {
    fn request(&self, request: Request<Option<Bytes>>) -> ResponseFuture {
        self.requests.lock().unwrap().push((Instant::now(), request));
        let answer = self.answers.lock().unwrap().pop_front();
        let pulled = Arc::clone(&self.chunks);
        Box::pin(async move {
            let refused = || TransportError::new(io::Error::from(io::ErrorKind::ConnectionRefused));
            let Answer { after, status, chunks, end } = answer.ok_or_else(refused)?;
            sleep(after).await;
            let chunks = futures_util::stream::iter(chunks).then(move |(after, chunk)| {
                let pulled = Arc::clone(&pulled);
                async move {
                    sleep(after).await;
                    *pulled.lock().unwrap() += 1;
                    Ok(chunk)
                }
            });
            let end = futures_util::stream::iter(match end {
                End::Reset => Some(Err(TransportError::new(io::Error::from(io::ErrorKind::ConnectionReset)))),
                End::Closed | End::Silence => None,
            })
            .chain(futures_util::stream::once(async move {
                if matches!(end, End::Silence) {
                    std::future::pending::<()>().await;
                }
                Ok(Bytes::new())
            }));
            let body: ByteStream = Box::pin(chunks.chain(end));
            Ok(Response::builder().status(status).body(body).unwrap())
        })
    }
}

fn play(script: &Script) -> Running {
    start("http://feed.example", script.clone(), Delays::default(), Limits::default())
}

/// Waits long enough for everything in a script to happen.
async fn settle() {
    sleep(Duration::from_secs(3_600)).await;
}

#[tokio::test(start_paused = true)]
async fn requests_are_those_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/autoconfig/connection.json");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: there is no file {}", path.display());
        return;
    };
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap().iter().filter(|case| case.get("request").is_some());
    let mut count = 0;
    for case in cases {
        let script = Script::default();
        let protocol = case["protocol_version"].as_i64().unwrap().try_into().unwrap();
        let client =
            stream::client("http://feed.example", "<raw key>", protocol, script.clone(), Limits::default()).unwrap();
        client.stream().next().await;
        let requests = script.requests.lock().unwrap();
        let (_, request) = &requests[0];
        let want = &case["request"];
        assert_eq!(request.method().as_str(), want["method"], "{}", case["name"]);
        assert_eq!(request.uri().path(), want["path"], "{}", case["name"]);
        assert_eq!(request.uri().query(), want["query"].as_str(), "{}", case["name"]);
        for (name, value) in want["headers"].as_object().unwrap() {
            assert_eq!(request.headers()[name].to_str().unwrap(), value, "{}", case["name"]);
        }
        assert_eq!(request.headers().len(), want["headers"].as_object().unwrap().len(), "{}", case["name"]);
        count += 1;
    }
    assert_eq!(count, 5);
}

#[tokio::test(start_paused = true)]
async fn addresses() {
    let rows = [
        ("http://h", 2, Ok("http://h/relay_auto_config?rpacProtocolVersion=2")),
        ("https://h:8443/base/", 1, Ok("https://h:8443/base/relay_auto_config")),
        ("http://h/?q=1", 1, Ok("http://h/relay_auto_config?q=1")),
        ("http://h/?q=1", 2, Ok("http://h/relay_auto_config?rpacProtocolVersion=2")),
        ("not a uri", 2, Err(())),
        ("", 2, Err(())),
        ("/relative", 2, Err(())),
        ("host:80", 2, Err(())),
        ("ftp://h", 2, Err(())),
    ];
    for (base, protocol, expected) in rows {
        let script = Script::default();
        match (stream::client(base, "k", protocol, script.clone(), Limits::default()), expected) {
            (Ok(client), Ok(expected)) => {
                client.stream().next().await;
                assert_eq!(script.requests.lock().unwrap()[0].1.uri(), expected);
            }
            (Err(EndpointError::Address(_)), Err(())) => {}
            (result, _) => panic!("{base}: {:?}", result.err()),
        }
    }
    let wrong_key = stream::client("http://h", "a\nb", 2, Script::default(), Limits::default());
    assert_eq!(wrong_key.err(), Some(EndpointError::Key));
}

#[tokio::test(start_paused = true)]
async fn errors_then_recovery() {
    let errors = [500, 503, 204, 301, 302, 404, 429].map(|status| answer(status, "", End::Closed));
    let script = Script::new(errors.into_iter().chain([answer(200, PUT, End::Silence)]));
    let mut running = play(&script);
    assert_eq!(running.next().await, "put[e@1|]");
    // Doubling from a second to half a minute, and up to a half less.
    for (pause, longest) in script.pauses().into_iter().zip([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
        assert!((longest / 2..=longest).contains(&pause), "{pause} of {longest}");
    }
    assert_eq!(script.pauses().len(), 7);
    assert_eq!(running.logged("HTTP error 500").len(), 1);
    assert_eq!(running.logged("HTTP error 204").len(), 1);
    // A redirect is not followed: it would show the key to another server.
    assert!(script.requests.lock().unwrap().iter().all(|(_, request)| request.uri().host() == Some("feed.example")));
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_ends_it() {
    for statuses in [&[401][..], &[403], &[200, 401], &[500, 403]] {
        let script = Script::new(statuses.iter().map(|status| answer(*status, "", End::Closed)));
        let running = play(&script);
        assert_eq!(timeout(60 * SECOND, running.end).await.unwrap().unwrap(), Err(Refused), "{statuses:?}");
        assert_eq!(script.requests.lock().unwrap().len(), statuses.len());
        assert_eq!(running.logs.lock().unwrap().iter().filter(|log| log.contains("invalid_key")).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_connected_at_first() {
    let script = Script::default();
    let running = play(&script);
    settle().await;
    // An hour of attempts, half a minute apart at most.
    let count = script.requests.lock().unwrap().len();
    assert!((120..=260).contains(&count), "{count}");
    assert!(!running.logged("connection refused").is_empty(), "{:?}", running.logs);
    assert!(!running.end.is_finished());
}

#[tokio::test(start_paused = true)]
async fn slow_and_silent_servers_are_dropped() {
    let slow = |after| Answer { after, ..answer(200, PUT, End::Silence) };
    let beat = |every: u64, count: usize| {
        let beat = (Duration::from_secs(every), Bytes::from_static(b":\n"));
        Answer { chunks: vec![beat; count], ..answer(200, "", End::Silence) }
    };
    // The answer, how long the connection lasts in seconds, and what is logged.
    let rows = [
        (slow(29 * SECOND), 29 + 300, "nothing was received for 300s"),
        (slow(31 * SECOND), 30, "no answer in 30s"),
        (answer(200, PUT, End::Silence), 300, "nothing was received for 300s"),
        (answer(200, "", End::Silence), 300, "nothing was received for 300s"),
        (beat(299, 20), 20 * 299 + 300, "nothing was received for 300s"),
        (beat(301, 20), 300, "nothing was received for 300s"),
        (answer(200, PUT, End::Reset), 0, "connection reset"),
        (answer(200, PUT, End::Closed), 0, "eof"),
        (answer(200, "event: put\ndata: {", End::Closed), 0, "unexpected eof"),
    ];
    for (answer, lasts, logged) in rows {
        let script = Script::new([answer]);
        let mut running = play(&script);
        timeout(Duration::from_secs(lasts + 5), running.next()).await.ok();
        sleep(Duration::from_secs(lasts + 5)).await;
        let pause = script.pauses()[0];
        assert!(
            (u128::from(lasts) * 1_000 + 500..=u128::from(lasts) * 1_000 + 1_000).contains(&pause),
            "{logged}: {pause}"
        );
        assert_eq!(running.logged(logged).len(), 1, "{:?}", running.logs);
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_the_same_however_it_is_cut() {
    // Letters of one to four bytes, every line end, a BOM, comments, and an event whose data are several lines.
    let text = "\u{feff}:hi\r\n\r\nevent: put\r\ndata: {\"path\":\"/\",\rdata:\"data\":{\"environments\":{\"e\":\ndata: \
                {\"envID\":\"e\",\"envName\":\"aäߐ文🐤\"}}}}\n\n:x\n\nevent:delete\ndata:{\"path\":\"/filters/f\",\"version\":2}\r\r";
    let expected = ["put[e@0|]", "delete[f@2]"];
    let bytes = Bytes::from(text);
    let cut = |cuts: &[usize]| {
        let mut chunks = Vec::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            chunks.push((Duration::ZERO, bytes.slice(from..to)));
            from = to;
        }
        Script::new([Answer { chunks, ..answer(200, "", End::Silence) }])
    };
    let every_byte: Vec<usize> = (1..bytes.len()).collect();
    let pairs = (1..bytes.len()).map(|at| vec![at]).chain([every_byte.clone(), Vec::new()]);
    let mut bodies = Vec::new();
    for cuts in pairs {
        let mut running = play(&cut(&cuts));
        let put = running.messages.recv().await.unwrap();
        bodies.push(put);
        assert_eq!(running.next().await, expected[1], "{cuts:?}");
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(bodies.len(), every_byte.len() + 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_grows_too_long_is_dropped() {
    let limits = Limits { event_size_max: 1_000, ..Limits::default() };
    let line = |size: usize| format!("data: {}\n", "x".repeat(size));
    let rows = [
        ("a line without end", "x".repeat(1_001), true),
        ("a line that just fits", "x".repeat(1_000), false),
        ("lines that add up", line(400) + &line(400) + &line(400), true),
        ("events that do not", (line(400) + "\n").repeat(9), false),
        ("events between carriage returns", (line(400) + "\n").repeat(9).replace('\n', "\r\n"), false),
        ("a long comment", format!(":{}", "x".repeat(1_000)), true),
        ("many comments", format!(":{}\n", "x".repeat(400)).repeat(9), false),
    ];
    for (what, body, is_dropped) in rows {
        let script = Script::new([answer(200, &body, End::Silence)]);
        let running = start("http://feed.example", script.clone(), Delays::default(), limits);
        sleep(10 * SECOND).await;
        let entries = running.logged("an event is longer than 1000 bytes");
        assert_eq!(entries.len(), usize::from(is_dropped), "{what}: {:?}", running.logs);
        assert_eq!(script.requests.lock().unwrap().len() > 1, is_dropped, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn ids_are_limited_and_not_kept_for_every_event_of_a_chunk() {
    if !is_alone("stream::ids_are_limited_and_not_kept_for_every_event_of_a_chunk") {
        return;
    }
    // What comes first, how long the id is, how many events come with it in one chunk, and whether it is dropped.
    let rows = [
        ("", 20 * 1_024 * 1_024, 20, true),
        ("", 4_092, 40_000, false),
        ("", 4_093, 1, true),
        ("\u{feff}", 4_092, 1, false),
        ("\u{feff}", 4_093, 1, true),
        ("\u{feff}\u{feff}", 4_096, 1, false),
        (":\r\n", 4_093, 1, true),
        ("data: x\n", 4_093, 1, true),
        ("x", 4_096, 1, false),
    ];
    for (before, size, count, is_dropped) in rows {
        let body = format!("{before}id: {}\ndata: x\n\n{}", "x".repeat(size), "data:\n\n".repeat(count));
        let script = Script::new([answer(200, &body, End::Closed), answer(200, PUT, End::Silence)]);
        let mut running = play(&script);
        assert_eq!(running.next().await, "put[e@1|]", "{before:?} {size}");
        let entries = running.logged("an id is longer than 4096 bytes");
        assert_eq!(entries.len(), usize::from(is_dropped), "{before:?} {size}");
        let events = if is_dropped { 0 } else { count + 1 };
        assert_eq!(running.logged("unknown_event").len(), events, "{before:?} {size}");
    }
    if let Some(peak) = peak_kib() {
        assert!(peak < 96 * 1_024, "{peak} KiB");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_starts_the_stream_again() {
    let broken = |event: &[u8]| {
        let chunks = vec![(Duration::ZERO, Bytes::copy_from_slice(event))];
        Answer { chunks, ..answer(200, "", End::Silence) }
    };
    let rows: &[(&[u8], &str)] = &[
        (b"event: put\ndata: {\"path\n\n", "malformed: event 1 (put): not JSON"),
        (b"event: put\ndata: \xff\xfe\n\n", "failed: invalid line: malformed value"),
        // An empty line of data makes an event of empty data.
        (b"event: put\ndata:\n\n", "malformed: event 1 (put): not JSON"),
        (b"event: reconnect\ndata:\n\n", "deliberate_reconnect: event 1 (reconnect)"),
    ];
    for (event, logged) in rows {
        let script = Script::new([broken(event), answer(200, PUT, End::Silence)]);
        let mut running = play(&script);
        assert_eq!(running.next().await, "put[e@1|]", "{logged}");
        assert_eq!(running.logged(logged).len(), 1, "{:?}", running.logs);
        // At once, and not when the old connection has been silent for long.
        assert!(matches!(script.pauses()[..], [500..=1_000]), "{:?}", script.pauses());
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_line_of_data_is_none() {
    for event in ["event: reconnect\n\n", "event: put\n\n", "event: put\nid: 1\nretry: 7\n\n"] {
        let script = Script::new([answer(200, &format!("{event}{PUT}"), End::Silence)]);
        let mut running = play(&script);
        assert_eq!(running.next().await, "put[e@1|]", "{event}");
        assert_eq!(*running.logs.lock().unwrap(), ["put_received: event 1 (put): 1 items"], "{event}");
        assert_eq!(script.requests.lock().unwrap().len(), 1, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_may_ask_for_another_delay_within_limits() {
    let rows = [
        (100, [100, 200, 400]),
        (1, [100, 200, 400]),
        (99, [100, 200, 400]),
        (101, [101, 202, 404]),
        (u64::MAX, [30_000; 3]),
        // No delay at all is not heard.
        (0, [1_000, 2_000, 4_000]),
    ];
    for (retry, expected) in rows {
        let script = Script::new([answer(200, &format!("retry: {retry}\n{PUT}"), End::Closed)]);
        let running = play(&script);
        sleep(100 * SECOND).await;
        let pauses = script.pauses();
        assert!(pauses.len() >= 3, "{retry}: {pauses:?}");
        for (pause, longest) in pauses.into_iter().zip(expected) {
            assert!((longest / 2..=longest).contains(&pause), "{retry}: {pause} of {longest}");
        }
        assert!(!running.end.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_not_read() {
    const PUTS: usize = 1_000;
    let put = |version: usize| {
        let put = format!(
            "event: put\ndata: {{\"path\":\"/\",\"data\":{{\"filters\":{{\"f\":{{\"version\":{version}}}}}}}}}\n\n"
        );
        (Duration::ZERO, Bytes::from(put))
    };
    let script = Script::new([Answer { chunks: (0..PUTS).map(put).collect(), ..answer(200, "", End::Silence) }]);
    let mut running = play(&script);
    settle().await;
    // The channel is full, one message waits for room, and nothing more has left the socket.
    assert_eq!(*script.chunks.lock().unwrap(), WAITING_MAX + 1);
    for version in 0..PUTS {
        assert_eq!(running.next().await, format!("put[|f@{version}]"));
    }
    assert_eq!(script.requests.lock().unwrap().len(), 1, "waiting is no silence of the server");
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_listens() {
    for script in
        [Script::default(), Script::new([answer(200, "", End::Silence)]), Script::new([answer(200, PUT, End::Silence)])]
    {
        let Running { messages, end, .. } = play(&script);
        sleep(SECOND / 10).await;
        drop(messages);
        assert_eq!(timeout(SECOND, end).await.unwrap().unwrap(), Ok(()));
    }
}
