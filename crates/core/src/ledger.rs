//! The global record of the ledger, its parameters, and the sets of roles.

use core::num::NonZeroU32;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feature::record::Reason;
use crate::values::{Address, ChainId, FORMAT, Height, RULES, Roles};

/// The circuit breaker while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenBreaker {
    /// Whether it still rolls back every active feature.
    pub draining: bool,
    /// The height at which it opened.
    pub since: Height,
    /// The height at which it closes without a command; none = when it is reset.
    pub until: Option<NonZeroU32>,
    /// Why it opened.
    pub reason: Reason,
    /// Who opened it; zero when it opened by itself.
    pub actor: Address,
}

impl OpenBreaker {
    /// What stands in the bytes where the breaker is closed.
    const CLOSED: Self = Self { draining: false, since: 0, until: None, reason: Reason::Manual, actor: Address::ZERO };
}

/// The parameters of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// How much due work one block does at most; at least 1.
    pub max_due_per_block: u32,
    /// This many rollbacks by the guard within the window open the breaker; none = off.
    pub breaker_rollbacks: Option<NonZeroU32>,
    /// The window of `breaker_rollbacks`, in blocks; not 0 while that is on.
    pub breaker_window: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { max_due_per_block: 1_000, breaker_rollbacks: None, breaker_window: 0 }
    }
}

impl Params {
    /// Whether the parameters obey their rules together.
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

/// The one global record: D4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global {
    /// The id of the ledger.
    pub chain: ChainId,
    /// How many addresses hold Admin.
    pub admins: u32,
    /// The circuit breaker, if it is open.
    pub breaker: Option<OpenBreaker>,
    /// The id that the next scheduled entry gets.
    pub next_schedule_id: u64,
    /// Where the window of counted rollbacks starts.
    pub rollback_window_start: Height,
    /// Rollbacks by the guard counted in the window.
    pub rollbacks_in_window: u32,
    /// The parameters.
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
