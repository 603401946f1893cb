//! A client's folder: the root that syncs, and the private directory in it.
//!
//! A folder that was copied, or restored from a backup, has a state that speaks of another folder: of files that may not have come along,
//! in the name of a client that may be running. So the lock holds the birthmark of the private directory, which no copy has, and the
//! state is only used where it was made. A folder that was renamed is the same folder.
//!
//! ```text
//!     DIR/.filesync/lock        held by the kernel for the process that syncs the folder; freed when it dies, however it dies
//!     DIR/.filesync/state       journal of what client and server have in common
//!     DIR/.filesync/staging/    downloads on their way
//!     DIR/.filesync/partial/    what came of downloads that were cut
//!     DIR/.filesync/versions/   what was found in the way and could not be put back
//!     DIR/.filesync/status      what `client_a status` and `client_b status` show
//! ```

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path as OsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{PRIVATE_DIRECTORY, Root, Stage};
use crate::limits::BIRTHMARK_BYTES;
use crate::tree::Path;

/// A folder that this process, and no other, syncs.
#[derive(Debug)]
pub struct Folder {
    /// What syncs.
    pub root: Arc<Root>,
    /// `.filesync`.
    pub private: Arc<Root>,
    /// Where downloads are made.
    pub stage: Arc<Stage>,
    /// What a crash left in staging that may be somebody's version: names in `.filesync/versions/`.
    pub recovered: Vec<Path>,
    /// Whether the state was made here.
    pub place: Place,
    /// Locked as long as it is open.
    _lock: File,
}

/// Where the state of a folder was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here, or there is none.
    Original,
    /// In another folder, of which this one is a copy. The state was removed.
    Copy,
}

/// Why a folder can't be synced.
#[derive(Debug)]
pub enum FolderError {
    /// It is not there.
    Missing(PathBuf),
    /// It is not a directory.
    NotADirectory(PathBuf),
    /// Another process syncs it.
    InUse(PathBuf),
    /// The file system says no.
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FolderError::Missing(path) => {
                write!(
                    f,
                    "the folder {} does not exist; make it first, so that a typing error is not synced",
                    path.display()
                )
            }
            FolderError::NotADirectory(path) => write!(f, "{} is not a directory", path.display()),
            FolderError::InUse(path) => {
                write!(
                    f,
                    "the folder {} is in use: another client is syncing it; stop that one first",
                    path.display()
                )
            }
            FolderError::Io { operation, path, cause } => {
                write!(f, "cannot {operation} {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for FolderError {}

const LOCK: &[u8] = b"lock";
/// The state's file.
pub(super) const STATE: &[u8] = b"state";
/// How often, and with which pause, the lock is tried for: asking for the status holds it for an instant.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

impl Folder {
    /// Opens a folder, makes its private directory at first, takes its lock, removes a state that was copied with the folder, and clears
    /// what an earlier run left in staging.
    ///
    /// # Errors
    /// It is missing, no directory, in use, or the file system says no.
    pub fn open(directory: &OsPath) -> Result<Folder, FolderError> {
        let failed =
            |operation| move |cause| FolderError::Io { operation, path: directory.to_owned(), cause };
        let root = Arc::new(open_root(directory)?);
        let private = Arc::new(root.sub_root(PRIVATE_DIRECTORY).map_err(failed("make .filesync in"))?);
        let mut lock = take_lock(&private, directory)?;
        let place = settle_place(&private, &mut lock).map_err(failed("read or write .filesync/lock in"))?;
        let run = random_u64().map_err(failed("get random bytes for"))?;
        let stage = Stage::open(root.clone(), &private, run).map_err(failed("make .filesync/staging in"))?;
        let recovered = stage.clear().map_err(failed("clean .filesync/staging in"))?;
        Ok(Folder { root, private, stage, recovered, place, _lock: lock })
    }
}

fn open_root(directory: &OsPath) -> Result<Root, FolderError> {
    Root::open(directory).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => FolderError::Missing(directory.to_owned()),
        io::ErrorKind::NotADirectory => FolderError::NotADirectory(directory.to_owned()),
        _ => FolderError::Io { operation: "open", path: directory.to_owned(), cause },
    })
}

fn take_lock(private: &Root, directory: &OsPath) -> Result<File, FolderError> {
    let failed = |cause| FolderError::Io { operation: "lock", path: directory.to_owned(), cause };
    let name = lock_name();
    let file = match private.create_new(&name, 0o600) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => private.open_write(&name),
        other => other,
    };
    let file = file.map_err(failed)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Maybe somebody only asks whether the folder is in use.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
    }
    Err(FolderError::InUse(directory.to_owned()))
}

/// Compares the birthmark in the lock with that of this directory. Where they differ the state goes first, then this is the place of the
/// next one: after a crash in between there is none, which is as good.
fn settle_place(private: &Root, lock: &mut File) -> io::Result<Place> {
    let here = private.birthmark()?;
    let mut noted = Vec::new();
    (&*lock).take(BIRTHMARK_BYTES + 1).read_to_end(&mut noted)?;
    if noted == here.as_bytes() {
        return Ok(Place::Original);
    }
    let place = if noted.is_empty() { Place::Original } else { Place::Copy };
    if place == Place::Copy {
        match private.remove_file(&Path::new(STATE).expect("a plain name is a path")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => private.sync_dir(None)?,
        }
    }
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(here.as_bytes())?;
    lock.sync_all()?;
    Ok(place)
}

/// Whether a process syncs the folder now. Asking takes the lock for an instant.
pub(super) fn is_in_use(private: &Root) -> bool {
    let Ok(file) = private.open_file(&lock_name()) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn lock_name() -> Path {
    Path::new(LOCK).expect("a plain name is a path")
}

/// Random bits from the system.
///
/// # Errors
/// `/dev/urandom` can't be read.
pub fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
