//! The command line: how large the workloads are, which of them to run, how often and where.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Result;
use crate::contestant::Contestant;
use crate::loopback::Role;
use crate::transfer::Step;
use crate::tree::Shape;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Measures filesync beside rsync, Unison, cp and a bare copy over loopback, as far as they are installed.

  --rounds N         how often each contestant does each workload (5)
  --only NAMES       of small,large,unchanged,latency (all four)
  --small N          small: so many files of 4 KiB, pushed and pulled (10000)
  --large MIB        large: one file of so many MiB, pushed and pulled (2048)
  --unchanged N      unchanged: so many files of 1 KiB, and nothing to do (100000)
  --latency N        latency: so many files, one after the other, between two folders (500)
  --on DIR           below which directory to work; may be given again (TMPDIR, and /dev/shm if it is there)
  --output FILE      where each single run goes, as tab-separated values (bench.tsv)
  --programs DIR     where server and clients are (target/release)

It takes room for three times the largest workload below each of the directories.
";

/// A workload, with its size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Workload {
    /// Steps with a whole tree, all of which are measured.
    Tree { name: &'static str, steps: &'static [Step], shape: Shape },
    /// So many changes, one after the other, between two live folders.
    Latency(usize),
}

impl Workload {
    /// As it is called on the command line and in tables.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Tree { name, .. } => name,
            Self::Latency(_) => "latency",
        }
    }

    /// Whether the contestant can do it.
    pub(crate) fn is_for(&self, contestant: Contestant) -> bool {
        match self {
            Self::Tree { steps, .. } => contestant.compares() || !steps.contains(&Step::Again),
            Self::Latency(_) => contestant.is_live(),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree { name, shape, .. } => write!(formatter, "{name} ({shape})"),
            Self::Latency(count) => write!(formatter, "latency ({count} files)"),
        }
    }
}

/// What a whole bench is to do.
#[derive(Debug)]
pub(crate) struct Options {
    /// How often everything is done.
    pub(crate) rounds: usize,
    /// What is done.
    pub(crate) workloads: Vec<Workload>,
    /// Below which directories.
    pub(crate) places: Vec<PathBuf>,
    /// Where the single runs are written.
    pub(crate) output: PathBuf,
    /// Where server and clients are.
    pub(crate) programs: PathBuf,
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
}

impl Request {
    /// Takes the arguments after the program's name.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut rounds, mut small, mut large, mut unchanged, mut latency) = (5, 10_000, 2048, 100_000, 500);
        let mut only = String::from("small,large,unchanged,latency");
        let mut places = Vec::new();
        let mut output = PathBuf::from("bench.tsv");
        let mut programs = PathBuf::from("target/release");
        while let Some(option) = arguments.next() {
            match option.as_str() {
                "-h" | "--help" => return Ok(Self::Help),
                "loopback" => return Role::parse(arguments).map(Self::Loopback),
                _ => {}
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("{option} lacks its value, or is unknown: see --help"))?;
            match option.as_str() {
                "--rounds" => rounds = number(&option, &value)?,
                "--small" => small = number(&option, &value)?,
                "--large" => large = number(&option, &value)?,
                "--unchanged" => unchanged = number(&option, &value)?,
                "--latency" => latency = number(&option, &value)?,
                "--only" => only = value,
                "--on" => places.push(PathBuf::from(value)),
                "--output" => output = PathBuf::from(value),
                "--programs" => programs = PathBuf::from(value),
                _ => return Err(format!("unknown option {option}: see --help").into()),
            }
        }
        if places.is_empty() {
            places = default_places();
        }
        let tree = |name, steps, shape| Workload::Tree { name, steps, shape };
        let workload = |name: &str| {
            Ok(match name {
                "small" => tree("small", &[Step::Push, Step::Pull], Shape { files: small, bytes: 4 << 10 }),
                "large" => tree("large", &[Step::Push, Step::Pull], Shape { files: 1, bytes: large << 20 }),
                "unchanged" => tree("unchanged", &[Step::Again], Shape { files: unchanged, bytes: 1 << 10 }),
                "latency" => Workload::Latency(latency),
                _ => return Err(format!("unknown workload {name}: see --help").into()),
            })
        };
        let workloads = only.split(',').map(workload).collect::<Result<_>>()?;
        Ok(Self::Bench(Options { rounds, workloads, places, output, programs }))
    }
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
        let Request::Bench(options) =
            parse("--rounds 2 --only large,latency --large 3 --latency 7 --on /a --on /b").unwrap()
        else {
            panic!("not a bench")
        };
        assert_eq!(options.rounds, 2);
        assert_eq!(options.places, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert!(matches!(
            options.workloads[..],
            [
                Workload::Tree { name: "large", shape: Shape { files: 1, bytes: 3_145_728 }, .. },
                Workload::Latency(7)
            ]
        ));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--rounds", "--rounds 0", "--rounds x", "--only medium", "--what 1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
