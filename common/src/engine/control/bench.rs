//! Control on the workbench: no threads, no server. The test is the user, who changes a real folder; the observer, who says what is seen;
//! the server, who tells; and the workers, who get jobs and say what came of them. So news can cross in any way that is wanted.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Control, Inner, Link};
use crate::disk::scratch::Scratch;
use crate::disk::{Fingerprint, Mode, Observation, Observer, Partials};
use crate::engine::folder::Folder;
use crate::engine::job::{Done, Failure, FailureKind, Job, Outcome, Sent, Task, There};
use crate::engine::jobs::Jobs;
use crate::engine::local;
use crate::engine::message::{Loss, Message, Stream};
use crate::engine::report::{Report, Reporter};
use crate::engine::rules::read_rules;
use crate::engine::state::{Base, Flush, State};
use crate::engine::status::StatusFile;
use crate::engine::stream::StreamThread;
use crate::engine::track::Local;
use crate::engine::worker::Pool;
use crate::engine::{Direction, Options};
use crate::protocol::{Cursor, Epoch, Event, RemoteEntry, Synced};
use crate::tree::{Content, Entry, Meta, Mtime, Path};
use crate::wire::sha256::sha256;

const EPOCH: Epoch = Epoch(7);
/// How long a job may take to be handed out: deletes wait for each other, refused ones for a while.
const PATIENCE: Duration = Duration::from_secs(20);
const WORKERS: usize = 8;

pub(super) struct Bench {
    pub(super) control: Control,
    jobs: Arc<Jobs>,
    /// Handed out, and not yet taken by the test.
    waiting: Vec<Job>,
    seq: u64,
    _observer: Observer,
    scratch: Scratch,
}

struct Silent;

