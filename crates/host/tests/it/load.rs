//! Many calls at a time, and versions that trap and trap: with closures, so that it is known who does what when.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coalmine_host::native::{NativePlugin, NativeRuntime};
use coalmine_host::{CallError, ErrorKind, Failure, Host, Limits};

use crate::common::{World, name, outcome};

fn loaded(plugin: NativePlugin, limits: Limits) -> World {
    let mut runtime = NativeRuntime::default();
    runtime.add(b"code", plugin);
    let mut world = World::with(Arc::new(runtime), |options| {
        options.limits = limits;
        options.threads = 16;
        options.report_blocks = 1;
    });
    world.register("p", "1.0.0", b"code", "");
    world.load("p");
    world
}

/// A door that calls wait at.
#[derive(Default)]
struct Door(Mutex<bool>, Condvar);

impl Door {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let is_open = self.0.lock().unwrap();
        // A test that fails must not hang.
        drop(self.1.wait_timeout_while(is_open, Duration::from_secs(20), |is_open| !*is_open).unwrap());
    }
}

/// With so many in flight and so many waiting, one more is told that the version is busy; nobody is lost.
#[test]
fn a_version_takes_so_many_calls() {
    let door = Arc::new(Door::default());
    let inside = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let plugin = NativePlugin::new({
        let (door, inside, most) = (Arc::clone(&door), Arc::clone(&inside), Arc::clone(&most));
        move |_, _| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            door.pass();
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(b"done".to_vec())
        }
    });
    let world = loaded(plugin, Limits { in_flight: 3, queue: 4, ..Limits::default() });
    let host = &world.node.host;
    thread::scope(|scope| {
        let calls: Vec<_> = (0..7).map(|_| scope.spawn(|| host.handle(&name("p"), b"", b""))).collect();
        let begin = Instant::now();
        while host.status()[0].waiting < 4 || host.status()[0].running < 3 {
            assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", host.status());
            thread::yield_now();
        }
        for _ in 0..3 {
            assert_eq!(host.handle(&name("p"), b"", b"").outcome, Err(CallError::Busy(name("p"))));
        }
        door.open();
        for call in calls {
            assert_eq!(call.join().unwrap().outcome, Ok(b"done".to_vec()));
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 3);
    let status = &host.status()[0];
    assert_eq!((status.served.requests, status.served.errors, status.running, status.waiting), (7, 0, 0, 0));
}

/// A streak of traps: the version answers at once, still counted; one call is let through after a pause.
#[test]
fn a_streak_of_traps_is_cut_short() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicU32::new(0));
    let plugin = NativePlugin::new({
        let (is_ill, asked) = (Arc::clone(&is_ill), Arc::clone(&asked));
        move |_, request| {
            asked.fetch_add(1, Ordering::SeqCst);
            match request {
                b"refuse" => Err(Failure::Refused(String::new())),
                b"fail" => Err(Failure::Failed(String::new())),
                _ if is_ill.load(Ordering::SeqCst) => panic!("ill"),
                _ => Ok(b"well".to_vec()),
            }
        }
    });
    let pause = Duration::from_millis(300);
    let mut world = loaded(plugin, Limits { traps: 3, pause, ..Limits::default() });
    let ask = |world: &World, requests: &[&str]| -> Vec<String> {
        requests.iter().map(|request| outcome(&world.handle("p", request))).collect()
    };
    // Whatever is no trap ends a streak.
    assert_eq!(
        ask(&world, &["x", "x", "fail", "x", "x", "refuse"]),
        ["trap", "trap", "failed", "trap", "trap", "refused: "]
    );
    assert_eq!(ask(&world, &["x", "x", "x", "x", "refuse"]), ["trap", "trap", "trap", "quarantined", "quarantined"]);
    assert!(world.node.host.status()[0].is_quarantined);
    assert_eq!(asked.load(Ordering::SeqCst), 9);
    // One is let through after the pause; it traps, so the pause begins anew, and is longer.
    thread::sleep(pause);
    assert_eq!(ask(&world, &["x", "x"]), ["trap", "quarantined"]);
    thread::sleep(pause);
    assert_eq!(ask(&world, &["x"]), ["quarantined"]);
    is_ill.store(false, Ordering::SeqCst);
    thread::sleep(pause);
    assert_eq!(ask(&world, &["x", "x", "fail"]), ["well", "well", "failed"]);
    assert!(!world.node.host.status()[0].is_quarantined);
    // The ledger has heard of all of it.
    world.block("");
    world.block("");
    let counts = world.ledger.state.plugin_version(&name("p"), &"1.0.0".parse().unwrap()).unwrap().counts;
    assert_eq!((counts.requests, counts.errors), (17, 14));
    let quarantined = world.node.events().into_iter().filter(|line| line.starts_with("quarantined p 1.0.0: trap: ill"));
    assert_eq!(quarantined.count(), 1);
}

