//! What is going on at a path where folder and box are not known to agree. Agreement needs no track, only a base.

use std::time::{Duration, Instant};

use super::backoff::pause;
use super::job::There;
use super::state::Base;
use crate::disk::{Fingerprint, Stat};
use crate::limits::RETRY_LONGEST;
use crate::sync;
use crate::tree::{Entry, Tag};

/// What the folder holds at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Local {
    /// The base, or nothing if there is none.
    AsBase,
    /// Something whose content has to be looked at.
    Seen(Stat),
    /// This version; the fingerprint is that of the file it was read from.
    Known(Entry, Fingerprint),
    /// Nothing: seen to be absent.
    Absent,
    /// Nobody knows: it could not be read, or it is nothing that syncs. No verdict is asked for.
    Unknown,
}

/// What the server holds at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Remote {
    /// The base, or nothing if there is none, as far as we were told.
    AsBase,
    /// It said so: this version, or a tombstone, by which change, and since which it is this version.
    Told { entry: Option<Entry>, seq: u64, since: u64 },
    /// It said that it knows of nothing, not even of a deletion.
    Unknown,
}

/// Something that keeps a path from agreement, as `status` and logs tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was tried: a verb.
    pub operation: &'static str,
    /// Why it failed, and what to do about it.
    pub error: String,
}

/// One path that is being brought to agreement.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) local: Local,
    pub(super) remote: Remote,
    /// The server spoke of this path in the current connection; before its answer to the list is complete, only then may we act.
    pub(super) told: bool,
    /// A worker has it.
    pub(super) busy: bool,
    /// It waits in the queue of paths to be looked after.
    pub(super) queued: bool,
    /// There is nothing to do about it in the direction that was asked for, or because it is a dry run.
    pub(super) left: bool,
    /// Where the server's version went, so that a directory here can have the name.
    pub(super) displaced: Option<sync::Base>,
    /// A shortcut was tried and led nowhere: content is sent or fetched.
    pub(super) plainly: bool,
    /// How often it was waited for what may make the way shorter.
    pub(super) waits: u8,
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    pub(super) problem: Option<Problem>,
}

impl Track {
    pub(super) fn new() -> Track {
        Track {
            local: Local::AsBase,
            remote: Remote::AsBase,
            told: false,
            busy: false,
            queued: false,
            left: false,
            displaced: None,
            plainly: false,
            waits: 0,
            failures: 0,
            retry_at: None,
            problem: None,
        }
    }

    /// What the folder holds: `None` if that is not known yet.
    pub(super) fn local_entry(&self, base: Option<&Base>) -> Option<Option<Entry>> {
        match &self.local {
            Local::AsBase => Some(base.map(|base| base.entry)),
            Local::Known(entry, _) => Some(Some(*entry)),
            Local::Absent => Some(None),
            Local::Seen(_) | Local::Unknown => None,
        }
    }

    /// What the file at the path looked like when its content was known.
    pub(super) fn local_print(&self, base: Option<&Base>) -> Option<Fingerprint> {
        match &self.local {
            Local::AsBase => base.map(|base| base.print),
            Local::Known(_, print) => Some(*print),
            Local::Seen(_) | Local::Absent | Local::Unknown => None,
        }
    }

    /// What the server holds.
    pub(super) fn remote_entry(&self, base: Option<&Base>) -> Option<Entry> {
        self.there(base).map(|there| there.entry)
    }

    /// What the server holds, and by which change.
    pub(super) fn there(&self, base: Option<&Base>) -> Option<There> {
        match &self.remote {
            Remote::AsBase => base.map(|base| There { entry: base.entry, seq: base.seq }),
            Remote::Told { entry, seq, .. } => entry.map(|entry| There { entry, seq: *seq }),
            Remote::Unknown => None,
        }
    }

    /// What the server holds, as the decision asks for it.
    pub(super) fn remote_view(&self, base: Option<&Base>) -> sync::Remote {
        let present = |entry: Entry, since| sync::Remote::Present { tag: Tag::from(entry.content), since };
        match (&self.remote, base) {
            (Remote::Told { entry: Some(entry), since, .. }, _) => present(*entry, *since),
            (Remote::Told { entry: None, since, .. }, _) => sync::Remote::Tombstone { since: *since },
            (Remote::AsBase, Some(base)) => present(base.entry, base.seq),
            (Remote::AsBase, None) | (Remote::Unknown, _) => sync::Remote::Unknown,
        }
    }

    /// Something new is known: what failed before may work now.
    pub(super) fn news(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.problem = None;
        self.left = false;
        self.plainly = false;
    }

    /// It failed: when to try again, counted `from` then, and at the earliest after the time that was `asked` for.
    pub(super) fn failed(&mut self, problem: Problem, from: Instant, asked: Option<Duration>) -> Instant {
        self.failures = self.failures.saturating_add(1);
        self.problem = Some(problem);
        let at = from + pause(self.failures, RETRY_LONGEST, asked);
        self.retry_at = Some(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_fails_is_tried_again_now_and_then() {
        let mut track = Track::new();
        let now = Instant::now();
        let mut fail = || {
            let problem = Problem { operation: "read", error: "it can't be".to_owned() };
            track.failed(problem, now, None) - now
        };
        for _ in 0..50 {
            assert!(fail() <= RETRY_LONGEST);
        }
        assert!(RETRY_LONGEST / 2 <= fail());
    }
}
