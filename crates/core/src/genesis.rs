//! The state before the first block: chain id, roles and parameters.

use alloc::collections::BTreeMap;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::ledger::Params;
use crate::rules::RuleSet;
use crate::values::{Address, ChainId, Role, Roles, ValueError};

/// Why a genesis is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The chain id is invalid.
    #[error(transparent)]
    Chain(#[from] ValueError),
    /// No address is an admin, so no role could ever be granted.
    #[error("a genesis names at least one admin")]
    NoAdmin,
    /// An address with an empty set of roles. Records of roles are never empty.
    #[error("every address of a genesis has at least one role")]
    NoRole,
    /// More addresses than the u16 count in the encoding allows.
    #[error("a genesis has at most 65535 addresses")]
    TooManyAddresses,
    /// The zero address stands for what happens without a signer, so it never has a role.
    #[error("the zero address has no roles")]
    ZeroAddress,
    /// The rule set is later than that of a new ledger: it is one for tests.
    #[cfg(feature = "test-rules")]
    #[error("a genesis has the rules of a release")]
    Rules,
    /// Parameters that contradict each other or are out of range.
    #[error(
        "max_due_per_block is at least 1, breaker_window is not 0 while breaker_rollbacks is on, \
         timelock and round_blocks are at most {max}, and quorum is 1 to {quorum}",
        max = Params::BLOCKS_MAX,
        quorum = Params::QUORUM_MAX
    )]
    Params,
}

/// The id of the ledger, the initial roles, and the parameters. Always valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    rules: RuleSet,
    chain: ChainId,
    roles: BTreeMap<Address, Roles>,
    params: Params,
}

impl Genesis {
    /// Makes a genesis with the default parameters. The roles of an address that occurs more than once are united.
    ///
    /// # Errors
    /// An invalid chain id, an address without roles, no admin, or too many addresses.
    pub fn new(chain: &str, roles: impl IntoIterator<Item = (Address, Roles)>) -> Result<Self, GenesisError> {
        let mut united = BTreeMap::new();
        for (address, roles) in roles {
            let so_far: &mut Roles = united.entry(address).or_default();
            *so_far = so_far.union(roles);
        }
        Self::with_params(RuleSet::LATEST, ChainId::new(chain.as_bytes())?, united, Params::default())
    }

    /// Makes a genesis with the given rules and parameters.
    ///
    /// # Errors
    /// As for [`Genesis::new`], or invalid parameters.
    pub fn with_params(
        rules: RuleSet,
        chain: ChainId,
        roles: BTreeMap<Address, Roles>,
        params: Params,
    ) -> Result<Self, GenesisError> {
        #[cfg(feature = "test-rules")]
        if rules > RuleSet::LATEST {
            return Err(GenesisError::Rules);
        }
        if roles.len() > usize::from(u16::MAX) {
            return Err(GenesisError::TooManyAddresses);
        }
        if roles.values().any(|roles| roles.is_empty()) {
            return Err(GenesisError::NoRole);
        }
        if !roles.values().any(|roles| roles.contains(Role::Admin)) {
            return Err(GenesisError::NoAdmin);
        }
        if roles.contains_key(&Address::ZERO) {
            return Err(GenesisError::ZeroAddress);
        }
        if !params.is_valid() {
            return Err(GenesisError::Params);
        }
        Ok(Self { rules, chain, roles, params })
    }

    /// The rules of the first block.
    #[must_use]
    pub const fn rules(&self) -> RuleSet {
        self.rules
    }

    /// The id of the ledger, part of every bucket hash.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// The initial roles by address; no set is empty.
    #[must_use]
    pub const fn roles(&self) -> &BTreeMap<Address, Roles> {
        &self.roles
    }

    /// The initial parameters; set_params changes them later.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }
}

impl Encode for Genesis {
    fn encode(&self, out: &mut Writer) {
        self.rules.encode(out);
        out.lp8(self.chain.as_bytes());
        out.count_u16(self.roles.len());
        for (address, roles) in &self.roles {
            out.address(address);
            roles.encode(out);
        }
        self.params.encode(out);
    }
}

impl Decode for Genesis {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let rules = RuleSet::decode(input)?;
        let chain = input.lp8()?;
        let chain = ChainId::new(chain).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?;
        let count = input.u16()?;
        let mut roles = BTreeMap::new();
        for _ in 0..count {
            let address = input.address()?;
            if roles.last_key_value().is_some_and(|(last, _)| *last >= address) {
                return Err(input.error(DecodeErrorKind::Unsorted));
            }
            roles.insert(address, Roles::decode(input)?);
        }
        let params = Params::decode(input)?;
        Self::with_params(rules, chain, roles, params).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }
}
