//! What is in directories: several are listed at the same time, because what takes long, asking for each name what it stands for, keeps a
//! processor busy and, where nothing is cached, waits for the disk.
//!
//! ```text
//!     directories, in order      [ a | a/b | c | d | ... ]
//!                                   |    |     |   \_ whoever is free takes the next one: the caller, and threads that last as long as
//!                                   v    v     v      the call
//!     listings, in the same order [ a | a/b | c | ... ]
//! ```
//!
//! Listings are only worth something while they are fresh, and may be large. So when those that are begun have found enough names, no more
//! are begun, and the caller gets fewer than he asked for.

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use super::root::Root;
use super::stat::{Stat, now};
use super::watch::{Added, Watch};
use crate::limits::{LISTED_DIRECTORIES, LISTED_NAMES, LISTING_THREADS};
use crate::threads::spawn_scoped;
use crate::tree::{Mtime, Path, PathError};

/// Lists directories beneath a root.
#[derive(Debug)]
pub(super) struct Lister {
    root: Arc<Root>,
    threads: usize,
}

/// What was found in one directory.
#[derive(Debug)]
pub(super) struct Listing {
    /// Which; `None` is the root.
    pub(super) directory: Option<Path>,
    /// When it was begun, by the clock that stamps files.
    pub(super) began: Mtime,
    /// What came of watching it, if that was asked for.
    pub(super) watched: Option<io::Result<Added>>,
    /// What it holds, or why that can't be known.
    pub(super) names: io::Result<Names>,
}

/// What is in a directory, but for the reserved name.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// What can sync, with what it looks like, in the order of paths.
    pub(super) entries: Vec<(Path, Stat)>,
    /// Files that were written to a moment ago, in the order of paths.
    pub(super) unsettled: Vec<Path>,
    /// Names that can't sync, because their paths would break a rule.
    pub(super) unsuitable: Vec<(Vec<u8>, PathError)>,
}

/// What to do with each directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Watch it with this before it is listed, so that nothing falls in between.
    pub(super) watch: Option<&'a Watch>,
    /// Files that were written to within this time are unsettled.
    pub(super) settled_after: Duration,
}

impl Lister {
    /// With as many threads as there are processors.
    pub(super) fn new(root: Arc<Root>) -> Lister {
        let processors = available_parallelism().map_or(1, usize::from);
        Lister { root, threads: threads_for(processors) }
    }

    /// Lists the last of the directories that wait (the root, where none is named), the very last one first, and takes them out: one at
    /// least, if there is any.
    pub(super) fn list(&self, waiting: &mut Vec<Option<Path>>, wanted: Wanted<'_>) -> Vec<Listing> {
        let next = &waiting[waiting.len().saturating_sub(LISTED_DIRECTORIES)..];
        let (taken, found) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            let mut listings = Vec::new();
            while found.load(Ordering::Relaxed) < LISTED_NAMES {
                let number = taken.fetch_add(1, Ordering::Relaxed);
                let Some(directory) = next.iter().rev().nth(number) else { break };
                let listing = self.list_one(directory.clone(), wanted);
                found.fetch_add(listing.names.as_ref().map_or(0, Names::len), Ordering::Relaxed);
                listings.push((number, listing));
            }
            listings
        };
        let helpers = self.threads.min(next.len()).saturating_sub(1);
        let mut listings = thread::scope(|scope| {
            // Where no more threads are to be had, fewer do it.
            let helpers: Vec<_> =
                (0..helpers).map_while(|_| spawn_scoped(scope, "list", work).ok()).collect();
            let mut listings = work();
            for helper in helpers {
                listings.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            listings
        });
        waiting.truncate(waiting.len() - listings.len());
        listings.sort_unstable_by_key(|(number, _)| *number);
        listings.into_iter().map(|(_, listing)| listing).collect()
    }

    fn list_one(&self, directory: Option<Path>, wanted: Wanted<'_>) -> Listing {
        let watched = wanted.watch.map(|watch| watch.add(directory.as_ref()));
        let began = now();
        let names = self.root.list(directory.as_ref()).map(|listed| {
            let mut names = Names { entries: Vec::with_capacity(listed.len()), ..Names::default() };
            for (name, stat) in listed {
                match Path::child(directory.as_ref(), &name) {
                    Ok(path) if stat.is_written_within(wanted.settled_after) => names.unsettled.push(path),
                    Ok(path) => names.entries.push((path, stat)),
                    Err(PathError::Reserved) => {}
                    Err(rule) => names.unsuitable.push((name, rule)),
                }
            }
            names.entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            names.unsettled.sort_unstable();
            names
        });
        Listing { directory, began, watched, names }
    }
}

