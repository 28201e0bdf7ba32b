//! The numbered reasons for which a command is rejected. Numbers are never reused.

macro_rules! rejects {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $reason:literal;)*) => {
        /// Why a command was rejected: an ordinary, numbered outcome that is part of consensus.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reject {
            $($(#[$doc])* $variant,)*
        }

        impl Reject {
            /// Every reject, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code that receipts contain. 0 is never used: it means success there.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// Name in block files and output.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What is wrong and what to do about it, in a sentence for people.
            ///
            /// Only the code is part of consensus; the sentence may change.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$variant => $reason,)*
                }
            }
        }
    };
}

rejects! {
    /// The bytes do not decode to a transaction.
    Malformed = 1, "malformed",
        "the bytes do not decode as a transaction of this format; build it with the library of this version";
    /// The signer does not have a role that the command needs.
    Unauthorized = 2, "unauthorized",
        "the signer does not have the role for this command; sign with another address, or have an admin grant it";
    /// There is no feature of that name.
    FeatureNotFound = 3, "feature_not_found",
        "there is no feature of this name; create it first, or check the spelling";
    /// There is a feature of that name already.
    FeatureAlreadyExists = 4, "feature_already_exists",
        "there is a feature of this name already; choose another name, or configure the one that is there";
    /// The feature is Disabled or RolledBack, and the command needs one that is on.
    FeatureDisabled = 5, "feature_disabled",
        "the feature is disabled or rolled back, and this command needs one that is on; start a canary first";
    /// The feature is on, or rolling out, and the command must wait until it is not.
    RolloutInProgress = 6, "rollout_in_progress",
        "the feature is on, or on its way to be; disable it first, or let the rollout end";
    /// The trial has fewer successes than `min_success_count`.
    InsufficientData = 7, "insufficient_data",
        "the trial has fewer successes than min_success_count; wait for more reports";
    /// The trial's error rate is above `max_error_rate`.
    ErrorRateExceeded = 8, "error_rate_exceeded",
        "the error rate of this trial is above max_error_rate; fix the feature and start a new trial";
    /// The feature is in that status already, or the command does not apply to the current one.
    InvalidTransition = 9, "invalid_transition",
        "what the command is about is not in a status from which it leads on; look up its status";
    /// The circuit breaker is open, so nothing may raise exposure.
    CircuitOpen = 10, "circuit_open",
        "the circuit breaker is open; reset it, or wait until it closes";
    /// A prerequisite is Disabled or RolledBack.
    PrerequisiteNotActive = 11, "prerequisite_not_active",
        "a prerequisite is disabled or rolled back; turn that feature on first";
    /// The feature names itself as a prerequisite.
    PrerequisiteCycle = 12, "prerequisite_cycle",
        "the feature is among its own prerequisites; leave it out";
    /// A prerequisite is not registered.
    PrerequisiteNotFound = 13, "prerequisite_not_found",
        "a prerequisite does not exist; create that feature first";
    /// The bytes are not a valid name.
    InvalidName = 14, "invalid_name",
        "the name breaks the rule: 1 to 64 of the characters A-Z a-z 0-9 _ . : -, beginning with a letter or digit";
    /// A percentage above 100, or a target that is neither above the current percentage nor 100.
    InvalidPercent = 15, "invalid_percent",
        "the percent is above 100, or does not lead on from that of the feature; choose another one";
    /// A parameter is out of range, or contradicts another one.
    InvalidParameter = 16, "invalid_parameter",
        "a parameter is out of its range, or contradicts another one; see the command in FORMAT.md";
    /// A text, list or graph is longer, larger or deeper than its limit.
    LimitExceeded = 17, "limit_exceeded",
        "something is too long, too many or too deep; see the limits in FORMAT.md";
    /// The next step is not due yet.
    NotDue = 18, "not_due",
        "the next step is not due yet; wait for its height";
    /// The due height is not above the current one.
    HeightInPast = 19, "height_in_past",
        "the height has passed; give one above that of the block";
    /// There is no scheduled entry with that height and id.
    ScheduleNotFound = 20, "schedule_not_found",
        "there is no scheduled entry of this height and id; it has run, or was cancelled";
    /// The role is Admin and the address is the last one that has it.
    LastAdmin = 21, "last_admin",
        "the last admin cannot be revoked; grant the role to another address first";
    /// The user has no override of that feature.
    OverrideNotFound = 22, "override_not_found",
        "the user has no override of this feature; there is nothing to clear";
    /// The address does not have that role.
    RoleNotFound = 23, "role_not_found",
        "the address does not have this role; there is nothing to revoke";
    /// The sequence of the transaction is not above the last one of its signer, or is missing where one is needed.
    BadSequence = 24, "bad_sequence",
        "the sequence is not above the last one of this signer, or is missing; take a higher one and sign again";
    /// The block is above the transaction's last height.
    Expired = 25, "expired",
        "the transaction was valid up to an earlier height; sign it again with a later one";
    /// The command takes effect only as part of a schedule.
    NotScheduled = 26, "not_scheduled",
        "the command is accepted only inside of a schedule; schedule it";
    /// The command raises exposure or power, and the timelock makes it wait.
    TimelockRequired = 27, "timelock_required",
        "the command raises exposure or power, which waits for the timelock; schedule it that many blocks ahead";
    /// The work of the block is spent.
    BlockFull = 28, "block_full",
        "the block has no work left for this command; send it again for a later one";
    /// The report is about a trial or deployment that is over.
    StaleReport = 29, "stale_report",
        "the report is about a trial or deployment that is over; report about the current one";
    /// There is no plugin of that name.
    PluginNotFound = 40, "plugin_not_found",
        "there is no plugin of this name; register a version of it first, or check the spelling";
    /// The plugin has no version of that precedence.
    VersionNotFound = 41, "version_not_found",
        "the plugin has no such version; register it first, or check the spelling";
    /// The version is registered already, and not as a Failed one with the same code hash.
    VersionAlreadyExists = 42, "version_already_exists",
        "the version is registered already; only a failed one can be registered again, with the same code";
    /// Not SemVer 2.0, or longer than 64 bytes.
    InvalidVersion = 43, "invalid_version",
        "the version is not SemVer 2.0 of at most 64 bytes; write it as 1.4.0 or 2.0.0-rc.1";
    /// Not a valid constraint, or longer than 128 bytes.
    InvalidConstraint = 44, "invalid_constraint",
        "the constraint is not one of at most 128 bytes; write it as ^1.2 or >=1.0.0, <2.0.0";
    /// The plugin has a deployment already.
    DeploymentInProgress = 45, "deployment_in_progress",
        "the plugin has a deployment; promote it or roll it back first";
    /// The plugin has no deployment, or one of another version.
    NoDeployment = 46, "no_deployment",
        "the plugin has no deployment, or none of this version; deploy one first";
    /// The strategy and guardrails do not compile to a valid plan.
    InvalidPlan = 47, "invalid_plan",
        "the plan breaks the rules of stages, shares and deadline; see deploy in RULES.md";
    /// A requirement is not registered.
    DependencyMissing = 48, "dependency_missing",
        "a plugin that this version requires is not registered; register it first";
    /// The plugin requires itself, directly or through others.
    DependencyCycle = 49, "dependency_cycle",
        "the plugin requires itself, directly or through others; change the requirements of a version";
    /// A current version is outside a constraint that another plugin puts on it, or is not loaded far enough for it.
    DependencyBroken = 50, "dependency_broken",
        "the version is outside of what another plugin requires; change one of the two versions";
    /// Other plugins that are not Unloaded or Failed require this one.
    HasDependents = 51, "has_dependents",
        "plugins that are loaded require this one; unload them first, or force the unload";
    /// The plugin is not in the load state that the command needs, or in it with another version.
    NotLoaded = 52, "not_loaded",
        "the plugin, or this version of it, is not in the load state that this command needs; look it up";
    /// The plugin is Pending, Loading or Loaded.
    AlreadyLoaded = 53, "already_loaded",
        "the plugin is loaded, or on its way to be; there is nothing to do";
    /// The host version is outside the host constraint of a version.
    HostTooOld = 54, "host_too_old",
        "a version requires another version of the host; update the host, or choose another version";
    /// The version is outside the constraint of its plugin.
    RuleViolated = 55, "rule_violated",
        "the version is outside of the constraint of its plugin; change the constraint, or choose another version";
    /// The deployment is not in a hold that this command ends, or is at a closed health gate.
    NotWaiting = 56, "not_waiting",
        "the deployment does not wait for this command; look at what holds it";
    /// There is no previous version to revert to.
    NoPreviousVersion = 57, "no_previous_version",
        "there is no previous version to go back to; deploy the one that is wanted";
    /// The version is current, or part of a deployment.
    VersionInUse = 58, "version_in_use",
        "the version is the current one or that of a deployment; deploy another one or end the deployment first";
    /// The body of a feed item is longer than 4 096 bytes.
    FeedItemTooLarge = 80, "feed_item_too_large",
        "the body of an item of the feed is too long; see the limits in FORMAT.md";
    /// A put lists too many ids, or the feed has too many live items or records of a kind.
    FeedTooManyItems = 81, "feed_too_many_items",
        "there are too many items of this kind, live or remembered; delete or forget some first";
    /// The bytes are not a valid feed id.
    InvalidFeedId = 82, "invalid_feed_id",
        "the id breaks the rule: 1 to 128 printable ASCII characters without spaces";
    /// The part continues a put, and no put is open.
    FeedPutNotOpen = 83, "feed_put_not_open",
        "no put is open that this part could go on with; begin with a first part";
}

impl Reject {
    /// Looks up a reject by its code; `None` for 0.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|reject| reject.code() == code)
    }

    /// Looks up a reject by its [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reject| reject.name() == name)
    }
}

impl core::fmt::Display for Reject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Reject {}

/// A value of a command, or why that command is rejected. A decode error instead makes the whole transaction malformed.
pub(crate) type Checked<T> = Result<T, Reject>;
