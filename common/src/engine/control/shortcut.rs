//! Content that is already where it is needed, under another name: finds it, and enters what came of using it.
//!
//! A renamed file or directory appears as one path gone and another one new. The new one has the inode of the old, or at least content
//! that is known; then the server is asked to move or copy what it has, or the folder does, and nothing is sent. These are shortcuts: the
//! verdict on each path stands as it is, only the way to carry it out is shorter.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Control, Link};
use crate::disk::{Expect, Fingerprint, Stat, StatKind};
use crate::engine::job::{Done, Outcome, Placed, Source, Task};
use crate::engine::state::Base;
use crate::engine::track::{Local, Remote};
use crate::protocol::Cursor;
use crate::tree::{Content, Entry, Kind, Meta, Path};

/// How often, and how long each time, the other half of a rename is waited for.
const OTHER_HALF_WAITS: u8 = 4;
const OTHER_HALF_PAUSE: Duration = Duration::from_millis(20);
/// So many things in a renamed directory are looked at before it is taken for another one.
const WITNESSES: usize = 16;

impl Control {
    /// The same task by a shorter way, if there is one.
    pub(super) fn shorten(&mut self, path: &Path, task: Task) -> Task {
        if self.inner.tracks.get(path).is_none_or(|track| track.plainly) {
            return task;
        }
        let shortened = match &task {
            Task::Upload { entry, print, replacing: None, .. } => self
                .source_on_server(path, entry, print)
                .map(|from| Task::Relocate { entry: *entry, print: *print, from }),
            Task::Download { remote, expect, kept } => self
                .source_here(path, &remote.entry, *expect)
                .map(|from| Task::TakeHere { remote: *remote, expect: *expect, kept: *kept, from }),
            _ => None,
        };
        shortened.unwrap_or(task)
    }

    /// Whether a new directory has the inode of one that was not seen to be gone yet: most likely it was renamed, and the half of the news
    /// that says so is still to come. It is asked for, and waited for a little.
    pub(super) fn waits_for_other_half(&mut self, path: &Path, task: &Task) -> bool {
        let Task::Upload { entry: Entry { content: Content::Directory, .. }, print, replacing: None, .. } =
            task
        else {
            return false;
        };
        let Some(old) = self.state.directory_with(print.ino).filter(|old| *old != path).cloned() else {
            return false;
        };
        let is_thought_there = self.inner.tracks.get(&old).is_none_or(|track| track.local == Local::AsBase);
        let Some(track) = self.inner.tracks.get_mut(path) else { return false };
        if !is_thought_there || OTHER_HALF_WAITS <= track.waits {
            return false;
        }
        track.waits += 1;
        let at = Instant::now() + OTHER_HALF_PAUSE;
        track.retry_at = Some(at);
        self.inner.retries.insert((at, path.clone()));
        self.looker.look(old, Duration::ZERO);
        true
    }

    fn source_on_server(&self, path: &Path, entry: &Entry, print: &Fingerprint) -> Option<Source> {
        let known = match entry.content {
            Content::Directory => self.state.directory_with(print.ino)?,
            _ => self.state.path_with(&entry.content)?,
        };
        let base = *self.base(known)?;
        let track = self.inner.tracks.get(known);
        // Other metadata there is no hindrance: it goes along, and the server's word on the move says so.
        let is_there =
            |remote: Option<Entry>| remote.is_some_and(|there| there.content == base.entry.content);
        let is_usable = track.is_none_or(|track| !track.busy && is_there(track.remote_entry(Some(&base))));
        if !is_usable || self.is_being_moved(known) || known == path || base.entry.content != entry.content {
            return None;
        }
        let moves = track.is_some_and(|track| track.local == Local::Absent);
        let is_directory = entry.content == Content::Directory;
        if is_directory
            && (!moves
                || base.print.ino != print.ino
                || path.is_below(known)
                || self.is_busy_below(known)
                || !self.has_witness(known, path))
        {
            return None;
        }
        Some(Source { path: known.clone(), base, moves })
    }

