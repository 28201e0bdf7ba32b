//! Every reject, and which comes first.

use super::*;

/// A register_version of anything.
#[derive(Clone, Copy)]
struct RawRegister<'a> {
    plugin: &'a str,
    version: &'a str,
    host: &'a str,
    requirements: &'a [(&'a str, &'a str)],
    config_len: usize,
    metadata: &'a [(&'a str, &'a [u8])],
}

/// One that is right.
const RAW: RawRegister<'_> =
    RawRegister { plugin: "p", version: "1.0.0", host: "", requirements: &[], config_len: 0, metadata: &[] };

impl RawRegister<'_> {
    fn bytes(self) -> Vec<u8> {
        raw(CommandKind::RegisterVersion, |out| {
            out.lp8(self.plugin.as_bytes());
            out.lp8(self.version.as_bytes());
            out.raw(&[0xc0; 32]);
            out.lp8(self.host.as_bytes());
            out.u8(u8::try_from(self.requirements.len()).unwrap());
            for (plugin, constraint) in self.requirements {
                out.lp8(plugin.as_bytes());
                out.lp8(constraint.as_bytes());
            }
            out.lp16(&vec![0xcf; self.config_len]);
            out.u8(u8::try_from(self.metadata.len()).unwrap());
            for (key, text) in self.metadata {
                out.lp8(key.as_bytes());
                out.lp8(text);
            }
        })
    }
}

fn raw_report(plugin: &str, version: &str, requests: u32, errors: u32, latency_total: u64) -> Vec<u8> {
    // It names no deployment.
    let rest = [&requests.to_be_bytes()[..], &errors.to_be_bytes(), &latency_total.to_be_bytes(), &[0]].concat();
    raw_named(CommandKind::ReportVersion, plugin, version, &rest)
}

/// A report of the old version of `p` in the deployment of that number.
fn tell_deployment(number: u32) -> Command {
    let Command::ReportVersion { plugin, version, report, .. } = old(1, 0) else { unreachable!() };
    Command::ReportVersion { plugin, version, report, deployment: Some(number) }
}

struct Refusal {
    what: &'static str,
    /// Each in its own transaction, all in one block.
    before: Vec<Command>,
    signer: Address,
    last: Vec<u8>,
    reject: Reject,
}

