//! Says what a folder holds, and goes on saying what changes in it. The server observes its box with it, a client its folder.
//!
//! ```text
//!     inotify --> "watch" thread --> dirty paths, each with the time it is due --> "scan" thread --> observations
//!                 never blocks        (bounded: too many become one full scan)     looks, lists      in order, with back-pressure
//! ```
//!
//! Events are hints, the look is the truth: an event only makes a path dirty; what is reported is what is found there a moment later.
//! That moment lets an editor finish its dance of temporary names, and lets a file that changes a hundred times a second be looked at
//! twice a second. A directory is first watched and then listed, so that nothing falls in between; what is being written in a new one
//! while it is listed is looked at later. A full scan comes first, then now and then, and whenever events were lost.
//!
//! *Absent* is only reported on good evidence: a complete listing of the directory above, or a look at the very path, while the folder
//! itself is still in its place and still has its private directory. A folder that was unmounted, moved away or emptied of that too is
//! reported as [`Observation::Gone`], and nothing in it as absent.
//!
//! Directories that nobody wants to know about can be passed by ([`Passed`]): they are told of themselves, and neither watched nor listed.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::dirty::{Dirty, Due, SETTLE_BUSY, Work};
use super::halves::Halves;
use super::listing::{Lister, Listing, Names, Wanted};
use super::root::{Above, Root};
use super::stat::{Stat, StatKind};
use super::watch::{Added, Event, Watch};
use crate::limits::{LOOK_AGAIN, POLL_INTERVAL, RESCAN_INTERVAL, UNLISTED_DIRECTORIES};
use crate::threads::{lock, spawn};
use crate::tree::{Mtime, Path, PathError};

/// For how long a directory is held open for further looks into it.
const LOOKS_IN_A_ROW: Duration = Duration::from_millis(10);
/// Between a file being closed or moved into place, and the look at it.
const SETTLE: Duration = Duration::from_millis(3);
/// Between the second half of a rename, and the look at the first: it must come before the look at the second, so that whoever hears of
/// both knows that the old name is free when the new one appears.
const SETTLE_MOVED: Duration = Duration::from_millis(2);
/// Between a name appearing, and the look at it: most will be closed after writing before that.
const SETTLE_NEW: Duration = Duration::from_millis(50);
/// Between a name disappearing, and the look at it: editors that save by renaming put it back at once.
const SETTLE_GONE: Duration = Duration::from_millis(100);
/// A file that was written to so recently, and not closed yet, is still being written.
const STILL_WRITING: Duration = Duration::from_secs(2);
/// The same for what is found in a directory that was just made. Most of it is complete, and was closed before the directory was watched.
const STILL_FILLING: Duration = Duration::from_millis(500);
/// Events that come sooner after each other than this come in a burst.
const BURST: Duration = Duration::from_millis(1);
/// So many of them are read one by one: as many as come of one file that is saved.
const BURST_READS: u32 = 4;
/// Then some are let gather before the next read, so that it brings many. The kernel keeps those that come in a hundred times as long.
const GATHER: Duration = Duration::from_millis(2);

/// What was found.
#[derive(Debug)]
pub enum Observation {
    /// Everything that is in a directory (the root, if none is given), in the order of paths. What is not listed is absent.
    Listing {
        /// The directory.
        directory: Option<Path>,
        /// What is in it.
        entries: Vec<(Path, Stat)>,
        /// Files in it, besides, that seem to be still being written: a [`Observation::Look`] will follow.
        unsettled: Vec<Path>,
        /// When it was begun, by the clock that stamps files. What was put there since may not be listed.
        began: Mtime,
    },
    /// What is at one path; `None` is absent.
    Look {
        /// The path.
        path: Path,
        /// What is there.
        stat: Option<Stat>,
    },
    /// A directory or path (the root, if none is given) that could not be read. What is in it is unknown, not absent.
    Unreadable {
        /// Which.
        path: Option<Path>,
        /// Why.
        error: io::Error,
    },
    /// A name that can't sync, because its path would break a rule.
    Unsuitable {
        /// The directory it is in.
        directory: Option<Path>,
        /// The name.
        name: Vec<u8>,
        /// The rule.
        rule: PathError,
    },
    /// A full scan is complete, and the folder was in its place throughout.
    Scanned,
    /// Events can't tell of everything; the folder is scanned regularly instead. The text says why, and what to do about it.
    Polling(String),
    /// The folder is not in its place any more. Nothing is known to be absent.
    Gone,
}

