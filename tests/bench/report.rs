//! What was measured: each run as a line for programs, written at once, and the medians as tables for people.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::Result;
use crate::contestant::Contestant;
use crate::process::Usage;

const COLUMNS: &str = "file system\tworkload\tstep\tcontestant\tround\tseconds\tserver CPU s\tclient CPU s\tserver peak KiB\tclient peak KiB";

/// All runs so far.
pub(crate) struct Report {
    lines: File,
    /// The tables in the order in which they began.
    tables: Vec<Table>,
}

/// What is compared: the runs of one step.
struct Table {
    title: String,
    runs: BTreeMap<Contestant, Vec<Usage>>,
}

impl Report {
    /// Begins the file, with the machine as a comment.
    pub(crate) fn new(output: &Path, machine: &str) -> Result<Self> {
        let mut lines = File::create(output).map_err(|error| format!("{}: {error}", output.display()))?;
        writeln!(lines, "# {machine}\n{COLUMNS}")?;
        Ok(Self { lines, tables: Vec::new() })
    }

    /// Takes a run.
    pub(crate) fn add(
        &mut self,
        place: &str,
        workload: &str,
        step: &str,
        contestant: Contestant,
        round: usize,
        usage: &Usage,
    ) -> Result<()> {
        let Usage { seconds, server_cpu, client_cpu, server_peak, client_peak } = usage;
        writeln!(
            self.lines,
            "{place}\t{workload}\t{step}\t{contestant}\t{round}\t{seconds:.6}\t{server_cpu:.2}\t{client_cpu:.2}\t{server_peak}\t{client_peak}"
        )?;
        let title = format!("{place}, {workload}, {step}");
        let index = self.tables.iter().position(|table| table.title == title).unwrap_or_else(|| {
            self.tables.push(Table { title, runs: BTreeMap::new() });
            self.tables.len() - 1
        });
        self.tables[index].runs.entry(contestant).or_default().push(*usage);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            write!(formatter, "\n{table}")?;
        }
        Ok(())
    }
}

impl Table {
    /// The median time of a contestant, if it took part.
    fn seconds(&self, contestant: Contestant) -> Option<f64> {
        self.runs.get(&contestant).map(|runs| median(runs, |run| run.seconds))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<26}{:>11}{:>9}{:>7}{:>13}{:>13}{:>13}{:>13}",
            self.title,
            "median",
            "of rsync",
            "of cp",
            "server CPU",
            "client CPU",
            "server peak",
            "client peak"
        )?;
        let ratio = |seconds: f64, peer| {
            self.seconds(peer)
                .map_or_else(|| String::from("-"), |reference| format!("{:.2}", seconds / reference))
        };
        for (contestant, runs) in &self.runs {
            let seconds = median(runs, |run| run.seconds);
            writeln!(
                formatter,
                "  {contestant:<24}{:>8.1} ms{:>9}{:>7}{:>11.2} s{:>11.2} s{:>9.1} MiB{:>9.1} MiB",
                seconds * 1000.0,
                ratio(seconds, Contestant::Rsync),
                ratio(seconds, Contestant::Cp),
                median(runs, |run| run.server_cpu),
                median(runs, |run| run.client_cpu),
                median(runs, |run| run.server_peak as f64) / 1024.0,
                median(runs, |run| run.client_peak as f64) / 1024.0,
            )?;
        }
        Ok(())
    }
}

fn median(runs: &[Usage], of: impl Fn(&Usage) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// Of sorted values, the smallest one that is not exceeded by this part of them (nearest rank). Zero if there are none.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        for (values, part, expected) in [
            (&hundred[..], 0.5, 50.0),
            (&hundred[..], 0.99, 99.0),
            (&hundred[..5], 0.5, 3.0),
            (&hundred[..1], 0.99, 1.0),
            (&[], 0.5, 0.0),
        ] {
            assert_eq!(quantile(values, part), expected, "{part} of {}", values.len());
        }
    }
}
