//! The box: its files, its index, its history. Handlers ask for changes and read the index; nobody else touches the folder.
//!
//! ```text
//!     handlers --> submit --------+                                                +--> journal, box, index
//!                                 +--> queue, a lane for each account --> commit thread --> hub
//!     box-scan thread (by hand) --+
//! ```
//!
//! One thread, the committer, changes index and box. Everyone may read the index, and may open files: a file that is open stays what it
//! is, because versions are replaced by renaming and never written into.

mod act;
mod book;
mod change;
mod claim;
mod commit;
mod index;
mod lanes;
mod look;
mod making;
mod place;
mod prepared;
mod queue;
mod records;
mod recover;
mod renamed;
mod replay;
mod rules;
mod shared;
mod tally;
#[cfg(test)]
mod tests;
mod verify;
mod watch;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, RwLock, RwLockReadGuard};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use common::cli::log::Log;
use common::disk::{
    Fidelity, Fingerprint, Holder, Lock, LockError, Mode, Observer, PRIVATE_DIRECTORY, Partials,
    RetainedFile, Root, Stage, Staged, Stat, unflushed,
};
use common::limits::{OPEN_PAUSE, OPEN_TRIES};
use common::protocol::{Allowance, Amount};
use common::sys::heap;
use common::threads::{lock, read, spawn};
use common::tree::{Content, Entry, Kind, Meta, Path, Tag};

use self::claim::Promised;
use self::commit::Committer;
use self::making::Making;
use self::queue::{Entrance, queue};
use self::shared::Shared;
use self::watch::{Unopened, Watcher};
use crate::hub::Hub;
use crate::realm::Account;

pub(crate) use self::change::{Action, Asker, Committed, Label, Refused, Replaced, Require, usual_mode};
pub(crate) use self::claim::Claim;
#[cfg(test)]
pub(crate) use self::index::Origin;
pub(crate) use self::index::{Index, Record, State, Step};
pub(crate) use self::prepared::Prepared;
#[cfg(fuzzing)]
pub(crate) use self::records::repack as repack_record;
pub(crate) use self::verify::{Difference, Verified, verify};

/// How to run a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Whether a success survives a power cut.
    pub(crate) fsync: bool,
    /// Whether to open although most of what was in the box is missing.
    pub(crate) force: bool,
}

/// An open box. Share it; [`Store::stop`] ends it for all.
#[derive(Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    changes: Entrance,
    threads: Mutex<Threads>,
    /// Held as long as the store is there.
    _lock: Lock,
}

#[derive(Debug, Default)]
struct Threads {
    observer: Option<Observer>,
    committer: Option<JoinHandle<()>>,
}

/// Why a box can't be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// This process is at work in it.
    InUse(PathBuf, Holder),
    /// So many of so many entries are missing.
    Held { path: PathBuf, lost: usize, entries: usize },
    /// It was moved or unmounted while it was being opened.
    Gone(PathBuf),
    /// What could not be done, and why.
    Disk { what: String, error: io::Error },
}

/// A file of the box, open at the version that the index tells of.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) entry: Entry,
    pub(crate) file: File,
    /// What it looks like as long as it is this version.
    print: Fingerprint,
}

/// A copy of a file of the box, made aside.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) staged: Staged,
    pub(crate) file: File,
}

