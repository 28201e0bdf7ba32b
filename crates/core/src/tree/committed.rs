//! The tree of the committed state, and the patches that lead to the next.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::hash::Hash32;
use crate::tree::arena::{NodeEdits, Nodes};
use crate::tree::draft::{Draft, KeyChange, sort_and_hash};
use crate::tree::path::TreeError;

/// The nodes that a set of changes writes and frees, and the resulting root.
///
/// A patch applies only to the state that it was prepared from.
#[derive(Clone, Debug)]
pub struct Patch {
    base: Arc<()>,
    root: Hash32,
    /// Nothing for a patch that leaves the tree as it is.
    edits: Option<Box<NodeEdits>>,
}

impl Patch {
    /// Returns the root of the tree after the patch.
    pub const fn root(&self) -> Hash32 {
        self.root
    }
}

/// The Jellyfish Merkle Tree of a state.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub(super) nodes: Nodes,
    /// Identifies the state of the tree: shared with the patches prepared from it, replaced by
    /// `apply`.
    state: Arc<()>,
}

impl Tree {
    /// Creates the tree of a state without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the tree of these nodes, from which no patch was prepared yet.
    pub(super) fn of(nodes: Nodes) -> Self {
        Self { nodes, state: Arc::default() }
    }

    /// Returns the root hash.
    pub const fn root(&self) -> Hash32 {
        self.nodes.root.hash
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.nodes.leaves.len()
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Computes the effect of a set of changes, and leaves the tree as it is.
    ///
    /// The order of the changes does not matter, except that of several changes of one key the last
    /// one counts.
    ///
    /// # Errors
    ///
    /// [`TreeError::Full`] when the tree has no room, [`TreeError::PathClash`] when two keys come
    /// with one path, [`TreeError::Broken`] when the tree in memory is damaged.
    pub fn prepare(&self, changes: &[KeyChange<'_>]) -> Result<Patch, TreeError> {
        if changes.is_empty() {
            return Ok(Patch { base: Arc::clone(&self.state), root: self.root(), edits: None });
        }
        let updates = sort_and_hash(changes)?;
        let mut draft = Draft::new(&self.nodes, updates.len());
        draft.descend(&updates)?;
        draft.ascend()?;
        let edits = draft.into_edits();
        Ok(Patch { base: Arc::clone(&self.state), root: edits.root.hash, edits: Some(Box::new(edits)) })
    }

    /// Applies a patch of [`Tree::prepare`], in time proportional to the number of nodes changed.
    ///
    /// # Errors
    ///
    /// [`TreeError::Stale`] when the tree has changed since the patch was prepared, or was never
    /// the one that the patch was prepared from; the tree is then as it was.
    pub fn apply(&mut self, patch: Patch) -> Result<(), TreeError> {
        if !self.accepts(&patch) {
            return Err(TreeError::Stale);
        }
        self.state = Arc::new(());
        patch.edits.map_or(Ok(()), |edits| self.nodes.apply(*edits))
    }

    /// Tells whether the patch was prepared from the tree as it is, so that [`Tree::apply`] accepts it.
    pub fn accepts(&self, patch: &Patch) -> bool {
        Arc::ptr_eq(&self.state, &patch.base)
    }
}
