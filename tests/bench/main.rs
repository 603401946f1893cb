//! Measures filesync beside what else is installed, on the same folders: transfers, passes with nothing to do, and the time that a change
//! takes from one folder to the other; with the CPU time and the peak memory of every process. `scripts/bench` builds all it needs and runs it.
//!
//! Each workload is done by each contestant in turn, then all of them again, round after round, so that a machine that is slower for a while
//! is slower for everybody. The results are medians. Content is in the page cache when a run begins, and nothing waits to be written.
//! Ended by a signal it leaves its directory `filesync-bench-*` behind and, unless the signal came from the terminal, a server.

mod contestant;
mod latency;
mod loopback;
mod machine;
mod options;
mod process;
mod report;
mod transfer;
mod tree;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use contestant::{Contestant, Ground};
use options::{Options, Request, Workload};
use report::Report;

/// What goes wrong here ends the program with a sentence; nothing tells one error from another.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let done = Request::parse(std::env::args().skip(1)).and_then(|request| match request {
        Request::Help => {
            print!("{}", options::HELP);
            Ok(())
        }
        Request::Loopback(role) => loopback::run(&role),
        Request::Bench(options) => bench(&options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    let contestants = Contestant::installed();
    let machine = machine::describe();
    println!("{machine}");
    for line in machine::warnings().into_iter().chain(Contestant::missing()) {
        println!("note: {line}");
    }
    let mut report = Report::new(&options.output, &machine)?;
    for place in &options.places {
        // In a directory of its own, by process: two benches at a time disturb, but don't destroy, each other.
        let scratch = place.join(format!("filesync-bench-{}", std::process::id()));
        fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        let done = run_in(&scratch, options, &contestants, &mut report);
        fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        done?;
    }
    print!("{report}");
    println!("\neach run, for programs: {}", options.output.display());
    Ok(())
}

/// All workloads in one directory.
fn run_in(scratch: &Path, options: &Options, contestants: &[Contestant], report: &mut Report) -> Result<()> {
    let place = machine::file_system(scratch)?;
    let ground = Ground { programs: &options.programs, work: &scratch.join("work") };
    let source = scratch.join("source");
    for workload in &options.workloads {
        if let Workload::Tree { shape, .. } = workload {
            shape.make(&source)?;
        }
        for round in 1..=options.rounds {
            for &contestant in contestants.iter().filter(|contestant| workload.is_for(**contestant)) {
                eprintln!("{place}: {workload}, round {round}, {contestant}");
                let measured = match workload {
                    Workload::Tree { steps, shape, .. } => {
                        transfer::run(contestant, ground, &source, *shape, steps)?
                    }
                    Workload::Latency(count) => latency::run(contestant, ground, *count)?,
                };
                for (step, usage) in measured {
                    report.add(&place, workload.name(), step, contestant, round, &usage)?;
                }
            }
        }
        if source.exists() {
            fs::remove_dir_all(&source).map_err(|error| format!("{}: {error}", source.display()))?;
        }
    }
    Ok(())
}
