//! The fallback for a value that an invariant guarantees.

/// Unwraps a value that `invariant` guarantees to be present.
///
/// Tests and fuzzing stop if it is absent. A release build continues with the default: core never panics.
pub(crate) fn promised<T: Default>(value: Option<T>, invariant: &str) -> T {
    debug_assert!(value.is_some(), "broken invariant: {invariant}");
    value.unwrap_or_default()
}
