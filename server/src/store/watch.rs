//! Makes changes of what is found in the box: what was made, changed or deleted there by hand.
//!
//! What an observation says is compared with the index. What looks the same is the same; what looks changed is read, unless it was only
//! renamed (renamed.rs), and becomes a version if it is one. What is absent is lost, with all below it, from below. Changes are sent without waiting for their outcome, so
//! that a thousand of them are a few commit groups; the queue is bounded, and slows the scan down when the disk is slower. What the
//! committer is at right now (making.rs) is waited for first: the index does not have it yet.
//!
//! The first scan is special in two ways. Whoever opens the store waits for it, so that nobody connects before what happened while the
//! server was down is history. And what it finds lost is held back until its end: if that is most of the box, a wrong disk is more
//! likely mounted than everything deleted, and the store does not open. While the server runs a delete by hand is what it seems.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use common::disk::{Fidelity, Observation, Stat, StatKind};
use common::limits::{LOOK_AGAIN, REMEMBERED_NOTICES};
use common::sync::is_mass_deletion;
use common::threads::read;
use common::tree::{Entry, Kind, Path};

use super::change::{Action, Change};
use super::index::{Index, Record, State};
use super::look::{Reading, entry, has_mode, mode_in_box};
use super::queue::Entrance;
use super::renamed::Renamed;
use super::shared::Shared;

/// Between a reading during which a file changed, and the next one.
const UNSETTLED_PAUSE: Duration = Duration::from_secs(1);
/// Deletes by hand within this time are counted together.
const LOSS_WINDOW: Duration = Duration::from_secs(10);

/// Between a directory being found to be gone, and the second look that makes it so: it may be found under another name before. Longer than
/// a new directory above that name waits for its own first look.
const RENAME_PATIENCE: Duration = Duration::from_millis(200);

/// How the first scan ended.
pub(crate) type Opened = Result<(), Unopened>;

/// Why the store does not open after its first scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// So many of so many entries are missing.
    Held { lost: usize, entries: usize },
    /// The box was moved or unmounted meanwhile.
    Gone,
}

/// Takes observations.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    changes: Entrance,
    first: Option<First>,
    losses: Losses,
    renamed: Renamed,
    /// Directories that are gone, but may be found under another name in a moment.
    awaited: HashSet<Path>,
    /// What was said already, so that every scan does not say it again.
    said: HashSet<String>,
    is_gone: bool,
}

/// The first scan, while it lasts.
#[derive(Debug)]
struct First {
    opened: SyncSender<Opened>,
    /// Whether to go on whatever is missing.
    force: bool,
    lost: HashSet<Path>,
    /// What stands where something lost was, to be looked at when that is gone from the index.
    replaced: Vec<(Path, Stat)>,
}

/// Counts deletes by hand, to say when they are many.
#[derive(Debug)]
struct Losses {
    since: Instant,
    lost: usize,
    entries: usize,
}

type Flow = ControlFlow<()>;
const GO_ON: Flow = ControlFlow::Continue(());

impl Watcher {
    /// A watcher that tells `opened` when the first scan is complete.
    pub(crate) fn new(
        shared: Arc<Shared>,
        changes: Entrance,
        force: bool,
        opened: SyncSender<Opened>,
    ) -> Watcher {
        let first = Some(First { opened, force, lost: HashSet::new(), replaced: Vec::new() });
        let losses = Losses { since: Instant::now(), lost: 0, entries: 0 };
        Watcher {
            shared,
            changes,
            first,
            losses,
            renamed: Renamed::default(),
            awaited: HashSet::new(),
            said: HashSet::new(),
            is_gone: false,
        }
    }

    /// Takes the next observation; breaks when the store is stopping.
    pub(crate) fn take(&mut self, observation: Observation) -> Flow {
        self.renamed.forget_old();
        self.let_committer_finish(&observation)?;
        match observation {
            Observation::Listing { directory, entries, unsettled, .. } => {
                self.listing(directory.as_ref(), entries, &unsettled)
            }
            Observation::Look { path, stat: Some(stat) } => self.consider(path, stat),
            Observation::Look { path, stat: None } => self.lost(path),
            Observation::Unreadable { path, error } => self.unreadable(path.as_ref(), &error),
            Observation::Unsuitable { directory, name, rule } => {
                let place = directory.map_or("the box".to_owned(), |directory| directory.to_string());
                let name = name.escape_ascii();
                self.say(format!("{place}: the name {name} can't sync: {rule}"));
                GO_ON
            }
            Observation::Polling(reason) => {
                self.shared.log.warn(reason);
                GO_ON
            }
            Observation::Scanned => self.scanned(),
            Observation::Gone => self.gone(),
        }
    }

