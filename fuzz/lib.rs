//! Fuzzing: libFuzzer looks for inputs that break a codec, or the server, beginning with the hand-written ones in `seeds`.
//!
//! Most targets are those of `common/tests/mutations`, which says what they check. Three look into crates where only tests of their own
//! can: the records of a folder's state, those of a box, and requests to a server as a whole. `scripts/fuzz` runs them all.

#[path = "../common/tests/mutations/targets/mod.rs"]
mod targets;

use common::engine::repack_state_record;
use server::fuzzing::{repack_box_record, serve};

/// Hands an input to the target of this name.
///
/// # Panics
/// If something is wrong, or there is no such target.
pub fn check(name: &str, bytes: &[u8]) {
    match name {
        "state" => has_one_form(bytes, repack_state_record(bytes)),
        "box" => has_one_form(bytes, repack_box_record(bytes)),
        "service" => serve(bytes),
        _ => {
            let target = targets::TARGETS.iter().find(|target| target.name == name);
            (target.expect("a target has this name").check)(bytes);
        }
    }
}

/// What is read is what would be written.
fn has_one_form(bytes: &[u8], packed: Option<Vec<u8>>) {
    assert!(packed.is_none_or(|packed| packed == bytes));
}
