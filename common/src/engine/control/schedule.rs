//! Whose turn it is: takes the paths that wait, asks for the next step of each, and hands work to free workers.
//!
//! Two orders have to be kept, and both come from trees: a directory is made before what is in it, and deleted after. So a step that has
//! to wait for another path is not taken; when that other path is settled, those above and below it are queued again.

use std::collections::BTreeSet;
use std::iter::successors;
use std::time::{Duration, Instant};

use super::guard::Brake;
use super::{Control, LOOK_AGAIN, Link};
use crate::disk::StatKind;
use crate::engine::job::{InHand, Job, Task};
use crate::engine::plan::{Step, next_step};
use crate::engine::report::Report;
use crate::engine::state::Base;
use crate::engine::track::{Local, Problem, Remote, Track};
use crate::sync;
use crate::tree::{Content, Kind, Path};

/// When the line has rested, a path waits so much longer for each time that it failed.
const AFTER_YOU: Duration = Duration::from_millis(1);

impl Control {
    /// Puts a path in the queue, unless it is there.
    pub(super) fn queue(&mut self, path: &Path) {
        if let Some(track) = self.inner.tracks.get_mut(path)
            && !track.queued
        {
            track.queued = true;
            self.inner.ready.push_back(path.clone());
        }
    }

    /// Nothing that failed has to wait any longer: how it stands has just become known.
    pub(super) fn retry_all(&mut self) {
        for (_, path) in std::mem::take(&mut self.inner.retries) {
            if let Some(track) = self.inner.tracks.get_mut(&path) {
                track.retry_at = None;
            }
        }
    }

    /// Something was deleted. After the last of several deletes, what has failed for want of space does not have to wait any longer, and may
    /// fail as often as at first: a single pass deletes while it sends, and must not give up what is to come into the place of that.
    pub(super) fn room_was_made(&mut self) {
        if !self.inner.deletes.is_empty() || !self.inner.going.is_empty() {
            return;
        }
        for path in std::mem::take(&mut self.inner.roomless) {
            let Some(track) = self.inner.tracks.get_mut(&path) else { continue };
            track.failures = 0;
            if let Some(at) = track.retry_at.take() {
                self.inner.retries.remove(&(at, path.clone()));
            }
            self.queue(&path);
        }
    }

    /// Whether something that failed for want of space is still to be done.
    pub(super) fn lacks_room(&self) -> bool {
        let has_failed =
            |path: &Path| self.inner.tracks.get(path).is_some_and(|track| track.problem.is_some());
        self.inner.roomless.iter().any(has_failed)
    }

    pub(super) fn queue_all(&mut self) {
        let paths: Vec<Path> = self.inner.tracks.keys().cloned().collect();
        paths.iter().for_each(|path| self.queue(path));
    }

    /// Now and then, when nothing else is to be done, looks after every track again. What follows for a path depends on what is known of
    /// others, too; so that none is left waiting, nobody has to be sure that each of them was queued at every turn.
    pub(super) fn look_after_overlooked(&mut self) {
        let is_due = LOOK_AGAIN < self.inner.looked_at.elapsed();
        if is_due && self.inner.link == Link::Live && self.is_resting() {
            self.inner.looked_at = Instant::now();
            self.queue_all();
        }
    }

    /// Looks after paths until none waits, or workers have enough.
    pub(super) fn look_after_all(&mut self) {
        self.queue_retries();
        if self.inner.ended.is_some() || self.inner.folder_gone {
            return;
        }
        while self.has_room() {
            let Some(path) = self.inner.ready.pop_front() else { break };
            self.look_after(&path);
        }
        self.pool.call();
        self.release_deletes();
    }

    fn queue_retries(&mut self) {
        let now = Instant::now();
        while let Some((at, _)) = self.inner.retries.first()
            && *at <= now
        {
            if let Some((_, path)) = self.inner.retries.pop_first() {
                if let Some(track) = self.inner.tracks.get_mut(&path) {
                    track.retry_at = None;
                }
                self.queue(&path);
            }
        }
    }

