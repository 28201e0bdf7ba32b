//! The messages of the stream: parsed once, with all checks of path, body and version.
//!
//! Either a message is refused as a whole, or single items of it are flawed. The manager decides what a flaw means.

use std::fmt;

use coalmine_core::{FeedBody, FeedEntry, FeedId, FeedKind};
use serde::Serialize;

use crate::json::{Malformed, Members};
use crate::secret::Salt;

/// The items of a list, in the order of their ids. They are parsed when they are iterated, because a nearly empty item
/// takes many times the memory of its text.
pub struct List<'a> {
    kind: FeedKind,
    members: Members<'a>,
}

/// A message.
#[derive(Debug)]
pub enum Message<'a> {
    /// All items. Those not listed are gone.
    Put {
        /// The environments.
        environments: List<'a>,
        /// The filters.
        filters: List<'a>,
    },
    /// One item is new or changed.
    Patch {
        /// The list that it is in.
        kind: FeedKind,
        /// Its id.
        id: String,
        /// Its new version. The body has no secrets.
        entry: Result<FeedEntry, Flaw>,
    },
    /// One item is gone.
    Delete {
        /// The list that it was in.
        kind: FeedKind,
        /// Its id.
        id: String,
        /// The version of its deletion.
        version: Result<(FeedId, u64), Flaw>,
    },
    /// The client should reconnect.
    Reconnect,
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The event has an unknown name.
    #[error("unknown event")]
    UnknownEvent,
    /// A put of something other than everything.
    #[error("a put whose path is not \"/\"")]
    WrongPath,
    /// The path names neither an environment nor a filter.
    #[error("the path names neither an environment nor a filter")]
    UnknownEntity,
    /// It is malformed; the stream cannot be trusted any more.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Why an item cannot go to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Flaw {
    /// An environment whose body has another id.
    #[error("its envID is that of another environment")]
    WrongId,
    /// An id that the ledger does not accept.
    #[error("an id has 1 to 128 printable ASCII characters and no space")]
    InvalidId,
    /// A version that the ledger does not have.
    #[error("its version is negative")]
    NegativeVersion,
    /// A body that the ledger does not accept.
    #[error("its body is longer than {} bytes", FeedBody::LEN_MAX)]
    TooLarge,
}

/// An environment, with the field names of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Its id.
    #[serde(rename = "envID")]
    pub env_id: String,
    /// Its key.
    pub env_key: String,
    /// Its name.
    pub env_name: String,
    /// The mobile key, a secret.
    pub mob_key: String,
    /// The key of its project.
    pub proj_key: String,
    /// The name of its project.
    pub proj_name: String,
    /// The SDK keys, secrets.
    pub sdk_key: SdkKey,
    /// How long its data may be cached, in minutes.
    pub default_ttl: i64,
    /// Whether users must be signed.
    pub secure_mode: bool,
}

/// The SDK key of an environment, and the one that it replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SdkKey {
    /// The key.
    pub value: String,
    /// The replaced key, while it is still valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiring: Option<ExpiringKey>,
}

/// An SDK key that expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpiringKey {
    /// The key.
    pub value: String,
    /// When it expires, in milliseconds since 1970.
    pub timestamp: u64,
}

/// A filter, with the field names of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// The key of its project.
    pub proj_key: String,
    /// Its key within the project.
    pub key: String,
}

impl<'a> List<'a> {
    fn read(kind: FeedKind, members: Members<'a>, salt: &Salt) -> Result<Self, Malformed> {
        for (id, text) in members.iter() {
            read_entry(kind, id, text, salt).map_err(|error| error.within(id))?.ok();
        }
        Ok(Self { kind, members: members.in_order() })
    }

    /// The items. Secrets are hidden with `salt`, which must be that with which the message was read.
    pub fn iter(&self, salt: &Salt) -> impl Iterator<Item = (&str, Result<FeedEntry, Flaw>)> {
        // Every item was parsed when the message was read.
        self.members.iter().filter_map(|(id, text)| Some((id, read_entry(self.kind, id, text, salt).ok()?)))
    }
}

/// Only the ids, because the text has secrets.
impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.members.iter().map(|(id, _)| id)).finish()
    }
}

impl<'a> Message<'a> {
    /// Parses an event of the stream. Secrets are hidden at once, except in the lists of a put, which hide them when they
    /// are iterated.
    ///
    /// # Errors
    /// [`MessageError`]; only [`MessageError::Malformed`] ends the connection.
    pub fn read(event: &str, data: &'a str, salt: &Salt) -> Result<Self, MessageError> {
        match event {
            "put" => read_put(data, salt),
            "patch" => read_patch(data, salt),
            "delete" => read_delete(data),
            "reconnect" => Ok(Self::Reconnect),
            _ => Err(MessageError::UnknownEvent),
        }
    }
}

fn read_put<'a>(data: &'a str, salt: &Salt) -> Result<Message<'a>, MessageError> {
    let put = Members::read(data)?;
    let path: String = put.get("path")?;
    // The source reads a put without data as one that lists nothing, which would delete everything.
    let content = put.needed("data")?;
    let list = |name: &str, kind: FeedKind| {
        let list = List::read(kind, content.members(name).map_err(|error| error.within("data"))?, salt);
        list.map_err(|error| error.within(name).within("data"))
    };
    let environments = list("environments", FeedKind::Environment)?;
    let filters = list("filters", FeedKind::Filter)?;
    if path != "/" {
        return Err(MessageError::WrongPath);
    }
    Ok(Message::Put { environments, filters })
}

