//! The order of a block: what happens of its own accord, then the transactions, each of which takes effect whole or not
//! at all.

use coalmine_core::{Address, Block, BreakerClosedBy, Encode, Event, Outcome, Reason, Receipt, Reject, RollbackRule};

use crate::breaker::Breaker;
use crate::feature::{Feature, is_active};
use crate::plugins::Deployment;
use crate::raw::{self, Command, Sequence};
use crate::work::BLOCK_WORK;
use crate::{Model, Planted};

/// Why a block is not executed at all. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its height is not the next one.
    WrongHeight,
    /// A change to these rules is due in it, and this model does not know them.
    #[expect(missing_docs, reason = "the fields are as they are called")]
    UnknownRules { rules: u16, height: u32 },
}

/// Where a command comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// From a transaction of a block.
    Sent,
    /// From an entry of the schedule.
    Scheduled,
}

impl Model {
    /// Executes a block.
    ///
    /// # Errors
    /// [`Refused`], and then nothing has changed.
    pub fn execute(&mut self, block: &Block) -> Result<Outcome, Refused> {
        let h = u128::from(block.height());
        if self.tip.is_some_and(|tip| h != tip + 1) {
            return Err(Refused::WrongHeight);
        }
        let before = self.clone();
        self.work_left = BLOCK_WORK;
        self.rules_of_block = self.rules;
        if let Err(refused) = self.work_off(h) {
            *self = before;
            return Err(refused);
        }
        let receipts = block.payloads().map(|payload| self.payload(h, &payload.to_bytes())).collect();
        self.work_left = 0;
        self.tip = Some(h);
        Ok(Outcome { receipts, events: std::mem::take(&mut self.events) })
    }

    /// Executes empty blocks up to a height, and gives what came of those in which something may happen; the others are
    /// skipped. Before the first block there is nothing to do.
    ///
    /// # Errors
    /// [`Refused`], and then the block before it was the last.
    pub fn advance(&mut self, to: u32) -> Result<Vec<(u32, Outcome)>, Refused> {
        let mut outcomes = Vec::new();
        while let Some(tip) = self.tip.filter(|tip| *tip < u128::from(to)) {
            let next = self.busy_heights().into_iter().map(|due| due.max(tip + 1)).min();
            match next.filter(|next| *next <= u128::from(to)) {
                Some(next) => {
                    self.tip = Some(next - 1);
                    outcomes.push((next as u32, self.execute(&Block::empty(next as u32))?));
                }
                None => self.tip = Some(to.into()),
            }
        }
        Ok(outcomes)
    }

    /// The heights from which on a block without transactions does something.
    fn busy_heights(&self) -> Vec<u128> {
        let mut heights: Vec<u128> = self.schedule.keys().map(|(at, _)| *at).collect();
        heights.extend(self.pools.values().map(|pool| pool.due));
        let deployments = || self.plugins.values().filter_map(|plugin| plugin.deployment.as_ref());
        heights.extend(deployments().filter_map(Deployment::deadline_due));
        match self.breaker {
            Some(Breaker { draining: true, .. }) => heights.push(0),
            Some(Breaker { until: 0, .. }) => {}
            Some(Breaker { until, .. }) => heights.push(until),
            None => {
                heights.extend(self.features.values().filter_map(Feature::step_due));
                heights.extend(deployments().filter_map(|deployment| deployment.due));
                heights.extend(self.load_queue.iter().map(|(due, _)| *due));
            }
        }
        heights
    }

