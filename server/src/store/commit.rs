//! The one thread that changes the index and the box.
//!
//! It takes what waits as one *commit group*, so that all of it shares one flush: a lone change waits for one, and so do five hundred. What
//! goes into a group is decided in queue.rs and lanes.rs.
//! In this order, which is what the promise "a 2xx survives power loss" rests on:
//!
//! ```text
//!     judge       each against the index (rules.rs); what is refused is answered at once
//!     write down  redo records, and the staged data they speak of: durable before any file in the box is touched
//!     carry out   rename into place or remove, but only if the box still holds what the index says (act.rs)
//!     enter       under the index lock: the index, the event for every connected client; then the answers
//! ```
//!
//! A crash between any two of these is what recover.rs is for. A flush that failed fails the changes that waited for it, and they are
//! not tried again; the journal is then written anew before anything else happens, and as long as that fails nothing is accepted.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::disk::{Above, Fingerprint};
use common::limits::{FLUSHED_ONE_BY_ONE, GIVE_BACK_PATHS, LOOK_AGAIN};
use common::protocol::Cursor;
use common::sys::heap;
use common::threads::{read, write};
use common::tree::Path;

use super::act::{Act, Done, Job};
use super::book::Book;
use super::change::{Asker, Change, Committed, Refused, Reply};
use super::claim::Claim;
use super::index::{Index, Origin, Record, State, Step};
use super::queue::{Exit, Taken};
use super::records::JournalRecord;
use super::rules::{Verdict, judge};
use super::shared::Shared;
use crate::hub::Frame;

/// The commit thread's own.
#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    book: Book,
    fsync: bool,
    changes: Exit,
    /// Whether the box was not in its place when last looked.
    is_away: bool,
    /// Changes made since memory was last given back.
    made: usize,
}

// ---- Groups ----------------------------------------------------------------------------------------------------------------------

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, book: Book, fsync: bool, changes: Exit) -> Committer {
        Committer { shared, book, fsync, changes, is_away: false, made: 0 }
    }

    /// Commits until it is told to stop.
    pub(crate) fn run(mut self) {
        while let Some(group) = self.next_group() {
            self.commit(group);
        }
        self.close();
    }

    /// Waits for something to do. `None`: it is time to end.
    fn next_group(&mut self) -> Option<Vec<Change>> {
        let mut until = Some(Instant::now());
        loop {
            match self.changes.take(until) {
                Taken::Group(group) => return Some(group),
                Taken::Closed => return None,
                Taken::Nothing => self.rest(),
            }
            until = self.shared.stage.due();
        }
    }

    /// There is nothing to do: time to give back what many changes left free, and to tidy up.
    fn rest(&mut self) {
        if GIVE_BACK_PATHS <= self.made {
            self.made = 0;
            heap::give_back();
        }
        self.shared.stage.tidy();
    }

    fn commit(&mut self, group: Vec<Change>) {
        self.made += group.len();
        if let Err(error) = self.make_ready() {
            for change in group {
                self.refuse(&change.path, change.reply, Refused::Disk(copy(&error)));
            }
            return;
        }
        self.shared.making.begin(&group);
        let jobs: Vec<Job> = group.into_iter().filter_map(|change| self.plan(change)).collect();
        let jobs = self.write_down(jobs);
        let mut last = Above::default();
        let carried_out = jobs.into_iter().map(|job| self.carry_out(job, &mut last)).collect();
        self.enter(carried_out);
        self.shared.making.end();
        self.shared.stage.tidy();
        self.keep_short();
    }

    /// Nothing is accepted while the box is not in its place, or the journal can't be written.
    fn make_ready(&mut self) -> io::Result<()> {
        let shared = self.shared.clone();
        let was_away = mem::replace(&mut self.is_away, !shared.stands());
        if self.is_away {
            return Err(io::Error::other("the box is not in its place; was it unmounted, moved or emptied?"));
        }
        if was_away {
            shared.scan();
        }
        if self.book.is_broken() {
            self.book.rewrite(&read(&shared.index))?;
            shared.log.warn(
                "the journal could not be written; it was written anew, and changes are accepted again",
            );
        }
        Ok(())
    }

    /// Whatever still waits will not be made.
    fn close(&mut self) {
        for change in self.changes.close() {
            self.refuse(&change.path, change.reply, Refused::Stopping);
        }
        // It was durable before; this only spares the next start some work.
        let _ = self.book.flush();
        self.shared.stage.retained().forget_all();
    }
}

