//! The publisher: one thread that puts new content in its place, after making it durable together with whatever else is waiting.
//!
//! ```text
//!     workers: fetch or copy, check, stage ---> bounded queue ---> publisher: a group = what waits by now
//!        |                                                            flush    up to four files one by one, more by one syncfs
//!        +--> control: the worker is free                             each     is there still what is expected? swap, look, outcome
//! ```
//!
//! It is the client's half of what the server does in commit groups: a lone file waits for one flush, and so do a hundred. Until it is
//! flushed nothing is replaced, since a power cut could leave a file without its content in the place of one that had it, and the next
//! start would take that for an edit. The state is flushed later and by itself: only then are the new names durable, too, and a state that
//! speaks of names has to wait for them, not for content alone.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use super::folder::Folder;
use super::job::{Done, Failure, Job, Outcome, Source, There};
use super::message::Message;
use super::transfer::{OWNERS, Tried, disk};
use crate::disk::{Above, Expect, Outcome as DiskOutcome, Staged, Stat, StatKind};
use crate::limits::{FLUSHED_ONE_BY_ONE, JOBS_TOGETHER, PUBLISH_QUEUE};
use crate::threads::{Awaited, spawn_awaited};
use crate::tree::{Content, Entry};

/// What a worker has made of a job.
#[derive(Debug)]
pub(super) enum Worked {
    /// It is done with.
    Done(Outcome),
    /// Content is staged, and waits to be flushed and published.
    Staged(Ready, File),
}

/// What is to be put in its place.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) staged: Staged,
    /// What is to be there until then.
    pub(super) expect: Expect,
    /// What it is, and by which change.
    pub(super) remote: There,
    /// Permission bits that were set here and not sent yet: those that it has been given.
    pub(super) kept: Option<u16>,
    /// Where its content is from, if it is from this folder.
    pub(super) from: Option<Source>,
}

/// A job on its way from a worker to the publisher, with the descriptor that its content was written through.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) job: Job,
    pub(super) ready: Ready,
    pub(super) file: File,
}

/// The running thread. It ends when nobody can hand it anything any more.
#[derive(Debug)]
pub(super) struct Publisher {
    queue: SyncSender<Vec<Handed>>,
    thread: Awaited,
}

impl Publisher {
    /// Starts it; the outcomes go to `control`.
    pub(super) fn start(
        folder: Arc<Folder>,
        durable: bool,
        control: SyncSender<Message>,
    ) -> io::Result<Publisher> {
        let (queue, waiting) = sync_channel(PUBLISH_QUEUE / JOBS_TOGETHER);
        let thread = spawn_awaited("publish", move || publish_groups(&folder, durable, &waiting, &control))?;
        Ok(Publisher { queue, thread })
    }

    /// Where workers hand it what they have staged, [`JOBS_TOGETHER`] at most at a time. A worker waits while that is full.
    pub(super) fn queue(&self) -> SyncSender<Vec<Handed>> {
        self.queue.clone()
    }

    /// Waits for its end, when all workers have ended.
    pub(super) fn join_until(self, deadline: Instant) {
        drop(self.queue);
        self.thread.join_until(deadline);
    }
}

fn publish_groups(
    folder: &Folder,
    durable: bool,
    waiting: &Receiver<Vec<Handed>>,
    control: &SyncSender<Message>,
) {
    while let Ok(mut group) = waiting.recv() {
        while group.len() + JOBS_TOGETHER <= PUBLISH_QUEUE
            && let Ok(more) = waiting.try_recv()
        {
            group.extend(more);
        }
        let flushed = if durable { flush(folder, &group) } else { group.iter().map(|_| Ok(())).collect() };
        let (mut published, mut last) = (Vec::with_capacity(group.len()), Above::default());
        for (Handed { job, ready, file }, flushed) in group.into_iter().zip(flushed) {
            drop(file);
            let publish =
                || flushed.map_err(disk("flush")).and_then(|()| put_in_place(folder, &job, ready, &mut last));
            let tried =
                catch_unwind(AssertUnwindSafe(publish)).unwrap_or_else(|_| Err(Failure::of_a_defect()));
            if tried.is_err() {
                // The directory may be gone.
                last = Above::default();
            }
            let outcome = tried.unwrap_or_else(Outcome::Failed);
            published.push(Done { job, outcome });
        }
        if control.send(Message::Published(published)).is_err() {
            return;
        }
    }
}

