//! Addresses that never have a role, because anybody can sign for some of them.
//!
//! Under ZIP-215 a key of small order is a key: eight points, which have fourteen encodings. With the neutral point every
//! message has the signature (neutral point, 0). So neither a genesis nor a command may give their addresses a role.

use coalmine_core::{Address, Command, Genesis, Transaction, TxCommand};

use crate::key::PublicKey;

/// The encodings of the points of small order, ascending.
pub const SMALL_ORDER: [PublicKey; 14] = [
    small_order(0x00, 0x00, 0x00),
    small_order(0x00, 0x00, 0x80),
    small_order(0x01, 0x00, 0x00),
    small_order(0x01, 0x00, 0x80),
    PublicKey(ORDER_8),
    PublicKey(with_sign(ORDER_8)),
    PublicKey(ORDER_8_NEGATIVE),
    PublicKey(with_sign(ORDER_8_NEGATIVE)),
    small_order(0xec, 0xff, 0x7f),
    small_order(0xec, 0xff, 0xff),
    small_order(0xed, 0xff, 0x7f),
    small_order(0xed, 0xff, 0xff),
    small_order(0xee, 0xff, 0x7f),
    small_order(0xee, 0xff, 0xff),
];

/// The y of two points of order 8.
const ORDER_8: [u8; 32] = [
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac,
    0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
];

/// The y of the other two, which is the negative of that.
const ORDER_8_NEGATIVE: [u8; 32] = [
    0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53,
    0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
];

const fn small_order(first: u8, middle: u8, last: u8) -> PublicKey {
    let mut bytes = [middle; 32];
    let [start, .., end] = &mut bytes;
    (*start, *end) = (first, last);
    PublicKey(bytes)
}

const fn with_sign(mut bytes: [u8; 32]) -> [u8; 32] {
    let [.., end] = &mut bytes;
    *end |= 0x80;
    bytes
}

/// A role for an address that never has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address {0} is of a key of small order, for which anybody may sign: it gets no role")]
pub struct ReservedError(pub Address);

/// Whether an address is of a key of small order.
#[must_use]
pub fn is_reserved(address: &Address) -> bool {
    SMALL_ORDER.iter().any(|key| key.address() == *address)
}

/// Refuses a genesis that gives such an address a role.
///
/// # Errors
/// The first such address.
pub fn check_genesis(genesis: &Genesis) -> Result<(), ReservedError> {
    check(genesis.roles().keys())
}

/// Refuses a transaction that would give such an address a role, now or by its schedule.
///
/// # Errors
/// The first such address.
pub fn check_grants(tx: &Transaction) -> Result<(), ReservedError> {
    let mut granted = Vec::new();
    for command in tx.commands() {
        match command {
            TxCommand::Valid(command) => grants(command, &mut granted),
            TxCommand::Invalid { .. } => {}
        }
    }
    check(&granted)
}

fn grants(command: &Command, granted: &mut Vec<Address>) {
    if let Command::GrantRole { address, .. } = command {
        granted.push(*address);
    }
    if let Command::Schedule { commands, .. } = command {
        // What is scheduled schedules nothing.
        commands.iter().for_each(|command| grants(command, granted));
    }
}

fn check<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Result<(), ReservedError> {
    let found = addresses.into_iter().find(|address| is_reserved(address));
    found.map_or(Ok(()), |address| Err(ReservedError(*address)))
}
