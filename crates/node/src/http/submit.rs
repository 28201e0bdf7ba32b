//! Transactions: taken once, and where they are.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coalmine_core::{Address, Hash};
use coalmine_json::render::{self, Fields, Value};
use serde::Deserialize;

use crate::http::api::{Ask, Reply, WAIT};
use crate::http::body;
use crate::http::problem::{Kind, Problem};
use crate::node::{NotSettled, Submitted, TxState};
use crate::tables::TxRecord;

/// The JSON form of a submission.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    envelope: String,
}

/// Answers `POST /v1/transactions`.
pub(super) async fn submit(ask: Ask, request: Body) -> Result<Reply, Problem> {
    let waits = match ask.params.text("wait") {
        None | Some("none") => false,
        Some("commit") => true,
        Some(other) => {
            return Err(Problem::parameter("wait", format!("{other:?} is not none, which is the default, or commit")));
        }
    };
    let mut envelope = body::read(&ask.headers, request).await?;
    if body::is_json(&ask.headers) {
        let Request { envelope: text } = serde_json::from_slice(&envelope).map_err(Problem::body)?;
        envelope = STANDARD.decode(text).map_err(|error| Problem::body(format!("envelope: no base64: {error}")))?;
    }
    // Signatures are checked on a thread that may take its time.
    let submitted = ask.api.ask(move |node| Ok(node.submit(&envelope)?)).await?;
    let id = match submitted {
        Submitted::Committed(record) => return Reply::fields(committed(&record)),
        Submitted::Pending(id) => id,
    };
    if !waits {
        return Ok(Reply::fields(pending(&id))?.status(202));
    }
    match ask.api.node().settled(id, WAIT).await {
        Ok(record) => Reply::fields(committed(&record)),
        // It may still be committed: whoever asks again, with the same envelope or the id, learns it.
        Err(NotSettled::Pending | NotSettled::Stopping) => Ok(Reply::fields(pending(&id))?.status(202)),
        Err(NotSettled::Gone(Some(refusal))) => Err(refusal.into()),
        Err(NotSettled::Gone(None)) => {
            Err(Problem::new(Kind::Expired, "it has left without a block; ask for its id, or submit it again"))
        }
        Err(NotSettled::Store(error)) => Err(error.into()),
    }
}

fn pending(id: &Hash) -> Fields {
    Fields::new().text("id", id).with("state", "pending")
}

fn committed(record: &TxRecord) -> Fields {
    let TxRecord { id, height, index, receipt, events } = record;
    let (result, rest) = render::receipt(receipt);
    let events = events.iter().map(|event| coalmine_answers::event_with_sentence(event).into()).collect::<Vec<Value>>();
    Fields::new()
        .text("id", id)
        .with("state", "committed")
        .with("height", *height)
        .with("index", *index)
        .and(result)
        .with("code", receipt.code())
        .and(rest)
        .with("events", events)
}

/// Answers `GET /v1/transactions/{id}`.
pub(super) async fn transaction(ask: Ask) -> Result<Reply, Problem> {
    let id: Hash = ask.path("id").parse().map_err(|error| Problem::parameter("id", error))?;
    let found = ask.api.ask(move |node| Ok(node.transaction(&id)?)).await?;
    Reply::fields(match found {
        TxState::Pending => pending(&id),
        TxState::Committed(record) => committed(&record),
        TxState::Unknown(refusal) => {
            let why = refusal.map(|refusal| refusal.to_string());
            Fields::new().text("id", id).with("state", "unknown").with("why", why)
        }
    })
}

/// Answers `GET /v1/sequence/{address}`.
pub(super) async fn sequence(ask: Ask) -> Result<Reply, Problem> {
    let address: Address = ask.path("address").parse().map_err(|error| Problem::parameter("address", error))?;
    let sequences = ask.api.node().sequence(&address);
    Reply::fields(Fields::new().text("address", address).with("last", sequences.last).with("next", sequences.next))
}
