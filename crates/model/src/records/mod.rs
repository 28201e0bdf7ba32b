//! The state as keys and values, byte for byte.

use std::collections::BTreeMap;

use coalmine_core::{Address, Cause, Encode, Reason, Status};

use crate::breaker::Breaker;
use crate::feature::{Change, Feature, Metrics, Verdict, is_active};
use crate::raw::{Policy, put_commands, put_lp8};
use crate::{ADMIN, Model, REASONS, TEST_RULES, U64_MAX};

mod plugins;
mod trust;

fn position<T: PartialEq>(all: &[T], value: T) -> u8 {
    all.iter().position(|other| *other == value).unwrap() as u8
}

fn status_tag(status: Status) -> u8 {
    position(&[Status::Disabled, Status::Canary, Status::RollingOut, Status::Enabled, Status::RolledBack], status)
}

fn reason_tag(reason: Reason) -> u8 {
    position(&REASONS, reason)
}

fn cause_tag(cause: Cause) -> u8 {
    const CAUSES: [Cause; 9] = [
        Cause::Created,
        Cause::CanaryStarted,
        Cause::RolloutStarted,
        Cause::Stepped,
        Cause::TargetReached,
        Cause::Enabled,
        Cause::Disabled,
        Cause::RolledBack,
        Cause::Paused,
    ];
    position(&CAUSES, cause)
}

fn put_u8(out: &mut Vec<u8>, n: u128) {
    out.extend(u8::try_from(n).unwrap().to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, n: u128) {
    out.extend(u32::try_from(n).unwrap().to_be_bytes());
}

fn put_u64(out: &mut Vec<u8>, n: u128) {
    out.extend(u64::try_from(n).unwrap().to_be_bytes());
}

fn put_lp32(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len() as u128);
    out.extend(bytes);
}

pub(crate) fn entries(model: &Model) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::new();
    entries.insert(vec![0xD4], global(model));
    for (address, mask) in &model.roles {
        entries.insert([&[0xD6], &address.0[..]].concat(), vec![*mask]);
    }
    for ((at, id), scheduled) in &model.schedule {
        let mut key = vec![0xD7, 0];
        put_u32(&mut key, *at);
        put_u64(&mut key, *id);
        let mut value = scheduled.actor.0.to_vec();
        put_commands(&mut value, &scheduled.commands);
        entries.insert(key, value);
    }
    for (name, f) in &model.features {
        entries.insert([&[0xD0], &name[..]].concat(), feature(f));
        entries.insert([&[0xD1], &name[..]].concat(), metrics(name, &f.metrics));
        let mut height_before = None;
        let mut seq = 0;
        for change_of_feature in &f.history {
            seq = if height_before == Some(change_of_feature.height) { seq + 1 } else { 0 };
            height_before = Some(change_of_feature.height);
            let mut key = vec![0xD2];
            put_lp8(&mut key, name);
            put_u32(&mut key, change_of_feature.height);
            put_u32(&mut key, seq);
            entries.insert(key, change(change_of_feature));
        }
        for (user, own) in &f.overrides {
            let mut key = vec![0xD3];
            put_lp8(&mut key, name);
            key.extend(user.0);
            let mut value = vec![u8::from(own.enabled)];
            put_u32(&mut value, own.since);
            value.extend(own.actor.0);
            entries.insert(key, value);
        }
        if f.policy != Policy::default() {
            entries.insert([&[0xD5], &name[..]].concat(), f.policy.to_bytes());
        }
        if let Some(due) = f.step_due() {
            let mut key = vec![0xD7, 1];
            put_u32(&mut key, due);
            key.extend(name);
            entries.insert(key, Vec::new());
        }
        if is_active(f.status) {
            entries.insert([&[0xD8], &name[..]].concat(), Vec::new());
        }
    }
    trust::entries(model, &mut entries);
    plugins::entries(model, &mut entries);
    entries.extend(model.feed.entries());
    entries
}

fn global(model: &Model) -> Vec<u8> {
    let mut out = vec![0, 1];
    out.extend(model.rules.to_be_bytes());
    put_lp8(&mut out, &model.chain);
    put_u32(&mut out, model.roles.values().filter(|held| *held & ADMIN != 0).count() as u128);
    let scheduled = model.schedule.len() as u128;
    if model.rules == TEST_RULES {
        put_u64(&mut out, scheduled)
    } else {
        put_u32(&mut out, scheduled)
    }
    let closed = Breaker { draining: false, since: 0, until: 0, reason: Reason::Manual, actor: Address::ZERO };
    let breaker = model.breaker.unwrap_or(closed);
    out.push(u8::from(model.breaker.is_some()));
    out.push(u8::from(breaker.draining));
    put_u32(&mut out, breaker.since);
    put_u32(&mut out, breaker.until);
    out.push(reason_tag(breaker.reason));
    out.extend(breaker.actor.0);
    put_u64(&mut out, model.next_schedule_id);
    put_u32(&mut out, model.rollback_window_start);
    put_u32(&mut out, model.rollbacks_in_window);
    model.params.put(&mut out);
    out
}

fn feature(f: &Feature) -> Vec<u8> {
    let mut out = Vec::new();
    put_lp32(&mut out, &f.name);
    put_lp32(&mut out, &f.description);
    out.push(status_tag(f.status));
    put_u8(&mut out, f.rollout_percent);
    put_u8(&mut out, f.target_percent);
    put_u8(&mut out, f.increment_percent);
    put_u32(&mut out, f.increment_blocks);
    put_u32(&mut out, f.start_block);
    put_u32(&mut out, f.last_increment_block);
    put_u64(&mut out, f.error_count);
    put_u64(&mut out, f.success_count);
    put_u32(&mut out, f.max_error_rate);
    put_u64(&mut out, f.min_success_count);
    out.extend(f.enabled_by.0);
    out.push(reason_tag(f.rollback_reason));
    out.extend([0; 5]);
    out
}

fn metrics(name: &[u8], m: &Metrics) -> Vec<u8> {
    let mut out = Vec::new();
    put_lp32(&mut out, name);
    put_u64(&mut out, m.total_operations);
    put_u64(&mut out, m.successful_ops);
    put_u64(&mut out, m.failed_ops);
    put_u64(&mut out, m.latency_sum.checked_div(m.total_operations).unwrap_or(0));
    put_u64(&mut out, m.peak_latency);
    put_u64(&mut out, m.invariant_checks);
    put_u64(&mut out, m.invariant_failures);
    put_u64(&mut out, m.latency_sum);
    put_u64(&mut out, m.trial_invariant_failures);
    put_u64(&mut out, m.trial_latency_sum);
    put_u64(&mut out, m.trial_operations);
    put_u64(&mut out, m.step_operations);
    put_u32(&mut out, m.window_start);
    put_u64(&mut out, m.current_successes);
    put_u64(&mut out, m.current_errors);
    put_u64(&mut out, m.previous_successes);
    put_u64(&mut out, m.previous_errors);
    out
}

fn change(change: &Change) -> Vec<u8> {
    let mut out = vec![status_tag(change.status)];
    put_u8(&mut out, change.percent);
    out.push(cause_tag(change.cause));
    out.push(reason_tag(change.reason));
    out.extend(change.actor.0);
    if let Some(Verdict { rule, reason: _, errors, successes, value, threshold }) = change.evidence {
        out.extend(rule.to_bytes());
        for n in [errors, successes, value, threshold] {
            put_u64(&mut out, n.min(U64_MAX));
        }
    }
    out
}
