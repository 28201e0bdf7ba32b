//! The commands on plugins, tags 40 to 56.

use super::{Input, put_lp8, put_lp16, put_option};

/// The most requirements of a version.
pub const REQUIREMENTS_MAX: usize = 32;
/// The most metadata entries of a version.
pub const METADATA_MAX: usize = 16;

/// One stage of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of FORMAT.md")]
pub struct Stage {
    pub share_bps: u16,
    pub blocks: u32,
    pub min_requests: u64,
    /// 0 time, 1 manual, 2 health.
    pub gate: u8,
}

/// A strategy with its own fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "variants and fields are those of FORMAT.md")]
pub enum Strategy {
    Canary {
        initial_bps: u16,
        increment_bps: u16,
        increment_blocks: u32,
        max_bps: u16,
        observation_blocks: u32,
    },
    Rolling {
        initial_bps: u16,
        increment_bps: u16,
        increment_blocks: u32,
    },
    BlueGreen {
        health_blocks: u32,
        bake_blocks: u32,
    },
    AbTest {
        share_bps: u16,
        duration_blocks: u32,
    },
    Custom {
        /// 0 promote, 1 conclude.
        on_complete: u8,
        stages: Vec<Stage>,
    },
}

/// The guardrails, which every strategy takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of FORMAT.md")]
pub struct Guardrails {
    pub error_threshold_bps: u16,
    pub success_threshold_bps: u16,
    pub min_requests: u64,
    /// 0 = no deadline.
    pub max_blocks: u32,
    pub auto_promote: bool,
    pub auto_rollback: bool,
    /// 0 = off.
    pub regression_z_centi: u16,
}

/// A command on plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "variants and fields are those of FORMAT.md")]
pub enum PluginCommand {
    RegisterVersion {
        plugin: Vec<u8>,
        version: Vec<u8>,
        code_hash: [u8; 32],
        /// Empty if there is none.
        host: Vec<u8>,
        /// Plugins and constraints, ascending.
        requirements: Vec<(Vec<u8>, Vec<u8>)>,
        config: Vec<u8>,
        /// Keys and values, ascending.
        metadata: Vec<(Vec<u8>, Vec<u8>)>,
    },
    Deploy {
        plugin: Vec<u8>,
        version: Vec<u8>,
        strategy: Strategy,
        terms: Guardrails,
    },
    Pause {
        plugin: Vec<u8>,
    },
    Resume {
        plugin: Vec<u8>,
    },
    Promote {
        plugin: Vec<u8>,
    },
    RollbackDeployment {
        plugin: Vec<u8>,
    },
    Revert {
        plugin: Vec<u8>,
    },
    RetireVersion {
        plugin: Vec<u8>,
        version: Vec<u8>,
    },
    SetRule {
        plugin: Vec<u8>,
        /// Empty if there is none.
        constraint: Vec<u8>,
    },
    SetHostVersion {
        version: Vec<u8>,
    },
    SetRegistryParams {
        max_versions: Option<u16>,
        auto_load: Option<bool>,
    },
    Load {
        plugin: Vec<u8>,
    },
    Unload {
        plugin: Vec<u8>,
        force: bool,
    },
    ReportVersion {
        plugin: Vec<u8>,
        version: Vec<u8>,
        requests: u32,
        errors: u32,
        latency_total: u64,
        /// The number of the deployment that it is about.
        deployment: Option<u32>,
    },
    AttestHealth {
        plugin: Vec<u8>,
        version: Vec<u8>,
        healthy: bool,
    },
    ReportLoad {
        plugin: Vec<u8>,
        version: Vec<u8>,
        ok: bool,
    },
    ReportUnload {
        plugin: Vec<u8>,
        version: Vec<u8>,
        ok: bool,
    },
}

impl Stage {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.share_bps.to_be_bytes());
        out.extend(self.blocks.to_be_bytes());
        out.extend(self.min_requests.to_be_bytes());
        out.push(self.gate);
    }
}

/// A count, and the stages: the form of a command and of a record.
pub fn put_stages(out: &mut Vec<u8>, stages: &[Stage]) {
    out.push(stages.len() as u8);
    stages.iter().for_each(|stage| stage.put(out));
}

/// A count, and each pair as two texts behind u8 lengths: the form of a command and of a record.
pub fn put_pairs(out: &mut Vec<u8>, pairs: &[(Vec<u8>, Vec<u8>)]) {
    out.push(pairs.len() as u8);
    for (first, second) in pairs {
        put_lp8(out, first);
        put_lp8(out, second);
    }
}

