//! Waiting: for a condition, never for a time. The only sleep of the whole suite is here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take before the test fails. Far more than needed: a busy machine must not fail a test.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// The same for many steps, as long as each of them is in time.
const STEPS_DEADLINE: Duration = Duration::from_secs(240);

/// Pause between two looks: a tenth of what was waited already, so that a measured time means something, whatever it is, and what takes
/// long does not take the machine from those that are waited for.
fn pause(waited: Duration) -> Duration {
    (waited / 10).clamp(Duration::from_millis(2), Duration::from_millis(50))
}

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
            Err(_) => sleep(pause(start.elapsed())),
        }
    }
}

/// The same for what goes on step by step: as long as what is missing changes, it is waited for, up to [`STEPS_DEADLINE`] in all. On a busy
/// machine thousands of files take their time; a program that does nothing any more is found out as soon as ever.
#[track_caller]
pub fn eventually_by_steps<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    let (mut last, mut changed) = (String::new(), start);
    loop {
        match look() {
            Ok(found) => return found,
            Err(missing) if DEADLINE < changed.elapsed() || STEPS_DEADLINE < start.elapsed() => {
                let (still, all) = (changed.elapsed().as_secs(), start.elapsed().as_secs());
                panic!("waited {all} s for {what}; for {still} s now: {missing}")
            }
            Err(missing) if missing != last => (last, changed) = (missing, Instant::now()),
            Err(_) => {}
        }
        sleep(pause(start.elapsed()));
    }
}

/// Says when it is dropped that threads may end that go on until then; so also when the test fails, which would wait for them for ever.
pub struct AtEnd<'a>(pub &'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets time pass in which things may happen. For what is to be found out, wait for it instead.
pub fn pass(time: Duration) {
    sleep(time);
}
