//! Decoded reads over anything that holds the records: a store, a snapshot, a bundle of proofs.
//!
//! Nothing here is on the path of a block. A record that does not decode is a fault, never "not found".

mod plugin;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::{self, Vec};
use core::fmt;
use core::ops::ControlFlow;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader};
use crate::decide::{Facts, Lookup, Verdict, decide};
use crate::feature::Progress;
use crate::feed::{FeedId, FeedItem, FeedKey, FeedKind, FeedState};
use crate::key::{DueKind, Key, KeyPrefix, KeyRange};
use crate::record::{Change, Feature, Global, Metrics, Override, Policy, Scheduled, Status};
use crate::values::{Address, ChainId, Height, Name, Percent, Roles};

pub use plugin::{
    PluginHistoryEntry, dependents, deployment, plugin, plugin_history, plugin_versions, plugins, registry, route,
};

/// The node must stop: the store fails, or holds a record that does not decode.
#[derive(Debug)]
pub enum Fault {
    /// A record that does not decode, or contradicts its key or another record.
    Corrupt {
        /// The key of the record.
        key: Vec<u8>,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// The store fails.
    Store(Box<dyn core::error::Error + Send + Sync>),
}

impl Fault {
    /// A fault of the store.
    pub fn store(error: impl core::error::Error + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(error))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { key, cause } => {
                write!(
                    f,
                    "corrupt record under key {}: {cause}; restore the store from a backup or replay it",
                    hex::encode(key)
                )
            }
            Self::Store(error) => write!(f, "the store failed: {error}"),
        }
    }
}

impl core::error::Error for Fault {}

/// Read access to records by key, in key order.
pub trait Read {
    /// The value of a key.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Visits the entries with `start <= key < end` in ascending order until `visit` breaks.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store fails.
    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault>;

    /// The entry with the greatest key in `start <= key < end`.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store fails.
    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault>;
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// What a scan calls with key and value.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// How many entries [`Entries`] reads at a time.
const PAGE: usize = 1_024;

/// All entries of a range, one after the other, without holding more than a page of them.
///
/// The source must not change meanwhile. It ends after the first fault.
#[derive(Debug)]
pub struct Entries<'v, V: ?Sized> {
    view: &'v V,
    /// Where the next page starts; none after the last.
    start: Option<Vec<u8>>,
    end: Vec<u8>,
    page: vec::IntoIter<Entry>,
}

impl<'v, V: Read + ?Sized> Entries<'v, V> {
    /// The entries with `start <= key < end`, ascending.
    pub fn new(view: &'v V, start: &[u8], end: &[u8]) -> Self {
        Self { view, start: Some(start.into()), end: end.into(), page: Vec::new().into_iter() }
    }

    /// Reads the page at `start` and notes where the next one begins.
    fn read(&mut self, start: &[u8]) -> Result<(), Fault> {
        let mut page = Vec::with_capacity(PAGE);
        self.view.scan(start, &self.end, &mut |key, value| {
            page.push((key.to_vec(), value.to_vec()));
            if page.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        // The least key above the last one read: that key and a zero byte.
        self.start = page.last().filter(|_| page.len() == PAGE).map(|(key, _)| [key.as_slice(), &[0]].concat());
        self.page = page.into_iter();
        Ok(())
    }
}

impl<V: Read + ?Sized> Iterator for Entries<'_, V> {
    type Item = Result<Entry, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.as_slice().is_empty()
            && let Some(start) = self.start.take()
            && let Err(fault) = self.read(&start)
        {
            return Some(Err(fault));
        }
        self.page.next().map(Ok)
    }
}

/// One entry of the history of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The height of the change.
    pub height: Height,
    /// Counts from 0 within one height.
    pub seq: u32,
    /// The change.
    pub change: Change,
}

/// A feature.
///
/// # Errors
/// A fault, as all functions of this module.
pub fn feature(source: &impl Read, name: &Name) -> Result<Option<Feature>, Fault> {
    let key = Key::Feature(*name);
    let feature = record::<Feature>(source, &key)?;
    match &feature {
        Some(feature) if feature.name != *name => {
            Err(corrupt(&key.to_bytes(), DecodeError::whole(DecodeErrorKind::Mismatch)))
        }
        _ => Ok(feature),
    }
}

/// The metrics of a feature.
///
/// # Errors
/// A fault.
pub fn metrics(source: &impl Read, name: &Name) -> Result<Option<Metrics>, Fault> {
    let key = Key::Metrics(*name).to_bytes();
    let Some(value) = source.get(&key)? else { return Ok(None) };
    let mut input = Reader::new(&value);
    let decoded = Metrics::decode(&mut input).and_then(|decoded| input.finish().map(|()| decoded));
    let (inner, metrics) = decoded.map_err(|cause| corrupt(&key, cause))?;
    if inner == *name { Ok(Some(metrics)) } else { Err(corrupt(&key, DecodeError::whole(DecodeErrorKind::Mismatch))) }
}

