//! The raw material of proofs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::hash::Hash32;
use crate::tree::arena::{Inner, Target};
use crate::tree::committed::Tree;
use crate::tree::path::{DEPTH_MAX, Path, Side, TreeError};

/// The evidence for a key in the tree: its leaf if it is present, its neighbours if it is absent.
///
/// Values are not part of it; whoever encodes the proof reads them from the store, key by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The key is present.
    Existence(Branch),
    /// The key is absent. The nearest leaves on both sides of its path are given, as far as
    /// there are any; in an empty tree there are none.
    Absence {
        /// The leaf with the greatest path below that of the key.
        left: Option<Branch>,
        /// The leaf with the least path above that of the key.
        right: Option<Branch>,
    },
}

/// A leaf, and the siblings that lead from it to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The key of the leaf.
    pub key: Box<[u8]>,
    /// The siblings, from the leaf up; at most [`DEPTH_MAX`] of them.
    pub siblings: Vec<Sibling>,
}

/// The other child of an inner node on the way from a leaf to the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// The side on which the sibling is.
    pub side: Side,
    /// Its hash.
    pub hash: Hash32,
}

impl Branch {
    fn new(key: &[u8], trail: &[(&Inner, Side)]) -> Self {
        let sibling = |&(inner, taken): &(&Inner, Side)| {
            let side = taken.opposite();
            Sibling { side, hash: inner.edge(side).hash }
        };
        Self { key: key.into(), siblings: trail.iter().rev().map(sibling).collect() }
    }
}

impl Tree {
    /// Returns the evidence for a key, present or absent.
    ///
    /// # Errors
    ///
    /// [`TreeError::Broken`] when the tree in memory is damaged.
    pub fn prove(&self, key: &[u8]) -> Result<Proof, TreeError> {
        self.prove_at(Path::of(key), key)
    }

    pub(super) fn prove_at(&self, path: Path, key: &[u8]) -> Result<Proof, TreeError> {
        let mut trail = Vec::new();
        let mut edge = self.nodes.root;
        for depth in 0..=DEPTH_MAX {
            match edge.link.target() {
                Target::Inner(id) => {
                    let inner = self.nodes.inners.get(id)?;
                    let side = path.side(depth);
                    trail.push((inner, side));
                    edge = inner.edge(side);
                }
                Target::Empty => {
                    return Ok(Proof::Absence {
                        left: self.neighbour(&trail, Side::Left)?,
                        right: self.neighbour(&trail, Side::Right)?,
                    });
                }
                Target::Leaf(id) => {
                    let found = self.nodes.leaves.get(id)?;
                    let branch = Branch::new(found, &trail);
                    return Ok(if **found == *key {
                        Proof::Existence(branch)
                    } else if Path::of(found) < path {
                        Proof::Absence { left: Some(branch), right: self.neighbour(&trail, Side::Right)? }
                    } else {
                        Proof::Absence { left: self.neighbour(&trail, Side::Left)?, right: Some(branch) }
                    });
                }
            }
        }
        Err(TreeError::Broken)
    }

    /// Returns the leaf nearest to the end of a trail on one side of it, if there is one.
    fn neighbour(&self, trail: &[(&Inner, Side)], side: Side) -> Result<Option<Branch>, TreeError> {
        let turn = trail.iter().rposition(|(inner, taken)| *taken != side && !inner.edge(side).is_empty());
        let Some((upper, &(inner, _))) = turn.and_then(|at| Some((trail.get(..at)?, trail.get(at)?))) else {
            return Ok(None);
        };
        let mut trail = upper.to_vec();
        trail.push((inner, side));
        let mut edge = inner.edge(side);
        for _ in 0..=DEPTH_MAX {
            match edge.link.target() {
                Target::Empty => return Err(TreeError::Broken),
                Target::Leaf(id) => return Ok(Some(Branch::new(self.nodes.leaves.get(id)?, &trail))),
                Target::Inner(id) => {
                    let inner = self.nodes.inners.get(id)?;
                    let back = side.opposite();
                    let turn = if inner.edge(back).is_empty() { side } else { back };
                    trail.push((inner, turn));
                    edge = inner.edge(turn);
                }
            }
        }
        Err(TreeError::Broken)
    }
}
