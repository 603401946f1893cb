//! Content that is already where it is needed, under another name: finds it, and enters what came of using it.
//!
//! A renamed file or directory appears as one path gone and another one new. The new one has the inode of the old, or at least content
//! that is known; then the server is asked to move or copy what it has, or the folder does, and nothing is sent. These are shortcuts: the
//! verdict on each path stands as it is, only the way to carry it out is shorter.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::{Control, Link};
use crate::disk::{Expect, Fingerprint, Stat, StatKind};
use crate::engine::job::{Done, Outcome, Placed, Sent, Source, Task};
use crate::engine::state::Base;
use crate::engine::track::{Local, Remote};
use crate::limits::{NEWS_PATIENCE, RETAINED_FILES, RETAINED_FOR, SOURCES_TRIED};
use crate::protocol::Cursor;
use crate::sync;
use crate::tree::{Content, Entry, Kind, Meta, Path};
use crate::wire::sha256::Hash;

/// How often, and how long each time, a path waits for what may make its way shorter: the other half of a rename, say.
const WAITS: u8 = 4;
const PAUSE: Duration = Duration::from_millis(20);
/// So many things in a renamed directory are looked at before it is taken for another one.
const WITNESSES: usize = 16;

/// What to do about a shortcut.
enum Way {
    /// Use it.
    By(Source),
    /// It may be there in a moment: what is needed is just being moved.
    Wait,
    /// There is none.
    Plainly,
}

impl Control {
    /// The same task by a shorter way, if there is one. `None`: there may be one in a moment.
    pub(super) fn shorten(&mut self, path: &Path, task: Task) -> Option<Task> {
        if self.inner.tracks.get(path).is_none_or(|track| track.plainly) {
            return Some(task);
        }
        match task {
            Task::Upload { entry, print, replacing, before } => {
                match self.source_on_server(path, &entry, &print, replacing) {
                    Way::By(from) => {
                        // What the source is to hold itself may be what is being replaced here, and will not be to be had for long.
                        self.queue_first(&from.path);
                        Some(Task::Relocate { entry, print, from, replacing, before })
                    }
                    Way::Wait => None,
                    Way::Plainly => Some(task),
                }
            }
            Task::Download { remote, expect, kept } => match self.source_here(path, &remote.entry, expect) {
                Way::By(from) => {
                    self.queue_first(&from.path);
                    Some(Task::TakeHere { remote, expect, kept, from })
                }
                Way::Wait => None,
                Way::Plainly => Some(task),
            },
            _ => Some(task),
        }
    }

    fn queue_first(&mut self, path: &Path) {
        if let Some(track) = self.inner.tracks.get_mut(path)
            && !track.busy
        {
            track.queued = true;
            self.inner.ready.push_front(path.clone());
        }
    }

    /// Looks after a path again in a moment: something else has to come to its end first.
    pub(super) fn wait_a_moment(&mut self, path: &Path) {
        let Some(track) = self.inner.tracks.get_mut(path) else { return };
        let at = Instant::now() + PAUSE;
        track.retry_at = Some(at);
        self.inner.retries.insert((at, path.clone()));
    }

    /// Waits a moment, unless it did so often enough.
    fn waits_again(&mut self, path: &Path) -> bool {
        let Some(track) = self.inner.tracks.get_mut(path) else { return false };
        if WAITS <= track.waits {
            return false;
        }
        track.waits += 1;
        self.wait_a_moment(path);
        true
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
        if !is_thought_there || !self.waits_again(path) {
            return false;
        }
        self.looker.look(old, Duration::ZERO);
        true
    }

    /// Other paths with this content, as far as client and server agreed.
    pub(super) fn candidates(&self, path: &Path, content: &Content) -> impl Iterator<Item = &Path> {
        self.state.paths_with(content).take(SOURCES_TRIED).filter(move |known| *known != path)
    }

    fn source_on_server(
        &self,
        path: &Path,
        entry: &Entry,
        print: &Fingerprint,
        replacing: Option<sync::Base>,
    ) -> Way {
        if entry.content == Content::Directory {
            let source = self.directory_on_server(path, print).filter(|_| replacing.is_none());
            return source.map_or(Way::Plainly, Way::By);
        }
        let mut found = Way::Plainly;
        for known in self.candidates(path, &entry.content) {
            if self.is_being_moved(known) {
                // Afterwards it can be had from its new place.
                return Way::Wait;
            }
            let Some(source) = self.file_on_server(known) else { continue };
            // What is to go from there anyway is better moved than copied and deleted.
            let moves = source.moves && replacing.is_none();
            if moves || matches!(found, Way::Plainly) {
                found = Way::By(Source { moves, ..source });
            }
            if moves {
                break;
            }
        }
        match (found, self.inner.replaced.find(&entry.content)) {
            (Way::Plainly, Some(source)) if source.path != *path => Way::By(source),
            (found, _) => found,
        }
    }

