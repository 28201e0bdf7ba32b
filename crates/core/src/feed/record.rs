//! The ids, bodies and records of the config feed, with their encodings.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::invariant::promised;
use crate::reject::{Checked, Reject};
use crate::tags::tags;
use crate::valid::{Valid, Validate};
use crate::values::ValueError;

/// The most ids that one put lists, all its parts together.
pub const FEED_PUT_IDS_MAX: u32 = 4_096;

/// The most live items, both kinds together.
pub const FEED_LIVE_MAX: u32 = 4_096;

/// The most live items while a put is open, both kinds together: those that it replaces are still there.
pub const FEED_LIVE_OPEN_MAX: u32 = 8_192;

/// The most ids of one kind that were deleted before they ever were.
pub const FEED_UNBORN_MAX: u32 = 4_096;

/// The most records of one kind, including deleted and forgotten items.
pub const FEED_RECORDS_MAX: u32 = 65_536;

/// The most ids in one feed_forget; the minimum is 1.
pub const FEED_FORGET_IDS_MAX: usize = 32;

tags! {
    /// The kinds of items, each with ids of its own.
    FeedKind {
        /// An environment; a newer version replaces its body.
        Environment = 0, "environment";
        /// A filter; it keeps its body for as long as it is live.
        Filter = 1, "filter";
    }
}

tags! {
    /// Which part of a put a feed_put command is.
    FeedPart {
        /// The only one: the put begins and ends with it.
        Only = 0, "only";
        /// The first of several. It opens a put, and abandons one that is open.
        First = 1, "first";
        /// One after the first and before the last.
        More = 2, "more";
        /// The last of several. Items that no part has listed are gone.
        Last = 3, "last";
    }
}

impl FeedPart {
    /// Whether a put begins with this part.
    #[must_use]
    pub const fn is_begin(self) -> bool {
        match self {
            Self::Only | Self::First => true,
            Self::More | Self::Last => false,
        }
    }

    /// Whether a put ends with this part.
    #[must_use]
    pub const fn is_end(self) -> bool {
        match self {
            Self::Only | Self::Last => true,
            Self::First | Self::More => false,
        }
    }
}

/// The id of an item: 1 to 128 bytes of printable ASCII without spaces.
///
/// Stored zero-padded. No character of an id is the zero byte, so the padded arrays sort as the ids do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedId {
    bytes: [u8; FeedId::LEN_MAX],
    len: u8,
}

impl FeedId {
    /// Maximum length in bytes.
    pub const LEN_MAX: usize = 128;

    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`ValueError::FeedId`] if the bytes are not a valid id.
    pub fn new(id: &[u8]) -> Result<Self, ValueError> {
        let mut bytes = [0; Self::LEN_MAX];
        bytes.get_mut(..id.len()).ok_or(ValueError::FeedId)?.copy_from_slice(id);
        if id.is_empty() || !id.iter().all(u8::is_ascii_graphic) {
            return Err(ValueError::FeedId);
        }
        Ok(Self { bytes, len: u8::try_from(id.len()).map_err(|_| ValueError::FeedId)? })
    }

    /// The bytes that keys and events contain, without a length.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        promised(self.bytes.get(..usize::from(self.len)), "the length is that of the bytes it was made from")
    }

    /// The same bytes as text: an id is ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        promised(core::str::from_utf8(self.as_bytes()).ok(), "an id is ASCII")
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for FeedId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text.as_bytes())
    }
}

/// The content of an item: at most 4 096 bytes, opaque to the ledger.
#[derive(Clone, PartialEq, Eq)]
pub struct FeedBody(Arc<[u8]>);

impl FeedBody {
    /// Maximum length in bytes.
    pub const LEN_MAX: usize = 4_096;

    /// Checks the length.
    ///
    /// # Errors
    /// [`ValueError::FeedBody`] if there are more than 4 096 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        if bytes.len() > Self::LEN_MAX { Err(ValueError::FeedBody) } else { Ok(Self(bytes.into())) }
    }

    /// The bytes as the feed sent them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FeedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Identifies an item. Ids of different kinds are unrelated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedKey {
    /// The kind, which comes first in the order of keys.
    pub kind: FeedKind,
    /// The id, unique within the kind.
    pub id: FeedId,
}

/// An item as a put lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// The id; the kind is that of the put.
    pub id: FeedId,
    /// The version of the item at its source.
    pub version: u64,
    /// The content of the item.
    pub body: FeedBody,
}

impl FeedEntry {
    /// Minimum size of an encoded entry: two lengths, an id of one byte and the version.
    const SIZE_MIN: usize = 12;

    /// Writes a u16 count and the entries.
    pub(crate) fn encode_list(entries: &[Self], out: &mut Writer) {
        out.count_u16(entries.len());
        for entry in entries {
            out.lp8(entry.id.as_bytes());
            out.u64(entry.version);
            out.lp16(entry.body.as_bytes());
        }
    }

