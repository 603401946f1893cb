//! What a change does to the box: prepared, made durable, carried out.
//!
//! What the index says of a path was true when somebody last looked. So nothing is replaced or removed unless the disk holds that very
//! thing at the moment of the act; where it does not, someone edited the box by hand and nobody has noticed yet. Then the change is
//! refused and the path looked at: the edit becomes a version, and the client decides anew, knowing it.

use std::fs::File;
use std::io;
use std::time::Duration;

use common::disk::{Above, Expect, Fingerprint, Outcome, RenameMode, Root, Staged, Stat, StatKind};
use common::sys::errno;
use common::threads::read;
use common::tree::{Content, Entry, Kind, Meta, Path};

use super::change::{Action, Refused, Replaced, Reply};
use super::claim::Claim;
use super::index::{Origin, State, Step};
use super::look::{has_mode, is_labelled, mode_in_box};
use super::records::JournalRecord;
use super::rules::Verdict;
use super::shared::Shared;

/// A change that may be made.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) path: Path,
    pub(crate) step: Step,
    pub(crate) origin: Origin,
    /// Whether there was nothing at the path before.
    pub(crate) created: bool,
    /// The room that it takes in its account.
    pub(crate) claim: Claim,
    pub(crate) reply: Option<Reply>,
    pub(crate) act: Act,
}

/// What it does.
#[derive(Debug)]
pub(crate) enum Act {
    /// Moves the staged thing into place.
    Publish { entry: Entry, staged: Staged, file: Option<File>, expect: Expect, replaced: Replaced },
    /// Sets the metadata of what looks like this.
    Label { entry: Entry, print: Option<Fingerprint> },
    /// Removes what is expected; a redo at the next start only removes what looks like this.
    Remove { expect: Expect, print: Option<Fingerprint> },
    /// Gives what looks like this another name, and all below it.
    Move { to: Path, renamed: Vec<(Path, Path)>, print: Fingerprint },
    /// Nothing: it is so already.
    Note { entry: Entry, print: Fingerprint },
    /// Nothing: it is `to` that looks like this already.
    NoteMove { to: Path, renamed: Vec<(Path, Path)>, print: Fingerprint },
    /// Nothing: it is gone already.
    Forget,
}

/// What an act has made of its path.
#[derive(Debug)]
pub(crate) enum Done {
    /// It is in this state now.
    Becomes(State),
    /// It is at `to` now, looks like this, and all these have their new names.
    Moved { to: Path, renamed: Vec<(Path, Path)>, print: Fingerprint },
}

impl Job {
    /// The record from which the next start can do it, should this one not get to it.
    pub(crate) fn redo(&self) -> JournalRecord {
        let (step, origin, path) = (self.step, self.origin, self.path.clone());
        match &self.act {
            Act::Publish { entry, staged, .. } => {
                JournalRecord::Put { step, origin, path, entry: *entry, staged: Some(staged.name().to_vec()) }
            }
            Act::Label { entry, .. } | Act::Note { entry, .. } => {
                JournalRecord::Put { step, origin, path, entry: *entry, staged: None }
            }
            Act::Remove { print, .. } => JournalRecord::Delete { step, origin, path, print: *print },
            Act::Move { to, renamed, print } | Act::NoteMove { to, renamed, print } => {
                let (to, count, print) = (to.clone(), renamed.len() as u64, *print);
                JournalRecord::Move { seq: step.seq, origin, from: path, to, count, print }
            }
            Act::Forget => JournalRecord::Delete { step, origin, path, print: None },
        }
    }
}

