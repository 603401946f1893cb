//! A directory that is held open, and everything beneath it: what a [`Path`] names is found there or not at all.
//!
//! A path is resolved from the held descriptor, never from a name in the file system at large, and no symbolic link is followed on the
//! way, wherever it leads. So neither a link that someone planted nor one that is swapped in between two calls leads out, and a root
//! that is renamed stays the same root. There are two ways to get there:
//!
//! ```text
//!     kernel     openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS takes the path as a whole      Linux 5.6
//!     walk       openat(2) with O_NOFOLLOW and O_DIRECTORY, name by name                                 elsewhere, and in sandboxes
//! ```
//!
//! Which one is found out when the root is opened. An operation opens the directory above its path and acts on the last name in it.
//! A link where a directory should be is the error `ELOOP`, both ways.
//!
//! RACE: the last name can come to mean something else between two operations. That can't lead out, but what was learned of it may no
//! longer hold; whoever replaces something checks directly before, and sets aside instead of removing.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::iter;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::stat::{Fingerprint, Stat, StatKind};
use crate::limits::LINK_BYTES;
pub use crate::sys::dir::{DirEntry, DirEntryKind};
pub use crate::sys::fs::RenameMode;
use crate::sys::{dir, errno, fs};
use crate::tree::{Mtime, Path, RESERVED_NAME};

/// Permissions of directories that nobody gave any; the umask takes from them.
const NEW_DIRECTORY_MODE: u16 = 0o777;
/// What the owner needs to put something into a directory.
const OPEN_TO_OWNER: u16 = 0o300;
/// Permissions of private directories.
const PRIVATE_MODE: u16 = 0o700;

/// An open directory, beneath which paths are resolved.
#[derive(Debug)]
pub struct Root {
    dir: File,
    path: PathBuf,
    resolution: Resolution,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    Kernel,
    Walk,
}

impl Root {
    /// Opens the directory at `dir`, following links on the way there: the user named it.
    ///
    /// # Errors
    /// Those of open(2); `ENOTDIR` if it is no directory.
    pub fn open(dir: &std::path::Path) -> io::Result<Root> {
        let file = OpenOptions::new().read(true).custom_flags(fs::O_DIRECTORY | fs::O_NONBLOCK).open(dir)?;
        let resolution = Resolution::probe(file.as_fd())?;
        Ok(Root { dir: file, path: dir.to_owned(), resolution })
    }

    /// Another handle of the same directory.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE`.
    pub fn try_clone(&self) -> io::Result<Root> {
        Ok(Root { dir: self.dir.try_clone()?, path: self.path.clone(), resolution: self.resolution })
    }

    /// Where it was when it was opened, as given: for messages.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Opens a directory in this one as a root of its own; makes it, for this user only, if there is none. `name` is ours and may be the
    /// reserved one.
    ///
    /// # Errors
    /// `InvalidInput` if `name` is not a single name; `ELOOP` or `ENOTDIR` if it is something else than a directory.
    pub fn sub_root(&self, name: &[u8]) -> io::Result<Root> {
        if name.contains(&b'/') || matches!(name, b"" | b"." | b"..") {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a single name"));
        }
        match fs::make_dir(self.dir.as_fd(), &c_string(name)?, PRIVATE_MODE) {
            Err(error) if error.raw_os_error() != Some(errno::EEXIST) => return Err(error),
            _ => {}
        }
        let dir = File::from(self.resolve(name, fs::O_RDONLY | fs::O_DIRECTORY, 0)?);
        let path = self.path.join(OsStr::from_bytes(name));
        Ok(Root { dir, path, resolution: self.resolution })
    }

