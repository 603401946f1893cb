//! What client and server have in common, remembered across restarts: the base of every path, the cursor, and
//! under which ignore rules they were made.
//!
//! The state is a cache. Losing it, or any part of it, leads to a union of folder and box, never to a delete. For that it may be behind
//! the truth but never ahead of it: a base says "the server has this version, and on disk it looked like that", so it is only made
//! durable after the file it speaks of ([`State::flush`] flushes the file system first and the records afterwards).
//!
//! A folder that was copied, or restored from a backup, has a state that speaks of another folder: of files that may not have come along,
//! in the name of a client that may be running. So the state holds the birthmark of the directory that it was made in, which no copy has,
//! and means nothing elsewhere. A folder that was renamed is the same folder.
//!
//! A folder may have a million paths, so what one takes counts: at most 120 bytes for its base and the handle of its path, 4 to 6 for each
//! of two orders (by path, and by content or inode), and on the heap the path's bytes with 16 of counters and some 16 of the allocator's.
//! 165, then, beyond the name.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::records::{MAGIC, Record};
use crate::disk::{Fingerprint, Found, Journal, Root, unflushed};
use crate::limits::JOURNAL_COMPACT_BYTES;
use crate::protocol::Cursor;
use crate::sync::{self, is_conflict_name};
use crate::tree::{Catalog, Content, Entry, Id, Order, Path, Tag};
use crate::wire::sha256::Hash;

/// The version of a path that client and server last had in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// The version.
    pub(super) entry: Entry,
    /// What it looked like on disk here.
    pub(super) print: Fingerprint,
    /// The change of the box's history by which the server had it, or a later one up to which it is known to have been there since.
    pub(super) seq: u64,
}

impl Base {
    /// As the decision asks for it.
    pub(super) fn seen(&self) -> sync::Base {
        sync::Base { tag: Tag::from(self.entry.content), seq: Some(self.seq) }
    }

    /// Whether it is no news that the server holds this by the change with this seq: it was so, or is so, when the base was agreed on.
    pub(super) fn covers(&self, entry: Option<&Entry>, seq: u64) -> bool {
        // The base may not be quite what that change made: the server kept metadata of its own.
        seq < self.seq || seq == self.seq && entry.is_some_and(|entry| entry.agrees(&self.entry))
    }
}

/// The state of a folder.
#[derive(Debug)]
pub(super) struct State {
    client_id: String,
    /// The birthmark of the private directory that this was written in.
    home: String,
    bases: Catalog<Base>,
    /// Bases of paths that were seen absent since: evidence for a delete there, but not against the same content if it is back here.
    absent: BTreeSet<Path>,
    cursor: Option<Cursor>,
    rules: Option<Hash>,
    conflicts: usize,
    /// The bases of files that are not empty, by their hashes: where content can be found again.
    by_content: Order,
    /// The bases of directories, by their inodes, which a rename leaves as they are.
    by_inode: Order,
    journal: Journal,
    /// Records that are not flushed yet.
    unflushed: usize,
    /// Length of the journal when it was last written as a whole.
    compact_length: u64,
    flush: Flush,
}

/// Where a state was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here, or there was none.
    Original,
    /// In another folder, of which this one is a copy.
    Copy,
    /// Here, but files that it speaks of may have been lost in a power cut, because nobody waited for the disk.
    Unflushed,
}

/// Whether to wait for the disk.
#[derive(Clone, Debug)]
pub(super) enum Flush {
    /// Flush this file system before the records that speak of its files.
    Durable(Arc<Root>),
    /// Do not wait; rsync's bargain.
    Never,
}

