//! The control thread: owns all that is known, hears everything through one queue, and hands out work.
//!
//! ```text
//!     observer --+                                  +--> workers (at most one job a path)
//!     stream  ---+--> one bounded queue --> control +--> state (bases, cursor)
//!     workers ---+                                  +--> status file, reporter
//! ```
//!
//! It keeps a *track* of every path where folder and box are not known to agree, and a queue of tracks to be looked after. Whatever is
//! heard about a path changes its track and queues it; when it is its turn, the next step follows from the three versions alone. So the
//! order in which news comes in does not matter, and a step that went wrong is simply taken again.
//!
//! It never waits for a worker, the network or the folder; only for its queue, and for the disk when the state is flushed.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod bounds;
mod guard;
mod line;
mod list;
mod local;
mod outcome;
mod remote;
mod rules;
mod schedule;
mod shortcut;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::iter::successors;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::job::{Done, InHand};
use super::message::{Message, Stream};
use super::progress::Progress;
use super::report::{Counts, Report, Reporter};
use super::state::{Base, State};
use super::status::{Phase, StatusFile};
use super::stream::StreamThread;
use super::track::{Problem, Track};
use super::worker::Pool;
use super::{Ended, Options};
use crate::disk::{Looker, Partials};
use crate::limits::{GIVE_BACK_PATHS, TRACKS_MAX};
use crate::protocol::{Cursor, ListHead};
use crate::sync;
use crate::sys::heap;
use crate::tree::{Catalog, Path, Rules};
use guard::Guard;
use line::Line;
use shortcut::{Moving, Replaced};

/// How long control waits for a message before it looks at the time.
const TICK: Duration = Duration::from_millis(100);
/// The same when everything is in agreement: then nothing becomes due but what may be a second late, as what was retained for a while.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// Showing how it stands means looking at every track; no more than a twentieth of the time goes into that, whoever has how much to do.
const SHOW_SHARE: u32 = 20;
/// When there is nothing else to do, every track is looked after again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long changes to the state may wait to be made durable while there is other work.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);
/// How long jobs may take to finish when the client is to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// With `--once`, a path that failed so often is given up.
const ONCE_FAILURES: u32 = 3;

/// How it stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// No connection.
    Offline,
    /// The list is being sent or answered; only paths that the server spoke of may be acted on.
    Listing,
    /// The server has told everything, and goes on telling.
    Live,
}

/// The engine's heart; see the module.
pub(super) struct Control {
    pub(super) options: Options,
    pub(super) folder: Arc<Folder>,
    pub(super) rules: Rules,
    pub(super) state: State,
    pub(super) pool: Pool,
    pub(super) stream: StreamThread,
    pub(super) looker: Looker,
    pub(super) progress: Arc<Progress>,
    pub(super) reporter: Box<dyn Reporter>,
    pub(super) status: StatusFile,
    /// What came of downloads that were cut.
    pub(super) partials: Arc<Partials>,
    pub(super) inner: Inner,
}

