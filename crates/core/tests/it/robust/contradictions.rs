//! Records that decode and contradict each other.

use super::*;

/// Records that decode, each by itself, and contradict each other.
#[test]
fn a_contradiction_is_a_fault() {
    let on = |names: &[&str]| {
        let prerequisites = names.iter().map(|text| name(text)).collect();
        Policy { prerequisites, ..Policy::default() }.to_bytes()
    };
    let global = |edit: &dyn Fn(&mut Global)| {
        let mut global = *rich().state.global();
        edit(&mut global);
        global.to_bytes()
    };
    let totals = |edit: &dyn Fn(&mut FeedTotals)| {
        let mut totals = *rich().state.feed();
        edit(&mut totals);
        totals.to_bytes()
    };
    let item = |id: &str| FeedKey { kind: FeedKind::Environment, id: feed_id(id) };
    let forgotten = FeedItem { version: 0, state: ItemState::Forgotten }.to_bytes();
    let (a, ab) = (name("a"), name("ab"));
    let rolling = |at: u8, target: u8| {
        let mut feature = rich().feature("a").clone();
        feature.status = Status::RollingOut;
        (feature.rollout_percent, feature.target_percent) = (percent(at), percent(target));
        feature.to_bytes()
    };
    // What is put, and the record that the fault names.
    let rows: Vec<(&str, Key, Vec<u8>, Key)> = vec![
        ("a default policy", Key::Policy(a), Policy::default().to_bytes(), Key::Policy(a)),
        ("an unknown prerequisite", Key::Policy(a), on(&["z"]), Key::Policy(a)),
        ("itself", Key::Policy(a), on(&["a"]), Key::Policy(a)),
        ("a circle", Key::Policy(a), on(&["ab"]), Key::Policy(a)),
        ("too many admins", Key::Global, global(&|global| global.admins += 1), Key::Global),
        ("too few", Key::Global, global(&|global| global.admins = 0), Key::Global),
        ("an admin more", Key::Roles(user(1)), vec![1], Key::Global),
        ("an id not given yet", Key::Global, global(&|global| global.next_schedule_id = 1), Key::Global),
        ("active and rolling", Key::Step { at: 112, name: ab }, vec![], Key::Step { at: 112, name: ab }),
        ("due twice", Key::Step { at: 113, name: a }, vec![], Key::Step { at: 113, name: a }),
        ("a put that is not open", Key::Feed, totals(&|totals| totals.open = false), Key::Feed),
        ("an environment more", Key::Feed, totals(&|totals| totals.environments += 1), Key::Feed),
        ("a filter less", Key::Feed, totals(&|totals| totals.filters -= 1), Key::Feed),
        ("a live filter", Key::Feed, totals(&|totals| totals.live_filters += 1), Key::Feed),
        ("none live", Key::Feed, totals(&|totals| totals.live_environments = 0), Key::Feed),
        ("one listed more", Key::Feed, totals(&|totals| totals.listed += 1), Key::Feed),
        ("an item more", Key::FeedItem(item("z")), forgotten, Key::Feed),
        ("one listed that is not counted", Key::FeedListed(item("z")), vec![], Key::Feed),
        ("indexed and unknown", Key::FeedIndex(item("z")), vec![], Key::FeedIndex(item("z"))),
        ("indexed and forgotten", Key::FeedIndex(item("f")), vec![], Key::FeedIndex(item("f"))),
        ("rolling down", Key::Feature(a), rolling(100, 99), Key::Feature(a)),
    ];
    for (what, key, value, named) in rows {
        let mut records = rich().records;
        records.0.insert(key.to_bytes(), value);
        match records.load(Some(14)) {
            Err(Fault::Corrupt { key, .. }) => assert_eq!(Key::from_bytes(&key), Ok(named), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// As many items as the feed may hold load, and one more does not: every command on it would be refused.
#[test]
fn a_feed_beyond_its_limits_is_a_fault() {
    use ItemState::{Forgotten, Live};
    let live = || Live(body(b""));
    // How many items there are of each kind, what they are, whether a put is open, and whether the state loads.
    let rows = [
        ("records", FEED_RECORDS_MAX, 0, Forgotten, false, true),
        ("an environment more", FEED_RECORDS_MAX + 1, 0, Forgotten, false, false),
        ("a filter more while a put is open", 0, FEED_RECORDS_MAX + 1, Forgotten, true, false),
        ("live items", FEED_LIVE_MAX - 1, 1, live(), false, true),
        ("a live item more", FEED_LIVE_MAX, 1, live(), false, false),
        ("a live item more while a put is open", FEED_LIVE_MAX, 1, live(), true, true),
    ];
    for (what, environments, filters, state, open, loads) in rows {
        let mut records = World::new().records;
        let item = FeedItem { version: 0, state };
        let mut totals = FeedTotals { environments, filters, open, ..FeedTotals::default() };
        if item.is_live() {
            (totals.live_environments, totals.live_filters) = (environments, filters);
        }
        records.0.insert(Key::Feed.to_bytes(), totals.to_bytes());
        let kinds = [(FeedKind::Environment, environments), (FeedKind::Filter, filters)];
        for (kind, n) in kinds.into_iter().flat_map(|(kind, count)| (0..count).map(move |n| (kind, n))) {
            let key = FeedKey { kind, id: feed_id(&n.to_string()) };
            records.0.insert(Key::FeedItem(key).to_bytes(), item.to_bytes());
            if item.is_indexed() {
                records.0.insert(Key::FeedIndex(key).to_bytes(), Vec::new());
            }
        }
        match records.load(None) {
            Ok(_) => assert!(loads, "{what}"),
            Err(Fault::Corrupt { key, .. }) => assert_eq!((key, loads), (Key::Feed.to_bytes(), false), "{what}"),
            Err(fault) => panic!("{what}: {fault:?}"),
        }
    }
}

/// One edit of the records: a key, and its new value or none.
type Put = (Key, Option<Vec<u8>>);

/// Records of plugins that decode, each by itself, and contradict each other.
#[test]
fn a_contradiction_among_plugins_is_a_fault() {
    fn edit<T: Decode + Encode>(key: Key, edit: impl FnOnce(&mut T)) -> Put {
        let mut value = T::from_bytes(&rich_in_plugins().records.0[&key.to_bytes()]).unwrap();
        edit(&mut value);
        (key, Some(value.to_bytes()))
    }
    let plugin = |text: &str, change: &dyn Fn(&mut Plugin)| edit(Key::Plugin(name(text)), change);
    let deployment = |change: &dyn Fn(&mut Deployment)| edit(Key::Deployment(name("api")), change);
    let version_key = |plugin: &str, text: &str| Key::PluginVersion { plugin: name(plugin), version: version(text) };
    let status = |text: &str, status: VersionStatus| {
        edit(version_key("api", text), |record: &mut PluginVersion| record.status = status)
    };
    let another = |plugin: &str, text: &str, status: VersionStatus| {
        let record = PluginVersion { version: version(text), status, ..a_version() };
        (version_key(plugin, text), Some(record.to_bytes()))
    };
    let row = |dependency: Option<&str>, dependent: &str| Key::Dependent {
        dependency: dependency.map(name),
        dependent: name(dependent),
    };
    let added = |key: Key| (key, Some(Vec::new()));
    let gone = |key: Key| (key, None);
    let look = |at, plugin: &str| Key::DeploymentDue { at, plugin: name(plugin) };
    let records = rich_in_plugins().records;
    let value = |key: Key| records.0[&key.to_bytes()].clone();
    let api = || Key::Plugin(name("api"));
    let lib = || Key::Plugin(name("lib"));
    let canary = || Key::Deployment(name("api"));
    let due = query::deployment(&records, &name("api")).unwrap().unwrap().due.unwrap().get();
    let ends =
        records.keys(KeyPrefix::Due).find_map(|key| if let Key::Deadline { at, .. } = key { Some(at) } else { None });
    let deadline = |later: Height| Key::Deadline { at: ends.unwrap() + later, plugin: name("api") };
    let requiring = |plugins: &[&str]| {
        edit(version_key("web", "1.0.0"), |record: &mut PluginVersion| {
            let requirement = |plugin: &&str| Requirement { plugin: name(plugin), constraint: constraint("*") };
            let requirements = plugins.iter().map(requirement).collect();
            record.manifest = Manifest { requirements, ..Manifest::clone(&record.manifest) }.into();
        })
    };
    let change = Key::PluginChange { plugin: name("lib"), height: 10, seq: 0 };
    let orphan = Key::PluginChange { plugin: name("z"), height: 10, seq: 0 };
    // What is put, and the record that the fault names.
    let rows: Vec<(&str, Vec<Put>, Key)> = vec![
        // A plugin against its versions.
        ("a current one that is not there", vec![plugin("api", &|p| p.current = version("3.0.0"))], api()),
        ("spelled otherwise", vec![plugin("api", &|p| p.current = version("1.0.0+c"))], api()),
        ("too many versions", vec![plugin("api", &|p| p.versions += 1)], api()),
        ("too few versions", vec![plugin("api", &|p| p.versions -= 1)], api()),
        ("a version more", vec![another("api", "3.0.0", VersionStatus::Loading)], api()),
        ("a version less", vec![gone(version_key("api", "1.1.0"))], api()),
        ("a previous one that is not there", vec![plugin("api", &|p| p.previous = Some(version("0.1.0")))], api()),
        ("a previous one spelled otherwise", vec![plugin("api", &|p| p.previous = Some(version("1.1.0+x")))], api()),
        ("previous is current", vec![plugin("api", &|p| p.previous = Some(p.current.clone()))], api()),
        ("loaded is another", vec![plugin("api", &|p| p.loaded = Some(version("1.1.0")))], api()),
        ("loaded is spelled otherwise", vec![plugin("api", &|p| p.loaded = Some(version("1.0.0")))], api()),
        ("no versions at all", vec![gone(version_key("lib", "1.0.0"))], lib()),
        // Versions against the plugin and its deployment.
        ("two active ones", vec![status("1.1.0", VersionStatus::Active)], version_key("api", "1.1.0")),
        ("current is not active", vec![status("1.0.0", VersionStatus::Deprecated)], version_key("api", "1.0.0")),
        ("new is no canary", vec![status("1.1.0", VersionStatus::Loading)], version_key("api", "1.1.0")),
        ("a canary without a deployment", vec![gone(canary()), gone(look(due, "api"))], version_key("api", "1.1.0")),
        (
            "two canaries",
            vec![another("api", "3.0.0", VersionStatus::Canary), plugin("api", &|p| p.versions += 1)],
            version_key("api", "3.0.0"),
        ),
        (
            "the record of another version",
            vec![(version_key("api", "1.1.0"), Some(value(version_key("api", "1.0.0"))))],
            version_key("api", "1.1.0"),
        ),
        // A deployment against the plugin.
        ("an old one that is not current", vec![deployment(&|d| d.old = version("3.0.0"))], canary()),
        ("an old one spelled otherwise", vec![deployment(&|d| d.old = version("1.0.0"))], canary()),
        ("a new one that is not there", vec![deployment(&|d| d.new = version("3.0.0"))], canary()),
        ("a new one spelled otherwise", vec![deployment(&|d| d.new = version("1.1.0+x"))], canary()),
        // The looks.
        ("no look", vec![gone(look(due, "api"))], look(due, "api")),
        ("a look too many", vec![added(look(due + 1, "api"))], look(due + 1, "api")),
        ("a look at another height", vec![deployment(&|d| d.due = NonZeroU32::new(due + 1))], look(due, "api")),
        ("a look that is not due", vec![deployment(&|d| d.due = None)], look(due, "api")),
        ("no deadline", vec![gone(deadline(0))], deadline(0)),
        ("a deadline too many", vec![added(deadline(1))], deadline(1)),
        ("a deadline at another height", vec![gone(deadline(0)), added(deadline(1))], deadline(0)),
        (
            "the deadline of no deployment",
            vec![added(Key::Deadline { at: 99, plugin: name("lib") })],
            Key::Deadline { at: 99, plugin: name("lib") },
        ),
        ("a look at the last height", vec![deployment(&|d| d.due = NonZeroU32::new(u32::MAX))], look(due, "api")),
        ("a look while it is held", vec![deployment(&|d| d.hold = Hold::Paused)], Key::Deployment(name("api"))),
        ("the cohort of another deployment", vec![deployment(&|d| d.salt += 1)], Key::Deployment(name("api"))),
        ("a gate that is none", vec![deployment(&|d| d.healthy = true)], Key::Deployment(name("api"))),
        ("a look at no deployment", vec![added(look(due, "lib"))], look(due, "lib")),
        // The index of dependents.
        ("too many dependents", vec![plugin("lib", &|p| p.dependents += 1)], lib()),
        ("too few dependents", vec![plugin("lib", &|p| p.dependents -= 1)], lib()),
        ("a requirement without its row", vec![gone(row(Some("lib"), "api"))], row(Some("lib"), "api")),
        ("loaded without the row of the host", vec![gone(row(None, "lib"))], row(None, "lib")),
        ("unloaded with a row of the host", vec![added(row(None, "late"))], row(None, "late")),
        ("a row that nothing requires", vec![added(row(Some("lib"), "late"))], row(Some("lib"), "late")),
        ("a row of what is not there", vec![added(row(Some("z"), "api"))], row(Some("z"), "api")),
        ("a row for what is not there", vec![added(row(Some("lib"), "z"))], row(Some("lib"), "z")),
        ("a row of the host for it", vec![added(row(None, "z"))], row(None, "z")),
        ("it waits for one of two", vec![requiring(&["ui", "uj"])], row(Some("uj"), "web")),
        ("it waits for another", vec![requiring(&["uj"])], row(Some("ui"), "web")),
        ("it waits for nothing", vec![requiring(&[])], row(Some("ui"), "web")),
        (
            "a plugin that waits for a known one, uncounted",
            vec![requiring(&["late", "ui"]), added(row(Some("late"), "web"))],
            Key::Plugin(name("late")),
        ),
        (
            "failed, and it holds on to its requirements",
            vec![plugin("api", &|p| p.load_state = LoadState::Failed)],
            lib(),
        ),
        (
            "failed, and its row is left",
            vec![plugin("api", &|p| p.load_state = LoadState::Failed), plugin("lib", &|p| p.dependents = 0)],
            row(Some("lib"), "api"),
        ),
        // What belongs to nothing.
        ("a version of nothing", vec![another("z", "1.0.0", VersionStatus::Active)], version_key("z", "1.0.0")),
        (
            "a deployment of nothing",
            vec![(Key::Deployment(name("z")), Some(value(canary())))],
            Key::Deployment(name("z")),
        ),
        ("a change of nothing", vec![(orphan.clone(), Some(value(change)))], orphan),
        (
            "nothing in the load queue",
            vec![added(Key::LoadDue { at: 20, plugin: name("z") })],
            Key::LoadDue { at: 20, plugin: name("z") },
        ),
        ("a plugin gone", vec![gone(lib())], version_key("lib", "1.0.0")),
    ];
    for (what, puts, named) in rows {
        let mut records = records.clone();
        for (key, value) in puts {
            match value {
                Some(value) => records.0.insert(key.to_bytes(), value),
                None => records.0.remove(&key.to_bytes()),
            };
        }
        match records.load(Some(14)) {
            Err(Fault::Corrupt { key, .. }) => assert_eq!(Key::from_bytes(&key), Ok(named), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// Plugins put straight into the records, each with one version that requires the others given.
fn with_plugins(plugins: &[(String, LoadState, u16, Vec<&str>)]) -> Records {
    let mut records = World::new().records;
    for (plugin, load_state, dependents, requirements) in plugins {
        let current = version("1.0.0");
        let loaded = (*load_state != LoadState::Unloaded).then(|| current.clone());
        let (previous, rule) = (None, None);
        let record = Plugin {
            current: current.clone(),
            previous,
            constraint: rule,
            load_state: *load_state,
            loaded,
            versions: 1,
            deployments: 0,
            dependents: *dependents,
        };
        let requirement = |plugin: &&str| Requirement { plugin: name(plugin), constraint: constraint("*") };
        let requirements: Vec<Requirement> = requirements.iter().map(requirement).collect();
        let mut keys = Vec::new();
        if *load_state != LoadState::Unloaded {
            keys.push(Key::Dependent { dependency: None, dependent: name(plugin) });
        }
        for requirement in requirements.iter().filter(|_| load_state.pins_requirements()) {
            keys.push(Key::Dependent { dependency: Some(requirement.plugin), dependent: name(plugin) });
        }
        records.0.extend(keys.into_iter().map(|key| (key.to_bytes(), Vec::new())));
        let manifest = Manifest { requirements, ..Manifest::of_code(Hash([7; 32])) }.into();
        let of_version = PluginVersion { status: VersionStatus::Active, manifest, ..a_version() };
        records.0.insert(Key::Plugin(name(plugin)).to_bytes(), record.to_bytes());
        let key = Key::PluginVersion { plugin: name(plugin), version: current };
        records.0.insert(key.to_bytes(), of_version.to_bytes());
    }
    records
}

#[test]
fn the_longest_key_is_of_a_report_about_a_version() {
    let item = FeedKey { kind: FeedKind::Filter, id: FeedId::new(&[b'i'; FeedId::LEN_MAX]).unwrap() };
    let longest = version(&format!("1.0.0-{}", "x".repeat(Version::LEN_MAX - 6)));
    let plugin = name(&"p".repeat(Name::LEN_MAX));
    let mut pool = Writer::default();
    pool.raw(&[0xdf, 2, PoolKind::VersionReport.tag()]);
    pool.name(&plugin);
    pool.lp8(longest.as_str().as_bytes());
    pool.address(&REPORTER);
    let pool = Key::from_bytes(&pool.into_bytes()).unwrap();
    let keys = [Key::FeedItem(item), Key::PluginVersion { plugin, version: longest }, pool];
    assert_eq!(keys.map(|key| key.to_bytes().len()), [130, 130, Key::LEN_MAX]);
}

/// What is scheduled is 1 to 16 commands, each of a kind that can be.
#[test]
fn a_schedule_record_holds_what_can_be_scheduled() {
    let rows = [
        (vec![], Err(DecodeErrorKind::OutOfRange)),
        (vec![enable("a")], Ok(())),
        (vec![enable("a"); 16], Ok(())),
        (vec![enable("a"); 17], Err(DecodeErrorKind::TooLarge)),
        (vec![create("a"), Command::ResetBreaker, set_rules(2), set_params(Some(1), None, None)], Ok(())),
        (vec![put(FeedPart::Only, &[], &[])], Err(DecodeErrorKind::OutOfRange)),
        (vec![cancel(9, 1)], Err(DecodeErrorKind::OutOfRange)),
        (vec![enable("a"), report("a", 1, 0)], Err(DecodeErrorKind::OutOfRange)),
        (vec![schedule(9, vec![enable("a")])], Err(DecodeErrorKind::OutOfRange)),
    ];
    for (commands, expected) in rows {
        let mut bytes = OPERATOR.0.to_vec();
        // What is behind tag and height in a command is behind the actor in the record.
        bytes.extend(&schedule_bytes(9, &commands)[5..]);
        let found = Scheduled::from_bytes(&bytes).map(|_| ()).map_err(|error| error.kind);
        assert_eq!((found, Valid::new(commands.clone()).is_ok()), (expected, expected.is_ok()), "{commands:?}");
    }
}

/// What is held exists; what is waited for need not. A promotion may have closed a circle.
#[test]
fn what_plugins_hold_on_to_is_sound() {
    use LoadState::{Failed, Loaded, Loading, Pending, Unloading};
    let dependent = |on: &str, plugin: &str| Key::Dependent { dependency: Some(name(on)), dependent: name(plugin) };
    let plugin = |text: &str| Key::Plugin(name(text));
    // Name, load state, dependents, requirements; the record that the fault names.
    type Row = (&'static str, Vec<(&'static str, LoadState, u16, Vec<&'static str>)>, Option<Key>);
    let rows: Vec<Row> = vec![
        ("a chain", vec![("a", Loaded, 1, vec![]), ("b", Loaded, 1, vec!["a"]), ("c", Loading, 0, vec!["b"])], None),
        ("itself", vec![("a", Loaded, 1, vec!["a"])], Some(plugin("a"))),
        ("each other", vec![("a", Loaded, 1, vec!["b"]), ("b", Unloading, 1, vec!["a"])], None),
        (
            "a circle and what leads to it",
            vec![("a", Pending, 0, vec!["b"]), ("b", Pending, 2, vec!["c"]), ("c", Pending, 1, vec!["b"])],
            None,
        ),
        ("a circle that one has left", vec![("a", Loaded, 0, vec!["b"]), ("b", Failed, 1, vec!["a"])], None),
        ("what does not exist", vec![("a", Pending, 0, vec!["z"])], Some(dependent("z", "a"))),
    ];
    for (what, plugins, named) in rows {
        let plugins: Vec<_> =
            plugins.into_iter().map(|(name, state, count, on)| (name.into(), state, count, on)).collect();
        match (with_plugins(&plugins).load(Some(1)), named) {
            (Ok(_), None) => {}
            (Err(fault), Some(named)) if names(&fault, &named) => {}
            (found, named) => panic!("{what}: {found:?}, not {named:?}"),
        }
    }
    // Those that wait for one that does not exist.
    let waiting = |count: usize| {
        let plugins = (0..count).map(|n| (format!("p{n:04}"), LoadState::Unloaded, 0, vec!["z"])).collect::<Vec<_>>();
        let mut records = with_plugins(&plugins);
        records.0.extend(plugins.iter().map(|(plugin, ..)| (dependent("z", plugin).to_bytes(), Vec::new())));
        records.load(Some(1))
    };
    assert!(waiting(DEPENDENTS_MAX).is_ok());
    let last = format!("p{DEPENDENTS_MAX:04}");
    assert!(matches!(waiting(DEPENDENTS_MAX + 1), Err(fault) if names(&fault, &dependent("z", &last))));
}

#[test]
fn indexes_of_plugins_that_are_too_long_are_faults() {
    let plugins = |count: usize, state: LoadState, on: &[&'static str]| {
        (0..count).map(|n| (format!("p{n:04}"), state, 0, on.to_vec())).collect::<Vec<_>>()
    };
    // Dependents of one plugin.
    for (count, sound) in [(DEPENDENTS_MAX, true), (DEPENDENTS_MAX + 1, false)] {
        let mut all = plugins(count, LoadState::Pending, &["lib"]);
        all.push(("lib".into(), LoadState::Loaded, u16::try_from(count).unwrap(), Vec::new()));
        match with_plugins(&all).load(Some(1)) {
            Ok(_) => assert!(sound, "{count} dependents"),
            Err(fault) => assert!(!sound && names(&fault, &Key::Plugin(name("lib"))), "{count} dependents: {fault}"),
        }
    }
    // Rows of the host; failed plugins have one too.
    for (count, sound) in [(LOADED_MAX, true), (LOADED_MAX + 1, false)] {
        match with_plugins(&plugins(count, LoadState::Failed, &["z"])).load(Some(1)) {
            Ok(_) => assert!(sound, "{count} rows of the host"),
            Err(fault) => assert!(!sound && names(&fault, &Key::Plugin(name("p0000"))), "{count} rows: {fault}"),
        }
    }
    // Versions of one plugin.
    let mut records = with_plugins(&plugins(1, LoadState::Unloaded, &[]));
    let plugin = name("p0000");
    for count in 2..=65_u16 {
        let another = version(&format!("1.0.{count}"));
        let record = PluginVersion { version: another.clone(), ..a_version() };
        records.0.insert(Key::PluginVersion { plugin, version: another }.to_bytes(), record.to_bytes());
        let key = Key::Plugin(plugin).to_bytes();
        let mut value = Plugin::from_bytes(&records.0[&key]).unwrap();
        value.versions = count;
        records.0.insert(key, value.to_bytes());
        match records.load(Some(1)) {
            Ok(_) => assert!(count <= 64, "{count} versions"),
            Err(fault) => assert!(count > 64 && names(&fault, &Key::Plugin(plugin)), "{count} versions: {fault}"),
        }
    }
}

fn names(fault: &Fault, named: &Key) -> bool {
    matches!(fault, Fault::Corrupt { key, .. } if *key == named.to_bytes())
}

/// A path of as many prerequisites as a feature may have loads, a longer one does not.
#[test]
fn a_path_that_is_too_long_is_a_fault() {
    let on = |text: &str| Policy { prerequisites: vec![name(text)], ..Policy::default() }.to_bytes();
    for (edges, sound) in [(8, true), (9, false)] {
        let mut world = World::new();
        let features: Vec<String> = (0..=9).map(|n| format!("f{n}")).collect();
        for feature in &features {
            world.run(world.state.tip().map_or(1, |tip| tip + 1), ADMIN, &[create(feature)]);
        }
        for pair in features[..=edges].windows(2) {
            world.records.0.insert(Key::Policy(name(&pair[1])).to_bytes(), on(&pair[0]));
        }
        assert_eq!(world.records.load(Some(99)).is_ok(), sound, "{edges} edges");
    }
}

/// The key of the fault must be that of a record in the store, or the operator looks in vain.
#[test]
fn a_fault_names_a_record_that_is_there() {
    let world = rich();
    let orphans = [
        (Key::Metrics(name("z")), Key::Metrics(name("a"))),
        (Key::Policy(name("z")), Key::Policy(name("ab"))),
        (Key::Override { name: name("z"), user: USER }, Key::Override { name: name("a"), user: USER }),
        (Key::Change { name: name("z"), height: 12, seq: 3 }, Key::Change { name: name("a"), height: 12, seq: 0 }),
        (Key::Active(name("z")), Key::Active(name("a"))),
        (Key::Step { at: 5, name: name("z") }, Key::Step { at: 112, name: name("a") }),
    ];
    for (orphan, like) in orphans {
        let mut records = world.records.clone();
        let value = records.0[&like.to_bytes()].clone();
        let value = if matches!(orphan, Key::Metrics(_)) { rename(&value, b'z') } else { value };
        records.0.insert(orphan.to_bytes(), value);
        match records.load(Some(14)) {
            Err(Fault::Corrupt { key, .. }) => assert_eq!(Key::from_bytes(&key), Ok(orphan)),
            other => panic!("{orphan:?}: {other:?}"),
        }
    }
}

/// The name of one byte inside a record replaced.
fn rename(value: &[u8], byte: u8) -> Vec<u8> {
    [&value[..4], &[byte], &value[5..]].concat()
}

#[test]
fn a_fault_of_the_source_is_passed_on_and_a_key_twice_is_one() {
    let world = rich();
    let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| Ok((key.clone(), value.clone()));
    for at in 0..=world.records.0.len() {
        let mut entries: Vec<Result<_, Fault>> = world.records.0.iter().map(entry).collect();
        entries.insert(at, Err(Fault::store(std::io::Error::other("disk"))));
        let fault = State::load(entries, None).unwrap_err();
        assert_eq!(fault.to_string(), "the store failed: disk");
        assert!(matches!(fault, Fault::Store(_)));
    }
    for first in world.records.0.iter() {
        let entries = world.records.0.iter().chain([first]).map(entry);
        assert!(State::load(entries, None).is_err(), "{} twice", hex::encode(first.0));
    }
    assert!(Records::default().load(None).is_err(), "no records are no state");
}
