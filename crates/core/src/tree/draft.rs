//! Computing a patch: changes go down the tree, then hashes go up.

use alloc::vec::Vec;
use core::mem;

use crate::hash::{Batch, Hash32, hash_each};
use crate::tree::arena::{
    Edge, Edits, INNER_LEN, Inner, KeyBytes, LEAF_LEN, Link, NodeEdits, Nodes, Target, leaf_message,
};
use crate::tree::path::{DEPTH_MAX, Path, Side, TreeError};

/// One key that a block writes or deletes.
#[derive(Clone, Copy, Debug)]
pub struct KeyChange<'a> {
    path: Path,
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

impl<'a> KeyChange<'a> {
    /// Sets the value of a key.
    pub fn put(key: &'a [u8], value: &'a [u8]) -> Self {
        Self::with_path(Path::of(key), key, Some(value))
    }

    /// Deletes a key; does nothing where the key is absent.
    pub fn delete(key: &'a [u8]) -> Self {
        Self::with_path(Path::of(key), key, None)
    }

    /// Sets (`Some`) or deletes (`None`) a key whose path was computed before.
    pub const fn with_path(path: Path, key: &'a [u8], value: Option<&'a [u8]>) -> Self {
        Self { path, key, value }
    }
}

/// A change, with the start of its path beside it, and the hash of the new leaf; `None` for a delete.
#[derive(Debug)]
pub(super) struct Update<'a> {
    head: u64,
    change: &'a KeyChange<'a>,
    leaf: Option<Hash32>,
}

impl Update<'_> {
    /// The side that the path takes below an inner node at this depth.
    fn side(&self, depth: u16) -> Side {
        match u64::BITS.checked_sub(depth.into()) {
            Some(1..) if self.head.wrapping_shl(depth.into()) >> (u64::BITS - 1) == 0 => Side::Left,
            Some(1..) => Side::Right,
            Some(0) | None => self.change.path.side(depth),
        }
    }
}

/// Sorts changes by path and computes the hashes of the new leaves: first those of all values, then those of all leaves.
pub(super) fn sort_and_hash<'a>(changes: &'a [KeyChange<'a>]) -> Result<Vec<Update<'a>>, TreeError> {
    let update = |change: &'a KeyChange<'a>| Update { head: change.path.head(), change, leaf: None };
    let mut order: Vec<(u64, u32)> = (0..).zip(changes).map(|(at, change)| (change.path.head(), at)).collect();
    order.sort_unstable();
    let mut updates: Vec<Update<'a>> = Vec::with_capacity(changes.len());
    let change_at = |at: u32| usize::try_from(at).ok().and_then(|at| changes.get(at)).ok_or(TreeError::Full);
    for (_, at) in order {
        updates.push(update(change_at(at)?));
    }
    // Heads that are equal are rare: they belong to one key, or else the whole paths decide. Those of one key stay in the
    // order in which they came, so that the last one counts.
    let is_tied = |a: &Update<'_>, b: &Update<'_>| a.head == b.head;
    if updates.windows(2).any(|pair| matches!(pair, [a, b] if is_tied(a, b))) {
        updates.chunk_by_mut(is_tied).for_each(|tied| tied.sort_by_key(|update| update.change.path));
        let clash = |pair: &[Update<'_>]| matches!(pair, [a, b] if a.change.path == b.change.path && a.change.key != b.change.key);
        if updates.windows(2).any(clash) {
            return Err(TreeError::PathClash);
        }
        updates.reverse();
        updates.dedup_by(|a, b| a.change.path == b.change.path);
        updates.reverse();
    }
    hash_leaves(&mut updates);
    Ok(updates)
}

/// Computes the hashes of the new leaves.
fn hash_leaves(updates: &mut [Update<'_>]) {
    let put: Vec<&[u8]> = updates.iter().filter_map(|update| update.change.value).collect();
    let mut values = hash_each(&put).into_iter();
    for update in &mut *updates {
        update.leaf = update.change.value.and_then(|_| values.next());
    }
    let mut messages: Batch<LEAF_LEN> = Batch::new();
    for some in updates.chunks_mut(Batch::<LEAF_LEN>::SIZE) {
        let message = |update: &Update<'_>| Some(leaf_message(&update.change.path, update.leaf.as_ref()?));
        let hashes = messages.hash(some.iter().filter_map(message));
        some.iter_mut().filter_map(|update| update.leaf.as_mut()).zip(hashes).for_each(|(leaf, hash)| *leaf = *hash);
    }
}

/// How deep a leaf is, or a little more: log2 of a large state.
const LEVELS_USUAL: usize = 24;

/// A patch that is being computed.
pub(super) struct Draft<'t> {
    tree: &'t Nodes,
    root: Edge,
    /// The inner nodes on the paths of the updates, parents first.
    inners: Edits<Inner>,
    /// The edges that lead to them.
    places: Vec<Place>,
    /// The index of the first of them at each depth, from the root down.
    levels: Vec<usize>,
    leaves: Edits<KeyBytes>,
}

/// The edge that a subtree hangs on: of the dirty node at an index, or (`None`) that of the root.
type Place = Option<(u32, Side)>;

/// The subtrees at one depth that contain changes, and those changes, at least one each.
#[derive(Default)]
struct Level<'s, 'a> {
    /// The changes below the inner nodes.
    inners: Vec<&'s [Update<'a>]>,
    /// The leaves and empty subtrees, with the edges that lead to them.
    ends: Vec<(Place, Edge, &'s [Update<'a>])>,
}

