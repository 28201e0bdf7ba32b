//! The nodes of a tree: links, edges, arenas and their hashes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::hash::Hash32;
use crate::tree::path::{EMPTY_ROOT, LEAF_FLAG, NODES_MAX, Path, Side, TreeError};

pub(super) type KeyBytes = Box<[u8]>;

/// The target of an edge: an id, with a flag for leaves, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Empty,
    Leaf(u32),
    Inner(u32),
}

impl Link {
    /// No leaf has this id, as ids are below [`NODES_MAX`].
    pub(super) const EMPTY: Self = Self(u32::MAX);

    pub(super) const fn leaf(id: u32) -> Self {
        Self(id | LEAF_FLAG)
    }

    pub(super) const fn inner(id: u32) -> Self {
        Self(id)
    }

    pub(super) const fn target(self) -> Target {
        if self.0 == Self::EMPTY.0 {
            Target::Empty
        } else if self.0 & LEAF_FLAG == 0 {
            Target::Inner(self.0)
        } else {
            Target::Leaf(self.0 & !LEAF_FLAG)
        }
    }
}

/// A link and the hash of its target. Hashes are kept on edges, so that a node can be hashed
/// without reading its children, and a leaf can move up without being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) link: Link,
    pub(super) hash: Hash32,
}

impl Edge {
    pub(super) const EMPTY: Self = Self { link: Link::EMPTY, hash: EMPTY_ROOT };

    pub(super) fn is_empty(&self) -> bool {
        self.link == Link::EMPTY
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self::EMPTY
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inner {
    pub(super) left: Edge,
    pub(super) right: Edge,
}

impl Inner {
    pub(super) const fn edge(&self, side: Side) -> Edge {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    pub(super) const fn edge_mut(&mut self, side: Side) -> &mut Edge {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }

    /// Returns the edge that takes the place of the node if there is one leaf or none below it.
    pub(super) const fn lone(&self) -> Option<Edge> {
        match (self.left.link.target(), self.right.link.target()) {
            (Target::Empty | Target::Leaf(_), Target::Empty) => Some(self.left),
            (Target::Empty, Target::Leaf(_)) => Some(self.right),
            (Target::Leaf(_), Target::Leaf(_)) | (Target::Inner(_), _) | (_, Target::Inner(_)) => None,
        }
    }

    /// What is hashed for the node.
    pub(super) fn message(&self) -> [u8; INNER_LEN] {
        inner_message(&self.left.hash, &self.right.hash)
    }
}

/// Nodes of one kind, by id. The slots of removed nodes are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena<T> {
    pub(super) slots: Vec<T>,
    pub(super) free: Vec<u32>,
}

/// The changes of a patch to an arena.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits<T> {
    pub(super) nodes: Vec<T>,
    /// The ids of the new nodes; `None` for a node that is not needed after all.
    pub(super) ids: Vec<Option<u32>>,
    pub(super) freed: Vec<u32>,
    /// The number of written nodes that take a new slot.
    pub(super) added: usize,
}

impl<T> Edits<T> {
    pub(super) fn with_capacity(nodes: usize) -> Self {
        Self { nodes: Vec::with_capacity(nodes), ids: Vec::with_capacity(nodes), freed: Vec::new(), added: 0 }
    }
}

impl<T: Default> Arena<T> {
    pub(super) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    pub(super) fn get(&self, id: u32) -> Result<&T, TreeError> {
        usize::try_from(id).ok().and_then(|at| self.slots.get(at)).ok_or(TreeError::Broken)
    }

    fn get_mut(&mut self, id: u32) -> Result<&mut T, TreeError> {
        usize::try_from(id).ok().and_then(|at| self.slots.get_mut(at)).ok_or(TreeError::Broken)
    }

    /// Returns the id of the next new node after `added` others, and counts it.
    ///
    /// Free slots come first, the last freed one before the others.
    pub(super) fn id_ahead(&self, added: &mut usize) -> Result<u32, TreeError> {
        let fresh = added.saturating_sub(self.free.len());
        let id = match self.free.iter().rev().nth(*added) {
            Some(id) => *id,
            None => new_id(self.slots.len().saturating_add(fresh))?,
        };
        *added = added.saturating_add(1);
        Ok(id)
    }

    pub(super) fn apply(&mut self, edits: Edits<T>) -> Result<(), TreeError> {
        let reused = edits.added.min(self.free.len());
        self.free.truncate(self.free.len().saturating_sub(reused));
        let fresh = edits.added.saturating_sub(reused);
        let slots = self.slots.len().saturating_add(fresh);
        if slots > self.slots.capacity() {
            // An eighth of slack, where `Vec` would double what is most of a tree's memory.
            self.slots.reserve_exact(fresh.saturating_add(slots / 8));
        }
        self.slots.resize_with(slots, T::default);
        for id in &edits.freed {
            *self.get_mut(*id)? = T::default();
        }
        for (node, id) in edits.nodes.into_iter().zip(edits.ids) {
            if let Some(id) = id {
                *self.get_mut(id)? = node;
            }
        }
        self.free.extend(edits.freed);
        Ok(())
    }
}

/// All nodes of a tree, and the edge to the root.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    pub(super) root: Edge,
    pub(super) inners: Arena<Inner>,
    pub(super) leaves: Arena<KeyBytes>,
}

/// The changes of a patch to the nodes of a tree.
#[derive(Clone, Debug)]
pub(super) struct NodeEdits {
    pub(super) root: Edge,
    pub(super) inners: Edits<Inner>,
    pub(super) leaves: Edits<KeyBytes>,
}

impl Nodes {
    pub(super) fn apply(&mut self, edits: NodeEdits) -> Result<(), TreeError> {
        self.root = edits.root;
        self.inners.apply(edits.inners)?;
        self.leaves.apply(edits.leaves)
    }
}

pub(super) fn new_id(index: usize) -> Result<u32, TreeError> {
    u32::try_from(index).ok().filter(|id| *id < NODES_MAX).ok_or(TreeError::Full)
}

/// The length of what is hashed for a leaf: a prefix, the path of its key, the hash of its value.
pub(super) const LEAF_LEN: usize = 77;
/// The length of what is hashed for an inner node: a prefix, and the hashes of its children.
pub(super) const INNER_LEN: usize = 80;

pub(super) fn leaf_message(path: &Path, value_hash: &Hash32) -> [u8; LEAF_LEN] {
    let mut message = [0; LEAF_LEN];
    message[..13].copy_from_slice(b"JMT::LeafNode");
    message[13..45].copy_from_slice(&path.0);
    message[45..].copy_from_slice(value_hash);
    message
}

/// The spelling of the prefix is normative.
pub(super) fn inner_message(left: &Hash32, right: &Hash32) -> [u8; INNER_LEN] {
    let mut message = [0; INNER_LEN];
    message[..16].copy_from_slice(b"JMT::IntrnalNode");
    message[16..48].copy_from_slice(left);
    message[48..].copy_from_slice(right);
    message
}
