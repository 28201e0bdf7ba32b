//! Building the tree of a whole state from a scan.

use alloc::vec::Vec;

use crate::hash::{Hash32, hash};
use crate::tree::arena::{Edge, Inner, KeyBytes, Link, Nodes, hash_leaf};
use crate::tree::committed::Tree;
use crate::tree::path::{DEPTH_MAX, Path, Side, TreeError};

/// Builds a tree from all entries of a state, given in any order and each key once.
///
/// It hashes a value when it is pushed and does not keep it.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    path: Path,
    leaf: Hash32,
    key: KeyBytes,
}

impl Builder {
    /// Creates a builder without entries.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Adds an entry.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.push_at(Path::of(key), key, value);
    }

    pub(super) fn push_at(&mut self, path: Path, key: &[u8], value: &[u8]) {
        self.entries.push(Entry { path, leaf: hash_leaf(&path, &hash(value)), key: key.into() });
    }

    /// Builds the tree of the entries pushed.
    ///
    /// # Errors
    ///
    /// [`TreeError::Full`] when the tree has no room, [`TreeError::PathClash`] when a key was
    /// pushed twice.
    pub fn finish(mut self) -> Result<Tree, TreeError> {
        self.entries.sort_unstable_by(|a, b| a.path.head().cmp(&b.path.head()).then_with(|| a.path.cmp(&b.path)));
        let mut nodes = Nodes::default();
        let mut waiting: Vec<(u16, Edge)> = Vec::new();
        let mut shared_before = None;
        let mut entries = self.entries.into_iter().peekable();
        while let Some(Entry { path, leaf, key }) = entries.next() {
            let shared_after = entries.peek().map(|next| path.common_bits(&next.path));
            if shared_after == Some(DEPTH_MAX) {
                return Err(TreeError::PathClash);
            }
            let depth_of = |shared: Option<u16>| shared.map_or(0, |bits| bits.saturating_add(1));
            let mut edge = Edge { link: Link::leaf(nodes.leaves.push(key)?), hash: leaf };
            // The leaf sits just below the last node that it shares with the leaf before it, or
            // with the one after it if that is deeper. From the former it rises to the latter,
            // taking in the left siblings that wait for it, and waits there itself.
            for depth in (depth_of(shared_after)..depth_of(shared_before)).rev() {
                let below = depth.saturating_add(1);
                let inner = match path.side(depth) {
                    Side::Left => Inner { left: edge, right: Edge::EMPTY },
                    Side::Right => {
                        let left = waiting.pop_if(|(at, _)| *at == below).map_or(Edge::EMPTY, |(_, left)| left);
                        Inner { left, right: edge }
                    }
                };
                edge = Edge { link: Link::inner(nodes.inners.push(inner)?), hash: inner.hash() };
            }
            waiting.push((depth_of(shared_after), edge));
            shared_before = shared_after;
        }
        nodes.root = waiting.pop().map_or(Edge::EMPTY, |(_, edge)| edge);
        nodes.inners.slots.shrink_to_fit();
        nodes.leaves.slots.shrink_to_fit();
        Ok(Tree::of(nodes))
    }
}

impl Tree {
    /// Builds the tree of a whole state; see [`Builder`] for a scan that can fail.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::finish`].
    pub fn from_entries<K, V>(entries: impl IntoIterator<Item = (K, V)>) -> Result<Self, TreeError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut builder = Builder::new();
        for (key, value) in entries {
            builder.push(key.as_ref(), value.as_ref());
        }
        builder.finish()
    }
}