/// Rejects that need a state: each by its shortest path.
fn refusals() -> Vec<Refusal> {
    use Reject::*;
    let row = |what, before: &[Command], last: Command, reject| Refusal {
        what,
        before: before.into(),
        signer: signer_of(&last),
        last: last.to_bytes(),
        reject,
    };
    let p = || register("p", "1.0.0");
    let p2 = || register("p", "2.0.0");
    let going = || [p(), p2(), deploy_slowly("p", "2.0.0")];
    let under_way = || [p(), load("p")];
    let live_for_host = || [register_for_host("p", "1.0.0", "^0"), load("p")];
    vec![
        row("a plugin that is none", &[], load("p"), PluginNotFound),
        row("a deployment of a plugin that is none", &[], pause("p"), PluginNotFound),
        row("a rule for a plugin that is none", &[], set_rule("p", None), PluginNotFound),
        row("a report for a version that is none", &[p()], tell_version("p", "1.0.1", 1, 0), VersionNotFound),
        row("a pre-release that is none", &[p()], tell_version("p", "1.0.0-rc.1", 1, 0), VersionNotFound),
        row("health of a version that is none", &[p()], attest("p", "2.0.0", true), VersionNotFound),
        row("a load of a version that is none", &[p()], loaded("p", "2.0.0", true), VersionNotFound),
        row("an unload of a version that is none", &[p()], unloaded("p", "2.0.0", true), VersionNotFound),
        row("retire a version that is none", &[p()], retire("p", "2.0.0"), VersionNotFound),
        row("deploy a version that is none", &[p()], deploy_slowly("p", "2.0.0"), VersionNotFound),
        row("register twice", &[p()], p(), VersionAlreadyExists),
        row("register twice, but for its build", &[p()], register("p", "1.0.0+2"), VersionAlreadyExists),
        row("deploy twice", &going(), deploy_slowly("p", "2.0.0"), DeploymentInProgress),
        row("revert during a deployment", &going(), revert("p"), DeploymentInProgress),
        row("pause nothing", &[p()], pause("p"), NoDeployment),
        row("health without a deployment", &[p()], attest("p", "1.0.0", true), NoDeployment),
        row("a requirement that is none", &[register_on("p", "1.0.0", &[("q", "*")])], load("p"), DependencyMissing),
        row("a self-requirement", &[register_on("p", "1.0.0", &[("p", "*")])], load("p"), DependencyCycle),
        row(
            "a cycle",
            &[register_on("p", "1.0.0", &[("q", "*")]), register_on("q", "1.0.0", &[("p", "*")])],
            load("p"),
            DependencyCycle,
        ),
        row(
            "a version outside a requirement",
            &[register_on("p", "1.0.0", &[("q", "^2")]), register("q", "1.0.0")],
            load("p"),
            DependencyBroken,
        ),
        row(
            "a pre-release outside of any",
            &[register_on("p", "1.0.0", &[("q", "*")]), register("q", "1.0.0-rc.1")],
            load("p"),
            DependencyBroken,
        ),
        row(
            "a promotion from under a dependent",
            &[register_on("q", "1.0.0", &[("p", "^1")]), p(), p2(), deploy_slowly("p", "2.0.0"), load("q")],
            promote("p"),
            DependencyBroken,
        ),
        row(
            "unload from under a dependent",
            &[p(), register_on("q", "1.0.0", &[("p", "*")]), load("q"), loaded("p", "1.0.0", true)],
            unload("p"),
            HasDependents,
        ),
        row("unload what is not loaded", &[p()], unload("p"), NotLoaded),
        row("attest what does not load", &[p()], loaded("p", "1.0.0", true), NotLoaded),
        row("load twice", &[p(), load("p")], load("p"), AlreadyLoaded),
        row("a host too old", &[register_for_host("p", "1.0.0", "^1")], load("p"), HostTooOld),
        row("a host that strands what is loading", &live_for_host(), set_host("1.0.0"), HostTooOld),
        row("a rule against what loads", &[p(), set_rule("p", Some("^2"))], load("p"), RuleViolated),
        row("a rule that strands what is loading", &under_way(), set_rule("p", Some("^2")), RuleViolated),
        row(
            "deploy what a dependent forbids",
            &[register_on("q", "1.0.0", &[("p", "^1")]), p(), p2(), load("q")],
            deploy_slowly("p", "2.0.0"),
            DependencyBroken,
        ),
        row(
            "deploy what the rule forbids",
            &[p(), p2(), set_rule("p", Some("^1"))],
            deploy_slowly("p", "2.0.0"),
            RuleViolated,
        ),
        row(
            "deploy what the host forbids",
            &[p(), register_for_host("p", "2.0.0", "^1")],
            deploy_slowly("p", "2.0.0"),
            HostTooOld,
        ),
        row("a rule against what is being deployed", &going(), set_rule("p", Some("^1")), RuleViolated),
        row(
            "a host that strands what is being deployed",
            &[p(), register_for_host("p", "2.0.0", "^0"), deploy_slowly("p", "2.0.0")],
            set_host("1.0.0"),
            HostTooOld,
        ),
        row("a report of a deployment that there is not", &[p()], tell_deployment(0), StaleReport),
        row("resume what runs", &going(), resume("p"), NotWaiting),
        row("revert to nothing", &[p()], revert("p"), NoPreviousVersion),
        row("deploy the current version", &[p()], deploy_slowly("p", "1.0.0"), VersionInUse),
        row("retire the current version", &[p()], retire("p", "1.0.0"), VersionInUse),
        row("deploy with the breaker open", &[p(), trip(0, false)], deploy_slowly("p", "1.0.0"), CircuitOpen),
        row(
            "deploy what is retired",
            &[p(), p2(), retire("p", "2.0.0")],
            deploy_slowly("p", "2.0.0"),
            InvalidTransition,
        ),
        row("pause twice", &[p(), p2(), deploy_slowly("p", "2.0.0"), pause("p")], pause("p"), InvalidTransition),
        row(
            "load what is being unloaded",
            &[p(), load("p"), loaded("p", "1.0.0", true), unload("p")],
            load("p"),
            InvalidTransition,
        ),
        row(
            "no room for a fourth version in use",
            &[max_versions(3), p(), p2(), register("p", "3.0.0")],
            register("p", "4.0.0"),
            LimitExceeded,
        ),
    ]
}

