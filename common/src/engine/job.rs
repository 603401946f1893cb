//! What workers are asked to do, and what comes of it: the vocabulary between the control thread and the pool.

use std::mem;
use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

use super::state::Base;
use crate::disk::{Expect, Fingerprint, Stat};
use crate::limits::LIGHT_BYTES;
use crate::protocol::{Epoch, RemoteEntry};
use crate::sync::{self, MetaChange};
use crate::tree::{Content, Entry, Meta, Path, Tag};

/// One thing to do about one path. There is at most one job a path at a time.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) path: Path,
    pub(super) task: Task,
    /// The history that the seqs in the task belong to.
    pub(super) epoch: Option<Epoch>,
    /// What the folder holds there when the job is given: if the job replaces or removes it, others may want it in a moment.
    pub(super) here: Option<Content>,
    /// Permission bits of the directories above, of those that the server has: some may have to be made again.
    pub(super) above: Vec<(Path, u16)>,
}

/// What the server holds at a path, and by which change of its history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct There {
    pub(super) entry: Entry,
    pub(super) seq: u64,
}

impl There {
    /// The base that it makes with what the file looks like here.
    pub(super) fn base(&self, print: Fingerprint) -> Base {
        Base { entry: self.entry, print, seq: self.seq }
    }

    /// This version in its place, given permission bits that were set here.
    pub(super) fn placed(&self, print: Fingerprint, kept: Option<u16>) -> Placed {
        match kept {
            None => Placed { base: self.base(print), own: None },
            Some(_) => {
                let own = Some((self.entry_here(kept), print));
                Placed { base: self.base(print.of_no_file()), own }
            }
        }
    }

    /// What the folder is to hold: this version, but for permission bits that were set here.
    pub(super) fn entry_here(&self, kept: Option<u16>) -> Entry {
        let meta = self.entry.meta;
        Entry { meta: Meta { mode: kept.unwrap_or(meta.mode), ..meta }, ..self.entry }
    }

    /// As the decision asks for it.
    pub(super) fn seen(&self) -> sync::Base {
        sync::Base { tag: Tag::from(self.entry.content), seq: Some(self.seq) }
    }
}

/// What came of sending something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// What both sides have in common now. Where a field of metadata was changed on one side only it has the old value, so that the next
    /// verdict sees the change.
    pub(super) base: Base,
    /// What the server has now.
    pub(super) there: There,
}

/// The server's version in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// What both sides have in common now.
    pub(super) base: Base,
    /// What is here, if it has permission bits of its own. They are sent next; so that this is done even after a restart the base does not
    /// look like the file then.
    pub(super) own: Option<(Entry, Fingerprint)>,
}

/// Where content already is, on the side that needs it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: Path,
    /// What is there.
    pub(super) base: Base,
    /// Whether it is to go from there anyway: then it is moved, not copied.
    pub(super) moves: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Find out what is there.
    Hash { stat: Stat },
    /// Send this version, if the file still looks like that. What it replaces has the permission bits `before`, as far as is known here;
    /// somebody may have set others, so they are sent only if they are others here.
    Upload { entry: Entry, print: Fingerprint, replacing: Option<sync::Base>, before: Option<u16> },
    /// Fetch this version and put it in the place of what is expected there, with permission bits that were set here and not sent yet.
    Download { remote: There, expect: Expect, kept: Option<u16> },
    /// Let the server take the content from another path: nothing is sent but names. The rest is as for an upload.
    Relocate {
        entry: Entry,
        print: Fingerprint,
        from: Source,
        replacing: Option<sync::Base>,
        before: Option<u16>,
    },
    /// Put a version in its place whose content the folder has at another path: nothing is fetched.
    TakeHere { remote: There, expect: Expect, kept: Option<u16>, from: Source },
    /// Delete what is expected there.
    DeleteLocal { expect: Expect },
    /// Delete it on the server, if it is still absent here.
    DeleteRemote { seen: sync::Base },
    /// Give the local version a conflict name.
    SetAside { print: Fingerprint },
    /// Fetch the server's version under a conflict name.
    FetchAside { remote: There },
    /// Set metadata here.
    PullMeta { remote: There, print: Fingerprint },
    /// Set these fields of metadata on the server, if the file still looks like that.
    PushMeta { entry: Entry, print: Fingerprint, change: MetaChange },
}

