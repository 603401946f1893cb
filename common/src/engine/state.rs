//! What client and server have in common, remembered across restarts: the base of every path, the cursor, and
//! under which ignore rules they were made.
//!
//! The state is a cache. Losing it, or any part of it, leads to a union of folder and box, never to a delete. For that it may be behind
//! the truth but never ahead of it: a base says "the server has this version, and on disk it looked like that", so it is only made
//! durable after the file it speaks of ([`State::flush`] flushes the file system first and the records afterwards).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use crate::disk::{
    Fingerprint, Found, Journal, Root, pack_entry, pack_print, unpack_entry, unpack_path, unpack_print,
};
use crate::limits::JOURNAL_COMPACT_BYTES;
use crate::protocol::{Cursor, Epoch};
use crate::sync::is_conflict_name;
use crate::tree::{Content, Entry, Path};
use crate::wire::pack::{PackError, Packer, Unpacker};
use crate::wire::sha256::Hash;

/// First bytes of the file: which book, and which edition of its form.
const MAGIC: [u8; 8] = *b"FSFOLD\x00\x01";

const CLIENT: u8 = 1;
const BASE: u8 = 2;
const FORGET: u8 = 3;
const CURSOR: u8 = 4;
const RULES: u8 = 5;
const ABSENT: u8 = 6;

/// The version of a path that client and server last had in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// The version.
    pub(super) entry: Entry,
    /// What it looked like on disk here.
    pub(super) print: Fingerprint,
}

