//! Recognises what somebody renamed in the box by hand, so that it need not be read again: a directory with gigabytes in it, moved with
//! `mv`, is known at its new place as soon as it is listed.
//!
//! To the box such a file appears under a name that it did not have. Its inode number says which one it may be, and all of this has to
//! hold for it to be taken for that one:
//!
//! ```text
//!     the index knows what the file under the old name looked like when it had its content
//!     what has appeared looks like that: inode number, length, time of last modification        (its ctime has moved on with the rename)
//!     it was made before the other one was last seen to change                                  (else the number was given anew)
//!     the old name does not lead to it any more                                                 (else it is a link, and is read)
//! ```
//!
//! A directory is recognised likewise, by its inode number and the time when it was made; its length and times say nothing, as they change
//! with what is in it. So the whole of it is one move, and what was changed in it is found at its new place.
//!
//! Where the file system does not know when a file was made, all is read. What this can't see: a file that was written to, given its old length and time of last modification again, and renamed, all between
//! two looks at it. What was read once and not renamed is recognised by its ctime, too, which nobody can set.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::disk::{Fingerprint, Stat, StatKind};
use common::limits::{INDEX_BATCH, LOST_REMEMBERED};
use common::threads::read;
use common::tree::{Entry, Kind, Mtime, Path};

use super::index::{Record, State};
use super::shared::Shared;

/// How long this is kept: where one file was renamed, there are often thousands.
const KEPT: Duration = Duration::from_secs(10);
/// A table that turns out to be out of date is made anew, but not more often than this.
const FRESH: Duration = Duration::from_millis(500);
/// One that merely does not know a number, as it is with every new file, only if no more than a twentieth of the time goes into that.
const SHARE: u32 = 20;
/// What was made so recently was most likely not renamed, and is not worth a table.
const JUST_BORN: Duration = Duration::from_secs(2);

/// What a file was: where, with which content, and what it looked like.
type Known = (Path, Entry, Fingerprint);

/// Files and directories by their inode numbers, while they are of use: those that were lost a moment ago, for word of the old name comes before that of
/// the new one; and those of the index, for in a scan it may be the other way round. All of it is only a hint, and is checked.
#[derive(Debug, Default)]
pub(crate) struct Renamed {
    lost: HashMap<u64, Known>,
    last_lost: Option<Instant>,
    table: Option<Table>,
}

#[derive(Debug)]
struct Table {
    made: Instant,
    /// How long that took.
    took: Duration,
    paths: HashMap<u64, Path>,
}

impl Renamed {
    /// What the file that appeared at `path` was before, if it only got this name.
    pub(crate) fn recognise(&mut self, shared: &Shared, path: &Path, stat: &Stat) -> Option<Entry> {
        let born = stat.born.filter(|born| !is_recent(*born))?;
        if stat.kind != StatKind::File {
            return None;
        }
        let (old, entry, print) = self.find(shared, stat.print.ino)?;
        if entry.content.kind() != Kind::File
            || old == *path
            || print.ctime < born
            || !stat.print.is_likely_same_content(&print)
        {
            return None;
        }
        let under_old_name = shared.root.stat(&old).ok()?;
        let has_left = under_old_name.is_none_or(|found| found.print.ino != stat.print.ino);
        has_left.then_some(entry)
    }

    /// Where the directory that appeared at `path` was before, if it only got this name.
    pub(crate) fn recognise_directory(&mut self, shared: &Shared, path: &Path, stat: &Stat) -> Option<Path> {
        let born = stat.born.filter(|born| !is_recent(*born))?;
        let (old, entry, print) = self.find(shared, stat.print.ino)?;
        let is_it = entry.content.kind() == Kind::Directory && born <= print.ctime && old != *path;
        // Nothing has to be there; a directory that was replaced is not where it was either, but its old name is not free.
        (is_it && shared.root.stat(&old).ok()?.is_none()).then_some(old)
    }

    /// Notes that a directory has got another name, so that it is known if it gets a third one soon.
    pub(crate) fn note_renamed(&mut self, ino: u64, path: &Path) {
        if let Some(table) = &mut self.table {
            table.paths.insert(ino, path.clone());
        }
    }

    /// Notes what the index says of paths that are about to be deleted there.
    pub(crate) fn note_lost(&mut self, shared: &Shared, paths: &[Path]) {
        self.last_lost = Some(Instant::now());
        for paths in paths.chunks(INDEX_BATCH) {
            let index = read(&shared.index);
            for path in paths {
                let known = index.get(path).and_then(|record| known(path, record));
                if self.lost.len() < LOST_REMEMBERED
                    && let Some(known) = known
                {
                    self.lost.insert(known.2.ino, known);
                }
            }
        }
    }

