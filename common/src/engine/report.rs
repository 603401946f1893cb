//! What the engine tells the program around it, which decides how people or scripts see it.

use super::Ended;
use super::progress::Progress;
use super::status::Phase;
use super::track::Problem;
use crate::protocol::Synced;
use crate::tree::Path;

/// Where something was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// In the folder.
    Here,
    /// In the box.
    Server,
}

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Versions sent.
    pub uploaded: u64,
    /// Versions fetched.
    pub downloaded: u64,
    /// Deletes, on either side.
    pub deleted: u64,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Report<'a> {
    /// The server answers.
    Connected,
    /// There is no connection; it is tried again.
    Offline {
        /// Why.
        reason: &'a str,
        /// Whether this is the first time in a row.
        first: bool,
    },
    /// The server has answered the whole list.
    Synced {
        /// What the answer came to.
        counts: Synced,
    },
    /// The server's history can't be continued: everything is compared again, and nothing is deleted for it.
    Reset,
    /// The ignore rules are other ones now: everything is compared again, and nothing is deleted for it.
    RulesChanged,
    /// A version was sent.
    Uploaded {
        /// Which.
        path: &'a Path,
        /// Its size in bytes.
        size: u64,
    },
    /// The transfer of a version goes on that was cut.
    Resumed {
        /// Which.
        path: &'a Path,
        /// Where it goes.
        to: Side,
        /// How many bytes of it are there already.
        offset: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// A version was fetched and is in its place.
    Downloaded {
        /// Which.
        path: &'a Path,
        /// Its size in bytes.
        size: u64,
    },
    /// A version got its content from another path, on the side that needed it; nothing was transferred.
    Relocated {
        /// Which.
        path: &'a Path,
        /// From where.
        from: &'a Path,
        /// Whether it is gone from there: moved, not copied.
        moved: bool,
        /// Where.
        side: Side,
    },
    /// Something was deleted.
    Deleted {
        /// What.
        path: &'a Path,
        /// Where.
        side: Side,
    },
    /// Both sides had changed; both versions are kept.
    Conflict {
        /// The path in question.
        path: &'a Path,
        /// Where the other version is now.
        copy: &'a Path,
    },
    /// A crash left something aside that may be somebody's version; it is kept.
    Recovered {
        /// Its name in `.filesync/versions/`.
        version: &'a Path,
    },
    /// Something is there that is neither file, directory nor link.
    PassedOver {
        /// Where.
        path: &'a Path,
    },
    /// Something failed, or can't sync.
    Problem {
        /// What it is about; `None` for the folder as a whole.
        path: Option<&'a Path>,
        /// What, and why.
        problem: &'a Problem,
    },
    /// Deletes are held back, because they are so many.
    Held {
        /// How many deletes.
        deletes: usize,
        /// Out of how many entries.
        entries: usize,
    },
    /// The folder is scanned regularly, because events are not to be had.
    Polling {
        /// Why, and what to do about it.
        reason: &'a str,
    },
    /// A dry run would do this.
    Would {
        /// To which path.
        path: &'a Path,
        /// What: a verb.
        action: &'static str,
    },
    /// The engine ends.
    Ended {
        /// Why.
        ended: &'a Ended,
        /// What was done.
        counts: Counts,
    },
}

/// How things stand at this moment.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// What the engine is doing.
    pub phase: Phase,
    /// Paths that are not in agreement yet.
    pub pending: usize,
    /// What was done.
    pub counts: Counts,
    /// Bytes that were moved.
    pub progress: &'a Progress,
}

/// The program around the engine.
pub trait Reporter: Send {
    /// Something happened.
    fn report(&mut self, report: &Report<'_>);

    /// How things stand; called often, also when nothing changed.
    fn progress(&mut self, snapshot: &Snapshot<'_>) {
        let _ = snapshot;
    }
}
