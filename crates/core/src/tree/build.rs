//! Building the tree of a whole state from a scan.

use alloc::vec;
use alloc::vec::Vec;

use crate::hash::{Batch, Hash32, hash_each};
use crate::tree::arena::{Edge, INNER_LEN, Inner, KeyBytes, LEAF_LEN, Link, Nodes, Target, leaf_message, new_id};
use crate::tree::committed::Tree;
use crate::tree::path::{DEPTH_MAX, Path, Side, TreeError};

/// How many entries are hashed together.
const PENDING_MAX: usize = 256;
/// The bytes of values that wait for it, at most one value more.
const PENDING_BYTES_MAX: usize = 1 << 17;

/// Builds a tree from all entries of a state, given in any order and each key once.
///
/// It hashes values soon after they are pushed, many at a time, and does not keep them.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    /// The keys, by the id of their leaf.
    keys: Vec<KeyBytes>,
    /// The entries by the first byte of their paths: a few are sorted at a time, and freed when they are in the tree.
    by_first_byte: Vec<Vec<Entry>>,
    pending: Pending,
}

/// Entries that wait until there are enough of them to be hashed together.
#[derive(Clone, Debug, Default)]
struct Pending {
    /// Their paths, where they were given. Their keys are the last ones of the builder.
    paths: Vec<Option<Path>>,
    /// Their values, end to end, and where each of them ends.
    values: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    path: Path,
    hash: Hash32,
    leaf: u32,
}

impl Builder {
    /// Creates a builder without entries.
    pub const fn new() -> Self {
        let pending = Pending { paths: Vec::new(), values: Vec::new(), ends: Vec::new() };
        Self { keys: Vec::new(), by_first_byte: Vec::new(), pending }
    }

    /// Adds an entry.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.push_at(None, key, value);
    }

    pub(super) fn push_at(&mut self, path: Option<Path>, key: &[u8], value: &[u8]) {
        self.keys.push(key.into());
        let Pending { paths, values, ends } = &mut self.pending;
        paths.push(path);
        values.extend_from_slice(value);
        ends.push(values.len());
        if paths.len() >= PENDING_MAX || values.len() >= PENDING_BYTES_MAX {
            self.hash_pending();
        }
    }

    /// Hashes the entries that wait: first all keys and values, then all leaves.
    fn hash_pending(&mut self) {
        let Pending { paths, values, ends } = &mut self.pending;
        let first = self.keys.len().saturating_sub(paths.len());
        let keys: Vec<&[u8]> = self.keys.iter().skip(first).map(|key| &**key).collect();
        let starts = [0].into_iter().chain(ends.iter().copied());
        let values_of: Vec<&[u8]> =
            starts.zip(&*ends).map(|(start, end)| values.get(start..*end).unwrap_or_default()).collect();
        let (key_hashes, value_hashes) = (hash_each(&keys), hash_each(&values_of));
        let paths_of = paths.iter().zip(&key_hashes).map(|(path, hash)| path.unwrap_or(Path(*hash)));
        let leaves: Vec<(Path, Hash32)> = paths_of.zip(value_hashes).collect();
        if self.by_first_byte.is_empty() {
            self.by_first_byte = vec![Vec::new(); usize::from(u8::MAX).saturating_add(1)];
        }
        let mut batch = Batch::<LEAF_LEN>::new();
        let mut ids = first..;
        for some in leaves.chunks(Batch::<LEAF_LEN>::SIZE) {
            let hashes = batch.hash(some.iter().map(|(path, value)| leaf_message(path, value)));
            for (((path, _), hash), id) in some.iter().zip(hashes).zip(&mut ids) {
                let [byte, ..] = path.0;
                if let Some(entries) = self.by_first_byte.get_mut(usize::from(byte)) {
                    // `finish` refuses more leaves than there are ids.
                    let leaf = u32::try_from(id).unwrap_or(u32::MAX);
                    entries.push(Entry { path: *path, hash: *hash, leaf });
                }
            }
        }
        paths.clear();
        values.clear();
        ends.clear();
    }

    /// Builds the tree of the entries pushed.
    ///
    /// # Errors
    ///
    /// [`TreeError::Full`] when the tree has no room, [`TreeError::PathClash`] when a key was
    /// pushed twice.
    pub fn finish(mut self) -> Result<Tree, TreeError> {
        self.hash_pending();
        let Self { keys, by_first_byte, pending: _ } = self;
        new_id(keys.len().saturating_sub(1))?;
        let mut entries = by_first_byte.into_iter().flat_map(sorted).peekable();
        // Of a random tree with n leaves there are n / ln 2 inner nodes; what is not used is never touched.
        let mut draft = Unhashed::with_capacity(keys.len().saturating_add(keys.len() / 2));
        let mut waiting: Vec<(u16, Subtree)> = Vec::new();
        let mut shared_before = None;
        while let Some(Entry { path, hash, leaf }) = entries.next() {
            let shared_after = entries.peek().map(|next| path.common_bits(&next.path));
            if shared_after == Some(DEPTH_MAX) {
                return Err(TreeError::PathClash);
            }
            let depth_of = |shared: Option<u16>| shared.map_or(0, |bits| bits.saturating_add(1));
            let mut subtree = Subtree { edge: Edge { link: Link::leaf(leaf), hash }, height: 0 };
            // The leaf sits just below the last node that it shares with the leaf before it, or
            // with the one after it if that is deeper. From the former it rises to the latter,
            // taking in the left siblings that wait for it, and waits there itself.
            for depth in (depth_of(shared_after)..depth_of(shared_before)).rev() {
                let below = depth.saturating_add(1);
                subtree = match path.side(depth) {
                    Side::Left => draft.join(subtree, Subtree::EMPTY)?,
                    Side::Right => {
                        let left = waiting.pop_if(|(at, _)| *at == below).map_or(Subtree::EMPTY, |(_, left)| left);
                        draft.join(left, subtree)?
                    }
                };
            }
            waiting.push((depth_of(shared_after), subtree));
            shared_before = shared_after;
        }
        drop(entries);
        let root = waiting.pop().map_or(Edge::EMPTY, |(_, subtree)| subtree.edge);
        let mut nodes = draft.hash(root)?;
        nodes.leaves.slots = keys;
        nodes.leaves.slots.shrink_to_fit();
        Ok(Tree::of(nodes))
    }
}