impl Act {
    /// Turns a verdict into an act: labels what is staged, and looks once more at what was found by hand, because a change made since
    /// may have overtaken it in the queue.
    pub(crate) fn prepare(
        shared: &Shared,
        path: &Path,
        action: Action,
        verdict: Verdict,
    ) -> Result<Act, Refused> {
        match (verdict, action) {
            (Verdict::Publish(entry, expect), Action::Put { mut staged, file, replaced, .. }) => {
                let kind = entry.content.kind();
                let meta = Meta { mode: mode_in_box(kind, entry.meta.mode), ..entry.meta };
                staged.set_meta(kind, meta).map_err(Refused::Disk)?;
                Ok(Act::Publish { entry, staged, file, expect, replaced })
            }
            (Verdict::Label(entry), _) => Ok(Act::Label { entry, print: known_print(shared, path) }),
            (Verdict::Remove(Expect::EmptyDirectory), _) => {
                let stat = shared.root.stat(path).map_err(Refused::Disk)?;
                Ok(Act::Remove { expect: Expect::EmptyDirectory, print: stat.map(|stat| stat.print) })
            }
            (Verdict::Remove(expect), _) => Ok(Act::Remove { expect, print: known_print(shared, path) }),
            (Verdict::Move, Action::Move { to, .. }) => {
                let renamed = read(&shared.index).renamed(path, &to).map_err(Refused::BadName)?;
                match shared.root.stat(path).map_err(Refused::Disk)? {
                    Some(stat) if is_as_known(shared, path, &stat) => {
                        Ok(Act::Move { to, renamed, print: stat.print })
                    }
                    _ => Err(changed(shared, path)),
                }
            }
            (Verdict::Note(entry, print), _) => match shared.root.stat(path).map_err(Refused::Disk)? {
                Some(stat) if is_as_found(&stat, &entry, &print) => {
                    Ok(Act::Note { entry, print: stat.print })
                }
                _ => Err(changed(shared, path)),
            },
            (Verdict::NoteMove, Action::Renamed { to }) => {
                let renamed = read(&shared.index).renamed(path, &to).map_err(Refused::BadName)?;
                let is_gone = is_absent(&shared.root, path).map_err(Refused::Disk)?;
                let known = known_print(shared, path).filter(|_| is_gone);
                let found = shared.root.stat(&to).map_err(Refused::Disk)?;
                match (known, found) {
                    (Some(known), Some(stat)) if is_directory(&stat) && is_likely_thing(&stat, &known) => {
                        Ok(Act::NoteMove { to, renamed, print: stat.print })
                    }
                    _ => Err(changed(shared, path)),
                }
            }
            (Verdict::Forget, _) if is_absent(&shared.root, path).map_err(Refused::Disk)? => Ok(Act::Forget),
            _ => Err(changed(shared, path)),
        }
    }

    /// Whether there is staged data that the journal's own flush does not cover.
    pub(crate) fn needs_flush(&self) -> bool {
        matches!(self, Act::Publish { entry, .. } if entry.content.kind() != Kind::Directory)
    }

    /// Makes what is staged survive a power cut.
    pub(crate) fn flush(&self) -> io::Result<()> {
        match self {
            Act::Publish { file: Some(file), .. } => file.sync_data(),
            Act::Publish { entry, staged, .. } if entry.content.kind() == Kind::File => {
                staged.open()?.sync_data()
            }
            // A link lives in its directory.
            Act::Publish { entry, staged, .. } if entry.content.kind() == Kind::Symlink => staged.sync_name(),
            // A directory is made again from its record.
            _ => Ok(()),
        }
    }

