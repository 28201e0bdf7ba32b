//! Memory comes back: of instances, of traps, of versions that go.

use coalmine_host::{Limits, Runtime};

use crate::common::{World, name, outcome};
use crate::plugins::{runtime, tester};

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Fresh instances, and traps after these.
fn size() -> (u32, u32) {
    let instances = std::env::var("COALMINE_SOAK").map_or(6_000, |text| text.parse().unwrap());
    (instances, instances / 3)
}

/// Does something so often, and says by how many KiB memory grows in the second half.
fn growth(times: u32, mut once: impl FnMut(u32)) -> u64 {
    (0..times / 2).for_each(&mut once);
    let half = resident();
    (times / 2..times).for_each(&mut once);
    resident().saturating_sub(half)
}

/// What may come on top by chance: of the allocator, of other tests in this process.
const CHANCE: u64 = 12 << 10;

#[test]
fn instances_and_traps_leave_nothing_behind() {
    let (instances, traps) = size();
    let limits = Limits { reuse: 1, traps: u32::MAX, fuel: 2_000_000, ..Limits::default() };
    let mut world = World::new(runtime(), limits);
    world.register("p", "1.0.0", &tester(), "");
    world.load("p");
    world.block("");
    let grown = growth(instances, |_| assert_eq!(outcome(&world.handle("p", "echo x")), "x"));
    assert!(grown < CHANCE, "{grown} KiB in {instances} instances");
    let requests = [("panic", "trap"), ("allocate 20000000", "out of memory"), ("recurse", "stack overflow")];
    let grown = growth(traps, |number| {
        let (request, expected) = requests[usize::try_from(number).unwrap() % requests.len()];
        assert_eq!(outcome(&world.handle("p", request)), expected);
    });
    assert!(grown < CHANCE, "{grown} KiB in {traps} traps");
}

/// Versions come and go, and their code and instances with them.
#[test]
fn versions_that_go_leave_nothing_behind() {
    let runtime: std::sync::Arc<dyn Runtime> = runtime();
    let mut world = World::new(runtime, Limits::default());
    world.register("p", "1.0.0", &tester(), "");
    world.load("p");
    let times = if size().0 > 10_000 { 200 } else { 10 };
    let grown = growth(times, |number| {
        let version = format!("1.{}.0", number + 1);
        // A section that engines do not look at makes it another code, which is compiled anew.
        let code =
            [tester(), vec![0, 5, 1, b'x'], u16::try_from(number + 1_000).unwrap().to_be_bytes().to_vec(), vec![0]]
                .concat();
        world.register("p", &version, &code, "");
        world.block(&format!(r#"{{"op":"deploy","plugin":"p","version":"{version}","strategy":"rolling"}}"#));
        assert!(world.node.host.status().iter().any(|slot| slot.version.as_str() == version), "{version}");
        world.block(r#"{"op":"promote","plugin":"p"}"#);
        assert!(world.handle("p", "echo").outcome.is_ok());
        assert_eq!(world.handle("p", "echo").version.unwrap().as_str(), version);
        world.block("");
        world.block("");
        assert!(world.node.host.status().len() <= 3);
    });
    assert!(grown < CHANCE, "{grown} KiB in {times} versions");
    // Code that no version names goes, too, after so many blocks.
    let stored = world.node.host.store().hashes().unwrap().len();
    assert!(world.node.host.collect(&world.ledger.state, 5).unwrap().is_empty());
    (0..5).for_each(|_| drop(world.block("")));
    let collected = world.node.host.collect(&world.ledger.state, 5).unwrap().len();
    let left = world.node.host.store().hashes().unwrap().len();
    assert_eq!((stored - collected, left), (left, 5), "as many as there are versions");
    assert_eq!(world.ledger.state.plugin_versions(&name("p")).count(), 5);
}
