//! Bytes that are taken apart: what is said of them is what core does with them, whatever they are.

use coalmine_core::{Address, Decode, Encode, Payload, Transaction, TxCommand};
use coalmine_json::{
    Op, inspect_command, inspect_transaction, read_command, read_commands, read_genesis, read_transactions,
    write_command, write_genesis, write_transaction,
};
use proptest::prelude::*;

const SIGNER: Address = Address([0x11; 20]);

/// The bytes of a transaction of each op, with and without a sequence, and of one with all of them that fit.
fn transactions() -> Vec<Vec<u8>> {
    let one = |op: Op| {
        let json = op.example();
        let sequenced = format!("{},\"sequence\":7,\"valid_until\":9}}", json.strip_suffix('}').unwrap());
        [json.to_owned(), sequenced]
    };
    let all: Vec<&str> = Op::all().map(Op::example).collect();
    let many = all.chunks(16).map(|commands| format!("{{\"commands\":[{}]}}", commands.join(",")));
    let read = |json: String| read_transactions(&json, Some(&SIGNER)).unwrap().remove(0).to_bytes();
    Op::all().flat_map(one).chain(many).map(read).collect()
}

/// What is said of a transaction agrees with core.
#[track_caller]
fn check(bytes: &[u8]) {
    let found = inspect_transaction(bytes);
    let malformed = match Payload::from_bytes(bytes) {
        Payload::Transaction(transaction) => {
            let invalid = transaction.commands().iter().find_map(|command| match command {
                TxCommand::Valid(_) => None,
                TxCommand::Invalid { reject, .. } => Some(*reject),
            });
            assert_eq!(found.reject, invalid, "{}", hex::encode(bytes));
            let again = read_transactions(&write_transaction(&transaction), None).unwrap().remove(0);
            assert_eq!(again.to_bytes(), bytes);
            false
        }
        Payload::Malformed(_) => true,
    };
    assert_eq!(found.malformed.is_some(), malformed, "{}", hex::encode(bytes));
    if let Some(found) = found.malformed {
        assert!(found.offset <= bytes.len(), "{found}: {}", hex::encode(bytes));
        assert_ne!(found.reason, "the bytes do not decode as a transaction", "{}", hex::encode(bytes));
    }
}

#[test]
fn every_byte_that_is_changed_is_judged_as_core_does() {
    for bytes in transactions() {
        check(&bytes);
        for at in 0..bytes.len() {
            check(&bytes[..at]);
            for value in [0, 1, bytes[at].wrapping_add(1), 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                check(&changed);
            }
            let mut longer = bytes.clone();
            longer.insert(at, 0);
            check(&longer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_taken_apart(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
        let found = inspect_command(&bytes);
        prop_assert_eq!(found.malformed.is_some(), TxCommand::from_bytes(&bytes).is_err());
    }
}

#[test]
fn commands_are_read_and_written() {
    for op in Op::all() {
        let command = read_command(op.example()).unwrap();
        assert_eq!(command.kind(), op.kind(), "{}", op.name());
        let written = write_command(&command).unwrap();
        assert_eq!(read_command(&written).unwrap(), command);
        let transaction = Transaction::new(Address::ZERO, vec![command]).unwrap();
        let written = write_transaction(&transaction);
        assert!(written.contains("\"signer\":\"0x0000"), "{written}");
        assert_eq!(
            Transaction::from_bytes(&read_transactions(&written, None).unwrap()[0].to_bytes()).unwrap(),
            transaction
        );
    }
}

#[test]
fn a_genesis_is_read_and_written() {
    let roles = r#""roles":{"0x1111111111111111111111111111111111111111":["admin"]}"#;
    for (text, written) in [
        (format!("{{{roles}}}"), format!("{{{roles}}}")),
        (format!(r#" {{ "params": {{ "quorum": 1 }}, "chain": "", "rules": 1, {roles} }} "#), format!("{{{roles}}}")),
        (
            format!(r#"{{{roles},"params":{{"timelock":7}},"chain":"x"}}"#),
            format!(
                r#"{{"chain":"x",{roles},"params":{{"max_due_per_block":1000,"breaker_rollbacks":0,"breaker_window":0,"timelock":7,"sequenced":false,"round_blocks":0,"quorum":1}}}}"#
            ),
        ),
    ] {
        let genesis = read_genesis(&text).unwrap();
        assert_eq!(write_genesis(&genesis), written);
        assert_eq!(read_genesis(&written).unwrap(), genesis);
    }
    for (text, error) in [
        ("{}".to_owned(), "line 1, column 1: genesis: \"roles\" is missing"),
        ("{\"roles\":{}}".into(), "line 1, column 10: a genesis names at least one admin"),
        (format!("{{{roles},\n\"params\":{{\"quorum\":0}}}}"), "line 2, column 10: "),
        (format!("{{{roles},\"chains\":1}}"), "line 1, column 67: unknown key \"chains\"; genesis takes rules, chain"),
    ] {
        let found = read_genesis(&text).unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn several_values_are_read_and_errors_say_where() {
    let enable = |name: &str| format!(r#"{{"op":"enable","name":"{name}"}}"#);
    for text in [
        format!("{} {}", enable("a"), enable("b")),
        format!("[{},\n{}]", enable("a"), enable("b")),
        format!("{}\n\n[{}]\n", enable("a"), enable("b")),
        format!("[]{}[{}]", enable("a"), enable("b")),
    ] {
        let names: Vec<String> = read_commands(&text).unwrap().iter().map(|command| format!("{command:?}")).collect();
        assert!(names.len() == 2 && names[0].contains("\"a\"") && names[1].contains("\"b\""), "{text}: {names:?}");
        assert_eq!(read_transactions(&text, Some(&SIGNER)).unwrap().len(), 2);
        assert!(read_command(&text).unwrap_err().message.contains("more than one command"), "{text}");
    }
    let a = enable("a");
    for (text, error) in [
        (String::new(), "line 1, column 1: there is no command"),
        ("\n 7".into(), "line 2, column 2: expected an object, found a number"),
        (format!("{a}\n{a},"), "line 2, column 27: not valid JSON: expected value"),
        (format!("[{a},\n  {a}"), "line 2, column 29: not valid JSON: EOF while parsing a list"),
        (
            format!("{a} {{\"op\":\"enable\",\"name\":\"a\",\"signer\":\"0x\"}}"),
            "line 1, column 54: unknown key \"signer\"; enable takes op, name",
        ),
        (
            r#"{"op":"start_canary","name":"ä b","percent":5}"#.into(),
            "line 1, column 1: invalid_name: the name breaks the rule",
        ),
        (r#"{"op":"enable","name":"a","op":"enable"}"#.into(), "line 1, column 27: repeated key \"op\""),
        (r#"{"op":"nope"}"#.into(), "line 1, column 7: unknown op \"nope\"; there are create_feature,"),
    ] {
        let found = read_command(&text).unwrap_err().to_string();
        assert!(found.starts_with(error), "{text}: {found}");
    }
    let found = read_transactions(&format!("{a}\n{a}"), None).unwrap_err().to_string();
    assert_eq!(found, "line 1, column 1: \"signer\" is missing");
    let many = r#"{"op":"reset_breaker","repeat":65537}"#;
    let found = read_transactions(many, Some(&SIGNER)).unwrap_err().to_string();
    assert_eq!(found, "line 1, column 1: there are more than 65536 transactions");
}
