//! New things are made aside and moved into place; old things are moved aside and then removed.
//!
//! Everything is first built in `.filesync/staging/`, on the same file system, where no scan and no watch looks. One rename publishes it,
//! so that a reader of any path sees the old version or the new one, whole.
//!
//! Nothing is replaced or removed on the strength of an old look at it. The thing found in the way is swapped out (`RENAME_EXCHANGE`),
//! and only then compared with what the verdict was based on; when it is something else it is swapped back and the caller told
//! [`Outcome::Changed`]. (A look beforehand spares most such swaps; it decides nothing.) So there is no moment between the check and the
//! act in which a version can slip in and be lost.
//!
//! What was swapped out and is of no use any more is removed, at once or after some seconds ([`Retained`]), or kept in
//! `.filesync/versions/` where the caller wants that. What can't be swapped back is kept there too: the staging directory is cleared at
//! every start, versions are left to the user.
//!
//! What can't be removed from the staging directory, because the disk does not take it at that moment, is tried again ([`Stage::tidy`]).
//!
//! What this can't see: a program that still holds the old file open and writes into it after it was swapped out. No rename can.

use std::collections::VecDeque;
use std::fs::{File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::retained::{Expected, Retained, is_worth_retaining};
use super::root::{Above, Place, RenameMode, Root};
use super::stat::{Fingerprint, Stat, StatKind};
use super::versions;
use crate::limits::{NAME_BYTES, REMOVE_AGAIN, UNREMOVED_FILES, VERSIONS_BETWEEN};
use crate::sys::errno;
use crate::threads::lock;
use crate::tree::{Content, Kind, Meta, Mtime, Path};

/// Name of the staging directory inside the private directory.
pub const STAGING: &[u8] = b"staging";
/// Name of the directory beside it for versions that are kept.
pub const VERSIONS: &[u8] = b"versions";
/// End of the names of things that were taken from their place to be removed.
const TAKEN: &str = "-taken";
/// Versions of one name kept in the same second before that is an error.
const VERSIONS_PER_SECOND: u32 = 10_000;

/// The staging directory of one box or folder.
#[derive(Debug)]
pub struct Stage {
    root: Arc<Root>,
    /// `.filesync/staging`.
    staging: Root,
    /// `.filesync/versions`.
    versions: Root,
    retained: Retained,
    /// What could not be removed from the staging directory, and when it is to be tried again: the next first.
    unremoved: Mutex<VecDeque<(Instant, Path)>>,
    next: AtomicU64,
    /// Versions kept by this run.
    kept: AtomicU64,
    /// Tells the names of this run from those that an earlier one left.
    run: u64,
}

/// What must be at a path for an operation to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// The very file or symbolic link that was seen.
    Print(Fingerprint),
    /// A directory, and an empty one.
    EmptyDirectory,
}

/// What becomes of the thing that another one replaces.
#[derive(Clone, Copy, Debug)]
enum Replaced {
    Removed,
    /// This is what it holds.
    Retained(Content),
    Kept,
}

impl Replaced {
    /// What becomes of something that held this, if the caller knows.
    fn holding(was: Option<Content>) -> Replaced {
        was.filter(is_worth_retaining).map_or(Replaced::Removed, Replaced::Retained)
    }
}

/// How an operation that depends on what is there came out.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It is done.
    Done(T),
    /// Something else than expected is there; nothing was changed.
    Changed,
}

/// Something made aside, removed again when dropped before it was published.
#[derive(Debug)]
pub struct Staged {
    stage: Arc<Stage>,
    name: Path,
    /// Whether the name in the staging directory is still ours to remove.
    armed: bool,
    /// What it was when it got its metadata through the descriptor that it was written through. Nobody else has to do with it since.
    labelled: Option<Stat>,
}

