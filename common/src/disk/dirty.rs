//! Which paths of a folder are to be looked at, and when. Pure: moments in, paths out.
//!
//! A path is in it once, due at the earliest moment that anyone asked for. One that was just looked at is due again only after
//! [`SETTLE_BUSY`], so that a file that changes a hundred times a second is looked at twice a second. Too many paths become one full scan;
//! and a scan makes all looks before it needless.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::limits::DIRTY_PATHS;
use crate::tree::Path;

/// Between two looks at the same path, if it keeps changing.
pub(super) const SETTLE_BUSY: Duration = Duration::from_millis(500);

/// What is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    paths: HashMap<Path, Due>,
    /// The same, by time.
    order: BTreeSet<(Instant, Path)>,
    /// When the next full scan is due.
    scan: Option<Instant>,
    stopped: bool,
    recent: Recent,
}

/// When a path is to be looked at, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Instant,
    /// It appeared: if it is a directory, all below is to be watched and listed.
    pub(super) appeared: bool,
    /// It was closed after writing, or came as a whole. A file that was not closed may still be being written.
    pub(super) complete: bool,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    Scan,
    Look(Path, Due),
    Stop,
}

impl Dirty {
    /// Nothing but a full scan, at once.
    pub(super) fn all(now: Instant) -> Dirty {
        Dirty { scan: Some(now), ..Dirty::default() }
    }

    /// A path is to be looked at after `delay`, or later if it keeps changing.
    pub(super) fn mark(&mut self, path: Path, delay: Duration, appeared: bool, complete: bool, now: Instant) {
        let delay = if self.recent.contains(&path, now) { SETTLE_BUSY } else { delay };
        self.insert(path, Due { at: now + delay, appeared, complete });
    }

    /// A path is to be looked at then. If it is due already it stays due at the earlier time.
    pub(super) fn insert(&mut self, path: Path, mut due: Due) {
        if let Some(before) = self.paths.get(&path).copied() {
            self.order.remove(&(before.at, path.clone()));
            due.at = due.at.min(before.at);
            due.appeared |= before.appeared;
            due.complete |= before.complete;
        } else if DIRTY_PATHS <= self.paths.len() {
            self.clear();
            self.scan_by(due.at);
            return;
        }
        self.order.insert((due.at, path.clone()));
        self.paths.insert(path, due);
    }

    /// The next full scan is to come then, or earlier.
    pub(super) fn scan_by(&mut self, at: Instant) {
        self.scan = Some(self.scan.map_or(at, |due| due.min(at)));
    }

    /// Nothing is to be looked at any more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Takes out what is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Work> {
        if self.stopped {
            return Some(Work::Stop);
        }
        if self.scan.is_some_and(|at| at <= now) {
            // It looks at everything anyway.
            self.clear();
            self.scan = None;
            return Some(Work::Scan);
        }
        let (at, _) = self.order.first()?;
        if now < *at {
            return None;
        }
        let (_, path) = self.order.pop_first()?;
        let due = self.paths.remove(&path)?;
        self.recent.add(path.clone(), now);
        Some(Work::Look(path, due))
    }

    /// When something will be due next.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let first = self.order.first().map(|(at, _)| *at);
        [self.scan, first].into_iter().flatten().min()
    }

    /// When the next full scan is due, if one is.
    #[cfg(test)]
    pub(super) fn scan_at(&self) -> Option<Instant> {
        self.scan
    }

    fn clear(&mut self) {
        self.paths.clear();
        self.order.clear();
    }
}

/// The paths looked at within the last [`SETTLE_BUSY`], or up to twice that: two generations, the older one forgotten as a whole.
#[derive(Debug, Default)]
struct Recent {
    newer: HashSet<Path>,
    older: HashSet<Path>,
    since: Option<Instant>,
}

impl Recent {
    fn add(&mut self, path: Path, now: Instant) {
        self.turn(now);
        self.newer.insert(path);
    }