/// What control knows and nobody else needs.
pub(super) struct Inner {
    tracks: Catalog<Track>,
    ready: VecDeque<Path>,
    /// Paths that are to be tried again, by time.
    retries: BTreeSet<(Instant, Path)>,
    /// Deletes wait for each other, so that the guard sees a mass of them as one.
    deletes: BTreeSet<Path>,
    /// Deletes that the guard let go.
    going: BTreeSet<Path>,
    /// Paths that wait for one above that was left as it is: until that changes nothing is to be done about them.
    stranded: BTreeSet<Path>,
    /// Paths that nothing is to be done about, and some that once were such. Most often there is none; then nobody has to ask for each path
    /// above another one, of which there are thousands where directories are deep.
    left: BTreeSet<Path>,
    /// Directories that were deleted there, and stay here for what is ignored in them.
    kept: BTreeSet<Path>,
    guard: Guard,
    /// Jobs that workers have.
    working: InHand,
    /// Jobs that the publisher has.
    publishing: usize,
    /// How many jobs, of those that workers and the publisher have, are transfers.
    transfers: usize,
    link: Link,
    line: Line,
    /// Why there is no connection.
    offline: Option<Problem>,
    /// The first full scan of the folder is complete.
    scanned: bool,
    /// The folder is not in its place.
    folder_gone: bool,
    /// The stream thread waits for this.
    waiting: Option<SyncSender<Option<ListHead>>>,
    /// Changes of the box that are told but not applied.
    outstanding: BTreeSet<(u64, Path)>,
    /// Up to where the box's changes were told.
    received: Option<Cursor>,
    /// So many paths are kept in mind because the box names them, and no more.
    most_tracks: usize,
    /// Paths with jobs that were given out before the history began anew.
    overtaken: BTreeSet<Path>,
    /// The next connection has to begin with a complete list; until then the cursor stays where it is.
    relisting: bool,
    /// Copies made so that a directory can keep a name: when one is on the server, the version it copies may go from there.
    displacing: BTreeMap<Path, (Path, sync::Base)>,
    /// Paths that the server emptied because it was asked to, and by which change, as long as the stream has not come that far.
    freed: HashMap<Path, u64>,
    /// Paths that are absent, by the inode that was there: what appears with it was renamed.
    renamed: HashMap<u64, Path>,
    /// Both ends of the moves that workers are at.
    moving: Moving,
    /// Moves of directories that the server has made, and not yet told of.
    ahead: Vec<Done>,
    /// When the server told something last, or made a move that it is yet to tell of.
    told_at: Instant,
    /// What the server held until a moment ago, by our own doing.
    replaced: Replaced,
    /// Losses of the connection in a row.
    losses: u32,
    flushed_at: Instant,
    /// Whether how it stands was shown when it was last to be.
    shown: bool,
    shown_at: Instant,
    /// How long looking at all tracks for that took.
    show_took: Duration,
    /// Paths listed, and jobs done, since memory was last given back.
    heard: usize,
    looked_at: Instant,
    /// Problems that belong to no track: directories that can't be read, names that can't sync.
    folder_problems: BTreeMap<Vec<u8>, Problem>,
    polling: Option<String>,
    done: Counts,
    /// What has failed for want of space since something was last deleted.
    roomless: BTreeSet<Path>,
    /// The server said that the token only lets read.
    reads_only: bool,
    ended: Option<Ended>,
}

impl Inner {
    /// What is known at the start: how far the box's history was applied before.
    pub(super) fn new(options: &Options, received: Option<Cursor>) -> Inner {
        Inner {
            tracks: Catalog::new(),
            ready: VecDeque::new(),
            retries: BTreeSet::new(),
            deletes: BTreeSet::new(),
            going: BTreeSet::new(),
            stranded: BTreeSet::new(),
            left: BTreeSet::new(),
            kept: BTreeSet::new(),
            guard: Guard::new(options.force),
            working: InHand::default(),
            publishing: 0,
            transfers: 0,
            link: Link::Offline,
            line: Line::default(),
            offline: None,
            scanned: false,
            folder_gone: false,
            waiting: None,
            outstanding: BTreeSet::new(),
            received,
            most_tracks: TRACKS_MAX,
            overtaken: BTreeSet::new(),
            relisting: false,
            displacing: BTreeMap::new(),
            freed: HashMap::new(),
            renamed: HashMap::new(),
            moving: Moving::new(),
            ahead: Vec::new(),
            told_at: Instant::now(),
            replaced: Replaced::default(),
            losses: 0,
            flushed_at: Instant::now(),
            shown: false,
            shown_at: Instant::now(),
            show_took: Duration::ZERO,
            heard: 0,
            looked_at: Instant::now(),
            folder_problems: BTreeMap::new(),
            polling: None,
            done: Counts::default(),
            roomless: BTreeSet::new(),
            reads_only: false,
            ended: None,
        }
    }
}