    fn listing(&mut self, directory: Option<&Path>, entries: Vec<(Path, Stat)>, unsettled: &[Path]) -> Flow {
        self.is_gone = false;
        let shared = &self.shared;
        let (mut missing, differing) = compare(&read(&shared.index), directory, entries, shared.fidelity);
        missing.retain(|path| unsettled.binary_search(path).is_err());
        for path in missing {
            self.lost(path)?;
        }
        differing.into_iter().try_for_each(|(path, stat)| self.consider(path, stat))
    }

    /// Something is there. Is it what the index says?
    fn consider(&mut self, path: Path, stat: Stat) -> Flow {
        self.awaited.remove(&path);
        self.follow_rename(&path, &stat)?;
        let index = read(&self.shared.index);
        let record = index.get(&path).copied();
        if record.is_some_and(|record| is_unchanged(&record, &stat, self.shared.fidelity)) {
            return GO_ON;
        }
        let is_over_lost = stat.kind != StatKind::Directory && index.has_below(&path);
        drop(index);
        let known = record.and_then(|record| record.entry().copied());
        if stat.kind == StatKind::Other {
            self.say(format!("{path}: neither file, directory nor symbolic link; it does not sync"));
            return self.lost(path);
        }
        if is_over_lost {
            let below = live_below(&self.shared, &path);
            self.lose(below)?;
            if let Some(first) = &mut self.first {
                first.replaced.push((path, stat));
                return GO_ON;
            }
        }
        match self.renamed.recognise(&self.shared, &path, &stat) {
            Some(before) => {
                let entry = entry(before.content, &stat, Some(&before));
                self.send(path, Action::Found { entry, print: stat.print })
            }
            None => self.read(path, known),
        }
    }

    /// A directory that only got this name is moved in the index, with all below it, before anything else is said of either name.
    fn follow_rename(&mut self, path: &Path, stat: &Stat) -> Flow {
        if stat.kind != StatKind::Directory || read(&self.shared.index).live_entry(path).is_some() {
            return GO_ON;
        }
        match self.renamed.recognise_directory(&self.shared, path, stat) {
            Some(old) => {
                self.send(old, Action::Renamed { to: path.clone() })?;
                self.renamed.note_renamed(stat.print.ino, path);
                self.barrier()
            }
            None => GO_ON,
        }
    }

    fn read(&mut self, path: Path, known: Option<Entry>) -> Flow {
        match self.shared.read(&path) {
            Ok(Reading::Stable(content, stat)) => {
                let entry = entry(content, &stat, known.as_ref());
                self.send(path, Action::Found { entry, print: stat.print })
            }
            Ok(Reading::Unsettled) => {
                self.shared.look(path, UNSETTLED_PAUSE);
                GO_ON
            }
            // It went, or became something else: there will be word of that.
            Ok(Reading::Absent | Reading::Other) => GO_ON,
            Err(error) => {
                self.unreadable(Some(&path), &error)?;
                // As when descriptors have run out; missing permissions come back with an event.
                if error.kind() != io::ErrorKind::PermissionDenied {
                    self.shared.look(path, LOOK_AGAIN);
                }
                GO_ON
            }
        }
    }

    /// A path is absent, on good evidence.
    fn lost(&mut self, path: Path) -> Flow {
        let is_awaited = self.first.is_none() && read(&self.shared.index).has_below(&path);
        if is_awaited && self.awaited.insert(path.clone()) {
            self.shared.look(path, RENAME_PATIENCE);
            return GO_ON;
        }
        self.awaited.remove(&path);
        let mut lost = live_below(&self.shared, &path);
        lost.extend(read(&self.shared.index).live_entry(&path).map(|_| path));
        self.lose(lost)
    }

    /// From below: the paths must be in order.
    fn lose(&mut self, lost: Vec<Path>) -> Flow {
        if let Some(first) = &mut self.first {
            first.lost.extend(lost);
            return GO_ON;
        }
        if self.losses.add(lost.len(), || read(&self.shared.index).live() as usize) {
            self.shared.log.warn(format!(
                "{} of {} entries were deleted in the box by hand within {} s; every client will delete them, too",
                self.losses.lost,
                self.losses.entries,
                LOSS_WINDOW.as_secs()
            ));
        }
        self.renamed.note_lost(&self.shared, &lost);
        lost.into_iter().rev().try_for_each(|path| self.send(path, Action::Lost))
    }

    fn unreadable(&mut self, path: Option<&Path>, error: &io::Error) -> Flow {
        let what = path.map_or("the box".to_owned(), Path::to_string);
        self.say(format!(
            "{what}: can't be read, so it does not sync, and nothing in it counts as deleted: {error}"
        ));
        GO_ON
    }

