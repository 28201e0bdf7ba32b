//! Every decoder takes any bytes, and what it takes is encoded to the very same bytes.

use std::any::type_name;
use std::fmt::Debug;
use std::str::FromStr;

use coalmine_auth::{Envelope, Multisig};
use coalmine_chart::ledger::Sample;
use coalmine_core::{
    Address, Advance, Block, BreakerClosedBy, Bucketing, Cause, ChainId, Change, CommandKind, Constraint, Counts,
    Decode, Deployment, Description, Encode, Event, EventCode, Feature, FeedBody, FeedId, FeedItem, FeedKind, FeedPart,
    FeedTotals, Gate, Genesis, Global, Guardrails, Hash, Hold, Key, Lifetime, LoadState, MetricsRecord, Name,
    OnComplete, Override, Params, Payload, Plan, Plugin, PluginAction, PluginChange, PluginReason, PluginVersion,
    Policy, Pool, PoolEntry, PoolKind, Reader, Reason, Receipt, Registry, Roles, RollbackRule, RuleSet, Scheduled,
    Shortfall, Stage, Status, Strategy, StrategyKind, Transaction, TxCommand, ValueError, Version, VersionStatus,
};
use coalmine_json::{inspect_command, inspect_transaction};
use coalmine_store::Tip;
use coalmine_store::dump::Header;

use crate::Check;

/// A decoder of bytes.
pub struct Decoder {
    /// What it decodes.
    pub name: fn() -> &'static str,
    /// Decodes, and nothing more.
    pub decode: Check,
    /// Decodes, encodes and compares.
    pub check: Check,
}

const fn of<T: Decode + Encode + Debug + PartialEq>() -> Decoder {
    Decoder { name: type_name::<T>, decode: |bytes| drop(T::from_bytes(bytes)), check: round_trip::<T> }
}

/// Every decoder of the binary formats of core, store, auth and chart.
pub const DECODERS: [Decoder; 59] = [
    of::<Key>(),
    of::<Feature>(),
    of::<MetricsRecord>(),
    of::<Change>(),
    of::<Override>(),
    of::<Global>(),
    of::<Params>(),
    of::<Policy>(),
    of::<Roles>(),
    of::<Scheduled>(),
    of::<Status>(),
    of::<Reason>(),
    of::<Cause>(),
    of::<Bucketing>(),
    of::<Advance>(),
    of::<Lifetime>(),
    of::<CommandKind>(),
    of::<Transaction>(),
    of::<Block>(),
    of::<Genesis>(),
    of::<Receipt>(),
    of::<Event>(),
    of::<EventCode>(),
    of::<RollbackRule>(),
    of::<FeedTotals>(),
    of::<FeedItem>(),
    of::<FeedKind>(),
    of::<FeedPart>(),
    of::<Registry>(),
    of::<Plugin>(),
    of::<PluginVersion>(),
    of::<Deployment>(),
    of::<PluginChange>(),
    of::<Plan>(),
    of::<Guardrails>(),
    of::<Stage>(),
    of::<Counts>(),
    of::<StrategyKind>(),
    of::<Gate>(),
    of::<OnComplete>(),
    of::<Hold>(),
    of::<Shortfall>(),
    of::<LoadState>(),
    of::<VersionStatus>(),
    of::<PluginAction>(),
    of::<PluginReason>(),
    of::<BreakerClosedBy>(),
    of::<RuleSet>(),
    of::<Pool>(),
    of::<PoolKind>(),
    of::<Envelope>(),
    of::<Multisig>(),
    of::<Sample>(),
    of::<Header>(),
    Decoder { name: || "PoolEntry", decode: |bytes| _ = said(bytes), check: pool_entry },
    Decoder { name: || "TxCommand", decode: |bytes| drop(TxCommand::from_bytes(bytes)), check: command },
    Decoder { name: || "Strategy", decode: |bytes| drop(Strategy::decode(&mut Reader::new(bytes))), check: strategy },
    Decoder { name: || "Payload", decode: |bytes| drop(Payload::from_bytes(bytes)), check: payload },
    Decoder { name: || "Tip", decode: |bytes| _ = Tip::from_record(bytes), check: tip },
];