impl Control {
    /// Runs until something ends it, and says what.
    pub(super) fn run(mut self, queue: Receiver<Message>) -> Ended {
        self.apply_rules();
        loop {
            match queue.recv_timeout(self.patience()) {
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.end(Ended::Stopped(None)),
            }
            // What else is waiting is heard before anything is decided: it may change the decision.
            while let Ok(message) = queue.try_recv() {
                self.hear(message);
            }
            self.look_after_overlooked();
            self.look_after_all();
            self.doubt_stream();
            self.answer_stream();
            self.keep_state();
            self.show();
            if let Some(ended) = self.inner.ended.take() {
                self.finish_work(&queue);
                // Whoever still wants to say something finds that nobody listens, and ends.
                drop(queue);
                return self.finish(ended);
            }
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Stream(Stream::Connecting { reply }) => self.inner.waiting = Some(reply),
            Message::Stream(Stream::List { after, complete, reply }) => {
                // Nobody waits for it if the connection is lost by now.
                let _ = reply.try_send(self.list_piece(after.as_ref(), complete));
            }
            Message::Stream(Stream::Events(events)) => {
                events.into_iter().for_each(|(event, cursor)| self.hear_event(event, cursor));
            }
            Message::Stream(Stream::Lost(loss)) => self.hear_loss(&loss),
            Message::Local(observation) => self.hear_observation(observation),
            Message::Done(jobs) => {
                for done in jobs {
                    self.inner.working -= InHand::of(&done.job.task);
                    self.hear_outcome(done);
                }
            }
            Message::Staged(jobs) => {
                self.inner.working -= jobs;
                self.inner.publishing += jobs.total();
            }
            Message::Published(jobs) => {
                for done in jobs {
                    self.inner.publishing -= 1;
                    self.hear_outcome(done);
                }
            }
            Message::Resumed(resumed) => self.hear_resumed(&resumed),
            Message::Stop(signal) => self.end(Ended::Stopped(signal)),
        }
    }

    /// The first reason to end is the one that is told.
    fn end(&mut self, ended: Ended) {
        self.inner.ended.get_or_insert(ended);
    }

    fn patience(&self) -> Duration {
        let next_retry = self.inner.retries.first().map(|(at, _)| *at);
        let next_show = (!self.inner.shown).then(|| self.inner.shown_at + self.show_pause());
        let next = [next_retry, next_show].into_iter().flatten().min();
        let tick = if self.has_nothing_to_do() { IDLE_TICK } else { TICK };
        next.map_or(tick, |at| at.saturating_duration_since(Instant::now()).min(tick))
    }

    /// Whether all is in agreement, and that is written down.
    fn has_nothing_to_do(&self) -> bool {
        self.is_resting()
            && self.inner.tracks.is_empty()
            && self.inner.ahead.is_empty()
            && !self.state.is_dirty()
    }

    /// Lets the stream thread connect, as soon as there is something true to say about the folder.
    fn answer_stream(&mut self) {
        let is_known = self.inner.scanned && self.is_looked_at();
        if self.inner.waiting.is_none() || !is_known || self.inner.folder_gone {
            return;
        }
        let cursor = self.state.cursor();
        let head = ListHead {
            client_id: self.state.client_id().to_owned(),
            client_name: self.options.name.clone(),
            cursor,
            complete: cursor.is_none_or(|cursor| cursor.seq == 0),
        };
        if let Some(reply) = self.inner.waiting.take() {
            self.inner.relisting = false;
            let _ = reply.try_send(Some(head));
        }
    }

    /// Whether what the list will say of the folder is as true as it can be made soon. Transfers may take long, and are not waited for: what
    /// they will change is told afterwards, like any other news. If they keep all workers, what has to be read is left out of the list.
    fn is_looked_at(&self) -> bool {
        let in_hand = self.inner.working.total() + self.inner.publishing;
        in_hand == self.inner.transfers && (self.inner.ready.is_empty() || !self.has_room())
    }

    /// Whether nobody has anything to do, and nobody could be given anything now.
    fn is_resting(&self) -> bool {
        !self.is_at_work() && self.inner.ready.is_empty()
    }

    /// Whether workers or the publisher have a job in hand.
    fn is_at_work(&self) -> bool {
        0 < self.inner.working.total() || 0 < self.inner.publishing
    }

    /// Whether another job may be given out: no light one waits long behind those that have a worker each, and nothing that is decided now
    /// waits behind too much that was decided before.
    fn has_room(&self) -> bool {
        let InHand { light, alone } = self.inner.working;
        alone < self.options.workers && light < self.options.workers * self.inner.line.together()
    }

