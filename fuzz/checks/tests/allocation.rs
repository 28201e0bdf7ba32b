//! What any decoder takes in memory is bounded by what it is given: 16 times the input and 64 KiB.
//!
//! An allocator counts the bytes in use, and each decoder runs on input that was made to be large once decoded. What a
//! block file tells to repeat is not in its bytes, so there is no `repeat` here.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Cursor;
use std::path::Path;

use coalmine_core::{
    Block, Command, CommandKind, Decode, Encode, FeedBody, FeedEntry, FeedId, FeedPart, Genesis, Hash, Reader, Role,
    Roles, Valid, Writer,
};
use coalmine_feed::message::{Environment, Filter, Message};
use coalmine_feed::secret::Salt;
use coalmine_fuzz_checks::{Check, DECODERS, TARGETS};
use coalmine_json::blockfile::{BlockReader, Limits};
use coalmine_proof::{Bundle, verify};
use coalmine_replay::dump;
use coalmine_store::dump::MAGIC;
use peak_alloc::PeakAlloc;
use sha2::{Digest, Sha256};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What is taken in any case.
const SLACK: usize = 64 * 1_024;
/// What a byte may become.
const FACTOR: usize = 16;

/// The most bytes in use while the decoder runs, beyond those before.
fn peak(decoder: Check, bytes: &[u8]) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    decoder(bytes);
    ALLOCATOR.peak_usage().saturating_sub(before)
}

// Decoders.

/// Those that are not among [`DECODERS`].
const MORE: [(&str, Check); 8] = [
    ("proof", |bytes| drop(verify(&[0; 32], b"key", bytes))),
    ("bundle", |bytes| {
        let Ok(bundle) = Bundle::from_json(bytes) else { return };
        drop(bundle.record(&bundle.root, &bundle.claim.key().unwrap_or_default()));
    }),
    ("dump", |bytes| drop(dump::read("dump", bytes))),
    ("binary dump", |bytes| drop(coalmine_store::dump::read(bytes))),
    ("environment", |bytes| drop(Environment::from_body(bytes))),
    ("filter", |bytes| drop(Filter::from_body(bytes))),
    ("block file", |bytes| {
        let input = Cursor::new(bytes.to_vec());
        let Ok(reader) = BlockReader::new("file", input, None, Limits::default()) else { return };
        reader.for_each(drop);
    }),
    ("message", |bytes| {
        let salt = Salt::new(*b"sixteen bytes....").unwrap();
        let Ok(text) = str::from_utf8(bytes) else { return };
        for event in ["put", "patch", "delete"] {
            drop(Message::read(event, text, &salt));
        }
    }),
];

// Input.

/// A block of as many equal payloads as it can hold.
fn block_of(payload: &[u8]) -> Vec<u8> {
    let count = (16 * 1_024 * 1_024 - 8) / (payload.len() + 4);
    Block::from_encoded(1, vec![payload; count.min(65_536)]).unwrap().to_bytes()
}

/// A binary dump of these chunks, whatever they are.
fn binary_dump_of(chunks: &[&[u8]]) -> Vec<u8> {
    let mut header = Writer::default();
    header.raw(&[0, 0, 1, 0, 1, 0]);
    header.hash(&Hash([0; Hash::LEN]));
    header.u32(u32::try_from(chunks.len()).unwrap());
    for chunk in chunks {
        header.u32(u32::try_from(chunk.len()).unwrap());
        header.raw(&Sha256::digest(chunk));
    }
    let header = header.into_bytes();
    let mut out = Writer::default();
    out.raw(&MAGIC);
    out.lp32(&header);
    out.raw(&Sha256::digest(&header));
    chunks.iter().for_each(|chunk| out.raw(chunk));
    out.into_bytes()
}

fn tx_of(command: &[u8], count: u8) -> Vec<u8> {
    let mut out = Writer::default();
    out.raw(&[0x11; 20]);
    out.u8(count);
    (0..count).for_each(|_| out.lp16(command));
    out.into_bytes()
}

/// A put of the most items that a command holds.
fn small_items() -> Vec<u8> {
    let entry = |number: u32| FeedEntry {
        id: FeedId::new(format!("{number:03x}").as_bytes()).unwrap(),
        version: 1,
        body: FeedBody::new(b"").unwrap(),
    };
    let environments = Valid::new((0..585).map(entry).collect()).unwrap();
    Command::FeedPut { part: FeedPart::Only, environments, filters: Valid::new(Vec::new()).unwrap() }.to_bytes()
}

/// A manifest whose constraints are of as many comparators as they can have.
fn many_comparators() -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::RegisterVersion.encode(&mut out);
    out.lp8(b"p");
    out.lp8(b"1.0.0");
    out.raw(&[7; 32]);
    let constraint = vec![">1"; 32].join(",");
    out.lp8(constraint.as_bytes());
    out.u8(32);
    for number in 0..32_u8 {
        out.lp8(&[b'a' + number / 16, b'a' + number % 16]);
        out.lp8(constraint.as_bytes());
    }
    out.lp16(&[]);
    out.u8(0);
    out.into_bytes()
}