/// What came of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    /// What is there.
    Hashed(Entry, Fingerprint),
    /// The server has it.
    Uploaded(Sent),
    /// The folder has it.
    Downloaded(Placed),
    /// The server took the content from there.
    Relocated { from: Source, sent: Sent },
    /// The folder took the content from there.
    TakenHere { from: Source, placed: Placed },
    /// The content can't be had from there after all.
    NoSource,
    /// It is gone here.
    DeletedLocal,
    /// It is gone there by this change, if the server remembers one.
    DeletedRemote { seq: Option<u64> },
    /// The local version now has this name.
    SetAside { copy: Path, now: Option<Stat> },
    /// The server's version is now also here under this name.
    FetchedAside { copy: Path, entry: Entry, print: Fingerprint },
    /// Both sides have this metadata.
    MetaAgrees(Base),
    /// The server has the fields that were sent.
    MetaSent(Sent),
    /// Something else than expected is on disk: this, or nothing.
    LocalIs(Option<Stat>),
    /// The directory is not empty, here.
    NotEmptyHere,
    /// The directory is not empty, on the server.
    NotEmptyThere,
    /// The server has no directory to put it into.
    ParentMissing,
    /// The server holds something else than expected: this, or nothing it knows of.
    RemoteIs(Option<RemoteEntry>),
    /// It did not work; the path may be tried again later.
    Failed(Failure),
}

/// Why a job failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// What was tried: a verb.
    pub(super) operation: &'static str,
    /// Why it failed, for people.
    pub(super) error: String,
    /// What follows from it.
    pub(super) kind: FailureKind,
    /// How long the server wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(operation: &'static str, error: impl Into<String>, kind: FailureKind) -> Failure {
        Failure { operation, error: error.into(), kind, retry_after: None }
    }

    /// A job that panicked.
    pub(super) fn of_a_defect() -> Failure {
        Failure::new("sync", "a defect in filesync", FailureKind::Path)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// This path, this time.
    Path,
    /// Something that a moment will change: nobody has to hear of it.
    Moment,
    /// The way to the server: says nothing about the path.
    Network,
    /// The key or token is not accepted.
    NotAuthorised,
    /// No space, here or there.
    NoSpace,
    /// The token only lets read: nothing that changes the box will be taken.
    ReadOnly,
}

/// How many jobs somebody has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InHand {
    /// Those that workers can do several of together.
    pub(super) light: usize,
    /// Those that have a worker for themselves.
    pub(super) alone: usize,
}

impl InHand {
    pub(super) fn of(task: &Task) -> InHand {
        let light = usize::from(task.is_light());
        InHand { light, alone: 1 - light }
    }

    pub(super) fn total(self) -> usize {
        self.light + self.alone
    }
}

impl AddAssign for InHand {
    fn add_assign(&mut self, more: InHand) {
        self.light += more.light;
        self.alone += more.alone;
    }
}

impl SubAssign for InHand {
    fn sub_assign(&mut self, less: InHand) {
        self.light -= less.light;
        self.alone -= less.alone;
    }
}

/// A job that is done with.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
}

impl Outcome {
    /// Whether it tells what the server holds, or by which change.
    pub(super) fn speaks_of_server(&self) -> bool {
        match self {
            Outcome::Uploaded(_)
            | Outcome::MetaSent(_)
            | Outcome::Downloaded(_)
            | Outcome::Relocated { .. }
            | Outcome::TakenHere { .. }
            | Outcome::DeletedRemote { .. }
            | Outcome::FetchedAside { .. }
            | Outcome::MetaAgrees(_)
            | Outcome::NotEmptyThere
            | Outcome::ParentMissing
            | Outcome::RemoteIs(_) => true,
            Outcome::Hashed(..)
            | Outcome::NoSource
            | Outcome::DeletedLocal
            | Outcome::SetAside { .. }
            | Outcome::LocalIs(_)
            | Outcome::NotEmptyHere
            | Outcome::Failed(_) => false,
        }
    }
}

