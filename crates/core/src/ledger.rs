//! The global record: chain id, circuit breaker, parameters; and the encoding of role sets.

use core::num::NonZeroU32;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feature::record::Reason;
use crate::rules::RuleSet;
use crate::valid::Validate;
use crate::values::{Address, ChainId, FORMAT, Height, Roles, ValueError};

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
    /// Blocks between the schedule of a command that raises exposure or power and its execution; `None`: it may be
    /// sent as any other. At most [`Params::BLOCKS_MAX`].
    pub timelock: Option<NonZeroU32>,
    /// Whether every transaction needs a sequence.
    pub sequenced: bool,
    /// Length of a round of reports in blocks; `None`: each report acts at once. At most [`Params::BLOCKS_MAX`].
    pub round_blocks: Option<NonZeroU32>,
    /// How many reporters it takes for a round to act, 1 to [`Params::QUORUM_MAX`].
    pub quorum: u8,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            max_due_per_block: 1_000,
            breaker_rollbacks: None,
            breaker_window: 0,
            timelock: None,
            sequenced: false,
            round_blocks: None,
            quorum: 1,
        }
    }
}

impl Params {
    /// The longest timelock and the longest round, in blocks: a longer one would close the ledger for good.
    pub const BLOCKS_MAX: u32 = 1_000_000;
    /// The largest quorum, which is the most reporters that a round takes.
    pub const QUORUM_MAX: u8 = 64;

    /// Whether the parameters are in range and do not contradict each other.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.are_in_range() && (self.breaker_rollbacks.is_none() || self.breaker_window != 0)
    }

    fn are_in_range(&self) -> bool {
        let is_short = |blocks: Option<NonZeroU32>| blocks.is_none_or(|blocks| blocks.get() <= Self::BLOCKS_MAX);
        let has_quorum = (1..=Self::QUORUM_MAX).contains(&self.quorum);
        self.max_due_per_block != 0 && has_quorum && is_short(self.timelock) && is_short(self.round_blocks)
    }
}

/// Parameters that set_params may set; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParamsChanges {
    /// See [`Params::max_due_per_block`].
    pub max_due_per_block: Option<u32>,
    /// See [`Params::breaker_rollbacks`]; 0 turns this off.
    pub breaker_rollbacks: Option<u32>,
    /// See [`Params::breaker_window`].
    pub breaker_window: Option<u32>,
    /// See [`Params::timelock`]; 0 turns it off.
    pub timelock: Option<u32>,
    /// See [`Params::sequenced`].
    pub sequenced: Option<bool>,
    /// See [`Params::round_blocks`]; 0 turns rounds off.
    pub round_blocks: Option<u32>,
    /// See [`Params::quorum`].
    pub quorum: Option<u8>,
}

impl ParamsChanges {
    /// The parameters after the changes. They may contradict each other.
    #[must_use]
    pub fn apply_to(&self, params: &Params) -> Params {
        Params {
            max_due_per_block: self.max_due_per_block.unwrap_or(params.max_due_per_block),
            breaker_rollbacks: self.breaker_rollbacks.map_or(params.breaker_rollbacks, NonZeroU32::new),
            breaker_window: self.breaker_window.unwrap_or(params.breaker_window),
            timelock: self.timelock.map_or(params.timelock, NonZeroU32::new),
            sequenced: self.sequenced.unwrap_or(params.sequenced),
            round_blocks: self.round_blocks.map_or(params.round_blocks, NonZeroU32::new),
            quorum: self.quorum.unwrap_or(params.quorum),
        }
    }
}

impl Validate for ParamsChanges {
    /// Checks the range of each parameter that is given. Whether two of them contradict each other depends on the rest.
    fn validate(&self) -> Result<(), ValueError> {
        if self.apply_to(&Params::default()).are_in_range() { Ok(()) } else { Err(ValueError::Parameter) }
    }
}

impl Encode for ParamsChanges {
    fn encode(&self, out: &mut Writer) {
        out.option(self.max_due_per_block, Writer::u32);
        out.option(self.breaker_rollbacks, Writer::u32);
        out.option(self.breaker_window, Writer::u32);
        out.option(self.timelock, Writer::u32);
        out.option(self.sequenced, Writer::bool);
        out.option(self.round_blocks, Writer::u32);
        out.option(self.quorum, Writer::u8);
    }
}

impl Decode for ParamsChanges {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            max_due_per_block: input.option(Reader::u32)?,
            breaker_rollbacks: input.option(Reader::u32)?,
            breaker_window: input.option(Reader::u32)?,
            timelock: input.option(Reader::u32)?,
            sequenced: input.option(Reader::bool)?,
            round_blocks: input.option(Reader::u32)?,
            quorum: input.option(Reader::u8)?,
        })
    }
}

impl Encode for Params {
    fn encode(&self, out: &mut Writer) {
        out.u32(self.max_due_per_block);
        out.nonzero_u32(self.breaker_rollbacks);
        out.u32(self.breaker_window);
        out.nonzero_u32(self.timelock);
        out.bool(self.sequenced);
        out.nonzero_u32(self.round_blocks);
        out.u8(self.quorum);
    }
}

impl Decode for Params {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let params = Self {
            max_due_per_block: input.u32()?,
            breaker_rollbacks: input.nonzero_u32()?,
            breaker_window: input.u32()?,
            timelock: input.nonzero_u32()?,
            sequenced: input.bool()?,
            round_blocks: input.nonzero_u32()?,
            quorum: input.u8()?,
        };
        if params.is_valid() { Ok(params) } else { Err(input.error(DecodeErrorKind::OutOfRange)) }
    }
}

/// The single global record (key `D4`). Its first bytes are the numbers of the format and the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global {
    /// The rules of the next block.
    pub rules: RuleSet,
    /// The id of the ledger, from the genesis.
    pub chain: ChainId,
    /// How many addresses have Admin; never 0. Kept so that revoking the last one is rejected without a scan.
    pub admins: u32,
    /// How many scheduled entries wait. Kept so that the limit is checked without a scan.
    pub scheduled: u32,
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
        self.rules.encode(out);
        out.lp8(self.chain.as_bytes());
        out.u32(self.admins);
        match self.rules {
            RuleSet::One => out.u32(self.scheduled),
            #[cfg(feature = "test-rules")]
            RuleSet::Test => out.u64(self.scheduled.into()),
        }
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
        if input.u16()? != FORMAT {
            return Err(input.error(DecodeErrorKind::UnknownTag));
        }
        let rules = RuleSet::decode(input)?;
        let chain = input.lp8()?;
        let chain = ChainId::new(chain).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?;
        let admins = input.u32()?;
        let scheduled = match rules {
            RuleSet::One => input.u32()?,
            #[cfg(feature = "test-rules")]
            RuleSet::Test => u32::try_from(input.u64()?).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?,
        };
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
            rules,
            chain,
            admins,
            scheduled,
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

impl Encode for RuleSet {
    fn encode(&self, out: &mut Writer) {
        out.u16(self.number());
    }
}

impl Decode for RuleSet {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = input.u16()?;
        Self::from_number(number).ok_or(input.error(DecodeErrorKind::UnknownTag))
    }
}