    /// Does it, and tells what is there then; `last` is for the acts of one group.
    pub(crate) fn carry_out(self, shared: &Shared, path: &Path, last: &mut Above) -> Result<Done, Refused> {
        let state = match self {
            Act::Move { to, renamed, print } => {
                let print = rename(shared, path, &to, print)?;
                return Ok(Done::Moved { to, renamed, print });
            }
            Act::NoteMove { to, renamed, print } => return Ok(Done::Moved { to, renamed, print }),
            Act::Publish { entry, staged, file, expect, replaced } => {
                drop(file);
                let published = match replaced {
                    Replaced::Removed => {
                        staged.publish_retaining(path, expect, known_content(shared, path), last)
                    }
                    Replaced::Kept => staged.publish_keeping(path, expect),
                };
                match published {
                    Ok(Outcome::Done(stat)) => Ok(State::Live(entry, Some(stat.print))),
                    Ok(Outcome::Changed) => Err(met_unseen(shared, path, expect)),
                    Err(error) => Err(failed(shared, path, error)),
                }
            }
            Act::Remove { expect, .. } => {
                match shared.stage.remove_retaining(path, expect, known_content(shared, path)) {
                    Ok(Outcome::Done(())) => Ok(State::Tombstone),
                    Ok(Outcome::Changed) => Err(met_unseen(shared, path, expect)),
                    Err(error) => Err(failed(shared, path, error)),
                }
            }
            Act::Label { entry, print } => {
                let known = read(&shared.index).live_entry(path).copied().unwrap_or(entry);
                match label(&shared.root, path, &known, &entry, print) {
                    Ok(Some(print)) => Ok(State::Live(entry, Some(print))),
                    Ok(None) => Err(changed(shared, path)),
                    Err(error) => Err(Refused::Disk(error)),
                }
            }
            Act::Note { entry, print } => Ok(State::Live(entry, Some(print))),
            Act::Forget => Ok(State::Tombstone),
        };
        state.map(Done::Becomes)
    }
}

/// Renames what looks like `print`, and tells what it looks like then.
///
/// What somebody edited by hand below a directory, unseen so far, goes with it: the edits are found at the new place, where everything is
/// looked at because it appeared there, and become versions. Nothing can be at the new place that the rename would replace.
///
/// RACE: what is swapped in under the old name between the look and the rename is renamed in its stead. It is not lost either: as it does
/// not look like what the index has, it is read at the new place, and becomes a version there.
fn rename(shared: &Shared, from: &Path, to: &Path, print: Fingerprint) -> Result<Fingerprint, Refused> {
    let root = &shared.root;
    match root.stat(from).map_err(Refused::Disk)? {
        Some(stat) if is_thing(&stat, &print) => {}
        _ => return Err(changed(shared, from)),
    }
    if let Err(error) = Root::rename((root, from), (root, to), RenameMode::NoReplace) {
        return Err(match error.raw_os_error() {
            Some(errno::EEXIST | errno::ENOTEMPTY) => changed(shared, to),
            Some(errno::ENOENT) if matches!(root.stat(from), Ok(None)) => changed(shared, from),
            _ => failed(shared, to, error),
        });
    }
    let placed = root.stat(to).ok().flatten().filter(|placed| is_likely_thing(placed, &print));
    // If it is something else by now, the mismatch with what is on disk makes the next look at it hash it.
    Ok(placed.map_or(print, |placed| placed.print))
}

/// Whether this is the very thing that looked like `print`; of a directory, whatever happened in it since.
fn is_thing(stat: &Stat, print: &Fingerprint) -> bool {
    match stat.kind {
        StatKind::Directory => stat.print.ino == print.ino,
        _ => stat.print == *print,
    }
}

/// The same for something that was renamed since, which shows. What was made since may have been given the same inode number.
pub(crate) fn is_likely_thing(stat: &Stat, print: &Fingerprint) -> bool {
    let is_old_enough = stat.born.is_none_or(|born| born <= print.ctime);
    is_old_enough
        && match stat.kind {
            StatKind::Directory => stat.print.ino == print.ino,
            _ => stat.print.is_likely_same_content(print),
        }
}

fn is_directory(stat: &Stat) -> bool {
    stat.kind == StatKind::Directory
}

/// Whether the box holds what the index says.
fn is_as_known(shared: &Shared, path: &Path, stat: &Stat) -> bool {
    match read(&shared.index).get(path).map(|record| record.state) {
        Some(State::Live(entry, print)) => match entry.content.kind() {
            Kind::Directory => stat.kind == StatKind::Directory,
            Kind::File | Kind::Symlink => print == Some(stat.print),
        },
        _ => false,
    }
}

