//! What is reported about, and the trial or deployment that reports about it belong to.

use std::fmt;

use coalmine_core::{
    Decode as _, DecodeError, DecodeErrorKind, Encode as _, Fault, Height, Name, Reader, Status, Version, Writer, query,
};

use crate::node::Node;

/// A feature, or a version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Feature(Name),
    Version(Name, Version),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature(name) => f.write_str(name.as_str()),
            Self::Version(plugin, version) => write!(f, "{} {version}", plugin.as_str()),
        }
    }
}

/// What counts belong to: those of another one judge nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trial {
    /// When it began, or the number of the last deployment.
    pub(crate) mark: u32,
    /// What a report says of it. A trial that enable started has no number, and a plugin may have no deployment.
    pub(crate) id: Option<u32>,
}

/// Why nothing can be reported now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTrial {
    #[error("there is no such feature")]
    NoFeature,
    #[error("the feature is off")]
    Off,
    #[error("there is no such plugin")]
    NoPlugin,
    #[error("there is no such version of the plugin")]
    NoVersion,
}

impl Subject {
    /// The trial that reports belong to now.
    ///
    /// # Errors
    /// The records cannot be read.
    pub(crate) fn trial(&self, node: &Node) -> Result<Result<Trial, NoTrial>, Fault> {
        match self {
            Self::Feature(name) => of_feature(node, name),
            Self::Version(plugin, version) => Ok(of_plugin(node, plugin).and_then(|trial| {
                let is_there = node.read(|state| state.plugin_version(plugin, version).is_some());
                if is_there { Ok(trial) } else { Err(NoTrial::NoVersion) }
            })),
        }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        match self {
            Self::Feature(name) => {
                out.u8(0);
                out.name(name);
            }
            Self::Version(plugin, version) => {
                out.u8(1);
                out.name(plugin);
                version.encode(out);
            }
        }
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => Ok(Self::Feature(input.name()?)),
            1 => Ok(Self::Version(input.name()?, Version::decode(input)?)),
            _ => Err(input.error(DecodeErrorKind::UnknownTag)),
        }
    }
}

impl Trial {
    pub(crate) fn encode(self, out: &mut Writer) {
        out.u32(self.mark);
        out.option(self.id, Writer::u32);
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { mark: input.u32()?, id: input.option(Reader::u32)? })
    }
}

/// The deployment of a plugin, or that there is none.
pub(crate) fn of_plugin(node: &Node, plugin: &Name) -> Result<Trial, NoTrial> {
    node.read(|state| {
        let mark = state.plugin(plugin).ok_or(NoTrial::NoPlugin)?.deployments;
        Ok(Trial { mark, id: state.deployment(plugin).map(|_| mark) })
    })
}

/// The trial of a feature.
///
/// # Errors
/// The records cannot be read.
pub(crate) fn of_feature(node: &Node, name: &Name) -> Result<Result<Trial, NoTrial>, Fault> {
    node.records(|records| {
        let Some(feature) = query::feature(records, name)? else { return Ok(Err(NoTrial::NoFeature)) };
        let start = feature.start_block;
        let of_canary = Trial { mark: start, id: Some(start) };
        match feature.status {
            Status::Disabled | Status::RolledBack => Ok(Err(NoTrial::Off)),
            Status::Canary | Status::RollingOut => Ok(Ok(of_canary)),
            Status::Enabled => {
                let Some(last) = query::last_change(records, name, Height::MAX)? else { return Ok(Ok(of_canary)) };
                let before = match (last.seq, last.height.checked_sub(1)) {
                    (0, Some(height)) => query::last_change(records, name, height)?.map(|entry| entry.change),
                    (0, None) => None,
                    (seq, before) => {
                        let limit = usize::try_from(seq).unwrap_or(usize::MAX);
                        let after = before.map(|height| (height, u32::MAX));
                        query::history(records, name, after, limit)?.pop().map(|entry| entry.change)
                    }
                };
                // From off to on for everybody: a trial of its own, which has the number of the canary before it.
                let goes_on = before.is_some_and(|before| before.status.is_on());
                Ok(Ok(if goes_on { of_canary } else { Trial { mark: last.height, id: None } }))
            }
        }
    })
}
