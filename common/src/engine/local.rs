//! What workers do in the folder: find out what is there, put in place, delete, rename the loser of a conflict, set metadata.
//!
//! Every change first makes sure that what is there is still what the verdict was based on; see [`Stage`](crate::disk::Stage).

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::folder::Folder;
use super::job::{Outcome, There};
use crate::disk::{
    Expect, Fingerprint, Hashing, Outcome as DiskOutcome, RenameMode, Root, Stat, StatKind, hash_up_to,
};
use crate::limits::{CONFLICT_ATTEMPTS, TIMESTAMP_TICK};
use crate::sync::conflict_path;
use crate::tree::{Content, Entry, Kind, Meta, Mtime, Path};
use crate::wire::http::date::civil_from_unix;
use crate::wire::sha256::sha256;

/// Reads what is at a path, and says what it is, if it stayed the same meanwhile.
pub(super) fn hash(root: &Root, path: &Path, seen: &Stat) -> io::Result<Outcome> {
    wait_for_tick(seen);
    let (content, after) = if seen.kind == StatKind::File {
        match root.open_seen(path, seen.print)? {
            Ok((file, before)) => {
                // Whether more has come by then is for the look to find out.
                let mut hashing = Hashing::new();
                let size = hash_up_to(&mut &file, before.size, &mut hashing)?;
                let hash = hashing.finish()?;
                // Through the descriptor, which costs a third of a look at the path. A file that lost its name meanwhile shows it in its
                // `ctime`; and where a directory above was renamed, that is news of its own, as it would be a moment later.
                (Content::File { size, hash }, Some(Stat::of_file(&file)?))
            }
            Err(now) => return Ok(Outcome::LocalIs(now)),
        }
    } else {
        let before = match root.stat(path)? {
            Some(stat) if stat.print == seen.print && stat.kind == seen.kind => stat,
            other => return Ok(Outcome::LocalIs(other)),
        };
        let content = match before.kind {
            StatKind::Directory => Content::Directory,
            StatKind::Symlink => {
                let target = root.read_link(path)?;
                Content::Symlink { size: target.len() as u64, hash: sha256(&target) }
            }
            StatKind::File | StatKind::Other => return Ok(Outcome::LocalIs(Some(before))),
        };
        (content, root.stat(path)?)
    };
    match after {
        Some(after) if after.print == seen.print && after.kind == seen.kind => {
            let meta = Meta { mtime: after.mtime, mode: after.mode };
            Ok(Outcome::Hashed(Entry { content, meta }, after.print))
        }
        _ => Ok(Outcome::LocalIs(root.stat(path)?)),
    }
}

/// A file system stamps all writes within one tick of its clock alike. If this file was changed just now, a later write within the same
/// tick would not show in its fingerprint; so the tick is waited for before the content is read.
fn wait_for_tick(stat: &Stat) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    std::thread::sleep(rest_of_tick(stat.print.ctime, i128::try_from(now).unwrap_or(0)));
}

/// What is left of the tick in which something was stamped, at this moment, in nanoseconds since 1970. A stamp from the future says that a
/// clock was set, and nothing else.
fn rest_of_tick(stamp: Mtime, now: i128) -> Duration {
    let age = u64::try_from(now - i128::from(stamp.0));
    age.map_or(Duration::ZERO, |age| TIMESTAMP_TICK.saturating_sub(Duration::from_nanos(age)))
}

/// Deletes what is expected there; `here` is what that holds.
pub(super) fn delete(
    folder: &Folder,
    path: &Path,
    expect: Expect,
    here: Option<Content>,
) -> io::Result<Outcome> {
    let _open = folder.open_doors(&[path])?;
    match (folder.stage.remove_retaining(path, expect, here)?, expect) {
        (DiskOutcome::Done(()), _) => Ok(Outcome::DeletedLocal),
        (DiskOutcome::Changed, Expect::EmptyDirectory) => Ok(Outcome::NotEmptyHere),
        (DiskOutcome::Changed, _) => Ok(Outcome::LocalIs(folder.root.stat(path)?)),
    }
}

