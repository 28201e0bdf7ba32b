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
