//! The connection against a real server on the loopback interface, well-behaved or not.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Running, is_alone, peak_kib, start};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use coalmine_feed::backoff::Delays;
use coalmine_feed::stream::{Limits, Refused};
use coalmine_feed::transport::HyperTransport;
use futures_util::{Stream, StreamExt, stream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(10);

/// A server that answers its n-th request, counted from 0, as `answer` says.
async fn serve(answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let handler = move |headers: HeaderMap| async move {
        assert_eq!(headers[header::AUTHORIZATION], "key-1");
        answer(counted.fetch_add(1, Ordering::SeqCst))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/relay_auto_config", get(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, count)
}

fn connect(address: SocketAddr, limits: Limits) -> Running {
    let transport = HyperTransport::builder().disable_proxy().build_http().unwrap();
    start(&format!("http://{address}"), transport, Delays { initial_ms: 20, max_ms: 100, reset_ms: 60_000 }, limits)
}

async fn next(running: &mut Running) -> String {
    match timeout(SOON, running.next()).await {
        Ok(message) => message,
        Err(_) => panic!("nothing came; logs: {:?}", running.logs),
    }
}

fn put(version: u64) -> Event {
    Event::default().event("put").data(put_data(version))
}

fn put_data(version: u64) -> String {
    format!(r#"{{"path":"/","data":{{"environments":{{"e":{{"envID":"e","version":{version}}}}}}}}}"#)
}

fn events(events: Vec<Event>) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::iter(events).map(Ok)
}

/// These events, and then a stream that stays open.
fn open(list: Vec<Event>) -> Response {
    Sse::new(events(list).chain(stream::once(pending()))).into_response()
}

fn raw(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(chunks.map(Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

#[tokio::test]
async fn messages_come_in_order_and_a_closed_stream_is_opened_again() {
    let (address, count) = serve(|n| match n {
        0 => Sse::new(events(vec![
            put(1),
            Event::default().event("patch").data(r#"{"path":"/filters/f","data":{"key":"k","version":4}}"#),
            Event::default().comment("beat"),
            Event::default().event("delete").data(r#"{"path":"/environments/e","version":2}"#),
        ]))
        .into_response(),
        _ => open(vec![put(3)]),
    })
    .await;
    let mut running = connect(address, Limits::default());
    for expected in ["put[e@1|]", "patch[f@4]", "delete[e@2]", "put[e@3|]"] {
        assert_eq!(next(&mut running).await, expected);
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn slow_headers_and_errors_then_recovery() {
    let (address, count) = serve(|n| match n {
        0..3 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        3 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => open(vec![put(1)]),
    })
    .await;
    let mut running = connect(address, Limits::default());
    assert_eq!(next(&mut running).await, "put[e@1|]");
    assert_eq!(count.load(Ordering::SeqCst), 5);
    assert_eq!(running.logged("HTTP error 500").len(), 3);

    // The first connection is accepted and never answered.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (silent, _) = listener.accept().await.unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: put\ndata: {}\n\n", put_data(7));
        for byte in answer.as_bytes().chunks(7) {
            second.write_all(byte).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        (silent, second)
    });
    let mut running = connect(address, Limits { answer: Duration::from_millis(500), ..Limits::default() });
    // The second one is slow, too, but it goes on.
    assert_eq!(next(&mut running).await, "put[e@7|]");
    assert_eq!(running.logged("no answer in 500ms").len(), 1);
    drop(server.await);
}

#[tokio::test]
async fn refused_keys_end_it() {
    let (address, count) = serve(|n| {
        if n == 0 {
            open(vec![put(1), Event::default().event("reconnect").data("{}")])
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    })
    .await;
    let mut running = connect(address, Limits::default());
    assert_eq!(next(&mut running).await, "put[e@1|]");
    assert_eq!(timeout(SOON, running.end).await.unwrap().unwrap(), Err(Refused));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_reconnect_is_heard_at_once() {
    let (address, count) = serve(|n| match n {
        0 => open(vec![put(1), Event::default().event("reconnect").data("{}"), put(2)]),
        _ => open(vec![put(3)]),
    })
    .await;
    let mut running = connect(address, Limits::default());
    // What stands behind it on the old connection is not read any more.
    assert_eq!(next(&mut running).await, "put[e@1|]");
    assert_eq!(next(&mut running).await, "put[e@3|]");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn chunks_are_cut_anywhere() {
    let text = "event: put\ndata: {\"path\":\"/\",\"data\":{\"environments\":{\"e\":{\"envID\":\"e\",\"envName\":\"äߐ文🐤\"}}}}\n\n";
    let (address, _) = serve(move |_| {
        // A flush between chunks, so that each one travels by itself.
        let chunks = stream::iter(text.as_bytes().chunks(1)).then(|chunk| async move {
            tokio::task::yield_now().await;
            Bytes::from_static(chunk)
        });
        raw(chunks.chain(stream::once(pending())))
    })
    .await;
    let mut running = connect(address, Limits::default());
    let commands = timeout(SOON, running.messages.recv()).await.unwrap().unwrap();
    let coalmine_core::Command::FeedPut { environments, .. } = &commands[0] else { panic!("{commands:?}") };
    let body = coalmine_feed::message::Environment::from_body(environments[0].body.as_bytes()).unwrap();
    assert_eq!(body.env_name, "äߐ文🐤");
}

#[tokio::test]
async fn reset_connections_are_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        for n in 0.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            let whole = format!("event: put\ndata: {}\n\n", put_data(n));
            // A whole event and half of another; every third connection stays.
            let text = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{whole}event: put\ndata: {{");
            socket.write_all(text.as_bytes()).await.unwrap();
            if n % 3 == 2 {
                kept.push(socket);
            } else {
                // Without time to linger, closing is a reset.
                sleep(Duration::from_millis(50)).await;
                socket.set_zero_linger().unwrap();
            }
        }
    });
    let mut running = connect(address, Limits { silence: Duration::from_millis(800), ..Limits::default() });
    for n in 0..6 {
        assert_eq!(next(&mut running).await, format!("put[e@{n}|]"));
    }
    assert!(running.logged("failed").len() >= 5);
}

#[tokio::test]
async fn a_silent_stream_is_left_and_a_beating_one_is_not() {
    let limits = Limits { silence: Duration::from_secs(1), ..Limits::default() };
    let (address, count) = serve(|n| match n {
        0 => open(vec![put(1)]),
        _ => {
            let list = events(vec![put(2)]).chain(stream::once(pending()));
            let beat = KeepAlive::new().interval(Duration::from_millis(50)).text("beat");
            Sse::new(list).keep_alive(beat).into_response()
        }
    })
    .await;
    let mut running = connect(address, limits);
    assert_eq!(next(&mut running).await, "put[e@1|]");
    assert_eq!(next(&mut running).await, "put[e@2|]");
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(running.logged("nothing was received for 1s").len(), 1);
}

#[tokio::test]
async fn an_event_of_100_megabytes_is_refused() {
    const CHUNK: usize = 64 * 1_024;
    const CHUNKS: usize = 1_600;
    if !is_alone("server::an_event_of_100_megabytes_is_refused") {
        return;
    }
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let (address, count) = serve(move |n| {
        if n > 0 {
            return open(vec![put(1)]);
        }
        let counted = Arc::clone(&counted);
        let big = Bytes::from(vec![b'x'; CHUNK]);
        let chunks = stream::iter(0..CHUNKS).map(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            big.clone()
        });
        raw(stream::iter([Bytes::from_static(b"event: put\ndata: ")]).chain(chunks))
    })
    .await;
    let mut running = connect(address, Limits::default());
    assert_eq!(next(&mut running).await, "put[e@1|]");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(running.logged("an event is longer than 25165824 bytes").len(), 1);
    // The rest never left the server, but for what the sockets hold.
    assert!(sent.load(Ordering::SeqCst) < CHUNKS / 2, "{} chunks", sent.load(Ordering::SeqCst));
    if let Some(peak) = peak_kib() {
        assert!(peak < 96 * 1_024, "{peak} KiB");
    }
}

#[tokio::test]
async fn a_storm_of_puts_is_taken_one_by_one() {
    const PUTS: u64 = 3_000;
    let (address, count) = serve(|n| {
        // The stream breaks off once on the way, and begins again with what there is then.
        if n == 0 {
            Sse::new(events((0..PUTS / 2).map(put).collect())).into_response()
        } else {
            open((PUTS / 2..PUTS).map(put).collect())
        }
    })
    .await;
    let mut running = connect(address, Limits::default());
    for version in 0..PUTS {
        if version % 500 == 0 {
            // Whoever takes them is slow at times.
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(next(&mut running).await, format!("put[e@{version}|]"));
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert!(running.messages.try_recv().is_err());
}
