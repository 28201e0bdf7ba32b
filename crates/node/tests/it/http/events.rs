//! Event streams: what comes, how they are taken up again, and how they end.

use std::time::Duration;

use coalmine_node::Options as NodeOptions;
use coalmine_node::http::Options;
use serde_json::json;

use super::web::{BLOCKS, Frame, Stream, World, options};

const CREATE: &str = r#"{"op":"create_feature","name":"NAME","description":""}"#;

fn create(world: &mut World, name: &str) -> u32 {
    world.tell(&CREATE.replace("NAME", name))
}

fn ids(frames: &[Frame]) -> Vec<String> {
    frames.iter().filter_map(|frame| frame.id.clone()).collect()
}

#[tokio::test]
async fn a_stream_says_hello_and_then_each_block() {
    let mut world = World::new();
    world.settle().await;
    let mut stream = Stream::open(&world, "/v1/events", None).await;
    let hello = stream.soon().await;
    assert_eq!((hello.event.as_str(), hello.id.as_deref()), ("hello", Some("10")));
    assert_eq!(hello.data, json!({"tip": 10, "root": world.node.tip().root.to_string(), "oldest": 0}));
    world.tell(r#"[{"op":"create_feature","name":"x1","description":""},{"op":"enable","name":"x1"}]"#);
    let block = stream.soon().await;
    assert_eq!((block.event.as_str(), block.id.as_deref()), ("block", Some("11")));
    assert_eq!((&block.data["height"], &block.data["txs"]), (&json!(11), &json!(1)));
    assert_eq!(block.data["root"], world.node.tip().root.to_string());
    let events: Vec<&str> =
        block.data["events"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["feature_created", "status_changed"]);
    assert!(block.data["events"][0]["sentence"].is_string());
    // An empty block has nothing to tell.
    world.blocks.block().unwrap();
    assert!(stream.is_silent().await);
}

#[tokio::test]
async fn a_stream_is_taken_up_where_it_was_cut() {
    let mut world = World::new();
    world.settle().await;
    // From the database.
    for (last, from, expected) in
        [(Some("7"), None, 8..=10), (None, Some(9), 9..=10), (Some("8"), Some(2), 9..=10), (None, Some(0), 1..=10)]
    {
        let path = from.map_or_else(|| "/v1/events".into(), |from| format!("/v1/events?from={from}"));
        let mut stream = Stream::open(&world, &path, last).await;
        assert_eq!(stream.soon().await.id, None, "{path}: nothing is known before the first block");
        for height in expected {
            assert_eq!(stream.soon().await.id, Some(height.to_string()), "{path} {last:?}");
        }
        assert!(stream.is_silent().await);
    }
    // What comes while it replays is neither lost nor doubled.
    let mut stream = Stream::open(&world, "/v1/events", Some("5")).await;
    let height = create(&mut world, "meanwhile");
    let mut frames = Vec::new();
    for _ in 0..7 {
        frames.push(stream.soon().await);
    }
    let expected: Vec<String> = (6..=height).map(|height| height.to_string()).collect();
    assert_eq!(ids(&frames), expected);
    // With the last id there is nothing to repeat.
    let mut stream = Stream::open(&world, "/v1/events", Some("11")).await;
    assert_eq!(stream.soon().await.event, "hello");
    assert!(stream.is_silent().await);
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let keep = NodeOptions { keep_blocks: std::num::NonZeroU32::new(3), ..NodeOptions::default() };
    let mut world = World::with(options(), keep).told();
    world.settle().await;
    for id in ["3", "12", "4294967295", "other", "-1", "99999999999999"] {
        let mut stream = Stream::open(&world, "/v1/events", Some(id)).await;
        let hello = stream.soon().await;
        assert_eq!((hello.id, &hello.data["oldest"]), (None, &json!(8)), "{id}");
        let reset = stream.soon().await;
        assert_eq!((reset.event.as_str(), reset.id.as_deref()), ("reset", Some("10")), "{id}");
        assert_eq!((&reset.data["tip"], &reset.data["oldest"]), (&json!(10), &json!(8)));
        assert!(stream.is_silent().await, "{id}");
    }
    // Then it is live.
    let mut stream = Stream::open(&world, "/v1/events?from=2", None).await;
    for event in ["hello", "reset"] {
        assert_eq!(stream.soon().await.event, event);
    }
    create(&mut world, "late");
    assert_eq!(stream.soon().await.id.as_deref(), Some("11"));
}

#[tokio::test]
async fn filters_choose_events() {
    let mut world = World::new();
    world.settle().await;
    // A row is a query and the heights with the number of events that come.
    for (query, expected) in [
        ("feature=part", vec![(2, 2)]),
        ("feature=part,off", vec![(2, 2), (3, 1)]),
        ("plugin=api", vec![(8, 2), (9, 1)]),
        ("feature=off&plugin=api", vec![(3, 1), (8, 2), (9, 1)]),
        ("kind=rolled_back", vec![(4, 1)]),
        ("kind=deployed,rolled_back&plugin=api", vec![(9, 1)]),
        ("feature=none", vec![]),
    ] {
        let mut stream = Stream::open(&world, &format!("/v1/events?from=1&{query}"), None).await;
        assert_eq!(stream.soon().await.event, "hello");
        for (height, events) in expected {
            let frame = stream.soon().await;
            let found = (frame.id.clone(), frame.data["events"].as_array().unwrap().len());
            assert_eq!(found, (Some(format!("{height}")), events), "{query}");
        }
        assert!(stream.is_silent().await, "{query}");
    }
    create(&mut world, "other");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_tells_the_height_and_stays_open() {
    let mut world = World::new();
    world.settle().await;
    let mut stream = Stream::open(&world, "/v1/events", None).await;
    assert_eq!(stream.next().await.unwrap().event, "hello");
    let begin = tokio::time::Instant::now();
    // While the height stands still, there are comments only.
    assert!(stream.next().await.unwrap().is_comment);
    assert_eq!(begin.elapsed().as_secs(), 15);
    world.blocks.chain().pass(40);
    let tip = stream.next().await.unwrap();
    assert_eq!((tip.event.as_str(), tip.id.as_deref(), &tip.data["tip"]), ("tip", Some("40"), &json!(40)));
    assert!(begin.elapsed() <= Duration::from_secs(30), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_reset() {
    let mut world = World::with(Options { stream_blocks: 8, ..options() }, NodeOptions::default());
    let mut stream = Stream::open(&world, "/v1/events", None).await;
    assert_eq!(stream.soon().await.event, "hello");
    create(&mut world, "first");
    assert_eq!(stream.soon().await.event, "block");
    // More than what is kept for readers that are live.
    for number in 0..79 {
        create(&mut world, &format!("f{number}"));
    }
    world.settle().await;
    let reset = stream.soon().await;
    assert_eq!((reset.event.as_str(), reset.id), ("reset", Some("80".into())));
    let end = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.expect("it ends");
    assert_eq!(end, None);
    // Nobody else is: whoever comes back from there reads the database.
    let mut stream = Stream::open(&world, "/v1/events", Some("1")).await;
    let mut frames = vec![];
    for _ in 0..80 {
        frames.push(stream.soon().await);
    }
    assert_eq!(ids(&frames).len(), 79);
}

#[tokio::test]
async fn streams_are_limited_and_free_their_places() {
    let world = World::with(
        Options { streams: 3, streams_per_address: 2, is_behind_proxy: true, ..options() },
        NodeOptions::default(),
    );
    let open = |address: &'static str| {
        let request = axum::http::Request::get("/v1/events").header("x-forwarded-for", format!("9.9.9.9, {address}"));
        let (router, request) = (world.router.clone(), request.body(axum::body::Body::empty()).unwrap());
        async move { tower_service::Service::call(&mut router.clone(), request).await.unwrap() }
    };
    let first = open("1.1.1.1").await;
    let second = open("1.1.1.1").await;
    assert_eq!((first.status(), second.status()), (200.try_into().unwrap(), 200.try_into().unwrap()));
    assert_eq!(open("1.1.1.1").await.status(), 429);
    let third = open("1.1.1.2").await;
    assert_eq!((third.status().as_u16(), open("1.1.1.3").await.status().as_u16()), (200, 503));
    drop(first);
    assert_eq!(open("1.1.1.1").await.status(), 200);
}

#[tokio::test]
async fn streams_end_with_the_node() {
    let world = World::new();
    let mut stream = Stream::open(&world, "/v1/events", None).await;
    let mut flags = Stream::open(&world, "/ofrep/v1/sse", None).await;
    assert_eq!(stream.soon().await.event, "hello");
    assert_eq!(flags.soon().await.event, "message");
    world.node.begin_stop();
    for stream in [&mut stream, &mut flags] {
        assert_eq!(tokio::time::timeout(Duration::from_secs(2), stream.next()).await.expect("it ends"), None);
    }
}

#[tokio::test]
async fn clients_of_flags_are_told_when_they_connect_and_when_a_flag_changes() {
    let mut world = World::new();
    world.settle().await;
    let mut stream = Stream::open(&world, "/ofrep/v1/sse", Some("3")).await;
    let first = stream.soon().await;
    let root: String = world.node.tip().root.to_string().chars().take(16).collect();
    assert_eq!((first.event.as_str(), first.id), ("message", Some(BLOCKS.to_string())));
    assert_eq!(first.data, json!({"type": "refetchEvaluation", "etag": format!("10-{root}")}));
    // What changes no flag is not told.
    world.tell(r#"{"op":"grant_role","address":"0x4444444444444444444444444444444444444444","role":"operator"}"#);
    assert!(stream.is_silent().await);
    world.tell(r#"{"op":"disable","name":"all"}"#);
    assert_eq!(stream.soon().await.id.as_deref(), Some("12"));
}
