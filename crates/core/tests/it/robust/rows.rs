//! Every golden row, cut, too long and flipped.

use super::*;

fn empty_codec(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    Reader::new(bytes).finish().map(|()| (String::new(), Vec::new()))
}

/// The last sequence of a signer: a number, never 0, which no type of the crate is read as.
pub(super) fn sequence_codec(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    let mut input = Reader::new(bytes);
    let sequence = input.nonzero_u64()?;
    input.finish()?;
    sequence
        .map(|sequence| (sequence.to_string(), sequence.get().to_be_bytes().into()))
        .ok_or(DecodeError { remaining: 0, kind: DecodeErrorKind::OutOfRange })
}

pub(super) fn vote_codec(bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    pool_entry(PoolKind::Health, bytes)
}

fn pool_entry(kind: PoolKind, bytes: &[u8]) -> Result<(String, Vec<u8>), DecodeError> {
    PoolEntry::from_bytes(kind, bytes).map(|entry| (format!("{entry:?}"), entry.to_bytes()))
}

/// How the value under a key is read.
fn value_codec(key: &Key) -> (&'static str, Codec) {
    match key {
        Key::Feature(_) => ("feature", codec::<Feature>),
        Key::Metrics(_) => ("metrics", codec::<MetricsRecord>),
        Key::Change { .. } => ("change", codec::<Change>),
        Key::Override { .. } => ("override", codec::<Override>),
        Key::Global => ("global", codec::<Global>),
        Key::Policy(_) => ("policy", codec::<Policy>),
        Key::Roles(_) => ("roles", codec::<Roles>),
        Key::Schedule { .. } => ("scheduled", codec::<Scheduled>),
        Key::Registry => ("registry", codec::<Registry>),
        Key::Plugin(_) => ("plugin", codec::<Plugin>),
        Key::PluginVersion { .. } => ("plugin version", codec::<PluginVersion>),
        Key::Deployment(_) => ("deployment", codec::<Deployment>),
        Key::PluginChange { .. } => ("plugin change", codec::<PluginChange>),
        Key::Feed => ("feed", codec::<FeedTotals>),
        Key::FeedItem(_) => ("feed_item", codec::<FeedItem>),
        Key::Step { .. } | Key::Active(_) | Key::FeedIndex(_) | Key::FeedListed(_) => ("empty", empty_codec),
        Key::DeploymentDue { .. } | Key::LoadDue { .. } | Key::Dependent { .. } => ("empty", empty_codec),
        Key::Sequence(_) => ("sequence", sequence_codec),
        Key::PoolEntry { pool, .. } => match pool.kind() {
            PoolKind::Report => ("sums of reports", |bytes| pool_entry(PoolKind::Report, bytes)),
            PoolKind::VersionReport => ("sums of a version", |bytes| pool_entry(PoolKind::VersionReport, bytes)),
            PoolKind::Health | PoolKind::Load | PoolKind::Unload => ("vote", vote_codec),
        },
        Key::Round { .. } | Key::Deadline { .. } => ("empty", empty_codec),
    }
}

/// Everything in the golden rows that is decoded: the type, how, the row, the bytes.
fn golden() -> Vec<(&'static str, Codec, String, Vec<u8>)> {
    let mut found: Vec<(&'static str, Codec, String, Vec<u8>)> = Vec::new();
    for row in rows("records") {
        let key = row.hex("key");
        let (kind, codec_of_value) = value_codec(&Key::from_bytes(&key).unwrap());
        found.push(("key", codec::<Key>, row.id.clone(), key));
        found.push((kind, codec_of_value, row.id.clone(), row.bytes()));
    }
    found.extend(
        rows("commands").into_iter().map(|row| ("command", command_codec as Codec, row.id.clone(), row.bytes())),
    );
    found.extend(rows("events").into_iter().map(|row| ("event", codec::<Event> as Codec, row.id.clone(), row.bytes())));
    for row in rows("blocks") {
        let (kind, codec): (_, Codec) = match row.kind.as_str() {
            "transaction" => ("transaction", codec::<Transaction>),
            "block" => ("block", codec::<Block>),
            "genesis" => ("genesis", codec::<Genesis>),
            "receipt" => ("receipt", codec::<Receipt>),
            // Outcomes are written, never read.
            "outcome" => continue,
            other => panic!("{}: unknown type {other}", row.id),
        };
        found.push((kind, codec, row.id.clone(), row.bytes()));
    }
    found
}

#[test]
fn what_is_cut_is_refused() {
    for (kind, decode, id, bytes) in golden() {
        let step = if bytes.len() > 1_500 { 7 } else { 1 };
        for len in (0..bytes.len()).step_by(step) {
            match decode(&bytes[..len]) {
                Err(_) => {}
                // A key that ends with a name is another key when it is cut.
                Ok((_, again)) => {
                    assert_eq!(kind, "key", "{id} is accepted when cut to {len} bytes");
                    assert_eq!(again, bytes[..len], "{id} cut to {len} bytes");
                }
            }
        }
    }
}

#[test]
fn what_is_too_long_is_refused() {
    for (kind, decode, id, bytes) in golden() {
        for extra in [0_u8, 1, b'a', 0xff] {
            let longer = [bytes.as_slice(), &[extra]].concat();
            if let Ok((_, again)) = decode(&longer) {
                assert_eq!((kind, again), ("key", longer), "{id} is accepted with a byte too many");
            }
        }
    }
}

#[test]
fn what_is_flipped_is_refused_or_another_value() {
    for (_, decode, id, bytes) in golden() {
        assert_eq!(decode(&bytes).unwrap().1, bytes, "{id}");
        let mut flipped = bytes.clone();
        // What is long has its parts many times; of its bits one in 61 takes every place in a byte.
        let step = if bytes.len() > 1_500 { 61 } else { 1 };
        for bit in (0..bytes.len() * 8).step_by(step) {
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok((_, again)) = decode(&flipped) {
                assert_eq!(again, flipped, "{id}: bit {bit} flipped is accepted and written otherwise");
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn no_two_encodings_read_alike() {
    let mut seen: BTreeMap<(&str, String), Vec<u8>> = BTreeMap::new();
    for (kind, decode, id, bytes) in golden() {
        let (look, _) = decode(&bytes).unwrap();
        let before = seen.entry((kind, look)).or_insert_with(|| bytes.clone());
        assert_eq!(*before, bytes, "{id} reads as a {kind} of other bytes does");
    }
}
