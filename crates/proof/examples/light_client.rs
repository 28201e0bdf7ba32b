//! A light client: a root that is trusted and a bundle from anybody give an answer.
//!
//! ```console
//! $ replay prove SOURCE is-enabled FEATURE USER -o bundle.json
//! $ cargo run -p coalmine-proof --example light_client -- ROOT bundle.json FEATURE USER
//! ```

use std::error::Error;

use coalmine_proof::Bundle;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, file, feature, user] = arguments.as_slice() else { return Err("give ROOT FILE FEATURE USER".into()) };
    let bundle = Bundle::from_json(&std::fs::read(file)?)?;
    let verdict = bundle.is_enabled(&root.parse()?, &feature.parse()?, &user.parse()?)?;
    println!("{feature} is {} for {user}", if verdict.on { "on" } else { "off" });
    Ok(())
}
