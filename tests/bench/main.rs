//! Measures filesync beside what else is installed, on the same folders: transfers, passes with nothing to do, the time that a change takes
//! from one folder to the other, and how time and memory grow with files and clients; with the CPU time and the memory of every process.
//! `scripts/bench` builds all it needs and runs it.
//!
//! ```text
//!     options -> workload -> transfer, latency, idle, fanout, entries -> results -> report, markdown, growth
//!                              (contestant, process, live, crowd)      (a file)       (goals, chart)
//! ```
//!
//! Each workload is done by each contestant in turn, then all of them again, round after round, so that a machine that is slower for a while
//! is slower for everybody. The results are medians. Content is in the page cache when a run begins, and nothing waits to be written.
//! Ended by a signal it leaves its directory `filesync-bench-*` behind and, unless the signal came from the terminal, a server.

mod access;
mod chart;
mod contestant;
mod crowd;
mod entries;
mod fanout;
mod goals;
mod growth;
mod idle;
mod latency;
mod live;
mod loopback;
mod machine;
mod markdown;
mod options;
mod process;
mod report;
mod results;
mod room;
mod spent;
mod transfer;
mod tree;
mod usage;
mod workload;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use contestant::{Contestant, Ground};
use markdown::Markdown;
use options::{Options, Request, View};
use report::Report;
use results::{Recorder, Results, Run, Subject};
use spent::{Spent, remove};
use usage::Usage;
use workload::{Figure, Kind, Workload};

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
        Request::View(view, results) => Results::read(&results).and_then(|results| look(&view, &results)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn look(view: &View, results: &Results) -> Result<()> {
    match view {
        View::Tables => print!("{}\n{}", results.machine, Report(results)),
        View::Markdown => print!("{}", Markdown(results)),
        View::Plot(picture) => {
            let drawn = growth::draw(results).ok_or("nothing among the results is about growth")?;
            fs::write(picture, drawn).map_err(|error| format!("{}: {error}", picture.display()))?;
            println!("{}", picture.display());
        }
    }
    Ok(())
}

fn bench(options: &Options) -> Result<()> {
    let (contestants, missing): (Vec<_>, Vec<_>) =
        options.contestants.iter().partition(|who| who.is_installed());
    let machine = machine::describe();
    println!("{machine}");
    for line in machine::warnings().into_iter().chain(missing.into_iter().filter_map(Contestant::lack)) {
        println!("note: {line}");
    }
    let mut recorder = Recorder::new(&options.results, machine, options.add)?;
    let mut failures = Vec::new();
    for place in &options.places {
        // In a directory of its own, by process: two benches at a time disturb, but don't destroy, each other.
        let scratch = place.join(format!("filesync-bench-{}", std::process::id()));
        fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        let done = run_in(&scratch, options, &contestants, &mut recorder);
        remove(&scratch)?;
        failures.extend(done?);
    }
    print!("{}", Report(&recorder.finish()));
    println!("\neach run, for programs: {}", options.results.display());
    if failures.is_empty() { Ok(()) } else { Err(format!("failed: {}", failures.join("\nfailed: ")).into()) }
}

/// All workloads in one directory. Returns what failed: hours of other runs should not be lost by that.
fn run_in(
    scratch: &Path,
    options: &Options,
    contestants: &[Contestant],
    recorder: &mut Recorder,
) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    let place = machine::file_system(scratch)?;
    let mut spent = Spent::new(scratch, &place);
    let ground = Ground { programs: &options.programs, work: &scratch.join("work") };
    let source = scratch.join("source");
    for &workload in &options.workloads {
        if let Some(shape) = workload.shape() {
            if let Some(lack) = room::lack(scratch, &place, shape)? {
                println!("note: left out, {place}: {workload}: {lack}");
                continue;
            }
            shape.make(&source)?;
        }
        for round in 1..=workload.kind.rounds(options.rounds) {
            for &contestant in contestants.iter().filter(|who| workload.kind.is_for(**who)) {
                let run = format!("{place}: {workload}, round {round}, {contestant}");
                eprintln!("{run}");
                match measure(workload, contestant, ground, &source) {
                    Ok(measured) => {
                        for (figure, usage) in measured {
                            let subject = Subject { place: place.clone(), workload, figure };
                            recorder.add(Run { subject, contestant, round, usage })?;
                        }
                    }
                    Err(error) => {
                        eprintln!("failed: {error}");
                        failures.push(format!("{run}: {error}"));
                    }
                }
                spent.take(ground.work, workload.shape())?;
                // What a client has left in its folder.
                remove(&source.join(".filesync"))?;
            }
        }
        spent.take(&source, workload.shape())?;
    }
    Ok(failures)
}

/// One contestant, once.
fn measure(
    workload: Workload,
    contestant: Contestant,
    ground: Ground<'_>,
    source: &Path,
) -> Result<Vec<(Figure, Usage)>> {
    let Workload { kind, size } = workload;
    match (kind, workload.shape()) {
        (Kind::Latency, _) => latency::run(contestant, ground, size),
        (Kind::Idle, _) => idle::run(contestant, ground, size),
        (Kind::Fanout, _) => fanout::run(contestant, ground, size),
        (Kind::Entries, Some(shape)) => entries::run(contestant, ground, source, shape),
        (_, Some(shape)) => {
            let fetched = ground.work.join("fetched");
            transfer::run(contestant, ground, (source, &fetched), shape, kind.steps())
        }
        (_, None) => Err(format!("{workload} has no tree").into()),
    }
}
