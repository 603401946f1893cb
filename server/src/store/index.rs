//! What the box holds, and how it came to: one record a path, in the order of paths and in the order of changes. Pure: no file, no lock.
//!
//! Every change takes the next seq. A path is remembered after it was deleted (a tombstone), so that a client that comes back later hears
//! of it; when there are too many tombstones the oldest go, and the *horizon* moves: a cursor older than that can't be continued.
//!
//! A box may have a million paths, so what one takes counts: 144 bytes for its record and the handle of its path, 4 to 6 for each of the
//! two orders, and on the heap the path's bytes with 16 of counters and some 16 of the allocator's. 190, then, beyond the name.

use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};
use std::sync::{Mutex, PoisonError};

use common::disk::Fingerprint;
use common::limits::{INDEX_BATCH, TOMBSTONES};
use common::protocol::{Amount, Cursor, Epoch, RemoteEntry};
use common::sync::Remote;
use common::threads::lock;
use common::tree::{Catalog, Entry, Id, Kind, Order, Path, PathError, Tag};

use super::tally::Tallies;

/// Who made a change: an index into [`Origins`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) u32);

impl Origin {
    /// Changed by hand in the box, or not known any more.
    pub(crate) const BOX: Origin = Origin(0);
}

/// The names behind [`Origin`]s. There are as many as clients that ever changed something, so they are kept once and numbered.
#[derive(Debug)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    pub(crate) fn new() -> Origins {
        Origins(vec![String::new()])
    }

    /// The number of `name`; a name not seen before gets the next one.
    pub(crate) fn number(&mut self, name: &str) -> Origin {
        let known = self.0.iter().position(|known| known == name);
        let number = known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        Origin(u32::try_from(number).unwrap_or(0))
    }

    /// All numbers and names, but for [`Origin::BOX`], in the order of numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Origin, &str)> {
        (0..).map(Origin).zip(self.0.iter().map(String::as_str)).skip(1)
    }

    /// How many there are, with [`Origin::BOX`].
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The name of `origin`; `None` for [`Origin::BOX`].
    pub(crate) fn name(&self, origin: Origin) -> Option<&str> {
        self.0.get(origin.0 as usize).map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// Where a path stands in the order of changes: a change of many paths (a directory moved) is one seq of many parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step {
    pub(crate) seq: u64,
    pub(crate) part: u32,
}

impl Step {
    /// After the last part of the change with this seq.
    pub(crate) fn end_of(seq: u64) -> Step {
        Step { seq, part: u32::MAX }
    }
}

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) step: Step,
    pub(crate) origin: Origin,
    pub(crate) state: State,
    /// How many seqs before this one the path got the version that it holds. What is farther away than this can count looks later than it
    /// was, and that is the safe side: a client then takes it for a change that it has not seen.
    age: u32,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// Something is; the fingerprint is that of the file on disk when its content was known to be this, `None` if that has to be looked at.
    Live(Entry, Option<Fingerprint>),
    /// It was deleted.
    Tombstone,
}

impl Record {
    /// A change to a path. Whether it makes it another version is found out when it is put in its place.
    pub(crate) fn new(step: Step, origin: Origin, state: State) -> Record {
        Record { step, origin, state, age: 0 }
    }

    /// The seq of the change since which the path holds this version, or nothing, without interruption.
    pub(crate) fn since(&self) -> u64 {
        self.step.seq - u64::from(self.age)
    }

    fn set_since(&mut self, since: u64) {
        self.age = u32::try_from(self.step.seq.saturating_sub(since)).unwrap_or(u32::MAX);
    }

    /// The entry, if something is there.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        match &self.state {
            State::Live(entry, _) => Some(entry),
            State::Tombstone => None,
        }
    }
}

/// The index of a box.
#[derive(Debug)]
pub(crate) struct Index {
    epoch: Epoch,
    seq: u64,
    horizon: u64,
    records: Catalog<Record>,
    /// The ids of all records, in the order of their steps.
    by_step: Order,
    pub(crate) origins: Origins,
    there: Amount,
    /// What is below some folders. Whoever reads may begin or continue a count; nothing changes meanwhile.
    tallies: Mutex<Tallies>,
}

