//! The engine that both clients are made of: keeps one folder and one box in agreement, live, both ways.
//!
//! ```text
//!                      +----------- stream thread: POST /sync, events
//!     control thread --+----------- observer: watches and scans the folder
//!                      +----------- workers: hash, send, fetch, delete
//! ```
//!
//! `control` decides and owns all state; the others know nothing and do one thing. How it looks to a person or a script is the business
//! of the [`Reporter`] that the program brings.

mod backoff;
mod control;
mod doors;
mod folder;
mod job;
mod jobs;
mod local;
mod message;
mod plan;
mod progress;
mod publish;
mod records;
mod relocate;
mod report;
mod resume;
mod rules;
mod state;
mod status;
mod stream;
mod together;
mod track;
mod transfer;
mod worker;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::disk::{Found, Mode, Observer, Partials, unflushed};
use crate::limits::CONTROL_QUEUE;
use crate::net::endpoint::Endpoint;
use control::{Control, Inner};
pub use folder::{Folder, FolderError, random_u64};
use message::Message;
pub use progress::Progress;
pub use report::{Counts, Report, Reporter, Side, Snapshot};
use rules::passed_by;
pub use rules::{ReadRulesError, read_rules};
use state::{Flush, Place, State};
use status::StatusFile;
pub use status::{Phase, read_status};
use stream::StreamThread;
pub use track::Problem;
use worker::{Crew, Pool};

/// Which side follows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both follow each other.
    Both,
    /// The box follows the folder; the folder is never touched.
    Push,
    /// The folder follows the box; the box is never touched.
    Pull,
}

/// How to sync.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder.
    pub directory: PathBuf,
    /// The server.
    pub endpoint: Endpoint,
    /// The key or token.
    pub token: Option<String>,
    /// The client's name, in conflict names and for people.
    pub name: String,
    /// One complete pass, then end.
    pub once: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Let mass deletions through.
    pub force: bool,
    /// Ignore rules besides those in the folder's `.syncignore`; they win over those.
    pub ignore: Vec<OsString>,
    /// Which side follows which.
    pub direction: Direction,
    /// Jobs at a time.
    pub workers: usize,
    /// How changes in the folder are noticed.
    pub mode: Mode,
    /// Whether to wait for the disk before anything counts as done.
    pub durable: bool,
}

/// Why the engine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A single pass is over, and both sides agree.
    Agreed,
    /// A single pass is over; some paths failed, and each was reported.
    SomeFailed,
    /// A single pass is over; something failed for want of space.
    NoSpace,
    /// Deletes are held, or the folder is not in its place.
    Held,
    /// The key or token is not accepted.
    NotAuthorised(String),
    /// The server can't be reached.
    Unreachable(String),
    /// It was told to, by this signal if any.
    Stopped(Option<u8>),
}