/// The policy of a feature, the default one if none is stored.
///
/// # Errors
/// A fault.
pub fn policy(source: &impl Read, name: &Name) -> Result<Policy, Fault> {
    Ok(record(source, &Key::Policy(*name))?.unwrap_or_default())
}

/// A user's own switch.
///
/// # Errors
/// A fault.
pub fn override_of(source: &impl Read, name: &Name, user: &Address) -> Result<Option<Override>, Fault> {
    record(source, &Key::Override { name: *name, user: *user })
}

/// The global record; none in an empty store.
///
/// # Errors
/// A fault.
pub fn global(source: &impl Read) -> Result<Option<Global>, Fault> {
    record(source, &Key::Global)
}

/// What an address may do.
///
/// # Errors
/// A fault.
pub fn roles_of(source: &impl Read, address: &Address) -> Result<Roles, Fault> {
    Ok(record(source, &Key::Roles(*address))?.unwrap_or_default())
}

/// Features in name order, behind `after`, at most `limit`.
///
/// # Errors
/// A fault.
pub fn features(source: &impl Read, after: Option<&Name>, limit: usize) -> Result<Vec<Feature>, Fault> {
    let range = KeyRange::all(KeyPrefix::Feature).after(after.map(|name| Key::Feature(*name)));
    list(source, &range, limit, |_, value| Feature::from_bytes(value))
}

/// Names of the features in Canary or RollingOut, behind `after`, at most `limit`.
///
/// # Errors
/// A fault.
pub fn active(source: &impl Read, after: Option<&Name>, limit: usize) -> Result<Vec<Name>, Fault> {
    let range = KeyRange::all(KeyPrefix::Active).after(after.map(|name| Key::Active(*name)));
    list(source, &range, limit, |key, _| {
        let Key::Active(name) = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok(name)
    })
}

/// Overrides of a feature in address order, behind `after`, at most `limit`.
///
/// # Errors
/// A fault.
pub fn overrides(
    source: &impl Read,
    name: &Name,
    after: Option<&Address>,
    limit: usize,
) -> Result<Vec<(Address, Override)>, Fault> {
    let range = KeyRange::overrides(name).after(after.map(|user| Key::Override { name: *name, user: *user }));
    list(source, &range, limit, |key, value| {
        let Key::Override { user, .. } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok((user, Override::from_bytes(value)?))
    })
}

/// Addresses and what they may do, behind `after`, at most `limit`.
///
/// # Errors
/// A fault.
pub fn roles(source: &impl Read, after: Option<&Address>, limit: usize) -> Result<Vec<(Address, Roles)>, Fault> {
    let range = KeyRange::all(KeyPrefix::Roles).after(after.map(|address| Key::Roles(*address)));
    list(source, &range, limit, |key, value| {
        let Key::Roles(address) = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok((address, Roles::from_bytes(value)?))
    })
}

/// Scheduled entries in the order in which they run, behind `after`, at most `limit`.
///
/// # Errors
/// A fault.
pub fn schedule(
    source: &impl Read,
    after: Option<(Height, u64)>,
    limit: usize,
) -> Result<Vec<(Height, u64, Scheduled)>, Fault> {
    let range = KeyRange::due(DueKind::Schedule).after(after.map(|(at, id)| Key::Schedule { at, id }));
    list(source, &range, limit, |key, value| {
        let Key::Schedule { at, id } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok((at, id, Scheduled::from_bytes(value)?))
    })
}

/// The totals of the feed; all zero when nothing is stored.
///
/// # Errors
/// A fault.
pub fn feed(source: &impl Read) -> Result<FeedState, Fault> {
    Ok(record(source, &Key::Feed)?.unwrap_or_default())
}

/// What is known of an item of the feed.
///
/// # Errors
/// A fault.
pub fn feed_item(source: &impl Read, kind: FeedKind, id: &FeedId) -> Result<Option<FeedItem>, Fault> {
    record(source, &Key::FeedItem(FeedKey { kind, id: *id }))
}

/// Items of one kind in the feed in id order, behind `after`, at most `limit`.
///
/// # Errors
/// A fault.
pub fn feed_items(
    source: &impl Read,
    kind: FeedKind,
    after: Option<&FeedId>,
    limit: usize,
) -> Result<Vec<(FeedId, FeedItem)>, Fault> {
    let range = KeyRange::feed_items(kind).after(after.map(|id| Key::FeedItem(FeedKey { kind, id: *id })));
    list(source, &range, limit, |key, value| {
        let Key::FeedItem(FeedKey { id, .. }) = key else {
            return Err(DecodeError::whole(DecodeErrorKind::Mismatch));
        };
        Ok((id, FeedItem::from_bytes(value)?))
    })
}

