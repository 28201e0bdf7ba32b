//! OFREP: the mapping of verdicts, and what real clients need.

use coalmine_auth::address_of_targeting_key;
use serde_json::{Value, json};

use super::web::{BLOCKS, World};

/// A user with an override that is off, and one of whom nothing is known.
const SWITCHED: &str = "0x3333333333333333333333333333333333333333";

async fn evaluate(world: &World, key: &str, targeting_key: Option<&str>) -> (u16, Value) {
    let context =
        targeting_key.map_or_else(|| json!({}), |key| json!({ "targetingKey": key, "plan": {"name": "pro"} }));
    let body = json!({ "context": context }).to_string();
    let answer = world.post_json(&format!("/ofrep/v1/evaluate/flags/{key}"), &body).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("coalmine-height"), BLOCKS.to_string());
    (answer.status.as_u16(), answer.json())
}

/// The first key that a feature is on for, or off.
fn key_that_is(world: &World, feature: &str, on: bool) -> String {
    let name = feature.parse().unwrap();
    let is = |key: &String| world.node.read(|state| state.is_enabled(&name, &address_of_targeting_key(key))) == on;
    (0..1_000).map(|number| format!("user-{number}")).find(is).unwrap()
}

#[tokio::test]
async fn verdicts_are_reasons() {
    let world = World::new();
    let (inside, outside) = (key_that_is(&world, "part", true), key_that_is(&world, "part", false));
    let (inside, outside) = (inside.as_str(), outside.as_str());
    // A row is a flag, a targeting key, the value, the reason, the variant, and status, percent and height of the last change.
    let rows = [
        ("on", Some("user-1"), json!(true), "STATIC", "on", "enabled", 10_000, 1),
        ("on", Some(SWITCHED), json!(false), "TARGETING_MATCH", "off", "enabled", 10_000, 1),
        ("all", None, json!(true), "STATIC", "on", "enabled", 10_000, 7),
        ("off", None, json!(false), "DISABLED", "off", "disabled", 0, 3),
        ("back", Some("user-1"), json!(false), "DISABLED", "off", "rolled_back", 0, 4),
        ("part", Some(inside), json!(true), "SPLIT", "on", "canary", 5_000, 2),
        ("part", Some(outside), json!(false), "SPLIT", "off", "canary", 5_000, 2),
        ("child", Some(inside), json!(true), "STATIC", "on", "enabled", 10_000, 5),
        ("child", Some(outside), json!(false), "SPLIT", "off", "enabled", 10_000, 5),
        ("plugin/web", None, json!("0.1.0"), "STATIC", "0.1.0", "none", 0, 8),
        ("plugin%2Fweb", Some("user-1"), json!("0.1.0"), "STATIC", "0.1.0", "none", 0, 8),
    ];
    for (key, targeting_key, value, reason, variant, status, percent, since) in rows {
        let (code, found) = evaluate(&world, key, targeting_key).await;
        assert_eq!(code, 200, "{key}: {found}");
        let mut metadata = json!({
            "status": status, "percentBp": percent, "since": since,
            "height": BLOCKS, "root": world.node.tip().root.to_string(),
        });
        if key == "child" && value == json!(false) {
            metadata["decidedBy"] = json!("part");
        }
        let expected = json!({
            "key": key.replace("%2F", "/"), "value": value, "reason": reason, "variant": variant, "metadata": metadata,
        });
        assert_eq!(found, expected);
    }
    // A plugin under deployment is routed by the address that a key stands for.
    let (_, found) = evaluate(&world, "plugin/api", Some("user-7")).await;
    let version = world
        .node
        .read(|state| state.route(&"api".parse().unwrap(), &address_of_targeting_key("user-7").0).unwrap().to_string());
    assert_eq!(
        (&found["value"], &found["reason"], &found["metadata"]["percentBp"]),
        (&json!(version), &json!("SPLIT"), &json!(500))
    );
}

