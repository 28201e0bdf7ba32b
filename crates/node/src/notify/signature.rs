//! Signatures of Standard Webhooks 1.0: `v1`, an HMAC-SHA256 with a shared secret, and `v1a`, an Ed25519 signature.
//!
//! What is signed is `id.timestamp.body`, so no id may contain a dot.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coalmine_auth::{SecretKey, Signer as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a shared secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// How many bytes a shared secret may have: the bounds of the standard.
const SECRET_SIZE: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a text is no shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook secret is whsec_ and the base64 of 24 to 64 random bytes, such as: echo whsec_$(openssl rand -base64 32)"
)]
pub struct SecretFormat;

/// What signs the messages of a sink. With several shared secrets there are as many signatures, so that a receiver can
/// change from one to the next.
pub(crate) struct Signatures {
    secrets: Vec<Zeroizing<Vec<u8>>>,
    key: Option<SecretKey>,
}

impl Signatures {
    /// Takes shared secrets and a key, any of which may be missing.
    pub(crate) fn new<'s>(
        secrets: impl IntoIterator<Item = &'s str>,
        key: Option<SecretKey>,
    ) -> Result<Self, SecretFormat> {
        Ok(Self { secrets: secrets.into_iter().map(read_shared).collect::<Result<_, _>>()?, key })
    }

    /// The header `webhook-signature`; none if nothing signs.
    pub(crate) fn header(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let mut parts: Vec<String> = Vec::new();
        for secret in &self.secrets {
            // An HMAC takes keys of all lengths.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { continue };
            mac.update(&signed);
            parts.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
        }
        // A key in memory never fails to sign.
        if let Some(Ok(signature)) = self.key.as_ref().map(|key| key.sign(&signed)) {
            parts.push(format!("v1a,{}", STANDARD.encode(signature.0)));
        }
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

fn read_shared(text: &str) -> Result<Zeroizing<Vec<u8>>, SecretFormat> {
    let digits = text.strip_prefix(SECRET_PREFIX).ok_or(SecretFormat)?;
    let bytes = Zeroizing::new(STANDARD.decode(digits).map_err(|_| SecretFormat)?);
    if SECRET_SIZE.contains(&bytes.len()) { Ok(bytes) } else { Err(SecretFormat) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the standard's own documentation and libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn v1_is_that_of_the_standard() {
        let signatures = Signatures::new([SECRET], None).unwrap();
        let header = signatures.header("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(header.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn every_secret_and_the_key_sign() {
        let other = format!("{SECRET_PREFIX}{}", STANDARD.encode([7; 32]));
        let key = SecretKey::from_seed(&[1; 32]);
        let public = key.public_key();
        let signatures = Signatures::new([SECRET, other.as_str()], Some(key)).unwrap();
        let header = signatures.header("1-0", 2, b"body").unwrap();
        let parts: Vec<&str> = header.split(' ').collect();
        assert_eq!(parts.iter().map(|part| part.split(',').next().unwrap()).collect::<Vec<_>>(), ["v1", "v1", "v1a"]);
        let signature = STANDARD.decode(parts[2].trim_start_matches("v1a,")).unwrap().try_into().unwrap();
        assert!(public.verifies(b"1-0.2.body", &coalmine_auth::Signature(signature)));
        assert_eq!(Signatures::new([], None).unwrap().header("1-0", 2, b"body"), None);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let short = format!("{SECRET_PREFIX}{}", STANDARD.encode([7; 23]));
        let long = format!("{SECRET_PREFIX}{}", STANDARD.encode([7; 65]));
        for text in ["", "whsec_", "whsec_?", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &short, &long] {
            assert_eq!(Signatures::new([text], None).err(), Some(SecretFormat), "{text}");
        }
    }
}