impl Stage {
    /// Opens the staging directory of `root` inside its private directory, and makes it at first.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(root: Arc<Root>, private: &Root, run: u64) -> io::Result<Arc<Stage>> {
        let (staging, versions) = (private.sub_root(STAGING)?, private.sub_root(VERSIONS)?);
        let retained = Retained::open(private)?;
        let (next, kept) = (AtomicU64::new(0), AtomicU64::new(0));
        let unremoved = Mutex::default();
        let stage = Stage { root, staging, versions, retained, unremoved, next, kept, run };
        stage.prune();
        Ok(Arc::new(stage))
    }

    /// Nothing depends on it; the next time it is tried again.
    fn prune(&self) {
        let _ = versions::prune(&self.versions, seconds_since_1970());
    }

    /// What was replaced or removed a moment ago.
    pub fn retained(&self) -> &Retained {
        &self.retained
    }

    /// When [`Stage::tidy`] has something to do; `None` if there is nothing to wait for.
    pub fn due(&self) -> Option<Instant> {
        let again = lock(&self.unremoved).front().map(|(again, _)| *again);
        [again, self.retained.due()].into_iter().flatten().min()
    }

    /// Forgets what was retained long enough, and tries again to remove what could not be removed.
    pub fn tidy(&self) {
        self.retained.forget_old();
        let now = Instant::now();
        let due: Vec<Path> = {
            let mut unremoved = lock(&self.unremoved);
            let due = unremoved.iter().take_while(|(again, _)| *again <= now).count();
            unremoved.drain(..due).map(|(_, name)| name).collect()
        };
        for name in due {
            self.discard(&name);
        }
    }

    /// Removes something from the staging directory, now or later. What is beyond the bound the next start clears.
    fn discard(&self, name: &Path) {
        let is_gone = |result: io::Result<()>| match result {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_gone(self.staging.remove_file(name)) || is_gone(self.staging.remove_dir(name)) {
            return;
        }
        let mut unremoved = lock(&self.unremoved);
        if unremoved.len() < UNREMOVED_FILES {
            unremoved.push_back((Instant::now() + REMOVE_AGAIN, name.clone()));
        }
    }

    /// Clears what an earlier run left: what was taken from its place, and maybe not looked at before a crash, is kept as a version of
    /// unknown name; anything else was never published and goes. Returns the names of what was kept.
    ///
    /// # Errors
    /// What the file system says.
    pub fn clear(self: &Arc<Stage>) -> io::Result<Vec<Path>> {
        let unknown = Path::new(b"recovered").expect("a plain name is a path");
        let mut kept = Vec::new();
        for (staged, stat) in self.leftovers()? {
            if staged.was_taken() && stat.kind != StatKind::Directory {
                kept.push(staged.set_aside(&unknown)?);
            }
        }
        Ok(kept)
    }

    /// Everything that an earlier run left. What is dropped is removed.
    ///
    /// # Errors
    /// What the file system says.
    pub fn leftovers(self: &Arc<Stage>) -> io::Result<Vec<(Staged, Stat)>> {
        let named = |(name, stat): (Vec<u8>, Stat)| {
            let name = Path::new(&name).map_err(io::Error::other)?;
            Ok((Staged { stage: self.clone(), name, armed: true, labelled: None }, stat))
        };
        self.staging.list(None)?.into_iter().map(named).collect()
    }

    /// A new empty file, open for writing and reading.
    ///
    /// # Errors
    /// What the file system says.
    pub fn file(self: &Arc<Stage>) -> io::Result<(Staged, File)> {
        let staged = self.name("");
        let file = self.staging.create_new(&staged.name, 0o600)?;
        Ok((staged.arm(), file))
    }

    /// Makes all that is staged durable, with everything else on its file system. The descriptor is used for nothing else, so a failure to
    /// write anything back since the last call is reported here, and nobody else has heard of it in our stead.
    ///
    /// # Errors
    /// Those of syncfs(2).
    pub fn sync_all(&self) -> io::Result<()> {
        self.staging.sync_all()
    }

    /// Takes a file over from another private directory.
    ///
    /// # Errors
    /// What the file system says; it is left where it is then.
    pub fn take_in(self: &Arc<Stage>, from: &Root, name: &Path) -> io::Result<Staged> {
        let staged = self.name("");
        Root::rename((from, name), (&self.staging, &staged.name), RenameMode::NoReplace)?;
        Ok(staged.arm())
    }

    /// A new empty directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn directory(self: &Arc<Stage>, mode: u16) -> io::Result<Staged> {
        let staged = self.name("");
        self.staging.make_dir(&staged.name, 0o700)?;
        let staged = staged.arm();
        self.staging.set_mode(&staged.name, mode)?;
        Ok(staged)
    }

    /// A new symbolic link.
    ///
    /// # Errors
    /// What the file system says.
    pub fn symlink(self: &Arc<Stage>, target: &[u8]) -> io::Result<Staged> {
        let staged = self.name("");
        self.staging.make_symlink(target, &staged.name)?;
        Ok(staged.arm())
    }

    /// What an earlier run staged under this name, if it is still there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn find(self: &Arc<Stage>, name: &[u8]) -> io::Result<Option<(Staged, Stat)>> {
        let Ok(name) = Path::new(name) else { return Ok(None) };
        let stat = self.staging.stat(&name)?;
        Ok(stat.map(|stat| (Staged { stage: self.clone(), name, armed: true, labelled: None }, stat)))
    }

    /// Removes what is at `path`, if it is what is expected.
    ///
    /// # Errors
    /// What the file system says; a directory that is not empty is [`Outcome::Changed`]. Absent already is done.
    pub fn remove(self: &Arc<Stage>, path: &Path, expect: Expect) -> io::Result<Outcome<()>> {
        self.remove_retaining(path, expect, None)
    }

    /// As [`Stage::remove`], but a file is retained for a while; `was` is what it holds.
    ///
    /// # Errors
    /// As [`Stage::remove`].
    pub fn remove_retaining(
        self: &Arc<Stage>,
        path: &Path,
        expect: Expect,
        was: Option<Content>,
    ) -> io::Result<Outcome<()>> {
        match expect {
            Expect::Absent => Ok(Outcome::Done(())),
            Expect::EmptyDirectory => match self.root.remove_dir(path) {
                Ok(()) => Ok(Outcome::Done(())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::Done(())),
                Err(error) if means_not_empty(&error) => Ok(Outcome::Changed),
                Err(error) => Err(error),
            },
            Expect::Print(print) => self.remove_seen(path, print, Replaced::holding(was)),
        }
    }

    fn remove_seen(
        self: &Arc<Stage>,
        path: &Path,
        print: Fingerprint,
        removed: Replaced,
    ) -> io::Result<Outcome<()>> {
        match self.root.stat(path)? {
            None => return Ok(Outcome::Done(())),
            found if !is_seen(found, Expect::Print(print)) => return Ok(Outcome::Changed),
            Some(_) => {}
        }
        let mut aside = self.name(TAKEN);
        let expected = self.retained.expect();
        match Root::rename((&self.root, path), (&self.staging, &aside.name), RenameMode::NoReplace) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Done(())),
            other => other?,
        }
        let found = self.staging.stat(&aside.name);
        if matches!(found, Ok(found) if is_seen(found, Expect::Print(print))) {
            // Whatever happens to it now, it is gone from its place. What is left of it goes when this is dropped.
            aside.armed = aside.dispose(path, Expect::Print(print), removed, expected).is_err();
            return Ok(Outcome::Done(()));
        }
        aside.give_back(path, RenameMode::NoReplace)?;
        found.map(|_| Outcome::Changed)
    }

    fn name(self: &Arc<Stage>, suffix: &str) -> Staged {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:016x}-{number:x}{suffix}", self.run);
        let name = Path::new(name.as_bytes()).expect("hex digits, hyphens and a word are a path");
        Staged { stage: self.clone(), name, armed: false, labelled: None }
    }
}

