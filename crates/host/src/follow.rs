//! Following the ledger: what of it is ready here, what is to be done about the rest, and what the ledger is to be told.
//!
//! It is level-triggered. Everything follows from the last view of the state and from what is held here, so nothing that
//! was missed, lost or repeated leads astray.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coalmine_core::{Command, Hash, Height, LoadState, Name, PluginsMark, PoolKind, Version};

use crate::event::{HostEvent, HostEventKind};
use crate::meter::{Meter, MeterKey};
use crate::slot::Slot;
use crate::table::{Route, Table, Target};
use crate::wanted::{Spec, Subject, View, Wanted};

/// A plugin and a version without its build metadata.
pub(crate) type Key = (Name, Version);

/// A version that is wanted here, and how far it has come.
struct Held {
    spec: Spec,
    /// The height from which on it was wanted.
    since: Height,
    local: Local,
}

enum Local {
    /// For its requirements, or for room.
    Waiting,
    /// The code is not here.
    Missing,
    /// A job is under way.
    Loading(u64),
    Ready(Arc<Slot>),
    Failed,
}

/// What a job has found.
pub(crate) enum Found {
    Ready(Arc<Slot>),
    /// The code is not in the store after all.
    Missing(String),
    /// It is the version's fault.
    Failed(String),
    /// It is nobody's fault, and may end better later.
    Later(String),
}

/// Something to do that takes its time.
pub(crate) enum Job {
    Load { key: Key, number: u64, spec: Spec },
    Check { subject: Subject, slot: Arc<Slot> },
}

/// What follows from a look.
#[derive(Default)]
pub(crate) struct Todo {
    pub(crate) table: Table,
    /// To be closed when the table is in place.
    pub(crate) closing: Vec<Arc<Slot>>,
    pub(crate) jobs: Vec<Job>,
    /// Code that the mirrors are to be asked for.
    pub(crate) fetches: Vec<Hash>,
    pub(crate) events: Vec<HostEvent>,
}

/// How patient a host is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Blocks until a version that is not ready is attested as failed.
    pub(crate) patience_blocks: u32,
    /// Blocks until an attestation that the state does not show is said again.
    pub(crate) repeat_blocks: u32,
}

/// What is held here of what the ledger wants.
#[derive(Default)]
pub(crate) struct Follow {
    pub(crate) mark: Option<PluginsMark>,
    pub(crate) height: Height,
    pub(crate) view: View,
    /// What this reporter has said in open rounds.
    pub(crate) said: BTreeSet<(PoolKind, Name, Version)>,
    held: BTreeMap<Key, Held>,
    draining: Vec<Arc<Slot>>,
    /// What was told, the answer, and when.
    sent: BTreeMap<Subject, (bool, Height)>,
    /// What checks have said; `None` while they are under way.
    checks: BTreeMap<Subject, Option<bool>>,
    meters: BTreeMap<MeterKey, Arc<Meter>>,
    serving: BTreeSet<Key>,
    fetching: BTreeSet<Hash>,
    next_number: u64,
}

impl Follow {
    /// Looks at what is wanted and what is held, and says what is to be done.
    pub(crate) fn look(&mut self, is_stored: impl Fn(&Hash) -> bool) -> Todo {
        let mut todo = Todo::default();
        self.let_go(&mut todo);
        self.take_on(&is_stored, &mut todo);
        self.begin_checks(&mut todo);
        todo.table = self.table(&mut todo.events);
        self.draining.extend(todo.closing.iter().cloned());
        todo
    }

    /// Gives up what is not wanted any more.
    fn let_go(&mut self, todo: &mut Todo) {
        let wanted: BTreeMap<Key, &Spec> = specs(&self.view).collect();
        let (events, closing) = (&mut todo.events, &mut todo.closing);
        self.held.retain(|key, held| {
            let is_wanted = wanted.get(key).is_some_and(|spec| **spec == held.spec);
            if let (false, Local::Ready(slot)) = (is_wanted, &held.local) {
                events.push(event(HostEventKind::Draining, &key.0, &held.spec, ""));
                closing.push(Arc::clone(slot));
            }
            is_wanted
        });
    }

