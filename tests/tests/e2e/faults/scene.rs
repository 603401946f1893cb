//! A server and two clients, each with the library that lets its calls fail, and one of them under watch.
//!
//! Programs go on from one point of a sweep to the next; only the one that was struck is started again. What is tried at each point happens
//! in a directory of its own. These are made for many points at a time, because to make and remove something everywhere takes longer than
//! most changes; so at each point there are others beside its own, which nobody may touch.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::injector::{Fault, Injector, kinds};
use super::power::{Forgotten, cut};
use super::scenarios::{Change, Places};
use crate::harness::{
    Client, Kind, Node, Process, Server, Tree, agreement, agreement_of, eventually, eventually_within,
};

/// How much of each program's log is shown when something is wrong, in lines.
const LOG_TAIL_LINES: usize = 25;
/// Directories that are made at a time: with more, looking at all of them takes longer than making them.
const BATCH: usize = 6;
/// Changes for which only one is made: nothing makes the content of an empty file its own, and large ones would be read again and again.
const ALONE: [&str; 2] = ["empty-file", "large-file"];
/// How long everything may take to agree once nothing disturbs it any more.
const AGREEMENT: Duration = Duration::from_secs(60);

/// The program under watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Server,
    A,
    B,
}

impl Subject {
    pub const ALL: [Subject; 3] = [Subject::Server, Subject::A, Subject::B];
}

pub struct Scene {
    pub server: Server,
    pub a: Client,
    pub b: Client,
    injectors: [Injector; 3],
    /// Points tried so far; each has a directory of its number.
    points: usize,
    /// The last point for which there is a directory.
    prepared: usize,
    /// How many are made at a time.
    batch: usize,
    /// What everybody held when all agreed last.
    held: Tree,
    /// Whether the server ended: clients come back to one that ends often only after longer and longer pauses.
    is_distrusted: bool,
    directory: TempDir,
}

impl Scene {
    /// Everything runs, and agrees. With `recorded` it is written down what that program does to the disk.
    #[track_caller]
    pub fn start(recorded: Option<Subject>) -> Scene {
        let directory = TempDir::new().expect("create a temporary directory");
        let record = directory.path().join("record");
        fs::create_dir(&record).expect("create a directory");
        let injectors = Subject::ALL.map(|subject| {
            let record = (recorded == Some(subject)).then(|| record.clone());
            Injector::new(directory.path(), &format!("{subject:?}"), record)
        });
        let key = ("API_KEY", "a-key-that-outlives-the-box".into());
        let mut server = Server::new(directory.path());
        server.environment = injectors[0].environment();
        server.environment.push(key.clone());
        // Small trees lose most of what they hold all the time; the guard has tests of its own.
        server.options = &["--force"];
        server.start();
        let client = |kind, name, injector: &Injector| {
            let mut client = Client::new(kind, name, &server, directory.path());
            client.environment = injector.environment();
            client.environment.push(key.clone());
            client.token_file = None;
            client.options = &["--force"];
            client
        };
        let a = client(Kind::A, "alpha", &injectors[1]);
        let b = client(Kind::B, "beta", &injectors[2]);
        let mut scene = Scene {
            server,
            a,
            b,
            injectors,
            points: 0,
            prepared: 0,
            batch: BATCH,
            held: Tree::new(),
            is_distrusted: false,
            directory,
        };
        for subject in [Subject::A, Subject::B] {
            scene.launch(subject);
        }
        for subject in Subject::ALL {
            let process = scene.process(subject).pid();
            scene.injector(subject).check_hello(process);
        }
        scene.settle();
        scene
    }

