//! The suites. One that builds something large frees it with its cases, so take them one by one.

mod ask;
mod block;
mod decide;
mod files;
mod growth;
mod plugins;
#[cfg(feature = "rocksdb")]
mod rocks;
mod single;
mod tree;
mod versions;

use std::cell::LazyCell;
use std::rc::Rc;

use crate::case::Suite;

/// Something that several cases share, built by the first that needs it.
type Shared<T> = Rc<LazyCell<T, Box<dyn FnOnce() -> T>>>;

fn shared<T>(build: impl FnOnce() -> T + 'static) -> Shared<T> {
    Rc::new(LazyCell::new(Box::new(build)))
}

/// Every suite, to be built one after the other.
#[must_use]
pub fn all() -> Vec<fn() -> Suite> {
    vec![
        decide::suite,
        plugins::route,
        single::suite,
        block::suite,
        plugins::reports,
        tree::suite,
        versions::suite,
        files::suite,
        #[cfg(feature = "rocksdb")]
        rocks::commits,
        #[cfg(feature = "rocksdb")]
        rocks::blocks,
        growth::features,
        growth::overrides,
        growth::history,
        plugins::growth,
    ]
}
