//! Samples: what a block leaves of a feature or a deployment, as far as pictures need it.

use std::collections::BTreeSet;

use coalmine_core::{
    Bps, Counts, Decode, DecodeError, DecodeErrorKind, Deployment, Encode, Execution, Feature, Height, Key, Metrics,
    MetricsRecord, Name, Policy, Reader, State, Writer,
};

use crate::input::Subject;

/// A feature at the end of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureSample {
    /// Percent of users that it is on for.
    pub percent: u8,
    /// Whether it is on for anybody.
    pub is_on: bool,
    /// Errors of the trial.
    pub errors: u64,
    /// Successes of the trial.
    pub successes: u64,
    /// The window that the guard looks at, if it looks at one.
    pub window: Option<WindowSample>,
    /// The error rate above which it is rolled back, in basis points.
    pub max_error_rate: u32,
    /// Operations below which no rate is judged.
    pub min_samples: u32,
}

/// The current window of a guard, and what it counts with the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSample {
    /// The height at which the current one starts.
    pub start: Height,
    /// How many blocks it has.
    pub blocks: u32,
    /// Errors in both.
    pub errors: u64,
    /// Successes in both.
    pub successes: u64,
}

/// The deployment of a plugin at the end of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginSample {
    /// The share of units that the new version serves, in basis points.
    pub share: u16,
    /// Reports about the new version.
    pub canary: Counts,
    /// Reports about the version in production.
    pub production: Counts,
    /// Requests for the new version in this stage.
    pub stage_requests: u64,
    /// Those of them that failed.
    pub stage_errors: u64,
    /// The error rate above which it is rolled back, in basis points.
    pub error_threshold: u16,
    /// Requests below which no rate is judged.
    pub min_requests: u64,
}

/// What a block left of a feature or a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A feature that the block changed.
    Feature(FeatureSample),
    /// A deployment that the block changed; `None`: it has ended.
    Plugin(Option<PluginSample>),
}

impl FeatureSample {
    /// The sample of a feature.
    #[must_use]
    pub fn of(feature: &Feature, metrics: &Metrics, policy: &Policy) -> Self {
        let window = policy.window_blocks.map(|blocks| WindowSample {
            start: metrics.window_start,
            blocks: blocks.get(),
            errors: metrics.current_errors.saturating_add(metrics.previous_errors),
            successes: metrics.current_successes.saturating_add(metrics.previous_successes),
        });
        Self {
            percent: feature.rollout_percent.get(),
            is_on: feature.status.is_on(),
            errors: feature.error_count,
            successes: feature.success_count,
            window,
            max_error_rate: feature.max_error_rate,
            min_samples: policy.min_samples,
        }
    }
}

impl PluginSample {
    /// The sample of a deployment.
    #[must_use]
    pub fn of(deployment: &Deployment) -> Self {
        let guardrails = deployment.plan.guardrails();
        Self {
            share: deployment.share().get(),
            canary: deployment.canary,
            production: deployment.production,
            stage_requests: deployment.stage_requests,
            stage_errors: deployment.stage_errors,
            error_threshold: guardrails.error_threshold_bps.get(),
            min_requests: guardrails.min_requests,
        }
    }
}

/// The tags of the encoding.
const FEATURE: u8 = 0;
const DEPLOYMENT: u8 = 1;
const ENDED: u8 = 2;

