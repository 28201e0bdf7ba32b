//! Layouts: the tables as a reader of bytes.

use super::*;

/// Compares what a golden row says with what the layout has read.
fn same(layouts: &Layouts, row: &Value, read: &Value, what: &str) {
    match (row, read) {
        (Value::Object(row), Value::Object(read)) => {
            for (name, row) in row {
                let read = read.get(name).unwrap_or_else(|| panic!("{what}: the layout has no {name}"));
                same(layouts, row, read, &format!("{what}.{name}"));
            }
            for (name, read) in read {
                // What the row does not tell is absent, empty, zero or fixed.
                let fixed = ["version", "reserved", "domain"].contains(&name.as_str());
                let absent = read.is_null() || *read == 0 || *read == "" || *read == json!([]);
                assert!(row.contains_key(name) || absent || fixed, "{what}: no {name} in the row");
            }
        }
        // Items of the feed are an object by id in the rows, a list in the bytes.
        (Value::Object(row), Value::Array(read))
            if ["environments", "filters"].iter().any(|list| what.ends_with(list)) =>
        {
            assert_eq!(row.len(), read.len(), "{what}");
            for item in read {
                let id = item["id"].as_str().unwrap();
                let fields = json!({ "version": item["version"], "body": item["body"] });
                same(layouts, &row[id], &fields, &format!("{what}.{id}"));
            }
        }
        // So are requirements and metadata, by name.
        (Value::Object(row), Value::Array(read))
            if ["requirements", "metadata"].iter().any(|list| what.ends_with(list)) =>
        {
            let text = |pair: &Value, names: [&str; 2]| names.iter().find_map(|name| pair.get(name).cloned()).unwrap();
            let pair = |pair: &Value| {
                (text(pair, ["plugin", "key"]).as_str().unwrap().to_owned(), text(pair, ["constraint", "text"]))
            };
            assert_eq!(*row, read.iter().map(pair).collect::<Map<_, _>>(), "{what}");
        }
        // Roles are an object in the rows, a list in the bytes.
        (Value::Object(row), Value::Array(read)) => {
            let masks = layouts.numbers["role"].iter();
            let read: Map<String, Value> = read
                .iter()
                .map(|grant| {
                    let mask = grant["mask"].as_u64().unwrap();
                    let names = masks.clone().filter(|(bit, _)| mask & **bit != 0).map(|(_, name)| name.as_str());
                    (grant["address"].as_str().unwrap().to_owned(), names.collect::<Vec<_>>().into())
                })
                .collect();
            assert_eq!(*row, read, "{what}");
        }
        (Value::Array(row), Value::Array(read)) => {
            assert_eq!(row.len(), read.len(), "{what}");
            row.iter().zip(read).for_each(|(row, read)| same(layouts, row, read, what));
        }
        // A number of a table, which rows give by number or by name.
        (row, Value::Array(pair)) => assert!(pair.contains(row), "{what}: {row} is not {pair:?}"),
        // Bytes that mean nothing here are hex in the rows, whether they are text or not.
        (Value::String(row), Value::String(read))
            if [".body", ".config", ".unit"].iter().any(|field| what.ends_with(field)) =>
        {
            assert!(row == read || *row == hex::encode(read), "{what}: {row} is not {read}");
        }
        (row, read) => assert_eq!(row, read, "{what}"),
    }
}

#[test]
fn every_golden_vector_is_split_by_the_layouts() {
    let document = document();
    let layouts = Layouts::of(&document);
    for row in rows("records") {
        let (key, value) = (row.hex("key"), row.bytes());
        let of_prefix = layouts.keys.iter().filter(|(prefix, ..)| *prefix == key[0]);
        let mut read: Vec<(&str, Map<String, Value>)> = Vec::new();
        for (_, record, fields, of) in of_prefix {
            let mut rest = &key[1..];
            let Some(mut found) = layouts.read_fields(fields, &mut rest).filter(|_| rest.is_empty()) else { continue };
            // The rest of a key has one byte at least.
            if fields.iter().any(|(name, of)| matches!(of, Type::Rest) && found[name] == "") {
                continue;
            }
            if of == "empty" {
                assert!(value.is_empty(), "{}", row.id);
            } else {
                let Value::Object(inside) = layouts.whole(&Type::Named(of.clone()), &value, &row.id) else { panic!() };
                for (name, inside) in inside {
                    assert!(found.get(&name).is_none_or(|outside| *outside == inside), "{}: {name}", row.id);
                    found.insert(name, inside);
                }
            }
            read.push((record.as_str(), found));
        }
        let [(record, read)] = &read[..] else { panic!("{}: {} readings", row.id, read.len()) };
        // The released rows call the index of active features by another name.
        let kind = if row.kind == "index" { "active" } else { row.kind.as_str() };
        assert_eq!(*record, kind, "{}", row.id);
        same(&layouts, &row.fields, &read.clone().into(), &row.id);
    }
    let check = |row: &Row, of: &str| {
        let read = layouts.whole(&Type::Named(of.into()), &row.bytes(), &row.id);
        if of == "event" {
            assert_eq!(read["type"], row.kind.as_str(), "{}", row.id);
            same(&layouts, &row.fields, &read["fields"], &row.id);
        } else {
            same(&layouts, &row.fields, &read, &row.id);
        }
    };
    rows("commands").iter().for_each(|row| check(row, "command"));
    rows("events").iter().for_each(|row| check(row, "event"));
    rows("blocks").iter().for_each(|row| check(row, &row.kind));
    rows("buckets").iter().for_each(|row| check(row, &row.kind));
}
