//! Jobs that wait for a worker. Control puts them in and never waits: it counts what is in hand, and gives out no more than it may.
//!
//! A *light* job is done in less time than it takes to wake somebody for it. So a worker takes several of a kind at once, a fair share of
//! what waits, and sends what they ask of the server without waiting for the answers in between. Any other job has a worker for itself.
//!
//! Uploads and downloads are not mixed: where both the requests and the answers are long, each side might wait for the other to read.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use super::job::Job;
use crate::limits::JOBS_TOGETHER;
use crate::threads::lock;

/// The queue.
#[derive(Debug)]
pub(super) struct Jobs {
    waiting: Mutex<Waiting>,
    called: Condvar,
    workers: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Workers that have nothing to do.
    idle: usize,
    is_closed: bool,
}

impl Jobs {
    /// For so many workers.
    pub(super) fn for_workers(workers: usize) -> Jobs {
        Jobs { waiting: Mutex::default(), called: Condvar::new(), workers }
    }

    /// Puts a job in. Nobody is woken for it yet.
    pub(super) fn put(&self, job: Job) {
        lock(&self.waiting).jobs.push_back(job);
    }

    /// Wakes as many workers as there are jobs, of those that have nothing to do: whoever is at work looks here when he is done.
    pub(super) fn call(&self) {
        let waiting = lock(&self.waiting);
        (0..waiting.jobs.len().min(waiting.idle)).for_each(|_| self.called.notify_one());
    }

    /// The next job, or a worker's share of the light ones; waits for it. `None`: there will be no more.
    pub(super) fn take(&self) -> Option<Vec<Job>> {
        let mut waiting = lock(&self.waiting);
        while waiting.jobs.is_empty() && !waiting.is_closed {
            waiting.idle += 1;
            waiting = self.called.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
        if waiting.is_closed {
            return None;
        }
        let share = waiting.jobs.len().div_ceil(self.workers).min(JOBS_TOGETHER);
        let mut taken = Vec::from_iter(waiting.jobs.pop_front());
        while taken.len() < share
            && let (Some(last), Some(next)) = (taken.last(), waiting.jobs.front())
            && last.task.goes_with(&next.task)
        {
            taken.extend(waiting.jobs.pop_front());
        }
        Some(taken)
    }

    /// Takes back what no worker has taken.
    pub(super) fn withdraw(&self) -> VecDeque<Job> {
        std::mem::take(&mut lock(&self.waiting).jobs)
    }

    /// Lets every worker end with what it has taken.
    pub(super) fn close(&self) {
        lock(&self.waiting).is_closed = true;
        self.called.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Expect, Fingerprint, Stat, StatKind};
    use crate::engine::job::{Task, There};
    use crate::tree::{Content, Entry, Meta, Mtime, Path};

    const PRINT: Fingerprint = Fingerprint { ino: 1, size: 1, mtime: Mtime(1), ctime: Mtime(1) };

    /// A light job, if it is not too long: a file of this length is to be read.
    fn read(name: &str, size: u64) -> Job {
        let stat =
            Stat { kind: StatKind::File, size, mtime: Mtime(1), mode: 0o644, born: None, print: PRINT };
        job(name, Task::Hash { stat })
    }

    fn job(name: &str, task: Task) -> Job {
        Job { path: Path::new(name.as_bytes()).unwrap(), task, epoch: None, here: None, above: Vec::new() }
    }

    fn taken(jobs: &Jobs) -> usize {
        jobs.take().unwrap().len()
    }

    #[test]
    fn everybody_gets_a_share_of_what_is_light() {
        let jobs = Jobs::for_workers(4);
        (0..9).for_each(|number| jobs.put(read(&format!("{number}"), 1)));
        assert_eq!([taken(&jobs), taken(&jobs), taken(&jobs), taken(&jobs)], [3, 2, 1, 1]);
        (0..1000).for_each(|number| jobs.put(read(&format!("{number}"), 1)));
        assert_eq!(taken(&jobs), JOBS_TOGETHER);
    }

    #[test]
    fn what_is_not_light_comes_alone() {
        let jobs = Jobs::for_workers(1);
        let delete = || job("delete", Task::DeleteLocal { expect: Expect::EmptyDirectory });
        for job in [read("a", 1), read("b", 1), delete(), read("c", 1), read("large", 1 << 30), delete()] {
            jobs.put(job);
        }
        assert_eq!((0..5).map(|_| taken(&jobs)).collect::<Vec<_>>(), [2, 1, 1, 1, 1]);
    }

    #[test]
    fn uploads_and_downloads_do_not_mix() {
        let jobs = Jobs::for_workers(1);
        let entry = Entry { content: Content::Directory, meta: Meta { mtime: Mtime(1), mode: 0o755 } };
        let upload = || job("up", Task::Upload { entry, print: PRINT, replacing: None, before: None });
        let remote = There { entry, seq: 1 };
        let download = || job("down", Task::Download { remote, expect: Expect::Absent, kept: None });
        for job in [upload(), upload(), download(), download(), download(), upload(), read("a", 1)] {
            jobs.put(job);
        }
        assert_eq!((0..4).map(|_| taken(&jobs)).collect::<Vec<_>>(), [2, 3, 1, 1]);
    }

    #[test]
    fn what_nobody_has_taken_can_be_taken_back() {
        let jobs = Jobs::for_workers(1);
        jobs.put(read("a", 1));
        assert_eq!(jobs.withdraw().len(), 1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| jobs.take());
            jobs.close();
            assert!(waiting.join().unwrap().is_none());
        });
    }
}
