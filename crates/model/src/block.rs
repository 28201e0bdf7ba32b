//! The order of a block: what happens of its own accord, then the transactions, each of which takes effect whole or not
//! at all.

use coalmine_core::{Address, Block, BreakerClosedBy, Encode, Event, Outcome, Reason, Receipt, Reject, RollbackRule};

use crate::breaker::Scheduled;
use crate::feature::is_active;
use crate::raw::{self, Command};
use crate::{Model, Planted};

/// The error for a block whose height is not the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongHeight;

impl Model {
    /// Executes a block.
    ///
    /// # Errors
    /// [`WrongHeight`] for any but the next height; then nothing has changed.
    pub fn execute(&mut self, block: &Block) -> Result<Outcome, WrongHeight> {
        let h = u128::from(block.height());
        if self.tip.is_some_and(|tip| h != tip + 1) {
            return Err(WrongHeight);
        }
        let closing = h.saturating_sub(self.off_by(Planted::BreakerLate));
        if self.breaker.is_some_and(|breaker| breaker.until != 0 && closing >= breaker.until && !breaker.draining) {
            self.close_breaker(BreakerClosedBy::Expiry);
        }
        let used = self.run_due(h);
        self.drain(h, used);
        let receipts = block.payloads().map(|payload| self.payload(h, &payload.to_bytes())).collect();
        self.tip = Some(h);
        Ok(Outcome { receipts, events: std::mem::take(&mut self.events) })
    }

    /// Runs due work: scheduled entries, steps, then what is due of plugins. Gives how many entries were worked off.
    fn run_due(&mut self, h: u128) -> u128 {
        let mut used = 0;
        let scheduled: Vec<(u128, u128)> = self.schedule.keys().copied().filter(|(at, _)| *at <= h).collect();
        for key in scheduled {
            if used == self.max_due_per_block {
                return used;
            }
            let Some(Scheduled { actor, commands }) = self.schedule.remove(&key) else { continue };
            let receipt = self.transaction(h, actor, &commands);
            self.events.push(Event::ScheduleExecuted {
                id: key.1 as u64,
                code: receipt.code(),
                index: receipt.index(),
            });
            used += 1;
        }
        if self.breaker.is_some() {
            return used;
        }
        let mut steps: Vec<(u128, Vec<u8>)> = self
            .features
            .values()
            .filter_map(|f| Some((f.step_due()?, f.name.clone())))
            .filter(|(due, _)| *due <= h + self.off_by(Planted::StepEarly))
            .collect();
        steps.sort();
        for (_, name) in steps {
            if used == self.max_due_per_block {
                return used;
            }
            self.step(h, &name, Address::ZERO);
            used += 1;
        }
        self.run_due_plugins(h, used)
    }

    /// Rolls back active features, then deployments, while the breaker drains, within what due work has left of the
    /// block's budget. A breaker that opened in this very block drains from the next block on.
    pub(crate) fn drain(&mut self, h: u128, used: u128) {
        if !self.breaker.is_some_and(|breaker| breaker.draining && breaker.since < h) {
            return;
        }
        let mut left = self.max_due_per_block - used;
        for name in self.active_names() {
            if left > 0 {
                self.rollback(h, &name, Address::ZERO, RollbackRule::Breaker, Reason::CircuitBreaker);
                left -= 1;
            }
        }
        for name in self.deploying_names() {
            if left > 0 {
                self.drain_deployment(h, &name);
                left -= 1;
            }
        }
        if self.active_names().is_empty() && self.deploying_names().is_empty() {
            self.breaker.as_mut().unwrap().draining = false;
            self.events.push(Event::BreakerDrained);
        }
    }

    fn active_names(&self) -> Vec<Vec<u8>> {
        self.features.values().filter(|f| is_active(f.status)).map(|f| f.name.clone()).collect()
    }

    pub(crate) fn payload(&mut self, h: u128, bytes: &[u8]) -> Receipt {
        match raw::Transaction::from_bytes(bytes) {
            Some(tx) => self.transaction(h, tx.signer, &tx.commands),
            None => Receipt::Rejected { reject: Reject::Malformed, index: 0 },
        }
    }

    /// Runs all commands of a transaction; if one is rejected, none has an effect.
    fn transaction(&mut self, h: u128, actor: Address, commands: &[Command]) -> Receipt {
        let before = self.clone();
        for (index, command) in commands.iter().enumerate() {
            if let Err(reject) = self.command(h, actor, command) {
                if !self.has(Planted::RejectLeaves) {
                    *self = before;
                }
                return Receipt::Rejected { reject, index: index as u8 };
            }
        }
        Receipt::Ok
    }
}
