//! A client's folder: the root that syncs, and the private directory in it.
//!
//! ```text
//!     DIR/.filesync/lock        held by the kernel for the process that syncs the folder; freed when it dies, however it dies
//!     DIR/.filesync/state       journal of what client and server have in common
//!     DIR/.filesync/staging/    downloads on their way
//!     DIR/.filesync/opened      directories whose mode is another one for a moment
//!     DIR/.filesync/partial/    what came of downloads that were cut
//!     DIR/.filesync/versions/   what was found in the way and could not be put back
//!     DIR/.filesync/status      what `client_a status` and `client_b status` show
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path as OsPath, PathBuf};
use std::sync::Arc;

use super::doors::Doors;
use crate::disk::{Fidelity, Holder, Lock, LockError, PRIVATE_DIRECTORY, Root, Stage};
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
    /// What its file system keeps of metadata.
    pub fidelity: Fidelity,
    /// What a crash left in staging that may be somebody's version: names in `.filesync/versions/`.
    pub recovered: Vec<Path>,
    /// Directories that are not to be changed.
    pub(super) doors: Doors,
    /// Nobody else syncs it.
    _lock: Lock,
}

/// Why a folder can't be synced.
#[derive(Debug)]
pub enum FolderError {
    /// It is not there.
    Missing(PathBuf),
    /// It is not a directory.
    NotADirectory(PathBuf),
    /// This process syncs it.
    InUse(PathBuf, Holder),
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
            FolderError::InUse(path, holder) => {
                write!(
                    f,
                    "the folder {} is in use: {holder} is syncing it; stop that one first",
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

impl Folder {
    /// Opens a folder, makes its private directory at first, takes its lock, and clears what an earlier run left in staging.
    ///
    /// # Errors
    /// It is missing, no directory, in use, or the file system says no.
    pub fn open(directory: &OsPath) -> Result<Folder, FolderError> {
        let failed =
            |operation| move |cause| FolderError::Io { operation, path: directory.to_owned(), cause };
        let root = Arc::new(open_root(directory)?);
        let private = Arc::new(root.sub_root(PRIVATE_DIRECTORY).map_err(failed("make .filesync in"))?);
        let lock = take_lock(&private, directory)?;
        let run = random_u64().map_err(failed("get random bytes for"))?;
        let stage = Stage::open(root.clone(), &private, run).map_err(failed("make .filesync/staging in"))?;
        let recovered = stage.clear().map_err(failed("clean .filesync/staging in"))?;
        let fidelity = Fidelity::of(&stage);
        let doors = Doors::new(&root, &private).map_err(failed("set modes back in"))?;
        Ok(Folder { root, private, stage, fidelity, recovered, doors, _lock: lock })
    }
}

fn open_root(directory: &OsPath) -> Result<Root, FolderError> {
    Root::open(directory).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => FolderError::Missing(directory.to_owned()),
        io::ErrorKind::NotADirectory => FolderError::NotADirectory(directory.to_owned()),
        _ => FolderError::Io { operation: "open", path: directory.to_owned(), cause },
    })
}

fn take_lock(private: &Root, directory: &OsPath) -> Result<Lock, FolderError> {
    Lock::take(private).map_err(|error| match error {
        LockError::Held(holder) => FolderError::InUse(directory.to_owned(), holder),
        LockError::Io(cause) => FolderError::Io { operation: "lock", path: directory.to_owned(), cause },
    })
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
