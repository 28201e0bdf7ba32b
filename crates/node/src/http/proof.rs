//! Proofs: bundles of the tool, and who says that their root is that of a height.

use coalmine_core::{Address, Height, State};
use coalmine_json::render::{Fields, Value};
use coalmine_proof::{Bundle, Claim};
use serde::Serialize;

use crate::database::Snapshot;
use crate::http::api::{Api, Ask, Reply};
use crate::http::params::name;
use crate::http::problem::Problem;

/// The longest key that is proven.
const KEY_MAX: usize = 1_024;

/// A bundle, and the word of the node for its root.
#[derive(Serialize)]
struct Proof {
    bundle: Bundle,
    /// Who verifies trusts this key. Without one there is nothing but the root itself to compare.
    attestation: Option<Fields>,
}

/// Answers `GET /v1/proof/is-enabled`.
pub(super) async fn is_enabled(ask: Ask) -> Result<Reply, Problem> {
    let feature = name(&ask.params.need::<String>("feature")?)?;
    let user: Address = ask.params.need("user")?;
    proven(&ask, Claim::IsEnabled { feature, user }).await
}

/// Answers `GET /v1/proof/route`.
pub(super) async fn route(ask: Ask) -> Result<Reply, Problem> {
    let plugin = name(&ask.params.need::<String>("plugin")?)?;
    let unit = coalmine_answers::unit_from_text(&ask.params.need::<String>("unit")?);
    let unit = unit.map_err(|error| Problem::parameter("unit", error))?;
    proven(&ask, Claim::Route { plugin, unit }).await
}

/// Answers `GET /v1/proof/key/{hex}`.
pub(super) async fn key(ask: Ask) -> Result<Reply, Problem> {
    let key = hex::decode(ask.path("hex")).map_err(|error| Problem::parameter("hex", error))?;
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(Problem::parameter("hex", format!("a key has 1 to {KEY_MAX} bytes")));
    }
    proven(&ask, Claim::Key(key)).await
}

async fn proven(ask: &Ask, claim: Claim) -> Result<Reply, Problem> {
    let prove = move |state: &State, records: &Snapshot<'_>, height: Option<Height>| {
        let bundle = Bundle::prove(claim.clone(), state, records).map_err(|error| Problem::fault(&error))?;
        // Heights at which nothing has happened have the same root.
        Ok(Bundle { height, ..bundle })
    };
    let bundle = ask.api.prove(prove).await?;
    let height = bundle.height;
    let attestation = attestation(&ask.api, &bundle)?;
    Ok(Reply::json(&Proof { bundle, attestation })?.at(height))
}

/// What the node signs: that the root of a height of this ledger is this one.
fn attestation(api: &Api, bundle: &Bundle) -> Result<Option<Fields>, Problem> {
    let (Some(signer), Some(height)) = (&api.options().signer, bundle.height) else { return Ok(None) };
    let (genesis, domain) = (api.node().genesis(), api.node().domain());
    let signature = signer.sign(&domain.root_bytes(height, &bundle.root)).map_err(|error| Problem::fault(&error))?;
    let fields = Fields::new()
        .with("chain", genesis.chain().as_str())
        .text("genesis", domain.genesis())
        .with("height", Value::from(height))
        .text("root", bundle.root)
        .with("key", hex::encode(signer.public_key().0))
        .with("signature", hex::encode(signature.0));
    Ok(Some(fields))
}
