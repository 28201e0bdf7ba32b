//! What pages answer, without a browser.

use std::fs;
use std::path::Path;

use crate::world::{Answer, World};

const USER: &str = "0x000000000000000000000000000000000000000a";

#[test]
fn pages_say_what_is_so() {
    let world = World::lived();
    let check = format!("/check?feature=dark_theme&user={USER}");
    let check_missing = format!("/check?feature=dark_them&user={USER}");
    let check_long = format!("/check?feature=dark_theme&user={}", "k".repeat(257));
    let check_root = format!("/check?feature=dark_theme&user={USER}&root=12");
    // The address, the status, and what the page has.
    for (path, status, words) in [
        (
            "/",
            200,
            vec![
                "new_checkout",
                "rolled back",
                "rolling out",
                "canary",
                "enabled",
                "at most 1\u{a0}%: too much",
                "What is due next",
                "35\u{a0}% to 1.1.0",
            ],
        ),
        ("/?features_after=dark_theme", 200, vec!["search_v3", "waits for start_canary or enable"]),
        ("/?features_after=%3Cb%3E", 400, vec!["features_after cannot be used: &#34;&#60;b&#62;&#34; is no name"]),
        (
            "/features/new_checkout",
            200,
            vec![
                "is rolled back since height",
                "&#60;script&#62;alert(1)&#60;/script&#62; &#38; &#34;quotes&#34;",
                "rule error_rate: 6 errors and 500 successes in the trial",
                "above max_error_rate 100 per 10 000",
                "Timeline",
                "Users with a switch of their own",
                "<code>0x000000000000000000000000000000000000000c</code>",
                "Is it on for",
            ],
        ),
        ("/features/beta.profile:2?blocks=100", 200, vec!["start_rollout after 100 more successes", ">100</a>"]),
        ("/features/fast_feed?blocks=0", 400, vec!["it is a number from 1 to 100000, not &#34;0&#34;"]),
        ("/features/fast_feed?before=7", 400, vec!["it is the height and the number of an entry, as 120-0"]),
        ("/features/fast_feed?before=3-0#history", 200, vec!["Created by", "Latest"]),
        (
            "/features/new_chekout",
            404,
            vec!["There is no feature", "Did you mean new_checkout?", "/features/new_checkout"],
        ),
        ("/features/%ff", 404, vec!["There is no feature"]),
        ("/features/%3Cscript%3E", 404, vec!["There is no feature &#34;&#60;script&#62;&#34;"]),
        (
            "/plugins/ranking",
            200,
            vec![
                "New: 1.1.0",
                "In production: 1.0.0",
                "Mean latency",
                "<td>19</td><td>23</td>",
                "Its plan",
                "aria-current=\"step\"",
                "deploying",
            ],
        ),
        (
            "/plugins/mailer",
            200,
            vec!["2.1.0 rolled back", "13 errors in 160 requests of the new version, above error_threshold"],
        ),
        ("/plugins/cache", 200, vec!["serving", "0.3.0"]),
        ("/plugins/cash", 404, vec!["There is no plugin", "Did you mean cache?"]),
        ("/schedule", 200, vec!["Block 60, in", "enable name=search_v3", "disable name=dark_theme"]),
        ("/schedule?after=x", 400, vec!["it is the id of an entry"]),
        ("/calendar", 200, vec!["fast_feed grows from", "Entry 1 of the schedule succeeds"]),
        ("/calendar?blocks=1", 200, vec!["Nothing happens up to block"]),
        ("/calendar?blocks=1000001", 400, vec!["it is a number from 1 to 1000000"]),
        ("/check", 200, vec!["Is it on for"]),
        (&check, 200, vec!["is enabled for everybody", "It was not verified in your browser"]),
        (
            &check_missing,
            200,
            vec!["There is no feature &#34;dark_them&#34;. Did you mean dark_theme?", "aria-invalid"],
        ),
        ("/check?feature=dark_theme&user=0x12", 200, vec!["&#34;0x12&#34; is no address"]),
        (&check_long, 200, vec!["A targeting key has at most 256 bytes"]),
        (
            "/check?feature=dark_theme&user=user-1",
            200,
            vec!["The targeting key <code>user-1</code> stands for", "0x0294d5d149d122959aad093f8f9206149014bcf4"],
        ),
        ("/check?feature=dark_theme", 200, vec!["Say for whom"]),
        (&check_root, 200, vec!["is no root"]),
        (
            "/check?feature=%3Cscript%3Ealert(1)%3C/script%3E&user=%22%3E%3Cimg%3E",
            200,
            vec!["&#60;script&#62;", "&#34;&#62;&#60;img&#62;"],
        ),
    ] {
        let answer = world.get(path);
        assert_eq!(answer.status, status, "{path}");
        for words in words {
            has(path, &answer.body, words);
        }
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        is_protected(path, &answer);
        // One script, from the node, and nothing that the policy forbids.
        assert_eq!(answer.body.matches("<script").count(), 1, "{path}");
        for forbidden in [" style=", "<style", " onclick", "javascript:", "<img", "http://www.w3.org/1999/xlink"] {
            assert!(!answer.body.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

/// A page that has not what it should is left in the output folder: it is too long for a message.
fn has(path: &str, body: &str, words: &str) {
    if !body.contains(words) {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.html");
        fs::write(&file, body).unwrap();
        panic!("{path} has no {words:?}: see {}", file.display());
    }
}

fn is_protected(path: &str, answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe-inline"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
}

#[test]
fn pages_only_read() {
    let world = World::lived();
    let root = world.node.tip().root;
    for path in
        ["/", "/features/new_checkout", "/plugins/ranking", "/schedule", "/calendar", "/check", "/assets/icon.svg"]
    {
        assert_eq!(world.post(path), 405, "{path}");
    }
    assert_eq!((world.node.pending(), world.node.tip().root), (0, root));
}

#[test]
fn files_are_kept_by_browsers_as_long_as_they_are_these() {
    let world = World::new();
    let page = world.get("/").body;
    let version = page.split("/assets/dashboard.css?").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(version.len(), 16);
    for (name, media_type) in [
        ("dashboard.css", "text/css; charset=utf-8"),
        ("dashboard.js", "text/javascript; charset=utf-8"),
        ("proof.wasm", "application/wasm"),
        ("icon.svg", "image/svg+xml"),
    ] {
        for (query, cache) in
            [(version, "public, max-age=31536000, immutable"), ("0123456789abcdef", "no-cache"), ("", "no-cache")]
        {
            let answer = world.get(&format!("/assets/{name}?{query}"));
            assert_eq!((answer.status, answer.header("content-type")), (200, media_type), "{name}");
            assert_eq!(answer.header("cache-control"), cache, "{name}?{query}");
            is_protected(name, &answer);
        }
    }
    assert!(
        world.get("/assets/dashboard.css").body.contains(".coalmine .s{"),
        "pictures have their colours from there"
    );
    for path in ["/assets/other.js", "/assets/..%2fsrc%2flib.rs", "/assets/"] {
        assert_eq!(world.get(path).status, 404, "{path}");
    }
}

#[test]
fn before_anything_has_happened_there_are_pages() {
    let world = World::new();
    for (path, words) in [
        ("/", "Nothing is being rolled out"),
        ("/schedule", "Nothing is scheduled"),
        ("/calendar", "Nothing happens up to block"),
        ("/check", "Is it on for"),
    ] {
        let answer = world.get(path);
        assert_eq!(answer.status, 200, "{path}");
        has(path, &answer.body, words);
    }
}

#[test]
fn an_open_breaker_is_on_every_page() {
    let mut world = World::lived();
    world.send(r#"{"op":"trip_breaker","reason":"manual","drain":true}"#);
    for path in ["/", "/features/dark_theme", "/plugins/cache", "/schedule", "/calendar", "/check"] {
        let body = world.get(path).body;
        has(path, &body, "The circuit breaker is open since block");
        has(path, &body, "until it is reset");
    }
}

#[test]
fn lists_and_histories_have_pages() {
    let mut world = World::new();
    let names: Vec<String> = (0..120).map(|number| format!("f{number:03}")).collect();
    let create: Vec<String> =
        names.iter().map(|name| format!(r#"{{"op":"create_feature","name":"{name}","description":""}}"#)).collect();
    for some in create.chunks(60) {
        world.send(&some.join("\n"));
    }
    let rows = |path: &str| {
        let body = world.get(path).body;
        names.iter().filter(|name| body.contains(&format!("id=\"feature-{name}\""))).cloned().collect::<Vec<_>>()
    };
    assert_eq!(rows("/"), names[..100]);
    assert_eq!(rows("/?features_after=f099"), names[100..]);
    assert!(world.get("/").body.contains("/?features_after=f099#features-title"));
    assert!(world.get("/?features_after=f119").body.contains("There are no more."));

    for _ in 0..30 {
        world.send(r#"{"op":"enable","name":"f000"}"#);
        world.send(r#"{"op":"disable","name":"f000"}"#);
    }
    let mut path = "/features/f000".to_owned();
    let mut seen = 0;
    let mut pages = 0;
    loop {
        let body = world.get(&path).body;
        let history = body.split("id=\"history\"").nth(1).unwrap();
        seen += history.matches("<li>").count();
        pages += 1;
        let Some(older) = history.split(">Older<").next().and_then(|before| before.rsplit("href=\"").next()) else {
            break;
        };
        if !history.contains(">Older<") {
            break;
        }
        path = older.split(['"', '#']).next().unwrap().to_owned();
    }
    assert_eq!((seen, pages), (61, 3), "each entry is on one page");
}
