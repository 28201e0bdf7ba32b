//! Lists of users or units in a file, one a line.

use std::io::{BufRead, BufReader, Read as _};

use crate::error::Error;
use crate::input::open_file;

/// The longest line, in bytes. A unit of a list is an id, not a document.
const LINE_SIZE_MAX: u64 = 4_096;
/// How an editor may mark a file as UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Visits the lines of a file, which `parse` has read; `-` is standard input. Empty lines are left out.
///
/// # Errors
/// The file cannot be read, or a line is too long, no UTF-8, or not what `parse` takes: with file and line.
pub(crate) fn each_line<T>(
    argument: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    mut visit: impl FnMut(T) -> Result<(), Error>,
) -> Result<(), Error> {
    let (name, input) = open_file(argument)?;
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    for number in 1_u64.. {
        let bad = |why: &str| Error::Input(format!("{name}:{number}: {why}"));
        line.clear();
        let read = input.by_ref().take(LINE_SIZE_MAX).read_until(b'\n', &mut line);
        let len = read.map_err(|error| Error::Input(format!("{name}: cannot be read: {error}")))?;
        if len == 0 {
            break;
        }
        let is_cut = !line.ends_with(b"\n") && u64::try_from(len).is_ok_and(|len| len == LINE_SIZE_MAX);
        if is_cut {
            return Err(bad(&format!("the line is longer than {LINE_SIZE_MAX} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| bad("the line is not UTF-8"))?;
        let text = if number == 1 { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text) } else { text };
        let text = text.trim();
        if !text.is_empty() {
            visit(parse(text).map_err(|why| bad(&format!("{why}: {text:?}")))?)?;
        }
    }
    Ok(())
}
