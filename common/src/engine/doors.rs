//! Directories that their own mode keeps even their owner from changing, as 0555 does.
//!
//! Whatever comes into one, or goes from it, needs its door open for a moment: the owner's bits are set, the thing is done, and the mode is
//! set back. Only one worker at a time has doors open, and whoever wants to know a directory's mode waits for that, so that the mode of
//! an open door is never taken for what a user has set. Which doors are open is on disk before they are (`.filesync/opened`), so that the
//! next start can close what a crash has left open. Whom modes don't bind, as root, opens none.

use std::fs::metadata;
use std::io::{self, Read, Write};
use std::iter::successors;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard};

use super::folder::Folder;
use crate::disk::{Root, Stat, StatKind};
use crate::limits::OPENED_BYTES;
use crate::threads::lock;
use crate::tree::Path;

const OPENED: &[u8] = b"opened";
/// What the owner needs to go through a directory, to change what is in it, and to give it another place.
const THROUGH: u16 = 0o100;
const INSIDE: u16 = 0o300;
const ITSELF: u16 = 0o200;
const OPEN: u16 = 0o700;

/// The doors of a folder.
#[derive(Debug)]
pub(super) struct Doors {
    /// Whether modes say what this process may do.
    bind: bool,
    open: Mutex<()>,
}

impl Doors {
    /// Closes what an earlier run left open.
    pub(super) fn new(root: &Root, private: &Root) -> io::Result<Doors> {
        let mut noted = Vec::new();
        match private.open_file(&note_name()) {
            Ok(file) => drop(file.take(OPENED_BYTES).read_to_end(&mut noted)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // What has no end was cut: its door was not opened yet, and its name may be that of another.
        let whole = noted.iter().rposition(|&byte| byte == 0).unwrap_or(0);
        for door in noted[..whole].split(|&byte| byte == 0).rev().filter_map(Door::parse) {
            door.close(root)?;
        }
        remove_note(private)?;
        // Without /proc nobody can tell; then doors are opened, and it does no harm.
        let bind = metadata("/proc/self").map_or(true, |process| process.uid() != 0);
        Ok(Doors { bind, open: Mutex::new(()) })
    }
}

/// Doors that are open, until this is dropped.
#[derive(Debug)]
pub(super) struct OpenDoors<'a> {
    folder: &'a Folder,
    doors: Vec<Door>,
    alone: Option<MutexGuard<'a, ()>>,
}

#[derive(Debug)]
struct Door {
    directory: Path,
    mode: u16,
}

impl Folder {
    /// Lets something be put at these paths, or taken from there, as far as modes are in the way and are ours to change.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn open_doors(&self, paths: &[&Path]) -> io::Result<OpenDoors<'_>> {
        let mut open = OpenDoors { folder: self, doors: Vec::new(), alone: None };
        if !self.doors.bind {
            return Ok(open);
        }
        // Looked at while all are closed: an open door lets in only who opened it.
        let alone = lock(&self.doors.open);
        if paths.iter().all(|path| self.is_free(path)) {
            return Ok(open);
        }
        open.alone = Some(alone);
        paths.iter().try_for_each(|path| open.open_way_to(path))?;
        Ok(open)
    }

    /// Makes the directories above `path` that are missing, with the permission bits in `modes`, and opens the doors on the way to `paths`.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn make_way(
        &self,
        paths: &[&Path],
        path: &Path,
        modes: &[(Path, u16)],
    ) -> io::Result<OpenDoors<'_>> {
        let open = self.open_doors(paths)?;
        self.root.make_dirs_above(path, modes)?;
        drop(open);
        // What was just made may have to be opened itself.
        self.open_doors(paths)
    }

    /// What is at a path while no door is open: a directory has the mode that its user gave it.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn stat_closed(&self, path: &Path) -> io::Result<Option<Stat>> {
        let _closed = self.keep_doors_closed();
        self.root.stat(path)
    }

    /// No door is opened as long as this is held.
    pub(super) fn keep_doors_closed(&self) -> MutexGuard<'_, ()> {
        lock(&self.doors.open)
    }

    fn is_free(&self, path: &Path) -> bool {
        let lets = |stat: &Stat, needed| stat.kind != StatKind::Directory || stat.mode & needed == needed;
        let lets_in = |parent: &Path| matches!(self.root.stat(parent), Ok(Some(stat)) if lets(&stat, INSIDE));
        path.parent().is_none_or(|parent| lets_in(&parent))
            && self.root.stat(path).is_ok_and(|found| found.is_none_or(|stat| lets(&stat, ITSELF)))
    }
}

impl OpenDoors<'_> {
    fn open_way_to(&mut self, path: &Path) -> io::Result<()> {
        let mut above: Vec<Path> = successors(path.parent(), Path::parent).collect();
        above.reverse();
        let mut last = None;
        for directory in above {
            if !self.open(&directory, THROUGH)? {
                break;
            }
            last = Some(directory);
        }
        if let Some(parent) = last {
            self.open(&parent, INSIDE)?;
        }
        self.open(path, ITSELF).map(drop)
    }

    /// Sees to it that the owner has these bits. False: there is no such directory.
    fn open(&mut self, directory: &Path, needed: u16) -> io::Result<bool> {
        let root = &self.folder.root;
        let Some(stat) = root.stat(directory)?.filter(|stat| stat.kind == StatKind::Directory) else {
            return Ok(false);
        };
        if stat.mode & needed == needed {
            return Ok(true);
        }
        self.doors.push(Door { directory: directory.clone(), mode: stat.mode });
        self.write_note()?;
        match root.set_mode(directory, stat.mode | OPEN) {
            // It is somebody else's: what is to be done will say that it can't be.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.doors.pop();
                Ok(true)
            }
            result => result.map(|()| true),
        }
    }

    fn write_note(&self) -> io::Result<()> {
        let private = &self.folder.private;
        remove_note(private)?;
        let mut note = private.create_new(&note_name(), 0o600)?;
        note.write_all(&note_of(&self.doors))?;
        note.sync_data()?;
        private.sync_dir(None)
    }
}

