//! What is heard of the server.

use std::time::Instant;

use super::{Control, Link};
use crate::engine::Ended;
use crate::engine::message::Loss;
use crate::engine::report::Report;
use crate::engine::state::Base;
use crate::engine::track::{Local, Problem, Remote, Track};
use crate::limits::{NAME_BYTES, PROBLEMS_SHOWN};
use crate::protocol::{Cursor, Event, ProtocolError, RemoteEntry};
use crate::tree::{Path, Tag};

/// Keys of problems with names that can't be here begin so.
const MISNAMED: &[u8] = b"//";
/// Key of the problem that the box names too many paths.
const MANY_PROBLEM: &[u8] = b"/names";

/// With `--once`, the server may be unreachable so often before that is the outcome.
pub(super) const ONCE_LOSSES: u32 = 4;

impl Control {
    pub(super) fn hear_event(&mut self, event: Event, cursor: Option<Cursor>) {
        self.inner.told_at = Instant::now();
        if self.inner.relisting && !matches!(event, Event::Hello(_)) {
            // It answers a list that is not true any more. Its connection is about to end, and must not count as being in agreement.
            return;
        }
        match event {
            Event::Hello(cursor) => self.hear_hello(cursor),
            Event::Download(remote)
            | Event::Delete(remote)
            | Event::Conflict(remote)
            | Event::Stored(remote) => {
                self.hear_remote(remote);
            }
            Event::Upload { path, replacing } => self.hear_upload(&path, replacing),
            Event::Misnamed { told, name, error } => self.hear_misnamed(told, &name, &error),
            Event::Synced(counts) => {
                self.reporter.report(&Report::Synced { counts });
                self.inner.link = Link::Live;
                self.inner.losses = 0;
                self.inner.folder_problems.remove(MANY_PROBLEM);
                self.inner.line.works();
                self.retry_all();
                self.queue_all();
                if let Some(cursor) = cursor {
                    // All that was before is told, or was not worth telling.
                    self.inner.freed.retain(|_, seq| cursor.seq < *seq);
                }
            }
            Event::Passed => {}
            Event::Reset => {
                // The history is the same but too old: everything has to be compared, with the bases as they are.
                let begin = self.state.cursor().map(|cursor| Cursor { seq: 0, ..cursor });
                self.state.set_cursor(begin);
                self.inner.received = begin;
                self.inner.relisting = true;
                self.reporter.report(&Report::Reset);
                self.stream.reconnect();
            }
        }
        if let Some(cursor) = cursor {
            self.hear_cursor(cursor);
        }
    }

    fn hear_cursor(&mut self, cursor: Cursor) {
        let is_forward =
            self.inner.received.is_none_or(|old| old.epoch != cursor.epoch || old.seq < cursor.seq);
        let is_this_history = self.state.cursor().is_none_or(|known| known.epoch == cursor.epoch);
        if is_forward && is_this_history {
            self.inner.received = Some(cursor);
            self.enter_told_moves();
        }
    }

    fn hear_hello(&mut self, now: Cursor) {
        self.inner.link = Link::Listing;
        self.inner.offline = None;
        self.reporter.report(&Report::Connected);
        if self.inner.relisting {
            // The head of this connection's list was given away before the rules changed.
            self.stream.reconnect();
        }
        for (_, track) in self.inner.tracks.iter_mut() {
            track.told = false;
        }
        let begin = Some(Cursor { seq: 0, ..now });
        match self.state.cursor() {
            Some(known) if known.epoch == now.epoch && known.seq <= now.seq => {}
            None if self.state.bases().is_empty() => self.state.set_cursor(begin),
            // Another history, or an older one of the same name, or, after some damage, nobody knows which: what is known of it is worth
            // nothing, and a base could delete.
            _ => {
                self.start_over();
                self.state.set_cursor(begin);
                self.inner.relisting = true;
                self.reporter.report(&Report::Reset);
                self.stream.reconnect();
            }
        }
    }

    /// Drops every base. What files look like is still known, so they are not read again; union is what follows.
    fn start_over(&mut self) {
        let bases = self.state.start_over();
        self.inner.received = None;
        self.inner.outstanding.clear();
        self.inner.displacing.clear();
        self.inner.freed.clear();
        self.inner.deletes.clear();
        self.inner.going.clear();
        for (path, track) in self.inner.tracks.iter_mut() {
            if track.busy {
                self.inner.overtaken.insert(path.clone());
            }
            track.remote = Remote::AsBase;
            track.displaced = None;
            track.news();
            track.local = match (track.local, bases.get(path)) {
                (Local::AsBase, Some(base)) => Local::Known(base.entry, base.print),
                (Local::Absent, _) => Local::AsBase,
                (local, _) => local,
            };
        }
        for (path, base) in bases.into_entries() {
            self.inner.tracks.get_or_insert_with(&path, || {
                let mut track = Track::new();
                track.local = Local::Known(base.entry, base.print);
                track
            });
        }
    }