impl<'t> Draft<'t> {
    /// Begins a patch of so many updates.
    pub(super) fn new(tree: &'t Nodes, updates: usize) -> Self {
        // On the way to one of n leaves there are about log2 n nodes, of which the updates share the upper ones.
        let below = tree.leaves.len().checked_div(updates).map_or(0, |below| below.saturating_add(1).ilog2());
        let depth = usize::try_from(below).unwrap_or_default().saturating_add(3);
        let inners = updates.saturating_mul(depth);
        Self {
            tree,
            root: tree.root,
            inners: Edits::with_capacity(inners),
            places: Vec::with_capacity(inners),
            levels: Vec::with_capacity(LEVELS_USUAL),
            leaves: Edits::default(),
        }
    }

    /// Takes the changes down the tree, level by level, opening every node on their paths.
    ///
    /// At the end each leaf has its new hash and may hang deeper than it belongs; [`Draft::ascend`]
    /// corrects that.
    pub(super) fn descend(&mut self, updates: &[Update<'_>]) -> Result<(), TreeError> {
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
            self.levels.push(index);
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
                let middle = updates.partition_point(|update| update.side(depth) == Side::Left);
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

    /// Returns the new content of a subtree that is, and stays, at most one leaf; `None` if it must
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
                self.leaves.nodes.push(update.change.key.into());
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
        Ok(**self.tree.leaves.get(leaf)? == *update.change.key)
    }

    /// Puts an inner node in the place of a leaf, which moves below it, or of an empty
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

    /// Hashes the dirty nodes level by level from the deepest up, and moves leaves that are alone up to their place.
    pub(super) fn ascend(&mut self) -> Result<(), TreeError> {
        let (places, levels) = (mem::take(&mut self.places), mem::take(&mut self.levels));
        let mut end = places.len();
        let mut full: Vec<(usize, Place)> = Vec::with_capacity(places.len());
        let mut messages = Batch::<INNER_LEN>::new();
        for start in levels.into_iter().rev() {
            for (index, place) in places.iter().enumerate().take(end).skip(start).rev() {
                let inner = self.inners.nodes.get(index).ok_or(TreeError::Broken)?;
                match inner.lone() {
                    Some(edge) => {
                        self.inners.freed.extend(self.inners.ids.get_mut(index).and_then(Option::take));
                        *self.edge_at(*place)? = edge;
                    }
                    None => full.push((index, *place)),
                }
            }
            for some in full.chunks(Batch::<INNER_LEN>::SIZE) {
                let nodes = some.iter().filter_map(|(index, _)| self.inners.nodes.get(*index));
                for ((index, place), hash) in some.iter().zip(messages.hash(nodes.map(Inner::message))) {
                    self.hang(*index, *place, *hash)?;
                }
            }
            full.clear();
            end = start;
        }
        Ok(())
    }

    /// Hangs an inner node on its edge.
    fn hang(&mut self, index: usize, place: Place, hash: Hash32) -> Result<(), TreeError> {
        let id = self.inners.ids.get_mut(index).ok_or(TreeError::Broken)?;
        let id = match *id {
            Some(id) => id,
            None => *id.insert(self.tree.inners.id_ahead(&mut self.inners.added)?),
        };
        *self.edge_at(place)? = Edge { link: Link::inner(id), hash };
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

    pub(super) fn into_edits(self) -> NodeEdits {
        NodeEdits { root: self.root, inners: self.inners, leaves: self.leaves }
    }
}
