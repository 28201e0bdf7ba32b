//! Plugins, through every command.

use super::*;

#[test]
fn show_prints_plugins() {
    let world = World::new();
    let (code, other) = ("ab".repeat(32), "cd".repeat(32));
    let old = format!(
        "versions.0 version=1.0.0+linux status=active code_hash={code} registered=10 reported=0 requests=0 errors=0 \
         latency_sum=0 host=none requirements.0.plugin=lib requirements.0.constraint=\"^1\" config=\"\" metadata=none \
         health_bps=10000\n"
    );
    let app = "name app\ncurrent 1.0.0+linux\nprevious none\nrule none\nload_state unloaded\nloaded none\n";
    for (args, out) in [
        (
            "plugins",
            "\
app current=1.0.0 previous=none status=active canary=2.0.0 paused=false waiting=true share_bps=5000 stage=0 load_state=unloaded
lib current=1.2.0 previous=none status=none canary=none paused=false waiting=false share_bps=0 stage=0 load_state=loading
web current=1.0.0 previous=none status=none canary=none paused=false waiting=false share_bps=0 stage=0 load_state=unloaded
"
            .into(),
        ),
        ("plugins --at 9", String::new()),
        ("plugin app --at 10", format!("{app}deployments 0\ndependents 0\n{old}deployment none\n")),
        (
            "plugin app",
            format!(
                "{app}\
deployments 1
dependents 0
{old}\
versions.1 version=2.0.0 status=canary code_hash={other} registered=11 reported=11 requests=100 errors=5 latency_sum=700 \
host=none requirements.0.plugin=lib requirements.0.constraint=\"^1\" config=00ff metadata.0.key=team \
metadata.0.text=\"two words\" health_bps=7600
deployment.strategy custom
deployment.old 1.0.0+linux
deployment.new 2.0.0
deployment.status active
deployment.hold manual_gate
deployment.held none
deployment.healthy false
deployment.stage 0
deployment.share_bps 5000
deployment.stage_height 11
deployment.start 11
deployment.due 0
deployment.salt 47244640257
deployment.canary.requests 100
deployment.canary.errors 5
deployment.canary.latency_sum 700
deployment.production.requests 0
deployment.production.errors 0
deployment.production.latency_sum 0
deployment.stage_requests 100
deployment.stage_errors 5
deployment.plan.stages.0 share_bps=5000 blocks=4 min_requests=0 gate=manual
deployment.plan.stages.1 share_bps=10000 blocks=6 min_requests=0 gate=time
deployment.plan.error_threshold_bps 500
deployment.plan.success_threshold_bps 9500
deployment.plan.min_requests 100
deployment.plan.max_blocks 80
deployment.plan.auto_promote true
deployment.plan.auto_rollback true
deployment.plan.regression_z_centi 0
deployment.plan.on_complete promote
"
            ),
        ),
        (
            "plugin-history app",
            format!(
                "\
10 0 action=registered version=1.0.0+linux success=true share_bps=0 duration=0 actor={ADMIN}
11 0 action=registered version=2.0.0 success=true share_bps=0 duration=0 actor={ADMIN}
11 1 action=deployed version=2.0.0 success=true share_bps=5000 duration=0 reason=manual actor=0x{}
",
                "2".repeat(40)
            ),
        ),
        (
            "schedule",
            format!(
                "40 1 actor={ADMIN} commands.0.op=deploy commands.0.plugin=lib commands.0.version=1.2.0 \
                 commands.0.strategy=blue_green commands.0.health_blocks=60 commands.0.bake_blocks=60 \
                 commands.0.error_threshold_bps=500 commands.0.success_threshold_bps=0 commands.0.min_requests=50 \
                 commands.0.max_blocks=960 commands.0.auto_promote=true commands.0.auto_rollback=true \
                 commands.0.regression_z_centi=0 commands.1.op=unload commands.1.plugin=lib commands.1.force=false\n"
            ),
        ),
    ] {
        world.golden(&format!("show plugins.json {args}"), 0, &out, "");
    }
    for what in ["plugin", "plugin-history"] {
        world.fails(&format!("show plugins.json {what} nobody"), 2, "plugins.json: there is no plugin nobody");
        world.fails(&format!("show plugins.json {what} _bad"), 2, "a name is 1 to 64");
    }

    let json = |args: &str| -> serde_json::Value {
        let (out, _) = world.check(&format!("show plugins.json {args} --format json"), 0);
        serde_json::from_str(out.lines().next().unwrap()).unwrap()
    };
    let card = json("plugin app");
    assert_eq!(card["versions"][0]["requirements"], serde_json::json!([{ "plugin": "lib", "constraint": "^1" }]));
    assert_eq!(card["deployment"]["plan"]["stages"][1]["share_bps"], 10_000);
    assert_eq!(card["rule"], serde_json::Value::Null);
    assert_eq!(json("plugins")["canary"], "2.0.0");
    assert_eq!(json("plugin-history app")["action"], "registered");

    // A dump knows the history of the past, and nothing else of it.
    world.check("dump plugins.json -o plugins.dump", 0);
    let past = world.check("show plugins.json plugin-history app --at 10", 0).0;
    assert_eq!(past.lines().count(), 1);
    world.golden("show plugins.dump plugin-history app --at 10", 0, &past, "");
    for what in ["plugins", "plugin app"] {
        world.fails(&format!("show plugins.dump {what} --at 10"), 2, "is not known");
        let now = world.check(&format!("show plugins.json {what}"), 0).0;
        world.golden(&format!("show plugins.dump {what} --at 20"), 0, &now, "");
    }
}

