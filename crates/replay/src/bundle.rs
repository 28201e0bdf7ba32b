//! Bundles of proofs: what a root says about a key, a feature, a plugin, or an answer, for somebody without a store.
//!
//! A bundle is one JSON object. Verifying it trusts nothing in it but what a proof shows under the
//! root that the verifier brings along: the answer of [`Claim::IsEnabled`] is evaluated from proven
//! records alone, and a bundle must have exactly the proofs that its claim needs. The height is the
//! word of the prover, because it is not part of the state.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use coalmine_core::query::{self, Entry, Visit};
use coalmine_core::{Address, ChainId, Encode, Fault, Hash, Height, Key, Name, Read, Verdict};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::source::Loaded;

const FORMAT: &str = "coalmine-proof/1";
/// The longest file that is read, in bytes.
const SIZE_MAX: u64 = 64 * 1024 * 1024;

/// What is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The value of a key, or its absence.
    Key(Vec<u8>),
    /// The record of a feature, or its absence.
    Feature(Name),
    /// The record of a plugin, or its absence.
    Plugin(Name),
    /// Whether a feature is on for a user.
    IsEnabled(Name, Address),
}

/// A bundle, as it stands in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    format: String,
    kind: Kind,
    #[serde(deserialize_with = "Option::deserialize")]
    height: Option<Height>,
    root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    proofs: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Key,
    Feature,
    Plugin,
    IsEnabled,
}

/// A key, its value or null, and the proof of that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    key: String,
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<String>,
    proof: String,
}

/// What a bundle proves.
#[derive(Debug)]
pub struct Proven {
    /// What was claimed, and holds.
    pub claim: Claim,
    /// The root under which it holds.
    pub root: Hash,
    records: ProvenRecords,
}

impl Proven {
    /// The value of a key that the bundle is about.
    pub(crate) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.0.get(key).and_then(|value| value.as_deref())
    }

    /// The id of the ledger and the answer, from proven records alone.
    pub(crate) fn verdict(&self, name: &Name, user: &Address) -> Result<(ChainId, Verdict), Error> {
        let global =
            query::global(&self.records).map_err(refused)?.ok_or_else(|| wrong("there is no global record"))?;
        let verdict = query::check(&self.records, name, user).map_err(refused)?;
        Ok((global.chain, verdict))
    }
}

impl Bundle {
    /// Proves a claim about a state.
    pub(crate) fn prove(claim: &Claim, loaded: &Loaded) -> Result<Self, Error> {
        let (kind, keys) = match claim {
            Claim::Key(key) => (Kind::Key, vec![key.clone()]),
            Claim::Feature(name) => (Kind::Feature, vec![Key::Feature(*name).to_bytes()]),
            Claim::Plugin(name) => (Kind::Plugin, vec![Key::Plugin(*name).to_bytes()]),
            Claim::IsEnabled(name, user) => (Kind::IsEnabled, keys_of_answer(loaded, name, user)?),
        };
        let mut bundle = Self {
            format: FORMAT.into(),
            kind,
            height: loaded.state().tip(),
            root: loaded.state().root().to_string(),
            chain: None,
            feature: None,
            plugin: None,
            user: None,
            proofs: keys.iter().map(|key| Item::prove(key, loaded)).collect::<Result<_, _>>()?,
        };
        match claim {
            Claim::Key(_) => {}
            Claim::Feature(name) => bundle.feature = Some(name.to_string()),
            Claim::Plugin(name) => bundle.plugin = Some(name.to_string()),
            Claim::IsEnabled(name, user) => {
                bundle.chain = Some(loaded.state().global().chain.as_str().into());
                bundle.feature = Some(name.to_string());
                bundle.user = Some(user.to_string());
            }
        }
        Ok(bundle)
    }

    /// Reads a bundle and checks everything in it against a root.
    ///
    /// # Errors
    /// What does not hold, or cannot be read.
    pub fn verify(input: impl io::Read, root: Hash) -> Result<Proven, Error> {
        let mut bytes = Vec::new();
        let read = input.take(SIZE_MAX.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Error::Input(format!("cannot be read: {error}")))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > SIZE_MAX {
            return Err(wrong(format!("longer than {SIZE_MAX} bytes")));
        }
        let bundle: Self = serde_json::from_slice(&bytes).map_err(|error| wrong(format!("not a bundle: {error}")))?;
        if bundle.format != FORMAT {
            return Err(wrong(format!("unknown format {:?}; this build reads {FORMAT:?}", bundle.format)));
        }
        if bundle.root != root.to_string() {
            return Err(wrong(format!("it is about root {}, not {root}", bundle.root)));
        }
        let mut records = ProvenRecords(BTreeMap::new());
        for (index, item) in bundle.proofs.iter().enumerate() {
            let (key, value) = item.verify(&root).map_err(|error| error.at(format!("proof {index}")))?;
            if records.0.insert(key, value).is_some() {
                return Err(wrong(format!("proof {index}: the key is there twice")));
            }
        }
        let claim = bundle.claim(&records)?;
        let needed: BTreeSet<Vec<u8>> = match &claim {
            Claim::Key(key) => [key.clone()].into(),
            Claim::Feature(name) => [Key::Feature(*name).to_bytes()].into(),
            Claim::Plugin(name) => [Key::Plugin(*name).to_bytes()].into(),
            Claim::IsEnabled(name, user) => {
                keys_of_answer(&records, name, user).map_err(refused)?.into_iter().collect()
            }
        };
        if !needed.iter().eq(records.0.keys()) {
            return Err(wrong("its proofs are not exactly the ones that its claim needs"));
        }
        let proven = Proven { claim, root, records };
        if let Claim::IsEnabled(name, user) = &proven.claim {
            let (chain, _) = proven.verdict(name, user)?;
            if bundle.chain.as_deref() != Some(chain.as_str()) {
                return Err(wrong(format!("the chain is {:?}", chain.as_str())));
            }
        }
        Ok(proven)
    }