    fn look_after(&mut self, path: &Path) {
        let base = self.base(path).copied();
        let Some(track) = self.inner.tracks.get_mut(path) else { return };
        track.queued = false;
        let is_waiting = track.busy || track.left || track.retry_at.is_some();
        if is_waiting || self.is_being_moved(path) {
            return;
        }
        self.rescue(path);
        if let Some(step) = self.step_if_ignored(path) {
            return self.take(path, step);
        }
        let Some(track) = self.inner.tracks.get(path) else { return };
        let heard = match self.inner.link {
            Link::Live => true,
            Link::Listing => track.told,
            Link::Offline => false,
        };
        let was_absent = self.state.was_absent(path);
        let step = next_step(track, base.as_ref(), was_absent, self.options.direction, heard);
        let step = if self.inner.reads_only { step.for_reader() } else { step };
        if let Step::Do(task) = &step
            && task.needs_server()
            && let Some(until) = self.inner.line.rests_until(Instant::now())
        {
            return self.wait_for_line(path, until);
        }
        match step {
            Step::Do(task @ (Task::DeleteLocal { .. } | Task::DeleteRemote { .. }))
                if !self.options.dry_run =>
            {
                self.delete_in_order(path, task);
            }
            step => self.take(path, step),
        }
    }

    /// Lets a path wait until the line to the server has rested. Whoever failed more often comes later, so that a few paths that always
    /// fail do not keep all others waiting.
    fn wait_for_line(&mut self, path: &Path, until: Instant) {
        let track = self.track(path);
        let at = until + AFTER_YOU * track.failures;
        track.retry_at = Some(at);
        self.inner.retries.insert((at, path.clone()));
    }

    fn take(&mut self, path: &Path, step: Step) {
        self.inner.deletes.remove(path);
        self.inner.going.remove(path);
        match step {
            Step::Wait => {}
            Step::Know(entry, print) => {
                self.track(path).local = Local::Known(entry, print);
                self.queue(path);
            }
            Step::Settle(base) => self.settle(path, base),
            Step::Forget => self.forget(path),
            Step::Leave(reason) => self.leave(path, reason),
            Step::Do(task @ Task::Hash { .. }) => self.give(path, task),
            Step::Do(task) if self.options.dry_run => self.would(path, &task),
            Step::Do(task) => self.give_in_order(path, task),
        }
    }

    /// Gives a task to a worker if no other path has to come first.
    fn give_in_order(&mut self, path: &Path, task: Task) {
        let must_wait = match &task {
            Task::Upload { .. } if !self.parent_is_on_server(path) => true,
            Task::Upload { entry, .. } if self.must_empty_first_there(path, entry.content) => {
                self.give_way_if_needed(path);
                true
            }
            Task::Upload { .. } => false,
            Task::Download { remote, .. } if self.must_empty_first(path, remote.entry.content) => {
                self.keep_if_needed(path);
                true
            }
            Task::Download { .. } => self.parent_comes_first(path) || self.is_barred(path),
            // A copy of this very version is on its way already.
            Task::FetchAside { remote } => {
                let tag = remote.seen().tag;
                self.inner.displacing.values().any(|(original, seen)| original == path && seen.tag == tag)
            }
            _ => false,
        };
        if must_wait {
            if self.is_below_left(path) {
                self.inner.stranded.insert(path.clone());
            }
        } else if !self.waits_for_other_half(path, &task) {
            match self.shorten(path, task) {
                Some(task) => {
                    self.hold_ends(path, &task);
                    self.give(path, task);
                }
                None => self.wait_a_moment(path),
            }
        }
    }

