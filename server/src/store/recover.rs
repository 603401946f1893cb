//! Brings journal, index and disk together again when the server starts.
//!
//! | the journal says   | found on disk                                    | then                                               |
//! |--------------------|--------------------------------------------------|----------------------------------------------------|
//! | put, not seen      | the path holds the new content                   | it was done: seen                                  |
//! |                    | staging holds it, the path what was before       | published now                                      |
//! |                    | staging holds it, the path something else        | kept as a version, loudly; taken back              |
//! |                    | staging holds something else: it was swapped out | kept as a version: it may be one that nobody saw   |
//! |                    | staging holds something else, written since, and | published now, and left to the scan: a power cut   |
//! |                    | the path what was before                         | took its name back after somebody had edited it    |
//! |                    | neither, and there is nothing at the path        | a directory is made again; else left to the scan:  |
//! |                    |                                                  | who was told of it is to hear that it is gone      |
//! |                    | neither                                          | taken back                                         |
//! | put of metadata    | what was before, by its fingerprint              | labelled now                                       |
//! | delete             | the very thing that was to be deleted            | removed now                                        |
//! |                    | staging holds what was taken away                | dropped if it is that very thing, else kept        |
//! | move               | the new place holds the very thing               | it was done: seen                                  |
//! |                    | the old place does, the new one nothing          | renamed now                                        |
//! |                    | anything else                                    | left to the scan: a client may have been told      |
//! | torn at its end    |                                                  | what is torn was never acknowledged                |
//! | damaged            |                                                  | a new epoch; staged things are kept as versions    |
//! | whole              | the box is a copy, or restored (place.rs)        | a new epoch                                        |
//!
//! Nothing else is ever deleted here. What is on disk and in no record is left for the scan, which makes it a version.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use common::cli::log::Log;
use common::disk::{
    Expect, Fingerprint, Found, Journal, Outcome, RenameMode, Root, STAGING, Stage, Staged, Stat, StatKind,
    unflushed,
};
use common::protocol::Epoch;
use common::tree::{Content, Entry, Kind, Path};

use super::act::{is_likely_thing, label};
use super::book::Book;
use super::index::{Index, Record, State, Step};
use super::look::{self, Reading, mode_in_box};
use super::place;
use super::records::{JournalRecord, MAGIC};
use super::replay::{Open, OpenMove, Redo, Replay, Replayed};

/// Opens the journal and repairs what a crash left.
///
/// # Errors
/// What the file system says. Damage is not an error: the box is what its files are.
pub(crate) fn recover(
    root: &Root,
    private: &Root,
    stage: &Arc<Stage>,
    log: Log,
) -> io::Result<(Book, Index)> {
    let mut replay = Replay::default();
    let name = Path::new(b"journal").expect("a plain name is a path");
    let (journal, found) = Journal::open(private.try_clone()?, name, MAGIC, |record| replay.take(record))?;
    let whole = match found {
        // A journal without a snapshot was made by a start that did not get further.
        Found::Nothing | Found::Whole => replay.finish(),
        Found::Torn(bytes) => {
            log.warn(format!(
                "the journal ends in {bytes} bytes of a record that was never completed; they were cut off"
            ));
            replay.finish()
        }
        Found::Damaged(offset) => {
            log.error(format!(
                "the journal is damaged at byte {offset}; it was set aside as .filesync/journal.damaged. The history starts anew from \
                 the files in the box, and every client will compare all it has. No file is lost"
            ));
            keep_staged(stage, log)?;
            None
        }
    };
    let mut is_new = whole.is_none();
    let Replayed { mut index, seq, open, moves } = match whole {
        Some(replayed) => replayed,
        None => Replayed::nothing(Epoch(random()?)),
    };
    if !is_new && !place::is_same(private, index.cursor().epoch)? {
        log.warn("this box was restored or copied; its history starts anew, and every client will compare all it has");
        index.begin(Epoch(random()?));
        is_new = true;
    } else if !is_new && unflushed::may_be_lost(private)? {
        log.warn(
            "the last server here ran with --no-fsync until the power went, so files may be missing or cut; the history starts anew, and \
             every client will compare all it has",
        );
        index.begin(Epoch(random()?));
        is_new = true;
    }
    let mut recovery = Recovery {
        root,
        staging: private.sub_root(STAGING)?,
        stage: stage.clone(),
        log,
        book: Book::new(journal, seq),
        index,
    };
    recovery.redo(open.into_iter().collect(), &moves)?;
    let Recovery { mut book, index, .. } = recovery;
    match is_new {
        true => {
            book.rewrite(&index)?;
            // Last, so that a crash in between begins anew once more.
            place::note(private, index.cursor().epoch)?;
        }
        false => book.flush()?,
    }
    Ok((book, index))
}

