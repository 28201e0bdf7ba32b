//! Nested schedules, and values at their widths.

use super::*;

#[track_caller]
fn check(levels: usize, innermost: u8, decodes: bool) {
    let bytes = (0..levels).fold(vec![innermost], |nested, _| {
        let mut out = vec![32, 0, 0, 0, 9, 1];
        put_lp16(&mut out, &nested);
        out
    });
    let command = Command::from_bytes(&bytes);
    assert_eq!(command.map(|command| command.to_bytes()), decodes.then_some(bytes));
}

#[test]
fn a_schedule_decodes_if_all_of_it_does() {
    check(1, 31, true);
    check(1, 99, false);
    check(2, 31, true);
    check(2, 99, false);
    check(1_023, 31, true);
    check(1_023, 99, false);
    check(1_024, 31, false);
}

#[track_caller]
fn check_plugin_command(command: PluginCommand, decodes: bool) {
    let command = Command::Plugin(command);
    assert_eq!(Command::from_bytes(&command.to_bytes()), decodes.then_some(command));
}

fn registration(requirements: Vec<(Vec<u8>, Vec<u8>)>, metadata: Vec<(Vec<u8>, Vec<u8>)>) -> PluginCommand {
    PluginCommand::RegisterVersion {
        plugin: b"p".to_vec(),
        version: b"1.0.0".to_vec(),
        code_hash: [3; 32],
        host: b"^1".to_vec(),
        requirements,
        config: vec![1, 2],
        metadata,
    }
}

fn deployment(strategy: Strategy) -> PluginCommand {
    let terms = Guardrails {
        error_threshold_bps: 1,
        success_threshold_bps: 2,
        min_requests: 3,
        max_blocks: 4,
        auto_promote: true,
        auto_rollback: false,
        regression_z_centi: 5,
    };
    PluginCommand::Deploy { plugin: b"p".to_vec(), version: b"2.0.0".to_vec(), strategy, terms }
}

#[test]
fn a_registration_decodes_if_its_pairs_ascend_and_are_few() {
    let pair = |key: u8, value: &[u8]| (vec![key], value.to_vec());
    let many = |count: u8| (0..count).map(|key| pair(key, b"*")).collect::<Vec<_>>();
    check_plugin_command(registration(vec![], vec![]), true);
    check_plugin_command(registration(many(32), many(16)), true);
    check_plugin_command(registration(many(33), vec![]), false);
    check_plugin_command(registration(vec![], many(17)), false);
    check_plugin_command(registration(vec![pair(b'b', b""), pair(b'a', b"")], vec![]), false);
    check_plugin_command(registration(vec![pair(b'a', b"1"), pair(b'a', b"2")], vec![]), false);
    check_plugin_command(registration(vec![], vec![pair(b'a', b"1"), pair(b'a', b"2")]), false);
    check_plugin_command(registration(vec![], vec![pair(b'a', &[0xff])]), false);
    check_plugin_command(registration(vec![pair(0xff, &[0xff])], vec![pair(0xff, b"")]), true);
}

#[test]
fn a_deployment_decodes_with_any_stages_and_known_tags() {
    let custom = |on_complete, stages| deployment(Strategy::Custom { on_complete, stages });
    let stage = |gate| Stage { share_bps: u16::MAX, blocks: 0, min_requests: u64::MAX, gate };
    check_plugin_command(custom(0, vec![]), true);
    check_plugin_command(custom(1, vec![stage(2); 255]), true);
    check_plugin_command(custom(2, vec![]), false);
    check_plugin_command(custom(0, vec![stage(3)]), false);
    check_plugin_command(deployment(Strategy::AbTest { share_bps: 7, duration_blocks: 8 }), true);
    check_plugin_command(deployment(Strategy::BlueGreen { health_blocks: 7, bake_blocks: 8 }), true);
    let (initial_bps, increment_bps, increment_blocks) = (1, 2, 3);
    check_plugin_command(deployment(Strategy::Rolling { initial_bps, increment_bps, increment_blocks }), true);
    let (max_bps, observation_blocks) = (4, 5);
    check_plugin_command(
        deployment(Strategy::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks }),
        true,
    );
    let unknown_strategy = [&[41, 1, b'p', 1, b'1', 5][..], &[0; 18]].concat();
    assert_eq!(Command::from_bytes(&unknown_strategy), None);
}

