//! Random histories of the real programs: one server, three clients, users at work in every folder and by hand in the box, and programs
//! that are killed, stopped, frozen, started again, lose their state, and ignore now this and now that.
//!
//! In every fourth history the clients have tokens for a folder of the box, and the last of them may only read. Nobody is at work in its
//! folder, and nothing is done to it that makes it forget what it has from the box: it could not tell then what is its own.
//!
//! After each round the disturbance ends. Then everything has to agree, byte for byte; the [oracle](oracle) must miss no version; and
//! after the last round nothing may move any more.
//!
//! ```text
//!     FILESYNC_SEED=17          begins with this seed instead of 1: the same steps again
//!     FILESYNC_SEEDS=500        runs so many
//!     FILESYNC_PARALLEL=4       so many at a time
//!     FILESYNC_KEEP=1           leaves the folders of a history that failed where they are
//! ```
//!
//! The same seed means the same steps, not the same interleaving: that is up to the kernel. A rare failure may take some runs to come back.

mod oracle;
mod plan;
mod programs;
mod user;

use std::env;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{eventually, pass};
use oracle::Oracle;
use plan::{Place, Program, Step, draw};
use programs::Programs;
use user::User;

/// Seeds that every run of the tests tries.
const SEEDS: u64 = 20;
/// Histories at a time: they wait more than they work.
const PARALLEL: u64 = 4;
/// How long nothing may move after the end.
const QUIET: Duration = Duration::from_secs(3);

#[test]
fn no_version_is_lost_and_all_come_to_agree() {
    let first = number("FILESYNC_SEED").unwrap_or(1);
    let count = number("FILESYNC_SEEDS").unwrap_or(if number("FILESYNC_SEED").is_some() { 1 } else { SEEDS });
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..number("FILESYNC_PARALLEL").unwrap_or(PARALLEL).min(count) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if first + count <= seed {
                        break;
                    }
                    if catch_unwind(|| run(seed)).is_err() {
                        failed.lock().expect("nobody panics with it").push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("nobody panics with it");
    assert!(failed.is_empty(), "these histories failed: {failed:?}; FILESYNC_SEED=N runs one of them again");
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

fn run(seed: u64) {
    println!("history {seed} begins");
    let begin = Instant::now();
    let mut history = History {
        programs: Programs::start(seed),
        oracle: Oracle::default(),
        chronicle: String::new(),
        begin,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| history.run(seed)));
    if let Err(panic) = outcome {
        eprintln!(
            "---- history {seed}: what was done, in seconds since its begin ----\n{}",
            history.chronicle
        );
        eprintln!("---- history {seed} has failed; FILESYNC_SEED={seed} runs it again ----");
        if env::var_os("FILESYNC_KEEP").is_some() {
            history.programs.directory.disable_cleanup(true);
            eprintln!("---- its folders are kept in {} ----", history.programs.directory.path().display());
        }
        std::panic::resume_unwind(panic);
    }
    println!("history {seed} is good after {:.1} s", begin.elapsed().as_secs_f64());
}

struct History {
    programs: Programs,
    oracle: Oracle,
    /// For people, when something went wrong.
    chronicle: String,
    begin: Instant,
}

impl History {
    fn run(&mut self, seed: u64) {
        for round in draw(seed) {
            for step in &round {
                self.take(step);
            }
            self.note("everything runs and comes to agree");
            self.programs.settle();
            self.note("it does");
            self.judge();
        }
        self.stays_quiet();
    }

    fn take(&mut self, step: &Step) {
        let programs = &mut self.programs;
        match step {
            Step::Act(Place::Folder(client), _)
            | Step::Kill(Program::Client(client))
            | Step::LoseState(client)
            | Step::Rules(client, _)
                if programs.only_reads(*client) => {}
            Step::Act(place, act) => return self.act(*place, act),
            Step::Pass(time) => pass(*time),
            Step::Kill(program) => programs.kill(*program),
            Step::Stop(program) => programs.stop(*program),
            Step::Start(program) => programs.start_program(*program),
            Step::Freeze(program) => programs.freeze(*program),
            Step::Thaw(program) => programs.thaw(*program),
            Step::LoseState(client) => {
                programs.kill(Program::Client(*client));
                programs.lose_state(*client);
            }
            Step::Rules(client, rules) => programs.set_rules(*client, Some(rules)),
            Step::NoRules(client) => programs.set_rules(*client, None),
        }
        self.note(&format!("{step:?}"));
    }

    fn act(&mut self, place: Place, act: &plan::Act) {
        let trees = self.programs.trees();
        let mut user = User {
            name: match place {
                Place::Box => "the box",
                Place::Folder(client) => self.programs.clients[client].name,
            },
            root: &self.programs.tree(place),
            trees: &trees,
            elsewhere: &self.programs.elsewhere(),
            oracle: &mut self.oracle,
        };
        let outcome = user.act(act);
        let name = user.name.to_owned();
        match outcome {
            Ok(()) => self.note(&format!("{name}: {act:?}")),
            Err(error) => self.note(&format!("{name}: {act:?} comes to nothing: {error}")),
        }
    }

    /// No version is lost, none is there that nobody made.
    fn judge(&self) {
        let private = self.programs.trees().into_iter().map(|tree| tree.join(".filesync/versions"));
        let versions: Vec<PathBuf> = private.collect();
        let versions: Vec<_> = versions.iter().map(PathBuf::as_path).collect();
        if let Err(lines) = self.oracle.judge(&self.programs.tree(Place::Box), &versions) {
            panic!("{lines}");
        }
    }

    /// Nothing echoes, nothing ping-pongs, nothing is left over.
    fn stays_quiet(&self) {
        // A file that was not closed yet is looked at once more when it has been left alone for a while, and that is written down.
        eventually("nothing to move any more", || {
            let before = self.programs.marks();
            pass(QUIET);
            let after = self.programs.marks();
            if before == after { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
        });
        assert_eq!(self.programs.leftovers(), Vec::<PathBuf>::new(), "left over in staging");
    }

    fn note(&mut self, what: &str) {
        writeln!(self.chronicle, "{:8.3}  {what}", self.begin.elapsed().as_secs_f64())
            .expect("memory is enough");
    }
}