impl Reporter for Silent {
    fn report(&mut self, _report: &Report<'_>) {}
}

pub(super) fn path(name: &str) -> Path {
    Path::new(name.as_bytes()).unwrap()
}

/// A version of a file that is nowhere yet.
pub(super) fn file(content: &str, mode: u16) -> Entry {
    let content = Content::File { size: content.len() as u64, hash: sha256(content.as_bytes()) };
    Entry { content, meta: Meta { mtime: Mtime(1), mode } }
}

pub(super) fn directory(mode: u16) -> Entry {
    Entry { content: Content::Directory, meta: Meta { mtime: Mtime(1), mode } }
}

impl Bench {
    /// An empty folder, an empty box, connected and up to date.
    pub(super) fn new() -> Bench {
        let scratch = Scratch::new();
        let options = Options {
            directory: scratch.path().to_owned(),
            endpoint: "http://127.0.0.1:1".parse().unwrap(),
            token: None,
            name: "bench".into(),
            once: false,
            dry_run: false,
            force: true,
            ignore: Vec::new(),
            direction: Direction::Both,
            workers: WORKERS,
            mode: Mode::Poll(Duration::from_secs(3600)),
            durable: false,
        };
        let folder = Arc::new(Folder::open(&options.directory).unwrap());
        let (state, ..) = State::open(folder.private.try_clone().unwrap(), Flush::Never, "me").unwrap();
        let partials = Partials::open(&folder.private, folder.stage.clone(), false).unwrap();
        let (pool, jobs) = Pool::of_a_test();
        let deaf = |_| ControlFlow::Continue(());
        let observer =
            Observer::start(folder.root.clone(), options.mode, Arc::new(|_| false), "bench", deaf).unwrap();
        let control = Control {
            rules: read_rules(&folder.root, &options.ignore).unwrap(),
            inner: Inner::new(&options, state.cursor()),
            looker: observer.looker(),
            status: StatusFile::new(folder.private.clone()),
            reporter: Box::new(Silent),
            stream: StreamThread::of_a_test(),
            progress: Arc::default(),
            options,
            folder,
            state,
            pool,
            partials,
        };
        let mut bench = Bench { control, jobs, waiting: Vec::new(), seq: 0, _observer: observer, scratch };
        bench.control.apply_rules();
        bench.control.inner.relisting = false;
        bench.control.inner.scanned = true;
        bench.connect();
        bench.synced();
        bench
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    // ---- The user ----------------------------------------------------------------------------------------------------------------

    pub(super) fn write(&mut self, name: &str, content: &str) {
        fs::write(self.at(name), content).unwrap();
        self.see(name);
    }

    pub(super) fn link(&mut self, name: &str, target: &str) {
        symlink(target, self.at(name)).unwrap();
        self.see(name);
    }

    pub(super) fn make_directory(&mut self, name: &str) {
        fs::create_dir(self.at(name)).unwrap();
        self.see(name);
    }

    pub(super) fn remove(&mut self, name: &str) {
        let path = self.at(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self.see(name);
    }

    // ---- The observer ------------------------------------------------------------------------------------------------------------

    /// Looks at a path.
    pub(super) fn see(&mut self, name: &str) {
        let path = path(name);
        let stat = self.control.folder.root.stat(&path).unwrap();
        self.control.hear(Message::Local(Observation::Look { path, stat }));
    }

    // ---- The server --------------------------------------------------------------------------------------------------------------

    pub(super) fn connect(&mut self) {
        let now = Cursor { epoch: EPOCH, seq: self.seq };
        self.hear(Event::Hello(now), None);
    }

    pub(super) fn synced(&mut self) {
        let cursor = self.cursor(self.seq);
        self.hear(Event::Synced(Synced::default()), cursor);
        assert_eq!(self.control.inner.link, Link::Live);
    }

    pub(super) fn disconnect(&mut self) {
        self.control.hear(Message::Stream(Stream::Lost(Loss::Broken("for a test".into()))));
    }

    pub(super) fn cursor(&self, seq: u64) -> Option<Cursor> {
        Some(Cursor { epoch: EPOCH, seq })
    }

    pub(super) fn hear(&mut self, event: Event, cursor: Option<Cursor>) {
        self.control.hear(Message::Stream(Stream::Events(vec![(event, cursor)])));
    }

    /// Somebody else made this change, and it is told.
    pub(super) fn tell(&mut self, name: &str, entry: Option<Entry>) -> u64 {
        self.seq += 1;
        let remote = RemoteEntry { path: path(name), entry, seq: self.seq, since: self.seq, origin: None };
        let event = if entry.is_some() { Event::Download(remote) } else { Event::Delete(remote) };
        self.hear(event, self.cursor(self.seq));
        self.seq
    }

    /// A change of our own, which is told, too.
    pub(super) fn tell_own(&mut self, name: &str, entry: Option<Entry>) -> u64 {
        self.seq += 1;
        let origin = Some(self.control.state.client_id().to_owned());
        let remote = RemoteEntry { path: path(name), entry, seq: self.seq, since: self.seq, origin };
        self.hear(Event::Stored(remote), self.cursor(self.seq));
        self.seq
    }

    /// What a refusal says that the server holds.
    pub(super) fn refuse(&mut self, job: Job, current: Option<(Entry, u64)>) {
        let path = job.path.clone();
        let current = current.map(|(entry, seq)| RemoteEntry {
            path,
            entry: Some(entry),
            seq,
            since: seq,
            origin: None,
        });
        self.done(job, Outcome::RemoteIs(current));
    }

    // ---- The workers -------------------------------------------------------------------------------------------------------------

    /// The next job for a path; what is to be read is read on the way.
    pub(super) fn job(&mut self, name: &str) -> Job {
        let wanted = path(name);
        let begin = Instant::now();
        loop {
            self.turn();
            if let Some(place) = self.waiting.iter().position(|job| job.path == wanted) {
                return self.waiting.remove(place);
            }
            let track = self.control.inner.tracks.get(&wanted);
            assert!(begin.elapsed() < PATIENCE, "no job for {name}: {track:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What a worker takes of what is handed out.
    pub(super) fn take(&mut self) -> Vec<Job> {
        self.control.look_after_all();
        self.jobs.take().unwrap()
    }

    /// Control has a turn; files are read as soon as it asks. It does not look after all paths again, as it does now and then when idle:
    /// nothing here is to need that.
    pub(super) fn turn(&mut self) {
        loop {
            self.control.look_after_all();
            self.control.keep_state();
            self.waiting.extend(self.jobs.withdraw());
            let to_read = self.waiting.iter().position(|job| matches!(job.task, Task::Hash { .. }));
            let Some(place) = to_read else { return };
            let job = self.waiting.remove(place);
            let Task::Hash { stat } = &job.task else { return };
            let outcome = local::hash(&self.control.folder.root, &job.path, stat).unwrap();
            self.done(job, outcome);
        }
    }

    pub(super) fn done(&mut self, job: Job, outcome: Outcome) {
        self.control.hear(Message::Done(vec![Done { job, outcome }]));
    }

    /// The request was sent, and its answer never came.
    pub(super) fn lose(&mut self, job: Job) {
        self.done(job, Outcome::Failed(Failure::new("send", "no answer", FailureKind::Network)));
    }

    /// The server has taken an upload, by a change with this number.
    pub(super) fn accept(&mut self, job: Job, seq: u64) {
        let Task::Upload { entry, print, .. } = job.task else { panic!("{job:?} is no upload") };
        self.done(
            job,
            Outcome::Uploaded(Sent { base: Base { entry, print, seq }, there: There { entry, seq } }),
        );
    }

    /// What is at a path is agreed on with the server.
    pub(super) fn agree(&mut self, name: &str) -> Base {
        self.see(name);
        self.turn();
        let path = path(name);
        let track = self.control.inner.tracks.get(&path).unwrap_or_else(|| panic!("{name} is not seen"));
        let base = match track.local {
            Local::Known(entry, print) => Base { entry, print, seq: self.seq + 1 },
            other => panic!("{name} is {other:?}"),
        };
        match self.waiting.iter().position(|job| job.path == path) {
            Some(place) => {
                let job = self.waiting.remove(place);
                self.seq += 1;
                self.accept(job, self.seq);
            }
            None => panic!("{name} is not to be sent"),
        }
        self.turn();
        base
    }

    pub(super) fn base(&self, name: &str) -> Option<Base> {
        self.control.state.base(&path(name)).copied()
    }

    pub(super) fn print(&self, name: &str) -> Fingerprint {
        self.control.folder.root.stat(&path(name)).unwrap().unwrap().print
    }
}
