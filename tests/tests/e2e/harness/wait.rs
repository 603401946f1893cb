//! Waiting: for a condition, never for a time. The only sleep of the whole suite is here.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take before the test fails. Far more than needed: a busy machine must not fail a test.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Pause between two looks, short enough that a measured second means something.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until `look` succeeds, and returns what it found. An error says what is not yet as it should be; the last one is
/// part of the panic when the deadline passes.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(DEADLINE, what, look)
}

/// The same with another deadline.
#[track_caller]
pub fn eventually_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(missing) if limit < start.elapsed() => {
                panic!("waited {} s for {what}; still: {missing}", limit.as_secs())
            }
            Err(_) => sleep(PAUSE),
        }
    }
}

/// Lets time pass in which things may happen. For what is to be found out, wait for it instead.
pub fn pass(time: Duration) {
    sleep(time);
}
