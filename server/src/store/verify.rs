//! Compares a box with its index, byte for byte, and changes nothing: not the box, not the journal, not even a torn tail of it.
//!
//! It walks the folder, and beside it the index, both in the order of paths; what the one has and the other has not is a difference, and
//! so is what is not the same in both. No server may be at work meanwhile, or what it changes would look like damage.

use std::io;

use common::disk::{Found, Journal, Lock, PRIVATE_DIRECTORY, Root, Stat, StatKind};
use common::tree::{Entry, Kind, Path};

use super::index::Index;
use super::look::{self, Reading, has_mode};
use super::records::MAGIC;
use super::replay::{Redo, Replay, Replayed};
use super::{OpenError, not_locked};

/// How a path differs.
#[derive(Debug)]
pub(crate) enum Difference {
    /// The index has it, the box has not.
    Missing,
    /// The box has it, the index has not.
    Unknown,
    /// It is another kind of thing.
    Kind,
    /// The content is another.
    Content,
    /// Only time or permission bits are others.
    Metadata,
    /// It was written to while it was read.
    Changing,
    /// It can't be read.
    Unreadable(io::Error),
}

/// What a comparison came to.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    /// Things that the index has.
    pub(crate) entries: u64,
    /// Their size in bytes.
    pub(crate) bytes: u64,
    pub(crate) differences: u64,
    /// Changes that were written down, but not finished: the next start of the server does that.
    pub(crate) unfinished: usize,
}

/// Compares the box at `dir` with its index, and hands each difference to `report`.
///
/// # Errors
/// See [`OpenError`].
pub(crate) fn verify(
    dir: &std::path::Path,
    report: impl FnMut(Option<&Path>, &Difference),
) -> Result<Verified, OpenError> {
    let at = |what: &str| {
        let what = format!("cannot {what} {}", dir.display());
        move |error| OpenError::Disk { what, error }
    };
    let root = Root::open(dir).map_err(at("open the box"))?;
    if !root.has_private_directory().map_err(at("look into"))? {
        let error = io::Error::new(io::ErrorKind::NotFound, "there is no .filesync directory");
        return Err(at("find a box in")(error));
    }
    let private = root.sub_root(PRIVATE_DIRECTORY).map_err(at("open .filesync in"))?;
    let _lock = Lock::take_existing(&private).map_err(|error| not_locked(&private, error))?;
    let Replayed { index, open, moves, .. } = replay(&private).map_err(at("read the journal of"))?;
    // That a delete was finished is written nowhere; one that was not leaves something that is unknown.
    let puts = open.values().filter(|open| matches!(open.redo, Redo::Put(_))).count();
    let unfinished = puts + moves.len();
    let verified = Verified {
        entries: index.live(),
        bytes: index.amount(None).bytes,
        unfinished,
        ..Verified::default()
    };
    let mut comparison = Comparison { root, index, report, verified };
    comparison.walk();
    Ok(comparison.verified)
}

fn replay(private: &Root) -> io::Result<Replayed> {
    let mut replay = Replay::default();
    let name = Path::new(b"journal").expect("a plain name is a path");
    let found = Journal::read(private, &name, MAGIC, |record| replay.take(record))?;
    match (found, replay.finish()) {
        (Found::Damaged(offset), _) => Err(io::Error::other(format!("it is damaged at byte {offset}"))),
        (_, None) => Err(io::Error::other("it has no beginning")),
        (_, Some(replayed)) => Ok(replayed),
    }
}

struct Comparison<R> {
    root: Root,
    index: Index,
    report: R,
    verified: Verified,
}

impl<R: FnMut(Option<&Path>, &Difference)> Comparison<R> {
    fn walk(&mut self) {
        let mut waiting = vec![None];
        while let Some(directory) = waiting.pop() {
            match self.list(directory.as_ref()) {
                Ok(found) => {
                    waiting.extend(self.directory(directory.as_ref(), found).into_iter().rev().map(Some))
                }
                Err(error) => self.differs(directory.as_ref(), &Difference::Unreadable(error)),
            }
        }
    }

    /// What could sync, in the order of paths.
    fn list(&self, directory: Option<&Path>) -> io::Result<Vec<(Path, Stat)>> {
        let listed = self.root.list(directory)?.into_iter();
        let suitable = |(name, stat): (Vec<u8>, Stat)| Some((Path::child(directory, &name).ok()?, stat));
        let mut found: Vec<_> =
            listed.filter_map(suitable).filter(|(_, stat)| stat.kind != StatKind::Other).collect();
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    /// Compares what is directly in a directory, and gives the directories among that.
    fn directory(&mut self, directory: Option<&Path>, found: Vec<(Path, Stat)>) -> Vec<Path> {
        let known = self.index.children(directory).map(|(path, _)| path);
        let is_missing = |path: &&Path| found.binary_search_by(|(there, _)| there.cmp(path)).is_err();
        let missing: Vec<Path> = known.filter(is_missing).cloned().collect();
        for path in missing {
            self.differs(Some(&path), &Difference::Missing);
            self.missing_below(&path);
        }
        for (path, stat) in &found {
            if let Some(difference) = self.difference(path, stat) {
                self.differs(Some(path), &difference);
            }
            if stat.kind != StatKind::Directory {
                self.missing_below(path);
            }
        }
        let directories = found.into_iter().filter(|(_, stat)| stat.kind == StatKind::Directory);
        directories.map(|(path, _)| path).collect()
    }

    fn difference(&self, path: &Path, stat: &Stat) -> Option<Difference> {
        let Some(known) = self.index.live_entry(path) else { return Some(Difference::Unknown) };
        if !is_kind(known, stat) {
            return Some(Difference::Kind);
        }
        match look::read(&self.root, path) {
            Ok(Reading::Stable(content, _)) if content != known.content => Some(Difference::Content),
            Ok(Reading::Stable(_, stat)) => {
                let has_time = known.content.kind() != Kind::File || stat.mtime == known.meta.mtime;
                let is_link = known.content.kind() == Kind::Symlink;
                let is_same = has_time && (is_link || has_mode(&stat, known));
                (!is_same).then_some(Difference::Metadata)
            }
            Ok(Reading::Unsettled | Reading::Absent | Reading::Other) => Some(Difference::Changing),
            Err(error) => Some(Difference::Unreadable(error)),
        }
    }

    fn missing_below(&mut self, path: &Path) {
        let below: Vec<Path> = self.index.live_below(Some(path)).map(|(path, _)| path.clone()).collect();
        for path in &below {
            self.differs(Some(path), &Difference::Missing);
        }
    }

    fn differs(&mut self, path: Option<&Path>, difference: &Difference) {
        self.verified.differences += 1;
        (self.report)(path, difference);
    }
}

fn is_kind(known: &Entry, stat: &Stat) -> bool {
    matches!(
        (known.content.kind(), stat.kind),
        (Kind::File, StatKind::File)
            | (Kind::Symlink, StatKind::Symlink)
            | (Kind::Directory, StatKind::Directory)
    )
}