    /// What the server has at a path where it is known. A worker may be at it; for a copy that is no hindrance, since the server has what
    /// it replaces a moment longer, and word of that may come before the worker's.
    fn file_on_server(&self, known: &Path) -> Option<Source> {
        let base = *self.base(known)?;
        let track = self.inner.tracks.get(known);
        // Other metadata there is no hindrance: if it is moved it goes along, and the server's word on the move says so.
        let is_there = track.is_none_or(|track| {
            let there = track.remote_entry(Some(&base));
            track.busy || there.is_some_and(|there| there.content == base.entry.content)
        });
        let moves = track.is_some_and(|track| track.local == Local::Absent && !track.busy);
        is_there.then(|| Source { path: known.clone(), base, moves })
    }

    /// A directory that was renamed to `path`, as the server has it.
    fn directory_on_server(&self, path: &Path, print: &Fingerprint) -> Option<Source> {
        let known = self.state.directory_with(print.ino)?;
        let source = self.file_on_server(known)?;
        let is_usable = source.moves
            && known != path
            && !self.is_being_moved(known)
            && source.base.entry.content == Content::Directory
            && source.base.print.ino == print.ino
            && !path.is_below(known)
            && !self.is_busy_below(known)
            && self.has_witness(known, path);
        is_usable.then_some(source)
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

    fn source_here(&self, path: &Path, remote: &Entry, expect: Expect) -> Way {
        let mut found = Way::Plainly;
        for known in self.candidates(path, &remote.content) {
            if self.is_being_moved(known) {
                return Way::Wait;
            }
            let Some(base) = self.base(known).copied() else { continue };
            let track = self.inner.tracks.get(known);
            // A worker that replaces it is no hindrance: then it is retained for a while.
            if track.is_some_and(|track| track.local != Local::AsBase) {
                continue;
            }
            let is_deleted = |remote: &Remote| matches!(remote, Remote::Told { entry: None, .. });
            let moves = expect == Expect::Absent
                && track.is_some_and(|track| !track.busy && is_deleted(&track.remote));
            if moves || matches!(found, Way::Plainly) {
                found = Way::By(Source { path: known.clone(), base, moves });
            }
            if moves {
                break;
            }
        }
        found
    }

    fn is_busy_below(&self, directory: &Path) -> bool {
        self.inner.tracks.range::<[u8], _>(directory.descendants()).any(|(_, track)| track.busy)
    }

    /// The content was not to be had from where it was thought to be. If it was moved meanwhile it is elsewhere; else it is sent or fetched.
    pub(super) fn no_source(&mut self, path: &Path, task: &Task) {
        if let Task::Relocate { from, .. } | Task::TakeHere { from, .. } = task {
            let is_elsewhere =
                self.is_being_moved(&from.path) || !from.moves && self.base(&from.path) != Some(&from.base);
            // What the server does not retain any more, after a restart say, is not asked for again.
            self.inner.replaced.forget(from);
            // A worker may only be setting its metadata; when that is known it looks as its base says again.
            let is_in_work = || self.inner.tracks.get(&from.path).is_some_and(|track| track.busy);
            let is_here = matches!(task, Task::TakeHere { .. });
            let is_soon_back = !is_elsewhere && is_here && is_in_work() && self.waits_again(path);
            self.track(path).plainly = !is_elsewhere && !is_soon_back;
        }
        self.queue(path);
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
    pub(super) fn relocated(&mut self, path: &Path, from: &Source, sent: Sent) {
        if from.moves {
            self.move_bases(&from.path, path, sent.base.seq);
        }
        self.sent(path, sent);
        if from.moves && sent.base.entry.content.kind() == Kind::Directory {
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
            // What went along may have been another version; word of the move says so.
            self.forget_told(&new, |entry, seq| base.covers(entry, seq));
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
        let Outcome::Relocated { from, sent: Sent { base, .. } } = &done.outcome else { return false };
        // Of a history that is over nothing more will be told.
        let is_told = |received: Cursor| Some(received.epoch) != done.job.epoch || base.seq <= received.seq;
        from.moves
            && base.entry.content == Content::Directory
            && self.inner.link == Link::Live
            && !self.inner.received.is_some_and(is_told)
    }

    pub(super) fn wait_for_news(&mut self, done: Done) {
        self.inner.ahead.push(done);
        self.inner.told_at = Instant::now();
    }

    /// Opens the stream again if it does not tell of a move that the server has made. Its ends stay held until then, and deletes wait.
    pub(super) fn doubt_stream(&mut self) {
        if !self.inner.ahead.is_empty() && NEWS_PATIENCE < self.inner.told_at.elapsed() {
            self.inner.told_at = Instant::now();
            self.stream.reconnect();
        }
    }

    /// Enters the moves of which all is told by now.
    pub(super) fn enter_told_moves(&mut self) {
        let ahead = std::mem::take(&mut self.inner.ahead);
        let (wait, told) = ahead.into_iter().partition(|done| self.is_ahead_of_news(done));
        self.inner.ahead = wait;
        let told: Vec<Done> = told;
        told.into_iter().for_each(|done| self.enter_outcome(done));
    }

    /// Nothing is at a path any more, and nothing was to be.
    fn free(&mut self, path: &Path, moved: u64) {
        self.note_freed(path, moved);
        if let Some(track) = self.inner.tracks.get_mut(path)
            && track.local == Local::Absent
        {
            track.local = Local::AsBase;
        }
        self.forget_told(path, |_, seq| seq <= moved);
        self.queue(path);
    }

    /// Drops what was told of a path if a move made it history. That there was nothing is history, too.
    fn forget_told(&mut self, path: &Path, is_history: impl Fn(Option<&Entry>, u64) -> bool) {
        let Some(track) = self.inner.tracks.get_mut(path) else { return };
        match track.remote {
            Remote::Told { entry, seq, .. } if is_history(entry.as_ref(), seq) => {
                track.remote = Remote::AsBase;
                self.inner.outstanding.remove(&(seq, path.clone()));
            }
            Remote::Unknown => track.remote = Remote::AsBase,
            Remote::Told { .. } | Remote::AsBase => {}
        }
    }

    /// The server is about to lose, or has just lost, what it held at a path, because we wanted it so; `now` is what it holds instead.
    pub(super) fn note_replaced(&mut self, path: &Path, now: Option<&Content>) {
        if let Some(base) = self.state.base(path).filter(|base| Some(&base.entry.content) != now) {
            self.inner.replaced.add(path.clone(), *base);
        }
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

/// What the server held at some path until we replaced or deleted it. It can be had for a while longer.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    by_hash: HashMap<Hash, (Instant, Path, Base)>,
}

impl Replaced {
    fn add(&mut self, path: Path, base: Base) {
        let Content::File { size: 1.., hash } = base.entry.content else { return };
        if RETAINED_FILES <= self.by_hash.len() {
            self.by_hash.retain(|_, (since, ..)| since.elapsed() < RETAINED_FOR);
        }
        if self.by_hash.len() < RETAINED_FILES {
            self.by_hash.insert(hash, (Instant::now(), path, base));
        }
    }

    fn forget(&mut self, source: &Source) {
        let Content::File { hash, .. } = source.base.entry.content else { return };
        if self.by_hash.get(&hash).is_some_and(|(_, path, _)| *path == source.path) {
            self.by_hash.remove(&hash);
        }
    }

    fn find(&self, content: &Content) -> Option<Source> {
        let Content::File { hash, .. } = content else { return None };
        let (since, path, base) = self.by_hash.get(hash)?;
        let is_fresh = since.elapsed() < RETAINED_FOR && base.entry.content == *content;
        is_fresh.then(|| Source { path: path.clone(), base: *base, moves: false })
    }
}

/// Both ends of the moves that workers are at.
pub(super) type Moving = BTreeSet<Path>;

#[cfg(test)]
mod tests {
    use super::super::bench::{file, path};
    use super::*;
    use crate::disk::Fingerprint;
    use crate::tree::Mtime;

    fn replaced(count: usize) -> (Replaced, impl Fn(usize) -> Content) {
        let base = |number: usize| Base {
            entry: file(&number.to_string(), 0o644),
            print: Fingerprint { ino: 1, size: 1, mtime: Mtime(1), ctime: Mtime(1) },
            seq: 1,
        };
        let mut replaced = Replaced::default();
        (0..count).for_each(|number| replaced.add(path(&number.to_string()), base(number)));
        (replaced, move |number| base(number).entry.content)
    }

    fn grow_old(replaced: &mut Replaced, content: &Content, age: Duration) {
        let Content::File { hash, .. } = content else { panic!("{content:?}") };
        replaced.by_hash.get_mut(hash).unwrap().0 = Instant::now().checked_sub(age).unwrap();
    }

    /// As long as the server is sure to have it, which is the same time there.
    #[test]
    fn what_the_server_held_can_be_had_for_a_while() {
        let (mut replaced, content) = replaced(1);
        assert_eq!(replaced.find(&content(0)).map(|source| source.path), Some(path("0")));
        grow_old(&mut replaced, &content(0), RETAINED_FOR);
        assert!(replaced.find(&content(0)).is_none());
    }

    #[test]
    fn of_what_the_server_held_so_much_is_remembered() {
        let (mut replaced, content) = replaced(RETAINED_FILES + 1);
        assert!(replaced.find(&content(RETAINED_FILES - 1)).is_some());
        assert!(replaced.find(&content(RETAINED_FILES)).is_none());
        grow_old(&mut replaced, &content(7), RETAINED_FOR);
        let known = replaced.find(&content(0)).unwrap();
        let other = Base { entry: file("other", 0o644), ..known.base };
        replaced.add(path("other"), other);
        assert!(replaced.find(&other.entry.content).is_some(), "what is old makes room");
    }
}