fn note_of(doors: &[Door]) -> Vec<u8> {
    let line = |Door { directory, mode }: &Door| {
        [format!("{mode:o} ").as_bytes(), directory.as_bytes(), b"\0"].concat()
    };
    doors.iter().flat_map(line).collect()
}

impl Drop for OpenDoors<'_> {
    fn drop(&mut self) {
        if self.alone.is_none() {
            return;
        }
        let closed: Vec<io::Result<()>> =
            self.doors.iter().rev().map(|door| door.close(&self.folder.root)).collect();
        if closed.iter().all(Result::is_ok) {
            // What can't be done now is done at the next start.
            let _ = remove_note(&self.folder.private);
        }
    }
}

impl Door {
    fn parse(text: &[u8]) -> Option<Door> {
        let space = text.iter().position(|&byte| byte == b' ')?;
        let mode = u16::from_str_radix(std::str::from_utf8(&text[..space]).ok()?, 8).ok()?;
        Some(Door { directory: Path::new(&text[space + 1..]).ok()?, mode })
    }

    /// Unless somebody else has set the mode meanwhile, or put something else there.
    fn close(&self, root: &Root) -> io::Result<()> {
        match root.stat(&self.directory)? {
            Some(stat) if stat.kind == StatKind::Directory && stat.mode == self.mode | OPEN => {
                root.set_mode(&self.directory, self.mode)
            }
            _ => Ok(()),
        }
    }
}

fn remove_note(private: &Root) -> io::Result<()> {
    match private.remove_file(&note_name()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn note_name() -> Path {
    Path::new(OPENED).expect("a plain name is a path")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::limits::PATH_BYTES;

    fn mode(scratch: &Scratch, name: &str) -> u32 {
        fs::metadata(scratch.path().join(name)).unwrap().permissions().mode() & 0o7777
    }

    fn make(scratch: &Scratch, name: &str, mode: u32) {
        let path = scratch.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn doors_are_closed_again_also_by_the_next_start() {
        let scratch = Scratch::new();
        let mut folder = Folder::open(scratch.path()).unwrap();
        folder.doors.bind = true;
        make(&scratch, "a", 0o755);
        make(&scratch, "a/b", 0o555);
        make(&scratch, "a/b/c", 0o755);
        fs::set_permissions(scratch.path().join("a"), Permissions::from_mode(0o500)).unwrap();
        let path = |name: &str| Path::new(name.as_bytes()).unwrap();
        // Its parent lets it in: no door is touched.
        assert!(folder.open_doors(&[&path("a/b/c/new")]).unwrap().doors.is_empty());
        let open = folder.open_doors(&[&path("a/b/new")]).unwrap();
        assert_eq!((mode(&scratch, "a"), mode(&scratch, "a/b")), (0o500, 0o755));
        assert_eq!(fs::read(scratch.path().join(".filesync/opened")).unwrap(), b"555 a/b\0");
        drop(open);
        assert_eq!(mode(&scratch, "a/b"), 0o555);
        assert!(!scratch.path().join(".filesync/opened").exists());

        // A crash closes nothing.
        std::mem::forget(folder.open_doors(&[&path("a/b/new"), &path("a/new/newer")]).unwrap());
        assert_eq!((mode(&scratch, "a"), mode(&scratch, "a/b")), (0o700, 0o755));
        drop(folder);
        let folder = Folder::open(scratch.path()).unwrap();
        assert_eq!((mode(&scratch, "a"), mode(&scratch, "a/b")), (0o500, 0o555));
        assert!(!scratch.path().join(".filesync/opened").exists());
        drop(folder);
    }

    #[test]
    fn a_note_is_read_as_far_as_it_is_whole_and_can_be_ours() {
        let scratch = Scratch::new();
        let mode_after = |note: &[u8]| {
            drop(Folder::open(scratch.path()).unwrap());
            if !scratch.path().join("a").exists() {
                make(&scratch, "a", 0o755);
            }
            fs::set_permissions(scratch.path().join("a"), Permissions::from_mode(0o755)).unwrap();
            fs::write(scratch.path().join(".filesync/opened"), note).unwrap();
            drop(Folder::open(scratch.path()).unwrap());
            mode(&scratch, "a")
        };
        assert_eq!(mode_after(b"555 a\0"), 0o555);
        assert_eq!(mode_after(b"555 a"), 0o755, "it may have been cut off another name");
        assert_eq!(mode_after(&[&b"555 a\0"[..], b"555 ab"].concat()), 0o555);
        let behind = |bytes: u64| [vec![0; bytes as usize], b"555 a\0".to_vec()].concat();
        assert_eq!(mode_after(&behind(OPENED_BYTES - 6)), 0o555);
        assert_eq!(mode_after(&behind(OPENED_BYTES - 5)), 0o755, "it is longer than any of ours");
    }

    /// All directories above two names that are as long and as deep as can be.
    #[test]
    fn no_note_is_longer_than_what_is_read_of_it() {
        let deepest = Path::new("a/".repeat(PATH_BYTES / 2 + 1).trim_end_matches('/').as_bytes()).unwrap();
        assert_eq!(deepest.as_bytes().len(), PATH_BYTES);
        let all = successors(Some(deepest), Path::parent);
        let doors: Vec<Door> = all.map(|directory| Door { directory, mode: 0o7777 }).collect();
        assert!(2 * note_of(&doors).len() as u64 <= OPENED_BYTES);
    }
}
