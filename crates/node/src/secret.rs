//! Values that nobody may see: given in the configuration, in a file of their own, or in the environment.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use coalmine_auth::{KeyFileError, read_secret};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

/// Where a secret is. It is neither printed nor written: whoever shows a configuration shows where the secret is, or that
/// there is one.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text, or { file = \"PATH\" }, or { env = \"NAME\" }")]
pub enum Secret {
    /// In the configuration itself.
    Text(String),
    /// In a file that only its owner can read.
    File(InFile),
    /// In a variable of the environment.
    Env(InEnv),
}

/// The file of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InFile {
    /// The path, from the home of the node on.
    pub file: PathBuf,
}

/// The variable of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InEnv {
    /// The name of the variable.
    pub env: String,
}

/// Why a secret is not there. No message contains anything of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Its variable.
    #[error("the variable {0} is not set, or is no text")]
    Env(String),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
}

impl Secret {
    /// Reads the secret, without the spaces and line ends around it.
    ///
    /// # Errors
    /// It is not there, others can read its file, or it is empty.
    pub fn read(&self, home: &Path) -> Result<Zeroizing<String>, SecretError> {
        let text = match self {
            Self::Text(text) => Zeroizing::new(text.clone()),
            Self::File(InFile { file }) => read_secret(&home.join(file))?,
            Self::Env(InEnv { env }) => Zeroizing::new(env::var(env).map_err(|_| SecretError::Env(env.clone()))?),
        };
        let text = Zeroizing::new(text.trim().to_owned());
        if text.is_empty() { Err(SecretError::Empty) } else { Ok(text) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("(hidden)"),
            Self::File(place) => fmt::Debug::fmt(place, f),
            Self::Env(place) => fmt::Debug::fmt(place, f),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(_) => to.serialize_str("(hidden)"),
            Self::File(place) => place.serialize(to),
            Self::Env(place) => place.serialize(to),
        }
    }
}