    fn keep_state(&mut self) {
        self.advance_cursor();
        if self.is_resting() && !self.inner.renamed.is_empty() {
            self.forget_renamed();
        }
        self.folder.stage.tidy();
        let is_due = self.is_resting() || FLUSH_INTERVAL < self.inner.flushed_at.elapsed();
        if !self.state.is_dirty() || !is_due || self.options.dry_run {
            return;
        }
        self.inner.flushed_at = Instant::now();
        match self.state.flush() {
            Ok(()) => drop(self.inner.folder_problems.remove(STATE_PROBLEM)),
            Err(error) => {
                let error =
                    format!("{error}; what is synced stays so, but more will be compared at the next start");
                self.folder_problem(STATE_PROBLEM, Problem { operation: "save the state", error });
            }
        }
    }

    /// Up to where everything is applied: what is told, but for the oldest change that is not.
    fn advance_cursor(&mut self) {
        let Some(received) = self.inner.received else { return };
        let seq = match self.inner.outstanding.first() {
            Some((oldest, _)) => received.seq.min(oldest - 1),
            None => received.seq,
        };
        let is_forward =
            self.state.cursor().is_none_or(|cursor| cursor.epoch != received.epoch || cursor.seq < seq);
        if is_forward {
            self.state.set_cursor(Some(Cursor { seq, ..received }));
        }
    }

    /// A problem that belongs to no track; said once.
    fn folder_problem(&mut self, key: &[u8], problem: Problem) {
        if self.inner.folder_problems.get(key) != Some(&problem) {
            self.reporter.report(&Report::Problem { path: None, problem: &problem });
            self.inner.folder_problems.insert(key.to_vec(), problem);
        }
    }

    /// What the status file says, and whether a single pass is over.
    fn show(&mut self) {
        if self.inner.shown_at.elapsed() < self.show_pause() {
            self.inner.shown = false;
            return;
        }
        let begun = Instant::now();
        self.show_now();
        self.inner.shown = true;
        self.inner.shown_at = Instant::now();
        self.inner.show_took = begun.elapsed();
    }

    /// Between showing how it stands and showing it again. When nothing is left to do somebody is likely to wait for that.
    fn show_pause(&self) -> Duration {
        let share = self.inner.show_took * SHOW_SHARE;
        if self.is_resting() { share } else { share.max(TICK) }
    }

    fn show_now(&mut self) {
        let phase = self.phase();
        let pending = self.pending();
        self.reporter.progress(&super::report::Snapshot {
            phase,
            pending,
            counts: self.inner.done,
            progress: &self.progress,
        });
        let problems = self.problems();
        let cursor = self.state.cursor();
        self.status.show(
            phase,
            cursor,
            pending,
            self.state.conflicts(),
            &problems,
            self.inner.polling.as_deref(),
        );
        if phase == Phase::Idle && self.inner.tracks.is_empty() {
            // Everything is in agreement: what was to be fetched when it was cut is not wanted any more.
            self.partials.clear();
        }
        if phase == Phase::Idle && GIVE_BACK_PATHS <= self.inner.heard {
            self.inner.heard = 0;
            heap::give_back();
        }
        if self.options.once && self.inner.ended.is_none() {
            match phase {
                Phase::Held => self.end(Ended::Held),
                _ if !self.is_through() => {}
                _ if problems.is_empty() => self.end(Ended::Agreed),
                _ if self.lacks_room() => self.end(Ended::NoSpace),
                _ => self.end(Ended::SomeFailed),
            }
        }
    }

    fn phase(&self) -> Phase {
        if self.inner.folder_gone || self.inner.guard.is_held() && self.is_held_up() {
            return Phase::Held;
        }
        match self.inner.link {
            Link::Offline => Phase::Offline,
            _ if self.is_through() && !self.state_is_behind() => Phase::Idle,
            _ => Phase::Syncing,
        }
    }

    /// Whether a single pass has done what it can: a state that can't be saved is said, and not waited for.
    fn is_through(&self) -> bool {
        let is_saved = !self.state_is_behind() || self.inner.folder_problems.contains_key(STATE_PROBLEM);
        self.inner.link == Link::Live && self.inner.scanned && self.is_settled() && is_saved
    }