#[test]
fn route_and_plan_answer() {
    let world = World::new();
    world.check("dump plugins.json -o plugins.dump", 0);
    for source in ["plugins.json", "plugins.dump"] {
        for (args, out) in [
            ("app 0x00", "plugin app\nunit 0x00\nversion 2.0.0\nbucket 698\nshare_bps 5000\nheight 20\n"),
            ("app 0x01", "plugin app\nunit 0x01\nversion 1.0.0+linux\nbucket 9069\nshare_bps 5000\nheight 20\n"),
            (
                "app order-4711",
                "plugin app\nunit 0x6f726465722d34373131\nversion 2.0.0\nbucket 3861\nshare_bps 5000\nheight 20\n",
            ),
            ("web 0x", "plugin web\nunit 0x\nversion 1.0.0\nbucket none\nshare_bps none\nheight 20\n"),
        ] {
            world.golden(&format!("route {source} {args}"), 0, out, "");
        }
        for (args, out) in [
            ("app", "app version=1.0.0+linux load_state=pending\n"),
            ("lib", "refused already_loaded\nplugin lib\n"),
            ("web", "refused host_too_old\nplugin web\n"),
        ] {
            world.golden(&format!("plan {source} {args}"), 0, out, "");
        }
    }
    let before = "plugin app\nunit 0x00\nversion 1.0.0+linux\nbucket none\nshare_bps none\nheight 10\n";
    world.golden("route plugins.json app 0x00 --at 10", 0, before, "");
    world.golden(
        "route plugins.json app 0x00 --format json",
        0,
        "{\"type\":\"route\",\"plugin\":\"app\",\"unit\":\"0x00\",\"version\":\"2.0.0\",\"bucket\":698,\"share_bps\":5000,\"height\":20}\n",
        "",
    );
    let both = "lib version=1.2.0 load_state=loading\napp version=1.0.0+linux load_state=pending\n";
    world.golden("plan plugins.json app --at 10", 0, both, "");
    world.golden(
        "plan plugins.json web --format json",
        0,
        "{\"type\":\"refused\",\"refused\":\"host_too_old\",\"plugin\":\"web\"}\n",
        "",
    );

    world.fails("route plugins.json nobody 0x00", 2, "plugins.json: there is no plugin nobody");
    world.fails("route plugins.json app 0x0", 2, "Odd number of digits");
    world.fails("route plugins.json app 0xzz", 2, "Invalid character 'z' at position 0");
    world.fails("route plugins.json _bad 0x00", 2, "a name is 1 to 64");
    world.fails("route plugins.json app", 2, "<UNIT>");
    world.fails("plan plugins.json _bad", 2, "a name is 1 to 64");
    world.fails("route missing.json app 0x00", 2, "missing.json: cannot be read");
    world.fails("plan missing.json app", 2, "missing.json: cannot be read");
    world.fails("route plugins.dump app 0x00 --at 11", 2, "plugins.dump: route as of height 11 is not known");
    world.fails("plan plugins.dump app --at 11", 2, "plugins.dump: plan as of height 11 is not known");
}

