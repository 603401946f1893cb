//! What can be asked of the store, and how it answers: the vocabulary between handlers and committer.

use std::fs::File;
use std::io;
use std::sync::mpsc::SyncSender;
use std::time::{SystemTime, UNIX_EPOCH};

use common::disk::{Fingerprint, Staged};
use common::protocol::{Cursor, RemoteEntry};
use common::tree::{Content, Entry, Kind, Meta, Mtime, Path, PathError, Tag};

use super::claim::{Claim, Exceeded};
use super::index::{Index, Record};
use crate::realm::Account;

/// A change that wants to become part of the box's history.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) path: Path,
    pub(crate) action: Action,
    /// Who asks for it; `None` if it was made by hand in the box.
    pub(crate) asker: Option<Asker>,
    /// Where the outcome goes; `None` if nobody waits for it.
    pub(crate) reply: Option<Reply>,
}

/// Who asks for a change.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    /// Whose turn it takes.
    pub(crate) account: Account,
    /// The client, if it says which.
    pub(crate) client: Option<String>,
    /// The room that is kept for what the change adds.
    pub(crate) claim: Claim,
}

impl Change {
    /// The paths that it is about.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.path), self.action.destination()].into_iter().flatten()
    }
}

impl Action {
    /// Where the thing is afterwards, if not at the path of the change.
    pub(crate) fn destination(&self) -> Option<&Path> {
        match self {
            Action::Move { to, .. } | Action::Renamed { to } => Some(to),
            _ => None,
        }
    }
}

/// Takes outcomes. It must have room for all that are due on it: the committer never waits for whoever asked.
pub(crate) type Reply = SyncSender<Result<Committed, Refused>>;

/// What is to become of the path.
#[derive(Debug)]
pub(crate) enum Action {
    /// The staged thing takes its place. For a file the descriptor it was written through is still open, to be flushed.
    Put {
        content: Content,
        label: Label,
        staged: Staged,
        file: Option<File>,
        require: Require,
        replaced: Replaced,
    },
    /// It is deleted.
    Delete { require: Require },
    /// It gets another name, with all that is below it. Nothing may be there.
    Move { to: Path, require: Require },
    /// Its metadata changes; what is `None` stays.
    SetMeta { mtime: Option<Mtime>, mode: Option<u16>, require: Require },
    /// It was found in the box like this: made or changed by hand.
    Found { entry: Entry, print: Fingerprint },
    /// It is a directory that was found to have another name in the box, with all that is below it: renamed by hand.
    Renamed { to: Path },
    /// It was found to be gone from the box: deleted by hand.
    Lost,
}

/// The metadata of what is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) mtime: Mtime,
    /// `None`: those of what it replaces, as somebody may have set them meanwhile, if that is of the same kind; else the usual ones.
    pub(crate) mode: Option<u16>,
}

impl Label {
    /// For what comes without a time. Nobody's clock decides anything; this is only how such a thing is labelled.
    pub(crate) fn now(mode: Option<u16>) -> Label {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        Label { mtime: Mtime::from_parts(seconds, since.subsec_nanos()), mode }
    }

    /// The metadata of something of this kind that takes the place of `replaced`.
    pub(crate) fn over(self, replaced: Option<&Entry>, kind: Kind) -> Meta {
        let of_same_kind = replaced.filter(|replaced| replaced.content.kind() == kind);
        let present = of_same_kind.map_or(usual_mode(kind), |replaced| replaced.meta.mode);
        Meta { mtime: self.mtime, mode: self.mode.unwrap_or(present) }
    }
}

impl From<Meta> for Label {
    fn from(meta: Meta) -> Label {
        Label { mtime: meta.mtime, mode: Some(meta.mode) }
    }
}

/// Permission bits of what comes without any.
pub(crate) fn usual_mode(kind: Kind) -> u16 {
    match kind {
        Kind::Directory => 0o755,
        Kind::File | Kind::Symlink => 0o644,
    }
}

/// What the path must hold for the change to be made (RFC 9110, 13.1.1 and 13.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Require {
    /// `If-None-Match: *`: nothing.
    Nothing,
    /// `If-Match` with entity tags: one of these versions.
    OneOf(Vec<Tag>),
    /// `If-Match` with entity tags and `Sync-Base`: one of these versions, and no other since this change.
    HeldSince(Vec<Tag>, Cursor),
    /// `If-Match: *`: anything, but something.
    Something,
    /// No matter: only for the dialect of the original's clients, which knows no preconditions.
    Anything,
}

impl Require {
    /// Whether a path meets it.
    pub(crate) fn is_met(&self, index: &Index, path: &Path) -> bool {
        let is_held = |record: &Record, at: &Cursor| {
            // Seqs of another history say nothing, and neither does a base of one.
            at.epoch == index.cursor().epoch && record.since() <= at.seq
        };
        self.is_met_by(index.live_entry(path))
            && match self {
                Require::HeldSince(_, at) => index.get(path).is_some_and(|record| is_held(record, at)),
                _ => true,
            }
    }

    /// Whether a path that holds this meets it, as far as the version alone tells.
    pub(crate) fn is_met_by(&self, current: Option<&Entry>) -> bool {
        match self {
            Require::Nothing => current.is_none(),
            Require::OneOf(tags) | Require::HeldSince(tags, _) => {
                current.is_some_and(|entry| tags.contains(&Tag::from(entry.content)))
            }
            Require::Something => current.is_some(),
            Require::Anything => true,
        }
    }
}

/// What becomes of content that a change replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// The client had seen it: it goes.
    Removed,
    /// Nobody had seen it: it is kept in `.filesync/versions`.
    Kept,
}

/// A change that was made, and survives power loss unless the server runs with `--no-fsync`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Where it stands in the history.
    pub(crate) cursor: Cursor,
    /// Whether there was nothing at the path before.
    pub(crate) created: bool,
    /// What is at the path now.
    pub(crate) entry: Option<Entry>,
}

/// A change that was not made. The box is as it was.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The path holds something else than required: this, or nothing.
    Precondition(Option<RemoteEntry>),
    /// The directory above is not there.
    ParentMissing,
    /// A directory that is to be deleted or replaced is not empty.
    NotEmpty,
    /// There is nothing to change.
    NotFound,
    /// A directory can't be moved into itself.
    IntoItself,
    /// Something below a directory would get a path that is none.
    BadName(PathError),
    /// The account has no room for it.
    Quota(Exceeded),
    /// The disk said no.
    Disk(io::Error),
    /// The server is stopping.
    Stopping,
}
