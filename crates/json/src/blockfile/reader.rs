//! Reading: one block at a time, whatever the form.
//!
//! `.jsonl` and `.blocks` are read in constant memory. A `.json` document is kept as text, but its
//! blocks are decoded one by one, too. An error ends the iteration.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::iter;
use std::ops::Range;
use std::path::Path;

use coalmine_core::{Address, BLOCK_SIZE_MAX, BLOCK_TXS_MAX, Block, Decode, Genesis, Height, RuleSet};

use super::expect::{self, BlockExpect};
use super::header::{FORMAT, Form, Header, Limits, MAGIC};
use super::watched::WatchedFile;
use crate::error::{FileError, Place, unknown_rules};
use crate::genesis::genesis;
use crate::json::{Locator, Object, Problem, Val, push, shown};
use crate::ops::transaction_bytes;

/// What some editors put before a text. It says nothing about UTF-8, and is passed over.
const BYTE_ORDER_MARK: [u8; 3] = *b"\xef\xbb\xbf";

/// A block of a file.
#[derive(Debug, Clone)]
pub struct FileBlock {
    /// Where it begins in the file.
    pub place: Place,
    /// The block.
    pub block: Block,
    /// The expectations for it.
    pub expect: Option<BlockExpect>,
}

/// Reads a block file: the header first, then the blocks one by one.
///
/// ```
/// use coalmine_json::blockfile::{BlockReader, Limits};
///
/// let text = r#"{
///   "format": "coalmine-blocks/1",
///   "genesis": { "roles": { "0x1111111111111111111111111111111111111111": ["admin"] } },
///   "blocks": [ { "height": 100, "txs": [ { "op": "enable", "name": "vita_recovery_v2" } ] } ]
/// }"#;
/// let reader = BlockReader::new("example", text.as_bytes(), None, Limits::default())?;
/// for block in reader {
///     assert_eq!(block?.block.height(), 100);
/// }
/// # Ok::<(), coalmine_json::blockfile::FileError>(())
/// ```
pub struct BlockReader {
    file: String,
    header: Header,
    body: Body,
    last: Option<Height>,
}

/// The unread rest of a file, by form.
enum Body {
    Json(Document),
    Jsonl(Lines),
    Blocks(Frames),
    /// The end was reached, or an error.
    Done,
}

