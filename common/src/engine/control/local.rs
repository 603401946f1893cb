//! What is heard of the folder.

use std::collections::BTreeSet;

use super::Control;
use crate::disk::{Fingerprint, Observation, Stat, StatKind};
use crate::engine::report::Report;
use crate::engine::state::Base;
use crate::engine::track::{Local, Problem};
use crate::tree::{Kind, Path};

impl Control {
    pub(super) fn hear_observation(&mut self, observation: Observation) {
        match observation {
            Observation::Listing { directory, entries } => self.hear_listing(directory.as_ref(), &entries),
            Observation::Look { path, stat } => {
                self.inner.folder_problems.remove(path.as_bytes());
                self.observe(&path, stat);
            }
            Observation::Unreadable { path, error } => {
                let problem = Problem { operation: "read", error: error.to_string() };
                self.hear_unreadable(path, problem);
            }
            Observation::Unsuitable { directory, name, rule } => {
                let place = directory.map_or_else(String::new, |directory| format!("{directory}/"));
                let error = format!("{rule}: {place}{}; it is not synced", name.escape_ascii());
                self.folder_problem(&name, Problem { operation: "sync", error });
            }
            Observation::Scanned => {
                self.inner.scanned = true;
                self.inner.folder_gone = false;
                self.inner.folder_problems.remove(GONE_PROBLEM);
            }
            Observation::Polling(reason) => {
                self.reporter.report(&Report::Polling { reason: &reason });
                self.inner.polling = Some(reason);
            }
            Observation::Gone => self.hear_gone(),
        }
    }

    /// A complete listing: what is known below the directory and not listed is absent.
    fn hear_listing(&mut self, directory: Option<&Path>, entries: &[(Path, Stat)]) {
        let problem_key = directory.map_or(ROOT_PROBLEM, Path::as_bytes);
        self.inner.folder_problems.remove(problem_key);
        let listed: BTreeSet<&[u8]> = entries.iter().map(|(path, _)| path.as_bytes()).collect();
        for child in self.known_children(directory) {
            if !listed.contains(child.as_bytes()) {
                self.observe(&child, None);
            }
        }
        for (path, stat) in entries {
            self.observe(path, Some(*stat));
        }
    }

    /// What is known to be, or to have been, directly in a directory.
    fn known_children(&self, directory: Option<&Path>) -> BTreeSet<Path> {
        let mut children = BTreeSet::new();
        let mut collect = |path: &Path| {
            if path.parent().as_ref() == directory {
                children.insert(path.clone());
            } else if let Some(child) = child_towards(directory, path) {
                children.insert(child);
            }
        };
        match directory {
            Some(directory) => {
                let range = directory.descendants();
                self.state.bases().range::<[u8], _>(range.clone()).for_each(|(path, _)| collect(path));
                self.inner.tracks.range::<[u8], _>(range).for_each(|(path, _)| collect(path));
            }
            None => {
                self.state.bases().keys().for_each(&mut collect);
                self.inner.tracks.keys().for_each(collect);
            }
        }
        children
    }

    /// What is at a path now. Most often it is what was there before, and then nothing is to be done.
    pub(super) fn observe(&mut self, path: &Path, stat: Option<Stat>) {
        let base = self.state.base(path).copied();
        let local = match stat {
            Some(stat) if base.is_some_and(|base| looks_like(&stat, &base)) => Local::AsBase,
            Some(stat) if stat.kind == StatKind::Other => Local::Unknown,
            Some(stat) => Local::Seen(stat),
            None if base.is_none() => Local::AsBase,
            None => Local::Absent,
        };
        let is_directory = stat.is_some_and(|stat| stat.kind == StatKind::Directory);
        if !is_directory {
            self.observe_nothing_below(path);
        }
        match self.inner.tracks.get_mut(path) {
            None if local == Local::AsBase => return,
            Some(track) if is_same(&track.local, &local) => return,
            Some(track) => {
                track.local = local;
                track.news();
            }
            None => self.track(path).local = local,
        }
        if local == Local::Unknown {
            let error = "it is neither a file nor a directory nor a link; it is passed over".to_owned();
            let problem = Problem { operation: "sync", error };
            self.reporter.report(&Report::Problem { path: Some(path), problem: &problem });
            self.track(path).left = true;
        }
        self.queue(path);
    }

    /// There is no directory at a path, so there is nothing below it.
    fn observe_nothing_below(&mut self, path: &Path) {
        let range = path.descendants();
        let mut below: BTreeSet<Path> =
            self.state.bases().range::<[u8], _>(range.clone()).map(|(path, _)| path.clone()).collect();
        below.extend(self.inner.tracks.range::<[u8], _>(range).map(|(path, _)| path.clone()));
        for path in below {
            let local = if self.state.base(&path).is_some() { Local::Absent } else { Local::AsBase };
            let track = self.track(&path);
            if track.local != local {
                track.local = local;
                track.news();
                self.queue(&path);
            }
        }
    }

    /// Unreadable is not gone: no verdict is asked for what could not be read.
    fn hear_unreadable(&mut self, path: Option<Path>, problem: Problem) {
        let Some(path) = path else {
            self.folder_problem(ROOT_PROBLEM, problem);
            return;
        };
        let is_directory =
            self.state.base(&path).is_some_and(|base| base.entry.content.kind() == Kind::Directory);
        if is_directory || !self.inner.tracks.contains_key(&path) {
            // What is in it stays as it was known.
            let error = format!("{path}: {}; what is in it is left alone", problem.error);
            self.folder_problem(path.as_bytes(), Problem { error, ..problem });
            return;
        }
        self.reporter.report(&Report::Problem { path: Some(&path), problem: &problem });
        let track = self.track(&path);
        (track.local, track.problem) = (Local::Unknown, Some(problem));
    }

    fn hear_gone(&mut self) {
        self.inner.folder_gone = true;
        let error =
            "the folder is not in its place, or its .filesync is missing: unmounted, moved or emptied? \
                     nothing is deleted anywhere; put it back, or stop this client"
                .to_owned();
        self.folder_problem(GONE_PROBLEM, Problem { operation: "read the folder", error });
        if self.options.once {
            self.end(crate::engine::Ended::Held);
        }
    }
}

const GONE_PROBLEM: &[u8] = b"/gone";
const ROOT_PROBLEM: &[u8] = b"/root";

/// The child of `directory` through which the way to `path` leads.
fn child_towards(directory: Option<&Path>, path: &Path) -> Option<Path> {
    let skip = directory.map_or(0, |directory| directory.as_bytes().len() + 1);
    let name = path.as_bytes().get(skip..)?.split(|&byte| byte == b'/').next()?;
    Path::child(directory, name).ok()
}

/// Whether a file looks as it did when it had the content of its base. A directory's times change with what is in it.
fn looks_like(stat: &Stat, base: &Base) -> bool {
    match base.entry.content.kind() {
        Kind::Directory => stat.kind == StatKind::Directory && stat.mode == base.entry.meta.mode,
        Kind::File => stat.kind == StatKind::File && stat.print == base.print,
        Kind::Symlink => stat.kind == StatKind::Symlink && stat.print == base.print,
    }
}

/// Whether this is no news.
fn is_same(known: &Local, now: &Local) -> bool {
    let print = |local: &Local| -> Option<Fingerprint> {
        match local {
            Local::Seen(stat) if stat.kind != StatKind::Directory => Some(stat.print),
            Local::Known(entry, print) if entry.content.kind() != Kind::Directory => Some(*print),
            _ => None,
        }
    };
    known == now || print(known).is_some_and(|known| print(now) == Some(known))
}