/// Rejects that a command meets whatever the state is.
fn bad_commands() -> Vec<(&'static str, Address, Vec<u8>, Reject)> {
    use CommandKind::*;
    use Reject::*;
    let long_name: &'static str = "n".repeat(65).leak();
    let long_version: &'static str = format!("1.0.0-{}", "a".repeat(59)).leak();
    let long_constraint: &'static str = format!(">={}1.0.0", " ".repeat(122)).leak();
    let many: &'static [(&'static str, &'static str)] =
        (0..33).map(|n| (&*format!("q{n:02}").leak(), "*")).collect::<Vec<_>>().leak();
    let many_texts: &'static [(&'static str, &'static [u8])] =
        (0..17).map(|n| (&*format!("k{n:02}").leak(), &b""[..])).collect::<Vec<_>>().leak();
    let mut rows = Vec::new();
    for version in
        ["", "1", "1.2", "1.2.3.4", "v1.0.0", " 1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", long_version]
    {
        rows.push(("a version that is none", ADMIN, RawRegister { version, ..RAW }.bytes(), InvalidVersion));
        rows.push(("of a host", ADMIN, raw(SetHostVersion, |out| out.lp8(version.as_bytes())), InvalidVersion));
        for (kind, signer, rest) in [
            (RetireVersion, OPERATOR, vec![]),
            (AttestHealth, REPORTER, vec![1]),
            (ReportLoad, REPORTER, vec![1]),
            (ReportUnload, REPORTER, vec![0]),
            (Deploy, OPERATOR, raw_plan(ab(1, 1), EASY)),
        ] {
            rows.push((kind.name(), signer, raw_named(kind, "p", version, &rest), InvalidVersion));
        }
        rows.push(("of a report", REPORTER, raw_report("p", version, 1, 0, 0), InvalidVersion));
    }
    for text in ["||", "1.0.0 - 2.0.0", ">=", "abc", ">1 <2", "1.0.0, ", long_constraint] {
        rows.push(("of a host", ADMIN, RawRegister { host: text, ..RAW }.bytes(), InvalidConstraint));
        let requirements = &[("q", text)][..];
        rows.push(("of a requirement", ADMIN, RawRegister { requirements, ..RAW }.bytes(), InvalidConstraint));
        let rule = raw_named(SetRule, "p", text, &[]);
        rows.push(("a rule", ADMIN, rule, InvalidConstraint));
    }
    let none = &[("q", "")][..];
    rows.push(("a requirement of none", ADMIN, RawRegister { requirements: none, ..RAW }.bytes(), InvalidConstraint));
    for plugin in ["", "_p", "p q", "p/q", long_name] {
        rows.push(("a name that is none", ADMIN, RawRegister { plugin, ..RAW }.bytes(), InvalidName));
        rows.push((
            "of a requirement",
            ADMIN,
            RawRegister { requirements: &[(plugin, "*")], ..RAW }.bytes(),
            InvalidName,
        ));
        rows.push(("of metadata", ADMIN, RawRegister { metadata: &[(plugin, b"")], ..RAW }.bytes(), InvalidName));
        for kind in [Pause, Resume, Promote, RollbackDeployment, Revert, Load] {
            rows.push((kind.name(), OPERATOR, raw(kind, |out| out.lp8(plugin.as_bytes())), InvalidName));
        }
        rows.push(("of a rule", ADMIN, raw_named(SetRule, plugin, "*", &[]), InvalidName));
    }
    let shares = |shares: &[(u16, u32)]| custom(&shares.iter().map(|(share, n)| stage(*share, *n)).collect::<Vec<_>>());
    for (what, strategy) in [
        ("no stage", shares(&[])),
        ("33 stages", shares(&[(1, 1); 33])),
        ("falling shares", shares(&[(2, 1), (1, 1)])),
        ("a last share of none", shares(&[(0, 1)])),
        ("a stage of no blocks", shares(&[(1, 1), (2, 0)])),
        ("an A/B test of no blocks", ab(1, 0)),
        ("an A/B test of none", ab(0, 1)),
        ("no blocks of health", Strategy::BlueGreen { health_blocks: 0, bake_blocks: 1 }),
        ("no blocks of baking", Strategy::BlueGreen { health_blocks: 1, bake_blocks: 0 }),
        ("a canary from none", canary_of(0, 1, 1, 2, 1)),
        ("a canary above its maximum", canary_of(3, 1, 1, 2, 1)),
        ("a canary that does not grow", canary_of(1, 0, 1, 2, 1)),
        ("a canary of no blocks", canary_of(1, 1, 0, 2, 1)),
        ("a canary of 33 stages", canary_of(1, 1, 1, 33, 1)),
        ("rolling from none", Strategy::Rolling { initial_bps: Bps::ZERO, increment_bps: 1, increment_blocks: 1 }),
    ] {
        rows.push((what, OPERATOR, raw_deploy("p", "2.0.0", strategy, EASY), InvalidPlan));
    }
    // Shares and rates above the whole, which no strategy can hold: the last byte of a 10 000 is raised.
    let full = Guardrails { success_threshold_bps: Bps::FULL, error_threshold_bps: Bps::ZERO, ..EASY };
    for (what, strategy, terms) in [
        ("a share above all", shares(&[(10_000, 1)]), Guardrails { error_threshold_bps: Bps::ZERO, ..EASY }),
        (
            "a canary above all",
            canary_of(1, 9_999, 1, 10_000, 1),
            Guardrails { error_threshold_bps: Bps::ZERO, ..EASY },
        ),
        ("an error rate above all", shares(&[(1, 1)]), EASY),
        ("a success rate above all", shares(&[(1, 1)]), full),
    ] {
        let mut bytes = raw_deploy("p", "2.0.0", strategy, terms);
        let places: Vec<usize> = (1..bytes.len()).filter(|at| bytes[at - 1..=*at] == [0x27, 0x10]).collect();
        let [at] = places[..] else { panic!("{what}: {places:?}") };
        bytes[at] += 1;
        rows.push((what, OPERATOR, bytes, InvalidPlan));
    }
    for (what, terms) in [
        ("a deadline in the last stage", Guardrails { max_blocks: NonZeroU32::new(9), ..EASY }),
        ("a deadline at its end", Guardrails { max_blocks: NonZeroU32::new(10), ..EASY }),
    ] {
        rows.push((what, OPERATOR, raw_deploy("p", "2.0.0", ab(1, 10), terms), InvalidPlan));
    }
    for (what, requests, errors, latency) in
        [("more errors than requests", 1, 2, 0), ("errors of no requests", 0, 1, 0), ("latency of none", 0, 0, 1)]
    {
        rows.push((what, REPORTER, raw_report("p", "1.0.0", requests, errors, latency), InvalidParameter));
    }
    for max in [0, 2, 65, u16::MAX] {
        rows.push(("max_versions", ADMIN, max_versions_bytes(max), InvalidParameter));
    }
    rows.push(("config", ADMIN, RawRegister { config_len: 4_097, ..RAW }.bytes(), LimitExceeded));
    let order = &[("q", "*"), ("a", "*")][..];
    let twice = &[("q", "*"), ("q", "*")][..];
    for (what, bytes) in [
        ("33 requirements", RawRegister { requirements: many, ..RAW }.bytes()),
        ("17 texts", RawRegister { metadata: many_texts, ..RAW }.bytes()),
        ("requirements out of order", RawRegister { requirements: order, ..RAW }.bytes()),
        ("a requirement twice", RawRegister { requirements: twice, ..RAW }.bytes()),
        ("texts out of order", RawRegister { metadata: &[("b", b""), ("a", b"")], ..RAW }.bytes()),
        ("a text twice", RawRegister { metadata: &[("a", b""), ("a", b"")], ..RAW }.bytes()),
        ("a text that is none", RawRegister { metadata: &[("a", b"\xff")], ..RAW }.bytes()),
        ("a leftover", [RAW.bytes(), vec![0]].concat()),
        ("cut short", RAW.bytes()[..40].to_vec()),
        ("a bool that is none", raw_named(AttestHealth, "p", "1.0.0", &[2])),
        ("a strategy that is none", raw_named(Deploy, "p", "1.0.0", &[5])),
        ("a gate that is none", {
            let mut bytes = raw_deploy("p", "2.0.0", custom(&[stage(1, 1)]), EASY);
            let terms = 2 + 2 + 8 + 4 + 1 + 1 + 2;
            let gate = bytes.len() - terms - 1;
            bytes[gate] = 3;
            bytes
        }),
    ] {
        rows.push((what, ADMIN, bytes, Malformed));
    }
    // What each command is, by one who may not give it.
    for (signer, command) in [
        (OPERATOR, register("p", "1.0.0")),
        (OPERATOR, set_rule("p", None)),
        (OPERATOR, set_host("1.0.0")),
        (OPERATOR, max_versions(3)),
        (REPORTER, deploy_slowly("p", "2.0.0")),
        (GUARDIAN, promote("p")),
        (GUARDIAN, load("p")),
        (REPORTER, roll_back("p")),
        (OPERATOR, attest("p", "2.0.0", true)),
        (GUARDIAN, loaded("p", "1.0.0", true)),
        (OPERATOR, unloaded("p", "1.0.0", true)),
        (OPERATOR, tell_version("p", "1.0.0", 1, 0)),
    ] {
        rows.push(("by another role", signer, command.to_bytes(), Unauthorized));
    }
    rows
}

