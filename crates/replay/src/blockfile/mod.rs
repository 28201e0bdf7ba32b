//! Block files: a genesis, blocks and what is expected of them, as `.json`, `.jsonl` or `.blocks`.
//!
//! [`BlockReader`] yields the blocks of any form one by one, [`BlockWriter`] writes them. Every
//! transaction goes through its bytes, so a value that breaks a rule (percent 101, a wrong name)
//! is a block with a rejected transaction and no bad file, and no form loses anything of a genesis
//! or a block. A file that is bad gives a [`FileError`] that says where. Nothing is guessed:
//! unknown and repeated keys, wrong types and numbers out of range are errors.
//!
//! One addition to the forms of a transaction: `{"raw": "hex"}` carries bytes that the JSON form
//! of a transaction cannot express. The writer falls back to it, the reader takes it anywhere.
//!
//! Checking expectations is not done here, only reading them.

mod error;
mod expect;
mod header;
mod json;
mod reader;
mod schema;
mod writer;

pub use error::{FileError, Place};
pub use expect::{
    BlockExpect, ByName, EnabledExpect, ExpectedField, ExpectedReceipt, FEATURE_FIELDS, FeedExpect, FieldValue,
    FinalExpect, HistoryExpect, ItemExpect, METRICS_FIELDS, PLUGIN_FIELDS, PluginExpect, PluginFacts, RecordField,
    RouteExpect, StateExpect,
};
pub use header::{DOCUMENT_SIZE_MAX, FORMAT, Form, Header, LINE_SIZE_MAX, Limits, MAGIC};
pub use reader::{BlockReader, FileBlock};
pub use writer::BlockWriter;
