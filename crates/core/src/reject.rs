//! The numbered reasons for which a command is rejected. Numbers are never reused.

macro_rules! rejects {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
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
        }
    };
}

rejects! {
    /// The bytes do not decode to a transaction.
    Malformed = 1, "malformed";
    /// The signer does not have a role that the command needs.
    Unauthorized = 2, "unauthorized";
    /// There is no feature of that name.
    FeatureNotFound = 3, "feature_not_found";
    /// There is a feature of that name already.
    FeatureAlreadyExists = 4, "feature_already_exists";
    /// The feature is Disabled or RolledBack, and the command needs one that is on.
    FeatureDisabled = 5, "feature_disabled";
    /// The feature is on, or rolling out, and the command must wait until it is not.
    RolloutInProgress = 6, "rollout_in_progress";
    /// The trial has fewer successes than `min_success_count`.
    InsufficientData = 7, "insufficient_data";
    /// The trial's error rate is above `max_error_rate`.
    ErrorRateExceeded = 8, "error_rate_exceeded";
    /// The feature is in that status already, or the command does not apply to the current one.
    InvalidTransition = 9, "invalid_transition";
    /// The circuit breaker is open, so nothing may raise exposure.
    CircuitOpen = 10, "circuit_open";
    /// A prerequisite is Disabled or RolledBack.
    PrerequisiteNotActive = 11, "prerequisite_not_active";
    /// The feature names itself as a prerequisite.
    PrerequisiteCycle = 12, "prerequisite_cycle";
    /// A prerequisite is not registered.
    PrerequisiteNotFound = 13, "prerequisite_not_found";
    /// The bytes are not a valid name.
    InvalidName = 14, "invalid_name";
    /// A percentage above 100, or a target that is neither above the current percentage nor 100.
    InvalidPercent = 15, "invalid_percent";
    /// A parameter is out of range, or contradicts another one.
    InvalidParameter = 16, "invalid_parameter";
    /// A text, list or graph is longer, larger or deeper than its limit.
    LimitExceeded = 17, "limit_exceeded";
    /// The next step is not due yet.
    NotDue = 18, "not_due";
    /// The due height is not above the current one.
    HeightInPast = 19, "height_in_past";
    /// There is no scheduled entry with that height and id.
    ScheduleNotFound = 20, "schedule_not_found";
    /// The role is Admin and the address is the last one that has it.
    LastAdmin = 21, "last_admin";
    /// The user has no override of that feature.
    OverrideNotFound = 22, "override_not_found";
    /// The address does not have that role.
    RoleNotFound = 23, "role_not_found";
    /// There is no plugin of that name.
    PluginNotFound = 40, "plugin_not_found";
    /// The plugin has no version of that precedence.
    VersionNotFound = 41, "version_not_found";
    /// The version is registered already, and not as a Failed one with the same code hash.
    VersionAlreadyExists = 42, "version_already_exists";
    /// Not SemVer 2.0, or longer than 64 bytes.
    InvalidVersion = 43, "invalid_version";
    /// Not a valid constraint, or longer than 128 bytes.
    InvalidConstraint = 44, "invalid_constraint";
    /// The plugin has a deployment already.
    DeploymentInProgress = 45, "deployment_in_progress";
    /// The plugin has no deployment, or one of another version.
    NoDeployment = 46, "no_deployment";
    /// The strategy and guardrails do not compile to a valid plan.
    InvalidPlan = 47, "invalid_plan";
    /// A requirement is not registered.
    DependencyMissing = 48, "dependency_missing";
    /// The plugin requires itself, directly or through others.
    DependencyCycle = 49, "dependency_cycle";
    /// A current version is outside a constraint that another plugin puts on it, or is not loaded far enough for it.
    DependencyBroken = 50, "dependency_broken";
    /// Other plugins that are not Unloaded or Failed require this one.
    HasDependents = 51, "has_dependents";
    /// The plugin is not in the load state that the command needs, or in it with another version.
    NotLoaded = 52, "not_loaded";
    /// The plugin is Pending, Loading or Loaded.
    AlreadyLoaded = 53, "already_loaded";
    /// The host version is outside the host constraint of a version.
    HostTooOld = 54, "host_too_old";
    /// The version is outside the constraint of its plugin.
    RuleViolated = 55, "rule_violated";
    /// The deployment is not in a hold that this command ends, or is at a closed health gate.
    NotWaiting = 56, "not_waiting";
    /// There is no previous version to revert to.
    NoPreviousVersion = 57, "no_previous_version";
    /// The version is current, or part of a deployment.
    VersionInUse = 58, "version_in_use";
    /// The body of a feed item is longer than 4 096 bytes.
    FeedItemTooLarge = 80, "feed_item_too_large";
    /// A put lists too many ids, or the feed has too many live items or records of a kind.
    FeedTooManyItems = 81, "feed_too_many_items";
    /// The bytes are not a valid feed id.
    InvalidFeedId = 82, "invalid_feed_id";
    /// The part continues a put, and no put is open.
    FeedPutNotOpen = 83, "feed_put_not_open";
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
