//! Recognises files that somebody renamed in the box by hand, so that they need not be read again: a directory with gigabytes in it,
//! moved with `mv`, is known at its new place as soon as it is listed.
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
//! Where the file system does not know when a file was made, all is read. What this can't see: a file that was written to, given its old length and time of last modification again, and renamed, all between
//! two looks at it. What was read once and not renamed is recognised by its ctime, too, which nobody can set.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::disk::{Stat, StatKind};
use common::limits::INDEX_BATCH;
use common::threads::read;
use common::tree::{Entry, Kind, Path};

use super::index::State;
use super::shared::Shared;

/// How long the table is kept: where one file was renamed, there are often thousands.
const KEPT: Duration = Duration::from_secs(10);
/// What was written so recently was most likely not renamed but made, and is not worth a table.
const JUST_WRITTEN: Duration = Duration::from_secs(2);

/// The files of the index by their inode numbers, while they are of use. The table is only a hint: what it says is checked.
#[derive(Debug, Default)]
pub(crate) struct Renamed(Option<Table>);

#[derive(Debug)]
struct Table {
    made: Instant,
    paths: HashMap<u64, Path>,
}

impl Renamed {
    /// What the file that appeared at `path` was before, if it only got this name.
    pub(crate) fn recognise(&mut self, shared: &Shared, path: &Path, stat: &Stat) -> Option<Entry> {
        if stat.kind != StatKind::File || is_just_written(stat) {
            return None;
        }
        let old = self.table(shared).paths.get(&stat.print.ino).filter(|old| *old != path)?;
        let State::Live(entry, Some(print)) = read(&shared.index).get(old)?.state else { return None };
        let was_there = stat.born.is_some_and(|born| born <= print.ctime);
        if entry.content.kind() != Kind::File || !was_there || !stat.print.is_likely_same_content(&print) {
            return None;
        }
        let under_old_name = shared.root.stat(old).ok()?;
        let has_left = under_old_name.is_none_or(|found| found.print.ino != stat.print.ino);
        has_left.then_some(entry)
    }

    /// Forgets the table if it is old.
    pub(crate) fn forget_old(&mut self) {
        self.0.take_if(|table| KEPT <= table.made.elapsed());
    }

    fn table(&mut self, shared: &Shared) -> &Table {
        self.forget_old();
        self.0.get_or_insert_with(|| Table { made: Instant::now(), paths: by_inode(shared) })
    }
}

fn by_inode(shared: &Shared) -> HashMap<u64, Path> {
    let mut paths = HashMap::new();
    let mut last: Option<Path> = None;
    loop {
        let index = read(&shared.index);
        let mut records = index.after(last.as_ref()).take(INDEX_BATCH).peekable();
        if records.peek().is_none() {
            return paths;
        }
        let mut reached = None;
        for (path, record) in records {
            if let State::Live(Entry { content, .. }, Some(print)) = record.state
                && content.kind() == Kind::File
            {
                paths.insert(print.ino, path.clone());
            }
            reached = Some(path.clone());
        }
        last = reached;
    }
}

/// The times compared are both of this machine; a wrong answer costs one reading.
fn is_just_written(stat: &Stat) -> bool {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = i128::try_from(since_1970.as_nanos()).unwrap_or(0) - i128::from(stat.mtime.0);
    (0..JUST_WRITTEN.as_nanos() as i128).contains(&age)
}
