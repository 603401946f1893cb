//! The pool of workers: a fixed number of threads that take jobs from one queue. They know of these jobs alone and decide nothing. What they
//! stage the publisher puts in its place, while they take the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Instant;
use std::{io, panic};

use super::folder::Folder;
use super::job::{Done, Failure, InHand, Job, Outcome, Task};
use super::jobs::Jobs;
use super::local;
use super::message::Message;
use super::progress::Progress;
use super::publish::{Handed, Publisher, Worked};
use super::together::perform_together;
use super::transfer::{Transfer, disk};
use crate::disk::Partials;
use crate::limits::THREAD_PATIENCE;
use crate::net::client::HttpClient;
use crate::net::endpoint::Endpoint;
use crate::protocol::VERSION_NAME;
use crate::threads::{Awaited, spawn_awaited};

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
    jobs: Arc<Jobs>,
    progress: Arc<Progress>,
    threads: Vec<Awaited>,
    publisher: Option<Publisher>,
}

impl Pool {
    /// Starts `count` workers that report to `control`.
    pub(super) fn start(crew: Crew, count: usize, control: &SyncSender<Message>) -> io::Result<Pool> {
        let crew = Arc::new(crew);
        let jobs = Arc::new(Jobs::for_workers(count));
        let publisher = Publisher::start(crew.folder.clone(), crew.durable, control.clone())?;
        let staged = publisher.queue();
        let mut pool = Pool {
            jobs: jobs.clone(),
            progress: crew.progress.clone(),
            threads: Vec::with_capacity(count),
            publisher: Some(publisher),
        };
        for number in 0..count {
            let (crew, jobs, control, staged) = (crew.clone(), jobs.clone(), control.clone(), staged.clone());
            let body = move || work(&crew, &jobs, &control, &staged);
            pool.threads.push(spawn_awaited(&format!("worker-{number}"), body)?);
        }
        Ok(pool)
    }

    /// A pool whose jobs are done by a test.
    #[cfg(test)]
    pub(super) fn of_a_test() -> (Pool, Arc<Jobs>) {
        let jobs = Arc::new(Jobs::for_workers(1));
        (Pool { jobs: jobs.clone(), progress: Arc::default(), threads: Vec::new(), publisher: None }, jobs)
    }

    /// Hands out a job, which waits until [`Pool::call`]. The caller counts, so that no more are in hand than workers are quickly done with.
    pub(super) fn give(&self, job: Job) {
        self.jobs.put(job);
    }

    /// Wakes workers for what was handed out.
    pub(super) fn call(&self) {
        self.jobs.call();
    }

    /// Takes back what no worker has begun.
    pub(super) fn withdraw(&self) -> VecDeque<Job> {
        self.jobs.withdraw()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs.close();
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

fn work(crew: &Crew, jobs: &Jobs, control: &SyncSender<Message>, staged: &SyncSender<Vec<Handed>>) {
    let mut http = HttpClient::new(crew.endpoint.clone(), VERSION_NAME, crew.token.as_deref());
    while let Some(jobs) = jobs.take() {
        let perform = || match &jobs[..] {
            [job] => vec![perform(crew, &mut http, control, job)],
            jobs => perform_together(crew, &mut http, control, jobs),
        };
        let worked = panic::catch_unwind(panic::AssertUnwindSafe(perform)).unwrap_or_else(|_| {
            http = HttpClient::new(crew.endpoint.clone(), VERSION_NAME, crew.token.as_deref());
            jobs.iter().map(|_| Worked::Done(Outcome::Failed(Failure::of_a_defect()))).collect()
        });
        if !report(jobs, worked, control, staged) {
            return;
        }
    }
}

/// Tells control what came of jobs, and hands the publisher what they staged. Whether anybody listens.
fn report(
    jobs: Vec<Job>,
    worked: Vec<Worked>,
    control: &SyncSender<Message>,
    staged: &SyncSender<Vec<Handed>>,
) -> bool {
    let (mut done, mut handed, mut passed_on) = (Vec::new(), Vec::new(), InHand::default());
    for (job, worked) in jobs.into_iter().zip(worked) {
        match worked {
            Worked::Done(outcome) => done.push(Done { job, outcome }),
            Worked::Staged(ready, file) => {
                passed_on += InHand::of(&job.task);
                handed.push(Handed { job, ready, file });
            }
        }
    }
    // In this order: control counts what the publisher has, and hears from it soon.
    let is_heard = handed.is_empty() || control.send(Message::Staged(passed_on)).is_ok();
    is_heard
        && (handed.is_empty() || staged.send(handed).is_ok())
        && (done.is_empty() || control.send(Message::Done(done)).is_ok())
}

/// What a job needs to speak with the server.
pub(super) fn transfer<'a>(
    crew: &'a Crew,
    http: &'a mut HttpClient,
    control: &'a SyncSender<Message>,
    job: &'a Job,
) -> Transfer<'a> {
    Transfer {
        folder: &crew.folder,
        http,
        progress: &crew.progress,
        client_id: &crew.client_id,
        client_name: &crew.client_name,
        epoch: job.epoch,
        durable: crew.durable,
        partials: &crew.partials,
        control,
        job,
    }
}

/// Does one job.
pub(super) fn perform(
    crew: &Crew,
    http: &mut HttpClient,
    control: &SyncSender<Message>,
    job: &Job,
) -> Worked {
    let folder = &*crew.folder;
    let path = &job.path;
    let mut transfer = transfer(crew, http, control, job);
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
        let (mut pool, _jobs) = Pool::of_a_test();
        let (release, held) = channel::<()>();
        let stuck = spawn_awaited("stuck", move || assert!(held.recv().is_err())).unwrap();
        pool.threads.push(stuck);
        let begun = Instant::now();
        drop(pool);
        assert!(THREAD_PATIENCE <= begun.elapsed());
        drop(release);
    }
}