    fn claim(&self, records: &ProvenRecords) -> Result<Claim, Error> {
        let name = |what: &str, text: &str| text.parse::<Name>().map_err(|error| wrong(format!("{what}: {error}")));
        let Self { kind, chain, feature, plugin, user, .. } = self;
        match (kind, chain, feature, plugin, user) {
            (Kind::Key, None, None, None, None) => match records.0.keys().next() {
                Some(key) => Ok(Claim::Key(key.clone())),
                None => Err(wrong("there is no proof in it")),
            },
            (Kind::Feature, None, Some(feature), None, None) => Ok(Claim::Feature(name("feature", feature)?)),
            (Kind::Plugin, None, None, Some(plugin), None) => Ok(Claim::Plugin(name("plugin", plugin)?)),
            (Kind::IsEnabled, Some(_), Some(feature), None, Some(user)) => {
                let address: Address = user.parse().map_err(|error| wrong(format!("user: {error}")))?;
                if address.to_string() != *user {
                    return Err(wrong("user: hex digits are lower-case"));
                }
                Ok(Claim::IsEnabled(name("feature", feature)?, address))
            }
            (Kind::Key | Kind::Feature | Kind::Plugin | Kind::IsEnabled, _, _, _, _) => {
                Err(wrong("chain, feature, plugin and user are not those of its kind"))
            }
        }
    }
}

impl Item {
    fn prove(key: &[u8], loaded: &Loaded) -> Result<Self, Error> {
        let proof = coalmine_proof::prove(loaded.state().tree(), key, |key| loaded.get(key).map_err(Error::from))?;
        let value = loaded.get(key)?;
        Ok(Self { key: hex::encode(key), value: value.map(hex::encode), proof: BASE64.encode(proof) })
    }

    /// The key, and the value that is proven, which must be the one that is claimed.
    fn verify(&self, root: &Hash) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let key = canonical_hex("key", &self.key)?;
        let claimed = self.value.as_deref().map(|value| canonical_hex("value", value)).transpose()?;
        let proof = BASE64.decode(&self.proof).map_err(|error| wrong(format!("wrong base64: {error}")))?;
        let proven =
            coalmine_proof::verify(&root.0, &key, &proof).map_err(|error| Error::Differs(error.to_string()))?;
        if proven == claimed { Ok((key, proven)) } else { Err(wrong("it shows another value than the one beside it")) }
    }
}

fn canonical_hex(what: &str, text: &str) -> Result<Vec<u8>, Error> {
    let bytes = hex::decode(text).map_err(|error| wrong(format!("{what}: wrong hex: {error}")))?;
    if hex::encode(&bytes) == text { Ok(bytes) } else { Err(wrong(format!("{what}: hex digits are lower-case"))) }
}

/// A bundle that does not prove what it says is no bad input: what it claims did not hold.
fn wrong(message: impl Into<String>) -> Error {
    Error::Differs(message.into())
}

fn refused(fault: Fault) -> Error {
    wrong(fault.to_string())
}

/// Every key on which an answer can depend: the global record, and of the feature and everything it
/// rests on the record, the policy and the user's switch, whether they are there or not.
fn keys_of_answer(source: &impl Read, name: &Name, user: &Address) -> Result<Vec<Vec<u8>>, Fault> {
    let mut keys = vec![Key::Global.to_bytes()];
    let mut seen = BTreeSet::new();
    let mut open = vec![*name];
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            let of_feature = [Key::Feature(name), Key::Policy(name), Key::Override { name, user: *user }];
            keys.extend(of_feature.iter().map(Encode::to_bytes));
            open.extend(query::policy(source, &name)?.prerequisites);
        }
    }
    Ok(keys)
}

/// Proven records, present or absent. What is not proven is an error and never "not there".
#[derive(Debug)]
struct ProvenRecords(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

#[derive(Debug, thiserror::Error)]
#[error("the bundle has no proof for key {0}")]
struct NotProven(String);

fn not_proven(key: &[u8]) -> Fault {
    Fault::store(NotProven(hex::encode(key)))
}

impl Read for ProvenRecords {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.0.get(key).cloned().ok_or_else(|| not_proven(key))
    }

    fn scan(&self, start: &[u8], _end: &[u8], _visit: &mut Visit<'_>) -> Result<(), Fault> {
        Err(not_proven(start))
    }

    fn last(&self, start: &[u8], _end: &[u8]) -> Result<Option<Entry>, Fault> {
        Err(not_proven(start))
    }
}