    /// A delete waits for the guard, and a directory's for what is in it.
    fn delete_in_order(&mut self, path: &Path, task: Task) {
        if !self.inner.going.contains(path) {
            if self.inner.deletes.insert(path.clone()) {
                self.inner.guard.ask(self.state.bases().len(), Instant::now());
            }
            return;
        }
        if !self.has_below(path) {
            self.inner.going.remove(path);
            self.give(path, task);
        } else if matches!(task, Task::DeleteLocal { .. }) {
            self.keep_if_needed(path);
        }
    }

    fn give(&mut self, path: &Path, task: Task) {
        self.inner.stranded.remove(path);
        let base = self.base(path).copied();
        let above = match task {
            Task::Download { .. } | Task::TakeHere { .. } => self.modes_above(path),
            _ => Vec::new(),
        };
        let Some(track) = self.inner.tracks.get_mut(path) else { return };
        let here = track.local_entry(base.as_ref()).flatten().map(|entry| entry.content);
        track.busy = true;
        self.inner.working += InHand::of(&task);
        self.inner.transfers += usize::from(task.is_transfer());
        let epoch = self.state.cursor().map(|cursor| cursor.epoch);
        self.pool.give(Job { path: path.clone(), task, epoch, here, above });
    }

    /// Takes back what no worker has begun: it would only find out once more how the line is.
    pub(super) fn take_back(&mut self) {
        for Job { path, task, .. } in self.pool.withdraw() {
            self.inner.working -= InHand::of(&task);
            self.inner.transfers -= usize::from(task.is_transfer());
            self.inner.overtaken.remove(&path);
            if let Some(track) = self.inner.tracks.get_mut(&path) {
                track.busy = false;
            }
            self.release_ends(&path, &task);
            self.queue(&path);
        }
    }

    /// Permission bits that the directories above have on the server.
    fn modes_above(&self, path: &Path) -> Vec<(Path, u16)> {
        let mode = |above: Path| {
            let base = self.base(&above);
            let there = match self.inner.tracks.get(&above) {
                Some(track) => track.remote_entry(base),
                None => base.map(|base| base.entry),
            };
            there.filter(|entry| entry.content == Content::Directory).map(|entry| (above, entry.meta.mode))
        };
        successors(path.parent(), Path::parent).filter_map(mode).collect()
    }

    /// Lets the waiting deletes go, if they are not too many. What is being moved will most likely not be deleted: it is waited for, but not
    /// for ever, and does not count.
    fn release_deletes(&mut self) {
        let now = Instant::now();
        if !self.inner.moving.is_empty() && !self.inner.guard.is_late(now) {
            return;
        }
        let was_held = self.inner.guard.is_held();
        let waiting = match self.inner.moving.is_empty() {
            true => self.inner.deletes.len(),
            false => self.inner.deletes.iter().filter(|path| !self.is_being_moved(path)).count(),
        };
        match self.inner.guard.judge(waiting, self.state.bases().len(), now) {
            Brake::Wait => {}
            Brake::Hold { deletes, entries } => {
                if !was_held {
                    self.reporter.report(&Report::Held { deletes, entries });
                }
            }
            Brake::Go => {
                let waiting = std::mem::take(&mut self.inner.deletes);
                let (moving, going): (BTreeSet<Path>, BTreeSet<Path>) =
                    waiting.into_iter().partition(|path| self.is_being_moved(path));
                self.inner.deletes = moving;
                for path in going {
                    self.inner.going.insert(path.clone());
                    self.queue(&path);
                }
                // That they were absent has to be known even if nobody will ever hear what became of the requests. Should the flush fail,
                // the state is written as a whole at the next one, and the trouble told.
                let _ = self.state.flush();
            }
        }
    }