#[test]
fn every_reject_of_plugins_is_produced_and_changes_nothing() {
    let mut produced = BTreeSet::new();
    for Refusal { what, before, signer, last, reject } in refusals() {
        let mut world = World::new();
        world.next(&before);
        assert_eq!(world.probe(&raw_tx(signer, std::slice::from_ref(&last))), refused(reject), "{what}");
        produced.insert(reject);
        // Each command before is needed: without it this is no path to that reject.
        for left_out in 0..before.len() {
            let mut world = World::new();
            let others = before.iter().enumerate().filter(|(index, _)| *index != left_out);
            world.at(1, others.map(|(_, command)| give(command.clone())).collect());
            let receipt = world.probe(&raw_tx(signer, std::slice::from_ref(&last)));
            assert_ne!(receipt, refused(reject), "{what}, without step {left_out}");
        }
    }
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    for (what, signer, bytes, reject) in bad_commands() {
        assert_eq!(world.probe(&raw_tx(signer, std::slice::from_ref(&bytes))), refused(reject), "{what}: {bytes:02x?}");
        produced.insert(reject);
    }
    use Reject::*;
    let shared =
        [Unauthorized, InvalidName, InvalidParameter, LimitExceeded, CircuitOpen, InvalidTransition, Malformed];
    let of_plugins = Reject::ALL.iter().filter(|reject| (40..80).contains(&reject.code()));
    assert_eq!(of_plugins.clone().count(), 19);
    assert!(of_plugins.chain(&shared).all(|reject| produced.contains(reject)), "a reject that no row produces");
}

