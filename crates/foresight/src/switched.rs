//! Who is switched on and who off between two states, and which version serves whom.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::{Address, Bps, Hold, Name, Percent, State, Status, Version};

/// The users of whom it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// These, one answer for each: exact.
    List(Vec<Address>),
    /// So many derived addresses, which stand for all: an estimate, in which overrides of real users do not show.
    Sample(u32),
}

impl Users {
    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        match self {
            Self::List(users) => users.clone(),
            Self::Sample(count) => sample(*count).collect(),
        }
    }
}

/// Derived addresses, always the same, spread evenly: what an estimate is made of.
pub fn sample(count: u32) -> impl Iterator<Item = Address> {
    (0..count).map(|number| {
        let mut address = [0; Address::LEN];
        let mut seed = u64::from(number);
        for part in address.chunks_mut(8) {
            // SplitMix64: every bit of the number reaches every bit of the address.
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = seed;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            part.iter_mut().zip(mixed.to_be_bytes()).for_each(|(byte, from)| *byte = from);
        }
        Address(address)
    })
}

/// A feature before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureShift {
    /// The feature.
    pub name: Name,
    /// Status and percentage before; `None` if it did not exist.
    pub before: Option<(Status, Percent)>,
    /// Status and percentage after.
    pub after: Option<(Status, Percent)>,
    /// How many of the users had it on before.
    pub on_before: u64,
    /// How many of them have it on after.
    pub on_after: u64,
    /// Those who are switched on, in the order in which they were given.
    pub switched_on: Vec<Address>,
    /// Those who are switched off.
    pub switched_off: Vec<Address>,
}

/// How the units of a plugin are shared out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginShare {
    /// The version that serves everybody else.
    pub current: Version,
    /// The new version of a deployment, its share, and what holds it.
    pub canary: Option<(Version, Bps, Hold)>,
}

/// A plugin before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginShift {
    /// The plugin.
    pub name: Name,
    /// Its versions and shares before; `None` if it did not exist.
    pub before: Option<PluginShare>,
    /// Its versions and shares after.
    pub after: Option<PluginShare>,
    /// Who is served by another version, by the two versions.
    pub moves: Vec<Move>,
}

/// Users whom another version serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The version that served them; `None` before the plugin existed.
    pub from: Option<Version>,
    /// The version that serves them.
    pub to: Option<Version>,
    /// Who they are, in the order in which they were given.
    pub users: Vec<Address>,
}

/// The features and what rests on them, over all paths of prerequisites.
pub(crate) fn with_dependents(state: &State, mut names: BTreeSet<Name>) -> BTreeSet<Name> {
    if names.is_empty() {
        return names;
    }
    let mut dependents: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    for feature in state.features() {
        for prerequisite in state.policy(&feature.name).into_iter().flat_map(|policy| &policy.prerequisites) {
            dependents.entry(*prerequisite).or_default().push(feature.name);
        }
    }
    let mut open: Vec<Name> = names.iter().copied().collect();
    while let Some(name) = open.pop() {
        let found = dependents.get(&name).into_iter().flatten();
        open.extend(found.filter(|dependent| names.insert(**dependent)));
    }
    names
}

pub(crate) fn feature_shift(before: &State, after: &State, name: &Name, users: &[Address]) -> FeatureShift {
    let standing = |state: &State| state.feature(name).map(|feature| (feature.status, feature.rollout_percent));
    let handles = (before.resolve(name), after.resolve(name));
    let mut shift = FeatureShift {
        name: *name,
        before: standing(before),
        after: standing(after),
        on_before: 0,
        on_after: 0,
        switched_on: Vec::new(),
        switched_off: Vec::new(),
    };
    for user in users {
        let was_on = handles.0.is_some_and(|handle| before.is_enabled_by(handle, user));
        let is_on = handles.1.is_some_and(|handle| after.is_enabled_by(handle, user));
        shift.on_before = shift.on_before.saturating_add(was_on.into());
        shift.on_after = shift.on_after.saturating_add(is_on.into());
        match (was_on, is_on) {
            (false, true) => shift.switched_on.push(*user),
            (true, false) => shift.switched_off.push(*user),
            (true, true) | (false, false) => {}
        }
    }
    shift
}

pub(crate) fn plugin_share(state: &State, name: &Name) -> Option<PluginShare> {
    let current = state.plugin(name)?.current.clone();
    let canary = state.deployment(name);
    let canary = canary.map(|deployment| (deployment.new.clone(), deployment.share(), deployment.hold));
    Some(PluginShare { current, canary })
}

pub(crate) fn plugin_shift(before: &State, after: &State, name: &Name, users: &[Address]) -> PluginShift {
    let mut moves: Vec<Move> = Vec::new();
    for user in users {
        let (from, to) = (before.route(name, &user.0), after.route(name, &user.0));
        if from == to {
            continue;
        }
        match moves.iter_mut().find(|known| known.from.as_ref() == from && known.to.as_ref() == to) {
            Some(known) => known.users.push(*user),
            None => moves.push(Move { from: from.cloned(), to: to.cloned(), users: vec![*user] }),
        }
    }
    PluginShift { name: *name, before: plugin_share(before, name), after: plugin_share(after, name), moves }
}