    /// Forgets the versions of which nothing runs any more.
    pub(crate) fn drained(&mut self) -> Vec<HostEvent> {
        let drained = self.draining.extract_if(.., |slot| slot.is_still());
        drained.map(|slot| gone(&slot)).collect()
    }

    /// Begins with what is wanted and not here.
    fn take_on(&mut self, is_stored: &impl Fn(&Hash) -> bool, todo: &mut Todo) {
        let all: Vec<(Key, Spec)> = specs(&self.view).map(|(key, spec)| (key, spec.clone())).collect();
        for (key, spec) in all {
            let may_load = self.may_load(&key.0, &spec);
            let hash = spec.manifest.code_hash;
            let since = self.height;
            let held = self.held.entry(key.clone()).or_insert(Held { spec, since, local: Local::Waiting });
            match held.local {
                Local::Waiting | Local::Missing => {}
                Local::Loading(_) | Local::Ready(_) | Local::Failed => continue,
            }
            if is_stored(&hash) {
                if may_load {
                    let number = self.next_number;
                    self.next_number = number.saturating_add(1);
                    held.local = Local::Loading(number);
                    todo.events.push(event(HostEventKind::Loading, &key.0, &held.spec, ""));
                    todo.jobs.push(Job::Load { key, number, spec: held.spec.clone() });
                } else {
                    held.local = Local::Waiting;
                }
                continue;
            }
            if !matches!(held.local, Local::Missing) {
                held.local = Local::Missing;
                todo.events.push(event(HostEventKind::Missing, &key.0, &held.spec, ""));
            }
            if self.fetching.insert(hash) {
                todo.fetches.push(hash);
            }
        }
    }

    /// Whether all that a version requires is ready. What requires the plugin in turn is not waited for: promotions can
    /// bring about circles, which the ledger looks for when loading only.
    fn may_load(&self, plugin: &Name, spec: &Spec) -> bool {
        let is_ready = |required: &Name| {
            let key = self.view.plugins.get(required).map(|wanted| key(required, &wanted.current));
            let held = key.and_then(|key| self.held.get(&key));
            held.is_some_and(|held| matches!(held.local, Local::Ready(_)))
        };
        let mut requirements = spec.manifest.requirements.iter().map(|requirement| &requirement.plugin);
        requirements.all(|required| is_ready(required) || self.leads_to(required, plugin))
    }

    /// Whether a plugin requires another one, directly or not.
    fn leads_to(&self, from: &Name, to: &Name) -> bool {
        let (mut seen, mut next) = (BTreeSet::from([*from]), vec![*from]);
        while let Some(name) = next.pop() {
            if name == *to {
                return true;
            }
            let manifest = self.view.plugins.get(&name).map(|wanted| &wanted.current.manifest);
            let required = manifest.into_iter().flat_map(|manifest| &manifest.requirements);
            next.extend(required.map(|requirement| requirement.plugin).filter(|name| seen.insert(*name)));
        }
        false
    }

    /// Asks new versions for their health where the ledger waits for it.
    fn begin_checks(&mut self, todo: &mut Todo) {
        let awaited: BTreeMap<Subject, Arc<Slot>> = self
            .view
            .plugins
            .iter()
            .filter_map(|(name, wanted)| {
                let canary = wanted.canary.as_ref().filter(|canary| wanted.is_hosted() && canary.awaits_health)?;
                let Local::Ready(slot) = &self.held.get(&key(name, &canary.spec))?.local else { return None };
                Some((health(name, wanted)?, Arc::clone(slot)))
            })
            .collect();
        self.checks.retain(|subject, _| awaited.contains_key(subject));
        for (subject, slot) in awaited {
            if !self.checks.contains_key(&subject) {
                self.checks.insert(subject.clone(), None);
                todo.jobs.push(Job::Check { subject, slot });
            }
        }
    }

