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

pub use crate::error::{FileError, Place};
pub use expect::{
    BlockExpect, ByName, EnabledExpect, ExpectedField, ExpectedReceipt, FEATURE_FIELDS, FeedExpect, FieldValue,
    FinalExpect, HistoryExpect, ItemExpect, METRICS_FIELDS, PLUGIN_FIELDS, PluginExpect, PluginFacts, RecordField,
    RouteExpect, StateExpect,
};
pub use header::{DOCUMENT_SIZE_MAX, FORMAT, Form, Header, LINE_SIZE_MAX, Limits, MAGIC};
pub use reader::{BlockReader, FileBlock};

pub use writer::BlockWriter;
