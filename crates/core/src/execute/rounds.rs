//! Rounds: what is reported goes into pools, and acts when they close.
//!
//! With rounds off a report acts at once; then nothing here is called but for pools that are still open.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::event::Event;
use crate::execute::executor::Executor;
use crate::reject::Reject;
use crate::rounds::closing::{Closed, close_reports, close_version_reports, close_votes};
use crate::rounds::{OpenPool, Pool, PoolEntry, PoolKind};
use crate::values::{Address, Height, Role};

/// Reported when a pool about a version names none.
const NO_VERSION: &str = "a pool about a plugin has no version";

impl Executor<'_> {
    /// Adds what a reporter says to its pool, which the first one opens: the end of a report while rounds are on.
    ///
    /// A pool takes a limited number of reporters, and closes at a height that there is.
    pub(super) fn add_to_pool(
        &mut self,
        round_blocks: NonZeroU32,
        pool: Pool,
        reporter: &Address,
        entry: PoolEntry,
    ) -> Result<(), Reject> {
        let mut open = match self.overlay.pool(&pool) {
            Some(open) => open.clone(),
            None => {
                let elapsed = self.height % round_blocks;
                let due = self.height.saturating_sub(elapsed).checked_add(round_blocks.get());
                OpenPool { due: due.ok_or(Reject::LimitExceeded)?, entries: Vec::new() }
            }
        };
        let is_full = open.entries.len() >= Pool::REPORTERS_MAX;
        match open.entries.iter_mut().find(|(known, _)| known == reporter) {
            Some((_, so_far)) => *so_far = so_far.with(entry),
            None if is_full => return Err(Reject::LimitExceeded),
            None => {
                let place = open.entries.partition_point(|(known, _)| known < reporter);
                open.entries.insert(place, (*reporter, entry));
            }
        }
        // From here on the command succeeds.
        self.overlay.set_pool(pool, Some(open));
        Ok(())
    }

    /// Deletes a pool whose subject has moved on; what was seen of the past does not judge what follows.
    pub(super) fn drop_pool(&mut self, pool: Pool) {
        if self.overlay.pool(&pool).is_some() {
            self.overlay.set_pool(pool, None);
        }
    }

    /// Closes the pool that the index has at `at`, unless this block has removed it. Returns whether it was due.
    pub(super) fn close_round(&mut self, pool: &Pool, at: Height) -> bool {
        let Some(open) = self.overlay.pool(pool).filter(|open| open.due == at).cloned() else { return false };
        let mut entries = open.entries;
        entries.retain(|(reporter, _)| self.overlay.roles_of(reporter).allows(Role::Reporter));
        self.overlay.set_pool(pool.clone(), None);
        self.overlay.keep();
        let reporters = entries.len();
        match pool.kind() {
            PoolKind::Report => {
                let totals: Vec<_> =
                    entries.iter().filter_map(|(reporter, entry)| Some((*reporter, entry.totals()?))).collect();
                let Some(report) = self.closed(pool, close_reports(&totals, self.quorum())) else { return true };
                let acts = self.accepts_report(pool.subject());
                self.round_closed(pool, reporters, acts, |executor| executor.apply_report(pool.subject(), &report));
            }
            PoolKind::VersionReport => {
                let counts: Vec<_> =
                    entries.iter().filter_map(|(reporter, entry)| Some((*reporter, entry.counts()?))).collect();
                let Some(report) = self.closed(pool, close_version_reports(&counts, self.quorum())) else {
                    return true;
                };
                let Some(version) = pool.version() else {
                    self.out.broken(NO_VERSION);
                    return true;
                };
                let plugin = pool.subject();
                let acts = self.accepts_version_report(plugin, version, &report);
                self.round_closed(pool, reporters, acts, |executor| {
                    executor.apply_version_report(plugin, version, &report);
                });
            }
            kind @ (PoolKind::Health | PoolKind::Load | PoolKind::Unload) => {
                let votes: Vec<_> = entries.iter().filter_map(|(_, entry)| entry.vote()).collect();
                let Some(vote) = self.closed(pool, close_votes(kind, &votes, self.quorum())) else { return true };
                let Some(version) = pool.version() else {
                    self.out.broken(NO_VERSION);
                    return true;
                };
                let plugin = pool.subject();
                let acts = match kind {
                    PoolKind::Load => self.accepts_load_report(plugin, version),
                    PoolKind::Unload => self.accepts_unload_report(plugin, version),
                    PoolKind::Health | PoolKind::Report | PoolKind::VersionReport => {
                        self.accepts_attestation(plugin, version)
                    }
                };
                self.round_closed(pool, reporters, acts, |executor| match kind {
                    PoolKind::Load => executor.apply_load_report(&Address::ZERO, plugin, vote),
                    PoolKind::Unload => executor.apply_unload_report(&Address::ZERO, plugin, vote),
                    PoolKind::Health | PoolKind::Report | PoolKind::VersionReport => {
                        executor.apply_attestation(plugin, version, vote);
                    }
                });
            }
        }
        true
    }

    fn quorum(&self) -> usize {
        self.overlay.global.params.quorum.into()
    }

    /// What a round says; `None`, and an event, if too few reporters counted.
    fn closed<T>(&mut self, pool: &Pool, closed: Closed<T>) -> Option<T> {
        let quorum = self.overlay.global.params.quorum;
        let short = |reporters| Event::RoundShort { pool: pool.clone(), reporters: count(reporters), quorum };
        closed.map_err(|reporters| self.out.event(short(reporters))).ok()
    }

    /// Tells that a round has closed, and acts if its subject still accepts what it says.
    fn round_closed(&mut self, pool: &Pool, reporters: usize, acted: bool, act: impl FnOnce(&mut Self)) {
        self.out.event(Event::RoundClosed { pool: pool.clone(), reporters: count(reporters), acted });
        if acted {
            act(self);
        }
    }
}

/// A pool has at most [`Pool::REPORTERS_MAX`] reporters.
fn count(reporters: usize) -> u8 {
    u8::try_from(reporters).unwrap_or(u8::MAX)
}
