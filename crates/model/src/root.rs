//! The state root: its definition, as a recursive function of the sorted paths.

use std::collections::BTreeMap;

use coalmine_core::Hash;
use sha2::{Digest, Sha256};

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// The root of these keys and values.
#[must_use]
pub fn root(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Hash {
    let leaves: BTreeMap<[u8; 32], [u8; 32]> = entries.iter().map(|(k, v)| (sha256(&[k]), sha256(&[v]))).collect();
    Hash(subtree(&leaves.into_iter().collect::<Vec<_>>(), 0))
}

/// The hash of the subtree of these leaves, whose paths are ascending and agree in their first `depth` bits.
fn subtree(leaves: &[([u8; 32], [u8; 32])], depth: usize) -> [u8; 32] {
    match leaves {
        [] => *b"SPARSE_MERKLE_PLACEHOLDER_HASH__",
        [(path, value)] => sha256(&[b"JMT::LeafNode", path, value]),
        _ => {
            let first_one = leaves.partition_point(|(path, _)| path[depth / 8] >> (7 - depth % 8) & 1 == 0);
            let (left, right) = leaves.split_at(first_one);
            sha256(&[b"JMT::IntrnalNode", &subtree(left, depth + 1), &subtree(right, depth + 1)])
        }
    }
}