    /// The routes of what is Loaded, with the meters of the deployments that are under way.
    fn table(&mut self, events: &mut Vec<HostEvent>) -> Table {
        let mut table = Table { known: Arc::clone(&self.view.known), ..Table::default() };
        let mut serving = BTreeSet::new();
        let loaded = self.view.plugins.iter().filter(|(_, wanted)| wanted.load_state == LoadState::Loaded);
        for (name, wanted) in loaded {
            let deployment = wanted.canary.as_ref().map(|canary| canary.deployment);
            let mut target = |spec: &Spec| {
                let key = key(name, spec);
                let Local::Ready(slot) = &self.held.get(&key)?.local else { return None };
                slot.is_in(deployment);
                if !self.serving.contains(&key) {
                    events.push(event(HostEventKind::Serving, name, spec, ""));
                }
                serving.insert(key);
                let meter = MeterKey { plugin: *name, version: spec.version.without_build(), deployment };
                let meter = Arc::clone(self.meters.entry(meter).or_default());
                Some(Target { slot: Arc::clone(slot), meter })
            };
            let production = target(&wanted.current);
            let canary = wanted.canary.as_ref().and_then(|canary| target(&canary.spec));
            table.routes.insert(*name, Route { router: wanted.router.clone(), production, canary });
        }
        self.serving = serving;
        table
    }

    /// Takes what a job has found, unless something else is wanted by now.
    pub(crate) fn loaded(&mut self, key: &Key, number: u64, found: Found) -> Option<HostEvent> {
        let held = self.held.get_mut(key).filter(|held| matches!(held.local, Local::Loading(of) if of == number))?;
        let (local, kind, detail) = match found {
            Found::Ready(slot) => (Local::Ready(slot), HostEventKind::Loaded, String::new()),
            Found::Missing(why) => (Local::Missing, HostEventKind::Missing, why),
            Found::Failed(why) => (Local::Failed, HostEventKind::LoadFailed, why),
            Found::Later(why) => (Local::Waiting, HostEventKind::LoadFailed, why),
        };
        held.local = local;
        Some(event(kind, &key.0, &held.spec, &detail))
    }

    /// Takes what a check has said.
    pub(crate) fn checked(&mut self, subject: &Subject, is_healthy: bool) {
        if let Some(check) = self.checks.get_mut(subject) {
            *check = Some(is_healthy);
        }
    }

    /// The mirrors have been asked, with whatever success.
    pub(crate) fn fetched(&mut self, hash: &Hash) {
        self.fetching.remove(hash);
    }

    /// The versions of a code that is wanted here.
    pub(crate) fn versions_of(&self, hash: &Hash) -> Vec<(Name, Version)> {
        let of_hash = self.held.iter().filter(|(_, held)| held.spec.manifest.code_hash == *hash);
        of_hash.map(|((name, _), held)| (*name, held.spec.version.clone())).collect()
    }

    /// The hashes that are wanted here.
    pub(crate) fn hashes(&self) -> BTreeSet<Hash> {
        specs(&self.view).map(|(_, spec)| spec.manifest.code_hash).collect()
    }

    /// The hashes whose code is not here.
    pub(crate) fn missing(&self) -> BTreeSet<Hash> {
        let missing = self.held.values().filter(|held| matches!(held.local, Local::Missing));
        missing.map(|held| held.spec.manifest.code_hash).collect()
    }

