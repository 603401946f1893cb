//! What workers are asked to do, and what comes of it: the vocabulary between the control thread and the pool.

use super::state::Base;
use crate::disk::{Expect, Fingerprint, Stat};
use crate::protocol::{Cursor, RemoteEntry};
use crate::tree::{Content, Entry, Path, Tag};

/// One thing to do about one path. There is at most one job a path at a time.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) path: Path,
    pub(super) task: Task,
    /// What the folder holds there when the job is given: if the job replaces or removes it, others may want it in a moment.
    pub(super) here: Option<Content>,
    /// Permission bits of the directories above, of those that the server has: some may have to be made again.
    pub(super) above: Vec<(Path, u16)>,
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
    /// Send this version, if the file still looks like that.
    Upload { entry: Entry, print: Fingerprint, replacing: Option<Tag> },
    /// Fetch this version and put it in the place of what is expected there.
    Download { remote: Entry, expect: Expect },
    /// Let the server take the content from another path: nothing is sent but names.
    Relocate { entry: Entry, print: Fingerprint, from: Source, replacing: Option<Tag> },
    /// Put a version in its place whose content the folder has at another path: nothing is fetched.
    TakeHere { remote: Entry, expect: Expect, from: Source },
    /// Delete what is expected there.
    DeleteLocal { expect: Expect },
    /// Delete it on the server, if it is still absent here.
    DeleteRemote { seen: Tag },
    /// Give the local version a conflict name.
    SetAside { print: Fingerprint },
    /// Fetch the server's version under a conflict name.
    FetchAside { remote: Entry },
    /// Set metadata here.
    PullMeta { entry: Entry, print: Fingerprint },
    /// Set metadata on the server, if the file still looks like that.
    PushMeta { entry: Entry, print: Fingerprint },
}

/// What came of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    /// What is there.
    Hashed(Entry, Fingerprint),
    /// The server has it.
    Uploaded { entry: Entry, print: Fingerprint, cursor: Option<Cursor> },
    /// The folder has it.
    Downloaded { entry: Entry, print: Fingerprint },
    /// The server took the content from there; what it holds now.
    Relocated { from: Source, entry: Entry, print: Fingerprint, cursor: Option<Cursor> },
    /// The folder took the content from there.
    TakenHere { from: Source, entry: Entry, print: Fingerprint },
    /// The content can't be had from there after all.
    NoSource,
    /// It is gone here.
    DeletedLocal,
    /// It is gone there.
    DeletedRemote { cursor: Option<Cursor> },
    /// The local version now has this name.
    SetAside { copy: Path, now: Option<Stat> },
    /// The server's version is now also here under this name.
    FetchedAside { copy: Path, entry: Entry, print: Fingerprint },
    /// Both sides have this metadata.
    MetaAgrees { entry: Entry, print: Fingerprint, cursor: Option<Cursor> },
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
#[derive(Debug)]
pub(super) struct Failure {
    /// What was tried: a verb.
    pub(super) operation: &'static str,
    /// Why it failed, for people.
    pub(super) error: String,
    /// What follows from it.
    pub(super) kind: FailureKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// This path, this time.
    Path,
    /// The connection: says nothing about the path.
    Network,
    /// The key or token is not accepted.
    NotAuthorised,
    /// No space, here or there.
    NoSpace,
}

/// A job that is done with.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
}

impl Task {
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
