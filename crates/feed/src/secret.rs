//! Secrets, which must reach neither the state, which is public, nor a log.

use std::fmt;

use sha2::{Digest, Sha256};

/// The shortest salt, in bytes.
pub const SALT_SIZE_MIN: usize = 16;

/// The salt of the hashes of secrets, without which nobody can test keys against the state.
///
/// A host with the salt can find the environment of a given key: it hides the key and looks for the result. Another salt
/// gives other bodies, so it must stay the same for the life of the ledger.
#[derive(Clone)]
pub struct Salt(Vec<u8>);

/// A salt that is too short to be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a salt is at least {SALT_SIZE_MIN} bytes long")]
pub struct SaltError;

impl Salt {
    /// A salt.
    ///
    /// # Errors
    /// Fewer than [`SALT_SIZE_MIN`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, SaltError> {
        let bytes = bytes.into();
        if bytes.len() < SALT_SIZE_MIN { Err(SaltError) } else { Ok(Self(bytes)) }
    }

    /// Replaces a secret for a body: `sha256:`, then the hash of the salt's hash and the secret, in hex. An empty secret
    /// is the same as none and stays empty.
    ///
    /// ```
    /// use coalmine_feed::secret::Salt;
    ///
    /// let salt = Salt::new(*b"sixteen bytes....")?;
    /// assert!(salt.hide("sdk-1234").starts_with("sha256:"));
    /// assert_eq!(salt.hide(""), "");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn hide(&self, secret: &str) -> String {
        if secret.is_empty() {
            return String::new();
        }
        // The first hash has a fixed length, so no other salt and secret concatenate to the same bytes.
        let salt = Sha256::digest(&self.0);
        let hash = Sha256::new().chain_update(salt).chain_update(secret).finalize();
        format!("sha256:{}", hex::encode(hash))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}