/// The state of a folder.
#[derive(Debug)]
pub(super) struct State {
    client_id: String,
    bases: BTreeMap<Path, Base>,
    /// Bases of paths that were seen absent since: evidence for a delete there, but not against the same content if it is back here.
    absent: BTreeSet<Path>,
    cursor: Option<Cursor>,
    rules: Option<Hash>,
    conflicts: usize,
    /// Where content can be found again, by the first eight bytes of its hash.
    by_content: BTreeSet<(u64, Path)>,
    /// Directories by their inode, which a rename leaves as it is.
    by_inode: HashMap<u64, Path>,
    journal: Journal,
    /// Records that are not flushed yet.
    unflushed: usize,
    /// Length of the journal when it was last written as a whole.
    compact_length: u64,
    flush: Flush,
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
    /// Reads the state of a folder, or begins a new one. Says what was found; after damage the state is empty.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn open(private: Root, flush: Flush, new_client_id: &str) -> io::Result<(State, Found)> {
        let (mut client_id, mut bases, mut cursor, mut rules) = (None, BTreeMap::new(), None, None);
        let mut absent = BTreeSet::new();
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
        })?;
        if matches!(found, Found::Damaged(_)) {
            (client_id, bases, cursor, rules) = (None, BTreeMap::new(), None, None);
            absent.clear();
        }
        let is_new = client_id.is_none();
        let client_id = client_id.unwrap_or_else(|| new_client_id.to_owned());
        let compact_length = journal.length();
        let conflicts = bases.keys().filter(|path| is_conflict_name(path.name())).count();
        let by_content =
            bases.iter().filter_map(|(path, base)| Some((content_key(base)?, path.clone()))).collect();
        let by_inode = bases.iter().filter(|(_, base)| is_directory(base));
        let by_inode = by_inode.map(|(path, base)| (base.print.ino, path.clone())).collect();
        let mut state = State {
            client_id,
            bases,
            absent,
            cursor,
            rules,
            conflicts,
            by_content,
            by_inode,
            journal,
            unflushed: 0,
            compact_length,
            flush,
        };
        if is_new {
            // Without its first record a state means nothing, not even the bases in it.
            state.bases.clear();
            state.by_content.clear();
            state.by_inode.clear();
            (state.cursor, state.rules, state.conflicts) = (None, None, 0);
            state.rewrite()?;
        }
        Ok((state, found))
    }

    /// Random id of this folder as a client, made once.
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// All bases, in the order of paths.
    pub(super) fn bases(&self) -> &BTreeMap<Path, Base> {
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
        if self.absent.remove(path) || self.bases.get(path) != Some(&base) {
            match self.bases.insert(path.clone(), base) {
                None => self.conflicts += usize::from(is_conflict_name(path.name())),
                Some(old) => self.forget_place(path, &old),
            }
            if is_directory(&base) {
                self.by_inode.insert(base.print.ino, path.clone());
            }
            if let Some(key) = content_key(&base) {
                self.by_content.insert((key, path.clone()));
            }
            self.append(&Record::Base(path.clone(), base));
        }
    }

    /// Drops the base of a path.
    pub(super) fn forget(&mut self, path: &Path) {
        self.absent.remove(path);
        if let Some(old) = self.bases.remove(path) {
            self.forget_place(path, &old);
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
    pub(super) fn start_over(&mut self) -> BTreeMap<Path, Base> {
        let bases = std::mem::take(&mut self.bases);
        self.absent.clear();
        (self.cursor, self.conflicts) = (None, 0);
        self.by_content.clear();
        self.by_inode.clear();
        for path in bases.keys() {
            self.append(&Record::Forget(path.clone()));
        }
        self.append(&Record::Cursor(None));
        bases
    }

    /// The paths that hold this content, as far as client and server agreed; none for what is empty, or is no file.
    pub(super) fn paths_with(&self, content: &Content) -> impl Iterator<Item = &Path> {
        let wanted = *content;
        let holds =
            move |path: &&Path| self.bases.get(*path).is_some_and(|base| base.entry.content == wanted);
        let first =
            Path::new(b"\x01").expect("a byte that is no NUL is a path, and this one comes before any other");
        let places = hash_key(content).into_iter().flat_map(move |key| {
            let from = (key, first.clone());
            self.by_content.range(from..).take_while(move |(known, _)| *known == key)
        });
        places.map(|(_, path)| path).filter(holds)
    }

    /// The path of the directory that had this inode when client and server agreed on it.
    pub(super) fn directory_with(&self, inode: u64) -> Option<&Path> {
        self.by_inode.get(&inode)
    }

    fn forget_place(&mut self, path: &Path, base: &Base) {
        if let Some(key) = content_key(base) {
            self.by_content.remove(&(key, path.clone()));
        }
        if is_directory(base) && self.by_inode.get(&base.print.ino) == Some(path) {
            self.by_inode.remove(&base.print.ino);
        }
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
        let client = std::iter::once(Record::Client(self.client_id.clone()));
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

fn is_directory(base: &Base) -> bool {
    base.entry.content == Content::Directory
}

fn content_key(base: &Base) -> Option<u64> {
    hash_key(&base.entry.content)
}

fn hash_key(content: &Content) -> Option<u64> {
    match content {
        Content::File { size, hash } if 0 < *size => {
            hash.0.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
        }
        _ => None,
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Record {
    Client(String),
    Base(Path, Base),
    Forget(Path),
    Absent(Path),
    Cursor(Option<Cursor>),
    Rules(Hash),
}

impl Record {
    fn encode(&self) -> Packer {
        match self {
            Record::Client(id) => {
                let mut out = Packer::new(CLIENT);
                out.bytes(id.as_bytes());
                out
            }
            Record::Base(path, base) => {
                let mut out = Packer::new(BASE);
                out.bytes(path.as_bytes());
                pack_entry(&mut out, &base.entry);
                pack_print(&mut out, &base.print);
                out
            }
            Record::Forget(path) => {
                let mut out = Packer::new(FORGET);
                out.bytes(path.as_bytes());
                out
            }
            Record::Absent(path) => {
                let mut out = Packer::new(ABSENT);
                out.bytes(path.as_bytes());
                out
            }
            Record::Cursor(cursor) => {
                let mut out = Packer::new(CURSOR);
                if let Some(cursor) = cursor {
                    out.u64(cursor.epoch.0).u64(cursor.seq);
                }
                out
            }
            Record::Rules(digest) => {
                let mut out = Packer::new(RULES);
                out.bytes(&digest.0);
                out
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Record, PackError> {
        let (tag, mut from) = Unpacker::new(bytes)?;
        let record = match tag {
            CLIENT => Record::Client(String::from_utf8(from.bytes()?.to_vec()).map_err(|_| PackError)?),
            BASE => Record::Base(
                unpack_path(&mut from)?,
                Base { entry: unpack_entry(&mut from)?, print: unpack_print(&mut from)? },
            ),
            FORGET => Record::Forget(unpack_path(&mut from)?),
            ABSENT => Record::Absent(unpack_path(&mut from)?),
            CURSOR if from.is_empty() => Record::Cursor(None),
            CURSOR => Record::Cursor(Some(Cursor { epoch: Epoch(from.u64()?), seq: from.u64()? })),
            RULES => Record::Rules(Hash(from.bytes()?.try_into().map_err(|_| PackError)?)),
            _ => return Err(PackError),
        };
        from.end()?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::tree::{Meta, Mtime};

    fn open(scratch: &Scratch) -> (State, Found) {
        let root = Root::open(scratch.path()).unwrap();
        State::open(root, Flush::Never, "new-id").unwrap()
    }

    fn base(size: u64) -> Base {
        Base {
            entry: Entry {
                content: Content::File { size, hash: Hash([size as u8; 32]) },
                meta: Meta { mtime: Mtime(5), mode: 0o644 },
            },
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
        let (state, found) = State::open(root, Flush::Never, "another-id").unwrap();
        assert_eq!((found, state.client_id(), state.cursor()), (Found::Whole, "new-id", cursor));
        assert_eq!(state.bases(), &BTreeMap::from([(path("b"), base(2))]));
        assert!(state.was_absent(&path("b")) && !state.was_absent(&path("a")));
        assert_eq!(state.rules(), Some(Hash([4; 32])));
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
}
