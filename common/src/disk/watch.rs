//! Word of what changes in a tree of directories, by inotify(7).
//!
//! The kernel watches single directories, not trees. So whoever wants a tree adds each directory of it, and each that appears later:
//! first [`Watch::add`], then list what is in it. What appears in between is seen twice, which is harmless; the other way round it would
//! not be seen at all.
//!
//! ```text
//!     add (any thread)         read (one thread)
//!            \                    |
//!             watch number <-> path          one lock; it is held from asking the kernel for a watch until its path is noted, so that
//!                                            no event is read whose watch is not known yet
//! ```
//!
//! A watch holds on to its directory, not to the path. When a directory is renamed, its watches would go on to tell of changes under the
//! old path; so as soon as that is read they are ended, for it and all below. If it was moved to another place in the tree, that is a
//! directory that appeared there, to be added and listed like any other.
//!
//! Events are hints: they can be lost ([`Event::Overflow`]), be late, or never come (memory maps, network file systems). Only a full scan
//! now and then makes the tree's state known.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::root::Root;
use crate::limits::WATCH_BUFFER_BYTES;
use crate::sys::errno;
use crate::sys::inotify::{
    IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR,
    IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_ONLYDIR, IN_Q_OVERFLOW, IN_UNMOUNT, Inotify,
    Record, WatchId,
};
use crate::sys::poll::{self, PollFd};
use crate::sys::wake::Wake;
use crate::tree::Path;

/// What is asked of the kernel for each directory. `IN_MODIFY` because it is all that comes when a program sets the modification time
/// and leaves the access time alone. Not `IN_DELETE_SELF`: the directory above tells of it, and of the root it would not come, since we
/// hold that open. `IN_MOVE_SELF` only makes [`Watch::read`] return when the root is renamed.
const MASK: u32 = IN_CLOSE_WRITE
    | IN_MODIFY
    | IN_CREATE
    | IN_DELETE
    | IN_MOVED_FROM
    | IN_MOVED_TO
    | IN_ATTRIB
    | IN_MOVE_SELF
    | IN_ONLYDIR
    | IN_EXCL_UNLINK;

/// Something that happened in a watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file was closed after writing, or its metadata changed; of a directory, its metadata.
    Changed(Path),
    /// A file was written to by a program that may go on with it, or only its modification time was set.
    Written(Path),
    /// Something new has this name. A directory is to be added, then listed; a file may still be being written.
    Created {
        /// The new name.
        path: Path,
        /// Whether it is a directory.
        is_dir: bool,
    },
    /// The name was removed.
    Removed {
        /// The name that was.
        path: Path,
        /// Whether it was a directory.
        is_dir: bool,
    },
    /// The name was taken away by a rename. If it was a directory, it and all below are no longer watched.
    MovedOut {
        /// The name that was.
        path: Path,
        /// Whether it is a directory.
        is_dir: bool,
        /// The same in the [`Event::MovedIn`] that belongs to it, if it went to a watched directory.
        cookie: u32,
    },
    /// The name was given by a rename, and may have replaced something. A directory is to be added, then listed.
    MovedIn {
        /// The new name.
        path: Path,
        /// Whether it is a directory.
        is_dir: bool,
        /// The same in the [`Event::MovedOut`] that belongs to it, if it came from a watched directory.
        cookie: u32,
    },
    /// A file system that was mounted at this directory, or above it but below the root, was unmounted: nothing was deleted.
    Unmounted(Path),
    /// The path of the root leads to it no longer ([`Root::is_in_place`]): it, or what it is in, was renamed, removed or unmounted. Other
    /// events mean nothing now, removals least of all. Given once in each [`Watch::read`] for as long as it lasts.
    RootGone,
    /// More happened than the kernel remembers; only a full scan can tell what.
    Overflow,
}

/// What came of adding a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is watched from now on.
    Watched,
    /// It is not, because this user may have no more watches (`fs.inotify.max_user_watches`).
    LimitReached,
    /// It is not, because there is no directory any more at this path.
    Gone,
}

/// A watch over directories beneath a root.
#[derive(Debug)]
pub struct Watch {
    root: Arc<Root>,
    inotify: Inotify,
    wake: Wake,
    watched: Mutex<Watched>,
    /// Stands in for the kernel's limit, which a test can't set everywhere.
    #[cfg(test)]
    limit: usize,
}

impl Watch {
    /// A watch that watches nothing yet.
    ///
    /// # Errors
    /// `EMFILE` if this user may have no more instances (`fs.inotify.max_user_instances`), or the process no more descriptors.
    pub fn new(root: Arc<Root>) -> io::Result<Watch> {
        Ok(Watch {
            root,
            inotify: Inotify::new()?,
            wake: Wake::new()?,
            watched: Mutex::default(),
            #[cfg(test)]
            limit: usize::MAX,
        })
    }

