//! `plot`: pictures of stories, and what it refuses.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

/// Pictures that are kept: what each is of, and the arguments that make it.
const PICTURES: [(&str, &str); 6] = [
    ("vita-recovery-canary.svg", "vita-recovery-canary.json feature vita_recovery_v2"),
    ("rollback-window.svg", "rollback-window.json feature with_window"),
    ("full-rollout.svg", "full-rollout.json feature cross_chain_proofs --width 360 --theme dark"),
    ("plugin-canary.svg", "plugin-canary.json plugin api"),
    ("plugin-ab-test.svg", "plugin-ab-test.json plugin search --theme light"),
    ("plugin-thresholds.svg", "plugin-thresholds.json overview"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// To make them anew: `replay plot fixtures/scenarios/ARGUMENTS -o fixtures/pictures/NAME`, and look at what has changed.
#[test]
fn stories_give_the_pictures_that_are_kept() {
    let world = World::new();
    for (name, args) in PICTURES {
        let source = fixtures().join("scenarios");
        world.check(&format!("plot {}/{args} -o {name}", source.display()), 0);
        let kept = fs::read_to_string(fixtures().join("pictures").join(name)).unwrap();
        assert!(world.read(name) == kept, "{name} is another picture now: replay plot fixtures/scenarios/{args}");
        let document = roxmltree::Document::parse(&kept).unwrap();
        assert_eq!(document.root_element().attribute("role"), Some("img"));
    }
    let kept = fs::read_dir(fixtures().join("pictures")).unwrap().count();
    assert_eq!(kept, PICTURES.len(), "a picture that nothing makes");
}

#[test]
fn what_was_written_is_told() {
    let world = World::new();
    let (out, _) = world.check("plot canary.json feature base -o base.svg", 0);
    let bytes = world.read("base.svg").len();
    assert_eq!(
        out,
        format!(
            "file base.svg\nkind feature\nname base\nfrom 100\nto 130\nmarks 5\nrollbacks 0\n\
             now \"Rolling out: on for 55 % of users since block 121, next step at block 131, target 100 %; error rate 0 % (0 of 3), limit 1 %\"\nbytes {bytes}\n"
        )
    );
    let (out, _) = world.check("plot plugins.json overview -o all.html --format json", 0);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["type"], &told["kind"], &told["total"]), (&"plot".into(), &"overview".into(), &3.into()));
    let html = world.read("all.html");
    assert_eq!(told["bytes"], html.len());
    assert!(
        html.starts_with("<!doctype html>") && html.contains("<td>app</td>") && !html.contains("<script"),
        "{html}"
    );
    // On standard output there is the picture alone.
    let (out, _) = world.check("plot canary.json feature base -o -", 0);
    assert_eq!(out, world.read("base.svg"));
}

#[test]
fn a_dump_has_shares_but_no_rates() {
    let world = World::new();
    world.check("dump canary.json -o canary.dump", 0);
    world.check("plot canary.dump feature base -o base.svg", 0);
    let svg = world.read("base.svg");
    assert!(svg.contains("plot the block file") && !svg.contains("Error rate"), "{svg}");
    world.check("plot canary.dump feature base --at 110 -o past.svg", 0);
    assert!(world.read("past.svg").contains("on for 5\u{a0}% of users since block 101"));
    world.fails("plot canary.dump overview --at 110 -o all.svg", 2, "an overview as of height 110 is not known");
}

/// A row is a command that is refused, its exit code, and what it says.
#[test]
fn what_cannot_be_drawn_is_refused() {
    let world = World::new();
    world.write("empty.svg", "here before");
    symlink("/dev/full", world.path("full.svg")).unwrap();
    for (args, code, words) in [
        ("canary.json feature bass -o new.svg", 2, "canary.json: there is no feature bass; the nearest is base"),
        (
            "canary.json feature something_else -o new.svg",
            2,
            "canary.json: there is no feature something_else; there are base, top\n",
        ),
        ("canary.json plugin base -o new.svg", 2, "canary.json: there is no plugin base, and no other"),
        ("canary.json feature top --at 100 -o new.svg", 2, "there is no feature top"),
        ("plugins.json plugin ap -o new.svg", 2, "there is no plugin ap; the nearest is app"),
        ("canary.json feature base", 2, "name a file that ends with .svg or .html: -o FILE"),
        ("canary.json feature base -o new.png", 2, "new.png: name a file that ends with .svg or .html"),
        ("canary.json feature base --from 131 -o new.svg", 2, "canary.json: it ends at height 130, before --from 131"),
        ("canary.json feature base --from 9 --at 8 -o new.svg", 2, "--from 9 is above --at 8"),
        ("canary.json feature base --width 100 -o new.svg", 2, "100 is not in 320..=1600"),
        ("canary.json feature _bad -o new.svg", 2, "a name is 1 to 64"),
        ("nothing.json overview -o new.svg", 2, "nothing.json: cannot be read"),
        ("canary.json overview -o full.svg", 3, "full.svg: cannot be written: No space left"),
        (
            "canary.json overview -o none/new.svg",
            2,
            "none/new.svg: cannot be written: No such file or directory (os error 2)\n",
        ),
        ("canary.json feature nothing -o empty.svg", 2, "there is no feature nothing"),
    ] {
        world.fails(&format!("plot {args}"), code, words);
    }
    assert!(!world.path("new.svg").exists());
    assert_eq!(world.read("empty.svg"), "here before");
    fs::copy(world.path("canary.json"), world.path("source.svg")).unwrap();
    fs::hard_link(world.path("source.svg"), world.path("link.svg")).unwrap();
    world.fails("plot source.svg overview -o link.svg", 2, "this is an input as well");
    assert_eq!(world.read("source.svg"), CANARY);
}
