//! How much there is below some folders, kept up to date while it changes: quotas are asked for with every upload, and a folder may hold a
//! million paths. Pure.
//!
//! ```text
//!     below the folder, in the order of paths     a   a/b   c   d/e      f   g   h
//!                                                 \__ counted __/        \__ to be counted, batch by batch
//! ```
//!
//! A folder is counted once, when it is first asked for, and not in one go: a change to a path up to where the count has come is entered
//! into it, and any later one will be met. From then on each change finds the folders above it by their names, and costs nothing where
//! nobody ever asked.

use std::collections::BTreeMap;

use common::limits::TALLIES;
use common::protocol::Amount;
use common::tree::Path;

/// The counts of some folders.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    by_folder: BTreeMap<Path, Tally>,
    /// How often one was asked for: which has not been for longest is known by it.
    asked: u64,
}

/// The count of one folder.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    amount: Amount,
    counted: Counted,
    asked: u64,
}

/// How far a count has come.
#[derive(Debug, Default, PartialEq, Eq)]
enum Counted {
    #[default]
    Nothing,
    /// Up to this path, and with it.
    UpTo(Path),
    All,
}

impl Tallies {
    /// The count of a folder, begun if there is none.
    pub(crate) fn of(&mut self, folder: &Path) -> &mut Tally {
        self.asked += 1;
        if TALLIES <= self.by_folder.len() && !self.by_folder.contains_key(folder) {
            let idle = self.by_folder.iter().min_by_key(|(_, tally)| tally.asked);
            if let Some(idle) = idle.map(|(folder, _)| folder.clone()) {
                self.by_folder.remove(&idle);
            }
        }
        let tally = self.by_folder.entry(folder.clone()).or_default();
        tally.asked = self.asked;
        tally
    }

    /// Something of this size has come to a path.
    pub(crate) fn add(&mut self, path: &Path, bytes: u64) {
        self.above(path, |amount| amount.plus(Amount { bytes, entries: 1 }));
    }

    /// Something of this size has gone from a path.
    pub(crate) fn remove(&mut self, path: &Path, bytes: u64) {
        self.above(path, |amount| amount.minus(Amount { bytes, entries: 1 }));
    }

    fn above(&mut self, path: &Path, change: impl Fn(Amount) -> Amount) {
        if self.by_folder.is_empty() {
            return;
        }
        let bytes = path.as_bytes();
        for (slash, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if let Some(tally) = self.by_folder.get_mut(&bytes[..slash])
                && tally.counted.has(path)
            {
                tally.amount = change(tally.amount);
            }
        }
    }
}

impl Counted {
    fn has(&self, path: &Path) -> bool {
        match self {
            Counted::Nothing => false,
            Counted::UpTo(last) => path <= last,
            Counted::All => true,
        }
    }
}

impl Tally {
    /// The count, if it is complete.
    pub(crate) fn amount(&self) -> Option<Amount> {
        (self.counted == Counted::All).then_some(self.amount)
    }

    /// The path after which it goes on.
    pub(crate) fn last(&self) -> Option<&Path> {
        match &self.counted {
            Counted::UpTo(last) => Some(last),
            Counted::Nothing | Counted::All => None,
        }
    }

    /// Counts the next paths, in their order: the size of what is there, if something is. When there are fewer than `most` of them, they
    /// were the last.
    pub(crate) fn count<'a>(&mut self, next: impl Iterator<Item = (&'a Path, Option<u64>)>, most: usize) {
        let (mut number, mut last) = (0, None);
        for (path, size) in next.take(most) {
            if let Some(bytes) = size {
                self.amount = self.amount.plus(Amount { bytes, entries: 1 });
            }
            number += 1;
            last = Some(path);
        }
        match last {
            Some(last) if number == most => self.counted = Counted::UpTo(last.clone()),
            _ => self.counted = Counted::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    fn amount(bytes: u64, entries: u64) -> Option<Amount> {
        Some(Amount { bytes, entries })
    }

    #[test]
    fn what_changes_while_it_is_counted_is_counted_once() {
        let mut tallies = Tallies::default();
        let folder = path("a");
        // `a/d` is a tombstone.
        let there = ["a/b", "a/c", "a/d", "a/e", "a/f"].map(path);
        let size = |path: &Path| (*path != self::path("a/d")).then_some(10);
        tallies.add(&there[0], 10);
        assert_eq!(tallies.of(&folder).amount(), None);
        tallies.of(&folder).count(there[..2].iter().map(|path| (path, size(path))), 2);
        assert_eq!((tallies.of(&folder).amount(), tallies.of(&folder).last()), (None, Some(&there[1])));
        // Behind where the count has come, at that very place, and before it.
        tallies.remove(&there[1], 10);
        tallies.add(&path("a/bb"), 5);
        tallies.add(&path("a/g"), 7);
        tallies.remove(&there[4], 10);
        let rest = [(&there[2], None), (&there[3], Some(10)), (&path("a/g"), Some(7))];
        tallies.of(&folder).count(rest.into_iter(), 4);
        assert_eq!(tallies.of(&folder).amount(), amount(10 + 5 + 10 + 7, 4));
        tallies.add(&path("a/z/z"), 1);
        tallies.remove(&path("a/bb"), 5);
        assert_eq!(tallies.of(&folder).amount(), amount(28, 4));
    }

    #[test]
    fn only_what_is_below_counts() {
        let mut tallies = Tallies::default();
        for folder in ["a", "a/b"] {
            tallies.of(&path(folder)).count(std::iter::empty(), 1);
        }
        for name in ["a", "a/b", "a/b/c", "a/b/c/d", "ab/c", "a-b", "b/a/b"] {
            tallies.add(&path(name), 1);
        }
        assert_eq!(tallies.of(&path("a")).amount(), amount(3, 3));
        assert_eq!(tallies.of(&path("a/b")).amount(), amount(2, 2));
    }

    #[test]
    fn the_number_of_folders_is_bounded() {
        let mut tallies = Tallies::default();
        let folder = |number: usize| path(&format!("f{number}"));
        for number in 0..=TALLIES {
            tallies.of(&folder(number)).count(std::iter::empty(), 1);
            tallies.of(&folder(0));
        }
        assert_eq!(tallies.by_folder.len(), TALLIES);
        assert!(tallies.by_folder.contains_key(&folder(0)) && !tallies.by_folder.contains_key(&folder(1)));
    }
}
