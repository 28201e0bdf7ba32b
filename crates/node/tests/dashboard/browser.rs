//! The dashboard as people see and use it. The pictures are in the folder `dashboard` of the tests' output: look at them.

use serde_json::{Value, json};

use crate::driver::{Browser, DESK, Look};
use crate::world::World;

const USER: &str = "0x000000000000000000000000000000000000000a";
const PHONE: Look = Look { width: 360, ..DESK };
const DARK: Look = Look { is_dark: true, ..DESK };
const NO_SCRIPTS: Look = Look { has_scripts: false, ..DESK };

#[test]
fn pages_look_as_they_should() {
    let world = World::lived();
    let Some(mut browser) = Browser::start(&world.base) else { return };
    let check = format!("/check?feature=fast_feed&user={USER}");
    for (name, path) in [
        ("overview", "/"),
        ("feature", "/features/new_checkout"),
        ("plugin", "/plugins/ranking"),
        ("plugin-rolled-back", "/plugins/mailer"),
        ("schedule", "/schedule"),
        ("calendar", "/calendar"),
        ("check", check.as_str()),
        ("missing", "/features/new_chekout"),
    ] {
        for (suffix, look) in
            [("", DESK), ("-dark", DARK), ("-360", PHONE), ("-360-dark", Look { is_dark: true, ..PHONE })]
        {
            let name = format!("{name}{suffix}");
            browser.open(path, look);
            if path == check {
                browser.wait("document.getElementById('verified').className !== 'notice'");
            }
            browser.shoot(&name);
            let wide = browser.eval("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= u64::from(look.width), "{name} is {wide} pixels wide");
            let (ground, dark) = (browser.eval("getComputedStyle(document.body).backgroundColor"), look.is_dark);
            assert_eq!(ground, if dark { "rgb(18, 22, 27)" } else { "rgb(255, 255, 255)" }, "{name}");
            let serious: Vec<(String, String)> = browser.findings();
            let serious: Vec<_> = serious.iter().filter(|(impact, _)| impact != "minor").collect();
            assert!(serious.is_empty(), "{name}: {serious:#?}");
            let mut complaints = browser.complaints();
            // The browser itself says that a page was not found.
            complaints.retain(|said| !(path.ends_with("chekout") && said.contains("404")));
            assert_eq!(complaints, Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn a_picture_has_its_colours_under_the_policy() {
    let world = World::lived();
    let Some(mut browser) = Browser::start(&world.base) else { return };
    for (look, stroke) in [(DESK, "rgb(0, 114, 178)"), (DARK, "rgb(88, 180, 240)")] {
        browser.open("/features/new_checkout", look);
        let drawn = browser.eval("getComputedStyle(document.querySelector('.wide .coalmine .s')).stroke");
        assert_eq!(drawn, stroke);
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
    // What comes from elsewhere, or stands inside of the page, is forbidden.
    for (code, directive) in [
        (
            "const s = document.createElement('script'); s.textContent = 'window.evil = 1'; document.body.append(s)",
            "script-src",
        ),
        ("document.body.setAttribute('style', 'color: red')", "style-src"),
        ("const i = new Image(); i.src = 'http://127.0.0.2:1/x.png'", "img-src"),
        ("fetch('http://127.0.0.2:1/').catch(() => 0)", "connect-src"),
        ("setTimeout('window.evil = 1')", "script-src"),
    ] {
        browser.open("/", DESK);
        browser.eval(&format!("{{ {code} }} 0"));
        browser.wait("window.forbidden.length > 0");
        let said = browser.complaints().join("\n");
        assert!(said.contains(directive), "{code}: {said}");
        assert_eq!(browser.eval("window.evil ?? null"), Value::Null, "{code}");
    }
}

#[test]
fn everything_can_be_read_without_scripts() {
    let world = World::lived();
    let Some(mut browser) = Browser::start(&world.base) else { return };
    browser.open("/", NO_SCRIPTS);
    browser.shoot("overview-without-scripts");
    browser.follow("#feature-fast_feed a");
    browser.eval(&format!("document.getElementById('user').value = '{USER}'"));
    browser.follow("form.check button");
    browser.shoot("check-without-scripts");
    let text = browser.eval("document.getElementById('answer').innerText").to_string();
    assert!(text.contains("fast_feed is") && text.contains("It was not verified in your browser"), "{text}");
    assert_eq!(browser.eval("document.getElementById('live').textContent"), "");
}

#[test]
fn the_keyboard_is_enough() {
    let world = World::lived();
    let Some(mut browser) = Browser::start(&world.base) else { return };
    browser.open("/", DESK);
    browser.press("Tab");
    assert_eq!(browser.eval("document.activeElement.textContent"), "Skip to the content");
    browser.shoot("keyboard");
    browser.press("Enter");
    assert_eq!(browser.eval("document.activeElement.id"), "main");
    browser.press("Tab");
    let first = browser.eval("document.activeElement.textContent");
    assert_eq!(first, "beta.profile:2");
    let outline = browser.eval("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "where the focus is can be seen");
}

#[test]
fn a_story_plays_without_a_reload() {
    let mut world = World::new();
    world.send(r#"{"op":"create_feature","name":"live","description":"","increment_percent":45,"increment_blocks":3}"#);
    let Some(mut browser) = Browser::start(&world.base) else { return };
    browser.open("/", DESK);
    browser.wait("document.getElementById('live').textContent === 'live'");
    browser.eval("window.mark = 'the same page'; 0");
    // What happens in a block, and what the row then says.
    let row = "(document.getElementById('feature-live')?.innerText ?? '')";
    for (commands, words) in [
        (
            r#"{"op":"start_canary","name":"live","percent":10}"#,
            vec!["canary", "10\u{a0}% of users", "100 more successes"],
        ),
        (r#"{"op":"record_success","name":"live","count":200}"#, vec!["0\u{a0}%", "0 of 200, at most 1\u{a0}%"]),
        (r#"{"op":"start_rollout","name":"live","target_percent":100}"#, vec!["rolling out", "55\u{a0}% at block"]),
        ("", vec!["55\u{a0}% of users"]),
        (r#"{"op":"record_error","name":"live"}"#, vec!["0.49\u{a0}%", "1 of 201"]),
    ] {
        if commands.is_empty() {
            world.pass(3)
        } else {
            world.send(commands)
        }
        for words in words {
            browser.wait(&format!("{row}.includes({})", json!(words)));
        }
    }
    browser.shoot("live-rolling-out");
    // Focus, scroll place and what was typed stay where they are.
    browser.eval(
        "document.querySelector('#feature-live a').focus(); scrollTo(0, 40); window.node = document.activeElement; 0",
    );
    let before = browser.eval("scrollY");
    world.send(r#"{"op":"record_error","name":"live"} {"op":"record_error","name":"live"}"#);
    browser.wait(&format!("{row}.includes('rolled back')"));
    browser.wait(&format!("{row}.includes('1.47\u{a0}%')"));
    assert_eq!(browser.eval("document.activeElement === window.node && document.activeElement.textContent"), "live");
    assert_eq!(browser.eval("scrollY"), before);
    browser.shoot("live-rolled-back");
    assert_eq!(browser.eval("window.mark"), "the same page");

    browser.open("/features/live", DESK);
    browser.wait("document.getElementById('live').textContent === 'live'");
    browser.eval("window.mark = 1; document.getElementById('user').value = 'half'; 0");
    world.send(r#"{"op":"start_canary","name":"live","percent":25}"#);
    browser.wait("document.querySelector('.title .badge').textContent === 'canary'");
    browser.wait("document.querySelector('.wide svg desc').textContent.includes('25')");
    assert_eq!(browser.eval("[window.mark, document.getElementById('user').value]"), json!([1, "half"]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    // When the node goes, the page says so and keeps what it has.
    world.node.begin_stop();
    browser.wait("document.getElementById('live').textContent === 'connecting again'");
    assert_eq!(browser.eval("document.querySelector('.title .badge').textContent"), "canary");
    browser.shoot("live-without-the-node");
}

#[test]
fn an_answer_is_verified_in_the_browser_and_a_false_one_refused() {
    let world = World::lived();
    let Some(mut browser) = Browser::start(&world.base) else { return };
    let root = world.node.tip().root.to_string();
    let other = format!("{:0>64}", 1);
    let done = "document.getElementById('verified').className !== 'notice'";
    // The feature, the user, the root that is trusted, and what the page says.
    for (feature, user, trusted, style, verdict, words) in [
        ("dark_theme", USER, "", "notice good", "on", "hash to the root that this node names for that block"),
        ("dark_theme", USER, root.as_str(), "notice good", "on", "hash to the root that you gave"),
        ("fast_feed", "carol@example.com", "", "notice good", "off", "off, decided by fast_feed: bucket"),
        ("search_v3", "user-1", "", "notice good", "off", "off, decided by search_v3: it is disabled"),
        (
            "dark_theme",
            USER,
            other.as_str(),
            "notice bad",
            "on",
            "Refused: the proof does not hold (the bundle does not prove it",
        ),
    ] {
        browser.open(&format!("/check?feature={feature}&user={user}&root={trusted}"), DESK);
        browser.wait(done);
        let text = browser.eval("document.getElementById('verified').innerText");
        let text = text.as_str().unwrap();
        assert!(text.contains(words), "{text}");
        assert_eq!(browser.eval("document.getElementById('verified').className"), style, "{text}");
        assert_eq!(browser.eval("document.getElementById('verdict').textContent"), verdict);
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
    browser.shoot("check-refused");
    // A node that lies about one byte of a record.
    browser.tamper("/v1/proof/is-enabled", "\"value\":\"", "\"value\":\"ff");
    browser.open(&format!("/check?feature=dark_theme&user={USER}"), DESK);
    browser.wait(done);
    let text = browser.eval("document.getElementById('verified').innerText");
    assert!(text.as_str().unwrap().contains("it shows another value than the one beside it"), "{text}");
    assert_eq!(browser.eval("document.getElementById('verified').className"), "notice bad");
    browser.shoot("check-tampered");
}
