//! Addresses: the first 20 bytes of a SHA-256.

use coalmine_core::Address;
use sha2::{Digest as _, Sha256};

/// The address of what is hashed: of a public key, as Tendermint makes it, so that a CometBFT key has one address
/// everywhere; of a multisignature, of its own preimage.
#[must_use]
pub fn address_of(preimage: &[u8]) -> Address {
    let hash: [u8; 32] = Sha256::digest(preimage).into();
    let mut address = Address::ZERO;
    address.0.iter_mut().zip(hash).for_each(|(byte, from)| *byte = from);
    address
}

/// What targeting keys are hashed with.
const TARGETING: &[u8] = b"coalmine/targeting/1";

/// The address that a targeting key stands for, as OpenFeature's clients send one: `0x` and 40 hex digits are that address,
/// any other text is hashed.
///
/// It decides who is in which bucket, so it never changes; `fixtures/vectors/targeting.json` has what it gives.
///
/// ```
/// use coalmine_auth::address_of_targeting_key;
///
/// let address = "0x1111111111111111111111111111111111111111";
/// assert_eq!(address_of_targeting_key(address).to_string(), address);
/// assert_ne!(address_of_targeting_key("user-1"), address_of_targeting_key("user-2"));
/// ```
#[must_use]
pub fn address_of_targeting_key(key: &str) -> Address {
    key.parse().unwrap_or_else(|_| address_of(&[TARGETING, key.as_bytes()].concat()))
}