#[test]
fn every_expectation_on_plugins_that_fails_is_reported() {
    let world = World::new();
    let expect = r#"{"plugins":{"app":{"current":"1.0.0+mac","previous":"0.9.0","status":"none","canary":null,"paused":true,"waiting":true,
        "share_bps":0,"stage":1,"load_state":"loaded","versions":{"1.0.0":"canary","2.0.0":null,"3.0.0":"failed","4.0.0":null}},"nobody":{}},
        "routes":[{"plugin":"app","unit":"0x00","version":"1.0.0"},{"plugin":"app","unit":"0x01","version":null},{"plugin":"nobody","unit":"0x","version":"1.0.0"}]}"#;
    let document: serde_json::Value = serde_json::from_str(PLUGINS).unwrap();
    let [genesis, blocks] = ["genesis", "blocks"].map(|key| document[key].clone());
    let lines: Vec<String> = [
        serde_json::json!({ "format": "coalmine-blocks/1", "genesis": genesis }),
        blocks[0].clone(),
        serde_json::json!({ "height": 11, "txs": blocks[1]["txs"] }),
        serde_json::json!({ "height": 12, "expect": serde_json::from_str::<serde_json::Value>(expect).unwrap() }),
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    world.write("wrong.jsonl", lines.join("\n"));
    let (_, err) = world.check("run wrong.jsonl", 1);
    let mut found: Vec<&str> = err.lines().filter_map(|line| line.strip_prefix("wrong.jsonl:4: block 12: ")).collect();
    let mut expected = [
        "plugins.app.previous: expected 0.9.0, got none",
        "plugins.app.status: expected none, got active",
        "plugins.app.canary: expected none, got 2.0.0",
        "plugins.app.paused: expected true, got false",
        "plugins.app.waiting: expected true, got false",
        "plugins.app.share_bps: expected 0, got 5000",
        "plugins.app.stage: expected 1, got 0",
        "plugins.app.load_state: expected loaded, got unloaded",
        "plugins.app.versions.1.0.0: expected canary, got active",
        "plugins.app.versions.2.0.0: expected not registered, got canary",
        "plugins.app.versions.3.0.0: expected failed, got not registered",
        "plugins.nobody: expected a plugin, got none",
        "routes.app.0x00: expected 1.0.0, got 2.0.0",
        "routes.app.0x01: expected null, got 1.0.0",
        "routes.nobody.0x: expected 1.0.0, got null",
    ];
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(err.contains("15 expectations failed"), "{err}");
}

#[test]
fn records_of_plugins_are_compared_and_proven() {
    let world = World::new();
    world.write("other.json", PLUGINS.replace("\"errors\": 5", "\"errors\": 6"));
    let (out, _) = world.check("diff plugins.json other.json", 1);
    let lines: Vec<&str> = out.lines().map(|line| line.split(" strategy=").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "- deadline 91 app",
            "~ plugin_version app 2.0.0 status: canary -> failed, errors: 5 -> 6",
            "- deployment app",
            "+ plugin_change app 11 2 action=rolled_back version=2.0.0 success=false share_bps=5000 duration=0 \
             reason=error_rate actor=automatic requests=100 errors=6 production_requests=0 production_errors=0 \
             threshold=500",
        ]
    );
    let (out, _) = world.check("bisect plugins.json other.json", 1);
    assert!(out.starts_with("height 11\ndiffer blocks,events,root\ntransaction 2\n"), "{out}");

    let root = world.root("plugins.json");
    for (name, proves) in
        [("app", "key d9617070\nis_present true\n"), ("nobody", "key d96e6f626f6479\nis_present false\nvalue none\n")]
    {
        world.golden(&format!("prove plugins.json plugin {name} -o proof.json"), 0, "", "");
        let (out, _) = world.check(&format!("verify-proof proof.json --root {root}"), 0);
        assert!(out.starts_with(&format!("root {root}\nproves plugin\nname {name}\n{proves}")), "{name}\n{out}");
    }
    let bundle: serde_json::Value = serde_json::from_str(&world.read("proof.json")).unwrap();
    for (key, value) in
        [("plugin", "app"), ("feature", "nobody"), ("user", USER), ("chain", "example-1"), ("kind", "feature")]
    {
        let mut changed = bundle.clone();
        changed[key] = serde_json::json!(value);
        world.write("changed.json", changed.to_string());
        world.check(&format!("verify-proof changed.json --root {root}"), 1);
    }
    for (key, proves) in [
        (
            "d9617070",
            "is_present true\nvalue 0b312e302e302b6c696e7578000000000002000000010000\nof.record plugin\nof.plugin app\n",
        ),
        ("d96e6f626f6479", "is_present false\nvalue none\nof.record plugin\nof.plugin nobody\nrecord none\n"),
        ("db617070", "of.record deployment\nof.plugin app\nrecord.strategy custom\n"),
        ("da03617070322e302e30", "of.record plugin_version\nof.plugin app\nof.version 2.0.0\nrecord.version 2.0.0\n"),
        ("dd006c6962", "value \"\"\nof.record dependent\nof.dependency host\nof.plugin lib\n"),
        ("d9", "is_present false\nvalue none\nof.record registry\nrecord none\n"),
    ] {
        world.golden(&format!("prove plugins.json key {key} -o proof.json"), 0, "", "");
        let (out, _) = world.check(&format!("verify-proof proof.json --root {root}"), 0);
        assert!(out.contains(&format!("key {key}\n")) && out.contains(proves), "{key}\n{out}");
    }
}
