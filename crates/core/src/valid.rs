//! Values whose parts obey a rule together.

use alloc::sync::Arc;
use core::ops::Deref;

use crate::values::ValueError;

/// A rule that the parts of a value obey together.
pub trait Validate {
    /// Checks the rule.
    ///
    /// # Errors
    /// The part of the rule that the value breaks.
    fn validate(&self) -> Result<(), ValueError>;
}

/// A value that obeys its rule. It can be read like the value itself; to change it, take it out and check it again.
///
/// Commands hold only such values, so that whatever a [`Command`](crate::Command) says has an encoding and passes
/// the checks of its fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Valid<T>(T);

impl<T: Validate> Valid<T> {
    /// Checks the rule.
    ///
    /// # Errors
    /// The part of the rule that the value breaks.
    pub fn new(value: T) -> Result<Self, ValueError> {
        value.validate().map(|()| Self(value))
    }
}

impl<T> Valid<T> {
    /// A value that the caller has built so that it obeys the rule.
    pub(crate) const fn trusted(value: T) -> Self {
        Self(value)
    }

    /// The value, to be changed.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: Validate> Validate for Arc<T> {
    fn validate(&self) -> Result<(), ValueError> {
        T::validate(self)
    }
}

impl<T> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
