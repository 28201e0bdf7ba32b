//! The commands on the feed.
//!
//! No command changes anything before it is certain to succeed: totals are added up first.

use alloc::vec::Vec;

use crate::event::Event;
use crate::execute::executor::Executor;
use crate::feed;
use crate::feed::record::{
    FEED_LIVE_MAX, FEED_PUT_IDS_MAX, FeedBody, FeedEntry, FeedId, FeedKey, FeedKind, FeedPart, FeedTotals,
};
use crate::feed::{FeedAction, Transition};
use crate::note::Note;
use crate::overlay::feed::Unlisted;
use crate::reject::Reject;

const _: () = assert!(FEED_PUT_IDS_MAX <= FEED_LIVE_MAX, "what a put retains may be live");

impl Executor<'_> {
    /// Upserts the listed items of a put, or of one of its parts. Items that no part has listed are forgotten when the
    /// put ends.
    pub(super) fn feed_put(
        &mut self,
        part: FeedPart,
        environments: &[FeedEntry],
        filters: &[FeedEntry],
    ) -> Result<(), Reject> {
        if !part.is_begin() && !self.overlay.feed.state.open {
            return Err(Reject::FeedPutNotOpen);
        }
        let mut totals = self.overlay.feed.state;
        totals.open = true;
        if part.is_begin() {
            totals.listed = 0;
        }
        // In the order of keys, because each list is, and environments come first.
        let mut upserts = Vec::new();
        let lists = [(FeedKind::Environment, environments), (FeedKind::Filter, filters)];
        for (kind, FeedEntry { id, version, body }) in
            lists.into_iter().flat_map(|(kind, entries)| entries.iter().map(move |entry| (kind, entry)))
        {
            let key = FeedKey { kind, id: *id };
            let stored = self.overlay.feed.item(&key);
            let transition = feed::upsert_in_put(kind, stored, *version, body);
            totals.count(kind, stored, transition.item.as_ref().or(stored));
            let is_listed = !part.is_begin() && self.overlay.feed.is_listed(&key);
            totals.listed = totals.listed.saturating_add(u32::from(!is_listed));
            upserts.push((key, transition));
        }
        // Only the totals behind the command count, but for the ids that the put has listed: the end drops that list.
        if totals.listed > FEED_PUT_IDS_MAX {
            return Err(Reject::FeedTooManyItems);
        }
        let mut unlisted = Vec::new();
        if part.is_end() {
            let is_upserted = |key: &FeedKey| upserts.binary_search_by_key(key, |(upserted, _)| *upserted).is_ok();
            unlisted =
                self.overlay.feed.unlisted(|feed, key| is_upserted(key) || (!part.is_begin() && feed.is_listed(key)));
            for Unlisted { key, item, .. } in &unlisted {
                totals.count(key.kind, self.overlay.feed.item(key), item.as_ref());
            }
            totals = FeedTotals { open: false, listed: 0, ..totals };
        }
        if !totals.is_within_limits() {
            return Err(Reject::FeedTooManyItems);
        }
        // From here on the command succeeds.
        if part.is_begin() {
            self.overlay.feed.clear_listed();
        }
        self.overlay.feed.state.open = true;
        for (key, transition) in upserts {
            self.overlay.feed.list(key);
            self.receive(key, transition);
        }
        if part.is_end() {
            self.end_put(unlisted);
        }
        debug_assert_eq!(self.overlay.feed.state, totals, "the limits were checked for the totals that come out");
        Ok(())
    }

    fn end_put(&mut self, unlisted: Vec<Unlisted>) {
        for Unlisted { key, version, item, action } in unlisted {
            self.overlay.feed.set_item(key, item);
            // Forgetting an item that was already deleted changes nothing for consumers, and no message was about it.
            if action != FeedAction::Noop {
                self.tell(key, version, action);
            }
        }
        self.overlay.feed.clear_listed();
        self.overlay.feed.state.open = false;
        self.out.event(Event::FeedReceivedAll);
    }

    /// Upserts one item. An open put retains what the message stores, because it may be newer than the list of the put.
    pub(super) fn feed_patch(
        &mut self,
        kind: FeedKind,
        id: FeedId,
        version: u64,
        body: &FeedBody,
    ) -> Result<(), Reject> {
        let key = FeedKey { kind, id };
        self.take_message(key, feed::upsert(kind, self.overlay.feed.item(&key), version, body))
    }

    /// Deletes one item. An item that was never seen is recorded as unborn, so that an older upsert cannot revive it. An
    /// open put retains what the message stores, because it may be newer than the list of the put.
    pub(super) fn feed_delete(&mut self, kind: FeedKind, id: FeedId, version: u64) -> Result<(), Reject> {
        let key = FeedKey { kind, id };
        self.take_message(key, feed::delete(self.overlay.feed.item(&key), version))
    }

    /// Takes a message about one item, unless the totals behind it are over a limit.
    fn take_message(&mut self, key: FeedKey, transition: Transition) -> Result<(), Reject> {
        let mut totals = self.overlay.feed.state;
        let stored = self.overlay.feed.item(&key);
        totals.count(key.kind, stored, transition.item.as_ref().or(stored));
        let is_retained = totals.open && transition.item.is_some();
        let is_new = is_retained && !self.overlay.feed.is_listed(&key);
        totals.listed = totals.listed.saturating_add(u32::from(is_new));
        if !totals.is_within_limits() {
            return Err(Reject::FeedTooManyItems);
        }
        // From here on the command succeeds.
        if is_retained {
            self.overlay.feed.list(key);
        }
        self.receive(key, transition);
        Ok(())
    }

    /// Erases the records of items. Nothing else ever removes the mark of a deleted or forgotten item.
    pub(super) fn feed_forget(&mut self, kind: FeedKind, ids: &[FeedId]) -> Result<(), Reject> {
        for id in ids {
            let key = FeedKey { kind, id: *id };
            let stored = self.overlay.feed.item(&key);
            let (version, action) = (stored.map(|item| item.version).unwrap_or_default(), feed::forget(stored));
            self.overlay.feed.set_item(key, None);
            self.tell(key, version, action);
        }
        Ok(())
    }

    fn receive(&mut self, key: FeedKey, Transition { item, action }: Transition) {
        let version = self.overlay.feed.store(key, item);
        self.tell(key, version, action);
    }

    /// Emits an event for a change that consumers see, and a note for a message without effect.
    fn tell(&mut self, FeedKey { kind, id }: FeedKey, version: u64, action: FeedAction) {
        match action {
            FeedAction::Insert => self.out.event(Event::FeedInsert { kind, id, version }),
            FeedAction::Updated => self.out.event(Event::FeedUpdated { kind, id, version }),
            FeedAction::Delete => self.out.event(Event::FeedDelete { kind, id, version }),
            FeedAction::Noop => self.out.note(Note::Feed { kind, id, action }),
        }
    }
}