/// The Due entry of a feature: the height at which a block makes its next step.
///
/// # Errors
/// A fault.
pub fn due(source: &impl Read, name: &Name) -> Result<Option<Height>, Fault> {
    let (Some(feature), policy) = (feature(source, name)?, policy(source, name)?) else { return Ok(None) };
    let Some(at) = crate::feature::automatic_step_due(&feature, &policy) else { return Ok(None) };
    let key = Key::Step { at, name: *name }.to_bytes();
    match source.get(&key)? {
        Some(_) => Ok(Some(at)),
        None => Err(corrupt(&key, DecodeError::whole(DecodeErrorKind::Mismatch))),
    }
}

/// The history of a feature, behind `after`, at most `limit` entries.
///
/// # Errors
/// A fault.
pub fn history(
    source: &impl Read,
    name: &Name,
    after: Option<(Height, u32)>,
    limit: usize,
) -> Result<Vec<HistoryEntry>, Fault> {
    let range = KeyRange::history(name).after(after.map(|(height, seq)| Key::Change { name: *name, height, seq }));
    list(source, &range, limit, |key, value| {
        let Key::Change { height, seq, .. } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok(HistoryEntry { height, seq, change: Change::from_bytes(value)? })
    })
}

/// Status and percent of a feature as of the end of block `height`; none before it was created.
///
/// One seek: O(log n) in the length of the history.
///
/// # Errors
/// A fault.
pub fn feature_at(source: &impl Read, name: &Name, height: Height) -> Result<Option<(Status, Percent)>, Fault> {
    let range = KeyRange::history(name);
    let mut end = Key::Change { name: *name, height, seq: u32::MAX }.to_bytes();
    end.push(0);
    match source.last(&range.start, &end)? {
        None => Ok(None),
        Some((key, value)) => {
            let change = Change::from_bytes(&value).map_err(|cause| corrupt(&key, cause))?;
            Ok(Some((change.status, change.percent)))
        }
    }
}

/// How far a rollout is at `height`; none for an unknown feature.
///
/// # Errors
/// A fault.
pub fn progress(source: &impl Read, name: &Name, height: Height) -> Result<Option<Progress>, Fault> {
    let Some(feature) = feature(source, name)? else { return Ok(None) };
    Ok(Some(Progress::of(&feature, &policy(source, name)?, height)))
}

/// Whether a feature is on for a user, and why.
///
/// # Errors
/// A fault.
pub fn check(source: &impl Read, name: &Name, user: &Address) -> Result<Verdict, Fault> {
    decide(&Records(source), name, user)
}

/// Records by key as a source of facts.
struct Records<'s, R>(&'s R);

impl<R: Read> Lookup for Records<'_, R> {
    type Error = Fault;

    fn chain(&self) -> Result<ChainId, Fault> {
        let missing = || corrupt(&Key::Global.to_bytes(), DecodeError::whole(DecodeErrorKind::Mismatch));
        global(self.0)?.map(|global| global.chain).ok_or_else(missing)
    }

    fn facts(&self, name: &Name, user: &Address) -> Result<Option<Facts<'_>>, Fault> {
        let Some(feature) = feature(self.0, name)? else { return Ok(None) };
        Ok(Some(Facts {
            status: feature.status,
            percent: feature.rollout_percent,
            policy: Cow::Owned(policy(self.0, name)?),
            user: override_of(self.0, name, user)?.map(|record| record.enabled),
            prefix: None,
        }))
    }
}

impl KeyRange {
    /// The part of the range behind a key.
    fn after(mut self, key: Option<Key>) -> Self {
        if let Some(key) = key {
            self.start = key.to_bytes();
            self.start.push(0);
        }
        self
    }
}

fn record<T: Decode>(source: &impl Read, key: &Key) -> Result<Option<T>, Fault> {
    let key = key.to_bytes();
    let value = source.get(&key)?;
    value.map(|value| T::from_bytes(&value).map_err(|cause| corrupt(&key, cause))).transpose()
}

fn list<T>(
    source: &impl Read,
    range: &KeyRange,
    limit: usize,
    mut decode: impl FnMut(Key, &[u8]) -> Result<T, DecodeError>,
) -> Result<Vec<T>, Fault> {
    let mut found = Ok(Vec::new());
    if limit == 0 {
        return found;
    }
    source.scan(&range.start, &range.end, &mut |key, value| {
        let Ok(entries) = &mut found else { return ControlFlow::Break(()) };
        match Key::from_bytes(key).and_then(|decoded| decode(decoded, value)) {
            Ok(entry) => {
                entries.push(entry);
                if entries.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
            Err(cause) => {
                found = Err(corrupt(key, cause));
                ControlFlow::Break(())
            }
        }
    })?;
    found
}

fn corrupt(key: &[u8], cause: DecodeError) -> Fault {
    Fault::Corrupt { key: key.into(), cause }
}
