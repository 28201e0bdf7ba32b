//! The cases of commands on plugins.

use super::*;

pub(super) fn case_of_register(broken: Broken<'_>) -> Case {
    let mut before = vec![max_versions(3), register("p", "1.0.0"), register("p", "3.0.0")];
    if broken.is("existence") {
        before.push(register("p", "2.0.0"));
    } else if broken.is("room") {
        before.push(register("p", "4.0.0"));
    }
    let mut out = Writer::default();
    CommandKind::RegisterVersion.encode(&mut out);
    out.lp8(b"p");
    out.lp8(b"2.0.0");
    out.raw(&[0xc0; 32]);
    out.lp8(if broken.is("constraints") { b"||" } else { b"" });
    out.u8(1);
    out.lp8(if broken.is("names") { b"_q" } else { b"q" });
    out.lp8(b"*");
    out.lp16(&vec![0xcf; if broken.is("config") { 4_097 } else { 0 }]);
    out.u8(0);
    Case::raw(before, CommandKind::RegisterVersion, out.into_bytes())
}

pub(super) fn case_of_deploy(broken: Broken<'_>) -> Option<Case> {
    let of_version = ["constraint", "host", "requirements", "totals"];
    if (broken.is("plugin") && (broken.any(&["deployment", "status", "number"]) || broken.any(&of_version)))
        || (broken.is("registered") && (broken.is("status") || broken.any(&of_version)))
    {
        return None;
    }
    let mut before = if broken.is("totals") { crowd() } else { vec![] };
    before.extend([register("p", "1.0.0"), version_of("p", "2.0.0", broken), register("p", "3.0.0")]);
    let version = match (broken.is("registered"), broken.by("status")) {
        (true, _) => "9.0.0",
        (false, Some(Reject::VersionInUse)) => "1.0.0",
        (false, status) => {
            before.extend(status.map(|_| retire("p", "2.0.0")));
            "2.0.0"
        }
    };
    if broken.is("deployment") {
        before.push(deploy_slowly("p", "3.0.0"));
    }
    before.extend(broken.any(&["requirements", "totals"]).then(|| load("p")));
    // With a deployment of 3.0.0, which the constraint must allow, it is the upper one that decides.
    before.extend((broken.is("constraint") && !broken.is("deployment")).then(|| set_rule("p", Some("^1"))));
    if broken.is("deployments") {
        before.extend(many_deployments(DEPLOYMENTS_MAX - usize::from(broken.is("deployment"))));
    }
    if broken.is("breaker") {
        before.push(trip(0, false));
    }
    let strategy = if broken.is("plan") { custom(&[stage(2, 1), stage(1, 1)]) } else { custom(&[stage(1, 1)]) };
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    let case = Case::raw(before, CommandKind::Deploy, deploy_bytes(plugin, version, &strategy, &EASY));
    Some(case.edited(if broken.is("number") { Edit::LastDeployment } else { Edit::None }))
}

/// So many deployments that run.
fn many_deployments(count: usize) -> impl Iterator<Item = Command> {
    (0..count).flat_map(|n| {
        let plugin = format!("m{n:04}");
        [register(&plugin, "1.0.0"), register(&plugin, "2.0.0"), deploy_slowly(&plugin, "2.0.0")]
    })
}

/// `q` with as many dependents as there may be, and what they are.
fn crowd() -> Vec<Command> {
    let mut commands = vec![register("q", "1.0.0"), load("q"), loaded("q", "1.0.0", true)];
    for n in 0..DEPENDENTS_MAX {
        let dependent = format!("d{n:03}");
        commands.extend([register_on(&dependent, "1.0.0", &[("q", "*")]), load(&dependent)]);
    }
    commands
}

/// A version against which something stands: its requirements and its host.
fn version_of(plugin: &str, version: &str, broken: Broken<'_>) -> Command {
    let mut requirements = Vec::new();
    requirements.extend(broken.is("requirements").then_some(("gone", "*")));
    requirements.extend(broken.is("totals").then_some(("q", "*")));
    let host = broken.is("host").then(|| constraint("^9"));
    register_with(plugin, version, coalmine_core::Manifest { host, ..manifest(&requirements) })
}