impl BlockReader {
    /// Opens a file; `-` is standard input. The form follows from the magic of `.blocks`, else from the
    /// extension, else from whether the first line is a document without blocks.
    ///
    /// # Errors
    /// The file cannot be read, or it is invalid before its first block.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, FileError> {
        if path.as_os_str() == "-" {
            return Self::new("<stdin>", std::io::stdin(), None, limits);
        }
        let name = path.display().to_string();
        let file = WatchedFile::open(path).map_err(|error| FileError::io(&name, &error))?;
        Self::new(&name, file, Form::of(path), limits)
    }

    /// Reads `input`, which errors call `file`. The form is `form`, if any, unless the input begins
    /// with the magic of `.blocks`.
    ///
    /// # Errors
    /// As for [`BlockReader::open`].
    pub fn new(
        file: &str,
        input: impl Read + Send + 'static,
        form: Option<Form>,
        limits: Limits,
    ) -> Result<Self, FileError> {
        let mut input = BufReader::new(input);
        let mut start = Vec::new();
        input.by_ref().take(4).read_to_end(&mut start).map_err(|error| FileError::io(file, &error))?;
        if let Some(rest) = start.strip_prefix(&BYTE_ORDER_MARK) {
            start = rest.to_vec();
        }
        if start.is_empty() {
            return Err(FileError::new(file, Place::File, "the file is empty"));
        }
        if start == MAGIC {
            return Self::frames(file, Box::new(input));
        }
        let mut lines = Lines { input: Box::new(Cursor::new(start).chain(input)), line: 0, bytes: Vec::new(), limits };
        match form {
            Some(Form::Blocks) => {
                Err(FileError::new(file, Place::File, "not a .blocks file: it does not begin with CMB1"))
            }
            Some(Form::Json) => Self::document(file, lines),
            Some(Form::Jsonl) => {
                lines.next(file, limits.line_size_max)?;
                Self::lines(file, lines)
            }
            None => {
                lines.next(file, limits.document_size_max)?;
                if begins_stream(&lines.bytes) { Self::lines(file, lines) } else { Self::document(file, lines) }
            }
        }
    }

    /// The header of the file.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What `lines` has already read, and all the rest, as one document.
    fn document(file: &str, mut lines: Lines) -> Result<Self, FileError> {
        let max = lines.limits.document_size_max;
        let had = u64::try_from(lines.bytes.len()).unwrap_or(u64::MAX);
        let mut input = lines.input.by_ref().take(max.saturating_add(1).saturating_sub(had));
        input.read_to_end(&mut lines.bytes).map_err(|error| FileError::io(file, &error))?;
        if u64::try_from(lines.bytes.len()).unwrap_or(u64::MAX) > max {
            let message = format!("a .json file is at most {max} bytes long; write this one as .jsonl");
            return Err(FileError::new(file, Place::File, message));
        }
        let text = String::from_utf8(lines.bytes).map_err(|error| not_utf8(file, error.as_bytes(), 1))?;
        let read = || {
            let object = Val::document(&text).object()?;
            let header = header(&object, &["blocks"], file, &text)?;
            let blocks = object.need("blocks")?;
            blocks.elements().map_err(|problem| problem.in_key("blocks"))?;
            Ok((header, blocks.range()))
        };
        let (header, blocks) = read().map_err(|problem: Problem| problem.into_error(file, &text, 1))?;
        let body = Body::Json(Document { text, locator: Locator::new(1), blocks, next: 0 });
        Ok(Self { file: file.into(), header, body, last: None })
    }

    /// A stream whose first line has been read.
    fn lines(file: &str, lines: Lines) -> Result<Self, FileError> {
        let text = lines.text(file)?;
        let header = Val::document(text).object().and_then(|object| header(&object, &[], file, text));
        let header = header.map_err(|problem| problem.into_error(file, text, lines.line))?;
        Ok(Self { file: file.into(), header, body: Body::Jsonl(lines), last: None })
    }

    /// The frames after the magic.
    fn frames(file: &str, input: Box<dyn BufRead + Send>) -> Result<Self, FileError> {
        let mut frames = Frames { input, number: 0, offset: 4 };
        let place = frames.place();
        let bytes = frames.next(file)?.ok_or_else(|| FileError::new(file, place, "the genesis is missing"))?;
        let genesis = Genesis::from_bytes(&bytes).map_err(|error| {
            let rules = bytes.first_chunk().map(|number| u16::from_be_bytes(*number));
            match rules.filter(|number| RuleSet::from_number(*number).is_none()) {
                Some(number) => {
                    let error = FileError::new(file, place, unknown_rules(number));
                    FileError { unknown_rules: Some(number), ..error }
                }
                None => FileError::new(file, place, format!("the genesis does not decode: {error}")),
            }
        })?;
        Ok(Self { file: file.into(), header: Header::new(genesis), body: Body::Blocks(frames), last: None })
    }

    fn read(&mut self) -> Result<Option<FileBlock>, FileError> {
        let Self { file, header, body, last } = self;
        match body {
            Body::Json(document) => {
                let Document { text, locator, blocks, next } = document;
                let mut elements = Val::in_range(text, blocks).elements_from(*next);
                let Some(element) = elements.next() else { return Ok(None) };
                *next = elements.next;
                let mut locate = |at| locator.place(text, at);
                let block = element.and_then(|element| block(element, &mut locate, &header.signer, *last));
                block.map(Some).map_err(|problem| problem.into_error(file, text, 1))
            }
            Body::Jsonl(lines) => {
                if !lines.next_filled(file)? {
                    return Ok(None);
                }
                let text = lines.text(file)?;
                let mut locator = Locator::new(lines.line);
                let mut locate = |at| locator.place(text, at);
                let block = block(Val::document(text), &mut locate, &header.signer, *last);
                block.map(Some).map_err(|problem| problem.into_error(file, text, lines.line))
            }
            Body::Blocks(frames) => {
                let place = frames.place();
                let Some(bytes) = frames.next(file)? else { return Ok(None) };
                let block = Block::from_bytes(&bytes)
                    .map_err(|error| FileError::new(file, place, format!("the block does not decode: {error}")))?;
                match rises(block.height(), *last) {
                    Ok(()) => Ok(Some(FileBlock { place, block, expect: None })),
                    Err(message) => {
                        Err(FileError { block: Some(block.height()), ..FileError::new(file, place, message) })
                    }
                }
            }
            Body::Done => Ok(None),
        }
    }
}

