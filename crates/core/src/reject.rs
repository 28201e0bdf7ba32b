//! The numbered outcomes of a command that was refused. Numbers are for ever.

macro_rules! rejects {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why a command was refused: a normal, numbered result and part of consensus.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reject {
            $($(#[$doc])* $variant,)*
        }

        impl Reject {
            /// Every reject, by code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code. 0 is not a reject: it stands for success.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// The name in fixtures and output.
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
    /// The bytes do not decode.
    Malformed = 1, "malformed";
    /// The signer lacks the role.
    Unauthorized = 2, "unauthorized";
    /// No feature of that name.
    FeatureNotFound = 3, "feature_not_found";
    /// The name is taken.
    FeatureAlreadyExists = 4, "feature_already_exists";
    /// The feature is Disabled or RolledBack.
    FeatureDisabled = 5, "feature_disabled";
    /// The feature is rolling out.
    RolloutInProgress = 6, "rollout_in_progress";
    /// Fewer successes than `min_success_count`.
    InsufficientData = 7, "insufficient_data";
    /// The error rate is above `max_error_rate`.
    ErrorRateExceeded = 8, "error_rate_exceeded";
    /// Already in that status, or not from this one.
    InvalidTransition = 9, "invalid_transition";
    /// The circuit breaker is open.
    CircuitOpen = 10, "circuit_open";
    /// A prerequisite is Disabled or RolledBack.
    PrerequisiteNotActive = 11, "prerequisite_not_active";
    /// The feature names itself as a prerequisite.
    PrerequisiteCycle = 12, "prerequisite_cycle";
    /// A prerequisite does not exist.
    PrerequisiteNotFound = 13, "prerequisite_not_found";
    /// A name breaks its rule.
    InvalidName = 14, "invalid_name";
    /// A percent above 100, or a target that leads nowhere.
    InvalidPercent = 15, "invalid_percent";
    /// A parameter is out of its range.
    InvalidParameter = 16, "invalid_parameter";
    /// Too long, too many or too deep.
    LimitExceeded = 17, "limit_exceeded";
    /// The step is not due yet.
    NotDue = 18, "not_due";
    /// The height has passed.
    HeightInPast = 19, "height_in_past";
    /// No scheduled entry of that height and id.
    ScheduleNotFound = 20, "schedule_not_found";
    /// The last admin cannot be revoked.
    LastAdmin = 21, "last_admin";
    /// The user has no override.
    OverrideNotFound = 22, "override_not_found";
    /// The address does not hold that role.
    RoleNotFound = 23, "role_not_found";
    /// No plugin of that name.
    PluginNotFound = 40, "plugin_not_found";
    /// The plugin has no such version.
    VersionNotFound = 41, "version_not_found";
    /// The version is registered, and not as a Failed one with the same code.
    VersionAlreadyExists = 42, "version_already_exists";
    /// Not SemVer 2.0, or too long.
    InvalidVersion = 43, "invalid_version";
    /// Not a constraint, or too long.
    InvalidConstraint = 44, "invalid_constraint";
    /// The plugin has a deployment.
    DeploymentInProgress = 45, "deployment_in_progress";
    /// The plugin has no deployment, or none of that version.
    NoDeployment = 46, "no_deployment";
    /// The plan breaks its rules.
    InvalidPlan = 47, "invalid_plan";
    /// A requirement is not registered.
    DependencyMissing = 48, "dependency_missing";
    /// A plugin requires itself, directly or through others.
    DependencyCycle = 49, "dependency_cycle";
    /// A version is outside what another plugin requires.
    DependencyBroken = 50, "dependency_broken";
    /// Plugins that are loaded, on their way to be, or not unloaded yet require this one.
    HasDependents = 51, "has_dependents";
    /// Not in the load state that the command needs, or another version is.
    NotLoaded = 52, "not_loaded";
    /// Loaded, or on its way to be.
    AlreadyLoaded = 53, "already_loaded";
    /// A version asks for another host.
    HostTooOld = 54, "host_too_old";
    /// A version is outside the rule of its plugin.
    RuleViolated = 55, "rule_violated";
    /// The deployment does not wait for this command.
    NotWaiting = 56, "not_waiting";
    /// There is no previous version to go back to.
    NoPreviousVersion = 57, "no_previous_version";
    /// The version is the current one, or that of a deployment.
    VersionInUse = 58, "version_in_use";
    /// The body of an item of the feed is too long.
    FeedItemTooLarge = 80, "feed_item_too_large";
    /// Too many ids in a put, live items or records of a kind.
    FeedTooManyItems = 81, "feed_too_many_items";
    /// The id of an item of the feed breaks its rule.
    InvalidFeedId = 82, "invalid_feed_id";
    /// No put is open.
    FeedPutNotOpen = 83, "feed_put_not_open";
}

impl Reject {
    /// The reject with this code.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|reject| reject.code() == code)
    }

    /// The reject of this name.
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

/// Either a value that obeys its rules, or the reject that says which it breaks.
pub(crate) type Checked<T> = Result<T, Reject>;