/// What lies just inside of the limits that `bad_commands` crosses.
#[test]
fn the_largest_commands_are_accepted() {
    let name_64: &'static str = "n".repeat(64).leak();
    let version_64: &'static str = format!("1.0.0-{}", "a".repeat(58)).leak();
    let constraint_128: &'static str = format!(">={}1.0.0", " ".repeat(121)).leak();
    let many: Vec<(String, &str)> = (0..32).map(|n| (format!("q{n:02}"), "*")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(plugin, text)| (plugin.as_str(), *text)).collect();
    let texts: Vec<(String, Vec<u8>)> = (0..16).map(|n| (format!("k{n:02}"), vec![b't'; 100])).collect();
    let texts: Vec<(&str, &[u8])> = texts.iter().map(|(key, text)| (key.as_str(), text.as_slice())).collect();
    let world = {
        let mut world = World::new();
        world.next(&[register("p", "0.1.0"), register("p", "2.0.0")]);
        world
    };
    let stages: Vec<Stage> = (1..=32).map(|share| stage(share, 1)).collect();
    for (what, signer, bytes) in [
        ("a name", ADMIN, RawRegister { plugin: name_64, ..RAW }.bytes()),
        ("a version", ADMIN, RawRegister { version: version_64, ..RAW }.bytes()),
        ("a host", ADMIN, RawRegister { host: constraint_128, ..RAW }.bytes()),
        ("requirements", ADMIN, RawRegister { requirements: &many, ..RAW }.bytes()),
        ("metadata", ADMIN, RawRegister { metadata: &texts, ..RAW }.bytes()),
        ("config", ADMIN, RawRegister { config_len: 4_096, ..RAW }.bytes()),
        ("stages", OPERATOR, raw_deploy("p", "2.0.0", custom(&stages), EASY)),
        ("stages of a canary", OPERATOR, raw_deploy("p", "2.0.0", canary_of(1, 1, 1, 32, 1), EASY)),
        (
            "a deadline behind the end",
            OPERATOR,
            raw_deploy("p", "2.0.0", ab(1, 10), Guardrails { max_blocks: NonZeroU32::new(11), ..EASY }),
        ),
        (
            "all thresholds",
            OPERATOR,
            raw_deploy(
                "p",
                "2.0.0",
                ab(10_000, 1),
                Guardrails {
                    success_threshold_bps: Bps::FULL,
                    regression_z_centi: NonZeroU16::new(u16::MAX),
                    min_requests: u64::MAX,
                    ..EASY
                },
            ),
        ),
        ("versions", ADMIN, max_versions(64).to_bytes()),
        ("few versions", ADMIN, max_versions(3).to_bytes()),
        ("a report", REPORTER, raw_report("p", "0.1.0", u32::MAX, u32::MAX, u64::MAX)),
        ("nothing told", REPORTER, raw_report("p", "0.1.0", 0, 0, 0)),
    ] {
        assert_eq!(world.probe(&raw_tx(signer, &[bytes])), Receipt::Ok, "{what}");
    }
}

