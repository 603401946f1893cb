//! What was measured: each run a line of tab-separated values, written at once, and what the runs of one figure come to.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::Result;
use crate::contestant::Contestant;
use crate::usage::Usage;
use crate::workload::{Figure, Kind, Workload};

const COLUMNS: &str = "file system\tworkload\tsize\tfigure\tcontestant\tround\tseconds\tserver CPU s\tclient CPU s\tserver start KiB\tserver rest KiB\tserver peak KiB\tclient rest KiB\tclient peak KiB\tfiles read";

/// What is measured: runs of the same subject can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The file system on which.
    pub(crate) place: String,
    /// What is done.
    pub(crate) workload: Workload,
    /// What of it.
    pub(crate) figure: Figure,
}

/// One run of one contestant.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// What was measured.
    pub(crate) subject: Subject,
    /// Of whom.
    pub(crate) contestant: Contestant,
    /// The how-manieth time, from 1 on.
    pub(crate) round: usize,
    /// What it took.
    pub(crate) usage: Usage,
}

/// What all rounds of all contestants come to.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) subject: Subject,
    /// The medians of each contestant that took part.
    pub(crate) medians: BTreeMap<Contestant, Usage>,
}

/// Runs, and the machine on which they were.
#[derive(Debug)]
pub(crate) struct Results {
    /// In one line.
    pub(crate) machine: String,
    runs: Vec<Run>,
}

impl Run {
    fn line(&self) -> String {
        let Subject { place, workload: Workload { kind, size }, figure } = &self.subject;
        let Usage { seconds, server_cpu, client_cpu, .. } = self.usage;
        let Usage { server_start, server_rest, server_peak, client_rest, client_peak, files_read, .. } =
            self.usage;
        format!(
            "{place}\t{}\t{size}\t{}\t{}\t{}\t{seconds:.6}\t{server_cpu:.2}\t{client_cpu:.2}\t{server_start}\t{server_rest}\t{server_peak}\t{client_rest}\t{client_peak}\t{files_read}",
            kind.name(),
            figure.name(),
            self.contestant,
            self.round
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [place, kind, size, figure, contestant, round, seconds, server_cpu, client_cpu, ref numbers @ ..] =
            fields[..]
        else {
            return None;
        };
        let numbers: Vec<u64> = numbers.iter().map(|field| field.parse().ok()).collect::<Option<_>>()?;
        let [server_start, server_rest, server_peak, client_rest, client_peak, files_read] = numbers[..]
        else {
            return None;
        };
        let workload = Workload { kind: Kind::named(kind)?, size: size.parse().ok()? };
        Some(Self {
            subject: Subject { place: place.to_owned(), workload, figure: Figure::named(figure)? },
            contestant: Contestant::named(contestant)?,
            round: round.parse().ok()?,
            usage: Usage {
                seconds: seconds.parse().ok()?,
                server_cpu: server_cpu.parse().ok()?,
                client_cpu: client_cpu.parse().ok()?,
                server_start,
                server_rest,
                server_peak,
                client_rest,
                client_peak,
                files_read,
            },
        })
    }
}

impl Results {
    /// What a file of earlier runs says.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let machine = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or("no machine is named")?;
        if lines.next() != Some(COLUMNS) {
            return Err("the columns are those of another version".into());
        }
        let parse =
            |line: &str| Run::parse(line).ok_or_else(|| format!("can't be understood: {line}").into());
        Ok(Self { machine: machine.to_owned(), runs: lines.map(parse).collect::<Result<_>>()? })
    }

