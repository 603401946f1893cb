//! Fuzzing: libFuzzer looks for inputs that break a codec, beginning with the hand-written ones in `seeds`.
//!
//! The targets are those of `common/tests/mutations`, which says what they check. `scripts/fuzz` runs them.

#[path = "../common/tests/mutations/targets/mod.rs"]
mod targets;

/// Hands an input to the target of this name.
///
/// # Panics
/// If something is wrong, or there is no such target.
pub fn check(name: &str, bytes: &[u8]) {
    let target = targets::TARGETS.iter().find(|target| target.name == name).expect("a target has this name");
    (target.check)(bytes);
}