/// Two rules broken at once: the order of the checks, from one to the next.
#[test]
fn of_two_rejects_of_plugins_the_earlier_check_wins() {
    use CommandKind::*;
    use Reject::*;
    let falling = || custom(&[stage(2, 1), stage(1, 1)]);
    let unordered = &[("q", "*"), ("a", "*")][..];
    let bad_name = &[("_q", "||")][..];
    let bad_text = &[("q", "||")][..];
    let world = {
        let mut world = World::new();
        world.next(&[max_versions(3), set_host("0.5.0")]);
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
        world.next(&[register("old", "1.0.0"), register("old", "2.0.0"), deploy_slowly("old", "2.0.0")]);
        // `ruled` has everything against it but the breaker.
        world.next(&[
            register("ruled", "1.0.0"),
            register_for_host("ruled", "2.0.0", "^9"),
            register("ruled", "3.0.0"),
        ]);
        world.next(&[set_rule("ruled", Some("^1")), retire("ruled", "3.0.0")]);
        world.next(&[register_on("deep", "1.0.0", &[("gone", "*")]), set_rule("deep", Some("^2"))]);
        world.next(&[register_with(
            "both",
            "1.0.0",
            coalmine_core::Manifest { host: Some(constraint("^9")), ..manifest(&[("gone", "*")]) },
        )]);
        world.next(&[set_rule("both", Some("^2"))]);
        world
    };
    let open = {
        let mut world = world.clone();
        world.next(&[trip(0, false)]);
        world
    };
    for (what, is_open, signer, bytes, reject) in [
        ("decode before authority", false, NOBODY, RawRegister { requirements: unordered, ..RAW }.bytes(), Malformed),
        ("authority before name", false, NOBODY, RawRegister { plugin: "", ..RAW }.bytes(), Unauthorized),
        ("name before version", false, ADMIN, RawRegister { plugin: "", version: "x", ..RAW }.bytes(), InvalidName),
        (
            "all names before version",
            false,
            ADMIN,
            RawRegister { version: "x", requirements: bad_name, ..RAW }.bytes(),
            InvalidName,
        ),
        (
            "version before constraint",
            false,
            ADMIN,
            RawRegister { version: "x", host: "||", ..RAW }.bytes(),
            InvalidVersion,
        ),
        (
            "constraint before size",
            false,
            ADMIN,
            RawRegister { requirements: bad_text, config_len: 4_097, ..RAW }.bytes(),
            InvalidConstraint,
        ),
        ("size before existence", false, ADMIN, RawRegister { config_len: 4_097, ..RAW }.bytes(), LimitExceeded),
        ("name before constraint", false, ADMIN, raw_named(SetRule, "", "||", &[]), InvalidName),
        ("version before plan", false, OPERATOR, raw_deploy("p", "x", falling(), EASY), InvalidVersion),
        ("plan before plugin", false, OPERATOR, raw_deploy("none", "9.0.0", falling(), EASY), InvalidPlan),
        ("numbers before plugin", false, REPORTER, raw_report("none", "9.0.0", 0, 1, 0), InvalidParameter),
        ("version before numbers", false, REPORTER, raw_report("p", "x", 0, 1, 0), InvalidVersion),
        ("plugin before version", false, OPERATOR, retire("none", "9.0.0").to_bytes(), PluginNotFound),
        ("plugin before breaker", true, OPERATOR, promote("none").to_bytes(), PluginNotFound),
        ("version before breaker", true, OPERATOR, deploy_slowly("p", "9.0.0").to_bytes(), VersionNotFound),
        ("breaker before deployment", true, OPERATOR, deploy_slowly("old", "1.0.0").to_bytes(), CircuitOpen),
        ("breaker before hold", true, OPERATOR, resume("old").to_bytes(), CircuitOpen),
        ("deployment before status", false, OPERATOR, deploy_slowly("old", "1.0.0").to_bytes(), DeploymentInProgress),
        ("deployment before no previous", false, OPERATOR, revert("old").to_bytes(), DeploymentInProgress),
        ("existence before room", false, ADMIN, register("p", "2.0.0").to_bytes(), VersionAlreadyExists),
        ("status before rule", false, OPERATOR, deploy_slowly("ruled", "3.0.0").to_bytes(), InvalidTransition),
        ("rule before host", false, OPERATOR, deploy_slowly("ruled", "2.0.0").to_bytes(), RuleViolated),
        ("rule before requirements", false, OPERATOR, load("deep").to_bytes(), RuleViolated),
        ("rule before host and requirements", false, OPERATOR, load("both").to_bytes(), RuleViolated),
    ] {
        let world = if is_open { &open } else { &world };
        assert_eq!(world.probe(&raw_tx(signer, &[bytes])), refused(reject), "{what}");
    }
    assert_eq!(open.try_next(&load("p")), Receipt::Ok, "a load heeds no breaker");
}

/// What was seen of an earlier deployment judges no other, if it says so; and nothing is said of one that there is not.
#[test]
fn a_report_may_name_its_deployment() {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
    let probe = |world: &World, number| world.probe(&tx(REPORTER, &[tell_deployment(number)]));
    let stale = refused(Reject::StaleReport);
    assert_eq!([0, 1].map(|number| probe(&world, number)), [stale; 2], "none runs");
    world.next(&[deploy_slowly("p", "2.0.0")]);
    assert_eq!([0, 1, 2].map(|number| probe(&world, number)), [stale, Receipt::Ok, stale]);
    world.next(&[roll_back("p"), deploy_slowly("p", "3.0.0")]);
    assert_eq!([1, 2].map(|number| probe(&world, number)), [stale, Receipt::Ok]);
    // Whichever version is named, behind the version itself.
    let other = |text: &str| {
        let Command::ReportVersion { plugin, report, .. } = old(1, 0) else { unreachable!() };
        let version = version(text);
        world.probe(&tx(REPORTER, &[Command::ReportVersion { plugin, version, report, deployment: Some(1) }]))
    };
    assert_eq!([other("3.0.0"), other("9.0.0")], [stale, refused(Reject::VersionNotFound)]);
}
