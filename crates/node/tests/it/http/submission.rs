//! Transactions are taken once, and every refusal says why.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coalmine_auth::Envelope;
use coalmine_core::{Encode as _, Sequence, Transaction};
use coalmine_node::testing::{self, address, key, running};
use coalmine_node::{Limits, Options as NodeOptions};
use serde_json::{Value, json};

use super::web::{Answer, World, options, signed_by};

const BINARY: &str = "application/octet-stream";
const CREATE: &str = r#"{"op":"create_feature","name":"new","description":""}"#;

async fn submit(world: &World, envelope: &[u8]) -> Answer {
    world.post("/v1/transactions", BINARY, envelope.to_vec()).await
}

#[tokio::test]
async fn an_envelope_is_taken_once_and_its_answer_stays() {
    let mut world = World::empty();
    let envelope = world.signed(CREATE);
    let first = submit(&world, &envelope).await;
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((first.status.as_u16(), &first.json()["state"]), (202, &json!("pending")));
    // In the other form, it is the same.
    let body = json!({ "envelope": STANDARD.encode(&envelope) }).to_string();
    let again = world.post_json("/v1/transactions", &body).await;
    assert_eq!((again.status.as_u16(), again.json()), (202, first.json()));
    assert_eq!(world.found(&format!("/v1/transactions/{id}")).await["state"], "pending");
    let sequence = world.found(&format!("/v1/sequence/{}", address(&key(1)))).await;
    assert_eq!((&sequence["last"], &sequence["next"]), (&json!(0), &json!(2)));

    world.blocks.block().unwrap();
    let committed = world.found(&format!("/v1/transactions/{id}")).await;
    assert_eq!(committed["state"], "committed");
    assert_eq!(
        (&committed["height"], &committed["index"], &committed["result"], &committed["code"]),
        (&json!(1), &json!(0), &json!("ok"), &json!(0))
    );
    assert_eq!(committed["events"][0]["event"], "feature_created");
    world.blocks.block().unwrap();
    let after = submit(&world, &envelope).await;
    assert_eq!((after.status.as_u16(), after.json()), (200, committed));
    assert_eq!(world.node.outcomes(0, 10).unwrap().len(), 1);
    let unknown = world.found(&format!("/v1/transactions/{}", "0".repeat(64))).await;
    assert_eq!((&unknown["state"], &unknown["why"]), (&json!("unknown"), &Value::Null));
}

#[tokio::test]
async fn a_transaction_that_a_block_rejects_says_so() {
    let mut world = World::new();
    let envelope = world.signed(r#"{"op":"enable","name":"none"}"#);
    submit(&world, &envelope).await;
    world.blocks.block().unwrap();
    let answer = submit(&world, &envelope).await;
    assert_eq!(answer.status, 200);
    let found = answer.json();
    assert_eq!(
        (&found["result"], &found["code"], &found["command"]),
        (&json!("feature_not_found"), &json!(3), &json!(0))
    );
}

#[tokio::test]
async fn whoever_waits_learns_what_has_become_of_it() {
    let running = running(&testing::genesis(), NodeOptions::default(), std::time::Duration::from_millis(10));
    let router = coalmine_node::http::router(running.node().clone(), options());
    let envelope = signed_by(running.node(), &key(1), 1, CREATE);
    let request = axum::http::Request::post("/v1/transactions?wait=commit").body(envelope.into()).unwrap();
    let answer = super::web::ask(&router, request).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &json!("committed")));
    // Read your own writes.
    let path = format!("/v1/features/new?min_height={}", answer.json()["height"]);
    let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    assert_eq!(super::web::ask(&router, request).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_has_the_id() {
    let mut world = World::empty();
    let envelope = world.signed(CREATE);
    let answer = world.post("/v1/transactions?wait=commit", BINARY, envelope).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (202, &json!("pending")));
}

