//! Rounds: what reporters say is collected in pools, and acts when its round ends if a quorum of them said it.

use std::collections::BTreeMap;

use coalmine_core::{Address, Decode, Event, LoadState, Reject};
use semver::Version;

use crate::feature::{Figures, is_on};
use crate::raw::put_lp8;
use crate::{ADMIN, Model, Planted, REPORTER, U32_MAX, U64_MAX};

/// The kinds of pools.
pub(crate) const REPORTS: u8 = 0;
pub(crate) const VERSION_REPORTS: u8 = 1;
pub(crate) const HEALTH_VOTES: u8 = 2;
pub(crate) const LOAD_VOTES: u8 = 3;
pub(crate) const UNLOAD_VOTES: u8 = 4;

const REPORTERS_MAX: usize = 64;

/// The places in an entry of reports and of reports of versions alike: errors, latency_total. The first is the
/// successes of the former, the requests of the latter.
const ERRORS: usize = 1;
const LATENCY: usize = 2;
/// The places in an entry of reports alone.
const PEAK: usize = 3;
const CHECKS: usize = 4;
const FAILURES: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub(crate) kind: u8,
    /// A feature or a plugin.
    pub(crate) subject: Vec<u8>,
    /// Without build metadata; empty for a feature.
    pub(crate) version: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) due: u128,
    /// The numbers of each reporter, or its vote as a single one.
    pub(crate) entries: BTreeMap<Address, Entry>,
}

pub(crate) type Entry = Vec<u128>;

impl PoolKey {
    pub(crate) fn of_feature(name: &[u8]) -> Self {
        Self { kind: REPORTS, subject: name.to_vec(), version: Vec::new() }
    }

    pub(crate) fn of_version(kind: u8, plugin: &[u8], version: &Version) -> Self {
        Self { kind, subject: plugin.to_vec(), version: version.to_string().into_bytes() }
    }

    /// Whether its entries are numbers and not votes.
    pub(crate) fn has_numbers(&self) -> bool {
        self.kind == REPORTS || self.kind == VERSION_REPORTS
    }

    fn operations(&self, entry: &Entry) -> u128 {
        if self.kind == REPORTS { (entry[0] + entry[ERRORS]).min(U64_MAX) } else { entry[0] }
    }
}

impl Model {
    pub(crate) fn has_rounds(&self) -> bool {
        self.params.round_blocks > 0
    }

    fn quorum(&self) -> usize {
        if self.has(Planted::RoundOfOne) { 1 } else { self.params.quorum.into() }
    }

    /// Adds what a reporter says to a pool, which it opens if it is the first.
    pub(crate) fn pool(&mut self, h: u128, reporter: Address, key: PoolKey, said: Entry) -> Result<(), Reject> {
        let blocks = u128::from(self.params.round_blocks);
        let due = (h / blocks + 1) * blocks;
        let is_full = |pool: &Pool| pool.entries.len() >= REPORTERS_MAX && !pool.entries.contains_key(&reporter);
        if self.pools.get(&key).map_or(due > U32_MAX, is_full) {
            return Err(Reject::LimitExceeded);
        }
        let has_numbers = key.has_numbers();
        let pool = self.pools.entry(key).or_insert_with(|| Pool { due, entries: BTreeMap::new() });
        match pool.entries.get_mut(&reporter) {
            Some(entry) if has_numbers => {
                for (place, (sum, n)) in entry.iter_mut().zip(said).enumerate() {
                    *sum = if place == PEAK { (*sum).max(n) } else { (*sum + n).min(U64_MAX) };
                }
            }
            Some(_) | None => {
                pool.entries.insert(reporter, said);
            }
        }
        Ok(())
    }

    /// Forgets what was said about the versions of a deployment.
    pub(crate) fn drop_deployment_pools(&mut self, plugin: &[u8], versions: [&Version; 2]) {
        for version in versions {
            self.pools.remove(&PoolKey::of_version(VERSION_REPORTS, plugin, version));
            self.pools.remove(&PoolKey::of_version(HEALTH_VOTES, plugin, version));
        }
    }

    /// The open pools in the order of the keys of due work, in which lengths come before names.
    pub(crate) fn pools_in_order(&self) -> Vec<PoolKey> {
        let mut keys: Vec<PoolKey> = self.pools.keys().cloned().collect();
        keys.sort_by_cached_key(|key| {
            let PoolKey { kind, subject, version } = key.clone();
            (self.pools[key].due, kind, subject.len(), subject, version.len(), version)
        });
        keys
    }

    /// Closes at most so many pools that are due.
    pub(crate) fn close_rounds(&mut self, h: u128, most: usize) {
        let mut used = 0;
        for key in self.pools_in_order().into_iter().filter(|key| self.pools[key].due <= h).collect::<Vec<_>>() {
            if used < most
                && let Some(pool) = self.pools.remove(&key)
            {
                self.close(h, &key, pool);
                used += 1;
            }
        }
    }

