//! The brake on deletes: they wait for each other for a moment, so that a mass of them is seen as one, and then go together or not at all.

use std::time::{Duration, Instant};

use crate::sync::is_mass_deletion;

/// Deletes go when none has been added for so long.
const QUIET: Duration = Duration::from_millis(250);
/// But no later than this after the first that waits: somewhere something may be deleted all the time.
const LONGEST: Duration = Duration::from_secs(30);
/// Deletes with less time between them are one pass.
const PASS: Duration = Duration::from_secs(10);

/// The deletes of one pass, and what they are held against.
#[derive(Debug)]
pub(super) struct Guard {
    force: bool,
    held: bool,
    /// When the last delete was asked for.
    asked_at: Option<Instant>,
    /// When the first of those that wait was asked for, if nothing was decided since.
    waiting_since: Option<Instant>,
    /// The most entries that there were during the pass: a first sync makes them many in seconds. While deletes are held nothing is added,
    /// or what is put in the place of the lost would let them go.
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
        Guard { force, held: false, asked_at: None, waiting_since: None, entries: 0, gone: 0 }
    }

    /// A delete was added to those that wait; `entries` there are now.
    pub(super) fn ask(&mut self, entries: usize, now: Instant) {
        if !self.held && self.asked_at.is_none_or(|last| PASS < now.duration_since(last)) {
            (self.entries, self.gone) = (entries, 0);
        }
        self.count(entries);
        self.asked_at = Some(now);
        self.waiting_since.get_or_insert(now);
    }

    /// Whether deletes wait that have to be judged, whatever else is going on.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.waiting_since.is_some_and(|since| LONGEST <= now.duration_since(since))
    }

    /// What to do with `waiting` deletes; `entries` there are now.
    pub(super) fn judge(&mut self, waiting: usize, entries: usize, now: Instant) -> Brake {
        if waiting == 0 {
            (self.held, self.waiting_since) = (false, None);
            return Brake::Wait;
        }
        let is_quiet = self.asked_at.is_none_or(|last| QUIET <= now.duration_since(last));
        if !is_quiet && !self.is_late(now) {
            return Brake::Wait;
        }
        self.waiting_since = None;
        self.count(entries);
        let deletes = waiting + self.gone;
        self.held = !self.force && is_mass_deletion(deletes, self.entries.max(deletes));
        if self.held {
            return Brake::Hold { deletes, entries: self.entries.max(deletes) };
        }
        self.gone += waiting;
        Brake::Go
    }

    fn count(&mut self, entries: usize) {
        if !self.held {
            self.entries = self.entries.max(entries);
        }
    }

    /// As if those that wait had waited as long as ever.
    #[cfg(test)]
    pub(super) fn grow_old(&mut self) {
        self.waiting_since = Instant::now().checked_sub(LONGEST);
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
            assert_eq!(guard.judge(waiting, entries, start), Brake::Wait);
            assert_eq!(guard.judge(waiting, entries, later), want);
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
            match guard.judge(10, entries, now) {
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
        assert_eq!(forced.judge(100, 100, start + QUIET), Brake::Go);
        let mut guard = Guard::new(false);
        guard.ask(100, start);
        assert!(matches!(guard.judge(100, 100, start + QUIET), Brake::Hold { .. }));
        assert_eq!(guard.judge(0, 100, start + QUIET), Brake::Wait);
        assert!(!guard.is_held());
    }

    /// In a first sync there may be next to nothing when the pass begins.
    #[test]
    fn what_came_since_the_pass_began_counts() {
        let start = Instant::now();
        for (asked, judged) in [(5000, 5000), (5000, 10), (10, 5000)] {
            let mut guard = Guard::new(false);
            guard.ask(10, start);
            assert_eq!(guard.judge(1, 10, start + QUIET), Brake::Go);
            let now = start + PASS / 2;
            guard.ask(asked, now);
            assert_eq!(guard.judge(200, judged, now + QUIET), Brake::Go);
        }
    }

    #[test]
    fn what_is_put_in_the_place_of_the_lost_does_not_let_go_what_is_held() {
        let start = Instant::now();
        let mut guard = Guard::new(false);
        guard.ask(100, start);
        let hold = Brake::Hold { deletes: 100, entries: 100 };
        assert_eq!(guard.judge(100, 100, start + QUIET), hold);
        assert_eq!(guard.judge(100, 5000, start + 2 * QUIET), hold);
        let later = start + 2 * PASS;
        guard.ask(5000, later);
        assert_eq!(guard.judge(101, 5000, later + QUIET), Brake::Hold { deletes: 101, entries: 101 });
    }

    #[test]
    fn where_something_is_deleted_all_the_time_the_rest_does_not_wait_for_ever() {
        let start = Instant::now();
        let mut guard = Guard::new(false);
        let (mut now, mut waiting, mut went) = (start, 0, Vec::new());
        while went.len() < 2 {
            assert!(now < start + 3 * LONGEST, "{went:?}");
            guard.ask(100_000, now);
            waiting += 1;
            if guard.judge(waiting, 100_000, now) == Brake::Go {
                assert!(guard.waiting_since.is_none());
                waiting = 0;
                went.push(now - start);
            }
            now += QUIET / 2;
        }
        assert!(LONGEST <= went[0] && LONGEST <= went[1] - went[0], "{went:?}");
    }
}