// ---- One group, step by step -----------------------------------------------------------------------------------------------------

impl Committer {
    /// Judges a change. What comes to nothing is answered here.
    fn plan(&mut self, change: Change) -> Option<Job> {
        let Change { path, action, asker, reply } = change;
        let Asker { client, mut claim, .. } = asker.unwrap_or_default();
        let shared = self.shared.clone();
        let verdict = judge(&read(&shared.index), &path, &action);
        let act = match verdict {
            Ok(Verdict::Settled) => {
                let place = action.destination().unwrap_or(&path);
                return answer(reply, Ok(settled(&read(&shared.index), place)));
            }
            Ok(Verdict::Seen(print)) => return self.see(&path, print),
            Ok(verdict) => self
                .check_room(&mut claim, &verdict)
                .and_then(|()| Act::prepare(&shared, &path, action, verdict)),
            Err(refused) => Err(refused),
        };
        match act {
            Ok(act) => {
                let place = match &act {
                    Act::Move { to, .. } | Act::NoteMove { to, .. } => to,
                    _ => &path,
                };
                let created = read(&shared.index).live_entry(place).is_none();
                let origin = self.origin(client.as_deref());
                Some(Job { step: self.book.next_step(), path, origin, created, claim, reply, act })
            }
            Err(refused) => {
                drop(claim);
                self.refuse(&path, reply, refused);
                None
            }
        }
    }

    /// What is to be published has to have room in its account, seen from here.
    fn check_room(&self, claim: &mut Claim, verdict: &Verdict) -> Result<(), Refused> {
        match verdict {
            Verdict::Publish(entry, _) => {
                claim.cover_in(&read(&self.shared.index), entry.content.size()).map_err(Refused::Quota)
            }
            _ => Ok(()),
        }
    }

    /// The number of a client; a new one is written down.
    fn origin(&mut self, name: Option<&str>) -> Origin {
        let Some(name) = name else { return Origin::BOX };
        let mut index = write(&self.shared.index);
        let known = index.origins.count();
        let number = index.origins.number(name);
        if known <= number.0 {
            // Should this fail, the journal is broken, and the change that it was for fails when it is written down.
            let _ = self.book.append(&JournalRecord::Origin { number, name: name.to_owned() });
        }
        number
    }

    /// Remembers what a file looks like whose content is known.
    fn see(&mut self, path: &Path, print: Fingerprint) -> Option<Job> {
        let shared = self.shared.clone();
        let mut index = write(&shared.index);
        let step = index.get(path)?.step;
        index.set_print(path, step, print);
        drop(index);
        self.note_seen(step, path, print);
        None
    }

    /// Makes the changes durable. What fails is refused; what is returned may be carried out.
    fn write_down(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let staged = jobs.iter().filter(|job| job.act.needs_flush()).count();
        let one_by_one = self.fsync && staged <= FLUSHED_ONE_BY_ONE;
        let mut good = Vec::with_capacity(jobs.len());
        for job in jobs {
            match if one_by_one { job.act.flush() } else { Ok(()) } {
                Ok(()) => good.push(job),
                Err(error) => self.refuse(&job.path, job.reply, Refused::Disk(error)),
            }
        }
        let written = match self.fsync {
            _ if good.is_empty() => Ok(()),
            false => self.append_redo(&good).and_then(|()| self.book.write()),
            true if one_by_one => self.append_redo(&good).and_then(|()| self.book.flush()),
            true => self.append_redo(&good).and_then(|()| self.book.write()).and_then(|()| self.sync_all()),
        };
        let Err(error) = written else { return good };
        self.shared.log.error(format!("the journal could not be written: {error}"));
        for job in good {
            self.refuse(&job.path, job.reply, Refused::Disk(copy(&error)));
        }
        Vec::new()
    }

    fn append_redo(&mut self, jobs: &[Job]) -> io::Result<()> {
        jobs.iter().try_for_each(|job| self.book.append(&job.redo()))
    }

    /// Journal and staged data at once.
    fn sync_all(&mut self) -> io::Result<()> {
        let synced = self.shared.root.sync_all();
        if synced.is_err() {
            self.book.distrust();
        }
        synced
    }