    /// Both sides hold this.
    pub(super) fn settle(&mut self, path: &Path, base: Base) {
        if self.is_ignored(path, base.entry.content.kind()) {
            // Since the job began.
            return self.forget(path);
        }
        self.inner.kept.remove(path);
        self.state.remember(path, base);
        self.drop_track(path);
        if let Some((original, seen)) = self.inner.displacing.remove(path) {
            self.track(&original).displaced = Some(seen);
            self.queue(&original);
        }
        if base.entry.content.kind() == Kind::Directory {
            self.queue_below(path);
        }
    }

    /// Neither side holds anything.
    pub(super) fn forget(&mut self, path: &Path) {
        self.state.forget(path);
        self.drop_track(path);
        if let Some((original, _)) = self.inner.displacing.remove(path) {
            // The copy was deleted before it was on the server: the conflict is as it was.
            self.queue(&original);
        }
        if let Some(parent) = path.parent() {
            self.queue(&parent);
        }
    }

    pub(super) fn drop_track(&mut self, path: &Path) {
        self.inner.going.remove(path);
        self.inner.stranded.remove(path);
        self.inner.left.remove(path);
        if let Some(track) = self.inner.tracks.remove(path) {
            if let Remote::Told { seq, .. } = track.remote {
                self.inner.outstanding.remove(&(seq, path.clone()));
            }
            if let Some(at) = track.retry_at {
                self.inner.retries.remove(&(at, path.clone()));
            }
        }
    }

    pub(super) fn queue_below(&mut self, directory: &Path) {
        let below: Vec<Path> = self
            .inner
            .tracks
            .range::<[u8], _>(directory.descendants())
            .map(|(path, _)| path.clone())
            .collect();
        below.iter().for_each(|path| self.queue(path));
    }

    pub(super) fn leave(&mut self, path: &Path, reason: Option<&'static str>) {
        let problem = reason.map(|reason| Problem { operation: "sync", error: reason.into() });
        if let Some(problem) = &problem {
            self.reporter.report(&Report::Problem { path: Some(path), problem });
        }
        self.mark_left(path, problem);
        self.queue_below(path);
    }

    pub(super) fn mark_left(&mut self, path: &Path, problem: Option<Problem>) {
        let track = self.track(path);
        (track.left, track.problem) = (true, problem);
        self.inner.left.insert(path.clone());
    }

    /// Something may be to be done about a path again: what is below it is not stranded any more, unless by another one.
    fn rescue(&mut self, path: &Path) {
        if self.inner.stranded.is_empty() || self.is_below_left(path) {
            return;
        }
        let stranded = &mut self.inner.stranded;
        stranded.remove(path);
        let below: Vec<Path> = stranded.range::<[u8], _>(path.descendants()).cloned().collect();
        for path in below {
            self.inner.stranded.remove(&path);
            self.queue(&path);
        }
    }

    fn is_below_left(&self, path: &Path) -> bool {
        let is_left = |above: Path| self.inner.tracks.get(&above).is_some_and(|track| track.left);
        !self.inner.left.is_empty() && successors(path.parent(), Path::parent).any(is_left)
    }

    fn would(&mut self, path: &Path, task: &Task) {
        self.reporter.report(&Report::Would { path, action: task.verb() });
        self.leave(path, None);
    }

    /// Whether the server has the directory above, or there is none. If it was deleted there, what is to be sent brings it back.
    fn parent_is_on_server(&mut self, path: &Path) -> bool {
        let Some(parent) = path.parent() else { return true };
        let base = self.base(&parent).copied();
        let Some(track) = self.inner.tracks.get(&parent) else { return base.is_some() };
        if track.remote_entry(base.as_ref()).is_some_and(|entry| entry.content == Content::Directory) {
            return true;
        }
        let is_deleted = matches!(track.remote_view(base.as_ref()), sync::Remote::Tombstone { .. });
        if is_deleted && base.is_some() && !track.busy {
            self.revive(&parent);
        }
        // What follows for it may depend on what is known of this path by now.
        self.queue(&parent);
        false
    }