#[test]
fn the_other_commands_on_plugins_decode() {
    let (plugin, version) = (b"p".to_vec(), b"1.0.0".to_vec());
    let command = |tag: u8, fields: &[u8]| [&[tag], &[1, b'p'][..], fields].concat();
    for tag in [42, 43, 44, 45, 46, 51] {
        assert_eq!(Command::from_bytes(&command(tag, &[])).map(|command| command.tag()), Some(tag));
        assert_eq!(Command::from_bytes(&command(tag, &[0])), None);
    }
    check_plugin_command(PluginCommand::RetireVersion { plugin: plugin.clone(), version: version.clone() }, true);
    check_plugin_command(PluginCommand::SetRule { plugin: plugin.clone(), constraint: vec![] }, true);
    check_plugin_command(PluginCommand::SetHostVersion { version: version.clone() }, true);
    check_plugin_command(PluginCommand::SetRegistryParams { max_versions: None, auto_load: None }, true);
    check_plugin_command(PluginCommand::SetRegistryParams { max_versions: Some(7), auto_load: Some(true) }, true);
    check_plugin_command(PluginCommand::Unload { plugin: plugin.clone(), force: true }, true);
    let (requests, errors, latency_total) = (1, 2, 3);
    for deployment in [None, Some(0), Some(u32::MAX)] {
        let (plugin, version) = (plugin.clone(), version.clone());
        let report = PluginCommand::ReportVersion { plugin, version, requests, errors, latency_total, deployment };
        check_plugin_command(report, true);
    }
    for tag in [54, 55, 56] {
        for (flag, decodes) in [(0, true), (1, true), (2, false)] {
            let bytes = command(tag, &[1, b'1', flag]);
            assert_eq!(Command::from_bytes(&bytes).map(|command| command.to_bytes()), decodes.then_some(bytes));
        }
    }
    assert_eq!(Command::from_bytes(&command(52, &[2])), None);
    assert_eq!(Command::from_bytes(&command(57, &[])), None);
    assert_eq!(Command::from_bytes(&[50, 2, 0]), None);
}

#[track_caller]
fn check_command(command: Command) {
    let bytes = command.to_bytes();
    assert_eq!(Command::from_bytes(&bytes), Some(command));
    assert_eq!(Command::from_bytes(&bytes[..bytes.len() - 1]), None);
    assert_eq!(Command::from_bytes(&[&bytes[..], &[0]].concat()), None);
}

#[test]
fn the_commands_on_trust_decode() {
    let name = b"f".to_vec();
    check_command(Command::PauseRollout { name: name.clone() });
    check_command(Command::SetRules { rules: u16::MAX });
    for trial in [None, Some(0), Some(u32::MAX)] {
        check_command(Command::Report { name: name.clone(), report: Report::default(), trial });
    }
    for quorum in [None, Some(0), Some(u8::MAX)] {
        check_command(Command::SetParams {
            max_due_per_block: None,
            breaker_rollbacks: Some(1),
            breaker_window: None,
            timelock: Some(2),
            sequenced: quorum.map(|quorum| quorum > 0),
            round_blocks: Some(3),
            quorum,
        });
    }
}

#[test]
fn the_count_of_a_transaction_says_whether_it_is_sequenced() {
    let commands = vec![Command::ResetBreaker; COMMANDS_MAX];
    let sequence = Sequence { number: 1 << 40, valid_until: 7 };
    for sequence in [None, Some(sequence)] {
        let tx = Transaction { signer: Address([1; 20]), sequence, commands: commands.clone() };
        let mut bytes = tx.to_bytes();
        assert_eq!(bytes[20], if sequence.is_some() { 0x90 } else { 0x10 });
        assert_eq!(Transaction::from_bytes(&bytes), Some(tx));
        for (count, decodes) in [(0, false), (1, false), (17, false), (16, true)] {
            bytes[20] = bytes[20] / 0x80 * 0x80 + count;
            assert_eq!(Transaction::from_bytes(&bytes).is_some(), decodes, "{count}");
        }
    }
}