impl Index {
    /// An empty index.
    pub(crate) fn new(epoch: Epoch) -> Index {
        Index {
            epoch,
            seq: 0,
            horizon: 0,
            records: Catalog::new(),
            by_step: Order::default(),
            origins: Origins::new(),
            there: Amount::default(),
            tallies: Mutex::default(),
        }
    }

    /// An index that goes on from a snapshot: the last seq, and the horizon.
    pub(crate) fn resume(epoch: Epoch, seq: u64, horizon: u64) -> Index {
        Index { seq, horizon, ..Index::new(epoch) }
    }

    /// Begins another history, from what is there: no cursor of the old one can be continued.
    pub(crate) fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Where the history stands.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.seq }
    }

    /// The oldest seq from which the history can be told.
    pub(crate) fn horizon(&self) -> u64 {
        self.horizon
    }

    /// Whether everything that happened after `cursor` is still known.
    pub(crate) fn can_continue(&self, cursor: Cursor) -> bool {
        cursor.epoch == self.epoch && self.horizon <= cursor.seq && cursor.seq <= self.seq
    }

    /// Things that are there.
    pub(crate) fn live(&self) -> u64 {
        self.there.entries
    }

    /// How much is there below a directory; `None` is the whole box. What was never asked for, or not for long, is counted first.
    pub(crate) fn amount(&self, directory: Option<&Path>) -> Amount {
        loop {
            if let Some(amount) = self.count(directory) {
                return amount;
            }
        }
    }

    /// The same; but no more than a batch is counted, and if that is not all, `None` is returned.
    pub(crate) fn count(&self, directory: Option<&Path>) -> Option<Amount> {
        let Some(directory) = directory else { return Some(self.there) };
        let mut tallies = lock(&self.tallies);
        let tally = tallies.of(directory);
        if tally.amount().is_none() {
            let last = tally.last().cloned();
            let next = self.below_after(Some(directory), last.as_ref().map(Path::as_bytes));
            let size = |record: &Record| record.entry().map(|entry| entry.content.size());
            tally.count(next.map(|(path, record)| (path, size(record))), INDEX_BATCH);
        }
        tally.amount()
    }

    /// What is known of a path.
    pub(crate) fn get(&self, path: &Path) -> Option<&Record> {
        self.records.get(path)
    }

    /// What is at a path.
    pub(crate) fn live_entry(&self, path: &Path) -> Option<&Entry> {
        self.get(path).and_then(Record::entry)
    }

    /// What the decision has to know of a path.
    pub(crate) fn remote(&self, path: &Path) -> Remote {
        let Some(record) = self.get(path) else { return Remote::Unknown };
        let since = record.since();
        match record.entry() {
            None => Remote::Tombstone { since },
            Some(entry) => Remote::Present { tag: Tag::from(entry.content), since },
        }
    }

    /// What an event or a problem says of a path.
    pub(crate) fn describe(&self, path: &Path) -> Option<RemoteEntry> {
        self.get(path).map(|record| self.described(path, record))
    }

    fn described(&self, path: &Path, record: &Record) -> RemoteEntry {
        RemoteEntry {
            path: path.clone(),
            entry: record.entry().copied(),
            seq: record.step.seq,
            since: record.since(),
            origin: self.origins.name(record.origin).map(str::to_owned),
        }
    }

    /// Whether the directory above `path` is there.
    pub(crate) fn has_parent(&self, path: &Path) -> bool {
        path.parent().is_none_or(|parent| self.is_directory(&parent))
    }

    /// Whether a directory is at `path`.
    pub(crate) fn is_directory(&self, path: &Path) -> bool {
        self.live_entry(path).is_some_and(|entry| entry.content.kind() == Kind::Directory)
    }

    /// Whether anything is below a directory.
    pub(crate) fn has_below(&self, directory: &Path) -> bool {
        self.live_below(Some(directory)).next().is_some()
    }

    /// What is there below a directory, in the order of paths; `None` is the whole box.
    pub(crate) fn live_below(&self, directory: Option<&Path>) -> impl Iterator<Item = (&Path, &Entry)> {
        let range = match directory {
            Some(directory) => self.records.range::<[u8], _>(directory.descendants()),
            None => {
                self.records.range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>((Bound::Unbounded, Bound::Unbounded))
            }
        };
        range.filter_map(|(path, record)| Some((path, record.entry()?)))
    }

    /// What is there directly in a directory (the root, if none is given), in the order of paths. What lies deeper is jumped over.
    pub(crate) fn children(&self, directory: Option<&Path>) -> impl Iterator<Item = (&Path, &Record)> {
        let prefix = directory.map_or(0, |directory| directory.as_bytes().len() + 1);
        let beyond = directory.map(|directory| directory.descendants().after().to_vec());
        let mut records = match directory {
            Some(directory) => self.records.range::<[u8], _>(directory.descendants()),
            None => self.records.iter(),
        };
        std::iter::from_fn(move || {
            loop {
                let (path, record) = records.next()?;
                match path.as_bytes()[prefix..].iter().position(|&byte| byte == b'/') {
                    None if record.entry().is_some() => return Some((path, record)),
                    None => {}
                    Some(slash) => {
                        let mut next = path.as_bytes()[..prefix + slash].to_vec();
                        next.push(b'0');
                        let to = beyond.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                        records = self.records.range::<[u8], _>((Bound::Included(next.as_slice()), to));
                    }
                }
            }
        })
    }

    /// All records, in the order of changes.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&Path, &Record)> {
        self.by_step.iter().map(|id| self.records.entry(Id::from_number(id)))
    }

    /// All records below a directory (in the whole box, if none is given) after a path that is below it, too, in the order of paths. That
    /// path need not be one: its bytes are all that counts.
    pub(crate) fn below_after<'s>(
        &'s self,
        directory: Option<&Path>,
        path: Option<&[u8]>,
    ) -> impl Iterator<Item = (&'s Path, &'s Record)> + use<'s> {
        let below = directory.map(Path::descendants);
        let (first, last) = match &below {
            Some(below) => (below.start_bound(), below.end_bound()),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let first = path.map_or(first, Bound::Excluded);
        self.records.range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>((first, last))
    }

    /// What happened after `step` and still matters, oldest first: of each path only the last change.
    pub(crate) fn changes_after(&self, step: Step) -> impl Iterator<Item = (Step, RemoteEntry)> {
        let passed = |id| if self.step_of(id) <= step { Ordering::Less } else { Ordering::Greater };
        let from = self.by_step.find(passed).unwrap_or_else(|place| place);
        let records = self.by_step.from(from).map(|id| self.records.entry(Id::from_number(id)));
        records.map(|(path, record)| (record.step, self.described(path, record)))
    }

    /// What a path, and all that is there below it, would be called if it were moved: old names and new ones, in the order of paths.
    ///
    /// # Errors
    /// One of the new names would be too long.
    pub(crate) fn renamed(&self, from: &Path, to: &Path) -> Result<Vec<(Path, Path)>, PathError> {
        let itself = self.live_entry(from).map(|_| from);
        let below = self.live_below(Some(from)).map(|(path, _)| path);
        let renamed = |old: &Path| {
            let rest = &old.as_bytes()[from.as_bytes().len()..];
            Ok((old.clone(), Path::new(&[to.as_bytes(), rest].concat())?))
        };
        itself.into_iter().chain(below).map(renamed).collect()
    }

    /// Moves what [`Index::renamed`] gave, as one change of many parts: first the new names from above, then the tombstones from below.
    /// So whoever obeys part by part has a directory before what belongs in it, still has the content under its old name when it is to
    /// have it under the new one, and finds a directory empty when it is to go.
    pub(crate) fn relocate(&mut self, renamed: &[(Path, Path)], seq: u64, origin: Origin) {
        let mut parts = 0..;
        for ((old, new), part) in renamed.iter().zip(&mut parts) {
            if let Some(state) = self.get(old).map(|record| record.state) {
                self.apply(new.clone(), Record::new(Step { seq, part }, origin, state));
            }
        }
        for ((old, _), part) in renamed.iter().rev().zip(parts) {
            self.apply(old.clone(), Record::new(Step { seq, part }, origin, State::Tombstone));
        }
    }

    /// Puts a change in its place, and returns what it replaces. Of each path, seqs must come in order. If it leaves the version as it is,
    /// that is there since when it was before.
    pub(crate) fn apply(&mut self, path: Path, mut record: Record) -> Option<Record> {
        let content = |record: &Record| record.entry().map(|entry| entry.content);
        let same = self.get(&path).filter(|old| content(old).is_some() && content(old) == content(&record));
        record.set_since(same.map_or(record.step.seq, Record::since));
        self.put(path, record)
    }

    fn put(&mut self, path: Path, record: Record) -> Option<Record> {
        self.seq = self.seq.max(record.step.seq);
        if let Some(entry) = record.entry() {
            let bytes = entry.content.size();
            self.there = self.there.plus(Amount { bytes, entries: 1 });
            self.tallies.get_mut().unwrap_or_else(PoisonError::into_inner).add(&path, bytes);
        }
        let (id, previous) = match self.records.try_insert(path, record) {
            Ok(id) => (id, None),
            Err((id, record)) => {
                self.leave_order(id);
                (id, Some(std::mem::replace(self.records.value_mut(id), record)))
            }
        };
        self.enter_order(id);
        previous
    }

    /// Takes the last change of a path back: it was not made after all. Its seq is not given to another one.
    pub(crate) fn take_back(&mut self, path: &Path, previous: Option<Record>) {
        self.remove(path);
        if let Some(previous) = previous {
            self.put(path.clone(), previous);
        }
    }

    /// Notes since when a path holds what it got at `step`, as a snapshot tells it.
    pub(crate) fn set_since(&mut self, path: &Path, step: Step, since: u64) {
        if let Some(record) = self.records.get_mut(path).filter(|record| record.step == step) {
            record.set_since(since);
        }
    }

    fn remove(&mut self, path: &Path) {
        if let Some(id) = self.records.id(path) {
            self.leave_order(id);
            self.records.remove(path);
        }
    }

    fn step_of(&self, id: u32) -> Step {
        self.records.entry(Id::from_number(id)).1.step
    }

    /// A record is found in the order of changes by its step, and should a step be there twice, by its id.
    fn enter_order(&mut self, id: Id) {
        let (step, id) = (self.step_of(id.number()), id.number());
        let place = self.by_step.find(|other| (self.step_of(other), other).cmp(&(step, id)));
        self.by_step.insert(place.unwrap_or_else(|place| place), id);
    }

    /// To be called before the record goes or changes. It is not counted any more, either.
    fn leave_order(&mut self, id: Id) {
        let (path, old) = self.records.entry(id);
        let (path, old) = (path.clone(), *old);
        let found = self.by_step.find(|other| (self.step_of(other), other).cmp(&(old.step, id.number())));
        if let Ok(place) = found {
            self.by_step.remove(place);
        }
        if let Some(entry) = old.entry() {
            let bytes = entry.content.size();
            self.there = self.there.minus(Amount { bytes, entries: 1 });
            self.tallies.get_mut().unwrap_or_else(PoisonError::into_inner).remove(&path, bytes);
        }
    }

    /// Notes what a file looks like on disk, if its entry is still the one of `step`.
    pub(crate) fn set_print(&mut self, path: &Path, step: Step, print: Fingerprint) {
        if let Some(Record { state: State::Live(_, known), step: current, .. }) = self.records.get_mut(path)
            && *current == step
        {
            *known = Some(print);
        }
    }

    /// Whether there are so many tombstones more than are kept that it is worth while to look for the oldest.
    pub(crate) fn has_many_tombstones(&self) -> bool {
        2 * TOMBSTONES < self.records.len() - self.live() as usize
    }

    /// Forgets the oldest tombstones, if there are more than are kept. The horizon moves up to the last one forgotten.
    pub(crate) fn forget_old_tombstones(&mut self) {
        let tombstones = self.records.len() - self.live() as usize;
        let Some(surplus) = tombstones.checked_sub(TOMBSTONES).filter(|&surplus| 0 < surplus) else { return };
        let old = self.in_order().filter(|(_, record)| record.entry().is_none()).take(surplus);
        let old: Vec<(Step, Path)> = old.map(|(path, record)| (record.step, path.clone())).collect();
        for (step, path) in old {
            self.remove(&path);
            self.horizon = self.horizon.max(step.seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::tree::{Content, Meta, Mtime};
    use common::wire::sha256::Hash;

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    fn file(size: u64) -> State {
        let meta = Meta { mtime: Mtime(0), mode: 0o644 };
        State::Live(Entry { content: Content::File { size, hash: Hash([size as u8; 32]) }, meta }, None)
    }

    fn put(index: &mut Index, name: &str, state: State) -> u64 {
        let seq = index.cursor().seq + 1;
        index.apply(path(name), Record::new(Step { seq, part: 0 }, Origin::BOX, state));
        seq
    }

    fn changed_after(index: &Index, seq: u64) -> Vec<String> {
        index.changes_after(Step::end_of(seq)).map(|(_, change)| change.path.to_string()).collect()
    }

    #[test]
    fn counts_and_changes_follow_the_last_state_of_each_path() {
        let mut index = Index::new(Epoch(1));
        put(&mut index, "a", file(10));
        put(&mut index, "b", file(20));
        put(&mut index, "a", file(5));
        put(&mut index, "b", State::Tombstone);
        assert_eq!((index.live(), index.amount(None).bytes, index.cursor().seq), (1, 5, 4));
        assert_eq!(changed_after(&index, 0), ["a", "b"]);
        assert_eq!(changed_after(&index, 3), ["b"]);
        assert_eq!(changed_after(&index, 4).len(), 0);
        assert_eq!(changed_after(&index, u64::MAX).len(), 0);
        assert_eq!(index.remote(&path("b")), Remote::Tombstone { since: 4 });
        assert_eq!(index.remote(&path("c")), Remote::Unknown);
    }

    #[test]
    fn a_change_of_many_parts_is_told_whole() {
        let mut index = Index::new(Epoch(1));
        let seq = index.cursor().seq + 1;
        for (part, name) in ["old", "new", "new/x"].into_iter().enumerate() {
            let step = Step { seq, part: part as u32 };
            index.apply(path(name), Record::new(step, Origin::BOX, file(1)));
        }
        assert_eq!(changed_after(&index, 0), ["old", "new", "new/x"]);
        put(&mut index, "new", State::Tombstone);
        assert_eq!(changed_after(&index, 0), ["old", "new/x", "new"]);
    }

    #[test]
    fn what_is_moved_is_told_in_an_order_that_can_be_obeyed() {
        let mut index = Index::new(Epoch(1));
        for name in ["d", "d-x", "d/a", "d/a/f", "d/gone", "other"] {
            put(&mut index, name, file(1));
        }
        put(&mut index, "d/gone", State::Tombstone);
        let renamed = index.renamed(&path("d"), &path("e/new")).unwrap();
        let live = (index.live(), index.amount(None).bytes);
        index.relocate(&renamed, 8, Origin::BOX);
        let want = ["d-x", "other", "d/gone", "e/new", "e/new/a", "e/new/a/f", "d/a/f", "d/a", "d"];
        assert_eq!(changed_after(&index, 0), want);
        assert_eq!((index.live(), index.amount(None).bytes, index.cursor().seq), (live.0, live.1, 8));
        let middle = index.changes_after(Step::end_of(7)).nth(3).unwrap().0;
        assert_eq!(index.changes_after(middle).count(), 2);
        assert_eq!(index.remote(&path("d")), Remote::Tombstone { since: 8 });
        let long = Path::new(format!("{}x", "y/".repeat(2046)).as_bytes()).unwrap();
        assert_eq!(index.renamed(&path("e/new"), &long), Err(PathError::TooLong));
    }

    #[test]
    fn the_horizon_follows_forgotten_tombstones() {
        let mut index = Index::new(Epoch(1));
        for number in 0..TOMBSTONES + 3 {
            put(&mut index, &format!("t{number}"), State::Tombstone);
        }
        put(&mut index, "live", file(1));
        index.forget_old_tombstones();
        assert_eq!(index.horizon(), 3);
        let at = |seq| Cursor { epoch: Epoch(1), seq };
        assert!(index.can_continue(at(3)) && !index.can_continue(at(2)));
        assert!(
            !index.can_continue(at(index.cursor().seq + 1)),
            "a cursor from the future is from another history"
        );
        assert!(!index.can_continue(Cursor { epoch: Epoch(2), seq: 3 }));
        assert_eq!(index.remote(&path("t0")), Remote::Unknown);
    }

    #[test]
    fn below_a_directory_comes_nothing_else() {
        let mut index = Index::new(Epoch(1));
        for name in ["a", "d", "d!", "d!/x", "d/a", "d/b/c", "d/z", "d0", "e"] {
            put(&mut index, name, file(1));
        }
        let names = |directory: Option<&str>, after: Option<&str>| {
            let (directory, after) = (directory.map(path), after.map(path));
            let found = index.below_after(directory.as_ref(), after.as_ref().map(Path::as_bytes));
            found.map(|(path, _)| path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(Some("d"), None), ["d/a", "d/b/c", "d/z"]);
        assert_eq!(names(Some("d"), Some("d/a")), ["d/b/c", "d/z"]);
        assert_eq!(names(Some("d"), Some("d/z")).len(), 0);
        assert_eq!(names(None, None).len(), 9);
        assert_eq!(names(None, Some("d/z")), ["d0", "e"]);
        assert_eq!(names(Some("x"), None).len(), 0);
    }

    #[test]
    fn children_are_what_is_directly_inside() {
        let mut index = Index::new(Epoch(1));
        for name in ["d", "d!", "d!/x", "d/a", "d/a-b", "d/a/deep", "d/a/deeper/x", "d/a0", "e", "e/f"] {
            put(&mut index, name, file(1));
        }
        put(&mut index, "d/a0", State::Tombstone);
        let children = |directory: Option<&str>| {
            let directory = directory.map(path);
            let children = index.children(directory.as_ref());
            children.map(|(path, _)| path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(children(None), ["d", "d!", "e"]);
        assert_eq!(children(Some("d")), ["d/a", "d/a-b"]);
        assert_eq!(children(Some("d/a")), ["d/a/deep"]);
        assert_eq!(children(Some("x")).len(), 0);
    }

    #[test]
    fn taken_back_it_is_as_before() {
        let mut index = Index::new(Epoch(1));
        put(&mut index, "a", file(10));
        let before = index.get(&path("a")).copied();
        put(&mut index, "a", State::Tombstone);
        put(&mut index, "b", file(3));
        index.take_back(&path("a"), before);
        index.take_back(&path("b"), None);
        assert_eq!((index.live(), index.amount(None).bytes, index.cursor().seq), (1, 10, 3));
        assert_eq!(changed_after(&index, 0), ["a"]);
    }

    #[test]
    fn a_record_takes_no_more_than_is_said_above() {
        assert!(size_of::<Option<(Path, Record)>>() <= 144);
    }

    #[test]
    fn below_means_below() {
        let mut index = Index::new(Epoch(1));
        put(
            &mut index,
            "d",
            State::Live(
                Entry { content: Content::Directory, meta: Meta { mtime: Mtime(0), mode: 0o755 } },
                None,
            ),
        );
        put(&mut index, "d-x", file(1));
        assert!(index.is_directory(&path("d")) && !index.has_below(&path("d")));
        put(&mut index, "d/x", file(1));
        assert!(
            index.has_below(&path("d")) && index.has_parent(&path("d/x")) && !index.has_parent(&path("e/x"))
        );
        put(&mut index, "d/x", State::Tombstone);
        assert!(!index.has_below(&path("d")));
    }
}
