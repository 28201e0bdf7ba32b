//! Writing: one block at a time, whatever the form.
//!
//! The same header and blocks always give the same bytes. Shorthands for reports are written
//! as reports; equal transactions in a row become one with `repeat`.

use std::io::{self, Write};
use std::iter;

use coalmine_core::{Address, Block, Encode};

use super::header::{FORMAT, Form, Header, MAGIC, first_admin};
use crate::genesis::write_genesis;
use crate::json::{one_line, quoted};
use crate::ops::transaction_json;

/// Writes a block file.
///
/// ```
/// use coalmine_core::{Address, Block, Genesis, Role};
/// use coalmine_json::blockfile::{BlockWriter, Form, Header};
///
/// let header = Header::new(Genesis::new("", [(Address([0x11; 20]), Role::Admin.into())])?);
/// let mut writer = BlockWriter::new(Vec::new(), Form::Jsonl, &header)?;
/// writer.block(&Block::empty(100), None)?;
/// assert!(writer.finish()?.ends_with(b"{\"height\":100}\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BlockWriter<W> {
    out: W,
    form: Form,
    signer: Address,
    is_first: bool,
    /// The final expectation of a document, which follows its blocks.
    expect: Option<String>,
}

impl<W: Write> BlockWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// An error of `out`.
    pub fn new(mut out: W, form: Form, header: &Header) -> io::Result<Self> {
        let expect = header.expect.as_ref().map(|expect| expect.text.clone());
        match form {
            Form::Blocks => {
                out.write_all(&MAGIC)?;
                frame(&mut out, &header.genesis.to_bytes())?;
            }
            Form::Json => {
                for (key, value) in entries(header) {
                    let begin = if key == "format" { "{" } else { "," };
                    write!(out, "{begin}\n  {}: {}", quoted(key), one_line(&value, true))?;
                }
                write!(out, ",\n  \"blocks\": [")?;
            }
            Form::Jsonl => {
                let expect = expect.iter().map(|expect| ("expect", expect.clone()));
                let entries: Vec<String> =
                    entries(header).into_iter().chain(expect).map(|(key, value)| member(key, &value)).collect();
                writeln!(out, "{{{}}}", entries.join(","))?;
            }
        }
        Ok(Self { out, form, signer: first_admin(&header.genesis), is_first: true, expect })
    }

    /// Writes a block, and the JSON of its `expect` if the form has expectations.
    ///
    /// # Errors
    /// What the output says.
    pub fn block(&mut self, block: &Block, expect: Option<&str>) -> io::Result<()> {
        match self.form {
            Form::Blocks => frame(&mut self.out, &block.to_bytes())?,
            Form::Json => {
                let begin = if self.is_first { "" } else { "," };
                write!(self.out, "{begin}\n    {{ \"height\": {}", block.height())?;
                for (index, tx) in transactions(block, &self.signer).enumerate() {
                    let begin = if index == 0 { ",\n      \"txs\": [" } else { "," };
                    write!(self.out, "{begin}\n        {}", one_line(&tx, true))?;
                }
                if !block.is_empty() {
                    write!(self.out, "\n      ]")?;
                }
                if let Some(expect) = expect {
                    write!(self.out, ",\n      \"expect\": {}", one_line(expect, true))?;
                }
                write!(self.out, " }}")?;
            }
            Form::Jsonl => {
                write!(self.out, "{{\"height\":{}", block.height())?;
                for (index, tx) in transactions(block, &self.signer).enumerate() {
                    let begin = if index == 0 { ",\"txs\":[" } else { "," };
                    write!(self.out, "{begin}{tx}")?;
                }
                if !block.is_empty() {
                    write!(self.out, "]")?;
                }
                if let Some(expect) = expect {
                    write!(self.out, ",{}", member("expect", expect))?;
                }
                writeln!(self.out, "}}")?;
            }
        }
        self.is_first = false;
        Ok(())
    }

    /// Ends the file and returns the output.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        if self.form == Form::Json {
            write!(self.out, "{}]", if self.is_first { "" } else { "\n  " })?;
            if let Some(expect) = &self.expect {
                write!(self.out, ",\n  \"expect\": {}", one_line(expect, true))?;
            }
            writeln!(self.out, "\n}}")?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

fn frame(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(bytes)?;
    out.write_all(&crc32c::crc32c(bytes).to_be_bytes())
}

fn member(key: &str, value: &str) -> String {
    format!("{}:{}", quoted(key), one_line(value, false))
}

/// The entries of a document that precede its blocks.
fn entries(header: &Header) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.as_deref().map(quoted);
    [
        ("format", Some(quoted(FORMAT))),
        ("name", text(&header.name)),
        ("description", text(&header.description)),
        ("genesis", Some(write_genesis(&header.genesis))),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}

/// The entries of `txs`, compact; equal payloads in a row are one entry.
fn transactions<'a>(block: &'a Block, signer: &'a Address) -> impl Iterator<Item = String> + 'a {
    let mut payloads = block.payloads().peekable();
    iter::from_fn(move || {
        let payload = payloads.next()?;
        let mut tx = transaction_json(&payload, signer);
        let more = iter::from_fn(|| payloads.next_if_eq(&payload)).count();
        if more > 0 {
            tx.push_str(&format!(",\"repeat\":{}", more.saturating_add(1)));
        }
        tx.push('}');
        Some(tx)
    })
}