/// For a host that keeps samples: one value has one encoding.
///
/// `0 ‖ percent u8 ‖ is_on bool ‖ errors u64 ‖ successes u64 ‖ max_error_rate u32 ‖ min_samples u32 ‖ option (start u32 ‖
/// blocks u32 ‖ errors u64 ‖ successes u64)` of a feature, `1 ‖ share u16 ‖ canary ‖ production ‖ stage_requests u64 ‖
/// stage_errors u64 ‖ error_threshold u16 ‖ min_requests u64` of a deployment, where an arm is `requests u64 ‖ errors u64 ‖
/// latency_sum u64`, and `2` of one that has ended.
impl Encode for Sample {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Feature(FeatureSample { percent, is_on, errors, successes, window, max_error_rate, min_samples }) => {
                out.u8(FEATURE);
                out.u8(*percent);
                out.bool(*is_on);
                out.u64(*errors);
                out.u64(*successes);
                out.u32(*max_error_rate);
                out.u32(*min_samples);
                out.option(*window, |out, WindowSample { start, blocks, errors, successes }| {
                    out.u32(start);
                    out.u32(blocks);
                    out.u64(errors);
                    out.u64(successes);
                });
            }
            Self::Plugin(Some(sample)) => {
                out.u8(DEPLOYMENT);
                out.u16(sample.share);
                sample.canary.encode(out);
                sample.production.encode(out);
                out.u64(sample.stage_requests);
                out.u64(sample.stage_errors);
                out.u16(sample.error_threshold);
                out.u64(sample.min_requests);
            }
            Self::Plugin(None) => out.u8(ENDED),
        }
    }
}

impl Decode for Sample {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            FEATURE => Ok(Self::Feature(FeatureSample {
                percent: input.percent()?.get(),
                is_on: input.bool()?,
                errors: input.u64()?,
                successes: input.u64()?,
                max_error_rate: rate(input)?,
                min_samples: input.u32()?,
                window: input.option(|input| {
                    Ok(WindowSample {
                        start: input.u32()?,
                        blocks: input.u32()?,
                        errors: input.u64()?,
                        successes: input.u64()?,
                    })
                })?,
            })),
            DEPLOYMENT => Ok(Self::Plugin(Some(PluginSample {
                share: input.bps()?.get(),
                canary: Counts::decode(input)?,
                production: Counts::decode(input)?,
                stage_requests: input.u64()?,
                stage_errors: input.u64()?,
                error_threshold: input.bps()?.get(),
                min_requests: input.u64()?,
            }))),
            ENDED => Ok(Self::Plugin(None)),
            _ => Err(input.error(DecodeErrorKind::UnknownTag)),
        }
    }
}

/// An error rate, which is no more than everything.
fn rate(input: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let rate = input.u32()?;
    if rate <= Bps::FULL.get().into() { Ok(rate) } else { Err(input.error(DecodeErrorKind::OutOfRange)) }
}

/// The samples of everything that an execution changes, in name order; `before` is the state that it was made on.
#[must_use]
pub fn samples(execution: &Execution, before: &State) -> Vec<(Subject, Name, Sample)> {
    let mut touched = BTreeSet::new();
    for (key, _) in execution.writes().iter() {
        match Key::from_bytes(key) {
            Ok(Key::Feature(name) | Key::Metrics(name) | Key::Policy(name)) => {
                touched.insert((Subject::Feature, name));
            }
            Ok(Key::Deployment(name)) => {
                touched.insert((Subject::Plugin, name));
            }
            Ok(_) | Err(_) => {}
        }
    }
    let sample = |(subject, name): (Subject, Name)| {
        let mut tracked = Tracked::new(subject, name);
        tracked.feature = before.feature(&name).cloned();
        tracked.metrics = before.metrics(&name).copied().unwrap_or_default();
        tracked.policy = before.policy(&name).cloned().unwrap_or_default();
        tracked.deployment = before.deployment(&name).cloned();
        tracked.update(execution);
        tracked.sample().map(|sample| (subject, name, sample))
    };
    touched.into_iter().filter_map(sample).collect()
}

/// The records of one feature or plugin that a sample is made of.
pub(super) struct Tracked {
    subject: Subject,
    keys: [Vec<u8>; 4],
    feature: Option<Feature>,
    metrics: Metrics,
    policy: Policy,
    deployment: Option<Deployment>,
}

