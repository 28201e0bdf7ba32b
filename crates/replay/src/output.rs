//! Output of results: to standard output or a file, as lines of text or one JSON object per line.
//!
//! A file is written under a temporary name beside its own, and takes its own when the command ends. It has then what
//! standard output would have: if the command fails, what it had found before. Only a file that could not be written in
//! full is never seen. No output replaces an input.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use coalmine_answers::Answer;
use coalmine_json::render::Fields;
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::input::{FileId, Input};

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people and for `diff`.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// A calendar for other programs; of the command calendar alone.
    Ics,
}

impl Format {
    /// Reports a problem on standard error: `text` as a line, or an object of this type with `fields`.
    pub(crate) fn problem(self, kind: &'static str, text: impl fmt::Display, fields: Fields) {
        match self {
            Self::Text | Self::Ics => eprintln!("{text}"),
            Self::Json => match serde_json::to_string(&typed(kind, fields)) {
                Ok(json) => eprintln!("{json}"),
                Err(_) => eprintln!("{text}"),
            },
        }
    }
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
    writer: BufWriter<Sink>,
    is_empty: bool,
}

/// Where the bytes go.
enum Sink {
    Stdout(io::Stdout),
    /// What is there already and no regular file, such as a pipe or a device.
    Device(File),
    /// A file that takes the name `path` at the end.
    Beside {
        file: NamedTempFile,
        path: PathBuf,
    },
}

impl Output {
    /// Opens the target, which must not be one of the `inputs`.
    pub(crate) fn open<'a>(target: &Target, inputs: impl IntoIterator<Item = Input<'a>>) -> Result<Self, Error> {
        let path = target.file.as_deref().filter(|path| path.as_os_str() != "-");
        let (to, found) = match path {
            None => ("standard output".into(), FileId::of_stdout()),
            Some(path) => (path.display().to_string(), FileId::of(path)),
        };
        if let Some(found) = found
            && inputs.into_iter().any(|input| input.reads(&found))
        {
            return Err(Error::Input(format!("{to}: this is an input as well; write to another file")));
        }
        let sink = path.map_or_else(|| Ok(Sink::Stdout(io::stdout())), Sink::open);
        match sink {
            Ok(sink) => Ok(Self { to, format: target.format, writer: BufWriter::new(sink), is_empty: true }),
            Err(error) => Err(Error::Input(format!("{to}: cannot be written: {}", plain(&error)))),
        }
    }

    /// Writes `text` in the text form; in the JSON form an object of this type with `fields`.
    pub(crate) fn put(
        &mut self,
        kind: &'static str,
        text: impl FnOnce() -> String,
        fields: Fields,
    ) -> Result<(), Error> {
        match self.format {
            Format::Text | Format::Ics => {
                let text = text();
                self.write(|out| writeln!(out, "{text}"))
            }
            Format::Json => self.json(&typed(kind, fields)),
        }
    }

    /// Writes a line of the text form that is no result, such as the heading of a table.
    pub(crate) fn text(&mut self, line: &str) -> Result<(), Error> {
        match self.format {
            Format::Text | Format::Ics => self.write(|out| writeln!(out, "{line}")),
            Format::Json => Ok(()),
        }
    }

    /// Writes one of several results on a line: the values of its id, then the pairs of the rest.
    pub(crate) fn row(&mut self, answer: Answer) -> Result<(), Error> {
        let parts = [answer.id.values(), answer.rest.pairs()];
        self.answer(answer, || parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
    }

    /// Writes a single result: a line per value, each after its path, and a line per entry of a list.
    pub(crate) fn card(&mut self, answer: Answer) -> Result<(), Error> {
        let kind = answer.kind;
        let fields = answer.fields();
        let lines = fields.lines();
        self.put(kind, || lines.join("\n"), fields)
    }

    /// Writes `text` in the text form; in the JSON form the object of the answer.
    pub(crate) fn answer(&mut self, answer: Answer, text: impl FnOnce() -> String) -> Result<(), Error> {
        self.put(answer.kind, text, answer.fields())
    }

    /// Writes a line of JSON, whatever the form.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Error> {
        self.write(|out| {
            serde_json::to_writer(&mut *out, value)?;
            out.write_all(b"\n")
        })
    }

    /// The form of the results.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Gives `write` the output, and an error the name of the target.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        self.is_empty = false;
        write(&mut self.writer).map_err(|error| Error::Output { to: self.to.clone(), error })
    }

    /// Completes the output of a command that has succeeded.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let Self { to, writer, .. } = self;
        let sink = writer.into_inner().map_err(io::IntoInnerError::into_error);
        sink.and_then(Sink::finish).map_err(|error| Error::Output { to, error })
    }

    /// Completes the output of a command that has ended so. What it had written before an error is kept; if that is
    /// nothing, or the output itself failed, a file that was there before stays as it was.
    pub(crate) fn end(self, ended: Result<(), Error>) -> Result<(), Error> {
        if ended.is_ok() || !(self.is_empty || matches!(ended, Err(Error::Output { .. }))) {
            self.finish()?;
        }
        ended
    }
}

/// An object that says what it is.
pub(crate) fn typed(kind: &'static str, fields: Fields) -> Fields {
    Fields::new().with("type", kind).and(fields)
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        let found = match File::options().write(true).open(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let permissions = match found {
            None => None,
            Some(file) => {
                let metadata = file.metadata()?;
                if !metadata.is_file() {
                    return Ok(Self::Device(file));
                }
                Some(metadata.permissions())
            }
        };
        // Where a link leads to a file, the link stays and the file is replaced.
        let path = if permissions.is_some() { fs::canonicalize(path)? } else { path.to_path_buf() };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = temporary(folder)?;
        if let Some(permissions) = permissions {
            file.as_file().set_permissions(permissions)?;
        }
        Ok(Self::Beside { file, path })
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut stdout) => stdout.flush(),
            Self::Device(mut file) => file.flush(),
            Self::Beside { file, path } => file.persist(path).map(|_| ()).map_err(|error| error.error),
        }
    }
}

/// A new file with the permissions that any new file gets; by itself a temporary one is its owner's alone.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".replay-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Device(file) => file.write(bytes),
            Self::Beside { file, .. } => file.as_file_mut().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Device(file) => file.flush(),
            Self::Beside { file, .. } => file.as_file_mut().flush(),
        }
    }
}

/// What the system says, without the name of a temporary file that nobody knows.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path ").map(|(said, _)| said.to_owned()).unwrap_or(text)
}
