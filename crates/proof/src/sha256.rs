//! The hash functions that `ics23` is given: SHA-256, and no other.

use coalmine_core::tree::Hash32;
use ics23::HostFunctionsProvider;
use sha2::{Digest, Sha256};

/// SHA-256 for `ics23`, so that none of the other hash functions it knows has to be linked.
///
/// Nothing asks for those: `verify` refuses every operation but SHA-256 before `ics23` sees a proof,
/// and so does `ics23` itself by the spec. An answer of zeros is the hash of no bytes that anybody
/// knows, so even a question that slipped through would verify nothing.
pub(crate) struct Sha256Only;

/// Computes SHA-256.
pub(crate) fn sha256(message: &[u8]) -> Hash32 {
    Sha256::digest(message).into()
}

impl HostFunctionsProvider for Sha256Only {
    fn sha2_256(message: &[u8]) -> [u8; 32] {
        sha256(message)
    }

    fn sha2_512(_: &[u8]) -> [u8; 64] {
        [0; 64]
    }

    fn sha2_512_truncated(_: &[u8]) -> [u8; 32] {
        [0; 32]
    }

    fn keccak_256(_: &[u8]) -> [u8; 32] {
        [0; 32]
    }

    fn ripemd160(_: &[u8]) -> [u8; 20] {
        [0; 20]
    }

    fn blake2b_512(_: &[u8]) -> [u8; 64] {
        [0; 64]
    }

    fn blake2s_256(_: &[u8]) -> [u8; 32] {
        [0; 32]
    }

    fn blake3(_: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use ics23::{CommitmentProof, ExistenceProof, HashOp, HostFunctionsManager, InnerOp};

    use super::*;
    use crate::spec;

    #[test]
    fn sha256_is_that_of_ics23() {
        for len in [0, 1, 31, 32, 55, 56, 63, 64, 65, 119, 120, 4_096] {
            let message: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            assert_eq!(Sha256Only::sha2_256(&message), HostFunctionsManager::sha2_256(&message), "{len} bytes");
        }
    }

    /// The root is what the provider answers, so that nothing but the spec stands in the way.
    #[test]
    fn other_hashes_verify_nothing() {
        let others = [
            HashOp::Sha512,
            HashOp::Keccak256,
            HashOp::Ripemd160,
            HashOp::Bitcoin,
            HashOp::Sha512256,
            HashOp::Blake2b512,
            HashOp::Blake2s256,
            HashOp::Blake3,
        ];
        let (key, value) = (b"key".to_vec(), b"value".to_vec());
        let honest = spec().leaf_spec.unwrap();
        for hash in others.map(i32::from) {
            for leaf in [
                ics23::LeafOp { hash, ..honest.clone() },
                ics23::LeafOp { prehash_key: hash, ..honest.clone() },
                ics23::LeafOp { prehash_value: hash, ..honest.clone() },
            ] {
                check(ExistenceProof { key: key.clone(), value: value.clone(), leaf: Some(leaf), path: Vec::new() });
            }
            let step = InnerOp { hash, prefix: b"JMT::IntrnalNode".to_vec(), suffix: vec![7; 32] };
            let (key, value, leaf) = (key.clone(), value.clone(), Some(honest.clone()));
            check(ExistenceProof { key, value, leaf, path: vec![step] });
        }
    }

    fn check(exist: ExistenceProof) {
        let root = ics23::calculate_existence_root::<Sha256Only>(&exist).unwrap();
        let (key, value) = (exist.key.clone(), exist.value.clone());
        let proof = CommitmentProof { proof: Some(ics23::commitment_proof::Proof::Exist(exist)) };
        assert!(!ics23::verify_membership::<Sha256Only>(&proof, &spec(), &root, &key, &value));
    }
}
