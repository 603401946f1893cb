//! Deadlines: moments, not durations.
//!
//! A timeout of ten seconds per read lets a peer that sends a byte every nine hold a thread for ever. So whoever begins to wait computes
//! a moment once, and every read on the way waits for what remains.

use std::time::{Duration, Instant};

/// A duration that ends no wait in practice, and still can be added to any `Instant`.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// When a wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// So long from now.
    pub fn after(duration: Duration) -> Deadline {
        Deadline { at: Instant::now() + duration.min(FAR) }
    }

    /// What is left, never zero; `None` once the moment has passed.
    pub fn remaining(self) -> Option<Duration> {
        self.at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines() {
        assert_eq!(Deadline::after(Duration::ZERO).remaining(), None);
        let minute = Deadline::after(Duration::from_secs(60));
        assert!(minute.remaining().is_some_and(|left| left <= Duration::from_secs(60)));
        assert!(minute < Deadline::after(Duration::MAX));
    }
}