impl Done {
    /// Whether the server was asked and said so.
    pub(super) fn is_answer(&self) -> bool {
        self.job.task.needs_server() && self.outcome.speaks_of_server()
    }
}

impl Task {
    /// Whether the server has to be asked.
    pub(super) fn needs_server(&self) -> bool {
        match self {
            Task::Upload { .. }
            | Task::Download { .. }
            | Task::Relocate { .. }
            | Task::DeleteRemote { .. }
            | Task::FetchAside { .. }
            | Task::PushMeta { .. } => true,
            Task::Hash { .. }
            | Task::TakeHere { .. }
            | Task::DeleteLocal { .. }
            | Task::SetAside { .. }
            | Task::PullMeta { .. } => false,
        }
    }

    /// Whether it changes what the server holds, or is only of use if something is changed there.
    pub(super) fn needs_write(&self) -> bool {
        match self {
            Task::Upload { .. }
            | Task::Relocate { .. }
            | Task::DeleteRemote { .. }
            | Task::FetchAside { .. }
            | Task::PushMeta { .. } => true,
            Task::Hash { .. }
            | Task::Download { .. }
            | Task::TakeHere { .. }
            | Task::DeleteLocal { .. }
            | Task::SetAside { .. }
            | Task::PullMeta { .. } => false,
        }
    }

    /// Whether content goes over the network, which takes as long as it takes.
    pub(super) fn is_transfer(&self) -> bool {
        matches!(self, Task::Upload { .. } | Task::Download { .. } | Task::FetchAside { .. })
    }

    /// Whether a worker may do it together with another.
    pub(super) fn goes_with(&self, other: &Task) -> bool {
        self.is_light() && other.is_light() && mem::discriminant(self) == mem::discriminant(other)
    }

    /// Whether a worker can do several of its kind together in less time than it takes to wake another one.
    pub(super) fn is_light(&self) -> bool {
        match self {
            Task::Hash { stat } => stat.size <= LIGHT_BYTES,
            Task::Upload { entry, .. } => entry.content.size() <= LIGHT_BYTES,
            Task::Download { remote, .. } => remote.entry.content.size() <= LIGHT_BYTES,
            _ => false,
        }
    }

    /// What it does, in a word, for a dry run.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Task::Hash { .. } => "read",
            Task::Upload { .. } => "upload",
            Task::Download { .. } => "download",
            Task::Relocate { from, .. } if from.moves => "move on the server",
            Task::Relocate { .. } => "copy on the server",
            Task::TakeHere { from, .. } if from.moves => "move here",
            Task::TakeHere { .. } => "copy here",
            Task::DeleteLocal { .. } => "delete here",
            Task::DeleteRemote { .. } => "delete on the server",
            Task::SetAside { .. } | Task::FetchAside { .. } => "keep both versions of",
            Task::PullMeta { .. } => "set metadata here of",
            Task::PushMeta { .. } => "set metadata on the server of",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Meta, Mtime};
    use crate::wire::sha256::Hash;

    #[test]
    fn only_what_is_small_is_light() {
        let print = Fingerprint { ino: 1, size: 1, mtime: Mtime(1), ctime: Mtime(1) };
        let is_light = |size: u64| {
            let content = Content::File { size, hash: Hash([1; 32]) };
            let entry = Entry { content, meta: Meta { mtime: Mtime(1), mode: 0o600 } };
            let remote = There { entry, seq: 1 };
            let tasks = [
                Task::Upload { entry, print, replacing: None, before: None },
                Task::Download { remote, expect: Expect::Absent, kept: None },
            ];
            tasks.map(|task| task.is_light())
        };
        assert_eq!((is_light(LIGHT_BYTES), is_light(LIGHT_BYTES + 1)), ([true; 2], [false; 2]));
    }
}
