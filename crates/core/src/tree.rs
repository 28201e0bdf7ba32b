//! The state tree: a Jellyfish Merkle Tree over SHA-256, kept in memory.
//!
//! Invariant: the root is a function of the set of (key, value) pairs alone, as `root.md` defines
//! it. A leaf sits at the least depth at which its path is alone, an inner node has at least two
//! leaves below it, and every edge carries the hash of what it leads to.
//!
//! An update comes in two steps. [`Tree::prepare`] computes the next root and leaves the tree as it
//! is, so several proposals may be tried against one state; [`Tree::apply`] makes one of them the
//! state. Values are not here, only their hashes are (inside the leaf hashes); keys are, because a
//! proof of absence names the neighbours' keys. Storage, encodings of proofs and their verification
//! are not here either.
//!
//! ```
//! use coalmine_core::tree::{Change, EMPTY_ROOT, Tree};
//!
//! let mut tree = Tree::new();
//! let patch = tree.prepare(&[Change::put(b"name", b"value")])?;
//! assert_eq!(tree.root(), EMPTY_ROOT);
//! let root = patch.root();
//! tree.apply(patch)?;
//! assert_eq!(tree.root(), root);
//! # Ok::<(), coalmine_core::tree::TreeError>(())
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A SHA-256 hash as the tree sees it.
pub type Hash32 = [u8; 32];

/// The hash of an empty subtree, and so the root of a state without keys.
pub const EMPTY_ROOT: Hash32 = *b"SPARSE_MERKLE_PLACEHOLDER_HASH__";

/// The number of bits of a path, and so the greatest depth of a leaf.
pub const DEPTH_MAX: u16 = 256;

/// The greatest number of inner nodes, and of leaves, that a tree can hold.
pub const NODES_MAX: u32 = LEAF_FLAG - 1;

/// What stops a tree operation. None of these is a verdict on a transaction.
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
    /// A link leads nowhere, which only a bug or broken memory can bring about.
    #[error("tree: a link leads to no node; drop the tree and rebuild it from a scan of the store")]
    Broken,
}

/// The place of a key in the tree: SHA-256 of the key, read from the most significant bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Hash32);

impl Path {
    /// Computes the path of a key.
    pub fn of(key: &[u8]) -> Self {
        Self(hash(key))
    }

    /// Takes a path that was computed before.
    ///
    /// It must be the path of the key that it is used with. The tree does not check this, as that
    /// would cost the hash that it saves; a wrong path gives a wrong root. Tests use it to craft
    /// long common prefixes, which works as long as no leaf that is in the tree has to make room
    /// for a new one: that leaf's path is computed from its key.
    pub const fn precomputed(bytes: Hash32) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the path.
    pub const fn as_bytes(&self) -> &Hash32 {
        &self.0
    }

    /// Returns the side that the path takes below an inner node at this depth.
    fn side(&self, depth: u16) -> Side {
        let byte = self.0.get(usize::from(depth / 8)).copied().unwrap_or(0);
        // A byte is shifted by what is left over from the bytes before it.
        if byte.wrapping_shl(u32::from(depth)) & 0x80 == 0 { Side::Left } else { Side::Right }
    }

