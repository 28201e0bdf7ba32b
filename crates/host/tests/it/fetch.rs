//! Mirrors that do as they should, and mirrors that do not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use coalmine_core::Hash;
use coalmine_host::code::{FetchLimits, Mirrors, Source, code_hash};

const CODE: &[u8] = b"some code";
const SIZE_MAX: u64 = 1 << 20;

/// A server on this machine, which lives as long as the test program.
struct Mirror {
    base: String,
    asked: Arc<AtomicUsize>,
}

impl Mirror {
    /// Answers each request by its path and number, from 0.
    fn new(answer: fn(&mut TcpStream, &str, usize)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, number) = (stream.unwrap(), counter.fetch_add(1, Ordering::SeqCst));
                thread::spawn(move || {
                    let path = request(&mut stream);
                    answer(&mut stream, &path, number);
                });
            }
        });
        Self { base, asked }
    }
}

/// Reads the head of a request, and returns its path.
fn request(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().split(' ').nth(1).unwrap_or_default().to_owned()
}

fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// Sends the head of an answer without its length, then bytes until nobody reads them any more or they are so many.
fn flood(stream: &mut TcpStream, many: u64) {
    let mut sent = 0;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    while sent < many {
        match stream.write(&[0; 65_536]) {
            Ok(count) => sent += u64::try_from(count).unwrap(),
            Err(_) => break,
        }
    }
}

fn limits() -> FetchLimits {
    let short = Duration::from_millis(400);
    FetchLimits { connect: short, total: short, rounds: 2, pause: Duration::from_millis(1) }
}

/// What a mirror does, what is said of it, and how often it is asked.
type Row = (&'static str, fn(&mut TcpStream, &str, usize), Result<(), &'static str>, usize);

const ROWS: [Row; 18] = [
    ("has it", |stream, _, _| say(stream, "200 OK", "", CODE), Ok(()), 1),
    (
        "has it at the second attempt",
        |stream, _, number| {
            if number == 0 { say(stream, "503 Busy", "", b"") } else { say(stream, "200 OK", "", CODE) }
        },
        Ok(()),
        2,
    ),
    ("lacks it", |stream, _, _| say(stream, "404 Not Found", "", b""), Err("it does not have it (status 404)"), 1),
    ("is ill", |stream, _, _| say(stream, "500 Oh", "", b""), Err("it does not have it (status 500)"), 2),
    ("lies", |stream, _, _| say(stream, "200 OK", "", b"some c0de"), Err("it sends bytes with the hash"), 1),
    ("sends nothing", |stream, _, _| say(stream, "200 OK", "", b""), Err("it sends bytes with the hash"), 1),
    ("hangs up", |_, _, _| {}, Err("http"), 2),
    ("hangs", |_, _, _| thread::sleep(Duration::from_secs(5)), Err("timeout"), 2),
    (
        "hangs in the middle",
        |stream, _, _| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome");
            thread::sleep(Duration::from_secs(5));
        },
        Err("timeout"),
        2,
    ),
    (
        "drips",
        |stream, _, _| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n");
            while stream.write_all(b".").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        },
        Err("timeout"),
        2,
    ),
    (
        "stops halfway",
        |stream, _, _| drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome")),
        Err("http"),
        2,
    ),
    ("sends 10 GB", |stream, _, _| flood(stream, 10 << 30), Err("it sends more than 1048576 bytes"), 1),
    (
        "announces 10 GB",
        |stream, _, _| drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n")),
        Err("it sends more than 1048576 bytes"),
        1,
    ),
    (
        "redirects to another host",
        |stream, path, _| say(stream, "302 Found", &format!("location: http://localhost:1{path}\r\n"), b""),
        Err("it redirects to another host (http://localhost:1/"),
        1,
    ),
    (
        "redirects to another host without naming the scheme",
        |stream, path, _| say(stream, "302 Found", &format!("location: //localhost{path}\r\n"), b""),
        Err("it redirects to another host (//localhost/"),
        1,
    ),
    (
        "redirects to a file of ours",
        |stream, _, _| say(stream, "302 Found", "location: file:///etc/passwd\r\n", b""),
        Err("it redirects to another host (file:///etc/passwd)"),
        1,
    ),
    (
        "redirects on the same host",
        |stream, path, _| match path.strip_prefix("/there") {
            None => say(stream, "301 Moved", &format!("location: /there{path}\r\n"), b""),
            Some(_) => say(stream, "200 OK", "", CODE),
        },
        Ok(()),
        2,
    ),
    (
        "redirects round and round",
        |stream, path, _| say(stream, "307 Round", &format!("location: {path}\r\n"), b""),
        Err("it redirects more than 3 times"),
        4,
    ),
];

