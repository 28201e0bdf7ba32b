//! How the node is.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coalmine_answers as answers;
use coalmine_json::render::{Fields, Value};

use crate::http::api::{Api, Ask, JSON, Reply};
use crate::http::problem::Problem;
use crate::node::Health;

/// The version of this build.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Answers `GET /v1/status`.
pub(super) async fn status(ask: Ask) -> Result<Reply, Problem> {
    let node = ask.api.node();
    let (health, reasons) = (node.health(), not_ready(&ask.api));
    let age = u64::try_from(health.last_height_age.as_millis()).unwrap_or(u64::MAX);
    let (fields, height) = ask.api.state(|state, height| {
        let rules = answers::rules(state.global(), &state.scheduled_rules()).fields();
        let fields = Fields::new()
            .with("chain", state.global().chain.as_str())
            .text("genesis", node.domain().genesis())
            .with("height", height)
            .text("root", state.root())
            .with("rules", rules)
            .with("features", count(state.feature_count()))
            .with("plugins", count(state.plugin_count()));
        (fields, height)
    });
    let engine = Fields::new()
        .with("name", health.engine)
        .with("is_ready", reasons.is_empty())
        .with("reasons", reasons.into_iter().map(Value::from).collect::<Vec<Value>>())
        .with("is_accepting", health.accepting)
        .with("last_height_age_ms", age);
    let key = ask.api.options().signer.as_ref().map(|signer| hex::encode(signer.public_key().0));
    let fields = fields
        .with("engine", engine)
        .with("peers", Vec::new())
        .with("pending", count(node.pending()))
        .with("oldest", node.oldest_outcome())
        .with("key", key)
        .with("version", VERSION);
    Ok(Reply::fields(fields)?.at(height))
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Why the node is not ready; nothing if it is.
pub(super) fn not_ready(api: &Api) -> Vec<String> {
    let Health { last_height_age, mut reasons, .. } = api.node().health();
    let max = api.options().height_age_max;
    if last_height_age > max {
        let (age, max) = (last_height_age.as_secs(), max.as_secs());
        reasons.push(format!("the last height is {age} s old, and more than {max} s is too old"));
    }
    reasons
}

/// Answers `GET /livez`: that this is answered is all that it says. It asks nothing that may block.
pub(super) async fn livez() -> Response {
    Reply::of_type(JSON, br#"{"status":"ok"}"#.to_vec()).into_response()
}

/// Answers `GET /readyz`.
pub(super) async fn readyz(State(api): State<Api>) -> Result<Reply, Problem> {
    let reasons = not_ready(&api);
    let (status, word) = if reasons.is_empty() { (200, "ok") } else { (503, "not ready") };
    let reasons = reasons.into_iter().map(Value::from).collect::<Vec<Value>>();
    Ok(Reply::fields(Fields::new().with("status", word).with("reasons", reasons))?.status(status))
}