/// Entries in the order of their paths.
fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_unstable_by(|a, b| a.path.head().cmp(&b.path.head()).then_with(|| a.path.cmp(&b.path)));
    entries
}

/// A subtree that is not yet hashed, unless it is a leaf or empty.
#[derive(Clone, Copy)]
struct Subtree {
    edge: Edge,
    /// How many inner nodes there are on the longest way down.
    height: u16,
}

impl Subtree {
    const EMPTY: Self = Self { edge: Edge::EMPTY, height: 0 };
}

/// The nodes of a tree in the making: all links, but no hash of an inner node.
///
/// The nodes of one height do not depend on each other, so they are hashed together.
struct Unhashed {
    inners: Vec<Inner>,
    /// The parent of each inner node, and the side on which it hangs.
    places: Vec<(u32, Side)>,
    by_height: Vec<Vec<u32>>,
}

impl Unhashed {
    fn with_capacity(inners: usize) -> Self {
        Self { inners: Vec::with_capacity(inners), places: Vec::with_capacity(inners), by_height: Vec::new() }
    }

    /// Puts an inner node above two subtrees.
    fn join(&mut self, left: Subtree, right: Subtree) -> Result<Subtree, TreeError> {
        let id = new_id(self.inners.len())?;
        let height = left.height.max(right.height);
        for (child, side) in [(left, Side::Left), (right, Side::Right)] {
            if let Target::Inner(child) = child.edge.link.target() {
                let place = usize::try_from(child).ok().and_then(|child| self.places.get_mut(child));
                *place.ok_or(TreeError::Broken)? = (id, side);
            }
        }
        self.inners.push(Inner { left: left.edge, right: right.edge });
        // That of the root stays as it is.
        self.places.push((id, Side::Left));
        let at = usize::from(height);
        if self.by_height.len() <= at {
            self.by_height.resize_with(at.saturating_add(1), Vec::new);
        }
        self.by_height.get_mut(at).ok_or(TreeError::Broken)?.push(id);
        Ok(Subtree { edge: Edge { link: Link::inner(id), hash: Hash32::default() }, height: height.saturating_add(1) })
    }

    /// Hashes all nodes from the lowest up, and hangs the tree on `root`.
    fn hash(self, mut root: Edge) -> Result<Nodes, TreeError> {
        let Self { mut inners, places, by_height } = self;
        let index = |id: &u32| usize::try_from(*id).map_err(|_| TreeError::Broken);
        let mut messages = Batch::<INNER_LEN>::new();
        for level in by_height {
            for some in level.chunks(Batch::<INNER_LEN>::SIZE) {
                let nodes = some.iter().filter_map(|id| inners.get(usize::try_from(*id).ok()?));
                let hashes = messages.hash(nodes.map(Inner::message));
                for (id, hash) in some.iter().zip(hashes) {
                    let (parent, side) = places.get(index(id)?).ok_or(TreeError::Broken)?;
                    let edge = if parent == id {
                        &mut root
                    } else {
                        inners.get_mut(index(parent)?).ok_or(TreeError::Broken)?.edge_mut(*side)
                    };
                    edge.hash = *hash;
                }
            }
        }
        inners.shrink_to_fit();
        let mut nodes = Nodes { root, ..Nodes::default() };
        nodes.inners.slots = inners;
        Ok(nodes)
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
