//! Computing a patch: changes go down the tree, then hashes go up.

use alloc::vec::Vec;
use core::mem;

use crate::hash::{Hash32, hash_each, many};
use crate::tree::arena::{
    Edge, Edits, Inner, InnerMessage, KeyBytes, LeafMessage, Link, NodeEdits, Nodes, Target, hash_leaf, leaf_message,
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

/// A change as the hash of the new leaf; `None` for a delete.
#[derive(Debug)]
pub(super) struct Update<'a> {
    path: Path,
    key: &'a [u8],
    leaf: Option<Hash32>,
}

/// Sorts changes by path and computes the hashes of the new leaves: first those of all values, then those of all leaves.
pub(super) fn sort_and_hash<'a>(changes: &[KeyChange<'a>]) -> Result<Vec<Update<'a>>, TreeError> {
    // The sort is stable, so of several changes of one key the last one stays last.
    let mut order: Vec<(u64, &KeyChange<'a>)> = changes.iter().map(|change| (change.path.head(), change)).collect();
    order.sort_by(|(head_a, a), (head_b, b)| head_a.cmp(head_b).then_with(|| a.path.cmp(&b.path)));
    let mut last: Vec<&KeyChange<'a>> = Vec::with_capacity(order.len());
    for (_, change) in order {
        match last.last_mut() {
            Some(before) if before.path == change.path && before.key != change.key => {
                return Err(TreeError::PathClash);
            }
            Some(before) if before.path == change.path => *before = change,
            Some(_) | None => last.push(change),
        }
    }
    let put: Vec<(&Path, &[u8])> = last.iter().filter_map(|change| Some((&change.path, change.value?))).collect();
    let mut hashes = hash_each(put.iter().map(|(_, value)| *value));
    match many::at_once(put.len()) {
        Some(hasher) => {
            let messages = put.iter().zip(&hashes).map(|((path, _), hash)| leaf_message(path, hash));
            hasher.hash_equal(&messages.collect::<Vec<LeafMessage>>(), &mut hashes);
        }
        None => put.iter().zip(&mut hashes).for_each(|((path, _), hash)| *hash = hash_leaf(path, hash)),
    }
    let mut leaves = hashes.into_iter();
    let update = |change: &KeyChange<'a>| {
        let leaf = change.value.and_then(|_| leaves.next());
        Update { path: change.path, key: change.key, leaf }
    };
    Ok(last.into_iter().map(update).collect())
}

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
    pub(super) fn new(tree: &'t Nodes) -> Self {
        Self {
            tree,
            root: tree.root,
            inners: Edits::default(),
            places: Vec::new(),
            levels: Vec::new(),
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
        let (mut messages, mut hashes): (Vec<InnerMessage>, Vec<Hash32>) = Default::default();
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
            if let Some(hasher) = many::at_once(full.len()) {
                messages.clear();
                for (index, _) in &full {
                    messages.push(self.inners.nodes.get(*index).ok_or(TreeError::Broken)?.message());
                }
                hasher.hash_equal(&messages, &mut hashes);
                for ((index, place), hash) in full.drain(..).zip(&hashes) {
                    self.place(index, place, *hash)?;
                }
            } else {
                for (index, place) in full.drain(..) {
                    let hash = self.inners.nodes.get(index).ok_or(TreeError::Broken)?.hash();
                    self.place(index, place, hash)?;
                }
            }
            end = start;
        }
        Ok(())
    }

    /// Hangs an inner node on its edge.
    fn place(&mut self, index: usize, place: Place, hash: Hash32) -> Result<(), TreeError> {
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
