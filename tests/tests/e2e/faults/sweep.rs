//! How a sweep goes through its points: all of them, some of each scenario at equal distances, a sample, or one.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::harness::Random;

/// Scenarios at a time: they wait more than they work.
const PARALLEL: usize = 4;
/// More calls than any scenario makes: no fault strikes, and all of them are counted.
const BEYOND: u64 = 1 << 20;
/// Runs of one scenario differ by a few calls. It is through when so many points in a row were beyond the last call.
const QUIET: u32 = 3;
/// A sweep that finds so many faults in one scenario has found enough.
const FAILURES: usize = 5;

/// A scenario, as a sweep sees it: something that can be tried with the N-th call struck, and says how many there were.
pub struct Job<'a> {
    pub name: String,
    /// Makes what a number of trials in a row need, and returns what tries one point.
    pub trial: Box<dyn Fn() -> Trial<'a> + Sync + 'a>,
}

/// Tries one point, and says how it came out. A panic is a fault found.
pub type Trial<'a> = Box<dyn FnMut(u64) -> Tried + 'a>;

/// What happened at a point.
pub struct Tried {
    /// Whether the call was reached.
    pub struck: bool,
    /// Calls that counted.
    pub calls: u64,
}

/// Goes through the points of all jobs, and fails with a list of those at which something was wrong. By default `sample` points are tried,
/// each of another scenario.
pub fn sweep(title: &str, sample: usize, jobs: Vec<Job>) {
    let wanted = env::var("FILESYNC_SCENARIO").unwrap_or_default();
    let mut jobs: Vec<Job> = jobs.into_iter().filter(|job| job.name.contains(&wanted)).collect();
    if jobs.is_empty() {
        // Of several sweeps some other may have it; `scripts/faults` sees to it that one does.
        println!("{title}: no scenario has {wanted:?} in its name");
        return;
    }
    let seed = number("FILESYNC_SEED").unwrap_or_else(random_seed);
    if env::var_os("FILESYNC_FAULTS").is_none() && wanted.is_empty() {
        let mut random = Random::new(seed);
        while sample < jobs.len() {
            jobs.swap_remove(random.below(jobs.len()));
        }
    }
    let (begin, next) = (Instant::now(), AtomicUsize::new(0));
    let (points, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    println!("{title}: seed {seed}");
    thread::scope(|scope| {
        for _ in 0..number("FILESYNC_PARALLEL").map_or(PARALLEL, |number| number as usize) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // The same points of a scenario, whichever others are tried.
                    let mut hasher = DefaultHasher::new();
                    (seed, &job.name).hash(&mut hasher);
                    let mut random = Random::new(hasher.finish());
                    let run = run(title, job, &mut random);
                    points.fetch_add(run.points, Ordering::Relaxed);
                    println!("{title}: {}: {} of {} points", job.name, run.points, run.calls);
                    failed.lock().expect("nobody panics with it").extend(run.failures);
                }
            });
        }
    });
    let (points, seconds) = (points.into_inner(), begin.elapsed().as_secs());
    println!("{title}: {points} points tried in {} scenarios and {seconds} s", jobs.len());
    let failed = failed.into_inner().expect("nobody panics with it");
    assert!(failed.is_empty(), "{title} (FILESYNC_SEED={seed}):\n{}", failed.join("\n"));
}

#[derive(Default)]
struct Run {
    points: u64,
    calls: u64,
    failures: Vec<String>,
}

fn run(title: &str, job: &Job, random: &mut Random) -> Run {
    let mut run = Run::default();
    let mut trial = None;
    let mut attempt = |run: &mut Run, call: u64| -> Option<Tried> {
        let tried = catch_unwind(AssertUnwindSafe(|| trial.get_or_insert_with(|| (job.trial)())(call)));
        match tried {
            Ok(tried) => {
                run.calls = run.calls.max(tried.calls);
                run.points += u64::from(tried.struck);
                Some(tried)
            }
            Err(panic) => {
                // What ran is in an unknown state now.
                trial = None;
                run.points += 1;
                let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                let failure = format!("{}, call {call}: {words}", job.name);
                println!("{title}: FAILED at {failure}");
                run.failures.push(failure);
                None
            }
        }
    };
    if let Some(point) = number("FILESYNC_POINT") {
        attempt(&mut run, point);
    } else if env::var_os("FILESYNC_FAULTS").is_some() {
        let every = number("FILESYNC_EVERY").map_or(1, |every| every.max(1) as usize);
        let mut quiet = 0;
        for call in (1 + random.below(every) as u64..).step_by(every) {
            let is_beyond = attempt(&mut run, call).is_some_and(|tried| !tried.struck);
            quiet = if is_beyond { quiet + 1 } else { 0 };
            if QUIET <= quiet || FAILURES <= run.failures.len() {
                break;
            }
        }
    } else if let Some(tried) = attempt(&mut run, BEYOND)
        && 0 < tried.calls
    {
        attempt(&mut run, 1 + random.below(tried.calls as usize) as u64);
    }
    run
}

/// The number in a variable of the environment.
pub fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

fn random_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()))
}