    /// The same, but that refuses more directories than this.
    #[cfg(test)]
    pub(super) fn limited(self, limit: usize) -> Watch {
        Watch { limit, ..self }
    }

    /// Watches a directory (the root, if none is given), but not those in it. Any thread may, also during [`Watch::read`]. Adding a
    /// directory again does no harm.
    ///
    /// # Errors
    /// Those of open(2) and inotify_add_watch(2) for which [`Added`] has no word, as `EACCES`.
    pub fn add(&self, directory: Option<&Path>) -> io::Result<Added> {
        let mut watched = self.lock();
        #[cfg(test)]
        if self.limit <= watched.by_id.len() {
            return Ok(Added::LimitReached);
        }
        match self.ask_kernel(directory) {
            Ok(id) => {
                if let Some(stale) = watched.insert(id, directory.cloned()) {
                    self.end(stale);
                }
                Ok(Added::Watched)
            }
            Err(error) => match error.raw_os_error() {
                Some(errno::ENOSPC) => Ok(Added::LimitReached),
                Some(errno::ENOENT | errno::ENOTDIR | errno::ELOOP) => Ok(Added::Gone),
                _ => Err(error),
            },
        }
    }

    /// Ends the watches of a directory and of all below it. After a rename that was read, this has been done.
    pub fn forget_below(&self, directory: &Path) {
        self.forget_locked(&mut self.lock(), directory);
    }

    /// Waits until something happens, [`Watch::wake`] is called, or `timeout` has passed, and says what has happened: nothing, in the
    /// latter two cases. One call gives what fits into [`WATCH_BUFFER_BYTES`]; the next waits only if there is no more.
    ///
    /// Who removes a whole tree removes what is in the root before the root. Those removals may well be given while it is still there.
    ///
    /// # Errors
    /// Those of poll(2), read(2) and [`Root::is_in_place`].
    pub fn read(&self, timeout: Duration) -> io::Result<Vec<Event>> {
        let mut fds = [PollFd::readable(self.inotify.as_fd()), PollFd::readable(self.wake.as_fd())];
        poll::wait(&mut fds, timeout)?;
        if fds[1].is_ready() {
            self.wake.silence();
        }
        let records = self.inotify.read(&mut vec![0; WATCH_BUFFER_BYTES])?;
        let gone = (!self.root.is_in_place()?).then_some(Event::RootGone);
        let mut watched = self.lock();
        let events = records.iter().filter_map(|record| self.event_locked(&mut watched, record));
        Ok(gone.into_iter().chain(events).collect())
    }

    /// Ends a [`Watch::read`], the one that is going on or the next.
    pub fn wake(&self) {
        self.wake.ring();
    }

    /// How many directories are watched.
    pub fn watched(&self) -> usize {
        self.lock().by_id.len()
    }

    /// By way of the descriptor of a directory that was found beneath the root, because inotify itself takes only paths, and a path
    /// could lead through a link. Where `/proc` is not mounted the path has to do.
    ///
    /// RACE: then, a directory above that turns into a link is followed, and changes from outside are reported as if from inside. They
    /// are hints; the scan that they cause does not follow the link.
    fn ask_kernel(&self, directory: Option<&Path>) -> io::Result<WatchId> {
        let fd = self.root.find_dir(directory)?;
        let by_fd = CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        match self.inotify.add(&by_fd, MASK) {
            Err(error) if error.raw_os_error() == Some(errno::ENOENT) => {
                let path = self.root.path().as_os_str().as_bytes();
                let below = directory.map_or(b".".as_slice(), Path::as_bytes);
                self.inotify.add(&CString::new([path, b"/", below].concat())?, MASK | IN_DONT_FOLLOW)
            }
            result => result,
        }
    }

    fn event_locked(&self, watched: &mut Watched, record: &Record) -> Option<Event> {
        let has = |bits| record.mask & bits != 0;
        if has(IN_Q_OVERFLOW) {
            return Some(Event::Overflow);
        }
        // Of a watch that was ended, or that the kernel ended, there may still be records.
        let directory = match has(IN_IGNORED) {
            true => watched.remove(record.watch)?,
            false => watched.by_id.get(&record.watch)?.clone(),
        };
        if record.name.is_empty() {
            // The directory above tells when it goes, but not when its file system does.
            return directory.filter(|_| has(IN_UNMOUNT)).map(Event::Unmounted);
        }
        // Names that can't sync are none of our business: the reserved one, and those that make a path too long.
        let path = Path::child(directory.as_ref(), &record.name).ok()?;
        let (is_dir, cookie) = (has(IN_ISDIR), record.cookie);
        if has(IN_MOVED_FROM) {
            if is_dir {
                self.forget_locked(watched, &path);
            }
            Some(Event::MovedOut { path, is_dir, cookie })
        } else if has(IN_MOVED_TO) {
            Some(Event::MovedIn { path, is_dir, cookie })
        } else if has(IN_CREATE) {
            Some(Event::Created { path, is_dir })
        } else if has(IN_DELETE) {
            Some(Event::Removed { path, is_dir })
        } else {
            let is_done = has(IN_CLOSE_WRITE | IN_ATTRIB);
            (is_done || has(IN_MODIFY)).then_some(if is_done {
                Event::Changed(path)
            } else {
                Event::Written(path)
            })
        }
    }