    /// All that is ready, and all that ends.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Arc<Slot>> {
        let ready = self.held.values().filter_map(|held| match &held.local {
            Local::Ready(slot) => Some(slot),
            Local::Waiting | Local::Missing | Local::Loading(_) | Local::Failed => None,
        });
        ready.chain(&self.draining)
    }

    /// Forgets everything, and returns what was ready.
    pub(crate) fn clear(&mut self) -> Vec<Arc<Slot>> {
        let slots = self.slots().cloned().collect();
        *self = Self::default();
        slots
    }

    /// Whether the next block is worth a look, even if it changes no plugin.
    pub(crate) fn is_restless(&self) -> bool {
        let is_settled = |held: &Held| match held.local {
            Local::Ready(_) | Local::Failed => true,
            Local::Waiting | Local::Missing | Local::Loading(_) => false,
        };
        !self.draining.is_empty() || !self.sent.is_empty() || !self.held.values().all(is_settled)
    }

    /// What the ledger is to be told now.
    pub(crate) fn what_to_tell(&mut self, patience: Patience) -> Vec<(Subject, bool)> {
        let due = self.due(patience);
        self.sent.retain(|subject, _| due.contains_key(subject));
        let mut to_tell = Vec::new();
        for (subject, is_good) in due {
            if self.said.contains(&subject.pool()) {
                self.sent.insert(subject, (is_good, self.height));
                continue;
            }
            let is_told = self
                .sent
                .get(&subject)
                .is_some_and(|(told, at)| *told == is_good && self.height.saturating_sub(*at) < patience.repeat_blocks);
            if is_told {
                continue;
            }
            // A failure that was told, and does not show: it was lost, or somebody has asked to load it again since, in the
            // very block that it arrived in. It is tried again in any case.
            let was_told = self.sent.remove(&subject).is_some();
            if !(was_told && self.try_again(&subject, is_good)) {
                to_tell.push((subject, is_good));
            }
        }
        to_tell
    }

    /// Loads a version again whose failure was told without effect. Whether it is.
    fn try_again(&mut self, subject: &Subject, is_good: bool) -> bool {
        let key = match subject {
            Subject::Load(plugin, version) => (*plugin, version.without_build()),
            Subject::Unload(..) | Subject::Health { .. } => return false,
        };
        let failed = self.held.get_mut(&key).filter(|held| !is_good && matches!(held.local, Local::Failed));
        failed.map(|held| held.local = Local::Waiting).is_some()
    }

    /// The outbox has taken it.
    pub(crate) fn told(&mut self, subject: Subject, is_good: bool) {
        self.sent.insert(subject, (is_good, self.height));
    }

    /// What holds here and does not show in the state.
    fn due(&self, patience: Patience) -> BTreeMap<Subject, bool> {
        let mut due = BTreeMap::new();
        for (name, wanted) in &self.view.plugins {
            let version = &wanted.current.version;
            match wanted.load_state {
                LoadState::Loading => {
                    let verdict = self.verdict(&key(name, &wanted.current), patience);
                    due.extend(verdict.map(|is_good| (Subject::Load(*name, version.clone()), is_good)));
                }
                LoadState::Unloading if self.is_gone(name) => {
                    due.insert(Subject::Unload(*name, version.clone()), true);
                }
                LoadState::Unloading
                | LoadState::Unloaded
                | LoadState::Pending
                | LoadState::Loaded
                | LoadState::Failed => {}
            }
            if let Some((canary, subject)) = wanted.canary.as_ref().zip(health(name, wanted)) {
                let is_healthy = match self.verdict(&key(name, &canary.spec), patience) {
                    Some(true) => self.checks.get(&subject).copied().flatten(),
                    verdict => verdict,
                };
                due.extend(is_healthy.map(|is_healthy| (subject, is_healthy)));
            }
        }
        due
    }

    /// Whether a version is ready, or will not be.
    fn verdict(&self, key: &Key, patience: Patience) -> Option<bool> {
        let held = self.held.get(key)?;
        let is_late = self.height.saturating_sub(held.since) > patience.patience_blocks;
        match held.local {
            Local::Ready(_) => Some(true),
            Local::Failed => Some(false),
            Local::Waiting | Local::Missing => is_late.then_some(false),
            Local::Loading(_) => None,
        }
    }

    /// Whether nothing of a plugin runs here, and nothing on the ledger holds it.
    fn is_gone(&self, plugin: &Name) -> bool {
        let is_held = |wanted: &Wanted| {
            wanted.load_state.pins_requirements()
                && wanted.current.manifest.requirements.iter().any(|requirement| requirement.plugin == *plugin)
        };
        !self.draining.iter().any(|slot| slot.identity.plugin == *plugin) && !self.view.plugins.values().any(is_held)
    }

    /// The reports that can be made now: with the number of the deployment while it is under way, else without one.
    ///
    /// Counts of a deployment that has ended wait while the version is in another one, whose figures they are not.
    pub(crate) fn reports(
        &mut self,
        is_registered: impl Fn(&Name, &Version) -> bool,
    ) -> Vec<(MeterKey, Option<u32>, Arc<Meter>)> {
        let plugins = &self.view.plugins;
        let mut reports = Vec::new();
        self.meters.retain(|key, meter| {
            let wanted = plugins.get(&key.plugin);
            let canary = wanted.and_then(|wanted| wanted.canary.as_ref());
            let now = canary.map(|canary| canary.deployment);
            let is_current = wanted.is_some_and(|wanted| {
                now == key.deployment && wanted.specs().any(|spec| spec.version.is_same(&key.version))
            });
            if meter.is_empty() {
                // Whoever counts now holds a clone.
                return is_current || Arc::strong_count(meter) > 1;
            }
            if !is_registered(&key.plugin, &key.version) {
                return false;
            }
            let is_arm = canary.is_some()
                && wanted.is_some_and(|wanted| {
                    let canary = canary.map(|canary| &canary.spec.version);
                    [Some(&wanted.current.version), canary].iter().flatten().any(|arm| arm.is_same(&key.version))
                });
            if key.deployment.is_some() && key.deployment == now {
                reports.push((key.clone(), now, Arc::clone(meter)));
            } else if !is_arm {
                reports.push((key.clone(), None, Arc::clone(meter)));
            }
            true
        });
        reports
    }
}