pub(super) fn case_of_deployment(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    let of_version = ["gate", "constraint", "host", "requirements", "totals"];
    if (broken.is("plugin") && broken.any(&["deployment", "hold"]))
        || (broken.is("plugin") && broken.any(&of_version))
        || (broken.is("deployment") && (broken.is("hold") || broken.any(&of_version)))
    {
        return None;
    }
    let mut before = if broken.is("totals") { crowd() } else { vec![] };
    // The constraint and the host cannot be set against it later: that is done to the records.
    let required: Vec<_> = broken.0.iter().copied().filter(|(guard, _)| *guard != "host").collect();
    before.extend([register("p", "1.0.0"), version_of("p", "2.0.0", Broken(&required))]);
    if !broken.is("deployment") {
        let health = coalmine_core::Strategy::BlueGreen { health_blocks: 90, bake_blocks: 90 };
        before.push(if broken.is("gate") { deploy("p", "2.0.0", health, EASY) } else { deploy_slowly("p", "2.0.0") });
        if (kind == CommandKind::Resume) != broken.is("hold") {
            before.push(pause("p"));
        }
    }
    before.push(load("p"));
    if broken.is("breaker") {
        before.push(trip(0, false));
    }
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    let command = match kind {
        CommandKind::Pause => pause(plugin),
        CommandKind::Resume => resume(plugin),
        CommandKind::Promote => promote(plugin),
        _ => roll_back(plugin),
    };
    Some(Case::new(before, &command).edited(Edit::Bound(broken.is("constraint"), broken.is("host"))))
}

pub(super) fn case_of_revert(broken: Broken<'_>) -> Option<Case> {
    let of_version = ["constraint", "host", "requirements", "totals"];
    if (broken.is("plugin") && (broken.any(&["deployment", "previous"]) || broken.any(&of_version)))
        || (broken.is("previous") && broken.any(&of_version))
    {
        return None;
    }
    let mut before = if broken.is("totals") { crowd() } else { vec![] };
    before.extend([version_of("p", "1.0.0", broken), register("p", "2.0.0"), register("p", "3.0.0")]);
    if !broken.is("previous") {
        before.extend([deploy_slowly("p", "2.0.0"), promote("p")]);
    }
    before.push(load("p"));
    if broken.is("constraint") {
        before.push(set_rule("p", Some(">=2")));
    }
    before.extend(broken.is("deployment").then(|| deploy_slowly("p", "3.0.0")));
    Some(Case::new(before, &revert(if broken.is("plugin") { "none" } else { "p" })))
}

pub(super) fn case_of_version(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    use CommandKind as K;
    if broken.any(&["plugin", "registered"]) && broken.any(&["status", "deployment"]) {
        return None;
    }
    let mut before = vec![register("p", "1.0.0"), register("p", "2.0.0")];
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    let text = match (broken.is("registered"), kind, broken.is("deployment"), broken.by("status")) {
        (true, ..) => "9.0.0",
        (false, K::AttestHealth, true, _) | (false, _, _, Some(Reject::VersionInUse)) => "1.0.0",
        (false, ..) => "2.0.0",
    };
    if kind == K::RetireVersion {
        before.extend((broken.by("status") == Some(Reject::InvalidTransition)).then(|| retire("p", "2.0.0")));
    } else {
        before.push(deploy_slowly("p", "2.0.0"));
    }
    let command = match kind {
        K::RetireVersion => retire(plugin, text),
        K::ReportVersion => {
            let mut case = Case::new(before, &tell_version(plugin, text, 9, 2));
            if broken.is("figures") {
                // Requests, errors, the latency and no deployment end the command: 10 errors are more than 9 requests.
                let at = case.last.len() - 10;
                case.last[at] = 10;
            }
            if broken.is("deployment") {
                case.last = naming(case.last, 9);
            }
            return Some(case);
        }
        _ => attest(plugin, text, true),
    };
    Some(Case::new(before, &command))
}

pub(super) fn case_of_settings(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    use CommandKind as K;
    if broken.is("plugin") && broken.is("current") {
        return None;
    }
    let before = vec![register_for_host("p", "1.0.0", "^0"), load("p")];
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    Some(match kind {
        K::SetRule => {
            let mut case = Case::new(before, &set_rule(plugin, Some(if broken.is("current") { "^2" } else { "^1" })));
            if broken.is("constraint") {
                *case.last.last_mut().unwrap() = b'|';
            }
            case
        }
        K::SetHostVersion => Case::new(before, &set_host(if broken.is("plugins") { "1.0.0" } else { "0.1.0" })),
        _ => Case::raw(before, kind, max_versions_bytes(if broken.is("versions") { 2 } else { 3 })),
    })
}

