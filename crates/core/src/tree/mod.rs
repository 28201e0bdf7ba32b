//! The state tree: a Jellyfish Merkle Tree over SHA-256, kept in memory.
//!
//! Invariant: the root is a function of the set of (key, value) pairs alone, as `FORMAT.md` defines
//! it. A leaf sits at the least depth at which its path is alone, an inner node has at least two
//! leaves below it, and every edge carries the hash of what it leads to.
//!
//! An update takes two steps. [`Tree::prepare`] computes the next root and leaves the tree as it
//! is, so several proposals may be tried against one state; [`Tree::apply`] makes one of them the
//! state. Values are not here, only their hashes are (inside the leaf hashes); keys are, because a
//! proof of absence names the neighbours' keys. Storage, encodings of proofs and their verification
//! are not here either.
//!
//! ```
//! use coalmine_core::tree::{KeyChange, EMPTY_ROOT, Tree};
//!
//! let mut tree = Tree::new();
//! let patch = tree.prepare(&[KeyChange::put(b"name", b"value")])?;
//! assert_eq!(tree.root(), EMPTY_ROOT);
//! let root = patch.root();
//! tree.apply(patch)?;
//! assert_eq!(tree.root(), root);
//! # Ok::<(), coalmine_core::tree::TreeError>(())
//! ```

mod arena;
mod build;
mod committed;
mod draft;
mod path;
mod prove;

pub use crate::hash::Hash32;
pub use build::Builder;
pub use committed::{Patch, Tree};
pub use draft::KeyChange;
pub use path::{DEPTH_MAX, EMPTY_ROOT, NODES_MAX, Path, Side, TreeError};
pub use prove::{Branch, Proof, Sibling};

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::arena::{Link, Target, inner_message, leaf_message, new_id};
    use super::*;
    use crate::hash::hash;

    fn hash_leaf(path: &Path, value: &Hash32) -> Hash32 {
        hash(&leaf_message(path, value))
    }

    fn hash_inner(left: &Hash32, right: &Hash32) -> Hash32 {
        hash(&inner_message(left, right))
    }

    #[test]
    fn leaves_and_inner_nodes_are_hashed_behind_their_prefix() {
        let [a, b] = [hash(b"a"), hash(b"b")];
        let check = |prefix: &[u8], expected: Hash32| {
            let message = [prefix, a.as_slice(), b.as_slice()].concat();
            assert_eq!(hash(&message), expected);
        };
        check(b"JMT::LeafNode", hash_leaf(&Path(a), &b));
        check(b"JMT::IntrnalNode", hash_inner(&a, &b));
    }

    #[test]
    fn a_path_is_read_from_the_most_significant_bit() {
        for depth in 0..DEPTH_MAX {
            let mut bytes = [0; 32];
            bytes[usize::from(depth / 8)] = [128, 64, 32, 16, 8, 4, 2, 1][usize::from(depth % 8)];
            let (path, zero) = (Path(bytes), Path([0; 32]));
            for other in 0..DEPTH_MAX {
                let expected = if other == depth { Side::Right } else { Side::Left };
                assert_eq!(path.side(other), expected);
            }
            assert_eq!(path.common_bits(&zero), depth);
            assert_eq!(zero.common_bits(&path), depth);
        }
        assert_eq!(Path([7; 32]).common_bits(&Path([7; 32])), DEPTH_MAX);
    }

    #[test]
    fn a_link_leads_where_it_was_made_to_lead() {
        for id in [0, 1, NODES_MAX - 1] {
            assert_eq!(Link::leaf(id).target(), Target::Leaf(id));
            assert_eq!(Link::inner(id).target(), Target::Inner(id));
        }
        assert_eq!(Link::EMPTY.target(), Target::Empty);
        let last = usize::try_from(NODES_MAX).unwrap();
        assert_eq!(new_id(last), Err(TreeError::Full));
        assert_eq!(new_id(last - 1), Ok(NODES_MAX - 1));
    }

    #[test]
    fn slots_are_used_again() {
        let keys: Vec<[u8; 1]> = (0..100).map(|byte| [byte]).collect();
        let puts: Vec<KeyChange<'_>> = keys.iter().map(|key| KeyChange::put(key, b"1")).collect();
        let deletes: Vec<KeyChange<'_>> = keys.iter().map(|key| KeyChange::delete(key)).collect();
        let mut tree = Tree::new();
        for round in 0..3 {
            for changes in [&puts, &deletes] {
                tree.apply(tree.prepare(changes).unwrap()).unwrap();
                assert_eq!(tree.nodes.leaves.slots.len(), 100, "round {round}");
                assert!(tree.nodes.inners.slots.len() < 250, "round {round}");
            }
            assert_eq!((tree.len(), tree.nodes.inners.len()), (0, 0));
            assert!(tree.nodes.leaves.slots.iter().all(|key| key.is_empty()));
            let mut free = [tree.nodes.leaves.free.clone(), tree.nodes.inners.free.clone()];
            for free in &mut free {
                free.sort_unstable();
            }
            let all = |slots: usize| (0..u32::try_from(slots).unwrap()).collect::<Vec<u32>>();
            assert_eq!(free, [all(100), all(tree.nodes.inners.slots.len())]);
        }
    }

    #[test]
    fn paths_may_part_at_the_last_bit() {
        let mut paths = vec![Path([0x55; 32])];
        for bit in [0, 1, 63, 64, 200, 254, 255] {
            let mut bytes = [0x55; 32];
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            paths.push(Path(bytes));
        }
        let keys: Vec<[u8; 1]> = (0..8).map(|byte| [byte]).collect();
        let entries = || paths.iter().zip(&keys);
        let mut builder = Builder::new();
        for (path, key) in entries() {
            builder.push_at(Some(*path), key, key);
        }
        let bulk = builder.finish().unwrap();
        let changes: Vec<KeyChange<'_>> =
            entries().map(|(path, key)| KeyChange::with_path(*path, key, Some(key))).collect();
        let mut tree = Tree::new();
        tree.apply(tree.prepare(&changes).unwrap()).unwrap();
        assert_eq!(tree.root(), bulk.root());
        for (path, key) in entries() {
            for tree in [&tree, &bulk] {
                let Proof::Existence(branch) = tree.prove_at(*path, key).unwrap() else {
                    panic!("{key:?} is there");
                };
                let root = branch.siblings.iter().fold(hash_leaf(path, &hash(key)), |at, sibling| match sibling.side {
                    Side::Left => hash_inner(&sibling.hash, &at),
                    Side::Right => hash_inner(&at, &sibling.hash),
                });
                assert_eq!(root, tree.root());
                let deep = usize::from(key[0] == 0 || key[0] == 7) * 256;
                assert!(branch.siblings.len() >= deep);
            }
        }
        // Without the others the deepest leaf rises to the top.
        let deletes: Vec<KeyChange<'_>> =
            entries().skip(1).map(|(path, key)| KeyChange::with_path(*path, key, None)).collect();
        tree.apply(tree.prepare(&deletes).unwrap()).unwrap();
        assert_eq!(tree.root(), hash_leaf(&paths[0], &hash(&keys[0])));
        assert_eq!((tree.len(), tree.nodes.inners.len()), (1, 0));
    }
}