fn threads_for(processors: usize) -> usize {
    processors.min(LISTING_THREADS)
}

impl Names {
    fn len(&self) -> usize {
        self.entries.len() + self.unsettled.len() + self.unsuitable.len()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::scratch::Scratch;

    const LIST: Wanted<'_> = Wanted { watch: None, settled_after: Duration::ZERO };

    fn lister(scratch: &Scratch) -> Lister {
        Lister { root: Arc::new(Root::open(scratch.path()).unwrap()), threads: 4 }
    }

    fn directory(name: &str) -> Option<Path> {
        Some(Path::new(name.as_bytes()).unwrap())
    }

    fn names(listing: &Listing) -> Vec<String> {
        listing.names.as_ref().unwrap().entries.iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn so_many_are_listed_at_once_in_their_order() {
        let scratch = Scratch::new();
        let named: Vec<String> = (0..LISTED_DIRECTORIES + 10).map(|number| format!("d{number}")).collect();
        for (number, name) in named.iter().enumerate().skip(1) {
            fs::create_dir(scratch.path().join(name)).unwrap();
            for file in (0..number % 4).rev() {
                fs::write(scratch.path().join(format!("{name}/{file}")), "").unwrap();
            }
        }
        let mut waiting: Vec<_> = named.iter().rev().map(|name| directory(name)).collect();
        let listings = lister(&scratch).list(&mut waiting, LIST);
        assert_eq!((listings.len(), waiting.len()), (LISTED_DIRECTORIES, 10));
        assert_eq!(listings[0].names.as_ref().unwrap_err().kind(), io::ErrorKind::NotFound);
        for (number, listing) in listings.iter().enumerate().skip(1) {
            let expected: Vec<String> = (0..number % 4).map(|file| format!("d{number}/{file}")).collect();
            assert_eq!((&listing.directory, names(listing)), (&directory(&named[number]), expected));
        }
        assert_eq!(lister(&scratch).list(&mut waiting, LIST).len(), 10);
        assert!(lister(&scratch).list(&mut waiting, LIST).is_empty());
    }

    /// Each directory has enough: nobody begins a second one.
    #[test]
    fn what_is_found_at_once_is_bounded() {
        let scratch = Scratch::new();
        for number in 0..LISTED_NAMES {
            fs::write(scratch.path().join(number.to_string()), "").unwrap();
        }
        let mut waiting = vec![None; 50];
        let listings = lister(&scratch).list(&mut waiting, LIST);
        assert!((1..=4).contains(&listings.len()), "{}", listings.len());
        assert_eq!(waiting.len() + listings.len(), 50);
        assert_eq!(names(&listings[0]).len(), LISTED_NAMES);
    }

    #[test]
    fn there_are_as_many_threads_as_processors_up_to_some_number() {
        assert_eq!([1, 2, 1000].map(threads_for), [1, 2, LISTING_THREADS]);
    }

    #[test]
    fn the_reserved_name_is_left_out_and_what_is_being_written_is_kept_apart() {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path().join("d/.filesync")).unwrap();
        fs::create_dir(scratch.path().join("d/sub")).unwrap();
        ["b", "a"].iter().for_each(|name| fs::write(scratch.path().join("d").join(name), "").unwrap());
        let list = |settled_after| {
            lister(&scratch).list(&mut vec![directory("d")], Wanted { settled_after, ..LIST })
        };
        assert_eq!(names(&list(Duration::ZERO)[0]), ["d/a", "d/b", "d/sub"]);
        let listing = &list(Duration::from_secs(3600))[0];
        let unsettled: Vec<_> =
            listing.names.as_ref().unwrap().unsettled.iter().map(Path::to_string).collect();
        assert_eq!(
            (names(listing), unsettled),
            (vec!["d/sub".to_owned()], vec!["d/a".to_owned(), "d/b".to_owned()])
        );
    }
}