    /// What they come to, in the order in which the subjects appeared. Several subjects that belong together are beside each other.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut subjects: Vec<(&Subject, BTreeMap<Contestant, Vec<Usage>>)> = Vec::new();
        for run in &self.runs {
            let index = subjects.iter().position(|(subject, _)| **subject == run.subject);
            let index = index.unwrap_or_else(|| {
                subjects.push((&run.subject, BTreeMap::new()));
                subjects.len() - 1
            });
            subjects[index].1.entry(run.contestant).or_default().push(run.usage);
        }
        let mut rows: Vec<Row> = subjects
            .into_iter()
            .map(|(subject, runs)| Row {
                subject: subject.clone(),
                medians: runs.into_iter().map(|(who, runs)| (who, Usage::median(&runs))).collect(),
            })
            .collect();
        // Results may come from several benches.
        let places = self.places();
        rows.sort_by_key(|row| {
            let Subject { place, workload, figure } = &row.subject;
            (places.iter().position(|known| known == place), workload.kind, workload.size, *figure)
        });
        rows
    }

    /// The file systems, in the order in which they appeared.
    pub(crate) fn places(&self) -> Vec<&str> {
        let mut places: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !places.contains(&run.subject.place.as_str()) {
                places.push(&run.subject.place);
            }
        }
        places
    }

    /// The most rounds that anything was measured in.
    pub(crate) fn rounds(&self) -> usize {
        self.runs.iter().map(|run| run.round).max().unwrap_or(0)
    }
}

/// Results that are still being measured.
#[derive(Debug)]
pub(crate) struct Recorder {
    lines: File,
    results: Results,
}

impl Recorder {
    /// Begins a file; `add` goes on with one of the same machine, if there is one.
    pub(crate) fn new(path: &Path, machine: String, add: bool) -> Result<Self> {
        let failed = |error| format!("{}: {error}", path.display());
        if add && path.exists() {
            let results = Results::read(path)?;
            if results.machine != machine {
                return Err(format!("{} is of another machine: {}", path.display(), results.machine).into());
            }
            let lines = OpenOptions::new().append(true).open(path).map_err(failed)?;
            return Ok(Self { lines, results });
        }
        let mut lines = File::create(path).map_err(failed)?;
        writeln!(lines, "# {machine}\n{COLUMNS}").map_err(failed)?;
        Ok(Self { lines, results: Results { machine, runs: Vec::new() } })
    }

    /// Takes a run.
    pub(crate) fn add(&mut self, run: Run) -> Result<()> {
        writeln!(self.lines, "{}", run.line())?;
        self.results.runs.push(run);
        Ok(())
    }

    /// All of them.
    pub(crate) fn finish(self) -> Results {
        self.results
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Results as a file of them would be read.
    pub(crate) fn results(lines: &str) -> Results {
        let lines: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let lines = lines.iter().map(|line| line.replace(" | ", "\t") + "\n").collect::<String>();
        Results::parse(&format!("# 2 x Abacus\n{COLUMNS}\n{lines}")).unwrap()
    }

    #[test]
    fn a_line_says_all_of_a_run() {
        let line = "ext4\tsmall\t10000\tpush\tfilesync --no-fsync\t3\t1.234567\t0.50\t0.25\t1\t2\t3\t4\t5\t6";
        assert_eq!(Run::parse(line).unwrap().line(), line);
        for broken in [&line[1..20], &line.replace("push", "shove"), &format!("{line}\t7")] {
            assert!(Run::parse(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn rows_are_medians_in_the_order_of_the_workloads() {
        let results = results(
            "ext4 | unchanged | 9 | again | rsync | 1 | 7 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | small | 9 | push | rsync | 1 | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | small | 9 | push | rsync | 2 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | small | 9 | push | rsync | 3 | 2 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | small | 9 | push | filesync | 1 | 5 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0",
        );
        let rows = results.rows();
        assert_eq!(rows[0].subject.workload.kind, Kind::Small);
        assert_eq!(rows[0].medians[&Contestant::Rsync].seconds, 2.0);
        assert_eq!(rows[0].medians[&Contestant::Filesync].seconds, 5.0);
        assert_eq!(rows[1].subject.workload.kind, Kind::Unchanged);
        assert_eq!(results.rounds(), 3);
    }
}
