//! `prove` and `verify-proof`.

use super::*;

#[test]
fn proofs_hold_and_nothing_else_does() {
    let world = World::new();
    let root = world.root("canary.json");
    let nobody = format!("0x{}", "0".repeat(40));
    for (claim, proves) in [
        ("feature base".into(), "proves feature\nname base\nkey d062617365\nis_present true\n"),
        (
            "feature nothing".into(),
            "proves feature\nname nothing\nkey d06e6f7468696e67\nis_present false\nvalue none\n",
        ),
        ("key d4".into(), "proves key\nkey d4\nis_present true\n"),
        ("key d462".into(), "proves key\nkey d462\nis_present false\n"),
        // The index of active features has an empty value.
        ("key d862617365".into(), "proves key\nkey d862617365\nis_present true\nvalue \"\"\n"),
        (
            format!("is-enabled top {nobody}"),
            "on true\ndecided_by top\nis_prerequisite false\nwhy status\nstatus enabled\n",
        ),
        (format!("is-enabled top {USER}"), "why"),
        (format!("is-enabled nothing {USER}"), "on false\ndecided_by nothing\nis_prerequisite false\nwhy unknown\n"),
    ] {
        world.golden(&format!("prove canary.json {claim} -o proof.json"), 0, "", "");
        let (out, _) = world.check(&format!("verify-proof proof.json --root {root}"), 0);
        assert!(out.starts_with(&format!("root {root}\nproves ")) && out.contains(proves), "{claim}\n{out}");
        world.fails(&format!("verify-proof proof.json --root {}", "0".repeat(64)), 1, "it is about root");
    }

    // Whatever is changed in a bundle, it does not hold. The height alone is the prover's word.
    world.check(&format!("prove canary.json is-enabled top {USER} -o proof.json"), 0);
    let bundle: serde_json::Value = serde_json::from_str(&world.read("proof.json")).unwrap();
    let verify = |bundle: &serde_json::Value| {
        world.write("changed.json", bundle.to_string());
        world.run(&format!("verify-proof changed.json --root {root}")).status.code()
    };
    assert_eq!(verify(&bundle), Some(0));
    let count = bundle["proofs"].as_array().unwrap().len();
    assert_eq!(count, 7, "global, and three records of each of the two features");
    for key in bundle.as_object().unwrap().keys() {
        for value in [serde_json::json!(null), serde_json::json!("x"), serde_json::json!([])] {
            let mut changed = bundle.clone();
            changed[key] = value;
            let holds = key == "height" && changed[key].is_null();
            assert_eq!(verify(&changed), Some(if holds { 0 } else { 1 }), "{key}: {changed}");
        }
        let mut changed = bundle.clone();
        changed.as_object_mut().unwrap().remove(key);
        assert_eq!(verify(&changed), Some(1), "without {key}");
    }
    for index in 0..count {
        let mut changed = bundle.clone();
        let removed = changed["proofs"].as_array_mut().unwrap().remove(index);
        assert_eq!(verify(&changed), Some(1), "without proof {index}");
        changed["proofs"].as_array_mut().unwrap().extend([removed.clone(), removed]);
        assert_eq!(verify(&changed), Some(1), "with proof {index} twice");
        for (key, value) in [
            ("key", serde_json::json!("d0")),
            ("value", serde_json::json!("00")),
            ("proof", bundle["proofs"][(index + 1) % count]["proof"].clone()),
            ("more", serde_json::json!(1)),
        ] {
            let mut changed = bundle.clone();
            changed["proofs"][index][key] = value;
            assert_eq!(verify(&changed), Some(1), "{key} of proof {index}");
        }
    }
    for (key, value) in [("feature", "base"), ("user", &nobody), ("chain", "example-2"), ("kind", "feature")] {
        let mut changed = bundle.clone();
        changed[key] = serde_json::json!(value);
        assert_eq!(verify(&changed), Some(1), "{key}");
    }
    let mut changed = bundle.clone();
    changed["more"] = serde_json::json!(1);
    assert_eq!(verify(&changed), Some(1), "an unknown key");

    world.fails("verify-proof missing.json --root 00", 2, "a hash is 64");
    world.fails(&format!("verify-proof missing.json --root {root}"), 2, "cannot be read");
    world.fails("prove canary.json key xyz", 2, "invalid value");
}

#[test]
fn released_bundles_are_written_again() {
    let world = World::new();
    let fixtures = fs::canonicalize(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")).unwrap();
    let user = "0x000000000000000000000000000000000000000a";
    for (scenario, claim, file) in [
        ("overrides-and-prerequisites.json", "key d4", "key.json"),
        ("overrides-and-prerequisites.json", "key d462", "key-absent.json"),
        ("overrides-and-prerequisites.json", "feature wallet_v2", "feature.json"),
        ("overrides-and-prerequisites.json", "feature nothing", "feature-absent.json"),
        ("overrides-and-prerequisites.json", &format!("is-enabled checkout_v2 {user}"), "is-enabled.json"),
        ("overrides-and-prerequisites.json", &format!("is-enabled nothing {user}"), "is-enabled-absent.json"),
        ("plugin-auto-load.json", "plugin lib", "plugin.json"),
        ("plugin-auto-load.json", "plugin nothing", "plugin-absent.json"),
    ] {
        let released = fs::read_to_string(fixtures.join("proofs").join(file)).unwrap();
        let scenario = fixtures.join("scenarios").join(scenario);
        world.golden(&format!("prove {} {claim}", scenario.display()), 0, &released, "");
    }
}

#[test]
fn routes_are_proven() {
    let world = World::new();
    let root = world.root("plugins.json");
    for (plugin, unit, proves) in [
        ("app", "0x00", "unit 0x00\nversion 2.0.0\n"),
        ("app", "0x01", "unit 0x01\nversion 1.0.0+linux\n"),
        ("lib", "order-4711", "unit 0x6f726465722d34373131\nversion 1.2.0\n"),
        ("nobody", "0x00", "unit 0x00\nversion none\n"),
    ] {
        world.golden(&format!("prove plugins.json route {plugin} {unit} -o proof.json"), 0, "", "");
        let expected = format!("root {root}\nproves route\nchain example-1\nplugin {plugin}\n{proves}");
        world.golden(&format!("verify-proof proof.json --root {root}"), 0, &expected, "");
    }
    let bundle: serde_json::Value = serde_json::from_str(&world.read("proof.json")).unwrap();
    for (key, value) in [("plugin", "app"), ("unit", "0x00"), ("user", USER), ("chain", "other"), ("kind", "plugin")] {
        let mut changed = bundle.clone();
        changed[key] = serde_json::json!(value);
        world.write("changed.json", changed.to_string());
        world.check(&format!("verify-proof changed.json --root {root}"), 1);
    }
    world.fails("prove plugins.json route app 0xa", 2, "invalid value");
}