    /// Whether something in a directory is what it was when the directory had its old name. Its inode alone proves nothing: the inode of a
    /// deleted directory is soon given to a new one.
    fn has_witness(&self, old: &Path, new: &Path) -> bool {
        let mut below = self.state.bases().range::<[u8], _>(old.descendants()).take(WITNESSES);
        below.any(|(path, base)| {
            let now = path.rebase(old, new).and_then(|path| self.folder.root.stat(&path).ok().flatten());
            now.is_some_and(|now| match base.entry.content {
                Content::Directory => now.kind == StatKind::Directory && now.print.ino == base.print.ino,
                _ => base.print.is_likely_same_content(&now.print),
            })
        })
    }

    fn source_here(&self, path: &Path, remote: &Entry, expect: Expect) -> Option<Source> {
        let known = self.state.path_with(&remote.content)?;
        let base = *self.base(known)?;
        let track = self.inner.tracks.get(known);
        let is_usable = track.is_none_or(|track| !track.busy && track.local == Local::AsBase);
        if !is_usable || self.is_being_moved(known) || known == path {
            return None;
        }
        let is_deleted = |remote: &Remote| matches!(remote, Remote::Told { entry: None, .. });
        let moves = expect == Expect::Absent && track.is_some_and(|track| is_deleted(&track.remote));
        Some(Source { path: known.clone(), base, moves })
    }

    fn is_busy_below(&self, directory: &Path) -> bool {
        self.inner.tracks.range::<[u8], _>(directory.descendants()).any(|(_, track)| track.busy)
    }

    /// Keeps other hands off both ends of a move, and what is below them, while a worker is at it.
    pub(super) fn hold_ends(&mut self, path: &Path, task: &Task) {
        if let Task::Relocate { from, .. } | Task::TakeHere { from, .. } = task
            && from.moves
        {
            self.inner.moving.insert(from.path.clone());
            self.inner.moving.insert(path.clone());
        }
    }

    /// The worker is done with it.
    pub(super) fn release_ends(&mut self, path: &Path, task: &Task) {
        if let Task::Relocate { from, .. } | Task::TakeHere { from, .. } = task
            && from.moves
        {
            self.inner.moving.remove(&from.path);
            self.inner.moving.remove(path);
            self.queue(&from.path);
            self.queue_below(&from.path);
            self.queue_below(path);
        }
    }

    /// Whether a path is, or lies below, one end of a move that a worker is at.
    pub(super) fn is_being_moved(&self, path: &Path) -> bool {
        self.inner.moving.iter().any(|moving| moving == path || path.is_below(moving))
    }

    /// The server took the content over to `path`.
    pub(super) fn relocated(&mut self, path: &Path, from: &Source, base: Base) {
        if from.moves {
            self.move_bases(&from.path, path, base.seq);
        }
        self.agreed(path, base);
        if from.moves && base.entry.content.kind() == Kind::Directory {
            // What was seen of it before the bases came along was judged without them.
            self.looker.look(path.clone(), Duration::ZERO);
        }
    }

    /// What is below a directory moved with it, on the server as here.
    fn move_bases(&mut self, from: &Path, to: &Path, seq: u64) {
        let below = self.state.bases().range::<[u8], _>(from.descendants());
        let moved: Vec<(Path, Base)> = below.map(|(path, base)| (path.clone(), *base)).collect();
        for (old, base) in moved {
            let Some(new) = old.rebase(from, to) else { continue };
            self.state.forget(&old);
            self.free(&old, seq);
            let base = Base { seq, ..base };
            let came_along = self.came_along(&new, seq);
            if let Some(track) = self.inner.tracks.get_mut(&new)
                && came_along
            {
                let is_base = match &track.local {
                    Local::Seen(stat) => looks_the_same(stat, &base),
                    Local::Known(entry, print) => *print == base.print || entry.content == Content::Directory,
                    _ => false,
                };
                track.local = if is_base { Local::AsBase } else { track.local };
            }
            if came_along && !self.is_ignored(&new, base.entry.content.kind()) {
                self.state.remember(&new, base);
            }
            self.queue(&new);
        }
        self.state.forget(from);
        self.free(from, seq);
    }