/// Makes the content of a group durable. For each whether it is: a flush of all that fails says nothing good about any.
fn flush(folder: &Folder, group: &[Handed]) -> Vec<io::Result<()>> {
    if group.len() <= FLUSHED_ONE_BY_ONE {
        return group.iter().map(|handed| handed.file.sync_data()).collect();
    }
    let flushed = folder.stage.sync_all();
    let again = |error: &io::Error| match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    };
    group.iter().map(|_| flushed.as_ref().map(|&()| ()).map_err(again)).collect()
}

/// Puts something in the place of what is expected there, which is retained for a while. Directories above that are missing are made as the
/// server has them; with other permission bits they would look changed here. `last` is for those that are put in place with it.
pub(super) fn put_in_place(folder: &Folder, job: &Job, ready: Ready, last: &mut Above) -> Tried {
    let Job { path, here, above, .. } = job;
    let Ready { mut staged, expect, remote, kept, from } = ready;
    if expect != Expect::Absent {
        staged.mark_as_taken().map_err(disk("rename"))?;
    }
    let _open = match last.is_above(path) {
        true => folder.open_doors(&[path]).map_err(disk("open the directory above"))?,
        false => folder.make_way(&[path], path, above).map_err(disk("make the directories above"))?,
    };
    let published = staged.publish_retaining(path, expect, *here, last).map_err(disk("put in place"))?;
    match (published, from) {
        (DiskOutcome::Done(Stat { print, .. }), None) => {
            if is_closed(&remote.entry) {
                folder.root.set_mode(path, remote.entry.meta.mode).map_err(disk("set metadata of"))?;
            }
            Ok(Outcome::Downloaded(remote.placed(print, kept)))
        }
        (DiskOutcome::Done(Stat { print, .. }), Some(from)) => {
            Ok(Outcome::TakenHere { from, placed: remote.placed(print, kept) })
        }
        (DiskOutcome::Changed, _) => match folder.root.stat(path).map_err(disk("look at"))? {
            Some(Stat { kind: StatKind::Directory, .. }) if expect == Expect::EmptyDirectory => {
                Ok(Outcome::NotEmptyHere)
            }
            now => Ok(Outcome::LocalIs(now)),
        },
    }
}