    /// Whether nothing can go on before the deletes do: what is not one of them waits for them, and not for a worker, the server or a better
    /// moment. A single pass does not wait for what failed often enough.
    fn is_held_up(&self) -> bool {
        let waits_for_other = |track: &Track| track.busy || track.retry_at.is_some();
        let is_given_up = |track: &Track| self.options.once && has_failed(track);
        let all_wait =
            || self.inner.tracks.iter().all(|(_, track)| !waits_for_other(track) || is_given_up(track));
        self.pending() <= self.inner.deletes.len()
            || self.inner.link == Link::Live && self.inner.scanned && self.is_resting() && all_wait()
    }

    fn state_is_behind(&self) -> bool {
        self.state.is_dirty() && !self.options.dry_run
    }

    /// Whether all that can be done is done. In a single pass, what failed often enough counts as done, and what waits for such.
    fn is_settled(&self) -> bool {
        let waits_in_vain = |path: &Path| {
            let mut above = successors(path.parent(), Path::parent);
            let mut below = self.inner.tracks.range::<[u8], _>(path.descendants());
            above.any(|above| self.inner.tracks.get(&above).is_some_and(has_failed))
                || below.any(|(_, track)| has_failed(track))
        };
        let is_over = |(path, track): (&Path, &Track)| {
            let is_given_up = has_failed(track) || track.retry_at.is_none() && waits_in_vain(path);
            self.is_left(path, track) || self.options.once && is_given_up
        };
        self.is_resting() && self.inner.deletes.is_empty() && self.inner.tracks.iter().all(is_over)
    }

    /// Whether nothing is to be done about a path until something changes.
    fn is_left(&self, path: &Path, track: &Track) -> bool {
        track.left || self.inner.stranded.contains(path)
    }

    fn pending(&self) -> usize {
        self.inner.tracks.iter().filter(|(path, track)| !self.is_left(path, track)).count()
    }

    fn problems(&self) -> Vec<(Option<Path>, Problem)> {
        let of_tracks = self
            .inner
            .tracks
            .iter()
            .filter_map(|(path, track)| Some((Some(path.clone()), track.problem.clone()?)));
        let of_folder = self.inner.folder_problems.values().map(|problem| (None, problem.clone()));
        let of_link = self.inner.offline.iter().map(|problem| (None, problem.clone()));
        of_link.chain(of_folder).chain(of_tracks).take(crate::limits::PROBLEMS_SHOWN).collect()
    }

    /// Hears the outcomes of the jobs that are in hand, for a few seconds.
    fn finish_work(&mut self, queue: &Receiver<Message>) {
        let deadline = Instant::now() + STOP_PATIENCE;
        self.take_back();
        while self.is_at_work() {
            let Ok(message) = queue.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                return;
            };
            if matches!(message, Message::Done(_) | Message::Staged(_) | Message::Published(_)) {
                self.hear(message);
            }
        }
    }

    /// Leaves everything in order: the state saved, the status told.
    fn finish(mut self, ended: Ended) -> Ended {
        if let Some(reply) = self.inner.waiting.take() {
            let _ = reply.try_send(None);
        }
        self.folder.stage.retained().forget_all();
        if !self.options.dry_run {
            self.advance_cursor();
            if let Err(error) = self.state.flush() {
                let problem = Problem { operation: "save the state", error: error.to_string() };
                self.reporter.report(&Report::Problem { path: None, problem: &problem });
            }
        }
        let problems = self.problems();
        let (cursor, pending) = (self.state.cursor(), self.pending());
        self.status.show(Phase::Stopped, cursor, pending, self.state.conflicts(), &problems, None);
        self.reporter.report(&Report::Ended { ended: &ended, counts: self.inner.done });
        ended
    }

    fn base(&self, path: &Path) -> Option<&Base> {
        self.state.base(path)
    }

    /// The track of a path, made if there is none.
    fn track(&mut self, path: &Path) -> &mut Track {
        self.inner.tracks.get_or_insert_with(path, Track::new)
    }
}

const STATE_PROBLEM: &[u8] = b"/state";

/// Whether a single pass gives it up.
fn has_failed(track: &Track) -> bool {
    ONCE_FAILURES <= track.failures
}
