//! What the ignore rules mean for control: an ignored path is one of which nothing is known and nothing is wanted to be known.
//!
//! - What is seen of it here makes no track, so it is not listed, uploaded or deleted; what the server says of it makes none either, so
//!   it is not downloaded. What stands at its name here is safe, as ever: nothing is replaced that was not expected there.
//! - It has no base, and without a base nothing is ever deleted. When rules change, what they ignore now loses its base without any
//!   delete, and a complete list makes a union of what they do not ignore any more.
//! - A directory that the server deletes, but that holds something ignored, stays here with that and is not sent again for it, until
//!   something that does sync is put into it. One that is deleted here, but holds something ignored in the box, stays there.
//! - Where a rule ignores what one side holds at a path but not what the other does (`build/` and a file `build`), both stay as they
//!   are, and it is said. What is below and would have to wait for that is stranded: it does not count as waiting.
//!
//! The observer passes ignored directories by, so that a large one costs neither watches nor scans. What it tells of them, and of ignored
//! files, is dropped here. That it tells nothing of what is in them is never taken for absence: only a listing, or a look, is.

use super::Control;
use crate::disk::StatKind;
use crate::engine::job::{Failure, FailureKind};
use crate::engine::plan::Step;
use crate::engine::report::Report;
use crate::engine::rules::{passed_by, read_rules};
use crate::engine::track::{Local, Problem};
use crate::protocol::Cursor;
use crate::tree::{Entry, Kind, Path, RULES_FILE};

/// A directory that can't be deleted on the server because it is not empty is left after so many tries: something may be about to be
/// told, or it is something that the rules ignore.
const NOT_EMPTY_TRIES: u32 = 2;

const RULES_PROBLEM: &[u8] = b"/rules";
const IGNORED_ON_ONE_SIDE: &str =
    "a rule ignores what one side holds here, but not what the other does; both stay as they are";
const HOLDS_IGNORED: &str = "the box holds something else here, but the directory of this name in the folder holds what a rule ignores; move it away";
pub(super) const COPY_IGNORED: &str = "it is a directory here and something else in the box, and a rule ignores the name that a copy would have; rename one";

impl Control {
    /// Reads the rules again. If they are other ones, everything is looked at again.
    pub(super) fn reread_rules(&mut self) {
        if !self.folder.root.has_private_directory().unwrap_or(false) {
            // The folder was emptied, and with it the rules; that is not what anybody wants to follow.
            return;
        }
        match read_rules(&self.folder.root, &self.options.ignore) {
            Ok(rules) => {
                self.inner.folder_problems.remove(RULES_PROBLEM);
                if rules.digest() != self.rules.digest() {
                    self.reporter.report(&Report::RulesChanged);
                    self.rules = rules;
                    self.apply_rules();
                    self.inner.scanned = false;
                    self.looker.pass_by(passed_by(&self.rules));
                    self.stream.reconnect();
                }
            }
            Err(error) => {
                let error = format!("{error}; what they were holds until that is put right");
                self.folder_problem(RULES_PROBLEM, Problem { operation: "read the ignore rules", error });
            }
        }
    }

    /// Makes the state fit the rules, if it was made under other ones: no base for what is ignored, and a complete list to follow, so
    /// that the server tells again what was passed over.
    pub(super) fn apply_rules(&mut self) {
        let digest = self.rules.digest();
        if self.state.rules() == Some(digest) {
            return;
        }
        let is_ignored = |path: &Path, entry: &Entry| self.is_ignored(path, entry.content.kind());
        let bases = self.state.bases().iter();
        let ignored: Vec<Path> = bases
            .filter(|(path, base)| is_ignored(path, &base.entry))
            .map(|(path, _)| path.clone())
            .collect();
        ignored.iter().for_each(|path| self.state.forget(path));
        self.queue_all();
        let begin = self.state.cursor().map(|cursor| Cursor { seq: 0, ..cursor });
        self.state.set_cursor(begin);
        self.inner.received = begin;
        self.inner.relisting = true;
        self.state.set_rules(digest);
    }

    /// Whether the rules ignore something of this kind at a path.
    pub(super) fn is_ignored(&self, path: &Path, kind: Kind) -> bool {
        self.rules.ignore(path, kind == Kind::Directory)
    }

    /// What to do about a path that the rules ignore; `None` if they don't.
    pub(super) fn step_if_ignored(&self, path: &Path) -> Option<Step> {
        let (track, base) = (self.inner.tracks.get(path)?, self.base(path));
        let here = match track.local {
            Local::Seen(stat) => Some(stat.kind == StatKind::Directory),
            _ => track.local_entry(base).flatten().map(|entry| entry.content.kind() == Kind::Directory),
        };
        let there = track.remote_entry(base).map(|entry| entry.content.kind() == Kind::Directory);
        let is_ignored = |is_directory| self.rules.ignore(path, is_directory);
        match (here.map(is_ignored), there.map(is_ignored)) {
            (Some(true), Some(true) | None) | (None, Some(true)) => Some(Step::Forget),
            (Some(true), Some(false)) | (Some(false), Some(true)) => {
                Some(Step::Leave(Some(IGNORED_ON_ONE_SIDE)))
            }
            _ => None,
        }
    }

    /// Whether a path is that of the rules.
    pub(super) fn is_rules_file(path: &Path) -> bool {
        path.as_bytes() == RULES_FILE
    }

    // ---- Directories that can't go ---------------------------------------------------------------------------------------------------

    /// A directory here was to go, or to make room, and is not empty.
    pub(super) fn not_empty_here(&mut self, path: &Path) {
        if !self.holds_only_ignored(path) {
            self.looker.look(path.clone(), std::time::Duration::ZERO);
            return self.revive(path);
        }
        let base = self.base(path).copied();
        if self.track(path).remote_entry(base.as_ref()).is_some() {
            return self.leave(path, Some(HOLDS_IGNORED));
        }
        // Its base stays, so that it is neither news nor sent again.
        self.inner.kept.insert(path.clone());
        self.drop_track(path);
        if let Some(parent) = path.parent() {
            self.queue(&parent);
        }
    }

    fn holds_only_ignored(&self, directory: &Path) -> bool {
        let Ok(entries) = self.folder.root.list(Some(directory)) else { return false };
        entries.iter().all(|(name, stat)| {
            let is_directory = stat.kind == StatKind::Directory;
            directory.join(name).is_ok_and(|path| {
                self.rules.ignore(&path, is_directory) || is_directory && self.inner.kept.contains(&path)
            })
        })
    }

    /// A directory there was to go, and is not empty.
    pub(super) fn not_empty_there(&mut self, path: &Path) {
        if NOT_EMPTY_TRIES <= self.track(path).failures {
            return self.leave(path, None);
        }
        let error = "the box holds something in it".to_owned();
        self.failed(path, Failure::new("delete on the server", error, FailureKind::Moment));
    }

    /// The server lacks the directory above what was sent: it was kept here for what is ignored in it, or deleted there just now.
    pub(super) fn parent_missing(&mut self, path: &Path) {
        let is_free = |track: Option<&crate::engine::track::Track>| track.is_none_or(|track| !track.busy);
        match path.parent() {
            Some(parent) if self.base(&parent).is_some() && is_free(self.inner.tracks.get(&parent)) => {
                self.revive(&parent);
            }
            _ => {
                let error = "the directory above is not on the server yet".to_owned();
                self.failed(path, Failure::new("upload", error, FailureKind::Moment));
            }
        }
    }
}
