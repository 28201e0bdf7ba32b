//! Lists of any length, read a page at a time.

use coalmine_core::Fault;

use crate::error::Error;

/// The number of records per page.
pub(super) const PAGE: usize = 1_024;

/// Visits the entries of all pages. `page` reads the entries after a position, `position` is that of an entry.
pub(super) fn pages<T, P>(
    mut page: impl FnMut(Option<P>) -> Result<Vec<T>, Fault>,
    position: impl Fn(&T) -> P,
    mut visit: impl FnMut(&T) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let entries = page(after)?;
        entries.iter().try_for_each(&mut visit)?;
        match entries.last() {
            Some(last) if entries.len() == PAGE => after = Some(position(last)),
            Some(_) | None => return Ok(()),
        }
    }
}
