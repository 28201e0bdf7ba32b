//! The valid credentials of one environment: a primary one of each kind, and SDK keys that are about to expire.
//!
//! This is for consumers of the feed: they enter the keys of its environments and learn which were added and which
//! expired. Keys are opaque here, so hashed ones work as well.

use std::collections::{BTreeMap, BTreeSet};

/// The kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialKind {
    /// The id of the environment.
    Environment,
    /// A mobile key.
    Mobile,
    /// An SDK key.
    Sdk,
}

/// A kind and a key.
pub type Credential = (CredentialKind, String);

/// An SDK key that stays valid for a while beside the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grace {
    /// The key.
    pub key: String,
    /// The last millisecond at which it is valid.
    pub until_ms: u64,
}

/// What changed since the last step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Credentials that are valid now.
    pub additions: BTreeSet<Credential>,
    /// Credentials that are no longer valid.
    pub expirations: BTreeSet<Credential>,
}

/// The credentials of one environment.
///
/// ```
/// use coalmine_feed::rotation::{CredentialKind, Grace, Rotation};
///
/// let mut rotation = Rotation::default();
/// rotation.init(CredentialKind::Sdk, "old".into());
/// rotation.rotate_with_grace("new".into(), Grace { key: "old".into(), until_ms: 1_000 }, 0);
/// assert_eq!(rotation.step(1_000).expirations.len(), 0);
/// assert!(rotation.step(1_001).expirations.contains(&(CredentialKind::Sdk, "old".into())));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Rotation {
    primary: BTreeMap<CredentialKind, String>,
    /// Deprecated SDK keys and the last millisecond at which each is valid.
    deprecated: BTreeMap<String, u64>,
    changes: Step,
}

impl Rotation {
    /// Sets a primary credential without reporting it as added.
    pub fn init(&mut self, kind: CredentialKind, key: String) {
        self.primary.insert(kind, key);
    }

    /// Makes a credential the primary one. The previous one expires at once.
    pub fn rotate(&mut self, kind: CredentialKind, key: String) {
        if let Some(previous) = self.swap(kind, key) {
            self.changes.expirations.insert((kind, previous));
        }
    }

    /// Makes an SDK key the primary one, while another stays valid until its grace ends.
    ///
    /// The first grace of a key counts. If `grace` is for a key that has one already, the previous primary key expires
    /// at once.
    pub fn rotate_with_grace(&mut self, key: String, grace: Grace, now_ms: u64) {
        let previous = self.swap(CredentialKind::Sdk, key);
        if self.deprecated.contains_key(&grace.key) {
            self.changes.expirations.extend(previous.map(|key| (CredentialKind::Sdk, key)));
            return;
        }
        if now_ms > grace.until_ms {
            return;
        }
        if previous.as_ref() != Some(&grace.key) {
            self.changes.additions.insert((CredentialKind::Sdk, grace.key.clone()));
        }
        self.deprecated.insert(grace.key, grace.until_ms);
    }

    /// Expires keys whose grace is over, and reports what changed since the last step.
    pub fn step(&mut self, now_ms: u64) -> Step {
        let ended = self.deprecated.extract_if(.., |_, until_ms| now_ms > *until_ms);
        self.changes.expirations.extend(ended.map(|(key, _)| (CredentialKind::Sdk, key)));
        std::mem::take(&mut self.changes)
    }

    /// The primary credentials.
    pub fn primary(&self) -> impl Iterator<Item = (CredentialKind, &str)> {
        self.primary.iter().map(|(kind, key)| (*kind, key.as_str()))
    }

    /// The SDK keys that are still valid beside the primary one.
    pub fn deprecated(&self) -> impl Iterator<Item = &str> {
        self.deprecated.keys().map(String::as_str)
    }

    /// Makes a credential the primary one. Returns the one that it replaces, if it is another.
    fn swap(&mut self, kind: CredentialKind, key: String) -> Option<String> {
        if self.primary.get(&kind) == Some(&key) {
            return None;
        }
        self.changes.additions.insert((kind, key.clone()));
        self.primary.insert(kind, key)
    }
}