    fn forget_locked(&self, watched: &mut Watched, directory: &Path) {
        for id in watched.take_below(directory) {
            self.end(id);
        }
    }

    /// Failing means that the kernel has ended it already, along with its directory.
    fn end(&self, id: WatchId) {
        let _ = self.inotify.remove(id);
    }

    /// A panic of another thread leaves nothing half done here that would matter: at worst a watch is not known, and its events drop.
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which watch is whose. The root has a watch like any other, but no path.
#[derive(Debug, Default)]
struct Watched {
    by_id: HashMap<WatchId, Option<Path>>,
    by_path: BTreeMap<Path, WatchId>,
}

impl Watched {
    /// Notes whose watch this is, and gives the one that the path had before, if that is another: the directory there was replaced.
    fn insert(&mut self, id: WatchId, path: Option<Path>) -> Option<WatchId> {
        if let Some(Some(before)) = self.by_id.insert(id, path.clone())
            && self.by_path.get(&before) == Some(&id)
        {
            self.by_path.remove(&before);
        }
        let stale = self.by_path.insert(path?, id).filter(|&stale| stale != id)?;
        self.by_id.remove(&stale);
        Some(stale)
    }

    fn remove(&mut self, id: WatchId) -> Option<Option<Path>> {
        let path = self.by_id.remove(&id)?;
        if let Some(path) = &path {
            self.by_path.remove(path);
        }
        Some(path)
    }