impl State {
    /// Reads the state of a folder, or begins a new one. Says what was found, and where it was made; after damage, and in a copy, the state
    /// is empty.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn open(
        private: Root,
        flush: Flush,
        new_client_id: &str,
    ) -> io::Result<(State, Found, Place)> {
        let (mut client_id, mut bases, mut cursor, mut rules) = (None, Catalog::new(), None, None);
        let mut absent = BTreeSet::new();
        let (here, is_unflushed) = (private.birthmark()?, unflushed::may_be_lost(&private)?);
        let mut home = None;
        let name = Path::new(b"state").expect("a plain name is a path");
        let (journal, found) = Journal::open(private, name, MAGIC, |record| match Record::decode(record)? {
            Record::Client(id) => {
                client_id = Some(id);
                Ok(())
            }
            Record::Base(path, base) => {
                absent.remove(&path);
                bases.insert(path, base);
                Ok(())
            }
            Record::Forget(path) => {
                absent.remove(&path);
                bases.remove(&path);
                Ok(())
            }
            Record::Absent(path) => {
                absent.insert(path);
                Ok(())
            }
            Record::Cursor(new) => {
                cursor = new;
                Ok(())
            }
            Record::Rules(digest) => {
                rules = Some(digest);
                Ok(())
            }
            Record::Home(birthmark) => {
                home = Some(birthmark);
                Ok(())
            }
        })?;
        let place = match &home {
            Some(home) if *home != here => Place::Copy,
            _ if is_unflushed => Place::Unflushed,
            _ => Place::Original,
        };
        // Without its first records a state means nothing, not even the bases in it.
        if matches!(found, Found::Damaged(_)) || home.as_ref() != Some(&here) || place != Place::Original {
            (client_id, bases, cursor, rules) = (None, Catalog::new(), None, None);
            absent.clear();
        }
        let is_new = client_id.is_none();
        let client_id = client_id.unwrap_or_else(|| new_client_id.to_owned());
        let compact_length = journal.length();
        let conflicts = bases.keys().filter(|path| is_conflict_name(path.name())).count();
        let mut state = State {
            client_id,
            home: here,
            bases,
            absent,
            cursor,
            rules,
            conflicts,
            by_content: Order::default(),
            by_inode: Order::default(),
            journal,
            unflushed: 0,
            compact_length,
            flush,
        };
        state.sort_places();
        if is_new {
            state.rewrite()?;
        }
        Ok((state, found, place))
    }

    /// Random id of this folder as a client, made once.
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// All bases, in the order of paths.
    pub(super) fn bases(&self) -> &Catalog<Base> {
        &self.bases
    }

    /// The base of a path.
    pub(super) fn base(&self, path: &Path) -> Option<&Base> {
        self.bases.get(path)
    }

    /// Up to where everything is applied.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// Remembers a base; durably so after the next flush.
    pub(super) fn remember(&mut self, path: &Path, base: Base) {
        if !self.absent.remove(path) && self.bases.get(path) == Some(&base) {
            return;
        }
        let id = match self.bases.try_insert(path.clone(), base) {
            Ok(id) => {
                self.conflicts += usize::from(is_conflict_name(path.name()));
                id
            }
            Err((id, base)) => {
                self.forget_place(id);
                *self.bases.value_mut(id) = base;
                id
            }
        };
        self.note_place(id);
        self.append(&Record::Base(path.clone(), base));
    }

    /// Drops the base of a path.
    pub(super) fn forget(&mut self, path: &Path) {
        self.absent.remove(path);
        if let Some(id) = self.bases.id(path) {
            self.forget_place(id);
            self.bases.remove(path);
            self.conflicts -= usize::from(is_conflict_name(path.name()));
            self.append(&Record::Forget(path.clone()));
        }
    }

    /// Notes that what the base of a path says was seen to be absent. Should the same be there again later, it is new: the server may have
    /// been asked to delete it meanwhile, and even have done so without anybody hearing of it.
    pub(super) fn mark_absent(&mut self, path: &Path) {
        if self.bases.contains_key(path) && self.absent.insert(path.clone()) {
            self.append(&Record::Absent(path.clone()));
        }
    }

    /// Whether it was absent since it got its base.
    pub(super) fn was_absent(&self, path: &Path) -> bool {
        self.absent.contains(path)
    }

    /// Notes up to where everything is applied.
    pub(super) fn set_cursor(&mut self, cursor: Option<Cursor>) {
        if self.cursor != cursor {
            self.cursor = cursor;
            self.append(&Record::Cursor(cursor));
        }
    }

    /// Digest of the ignore rules that the bases and the cursor were made under.
    pub(super) fn rules(&self) -> Option<Hash> {
        self.rules
    }

    /// Notes the rules, after bases and cursor were made to fit them.
    pub(super) fn set_rules(&mut self, digest: Hash) {
        self.rules = Some(digest);
        self.append(&Record::Rules(digest));
    }

    /// Drops every base and the cursor: the server's history is another one now. Returns what the bases were, because what files looked
    /// like on disk is still true and saves hashing them again.
    pub(super) fn start_over(&mut self) -> Catalog<Base> {
        let bases = std::mem::take(&mut self.bases);
        self.absent.clear();
        (self.cursor, self.conflicts) = (None, 0);
        (self.by_content, self.by_inode) = (Order::default(), Order::default());
        for path in bases.keys() {
            self.append(&Record::Forget(path.clone()));
        }
        self.append(&Record::Cursor(None));
        bases
    }

    /// The paths that hold this content, as far as client and server agreed; none for what is empty, or is no file.
    pub(super) fn paths_with(&self, content: &Content) -> impl Iterator<Item = &Path> {
        let wanted = *content;
        let first = hash_key(content).map(|hash| {
            let found = self.by_content.find(|id| self.hash_of(id).cmp(&Some(hash)).then(Ordering::Greater));
            found.unwrap_or_else(|place| place)
        });
        let onwards = first.into_iter().flat_map(|first| self.by_content.from(first));
        let known = onwards.map(|id| self.bases.entry(Id::from_number(id)));
        known.take_while(move |(_, base)| base.entry.content == wanted).map(|(path, _)| path)
    }

    /// The path of the directory that had this inode when client and server agreed on it.
    pub(super) fn directory_with(&self, inode: u64) -> Option<&Path> {
        let place = self.by_inode.find(|id| self.inode_of(id).cmp(&Some(inode)).then(Ordering::Greater));
        let equal = self.by_inode.from(place.unwrap_or_else(|place| place)).next()?;
        (self.inode_of(equal) == Some(inode)).then(|| self.bases.entry(Id::from_number(equal)).0)
    }

    /// What a base is found by as content.
    fn hash_of(&self, id: u32) -> Option<Hash> {
        hash_key(&self.bases.entry(Id::from_number(id)).1.entry.content)
    }

    /// What a base is found by as a directory.
    fn inode_of(&self, id: u32) -> Option<u64> {
        let base = self.bases.entry(Id::from_number(id)).1;
        (base.entry.content == Content::Directory).then_some(base.print.ino)
    }

    /// Enters a base where it can be found by content or inode. Equal ones stand side by side, by their ids.
    fn note_place(&mut self, id: Id) {
        let id = id.number();
        if let Some(hash) = self.hash_of(id) {
            let found = self.by_content.find(|other| (self.hash_of(other), other).cmp(&(Some(hash), id)));
            self.by_content.insert(found.unwrap_or_else(|place| place), id);
        }
        if let Some(inode) = self.inode_of(id) {
            let found = self.by_inode.find(|other| (self.inode_of(other), other).cmp(&(Some(inode), id)));
            self.by_inode.insert(found.unwrap_or_else(|place| place), id);
        }
    }

    /// To be called before the base goes or changes: it is found by what it is.
    fn forget_place(&mut self, id: Id) {
        let id = id.number();
        let by_hash = |other| (self.hash_of(other), other).cmp(&(self.hash_of(id), id));
        if let (Some(_), Ok(place)) = (self.hash_of(id), self.by_content.find(by_hash)) {
            self.by_content.remove(place);
        }
        let by_inode = |other| (self.inode_of(other), other).cmp(&(self.inode_of(id), id));
        if let (Some(_), Ok(place)) = (self.inode_of(id), self.by_inode.find(by_inode)) {
            self.by_inode.remove(place);
        }
    }

    /// Enters all bases at once. What is sorted are the keys themselves, and of hashes their first bytes: to find each in its base would
    /// take most of the time.
    fn sort_places(&mut self) {
        let ids = || self.bases.ids().map(Id::number);
        let mut hashes: Vec<(u64, u32)> =
            ids().filter_map(|id| Some((first_bytes(&self.hash_of(id)?), id))).collect();
        hashes.sort_unstable_by(|(a, a_id), (b, b_id)| {
            let whole = |id: &u32| (self.hash_of(*id), *id);
            a.cmp(b).then_with(|| whole(a_id).cmp(&whole(b_id)))
        });
        let mut inodes: Vec<(u64, u32)> = ids().filter_map(|id| Some((self.inode_of(id)?, id))).collect();
        inodes.sort_unstable();
        let numbers = |sorted: Vec<(u64, u32)>| Order::from_sorted(sorted.into_iter().map(|(_, id)| id));
        (self.by_content, self.by_inode) = (numbers(hashes), numbers(inodes));
    }

    /// How many of the paths are copies that a conflict left.
    pub(super) fn conflicts(&self) -> usize {
        self.conflicts
    }

    /// Whether there is something to flush.
    pub(super) fn is_dirty(&self) -> bool {
        0 < self.unflushed
    }

    /// Makes the state durable, after the files it speaks of.
    ///
    /// # Errors
    /// What the file system says. What was remembered stays so for this run, and is written again as a whole at the next flush.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.is_dirty() {
            return Ok(());
        }
        let is_long = JOURNAL_COMPACT_BYTES.max(4 * self.compact_length) < self.journal.length();
        if self.journal.is_broken() || is_long {
            return self.rewrite();
        }
        match &self.flush {
            Flush::Durable(root) => {
                root.sync_all()?;
                self.journal.flush()?;
            }
            Flush::Never => self.journal.write()?,
        }
        self.unflushed = 0;
        Ok(())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        if let Flush::Durable(root) = &self.flush {
            root.sync_all()?;
        }
        let client = [Record::Client(self.client_id.clone()), Record::Home(self.home.clone())].into_iter();
        let bases = self.bases.iter().map(|(path, base)| Record::Base(path.clone(), *base));
        let cursor = std::iter::once(Record::Cursor(self.cursor));
        let rules = self.rules.into_iter().map(Record::Rules);
        let absent = self.absent.iter().cloned().map(Record::Absent);
        let records = client.chain(bases).chain(absent).chain(cursor).chain(rules);
        self.journal.rewrite(records.map(|record| record.encode().into_bytes()))?;
        self.compact_length = self.journal.length();
        self.unflushed = 0;
        Ok(())
    }

    /// An error leaves the journal broken, and the next flush then writes it as a whole from what is remembered here.
    fn append(&mut self, record: &Record) {
        self.unflushed += 1;
        let _ = self.journal.append(record.encode().as_bytes());
    }
}