impl Staged {
    /// Its name in the staging directory, for a redo record.
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// Whether it was taken from its place in order to be removed, but maybe not looked at yet: it may be a version that nobody saw.
    pub fn was_taken(&self) -> bool {
        self.name.as_bytes().ends_with(TAKEN.as_bytes())
    }

    /// Gives it a name that says that it may be something else soon: publishing swaps it with what is in its place, and a crash right
    /// after that must not let [`Stage::clear`] take the one for the other. Where a journal knows the names, it needs no such mark.
    ///
    /// # Errors
    /// What the file system says.
    pub fn mark_as_taken(&mut self) -> io::Result<()> {
        let name = [self.name.as_bytes(), TAKEN.as_bytes()].concat();
        let name = Path::new(&name).map_err(io::Error::other)?;
        let staging = &self.stage.staging;
        Root::rename((staging, &self.name), (staging, &name), RenameMode::NoReplace)?;
        self.name = name;
        Ok(())
    }

    /// What is known of it now.
    ///
    /// # Errors
    /// What the file system says.
    pub fn stat(&self) -> io::Result<Stat> {
        self.stage.staging.stat(&self.name)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens it for reading, if it is a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(&self) -> io::Result<File> {
        self.stage.staging.open_file(&self.name)
    }

    /// Makes its name durable, and with it a symbolic link as a whole.
    ///
    /// # Errors
    /// Those of fsync(2).
    pub fn sync_name(&self) -> io::Result<()> {
        self.stage.staging.sync_dir(None)
    }

    /// Leaves it where it is when dropped: a redo record speaks for it.
    pub fn keep(mut self) {
        self.armed = false;
    }

    /// Gives a file its metadata through the descriptor that it was written through, after the last write; the umask has no part in it.
    /// That needs no name to be looked up, and what it looks like then is remembered, so that whoever publishes it need not look.
    ///
    /// # Errors
    /// Those of fchmod(2), futimens(2) and fstat(2).
    pub fn label(&mut self, file: &File, meta: Meta) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(u32::from(meta.mode)))?;
        file.set_times(FileTimes::new().set_modified(system_time(meta.mtime)))?;
        self.labelled = Some(Stat::of_file(file)?);
        Ok(())
    }

    /// Gives it the metadata that syncs for its kind, by its name, unless it has it already; the umask has no part in it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn set_meta(&mut self, kind: Kind, meta: Meta) -> io::Result<()> {
        if self.labelled.is_some_and(|stat| (stat.mode, stat.mtime) == (meta.mode, meta.mtime)) {
            return Ok(());
        }
        self.labelled = None;
        if kind != Kind::Symlink {
            self.stage.staging.set_mode(&self.name, meta.mode)?;
        }
        if kind == Kind::File {
            self.stage.staging.set_mtime(&self.name, meta.mtime)?;
        }
        Ok(())
    }

    /// Moves it to `path`, if what is expected is there. Returns what is known of it at its place. What it replaces is removed.
    ///
    /// # Errors
    /// What the file system says, for one a missing directory above; nothing was published then.
    pub fn publish(self, path: &Path, expect: Expect) -> io::Result<Outcome<Stat>> {
        self.publish_over(path, expect, Replaced::Removed, &mut Above::default())
    }

    /// As [`Staged::publish`], but a file that it replaces is retained for a while; `was` is what that holds. `last` is for those that are
    /// published with it.
    ///
    /// # Errors
    /// As [`Staged::publish`].
    pub fn publish_retaining(
        self,
        path: &Path,
        expect: Expect,
        was: Option<Content>,
        last: &mut Above,
    ) -> io::Result<Outcome<Stat>> {
        self.publish_over(path, expect, Replaced::holding(was), last)
    }

    /// As [`Staged::publish`], but what it replaces is kept in `.filesync/versions/`, unless that is a directory.
    ///
    /// # Errors
    /// As [`Staged::publish`].
    pub fn publish_keeping(self, path: &Path, expect: Expect) -> io::Result<Outcome<Stat>> {
        self.publish_over(path, expect, Replaced::Kept, &mut Above::default())
    }

    /// Moves it to `.filesync/versions/` instead, as a version of `path`. Returns its name there.
    ///
    /// # Errors
    /// What the file system says; it is left where it is then.
    pub fn set_aside(mut self, path: &Path) -> io::Result<Path> {
        self.armed = false;
        self.keep_version(path)
    }

    fn publish_over(
        mut self,
        path: &Path,
        expect: Expect,
        replaced: Replaced,
        last: &mut Above,
    ) -> io::Result<Outcome<Stat>> {
        let stage = self.stage.clone();
        let made = self.labelled.map_or_else(|| self.stat(), Ok)?;
        // Found once, and acted on three times.
        let place = stage.root.place_near(path, last)?;
        // Not even its mode was changed, as far as can be told before it was swapped out, which moves its `ctime`.
        let is_untouched = |found: Stat| match expect {
            Expect::Print(print) => found.print == print,
            _ => is_seen(Some(found), expect),
        };
        // Where nothing is expected the rename itself finds out.
        if expect != Expect::Absent && matches!(place.stat(), Ok(Some(found)) if !is_untouched(found)) {
            return Ok(Outcome::Changed);
        }
        let outcome = match expect {
            Expect::Absent => self.move_to_free(&place)?,
            seen => self.swap_with_seen((path, &place), seen, replaced, &made)?,
        };
        let Outcome::Done(()) = outcome else { return Ok(Outcome::Changed) };
        // Somebody may have replaced it since, or changed its mode. Then what we return must not describe their version as ours: the
        // mismatch with what is on disk makes the next look at it hash it. The same goes if nobody can tell: it is published, and that
        // is no error any more.
        let placed = place.stat().ok().flatten();
        let is_ours =
            |placed: &Stat| placed.mode == made.mode && placed.print.is_likely_same_content(&made.print);
        Ok(Outcome::Done(placed.filter(is_ours).unwrap_or(made)))
    }

    fn move_to_free(&mut self, place: &Place<'_>) -> io::Result<Outcome<()>> {
        let staged = self.stage.staging.place(&self.name)?;
        let renamed = staged.rename_to(place, RenameMode::NoReplace);
        let error = match renamed {
            Ok(()) => {
                self.armed = false;
                return Ok(Outcome::Done(()));
            }
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(errno::EEXIST | errno::ENOTEMPTY) => Ok(Outcome::Changed),
            _ => Err(error),
        }
    }

    fn swap_with_seen(
        &mut self,
        (path, place): (&Path, &Place<'_>),
        seen: Expect,
        replaced: Replaced,
        made: &Stat,
    ) -> io::Result<Outcome<()>> {
        let stage = self.stage.clone();
        let expected = stage.retained.expect();
        match stage.staging.place(&self.name)?.rename_to(place, RenameMode::Exchange) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Either the thing to replace or its directory is gone; only the first is a change.
                let parent = path.parent();
                let parent_exists = match &parent {
                    Some(parent) => self.stage.root.stat(parent)?.is_some(),
                    None => true,
                };
                return if parent_exists { Ok(Outcome::Changed) } else { Err(error) };
            }
            Err(error) => return Err(error),
        }
        // Our name in the staging directory now holds what was at `path`: not ours to remove before it has been looked at.
        self.armed = false;
        let disposed = match self.stage.staging.stat(&self.name) {
            Ok(found) if is_seen(found, seen) => {
                self.dispose(path, seen, replaced, expected).map(Outcome::Done)
            }
            Ok(_) => Ok(Outcome::Changed),
            Err(error) => Err(error),
        };
        if let Ok(Outcome::Done(())) = disposed {
            return disposed;
        }
        self.swap_back(path, made)?;
        match disposed {
            // Something is in it that was not seen.
            Err(error) if seen == Expect::EmptyDirectory && means_not_empty(&error) => Ok(Outcome::Changed),
            other => other,
        }
    }

    /// Puts back what was swapped out. Somebody may have replaced ours meanwhile; then theirs comes back out with the second swap, goes
    /// in again with a third, and what it was meant to replace is kept as a version.
    fn swap_back(&mut self, path: &Path, made: &Stat) -> io::Result<()> {
        self.give_back(path, RenameMode::Exchange)?;
        let is_ours =
            |found: Option<Stat>| found.is_some_and(|found| found.print.is_likely_same_content(&made.print));
        if is_ours(self.stage.staging.stat(&self.name)?) {
            self.armed = true;
            return Ok(());
        }
        self.give_back(path, RenameMode::Exchange)?;
        self.keep_version(path).map(drop)
    }

    /// Removes, retains or keeps what was swapped out.
    fn dispose(
        &self,
        path: &Path,
        seen: Expect,
        replaced: Replaced,
        expected: Expected<'_>,
    ) -> io::Result<()> {
        let staging = &self.stage.staging;
        match (seen, replaced) {
            (Expect::EmptyDirectory, _) => staging.remove_dir(&self.name),
            (_, Replaced::Removed) => staging.remove_file(&self.name),
            // It is only a help: what can't be retained is removed.
            (_, Replaced::Retained(content)) => {
                let taken = expected.take((staging, &self.name), path, content);
                taken.or_else(|_| staging.remove_file(&self.name))
            }
            (_, Replaced::Kept) => self.keep_version(path).map(drop),
        }
    }

    /// Puts back what was taken from `path`. If that fails it is kept as a version, and the error says under which name.
    fn give_back(&mut self, path: &Path, mode: RenameMode) -> io::Result<()> {
        let given = Root::rename((&self.stage.staging, &self.name), (&self.stage.root, path), mode);
        given.map_err(|error| {
            self.armed = false;
            let kept = match self.keep_version(path) {
                Ok(version) => format!("versions/{version}"),
                Err(_) => format!("staging/{}, until the next start", self.name),
            };
            io::Error::new(
                error.kind(),
                format!("{error}; the content found there is kept as .filesync/{kept}"),
            )
        })
    }

    /// Moves it to the versions, as one of `path`.
    fn keep_version(&self, path: &Path) -> io::Result<Path> {
        if self.stage.kept.fetch_add(1, Ordering::Relaxed).is_multiple_of(VERSIONS_BETWEEN) {
            self.stage.prune();
        }
        let stamp = versions::stamp(seconds_since_1970());
        for number in 0..VERSIONS_PER_SECOND {
            let mut name = format!("{stamp}-{number}-").into_bytes();
            name.extend_from_slice(path.name());
            name.truncate(NAME_BYTES);
            let name = Path::new(&name).map_err(io::Error::other)?;
            let from = (&self.stage.staging, &self.name);
            match Root::rename(from, (&self.stage.versions, &name), RenameMode::NoReplace) {
                Err(error) if error.raw_os_error() == Some(errno::EEXIST) => {}
                result => return result.map(|()| name),
            }
        }
        Err(io::Error::other("too many versions of one name in one second"))
    }

    fn arm(mut self) -> Staged {
        self.armed = true;
        self
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.armed {
            self.stage.discard(&self.name);
        }
    }
}