    fn take_below(&mut self, directory: &Path) -> Vec<WatchId> {
        let below = self.by_path.range::<[u8], _>(directory.descendants()).map(|(_, &id)| id);
        let ids: Vec<_> = self.by_path.get(directory).copied().into_iter().chain(below).collect();
        for &id in &ids {
            self.remove(id);
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::disk::scratch::Scratch;

    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_secs(10);

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    /// A watched root with a directory `d` in it that is not watched yet.
    fn start() -> (Scratch, Watch) {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.path().join("box/d/e/f")).unwrap();
        let watch = Watch::new(Arc::new(Root::open(&scratch.path().join("box")).unwrap())).unwrap();
        assert_eq!(watch.add(None).unwrap(), Added::Watched);
        (scratch, watch)
    }

    fn events(watch: &Watch) -> Vec<Event> {
        watch.read(SOON).unwrap()
    }

    #[test]
    fn what_happens_in_a_directory() {
        let (scratch, watch) = start();
        let root = scratch.path().join("box");
        fs::write(root.join("new"), "x").unwrap();
        fs::remove_file(root.join("new")).unwrap();
        fs::create_dir(root.join("n")).unwrap();
        fs::create_dir(root.join(".filesync")).unwrap();
        fs::remove_dir(root.join("n")).unwrap();
        let want = [
            Event::Created { path: path("new"), is_dir: false },
            Event::Written(path("new")),
            Event::Changed(path("new")),
            Event::Removed { path: path("new"), is_dir: false },
            Event::Created { path: path("n"), is_dir: true },
            Event::Removed { path: path("n"), is_dir: true },
        ];
        assert_eq!(events(&watch), want);
        assert_eq!(events(&watch), []);
    }

    #[test]
    fn adding_again_and_adding_what_is_no_directory() {
        let (scratch, watch) = start();
        let root = scratch.path().join("box");
        symlink("d", root.join("link")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        for text in ["link", "link/e", "file", "file/x", "none"] {
            assert_eq!(watch.add(Some(&path(text))).unwrap(), Added::Gone, "{text}");
        }
        for _ in 0..2 {
            assert_eq!(watch.add(Some(&path("d"))).unwrap(), Added::Watched);
            assert_eq!(watch.watched(), 2);
        }
        fs::remove_dir_all(root.join("d")).unwrap();
        events(&watch);
        assert_eq!(watch.watched(), 1);
    }

    #[test]
    fn a_directory_that_moves_is_forgotten_with_all_below() {
        let (scratch, watch) = start();
        let root = scratch.path().join("box");
        for text in ["d", "d/e", "d/e/f"] {
            watch.add(Some(&path(text))).unwrap();
        }
        fs::rename(root.join("d"), root.join("moved")).unwrap();
        let got = events(&watch);
        let [
            Event::MovedOut { path: from, is_dir: true, cookie: out },
            Event::MovedIn { path: to, is_dir: true, cookie },
        ] = got.as_slice()
        else {
            panic!("{got:?}");
        };
        assert_eq!((from, to, out), (&path("d"), &path("moved"), cookie));
        assert_eq!(watch.watched(), 1);
        fs::write(root.join("moved/e/file"), "").unwrap();
        assert_eq!(events(&watch), []);
        watch.add(Some(&path("moved/e"))).unwrap();
        fs::remove_file(root.join("moved/e/file")).unwrap();
        assert_eq!(events(&watch), [Event::Removed { path: path("moved/e/file"), is_dir: false }]);
    }

    /// The same directory under another path, and another directory under the same path, before any event was read.
    #[test]
    fn the_latest_path_counts() {
        let (scratch, watch) = start();
        let root = scratch.path().join("box");
        watch.add(Some(&path("d"))).unwrap();
        fs::rename(root.join("d"), root.join("moved")).unwrap();
        fs::create_dir(root.join("d")).unwrap();
        watch.add(Some(&path("moved"))).unwrap();
        watch.add(Some(&path("d"))).unwrap();
        assert_eq!(watch.watched(), 3);
        fs::rename(root.join("d"), root.join("third")).unwrap();
        fs::create_dir(root.join("d")).unwrap();
        watch.add(Some(&path("d"))).unwrap();
        assert_eq!(watch.watched(), 3, "the watch of what is now `third` was ended");
    }

    #[test]
    fn forgetting() {
        let (scratch, watch) = start();
        for text in ["d", "d/e", "d/e/f"] {
            watch.add(Some(&path(text))).unwrap();
        }
        watch.forget_below(&path("d/e"));
        assert_eq!(watch.watched(), 2);
        fs::write(scratch.path().join("box/d/e/file"), "").unwrap();
        assert_eq!(events(&watch), []);
    }

    #[test]
    fn the_root_goes() {
        let (scratch, watch) = start();
        fs::rename(scratch.path().join("box"), scratch.path().join("box2")).unwrap();
        assert_eq!(events(&watch), [Event::RootGone]);
        let (scratch, watch) = start();
        fs::remove_dir_all(scratch.path().join("box")).unwrap();
        assert_eq!(events(&watch).first(), Some(&Event::RootGone));
    }

    #[test]
    fn overflow_is_told() {
        let (_scratch, watch) = start();
        let id = *watch.lock().by_id.keys().next().unwrap();
        let record = Record { watch: id, mask: IN_Q_OVERFLOW, cookie: 0, name: Vec::new() };
        assert_eq!(watch.event_locked(&mut watch.lock(), &record), Some(Event::Overflow));
    }

    #[test]
    fn waking_and_waiting() {
        let (_scratch, watch) = start();
        let start = Instant::now();
        assert_eq!(events(&watch), []);
        assert!(SOON <= start.elapsed());
        thread::scope(|scope| {
            scope.spawn(|| watch.wake());
            assert_eq!(watch.read(LATE).unwrap(), []);
        });
        assert!(start.elapsed() < LATE);
    }

    /// Directories that appear while others are added: nothing is missed when each is added first and listed then.
    #[test]
    fn nothing_is_missed_in_new_directories() {
        let (scratch, watch) = start();
        let deep = scratch.path().join("box/new/a/b/c");
        let mut found = false;
        thread::scope(|scope| {
            scope.spawn(|| {
                fs::create_dir_all(&deep).unwrap();
                fs::write(deep.join("file"), "x").unwrap();
            });
            let start = Instant::now();
            while !found && start.elapsed() < LATE {
                for event in watch.read(LATE).unwrap() {
                    match event {
                        Event::Created { path, is_dir: true } => found |= add_and_list(&watch, &path),
                        Event::Changed(path) => found |= path.name() == b"file",
                        _ => {}
                    }
                }
            }
        });
        assert!(found);
    }

    fn add_and_list(watch: &Watch, directory: &Path) -> bool {
        assert_eq!(watch.add(Some(directory)).unwrap(), Added::Watched);
        let names = watch.root.read_dir(Some(directory)).unwrap();
        names
            .iter()
            .any(|entry| entry.name == b"file" || add_and_list(watch, &directory.join(&entry.name).unwrap()))
    }

    /// A record has 16 bytes, and its name with a NUL, filled up to a multiple of 16.
    #[test]
    fn what_fits_into_the_buffer_is_told_at_once_and_the_rest_later() {
        const RECORD: usize = 16 + 48;
        let (scratch, watch) = start();
        let fit = WATCH_BUFFER_BYTES / RECORD;
        for number in 0..fit + 5 {
            symlink("nowhere", scratch.path().join("box").join(format!("{number:040}"))).unwrap();
        }
        assert_eq!([events(&watch).len(), events(&watch).len()], [fit, 5]);
    }
}
