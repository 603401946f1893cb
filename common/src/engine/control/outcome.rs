//! What came of the jobs.

use std::time::Instant;

use super::remote::ONCE_LOSSES;
use super::rules::COPY_IGNORED;
use super::{Control, ONCE_FAILURES};
use crate::disk::{Fingerprint, Stat};
use crate::engine::Ended;
use crate::engine::job::{Done, Failure, FailureKind, Outcome, Placed, Sent, Task, There};
use crate::engine::report::{Report, Side};
use crate::engine::resume::Resumed;
use crate::engine::state::Base;
use crate::engine::track::{Local, Problem, Remote};
use crate::protocol::RemoteEntry;
use crate::tree::{Entry, Path};

impl Control {
    pub(super) fn hear_outcome(&mut self, done: Done) {
        if done.is_answer() {
            self.inner.line.works();
        }
        self.inner.heard += 1;
        self.inner.transfers -= usize::from(done.job.task.is_transfer());
        match self.is_ahead_of_news(&done) {
            true => self.wait_for_news(done),
            false => self.enter_outcome(done),
        }
    }

    pub(super) fn enter_outcome(&mut self, done: Done) {
        let Done { job, outcome } = done;
        let path = &job.path;
        if let Some(track) = self.inner.tracks.get_mut(path) {
            track.busy = false;
        }
        self.release_ends(path, &job.task);
        if self.inner.overtaken.remove(path) && outcome.speaks_of_server() {
            self.look_again(path, &outcome);
            return self.queue(path);
        }
        match outcome {
            Outcome::Relocated { from, sent } => {
                self.inner.done.uploaded += 1;
                self.reporter.report(&Report::Relocated {
                    path,
                    from: &from.path,
                    moved: from.moves,
                    side: Side::Server,
                });
                self.relocated(path, &from, sent);
            }
            Outcome::TakenHere { from, placed } => {
                self.inner.done.downloaded += 1;
                self.reporter.report(&Report::Relocated {
                    path,
                    from: &from.path,
                    moved: from.moves,
                    side: Side::Here,
                });
                self.taken_here(path, &from, placed);
            }
            Outcome::NoSource => self.no_source(path, &job.task),
            Outcome::Hashed(entry, print) => self.hashed(path, entry, print),
            Outcome::Uploaded(sent) => {
                self.inner.done.uploaded += 1;
                self.reporter.report(&Report::Uploaded { path, size: sent.base.entry.content.size() });
                self.sent(path, sent);
            }
            Outcome::Downloaded(placed) => {
                self.inner.done.downloaded += 1;
                self.reporter.report(&Report::Downloaded { path, size: placed.base.entry.content.size() });
                self.placed(path, placed);
            }
            Outcome::DeletedLocal => {
                self.inner.done.deleted += 1;
                self.reporter.report(&Report::Deleted { path, side: Side::Here });
                self.track(path).local = Local::Absent;
                self.queue(path);
                self.room_was_made();
            }
            Outcome::DeletedRemote { seq } => {
                self.deleted_remote(path, seq);
                self.room_was_made();
            }
            Outcome::SetAside { copy, now } => self.set_aside(path, &copy, now),
            Outcome::FetchedAside { copy, entry, print } => {
                self.reporter.report(&Report::Conflict { path, copy: &copy });
                if self.is_ignored(&copy, entry.content.kind()) {
                    self.leave(path, Some(COPY_IGNORED));
                } else if let Task::FetchAside { remote } = &job.task {
                    self.inner.displacing.insert(copy.clone(), (path.clone(), remote.seen()));
                }
                self.track(&copy).local = Local::Known(entry, print);
                self.queue(&copy);
            }
            Outcome::MetaAgrees(base) => self.agreed(path, base),
            Outcome::MetaSent(sent) => self.sent(path, sent),
            Outcome::LocalIs(stat) => self.local_is(path, stat),
            Outcome::NotEmptyHere => self.not_empty_here(path),
            Outcome::NotEmptyThere => self.not_empty_there(path),
            Outcome::ParentMissing => self.parent_missing(path),
            Outcome::RemoteIs(remote) => self.remote_is(path, remote),
            Outcome::Failed(failure) => self.failed(path, failure),
        }
        // News that came while the job was on its way found the path busy.
        self.queue(path);
    }

    /// A job was given out before the history began anew. What the server said to it may be of the old history or of the new one, so it
    /// means nothing; the list that follows will tell. What the job did in the folder has to be seen.
    fn look_again(&mut self, path: &Path, outcome: &Outcome) {
        let other_end = match outcome {
            Outcome::Relocated { from, .. } | Outcome::TakenHere { from, .. } => Some(&from.path),
            Outcome::FetchedAside { copy, .. } => Some(copy),
            _ => None,
        };
        for path in [Some(path), other_end].into_iter().flatten() {
            let stat = self.folder.root.stat(path);
            self.observe_result(path, stat);
        }
    }