    /// Tries a point, and shows what the programs said if something is wrong there.
    pub fn try_point<T>(&mut self, work: impl FnOnce(&mut Scene) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| {
            for subject in Subject::ALL {
                let log = self.process(subject).log();
                let lines: Vec<&str> = log.lines().collect();
                let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
                eprintln!("---- end of the log of {subject:?} ----\n{}", tail.join("\n"));
            }
            resume_unwind(panic)
        })
    }

    pub fn injector(&self, subject: Subject) -> &Injector {
        &self.injectors[subject as usize]
    }

    pub fn process(&mut self, subject: Subject) -> &mut Process {
        match subject {
            Subject::Server => self.server.process(),
            Subject::A => self.a.process(),
            Subject::B => self.b.process(),
        }
    }

    pub fn tree(&self, subject: Subject) -> &Path {
        match subject {
            Subject::Server => &self.server.folder,
            Subject::A => &self.a.folder,
            Subject::B => &self.b.folder,
        }
    }

    /// Starts a program, however far it may get.
    #[track_caller]
    pub fn launch(&mut self, subject: Subject) {
        self.is_distrusted |= subject == Subject::Server;
        match subject {
            Subject::Server => self.server.launch(),
            Subject::A => self.a.start(),
            Subject::B => self.b.start(),
        }
    }

    /// In good order.
    #[track_caller]
    pub fn stop(&mut self, subject: Subject) {
        match subject {
            Subject::Server => self.server.stop(),
            Subject::A => self.a.stop(),
            Subject::B => self.b.stop(),
        }
    }

    /// Waits until everything agrees.
    #[track_caller]
    pub fn settle(&mut self) -> Tree {
        let Scene { server, a, b, .. } = self;
        if let Some(code) = server.process().exit_code() {
            panic!("the server ended by itself with {code}:\n{}", server.process().log());
        }
        eventually_within(AGREEMENT, "server and clients to agree", || agreement(server, [&mut *a, &mut *b]))
    }

    /// Waits until everything agrees, or the program has ended; then it tells the exit code.
    #[track_caller]
    pub fn settle_or_end(&mut self, subject: Subject) -> Result<Tree, i32> {
        self.settle_or_end_while(subject, |_| {})
    }

    /// The same while something is done between the looks.
    #[track_caller]
    pub fn settle_or_end_while(
        &mut self,
        subject: Subject,
        mut work: impl FnMut(&Scene),
    ) -> Result<Tree, i32> {
        eventually_within(AGREEMENT, "a program to end, or all to agree", || {
            if let Some(code) = self.process(subject).exit_code() {
                return Ok(Err(code));
            }
            work(self);
            agreement_of(&self.server, &[&self.a, &self.b]).map(Ok)
        })
    }

    /// At each point nothing else is there: for programs that make everything anew.
    pub fn one_at_a_time(mut self) -> Scene {
        self.batch = 1;
        self
    }

    /// Makes what is there before a change, in a new directory, and waits until it is everywhere.
    #[track_caller]
    pub fn prepare(&mut self, change: &Change) -> PathBuf {
        let mut is_settled = 0 < self.points;
        if mem::take(&mut self.is_distrusted) {
            is_settled = false;
            for subject in [Subject::A, Subject::B] {
                self.stop(subject);
                self.launch(subject);
            }
        }
        self.points += 1;
        if self.prepared < self.points {
            is_settled = false;
            // A program that is watched for long should not have more and more to look after.
            for entry in fs::read_dir(&self.a.folder).expect("read a folder") {
                let path = entry.expect("read a folder").path();
                if !path.ends_with(".filesync") {
                    fs::remove_dir_all(path).expect("remove the last ones");
                }
            }
            self.prepared += if ALONE.contains(&change.name) { 1 } else { self.batch };
            for point in self.points..=self.prepared {
                let here = self.a.folder.join(directory_of(point));
                fs::create_dir(&here).expect("create a directory");
                (change.prepare)(&here);
            }
        }
        if !is_settled {
            self.held = self.settle();
        }
        directory_of(self.points)
    }

    /// Lets users act.
    pub fn act(&mut self, change: &Change, directory: &Path) {
        let [a, b, box_] = [&self.a.folder, &self.b.folder, &self.server.folder].map(|at| at.join(directory));
        let clients = [&mut self.a, &mut self.b].into_iter().filter_map(Client::running);
        let clients: Vec<&Process> = clients.collect();
        (change.act)(&Places { a: &a, b: &b, box_: &box_, clients: &clients });
    }

    /// Kills the program immediately before its N-th change to the disk.
    pub fn arm_kill(&self, subject: Subject, call: u64) {
        self.injector(subject).arm(Fault::Kill, kinds::CHANGES, call..=call);
    }

    /// Waits until the program was struck, or is done. If it was, it is started again.
    ///
    /// Returns whether it was.
    #[track_caller]
    pub fn outlive(&mut self, subject: Subject) -> bool {
        let end = self.settle_or_end(subject).err();
        let struck = 0 < self.injector(subject).struck();
        self.injector(subject).disarm();
        if let Some(code) = end {
            assert!(struck, "{subject:?} ended by itself with {code}:\n{}", self.process(subject).log());
            assert_eq!(code, 137, "exit code of {subject:?}, which was to be killed");
            self.launch(subject);
        }
        struck
    }

    /// Takes from the disk what the program, which has ended, did not flush.
    #[track_caller]
    pub fn cut_power(&mut self, subject: Subject, forgotten: Forgotten) {
        assert!(self.process(subject).exit_code().is_some(), "{subject:?} still runs");
        cut(&self.directory.path().join("record"), self.tree(subject), forgotten);
    }

    /// What the program that is recorded did so far.
    #[track_caller]
    pub fn record(&self) -> String {
        fs::read_to_string(self.directory.path().join("record/record")).expect("read a record")
    }

    /// Everything agrees, holds what it should, and nothing is left over.
    #[track_caller]
    pub fn judge(&mut self, change: &Change, directory: &Path) {
        let tree = self.settle();
        self.check(change, directory, tree);
    }

    /// The same of what everybody was just seen to hold.
    #[track_caller]
    pub fn check(&mut self, change: &Change, directory: &Path, tree: Tree) {
        assert_eq!(beside(directory, &tree), beside(directory, &self.held), "what nobody had changed");
        self.held = tree;
        if let Err(difference) = change.judge(&self.server.folder.join(directory)) {
            panic!("{}: {difference}", change.name);
        }
        for subject in Subject::ALL {
            eventually("nothing to be left over", || {
                let left = leftovers(&self.tree(subject).join(".filesync"));
                if left.is_empty() { Ok(()) } else { Err(format!("{subject:?} has left over {left:?}")) }
            });
        }
    }
}

fn directory_of(point: usize) -> PathBuf {
    PathBuf::from(format!("point {point}"))
}

/// What is in a tree besides a directory.
fn beside<'a>(directory: &Path, tree: &'a Tree) -> BTreeMap<&'a [u8], &'a Node> {
    let entries = tree.iter().map(|(path, node)| (path.as_slice(), node));
    entries.filter(|(path, _)| !Path::new(OsStr::from_bytes(path)).starts_with(directory)).collect()
}

/// What a crash may leave for a while, but not for good.
fn leftovers(private: &Path) -> Vec<PathBuf> {
    let names = |directory: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).expect("read a directory");
        entries.map(|entry| entry.expect("read a directory").path()).collect()
    };
    let mut left = names(&private.join("staging"));
    left.extend(names(private).into_iter().filter(|path| path.extension().is_some_and(|end| end == "next")));
    left
}