/// 64 random bits.
///
/// # Errors
/// Those of reading `/dev/urandom`.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Nothing is known of what is in staging: it may be all that is left of an acknowledged upload.
fn keep_staged(stage: &Arc<Stage>, log: Log) -> io::Result<()> {
    for (staged, stat) in stage.leftovers()? {
        if stat.kind != StatKind::Directory {
            keep(staged, &unknown(), log)?;
        }
    }
    Ok(())
}

fn keep(staged: Staged, path: &Path, log: Log) -> io::Result<()> {
    let version = staged.set_aside(path)?;
    log.warn(format!(
        "{path}: a version that could not be told whose it is was kept as .filesync/versions/{version}"
    ));
    Ok(())
}

fn unknown() -> Path {
    Path::new(b"unknown").expect("a plain name is a path")
}

/// What has the name of something that was staged.
enum InStaging {
    Nothing,
    /// The content that was to be published.
    New(Staged),
    /// What that was swapped with, or what somebody made of it, or what a power cut left of it.
    Other(Staged),
}

struct Recovery<'a> {
    root: &'a Root,
    staging: Root,
    stage: Arc<Stage>,
    log: Log,
    book: Book,
    index: Index,
}

impl Recovery<'_> {
    /// A delete of something below a directory that was moved later comes before the move, and one at its new place after it.
    fn redo(&mut self, open: Vec<(Path, Open)>, moves: &BTreeMap<u64, OpenMove>) -> io::Result<()> {
        let deleted: Vec<Fingerprint> = open.iter().filter_map(|(_, open)| deleted_print(open)).collect();
        let mut begun = 0;
        for (&seq, open_move) in moves {
            self.redo_deletes(&open, begun..seq)?;
            self.redo_move(seq, open_move)?;
            begun = seq;
        }
        self.redo_deletes(&open, begun..u64::MAX)?;
        for (path, open) in &open {
            if let Redo::Put(staged) = &open.redo {
                self.redo_put(path, open, staged.as_deref())?;
            }
        }
        for (staged, stat) in self.stage.leftovers()? {
            let was_deleted = deleted.iter().any(|print| print.is_likely_same_content(&stat.print));
            if staged.was_taken() && !was_deleted {
                keep(staged, &unknown(), self.log)?;
            }
        }
        Ok(())
    }

    /// What is to be removed is found out before anything is: removing a child changes its directory.
    fn redo_deletes(&self, open: &[(Path, Open)], seqs: Range<u64>) -> io::Result<()> {
        let mut undone = Vec::new();
        for (path, open) in open.iter().filter(|(_, open)| seqs.contains(&open.step.seq)) {
            let Some(print) = deleted_print(open) else { continue };
            match self.root.stat(path) {
                Ok(Some(stat)) if is_still(&stat, &print) => undone.push((path, stat)),
                _ => {}
            }
        }
        // From below: what is in a directory comes after it in the order of paths.
        for (path, stat) in undone.into_iter().rev() {
            let expect = match stat.kind {
                StatKind::Directory => Expect::EmptyDirectory,
                _ => Expect::Print(stat.print),
            };
            match self.stage.remove(path, expect) {
                Ok(Outcome::Done(())) => {}
                Ok(Outcome::Changed) => {
                    self.log.warn(format!("{path}: was to be deleted, but is not empty; it stays"))
                }
                Err(error) => {
                    self.log.warn(format!("{path}: was to be deleted, but can't be; it stays: {error}"))
                }
            }
        }
        Ok(())
    }

    /// A move is never taken back: before the crash some client may have been told of it, and nothing would tell it otherwise. Where the
    /// disk has something else, the scan makes changes of that, of which everybody is told.
    fn redo_move(&mut self, seq: u64, open: &OpenMove) -> io::Result<()> {
        let OpenMove { from, to, print, .. } = open;
        let holds = |path: &Path| match self.root.stat(path) {
            Ok(Some(stat)) => Some(is_likely_thing(&stat, print)),
            _ => None,
        };
        let is_undone = holds(to).is_none() && holds(from) == Some(true);
        if is_undone
            && let Err(error) = Root::rename((self.root, from), (self.root, to), RenameMode::NoReplace)
        {
            self.log.warn(format!("{from}: was to be moved to {to}, but can't be; it stays: {error}"));
        }
        // If it is not there, the mismatch makes the scan read what is.
        let placed = self.root.stat(to).ok().flatten().filter(|placed| is_likely_thing(placed, print));
        let (step, print) = (Step { seq, part: 0 }, placed.map_or(*print, |placed| placed.print));
        self.index.set_print(to, step, print);
        self.book.append(&JournalRecord::Seen { step, path: to.clone(), print })
    }

    fn redo_put(&mut self, path: &Path, open: &Open, name: Option<&[u8]>) -> io::Result<()> {
        let Some(entry) = self.index.live_entry(path).copied() else { return Ok(()) };
        let Some(name) = name else { return self.redo_label(path, open, &entry) };
        let expect = expected(open.previous);
        let print = match (self.print_if_there(path, &entry), self.staged(name, &entry)?) {
            (Some(print), InStaging::Other(swapped_out)) => {
                keep(swapped_out, path, self.log)?;
                Some(print)
            }
            (Some(print), _) => Some(print),
            (None, InStaging::New(staged)) => self.publish(path, expect, staged)?,
            (None, InStaging::Other(edited)) if is_written_since(&edited, &entry)? => {
                return self.publish(path, expect, edited).map(drop);
            }
            (None, InStaging::Other(torn)) => keep(torn, path, self.log).map(|()| None)?,
            (None, InStaging::Nothing) => match self.make_directory(path, &entry)? {
                None if matches!(self.root.stat(path), Ok(None)) => return Ok(()),
                made => made,
            },
        };
        match print {
            Some(print) => self.done(path, open, print),
            None => {
                self.index.take_back(path, open.previous);
                self.book.append(&JournalRecord::Void { seq: open.step.seq })
            }
        }
    }

    /// If it does not look as before, the scan finds out what it is.
    fn redo_label(&mut self, path: &Path, open: &Open, entry: &Entry) -> io::Result<()> {
        let labelled = match open.previous.map(|previous| previous.state) {
            Some(State::Live(before, print)) if before.content == entry.content => {
                label(self.root, path, &before, entry, print).ok().flatten()
            }
            _ => None,
        };
        labelled.map_or(Ok(()), |print| self.done(path, open, print))
    }

    /// What has the name under which the content of `entry` was staged. An empty directory of that name is of no use and goes.
    fn staged(&self, name: &[u8], entry: &Entry) -> io::Result<InStaging> {
        let Some((staged, _)) = self.stage.find(name)? else { return Ok(InStaging::Nothing) };
        let name = Path::new(name).map_err(io::Error::other)?;
        Ok(match look::read(&self.staging, &name)? {
            Reading::Stable(content, _) if content == entry.content => InStaging::New(staged),
            Reading::Stable(Content::Directory, _) => InStaging::Nothing,
            _ => InStaging::Other(staged),
        })
    }

    /// What a path looks like, if it holds the content of `entry`. What can't be read is not what we put there.
    fn print_if_there(&self, path: &Path, entry: &Entry) -> Option<Fingerprint> {
        match look::read(self.root, path) {
            Ok(Reading::Stable(content, stat)) if content == entry.content => Some(stat.print),
            _ => None,
        }
    }

    fn publish(
        &self,
        path: &Path,
        expect: Option<Expect>,
        staged: Staged,
    ) -> io::Result<Option<Fingerprint>> {
        let Some(expect) = expect.filter(|&expect| self.holds(path, expect)) else {
            return keep(staged, path, self.log).map(|()| None);
        };
        match staged.publish(path, expect)? {
            Outcome::Done(stat) => Ok(Some(stat.print)),
            Outcome::Changed => Ok(None),
        }
    }

    /// Whether the box has room for what was to be put there: the directory above, and what was before.
    fn holds(&self, path: &Path, expect: Expect) -> bool {
        let has_parent = match path.parent() {
            Some(parent) => {
                matches!(self.root.stat(&parent), Ok(Some(stat)) if stat.kind == StatKind::Directory)
            }
            None => true,
        };
        let is_as_before = match self.root.stat(path) {
            Ok(None) => expect == Expect::Absent,
            Ok(Some(stat)) => match expect {
                Expect::Absent => false,
                Expect::Print(print) => stat.print.is_likely_same_content(&print),
                Expect::EmptyDirectory => stat.kind == StatKind::Directory,
            },
            Err(_) => false,
        };
        has_parent && is_as_before
    }

    /// A directory needs nothing but its record. It may be that an upload made it, and a power cut lost the name.
    fn make_directory(&self, path: &Path, entry: &Entry) -> io::Result<Option<Fingerprint>> {
        if entry.content != Content::Directory || !self.holds(path, Expect::Absent) {
            return Ok(None);
        }
        let mode = mode_in_box(Kind::Directory, entry.meta.mode);
        self.root.make_dir(path, mode)?;
        self.root.set_mode(path, mode)?;
        Ok(self.root.stat(path)?.map(|stat| stat.print))
    }

    fn done(&mut self, path: &Path, open: &Open, print: Fingerprint) -> io::Result<()> {
        self.index.set_print(path, open.step, print);
        self.book.append(&JournalRecord::Seen { step: open.step, path: path.clone(), print })
    }
}