/// Why the engine did not start.
#[derive(Debug)]
pub enum StartError {
    /// The folder can't be synced.
    Folder(FolderError),
    /// Its ignore rules are not known.
    Rules(ReadRulesError),
    /// The system has no room for it.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Folder(error) => error.fmt(f),
            StartError::Rules(error) => {
                write!(f, "cannot read the ignore rules: {error}; without them too much would be synced")
            }
            StartError::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Ends a running engine from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(SyncSender<Message>);

impl Stopper {
    /// Asks it to finish what workers have in hand, save, and end.
    pub fn stop(&self, signal: Option<u8>) {
        // It has ended already if nobody listens.
        let _ = self.0.send(Message::Stop(signal));
    }
}

/// An engine that is about to run.
pub struct Engine {
    control: Control,
    queue: std::sync::mpsc::Receiver<Message>,
    observer: Observer,
    stopper: Stopper,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the folder and starts all threads but control.
    ///
    /// # Errors
    /// The folder can't be synced, or the system has no room.
    pub fn start(options: Options, mut reporter: Box<dyn Reporter>) -> Result<Engine, StartError> {
        let folder = Arc::new(Folder::open(&options.directory).map_err(StartError::Folder)?);
        let rules = read_rules(&folder.root, &options.ignore).map_err(StartError::Rules)?;
        let system = StartError::System;
        let flush = if options.durable { Flush::Durable(folder.root.clone()) } else { Flush::Never };
        let new_id = format!("{:016x}{:016x}", random_u64().map_err(system)?, random_u64().map_err(system)?);
        let private = folder.private.try_clone().map_err(system)?;
        let (state, found, place) = State::open(private, flush, &new_id).map_err(system)?;
        report_found(found, place, reporter.as_mut());
        match options.durable {
            true => unflushed::end(&folder.private),
            false => unflushed::begin(&folder.private),
        }
        .map_err(system)?;
        folder.recovered.iter().for_each(|version| reporter.report(&Report::Recovered { version }));

        let partials =
            Partials::open(&folder.private, folder.stage.clone(), options.durable).map_err(system)?;

        let (sender, queue) = sync_channel(CONTROL_QUEUE);
        let progress = Arc::new(Progress::default());
        let crew = Crew {
            folder: folder.clone(),
            endpoint: options.endpoint.clone(),
            token: options.token.clone(),
            client_id: state.client_id().to_owned(),
            client_name: options.name.clone(),
            durable: options.durable,
            partials: partials.clone(),
            progress: progress.clone(),
        };
        let pool = Pool::start(crew, options.workers, &sender).map_err(system)?;
        let stream = StreamThread::start(options.endpoint.clone(), options.token.clone(), sender.clone())
            .map_err(system)?;
        let to_control = sender.clone();
        let sink = move |observation| match to_control.send(Message::Local(observation)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let (root, passed) = (folder.root.clone(), passed_by(&rules));
        let observer = Observer::start(root, options.mode, passed, "folder", sink).map_err(system)?;
        let mut status = StatusFile::new(folder.private.clone());
        status.show(Phase::Offline, state.cursor(), 0, state.conflicts(), &[], None);
        let looker = observer.looker();
        let inner = Inner::new(&options, state.cursor());
        let control = Control {
            options,
            folder,
            rules,
            state,
            pool,
            stream,
            looker,
            progress,
            reporter,
            status,
            partials,
            inner,
        };
        Ok(Engine { control, queue, observer, stopper: Stopper(sender) })
    }

    /// A handle to end it with.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Runs on this thread until something ends it. All other threads have ended when it returns.
    pub fn run(self) -> Ended {
        let Engine { control, queue, observer, stopper } = self;
        drop(stopper);
        let folder = control.folder.clone();
        let ended = control.run(queue);
        drop(observer);
        // Should it fail, the next start may compare more than it needs to.
        let _ = unflushed::end(&folder.private);
        ended
    }
}

fn report_found(found: Found, place: Place, reporter: &mut dyn Reporter) {
    let error = match found {
        _ if place == Place::Copy => "this folder is a copy of the one that it speaks of, or was restored from a backup; everything is \
                                      compared anew, nothing is deleted"
            .to_owned(),
        _ if place == Place::Unflushed => "the power went while nobody waited for the disk here (--no-fsync), so files may be missing or \
                                           cut; everything is compared anew, nothing is deleted"
            .to_owned(),
        Found::Nothing | Found::Whole => return,
        Found::Torn(bytes) => format!(
            "its last {bytes} bytes were cut off by a crash and are dropped; what they spoke of is compared again"
        ),
        Found::Damaged(offset) => format!(
            "it is damaged at byte {offset} and was set aside as .filesync/state.damaged; everything is compared anew, nothing is deleted"
        ),
    };
    let problem = Problem { operation: "use the state", error };
    reporter.report(&Report::Problem { path: None, problem: &problem });
}

/// What these bytes say as a record of a folder's state, written anew: the same bytes, or `None` if they are no record. For fuzz targets.
#[cfg(fuzzing)]
pub fn repack_state_record(bytes: &[u8]) -> Option<Vec<u8>> {
    records::repack(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TrySendError;

    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::limits::WORKERS;

    struct Silent;

    impl Reporter for Silent {
        fn report(&mut self, _report: &Report<'_>) {}
    }

    /// Nobody hears them yet. The other threads of the engine are among those who wait.
    #[test]
    fn so_many_messages_wait_for_control() {
        let scratch = Scratch::new();
        let options = Options {
            directory: scratch.path().to_owned(),
            endpoint: "http://127.0.0.1:1".parse().unwrap(),
            token: None,
            name: "test".into(),
            once: false,
            dry_run: false,
            force: false,
            ignore: Vec::new(),
            direction: Direction::Both,
            workers: WORKERS,
            mode: Mode::Events,
            durable: false,
        };
        let Engine { control, queue, observer, stopper } = Engine::start(options, Box::new(Silent)).unwrap();
        let refused = (0..=CONTROL_QUEUE).find_map(|_| stopper.0.try_send(Message::Stop(None)).err());
        assert!(matches!(refused, Some(TrySendError::Full(_))), "{refused:?}");
        assert_eq!(queue.try_iter().take(CONTROL_QUEUE).count(), CONTROL_QUEUE);
        drop((queue, control, observer));
    }
}