impl Strategy {
    /// The byte that stands for the strategy.
    #[must_use]
    pub fn tag(&self) -> u8 {
        match self {
            Self::Canary { .. } => 0,
            Self::Rolling { .. } => 1,
            Self::BlueGreen { .. } => 2,
            Self::AbTest { .. } => 3,
            Self::Custom { .. } => 4,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        match self {
            Self::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks } => {
                out.extend(initial_bps.to_be_bytes());
                out.extend(increment_bps.to_be_bytes());
                out.extend(increment_blocks.to_be_bytes());
                out.extend(max_bps.to_be_bytes());
                out.extend(observation_blocks.to_be_bytes());
            }
            Self::Rolling { initial_bps, increment_bps, increment_blocks } => {
                out.extend(initial_bps.to_be_bytes());
                out.extend(increment_bps.to_be_bytes());
                out.extend(increment_blocks.to_be_bytes());
            }
            Self::BlueGreen { health_blocks, bake_blocks } => {
                out.extend(health_blocks.to_be_bytes());
                out.extend(bake_blocks.to_be_bytes());
            }
            Self::AbTest { share_bps, duration_blocks } => {
                out.extend(share_bps.to_be_bytes());
                out.extend(duration_blocks.to_be_bytes());
            }
            Self::Custom { on_complete, stages } => {
                out.push(*on_complete);
                put_stages(out, stages);
            }
        }
    }
}

impl Guardrails {
    /// The bytes, in a command and in a record.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.error_threshold_bps.to_be_bytes());
        out.extend(self.success_threshold_bps.to_be_bytes());
        out.extend(self.min_requests.to_be_bytes());
        out.extend(self.max_blocks.to_be_bytes());
        out.push(u8::from(self.auto_promote));
        out.push(u8::from(self.auto_rollback));
        out.extend(self.regression_z_centi.to_be_bytes());
    }
}

impl PluginCommand {
    /// The byte that stands for the kind.
    #[must_use]
    pub fn tag(&self) -> u8 {
        match self {
            Self::RegisterVersion { .. } => 40,
            Self::Deploy { .. } => 41,
            Self::Pause { .. } => 42,
            Self::Resume { .. } => 43,
            Self::Promote { .. } => 44,
            Self::RollbackDeployment { .. } => 45,
            Self::Revert { .. } => 46,
            Self::RetireVersion { .. } => 47,
            Self::SetRule { .. } => 48,
            Self::SetHostVersion { .. } => 49,
            Self::SetRegistryParams { .. } => 50,
            Self::Load { .. } => 51,
            Self::Unload { .. } => 52,
            Self::ReportVersion { .. } => 53,
            Self::AttestHealth { .. } => 54,
            Self::ReportLoad { .. } => 55,
            Self::ReportUnload { .. } => 56,
        }
    }

    /// The bytes behind the tag.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::RegisterVersion { plugin, version, code_hash, host, requirements, config, metadata } => {
                put_lp8(out, plugin);
                put_lp8(out, version);
                out.extend(code_hash);
                put_lp8(out, host);
                put_pairs(out, requirements);
                put_lp16(out, config);
                put_pairs(out, metadata);
            }
            Self::Deploy { plugin, version, strategy, terms } => {
                put_lp8(out, plugin);
                put_lp8(out, version);
                strategy.put(out);
                terms.put(out);
            }
            Self::Pause { plugin }
            | Self::Resume { plugin }
            | Self::Promote { plugin }
            | Self::RollbackDeployment { plugin }
            | Self::Revert { plugin }
            | Self::Load { plugin } => put_lp8(out, plugin),
            Self::RetireVersion { plugin, version } => {
                put_lp8(out, plugin);
                put_lp8(out, version);
            }
            Self::SetRule { plugin, constraint } => {
                put_lp8(out, plugin);
                put_lp8(out, constraint);
            }
            Self::SetHostVersion { version } => put_lp8(out, version),
            Self::SetRegistryParams { max_versions, auto_load } => {
                put_option(out, max_versions.map(u16::to_be_bytes));
                put_option(out, auto_load.map(|auto_load| [u8::from(auto_load)]));
            }
            Self::Unload { plugin, force } => {
                put_lp8(out, plugin);
                out.push(u8::from(*force));
            }
            Self::ReportVersion { plugin, version, requests, errors, latency_total, deployment } => {
                put_lp8(out, plugin);
                put_lp8(out, version);
                out.extend(requests.to_be_bytes());
                out.extend(errors.to_be_bytes());
                out.extend(latency_total.to_be_bytes());
                put_option(out, deployment.map(u32::to_be_bytes));
            }
            Self::AttestHealth { plugin, version, healthy: flag }
            | Self::ReportLoad { plugin, version, ok: flag }
            | Self::ReportUnload { plugin, version, ok: flag } => {
                put_lp8(out, plugin);
                put_lp8(out, version);
                out.push(u8::from(*flag));
            }
        }
    }
}