fn deleted_print(open: &Open) -> Option<Fingerprint> {
    match open.redo {
        Redo::Delete(print) => Some(print),
        Redo::Put(_) => None,
    }
}

/// Whether it is the very thing that was to be deleted. A directory may be in an older state: a power cut can bring back the names of
/// what was in it, too. A directory made since has a later time, and no program can set that one.
fn is_still(stat: &Stat, print: &Fingerprint) -> bool {
    match stat.kind {
        StatKind::Directory => stat.print.ino == print.ino && stat.print.ctime <= print.ctime,
        _ => stat.print == *print,
    }
}

/// Whether something was written to after it was staged: then it was published, since nobody else reaches it before.
fn is_written_since(staged: &Staged, entry: &Entry) -> io::Result<bool> {
    let stat = staged.stat()?;
    Ok(stat.kind == StatKind::File && stat.mtime != entry.meta.mtime)
}

/// `None`: not known.
fn expected(previous: Option<Record>) -> Option<Expect> {
    match previous.map(|previous| previous.state) {
        None | Some(State::Tombstone) => Some(Expect::Absent),
        Some(State::Live(entry, _)) if entry.content == Content::Directory => Some(Expect::EmptyDirectory),
        Some(State::Live(_, print)) => print.map(Expect::Print),
    }
}