fn fetch(bases: &[String], limits: FetchLimits, hash: &Hash) -> Result<(), String> {
    let mirrors = Mirrors::new(bases, limits).map_err(|(base, error)| format!("{base}: {error}"))?;
    mirrors.fetch(hash, SIZE_MAX).map(|code| assert_eq!(code, CODE))
}

#[test]
fn a_mirror_gives_the_code_or_wastes_little() {
    thread::scope(|scope| {
        for (what, answer, expected, asked) in ROWS {
            scope.spawn(move || {
                let mirror = Mirror::new(answer);
                let begin = Instant::now();
                let said = fetch(std::slice::from_ref(&mirror.base), limits(), &code_hash(CODE));
                match (&said, expected) {
                    (Ok(()), Ok(())) => {}
                    (Err(said), Err(part)) => assert!(said.contains(part), "{what}: {said}"),
                    _ => panic!("{what}: {said:?}"),
                }
                assert_eq!(mirror.asked.load(Ordering::SeqCst), asked, "{what}");
                assert!(begin.elapsed() < Duration::from_secs(3), "{what} took {:?}", begin.elapsed());
            });
        }
    });
}

#[test]
fn the_next_mirror_is_asked_and_all_are_named() {
    let liar = Mirror::new(|stream, _, _| say(stream, "200 OK", "", b"lies"));
    let empty = Mirror::new(|stream, _, _| say(stream, "404 Not Found", "", b""));
    let good = Mirror::new(|stream, _, _| say(stream, "200 OK", "", CODE));
    let dead = "http://127.0.0.1:1".to_owned();
    let bases = [liar.base.clone(), dead.clone(), empty.base.clone(), good.base.clone()];
    fetch(&bases, limits(), &code_hash(CODE)).unwrap();
    let said = fetch(&bases[..3], limits(), &code_hash(CODE)).unwrap_err();
    for base in &bases[..3] {
        assert!(said.contains(base.as_str()), "{said}");
    }
    // Only what may end better is tried again.
    assert_eq!((liar.asked.load(Ordering::SeqCst), empty.asked.load(Ordering::SeqCst)), (2, 2));
}

/// The path that a base asks for.
#[test]
fn the_hash_is_the_last_part_of_the_path() {
    let echo = |stream: &mut TcpStream, path: &str, _: usize| say(stream, "200 OK", "", path.as_bytes());
    let mirror = Mirror::new(echo);
    let hash = code_hash(CODE);
    for (base, path) in [
        ("", format!("/{hash}")),
        ("/", format!("/{hash}")),
        ("/code", format!("/code/{hash}")),
        ("/v2/team/api/blobs/sha256:", format!("/v2/team/api/blobs/sha256:{hash}")),
    ] {
        let said = fetch(&[format!("{}{base}", mirror.base)], limits(), &hash).unwrap_err();
        let expected = format!("it sends bytes with the hash {}", code_hash(path.as_bytes()));
        assert!(said.contains(&expected), "{base}: {said}");
    }
}

#[test]
fn what_is_no_mirror() {
    for base in [
        "",
        "plugins.example.org",
        "ftp://example.org",
        "file:///tmp",
        "http://",
        "http://user:secret@example.org",
        "http://example.org?token=1",
        "http://example.org#here",
        "/code",
    ] {
        let said = Mirrors::new(&[base], limits()).unwrap_err();
        assert_eq!(said.0, base);
        assert!(said.1.to_string().starts_with("a mirror is a URL like"), "{base}: {}", said.1);
    }
    let none = Mirrors::new::<&str>(&[], limits()).unwrap();
    assert_eq!(none.fetch(&code_hash(CODE), SIZE_MAX).unwrap_err(), "no mirror is configured");
}