    /// Forgets what is old.
    pub(crate) fn forget_old(&mut self) {
        self.table.take_if(|table| KEPT <= table.made.elapsed());
        if self.last_lost.take_if(|lost| KEPT <= lost.elapsed()).is_some() {
            self.lost = HashMap::new();
        }
    }

    /// Forgets the table: after a full scan so much may have changed that it is of no use.
    pub(crate) fn forget_table(&mut self) {
        self.table = None;
    }

    fn find(&mut self, shared: &Shared, ino: u64) -> Option<Known> {
        if let Some(lost) = self.lost.get(&ino) {
            return Some(lost.clone());
        }
        if let Some(table) = &self.table {
            let found = table.find(shared, ino);
            if found.is_some() || table.is_fresh(ino) {
                return found;
            }
        }
        self.table.insert(Table::make(shared)).find(shared, ino)
    }
}

impl Table {
    fn make(shared: &Shared) -> Table {
        let begun = Instant::now();
        let paths = by_inode(shared);
        Table { made: Instant::now(), took: begun.elapsed(), paths }
    }

    /// Whether it is too early to make another one in the hope that it says more about this number.
    fn is_fresh(&self, ino: u64) -> bool {
        let patience = if self.paths.contains_key(&ino) { FRESH } else { FRESH.max(self.took * SHARE) };
        self.made.elapsed() < patience
    }

    /// The file or directory that has this inode number according to the index, as it stands now.
    fn find(&self, shared: &Shared, ino: u64) -> Option<Known> {
        let path = self.paths.get(&ino)?;
        let known = known(path, read(&shared.index).get(path)?)?;
        (known.2.ino == ino).then_some(known)
    }
}

/// What there is to recognise of a path: nothing of a link, or of what the index does not know the looks of.
fn known(path: &Path, record: &Record) -> Option<Known> {
    match record.state {
        State::Live(entry, Some(print)) if entry.content.kind() != Kind::Symlink => {
            Some((path.clone(), entry, print))
        }
        _ => None,
    }
}

fn by_inode(shared: &Shared) -> HashMap<u64, Path> {
    let mut paths = HashMap::new();
    let mut last: Option<Path> = None;
    loop {
        let index = read(&shared.index);
        let mut records =
            index.below_after(None, last.as_ref().map(Path::as_bytes)).take(INDEX_BATCH).peekable();
        if records.peek().is_none() {
            return paths;
        }
        let mut reached = None;
        for (path, record) in records {
            if let Some((path, _, print)) = known(path, record) {
                paths.insert(print.ino, path);
            }
            reached = Some(path.clone());
        }
        last = reached;
    }
}

/// The times compared are both of this machine; a wrong answer costs one reading.
fn is_recent(time: Mtime) -> bool {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = i128::try_from(since_1970.as_nanos()).unwrap_or(0) - i128::from(time.0);
    (0..JUST_BORN.as_nanos() as i128).contains(&age)
}

#[cfg(test)]
mod tests {
    use common::threads::write;
    use common::tree::{Content, Meta};

    use super::super::index::{Origin, Step};
    use super::*;
    use crate::testing::Workshop;

    #[test]
    fn so_much_that_was_lost_is_remembered() {
        let shop = Workshop::new();
        let shared = &shop.service.store.shared;
        let entry = Entry { content: Content::Directory, meta: Meta { mtime: Mtime(1), mode: 0o755 } };
        let look = |ino: u64| Fingerprint { ino, size: 0, mtime: Mtime(1), ctime: Mtime(1) };
        let names = [b"a", b"b"].map(|name| Path::new(name).unwrap());
        for (name, number) in names.iter().zip(1..) {
            let state = State::Live(entry, Some(look(number)));
            let record = Record::new(Step { seq: number, part: 0 }, Origin::BOX, state);
            write(&shared.index).apply(name.clone(), record);
        }
        let mut renamed = Renamed::default();
        let others = (0..LOST_REMEMBERED as u64 - 1).map(|number| 1000 + number);
        renamed.lost.extend(others.map(|ino| (ino, (names[0].clone(), entry, look(ino)))));
        renamed.note_lost(shared, &names);
        assert_eq!(renamed.lost.len(), LOST_REMEMBERED);
        assert!(renamed.lost.contains_key(&1) && !renamed.lost.contains_key(&2));
    }
}