/// A deployment begins: what was quarantined gets another chance at once.
#[test]
fn another_deployment_is_another_chance() {
    let plugin = NativePlugin::new(|_, _| panic!("ill"));
    let mut world = loaded(plugin, Limits { traps: 1, pause: Duration::from_secs(600), ..Limits::default() });
    assert_eq!([outcome(&world.handle("p", "")), outcome(&world.handle("p", ""))], ["trap", "quarantined"]);
    world.register("p", "2.0.0", b"code", r#","config":"00""#);
    assert_eq!(outcome(&world.handle("p", "")), "quarantined");
    world.block(r#"{"op":"deploy","plugin":"p","version":"2.0.0","strategy":"canary"}"#);
    assert_eq!([outcome(&world.handle("p", "")), outcome(&world.handle("p", ""))], ["trap", "quarantined"]);
}

/// A closure that burns fuel, and one that answers too much.
#[test]
fn closures_have_the_same_limits() {
    let plugin = NativePlugin::new(|call, request| {
        call.burn(request.len().try_into().unwrap())?;
        Ok(vec![0; request.len()])
    });
    let world = loaded(plugin, Limits { fuel: 100, response: 50, traps: u32::MAX, ..Limits::default() });
    for (len, expected, fuel) in [
        (0, None, 0),
        (50, None, 50),
        (51, Some(ErrorKind::ResponseTooLarge), 51),
        (100, Some(ErrorKind::ResponseTooLarge), 100),
        (101, Some(ErrorKind::OutOfFuel), 100),
    ] {
        let response = world.node.host.handle(&name("p"), b"", &vec![0; len]);
        let kind = match response.outcome {
            Ok(_) => None,
            Err(CallError::Version(error)) => Some(error.kind),
            Err(error) => panic!("{error}"),
        };
        assert_eq!((kind, response.fuel), (expected, fuel), "{len}");
    }
}

/// A host that stops lets nobody in, and everybody out.
#[test]
fn a_host_that_stops_answers_everybody() {
    let door = Arc::new(Door::default());
    let inside = Arc::new(Barrier::new(3));
    let plugin = NativePlugin::new({
        let (door, inside) = (Arc::clone(&door), Arc::clone(&inside));
        move |_, _| {
            inside.wait();
            door.pass();
            Ok(b"done".to_vec())
        }
    });
    let world = loaded(plugin, Limits { in_flight: 2, ..Limits::default() });
    let host = &world.node.host;
    thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| host.handle(&name("p"), b"", b""))).collect();
        inside.wait();
        while host.status()[0].waiting < 2 {
            thread::yield_now();
        }
        let stop = scope.spawn(|| host.stop());
        thread::sleep(Duration::from_millis(50));
        assert!(!stop.is_finished(), "it waits for those in flight");
        door.open();
        stop.join().unwrap();
        let mut outcomes: Vec<_> = calls.into_iter().map(|call| outcome(&call.join().unwrap())).collect();
        outcomes.sort();
        let stopped = "the host is shutting down; ask another node";
        assert_eq!(outcomes, ["done", "done", stopped, stopped]);
    });
    assert_eq!(host.handle(&name("p"), b"", b"").outcome, Err(CallError::Stopped));
    Host::spawn("ours", || ()).unwrap().join().unwrap();
}
