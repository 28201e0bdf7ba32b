//! The session of the README's section "Deciding": each command prints what stands below it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_session_of_the_readme_is_real() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split("\n## Deciding\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let tools = Path::new(env!("CARGO_BIN_EXE_replay")).parent().unwrap();
    let path =
        env::join_paths([tools.into()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap()))).unwrap();
    let mut commands = 0;
    for block in section.split("```console\n").skip(1) {
        let block = block.split("```\n").next().unwrap();
        for step in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, expected) = step.split_once('\n').unwrap_or((step, ""));
            let output =
                Command::new("sh").args(["-c", command]).env("PATH", &path).current_dir(&root).output().unwrap();
            let found = String::from_utf8(output.stdout).unwrap();
            assert_eq!(found.trim_end(), expected.trim_end(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
            commands += 1;
        }
    }
    assert_eq!(commands, 6);
}
