//! What an invariant promises.

/// Takes a value that an invariant promises to be there.
///
/// Tests and fuzzing stop where it is not; a release build goes on with the default, which cannot panic.
pub(crate) fn promised<T: Default>(value: Option<T>, invariant: &str) -> T {
    debug_assert!(value.is_some(), "broken invariant: {invariant}");
    value.unwrap_or_default()
}