    fn gone(&mut self) -> Flow {
        if let Some(first) = self.first.take() {
            let _ = first.opened.try_send(Err(Unopened::Gone));
            return ControlFlow::Break(());
        }
        if !self.is_gone {
            self.shared.log.error(
                "the box is not in its place any more, or has lost its .filesync directory; nothing in it counts as deleted, and \
                 nothing is accepted until it is back",
            );
        }
        self.is_gone = true;
        GO_ON
    }

    fn scanned(&mut self) -> Flow {
        self.renamed.forget_table();
        self.shared.partials.expire();
        self.shared.stage.tidy();
        let Some(mut first) = self.first.take() else { return GO_ON };
        // What was found under another name since is not lost.
        first.lost.retain(|path| read(&self.shared.index).live_entry(path).is_some());
        let (lost, entries) = (first.lost.len(), read(&self.shared.index).live() as usize);
        if is_mass_deletion(lost, entries) && !first.force {
            let _ = first.opened.try_send(Err(Unopened::Held { lost, entries }));
            return ControlFlow::Break(());
        }
        let mut lost: Vec<Path> = first.lost.into_iter().collect();
        lost.sort_unstable();
        lost.into_iter().rev().try_for_each(|path| self.send(path, Action::Lost))?;
        for (path, stat) in first.replaced {
            self.barrier()?;
            self.consider(path, stat)?;
        }
        self.barrier()?;
        // Whoever opens the store may have given up.
        let _ = first.opened.try_send(Ok(()));
        GO_ON
    }

    /// If the committer is at what was seen, the index does not say yet what was there when it looked: what was seen since could be taken
    /// for no news.
    fn let_committer_finish(&self, observation: &Observation) -> Flow {
        let making = &self.shared.making;
        let is_being_made = match observation {
            Observation::Listing { directory, .. } => making.concerns_what_is_in(directory.as_ref()),
            Observation::Look { path, .. } => making.concerns(path),
            _ => false,
        };
        if is_being_made { self.barrier() } else { GO_ON }
    }

    /// Waits until all that was sent is committed.
    fn barrier(&self) -> Flow {
        let (reached, reach) = sync_channel(1);
        let asked = self.changes.ask(reached).is_ok();
        if asked && reach.recv().is_ok() { GO_ON } else { ControlFlow::Break(()) }
    }