fn read_patch(data: &str, salt: &Salt) -> Result<Message<'static>, MessageError> {
    let patch = Members::read(data)?;
    let (kind, id) = read_path(&patch.get::<String>("path")?)?;
    let text = patch.text("data").ok_or_else(|| Malformed::new("data is missing"))?;
    let entry = read_entry(kind, &id, text, salt).map_err(|error| error.within("data"))?;
    Ok(Message::Patch { kind, id, entry })
}

fn read_delete(data: &str) -> Result<Message<'static>, MessageError> {
    let delete = Members::read(data)?;
    let version = read_version(&delete)?;
    let (kind, id) = read_path(&delete.get::<String>("path")?)?;
    let version = read_id(&id).and_then(|id| Ok((id, version?)));
    Ok(Message::Delete { kind, id, version })
}

/// `/environments/ID` or `/filters/ID`.
fn read_path(path: &str) -> Result<(FeedKind, String), MessageError> {
    let entities = [("/environments/", FeedKind::Environment), ("/filters/", FeedKind::Filter)];
    let mut found = entities.into_iter().filter_map(|(prefix, kind)| Some((kind, path.strip_prefix(prefix)?)));
    match found.next() {
        Some((kind, id)) if !id.contains('/') => Ok((kind, id.into())),
        _ => Err(MessageError::UnknownEntity),
    }
}

fn read_entry(kind: FeedKind, id: &str, text: &str, salt: &Salt) -> Result<Result<FeedEntry, Flaw>, Malformed> {
    let members = Members::read(text)?;
    let version = read_version(&members)?;
    let (body, is_its_own) = match kind {
        FeedKind::Environment => {
            let mut environment = Environment::of(&members)?;
            let is_its_own = environment.env_id == id;
            environment.hide(salt);
            (serde_json::to_vec(&environment)?, is_its_own)
        }
        // The body of a filter has no id.
        FeedKind::Filter => (serde_json::to_vec(&Filter::of(&members)?)?, true),
    };
    let entry = || {
        if !is_its_own {
            return Err(Flaw::WrongId);
        }
        let body = FeedBody::new(&body).map_err(|_| Flaw::TooLarge);
        Ok(FeedEntry { id: read_id(id)?, version: version?, body: body? })
    };
    Ok(entry())
}

fn read_id(id: &str) -> Result<FeedId, Flaw> {
    FeedId::new(id.as_bytes()).map_err(|_| Flaw::InvalidId)
}

/// An absent version is 0.
fn read_version(members: &Members<'_>) -> Result<Result<u64, Flaw>, Malformed> {
    const NAME: &str = "version";
    let version: i128 = members.get(NAME)?;
    if version < 0 {
        return Ok(Err(Flaw::NegativeVersion));
    }
    u64::try_from(version).map(Ok).map_err(|_| Malformed::new("out of range").within(NAME))
}

impl Environment {
    /// Reads the body of an environment that the ledger stores.
    ///
    /// # Errors
    /// A body that is none.
    pub fn from_body(body: &[u8]) -> Result<Self, Malformed> {
        Self::of(&Members::read(text(body)?)?)
    }

    fn of(members: &Members<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            env_id: members.get("envID")?,
            env_key: members.get("envKey")?,
            env_name: members.get("envName")?,
            mob_key: members.get("mobKey")?,
            proj_key: members.get("projKey")?,
            proj_name: members.get("projName")?,
            sdk_key: members.members("sdkKey").and_then(|key| SdkKey::of(&key).map_err(|e| e.within("sdkKey")))?,
            default_ttl: members.get("defaultTtl")?,
            secure_mode: members.get("secureMode")?,
        })
    }

    fn hide(&mut self, salt: &Salt) {
        self.mob_key = salt.hide(&self.mob_key);
        self.sdk_key.value = salt.hide(&self.sdk_key.value);
        if let Some(expiring) = &mut self.sdk_key.expiring {
            expiring.value = salt.hide(&expiring.value);
        }
    }
}

impl SdkKey {
    /// An expiring key without a value is the same as none.
    fn of(members: &Members<'_>) -> Result<Self, Malformed> {
        let expiring = members.members("expiring")?;
        let read = || Ok(ExpiringKey { value: expiring.get("value")?, timestamp: expiring.get("timestamp")? });
        let expiring = read().map_err(|error: Malformed| error.within("expiring"))?;
        Ok(Self { value: members.get("value")?, expiring: Some(expiring).filter(|key| !key.value.is_empty()) })
    }
}

impl Filter {
    /// Reads the body of a filter that the ledger stores.
    ///
    /// # Errors
    /// A body that is none.
    pub fn from_body(body: &[u8]) -> Result<Self, Malformed> {
        Self::of(&Members::read(text(body)?)?)
    }

    fn of(members: &Members<'_>) -> Result<Self, Malformed> {
        Ok(Self { proj_key: members.get("projKey")?, key: members.get("key")? })
    }
}

fn text(body: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(body).map_err(|_| Malformed::new("not UTF-8"))
}
