//! What to do next about one path: the verdict, turned into a task. Pure.

use super::Direction;
use super::job::{Task, There};
use super::state::Base;
use super::track::{Local, Track};
use crate::disk::{Expect, Fingerprint, StatKind};
use crate::sync::{self, MetaVerdict, Verdict, decide, decide_meta};
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
            (Verdict::Download, _, Some(remote)) => self.download(remote),
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
            (Verdict::DeleteRemote { .. }, _, Some(remote)) => self.download(remote),
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
        let base = self.base.map(|base| &base.entry).filter(|base| base.content == local.content);
        match decide_meta(base, local, &remote.entry) {
            MetaVerdict::Same => Step::Settle(remote.base(print)),
            MetaVerdict::Pull => Step::Do(Task::PullMeta { remote: *remote, print }),
            MetaVerdict::Push => Step::Do(Task::PushMeta { entry: *local, print }),
        }
    }

    fn download(&self, remote: There) -> Step {
        Step::Do(Task::Download { remote, expect: self.expected_here() })
    }

    fn upload(&self, entry: Entry, replacing: Option<sync::Base>) -> Step {
        match self.track.local_print(self.base) {
            Some(print) => Step::Do(Task::Upload { entry, print, replacing }),
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
