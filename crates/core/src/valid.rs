//! Values with an invariant across their fields.

use alloc::sync::Arc;
use core::ops::Deref;

use crate::values::ValueError;

/// An invariant across the fields of a value.
pub trait Validate {
    /// Checks the invariant.
    ///
    /// # Errors
    /// The first violation found.
    fn validate(&self) -> Result<(), ValueError>;
}

/// A value whose invariant has been checked. It derefs to the value; to change it, take it out and check again.
///
/// Commands contain only such values, so every [`Command`](crate::Command) has an encoding and passes the checks
/// of its fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Valid<T>(T);

impl<T: Validate> Valid<T> {
    /// Checks the invariant once; the type is the proof from then on.
    ///
    /// # Errors
    /// The first violation found.
    pub fn new(value: T) -> Result<Self, ValueError> {
        value.validate().map(|()| Self(value))
    }
}

impl<T> Valid<T> {
    /// Wraps a value without a check. The caller has built it so that the invariant is satisfied.
    pub(crate) const fn trusted(value: T) -> Self {
        Self(value)
    }

    /// Takes the value out, for instance to change it.
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
