//! The manifest of a version: what is registered with it and never changes.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{DecodeError, DecodeErrorKind, Reader, Writer};
use crate::plugin::version::Constraint;
use crate::valid::Validate;
use crate::values::{Hash, Name, ValueError};

/// The most plugins that one version requires.
pub const REQUIREMENTS_MAX: usize = 32;

/// The most metadata entries of one version.
pub const METADATA_MAX: usize = 16;

/// The longest config of a version, in bytes.
pub const CONFIG_SIZE_MAX: usize = 4_096;

/// Another plugin that a version requires, and the versions of it that are acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The required plugin.
    pub plugin: Name,
    /// The constraint that its current version must satisfy.
    pub constraint: Constraint,
}

/// What is registered with a version and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// SHA-256 of the code, by which nodes identify it.
    pub code_hash: Hash,
    /// The host versions that can run it; `None`: any.
    pub host: Option<Constraint>,
    /// Required plugins, ascending, at most [`REQUIREMENTS_MAX`].
    pub requirements: Vec<Requirement>,
    /// Opaque to the ledger, at most [`CONFIG_SIZE_MAX`] bytes.
    pub config: Vec<u8>,
    /// Entries for people, ascending by key, at most [`METADATA_MAX`]; a text has at most 255 bytes.
    pub metadata: Vec<(Name, String)>,
}

impl Manifest {
    /// A manifest with a code hash only: no requirements, any host.
    #[must_use]
    pub const fn of_code(code_hash: Hash) -> Self {
        Self { code_hash, host: None, requirements: Vec::new(), config: Vec::new(), metadata: Vec::new() }
    }

    /// Writes everything after the code hash.
    pub(crate) fn encode_rest(&self, out: &mut Writer) {
        Constraint::encode_option(self.host.as_ref(), out);
        out.count_u8(self.requirements.len());
        for Requirement { plugin, constraint } in &self.requirements {
            out.name(plugin);
            out.lp8(constraint.as_str().as_bytes());
        }
        out.lp16(&self.config);
        out.count_u8(self.metadata.len());
        for (key, text) in &self.metadata {
            out.name(key);
            out.lp8(text.as_bytes());
        }
    }

    pub(crate) fn decode_rest(code_hash: Hash, input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let raw = RawManifest::decode(input)?;
        let manifest = raw.check_names().and_then(|named| named.check(code_hash));
        manifest.map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }
}

impl Validate for Manifest {
    fn validate(&self) -> Result<(), ValueError> {
        let Self { code_hash: _, host: _, requirements, config, metadata } = self;
        if config.len() > CONFIG_SIZE_MAX {
            return Err(ValueError::Config);
        }
        let is_valid = requirements.len() <= REQUIREMENTS_MAX
            && requirements.is_sorted_by(|a, b| a.plugin < b.plugin)
            && metadata.len() <= METADATA_MAX
            && metadata.is_sorted_by(|(a, _), (b, _)| a < b)
            && metadata.iter().all(|(_, text)| u8::try_from(text.len()).is_ok());
        if is_valid { Ok(()) } else { Err(ValueError::List) }
    }
}

/// The undecoded fields after the code hash.
///
/// Decoding is split from validation because the order of the two is consensus: a later field that does not decode
/// makes the transaction malformed, even if an earlier value is invalid.
pub(crate) struct RawManifest<'a> {
    host: &'a [u8],
    requirements: Vec<(&'a [u8], &'a [u8])>,
    config: &'a [u8],
    metadata: Vec<(&'a [u8], &'a str)>,
}

impl<'a> RawManifest<'a> {
    /// Reads widths, counts, order and UTF-8, and nothing that can reject a command.
    pub(crate) fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let host = input.lp8()?;
        let requirements = ascending(input, REQUIREMENTS_MAX, |input| Ok((input.lp8()?, input.lp8()?)))?;
        let config = input.lp16()?;
        let metadata = ascending(input, METADATA_MAX, |input| {
            let key = input.lp8()?;
            let text = input.lp8()?;
            Ok((key, input.text(text)?))
        })?;
        Ok(Self { host, requirements, config, metadata })
    }

    pub(crate) fn check_names(self) -> Result<NamedManifest<'a>, ValueError> {
        let Self { host, requirements, config, metadata } = self;
        let requirements = requirements.into_iter().map(|(plugin, constraint)| Ok((Name::new(plugin)?, constraint)));
        let requirements = requirements.collect::<Result<_, ValueError>>()?;
        let metadata = metadata.into_iter().map(|(key, text)| Ok((Name::new(key)?, text)));
        Ok(NamedManifest { host, requirements, config, metadata: metadata.collect::<Result<_, ValueError>>()? })
    }
}

/// A manifest whose names are valid. A command's own version is checked between names and constraints.
pub(crate) struct NamedManifest<'a> {
    host: &'a [u8],
    requirements: Vec<(Name, &'a [u8])>,
    config: &'a [u8],
    metadata: Vec<(Name, &'a str)>,
}

impl NamedManifest<'_> {
    /// Checks the constraints, then the size of the config. The order is consensus: it decides the reject.
    pub(crate) fn check(self, code_hash: Hash) -> Result<Manifest, ValueError> {
        let host = Constraint::new_option(self.host)?;
        let requirement =
            |(plugin, constraint): (Name, &[u8])| Ok(Requirement { plugin, constraint: Constraint::new(constraint)? });
        let requirements = self.requirements.into_iter().map(requirement).collect::<Result<_, ValueError>>()?;
        if self.config.len() > CONFIG_SIZE_MAX {
            return Err(ValueError::Config);
        }
        let metadata = self.metadata.into_iter().map(|(key, text)| (key, text.into())).collect();
        Ok(Manifest { code_hash, host, requirements, config: self.config.into(), metadata })
    }
}

/// Reads a count and as many pairs, strictly ascending by the first part.
fn ascending<'a, T>(
    input: &mut Reader<'a>,
    max: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<(&'a [u8], T), DecodeError>,
) -> Result<Vec<(&'a [u8], T)>, DecodeError> {
    let count = input.count_u8(0..=max)?;
    let pairs = (0..count).map(|_| read(input)).collect::<Result<Vec<_>, _>>()?;
    if pairs.is_sorted_by(|(a, _), (b, _)| a < b) { Ok(pairs) } else { Err(input.error(DecodeErrorKind::Unsorted)) }
}
