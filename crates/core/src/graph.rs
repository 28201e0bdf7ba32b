//! A topological order of plugins that require each other.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::values::Name;

/// Requirements among the plugins of one planned load; each plugin has an entry of its own.
pub(crate) type Graph = BTreeMap<Name, Vec<Name>>;

/// Orders plugins after everything they require, ties by name, and measures the longest path in edges.
///
/// Plugins on a cycle, and those that require one of them, are left out: that is how callers find cycles.
/// The tie-break by name makes the order consensus: it is the order in which the load is carried out.
pub(crate) fn in_order(graph: &Graph) -> (Vec<Name>, usize) {
    let mut before: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    let mut missing: BTreeMap<Name, usize> = BTreeMap::new();
    for (name, required) in graph {
        missing.insert(*name, required.len());
        required.iter().for_each(|required| before.entry(*required).or_default().push(*name));
    }
    let mut ready: BTreeSet<Name> = missing.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut depths: BTreeMap<Name, usize> = BTreeMap::new();
    let mut order = Vec::new();
    while let Some(name) = ready.pop_first() {
        order.push(name);
        let below = depths.get(&name).copied().unwrap_or_default().saturating_add(1);
        for next in before.get(&name).into_iter().flatten() {
            let depth = depths.entry(*next).or_default();
            *depth = below.max(*depth);
            if let Some(count) = missing.get_mut(next) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.insert(*next);
                }
            }
        }
    }
    (order, depths.into_values().max().unwrap_or_default())
}
