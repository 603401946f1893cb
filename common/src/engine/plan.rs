//! What to do next about one path: the verdict, turned into a task. Pure.

use super::Direction;
use super::job::{Task, There};
use super::state::Base;
use super::track::{Local, Track};
use crate::disk::{Expect, Fingerprint, StatKind};
use crate::sync::{self, MetaVerdict, Verdict, decide, decide_meta, mode_before, mode_kept};
use crate::tree::{Content, Entry, Kind, Meta, Tag};

/// What to do next about a path.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Nothing, until something is known that is not known now.
    Wait,
    /// Both sides hold this, and it looks like that on disk: remember it.
    Settle(Base),
    /// Neither side holds anything.
    Forget,
    /// It is known without reading it.
    Know(Entry, Fingerprint),
    /// Give it to a worker.
    Do(Task),
    /// Nothing, in the direction that was asked for. The text says what stays as it is, if anyone should care.
    Leave(Option<&'static str>),
}

impl Step {
    /// The same for who may not change the box: what would, stays as it is here.
    pub(super) fn for_reader(self) -> Step {
        match self {
            Step::Do(task) if task.needs_write() => Step::Leave(Some(
                "the token only lets read: what is here differs from the box, and stays here",
            )),
            step => step,
        }
    }
}

/// The next step for a track that no worker has, if the server has been heard of. `was_absent`: since the base was agreed on, nothing was
/// at the path for a while.
pub(super) fn next_step(
    track: &Track,
    base: Option<&Base>,
    was_absent: bool,
    direction: Direction,
    heard: bool,
) -> Step {
    if let Local::Seen(stat) = &track.local {
        return match stat.kind {
            StatKind::Directory => {
                let meta = Meta { mtime: stat.mtime, mode: stat.mode };
                Step::Know(Entry { content: Content::Directory, meta }, stat.print)
            }
            _ => Step::Do(Task::Hash { stat: *stat }),
        };
    }
    let Some(local) = track.local_entry(base) else { return Step::Wait };
    if !heard {
        return Step::Wait;
    }
    let mut seen = track.displaced.or(base.map(Base::seen));
    let mut there = track.remote_view(base);
    let local_tag = local.map(|entry| Tag::from(entry.content));
    if was_absent && local_tag.is_some() && local_tag == seen.map(|seen| seen.tag) {
        // It went and is back: a version of its own. While it was away the server may have been asked to delete it, and done so unheard
        // of; what it was known to hold it has to say again. Who only pulls asks for no deletion.
        if direction != Direction::Pull && seen.is_some_and(|seen| seen.is_held_by(there)) {
            there = sync::Remote::Unknown;
        }
        seen = None;
    }
    let verdict = decide(seen, local_tag, there);
    let sides = Sides { track, base, local, remote: track.there(base) };
    match direction {
        Direction::Both => sides.both_ways(verdict),
        Direction::Push => sides.push(verdict),
        Direction::Pull => sides.pull(verdict),
    }
}

struct Sides<'a> {
    track: &'a Track,
    base: Option<&'a Base>,
    local: Option<Entry>,
    remote: Option<There>,
}