    fn send(&self, path: Path, action: Action) -> Flow {
        match self.changes.send(Change { path, action, asker: None, reply: None }) {
            Ok(()) => GO_ON,
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn say(&mut self, message: String) {
        if self.said.contains(&message) {
            return;
        }
        if REMEMBERED_NOTICES <= self.said.len() {
            self.said.clear();
        }
        self.said.insert(message.clone());
        self.shared.log.warn(message);
    }
}

impl Losses {
    /// Whether this makes it many, which is said once a window.
    fn add(&mut self, lost: usize, entries: impl FnOnce() -> usize) -> bool {
        if LOSS_WINDOW < self.since.elapsed() || self.lost == 0 {
            *self = Losses { since: Instant::now(), lost: 0, entries: entries() };
        }
        let was_many = is_mass_deletion(self.lost, self.entries);
        self.lost += lost;
        !was_many && is_mass_deletion(self.lost, self.entries)
    }
}

/// What is there below a path, in the order of paths.
fn live_below(shared: &Shared, path: &Path) -> Vec<Path> {
    read(&shared.index).live_below(Some(path)).map(|(path, _)| path.clone()).collect()
}

/// What the index has in a directory and a listing of it has not, and what is not as the index says. Both are in the order of paths, so
/// one walk along both does it: in a scan, nearly everything is as it was.
fn compare(
    index: &Index,
    directory: Option<&Path>,
    entries: Vec<(Path, Stat)>,
    fidelity: Fidelity,
) -> (Vec<Path>, Vec<(Path, Stat)>) {
    let (mut missing, mut differing) = (Vec::new(), Vec::new());
    let mut known = index.children(directory).peekable();
    for (path, stat) in entries {
        while let Some((gone, _)) = known.next_if(|(known, _)| **known < path) {
            missing.push(gone.clone());
        }
        let record = known.next_if(|(known, _)| **known == path);
        if !record.is_some_and(|(_, record)| is_unchanged(record, &stat, fidelity)) {
            differing.push((path, stat));
        }
    }
    missing.extend(known.map(|(path, _)| path.clone()));
    (missing, differing)
}

/// Whether something looks as it did when the index was told of it. The mode of a file is looked at, too: set within the same tick of the
/// clock as something that the server did it does not show in the fingerprint.
fn is_unchanged(record: &Record, stat: &Stat, fidelity: Fidelity) -> bool {
    let State::Live(known, print) = &record.state else { return false };
    match (known.content.kind(), stat.kind) {
        (Kind::Directory, StatKind::Directory) => has_mode(stat, known),
        (Kind::File, StatKind::File) => {
            let modes = [known.meta.mode, mode_in_box(Kind::File, known.meta.mode)];
            *print == Some(stat.print) && modes.iter().any(|mode| fidelity.may_have_mode(stat, *mode))
        }
        (Kind::Symlink, StatKind::Symlink) => *print == Some(stat.print),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use common::disk::Fingerprint;
    use common::threads::write;
    use common::tree::{Content, Meta, Mtime};

    use super::super::change::Require;
    use super::super::index::{Origin, Step};
    use super::super::making::Making;
    use super::super::queue::{Taken, queue};
    use super::*;
    use crate::testing::Workshop;

    fn found(path: &Path) -> Change {
        let entry = Entry { content: Content::Directory, meta: Meta { mtime: Mtime(1), mode: 0o755 } };
        let print = Fingerprint { ino: 1, size: 0, mtime: Mtime(1), ctime: Mtime(1) };
        Change { path: path.clone(), action: Action::Found { entry, print }, asker: None, reply: None }
    }

    /// The committer has looked at it and not entered it when it goes: the index knows of nothing that could be lost.
    #[test]
    fn what_goes_while_it_is_being_entered_is_lost() {
        let path = Path::new(b"dir/short-lived").unwrap();
        let above = path.parent().unwrap();
        // A directory is looked at twice: it may have been renamed.
        let seen_absent = [
            vec![Observation::Look { path: path.clone(), stat: None }],
            vec![
                Observation::Look { path: above.clone(), stat: None },
                Observation::Look { path: above, stat: None },
            ],
            vec![Observation::Listing {
                directory: path.parent(),
                entries: Vec::new(),
                unsettled: Vec::new(),
                began: Mtime(0),
            }],
        ];
        for observations in seen_absent {
            let shop = Workshop::new();
            let shared = shop.service.store.shared.clone();
            let ((changes, exit), (opened, _)) = (queue(), sync_channel(1));
            let mut watcher = Watcher::new(shared.clone(), changes, true, opened);
            watcher.first = None;
            let making = [found(&path)];
            shared.making.begin(&making);
            let name = format!("{observations:?}");
            thread::scope(|scope| {
                // It ends, and the queue with it.
                scope.spawn(move || observations.into_iter().try_for_each(|seen| watcher.take(seen)));
                let Action::Found { entry, .. } = making[0].action else { panic!("{making:?}") };
                let record = Record::new(Step { seq: 1, part: 0 }, Origin::BOX, State::Live(entry, None));
                assert!(exit.waits_for_barrier(), "not waited for: {name}");
                write(&shared.index).apply(path.clone(), record);
                shared.making.end();
                let Taken::Group(lost) = exit.take(None) else { panic!("nothing is lost of {name}") };
                let is_lost = lost[0].path == path && matches!(lost[0].action, Action::Lost);
                assert!(is_lost && lost.len() == 1, "{lost:?} of {name}");
            });
        }
    }

    #[test]
    fn what_is_being_made_elsewhere_is_not_waited_for() {
        let making = Making::default();
        let at = |name: &str| Path::new(name.as_bytes()).unwrap();
        making.begin(&[found(&at("a/b"))]);
        assert!(making.concerns(&at("a/b")) && making.concerns(&at("a")) && making.concerns_what_is_in(None));
        // A directory that was just entered is listed while it is entered: nothing in it is.
        assert!(!making.concerns(&at("a/b/c")) && !making.concerns_what_is_in(Some(&at("a/b"))));
        assert!(!making.concerns(&at("a/bc")) && !making.concerns_what_is_in(Some(&at("b"))));
        making.end();
        let action = Action::Move { to: at("z"), require: Require::Anything };
        making.begin(&[Change { action, ..found(&at("a")) }]);
        assert!(["a/b/c", "z/b", "z"].into_iter().all(|path| making.concerns(&at(path))));
        assert!(making.concerns_what_is_in(Some(&at("z"))) && !making.concerns(&at("y")));
    }

    #[test]
    fn so_many_notices_are_remembered() {
        let shop = Workshop::new();
        let ((changes, _exit), (opened, _)) = (queue(), sync_channel(1));
        let mut watcher = Watcher::new(shop.service.store.shared.clone(), changes, true, opened);
        // Nothing of it is logged: of what goes to the log in tests, this is not bad enough.
        (0..REMEMBERED_NOTICES).for_each(|number| watcher.say(number.to_string()));
        watcher.say("0".to_owned());
        assert_eq!(watcher.said.len(), REMEMBERED_NOTICES, "it was said already");
        watcher.say("new".to_owned());
        assert_eq!(watcher.said.len(), 1);
    }
}