/// Sets the metadata of what is at a path, if it still looks like `print` and has the mode of `known`, or has the new one already.
/// `None`: it does not. A mode set by hand that nobody has noticed yet is not to be overruled by what was asked for without knowing it.
///
/// RACE: an edit between the look and the label is only seen if it changes the length, or comes after the label.
pub(crate) fn label(
    root: &Root,
    path: &Path,
    known: &Entry,
    entry: &Entry,
    print: Option<Fingerprint>,
) -> io::Result<Option<Fingerprint>> {
    let kind = entry.content.kind();
    let is_known = |stat: &Stat| {
        (is_labelled(stat, known) || is_labelled(stat, entry))
            && match kind {
                Kind::Directory => stat.kind == StatKind::Directory,
                _ => print.is_some_and(|print| stat.print.is_likely_same_content(&print)),
            }
    };
    let Some(before) = root.stat(path)?.filter(is_known) else { return Ok(None) };
    root.set_mode(path, mode_in_box(kind, entry.meta.mode))?;
    if kind == Kind::File {
        root.set_mtime(path, entry.meta.mtime)?;
    }
    let is_ours = |stat: &Stat| {
        let same_file = (stat.print.ino, stat.kind) == (before.print.ino, before.kind);
        let same_content =
            kind == Kind::Directory || (stat.size, stat.mtime) == (before.size, entry.meta.mtime);
        same_file && same_content && has_mode(stat, entry)
    };
    Ok(root.stat(path)?.filter(is_ours).map(|stat| stat.print))
}

/// Whether nothing that could sync is at a path: nothing at all, something above it that is no directory, or a device or FIFO.
pub(crate) fn is_absent(root: &Root, path: &Path) -> io::Result<bool> {
    match root.stat(path) {
        Ok(stat) => Ok(stat.is_none_or(|stat| stat.kind == StatKind::Other)),
        Err(error) if error.raw_os_error() == Some(errno::ELOOP) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether what was read is still there, and as it was then.
fn is_as_found(stat: &Stat, entry: &Entry, print: &Fingerprint) -> bool {
    is_labelled(stat, entry)
        && match entry.content.kind() {
            Kind::Directory => stat.kind == StatKind::Directory,
            // A change refused meanwhile may have moved the file away and back.
            _ => stat.print.is_likely_same_content(print),
        }
}

fn known_print(shared: &Shared, path: &Path) -> Option<Fingerprint> {
    match read(&shared.index).get(path).map(|record| record.state) {
        Some(State::Live(_, print)) => print,
        _ => None,
    }
}

/// What the index says of a path that is about to lose it: what is expected there looks as it did when it held this.
fn known_content(shared: &Shared, path: &Path) -> Option<Content> {
    read(&shared.index).live_entry(path).map(|entry| entry.content)
}

/// The box does not hold what the index says. What it holds becomes a version when it has been looked at.
fn changed(shared: &Shared, path: &Path) -> Refused {
    shared.look(path.clone(), Duration::ZERO);
    Refused::Precondition(read(&shared.index).describe(path))
}

fn met_unseen(shared: &Shared, path: &Path, expect: Expect) -> Refused {
    match (changed(shared, path), expect) {
        (_, Expect::EmptyDirectory) => Refused::NotEmpty,
        (refused, _) => refused,
    }
}

/// The disk refused. A directory above that is gone, or is none any more, was changed by hand as well.
fn failed(shared: &Shared, path: &Path, error: io::Error) -> Refused {
    match (error.raw_os_error(), path.parent()) {
        (Some(errno::ENOENT | errno::ENOTDIR | errno::ELOOP), Some(parent)) => {
            shared.look(parent, Duration::ZERO);
            Refused::ParentMissing
        }
        _ => Refused::Disk(error),
    }
}