/// Says of a directory whether it is passed by: there is no word of what is in it, neither that it is there nor that it is not.
pub type Passed = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// How to observe.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// By events, with a full scan now and then.
    Events,
    /// By a full scan this often.
    Poll(Duration),
}

/// Observes one folder until it is dropped.
#[derive(Debug)]
pub struct Observer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Asks an observer to look again; may be kept after the observer is gone.
#[derive(Clone, Debug)]
pub struct Looker(Arc<Shared>);

struct Shared {
    dirty: Mutex<Dirty>,
    changed: Condvar,
    /// `None` if events are not to be had.
    watch: Option<Watch>,
    passed: Mutex<Passed>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("dirty", &self.dirty)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

impl Observer {
    /// Begins with a full scan, and reports to `sink`, which may take its time. When it breaks, observing ends.
    ///
    /// # Errors
    /// No threads are to be had.
    pub fn start(
        root: Arc<Root>,
        mode: Mode,
        passed: Passed,
        name: &str,
        sink: impl FnMut(Observation) -> ControlFlow<()> + Send + 'static,
    ) -> io::Result<Observer> {
        let watch = match mode {
            Mode::Poll(_) => None,
            Mode::Events => Some(Watch::new(root.clone())),
        };
        Observer::start_with(root, mode, watch, passed, name, sink)
    }

    fn start_with(
        root: Arc<Root>,
        mode: Mode,
        watch: Option<io::Result<Watch>>,
        passed: Passed,
        name: &str,
        sink: impl FnMut(Observation) -> ControlFlow<()> + Send + 'static,
    ) -> io::Result<Observer> {
        let (watch, polling) = match watch {
            None => (None, None),
            Some(Ok(watch)) => (Some(watch), None),
            Some(Err(error)) => (None, Some(instances_exhausted(&error))),
        };
        let interval = match mode {
            Mode::Poll(interval) => interval,
            Mode::Events if watch.is_none() => POLL_INTERVAL,
            Mode::Events => RESCAN_INTERVAL,
        };
        let dirty = Mutex::new(Dirty::all(Instant::now()));
        let shared = Arc::new(Shared { dirty, changed: Condvar::new(), watch, passed: Mutex::new(passed) });
        let mut observer = Observer { shared: shared.clone(), threads: Vec::new() };
        let unlisted = BTreeSet::new();
        let lister = Lister::new(root.clone());
        let mut scanner = Scanner {
            root,
            lister,
            shared: shared.clone(),
            sink,
            interval,
            polling,
            unlisted,
            last: Recent::default(),
        };
        observer.threads.push(spawn(&format!("{name}-scan"), move || {
            let _ = scanner.run();
            scanner.shared.stop();
        })?);
        if shared.watch.is_some() {
            observer.threads.push(spawn(&format!("{name}-watch"), move || read_events(&shared))?);
        }
        Ok(observer)
    }