    /// Makes a directory that the server deleted, or replaced, a new one: what is in it is wanted.
    pub(super) fn revive(&mut self, directory: &Path) {
        if let Some(base) = self.base(directory).copied() {
            let track = self.track(directory);
            if track.local == Local::AsBase {
                track.local = Local::Known(base.entry, base.print);
            }
            track.news();
            self.state.forget(directory);
            self.inner.deletes.remove(directory);
        }
        self.queue(directory);
    }

    /// A directory that is to go, but holds something that the server never had, stays.
    fn keep_if_needed(&mut self, directory: &Path) {
        let stays = |(path, track): (&Path, &Track)| match &track.local {
            Local::Known(entry, _) => self.base(path).is_none_or(|base| base.entry.content != entry.content),
            Local::Unknown => true,
            Local::AsBase | Local::Seen(_) | Local::Absent => false,
        };
        if self.inner.tracks.range::<[u8], _>(directory.descendants()).any(stays) {
            self.revive(directory);
        }
    }

    /// Something took the place of a directory here, but on the server that holds what was never here: the directory keeps the name.
    fn give_way_if_needed(&mut self, path: &Path) {
        let is_unseen = |(path, track): (&Path, &Track)| {
            let base = self.base(path);
            let there = track.remote_entry(base);
            there.is_some_and(|entry| base.is_none_or(|base| base.entry.content != entry.content))
        };
        if !self.inner.tracks.range::<[u8], _>(path.descendants()).any(is_unseen) {
            return;
        }
        if let Some(base) = self.base(path).copied() {
            // Without a base both are versions of their own, which is a conflict.
            let track = self.track(path);
            if track.remote == Remote::AsBase {
                track.remote = Remote::Told { entry: Some(base.entry), seq: base.seq, since: base.seq };
            }
            track.news();
            self.state.forget(path);
            self.queue(path);
        }
    }

    /// Whether something else stands here in the place of a directory above; it has to be looked after first.
    fn is_barred(&mut self, path: &Path) -> bool {
        let stands = |above: &Path| match self.inner.tracks.get(above)?.local {
            Local::Known(entry, _) => Some(entry.content.kind() != Kind::Directory),
            Local::Seen(stat) => Some(stat.kind != StatKind::Directory),
            Local::AsBase | Local::Absent | Local::Unknown => None,
        };
        let above = successors(path.parent(), Path::parent).find(|above| stands(above) == Some(true));
        above.is_some_and(|above| {
            self.queue(&above);
            true
        })
    }

    /// Whether the directory above is about to be made from the server's: it comes first, with its own metadata.
    fn parent_comes_first(&self, path: &Path) -> bool {
        let Some(parent) = path.parent() else { return false };
        let Some(track) = self.inner.tracks.get(&parent) else { return false };
        let was_absent = self.state.was_absent(&parent);
        let step = next_step(track, self.base(&parent), was_absent, self.options.direction, true);
        matches!(
            step,
            Step::Know(..) | Step::Do(Task::Hash { .. } | Task::Download { .. } | Task::SetAside { .. })
        )
    }

    /// Whether a directory has to be emptied before something else can take its name.
    fn must_empty_first(&self, path: &Path, content: Content) -> bool {
        content.kind() != Kind::Directory && self.has_below(path)
    }

    /// The same on the server. If nobody told of a directory there, the server is asked, whatever is known below.
    fn must_empty_first_there(&self, path: &Path, content: Content) -> bool {
        let track = self.inner.tracks.get(path);
        let there = track.and_then(|track| track.remote_entry(self.base(path)));
        there.is_some_and(|there| there.content == Content::Directory) && self.must_empty_first(path, content)
    }

    fn has_below(&self, path: &Path) -> bool {
        let mut bases = self.state.bases().range::<[u8], _>(path.descendants());
        bases.any(|(path, _)| !self.inner.kept.contains(path))
            || self.inner.tracks.range::<[u8], _>(path.descendants()).next().is_some()
    }
}
