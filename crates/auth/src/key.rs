//! Keys and signatures.

use core::fmt;
use core::str::FromStr;

use coalmine_core::Address;
use ed25519::KeypairBytes;
use ed25519::pkcs8::DecodePrivateKey as _;
use ed25519::pkcs8::spki::der::pem::LineEnding;
use ed25519_zebra::{SigningKey, VerificationKey};
use zeroize::{Zeroize as _, Zeroizing};

use crate::address::address_of;

/// Why something is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A text that is no public key.
    #[error("a public key is 64 hex digits, with 0x before them or without")]
    PublicText,
    /// A text that is no secret key.
    #[error("this is no PKCS#8 PEM of an Ed25519 key, as openssl genpkey -algorithm ed25519 makes it")]
    Pem,
    /// The system has no randomness.
    #[error("the system gives no randomness: {0}")]
    Random(String),
}

/// An Ed25519 public key: 32 bytes, which need not be a point of the curve. No signature is good for one that is not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The address of the key's owner.
    #[must_use]
    pub fn address(&self) -> Address {
        address_of(&self.0)
    }

    /// Whether the signature is one of this key over the message, by the rules of ZIP-215.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_zebra::Signature::from_bytes(&signature.0);
        VerificationKey::try_from(self.0).is_ok_and(|key| key.verify(&signature, message).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut key = [0; 32];
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode_to_slice(digits, &mut key).map_err(|_| KeyError::PublicText)?;
        Ok(Self(key))
    }
}

/// An Ed25519 signature: the 64 bytes of RFC 8032.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Why a signer has not signed.
#[derive(Debug, thiserror::Error)]
#[error("the signer of key {key} has failed: {cause}")]
pub struct SignerError {
    /// The key that should have signed.
    pub key: PublicKey,
    /// What went wrong.
    pub cause: Box<dyn core::error::Error + Send + Sync>,
}

/// Something that signs for one key: a key in memory, or a device that keeps it.
pub trait Signer {
    /// The key that it signs for.
    fn public_key(&self) -> PublicKey;

    /// Signs a message.
    ///
    /// # Errors
    /// The signer is not there, or refuses. A key in memory never does.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError>;
}

/// An Ed25519 secret key. It is overwritten when it is dropped, and neither printed nor compared.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Makes a new key from the randomness of the system.
    ///
    /// # Errors
    /// The system has none.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|error| KeyError::Random(error.to_string()))?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a seed, which RFC 8032 calls the private key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from(*seed))
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Reads a PKCS#8 PEM, in which a public key, if there is one, must be that of the secret one.
    ///
    /// # Errors
    /// The text is none.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        // Blank lines and spaces around it come from copying; what is before or behind the block is refused. The reader of
        // zebra itself is not used, since it panics on DER that is none.
        let mut pair = KeypairBytes::from_pkcs8_pem(pem.trim()).map_err(|_| KeyError::Pem)?;
        let key = Self::from_seed(&pair.secret_key);
        pair.secret_key.zeroize();
        match pair.public_key {
            Some(public) if public.0 != key.public_key().0 => Err(KeyError::Pem),
            Some(_) | None => Ok(key),
        }
    }

    /// The PKCS#8 PEM of the key, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// Never, as far as is known: the library may refuse.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0.to_pkcs8_pem_v1(LineEnding::LF).map_err(|_| KeyError::Pem)
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        PublicKey(VerificationKey::from(&self.0).into())
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(Signature(self.0.sign(message).to_bytes()))
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public_key())
    }
}