impl Iterator for BlockReader {
    type Item = Result<FileBlock, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        match &read {
            Ok(Some(block)) => self.last = Some(block.block.height()),
            Ok(None) | Err(_) => self.body = Body::Done,
        }
        read.transpose()
    }
}

/// A whole document.
struct Document {
    text: String,
    locator: Locator,
    /// The array of blocks in the text, and the offset at which to look for the next one.
    blocks: Range<usize>,
    next: usize,
}

/// A stream of lines.
struct Lines {
    input: Box<dyn BufRead + Send>,
    /// The number of the line in `bytes`, from 1.
    line: u64,
    bytes: Vec<u8>,
    limits: Limits,
}

impl Lines {
    /// Reads the next line; false at the end.
    fn next(&mut self, file: &str, max: u64) -> Result<bool, FileError> {
        self.line = self.line.saturating_add(1);
        self.bytes.clear();
        let mut input = self.input.by_ref().take(max.saturating_add(1));
        let len = input.read_until(b'\n', &mut self.bytes).map_err(|error| FileError::io(file, &error))?;
        if u64::try_from(len).unwrap_or(u64::MAX) > max {
            let place = Place::Text { line: self.line, column: 1 };
            return Err(FileError::new(file, place, format!("a line is at most {max} bytes long")));
        }
        Ok(len > 0)
    }

    /// Reads the next line that is not blank; false at the end.
    fn next_filled(&mut self, file: &str) -> Result<bool, FileError> {
        while self.next(file, self.limits.line_size_max)? {
            if !self.bytes.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn text(&self, file: &str) -> Result<&str, FileError> {
        str::from_utf8(&self.bytes).map_err(|_| not_utf8(file, &self.bytes, self.line))
    }
}

/// Whether a first line is a whole document without its blocks.
fn begins_stream(line: &[u8]) -> bool {
    str::from_utf8(line)
        .ok()
        .and_then(|text| Val::document(text).object().ok())
        .is_some_and(|object| object.get("format").is_some() && object.get("blocks").is_none())
}

fn not_utf8(file: &str, bytes: &[u8], line: u64) -> FileError {
    let valid = bytes.utf8_chunks().next().map(|chunk| chunk.valid()).unwrap_or_default();
    Problem::new(valid.len(), "the text is not UTF-8").into_error(file, valid, line)
}

/// Frames: `length u32 ‖ bytes ‖ crc32c u32`, the checksum over the bytes.
struct Frames {
    input: Box<dyn BufRead + Send>,
    /// The number of the next frame, and where it begins.
    number: u64,
    offset: u64,
}

impl Frames {
    const fn place(&self) -> Place {
        Place::Frame { number: self.number, offset: self.offset }
    }

    /// The bytes of the next frame; `None` at the end.
    fn next(&mut self, file: &str) -> Result<Option<Vec<u8>>, FileError> {
        let place = self.place();
        let error = |message: &str| FileError::new(file, place, message);
        let torn = || error("the file ends within this frame");

        let Some(len) = self.u32(file)? else { return Ok(None) };
        let len = len.ok_or_else(torn)?;
        if usize::try_from(len).unwrap_or(usize::MAX) > BLOCK_SIZE_MAX {
            return Err(error(&format!("the frame claims {len} bytes; it has at most {BLOCK_SIZE_MAX}")));
        }
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(len.into()).read_to_end(&mut bytes);
        read.map_err(|error| FileError::io(file, &error))?;
        // If bytes are missing, the checksum is missing, too.
        let checksum = self.u32(file)?.flatten().ok_or_else(torn)?;
        if checksum != crc32c::crc32c(&bytes) {
            return Err(error("the frame is damaged: its checksum does not match its bytes"));
        }
        self.number = self.number.saturating_add(1);
        self.offset = self.offset.saturating_add(8).saturating_add(len.into());
        Ok(Some(bytes))
    }

    /// Reads four bytes; `None` at the end, `Some(None)` if there are fewer.
    fn u32(&mut self, file: &str) -> Result<Option<Option<u32>>, FileError> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(4).read_to_end(&mut bytes);
        read.map_err(|error| FileError::io(file, &error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))))
    }
}