    pub(super) fn hear_resumed(&mut self, resumed: &Resumed) {
        let Resumed { path, to, offset, size } = resumed;
        self.reporter.report(&Report::Resumed { path, to: *to, offset: *offset, size: *size });
    }

    fn hashed(&mut self, path: &Path, entry: Entry, print: Fingerprint) {
        let base = self.base(path).copied();
        let is_back = self.state.was_absent(path);
        let Some(track) = self.inner.tracks.get_mut(path) else { return };
        match track.local {
            Local::Seen(stat) if stat.print == print => {
                track.local = Local::Known(entry, print);
                // Touched, or rewritten with what it held: the base stands, and only has to know what the file looks like now.
                if let Some(base) = base.filter(|base| base.entry.agrees(&entry) && !is_back) {
                    track.local = Local::AsBase;
                    self.state.remember(path, Base { print, ..base });
                }
            }
            // It was seen again since, looking different; that look has queued it.
            _ => {}
        }
        self.queue(path);
        // If the server has a directory there, what comes into it has waited for this.
        self.queue_below(path);
    }

    /// The server has what was sent, or named. Metadata that somebody else set meanwhile it has as well, and that is news.
    pub(super) fn sent(&mut self, path: &Path, Sent { base, there }: Sent) {
        self.note_replaced(path, Some(&base.entry.content));
        let told = self.told_up_to(path);
        if !there.entry.agrees(&base.entry) && told.is_none_or(|told| told < there.seq) {
            if let Some(told) = told {
                self.inner.outstanding.remove(&(told, path.clone()));
            }
            self.inner.outstanding.insert((there.seq, path.clone()));
            let There { entry, seq } = there;
            self.track(path).remote = Remote::Told { entry: Some(entry), seq, since: seq };
        }
        self.agreed(path, base);
    }

    /// The change that the server told last of a path, if it is not settled.
    fn told_up_to(&self, path: &Path) -> Option<u64> {
        match self.inner.tracks.get(path)?.remote {
            Remote::Told { seq, .. } => Some(seq),
            Remote::AsBase | Remote::Unknown => None,
        }
    }

    /// The server's version is in its place. Permission bits that it has only here are still to be sent.
    pub(super) fn placed(&mut self, path: &Path, Placed { base, own }: Placed) {
        if let Some((entry, print)) = own {
            let track = self.track(path);
            let is_stale = match track.local {
                Local::AsBase | Local::Known(..) => true,
                Local::Seen(stat) => stat.print == print,
                Local::Absent | Local::Unknown => false,
            };
            if is_stale {
                track.local = Local::Known(entry, print);
            }
        }
        self.agreed(path, base);
    }

    /// Folder and server hold the same: it is the base now. What was heard of either side since stands.
    pub(super) fn agreed(&mut self, path: &Path, base: Base) {
        self.state.remember(path, base);
        let track = self.track(path);
        match track.remote {
            Remote::Told { entry, seq, .. } if base.covers(entry.as_ref(), seq) => {
                track.remote = Remote::AsBase;
                self.inner.outstanding.remove(&(seq, path.clone()));
            }
            Remote::Told { .. } => {}
            Remote::AsBase | Remote::Unknown => track.remote = Remote::AsBase,
        }
        self.based(path, base);
    }

    /// There is a new base: what was known of the folder before the job is judged against it.
    fn based(&mut self, path: &Path, base: Base) {
        let track = self.track(path);
        track.displaced = None;
        track.news();
        let is_base = match &track.local {
            Local::Seen(stat) => stat.print == base.print,
            Local::Known(_, print) => *print == base.print,
            Local::AsBase => true,
            Local::Absent | Local::Unknown => false,
        };
        if is_base {
            track.local = Local::AsBase;
        }
        match (track.local, track.remote) {
            (Local::AsBase, Remote::AsBase) => self.settle(path, base),
            (Local::Absent, _) => {
                // That may have been before the job put it there; only a new look can tell.
                let stat = self.folder.root.stat(path);
                self.observe_result(path, stat);
            }
            _ => self.queue(path),
        }
    }

    fn observe_result(&mut self, path: &Path, stat: std::io::Result<Option<Stat>>) {
        match stat {
            Ok(stat) => {
                self.observe(path, stat);
                self.queue(path);
            }
            Err(error) => {
                self.failed(path, Failure::new("look at", error.to_string(), FailureKind::Path));
            }
        }
    }

