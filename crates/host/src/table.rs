//! Where requests go: a snapshot, replaced as a whole. Whoever has one finishes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coalmine_core::{Name, Router, Version};

use crate::meter::Meter;
use crate::response::{Arm, CallError};
use crate::slot::Slot;

/// The routes of all plugins.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) routes: BTreeMap<Name, Route>,
    pub(crate) known: Arc<BTreeSet<Name>>,
}

/// The routes of one plugin that is Loaded.
pub(crate) struct Route {
    pub(crate) router: Router,
    pub(crate) production: Option<Target>,
    pub(crate) canary: Option<Target>,
}

/// A version that is ready, and where it is counted.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) slot: Arc<Slot>,
    pub(crate) meter: Arc<Meter>,
}

/// What the ledger routes a unit to.
pub(crate) struct Routed<'a> {
    pub(crate) arm: Arm,
    pub(crate) version: &'a Version,
    /// `None`: it is not ready here.
    pub(crate) target: Option<&'a Target>,
}

impl Table {
    /// The version that serves a unit.
    pub(crate) fn route(&self, plugin: &Name, unit: &[u8]) -> Result<Routed<'_>, CallError> {
        let Some(Route { router, production, canary }) = self.routes.get(plugin) else {
            let is_known = self.known.contains(plugin);
            return Err(if is_known { CallError::NotLoaded(*plugin) } else { CallError::NoPlugin(*plugin) });
        };
        Ok(match router.canary_for(unit) {
            Some(version) => Routed { arm: Arm::Canary, version, target: canary.as_ref() },
            None => Routed { arm: Arm::Production, version: router.current(), target: production.as_ref() },
        })
    }
}
