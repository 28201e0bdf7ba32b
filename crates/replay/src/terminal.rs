//! Notes, progress and signals: what is not a result.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coalmine_core::Height;
use coalmine_json::blockfile::FileError;
use indicatif::ProgressBar;

use crate::error::Error;

/// Prints something that is not a result, such as a timing, on standard error.
pub(crate) fn note(message: impl std::fmt::Display) {
    eprintln!("replay: {message}");
}

/// Prints what in a file is likely to be a mistake.
pub(crate) fn warn(warnings: &[FileError]) {
    warnings.iter().for_each(|warning| note(format_args!("warning: {warning}")));
}

/// Set by SIGINT and SIGTERM. A second signal exits at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Installs the handler.
    pub(crate) fn on_signal() -> Result<Self, Error> {
        let stop = Self::default();
        let flag = stop.clone();
        let handler = move || {
            if flag.0.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(Error::Interrupted.exit_code()));
            }
        };
        ctrlc::set_handler(handler).map_err(|error| Error::Input(format!("signals cannot be handled: {error}")))?;
        Ok(stop)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A line on a terminal with the progress of a long run.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    shown: Instant,
}

impl Progress {
    /// Runs shorter than this show nothing.
    const FIRST: Duration = Duration::from_secs(1);
    const EVERY: Duration = Duration::from_millis(100);

    /// Progress on standard error, if that is a terminal.
    pub(crate) fn new(is_quiet: bool) -> Self {
        let is_shown = !is_quiet && io::stderr().is_terminal();
        Self { bar: is_shown.then(ProgressBar::new_spinner), shown: Instant::now() }
    }

    /// Shows that a height is done.
    pub(crate) fn at(&mut self, height: Height, blocks: u64) {
        let Some(bar) = &self.bar else { return };
        let wait = if bar.position() == 0 { Self::FIRST } else { Self::EVERY };
        if self.shown.elapsed() >= wait {
            self.shown = Instant::now();
            bar.set_message(format!("height {height}, {blocks} blocks"));
            bar.set_position(blocks);
            bar.tick();
        }
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