impl Subject {
    /// The command that says it.
    pub(crate) fn command(&self, is_good: bool) -> Command {
        match self.clone() {
            Self::Load(plugin, version) => Command::ReportLoad { plugin, version, ok: is_good },
            Self::Unload(plugin, version) => Command::ReportUnload { plugin, version, ok: is_good },
            Self::Health { plugin, version, .. } => Command::AttestHealth { plugin, version, healthy: is_good },
        }
    }
}

fn key(name: &Name, spec: &Spec) -> Key {
    (*name, spec.version.without_build())
}

fn specs(view: &View) -> impl Iterator<Item = (Key, &Spec)> {
    view.plugins.iter().flat_map(|(name, wanted)| wanted.specs().map(|spec| (key(name, spec), spec)))
}

/// The health of the new version of a plugin that is hosted, in the stage of its deployment.
fn health(name: &Name, wanted: &Wanted) -> Option<Subject> {
    let canary = wanted.canary.as_ref().filter(|_| wanted.is_hosted())?;
    let (version, deployment, stage) = (canary.spec.version.clone(), canary.deployment, canary.stage);
    Some(Subject::Health { plugin: *name, version, deployment, stage })
}

fn event(kind: HostEventKind, name: &Name, spec: &Spec, detail: &str) -> HostEvent {
    let version = Some((*name, spec.version.clone()));
    HostEvent { kind, version, hash: spec.manifest.code_hash, detail: detail.to_owned() }
}

fn gone(slot: &Slot) -> HostEvent {
    let version = Some((slot.identity.plugin, slot.identity.version.clone()));
    HostEvent { kind: HostEventKind::Unloaded, version, hash: slot.manifest.code_hash, detail: String::new() }
}
