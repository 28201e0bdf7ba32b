//! The part of the worlds that is about the feed.

use std::collections::BTreeMap;

use super::{ADDRESSES, Generator};
use crate::FEEDER;
use crate::authority::authority;
use crate::raw::{Command, FeedEntry};

/// The valid ids that worlds use: one is a prefix of another, two are the ends of the alphabet, one has the maximum
/// length.
pub const FEED_IDS: [&[u8]; 7] = [b"a", b"ab", b"!", b"~", b"env-1", b"/x:y", &[b'z'; 128]];
/// Invalid ids.
const FEED_IDS_BROKEN: [&[u8]; 5] = [b"", b"a b", b"\x7f", b"\xc3\xa9", &[b'z'; 129]];
/// More ids than a put may list.
const FEED_IDS_TOO_MANY: usize = 4_097;

impl Generator<'_> {
    /// Messages of the feed in one transaction, rarely more than a put may list.
    pub(super) fn feed_payload(&mut self) -> Vec<u8> {
        // Not 0, which is what bytes that are over give: this one takes long.
        if self.choices.below(400) == 1 {
            return self.feed_flood();
        }
        let count = self.choices.pick(&[1, 1, 1, 1, 2, 3]);
        let commands: Vec<Command> = (0..count).map(|_| self.feed_command()).collect();
        let signer = match commands.first() {
            Some(command) if self.choices.percent(90) => self.signer(authority(command)),
            Some(_) | None => self.choices.pick(&ADDRESSES),
        };
        let payload = self.sealed(signer, commands);
        if self.choices.percent(2) { self.damaged(payload) } else { payload }
    }

    fn feed_command(&mut self) -> Command {
        let kind = self.choices.pick_or(&[0, 0, 1], &[2]);
        let version = self.feed_version();
        match self.choices.below(20) {
            0..8 => Command::FeedPatch { kind, id: self.feed_id(), version, body: self.feed_body() },
            8..13 => Command::FeedDelete { kind, id: self.feed_id(), version },
            13..19 => {
                // A part goes with what is open, mostly.
                let parts: &[u8] = if self.model.feed.is_open() { &[2, 2, 3, 3, 0, 1] } else { &[0, 0, 1, 1, 2, 3] };
                let part = self.choices.pick_or(parts, &[4]);
                Command::FeedPut { part, lists: [self.feed_list(), self.feed_list()] }
            }
            _ => {
                let mut ids: Vec<Vec<u8>> = (0..=self.choices.below(4)).map(|_| self.feed_id()).collect();
                ids.sort();
                ids.dedup();
                if self.choices.percent(4) {
                    ids.push(ids[0].clone());
                }
                Command::FeedForget { kind, ids }
            }
        }
    }

    fn feed_list(&mut self) -> Vec<FeedEntry> {
        let mut entries: BTreeMap<Vec<u8>, FeedEntry> = BTreeMap::new();
        for _ in 0..self.choices.below(5) {
            let entry = FeedEntry { id: self.feed_id(), version: self.feed_version(), body: self.feed_body() };
            entries.insert(entry.id.clone(), entry);
        }
        let mut entries: Vec<FeedEntry> = entries.into_values().collect();
        if self.choices.percent(2) {
            entries.reverse();
        }
        entries
    }

    fn feed_id(&mut self) -> Vec<u8> {
        self.choices.pick_or(&FEED_IDS, &FEED_IDS_BROKEN).into()
    }

    fn feed_version(&mut self) -> u64 {
        self.choices.pick(&[0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 1 << 63, u64::MAX - 1, u64::MAX])
    }

    fn feed_body(&mut self) -> Vec<u8> {
        match self.choices.below(100) {
            0 => vec![0xbb; 4_096],
            1 => vec![0xbb; 4_097],
            n => vec![0xb0; n % 4],
        }
    }

    /// A put of one id too many, in the parts of one transaction.
    fn feed_flood(&mut self) -> Vec<u8> {
        let characters = b'!'..=b'~';
        let ids = characters.clone().flat_map(|first| characters.clone().map(move |second| vec![first, second]));
        let entries: Vec<FeedEntry> =
            ids.take(FEED_IDS_TOO_MANY).map(|id| FeedEntry { id, version: 1, body: Vec::new() }).collect();
        let parts = entries.chunks(600).enumerate();
        let commands = parts.map(|(index, entries)| {
            let part = if index == 0 { 1 } else { self.choices.pick(&[2, 2, 2, 2, 2, 2, 2, 2, 3]) };
            Command::FeedPut { part, lists: [entries.to_vec(), Vec::new()] }
        });
        let commands = commands.collect();
        {
            let signer = self.signer(FEEDER);
            self.sealed(signer, commands)
        }
    }
}
