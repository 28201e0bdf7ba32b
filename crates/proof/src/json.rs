//! The file form of a bundle: one JSON object, whose members FORMAT.md lists.
//!
//! Invariant: what is read has one meaning, and no part of it takes more memory decoded than it does
//! as text. The length is checked before anything is read. White space and the order of members are
//! free; members that are unknown, missing or repeated are refused, and so are upper-case hex digits.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use coalmine_core::{ChainId, Height};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use crate::bundle::{Bundle, KeyProof};
use crate::claim::Claim;

const FORMAT: &str = "coalmine-proof/1";

/// The greatest length of a bundle in bytes; [`Bundle::from_json`] looks at nothing longer.
pub const BUNDLE_SIZE_MAX: usize = 64 * 1024 * 1024;

/// Why bytes are not a bundle.
#[derive(Debug, Error)]
pub enum BundleJsonError {
    /// The text is longer than [`BUNDLE_SIZE_MAX`].
    #[error("longer than {BUNDLE_SIZE_MAX} bytes")]
    TooLarge,
    /// The text is not JSON with the members of a bundle.
    #[error("not a bundle: {0}")]
    Malformed(serde_json::Error),
    /// The text is of a format that this build does not know.
    #[error("unknown format {0:?}; this build reads {FORMAT:?}")]
    Format(String),
    /// The kind is unknown, or the members beside it are not those of its kind.
    #[error("chain, feature, plugin, user and unit are not those of kind {0:?}")]
    Kind(String),
    /// The kind is the one of a key, and there is no proof of any.
    #[error("there is no proof in it")]
    Empty,
    /// A member does not have the form of its type.
    #[error("{member}: {problem}")]
    Member {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A proof has a member that does not have the form of its type.
    #[error("proof {index}: {problem}")]
    Proof {
        /// The place of the proof, from 0.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// A bundle as text: every member that a kind can have.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    // Null at the genesis; serde would take a missing member for null.
    #[serde(deserialize_with = "Option::deserialize")]
    height: Option<Height>,
    #[serde(borrow)]
    root: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(borrow)]
    proofs: Vec<Item<'a>>,
}

/// The proof of a key as text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<String>,
    #[serde(borrow)]
    proof: Cow<'a, str>,
}

impl Bundle {
    /// Reads a bundle from JSON. Nothing in it is verified by that.
    ///
    /// # Errors
    ///
    /// [`BundleJsonError`] when the bytes are not those of a bundle.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleJsonError> {
        if bytes.len() > BUNDLE_SIZE_MAX {
            return Err(BundleJsonError::TooLarge);
        }
        let object: Object<'_> = serde_json::from_slice(bytes).map_err(BundleJsonError::Malformed)?;
        if object.format != FORMAT {
            return Err(BundleJsonError::Format(object.format.into()));
        }
        let parse = |(index, item): (usize, &Item<'_>)| {
            KeyProof::try_from(item).map_err(|problem| BundleJsonError::Proof { index, problem })
        };
        let proofs = object.proofs.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        let chain = object.chain.as_deref().map(|text| ChainId::new(text.as_bytes()));
        let chain = chain.transpose().map_err(|error| wrong("chain", error))?;
        let claim = object.claim(&proofs)?;
        Ok(Self { claim, height: object.height, root: canonical("root", &object.root)?, chain, proofs })
    }
}

impl Object<'_> {
    fn claim(&self, proofs: &[KeyProof]) -> Result<Claim, BundleJsonError> {
        let Self { kind, chain, feature, plugin, user, unit, .. } = self;
        match (&**kind, chain, feature, plugin, user, unit) {
            ("key", None, None, None, None, None) => {
                let first = proofs.first().ok_or(BundleJsonError::Empty)?;
                Ok(Claim::Key(first.key.clone()))
            }
            ("feature", None, Some(feature), None, None, None) => Ok(Claim::Feature(canonical("feature", feature)?)),
            ("plugin", None, None, Some(plugin), None, None) => Ok(Claim::Plugin(canonical("plugin", plugin)?)),
            ("is_enabled", Some(_), Some(feature), None, Some(user), None) => {
                Ok(Claim::IsEnabled { feature: canonical("feature", feature)?, user: canonical("user", user)? })
            }
            ("route", Some(_), None, Some(plugin), None, Some(unit)) => {
                let unit = bytes(unit).map_err(|problem| wrong("unit", problem))?;
                Ok(Claim::Route { plugin: canonical("plugin", plugin)?, unit })
            }
            (_, _, _, _, _, _) => Err(BundleJsonError::Kind(kind.to_string())),
        }
    }
}

impl TryFrom<&Item<'_>> for KeyProof {
    type Error = String;

    fn try_from(item: &Item<'_>) -> Result<Self, String> {
        let bytes = |member: &str, text: &str| bytes(text).map_err(|problem| alloc::format!("{member}: {problem}"));
        Ok(Self {
            key: bytes("key", &item.key)?,
            value: item.value.as_deref().map(|value| bytes("value", value)).transpose()?,
            proof: BASE64.decode(&*item.proof).map_err(|error| alloc::format!("wrong base64: {error}"))?,
        })
    }
}

impl Serialize for Bundle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object {
            format: FORMAT.into(),
            kind: "".into(),
            height: self.height,
            root: self.root.to_string().into(),
            chain: self.chain.map(|chain| chain.as_str().into()),
            feature: None,
            plugin: None,
            user: None,
            unit: None,
            proofs: self.proofs.iter().map(Item::from).collect(),
        };
        match &self.claim {
            Claim::Key(_) => object.kind = "key".into(),
            Claim::Feature(name) => {
                object.kind = "feature".into();
                object.feature = Some(name.to_string());
            }
            Claim::Plugin(name) => {
                object.kind = "plugin".into();
                object.plugin = Some(name.to_string());
            }
            Claim::IsEnabled { feature, user } => {
                object.kind = "is_enabled".into();
                object.feature = Some(feature.to_string());
                object.user = Some(user.to_string());
            }
            Claim::Route { plugin, unit } => {
                object.kind = "route".into();
                object.plugin = Some(plugin.to_string());
                object.unit = Some(hex::encode(unit));
            }
        }
        object.serialize(serializer)
    }
}

impl From<&KeyProof> for Item<'_> {
    fn from(KeyProof { key, value, proof }: &KeyProof) -> Self {
        let value = value.as_ref().map(hex::encode);
        Self { key: hex::encode(key).into(), value, proof: BASE64.encode(proof).into() }
    }
}

/// Parses a value that has one text.
fn canonical<T: FromStr<Err: fmt::Display> + ToString>(member: &'static str, text: &str) -> Result<T, BundleJsonError> {
    let value: T = text.parse().map_err(|error| wrong(member, error))?;
    if value.to_string() == text { Ok(value) } else { Err(wrong(member, UPPER_CASE)) }
}

const UPPER_CASE: &str = "hex digits are lower-case";

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let bytes = hex::decode(text).map_err(|error| alloc::format!("wrong hex: {error}"))?;
    if hex::encode(&bytes) == text { Ok(bytes) } else { Err(UPPER_CASE.into()) }
}

fn wrong(member: &'static str, problem: impl fmt::Display) -> BundleJsonError {
    BundleJsonError::Member { member, problem: problem.to_string() }
}