    /// Reads a list whose ids ascend. The first invalid entry rejects the command, by its id before its body.
    pub(crate) fn decode_list(input: &mut Reader<'_>) -> Result<Checked<Valid<Vec<Self>>>, DecodeError> {
        let count = input.u16()?;
        // Reserve once, for what the input can contain at most; a growing vector peaks at three times its size.
        let room = usize::from(count).min(input.remaining() / Self::SIZE_MIN);
        let mut entries = Ok(Vec::with_capacity(room));
        let mut ids = Ascending::default();
        for _ in 0..count {
            let id = ids.next(input)?;
            let version = input.u64()?;
            let body = FeedBody::new(input.lp16()?);
            entries = entries.and_then(|mut entries: Vec<Self>| {
                entries.push(Self { id: id?, version, body: body? });
                Ok(entries)
            });
        }
        Ok(entries.map(Valid::trusted))
    }
}

impl Validate for Vec<FeedEntry> {
    /// Checks that the ids are strictly ascending, and that the count fits its u16.
    fn validate(&self) -> Result<(), ValueError> {
        let has_length = u16::try_from(self.len()).is_ok();
        if has_length && self.is_sorted_by(|a, b| a.id < b.id) { Ok(()) } else { Err(ValueError::List) }
    }
}

impl Validate for Vec<FeedId> {
    /// Checks that there are 1 to 32 ids, strictly ascending.
    fn validate(&self) -> Result<(), ValueError> {
        let has_length = !self.is_empty() && self.len() <= FEED_FORGET_IDS_MAX;
        if has_length && self.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(ValueError::List) }
    }
}

/// Reads a u8 length and an id. An invalid one rejects the command rather than the encoding.
pub(crate) fn id_field(input: &mut Reader<'_>) -> Result<Checked<FeedId>, DecodeError> {
    Ok(FeedId::new(input.lp8()?).map_err(Reject::from))
}

/// Reads a u16 length and a body. One that is too long rejects the command rather than the encoding.
pub(crate) fn body_field(input: &mut Reader<'_>) -> Result<Checked<FeedBody>, DecodeError> {
    Ok(FeedBody::new(input.lp16()?).map_err(Reject::from))
}

/// Reads a u8 count of at least 1, and that many ascending ids.
pub(crate) fn id_list(input: &mut Reader<'_>) -> Result<Checked<Valid<Vec<FeedId>>>, DecodeError> {
    let count = input.count_u8(1..=FEED_FORGET_IDS_MAX)?;
    let mut list = Ok(Vec::new());
    let mut ids = Ascending::default();
    for _ in 0..count {
        let id = ids.next(input)?;
        list = list.and_then(|mut list: Vec<FeedId>| {
            list.push(id?);
            Ok(list)
        });
    }
    Ok(list.map(Valid::trusted))
}

/// Reads ids in strictly ascending order; invalid ids take part in the order too.
#[derive(Default)]
struct Ascending<'a> {
    last: Option<&'a [u8]>,
}

impl<'a> Ascending<'a> {
    fn next(&mut self, input: &mut Reader<'a>) -> Result<Checked<FeedId>, DecodeError> {
        let bytes = input.lp8()?;
        if self.last.is_some_and(|last| last >= bytes) {
            return Err(input.error(DecodeErrorKind::Unsorted));
        }
        self.last = Some(bytes);
        Ok(FeedId::new(bytes).map_err(Reject::from))
    }
}

/// Totals of the feed, and whether a put is open (key `DE` alone); absent when all of them are zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedTotals {
    /// Whether a put of several parts has begun and not ended.
    pub open: bool,
    /// How many environments are live.
    pub live_environments: u32,
    /// How many filters are live.
    pub live_filters: u32,
    /// How many records of environments there are, whatever their state.
    pub environments: u32,
    /// How many records of filters there are, whatever their state.
    pub filters: u32,
    /// How many ids the open put has listed so far; 0 unless one is open.
    pub listed: u32,
    /// How many ids of environments were deleted before they ever were.
    pub unborn_environments: u32,
    /// How many ids of filters were deleted before they ever were.
    pub unborn_filters: u32,
}

impl FeedTotals {
    /// Whether every total is within its limit. More items may be live while a put is open, because the items that it
    /// replaces go only when it ends.
    pub(crate) fn is_within_limits(&self) -> bool {
        let live_max = if self.open { FEED_LIVE_OPEN_MAX } else { FEED_LIVE_MAX };
        self.listed <= FEED_PUT_IDS_MAX
            && self.environments <= FEED_RECORDS_MAX
            && self.filters <= FEED_RECORDS_MAX
            && self.unborn_environments <= FEED_UNBORN_MAX
            && self.unborn_filters <= FEED_UNBORN_MAX
            && self.live_environments.saturating_add(self.live_filters) <= live_max
    }