    fn close(&mut self, h: u128, key: &PoolKey, pool: Pool) {
        let counts = |(reporter, _): &(Address, Entry)| {
            self.is_any_of(reporter, REPORTER | ADMIN) || self.has(Planted::RoundOfAnybody)
        };
        let entries: Vec<(Address, Entry)> = pool.entries.into_iter().filter(counts).collect();
        if key.has_numbers() {
            self.close_numbers(h, key, &entries);
        } else {
            self.close_votes(h, key, &entries);
        }
    }

    fn close_numbers(&mut self, h: u128, key: &PoolKey, entries: &[(Address, Entry)]) {
        let quorum = self.quorum();
        let entries: Vec<&Entry> = entries.iter().map(|(_, entry)| entry).collect();
        let mut busy = entries.clone();
        busy.retain(|entry| key.operations(entry) > 0);
        let mut checkers = entries.clone();
        checkers.retain(|entry| key.kind == REPORTS && entry[CHECKS] > 0);
        if busy.len() < quorum && checkers.len() < quorum {
            self.tell_short(key, busy.len());
            return;
        }
        let mut figures = Figures::default();
        if busy.len() >= quorum {
            // Sorting keeps the order of addresses among equals.
            let by_rate = |place: usize| {
                let mut sorted = busy.clone();
                sorted.sort_by(|a, b| (a[place] * key.operations(b)).cmp(&(b[place] * key.operations(a))));
                sorted[sorted.len() / 2]
            };
            let median = |mut sorted: Vec<u128>| {
                sorted.sort();
                sorted[sorted.len() / 2]
            };
            let operations = median(busy.iter().map(|entry| key.operations(entry)).collect());
            let of_errors = by_rate(ERRORS);
            figures.errors = (of_errors[ERRORS] * operations).div_ceil(key.operations(of_errors));
            figures.successes = operations - figures.errors;
            let of_latency = by_rate(LATENCY);
            figures.latency_total = (of_latency[LATENCY] * operations / key.operations(of_latency)).min(U64_MAX);
            if key.kind == REPORTS {
                figures.latency_peak = median(busy.iter().map(|entry| entry[PEAK]).collect());
            }
        }
        if checkers.len() >= quorum {
            checkers.sort_by(|a, b| b[FAILURES].cmp(&a[FAILURES]));
            let seen_by_quorum = checkers[quorum - 1];
            figures.invariant_checks = seen_by_quorum[CHECKS];
            figures.invariant_failures = seen_by_quorum[FAILURES];
        }
        let acts = if key.kind == REPORTS {
            self.features.get(&key.subject).is_some_and(|f| is_on(f.status))
        } else {
            self.takes_version_report(&key.subject, &key.version, &figures)
        };
        self.tell_closed(key, entries.len(), acts);
        if !acts {
            return;
        }
        if key.kind == REPORTS {
            self.take_report(h, &key.subject, &figures);
        } else {
            self.take_version_report(h, &key.subject, &key.version, &figures);
        }
    }

    fn close_votes(&mut self, h: u128, key: &PoolKey, entries: &[(Address, Entry)]) {
        let quorum = self.quorum();
        let has_quorum = |vote: bool| entries.iter().filter(|(_, entry)| (entry[0] == 1) == vote).count() >= quorum;
        // On health the bad news is heard first, on loading the good.
        let order = if key.kind == HEALTH_VOTES { [false, true] } else { [true, false] };
        let Some(vote) = order.into_iter().find(|vote| has_quorum(*vote)) else {
            self.tell_short(key, entries.len());
            return;
        };
        let (name, version) = (&key.subject, &key.version);
        let has_state =
            |state: LoadState| self.loaded_version(name, version).is_ok_and(|(load_state, _)| load_state == state);
        let acts = match key.kind {
            HEALTH_VOTES => self.is_canary(name, version),
            LOAD_VOTES => has_state(LoadState::Loading),
            _ => has_state(LoadState::Unloading) && !self.has_dependents(name),
        };
        self.tell_closed(key, entries.len(), acts);
        if !acts {
            return;
        }
        let taken = match key.kind {
            HEALTH_VOTES => {
                self.take_attestation(h, name, version, vote);
                Ok(())
            }
            LOAD_VOTES => self.take_load_report(h, Address::ZERO, name, version, vote),
            _ => self.take_unload_report(h, Address::ZERO, name, version, vote),
        };
        taken.expect("what acts was accepted");
    }

    fn tell_closed(&mut self, key: &PoolKey, reporters: usize, acted: bool) {
        self.tell_round(19, key, [reporters as u8, acted.into()]);
    }

    fn tell_short(&mut self, key: &PoolKey, reporters: usize) {
        self.tell_round(20, key, [reporters as u8, self.params.quorum]);
    }

    /// The event of this code. It is made from its bytes: the pool that it names is of core's own making.
    fn tell_round(&mut self, code: u8, key: &PoolKey, rest: [u8; 2]) {
        let mut bytes = vec![code, key.kind];
        put_lp8(&mut bytes, &key.subject);
        put_lp8(&mut bytes, &key.version);
        bytes.extend(rest);
        self.events.push(Event::from_bytes(&bytes).expect("the event is encoded as the format says"));
    }
}
