//! The brake on deletes: they wait for each other for a moment, so that a mass of them is seen as one, and then go together or not at all.

use std::time::{Duration, Instant};

use crate::sync::is_mass_deletion;

/// Deletes go when none has been added for so long.
const QUIET: Duration = Duration::from_millis(250);
/// Deletes with less time between them are one pass.
const PASS: Duration = Duration::from_secs(10);

/// The deletes of one pass, and what they are held against.
#[derive(Debug)]
pub(super) struct Guard {
    force: bool,
    held: bool,
    /// When the last delete was asked for.
    asked_at: Option<Instant>,
    /// Entries there were when the pass began.
    entries: usize,
    /// Deletes that went in this pass.
    gone: usize,
}

/// What to do with the deletes that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brake {
    /// More may come; wait.
    Wait,
    /// They may go.
    Go,
    /// They are too many: so many, out of so many.
    Hold { deletes: usize, entries: usize },
}

impl Guard {
    pub(super) fn new(force: bool) -> Guard {
        Guard { force, held: false, asked_at: None, entries: 0, gone: 0 }
    }

    /// A delete was added to those that wait; `entries` there are now.
    pub(super) fn ask(&mut self, entries: usize, now: Instant) {
        if self.asked_at.is_none_or(|last| PASS < now.duration_since(last)) {
            (self.entries, self.gone) = (entries, 0);
        }
        self.asked_at = Some(now);
    }

    /// What to do with `waiting` deletes.
    pub(super) fn judge(&mut self, waiting: usize, now: Instant) -> Brake {
        if waiting == 0 || self.asked_at.is_some_and(|last| now.duration_since(last) < QUIET) {
            self.held &= 0 < waiting;
            return Brake::Wait;
        }
        let deletes = waiting + self.gone;
        self.held = !self.force && is_mass_deletion(deletes, self.entries.max(deletes));
        if self.held {
            return Brake::Hold { deletes, entries: self.entries.max(deletes) };
        }
        self.gone += waiting;
        Brake::Go
    }

    /// Whether deletes are being held.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_go_after_a_moment_and_a_mass_is_held() {
        let start = Instant::now();
        let later = start + QUIET;
        for (waiting, entries, want) in [
            (1, 1, Brake::Go),
            (20, 20, Brake::Go),
            (50, 100, Brake::Go),
            (51, 100, Brake::Hold { deletes: 51, entries: 100 }),
        ] {
            let mut guard = Guard::new(false);
            guard.ask(entries, start);
            assert_eq!(guard.judge(waiting, start), Brake::Wait);
            assert_eq!(guard.judge(waiting, later), want);
            assert_eq!(guard.is_held(), want != Brake::Go);
        }
    }

    #[test]
    fn a_mass_in_small_portions_is_still_a_mass() {
        let mut guard = Guard::new(false);
        let mut now = Instant::now();
        let (mut entries, mut gone) = (1000, 0);
        loop {
            guard.ask(entries, now);
            now += QUIET;
            match guard.judge(10, now) {
                Brake::Go => (entries, gone) = (entries - 10, gone + 10),
                Brake::Hold { deletes, entries } => {
                    assert_eq!((gone, deletes, entries), (500, 510, 1000));
                    return;
                }
                Brake::Wait => panic!("quiet long enough"),
            }
        }
    }

    #[test]
    fn force_goes_on_and_a_held_guard_lets_go_when_the_files_come_back() {
        let start = Instant::now();
        let mut forced = Guard::new(true);
        forced.ask(100, start);
        assert_eq!(forced.judge(100, start + QUIET), Brake::Go);
        let mut guard = Guard::new(false);
        guard.ask(100, start);
        assert!(matches!(guard.judge(100, start + QUIET), Brake::Hold { .. }));
        assert_eq!(guard.judge(0, start + QUIET), Brake::Wait);
        assert!(!guard.is_held());
    }
}
