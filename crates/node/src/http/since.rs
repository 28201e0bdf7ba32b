//! Since when a flag is as it is: the heights of last changes, which are in the histories, kept at hand.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use coalmine_core::{Event, Hash, Height, Name, query};

use crate::database::Snapshot;
use crate::node::Node;

/// How many heights are kept.
const KEPT_MAX: usize = 100_000;

/// The heights of last changes, as of one root.
#[derive(Debug, Default)]
pub(super) struct Sinces(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Everything here is right for a state of this root, and for no other.
    root: Option<Hash>,
    features: BTreeMap<Name, Height>,
    plugins: BTreeMap<Name, Height>,
}

/// What has a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Feature,
    Plugin,
}

impl Kept {
    const fn of(&self, of: Of) -> &BTreeMap<Name, Height> {
        match of {
            Of::Feature => &self.features,
            Of::Plugin => &self.plugins,
        }
    }
}

impl Sinces {
    /// Forgets what these events have changed.
    pub(super) fn changed(&self, events: &[Event]) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.root = None;
        for event in events {
            event.feature().map(|name| kept.features.remove(name));
            event.plugin().map(|name| kept.plugins.remove(name));
        }
    }

    /// What is kept is now right for this root: all events up to it were told.
    pub(super) fn is_at(&self, root: Hash) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).root = Some(root);
    }

    fn known(&self, of: Of, name: &Name, root: &Hash) -> Option<Height> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if kept.root == Some(*root) { kept.of(of).get(name).copied() } else { None }
    }

    /// The height of the last change up to a height, at which the state has this root.
    pub(super) fn since(&self, node: &Node, of: Of, name: &Name, (root, height): (Hash, Height)) -> Option<Height> {
        self.known(of, name, &root).or_else(|| {
            let found = node.records(|records| last_change(records, of, name, height))?;
            let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if kept.root == Some(root) && kept.features.len().saturating_add(kept.plugins.len()) < KEPT_MAX {
                match of {
                    Of::Feature => kept.features.insert(*name, found),
                    Of::Plugin => kept.plugins.insert(*name, found),
                };
            }
            Some(found)
        })
    }
}

/// A history that cannot be read is as good as none here: whoever asks for it gets the fault.
fn last_change(records: &Snapshot<'_>, of: Of, name: &Name, height: Height) -> Option<Height> {
    match of {
        Of::Feature => query::last_change(records, name, height).ok().flatten().map(|entry| entry.height),
        Of::Plugin => query::last_plugin_change(records, name, height).ok().flatten().map(|entry| entry.height),
    }
}