    fn deleted_remote(&mut self, path: &Path, seq: Option<u64>) {
        self.inner.done.deleted += 1;
        self.reporter.report(&Report::Deleted { path, side: Side::Server });
        self.note_replaced(path, None);
        // Of a deletion that the server does not remember nobody can tell. If it came after what was told, the stream will say so.
        let is_told_since = self.told_up_to(path).is_some_and(|told| seq.is_none_or(|seq| seq < told));
        // It may be back by now.
        self.drop_base(path);
        if let Some(seq) = seq {
            self.note_freed(path, seq);
        }
        let track = self.track(path);
        track.news();
        if !is_told_since
            && let Remote::Told { seq: told, .. } = std::mem::replace(&mut track.remote, Remote::AsBase)
        {
            self.inner.outstanding.remove(&(told, path.clone()));
        }
        self.queue(path);
    }

    /// The loser of a conflict has another name: the old one is free for the server's version, and the new one is a new file.
    fn set_aside(&mut self, path: &Path, copy: &Path, now: Option<Stat>) {
        self.reporter.report(&Report::Conflict { path, copy });
        let known = self.inner.tracks.get(path).map(|track| track.local);
        self.drop_base(path);
        self.track(path).local = Local::AsBase;
        self.queue(path);
        let local = match (known, now) {
            (Some(Local::Known(entry, _)), Some(stat)) => Local::Known(entry, stat.print),
            (_, Some(stat)) => Local::Seen(stat),
            // It was written to meanwhile.
            (_, None) => {
                self.looker.look(copy.clone(), std::time::Duration::ZERO);
                return;
            }
        };
        self.track(copy).local = local;
        self.queue(copy);
    }

    /// The folder holds something else than the job was based on.
    fn local_is(&mut self, path: &Path, stat: Option<Stat>) {
        self.observe(path, stat);
        // If it is what was known, then it changed there and back; a moment later it is tried again.
        let is_unsettled = self.inner.tracks.get(path).is_some_and(|track| !track.queued);
        if is_unsettled {
            self.failed(path, Failure::new("read", "it keeps changing", FailureKind::Moment));
        }
    }

    /// The server holds something else than the job was based on.
    fn remote_is(&mut self, path: &Path, remote: Option<RemoteEntry>) {
        match remote {
            Some(remote) if remote.path == *path => {
                let RemoteEntry { entry, seq, since, .. } = remote;
                let is_known =
                    !self.is_news(&remote) || self.track(path).remote == Remote::Told { entry, seq, since };
                self.hear_remote(remote);
                if is_known {
                    // A change made by hand in the box, which the server is just looking at.
                    self.failed(path, busy_there());
                } else {
                    // Newer news may have come while the job was on its way, and found the path busy.
                    self.queue(path);
                }
            }
            Some(_) => {
                let error = "the server answers about another path";
                self.failed(path, Failure::new("sync", error, FailureKind::Path));
            }
            // What it told since the request was judged stands: it had not yet looked at a change made by hand in the box.
            None if matches!(self.track(path).remote, Remote::Told { .. }) => self.failed(path, busy_there()),
            None => {
                self.track(path).remote = Remote::Unknown;
                self.queue(path);
            }
        }
    }

    pub(super) fn failed(&mut self, path: &Path, failure: Failure) {
        let now = Instant::now();
        match failure.kind {
            FailureKind::NotAuthorised => return self.end(Ended::NotAuthorised(failure.error)),
            FailureKind::Network => self.line_failed(&failure, now),
            FailureKind::NoSpace => {
                self.inner.roomless.insert(path.clone());
                self.folder.stage.retained().forget_all();
            }
            FailureKind::ReadOnly => {
                // From here on nothing of the kind is tried; the next step for this path follows from that.
                self.inner.reads_only = true;
                return self.queue(path);
            }
            FailureKind::Path | FailureKind::Moment => {}
        }
        let problem = Problem { operation: failure.operation, error: failure.error };
        // Whatever was not tried yet comes before what failed: else a few paths that always fail could keep all others waiting.
        let from = self.inner.line.rests_until(now).unwrap_or(now);
        let at = self.track(path).failed(problem.clone(), from, failure.retry_after);
        self.inner.retries.insert((at, path.clone()));
        // What a moment may change is said when it did not.
        let is_lasting = match failure.kind {
            FailureKind::Moment | FailureKind::Network => self.track(path).failures == ONCE_FAILURES,
            _ => true,
        };
        if is_lasting {
            self.reporter.report(&Report::Problem { path: Some(path), problem: &problem });
        }
        if failure.kind == FailureKind::Path {
            self.looker.look(path.clone(), at.saturating_duration_since(now));
        }
    }

    /// All requests rest for a while. A single pass does not try for ever.
    fn line_failed(&mut self, failure: &Failure, now: Instant) {
        self.inner.line.failed(now, failure.retry_after);
        self.take_back();
        if self.options.once && ONCE_LOSSES <= self.inner.line.failures() {
            self.end(Ended::Unreachable(failure.error.clone()));
        }
    }
}

fn busy_there() -> Failure {
    Failure::new("sync", "the server is busy with it", FailureKind::Moment)
}
