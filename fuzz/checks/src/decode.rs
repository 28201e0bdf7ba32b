//! Every decoder takes any bytes, and what it takes is encoded to the very same bytes.

use std::fmt::Debug;

use coalmine_core::{
    Advance, Block, BreakerClosedBy, Bucketing, Cause, Change, CommandKind, Counts, Decode, Deployment, Encode, Event,
    EventCode, Evidence, Feature, FeedItem, FeedKind, FeedPart, FeedState, Gate, Genesis, Global, Hold, Key, Lack,
    Lifetime, LoadState, Metrics, OnComplete, Override, Params, Payload, Plan, Plugin, PluginAction, PluginChange,
    PluginReason, PluginVersion, Policy, Reader, Reason, Receipt, Registry, Roles, RollbackRule, Scheduled, Stage,
    Status, StrategyKind, Terms, Transaction, TxCommand, VersionStatus, Writer,
};
use coalmine_store::Tip;

/// Runs every decoder on the bytes.
pub fn decode(bytes: &[u8]) {
    let decoders: [fn(&[u8]); 46] = [
        round_trip::<Key>,
        round_trip::<Feature>,
        round_trip::<Change>,
        round_trip::<Override>,
        round_trip::<Global>,
        round_trip::<Params>,
        round_trip::<Policy>,
        round_trip::<Roles>,
        round_trip::<Scheduled>,
        round_trip::<Status>,
        round_trip::<Reason>,
        round_trip::<Cause>,
        round_trip::<Bucketing>,
        round_trip::<Advance>,
        round_trip::<Lifetime>,
        round_trip::<CommandKind>,
        round_trip::<Transaction>,
        round_trip::<Block>,
        round_trip::<Genesis>,
        round_trip::<Receipt>,
        round_trip::<Event>,
        round_trip::<EventCode>,
        round_trip::<RollbackRule>,
        round_trip::<FeedState>,
        round_trip::<FeedItem>,
        round_trip::<FeedKind>,
        round_trip::<FeedPart>,
        round_trip::<Registry>,
        round_trip::<Plugin>,
        round_trip::<PluginVersion>,
        round_trip::<Deployment>,
        round_trip::<PluginChange>,
        round_trip::<Plan>,
        round_trip::<Terms>,
        round_trip::<Stage>,
        round_trip::<Counts>,
        round_trip::<Evidence>,
        round_trip::<StrategyKind>,
        round_trip::<Gate>,
        round_trip::<OnComplete>,
        round_trip::<Hold>,
        round_trip::<Lack>,
        round_trip::<LoadState>,
        round_trip::<VersionStatus>,
        round_trip::<PluginAction>,
        round_trip::<PluginReason>,
    ];
    decoders.iter().for_each(|decoder| decoder(bytes));
    round_trip::<BreakerClosedBy>(bytes);
    metrics(bytes);
    command(bytes);
    assert_eq!(Payload::from_bytes(bytes).to_bytes(), bytes, "a payload keeps its bytes");
    if let Ok(tip) = Tip::from_record(bytes) {
        assert_eq!(tip.to_record(), bytes);
    }
}

fn round_trip<T: Decode + Encode + Debug + PartialEq>(bytes: &[u8]) {
    if let Ok(value) = T::from_bytes(bytes) {
        let encoded = value.to_bytes();
        assert_eq!(encoded, bytes, "{value:?} is encoded otherwise");
        assert_eq!(T::from_bytes(&encoded).unwrap(), value);
    }
    // As a part of something longer, a value leaves what is behind it.
    let mut input = Reader::new(bytes);
    if let Ok(value) = T::decode(&mut input) {
        let read = bytes.len() - input.remaining();
        assert_eq!(value.to_bytes(), bytes[..read], "{value:?} is encoded otherwise");
    }
}

fn metrics(bytes: &[u8]) {
    let mut input = Reader::new(bytes);
    if let Ok((name, metrics)) = Metrics::decode(&mut input) {
        let mut out = Writer::default();
        metrics.encode(&name, &mut out);
        assert_eq!(out.as_bytes(), &bytes[..bytes.len() - input.remaining()]);
    }
}

fn command(bytes: &[u8]) {
    let Ok(command) = TxCommand::from_bytes(bytes) else { return };
    assert_eq!(command.to_bytes(), bytes, "{command:?} is encoded otherwise");
    if let TxCommand::Valid(command) = command {
        assert_eq!(command.to_bytes(), bytes);
        let tx =
            Transaction::new(Default::default(), vec![command.clone()]).expect("a valid command makes a transaction");
        assert_eq!(tx.commands(), [TxCommand::Valid(command)]);
    }
}