impl Store {
    /// Opens the box at `dir`, and makes it if there is none. When this returns, all that happened to the box while no server ran is in
    /// the index.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open(
        dir: &std::path::Path,
        options: Options,
        log: Log,
        hub: Arc<Hub>,
    ) -> Result<Store, OpenError> {
        let at = |what: &str| {
            let what = format!("{what} {}", dir.display());
            move |error| OpenError::Disk { what, error }
        };
        std::fs::create_dir_all(dir).map_err(at("cannot make the box"))?;
        let root = Arc::new(Root::open(dir).map_err(at("cannot open the box"))?);
        let private = root.sub_root(PRIVATE_DIRECTORY).map_err(at("cannot open .filesync in the box"))?;
        let lock = Lock::take(&private).map_err(|error| not_locked(&private, error))?;
        let run = recover::random().map_err(at("cannot get random numbers for the box"))?;
        let stage =
            Stage::open(root.clone(), &private, run).map_err(at("cannot open the staging of the box"))?;
        let (book, index) =
            recover::recover(&root, &private, &stage, log).map_err(at("cannot recover the box"))?;
        let noted = if options.fsync { unflushed::end(&private) } else { unflushed::begin(&private) };
        noted.map_err(at("cannot note whether the disk is waited for in"))?;
        let partials = Partials::open(&private, stage.clone(), options.fsync)
            .map_err(at("cannot open what is kept of uploads to the box"))?;
        let shared = Arc::new(Shared {
            index: RwLock::new(index),
            root,
            private,
            fidelity: Fidelity::of(&stage),
            stage,
            partials,
            promised: Promised::default(),
            hub,
            log,
            looker: OnceLock::new(),
            making: Making::default(),
            reads: AtomicU64::new(0),
        });
        let (changes, exit) = queue();
        let committer = Committer::new(shared.clone(), book, options.fsync, exit);
        let committer = spawn("commit", move || committer.run()).map_err(at("no thread for the box"))?;
        let threads = Mutex::new(Threads { observer: None, committer: Some(committer) });
        // From here on, dropping it ends the thread.
        let store = Store { shared, changes, threads, _lock: lock };
        store.observe(dir, options)?;
        Ok(store)
    }

    /// Starts observing, and waits for the first full scan.
    fn observe(&self, dir: &std::path::Path, options: Options) -> Result<(), OpenError> {
        let (opened, first_scan) = sync_channel(1);
        let mut watcher = Watcher::new(self.shared.clone(), self.changes.clone(), options.force, opened);
        let sink = move |observation| -> ControlFlow<()> { watcher.take(observation) };
        let (root, nothing) = (self.shared.root.clone(), Arc::new(|_: &Path| false));
        let observer = Observer::start(root, Mode::Events, nothing, "box", sink).map_err(|error| {
            OpenError::Disk { what: format!("cannot observe the box {}", dir.display()), error }
        })?;
        // Set once, by the only caller.
        let _ = self.shared.looker.set(observer.looker());
        lock(&self.threads).observer = Some(observer);
        match first_scan.recv() {
            Ok(Ok(())) => {
                // What the replay of the journal and the scan needed on their way.
                heap::give_back();
                Ok(())
            }
            Ok(Err(Unopened::Held { lost, entries })) => {
                Err(OpenError::Held { path: dir.to_owned(), lost, entries })
            }
            Ok(Err(Unopened::Gone)) | Err(_) => Err(OpenError::Gone(dir.to_owned())),
        }
    }

    /// The index, for reading. Changes wait meanwhile, so let go of it soon.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        read(&self.shared.index)
    }

    /// Where new content is written before it is submitted.
    pub(crate) fn stage(&self) -> &Arc<Stage> {
        &self.shared.stage
    }

    /// What came of uploads that were cut.
    pub(crate) fn partials(&self) -> &Arc<Partials> {
        &self.shared.partials
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Arc<Root> {
        &self.shared.root
    }

    /// `.filesync`, for keys and the like.
    pub(crate) fn private(&self) -> &Root {
        &self.shared.private
    }

    /// Files that were read as a whole because they looked changed, since the start.
    pub(crate) fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }

    /// How much an account holds. What is not known of a folder is counted, batch by batch.
    pub(crate) fn amount(&self, account: &Account) -> Amount {
        loop {
            if let Some(amount) = self.index().count(account.folder()) {
                return amount;
            }
        }
    }

    /// Claims room for something of this size at a path, in an account that may have so much.
    ///
    /// # Errors
    /// There is none: [`Refused::Quota`].
    pub(crate) fn claim(
        &self,
        account: Account,
        allowed: Allowance,
        path: Path,
        bytes: u64,
    ) -> Result<Claim, Refused> {
        if !allowed.is_boundless() {
            self.amount(&account);
        }
        let mut claim = Claim::new(self.shared.clone(), account, allowed, path);
        claim.cover(bytes).map_err(Refused::Quota)?;
        Ok(claim)
    }

    /// Asks for a change, and waits for the outcome.
    ///
    /// # Errors
    /// It was not made.
    pub(crate) fn submit(&self, path: Path, action: Action, asker: Asker) -> Result<Committed, Refused> {
        self.prepare(path, action, asker).outcome()
    }

    /// A change that is to be asked for.
    pub(crate) fn prepare(&self, path: Path, action: Action, asker: Asker) -> Prepared {
        Prepared::new(self.changes.clone(), path, action, asker)
    }

    /// Opens a file, and makes sure that what is open is the version that the index tells of: content is never sent under the tag of
    /// another. `None`: there is no file at this path.
    ///
    /// # Errors
    /// What the file system says; `ResourceBusy` if it was changed by hand, and that is not in the index yet.
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<Option<OpenFile>> {
        for attempt in 0..OPEN_TRIES {
            let Some(record) = self.index().get(path).copied() else { return Ok(None) };
            let State::Live(entry, print) = record.state else { return Ok(None) };
            if entry.content.kind() != Kind::File {
                return Ok(None);
            }
            match self.shared.root.open_file(path) {
                Ok(file) => match Stat::of_file(&file)?.print {
                    seen if Some(seen) == print => return Ok(Some(OpenFile { entry, file, print: seen })),
                    _ => {}
                },
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                Err(_) => {}
            }
            // Either it was just replaced, and the index follows in a moment, or somebody edited it by hand.
            if 0 < attempt {
                self.shared.look(path.clone(), Duration::ZERO);
            }
            sleep(OPEN_PAUSE);
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the file was changed in the box a moment ago; try again",
        ))
    }

    /// Copies a version of a file to staging: the one that is at `path`, or was until a moment ago. std asks the kernel to do it, which
    /// shares the blocks where the file system can. `None`: that version is not to be had.
    ///
    /// It is not hashed again: the file looked before and after as it did when it was.
    ///
    /// # Errors
    /// As [`Store::open_file`], or what staging says.
    pub(crate) fn copy_version(&self, path: &Path, version: &Content) -> io::Result<Option<Copied>> {
        let held = self.index().live_entry(path).is_some_and(|entry| entry.content == *version);
        // It may be replaced at any moment; then it is retained.
        let opened = if held { self.open_file(path)? } else { None };
        let (mut source, print) = match opened.filter(|opened| opened.entry.content == *version) {
            Some(OpenFile { file, print, .. }) => (file, print),
            None => match self.shared.stage.retained().find_at(path, |content| content == version) {
                Some(RetainedFile { file, stat, .. }) => (file, stat.print),
                None => return Ok(None),
            },
        };
        let (staged, mut file) = self.shared.stage.file()?;
        let length = io::copy(&mut source, &mut file)?;
        // Replaced meanwhile it has another time of last change, which does not matter.
        let is_same = Stat::of_file(&source)?.print.is_likely_same_content(&print);
        if !is_same || length != version.size() {
            self.shared.look(path.clone(), Duration::ZERO);
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the file was changed while it was copied",
            ));
        }
        Ok(Some(Copied { staged, file }))
    }

    /// What was at a path until a moment ago and can still be copied, if it is one of these versions, whenever it was there.
    pub(crate) fn retained(&self, path: &Path, versions: &Require) -> Option<Entry> {
        let Require::OneOf(tags) = versions else { return None };
        let found = self.shared.stage.retained().find_at(path, |content| tags.contains(&Tag::from(*content)));
        let RetainedFile { content, stat, .. } = found?;
        Some(Entry { content, meta: Meta { mtime: stat.mtime, mode: stat.mode } })
    }

    /// Stops observing and committing. What waits is refused; what was answered is durable. Later changes are refused.
    pub(crate) fn stop(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        // The observer first: it may be waiting for room in the queue, which the committer makes.
        drop(threads.observer);
        self.changes.close();
        if let Some(committer) = threads.committer {
            // A thread that panicked has said so on stderr.
            let _ = committer.join();
            // Also what was not flushed until now. Should it fail, the next start compares more than it needs to.
            let _ = unflushed::end(&self.shared.private);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

fn not_locked(private: &Root, error: LockError) -> OpenError {
    let path = private.path().to_owned();
    match error {
        LockError::Held(holder) => OpenError::InUse(path, holder),
        LockError::Io(error) => OpenError::Disk { what: format!("cannot lock {}", path.display()), error },
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse(path, holder) => {
                write!(f, "{holder} is at work in {}; stop it, or choose another --box", path.display())
            }
            OpenError::Held { path, lost, entries } => write!(
                f,
                "{lost} of the {entries} entries of {} are missing; is the right disk mounted? If they were deleted on purpose, start \
                 once with --force, and every client will delete them, too",
                path.display()
            ),
            OpenError::Gone(path) => {
                write!(f, "{} was moved or unmounted while it was being opened; try again", path.display())
            }
            OpenError::Disk { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Disk { error, .. } => Some(error),
            _ => None,
        }
    }
}