/// Runs every decoder on the bytes.
pub fn decode(bytes: &[u8]) {
    DECODERS.iter().for_each(|decoder| (decoder.check)(bytes));
    texts(bytes);
}

/// Decodes the front of the bytes; what is accepted is encoded to the very bytes that were read.
///
/// # Panics
/// When it is not.
pub fn round_trip<T: Decode + Encode + Debug + PartialEq>(bytes: &[u8]) {
    let mut input = Reader::new(bytes);
    let Ok(value) = T::decode(&mut input) else { return };
    let read = &bytes[..bytes.len() - input.remaining()];
    assert_eq!(value.to_bytes(), read, "{value:?} is encoded otherwise");
    assert_eq!(T::from_bytes(read), Ok(value), "{read:02x?} alone is read otherwise");
    assert_eq!(T::from_bytes(bytes).is_ok(), input.remaining() == 0, "bytes are left over");
}

fn command(bytes: &[u8]) {
    let decoded = TxCommand::from_bytes(bytes);
    let said = inspect_command(bytes).malformed;
    assert_eq!(said.is_some(), decoded.is_err(), "what is said of the bytes is not what core does");
    assert!(said.is_none_or(|said| said.offset <= bytes.len()));
    let Ok(command) = decoded else { return };
    assert_eq!(command.to_bytes(), bytes, "{command:?} is encoded otherwise");
    if let TxCommand::Valid(command) = command {
        assert_eq!(command.to_bytes(), bytes);
        let tx =
            Transaction::new(Default::default(), vec![command.clone()]).expect("a valid command makes a transaction");
        assert_eq!(tx.commands(), [TxCommand::Valid(command)]);
    }
}

fn strategy(bytes: &[u8]) {
    let mut input = Reader::new(bytes);
    if let (Ok(strategy), Ok(terms)) = (Strategy::decode(&mut input), Guardrails::decode(&mut input)) {
        drop(Plan::compile(&strategy, &terms));
        let _terms = strategy.default_guardrails();
    }
}

/// What a reporter has said in a round: the kind of the pool, which its key has, comes first.
fn said(bytes: &[u8]) -> Option<PoolEntry> {
    let [kind, entry @ ..] = bytes else { return None };
    PoolEntry::from_bytes(PoolKind::from_bytes(&[*kind]).ok()?, entry).ok()
}

fn pool_entry(bytes: &[u8]) {
    if let Some(entry) = said(bytes) {
        assert_eq!(entry.to_bytes(), bytes[1..], "{entry:?} is encoded otherwise");
    }
}

fn payload(bytes: &[u8]) {
    let payload = Payload::from_bytes(bytes);
    assert_eq!(payload.to_bytes(), bytes, "a payload keeps its bytes");
    let is_malformed = matches!(payload, Payload::Malformed(_));
    assert_eq!(inspect_transaction(bytes).malformed.is_some(), is_malformed, "what is said is not what core does");
}

fn tip(bytes: &[u8]) {
    if let Ok(tip) = Tip::from_record(bytes) {
        assert_eq!(tip.to_record(), bytes);
    }
}

/// Values with a text form: what is read is shown as it was, but for the case of hex digits and the `0x` of a hash.
fn texts(bytes: &[u8]) {
    fn shown<T: FromStr<Err = ValueError> + ToString>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            assert!(value.to_string().eq_ignore_ascii_case(text), "{text:?} is shown as {}", value.to_string());
        }
    }
    fn held<T>(bytes: &[u8], read: Result<T, ValueError>, back: impl Fn(&T) -> &[u8]) {
        if let Ok(value) = read {
            assert_eq!(back(&value), bytes);
        }
    }
    held(bytes, ChainId::new(bytes), ChainId::as_bytes);
    held(bytes, FeedBody::new(bytes), FeedBody::as_bytes);
    let Ok(text) = str::from_utf8(bytes) else { return };
    held(bytes, Description::new(text), |description| description.as_str().as_bytes());
    shown::<Address>(text);
    if let Ok(hash) = text.parse::<Hash>() {
        // Its 0x is read, and not shown.
        assert!(hash.to_string().eq_ignore_ascii_case(text.strip_prefix("0x").unwrap_or(text)), "{text:?}");
    }
    shown::<Name>(text);
    shown::<FeedId>(text);
    shown::<Version>(text);
    shown::<Constraint>(text);
}