    /// What the server holds at a path.
    pub(super) fn hear_remote(&mut self, remote: RemoteEntry) {
        let is_news = self.is_news(&remote);
        let RemoteEntry { path, entry, seq, since, origin } = remote;
        let is_own = origin.as_deref() == Some(self.state.client_id());
        if is_news && is_own && entry.is_none() && !self.is_being_moved(&path) {
            // Deleted there because it was absent here, even if a kill came before that was durable: what is here now came after.
            self.note_replaced(&path, None);
            self.drop_base(&path);
        }
        let base = self.state.base(&path).copied();
        let is_tracked = self.inner.tracks.contains_key(&path);
        if is_tracked && !is_news {
            self.track(&path).told = true;
            return self.queue(&path);
        }
        if self.inner.freed.get(&path).is_some_and(|freed| *freed <= seq) {
            self.inner.freed.remove(&path);
        }
        match (entry, base) {
            _ if is_tracked => {}
            _ if !is_news => return,
            (None, None) => return,
            (Some(entry), None) if self.is_ignored(&path, entry.content.kind()) => return,
            (Some(entry), Some(base)) if base.entry.agrees(&entry) => {
                // It is again, or still, what the folder has.
                return self.state.remember(&path, Base { seq, ..base });
            }
            _ => {}
        }
        if !is_tracked && self.inner.most_tracks <= self.inner.tracks.len() {
            return self.refuse_names();
        }
        let track = self.track(&path);
        let old = std::mem::replace(&mut track.remote, Remote::Told { entry, seq, since });
        track.told = true;
        track.news();
        if let Remote::Told { seq: old, .. } = old {
            self.inner.outstanding.remove(&(old, path.clone()));
        }
        self.inner.outstanding.insert((seq, path.clone()));
        self.queue(&path);
    }

    /// The box names what can't be here: it is said, and nothing else follows from it.
    fn hear_misnamed(&mut self, told: &str, name: &str, error: &ProtocolError) {
        // No path begins with a slash, and no other key with two.
        let mut key = MISNAMED.to_vec();
        key.extend_from_slice(name.as_bytes());
        if told == "delete" {
            self.inner.folder_problems.remove(&key);
            return;
        }
        let said = self
            .inner
            .folder_problems
            .range(MISNAMED.to_vec()..)
            .filter(|(key, _)| key.starts_with(MISNAMED));
        if said.count() < PROBLEMS_SHOWN {
            let name: String = name.escape_debug().take(NAME_BYTES).collect();
            let error = format!("the box holds {name:?}, which can't be here: {error}");
            self.folder_problem(&key, Problem { operation: "sync", error });
        }
    }

    /// The box names more than can be kept in mind. Nothing of this connection counts any more, so that the cursor stays where it is.
    fn refuse_names(&mut self) {
        let error = format!(
            "the box names more than {} paths that are not in agreement; is it the right box?",
            self.inner.most_tracks
        );
        self.folder_problem(MANY_PROBLEM, Problem { operation: "sync", error });
        self.inner.relisting = true;
        self.stream.reconnect();
    }

    /// Whether what is said of a path is newer than what is known of it. The stream may be behind the answers to our own requests: what
    /// it says then was so, and is not any more.
    pub(super) fn is_news(&self, remote: &RemoteEntry) -> bool {
        let RemoteEntry { path, entry, seq, .. } = remote;
        let is_covered = self.state.base(path).is_some_and(|base| base.covers(entry.as_ref(), *seq));
        let is_overtaken = match self.inner.tracks.get(path).map(|track| &track.remote) {
            Some(Remote::Told { seq: told, .. }) => seq < told,
            _ => self.inner.freed.get(path).is_some_and(|freed| seq <= freed),
        };
        !is_covered && !is_overtaken
    }

    /// The server emptied a path because it was asked to; what it is yet to tell of the time before is history.
    pub(super) fn note_freed(&mut self, path: &Path, seq: u64) {
        if self.inner.received.is_none_or(|received| received.seq < seq) {
            self.inner.freed.insert(path.clone(), seq);
        }
    }

    /// Drops the base of a path. What folder and server have is as it was, and what the folder has is new.
    pub(super) fn drop_base(&mut self, path: &Path) {
        let Some(base) = self.state.base(path).copied() else { return };
        self.state.forget(path);
        let track = self.track(path);
        if track.remote == Remote::AsBase {
            track.remote = Remote::Told { entry: Some(base.entry), seq: base.seq, since: base.seq };
        }
        track.local = match track.local {
            Local::AsBase => Local::Known(base.entry, base.print),
            Local::Absent => Local::AsBase,
            local => local,
        };
    }

    /// The server lacks what the folder has, and says what it holds instead. What an earlier connection told is older than that.
    fn hear_upload(&mut self, path: &Path, replacing: Option<Tag>) {
        let base = self.state.base(path).map(|base| Tag::from(base.entry.content));
        if base.is_none() && !self.inner.tracks.contains_key(path) {
            // It was never listed.
            return;
        }
        let track = self.track(path);
        let old = track.remote;
        let is_newer = matches!(old, Remote::Told { .. }) && track.told;
        track.told = true;
        if !is_newer {
            track.remote = match replacing {
                None => Remote::Unknown,
                Some(_) if replacing == base => Remote::AsBase,
                // Something was agreed on since the list was made.
                Some(_) => old,
            };
            if let Remote::Told { seq, .. } = old
                && track.remote != old
            {
                self.inner.outstanding.remove(&(seq, path.clone()));
            }
        }
        self.queue(path);
    }

    pub(super) fn hear_loss(&mut self, loss: &Loss) {
        self.inner.link = Link::Offline;
        self.inner.losses += 1;
        self.enter_told_moves();
        match loss {
            Loss::NotAuthorised(words) => self.end(Ended::NotAuthorised(words.clone())),
            Loss::Unreachable(words) | Loss::Broken(words) | Loss::Refused { words, .. } => {
                self.inner.offline = Some(Problem { operation: "sync", error: words.clone() });
                self.reporter.report(&Report::Offline { reason: words, first: self.inner.losses == 1 });
                if self.options.once && ONCE_LOSSES <= self.inner.losses {
                    self.end(Ended::Unreachable(words.clone()));
                }
            }
        }
    }
}