    /// Replaces what was counted for an item by what it is now.
    pub(crate) fn count(&mut self, kind: FeedKind, before: Option<&FeedItem>, now: Option<&FeedItem>) {
        let (live, records, unborn) = match kind {
            FeedKind::Environment => {
                (&mut self.live_environments, &mut self.environments, &mut self.unborn_environments)
            }
            FeedKind::Filter => (&mut self.live_filters, &mut self.filters, &mut self.unborn_filters),
        };
        let is_live = |item: Option<&FeedItem>| item.is_some_and(FeedItem::is_live);
        let is_unborn = |item: Option<&FeedItem>| item.is_some_and(|item| item.state == ItemState::Unborn);
        for (total, before, now) in [
            (live, is_live(before), is_live(now)),
            (records, before.is_some(), now.is_some()),
            (unborn, is_unborn(before), is_unborn(now)),
        ] {
            // The item was counted before, and the limits are far below the width, so nothing saturates.
            *total = total.saturating_sub(u32::from(before)).saturating_add(u32::from(now));
        }
    }
}

impl Encode for FeedTotals {
    fn encode(&self, out: &mut Writer) {
        out.bool(self.open);
        out.u32(self.live_environments);
        out.u32(self.live_filters);
        out.u32(self.environments);
        out.u32(self.filters);
        out.u32(self.listed);
        out.u32(self.unborn_environments);
        out.u32(self.unborn_filters);
    }
}

impl Decode for FeedTotals {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let totals = Self {
            open: input.bool()?,
            live_environments: input.u32()?,
            live_filters: input.u32()?,
            environments: input.u32()?,
            filters: input.u32()?,
            listed: input.u32()?,
            unborn_environments: input.u32()?,
            unborn_filters: input.u32()?,
        };
        if totals == Self::default() || (!totals.open && totals.listed != 0) {
            return Err(input.error(DecodeErrorKind::NotCanonical));
        }
        Ok(totals)
    }
}

/// Whether an item exists, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemState {
    /// It exists, with this body.
    Live(FeedBody),
    /// It was deleted.
    Deleted,
    /// The last put did not list it. The next put treats it as never seen; any other message must be newer.
    Forgotten,
    /// It was deleted before any upsert of it arrived. The end of a put that does not list it erases its record.
    Unborn,
}

impl ItemState {
    /// The byte that encodes the state. Tags are never reused.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        match self {
            Self::Live(_) => 0,
            Self::Deleted => 1,
            Self::Forgotten => 2,
            Self::Unborn => 3,
        }
    }

    /// Names in block files and output, by tag.
    pub const NAMES: [&'static str; 4] = ["live", "deleted", "forgotten", "unborn"];

    /// Name in block files and output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        let [live, deleted, forgotten, unborn] = Self::NAMES;
        match self {
            Self::Live(_) => live,
            Self::Deleted => deleted,
            Self::Forgotten => forgotten,
            Self::Unborn => unborn,
        }
    }
}

/// The record of an item (key `DE ‖ kind ‖ id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedItem {
    /// The version of the last accepted message; messages with this version or an older one are ignored.
    pub version: u64,
    /// Whether the item exists, and its body.
    pub state: ItemState,
}

impl FeedItem {
    /// Whether the item exists.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self.state {
            ItemState::Live(_) => true,
            ItemState::Deleted | ItemState::Forgotten | ItemState::Unborn => false,
        }
    }

    /// Whether the index lists the id, so that the end of a put visits it: not if it is forgotten.
    #[must_use]
    pub const fn is_indexed(&self) -> bool {
        match self.state {
            ItemState::Live(_) | ItemState::Deleted | ItemState::Unborn => true,
            ItemState::Forgotten => false,
        }
    }

    /// The body of a live item; `None` for any other.
    #[must_use]
    pub const fn body(&self) -> Option<&FeedBody> {
        match &self.state {
            ItemState::Live(body) => Some(body),
            ItemState::Deleted | ItemState::Forgotten | ItemState::Unborn => None,
        }
    }
}

impl Encode for FeedItem {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.version);
        out.u8(self.state.tag());
        out.lp32(self.body().map(FeedBody::as_bytes).unwrap_or_default());
    }
}

impl Decode for FeedItem {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = input.u64()?;
        let tag = input.u8()?;
        let unknown = input.error(DecodeErrorKind::UnknownTag);
        let body = input.lp32()?;
        let state = match (tag, body) {
            (0, body) => ItemState::Live(FeedBody::new(body).map_err(|_| input.error(DecodeErrorKind::TooLarge))?),
            (1, []) => ItemState::Deleted,
            (2, []) => ItemState::Forgotten,
            (3, []) => ItemState::Unborn,
            (1..=3, _) => return Err(input.error(DecodeErrorKind::NotCanonical)),
            (_, _) => return Err(unknown),
        };
        Ok(Self { version, state })
    }
}
