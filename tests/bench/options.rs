//! The command line: what to measure, how large, how often and where, or what to make of results that are there.

use std::path::PathBuf;
use std::str::FromStr;

use crate::Result;
use crate::contestant::Contestant;
use crate::loopback::Role;
use crate::workload::{Kind, Workload};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Measures filesync beside rsync, Unison, cp and a bare copy over loopback, as far as they are installed.

What is measured, each with its size or sizes:
  --small N          so many files of 4 KiB, pushed and pulled (10000)
  --large MIB        one file of so many MiB, pushed and pulled (2048)
  --mixed N          so many files from 4 KiB to N times 2 MiB, pushed and pulled (1000)
  --unchanged N      so many files of 1 KiB, and nothing to do (100000)
  --latency N        so many files, one after the other, between two folders (500)
  --idle SECONDS     two live folders in which nothing happens (30)
  --fanout N,...     so many clients who are told of an upload (10,100,1000,2000,5000)
  --entries N,...    so many tiny files: time of syncs and restarts, memory at rest (1000,10000,100000,1000000)
  --only NAMES       of small,large,mixed,unchanged,latency,idle,fanout,entries (all of them)

  --with NAMES       of filesync,no-fsync,rsync,unison,cp,loopback: who takes part (all that are installed)
  --rounds N         how often each contestant does each workload (5); idle and entries are done once
  --on DIR           below which directory to work; may be given again (TMPDIR, and /dev/shm if it is there)
  --programs DIR     where server and clients are (target/release)
  --results FILE     where each single run goes, as tab-separated values (bench.tsv)
  --add              keep the results that are there, and add to them

Instead of measuring, from the results that are there:
  --tables           print the tables that are printed after measuring
  --markdown         print them for a document
  --plot             draw how time and memory grow
  --picture FILE     where that goes, as SVG (growth.svg)

A tree takes its room three times. A workload for which there is not enough is left out, and it is said.
";

/// What a whole bench is to do.
#[derive(Debug)]
pub(crate) struct Options {
    /// How often everything is done.
    pub(crate) rounds: usize,
    /// What is done.
    pub(crate) workloads: Vec<Workload>,
    /// By whom, if they are installed.
    pub(crate) contestants: Vec<Contestant>,
    /// Below which directories.
    pub(crate) places: Vec<PathBuf>,
    /// Where the single runs are written.
    pub(crate) results: PathBuf,
    /// Whether to keep what is written there.
    pub(crate) add: bool,
    /// Where server and clients are.
    pub(crate) programs: PathBuf,
}

/// What to make of results that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Tables for a terminal.
    Tables,
    /// Tables for a document.
    Markdown,
    /// A picture of what grows, in this file.
    Plot(PathBuf),
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// `--help`.
    Help,
    /// One end of a bare copy; the bench starts itself so.
    Loopback(Role),
    /// The bench.
    Bench(Options),
    /// Something about the results in a file.
    View(View, PathBuf),
}

impl Request {
    /// Takes the arguments after the program's name.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Options {
            rounds: 5,
            workloads: Vec::new(),
            contestants: Contestant::ALL.to_vec(),
            places: Vec::new(),
            results: PathBuf::from("bench.tsv"),
            add: false,
            programs: PathBuf::from("target/release"),
        };
        let mut kinds = Kind::ALL.to_vec();
        let mut sizes = Kind::ALL.map(|kind| kind.sizes().to_vec());
        let (mut view, mut picture) = (None, PathBuf::from("growth.svg"));
        while let Some(option) = arguments.next() {
            let mut value = || {
                let lacking = || format!("{option} lacks its value, or is unknown: see --help");
                arguments.next().ok_or_else(lacking)
            };
            match option.as_str() {
                "-h" | "--help" => return Ok(Self::Help),
                "loopback" => return Role::parse(arguments).map(Self::Loopback),
                "--add" => options.add = true,
                "--tables" => view = Some(View::Tables),
                "--markdown" => view = Some(View::Markdown),
                "--plot" => view = Some(View::Plot(PathBuf::new())),
                "--rounds" => options.rounds = number(&option, &value()?)?,
                "--only" => kinds = value()?.split(',').map(kind).collect::<Result<_>>()?,
                "--with" => {
                    options.contestants = value()?.split(',').map(contestant).collect::<Result<_>>()?
                }
                "--on" => options.places.push(value()?.into()),
                "--results" => options.results = value()?.into(),
                "--programs" => options.programs = value()?.into(),
                "--picture" => picture = value()?.into(),
                _ => {
                    let kind = kind(option.trim_start_matches("--"))?;
                    let given = value()?;
                    let given = given.split(',').map(|size| number(&option, size));
                    sizes[kind as usize] = given.collect::<Result<_>>()?;
                }
            }
        }
        match view {
            Some(View::Plot(_)) => return Ok(Self::View(View::Plot(picture), options.results)),
            Some(view) => return Ok(Self::View(view, options.results)),
            None => {}
        }
        for kind in kinds {
            let of_kind = sizes[kind as usize].iter().map(|&size| Workload { kind, size });
            options.workloads.extend(of_kind);
        }
        if options.places.is_empty() {
            options.places = default_places();
        }
        Ok(Self::Bench(options))
    }
}

fn kind(name: &str) -> Result<Kind> {
    Kind::named(name).ok_or_else(|| format!("unknown workload or option {name}: see --help").into())
}

fn contestant(word: &str) -> Result<Contestant> {
    Contestant::called(word).ok_or_else(|| format!("unknown contestant {word}: see --help").into())
}

/// Nothing here can be zero.
fn number<N: FromStr + Default + PartialEq>(option: &str, value: &str) -> Result<N> {
    match value.parse() {
        Ok(number) if number != N::default() => Ok(number),
        _ => Err(format!("{option} needs a number above zero, not {value}").into()),
    }
}

fn default_places() -> Vec<PathBuf> {
    let memory = PathBuf::from("/dev/shm");
    let mut places = vec![std::env::temp_dir()];
    if memory.is_dir() {
        places.push(memory);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request> {
        Request::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn sizes_and_workloads_are_taken_from_the_line() {
        let line = "--rounds 2 --only large,fanout,idle --with cp,no-fsync --large 3 --add --fanout 7,8 --on /a --on /b";
        let Request::Bench(options) = parse(line).unwrap() else { panic!("not a bench") };
        assert_eq!((options.rounds, options.add), (2, true));
        assert_eq!(options.contestants, [Contestant::Cp, Contestant::FilesyncNoFsync]);
        assert_eq!(options.places, [PathBuf::from("/a"), PathBuf::from("/b")]);
        let of = |kind, size| Workload { kind, size };
        let expected = [of(Kind::Large, 3), of(Kind::Fanout, 7), of(Kind::Fanout, 8), of(Kind::Idle, 30)];
        assert_eq!(options.workloads, expected);
    }

    #[test]
    fn results_can_be_looked_at_again() {
        let Request::View(view, results) = parse("--picture x.svg --plot --results y.tsv").unwrap() else {
            panic!("not a view")
        };
        assert_eq!((view, results), (View::Plot("x.svg".into()), "y.tsv".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in
            ["--rounds", "--rounds 0", "--fanout 1,x", "--only medium", "--with scp", "--what 1", "what 1"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