#[tokio::test]
async fn failures_are_those_of_the_protocol() {
    let world = World::new();
    let path = "/ofrep/v1/evaluate/flags/on";
    for (key, status, code) in [
        ("none", 404, "FLAG_NOT_FOUND"),
        ("No%20Name", 404, "FLAG_NOT_FOUND"),
        ("pay/v2%20x", 404, "FLAG_NOT_FOUND"),
        ("plugin/none", 404, "FLAG_NOT_FOUND"),
        ("plugin/", 404, "FLAG_NOT_FOUND"),
        ("on", 400, "TARGETING_KEY_MISSING"),
        ("part", 400, "TARGETING_KEY_MISSING"),
        ("child", 400, "TARGETING_KEY_MISSING"),
        ("plugin/api", 400, "TARGETING_KEY_MISSING"),
    ] {
        let (found, failure) = evaluate(&world, key, None).await;
        assert_eq!((found, failure["errorCode"].as_str()), (status, Some(code)), "{key}");
        assert!(failure.get("value").is_none() && failure["errorDetails"].is_string() && failure["key"].is_string());
    }
    for (body, status, code) in [
        ("{", 400, "PARSE_ERROR"),
        ("[]", 400, "PARSE_ERROR"),
        (r#"{"context":[]}"#, 400, "INVALID_CONTEXT"),
        (r#"{"context":{"targetingKey":7}}"#, 400, "INVALID_CONTEXT"),
        ("", 400, "TARGETING_KEY_MISSING"),
        (r#"{"context":null}"#, 400, "TARGETING_KEY_MISSING"),
    ] {
        let answer = world.post_json(path, body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["errorCode"].as_str()), (status, Some(code)), "{body}");
    }
    let huge = format!(r#"{{"context":{{"targetingKey":"{}"}}}}"#, "x".repeat(256 * 1024));
    let answer = world.post_json(path, &huge).await;
    assert_eq!((answer.status.as_u16(), answer.json()["errorCode"].as_str()), (413, Some("GENERAL")));
    assert_eq!(world.post_json("/ofrep/v1/evaluate/flags/", "{}").await.status, 404);
}

async fn bulk(world: &World, query: &str, tag: &str, targeting_key: &str) -> super::web::Answer {
    let body = json!({ "context": { "targetingKey": targeting_key } }).to_string();
    let request = axum::http::Request::post(format!("/ofrep/v1/evaluate/flags{query}"))
        .header("content-type", "application/json")
        .header("if-none-match", tag);
    world.ask(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn all_flags_have_one_tag_which_no_height_changes() {
    let mut world = World::new();
    let first = bulk(&world, "", "", "user-1").await;
    let found = first.json();
    assert_eq!(found["flags"].as_array().unwrap().len(), 8);
    assert_eq!(
        found["metadata"],
        json!({"chain": "test-1", "height": BLOCKS, "root": world.node.tip().root.to_string()})
    );
    assert_eq!(found["eventStreams"], json!([{"type": "sse", "endpoint": {"requestUri": "/ofrep/v1/sse"}}]));
    for flag in found["flags"].as_array().unwrap() {
        assert!(flag["metadata"].get("height").is_none() && flag["metadata"].get("root").is_none(), "{flag}");
        assert!(flag["value"].is_boolean() || flag["value"].is_string(), "{flag}");
    }
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 66, "{tag}");
    assert_eq!(first.header("access-control-expose-headers"), "ETag");

    world.blocks.block().unwrap();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
        let same = bulk(&world, "", &known, "user-1").await;
        assert_eq!((same.status.as_u16(), same.header("etag"), same.text().as_str()), (304, tag.as_str(), ""));
    }
    // Another context, another tag.
    let other = bulk(&world, "", &tag, "user-2").await;
    assert_eq!(other.status, 200);
    assert_ne!(other.header("etag"), tag);
    // A client that knows of another configuration is never told that nothing has changed.
    assert_eq!(
        bulk(&world, "?flagConfigEtag=11-0000000000000000&flagConfigLastModified=0", &tag, "user-1").await.status,
        200
    );
    let root: String = world.node.tip().root.to_string().chars().take(16).collect();
    assert_eq!(bulk(&world, &format!("?flagConfigEtag=10-{root}"), &tag, "user-1").await.status, 304);
    world.tell(r#"{"op":"disable","name":"all"}"#);
    assert_eq!(bulk(&world, "", &tag, "user-1").await.status, 200);

    let nobody = world.post_json("/ofrep/v1/evaluate/flags", "{}").await.json();
    let failures: Vec<&str> = nobody["flags"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|flag| flag.get("errorCode").is_some())
        .map(|flag| flag["key"].as_str().unwrap())
        .collect();
    assert_eq!(failures, ["child", "on", "part", "plugin/api"]);
}

#[tokio::test]
async fn an_event_is_answered_with_its_height_or_a_later_one() {
    let mut world = World::new();
    let router = world.router.clone();
    let asking = tokio::spawn(async move {
        let request =
            axum::http::Request::post("/ofrep/v1/evaluate/flags?flagConfigEtag=11-00").body("{}".into()).unwrap();
        super::web::ask(&router, request).await
    });
    world.settle().await;
    assert!(!asking.is_finished());
    world.tell(r#"{"op":"disable","name":"all"}"#);
    let answer = asking.await.unwrap();
    assert_eq!(answer.header("coalmine-height"), "11");
    let all = answer.json()["flags"].as_array().unwrap().iter().find(|flag| flag["key"] == "all").cloned().unwrap();
    assert_eq!((&all["value"], &all["metadata"]["since"]), (&json!(false), &json!(11)));
}

#[tokio::test]
async fn since_is_that_of_the_history_however_often_it_is_asked() {
    let mut world = World::new();
    for round in 0..3 {
        for (op, height) in [("disable", 11 + 2 * round), ("enable", 12 + 2 * round)] {
            world.tell(&format!(r#"{{"op":"{op}","name":"all"}}"#));
            // Once before the hub has seen it, and twice after.
            for pause in [false, true, true] {
                if pause {
                    world.settle().await;
                }
                let answer = world.post_json("/ofrep/v1/evaluate/flags/all", "{}").await.json();
                assert_eq!(answer["metadata"]["since"], height, "{answer}");
            }
        }
    }
}