impl Sides<'_> {
    fn both_ways(&self, verdict: Verdict) -> Step {
        match (verdict, self.local, self.remote) {
            (Verdict::InSync, Some(local), Some(remote)) => self.in_sync(&local, &remote),
            (Verdict::Forget, ..) => Step::Forget,
            (Verdict::Download, _, Some(remote)) => {
                let base = self.base.map(|base| &base.entry);
                self.download(remote, mode_kept(base, self.local.as_ref(), &remote.entry))
            }
            (Verdict::DeleteLocal, Some(_), _) => {
                Step::Do(Task::DeleteLocal { expect: self.expected_here() })
            }
            (Verdict::Upload { replacing }, Some(entry), _) => self.upload(entry, replacing),
            (Verdict::DeleteRemote { seen }, ..) => Step::Do(Task::DeleteRemote { seen }),
            (Verdict::Conflict, Some(local), Some(remote)) => self.conflict(&local, remote),
            // A verdict never speaks of a side that is not there.
            _ => Step::Wait,
        }
    }

    /// The box follows the folder, the folder is never touched. What someone else put into the box is not ours to replace.
    fn push(&self, verdict: Verdict) -> Step {
        match (verdict, self.local) {
            (Verdict::DeleteLocal, Some(entry)) => self.upload(entry, None),
            (Verdict::Download, None) => Step::Leave(None),
            (Verdict::Download | Verdict::Conflict, _) => Step::Leave(Some(
                "the box holds another version, made elsewhere; --push replaces only what it knows",
            )),
            (Verdict::InSync, _) => match self.both_ways(verdict) {
                Step::Do(Task::PullMeta { .. }) => Step::Leave(None),
                step => step,
            },
            _ => self.both_ways(verdict),
        }
    }

    /// The folder follows the box, the box is never touched. What was written here is kept under a conflict name.
    fn pull(&self, verdict: Verdict) -> Step {
        match (verdict, self.local, self.remote) {
            (Verdict::Upload { .. }, _, None) => Step::Leave(None),
            (Verdict::Upload { .. } | Verdict::Conflict, Some(_), Some(_)) => self.set_aside(),
            (Verdict::Download | Verdict::DeleteRemote { .. }, _, Some(remote)) => {
                self.download(remote, None)
            }
            (Verdict::InSync, ..) => {
                match (self.both_ways(verdict), self.remote, self.track.local_print(self.base)) {
                    (Step::Do(Task::PushMeta { .. }), Some(remote), Some(print)) => {
                        Step::Do(Task::PullMeta { remote, print })
                    }
                    (step, ..) => step,
                }
            }
            _ => self.both_ways(verdict),
        }
    }

    fn in_sync(&self, local: &Entry, remote: &There) -> Step {
        let Some(print) = self.track.local_print(self.base) else { return Step::Wait };
        match decide_meta(self.base.map(|base| &base.entry), local, &remote.entry) {
            MetaVerdict::Same => Step::Settle(remote.base(print)),
            MetaVerdict::Pull => Step::Do(Task::PullMeta { remote: *remote, print }),
            MetaVerdict::Push(change) => Step::Do(Task::PushMeta { entry: *local, print, change }),
        }
    }

    fn download(&self, remote: There, kept: Option<u16>) -> Step {
        Step::Do(Task::Download { remote, expect: self.expected_here(), kept })
    }

    fn upload(&self, entry: Entry, replacing: Option<sync::Base>) -> Step {
        let replaced = self.base.filter(|base| replacing == Some(base.seen()));
        let before = mode_before(replaced.map(|base| &base.entry), &entry);
        match self.track.local_print(self.base) {
            Some(print) => Step::Do(Task::Upload { entry, print, replacing, before }),
            None => Step::Wait,
        }
    }

    /// The server's version keeps the name, but a directory keeps it before a file.
    fn conflict(&self, local: &Entry, remote: There) -> Step {
        match (local.content.kind(), remote.entry.content.kind()) {
            (Kind::Directory, Kind::File | Kind::Symlink) => Step::Do(Task::FetchAside { remote }),
            _ => self.set_aside(),
        }
    }

    fn set_aside(&self) -> Step {
        match self.track.local_print(self.base) {
            Some(print) => Step::Do(Task::SetAside { print }),
            None => Step::Wait,
        }
    }

    /// What has to be on disk for a local change to go ahead: what the verdict was based on.
    fn expected_here(&self) -> Expect {
        match (self.local.map(|entry| entry.content.kind()), self.track.local_print(self.base)) {
            (Some(Kind::Directory), _) => Expect::EmptyDirectory,
            (Some(_), Some(print)) => Expect::Print(print),
            _ => Expect::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::track::Remote;
    use crate::sync::MetaChange;
    use crate::tree::Mtime;
    use crate::wire::sha256::Hash;

    const PRINT: Fingerprint = Fingerprint { ino: 1, size: 1, mtime: Mtime(1), ctime: Mtime(1) };

    fn file(content: u8, mtime: i64, mode: u16) -> Entry {
        let content = Content::File { size: 1, hash: Hash([content; 32]) };
        Entry { content, meta: Meta { mtime: Mtime(mtime), mode } }
    }

    /// What follows if the base was agreed on at seq 5, and the server told of its entry at seq 9.
    fn task(
        base: Option<Entry>,
        local: Option<Entry>,
        remote: Option<Entry>,
        direction: Direction,
    ) -> Option<Task> {
        let mut track = Track::new();
        track.local = local.map_or(Local::Absent, |entry| Local::Known(entry, PRINT));
        let is_new = |remote: &Entry| base.is_none_or(|base| base.content != remote.content);
        let since = |remote: &Entry| if is_new(remote) { 9 } else { 5 };
        if remote != base {
            let since = remote.as_ref().map_or(9, since);
            track.remote = Remote::Told { entry: remote, seq: 9, since };
        }
        let base = base.map(|entry| Base { entry, print: PRINT, seq: 5 });
        match next_step(&track, base.as_ref(), false, direction, true) {
            Step::Do(task) => Some(task),
            _ => None,
        }
    }

    /// The mode that an upload sends, and the one that it knows the server to have had.
    fn upload(base: Option<Entry>, local: Entry, remote: Option<Entry>) -> (u16, Option<u16>) {
        match task(base, Some(local), remote, Direction::Both) {
            Some(Task::Upload { entry, before, .. }) => (entry.meta.mode, before),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_upload_sends_a_mode_only_if_it_was_changed_here() {
        let base = file(1, 1, 0o644);
        // Edited here; there nothing was done, or the mode was set.
        for remote in [base, file(1, 1, 0o600), file(1, 7, 0o644)] {
            assert_eq!(upload(Some(base), file(2, 2, 0o644), Some(remote)), (0o644, Some(0o644)));
            assert_eq!(upload(Some(base), file(2, 2, 0o755), Some(remote)), (0o755, Some(0o644)));
        }
        // Nothing is there that it could have a mode from.
        assert_eq!(upload(None, file(2, 2, 0o644), None), (0o644, None));
        assert_eq!(upload(Some(base), file(2, 2, 0o644), None), (0o644, None));
        let link = Entry { content: Content::Symlink { size: 1, hash: Hash([1; 32]) }, ..base };
        assert_eq!(upload(Some(link), file(2, 2, 0o644), Some(link)), (0o644, None));
    }

    #[test]
    fn a_download_keeps_a_mode_that_was_set_here_but_not_where_the_folder_only_follows() {
        let base = file(1, 1, 0o644);
        let kept = |local: Option<Entry>, remote: Entry, direction| match task(
            Some(base),
            local,
            Some(remote),
            direction,
        ) {
            Some(Task::Download { kept, .. }) => kept,
            other => panic!("{other:?}"),
        };
        for (local, remote, wanted) in [
            (Some(base), file(2, 2, 0o644), None),
            (Some(base), file(2, 2, 0o600), None),
            (Some(file(1, 1, 0o755)), file(2, 2, 0o644), Some(0o755)),
            (Some(file(1, 1, 0o755)), file(2, 2, 0o600), Some(0o755)),
            (Some(file(1, 1, 0o755)), file(2, 2, 0o755), None),
            (Some(file(1, 9, 0o644)), file(2, 2, 0o600), None),
            (None, file(2, 2, 0o600), None),
        ] {
            assert_eq!(kept(local, remote, Direction::Both), wanted, "{local:?} {remote:?}");
            assert_eq!(kept(local, remote, Direction::Pull), None, "{local:?} {remote:?}");
        }
    }

    #[test]
    fn of_two_changes_of_metadata_that_cross_ours_is_sent_first() {
        let (base, chmod, touch) = (file(1, 1, 0o644), file(1, 1, 0o755), file(1, 2, 0o644));
        let change = |local, remote| match task(Some(base), Some(local), Some(remote), Direction::Both) {
            Some(Task::PushMeta { change, .. }) => Some(change),
            Some(Task::PullMeta { .. }) => None,
            other => panic!("{other:?}"),
        };
        let mode = MetaChange { mtime: None, mode: Some(0o755) };
        let mtime = MetaChange { mtime: Some(Mtime(2)), mode: None };
        assert_eq!(change(chmod, touch), Some(mode));
        assert_eq!(change(touch, chmod), Some(mtime));
        assert_eq!(change(base, chmod), None);
        // In one direction only, the other side's is left alone, or taken.
        let step = |local, remote, direction| task(Some(base), Some(local), Some(remote), direction);
        assert!(matches!(step(chmod, touch, Direction::Push), Some(Task::PushMeta { .. })));
        assert!(step(base, touch, Direction::Push).is_none());
        assert!(matches!(step(chmod, touch, Direction::Pull), Some(Task::PullMeta { .. })));
    }
}