fn hostile() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| found.push((name.to_owned(), bytes));
    // Counts and lengths that claim more than there is.
    for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
        for len in [1, 2, 4, 8, 9, 16, 24, 64, 8_192, 1 << 20] {
            add(&format!("{len} bytes {byte:02x}"), vec![byte; len]);
        }
    }
    add("a block of 65 536 empty payloads", block_of(b""));
    let nothing = tx_of(&[CommandKind::ResetBreaker.tag()], 16);
    add("a block of the smallest commands", block_of(&nothing));
    add("half of it", Block::from_encoded(1, vec![nothing; 32_769]).unwrap().to_bytes());
    add("a put of small items", small_items());
    add("a block of such puts", block_of(&tx_of(&small_items(), 16)));
    let claim = [&[CommandKind::FeedPut.tag(), 0, 0xff, 0xff], &[0; 8_000][..]].concat();
    add("a put that claims 65 535 items", claim.clone());
    add("a block of such puts", block_of(&tx_of(&claim, 16)));
    add("a manifest of comparators", many_comparators());
    add("a block of such manifests", block_of(&tx_of(&many_comparators(), 16)));
    let roles = (1..=65_535_u32).map(|number| {
        let mut address = [0; 20];
        address[..4].copy_from_slice(&number.to_be_bytes());
        (coalmine_core::Address(address), Roles::from(Role::Admin))
    });
    add("a genesis of 65 535 admins", Genesis::new("", roles).unwrap().to_bytes());
    // Protobuf: lists whose items take two bytes each.
    let part = |tag: u8, bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).unwrap();
        let [low, middle, high] = [len & 0x7f | 0x80, len >> 7 & 0x7f | 0x80, len >> 14];
        let head = [u16::from(tag << 3 | 2), low, middle, high].map(|byte| u8::try_from(byte).unwrap());
        [&head, bytes].concat()
    };
    add("a proof with a long path", part(1, &[0x22, 0].repeat(30_000)));
    add("a proof of absence with long paths", part(2, &part(2, &[0x22, 0].repeat(30_000))));
    add("a batch of nothing", part(3, &[0x0a, 0].repeat(30_000)));
    add("a compressed batch of nothing", part(4, &[0x0a, 0].repeat(30_000)));
    // Text.
    let listed = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
    add("a dump of short records", {
        let lines = (0..50_000_u32).map(|number| format!("{{\"key\":\"d6{number:08x}\",\"value\":\"\"}}\n"));
        let header = format!("{{\"format\":\"coalmine-dump/1\",\"height\":1,\"root\":\"{}\"}}\n", "0".repeat(64));
        [header].into_iter().chain(lines).collect::<String>().into_bytes()
    });
    add("a binary dump of short records", {
        let records: Vec<u8> =
            (0..50_000_u32).flat_map(|number| [&[5, 0xd6], &number.to_be_bytes()[..], &[0; 4]].concat()).collect();
        binary_dump_of(&[&records])
    });
    add("a binary dump that claims the longest header", [&MAGIC[..], &3_600_200_u32.to_be_bytes()].concat());
    add("a binary dump that claims the longest chunk", {
        let whole = binary_dump_of(&[&[0; 8 << 20]]);
        whole[..whole.len() - (8 << 20)].to_vec()
    });
    add("a binary dump of many chunks that are not there", {
        let whole = binary_dump_of(&[b"x".as_slice(); 20_000]);
        whole[..whole.len() - 20_000].to_vec()
    });
    add("a bundle of nothing", {
        let items = listed(50_000, &|_| r#"{"key":"","value":null,"proof":""}"#.into());
        let root = "0".repeat(64);
        format!(r#"{{"format":"coalmine-proof/1","kind":"key","height":1,"root":"{root}","proofs":[{items}]}}"#).into()
    });
    add("an object of many keys", format!("{{{}}}", listed(100_000, &|number| format!(r#""{number:x}":0"#))).into());
    add("an object of one key many times", format!("{{{}}}", listed(200_000, &|_| r#""":0"#.into())).into());
    let role = format!(r#"{{"0x{}":["admin"]}}"#, "11".repeat(20));
    let file = |txs: &str| {
        let blocks = format!(r#"[{{"height":1,"txs":[{txs}]}}]"#);
        format!(r#"{{"format":"coalmine-blocks/1","genesis":{{"roles":{role}}},"blocks":{blocks}}}"#).into_bytes()
    };
    add("a file of short transactions", file(&listed(60_000, &|_| r#"{"raw":""}"#.into())));
    // Expectations: of a block, or of what any name or id stands for.
    let expecting = |key: &str, members: &str| {
        let expect = format!(r#"{{"{key}":{members}}}"#);
        format!(r#"{{"format":"coalmine-blocks/1","genesis":{{"roles":{role}}},"blocks":[],"expect":{expect}}}"#).into()
    };
    for (key, value) in [("features", "{}"), ("metrics", "{}"), ("history", "[]"), ("plugins", "{}")] {
        for count in [4_096, 40_000] {
            let members = listed(count, &|number| format!(r#""{number:x}":{value}"#));
            add(
                &format!("expected {key} of {count} names and nothing else"),
                expecting(key, &format!("{{{members}}}")),
            );
        }
    }
    let changes = listed(9_000, &|_| r#"{"height":1,"status":"disabled","percent":0}"#.into());
    add("expected changes", expecting("history", &format!(r#"{{"a":[{changes}]}}"#)));
    add("expected versions", {
        let members = listed(40_000, &|number| format!(r#""{number}.0.0":null"#));
        expecting("plugins", &format!(r#"{{"a":{{"versions":{{{members}}}}}}}"#))
    });
    add("expected items", {
        let members = listed(40_000, &|number| format!(r#""{number:x}":null"#));
        expecting("feed", &format!(r#"{{"environments":{{{members}}}}}"#))
    });
    let routed = listed(9_000, &|_| r#"{"plugin":"a","unit":"0x","version":null}"#.into());
    add("expected routes", expecting("routes", &format!("[{routed}]")));
    for entry in ["{}", r#"{"at":1}"#, r#"{"id":1}"#, r#"{"commands":[]}"#, r#"{"commands":[{"op":"reset_breaker"}]}"#]
    {
        let entries = listed(30_000, &|_| entry.into());
        add(&format!("an expected schedule of {entry}"), expecting("schedule", &format!("[{entries}]")));
    }
    let commands = listed(20_000, &|_| r#"{"op":"reset_breaker"}"#.into());
    add("an expected entry of commands", expecting("schedule", &format!(r#"[{{"commands":[{commands}]}}]"#)));
    add("expected roles", {
        let members = listed(30_000, &|number| format!(r#""0x{number:040x}":[]"#));
        expecting("roles", &format!("{{{members}}}"))
    });
    for value in ["null", "{}", r#"{"since":1}"#] {
        let members = listed(20_000, &|number| format!(r#""0x{number:040x}":{value}"#));
        add(&format!("expected overrides {value}"), expecting("overrides", &format!(r#"{{"a":{{{members}}}}}"#)));
    }
    for (key, value) in [
        ("overrides", "{}"),
        ("features", r#"{"name":""}"#),
        ("metrics", r#"{"name":""}"#),
        ("plugins", r#"{"stage":1}"#),
    ] {
        let members = listed(30_000, &|number| format!(r#""{number:x}":{value}"#));
        add(&format!("expected {key} of {value}"), expecting(key, &format!("{{{members}}}")));
    }
    add("a file of 60 000 admins", {
        let roles = listed(60_000, &|number| format!(r#""0x{number:040x}":["admin"]"#));
        format!(r#"{{"format":"coalmine-blocks/1","genesis":{{"roles":{{{roles}}}}},"blocks":[]}}"#).into()
    });
    for items in ["environments", "filters"] {
        for count in [4_097, 8_192] {
            let members = listed(count, &|number| format!(r#""{number:x}":{{}}"#));
            let put = format!(r#"{{"path":"/","data":{{"{items}":{{{members}}}}}}}"#);
            add(&format!("a put of {count} empty {items}"), put.into());
        }
    }
    for count in [5_000, 7_000, 8_192] {
        let members = listed(count, &|_| r#""":{}"#.into());
        add(&format!("a message of one member {count} times"), format!("{{{members}}}").into());
        let put = format!(r#"{{"path":"/","data":{{"filters":{{{members}}}}}}}"#);
        add(&format!("a put of one filter {count} times"), put.into());
        let put = format!(r#"{{"path":"/","data":{{"filters":{{"a":{{{members}}}}}}}}}"#);
        add(&format!("a put of a filter of one member {count} times"), put.into());
    }
    found
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    let folders = TARGETS.iter().map(|(target, _)| folder.join(target));
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// The bytes that a decoder takes too many for these, if it does.
fn excess(decoder: Check, bytes: &[u8]) -> Option<usize> {
    let bound = FACTOR * bytes.len() + SLACK;
    Some(peak(decoder, bytes)).filter(|found| *found > bound)
}

/// One test, because another one beside it would allocate, too.
#[test]
fn decoders_take_no_more_than_their_bound() {
    let inputs = [hostile(), seeds()].concat();
    let decoders = DECODERS.iter().map(|decoder| ((decoder.name)(), decoder.decode));
    let mut wrong = Vec::new();
    for (name, decoder) in decoders.chain(MORE) {
        for (input, bytes) in &inputs {
            if let Some(found) = excess(decoder, bytes) {
                wrong.push(format!("{name}: {found} bytes for {} bytes: {input}", bytes.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What this test is for: room for what is claimed, and commands kept decoded.
    let greedy: Check = |bytes| {
        let Ok(count) = Reader::new(bytes).u32() else { return };
        drop(Vec::<u64>::with_capacity(usize::try_from(count >> 8).unwrap()));
    };
    assert!(excess(greedy, &[0xff; 4]).is_some(), "room for what is claimed is noticed");
    let kept: Check = |bytes| drop(Block::from_bytes(bytes).unwrap().payloads().collect::<Vec<_>>());
    let (_, block) = inputs.iter().find(|(input, _)| input == "a block of the smallest commands").unwrap();
    assert!(excess(kept, block).is_some(), "a block of decoded commands is noticed");
}