impl Tracked {
    pub(super) fn new(subject: Subject, name: Name) -> Self {
        let keys = [Key::Feature(name), Key::Metrics(name), Key::Policy(name), Key::Deployment(name)];
        Self {
            subject,
            keys: keys.map(|key| key.to_bytes()),
            feature: None,
            metrics: Metrics::default(),
            policy: Policy::default(),
            deployment: None,
        }
    }

    /// Takes over what an execution writes. A record of its own that did not decode would be a bug of core, which the
    /// next start of the ledger reports; a picture leaves it out.
    pub(super) fn update(&mut self, execution: &Execution) -> bool {
        let [feature, metrics, policy, deployment] = &self.keys;
        let mut is_touched = false;
        for (key, value) in execution.writes().iter() {
            if key == feature.as_slice() {
                self.feature = value.and_then(|value| Feature::from_bytes(value).ok());
            } else if key == metrics.as_slice() {
                let record = value.and_then(|value| MetricsRecord::from_bytes(value).ok());
                self.metrics = record.map(|record| record.metrics).unwrap_or_default();
            } else if key == policy.as_slice() {
                self.policy = value.and_then(|value| Policy::from_bytes(value).ok()).unwrap_or_default();
            } else if key == deployment.as_slice() {
                self.deployment = value.and_then(|value| Deployment::from_bytes(value).ok());
            } else {
                continue;
            }
            is_touched = true;
        }
        is_touched
    }

    pub(super) fn sample(&self) -> Option<Sample> {
        match self.subject {
            Subject::Feature => {
                let feature = self.feature.as_ref()?;
                Some(Sample::Feature(FeatureSample::of(feature, &self.metrics, &self.policy)))
            }
            Subject::Plugin => Some(Sample::Plugin(self.deployment.as_ref().map(PluginSample::of))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature() -> FeatureSample {
        let window = Some(WindowSample { start: 100, blocks: 20, errors: 3, successes: 4 });
        FeatureSample {
            percent: 25,
            is_on: true,
            errors: 1,
            successes: 2,
            window,
            max_error_rate: 100,
            min_samples: 10,
        }
    }

    fn deployment() -> PluginSample {
        let counts = |requests| Counts { requests, errors: 1, latency_sum: 9 };
        PluginSample {
            share: 500,
            canary: counts(7),
            production: counts(8),
            stage_requests: 5,
            stage_errors: 1,
            error_threshold: 100,
            min_requests: 50,
        }
    }

    #[test]
    fn samples_have_one_encoding() {
        let without = FeatureSample { window: None, is_on: false, ..feature() };
        for (sample, len) in [
            (Sample::Feature(feature()), 52),
            (Sample::Feature(without), 28),
            (Sample::Plugin(Some(deployment())), 77),
            (Sample::Plugin(None), 1),
        ] {
            let bytes = sample.to_bytes();
            assert_eq!((bytes.len(), Sample::from_bytes(&bytes)), (len, Ok(sample)));
            assert!((0..len).all(|end| Sample::from_bytes(&bytes[..end]).is_err()), "{sample:?}");
        }
        let bytes = Sample::Feature(FeatureSample { window: None, ..feature() }).to_bytes();
        assert_eq!(bytes[..3], [0, 25, 1]);
        let plugin = Sample::Plugin(Some(deployment())).to_bytes();
        // A row is a sample with one byte that is out of its range.
        for (good, at, byte, kind) in [
            (&bytes, 0, 3, DecodeErrorKind::UnknownTag),
            (&bytes, 1, 101, DecodeErrorKind::OutOfRange),
            (&bytes, 2, 2, DecodeErrorKind::NotCanonical),
            (&bytes, 19, 1, DecodeErrorKind::OutOfRange),
            (&bytes, 27, 2, DecodeErrorKind::NotCanonical),
            (&plugin, 1, 0xff, DecodeErrorKind::OutOfRange),
            (&plugin, 67, 0xff, DecodeErrorKind::OutOfRange),
        ] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Sample::from_bytes(&bad).map_err(|error| error.kind), Err(kind), "byte {at}");
        }
    }
}