    /// Whether the server had something in a directory when it moved that: others may have taken it out shortly before.
    fn came_along(&self, new: &Path, moved: u64) -> bool {
        match self.inner.tracks.get(new).map(|track| track.remote) {
            // With the move, and as what others may have made of it; or it was changed again since, by whom had seen it.
            Some(Remote::Told { entry, seq, .. }) => moved < seq || moved == seq && entry.is_some(),
            Some(Remote::AsBase | Remote::Unknown) | None => false,
        }
    }

    /// Whether a directory was moved on the server, and what came along is yet to be told. Until then its two ends stay held.
    pub(super) fn is_ahead_of_news(&self, done: &Done) -> bool {
        let Outcome::Relocated { from, base } = &done.outcome else { return false };
        let is_told = |received: Cursor| Some(received.epoch) == done.job.epoch && base.seq <= received.seq;
        from.moves
            && base.entry.content == Content::Directory
            && self.inner.link == Link::Live
            && !self.inner.received.is_some_and(is_told)
    }

    /// Enters the moves of which all is told by now.
    pub(super) fn enter_told_moves(&mut self) {
        let ahead = std::mem::take(&mut self.inner.ahead);
        let (wait, told) = ahead.into_iter().partition(|done| self.is_ahead_of_news(done));
        self.inner.ahead = wait;
        let told: Vec<Done> = told;
        told.into_iter().for_each(|done| self.enter_outcome(done));
    }

    /// Nothing is at a path any more, and nothing was to be. What was told of it before the move is history.
    fn free(&mut self, path: &Path, moved: u64) {
        self.note_freed(path, moved);
        if let Some(track) = self.inner.tracks.get_mut(path) {
            if track.local == Local::Absent {
                track.local = Local::AsBase;
            }
            if let Remote::Told { seq, .. } = track.remote
                && seq <= moved
            {
                track.remote = Remote::AsBase;
                self.inner.outstanding.remove(&(seq, path.clone()));
            }
        }
        self.queue(path);
    }

    /// The folder took the content over to another path.
    pub(super) fn taken_here(&mut self, path: &Path, from: &Source, placed: Placed) {
        if from.moves {
            self.track(&from.path).local = Local::Absent;
        }
        self.placed(path, placed);
    }

    /// A path became absent: what was there may appear under another name.
    pub(super) fn note_absent(&mut self, path: &Path) {
        if let Some(base) = self.state.base(path) {
            self.inner.renamed.insert(base.print.ino, path.clone());
        }
    }

    /// What a new file holds, if it is one that had another name a moment ago: then it need not be read.
    pub(super) fn known_by_inode(&self, stat: &Stat) -> Option<Entry> {
        let base = self.base(self.inner.renamed.get(&stat.print.ino)?)?;
        // An inode is given to another file when the first is gone; that one is younger than what was seen of the first.
        let is_old_enough = stat.born.is_some_and(|born| born <= base.print.ctime);
        let is_same =
            stat.kind == StatKind::File && base.print.is_likely_same_content(&stat.print) && is_old_enough;
        let meta = Meta { mtime: stat.mtime, mode: stat.mode };
        (is_same && base.entry.content.kind() == Kind::File)
            .then_some(Entry { content: base.entry.content, meta })
    }

    /// Forgets inodes of paths that are not absent any more.
    pub(super) fn forget_renamed(&mut self) {
        let tracks = &self.inner.tracks;
        let is_absent = |path: &Path| tracks.get(path).is_some_and(|track| track.local == Local::Absent);
        self.inner.renamed.retain(|_, path| is_absent(path));
    }
}

fn looks_the_same(stat: &Stat, base: &Base) -> bool {
    match base.entry.content.kind() {
        Kind::Directory => stat.kind == StatKind::Directory && stat.mode == base.entry.meta.mode,
        _ => stat.print == base.print,
    }
}

/// Both ends of the moves that workers are at.
pub(super) type Moving = BTreeSet<Path>;
