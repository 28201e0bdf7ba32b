//! A plugin that does what the tests of the host tell it, good or bad. A request is a verb, a space and the rest.

use std::cell::Cell;
use std::hint::black_box;

use coalmine_plugin::host::{self, Level};
use coalmine_plugin::{Failure, Plugin, export};

struct Tester {
    config: Vec<u8>,
    /// How many requests this instance has served: what a plugin must not rely on.
    served: Cell<u32>,
    kept: Cell<Vec<u8>>,
}

/// The words of a request or config: a verb, and what is behind the first space.
fn words(bytes: &[u8]) -> (&str, &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    (str::from_utf8(&bytes[..at]).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default())
}

fn number(bytes: &[u8]) -> usize {
    str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).expect("a number")
}

#[allow(unconditional_recursion, reason = "it is asked to")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + frame[0]
}

/// Calls a function with so many frames of its own on the stack.
fn dive(frames: usize, bottom: &dyn Fn() -> Result<Vec<u8>, Failure>) -> Result<Vec<u8>, Failure> {
    if frames == 0 {
        return bottom();
    }
    let result = dive(frames - 1, bottom);
    black_box(frames);
    result
}

impl Plugin for Tester {
    fn setup(config: Vec<u8>) -> Result<Self, String> {
        match words(&config) {
            ("fail", rest) => return Err(String::from_utf8_lossy(rest).into_owned()),
            ("panic", _) => panic!("as the config says"),
            ("loop", _) => loop {
                black_box(0);
            },
            _ => {}
        }
        Ok(Self { config, served: Cell::new(0), kept: Cell::default() })
    }

    fn check(&self) -> Result<(), String> {
        match words(&self.config) {
            ("ill", rest) => Err(String::from_utf8_lossy(rest).into_owned()),
            ("ill-panic", _) => panic!("in check"),
            _ => Ok(()),
        }
    }

    fn handle(&self, request: Vec<u8>) -> Result<Vec<u8>, Failure> {
        self.served.set(self.served.get() + 1);
        let (verb, rest) = words(&request);
        match verb {
            "echo" => Ok(rest.to_vec()),
            "config" => Ok(self.config.clone()),
            "served" => Ok(self.served.get().to_string().into_bytes()),
            "height" => Ok(host::height().to_string().into_bytes()),
            "unit" => Ok(host::unit()),
            "get" => host::get(rest).ok_or_else(|| Failure::Refused("there is nothing".into())),
            "log" => {
                host::log(Level::Info, &String::from_utf8_lossy(rest));
                Ok(Vec::new())
            }
            "call" => {
                let (plugin, request) = words(rest);
                host::call(plugin, request)
            }
            // Answers whatever becomes of the call.
            "try" => {
                let (plugin, request) = words(rest);
                match host::call(plugin, request) {
                    Ok(answer) => Ok(answer),
                    Err(Failure::Refused(message)) => Ok(format!("refused: {message}").into_bytes()),
                    Err(Failure::Failed(message)) => Ok(format!("failed: {message}").into_bytes()),
                }
            }
            // Goes down so many frames, and asks the first of some plugins to do the same and ask the next one.
            "dive" => {
                let (frames, path) = words(rest);
                let (next, path) = words(path);
                let request = [b"dive ", frames.as_bytes(), b" ", path].concat();
                dive(number(frames.as_bytes()), &|| match next {
                    "" => Ok(b"bottom".to_vec()),
                    next => host::call(next, &request),
                })
            }
            "refuse" => Err(Failure::Refused(String::from_utf8_lossy(rest).into_owned())),
            "fail" => Err(Failure::Failed(String::from_utf8_lossy(rest).into_owned())),
            "panic" => panic!("{}", String::from_utf8_lossy(rest)),
            "loop" => loop {
                black_box(0);
            },
            "work" => {
                let mut x = 88_172_645_463_325_252_u64;
                for _ in 0..number(rest) {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                }
                Ok(x.to_be_bytes().to_vec())
            }
            "recurse" => Ok(recurse(0).to_be_bytes().to_vec()),
            "allocate" => {
                let bytes = black_box(vec![1_u8; number(rest)]);
                Ok(bytes.len().to_string().into_bytes())
            }
            // More and more, until there is no more.
            "hoard" => {
                let mut kept = self.kept.take();
                loop {
                    kept.extend_from_slice(&[1; 65_536]);
                    black_box(&kept);
                }
            }
            "return" => Ok(vec![7; number(rest)]),
            "flood" => loop {
                host::log(Level::Info, str::from_utf8(rest).unwrap_or_default());
            },
            "nan" => Ok((black_box(0.0_f64) / black_box(0.0)).to_bits().to_be_bytes().to_vec()),
            other => Err(Failure::Refused(format!("there is no verb {other}"))),
        }
    }
}

export!(Tester);