    /// A handle through which to ask for looks.
    pub fn looker(&self) -> Looker {
        Looker(self.shared.clone())
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

impl Looker {
    /// Asks for a look at a path, after `delay`.
    pub fn look(&self, path: Path, delay: Duration) {
        self.0.mark_due(path, Due { at: Instant::now() + delay, appeared: true, complete: true });
    }

    /// Asks for a full scan.
    pub fn scan(&self) {
        self.0.scan_now();
    }

    /// From now on these directories are passed by, and a full scan follows: it finds what is in those that are not any more.
    pub fn pass_by(&self, passed: Passed) {
        *lock(&self.0.passed) = passed;
        self.0.scan_now();
    }
}

impl Shared {
    fn mark(&self, path: Path, delay: Duration, appeared: bool, complete: bool) {
        self.change(|dirty| dirty.mark(path, delay, appeared, complete, Instant::now()));
    }

    fn mark_due(&self, path: Path, due: Due) {
        self.change(|dirty| dirty.insert(path, due));
    }

    /// Whoever waits for the next thing to be due is only woken if that is earlier now: of a thousand events at once the first is.
    fn change(&self, change: impl FnOnce(&mut Dirty)) {
        let mut dirty = lock(&self.dirty);
        let before = dirty.next_at();
        change(&mut dirty);
        if dirty.next_at() != before {
            self.changed.notify_one();
        }
    }

    fn scan_now(&self) {
        self.scan_within(Duration::ZERO);
    }

    /// Sees to it that the next full scan comes within this time.
    fn scan_within(&self, delay: Duration) {
        self.change(|dirty| dirty.scan_by(Instant::now() + delay));
    }

    fn stop(&self) {
        lock(&self.dirty).stop();
        self.changed.notify_all();
        if let Some(watch) = &self.watch {
            watch.wake();
        }
    }

    fn is_stopped(&self) -> bool {
        lock(&self.dirty).is_stopped()
    }

    /// What is due now.
    fn work_that_is_due(&self) -> Option<Work> {
        lock(&self.dirty).take(Instant::now())
    }

    /// Waits for the next thing that is due.
    fn next_work(&self) -> Work {
        let mut dirty = lock(&self.dirty);
        loop {
            let now = Instant::now();
            if let Some(work) = dirty.take(now) {
                return work;
            }
            let patience = dirty.next_at().map_or(RESCAN_INTERVAL, |at| at.saturating_duration_since(now));
            dirty = self.changed.wait_timeout(dirty, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Tells when events come so fast that it is worth letting some gather: a read that brings one costs as much as one that brings a hundred.
#[derive(Debug, Default)]
struct Pacing {
    reads_in_a_row: u32,
}

impl Pacing {
    /// Takes note of how long a read has waited, and says how long the next one is to be put off.
    fn pause(&mut self, waited: Duration) -> Option<Duration> {
        self.reads_in_a_row = if waited < BURST { self.reads_in_a_row.saturating_add(1) } else { 0 };
        (BURST_READS <= self.reads_in_a_row).then_some(GATHER)
    }
}

/// The "watch" thread: drains the kernel's queue, and never does anything that takes time.
fn read_events(shared: &Shared) {
    let Some(watch) = &shared.watch else { return };
    let mut pacing = Pacing::default();
    let mut halves = Halves::default();
    while !shared.is_stopped() {
        let asked = Instant::now();
        let Ok(events) = watch.read(RESCAN_INTERVAL) else {
            // Whatever it was, a full scan can't miss what an event would have told. The pause keeps a lasting error from spinning.
            shared.scan_now();
            std::thread::sleep(SETTLE_BUSY);
            continue;
        };
        let pause = pacing.pause(asked.elapsed());
        for event in events {
            match event {
                Event::Changed(path) => shared.mark(path, SETTLE, false, true),
                Event::Written(path) => shared.mark(path, SETTLE_BUSY, false, false),
                Event::Created { path, .. } => shared.mark(path, SETTLE_NEW, true, false),
                Event::MovedIn { path, cookie, .. } => {
                    if let Some(old) = halves.arrive(cookie) {
                        let at = Instant::now() + SETTLE_MOVED;
                        shared.mark_due(old, Due { at, appeared: false, complete: false });
                    }
                    shared.mark(path, SETTLE, true, true);
                }
                Event::Removed { path, .. } => shared.mark(path, SETTLE_GONE, false, false),
                Event::MovedOut { path, cookie, .. } => {
                    halves.leave(cookie, path.clone());
                    shared.mark(path, SETTLE_GONE, false, false);
                }
                Event::Unmounted(_) | Event::RootGone | Event::Overflow => shared.scan_now(),
            }
        }
        pause.into_iter().for_each(std::thread::sleep);
    }
}

/// How far a walk came.
enum Walk {
    /// Everything was listed, or reported as unreadable.
    Whole,
    /// The folder is not in its place.
    FolderGone,
}

/// The "scan" thread.
struct Scanner<S> {
    root: Arc<Root>,
    lister: Lister,
    shared: Arc<Shared>,
    sink: S,
    interval: Duration,
    /// Why events are not to be had; said once.
    polling: Option<String>,
    /// Directories that could not be read: the next look at one, as its permissions change, is one at all that is in it.
    unlisted: BTreeSet<Path>,
    last: Recent,
}

/// The directory of the path that was looked at last, for looks that follow each other at once.
#[derive(Debug, Default)]
struct Recent {
    above: Above,
    /// Until when it may be used: news of a directory that has another place by now is to be heard, and it is found anew.
    until: Option<Instant>,
}

/// What a walk begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// A directory that was there, or came as a whole.
    Full,
    /// A directory that was just made; whoever made it is likely to be filling it.
    Filling,
}

impl<S: FnMut(Observation) -> ControlFlow<()>> Scanner<S> {
    fn run(&mut self) -> ControlFlow<()> {
        if let Some(reason) = self.polling.clone() {
            self.report(Observation::Polling(reason))?;
        }
        loop {
            let work = self.shared.work_that_is_due().unwrap_or_else(|| {
                self.last = Recent::default();
                self.shared.next_work()
            });
            match work {
                Work::Stop => return ControlFlow::Break(()),
                Work::Look(path, due) => self.look(path, due)?,
                Work::Scan => {
                    let next = match self.walk(None, Start::Full)? {
                        Walk::Whole => {
                            self.report(Observation::Scanned)?;
                            self.interval
                        }
                        Walk::FolderGone => POLL_INTERVAL.min(self.interval),
                    };
                    lock(&self.shared.dirty).scan_by(Instant::now() + next);
                }
            }
        }
    }

    fn report(&mut self, observation: Observation) -> ControlFlow<()> {
        if self.shared.is_stopped() {
            return ControlFlow::Break(());
        }
        (self.sink)(observation)
    }

    fn look(&mut self, path: Path, due: Due) -> ControlFlow<()> {
        let now = Instant::now();
        if self.last.until.is_none_or(|until| until <= now) {
            self.last = Recent { above: Above::default(), until: Some(now + LOOKS_IN_A_ROW) };
        }
        let stat = match self.root.stat_near(&path, &mut self.last.above) {
            Ok(stat) => stat,
            Err(error) => {
                self.look_again(&path, due.appeared, &error);
                return self.report(Observation::Unreadable { path: Some(path), error });
            }
        };
        match &stat {
            // The scan says so, and looks again until it is back.
            None if !self.stands() => {
                self.shared.scan_now();
                return ControlFlow::Continue(());
            }
            Some(found) if !due.complete && found.is_written_within(STILL_WRITING) => {
                self.shared.mark(path, STILL_WRITING, due.appeared, false);
                return ControlFlow::Continue(());
            }
            _ => {}
        }
        let is_directory = stat.is_some_and(|stat| stat.kind == StatKind::Directory);
        let is_unlisted = self.unlisted.remove(&path);
        self.report(Observation::Look { path: path.clone(), stat })?;
        if is_directory && (due.appeared || is_unlisted) && !self.passes_by(&path) {
            let start = if due.complete { Start::Full } else { Start::Filling };
            if matches!(self.walk(Some(path), start)?, Walk::FolderGone) {
                self.shared.scan_now();
            }
        }
        ControlFlow::Continue(())
    }

    /// Watches and lists a directory and all below it. Word of a directory comes before word of those in it.
    fn walk(&mut self, from: Option<Path>, start: Start) -> ControlFlow<(), Walk> {
        let settled_after = match start {
            Start::Full => Duration::ZERO,
            Start::Filling => STILL_FILLING,
        };
        let mut waiting = vec![from];
        while !waiting.is_empty() {
            let watch = self.shared.watch.as_ref();
            let listings = self.lister.list(&mut waiting, Wanted { watch, settled_after });
            // Nothing of what was not seen is absent unless the folder was in its place after that.
            if !self.stands() {
                self.report(Observation::Gone)?;
                return ControlFlow::Continue(Walk::FolderGone);
            }
            let mut below = Vec::new();
            for listing in listings {
                self.tell(listing, &mut below)?;
            }
            waiting.extend(below.into_iter().rev().map(Some));
        }
        ControlFlow::Continue(Walk::Whole)
    }

    /// Reports what was found in a directory, and adds the directories that are to be listed next.
    fn tell(&mut self, listing: Listing, below: &mut Vec<Path>) -> ControlFlow<()> {
        let Listing { directory, began, watched, names } = listing;
        if let Some(watched) = watched {
            self.hear_watched(watched);
        }
        let Names { entries, unsettled, unsuitable } = match names {
            Ok(names) => names,
            // It vanished; what is above it tells that.
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_some() => {
                return ControlFlow::Continue(());
            }
            Err(error) => {
                self.list_again(directory.as_ref(), &error);
                return self.report(Observation::Unreadable { path: directory, error });
            }
        };
        for (name, rule) in unsuitable {
            self.report(Observation::Unsuitable { directory: directory.clone(), name, rule })?;
        }
        for path in &unsettled {
            self.shared.mark(path.clone(), STILL_FILLING, false, false);
        }
        let directories = entries.iter().filter(|(_, stat)| stat.kind == StatKind::Directory);
        below.extend(directories.filter(|(path, _)| !self.passes_by(path)).map(|(path, _)| path.clone()));
        self.report(Observation::Listing { directory, entries, unsettled, began })
    }

    /// Whether a directory is passed by. Then it is not watched any more.
    fn passes_by(&self, directory: &Path) -> bool {
        let passed = lock(&self.shared.passed).clone();
        let is_passed = passed(directory);
        if is_passed && let Some(watch) = &self.shared.watch {
            watch.forget_below(directory);
        }
        is_passed
    }

    /// What came of watching a directory. One that nobody may read is listed by no scan either, so that needs no regular ones.
    fn hear_watched(&mut self, watched: io::Result<Added>) {
        let reason = match watched {
            Ok(Added::Watched | Added::Gone) => return,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
            Ok(Added::LimitReached) => {
                watches_exhausted(self.shared.watch.as_ref().map_or(0, Watch::watched))
            }
            Err(error) => watch_failed(&error),
        };
        // The next scan may have been set when all was watched.
        self.shared.scan_within(POLL_INTERVAL);
        if self.polling.is_none() {
            self.interval = POLL_INTERVAL;
            self.polling = Some(reason.clone());
            let _ = self.report(Observation::Polling(reason));
        }
    }

    /// What can't be looked at may be there to be looked at in a moment, as when descriptors have run out. Missing permissions are those of
    /// a directory above, and come back with an event about that.
    fn look_again(&mut self, path: &Path, appeared: bool, error: &io::Error) {
        if error.kind() != io::ErrorKind::PermissionDenied {
            let at = Instant::now() + LOOK_AGAIN;
            self.shared.mark_due(path.clone(), Due { at, appeared, complete: true });
            return;
        }
        let above = std::iter::successors(path.parent(), Path::parent);
        above.for_each(|directory| self.list_after_event(directory));
    }

    /// The same for what can't be listed; its own permissions may be missing. No event tells that the root can be read again.
    fn list_again(&mut self, directory: Option<&Path>, error: &io::Error) {
        match directory {
            None => self.shared.scan_within(LOOK_AGAIN),
            Some(directory) if error.kind() != io::ErrorKind::PermissionDenied => {
                self.look_again(directory, true, error);
            }
            Some(directory) => self.list_after_event(directory.clone()),
        }
    }

    /// Of more directories than are remembered the next regular scan tells.
    fn list_after_event(&mut self, directory: Path) {
        if self.unlisted.len() < UNLISTED_DIRECTORIES {
            self.unlisted.insert(directory);
        }
    }

    /// Whether the folder is where it was, with its private directory in it.
    fn stands(&self) -> bool {
        self.root.is_in_place().unwrap_or(false) && self.root.has_private_directory().unwrap_or(false)
    }
}

fn instances_exhausted(error: &io::Error) -> String {
    format!(
        "changes are found by scanning every {} s, because inotify is not to be had ({error}); \
         `sysctl fs.inotify.max_user_instances=1024` may help",
        POLL_INTERVAL.as_secs()
    )
}

fn watch_failed(error: &io::Error) -> String {
    format!(
        "not every directory can be watched ({error}); everything is scanned every {} s",
        POLL_INTERVAL.as_secs()
    )
}

fn watches_exhausted(watched: usize) -> String {
    let wanted = (watched * 4).next_power_of_two().max(524_288);
    format!(
        "only {watched} directories can be watched; the rest is scanned every {} s; `sysctl fs.inotify.max_user_watches={wanted}` \
         and a restart let all be watched",
        POLL_INTERVAL.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::UNIX_EPOCH;

    use super::super::scratch::Scratch;
    use super::*;

    struct Observed {
        scratch: Scratch,
        observer: Observer,
        observations: Receiver<Observation>,
    }

    fn observe(prepare: impl FnOnce(&std::path::Path)) -> Observed {
        observe_with(Watch::new, prepare)
    }

    fn observe_with(
        watch: impl FnOnce(Arc<Root>) -> io::Result<Watch>,
        prepare: impl FnOnce(&std::path::Path),
    ) -> Observed {
        let scratch = Scratch::new();
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        root.sub_root(RESERVED).unwrap();
        prepare(scratch.path());
        let (sender, observations) = channel();
        let sink = move |observation| match sender.send(observation) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let watch = Some(watch(root.clone()));
        let passed = Arc::new(|directory: &Path| directory.name() == b"passed");
        let observer = Observer::start_with(root, Mode::Events, watch, passed, "test", sink).unwrap();
        Observed { scratch, observer, observations }
    }

    const RESERVED: &[u8] = crate::tree::RESERVED_NAME;

    impl Observed {
        /// The next observation that is wanted; others are passed over.
        fn expect<T>(&self, wanted: impl Fn(&Observation) -> Option<T>) -> T {
            loop {
                let observation =
                    self.observations.recv_timeout(Duration::from_secs(40)).expect("an observation");
                if let Some(found) = wanted(&observation) {
                    return found;
                }
            }
        }

        fn expect_look(&self, name: &str, present: bool) {
            self.expect(|observation| match observation {
                Observation::Look { path, stat } if path.to_string() == name && stat.is_some() == present => {
                    Some(())
                }
                Observation::Listing { entries, .. } if present => {
                    entries.iter().any(|(path, _)| path.to_string() == name).then_some(())
                }
                _ => None,
            });
        }
    }

    #[test]
    fn a_burst_is_let_gather_and_a_saved_file_is_not() {
        let mut pacing = Pacing::default();
        let saved = [BURST * 100, BURST / 2, BURST / 2, BURST / 2];
        assert!(saved.iter().cycle().take(400).all(|&waited| pacing.pause(waited).is_none()));
        let burst = [Duration::ZERO; 400];
        assert_eq!(burst.iter().filter(|&&waited| pacing.pause(waited).is_some()).count(), 400);
        assert_eq!(pacing.pause(BURST), None);
    }

    #[test]
    fn a_full_scan_lists_every_directory_but_the_private_one() {
        let observed = observe(|path| {
            fs::create_dir_all(path.join("a/b")).unwrap();
            fs::write(path.join("a/b/c"), "c").unwrap();
            fs::write(path.join("z"), "z").unwrap();
        });
        let mut listed = Vec::new();
        loop {
            match observed.observations.recv_timeout(Duration::from_secs(10)).unwrap() {
                Observation::Listing { directory, entries, .. } => {
                    let names: Vec<_> = entries.iter().map(|(path, _)| path.to_string()).collect();
                    listed.push((directory.map(|path| path.to_string()), names.join(" ")));
                }
                Observation::Scanned => break,
                other => panic!("{other:?}"),
            }
        }
        let expected = [(None, "a z"), (Some("a"), "a/b"), (Some("a/b"), "a/b/c")];
        let expected = expected.map(|(directory, names)| (directory.map(str::to_owned), names.to_owned()));
        assert_eq!(listed, expected);
    }

    #[test]
    fn what_happens_afterwards_is_looked_at() {
        let observed = observe(|_| {});
        let path = observed.scratch.path();
        observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
        fs::write(path.join("file"), "1").unwrap();
        observed.expect_look("file", true);
        fs::create_dir_all(path.join("d/e")).unwrap();
        fs::write(path.join("d/e/deep"), "2").unwrap();
        observed.expect_look("d/e/deep", true);
        fs::write(path.join("d/e/later"), "3").unwrap();
        observed.expect_look("d/e/later", true);
        fs::rename(path.join("d"), path.join("moved")).unwrap();
        observed.expect_look("moved/e/later", true);
        fs::remove_file(path.join("moved/e/later")).unwrap();
        observed.expect_look("moved/e/later", false);
    }

    #[test]
    fn a_new_modification_time_alone_is_seen() {
        let observed = observe(|path| fs::write(path.join("file"), "1").unwrap());
        observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
        let past = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = fs::File::open(observed.scratch.path().join("file")).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(past)).unwrap();
        observed.expect_look("file", true);
    }

    #[test]
    fn a_folder_without_its_private_directory_reports_nothing_as_absent() {
        let observed = observe(|path| fs::write(path.join("file"), "1").unwrap());
        let path = observed.scratch.path();
        observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
        fs::remove_dir(path.join(".filesync")).unwrap();
        fs::remove_file(path.join("file")).unwrap();
        observed.expect(|observation| match observation {
            Observation::Look { stat: None, .. } => panic!("reported as absent"),
            Observation::Gone => Some(()),
            _ => None,
        });
        observed.observer.looker().scan();
        observed.expect(|observation| match observation {
            Observation::Listing { .. } | Observation::Scanned => panic!("scanned as if it were there"),
            Observation::Gone => Some(()),
            _ => None,
        });
        fs::create_dir(path.join(".filesync")).unwrap();
        observed.observer.looker().scan();
        observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
    }

    #[test]
    fn a_directory_that_is_passed_by_is_neither_watched_nor_listed() {
        let observed = observe(|path| fs::create_dir_all(path.join("passed/a/b")).unwrap());
        let watched = || observed.observer.shared.watch.as_ref().unwrap().watched();
        let expect_scan = |want: usize| {
            observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
            assert_eq!(watched(), want);
        };
        expect_scan(1);
        fs::create_dir_all(observed.scratch.path().join("d/passed/c")).unwrap();
        observed.expect_look("d/passed", true);
        observed.observer.looker().scan();
        expect_scan(2);
        observed.observer.looker().pass_by(Arc::new(|_| false));
        expect_scan(7);
        observed.observer.looker().pass_by(Arc::new(|directory| directory.name() == b"passed"));
        expect_scan(2);
    }

    fn expect_polling(observed: &Observed, setting: &str) {
        let reason = observed.expect(|observation| match observation {
            Observation::Polling(reason) => Some(reason.clone()),
            _ => None,
        });
        assert!(reason.contains(&format!("`sysctl {setting}=")), "{reason}");
    }

    /// When the next full scan is due, once there is one to come.
    fn wait_for_next_scan(observed: &Observed) -> Duration {
        observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
        loop {
            if let Some(at) = lock(&observed.observer.shared.dirty).scan_at() {
                return at.saturating_duration_since(Instant::now());
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn without_an_instance_everything_is_scanned() {
        let refused = |_| Err(io::Error::from_raw_os_error(crate::sys::errno::EMFILE));
        let observed = observe_with(refused, |path| fs::write(path.join("file"), "1").unwrap());
        expect_polling(&observed, "fs.inotify.max_user_instances");
        assert!(wait_for_next_scan(&observed) <= POLL_INTERVAL);
    }

    #[test]
    fn directories_beyond_the_limit_are_scanned() {
        let limited = |root| Ok(Watch::new(root)?.limited(2));
        let observed = observe_with(limited, |path| fs::create_dir_all(path.join("a/b")).unwrap());
        expect_polling(&observed, "fs.inotify.max_user_watches");
        assert!(wait_for_next_scan(&observed) <= POLL_INTERVAL);
    }

    /// The scan was set for much later when the limit is reached.
    #[test]
    fn a_limit_that_is_reached_later_brings_the_scan_forward() {
        let limited = |root| Ok(Watch::new(root)?.limited(2));
        let observed = observe_with(limited, |_| {});
        assert!(POLL_INTERVAL < wait_for_next_scan(&observed));
        fs::create_dir_all(observed.scratch.path().join("a/b")).unwrap();
        expect_polling(&observed, "fs.inotify.max_user_watches");
        let next = lock(&observed.observer.shared.dirty).scan_at().expect("a scan is due");
        assert!(next <= Instant::now() + POLL_INTERVAL);
    }

    #[test]
    fn what_is_written_in_a_new_directory_is_looked_at_later() {
        let observed = observe(|_| {});
        observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
        let directory = observed.scratch.path().join("new");
        fs::create_dir(&directory).unwrap();
        let _open = fs::File::create(directory.join("file")).unwrap();
        observed.expect(|observation| match observation {
            Observation::Listing { entries, unsettled, .. } => {
                assert_eq!((entries.len(), unsettled.len()), (0, 1));
                Some(())
            }
            Observation::Look { path, .. } => {
                assert_eq!(path.to_string(), "new");
                None
            }
            _ => None,
        });
        observed.expect_look("new/file", true);
    }

    #[test]
    fn a_folder_that_was_gone_when_one_path_was_looked_at_is_found_again() {
        let observed = observe(|path| fs::write(path.join("file"), "1").unwrap());
        let path = observed.scratch.path();
        observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
        fs::remove_dir(path.join(".filesync")).unwrap();
        fs::remove_file(path.join("file")).unwrap();
        observed.expect(|observation| matches!(observation, Observation::Gone).then_some(()));
        fs::create_dir(path.join(".filesync")).unwrap();
        observed.expect(|observation| matches!(observation, Observation::Scanned).then_some(()));
    }

    #[test]
    fn dropping_it_ends_its_threads_while_nobody_listens() {
        let Observed { observer, observations, scratch } = observe(|_| {});
        drop(observations);
        fs::write(scratch.path().join("file"), "1").unwrap();
        drop(observer);
    }

    /// For events that are lost without a word.
    #[test]
    fn everything_is_scanned_now_and_then_although_events_come() {
        let observed = observe(|_| {});
        let next = wait_for_next_scan(&observed);
        assert!((RESCAN_INTERVAL / 2..=RESCAN_INTERVAL).contains(&next), "{next:?}");
    }

    #[test]
    fn what_can_not_be_looked_at_is_looked_at_again() {
        let scratch = Scratch::new();
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        let nothing: Passed = Arc::new(|_| false);
        let shared = Arc::new(Shared {
            dirty: Mutex::default(),
            changed: Condvar::new(),
            watch: None,
            passed: Mutex::new(nothing),
        });
        let sink = |_| ControlFlow::Continue(());
        let (interval, polling, unlisted) = (RESCAN_INTERVAL, None, BTreeSet::new());
        let lister = Lister::new(root.clone());
        let mut scanner =
            Scanner { root, lister, shared, sink, interval, polling, unlisted, last: Recent::default() };
        let before = Instant::now();
        scanner.look_again(&Path::new(b"a").unwrap(), true, &io::Error::other("for a moment"));
        let due = lock(&scanner.shared.dirty).next_at().unwrap();
        assert!((before + LOOK_AGAIN..=Instant::now() + LOOK_AGAIN).contains(&due));
        // So many that were not allowed to be are remembered until an event tells that they are.
        for number in 0..=UNLISTED_DIRECTORIES {
            let directory = Path::new(number.to_string().as_bytes()).unwrap();
            scanner.list_again(Some(&directory), &io::ErrorKind::PermissionDenied.into());
        }
        assert_eq!(scanner.unlisted.len(), UNLISTED_DIRECTORIES);
    }
}