fn seconds_since_1970() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn system_time(mtime: Mtime) -> SystemTime {
    let distance = Duration::from_nanos(mtime.0.unsigned_abs());
    if mtime.0 < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// Whether a directory was not removed because it holds something, or is none.
fn means_not_empty(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(errno::ENOTEMPTY | errno::EEXIST | errno::ENOTDIR))
}

fn is_seen(found: Option<Stat>, expect: Expect) -> bool {
    match (found, expect) {
        (None, Expect::Absent) => true,
        (Some(stat), Expect::Print(print)) => stat.print.is_likely_same_content(&print),
        (Some(stat), Expect::EmptyDirectory) => stat.kind == StatKind::Directory,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;
    use crate::disk::scratch::Scratch;

    #[test]
    fn what_cannot_be_removed_is_removed_later() {
        let scratch = Scratch::new();
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        let private = root.sub_root(b".filesync").unwrap();
        let stage = Stage::open(root, &private, 1).unwrap();
        let staged = stage.directory(0o755).unwrap();
        let on_disk = scratch.path().join(".filesync/staging").join(staged.name.to_string());
        // Not even root removes a directory with something in it.
        fs::write(on_disk.join("in the way"), "").unwrap();
        assert_eq!(stage.due(), None);
        let before = Instant::now();
        drop(staged);
        let again = stage.due().unwrap();
        assert!((before + REMOVE_AGAIN..=Instant::now() + REMOVE_AGAIN).contains(&again));
        stage.tidy();
        assert_eq!((on_disk.exists(), stage.due()), (true, Some(again)), "it is not time yet");
        fs::remove_file(on_disk.join("in the way")).unwrap();
        std::thread::sleep(again.saturating_duration_since(Instant::now()));
        stage.tidy();
        assert_eq!((on_disk.exists(), stage.due()), (false, None));
    }

    #[test]
    fn a_mode_set_since_the_look_is_not_taken_back() {
        let scratch = Scratch::new();
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        let private = root.sub_root(b".filesync").unwrap();
        let stage = Stage::open(root.clone(), &private, 1).unwrap();
        let (path, on_disk) = (Path::new(b"a").unwrap(), scratch.path().join("a"));
        fs::write(&on_disk, "seen").unwrap();
        let seen = root.stat(&path).unwrap().unwrap().print;
        // Until the clock has ticked nobody can tell.
        while root.stat(&path).unwrap().unwrap().print == seen {
            fs::set_permissions(&on_disk, Permissions::from_mode(0o711)).unwrap();
        }
        let publish = |print| stage.file().unwrap().0.publish(&path, Expect::Print(print)).unwrap();
        assert!(matches!(publish(seen), Outcome::Changed));
        let now = root.stat(&path).unwrap().unwrap();
        assert_eq!((now.mode, fs::read(&on_disk).unwrap()), (0o711, b"seen".to_vec()));
        assert!(matches!(publish(now.print), Outcome::Done(_)));
        assert_eq!(fs::read(&on_disk).unwrap(), b"");
    }

    #[test]
    fn so_much_that_cannot_be_removed_is_remembered() {
        let scratch = Scratch::new();
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        let private = root.sub_root(b".filesync").unwrap();
        let stage = Stage::open(root, &private, 1).unwrap();
        let path = Path::new(b"a").unwrap();
        let earlier = (0..UNREMOVED_FILES - 1).map(|_| (Instant::now(), path.clone()));
        lock(&stage.unremoved).extend(earlier);
        for _ in 0..2 {
            let staged = stage.directory(0o755).unwrap();
            let on_disk = scratch.path().join(".filesync/staging").join(staged.name.to_string());
            fs::write(on_disk.join("in the way"), "").unwrap();
            drop(staged);
            assert_eq!(lock(&stage.unremoved).len(), UNREMOVED_FILES);
        }
    }

    #[test]
    fn what_is_kept_for_long_goes_now_and_then() {
        let scratch = Scratch::new();
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        let private = root.sub_root(b".filesync").unwrap();
        let stage = Stage::open(root, &private, 1).unwrap();
        let ancient =
            scratch.path().join(".filesync/versions").join(format!("{}-0-name", versions::stamp(0)));
        let keep = |number: u64| {
            let staged = stage.file().unwrap().0;
            staged.keep_version(&Path::new(number.to_string().as_bytes()).unwrap()).unwrap();
        };
        keep(0);
        fs::write(&ancient, "").unwrap();
        (1..VERSIONS_BETWEEN).for_each(keep);
        assert!(ancient.exists());
        keep(VERSIONS_BETWEEN);
        assert!(!ancient.exists());
    }

    #[test]
    fn what_is_labelled_is_published_with_that() {
        let scratch = Scratch::new();
        let root = Arc::new(Root::open(scratch.path()).unwrap());
        let private = root.sub_root(b".filesync").unwrap();
        let stage = Stage::open(root, &private, 1).unwrap();
        let (mut staged, file) = stage.file().unwrap();
        file.write_all_at(b"new", 0).unwrap();
        let meta = |mode| Meta { mtime: Mtime(-1_500_000_000), mode };
        staged.label(&file, meta(0o640)).unwrap();
        assert_eq!(staged.labelled, Some(staged.stat().unwrap()));
        staged.set_meta(Kind::File, meta(0o640)).unwrap();
        assert!(staged.labelled.is_some(), "it has it already");
        staged.set_meta(Kind::File, meta(0o600)).unwrap();
        assert_eq!((staged.labelled, staged.stat().unwrap().mode), (None, 0o600));
        staged.label(&file, meta(0o604)).unwrap();
        let Outcome::Done(stat) = staged.publish(&Path::new(b"a").unwrap(), Expect::Absent).unwrap() else {
            panic!("nothing was in the way")
        };
        assert_eq!((stat.mode, stat.mtime, stat.size), (0o604, Mtime(-1_500_000_000), 3));
        assert_eq!(fs::read(scratch.path().join("a")).unwrap(), b"new");
    }
}