/// A body, the status, the name of the problem, and the reject.
type Refused<'r> = (Vec<u8>, u16, &'r str, Option<(&'r str, u16)>);

#[tokio::test]
async fn what_is_not_taken_says_why() {
    let mut world = World::new();
    let good = world.signed(CREATE);
    let other_chain = {
        let genesis =
            coalmine_core::Genesis::new("other", [(address(&key(1)), coalmine_core::Role::Admin.into())]).unwrap();
        let (node, _blocks) = testing::manual(&genesis, NodeOptions::default());
        signed_by(&node, &key(1), 50, CREATE)
    };
    let expired = {
        let commands = coalmine_json::read_commands(CREATE).unwrap();
        let tx = Transaction::new(address(&key(1)), commands).unwrap();
        let tx = tx.with_sequence(Sequence { number: 60, valid_until: std::num::NonZeroU32::new(3) });
        Envelope::sign(world.node.domain(), &tx, &key(1)).unwrap().to_bytes()
    };
    let mut forged = world.signed(CREATE);
    *forged.last_mut().unwrap() ^= 1;
    let rows: &[Refused<'_>] = &[
        (Vec::new(), 400, "malformed", Some(("malformed", 1))),
        (vec![0; 100], 400, "malformed", Some(("malformed", 1))),
        (good[..good.len() - 1].to_vec(), 400, "malformed", Some(("malformed", 1))),
        (vec![1; 256 * 1024 + 1], 413, "too_large", None),
        (forged, 400, "bad_signature", Some(("malformed", 1))),
        (other_chain, 400, "bad_signature", Some(("malformed", 1))),
        (signed_by(&world.node, &key(2), 1, CREATE), 403, "unauthorized", Some(("unauthorized", 2))),
        (signed_by(&world.node, &key(1), 3, CREATE), 409, "bad_sequence", Some(("bad_sequence", 24))),
        (expired, 409, "expired", Some(("expired", 25))),
        (
            signed_by(
                &world.node,
                &key(1),
                70,
                &format!(
                    r#"{{"op":"grant_role","address":"{}","role":"operator"}}"#,
                    coalmine_auth::SMALL_ORDER[0].address()
                ),
            ),
            403,
            "reserved_address",
            None,
        ),
    ];
    for (body, status, name, reject) in rows {
        let answer = submit(&world, body).await;
        let problem = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &problem["type"]),
            (*status, &json!(format!("urn:coalmine:problem:{name}"))),
            "{problem}"
        );
        let found = problem.get("reject").map(|reject| (reject.as_str().unwrap(), problem["code"].as_u64().unwrap()));
        assert_eq!(found, reject.map(|(name, code)| (name, u64::from(code))), "{name}");
    }
    assert_eq!(world.node.pending(), 0);
    for (path, body, detail) in [
        ("/v1/transactions", "{", "EOF"),
        ("/v1/transactions", r#"{"envelope":"***"}"#, "base64"),
        ("/v1/transactions", r#"{"envelope":"AQ==","x":1}"#, "unknown field"),
        ("/v1/transactions?wait=forever", r#"{"envelope":"AQ=="}"#, "commit"),
    ] {
        let answer = world.post_json(path, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(detail), "{}", answer.text());
    }
    // The envelope that was good all along is still taken.
    assert_eq!(submit(&world, &good).await.status, 202);
}

#[tokio::test]
async fn a_full_pool_asks_to_come_back() {
    let limits = |limits| NodeOptions { limits, ..NodeOptions::default() };
    let one_signer = Limits { per_signer: 1, ..Limits::default() };
    let one = Limits { transactions: 1, ..Limits::default() };
    for (limits, status, name) in [(limits(one_signer), 429, "signer_full"), (limits(one), 503, "full")] {
        let mut world = World::with(options(), limits);
        for (expected, name) in [(202, ""), (status, name)] {
            let envelope = world.signed(CREATE);
            let answer = submit(&world, &envelope).await;
            assert_eq!(answer.status.as_u16(), expected, "{}", answer.text());
            if expected != 202 {
                assert_eq!(answer.header("retry-after"), "1");
                assert_eq!(answer.json()["type"], format!("urn:coalmine:problem:{name}"));
            }
        }
    }
    let mut world = World::empty();
    let envelope = world.signed(CREATE);
    world.node.begin_stop();
    let answer = submit(&world, &envelope).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (503, &json!("urn:coalmine:problem:not_accepting")));
}