    /// What happens before the transactions: the breaker expires or drains, then comes what is due. Each kind has the
    /// whole budget of the block, so that none can starve another.
    fn work_off(&mut self, h: u128) -> Result<(), Refused> {
        let most = self.params.max_due_per_block as usize;
        let closing = h.saturating_sub(self.off_by(Planted::BreakerLate));
        if self.breaker.is_some_and(|breaker| breaker.until != 0 && closing >= breaker.until && !breaker.draining) {
            self.close_breaker(BreakerClosedBy::Expiry);
        }
        if !self.has(Planted::DrainLast) {
            self.drain(h, most);
        }
        self.close_rounds(h, most);
        self.run_deadlines(h, most);
        self.run_schedule(h, most)?;
        if self.has(Planted::DrainLast) {
            self.drain(h, most);
        }
        // Each asks anew: what ran before it may have opened the breaker.
        for run in [Self::run_steps, Self::run_looks, Self::run_load_queue] {
            if self.breaker.is_none() {
                run(self, h, most);
            }
        }
        Ok(())
    }

    /// Rolls back active features, and deployments, while the breaker drains.
    fn drain(&mut self, h: u128, most: usize) {
        if !self.breaker.is_some_and(|breaker| breaker.draining) {
            return;
        }
        for name in self.active_names().into_iter().take(most) {
            self.rollback(h, &name, Address::ZERO, RollbackRule::Breaker, Reason::CircuitBreaker);
        }
        for name in self.deploying_names().into_iter().take(most) {
            self.drain_deployment(h, &name);
        }
        if self.active_names().is_empty() && self.deploying_names().is_empty() {
            self.breaker.as_mut().unwrap().draining = false;
            self.events.push(Event::BreakerDrained);
        }
    }

    fn active_names(&self) -> Vec<Vec<u8>> {
        self.features.values().filter(|f| is_active(f.status)).map(|f| f.name.clone()).collect()
    }

    fn run_steps(&mut self, h: u128, most: usize) {
        let mut steps: Vec<(u128, Vec<u8>)> = self
            .features
            .values()
            .filter_map(|f| Some((f.step_due()?, f.name.clone())))
            .filter(|(due, _)| *due <= h + self.off_by(Planted::StepEarly))
            .collect();
        steps.sort();
        for (_, name) in steps.into_iter().take(most) {
            self.automatic_step(h, &name);
        }
    }

    pub(crate) fn payload(&mut self, h: u128, bytes: &[u8]) -> Receipt {
        let Some(tx) = raw::Transaction::under(self.rules_of_block, bytes) else {
            return Receipt::Rejected { reject: Reject::Malformed, index: 0 };
        };
        match self.take_sequence(h, &tx) {
            Ok(()) => self.transaction(h, tx.signer, Source::Sent, &tx.commands),
            Err(reject) => Receipt::Rejected { reject, index: 0 },
        }
    }

    /// Uses up the sequence of a transaction, whatever will become of its commands.
    fn take_sequence(&mut self, h: u128, tx: &raw::Transaction) -> Result<(), Reject> {
        if tx.sequence.is_none() && !self.params.sequenced {
            return Ok(());
        }
        if !self.roles.contains_key(&tx.signer) {
            return Err(Reject::Unauthorized);
        }
        let Sequence { number, valid_until } = tx.sequence.ok_or(Reject::BadSequence)?;
        let last = self.sequences.get(&tx.signer).copied().unwrap_or(0);
        if number == 0 || u128::from(number) + self.off_by(Planted::SequenceTwice) <= u128::from(last) {
            return Err(Reject::BadSequence);
        }
        if valid_until != 0 && h > u128::from(valid_until) && !self.has(Planted::ExpiredRuns) {
            return Err(Reject::Expired);
        }
        self.sequences.insert(tx.signer, number);
        Ok(())
    }

    /// Runs all commands of a transaction; if one is rejected, none has an effect. What they have paid stays paid.
    pub(crate) fn transaction(&mut self, h: u128, actor: Address, source: Source, commands: &[Command]) -> Receipt {
        let before = self.clone();
        for (index, command) in commands.iter().enumerate() {
            if let Err(reject) = self.command(h, actor, source, command) {
                if !self.has(Planted::RejectLeaves) {
                    let work_left = if self.has(Planted::UndoRefunds) { before.work_left } else { self.work_left };
                    *self = Self { work_left, ..before };
                }
                return Receipt::Rejected { reject, index: index as u8 };
            }
        }
        Receipt::Ok
    }
}
