//! Results on standard output, as lines of text or one JSON object a line.

use std::io::{self, Write as _};

use clap::ValueEnum;
use coalmine_json::render::Fields;

use crate::cli::error::Error;

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Writes values: one a line in text, one object in JSON.
    pub(super) fn fields(self, fields: &Fields) -> Result<(), Error> {
        match self {
            Self::Text => fields.lines().iter().try_for_each(|line| self.line(line)),
            Self::Json => self.line(&json(fields)),
        }
    }

    /// Writes a line that is text, or JSON already.
    pub(super) fn line(self, line: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let written = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        written.map_err(|error| Error::Output { to: "standard output".into(), error })
    }

    /// Reports an error on standard error.
    pub(super) fn problem(self, error: &Error) {
        match self {
            Self::Text => eprintln!("coalmine: {error}"),
            Self::Json => {
                let fields = Fields::new().with("type", "error").text("message", error);
                eprintln!("{}", json(&fields.with("exit_code", error.exit_code())));
            }
        }
    }
}

/// Named values always are JSON.
fn json(fields: &Fields) -> String {
    serde_json::to_string(fields).unwrap_or_default()
}
