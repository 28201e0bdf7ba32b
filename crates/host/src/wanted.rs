//! What the ledger wants of a host: a function of the committed state, and nothing else.
//!
//! Wanted are the current and the previous version of every plugin that is Loading or Loaded, and the new version of its
//! deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coalmine_core::{Address, Gate, LoadState, Manifest, Name, PoolKind, Router, State, Version};

/// A version, and what it is made of. The same version registered again is another one if that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) version: Version,
    pub(crate) manifest: Arc<Manifest>,
}

/// A plugin that is not Unloaded.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) load_state: LoadState,
    pub(crate) router: Router,
    pub(crate) current: Spec,
    pub(crate) previous: Option<Spec>,
    pub(crate) canary: Option<CanaryWanted>,
}

/// The new version of a deployment.
#[derive(Debug, Clone)]
pub(crate) struct CanaryWanted {
    pub(crate) spec: Spec,
    /// The number of the deployment.
    pub(crate) deployment: u32,
    pub(crate) stage: u8,
    /// Whether the stage waits for somebody to attest health.
    pub(crate) awaits_health: bool,
}

impl Wanted {
    /// Whether versions of it are to be ready here.
    pub(crate) const fn is_hosted(&self) -> bool {
        matches!(self.load_state, LoadState::Loading | LoadState::Loaded)
    }

    /// The versions that are to be ready here, the current one first.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &Spec> {
        let canary = self.canary.as_ref().map(|canary| &canary.spec);
        let all = [Some(&self.current), canary, self.previous.as_ref()];
        all.into_iter().flatten().filter(|_| self.is_hosted())
    }
}

/// All that a host looks at.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// The plugins that are not Unloaded.
    pub(crate) plugins: BTreeMap<Name, Wanted>,
    /// Every plugin that the ledger knows.
    pub(crate) known: Arc<BTreeSet<Name>>,
}

/// Reads a state. The names that are known already are taken from the view before, if there are as many.
pub(crate) fn view(state: &State, before: &View) -> View {
    let known = if state.plugin_count() == before.known.len() {
        Arc::clone(&before.known)
    } else {
        Arc::new(state.plugins().map(|(name, _)| *name).collect())
    };
    let plugins = state.plugins_to_host().filter_map(|(name, _)| Some((*name, wanted(state, name)?))).collect();
    View { plugins, known }
}

fn wanted(state: &State, name: &Name) -> Option<Wanted> {
    let plugin = state.plugin(name)?;
    let spec = |version: &Version| {
        let record = state.plugin_version(name, version)?;
        Some(Spec { version: record.version.clone(), manifest: Arc::clone(&record.manifest) })
    };
    let canary = state.deployment(name).and_then(|deployment| {
        let status = deployment.current_stage().map(|stage| stage.gate);
        Some(CanaryWanted {
            spec: spec(&deployment.new)?,
            deployment: plugin.deployments,
            stage: deployment.stage,
            awaits_health: status == Some(Gate::Health) && !deployment.healthy,
        })
    });
    Some(Wanted {
        load_state: plugin.load_state,
        router: state.router(name)?,
        current: spec(&plugin.current)?,
        previous: plugin.previous.as_ref().and_then(spec),
        canary,
    })
}

/// Something that a host tells the ledger once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Whether a version was loaded.
    Load(Name, Version),
    /// That a version was unloaded.
    Unload(Name, Version),
    /// Whether the new version of a deployment is healthy, in one of its stages.
    Health { plugin: Name, version: Version, deployment: u32, stage: u8 },
}

/// What the reporter has said already in open rounds.
pub(crate) fn said(state: &State, reporter: &Address) -> BTreeSet<(PoolKind, Name, Version)> {
    let of_reporter = state.rounds().filter(|(_, _, entries)| entries.iter().any(|(address, _)| address == reporter));
    of_reporter.filter_map(|(_, pool, _)| Some((pool.kind(), *pool.subject(), pool.version()?.clone()))).collect()
}

impl Subject {
    /// The pool that it is collected in while rounds are on.
    pub(crate) fn pool(&self) -> (PoolKind, Name, Version) {
        match self {
            Self::Load(plugin, version) => (PoolKind::Load, *plugin, version.without_build()),
            Self::Unload(plugin, version) => (PoolKind::Unload, *plugin, version.without_build()),
            Self::Health { plugin, version, .. } => (PoolKind::Health, *plugin, version.without_build()),
        }
    }
}