fn rises(height: Height, last: Option<Height>) -> Result<(), String> {
    match last.filter(|last| height <= *last) {
        Some(last) => Err(format!("heights must ascend, but the block before this one is {last}")),
        None => Ok(()),
    }
}

/// A block. `locate` turns non-decreasing offsets into places.
fn block(
    value: Val<'_>,
    locate: &mut dyn FnMut(usize) -> Place,
    signer: &Address,
    last: Option<Height>,
) -> Result<FileBlock, Problem> {
    let object = value.object()?;
    let height_value = object.need("height").map_err(|problem| problem.in_key("a block"))?;
    let height = height_value.u32().map_err(|problem| problem.in_key("height"))?;
    let mut read = || {
        object.only("a block", ["height", "txs", "expect"].into_iter())?;
        rises(height, last).map_err(|message| height_value.problem(message))?;
        let payloads = object.get("txs").map_or(Ok(Vec::new()), |txs| payloads(txs, signer))?;
        let payloads = payloads.iter().flat_map(|(bytes, repeat)| iter::repeat_n(bytes, *repeat));
        let block = Block::from_encoded(height, payloads).map_err(|error| value.problem(error.to_string()))?;
        let place = locate(value.at());
        let expect = object.get("expect").map(|expect| expect::block(expect, locate(expect.at()))).transpose();
        Ok(FileBlock { place, block, expect: expect.map_err(|problem| problem.in_key("expect"))? })
    };
    read().map_err(|problem: Problem| problem.in_block(height))
}

/// The encoded transactions of a block, and how often each is repeated. Count and size are checked
/// before a repeated one is copied.
fn payloads(txs: Val<'_>, signer: &Address) -> Result<Vec<(Vec<u8>, usize)>, Problem> {
    let mut payloads = Vec::new();
    let mut count: usize = 0;
    let mut size: usize = 8;
    for (index, tx) in txs.elements().map_err(|problem| problem.in_key("txs"))?.enumerate() {
        let tx = tx?;
        let mut read = || {
            let (bytes, repeat) = transaction_bytes(tx, signer)?;
            let repeat = usize::try_from(repeat).unwrap_or(usize::MAX);
            count = count.saturating_add(repeat);
            if count > BLOCK_TXS_MAX {
                return Err(tx.problem(format!("a block has at most {BLOCK_TXS_MAX} transactions")));
            }
            size = size.saturating_add(bytes.len().saturating_add(4).saturating_mul(repeat));
            if size > BLOCK_SIZE_MAX {
                return Err(tx.problem(format!("a block has at most {BLOCK_SIZE_MAX} bytes")));
            }
            push(&mut payloads, (bytes, repeat));
            Ok(())
        };
        read().map_err(|problem| problem.in_tx(index))?;
    }
    Ok(payloads)
}

/// The document without its blocks; `also` are more keys that it may have.
fn header(object: &Object<'_>, also: &[&str], file: &str, document: &str) -> Result<Header, Problem> {
    // An editor finds the schema by the first; it is not for the reader.
    let keys = ["$schema", "format", "name", "description", "genesis", "expect"];
    object.only("the document", keys.into_iter().chain(also.iter().copied()))?;
    let format = object.need("format")?;
    let text = format.string().map_err(|problem| problem.in_key("format"))?;
    if text != FORMAT {
        return Err(format.problem(format!("unknown format {}; this build reads {FORMAT:?}", shown(&text))));
    }
    let text = |key: &str| {
        object.get(key).map(|value| value.string().map(String::from).map_err(|problem| problem.in_key(key))).transpose()
    };
    let genesis_value = object.need("genesis")?;
    let (genesis, signer) = genesis(genesis_value)?;
    let warnings = genesis_value.object()?.get("chain").is_none().then(|| {
        let message = "the genesis has no \"chain\", so it is empty; give each ledger one of its own, or the \
                       same users are drawn on all of them";
        genesis_value.problem(message).into_error(file, document, 1)
    });
    let expect = object.get("expect").map(|value| expect::end(value, Locator::new(1).place(document, value.at())));
    Ok(Header {
        name: text("name")?,
        description: text("description")?,
        genesis,
        signer,
        expect: expect.transpose().map_err(|problem| problem.in_key("expect"))?,
        warnings: warnings.into_iter().collect(),
    })
}