    /// Device and inode number of the directory.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let found = self.dir.metadata()?;
        Ok((found.dev(), found.ino()))
    }

    /// What tells the directory from every copy of it, however faithful: when it was made, or where the file system does not remember
    /// that, its inode number. Renaming changes neither.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn birthmark(&self) -> io::Result<String> {
        let found = Stat::of_file(&self.dir)?;
        Ok(found.born.map_or(format!("inode {}", found.print.ino), |born| format!("born {}", born.0)))
    }

    /// Whether [`Root::path`] still leads to this directory. If not, it was renamed, removed or unmounted, or another was mounted over
    /// it, and what seems to be missing was not deleted.
    ///
    /// # Errors
    /// Those of stat(2), but for `ENOENT`, `ENOTDIR` and `ELOOP`, which mean no.
    pub fn is_in_place(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == self.identity()?),
            Err(error) if means_absent(&error) || error.raw_os_error() == Some(errno::ELOOP) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the private directory is there: a box or folder without it was emptied, or is another one.
    ///
    /// # Errors
    /// Those of statx(2), but for `ENOENT`, which means no.
    pub fn has_private_directory(&self) -> io::Result<bool> {
        match fs::stat(self.dir.as_fd(), &c_string(RESERVED_NAME)?) {
            Ok(raw) => Ok(Stat::from(raw).kind == StatKind::Directory),
            Err(error) if means_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Bytes that may still be written to its file system.
    ///
    /// # Errors
    /// Those of fstatfs(2).
    pub fn free_space(&self) -> io::Result<u64> {
        fs::free_space(self.dir.as_fd())
    }

    /// Makes everything on its file system durable. The descriptor is as old as the root, so since Linux 5.8 a failure to write any file
    /// back, since then or since the last call, is reported here.
    ///
    /// # Errors
    /// Those of syncfs(2).
    pub fn sync_all(&self) -> io::Result<()> {
        fs::sync_fs(self.dir.as_fd())
    }
}

// ---- Reading ---------------------------------------------------------------------------------------------------------------------

impl Root {
    /// What is at a path; `None` if nothing is, or nothing can be because there is no directory above. A link above is no directory:
    /// where it leads is not part of this tree.
    ///
    /// # Errors
    /// Those of statx(2).
    pub fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match self.place(path).and_then(|place| place.stat()) {
            Err(error) if means_absent(&error) || error.raw_os_error() == Some(errno::ELOOP) => Ok(None),
            other => other,
        }
    }

    /// As [`Root::stat`], for whoever looks at many paths in a row. It says what is in the directory that was found for the first of them
    /// in it, and that nothing is there only after a look at the very path.
    ///
    /// # Errors
    /// As [`Root::stat`].
    pub(super) fn stat_near(&self, path: &Path, last: &mut Above) -> io::Result<Option<Stat>> {
        match self.place_near(path, last).and_then(|place| place.stat()) {
            Ok(Some(stat)) if stat.kind != StatKind::Directory => Ok(Some(stat)),
            _ => {
                *last = Above::default();
                self.stat(path)
            }
        }
    }

    /// Opens a regular file for reading. Opening never waits, whatever is there.
    ///
    /// # Errors
    /// Those of open(2), `ELOOP` for a link; `InvalidInput` for anything else that is no regular file.
    pub fn open_file(&self, path: &Path) -> io::Result<File> {
        self.open_and_look(path).map(|(file, _)| file)
    }

    /// Opens a regular file if it looks like this, and says what it is; if not, what is at the path instead.
    ///
    /// # Errors
    /// As [`Root::open_file`], if it looks like this and can't be opened.
    pub fn open_seen(
        &self,
        path: &Path,
        print: Fingerprint,
    ) -> io::Result<Result<(File, Stat), Option<Stat>>> {
        match self.open_and_look(path) {
            Ok((file, stat)) if stat.print == print => Ok(Ok((file, stat))),
            Ok(_) => self.stat(path).map(Err),
            Err(error) => match self.stat(path)? {
                Some(stat) if stat.print == print => Err(error),
                now => Ok(Err(now)),
            },
        }
    }

    fn open_and_look(&self, path: &Path) -> io::Result<(File, Stat)> {
        let file = File::from(self.resolve(path.as_bytes(), fs::O_RDONLY | fs::O_NONBLOCK, 0)?);
        let stat = Stat::of_file(&file)?;
        match stat.kind {
            StatKind::File => Ok((file, stat)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// Reads the target of a symbolic link.
    ///
    /// # Errors
    /// Those of readlink(2), `EINVAL` for anything else; `ENAMETOOLONG` for a target of more than [`LINK_BYTES`].
    pub fn read_link(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut target = vec![0; LINK_BYTES + 1];
        let length = self.with_parent(path, |dir, name| fs::read_link(dir, name, &mut target))?;
        if LINK_BYTES < length {
            return Err(io::Error::from_raw_os_error(errno::ENAMETOOLONG));
        }
        target.truncate(length);
        Ok(target)
    }

    /// The names in a directory (the root, if none is given), in no particular order, without `.` and `..`: all of them, or an error.
    ///
    /// # Errors
    /// Those of open(2) and getdents64(2).
    pub fn read_dir(&self, directory: Option<&Path>) -> io::Result<Vec<DirEntry>> {
        dir::read_all(self.open_dir(directory)?.as_fd())
    }

    /// As [`Root::read_dir`], with what each name stands for. A name that vanishes meanwhile is left out.
    ///
    /// # Errors
    /// Those of open(2), getdents64(2) and statx(2).
    pub fn list(&self, directory: Option<&Path>) -> io::Result<Vec<(Vec<u8>, Stat)>> {
        let dir = self.open_dir(directory)?;
        let entries = dir::read_all(dir.as_fd())?;
        let mut found = Vec::with_capacity(entries.len());
        for entry in entries {
            match fs::stat(dir.as_fd(), &c_string(&entry.name)?) {
                Ok(raw) => found.push((entry.name, Stat::from(raw))),
                Err(error) if means_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

// ---- Writing ---------------------------------------------------------------------------------------------------------------------

impl Root {
    /// Creates a file, open for reading and writing. The umask takes from `mode`.
    ///
    /// # Errors
    /// Those of open(2); `EEXIST` if there is anything at the path.
    pub fn create_new(&self, path: &Path, mode: u16) -> io::Result<File> {
        self.resolve(path.as_bytes(), fs::O_RDWR | fs::O_CREAT | fs::O_EXCL, mode).map(File::from)
    }

    /// Opens a regular file that exists, for reading and writing. Only for private files: what syncs is never changed in place.
    ///
    /// # Errors
    /// As [`Root::open_file`].
    pub fn open_write(&self, path: &Path) -> io::Result<File> {
        let file = File::from(self.resolve(path.as_bytes(), fs::O_RDWR | fs::O_NONBLOCK, 0)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// Makes a directory. The umask takes from `mode`.
    ///
    /// # Errors
    /// Those of mkdir(2), `EEXIST` among them.
    pub fn make_dir(&self, path: &Path, mode: u16) -> io::Result<()> {
        self.with_parent(path, |dir, name| fs::make_dir(dir, name, mode))
    }

    /// Makes the directories above a path that are missing. Those in `modes` get these permission bits, whatever the umask.
    ///
    /// # Errors
    /// Those of mkdir(2) and chmod(2); `ENOTDIR` or `ELOOP` if something else than a directory stands above.
    pub fn make_dirs_above(&self, path: &Path, modes: &[(Path, u16)]) -> io::Result<()> {
        let mut missing = Vec::new();
        for above in iter::successors(path.parent(), Path::parent) {
            match self.resolve(above.as_bytes(), fs::O_PATH | fs::O_DIRECTORY, 0) {
                Ok(_) => break,
                Err(error) if error.raw_os_error() == Some(errno::ENOENT) => missing.push(above),
                Err(error) => return Err(error),
            }
        }
        let mut made = Vec::new();
        let result = missing.iter().rev().try_for_each(|directory| {
            let known = modes.iter().find(|(known, _)| known == directory).map(|(_, mode)| *mode);
            // What comes into it has to be let in first.
            match self.make_dir(directory, known.map_or(NEW_DIRECTORY_MODE, |mode| mode | OPEN_TO_OWNER)) {
                Ok(()) => made.extend(known.map(|mode| (directory, mode))),
                // Someone else was faster. If it is no directory, what comes next will say so.
                Err(error) if error.raw_os_error() == Some(errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
            Ok(())
        });
        // The innermost first, as long as the way to it is open.
        made.iter().rev().try_for_each(|(directory, mode)| self.set_mode(directory, *mode))?;
        result
    }

    /// Makes a symbolic link. The target is kept as it is, wherever it points: nothing here follows it.
    ///
    /// # Errors
    /// Those of symlink(2), `EEXIST` among them; `InvalidInput` for a NUL in the target.
    pub fn make_symlink(&self, target: &[u8], path: &Path) -> io::Result<()> {
        let target = c_string(target)?;
        self.with_parent(path, |dir, name| fs::make_symlink(&target, dir, name))
    }

    /// Removes anything but a directory.
    ///
    /// # Errors
    /// Those of unlink(2), `ENOENT` and `EISDIR` among them.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.with_parent(path, fs::remove_file)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of rmdir(2), `ENOENT` and `ENOTEMPTY` among them.
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.with_parent(path, fs::remove_dir)
    }

    /// Renames from a path beneath one root to a path beneath the same or another.
    ///
    /// # Errors
    /// Those of renameat2(2): `EXDEV` across file systems; `EEXIST` and `EINVAL` as [`RenameMode`] says.
    pub fn rename(from: (&Root, &Path), to: (&Root, &Path), mode: RenameMode) -> io::Result<()> {
        from.0.place(from.1)?.rename_to(&to.0.place(to.1)?, mode)
    }

    /// Sets the time of last modification of anything; of a link, its own.
    ///
    /// # Errors
    /// Those of utimensat(2).
    pub fn set_mtime(&self, path: &Path, mtime: Mtime) -> io::Result<()> {
        self.with_parent(path, |dir, name| fs::set_mtime(dir, name, mtime.parts()))
    }

    /// Sets the permission bits of a file or directory.
    ///
    /// # Errors
    /// Those of fchmodat(2); `EOPNOTSUPP` for a link.
    pub fn set_mode(&self, path: &Path, mode: u16) -> io::Result<()> {
        self.with_parent(path, |dir, name| fs::set_mode(dir, name, mode))
    }

    /// Makes the names in a directory (the root, if none is given) durable.
    ///
    /// # Errors
    /// Those of open(2) and fsync(2).
    pub fn sync_dir(&self, directory: Option<&Path>) -> io::Result<()> {
        match directory {
            None => self.dir.sync_all(),
            Some(_) => self.open_dir(directory)?.sync_all(),
        }
    }
}

// ---- Resolution ------------------------------------------------------------------------------------------------------------------

impl Resolution {
    fn probe(dir: BorrowedFd<'_>) -> io::Result<Resolution> {
        match fs::open_beneath(dir, c".", fs::O_PATH | fs::O_DIRECTORY, 0) {
            Ok(_) => Ok(Resolution::Kernel),
            Err(error) if matches!(error.raw_os_error(), Some(errno::ENOSYS | errno::EPERM)) => {
                Ok(Resolution::Walk)
            }
            Err(error) => Err(error),
        }
    }
}

impl Root {
    /// The directory itself, only for naming what is in it; [`Root::open_dir`] is for reading.
    pub(super) fn find_dir(&self, directory: Option<&Path>) -> io::Result<OwnedFd> {
        match directory {
            None => self.dir.as_fd().try_clone_to_owned(),
            Some(path) => self.resolve(path.as_bytes(), fs::O_PATH | fs::O_DIRECTORY, 0),
        }
    }

    /// Opened anew, because the position of reading belongs to the open file and another thread may be reading, too.
    fn open_dir(&self, directory: Option<&Path>) -> io::Result<File> {
        let path = directory.map_or(b".".as_slice(), Path::as_bytes);
        self.resolve(path, fs::O_RDONLY | fs::O_DIRECTORY, 0).map(File::from)
    }

    /// Finds the directory above a path, for whoever has more than one thing to do there.
    ///
    /// # Errors
    /// Those of open(2), `ENOENT` if there is none.
    pub(super) fn place(&self, path: &Path) -> io::Result<Place<'_>> {
        self.place_near(path, &mut Above::default())
    }

    /// As [`Root::place`], for whoever has many paths in a row: the directory is found once for all that lie directly in it.
    ///
    /// # Errors
    /// As [`Root::place`].
    pub(super) fn place_near(&self, path: &Path, last: &mut Above) -> io::Result<Place<'_>> {
        let (above, name) = split_last(path.as_bytes());
        let above = match above {
            None => None,
            Some(above) if last.is(above) => last.dir.clone(),
            Some(above) => {
                last.dir = Some(Arc::new(self.resolve(above, fs::O_PATH | fs::O_DIRECTORY, 0)?));
                last.path = above.to_vec();
                last.dir.clone()
            }
        };
        Ok(Place { root: self.dir.as_fd(), above, name: c_string(name)? })
    }

    /// Lets `work` act on the last name of a path in the directory above it.
    fn with_parent<T>(
        &self,
        path: &Path,
        work: impl FnOnce(BorrowedFd<'_>, &CStr) -> io::Result<T>,
    ) -> io::Result<T> {
        let place = self.place(path)?;
        work(place.dir(), &place.name)
    }

    fn resolve(&self, path: &[u8], flags: i32, mode: u16) -> io::Result<OwnedFd> {
        match self.resolution {
            Resolution::Kernel => fs::open_beneath(self.dir.as_fd(), &c_string(path)?, flags, mode),
            Resolution::Walk => walk(self.dir.as_fd(), path, flags, mode),
        }
    }
}

/// A name in a directory that is held open. Should the directory be renamed meanwhile, the place goes with it.
#[derive(Debug)]
pub(super) struct Place<'r> {
    root: BorrowedFd<'r>,
    /// The directory, if it is not the root itself.
    above: Option<Arc<OwnedFd>>,
    name: CString,
}

/// The directory above the path that was acted on last, held open for the next ones. It is for a few moments: should the directory be
/// renamed meanwhile, what is done in it goes along, as it would if it had been done before.
#[derive(Debug, Default)]
pub struct Above {
    path: Vec<u8>,
    dir: Option<Arc<OwnedFd>>,
}

impl Above {
    /// Whether it is the directory above this path.
    pub fn is_above(&self, path: &Path) -> bool {
        split_last(path.as_bytes()).0.is_some_and(|above| self.is(above))
    }

    fn is(&self, directory: &[u8]) -> bool {
        self.dir.is_some() && self.path == directory
    }
}

impl Place<'_> {
    fn dir(&self) -> BorrowedFd<'_> {
        self.above.as_ref().map_or(self.root, |above| above.as_fd())
    }

    /// What is there; `None` if nothing is.
    ///
    /// # Errors
    /// Those of statx(2).
    pub(super) fn stat(&self) -> io::Result<Option<Stat>> {
        match fs::stat(self.dir(), &self.name) {
            Ok(raw) => Ok(Some(Stat::from(raw))),
            Err(error) if means_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renames what is there.
    ///
    /// # Errors
    /// As [`Root::rename`].
    pub(super) fn rename_to(&self, to: &Place<'_>, mode: RenameMode) -> io::Result<()> {
        fs::rename((self.dir(), &self.name), (to.dir(), &to.name), mode)
    }
}

/// What [`fs::open_beneath`] does, without it.
fn walk(start: BorrowedFd<'_>, path: &[u8], flags: i32, mode: u16) -> io::Result<OwnedFd> {
    let (above, name) = split_last(path);
    let mut dir = None;
    for name in above.into_iter().flat_map(|above| above.split(|&byte| byte == b'/')) {
        let next = step(dir.as_ref().map_or(start, OwnedFd::as_fd), name, fs::O_PATH | fs::O_DIRECTORY, 0)?;
        dir = Some(next);
    }
    step(dir.as_ref().map_or(start, OwnedFd::as_fd), name, flags, mode)
}

/// Where a directory is asked for, openat says of a link only that it is none; for our callers that is another matter.
fn step(dir: BorrowedFd<'_>, name: &[u8], flags: i32, mode: u16) -> io::Result<OwnedFd> {
    let name = c_string(name)?;
    fs::open_at(dir, &name, flags, mode).map_err(|error| {
        let is_link = || fs::stat(dir, &name).is_ok_and(|raw| Stat::from(raw).kind == StatKind::Symlink);
        match error.raw_os_error() == Some(errno::ENOTDIR) && is_link() {
            true => io::Error::from_raw_os_error(errno::ELOOP),
            false => error,
        }
    })
}

fn split_last(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (Some(&path[..slash]), &path[slash + 1..]),
        None => (None, path),
    }
}

fn means_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(errno::ENOENT | errno::ENOTDIR))
}

/// A [`Path`] has no NUL; a target of a link may.
fn c_string(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::mpsc::{self, TryRecvError};
    use std::thread;

    use super::*;
    use crate::disk::Fingerprint;
    use crate::disk::scratch::Scratch;

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    fn errno_of<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
        result.unwrap_err().raw_os_error().unwrap()
    }

    /// Runs a test both ways, each in a root of its own that has a canary outside.
    fn both_ways(test: impl Fn(&Scratch, Root)) {
        for resolution in [Resolution::Kernel, Resolution::Walk] {
            let scratch = Scratch::new();
            std::fs::create_dir_all(scratch.path().join("outside/dir")).unwrap();
            std::fs::write(scratch.path().join("outside/canary"), "alive").unwrap();
            std::fs::create_dir(scratch.path().join("box")).unwrap();
            let root = Root::open(&scratch.path().join("box")).unwrap();
            assert_eq!(root.resolution, Resolution::Kernel, "this kernel is too old for half of the tests");
            test(&scratch, Root { resolution, ..root });
            assert_eq!(std::fs::read(scratch.path().join("outside/canary")).unwrap(), b"alive");
            assert_eq!(std::fs::read_dir(scratch.path().join("outside")).unwrap().count(), 2);
        }
    }

    fn write(root: &Root, at: &Path, content: &str) {
        root.create_new(at, 0o644).unwrap().write_all(content.as_bytes()).unwrap();
    }

    fn read(root: &Root, at: &Path) -> String {
        let mut content = String::new();
        root.open_file(at).unwrap().read_to_string(&mut content).unwrap();
        content
    }

    #[test]
    fn only_what_was_seen_is_opened() {
        let scratch = Scratch::new();
        let root = Root::open(scratch.path()).unwrap();
        let at = path("a");
        std::fs::write(scratch.path().join("a"), "seen").unwrap();
        let seen = root.stat(&at).unwrap().unwrap();
        let (_, here) = root.open_seen(&at, seen.print).unwrap().unwrap();
        assert_eq!(here, seen);
        std::fs::write(scratch.path().join("a"), "edited").unwrap();
        assert_eq!(root.open_seen(&at, seen.print).unwrap().unwrap_err().unwrap().size, 6);
        std::fs::remove_file(scratch.path().join("a")).unwrap();
        assert_eq!(root.open_seen(&at, seen.print).unwrap().unwrap_err(), None);
        std::os::unix::fs::symlink("elsewhere", scratch.path().join("a")).unwrap();
        let link = root.stat(&at).unwrap().unwrap();
        assert_eq!(root.open_seen(&at, seen.print).unwrap().unwrap_err(), Some(link));
        assert_eq!(errno_of(root.open_seen(&at, link.print)), errno::ELOOP, "it is there, and no file");
    }

    #[test]
    fn directories_that_nothing_may_be_put_into_are_made_in_each_other() {
        both_ways(|_, root| {
            let (outer, inner) = (path("a"), path("a/b"));
            let modes = [(outer.clone(), 0o505), (inner.clone(), 0o555)];
            root.make_dirs_above(&path("a/b/c"), &modes).unwrap();
            let mode = |path| root.stat(path).unwrap().unwrap().mode;
            assert_eq!((mode(&outer), mode(&inner)), (0o505, 0o555));
        });
    }

    #[test]
    fn a_life_of_a_file() {
        both_ways(|_, root| {
            let (old, new) = (path("a/b/c"), path("d"));
            assert_eq!(root.stat(&old).unwrap(), None);
            assert_eq!(errno_of(root.create_new(&old, 0o644)), errno::ENOENT);
            root.make_dirs_above(&old, &[(path("a/b"), 0o707)]).unwrap();
            root.make_dirs_above(&old, &[(path("a"), 0o700), (path("a/b"), 0o700)]).unwrap();
            let mode = |name| root.stat(&path(name)).unwrap().unwrap().mode;
            assert_eq!((mode("a/b"), mode("a") & 0o700), (0o707, 0o700), "what was there stays as it is");
            write(&root, &old, "content");
            assert_eq!(errno_of(root.create_new(&old, 0o644)), errno::EEXIST);
            root.set_mode(&old, 0o640).unwrap();
            root.set_mtime(&old, Mtime(-1_500_000_000)).unwrap();
            let stat = root.stat(&old).unwrap().unwrap();
            assert_eq!(stat, Stat::of_file(&root.open_file(&old).unwrap()).unwrap());
            assert_eq!((stat.kind, stat.size, stat.mode), (StatKind::File, 7, 0o640));
            assert_eq!(stat.mtime, Mtime(-1_500_000_000));
            Root::rename((&root, &old), (&root, &new), RenameMode::NoReplace).unwrap();
            let moved = root.stat(&new).unwrap().unwrap();
            assert!(moved.print.is_likely_same_content(&stat.print));
            assert!(!Fingerprint { size: 8, ..moved.print }.is_likely_same_content(&stat.print));
            assert_eq!(read(&root, &new), "content");
            assert_eq!(root.stat(&path("d/below")).unwrap(), None);
            assert_eq!(errno_of(root.remove_dir(&path("a"))), errno::ENOTEMPTY);
            root.remove_dir(&path("a/b")).unwrap();
            assert_eq!(errno_of(root.remove_file(&path("a"))), errno::EISDIR);
            root.remove_file(&new).unwrap();
            root.sync_dir(None).unwrap();
            root.sync_dir(Some(&path("a"))).unwrap();
            assert_eq!(root.list(None).unwrap().len(), 1);
        });
    }

    #[test]
    fn renaming_in_three_ways() {
        both_ways(|_, root| {
            let (a, b, private) = (path("a"), path("b"), root.sub_root(RESERVED_NAME).unwrap());
            write(&root, &a, "a");
            write(&root, &b, "b");
            let rename = |mode| Root::rename((&root, &a), (&root, &b), mode);
            assert_eq!(errno_of(rename(RenameMode::NoReplace)), errno::EEXIST);
            rename(RenameMode::Exchange).unwrap();
            assert_eq!(read(&root, &a), "b");
            rename(RenameMode::Replace).unwrap();
            assert_eq!(read(&root, &b), "b");
            Root::rename((&root, &b), (&private, &b), RenameMode::NoReplace).unwrap();
            assert_eq!(read(&private, &b), "b");
        });
    }

    #[test]
    fn listing() {
        both_ways(|_, root| {
            root.make_dir(&path("d"), 0o755).unwrap();
            write(&root, &path("d/f"), "four");
            root.make_symlink(b"../nowhere", &path("d/l")).unwrap();
            root.make_dir(&path("d/d"), 0o700).unwrap();
            let mut list = root.list(Some(&path("d"))).unwrap();
            list.sort_by(|a, b| a.0.cmp(&b.0));
            let kinds: Vec<_> = list.iter().map(|(name, stat)| (name.as_slice(), stat.kind)).collect();
            let want = [(b"d", StatKind::Directory), (b"f", StatKind::File), (b"l", StatKind::Symlink)];
            assert_eq!(kinds, want.map(|(name, kind)| (name.as_slice(), kind)));
            assert_eq!((list[1].1.size, list[2].1.size), (4, 10));
            assert_eq!(root.stat(&path("d/f")).unwrap().unwrap(), list[1].1);
            for _ in 0..2 {
                assert_eq!(root.read_dir(None).unwrap().len(), 1, "the position is not shared");
            }
        });
    }

    #[test]
    fn planted_links_lead_nowhere() {
        both_ways(|scratch, root| {
            symlink("../outside", scratch.path().join("box/dir")).unwrap();
            symlink("../outside/canary", scratch.path().join("box/file")).unwrap();
            symlink("dir", scratch.path().join("box/twice")).unwrap();
            symlink("loop", scratch.path().join("box/loop")).unwrap();
            for link in ["dir", "twice", "loop"] {
                let below = path(&format!("{link}/canary"));
                let free = path(&format!("{link}/new"));
                assert_eq!(root.stat(&below).unwrap(), None, "{link}");
                assert_eq!(errno_of(root.open_file(&below)), errno::ELOOP);
                assert_eq!(errno_of(root.create_new(&free, 0o600)), errno::ELOOP);
                assert_eq!(errno_of(root.make_dir(&free, 0o700)), errno::ELOOP);
                assert_eq!(errno_of(root.make_dirs_above(&path(&format!("{link}/x/y")), &[])), errno::ELOOP);
                assert_eq!(errno_of(root.make_symlink(b"x", &free)), errno::ELOOP);
                assert_eq!(errno_of(root.remove_file(&below)), errno::ELOOP);
                assert_eq!(errno_of(root.remove_dir(&path(&format!("{link}/dir")))), errno::ELOOP);
                assert_eq!(errno_of(root.read_dir(Some(&path(link)))), errno::ELOOP);
                assert_eq!(errno_of(root.sync_dir(Some(&path(link)))), errno::ELOOP);
                assert_eq!(errno_of(root.set_mtime(&below, Mtime(0))), errno::ELOOP);
                assert_eq!(errno_of(root.set_mode(&below, 0)), errno::ELOOP);
                let away = Root::rename((&root, &below), (&root, &path("got")), RenameMode::Replace);
                assert_eq!(errno_of(away), errno::ELOOP);
                assert_eq!(errno_of(root.sub_root(link.as_bytes())), errno::ELOOP);
            }
            let file = path("file");
            assert_eq!(root.stat(&file).unwrap().unwrap().kind, StatKind::Symlink);
            assert_eq!(root.read_link(&file).unwrap(), b"../outside/canary");
            assert_eq!(errno_of(root.open_file(&file)), errno::ELOOP);
            assert_eq!(errno_of(root.create_new(&file, 0o600)), errno::EEXIST);
            assert_eq!(errno_of(root.set_mode(&file, 0)), errno::EOPNOTSUPP);
            root.set_mtime(&file, Mtime(7)).unwrap();
            assert_eq!(root.stat(&file).unwrap().unwrap().mtime, Mtime(7));
            let canary = std::fs::metadata(scratch.path().join("outside/canary")).unwrap();
            assert_ne!(canary.mtime_nsec(), 7);
            assert_ne!(canary.permissions().mode() & 0o777, 0);
            root.remove_file(&file).unwrap();
        });
    }

    /// A directory that turns into a link and back while it is used.
    #[test]
    fn swapped_links_lead_nowhere() {
        both_ways(|scratch, root| {
            root.make_dir(&path("flip"), 0o755).unwrap();
            symlink("../outside", scratch.path().join("box/other")).unwrap();
            thread::scope(|scope| {
                // Dropped at the end, also if the test fails, and then nobody swaps any more.
                let (_goes_on, is_over) = mpsc::channel::<()>();
                let root = &root;
                scope.spawn(move || {
                    let (flip, other) = (path("flip"), path("other"));
                    while is_over.try_recv() == Err(TryRecvError::Empty) {
                        Root::rename((root, &flip), (root, &other), RenameMode::Exchange).unwrap();
                    }
                });
                for _ in 0..5000 {
                    assert!(root.open_file(&path("flip/canary")).is_err());
                    assert!(root.remove_file(&path("flip/canary")).is_err());
                    if root.create_new(&path("flip/new"), 0o600).is_ok() {
                        // It went into the directory; which of the two names that has now is anyone's guess.
                        let _ = root
                            .remove_file(&path("flip/new"))
                            .or_else(|_| root.remove_file(&path("other/new")));
                    }
                }
            });
        });
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        both_ways(|scratch, root| {
            let fifo = scratch.path().join("box/fifo");
            assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
            let start = std::time::Instant::now();
            assert_eq!(root.open_file(&path("fifo")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert!(start.elapsed().as_secs() < 1);
            assert_eq!(root.stat(&path("fifo")).unwrap().unwrap().kind, StatKind::Other);
            root.make_dir(&path("d"), 0o755).unwrap();
            assert_eq!(root.open_file(&path("d")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert_eq!(errno_of(root.read_dir(Some(&path("fifo")))), errno::ENOTDIR);
        });
    }

    #[test]
    fn long_links() {
        both_ways(|_, root| {
            let target = vec![b'x'; LINK_BYTES];
            match root.make_symlink(&target, &path("l")) {
                Ok(()) => assert_eq!(root.read_link(&path("l")).unwrap(), target),
                Err(error) => assert_eq!(error.raw_os_error(), Some(errno::ENAMETOOLONG)),
            }
            assert_eq!(
                root.make_symlink(b"a\0b", &path("m")).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        });
    }

    #[test]
    fn the_root_stays_itself() {
        both_ways(|scratch, root| {
            let clone = root.try_clone().unwrap();
            assert!(root.is_in_place().unwrap());
            std::fs::rename(scratch.path().join("box"), scratch.path().join("box2")).unwrap();
            assert!(!root.is_in_place().unwrap());
            std::fs::create_dir(scratch.path().join("box")).unwrap();
            assert!(!root.is_in_place().unwrap());
            write(&clone, &path("f"), "here");
            assert!(scratch.path().join("box2/f").exists());
            assert_eq!(clone.identity().unwrap(), root.identity().unwrap());
            assert!(0 < root.free_space().unwrap());
        });
    }

    #[test]
    fn private_directories() {
        both_ways(|scratch, root| {
            let private = root.sub_root(RESERVED_NAME).unwrap();
            let again = root.sub_root(RESERVED_NAME).unwrap();
            assert_eq!(private.identity().unwrap(), again.identity().unwrap());
            assert_eq!(private.path(), scratch.path().join("box/.filesync"));
            let mode = std::fs::metadata(private.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
            for name in [b"".as_slice(), b".", b"..", b"a/b", b"a\0b"] {
                assert_eq!(root.sub_root(name).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            }
            write(&root, &path("file"), "");
            assert_eq!(errno_of(root.sub_root(b"file")), errno::ENOTDIR);
        });
    }

    /// A directory that was found for one look may have another place by the next, and another one may have its place.
    #[test]
    fn nothing_is_absent_because_it_is_not_where_it_was() {
        let scratch = Scratch::new();
        let root = Root::open(scratch.path()).unwrap();
        let write = |name: &str| std::fs::write(scratch.path().join(name), name).unwrap();
        let there = |name: &str, last: &mut Above| {
            root.stat_near(&Path::new(name.as_bytes()).unwrap(), last).unwrap().is_some()
        };
        std::fs::create_dir(scratch.path().join("d")).unwrap();
        ["d/a", "d/b"].into_iter().for_each(write);
        let mut last = Above::default();
        assert!(there("d/a", &mut last) && last.is_above(&Path::new(b"d/z").unwrap()));
        std::fs::rename(scratch.path().join("d"), scratch.path().join("e")).unwrap();
        std::fs::create_dir(scratch.path().join("d")).unwrap();
        write("d/c");
        assert!(there("d/b", &mut last), "it was there when the directory was found");
        assert!(there("d/c", &mut last), "it is not in the directory that was found, but at the path");
        assert!(!there("d/b", &mut last) && !last.is_above(&Path::new(b"d/z").unwrap()));
    }
}
