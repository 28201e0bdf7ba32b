//! Block files: a genesis, blocks and expectations, as `.json`, `.jsonl` or `.blocks`.
//!
//! [`BlockReader`] yields the blocks of any form one by one, [`BlockWriter`] writes them. Every
//! transaction goes through its bytes, so an invalid value (percent 101, an invalid name) gives a
//! block with a rejected transaction rather than a bad file, and no form loses anything of a genesis
//! or a block. A bad file gives a [`FileError`] with its place. Nothing is guessed: unknown and
//! repeated keys, wrong types and numbers out of range are errors.
//!
//! One addition to the forms of a transaction: `{"raw": "hex"}` carries bytes that the JSON form
//! of a transaction cannot express. The writer falls back to it, the reader accepts it anywhere.
//!
//! Expectations are only read here, not checked.

mod expect;
mod header;

mod reader;

mod writer;

mod watched;

pub use crate::error::{FileError, Place};
pub(crate) use expect::Shape;
pub use expect::{
    BREAKER_FIELDS, BlockExpect, ByName, ENTRY_FIELDS, EnabledExpect, EntryExpect, EntryFacts, ExpectedField,
    ExpectedReceipt, FEATURE_FIELDS, FeedExpect, FinalExpect, HistoryExpect, ItemExpect, METRICS_FIELDS,
    OVERRIDE_FIELDS, OverrideExpect, PARAMS_FIELDS, PLUGIN_FIELDS, PluginExpect, PluginFacts, REGISTRY_FIELDS,
    RecordField, RouteExpect, ScheduleExpect, StateExpect,
};
pub use header::{DOCUMENT_SIZE_MAX, FORMAT, Form, Header, LINE_SIZE_MAX, Limits, MAGIC};
pub use reader::{BlockReader, FileBlock};

pub use watched::WatchedFile;
pub use writer::BlockWriter;
