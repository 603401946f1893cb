//! What is heard of the folder.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use super::Control;
use crate::disk::{Fidelity, Fingerprint, Observation, Stat, StatKind};
use crate::engine::report::Report;
use crate::engine::state::Base;
use crate::engine::track::{Local, Problem};
use crate::limits::TIMESTAMP_TICK;
use crate::tree::{Catalog, Kind, Mtime, Path};

impl Control {
    pub(super) fn hear_observation(&mut self, observation: Observation) {
        match observation {
            Observation::Listing { directory, entries, unsettled, began } => {
                self.hear_listing(directory.as_ref(), &entries, &unsettled, began);
            }
            Observation::Look { path, stat } => {
                self.inner.folder_problems.remove(path.as_bytes());
                if Self::is_rules_file(&path) {
                    self.reread_rules();
                }
                self.observe(&path, stat);
            }
            Observation::Unreadable { path: Some(path), .. } if self.rules.ignore(&path, true) => {}
            Observation::Unreadable { path, error } => {
                let problem = Problem { operation: "read", error: error.to_string() };
                self.hear_unreadable(path, problem);
            }
            Observation::Unsuitable { directory: Some(directory), .. }
                if self.rules.ignore(&directory, true) => {}
            Observation::Unsuitable { directory, name, rule } => {
                let place = directory.map_or_else(String::new, |directory| format!("{directory}/"));
                let error = format!("{rule}: {place}{}; it is not synced", name.escape_ascii());
                self.folder_problem(&name, Problem { operation: "sync", error });
            }
            Observation::Scanned => {
                self.inner.scanned = true;
                self.inner.folder_gone = false;
                self.inner.folder_problems.remove(GONE_PROBLEM);
                self.reread_rules();
            }
            Observation::Polling(reason) => {
                self.reporter.report(&Report::Polling { reason: &reason });
                self.inner.polling = Some(reason);
            }
            Observation::Gone => self.hear_gone(),
        }
    }

    /// A complete listing: what is known below the directory and not listed is absent.
    fn hear_listing(
        &mut self,
        directory: Option<&Path>,
        entries: &[(Path, Stat)],
        unsettled: &[Path],
        began: Mtime,
    ) {
        let problem_key = directory.map_or(ROOT_PROBLEM, Path::as_bytes);
        self.inner.folder_problems.remove(problem_key);
        let mut missing = self.missing_children(directory, entries);
        missing.retain(|child| unsettled.binary_search(child).is_err());
        for child in missing {
            self.inner.folder_problems.remove(child.as_bytes());
            match self.is_younger(&child, began) {
                true => self.looker.look(child, Duration::ZERO),
                false => self.observe(&child, None),
            }
        }
        self.inner.heard += entries.len();
        for (path, stat) in entries {
            if stat.kind != StatKind::Directory {
                // That a directory can be read is another question than whether it is there.
                self.inner.folder_problems.remove(path.as_bytes());
            }
            self.observe(path, Some(*stat));
        }
    }

    /// Whether something may have been put there since. That a listing which was begun before leaves it out is no evidence.
    pub(super) fn is_younger(&self, path: &Path, began: Mtime) -> bool {
        let tick = i64::try_from(TIMESTAMP_TICK.as_nanos()).unwrap_or(i64::MAX);
        self.state.base(path).is_some_and(|base| began.0 <= base.print.ctime.0.saturating_add(tick))
    }

    /// What is known to be, or to have been, directly in a directory, and is not among its entries, which are in the order of paths.
    fn missing_children(&self, directory: Option<&Path>, entries: &[(Path, Stat)]) -> BTreeSet<Path> {
        let mut missing = BTreeSet::new();
        let mut note = |child: &Path| {
            if entries.binary_search_by(|(path, _)| path.cmp(child)).is_err() {
                missing.insert(child.clone());
            }
        };
        each_child(self.state.bases(), directory, &mut note);
        each_child(&self.inner.tracks, directory, &mut note);
        missing
    }