/// Gives what is at a path a conflict name, if it is still what the verdict was based on. `durable`: so that the name outlives a power cut
/// before anybody hears of it; else the server would have the copy, and the next start make another one.
pub(super) fn set_aside(
    folder: &Folder,
    path: &Path,
    client: &str,
    print: Fingerprint,
    durable: bool,
) -> io::Result<Outcome> {
    let _open = folder.open_doors(&[path])?;
    let before = folder.root.stat(path)?;
    // A directory's times change with what is in it; that makes it no other directory.
    let is_seen = |stat: &Stat| match stat.kind {
        StatKind::Directory => stat.print.ino == print.ino,
        _ => stat.print == print,
    };
    if !before.as_ref().is_some_and(is_seen) {
        return Ok(Outcome::LocalIs(before));
    }
    for copy in copy_names(path, client) {
        let copy = copy?;
        match Root::rename((&folder.root, path), (&folder.root, &copy), RenameMode::NoReplace) {
            Ok(()) => {
                if durable {
                    // It has its name; if that can't be flushed, the worst that comes of it is a second copy.
                    let _ = folder.root.sync_dir(copy.parent().as_ref());
                }
                let renamed = folder.root.stat(&copy)?;
                let known = match renamed {
                    // RACE: written to between the check and the rename. It is the copy that was written to, and it will be read again.
                    Some(stat) if stat.print.is_likely_same_content(&print) => Some(stat),
                    _ => None,
                };
                return Ok(Outcome::SetAside { copy, now: known });
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many conflict copies of the same second"))
}

/// Names for a conflict copy that is made now, in the order in which they are to be tried.
pub(super) fn copy_names(path: &Path, client: &str) -> impl Iterator<Item = io::Result<Path>> {
    let time = now_for_names();
    (1..=CONFLICT_ATTEMPTS)
        .map(move |attempt| conflict_path(path, client, &time, attempt).map_err(io::Error::other))
}

/// The time of day for conflict names: `2026-11-22 150405`, UTC.
fn now_for_names() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let civil = civil_from_unix(i64::try_from(now).unwrap_or(0));
    let (date, time) = ((civil.year, civil.month, civil.day), (civil.hour, civil.minute, civil.second));
    format!("{:04}-{:02}-{:02} {:02}{:02}{:02}", date.0, date.1, date.2, time.0, time.1, time.2)
}

/// Sets metadata of what is at a path, if it is still what the verdict was based on.
pub(super) fn pull_meta(
    folder: &Folder,
    path: &Path,
    remote: &There,
    print: Fingerprint,
) -> io::Result<Outcome> {
    let _closed = folder.keep_doors_closed();
    let is_directory = remote.entry.content.kind() == Kind::Directory;
    let is_seen =
        |stat: &Stat| if is_directory { stat.kind == StatKind::Directory } else { stat.print == print };
    match folder.root.stat(path)? {
        Some(before) if is_seen(&before) => match label(folder, path, &before, &remote.entry.meta)? {
            Labelled::Alone(after) => Ok(Outcome::MetaAgrees(remote.base(after.print))),
            Labelled::NotAlone(after) => Ok(Outcome::LocalIs(after)),
        },
        other => Ok(Outcome::LocalIs(other)),
    }
}

/// What came of setting metadata.
#[derive(Debug)]
pub(super) enum Labelled {
    /// This is what it looks like.
    Alone(Stat),
    /// Somebody else was at it too; this is there now.
    NotAlone(Option<Stat>),
}

/// Sets the metadata of what looked like `before` a moment ago.
///
/// RACE: what is done to it between that look and ours shows in its length or inode, a mode set after ours in the mode, and a write after
/// ours in the time. A mode set before ours is overwritten, and a write before ours that left the length alone is taken for what was read.
/// The window is that of two system calls.
pub(super) fn label(folder: &Folder, path: &Path, before: &Stat, meta: &Meta) -> io::Result<Labelled> {
    let is_directory = before.kind == StatKind::Directory;
    folder.root.set_mode(path, meta.mode)?;
    if !is_directory {
        folder.root.set_mtime(path, meta.mtime)?;
    }
    let is_ours = |after: &Stat| {
        let is_unwritten = after.size == before.size && !folder.fidelity.shows_write(after, meta.mtime);
        (after.kind, after.print.ino) == (before.kind, before.print.ino)
            && folder.fidelity.may_have_mode(after, meta.mode)
            && (is_directory || is_unwritten)
    };
    match folder.root.stat(path)? {
        Some(after) if is_ours(&after) => Ok(Labelled::Alone(after)),
        other => Ok(Labelled::NotAlone(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::disk::scratch::Scratch;

    /// A directory that took the place of the one that was judged is not what was to be set aside.
    #[test]
    fn only_what_was_judged_is_set_aside() {
        let scratch = Scratch::new();
        let folder = Folder::open(scratch.path()).unwrap();
        let path = Path::new(b"d").unwrap();
        fs::create_dir(scratch.path().join("d")).unwrap();
        let judged = folder.root.stat(&path).unwrap().unwrap().print;
        // The other is there before the first goes, so that it has another inode.
        fs::create_dir(scratch.path().join("other")).unwrap();
        fs::remove_dir(scratch.path().join("d")).unwrap();
        fs::rename(scratch.path().join("other"), scratch.path().join("d")).unwrap();
        let outcome = set_aside(&folder, &path, "me", judged, true).unwrap();
        assert!(matches!(outcome, Outcome::LocalIs(Some(_))), "{outcome:?}");
        let now = folder.root.stat(&path).unwrap().unwrap().print;
        fs::write(scratch.path().join("d/inside"), "moves its times").unwrap();
        let outcome = set_aside(&folder, &path, "me", now, true).unwrap();
        assert!(matches!(outcome, Outcome::SetAside { .. }), "{outcome:?}");
    }

    #[test]
    fn a_conflict_copy_has_so_many_names_to_choose_from() {
        let path = Path::new(b"d/file.txt").unwrap();
        let names: BTreeSet<Path> = copy_names(&path, "me").map(Result::unwrap).collect();
        assert_eq!(names.len(), CONFLICT_ATTEMPTS as usize);
    }

    #[test]
    fn a_tick_is_waited_for_once() {
        let stamp = Mtime(1_790_000_000_000_000_000);
        let left = |age: i128| rest_of_tick(stamp, i128::from(stamp.0) + age);
        let tick = TIMESTAMP_TICK.as_nanos() as i128;
        assert_eq!((left(0), left(tick - 1)), (TIMESTAMP_TICK, Duration::from_nanos(1)));
        for age in [tick, 1000 * tick, i128::from(i64::MAX), -1, i128::from(i64::MIN)] {
            assert_eq!(left(age), Duration::ZERO, "{age}");
        }
    }
}
