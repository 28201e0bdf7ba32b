//! What is asked of the ledger: a row for each request and each problem.

use axum::body::Body;
use axum::http::Request;
use coalmine_core::{Address, Decode as _, Encode as _, Hash, Key, Name};
use coalmine_node::testing::key;
use coalmine_proof::Bundle;
use serde_json::{Value, json};

use super::web::{BLOCKS, USER, World, options};

/// The value at a pointer.
fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

#[tokio::test]
async fn every_read_answers() {
    let world = World::new();
    // A row is a path, and what has to stand where.
    let rows: &[(&str, &[(&str, Value)])] = &[
        (
            "/v1/status",
            &[
                ("/chain", json!("test-1")),
                ("/height", json!(BLOCKS)),
                ("/rules/rules", json!(1)),
                ("/engine/name", json!("none")),
                ("/engine/is_ready", json!(true)),
                ("/features", json!(6)),
                ("/plugins", json!(2)),
                ("/pending", json!(0)),
            ],
        ),
        (
            "/v1/features",
            &[
                ("/height", json!(BLOCKS)),
                ("/items/0", json!({"type":"feature","name":"all","status":"enabled","percent":100})),
                ("/next", Value::Null),
            ],
        ),
        ("/v1/features?limit=2", &[("/items/1/name", json!("back")), ("/next", json!("back"))]),
        ("/v1/features?limit=2&after=back", &[("/items/0/name", json!("child"))]),
        (
            "/v1/features/part",
            &[
                ("/type", json!("feature")),
                ("/rollout_percent", json!(50)),
                ("/policy/bucketing", json!("sha256")),
                ("/errors_left", json!(9)),
            ],
        ),
        ("/v1/features/part/metrics", &[("/type", json!("metrics")), ("/total_operations", json!(0))]),
        (
            "/v1/features/part/history",
            &[("/items/0/cause", json!("created")), ("/items/1/percent", json!(50)), ("/items/1/height", json!(2))],
        ),
        ("/v1/features/part/history?limit=1", &[("/next", json!("2-0"))]),
        ("/v1/features/part/history?limit=1&after=2-0", &[("/items/0/seq", json!(1))]),
        (
            "/v1/features/on/overrides",
            &[
                ("/items/0/user", json!("0x3333333333333333333333333333333333333333")),
                ("/items/0/enabled", json!(false)),
            ],
        ),
        ("/v1/features/part/samples", &[("/items/0/height", json!(2)), ("/items/0/percent", json!(50))]),
        ("/v1/features/part/samples?from=3", &[("/items", json!([]))]),
        ("/v1/plugins", &[("/items/0/name", json!("api")), ("/items/0/canary", json!("2.0.0"))]),
        ("/v1/plugins?after=api", &[("/items/0/name", json!("web"))]),
        ("/v1/plugins/api", &[("/deployment/new", json!("2.0.0")), ("/versions/0/version", json!("1.0.0"))]),
        ("/v1/plugins/api/history", &[("/items/0/action", json!("registered"))]),
        ("/v1/plugins/api/samples", &[("/items/0/deployment/canary/requests", json!(0))]),
        ("/v1/feed", &[("/feed/type", json!("feed")), ("/items", json!([]))]),
        ("/v1/roles", &[("/items/0/roles", json!(["admin"])), ("/items/0/sequence", json!(BLOCKS))]),
        ("/v1/schedule", &[("/items/0/at", json!(5000)), ("/items/0/commands/0/op", json!("disable"))]),
        ("/v1/global", &[("/type", json!("global")), ("/breaker", Value::Null)]),
        ("/v1/calendar?blocks=6000", &[("/until", json!(6010)), ("/items/0/type", json!("upcoming"))]),
        (
            "/v1/check?feature=on&user=0x2222222222222222222222222222222222222222",
            &[("/type", json!("verdict")), ("/on", json!(true)), ("/why", json!("status")), ("/height", json!(BLOCKS))],
        ),
        (
            "/v1/check?feature=on&user=0x3333333333333333333333333333333333333333&height=10",
            &[("/on", json!(false)), ("/why", json!("override"))],
        ),
        (
            "/v1/route?plugin=web&unit=order-4711",
            &[("/version", json!("0.1.0")), ("/unit", json!("0x6f726465722d34373131"))],
        ),
        ("/livez", &[("/status", json!("ok"))]),
        ("/readyz", &[("/status", json!("ok")), ("/reasons", json!([]))]),
        ("/openapi.json", &[("/openapi", json!("3.1.0"))]),
    ];
    for (path, expected) in rows {
        let found = world.found(path).await;
        for (pointer, value) in *expected {
            assert_eq!(at(&found, pointer), value, "{path} {pointer} in {found}");
        }
        let answer = world.get(path).await;
        assert_eq!(answer.header("coalmine-height"), BLOCKS.to_string(), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}

/// Path, body of a POST, status, name of the problem, reject, and a part of the detail.
type Row<'r> = (&'r str, Option<&'r str>, u16, &'r str, Option<(&'r str, u16)>, &'r str);

#[tokio::test]
async fn every_problem_is_a_document() {
    let world = World::new();
    let many = format!(r#"{{"checks":[{}]}}"#, vec![r#"{"feature":"on","user":"x"}"#; 1_001].join(","));
    let users = format!(r#"{{"commands":[],"users":[{}]}}"#, vec![format!("{USER:?}"); 1_001].join(","));
    let rows: &[Row<'_>] = &[
        ("/nothing", None, 404, "not_found", None, "/openapi.json"),
        ("/v1/features/", None, 404, "not_found", None, "openapi"),
        ("/v1/features/parte", None, 404, "feature_not_found", Some(("feature_not_found", 3)), "the nearest is part"),
        ("/v1/features/parte/history", None, 404, "feature_not_found", Some(("feature_not_found", 3)), "nearest"),
        ("/v1/features/parte/samples", None, 404, "feature_not_found", Some(("feature_not_found", 3)), "nearest"),
        ("/v1/features/No%20Name", None, 400, "invalid_name", Some(("invalid_name", 14)), "No Name"),
        ("/v1/features/%ff", None, 404, "not_found", None, ""),
        ("/v1/features/..%2f..%2fetc", None, 400, "invalid_name", Some(("invalid_name", 14)), ""),
        ("/v1/plugins/apy", None, 404, "plugin_not_found", Some(("plugin_not_found", 40)), "the nearest is api"),
        ("/v1/plugins/apy/samples", None, 404, "plugin_not_found", Some(("plugin_not_found", 40)), "api"),
        ("/v1/features?limit=0", None, 400, "bad_parameter", None, "limit: it is 1 to 1000"),
        ("/v1/features?limit=1001", None, 400, "bad_parameter", None, "limit"),
        ("/v1/features?limit=x", None, 400, "bad_parameter", None, "limit: \"x\""),
        ("/v1/features?limits=1", None, 400, "bad_parameter", None, "there is no such parameter"),
        ("/v1/features?limit=1&limit=2", None, 400, "bad_parameter", None, "repeated"),
        ("/v1/features/part/history?after=x", None, 400, "bad_parameter", None, "next of the page before"),
        ("/v1/feed?after=x", None, 400, "bad_parameter", None, "next of the page before"),
        ("/v1/features?consistency=never", None, 400, "bad_parameter", None, "linearizable"),
        ("/v1/check?feature=on", None, 400, "bad_parameter", None, "user: it is missing"),
        ("/v1/check?feature=on&user=me", None, 400, "bad_parameter", None, "user: \"me\""),
        (
            "/v1/check?feature=one&user=0x2222222222222222222222222222222222222222",
            None,
            404,
            "feature_not_found",
            Some(("feature_not_found", 3)),
            "on",
        ),
        (
            "/v1/check?feature=on&user=0x2222222222222222222222222222222222222222&height=3",
            None,
            410,
            "past_height",
            None,
            "height 4",
        ),
        ("/v1/route?plugin=api&unit=0xg", None, 400, "bad_parameter", None, "unit"),
        ("/v1/route?plugin=apy&unit=1", None, 404, "plugin_not_found", Some(("plugin_not_found", 40)), "api"),
        ("/v1/calendar?blocks=100001", None, 400, "bad_parameter", None, "100000"),
        ("/v1/proof/key/xyz", None, 400, "bad_parameter", None, "hex"),
        ("/v1/proof/is-enabled?feature=on", None, 400, "bad_parameter", None, "user"),
        ("/v1/transactions/12", None, 400, "bad_parameter", None, "id"),
        ("/v1/sequence/12", None, 400, "bad_parameter", None, "address"),
        ("/v1/events?kind=nothing", None, 400, "bad_parameter", None, "rolled_back"),
        ("/v1/events?feature=a,No%20Name", None, 400, "invalid_name", Some(("invalid_name", 14)), "No"),
        ("/v1/check", Some("{"), 400, "bad_body", None, "line 1 column 1"),
        ("/v1/check", Some(r#"{"checks":[],"more":1}"#), 400, "bad_body", None, "more"),
        ("/v1/check", Some(r#"{"checks":[{"feature":"on","user":"me"}]}"#), 400, "bad_body", None, "checks[0]: \"me\""),
        ("/v1/check", Some(&many), 413, "too_large", None, "1001"),
        ("/v1/route", Some(r#"{"routes":[{"plugin":"api","unit":"0xg"}]}"#), 400, "bad_body", None, "routes[0]"),
        ("/v1/preview", Some(r#"{"commands":{"op":"nothing"}}"#), 400, "bad_body", None, "commands: line 1"),
        ("/v1/preview", Some(r#"{"commands":[],"signer":"me"}"#), 400, "bad_body", None, "signer"),
        ("/v1/preview", Some(r#"{"commands":[],"sample":0}"#), 400, "bad_body", None, "sample"),
        ("/v1/preview", Some(r#"{"commands":[],"sample":1,"users":[]}"#), 400, "bad_body", None, "not both"),
        ("/v1/preview", Some(r#"{"commands":[],"blocks":10001}"#), 400, "bad_parameter", None, "blocks"),
        ("/v1/preview", Some(&users), 413, "too_large", None, "1001"),
        ("/v1/status", Some("{}"), 405, "method_not_allowed", None, "Allow"),
        ("/v1/transactions", None, 405, "method_not_allowed", None, "Allow"),
    ];
    for (path, body, status, name, reject, detail) in rows {
        let answer = match body {
            None => world.get(path).await,
            Some(body) => world.post_json(path, body).await,
        };
        assert_eq!(answer.status, *status, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(answer.header("coalmine-height"), BLOCKS.to_string(), "{path}");
        let problem = answer.json();
        assert_eq!(problem["type"], format!("urn:coalmine:problem:{name}"), "{path}");
        assert_eq!(problem["status"], *status);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
        let found = problem.get("reject").map(|reject| (reject.as_str().unwrap(), problem["code"].as_u64().unwrap()));
        assert_eq!(found, reject.map(|(name, code)| (name, u64::from(code))), "{path}");
    }
    let answer = world.post("/v1/check", "text/plain", "{}").await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["type"].as_str()),
        (415, Some("urn:coalmine:problem:unsupported_media_type"))
    );
    let answer = world.post_json("/v1/status", "{}").await;
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn lists_are_answered_of_one_state() {
    let world = World::new();
    let checks = r#"{"checks":[{"feature":"on","user":"0x3333333333333333333333333333333333333333"},{"feature":"none","user":"0x3333333333333333333333333333333333333333"}]}"#;
    let found = world.post_json("/v1/check", checks).await.json();
    assert_eq!(found["height"], BLOCKS);
    assert_eq!((&found["items"][0]["on"], &found["items"][0]["why"]), (&json!(false), &json!("override")));
    assert_eq!((&found["items"][1]["on"], &found["items"][1]["why"]), (&json!(false), &json!("unknown")));
    let routes = r#"{"routes":[{"plugin":"api","unit":"1"},{"plugin":"none","unit":"0x01"}]}"#;
    let found = world.post_json("/v1/route", routes).await.json();
    assert!(found["items"][0]["bucket"].is_u64(), "{found}");
    assert_eq!((&found["items"][1]["version"], &found["items"][1]["unit"]), (&Value::Null, &json!("0x01")));
}

#[tokio::test]
async fn a_preview_tells_all_and_changes_nothing() {
    let mut world = World::new();
    // Heights that have passed without blocks count.
    world.blocks.chain().pass(20);
    let request = json!({
        "commands": [{"op":"enable","name":"part"},{"op":"enable","name":"none"}],
        "users": [USER, "0x3333333333333333333333333333333333333333"],
        "blocks": 10_000,
    });
    let root = world.node.tip().root;
    let found = world.post_json("/v1/preview", &request.to_string()).await.json();
    assert_eq!((&found["preview"]["height"], &found["preview"]["users"]), (&json!(21), &json!(2)), "{found}");
    assert_eq!(found["receipts"][0]["result"], "ok");
    assert_eq!(found["receipts"][1]["result"], "feature_not_found");
    assert_eq!(found["receipts"][1]["op"], "enable");
    assert_eq!(found["events"][0]["event"], "status_changed");
    assert_eq!(found["features"][0]["name"], "child");
    assert!(found["records"].as_array().unwrap().iter().any(|record| record["record"] == "feature"));
    assert_eq!(found["upcoming"][0]["type"], "upcoming");
    assert_eq!(world.node.tip().root, root);
}

#[tokio::test]
async fn a_height_that_has_passed_without_blocks_is_the_height_of_answers() {
    let mut world = World::new();
    world.blocks.chain().pass(30);
    let check = format!("/v1/check?feature=on&user={USER}");
    for path in ["/v1/status", "/v1/features/part", &check, "/v1/calendar", "/v1/features"] {
        assert_eq!(world.get(path).await.header("coalmine-height"), "30", "{path}");
    }
    assert_eq!(world.found("/v1/calendar?blocks=4970").await["until"], 5000);
    assert_eq!(
        world.found("/v1/calendar?blocks=4970").await["items"].as_array().unwrap().last().unwrap()["height"],
        5000
    );
    // What is known of a height is known as long as nothing has happened since.
    assert_eq!(world.found(&format!("{check}&height=10")).await["height"], 10);
    assert_eq!(world.found(&format!("{check}&height=25")).await["height"], 25);
}

#[tokio::test]
async fn before_the_first_block_there_is_no_height() {
    let world = World::empty();
    let answer = world.get("/v1/status").await;
    assert_eq!((answer.header("coalmine-height"), &answer.json()["height"]), ("none", &Value::Null));
    assert_eq!(world.found("/v1/calendar").await["items"], json!([]));
    let preview = world
        .post_json("/v1/preview", r#"{"commands":{"op":"create_feature","name":"x","description":""}}"#)
        .await
        .json();
    assert_eq!(preview["preview"]["height"], 0, "{preview}");
}

#[tokio::test]
async fn proofs_verify_and_the_node_signs_for_their_root() {
    let mut world = World::new();
    world.blocks.chain().pass(12);
    let (user, root) = (USER.parse::<Address>().unwrap(), world.node.tip().root);
    let proof = |path: String| {
        let world = &world;
        async move {
            let found = world.found(&path).await;
            let bundle = Bundle::from_json(found["bundle"].to_string().as_bytes()).unwrap();
            let attestation = &found["attestation"];
            let bytes = world.node.domain().root_bytes(12, &bundle.root);
            let signature = hex::decode(attestation["signature"].as_str().unwrap()).unwrap();
            let signature = coalmine_auth::Signature(signature.try_into().unwrap());
            use coalmine_auth::Signer as _;
            assert_eq!(attestation["key"], hex::encode(key(9).public_key().0));
            assert_eq!((&attestation["chain"], &attestation["height"]), (&json!("test-1"), &json!(12)));
            assert_eq!(attestation["root"], root.to_string());
            assert!(key(9).public_key().verifies(&bytes, &signature));
            assert!(!key(9).public_key().verifies(&world.node.domain().root_bytes(11, &bundle.root), &signature));
            bundle
        }
    };
    let bundle = proof(format!("/v1/proof/is-enabled?feature=child&user={USER}")).await;
    let name: Name = "child".parse().unwrap();
    let verdict = bundle.is_enabled(&root, &name, &user).unwrap();
    assert_eq!(verdict, world.node.read(|state| state.check(&name, &user)));
    assert!(bundle.is_enabled(&Hash([1; 32]), &name, &user).is_err());

    let bundle = proof("/v1/proof/route?plugin=api&unit=order-1".into()).await;
    let plugin: Name = "api".parse().unwrap();
    let version = bundle.route(&root, &plugin, b"order-1").unwrap();
    assert_eq!(version, world.node.read(|state| state.route(&plugin, b"order-1").cloned()));

    let record = Key::Feature(name).to_bytes();
    let bundle = proof(format!("/v1/proof/key/{}", hex::encode(&record))).await;
    let value = bundle.record(&root, &record).unwrap().unwrap();
    assert_eq!(coalmine_core::Feature::from_bytes(&value).unwrap().name, name);
    let absent = Key::Feature("none".parse().unwrap()).to_bytes();
    let bundle = proof(format!("/v1/proof/key/{}", hex::encode(&absent))).await;
    assert_eq!(bundle.record(&root, &absent).unwrap(), None);

    let unsigned = World::with(coalmine_node::http::Options::default(), Default::default()).told();
    let found = unsigned.found(&format!("/v1/proof/is-enabled?feature=on&user={USER}")).await;
    assert_eq!(found["attestation"], Value::Null);
}

#[tokio::test]
async fn reads_wait_for_a_height() {
    let mut world = World::new();
    let router = world.router.clone();
    let waiting = tokio::spawn(async move {
        let request = Request::get("/v1/features/late?min_height=11").body(Body::empty()).unwrap();
        super::web::ask(&router, request).await
    });
    world.settle().await;
    assert!(!waiting.is_finished());
    world.tell(r#"{"op":"create_feature","name":"late","description":""}"#);
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("coalmine-height")), (200, "11"));
    let linearizable = world.get("/v1/features/late?consistency=linearizable").await;
    assert_eq!(linearizable.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_height_that_does_not_come_is_a_problem() {
    let world = World::new();
    let answer = world.get("/v1/status?min_height=11").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.json()["type"], "urn:coalmine:problem:behind");
}

#[tokio::test]
async fn a_node_that_stops_is_not_ready_and_still_answers() {
    let world = World::with(options(), Default::default()).told();
    world.node.begin_stop();
    let ready = world.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.json()["reasons"][0].as_str()), (503, Some("it stops")));
    assert_eq!(world.get("/livez").await.status, 200);
    assert_eq!(world.get("/v1/features/on").await.status, 200);
}

#[tokio::test]
async fn a_height_that_is_too_old_is_not_ready() {
    let options = coalmine_node::http::Options { height_age_max: std::time::Duration::from_millis(20), ..options() };
    let world = World::with(options, Default::default()).told();
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.json()["reasons"][0].as_str().unwrap().contains("too old"), "{}", ready.text());
}