pub(super) fn case_of_load(broken: Broken<'_>) -> Option<Case> {
    if broken.is("plugin") && broken.any(&["state", "walk", "depth", "totals"]) {
        return None;
    }
    // What is loaded or on its way has been walked already.
    if broken.is("state") && broken.any(&["walk", "depth", "totals"]) {
        return None;
    }
    let mut before = if broken.is("totals") { crowd() } else { vec![register("q", "1.0.0")] };
    let mut requirements: BTreeMap<String, &str> = BTreeMap::new();
    if broken.is("totals") {
        requirements.insert("q".into(), "*");
    }
    // A chain of plugins, each of which requires the next one, and the last one `end`.
    let chain = |letter: &str, count: usize, end: &[(&str, &str)]| -> Vec<Command> {
        let of = |n: usize| format!("{letter}{n:02}");
        let command = |n: usize| match n + 1 == count {
            true => register_on(&of(n), "1.0.0", end),
            false => register_on(&of(n), "1.0.0", &[(&of(n + 1), "*")]),
        };
        (0..count).map(command).collect()
    };
    if broken.is("depth") {
        // `a00` is met directly first; the longer path to it, over all of `b`, is not walked.
        before.extend(chain("a", 9, &[]));
        before.extend(chain("b", 9, &[("a00", "*")]));
        requirements.extend([("a00".to_owned(), "*"), ("b00".to_owned(), "*")]);
    }
    let mut host = None;
    match broken.by("walk") {
        None | Some(Reject::RuleViolated) => {}
        Some(Reject::HostTooOld) => host = Some(constraint("^9")),
        Some(Reject::DependencyMissing) => drop(requirements.insert("x".into(), "*")),
        Some(Reject::DependencyCycle) => drop(requirements.insert("p".into(), "*")),
        Some(Reject::DependencyBroken) => {
            before.push(register("z", "1.0.0"));
            requirements.insert("z".into(), "^2");
        }
        Some(Reject::InvalidTransition) => {
            before.extend([register("z", "1.0.0"), load("z"), loaded("z", "1.0.0", true), unload("z")]);
            requirements.insert("z".into(), "*");
        }
        Some(_) => {
            before.extend(chain("c", 17, &[]));
            requirements.insert("c00".into(), "*");
        }
    }
    let requirements: Vec<(&str, &str)> = requirements.iter().map(|(plugin, text)| (plugin.as_str(), *text)).collect();
    let manifest = coalmine_core::Manifest { host, ..manifest(&requirements) };
    before.push(register_with("p", "1.0.0", manifest));
    if broken.by("walk") == Some(Reject::RuleViolated) {
        before.push(set_rule("p", Some("^9")));
    }
    match broken.by("state") {
        None => {}
        Some(Reject::AlreadyLoaded) => before.push(load("p")),
        Some(_) => before.extend([load("p"), loaded("p", "1.0.0", true), unload("p")]),
    }
    Some(Case::new(before, &load(if broken.is("plugin") { "none" } else { "p" })))
}

pub(super) fn case_of_unload(broken: Broken<'_>) -> Option<Case> {
    let is_large = broken.is("size");
    if (broken.is("plugin") && broken.any(&["state", "dependents", "size"]))
        || (is_large && broken.any(&["state", "dependents"]))
    {
        return None;
    }
    let mut before = vec![register("p", "1.0.0"), load("p")];
    if broken.is("dependents") {
        before.extend([register_on("d", "1.0.0", &[("p", "*")]), load("d")]);
    }
    if !broken.is("state") {
        before.push(loaded("p", "1.0.0", true));
    }
    for n in 0..if is_large { LOAD_PLUGINS_MAX } else { 0 } {
        let dependent = format!("d{n:02}");
        let commands = [register_on(&dependent, "1.0.0", &[("p", "*")]), load(&dependent)];
        before.extend(commands.into_iter().chain([loaded(&dependent, "1.0.0", true)]));
    }
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    Some(Case::new(before, &if is_large { unload_force(plugin) } else { unload(plugin) }))
}
