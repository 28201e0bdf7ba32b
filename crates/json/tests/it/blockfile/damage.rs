//! Damaged files, and bytes that JSON cannot express.

use super::*;

/// A small binary file and the blocks in it.
fn small() -> (Vec<u8>, Vec<FileBlock>) {
    let text = document(
        r#"{"height":1,"txs":[{"op":"enable","name":"a"},{"raw":"00"}]},{"height":2},{"height":9,"txs":[{"op":"reset_breaker"}]}"#,
    );
    let (header, blocks) = read_all("f.json", text.as_bytes());
    (write(Form::Blocks, &header, &blocks), blocks)
}

/// Damaged bytes give an error, or a prefix of the blocks and then an error.
fn check_damaged(bytes: &[u8], whole: &[FileBlock], ends: bool) {
    for file in ["f.blocks", "f", "f.jsonl"] {
        let (_, blocks, error) = read(file, bytes);
        assert!(error.is_some() || ends, "{bytes:?} was read without an error");
        assert!(blocks.len() < whole.len());
        assert!(blocks.iter().zip(whole).all(|(a, b)| a.block == b.block));
    }
}

#[test]
fn torn_frames_keep_the_blocks_before_them() {
    let (bytes, whole) = small();
    // Where a frame ends, a shorter file is a whole one.
    let mut ends = vec![];
    let mut at = 4;
    while at < bytes.len() {
        at += 8 + usize::try_from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
        ends.push(at);
    }
    assert_eq!(ends.len(), 4);
    for len in 0..bytes.len() {
        check_damaged(&bytes[..len], &whole, ends.contains(&len));
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check_damaged(&flipped, &whole, false);
    }
}

#[test]
fn damaged_frames_say_which() {
    let (bytes, _) = small();
    let message = |bytes: &[u8]| {
        let (_, blocks, error) = read("f.blocks", bytes);
        (blocks.len(), error.map(|error| error.to_string()).unwrap_or_default())
    };
    let with = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let mut more = bytes.clone();
    more.push(0);
    let frame = |bytes: &[u8]| {
        let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(bytes);
        frame.extend_from_slice(&crc32c::crc32c(bytes).to_be_bytes());
        frame
    };
    let appended = |frames: &[u8]| [&bytes, frames].concat();
    let old = frame(&Block::empty(9).to_bytes());
    let torn = "the file ends within this frame";
    let rows: Vec<(Vec<u8>, usize, String)> = vec![
        (bytes[..4].into(), 0, "f.blocks: frame 0 at byte 4: the genesis is missing".into()),
        (bytes[..20].into(), 0, format!("f.blocks: frame 0 at byte 4: {torn}")),
        (with(8, b"\xff"), 0, "f.blocks: frame 0 at byte 4: the frame is damaged: its checksum does not match its bytes".into()),
        (
            [b"CMB1".to_vec(), frame(b"\0\x02")].concat(),
            0,
            "f.blocks: frame 0 at byte 4: rule set 2 is needed, and this build knows those up to 1; use a newer build".into(),
        ),
        (
            [b"CMB1".to_vec(), frame(b"")].concat(),
            0,
            "f.blocks: frame 0 at byte 4: the genesis does not decode: the input ends too early (0 bytes before the end)".into(),
        ),
        (with(60, b"\x01"), 0, "f.blocks: frame 1 at byte 60: the frame claims 16777259 bytes; it has at most 16777216".into()),
        (bytes[..bytes.len() - 1].into(), 2, format!("f.blocks: frame 3 at byte {}: {torn}", bytes.len() - 44)),
        (more, 3, format!("f.blocks: frame 4 at byte {}: {torn}", bytes.len())),
        (
            appended(&frame(b"")),
            3,
            format!("f.blocks: frame 4 at byte {}: the block does not decode: the input ends too early (0 bytes before the end)", bytes.len()),
        ),
        (
            appended(&old),
            3,
            format!("f.blocks: frame 4 at byte {}: block 9: heights must ascend, but the block before this one is 9", bytes.len()),
        ),
    ];
    for (bytes, blocks, expected) in rows {
        assert_eq!(message(&bytes), (blocks, expected));
    }
}

#[test]
fn what_json_cannot_express_is_raw() {
    let signer = "11".repeat(20);
    let rows: &[(&str, Value)] = &[
        ("", json!({ "raw": "" })),
        (&signer, json!({ "raw": signer })),
        (&format!("{signer}0000"), json!({ "raw": format!("{signer}0000") })),
        (&format!("{signer}00"), json!({ "commands": [] })),
        (&format!("{signer}0100011f"), json!({ "op": "reset_breaker" })),
        (
            &format!("{signer}0200011f00011f"),
            json!({ "commands": [{ "op": "reset_breaker" }, { "op": "reset_breaker" }] }),
        ),
        // A name that is not UTF-8, an unknown tag, a bool of 2, an optional flag of 2, two roles in one.
        (&format!("{signer}0100030f01ff"), json!({ "raw": format!("{signer}0100030f01ff") })),
        (&format!("{signer}01000127"), json!({ "raw": format!("{signer}01000127") })),
        (&format!("{signer}0100071e000000000002"), json!({ "raw": format!("{signer}0100071e000000000002") })),
        (&format!("{signer}01000424020000"), json!({ "raw": format!("{signer}01000424020000") })),
        (&format!("{signer}01001622{signer}03"), json!({ "raw": format!("{signer}01001622{signer}03") })),
    ];
    for (bytes, expected) in rows {
        let bytes = hex::decode(bytes).unwrap();
        assert_eq!(written_txs(vec![Payload::from_bytes(&bytes)]), std::slice::from_ref(expected));
        check_payload(&bytes);
    }
    // Schedules inside schedules, as deep as the bytes of one command go.
    let mut command = vec![31];
    while command.len() < 60_000 {
        let len = u16::try_from(command.len()).unwrap().to_be_bytes();
        command = [&[32, 0, 0, 0, 1, 1], &len[..], &command].concat();
    }
    let len = u16::try_from(command.len()).unwrap().to_be_bytes();
    check_payload(&[&[0x11; 20], &[1][..], &len, &command].concat());
}

fn golden_transactions() -> impl Strategy<Value = Vec<u8>> {
    let golden = fixtures("commands.json").into_iter().map(|row| row["bytes"].as_str().unwrap().to_owned());
    let plugins = plugin_commands().into_iter().map(|(_, bytes)| bytes);
    let commands: Vec<Vec<u8>> = golden.chain(plugins).map(|bytes| hex::decode(bytes).unwrap()).collect();
    let command = prop::sample::select(commands);
    (any::<[u8; 20]>(), prop::collection::vec(command, 0..4)).prop_map(|(signer, commands)| {
        let mut bytes = signer.to_vec();
        bytes.push(u8::try_from(commands.len()).unwrap());
        for command in commands {
            bytes.extend_from_slice(&u16::try_from(command.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(&command);
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_payload(&bytes);
    }

    #[test]
    fn damaged_transactions_survive(
        mut bytes in golden_transactions(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        len in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(len.index(bytes.len()));
        }
        check_payload(&bytes);
    }

    #[test]
    fn damaged_text_is_an_error_or_a_file(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        len in any::<prop::sample::Index>(),
    ) {
        let (_, blocks) = small();
        for (form, file) in [(Form::Json, "f.json"), (Form::Jsonl, "f.jsonl"), (Form::Blocks, "f")] {
            let mut bytes = write(form, &header(), &blocks);
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            read(file, &bytes);
            bytes.truncate(len.index(bytes.len()));
            read(file, &bytes);
        }
    }
}