    /// Returns the number of leading bits that two paths share.
    fn common_bits(&self, other: &Self) -> u16 {
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

    /// Returns the first eight bytes as a number that sorts as the path does, up to ties.
    fn head(&self) -> u64 {
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

/// One key that a block writes or deletes.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    path: Path,
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

impl<'a> Change<'a> {
    /// Sets the value of a key.
    pub fn put(key: &'a [u8], value: &'a [u8]) -> Self {
        Self::with_path(Path::of(key), key, Some(value))
    }

    /// Deletes a key; does nothing where the key is absent.
    pub fn delete(key: &'a [u8]) -> Self {
        Self::with_path(Path::of(key), key, None)
    }

    /// Sets (`Some`) or deletes (`None`) a key whose path is known already.
    pub const fn with_path(path: Path, key: &'a [u8], value: Option<&'a [u8]>) -> Self {
        Self { path, key, value }
    }
}

/// The nodes that a set of changes writes and frees, and the root that they lead to.
///
/// It is good for the state that it was prepared from, and for no other.
#[derive(Clone, Debug)]
pub struct Patch {
    base: Arc<()>,
    root: Edge,
    inners: Edits<Inner>,
    leaves: Edits<Key>,
}

impl Patch {
    /// Returns the root of the tree as it will be.
    pub const fn root(&self) -> Hash32 {
        self.root.hash
    }
}

/// What the tree knows about a key: that it is there, or between which neighbours it is not.
///
/// Values are not part of it; whoever encodes the proof reads them from the store, key by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The key is there.
    Existence(Branch),
    /// The key is not there. The nearest leaves on both sides of its path are given, as far as
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

/// The Jellyfish Merkle Tree of a state.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    root: Edge,
    inners: Arena<Inner>,
    leaves: Arena<Key>,
    /// Stands for the state of the tree: shared with the patches prepared from it, replaced by
    /// `apply`.
    state: Arc<()>,
}

impl Tree {
    /// Creates the tree of a state without keys.
    pub fn new() -> Self {
        Self::default()
    }

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

    /// Returns the root hash.
    pub const fn root(&self) -> Hash32 {
        self.root.hash
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Computes what a set of changes makes of the tree, and leaves the tree as it is.
    ///
    /// The order of the changes does not matter, except that of several changes of one key the last
    /// one counts.
    ///
    /// # Errors
    ///
    /// [`TreeError::Full`] when the tree has no room, [`TreeError::PathClash`] when two keys come
    /// with one path, [`TreeError::Broken`] when the tree in memory is damaged.
    pub fn prepare(&self, changes: &[Change<'_>]) -> Result<Patch, TreeError> {
        let updates = sort_and_hash(changes)?;
        let mut draft = Draft::new(self);
        draft.descend(&updates)?;
        draft.ascend()?;
        Ok(draft.into_patch())
    }

    /// Makes the tree what [`Tree::prepare`] computed, in time proportional to the nodes changed.
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
        self.root = patch.root;
        self.inners.apply(patch.inners)?;
        self.leaves.apply(patch.leaves)
    }

    /// Tells whether [`Tree::apply`] would take the patch: it was prepared from the tree as it is.
    pub fn accepts(&self, patch: &Patch) -> bool {
        Arc::ptr_eq(&self.state, &patch.base)
    }

    /// Gives what a proof of the key, or of its absence, is made of.
    ///
    /// # Errors
    ///
    /// [`TreeError::Broken`] when the tree in memory is damaged.
    pub fn prove(&self, key: &[u8]) -> Result<Proof, TreeError> {
        self.prove_at(Path::of(key), key)
    }

    fn prove_at(&self, path: Path, key: &[u8]) -> Result<Proof, TreeError> {
        let mut trail = Vec::new();
        let mut edge = self.root;
        for depth in 0..=DEPTH_MAX {
            match edge.link.target() {
                Target::Inner(id) => {
                    let inner = self.inners.get(id)?;
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
                    let found = self.leaves.get(id)?;
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
                Target::Leaf(id) => return Ok(Some(Branch::new(self.leaves.get(id)?, &trail))),
                Target::Inner(id) => {
                    let inner = self.inners.get(id)?;
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

impl Branch {
    fn new(key: &[u8], trail: &[(&Inner, Side)]) -> Self {
        let sibling = |&(inner, taken): &(&Inner, Side)| {
            let side = taken.opposite();
            Sibling { side, hash: inner.edge(side).hash }
        };
        Self { key: key.into(), siblings: trail.iter().rev().map(sibling).collect() }
    }
}

/// Builds a tree from all entries of a state, in any order, each key once.
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
    key: Key,
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

    fn push_at(&mut self, path: Path, key: &[u8], value: &[u8]) {
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
        let mut tree = Tree::new();
        let mut waiting: Vec<(u16, Edge)> = Vec::new();
        let mut shared_before = None;
        let mut entries = self.entries.into_iter().peekable();
        while let Some(Entry { path, leaf, key }) = entries.next() {
            let shared_after = entries.peek().map(|next| path.common_bits(&next.path));
            if shared_after == Some(DEPTH_MAX) {
                return Err(TreeError::PathClash);
            }
            let depth_of = |shared: Option<u16>| shared.map_or(0, |bits| bits.saturating_add(1));
            let mut edge = Edge { link: Link::leaf(tree.leaves.push(key)?), hash: leaf };
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
                edge = Edge { link: Link::inner(tree.inners.push(inner)?), hash: inner.hash() };
            }
            waiting.push((depth_of(shared_after), edge));
            shared_before = shared_after;
        }
        tree.root = waiting.pop().map_or(Edge::EMPTY, |(_, edge)| edge);
        tree.inners.slots.shrink_to_fit();
        tree.leaves.slots.shrink_to_fit();
        Ok(tree)
    }
}

type Key = Box<[u8]>;

/// Where an edge leads: an id, with a flag for leaves, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

const LEAF_FLAG: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Empty,
    Leaf(u32),
    Inner(u32),
}

impl Link {
    /// No leaf has this id, as ids are below [`NODES_MAX`].
    const EMPTY: Self = Self(u32::MAX);

    const fn leaf(id: u32) -> Self {
        Self(id | LEAF_FLAG)
    }

    const fn inner(id: u32) -> Self {
        Self(id)
    }

    const fn target(self) -> Target {
        if self.0 == Self::EMPTY.0 {
            Target::Empty
        } else if self.0 & LEAF_FLAG == 0 {
            Target::Inner(self.0)
        } else {
            Target::Leaf(self.0 & !LEAF_FLAG)
        }
    }
}

/// A link and the hash of what it leads to. Hashes are kept on edges, so that a node can be hashed
/// without a look at its children, and a leaf can move up without being touched.
#[derive(Clone, Copy, Debug)]
struct Edge {
    link: Link,
    hash: Hash32,
}

impl Edge {
    const EMPTY: Self = Self { link: Link::EMPTY, hash: EMPTY_ROOT };

    fn is_empty(&self) -> bool {
        self.link == Link::EMPTY
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self::EMPTY
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Inner {
    left: Edge,
    right: Edge,
}

impl Inner {
    const fn edge(&self, side: Side) -> Edge {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    const fn edge_mut(&mut self, side: Side) -> &mut Edge {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }

    /// Returns the edge that takes the place of the node if there is one leaf or none below it.
    const fn lone(&self) -> Option<Edge> {
        match (self.left.link.target(), self.right.link.target()) {
            (Target::Empty | Target::Leaf(_), Target::Empty) => Some(self.left),
            (Target::Empty, Target::Leaf(_)) => Some(self.right),
            (Target::Leaf(_), Target::Leaf(_)) | (Target::Inner(_), _) | (_, Target::Inner(_)) => None,
        }
    }

    fn hash(&self) -> Hash32 {
        hash_inner(&self.left.hash, &self.right.hash)
    }
}

/// Nodes of one kind, by id. The slots of nodes that are gone are used again.
#[derive(Clone, Debug, Default)]
struct Arena<T> {
    slots: Vec<T>,
    free: Vec<u32>,
}

/// What a patch does to an arena.
#[derive(Clone, Debug, Default)]
struct Edits<T> {
    nodes: Vec<T>,
    /// Where the nodes go; `None` for one that is not needed after all.
    ids: Vec<Option<u32>>,
    freed: Vec<u32>,
    /// How many of the nodes written are new.
    added: usize,
}

impl<T: Default> Arena<T> {
    fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    fn get(&self, id: u32) -> Result<&T, TreeError> {
        usize::try_from(id).ok().and_then(|at| self.slots.get(at)).ok_or(TreeError::Broken)
    }

    fn get_mut(&mut self, id: u32) -> Result<&mut T, TreeError> {
        usize::try_from(id).ok().and_then(|at| self.slots.get_mut(at)).ok_or(TreeError::Broken)
    }

    fn push(&mut self, node: T) -> Result<u32, TreeError> {
        let id = new_id(self.slots.len())?;
        self.slots.push(node);
        Ok(id)
    }

    /// Returns the id that a new node will have, `added` others being on their way, and counts it.
    ///
    /// Free slots come first, the last freed one before the others.
    fn id_ahead(&self, added: &mut usize) -> Result<u32, TreeError> {
        let fresh = added.saturating_sub(self.free.len());
        let id = match self.free.iter().rev().nth(*added) {
            Some(id) => *id,
            None => new_id(self.slots.len().saturating_add(fresh))?,
        };
        *added = added.saturating_add(1);
        Ok(id)
    }

    fn apply(&mut self, edits: Edits<T>) -> Result<(), TreeError> {
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

fn new_id(index: usize) -> Result<u32, TreeError> {
    u32::try_from(index).ok().filter(|id| *id < NODES_MAX).ok_or(TreeError::Full)
}

/// A change whose hashing is done: the hash of the new leaf, or `None` for a delete.
#[derive(Debug)]
struct Update<'a> {
    path: Path,
    key: &'a [u8],
    leaf: Option<Hash32>,
}

/// Sorts changes by path and computes the hashes of the new leaves.
///
/// Hashes that do not depend on each other follow each other, so that the processor can overlap
/// them: first those of all values, then those of all leaves.
fn sort_and_hash<'a>(changes: &[Change<'a>]) -> Result<Vec<Update<'a>>, TreeError> {
    // Stable, so that of several changes of one key the last one stays last.
    let mut order: Vec<(u64, &Change<'a>)> = changes.iter().map(|change| (change.path.head(), change)).collect();
    order.sort_by(|(head_a, a), (head_b, b)| head_a.cmp(head_b).then_with(|| a.path.cmp(&b.path)));
    let mut updates: Vec<Update<'a>> = Vec::with_capacity(order.len());
    for (_, change) in order {
        let update = Update { path: change.path, key: change.key, leaf: change.value.map(hash) };
        match updates.last_mut() {
            Some(last) if last.path == update.path && last.key != update.key => {
                return Err(TreeError::PathClash);
            }
            Some(last) if last.path == update.path => *last = update,
            Some(_) | None => updates.push(update),
        }
    }
    for update in &mut updates {
        if let Some(hash) = &mut update.leaf {
            *hash = hash_leaf(&update.path, hash);
        }
    }
    Ok(updates)
}

/// A patch in the making.
struct Draft<'t> {
    tree: &'t Tree,
    root: Edge,
    /// The inner nodes on the way to the updates, each after the one that it hangs on.
    inners: Edits<Inner>,
    /// The edges that they hang on.
    places: Vec<Place>,
    leaves: Edits<Key>,
}

/// The edge that a subtree hangs on: of the dirty node at an index, or (`None`) that of the root.
type Place = Option<(u32, Side)>;

/// The subtrees at one depth that changes fall into, and those changes, at least one each.
#[derive(Default)]
struct Level<'s, 'a> {
    /// The changes below the inner nodes.
    inners: Vec<&'s [Update<'a>]>,
    /// The leaves and empty subtrees, with the edges that they hang on.
    ends: Vec<(Place, Edge, &'s [Update<'a>])>,
}

impl<'t> Draft<'t> {
    fn new(tree: &'t Tree) -> Self {
        Self { tree, root: tree.root, inners: Edits::default(), places: Vec::new(), leaves: Edits::default() }
    }

    /// Takes the changes down the tree, level by level, opening every node on their way.
    ///
    /// At the end each leaf has its new hash and may hang deeper than it belongs; [`Draft::ascend`]
    /// mends that.
    fn descend(&mut self, updates: &[Update<'_>]) -> Result<(), TreeError> {
        let mut level = Level::default();
        let mut level_below = Level::default();
        if !updates.is_empty() {
            self.enter(None, self.root, updates, &mut level);
        }
        for depth in 0..=DEPTH_MAX {
            if level.ends.is_empty() && level.inners.is_empty() {
                break;
            }
            let mut index = self.inners.nodes.len();
            // Nodes are fetched in a loop of nothing else, so that the processor waits for many at
            // a time.
            for id in self.inners.ids.iter().skip(index).flatten() {
                self.inners.nodes.push(*self.tree.inners.get(*id)?);
            }
            for (place, edge, updates) in level.ends.drain(..) {
                if let Some(edge) = self.settle(edge, updates)? {
                    *self.edge_at(place)? = edge;
                } else {
                    self.inners.nodes.push(self.split(edge, depth)?);
                    self.inners.ids.push(None);
                    self.places.push(place);
                    level.inners.push(updates);
                }
            }
            for updates in level.inners.drain(..) {
                let inner = *self.inners.nodes.get(index).ok_or(TreeError::Broken)?;
                let place = u32::try_from(index).map_err(|_| TreeError::Full)?;
                let middle = updates.partition_point(|update| update.path.side(depth) == Side::Left);
                let (left, right) = updates.split_at(middle);
                if !left.is_empty() {
                    self.enter(Some((place, Side::Left)), inner.left, left, &mut level_below);
                }
                if !right.is_empty() {
                    self.enter(Some((place, Side::Right)), inner.right, right, &mut level_below);
                }
                index = index.saturating_add(1);
            }
            mem::swap(&mut level, &mut level_below);
        }
        Ok(())
    }

    fn enter<'s, 'a>(&mut self, place: Place, edge: Edge, updates: &'s [Update<'a>], level: &mut Level<'s, 'a>) {
        match edge.link.target() {
            Target::Inner(id) => {
                self.inners.ids.push(Some(id));
                self.places.push(place);
                level.inners.push(updates);
            }
            Target::Empty | Target::Leaf(_) => level.ends.push((place, edge, updates)),
        }
    }

    /// Returns what becomes of a subtree that is, and stays, one leaf or less; `None` when it must
    /// be opened.
    fn settle(&mut self, edge: Edge, updates: &[Update<'_>]) -> Result<Option<Edge>, TreeError> {
        let [update] = updates else {
            return Ok(None);
        };
        match (edge.link.target(), update.leaf) {
            (Target::Inner(_), _) => Ok(None),
            (Target::Empty, None) => Ok(Some(Edge::EMPTY)),
            (Target::Empty, Some(hash)) => {
                let id = self.tree.leaves.id_ahead(&mut self.leaves.added)?;
                self.leaves.nodes.push(update.key.into());
                self.leaves.ids.push(Some(id));
                Ok(Some(Edge { link: Link::leaf(id), hash }))
            }
            (Target::Leaf(id), Some(hash)) => {
                let edge = Edge { link: edge.link, hash };
                Ok(self.is_key_of(id, update)?.then_some(edge))
            }
            (Target::Leaf(id), None) if self.is_key_of(id, update)? => {
                self.leaves.freed.push(id);
                Ok(Some(Edge::EMPTY))
            }
            (Target::Leaf(_), None) => Ok(Some(edge)),
        }
    }

    fn is_key_of(&self, leaf: u32, update: &Update<'_>) -> Result<bool, TreeError> {
        Ok(**self.tree.leaves.get(leaf)? == *update.key)
    }

    /// Makes an inner node in the place of a leaf, which then hangs below it, or of an empty
    /// subtree.
    fn split(&self, edge: Edge, depth: u16) -> Result<Inner, TreeError> {
        if depth >= DEPTH_MAX {
            return Err(TreeError::PathClash);
        }
        let mut inner = Inner::default();
        if let Target::Leaf(id) = edge.link.target() {
            *inner.edge_mut(Path::of(self.tree.leaves.get(id)?).side(depth)) = edge;
        }
        Ok(inner)
    }

    /// Hashes the dirty nodes from the deepest level up, and lets leaves that are alone rise to
    /// their place.
    fn ascend(&mut self) -> Result<(), TreeError> {
        for (index, place) in mem::take(&mut self.places).into_iter().enumerate().rev() {
            let (Some(inner), Some(id)) = (self.inners.nodes.get(index), self.inners.ids.get_mut(index)) else {
                return Err(TreeError::Broken);
            };
            let edge = match inner.lone() {
                Some(edge) => {
                    self.inners.freed.extend(id.take());
                    edge
                }
                None => {
                    let hash = inner.hash();
                    let id = match *id {
                        Some(id) => id,
                        None => *id.insert(self.tree.inners.id_ahead(&mut self.inners.added)?),
                    };
                    Edge { link: Link::inner(id), hash }
                }
            };
            *self.edge_at(place)? = edge;
        }
        Ok(())
    }

    fn edge_at(&mut self, place: Place) -> Result<&mut Edge, TreeError> {
        match place {
            None => Ok(&mut self.root),
            Some((index, side)) => usize::try_from(index)
                .ok()
                .and_then(|index| self.inners.nodes.get_mut(index))
                .map(|inner| inner.edge_mut(side))
                .ok_or(TreeError::Broken),
        }
    }

    fn into_patch(self) -> Patch {
        Patch { base: Arc::clone(&self.tree.state), root: self.root, inners: self.inners, leaves: self.leaves }
    }
}

/// Computes the SHA-256 hash of some bytes.
fn hash(bytes: &[u8]) -> Hash32 {
    Sha256::digest(bytes).into()
}

/// Computes the hash of a leaf.
fn hash_leaf(path: &Path, value_hash: &Hash32) -> Hash32 {
    let mut message = LEAF_MESSAGE;
    message[13..45].copy_from_slice(&path.0);
    message[45..77].copy_from_slice(value_hash);
    hash_padded(message.as_chunks().0)
}

/// Computes the hash of an inner node.
fn hash_inner(left: &Hash32, right: &Hash32) -> Hash32 {
    let mut message = INNER_MESSAGE;
    message[16..48].copy_from_slice(left);
    message[48..80].copy_from_slice(right);
    hash_padded(message.as_chunks().0)
}

/// The padded message of a leaf, without its two hashes.
const LEAF_MESSAGE: [u8; 128] = padded(b"JMT::LeafNode");

/// The padded message of an inner node, without its two hashes. The spelling is the definition's.
const INNER_MESSAGE: [u8; 128] = padded(b"JMT::IntrnalNode");

/// Lays out a SHA-256 message of a prefix and 64 bytes to come, which with the padding fills two
/// blocks.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated by the compiler only")]
const fn padded(prefix: &[u8]) -> [u8; 128] {
    let mut message = [0; 128];
    let mut at = 0;
    while at < prefix.len() {
        message[at] = prefix[at];
        at += 1;
    }
    message[prefix.len() + 64] = 0x80;
    #[expect(clippy::disallowed_methods, reason = "the last two bytes are the same in every word")]
    let bits = ((prefix.len() + 64) * 8).to_be_bytes();
    message[126] = bits[bits.len() - 2];
    message[127] = bits[bits.len() - 1];
    message
}

/// Hashes a message that is padded already.
///
/// The same as the `Digest` interface gives, in three quarters of the time: nothing is copied into
/// a buffer, and consecutive calls overlap in the processor.
pub(crate) fn hash_padded(blocks: &[[u8; 64]]) -> Hash32 {
    const INITIAL: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    let mut state = INITIAL;
    compress256(&mut state, blocks);
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn two_block_hashes_are_sha256() {
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
        let puts: Vec<Change<'_>> = keys.iter().map(|key| Change::put(key, b"1")).collect();
        let deletes: Vec<Change<'_>> = keys.iter().map(|key| Change::delete(key)).collect();
        let mut tree = Tree::new();
        for round in 0..3 {
            for changes in [&puts, &deletes] {
                tree.apply(tree.prepare(changes).unwrap()).unwrap();
                assert_eq!(tree.leaves.slots.len(), 100, "round {round}");
                assert!(tree.inners.slots.len() < 250, "round {round}");
            }
            assert_eq!((tree.len(), tree.inners.len()), (0, 0));
            assert!(tree.leaves.slots.iter().all(|key| key.is_empty()));
            let mut free = [tree.leaves.free.clone(), tree.inners.free.clone()];
            for free in &mut free {
                free.sort_unstable();
            }
            let all = |slots: usize| (0..u32::try_from(slots).unwrap()).collect::<Vec<u32>>();
            assert_eq!(free, [all(100), all(tree.inners.slots.len())]);
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
            builder.push_at(*path, key, key);
        }
        let bulk = builder.finish().unwrap();
        let changes: Vec<Change<'_>> = entries().map(|(path, key)| Change::with_path(*path, key, Some(key))).collect();
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
        let deletes: Vec<Change<'_>> =
            entries().skip(1).map(|(path, key)| Change::with_path(*path, key, None)).collect();
        tree.apply(tree.prepare(&deletes).unwrap()).unwrap();
        assert_eq!(tree.root(), hash_leaf(&paths[0], &hash(&keys[0])));
        assert_eq!((tree.len(), tree.inners.len()), (1, 0));
    }
}