    /// What is at a path now. Most often it is what was there before, and then nothing is to be done.
    pub(super) fn observe(&mut self, path: &Path, stat: Option<Stat>) {
        let is_directory = stat.is_some_and(|stat| stat.kind == StatKind::Directory);
        let base = self.state.base(path).copied();
        let is_busy = self.inner.tracks.get(path).is_some_and(|track| track.busy);
        // What went and is back is looked at like anything new.
        let was_absent = self.state.was_absent(path);
        let local = match stat {
            Some(stat)
                if !was_absent && base.is_some_and(|base| looks_like(&stat, &base, self.folder.fidelity)) =>
            {
                Local::AsBase
            }
            Some(stat) if stat.kind == StatKind::Other => Local::Unknown,
            Some(stat) if base.is_none() => match self.known_by_inode(&stat) {
                Some(entry) => Local::Known(entry, stat.print),
                None => Local::Seen(stat),
            },
            Some(stat) => Local::Seen(stat),
            None if base.is_none() && !is_busy => Local::AsBase,
            // With a job on its way there may be a base in a moment, and then this is not as it says.
            None => Local::Absent,
        };
        if local == Local::Absent {
            self.state.mark_absent(path);
            self.note_absent(path);
        }
        if !is_directory {
            self.observe_nothing_below(path);
        }
        let is_ignored = base.is_none() && self.rules.ignore(path, is_directory);
        match self.inner.tracks.get_mut(path) {
            None if local == Local::AsBase || is_ignored => return,
            Some(track) if is_same(&track.local, &local) => return,
            Some(track) => {
                track.local = local;
                track.news();
            }
            None => self.track(path).local = local,
        }
        if local == Local::Unknown {
            self.reporter.report(&Report::PassedOver { path });
            self.mark_left(path, None);
        }
        self.queue(path);
        if !is_directory {
            // What comes from the server may have waited for what was here.
            self.queue_below(path);
        }
    }

    /// There is no directory at a path, so there is nothing below it.
    fn observe_nothing_below(&mut self, path: &Path) {
        let range = path.descendants();
        let mut below: BTreeSet<Path> =
            self.state.bases().range::<[u8], _>(range.clone()).map(|(path, _)| path.clone()).collect();
        below.extend(self.inner.tracks.range::<[u8], _>(range).map(|(path, _)| path.clone()));
        for path in below {
            let is_busy = self.inner.tracks.get(&path).is_some_and(|track| track.busy);
            let is_new = self.state.base(&path).is_none() && !is_busy;
            let local = if is_new { Local::AsBase } else { Local::Absent };
            self.state.mark_absent(&path);
            self.note_absent(&path);
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

/// Names the children of a directory that a catalog knows of, itself or by something below them. What is below a child is jumped over,
/// so that this takes as long as there are children, and not as there are descendants.
fn each_child<T>(known: &Catalog<T>, directory: Option<&Path>, note: &mut impl FnMut(&Path)) {
    let prefix = directory.map_or(0, |directory| directory.as_bytes().len() + 1);
    let beyond = directory.map(|directory| directory.descendants().after().to_vec());
    let mut entries = match directory {
        Some(directory) => known.range::<[u8], _>(directory.descendants()),
        None => known.iter(),
    };
    while let Some((path, _)) = entries.next() {
        let Some(slash) = path.as_bytes()[prefix..].iter().position(|&byte| byte == b'/') else {
            note(path);
            continue;
        };
        let Ok(child) = Path::new(&path.as_bytes()[..prefix + slash]) else { continue };
        let end = beyond.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        entries = known.range::<[u8], _>((Bound::Included(child.descendants().after()), end));
        note(&child);
    }
}

/// Whether a file looks as it did when it had the content of its base. A directory's times change with what is in it. The mode of a file
/// is looked at, too: set within the same tick of the clock as something that was done here it does not show in the fingerprint.
fn looks_like(stat: &Stat, base: &Base, fidelity: Fidelity) -> bool {
    match base.entry.content.kind() {
        Kind::Directory => stat.kind == StatKind::Directory && stat.mode == base.entry.meta.mode,
        Kind::File => {
            stat.kind == StatKind::File
                && stat.print == base.print
                && fidelity.may_have_mode(stat, base.entry.meta.mode)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_without_a_walk_through_what_is_below_them() {
        let names =
            ["a", "a-b", "a/x", "a/x/y", "a0", "b/only/deep", "d", "d/1", "d/2/z", "d!"].map(str::as_bytes);
        let known = names.into_iter().chain([b"a/\xff\xff/x".as_slice(), b"a/\xff"]);
        let known: Catalog<()> = known.map(|name| (Path::new(name).unwrap(), ())).collect();
        let children = |directory: Option<&str>| {
            let directory = directory.map(|name| Path::new(name.as_bytes()).unwrap());
            let mut children = BTreeSet::new();
            each_child(&known, directory.as_ref(), &mut |child| children.extend([child.clone()]));
            children.iter().map(Path::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(children(None), "a a-b a0 b d d!");
        assert_eq!(children(Some("a")), "a/x a/\\xff a/\\xff\\xff");
        assert_eq!(children(Some("b")), "b/only");
        assert_eq!(children(Some("d")), "d/1 d/2");
        assert_eq!(children(Some("none")), "");
    }
}
