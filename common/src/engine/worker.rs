//! The pool of workers: a fixed number of threads that take jobs from one queue. They know of one job at a time and decide nothing. What
//! they stage the publisher puts in its place, while they take the next job.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::{io, panic};

use super::folder::Folder;
use super::job::{Done, Failure, Job, Outcome, Task};
use super::local;
use super::message::Message;
use super::progress::Progress;
use super::publish::{Handed, Publisher, Worked};
use super::transfer::{Transfer, disk};
use crate::disk::Partials;
use crate::limits::THREAD_PATIENCE;
use crate::net::client::HttpClient;
use crate::net::endpoint::Endpoint;
use crate::protocol::VERSION_NAME;
use crate::threads::{Awaited, lock, spawn_awaited};

/// What all workers share.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) folder: Arc<Folder>,
    pub(super) endpoint: Endpoint,
    pub(super) token: Option<String>,
    pub(super) client_id: String,
    pub(super) client_name: String,
    pub(super) durable: bool,
    pub(super) partials: Arc<Partials>,
    pub(super) progress: Arc<Progress>,
}

/// The running pool; dropped, it lets workers break off their transfers, and ends.
#[derive(Debug)]
pub(super) struct Pool {
    jobs: Option<SyncSender<Job>>,
    progress: Arc<Progress>,
    threads: Vec<Awaited>,
    publisher: Option<Publisher>,
}

impl Pool {
    /// Starts `count` workers that report to `control`.
    pub(super) fn start(crew: Crew, count: usize, control: &SyncSender<Message>) -> io::Result<Pool> {
        let crew = Arc::new(crew);
        let (jobs, queue) = sync_channel(count);
        let queue = Arc::new(Mutex::new(queue));
        let publisher = Publisher::start(crew.folder.clone(), crew.durable, control.clone())?;
        let staged = publisher.queue();
        let mut pool = Pool {
            jobs: Some(jobs),
            progress: crew.progress.clone(),
            threads: Vec::with_capacity(count),
            publisher: Some(publisher),
        };
        for number in 0..count {
            let (crew, queue, control, staged) =
                (crew.clone(), queue.clone(), control.clone(), staged.clone());
            let body = move || work(&crew, &queue, &control, &staged);
            pool.threads.push(spawn_awaited(&format!("worker-{number}"), body)?);
        }
        Ok(pool)
    }

    /// A pool whose jobs are done by a test.
    #[cfg(test)]
    pub(super) fn of_a_test(count: usize) -> (Pool, Receiver<Job>) {
        let (jobs, queue) = sync_channel(count);
        (Pool { jobs: Some(jobs), progress: Arc::default(), threads: Vec::new(), publisher: None }, queue)
    }

    /// Hands out a job. The caller counts: no more than there are workers at a time, so this never waits.
    pub(super) fn give(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return };
        // Only a pool without a living worker refuses, and then nothing would come back either.
        let _ = jobs.send(job);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        self.progress.stopping.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + THREAD_PATIENCE;
        for thread in self.threads.drain(..) {
            thread.join_until(deadline);
        }
        if let Some(publisher) = self.publisher.take() {
            publisher.join_until(deadline);
        }
    }
}

fn work(
    crew: &Crew,
    queue: &Mutex<Receiver<Job>>,
    control: &SyncSender<Message>,
    staged: &SyncSender<Handed>,
) {
    let mut http = HttpClient::new(crew.endpoint.clone(), VERSION_NAME, crew.token.as_deref());
    loop {
        // The lock is held while waiting: whoever holds it gets the next job, the others queue up behind.
        let Ok(job) = lock(queue).recv() else { return };
        let worked = panic::catch_unwind(panic::AssertUnwindSafe(|| perform(crew, &mut http, control, &job)));
        let worked = worked.unwrap_or_else(|_| {
            http = HttpClient::new(crew.endpoint.clone(), VERSION_NAME, crew.token.as_deref());
            Worked::Done(Outcome::Failed(Failure::of_a_defect()))
        });
        let is_heard = match worked {
            Worked::Done(outcome) => control.send(Message::Done(Box::new(Done { job, outcome }))).is_ok(),
            // In this order: control counts what the publisher has, and hears from it soon.
            Worked::Staged(ready, file) => {
                control.send(Message::Staged).is_ok() && staged.send(Handed { job, ready, file }).is_ok()
            }
        };
        if !is_heard {
            return;
        }
    }
}

fn perform(crew: &Crew, http: &mut HttpClient, control: &SyncSender<Message>, job: &Job) -> Worked {
    let folder = &*crew.folder;
    let path = &job.path;
    let mut transfer = Transfer {
        folder,
        http,
        progress: &crew.progress,
        client_id: &crew.client_id,
        client_name: &crew.client_name,
        epoch: job.epoch,
        durable: crew.durable,
        partials: &crew.partials,
        control,
        job,
    };
    let tried = match &job.task {
        Task::Relocate { entry, print, from, replacing, before } => {
            transfer.relocate(path, *entry, *print, from, *replacing, *before)
        }
        Task::TakeHere { remote, expect, kept, from } => {
            return worked(transfer.take_here(path, remote, *expect, *kept, from));
        }
        Task::Hash { stat } => local::hash(&folder.root, path, stat).map_err(disk("read")),
        Task::Upload { entry, print, replacing, before } => {
            transfer.upload(path, *entry, *print, *replacing, *before)
        }
        Task::Download { remote, expect, kept } => {
            return worked(transfer.download(path, remote, *expect, *kept));
        }
        Task::DeleteLocal { expect } => {
            local::delete(folder, path, *expect, job.here).map_err(disk("delete"))
        }
        Task::DeleteRemote { seen } => transfer.delete_remote(path, *seen),
        Task::SetAside { print } => {
            local::set_aside(folder, path, &crew.client_name, *print, crew.durable).map_err(disk("rename"))
        }
        Task::FetchAside { remote } => transfer.fetch_aside(path, remote.entry),
        Task::PullMeta { remote, print } => {
            local::pull_meta(folder, path, remote, *print).map_err(disk("set metadata of"))
        }
        Task::PushMeta { entry, print, change } => transfer.push_meta(path, *entry, *print, *change),
    };
    worked(tried.map(Worked::Done))
}

fn worked(tried: Result<Worked, Failure>) -> Worked {
    tried.unwrap_or_else(|failure| Worked::Done(Outcome::Failed(failure)))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_worker_that_is_stuck_is_left_behind() {
        let (mut pool, _jobs) = Pool::of_a_test(1);
        let (release, held) = channel::<()>();
        let stuck = spawn_awaited("stuck", move || assert!(held.recv().is_err())).unwrap();
        pool.threads.push(stuck);
        let begun = Instant::now();
        drop(pool);
        assert!(THREAD_PATIENCE <= begun.elapsed());
        drop(release);
    }
}
