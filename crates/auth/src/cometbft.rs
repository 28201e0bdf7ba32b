//! The key files of CometBFT: `priv_validator_key.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::key::{PublicKey, SecretKey, Signer as _};

/// Why a text is no key of CometBFT. No message contains anything of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is no such JSON.
    #[error("this is no priv_validator_key.json: line {line}, column {column}")]
    Json {
        /// Where it is wrong.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// A key of another kind.
    #[error("{field} is a {found}, not a {expected}")]
    Kind {
        /// Which key.
        field: &'static str,
        /// Its kind.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A value that is no base64 of the right length.
    #[error("the value of {field} is no base64 of {len} bytes")]
    Value {
        /// Which key.
        field: &'static str,
        /// How long it should be.
        len: usize,
    },
    /// Parts that contradict each other.
    #[error("{0} is not that of priv_key")]
    Contradiction(&'static str),
}

const PRIVATE: &str = "tendermint/PrivKeyEd25519";
const PUBLIC: &str = "tendermint/PubKeyEd25519";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    address: String,
    pub_key: Tagged,
    priv_key: Tagged,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tagged {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl Drop for Tagged {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

/// Reads the key of a `priv_validator_key.json`.
///
/// # Errors
/// It is none, or its address or public key is not that of its secret key.
pub fn from_cometbft(json: &str) -> Result<SecretKey, ImportError> {
    let file: File =
        serde_json::from_str(json).map_err(|error| ImportError::Json { line: error.line(), column: error.column() })?;
    let secret: Zeroizing<[u8; 64]> = value("priv_key", PRIVATE, &file.priv_key)?;
    let public: Zeroizing<[u8; 32]> = value("pub_key", PUBLIC, &file.pub_key)?;
    let mut seed = Zeroizing::new([0; 32]);
    seed.iter_mut().zip(secret.iter()).for_each(|(byte, from)| *byte = *from);
    let key = SecretKey::from_seed(&seed);
    let PublicKey(expected) = key.public_key();
    if secret.iter().skip(32).ne(expected.iter()) {
        return Err(ImportError::Contradiction("the second half of the value"));
    }
    if *public != expected {
        return Err(ImportError::Contradiction("pub_key"));
    }
    if !file.address.eq_ignore_ascii_case(&address(&key)) {
        return Err(ImportError::Contradiction("address"));
    }
    Ok(key)
}

fn value<const N: usize>(
    field: &'static str,
    expected: &'static str,
    tagged: &Tagged,
) -> Result<Zeroizing<[u8; N]>, ImportError> {
    if tagged.kind != expected {
        return Err(ImportError::Kind { field, found: tagged.kind.clone(), expected });
    }
    let wrong = ImportError::Value { field, len: N };
    let bytes = Zeroizing::new(STANDARD.decode(&tagged.value).map_err(|_| wrong.clone())?);
    let array: [u8; N] = bytes.as_slice().try_into().map_err(|_| wrong)?;
    Ok(Zeroizing::new(array))
}

/// The address as CometBFT writes it.
fn address(key: &SecretKey) -> String {
    hex::encode_upper(key.public_key().address().0)
}

/// Writes a key as CometBFT does: indented by two spaces, without a line end.
#[must_use]
pub fn to_cometbft(key: &SecretKey) -> Zeroizing<String> {
    let PublicKey(public) = key.public_key();
    let mut secret = Zeroizing::new(Vec::with_capacity(64));
    secret.extend_from_slice(&*key.seed());
    secret.extend_from_slice(&public);
    let tagged = |kind: &str, value: String| Tagged { kind: kind.into(), value };
    let file = File {
        address: address(key),
        pub_key: tagged(PUBLIC, STANDARD.encode(public)),
        priv_key: tagged(PRIVATE, STANDARD.encode(&*secret)),
    };
    // Texts are always JSON.
    Zeroizing::new(serde_json::to_string_pretty(&file).unwrap_or_default())
}
