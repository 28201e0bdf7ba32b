//! The config feed, through every command.

use super::*;

/// An item of each state, an open put, and messages that do nothing.
const FEED: &str = r#"{
  "format": "coalmine-blocks/1",
  "genesis": { "roles": { "0x1111111111111111111111111111111111111111": ["admin"] } },
  "blocks": [
    { "height": 1,
      "txs": [
        { "op": "feed_put", "environments": { "b": { "version": 2, "body": "" }, "a": { "version": 1, "body": "ff00" } }, "filters": { "f": { "version": 1, "body": "aa" } } },
        { "commands": [ { "op": "feed_patch", "kind": "filter", "id": "f", "version": 2, "body": "bb" }, { "op": "feed_delete", "kind": "environment", "id": "gone", "version": 7 } ] },
        { "op": "feed_put", "part": "last" },
        { "op": "feed_put", "part": "first", "environments": { "a": { "version": 0, "body": "" } } }
      ],
      "expect": { "feed": { "environments": { "a": { "version": 1, "state": "live", "body": "ff00" }, "never": null, "no id": null }, "filters": { "f": { "version": 2 } } } } },
    { "height": 2, "txs": [ { "op": "feed_put", "filters": { "f": { "version": 2, "body": "" } } } ] }
  ]
}"#;

#[test]
fn the_feed_is_shown() {
    let world = World::new();
    world.write("feed.json", FEED);
    let receipts = "\
1 receipt 0 ok
1 receipt 1 ok notes.0.kind=filter notes.0.id=f notes.0.action=noop notes.1.kind=environment notes.1.id=gone notes.1.action=noop
1 receipt 2 feed_put_not_open command=0 op=feed_put signer=ADMIN why=\"no put is open that this part could go on with; begin with a first part\"
1 receipt 3 ok notes.0.kind=environment notes.0.id=a notes.0.action=noop
1 event feed_insert kind=environment id=a version=1
1 event feed_insert kind=environment id=b version=2
1 event feed_insert kind=filter id=f version=1
1 event feed_received_all
";
    let receipts = receipts.replace("ADMIN", ADMIN);
    world.golden("run feed.json --receipts --events --quiet --until 1", 0, &receipts, "");
    let (json, _) = world.check("run feed.json --receipts --quiet --until 1 --format json", 0);
    let note = r#"{"type":"receipt","height":1,"tx":3,"result":"ok","notes":[{"kind":"environment","id":"a","action":"noop"}]}"#;
    assert_eq!(json.lines().nth(3), Some(note));
    assert_eq!(json.lines().next(), Some(r#"{"type":"receipt","height":1,"tx":0,"result":"ok"}"#));
    let open = "\
open=true live_environments=2 live_filters=1 environments=3 filters=1 listed=1 unborn_environments=1 unborn_filters=0
environment a version=1 state=live body=ff00
environment b version=2 state=live body=\"\"
environment gone version=7 state=unborn body=\"\"
filter f version=2 state=live body=aa
";
    world.golden("show feed.json feed --at 1", 0, open, "");
    let filter =
        "{\"type\":\"feed_item\",\"kind\":\"filter\",\"id\":\"f\",\"version\":2,\"state\":\"live\",\"body\":\"aa\"}\n";
    assert!(world.check("show feed.json feed --format json", 0).0.ends_with(filter));
    world.check("dump feed.json -o after.dump", 0);
    world.fails("show after.dump feed --at 1", 2, "is not known");

    world.write(
        "before.json",
        FEED.replace("\"filters\": { \"f\": { \"version\": 2, \"body\": \"\" } }", "\"part\": \"more\""),
    );
    let differences = "\
~ feed open: true -> false, live_environments: 2 -> 0, environments: 3 -> 2, listed: 1 -> 0, unborn_environments: 1 -> 0
~ feed_item environment a state: live -> forgotten, body: ff00 -> \"\"
~ feed_item environment b state: live -> forgotten
- feed_item environment gone version=7 state=unborn body=\"\"
- feed_index environment a
- feed_index environment b
- feed_index environment gone
- feed_listed environment a
";
    world.golden("diff before.json after.dump", 1, differences, "8 records differ");
    world.check("convert feed.json feed.blocks", 0);
    assert_eq!(world.root("feed.blocks"), world.root("feed.json"));

    let wrong = FEED
        .replace(r#""state": "live", "body": "ff00" }"#, r#""state": "deleted", "body": "ff01" }"#)
        .replace(r#""filters": { "f": { "version": 2 } }"#, r#""filters": { "f": null, "g": { "version": 9 } }"#);
    world.write("wrong.json", wrong);
    let (_, failures) = world.check("run wrong.json --quiet", 1);
    let failures: Vec<&str> =
        failures.lines().filter_map(|line| line.split_once(": block 1: ")).map(|(_, failures)| failures).collect();
    let expected = [
        "feed.environments.a.state: expected deleted, got live",
        "feed.environments.a.body: expected ff01, got ff00",
        "feed.filters.f: expected no record, got live",
        "feed.filters.g: expected a record, got none",
    ];
    assert_eq!(failures, expected);
    world.check("generate --features 3 --blocks 3 --txs-per-block 20 --mix feed=1 -o load.blocks", 0);
    let (summary, _) = world.check("run load.blocks", 0);
    assert!(summary.contains("rejected 0\n"), "{summary}");
}
