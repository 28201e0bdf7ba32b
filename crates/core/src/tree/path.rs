//! Paths, sides, and the errors of the tree.

use thiserror::Error;

use crate::hash::{Hash32, hash};

/// The hash of an empty subtree, and so the root of a state without keys.
pub const EMPTY_ROOT: Hash32 = *b"SPARSE_MERKLE_PLACEHOLDER_HASH__";

/// The number of bits of a path, and so the greatest depth of a leaf.
pub const DEPTH_MAX: u16 = 256;

/// The greatest number of inner nodes, and of leaves, that a tree can hold.
pub const NODES_MAX: u32 = LEAF_FLAG - 1;

/// Marks the id of a leaf in a link.
pub(super) const LEAF_FLAG: u32 = 1 << 31;

/// The errors of tree operations. None of them is a verdict on a transaction.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TreeError {
    /// The patch belongs to another state of the tree.
    #[error("tree: the patch was prepared from another state of the tree; prepare it again from this one")]
    Stale,
    /// The tree has no ids left.
    #[error("tree: more than {NODES_MAX} nodes of one kind; the state has outgrown the tree in memory")]
    Full,
    /// Two entries have the same path.
    #[error("tree: two entries with one path; give each key once, and with no path but its own")]
    PathClash,
    /// A link leads nowhere, which only a bug or faulty memory can cause.
    #[error("tree: a link leads to no node; drop the tree and rebuild it from a scan of the store")]
    Broken,
}

/// The place of a key in the tree: SHA-256 of the key, read from the most significant bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub(super) Hash32);

impl Path {
    /// Computes the path of a key.
    pub fn of(key: &[u8]) -> Self {
        Self(hash(key))
    }

    /// Wraps a path that was computed before. For tests of the tree, which craft long common prefixes.
    ///
    /// It must be the path of the key that it is used with. The tree does not check this, as that
    /// would cost the hash that it saves; a wrong path gives a wrong root. A crafted path works as
    /// long as no leaf that is in the tree has to make room for a new one: that leaf's path is
    /// computed from its key.
    #[doc(hidden)]
    pub const fn precomputed(bytes: Hash32) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the path.
    pub const fn as_bytes(&self) -> &Hash32 {
        &self.0
    }

    /// Returns the side that the path takes below an inner node at this depth.
    pub(super) fn side(&self, depth: u16) -> Side {
        let byte = self.0.get(usize::from(depth / 8)).copied().unwrap_or(0);
        // A byte is shifted by what is left over from the bytes before it.
        if byte.wrapping_shl(u32::from(depth)) & 0x80 == 0 { Side::Left } else { Side::Right }
    }

    /// Returns the number of leading bits that two paths share.
    pub(super) fn common_bits(&self, other: &Self) -> u16 {
        let mut bits = 0_u16;
        for (a, b) in self.0.iter().zip(&other.0) {
            let same = (a ^ b).leading_zeros();
            bits = bits.saturating_add(u16::try_from(same).unwrap_or(8));
            if same < 8 {
                break;
            }
        }
        bits
    }

    /// Returns the first eight bytes as a number that sorts like the path, up to ties.
    pub(super) fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// One of the two children of an inner node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The child whose paths have a 0 bit at the depth of the node.
    Left,
    /// The child whose paths have a 1 bit at the depth of the node.
    Right,
}

impl Side {
    /// Returns the other side.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}
