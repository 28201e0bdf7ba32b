//! A block file is read, or refused with what is before the damage kept, in every form.

use std::io::Cursor;

use coalmine_core::Block;
use coalmine_json::blockfile::{BlockReader, BlockWriter, FileError, Form, Header, Limits};

const FORMS: [Form; 3] = [Form::Json, Form::Jsonl, Form::Blocks];
const LIMITS: Limits = Limits { line_size_max: 1 << 20, document_size_max: 1 << 20 };

/// Reads the bytes as a file of the form that they look like, and of one form that their length chooses.
/// What is read is written in one form, too: all of them in every run would take four times as long.
pub fn blockfile(bytes: &[u8]) {
    let chosen = FORMS[bytes.len() % FORMS.len()];
    for form in [None, Some(chosen)] {
        let Ok((header, blocks, error)) = read(bytes, form) else { continue };
        assert!(blocks.is_sorted_by(|a, b| a.height() < b.height()), "heights rise");
        rewrite(chosen, &header, &blocks);
        if error.is_none() {
            cut(bytes, form, &header, &blocks);
        }
    }
}

/// The header, the blocks, and the error that ended them.
type File = (Header, Vec<Block>, Option<FileError>);

fn read(bytes: &[u8], form: Option<Form>) -> Result<File, FileError> {
    let mut reader = BlockReader::new("fuzz", Cursor::new(bytes.to_vec()), form, LIMITS)?;
    let header = reader.header().clone();
    let mut blocks = Vec::new();
    let mut error = None;
    for block in &mut reader {
        assert!(error.is_none(), "nothing comes behind an error");
        match block {
            Ok(block) => blocks.push(block.block),
            Err(found) => {
                assert!(!found.to_string().is_empty());
                error = Some(found);
            }
        }
    }
    assert!(reader.next().is_none(), "the end stays the end");
    Ok((header, blocks, error))
}

/// A form carries genesis and blocks, and writing what was read gives the same bytes.
fn rewrite(form: Form, header: &Header, blocks: &[Block]) {
    let written = write(form, header, blocks);
    let (again, read_back, error) = read(&written, Some(form)).expect("what was written is read");
    assert_eq!(error, None, "what was written is read");
    assert_eq!(again.genesis, header.genesis, "{form:?} keeps the genesis");
    assert_eq!(read_back, blocks, "{form:?} keeps the blocks");
    assert_eq!(write(form, &again, &read_back), written, "{form:?} is written in one way");
}

fn write(form: Form, header: &Header, blocks: &[Block]) -> Vec<u8> {
    let mut writer = BlockWriter::new(Vec::new(), form, header).unwrap();
    for block in blocks {
        writer.block(block, None).unwrap();
    }
    writer.finish().unwrap()
}

/// A file that ends too early is an error, or gives fewer of the same blocks.
fn cut(bytes: &[u8], form: Option<Form>, header: &Header, blocks: &[Block]) {
    // Somewhere between a third of it and all but the last byte, by its length.
    let len = bytes.len() - 1 - bytes.len() / 3 * (bytes.len() % 7) / 6;
    if let Ok((short_header, short, _)) = read(&bytes[..len], form) {
        assert_eq!(short_header.genesis, header.genesis);
        assert!(blocks.starts_with(&short), "a prefix of the file has other blocks");
    }
}