    fn contains(&mut self, path: &Path, now: Instant) -> bool {
        self.turn(now);
        self.newer.contains(path) || self.older.contains(path)
    }

    fn turn(&mut self, now: Instant) {
        let age = self.since.map_or(SETTLE_BUSY, |since| now.duration_since(since));
        if SETTLE_BUSY <= age {
            self.older = std::mem::take(&mut self.newer);
            self.since = Some(now);
        }
        if SETTLE_BUSY * 2 <= age {
            self.older.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    fn path(name: &str) -> Path {
        Path::new(name.as_bytes()).unwrap()
    }

    /// What is taken out then, by name.
    fn taken(dirty: &mut Dirty, now: Instant) -> Option<String> {
        dirty.take(now).map(|work| match work {
            Work::Look(path, _) => path.to_string(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn a_path_is_due_once_at_the_earliest_moment_with_all_that_was_said_of_it() {
        let (mut dirty, now) = (Dirty::default(), Instant::now());
        let due = |ticks, appeared, complete| Due { at: now + TICK * ticks, appeared, complete };
        dirty.insert(path("a"), due(3, true, false));
        dirty.insert(path("b"), due(2, false, false));
        dirty.insert(path("a"), due(1, false, true));
        dirty.insert(path("a"), due(5, false, false));
        assert_eq!((dirty.take(now), dirty.next_at()), (None, Some(now + TICK)));
        assert_eq!(dirty.take(now + TICK), Some(Work::Look(path("a"), due(1, true, true))));
        assert_eq!(dirty.take(now + TICK * 9), Some(Work::Look(path("b"), due(2, false, false))));
        assert_eq!((dirty.take(now + TICK * 9), dirty.next_at()), (None, None));
    }

    #[test]
    fn what_keeps_changing_is_looked_at_twice_a_second() {
        let (mut dirty, begin) = (Dirty::default(), Instant::now());
        let mut looks = 0;
        for change in 0..300 {
            let now = begin + TICK * change;
            dirty.mark(path("a"), TICK, false, true, now);
            looks += u32::from(dirty.take(now).is_some());
        }
        assert!((5..=7).contains(&looks), "{looks} looks in three seconds");
        let rested = begin + TICK * 300 + SETTLE_BUSY * 3;
        assert!(dirty.take(rested).is_some());
        dirty.mark(path("a"), TICK, false, true, rested + SETTLE_BUSY * 3);
        assert_eq!(
            dirty.next_at(),
            Some(rested + SETTLE_BUSY * 3 + TICK),
            "it is a path like any other again"
        );
    }

    #[test]
    fn a_scan_comes_as_early_as_anyone_wants_it_and_makes_looks_needless() {
        let now = Instant::now();
        let mut dirty = Dirty::all(now);
        dirty.mark(path("a"), Duration::ZERO, true, true, now);
        assert_eq!(dirty.take(now), Some(Work::Scan));
        assert_eq!((dirty.take(now), dirty.next_at()), (None, None));
        dirty.scan_by(now + TICK * 2);
        dirty.scan_by(now + TICK);
        dirty.scan_by(now + TICK * 3);
        assert_eq!(dirty.next_at(), Some(now + TICK));
        dirty.stop();
        assert_eq!((taken(&mut dirty, now).as_deref(), dirty.is_stopped()), (Some("Stop"), true));
    }

    #[test]
    fn too_many_paths_become_one_scan() {
        let (mut dirty, now) = (Dirty::default(), Instant::now());
        dirty.scan_by(now + TICK * 1000);
        for number in 0..=DIRTY_PATHS {
            dirty.mark(path(&number.to_string()), TICK, false, true, now);
        }
        assert_eq!(dirty.next_at(), Some(now + TICK));
        assert_eq!(taken(&mut dirty, now + TICK).as_deref(), Some("Scan"));
        assert_eq!(dirty.next_at(), None);
    }
}
