//! Output of results: to standard output or a file, as lines of text or one JSON object per line.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::error::Error;
use crate::input::store_path;
use crate::render::Fields;

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people and for `diff`.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where a command writes its results, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    /// The form of results.
    pub(crate) format: Format,
    /// A file to write instead of standard output.
    pub(crate) file: Option<PathBuf>,
}

/// An open [`Target`].
pub(crate) struct Output {
    to: String,
    format: Format,
    writer: BufWriter<Box<dyn Write>>,
}

impl Output {
    /// Opens the target, which must not be one of the `inputs`.
    pub(crate) fn open<'a>(target: &Target, inputs: impl IntoIterator<Item = &'a Path>) -> Result<Self, Error> {
        let format = target.format;
        let Some(path) = target.file.as_deref().filter(|path| path.as_os_str() != "-") else {
            return Ok(Self { to: "standard output".into(), format, writer: BufWriter::new(Box::new(io::stdout())) });
        };
        let to = path.display().to_string();
        if inputs.into_iter().any(|input| is_same(input, path)) {
            return Err(Error::Input(format!("{to}: this is an input as well; write to another file")));
        }
        match File::create(path) {
            Ok(file) => Ok(Self { to, format, writer: BufWriter::new(Box::new(file)) }),
            Err(error) => Err(Error::Input(format!("{to}: cannot be written: {error}"))),
        }
    }

    /// Opens the target, which must not be a file that one of the `sources` names.
    pub(crate) fn for_sources<'a>(target: &Target, sources: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        Self::open(target, sources.into_iter().filter(|source| store_path(source).is_none()).map(Path::new))
    }

    /// Writes `text` in the text form, `fields` in the JSON form.
    pub(crate) fn put(&mut self, text: impl FnOnce() -> String, fields: &Fields) -> Result<(), Error> {
        match self.format {
            Format::Text => {
                let text = text();
                self.write(|out| writeln!(out, "{text}"))
            }
            Format::Json => self.json(fields),
        }
    }

    /// Writes one of several results on a line: the values of `id`, then the pairs of `rest`.
    pub(crate) fn row(&mut self, id: Fields, rest: Fields) -> Result<(), Error> {
        let text = [id.values(), rest.pairs()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        self.put(|| text.join(" "), &id.and(rest))
    }

    /// Writes a single result: a line per value, each after its path, and a line per entry of a list.
    pub(crate) fn card(&mut self, fields: &Fields) -> Result<(), Error> {
        self.put(|| fields.lines().join("\n"), fields)
    }

    /// Writes a line of JSON, whatever the form.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Error> {
        self.write(|out| {
            serde_json::to_writer(&mut *out, value)?;
            out.write_all(b"\n")
        })
    }

    /// Gives `write` the output, and an error the name of the target.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        write(&mut self.writer).map_err(|error| Error::Output { to: self.to.clone(), error })
    }

    /// Flushes what is still buffered.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.write(|out| out.flush())
    }
}

fn is_same(input: &Path, output: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok().filter(|path| path.is_file());
    real(input).is_some_and(|input| real(output) == Some(input))
}