    /// Does it to the box. What can't be done is voided and refused; what is returned is to be entered.
    fn carry_out(&mut self, job: Job, last: &mut Above) -> Option<CarriedOut> {
        let Job { path, step, origin, created, claim, reply, act } = job;
        match act.carry_out(&self.shared, &path, last) {
            Ok(done) => Some(CarriedOut { path, step, origin, done, created, claim, reply }),
            Err(refused) => {
                // The directory may be gone, and there again.
                *last = Above::default();
                // Lost, the next start finds neither the staged thing nor its content in place, and takes the change back; where nothing is
                // at all, a deletion follows it.
                let _ = self.book.append(&JournalRecord::Void { seq: step.seq });
                drop(claim);
                self.refuse(&path, reply, refused);
                None
            }
        }
    }

    /// Enters what was done into the index, and tells everyone.
    fn enter(&mut self, carried_out: Vec<Option<CarriedOut>>) {
        let mut answers = Vec::with_capacity(carried_out.len());
        let mut news = Vec::with_capacity(carried_out.len());
        let shared = self.shared.clone();
        let mut index = write(&shared.index);
        for CarriedOut { path, step, origin, done, created, claim, reply } in
            carried_out.into_iter().flatten()
        {
            let place = match done {
                Done::Becomes(state) => {
                    index.apply(path.clone(), Record::new(step, origin, state));
                    if let Some(change) = index.describe(&path) {
                        news.push(Frame::whole(index.cursor(), change));
                    }
                    if let State::Live(_, Some(print)) = state {
                        self.note_seen(step, &path, print);
                    }
                    path
                }
                Done::Moved { to, renamed, print } => {
                    index.relocate(&renamed, step.seq, origin);
                    index.set_print(&to, step, print);
                    news.push(Frame::many(step.seq));
                    self.note_seen(step, &to, print);
                    to
                }
            };
            // What it was kept for counts now; nobody looks in between.
            drop(claim);
            let entry = index.live_entry(&place).copied();
            answers.push((reply, Committed { cursor: index.cursor(), created, entry }));
        }
        shared.hub.publish(news);
        drop(index);
        for (reply, committed) in answers {
            answer::<()>(reply, Ok(committed));
        }
        let _ = self.book.write();
    }

    /// Notes what something looks like on disk. Lost, it costs the next start one reading of the file.
    fn note_seen(&mut self, step: Step, path: &Path, print: Fingerprint) {
        let _ = self.book.append(&JournalRecord::Seen { step, path: path.clone(), print });
    }

    /// The journal, and the tombstones in memory: the record of a move is short, and leaves one for all that was moved.
    fn keep_short(&mut self) {
        if !self.book.is_long() && !read(&self.shared.index).has_many_tombstones() {
            return;
        }
        write(&self.shared.index).forget_old_tombstones();
        if let Err(error) = self.book.rewrite(&read(&self.shared.index)) {
            self.shared.log.warn(format!("the journal could not be compacted; it goes on growing: {error}"));
        }
    }

    /// Answers with a refusal. Where nobody waits, the change was found in the box by hand, and is looked at again.
    fn refuse(&self, path: &Path, reply: Option<Reply>, refused: Refused) {
        match (&reply, &refused) {
            (None, Refused::Disk(_)) => self.shared.look(path.clone(), LOOK_AGAIN),
            (None, Refused::NotEmpty | Refused::Precondition(_)) => {
                self.shared.look(path.clone(), Duration::ZERO)
            }
            _ => {}
        }
        answer::<()>(reply, Err(refused));
    }
}

/// A change that was carried out.
#[derive(Debug)]
struct CarriedOut {
    path: Path,
    step: Step,
    origin: Origin,
    done: Done,
    created: bool,
    claim: Claim,
    reply: Option<Reply>,
}

/// Never waits: whoever asks leaves room for every answer.
fn answer<T>(reply: Option<Reply>, outcome: Result<Committed, Refused>) -> Option<T> {
    if let Some(reply) = reply {
        // Nobody may be left to hear it: a connection that broke.
        let _ = reply.try_send(outcome);
    }
    None
}

/// The answer to a change that was made long ago.
fn settled(index: &Index, path: &Path) -> Committed {
    let record = index.get(path);
    let cursor = Cursor { seq: record.map_or(0, |record| record.step.seq), ..index.cursor() };
    Committed { cursor, created: false, entry: record.and_then(Record::entry).copied() }
}

/// One error is the answer to many.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