impl Input<'_> {
    fn pairs(&mut self, max: usize) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let count = usize::from(self.u8()?);
        if count > max {
            return None;
        }
        let pairs = (0..count).map(|_| Some((self.lp8()?, self.lp8()?))).collect::<Option<Vec<_>>>()?;
        pairs.is_sorted_by(|one, other| one.0 < other.0).then_some(pairs)
    }

    fn stage(&mut self) -> Option<Stage> {
        Some(Stage { share_bps: self.u16()?, blocks: self.u32()?, min_requests: self.u64()?, gate: self.tag(2)? })
    }

    fn strategy(&mut self) -> Option<Strategy> {
        Some(match self.u8()? {
            0 => Strategy::Canary {
                initial_bps: self.u16()?,
                increment_bps: self.u16()?,
                increment_blocks: self.u32()?,
                max_bps: self.u16()?,
                observation_blocks: self.u32()?,
            },
            1 => Strategy::Rolling {
                initial_bps: self.u16()?,
                increment_bps: self.u16()?,
                increment_blocks: self.u32()?,
            },
            2 => Strategy::BlueGreen { health_blocks: self.u32()?, bake_blocks: self.u32()? },
            3 => Strategy::AbTest { share_bps: self.u16()?, duration_blocks: self.u32()? },
            4 => {
                let (on_complete, count) = (self.tag(1)?, self.u8()?);
                Strategy::Custom { on_complete, stages: (0..count).map(|_| self.stage()).collect::<Option<_>>()? }
            }
            _ => return None,
        })
    }

    fn terms(&mut self) -> Option<Guardrails> {
        Some(Guardrails {
            error_threshold_bps: self.u16()?,
            success_threshold_bps: self.u16()?,
            min_requests: self.u64()?,
            max_blocks: self.u32()?,
            auto_promote: self.bool()?,
            auto_rollback: self.bool()?,
            regression_z_centi: self.u16()?,
        })
    }

    fn register_version(&mut self) -> Option<PluginCommand> {
        let (plugin, version, code_hash) = (self.lp8()?, self.lp8()?, self.array()?);
        let (host, requirements, config) = (self.lp8()?, self.pairs(REQUIREMENTS_MAX)?, self.lp16()?);
        let metadata = self.pairs(METADATA_MAX)?;
        let is_text = metadata.iter().all(|(_, value)| std::str::from_utf8(value).is_ok());
        is_text.then_some(PluginCommand::RegisterVersion {
            plugin,
            version,
            code_hash,
            host,
            requirements,
            config,
            metadata,
        })
    }

    /// Reads the command of a tag; `None` if the bytes are malformed or the tag is not one of these.
    pub(super) fn plugin_command(&mut self, tag: u8) -> Option<PluginCommand> {
        if tag == 49 {
            return Some(PluginCommand::SetHostVersion { version: self.lp8()? });
        }
        if tag == 50 {
            return Some(PluginCommand::SetRegistryParams {
                max_versions: self.option(Self::u16)?,
                auto_load: self.option(Self::bool)?,
            });
        }
        if tag == 40 {
            return self.register_version();
        }
        if !(41..=56).contains(&tag) {
            return None;
        }
        let plugin = self.lp8()?;
        Some(match tag {
            41 => {
                PluginCommand::Deploy { plugin, version: self.lp8()?, strategy: self.strategy()?, terms: self.terms()? }
            }
            42 => PluginCommand::Pause { plugin },
            43 => PluginCommand::Resume { plugin },
            44 => PluginCommand::Promote { plugin },
            45 => PluginCommand::RollbackDeployment { plugin },
            46 => PluginCommand::Revert { plugin },
            47 => PluginCommand::RetireVersion { plugin, version: self.lp8()? },
            48 => PluginCommand::SetRule { plugin, constraint: self.lp8()? },
            51 => PluginCommand::Load { plugin },
            52 => PluginCommand::Unload { plugin, force: self.bool()? },
            53 => PluginCommand::ReportVersion {
                plugin,
                version: self.lp8()?,
                requests: self.u32()?,
                errors: self.u32()?,
                latency_total: self.u64()?,
                deployment: self.option(Self::u32)?,
            },
            54 => PluginCommand::AttestHealth { plugin, version: self.lp8()?, healthy: self.bool()? },
            55 => PluginCommand::ReportLoad { plugin, version: self.lp8()?, ok: self.bool()? },
            56 => PluginCommand::ReportUnload { plugin, version: self.lp8()?, ok: self.bool()? },
            _ => return None,
        })
    }
}
