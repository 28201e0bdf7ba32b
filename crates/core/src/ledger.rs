//! The global record: chain id, circuit breaker, parameters; and the encoding of role sets.

use core::num::NonZeroU32;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feature::record::Reason;
use crate::values::{Address, ChainId, FORMAT, Height, RULES, Roles};

/// The circuit breaker while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenBreaker {
    /// Whether features and deployments are still being rolled back, block by block.
    pub draining: bool,
    /// The height of the block that opened it.
    pub since: Height,
    /// The height from which it closes without a command; `None`: only reset_breaker closes it.
    pub until: Option<NonZeroU32>,
    /// Why it opened; of an automatic opening, the reason of the rollback that was one too many.
    pub reason: Reason,
    /// Who opened it; zero if automatic rollbacks did.
    pub actor: Address,
}

impl OpenBreaker {
    /// The field values that encode a closed breaker; any others would be a second encoding of it.
    const CLOSED: Self = Self { draining: false, since: 0, until: None, reason: Reason::Manual, actor: Address::ZERO };
}

/// Settings of the ledger as a whole, changed by set_params.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// The most pieces of due work that one block does; at least 1. Bounds the time of a block.
    pub max_due_per_block: u32,
    /// So many automatic rollbacks within the window open the breaker; `None`: they never do.
    pub breaker_rollbacks: Option<NonZeroU32>,
    /// Length of that window in blocks; not 0 if `breaker_rollbacks` is set.
    pub breaker_window: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { max_due_per_block: 1_000, breaker_rollbacks: None, breaker_window: 0 }
    }
}

impl Params {
    /// Whether the parameters are in range and do not contradict each other.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.max_due_per_block != 0 && (self.breaker_rollbacks.is_none() || self.breaker_window != 0)
    }
}

impl Encode for Params {
    fn encode(&self, out: &mut Writer) {
        out.u32(self.max_due_per_block);
        out.nonzero_u32(self.breaker_rollbacks);
        out.u32(self.breaker_window);
    }
}

impl Decode for Params {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let params = Self {
            max_due_per_block: input.u32()?,
            breaker_rollbacks: input.nonzero_u32()?,
            breaker_window: input.u32()?,
        };
        if params.is_valid() { Ok(params) } else { Err(input.error(DecodeErrorKind::OutOfRange)) }
    }
}

/// The single global record (key `D4`). Its first bytes are the numbers of the format and the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global {
    /// The id of the ledger, from the genesis.
    pub chain: ChainId,
    /// How many addresses have Admin; never 0. Kept so that revoking the last one is rejected without a scan.
    pub admins: u32,
    /// The circuit breaker; `None` while it is closed.
    pub breaker: Option<OpenBreaker>,
    /// The id of the next scheduled entry; ids are never reused.
    pub next_schedule_id: u64,
    /// The height at which the current window of counted rollbacks starts.
    pub rollback_window_start: Height,
    /// Automatic rollbacks counted in that window.
    pub rollbacks_in_window: u32,
    /// The settings in force.
    pub params: Params,
}

impl Encode for Global {
    fn encode(&self, out: &mut Writer) {
        out.u16(FORMAT);
        out.u16(RULES);
        out.lp8(self.chain.as_bytes());
        out.u32(self.admins);
        out.bool(self.breaker.is_some());
        let breaker = self.breaker.unwrap_or(OpenBreaker::CLOSED);
        out.bool(breaker.draining);
        out.u32(breaker.since);
        out.nonzero_u32(breaker.until);
        breaker.reason.encode(out);
        out.address(&breaker.actor);
        out.u64(self.next_schedule_id);
        out.u32(self.rollback_window_start);
        out.u32(self.rollbacks_in_window);
        self.params.encode(out);
    }
}

impl Decode for Global {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.u16()? != FORMAT || input.u16()? != RULES {
            return Err(input.error(DecodeErrorKind::UnknownTag));
        }
        let chain = input.lp8()?;
        let chain = ChainId::new(chain).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?;
        let admins = input.u32()?;
        let open = input.bool()?;
        let breaker = OpenBreaker {
            draining: input.bool()?,
            since: input.u32()?,
            until: input.nonzero_u32()?,
            reason: Reason::decode(input)?,
            actor: input.address()?,
        };
        if !open && breaker != OpenBreaker::CLOSED {
            return Err(input.error(DecodeErrorKind::NotCanonical));
        }
        Ok(Self {
            chain,
            admins,
            breaker: open.then_some(breaker),
            next_schedule_id: input.u64()?,
            rollback_window_start: input.u32()?,
            rollbacks_in_window: input.u32()?,
            params: Params::decode(input)?,
        })
    }
}

impl Encode for Roles {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.mask());
    }
}

impl Decode for Roles {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mask = input.u8()?;
        let roles = Roles::from_mask(mask).ok_or(input.error(DecodeErrorKind::UnknownTag))?;
        if roles.is_empty() { Err(input.error(DecodeErrorKind::OutOfRange)) } else { Ok(roles) }
    }
}