/// Whether it is a directory that its owner is kept out of.
fn is_closed(entry: &Entry) -> bool {
    entry.content == Content::Directory && entry.meta.mode & OWNERS != OWNERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::engine::job::Task;
    use crate::tree::{Content, Entry, Meta, Mtime, Path};
    use crate::wire::sha256::sha256;
    use std::fs;
    use std::io::Write;
    use std::sync::mpsc::TrySendError;
    use std::time::Duration;

    /// Hands over files of these names, all of which are to be new, and says what came of each.
    fn publish(scratch: &Scratch, names: &[String], durable: bool) -> Vec<(String, Outcome)> {
        let folder = Arc::new(Folder::open(scratch.path()).unwrap());
        let (control, heard) = sync_channel(names.len());
        let publisher = Publisher::start(folder.clone(), durable, control).unwrap();
        let queue = publisher.queue();
        for name in names {
            let (staged, mut file) = folder.stage.file().unwrap();
            file.write_all(name.as_bytes()).unwrap();
            let content = Content::File { size: name.len() as u64, hash: sha256(name.as_bytes()) };
            let entry = Entry { content, meta: Meta { mtime: Mtime(0), mode: 0o600 } };
            let (path, expect) = (Path::new(name.as_bytes()).unwrap(), Expect::Absent);
            let remote = There { entry, seq: 1 };
            let task = Task::Download { remote, expect, kept: None };
            let job = Job { path, task, epoch: None, here: None, above: Vec::new() };
            let ready = Ready { staged, expect, remote, kept: None, from: None };
            queue.send(vec![Handed { job, ready, file }]).unwrap();
        }
        drop((queue, publisher));
        let outcomes_of = |message| match message {
            Message::Published(jobs) => {
                jobs.into_iter().map(|done| (done.job.path.to_string(), done.outcome))
            }
            other => panic!("{other:?}"),
        };
        let outcomes = heard.iter().flat_map(outcomes_of).collect();
        assert_eq!(fs::read_dir(scratch.path().join(".filesync/staging")).unwrap().count(), 0);
        outcomes
    }

    /// Something for the path `a`, written through this file.
    fn handed(folder: &Folder, file: &str) -> Handed {
        let (path, expect) = (Path::new(b"a").unwrap(), Expect::Absent);
        let entry = Entry { content: Content::Directory, meta: Meta { mtime: Mtime(0), mode: 0o600 } };
        let remote = There { entry, seq: 1 };
        let task = Task::Download { remote, expect, kept: None };
        let job = Job { path, task, epoch: None, here: None, above: Vec::new() };
        let staged = folder.stage.file().unwrap().0;
        let ready = Ready { staged, expect, remote, kept: None, from: None };
        Handed { job, ready, file: File::open(file).unwrap() }
    }

    #[test]
    fn a_group_is_published_one_by_one() {
        for durable in [false, true] {
            let scratch = Scratch::new();
            // More than one group can hold, and in directories that are not there yet.
            let names: Vec<String> =
                (0..PUBLISH_QUEUE + 10).map(|number| format!("{}/{number}", number % 3)).collect();
            fs::create_dir(scratch.path().join("1")).unwrap();
            fs::write(scratch.path().join("1/4"), "unseen").unwrap();
            let outcomes = publish(&scratch, &names, durable);
            assert_eq!(outcomes.len(), names.len());
            for ((path, outcome), name) in outcomes.iter().zip(&names) {
                assert_eq!(path, name, "in order");
                let found = fs::read_to_string(scratch.path().join(name)).unwrap();
                match outcome {
                    Outcome::Downloaded(_) => assert_eq!(&found, name),
                    Outcome::LocalIs(Some(_)) => {
                        assert_eq!((name.as_str(), found.as_str()), ("1/4", "unseen"))
                    }
                    other => panic!("{name}: {other:?}"),
                }
            }
            assert!(outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::LocalIs(_))));
        }
    }

    /// Nobody hears what came of them. So many are in the publisher's hands at most, and as many wait.
    #[test]
    fn so_many_wait_to_be_published() {
        let scratch = Scratch::new();
        let folder = Arc::new(Folder::open(scratch.path()).unwrap());
        let (control, heard) = sync_channel(0);
        let publisher = Publisher::start(folder.clone(), false, control).unwrap();
        let queue = publisher.queue();
        let refused =
            (0..=2 * PUBLISH_QUEUE).find_map(|_| queue.try_send(vec![handed(&folder, "/dev/null")]).err());
        assert!(matches!(refused, Some(TrySendError::Full(_))));
        drop((queue, heard));
        publisher.join_until(Instant::now() + Duration::from_secs(60));
    }

    /// What can't be flushed by itself, like this device, is flushed along with the whole file system.
    #[test]
    fn a_few_are_flushed_one_by_one_and_many_at_once() {
        let scratch = Scratch::new();
        let folder = Folder::open(scratch.path()).unwrap();
        for (count, is_flushed) in [(FLUSHED_ONE_BY_ONE, false), (FLUSHED_ONE_BY_ONE + 1, true)] {
            let group: Vec<Handed> = (0..count).map(|_| handed(&folder, "/dev/null")).collect();
            let flushed = flush(&folder, &group);
            assert_eq!(flushed.len(), count);
            assert!(flushed.iter().all(|flushed| flushed.is_ok() == is_flushed), "{flushed:?}");
        }
    }
}