/// `None` for what is empty, or is no file.
fn hash_key(content: &Content) -> Option<Hash> {
    match content {
        Content::File { size, hash } if 0 < *size => Some(*hash),
        _ => None,
    }
}

/// As a number, which is in the order of hashes.
fn first_bytes(hash: &Hash) -> u64 {
    hash.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::limits::JOURNAL_RECORD_BYTES;
    use crate::mutator::{Random, mutate};
    use crate::protocol::Epoch;
    use crate::tree::{Meta, Mtime};

    fn open(scratch: &Scratch) -> (State, Found) {
        let root = Root::open(scratch.path()).unwrap();
        let (state, found, place) = State::open(root, Flush::Never, "new-id").unwrap();
        assert_eq!(place, Place::Original);
        (state, found)
    }

    fn base(size: u64) -> Base {
        Base {
            entry: Entry {
                content: Content::File { size, hash: Hash([size as u8; 32]) },
                meta: Meta { mtime: Mtime(5), mode: 0o644 },
            },
            seq: 7,
            print: Fingerprint { ino: 9, size, mtime: Mtime(5), ctime: Mtime(6) },
        }
    }

    fn path(name: &str) -> Path {
        Path::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn remembers_across_restarts() {
        let scratch = Scratch::new();
        let cursor = Some(Cursor { epoch: Epoch(7), seq: 3 });
        {
            let (mut state, found) = open(&scratch);
            assert_eq!((found, state.client_id()), (Found::Nothing, "new-id"));
            state.remember(&path("a"), base(1));
            state.remember(&path("b"), base(2));
            state.mark_absent(&path("a"));
            state.mark_absent(&path("b"));
            state.forget(&path("a"));
            state.set_cursor(cursor);
            state.set_rules(Hash([4; 32]));
            state.flush().unwrap();
            assert!(!state.is_dirty());
        }
        let root = Root::open(scratch.path()).unwrap();
        let (state, found, _) = State::open(root, Flush::Never, "another-id").unwrap();
        assert_eq!((found, state.client_id(), state.cursor()), (Found::Whole, "new-id", cursor));
        assert!(state.bases().iter().eq([(&path("b"), &base(2))]));
        assert!(state.was_absent(&path("b")) && !state.was_absent(&path("a")));
        assert_eq!(state.rules(), Some(Hash([4; 32])));
    }

    #[test]
    fn a_base_takes_no_more_than_is_said_above() {
        assert!(size_of::<Option<(Path, Base)>>() <= 120);
    }

    #[test]
    fn content_and_directories_are_found_as_long_as_they_have_a_base() {
        let scratch = Scratch::new();
        let (mut state, _) = open(&scratch);
        let content = base(1).entry.content;
        let directory = |ino| {
            let entry = Entry { content: Content::Directory, ..base(0).entry };
            Base { entry, print: Fingerprint { ino, ..base(0).print }, ..base(0) }
        };
        let found =
            |state: &State, content: &Content| -> Vec<Path> { state.paths_with(content).cloned().collect() };
        assert_eq!(found(&state, &content), []);
        for (name, base) in
            [("a", base(1)), ("b", base(1)), ("c", base(2)), ("d", directory(7)), ("e", directory(8))]
        {
            state.remember(&path(name), base);
        }
        let mut both = found(&state, &content);
        both.sort();
        assert_eq!(both, [path("a"), path("b")]);
        assert_eq!(found(&state, &base(0).entry.content), [], "what is empty is never looked for");
        state.remember(&path("a"), base(3));
        assert_eq!(found(&state, &content), [path("b")]);
        assert_eq!(found(&state, &base(3).entry.content), [path("a")]);
        assert_eq!((state.directory_with(7), state.directory_with(9)), (Some(&path("d")), None));
        state.remember(&path("d"), directory(9));
        assert_eq!((state.directory_with(7), state.directory_with(9)), (None, Some(&path("d"))));
        state.flush().unwrap();
        drop(state);
        let (mut state, _) = open(&scratch);
        assert_eq!((found(&state, &content), state.directory_with(9)), (vec![path("b")], Some(&path("d"))));
        for name in ["a", "b", "c", "d", "e"] {
            state.forget(&path(name));
        }
        assert_eq!((found(&state, &content), state.directory_with(9)), (vec![], None));
        assert!(state.by_content.iter().next().is_none() && state.by_inode.iter().next().is_none());
    }

    #[test]
    fn damaged_state_is_no_state_at_all() {
        let scratch = Scratch::new();
        {
            let (mut state, _) = open(&scratch);
            for number in 0..20 {
                state.remember(&path(&format!("f{number}")), base(number));
            }
            state.flush().unwrap();
        }
        let file = scratch.path().join("state");
        let good = std::fs::read(&file).unwrap();
        for cut in (0..good.len()).step_by(17) {
            let mut bad = good.clone();
            bad[cut] ^= 0x10;
            std::fs::write(&file, &bad).unwrap();
            let (state, found) = open(&scratch);
            match found {
                // Only the last record: it is as if it had never been written.
                Found::Torn(_) => assert_eq!(state.bases().len(), 19),
                Found::Damaged(_) => assert!(state.bases().is_empty() && state.cursor().is_none()),
                other => panic!("byte {cut}: {other:?}"),
            }
        }
        std::fs::write(&file, b"").unwrap();
        assert!(matches!(open(&scratch).1, Found::Damaged(0)));
    }

    #[test]
    fn a_copy_is_somebody_else_who_knows_nothing() {
        let scratch = Scratch::new();
        let birthmark = |scratch: &Scratch| Root::open(scratch.path()).unwrap().birthmark().unwrap();
        // Directories that are made within one tick of the clock are born at the same time.
        let mut copies = std::iter::repeat_with(Scratch::new);
        let copy = copies.find(|copy| birthmark(copy) != birthmark(&scratch)).unwrap();
        let open_as = |scratch: &Scratch, id: &str| {
            let (state, _, place) =
                State::open(Root::open(scratch.path()).unwrap(), Flush::Never, id).unwrap();
            (state, place)
        };
        {
            let (mut state, _) = open_as(&scratch, "original");
            state.remember(&path("a"), base(1));
            state.set_cursor(Some(Cursor { epoch: Epoch(7), seq: 1 }));
            state.set_rules(Hash([3; 32]));
            state.mark_absent(&path("a"));
            state.flush().unwrap();
        }
        std::fs::copy(scratch.path().join("state"), copy.path().join("state")).unwrap();
        let (original, place) = open_as(&scratch, "new");
        assert_eq!((original.client_id(), original.bases().len(), place), ("original", 1, Place::Original));
        // The first time may be followed by a crash before anything is flushed.
        for (id, expected) in [("copy", Place::Copy), ("another", Place::Original)] {
            let (state, place) = open_as(&copy, id);
            assert_eq!((state.client_id(), place), ("copy", expected));
            assert_eq!((state.bases().len(), state.cursor(), state.rules()), (0, None, None));
            assert!(!state.was_absent(&path("a")));
        }
    }

    #[test]
    fn after_a_power_cut_a_state_that_nobody_flushed_is_no_evidence() {
        let scratch = Scratch::new();
        let mark = scratch.path().join("unflushed");
        {
            let (mut state, _) = open(&scratch);
            state.remember(&path("a"), base(1));
            state.flush().unwrap();
        }
        unflushed::begin(&Root::open(scratch.path()).unwrap()).unwrap();
        assert_eq!(open(&scratch).0.bases().len(), 1, "it was only killed");
        std::fs::write(&mark, "another kernel").unwrap();
        let (state, _, place) =
            State::open(Root::open(scratch.path()).unwrap(), Flush::Never, "another").unwrap();
        assert_eq!((state.client_id(), state.bases().len(), place), ("another", 0, Place::Unflushed));
    }

    #[test]
    fn starting_over_keeps_the_id_and_nothing_else() {
        let scratch = Scratch::new();
        {
            let (mut state, _) = open(&scratch);
            state.remember(&path("a"), base(1));
            assert_eq!(state.start_over().len(), 1);
            state.flush().unwrap();
        }
        let (state, found) = open(&scratch);
        assert_eq!((found, state.client_id()), (Found::Whole, "new-id"));
        assert!(state.bases().is_empty());
    }

    /// A state made of records that were changed at random, each of them whole, opens, and opens again as the same.
    #[test]
    fn no_records_make_a_state_that_is_not_read_again() {
        let seeds = [
            Record::Client("9c2f".into()),
            Record::Base(path("a/b"), base(1 << 40)),
            Record::Forget(path("a")),
            Record::Absent(path("a/b")),
            Record::Cursor(Some(Cursor { epoch: Epoch(u64::MAX), seq: 300 })),
            Record::Rules(Hash([3; 32])),
        ];
        let seeds = seeds.map(|record| record.encode().into_bytes());
        for round in 0..30 {
            let scratch = Scratch::new();
            drop(open(&scratch));
            let private = Root::open(scratch.path()).unwrap();
            let (mut book, _) = Journal::open(private, path("state"), MAGIC, |_| Ok(())).unwrap();
            let mut random = Random::new(round);
            let changed = (0..100).map(|_| mutate(&mut random, &seeds));
            for bytes in changed.filter(|bytes| bytes.len() <= JOURNAL_RECORD_BYTES) {
                // Another home would make it the state of another folder.
                if Record::decode(&bytes).is_ok_and(|record| !matches!(record, Record::Home(_))) {
                    book.append(&bytes).unwrap();
                }
            }
            book.write().unwrap();
            let (mut state, found) = open(&scratch);
            assert_eq!(found, Found::Whole);
            state.rewrite().unwrap();
            let (again, _) = open(&scratch);
            assert!(again.bases().iter().eq(state.bases().iter()), "round {round}");
            let rest = |state: &State| (state.absent.clone(), state.cursor, state.rules);
            assert_eq!(rest(&again), rest(&state), "round {round}");
        }
    }
}
