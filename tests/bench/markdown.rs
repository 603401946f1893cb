//! The results as tables for a document, one chapter for each file system: the times of everybody, what that took of processors and memory,
//! and what there is of this project alone. Each figure has its goals beside it.

use std::fmt;

use crate::contestant::Contestant;
use crate::goals::{per_client, per_entry, verdicts};
use crate::results::{Results, Row, Subject};
use crate::usage::{Usage, time};
use crate::workload::{Figure, Kind};

/// Everything that was measured.
pub(crate) struct Markdown<'a>(pub(crate) &'a Results);

impl fmt::Display for Markdown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let results = self.0;
        let machine = &results.machine;
        match results.rounds() {
            1 => writeln!(formatter, "Measured on {machine}, once.")?,
            rounds => writeln!(
                formatter,
                "Measured on {machine}; medians of {rounds} rounds. Two live folders at rest, and tiny files, were measured once."
            )?,
        }
        for place in results.places() {
            let rows = results.rows().into_iter().filter(|row| row.subject.place == place);
            let (compared, own): (Vec<Row>, Vec<Row>) =
                rows.partition(|row| row.subject.workload.kind.is_compared());
            writeln!(formatter, "\n### On {place}")?;
            table(formatter, "time", &compared, cell, Some(goals))?;
            table(formatter, "CPU time and peak memory, of server + client", &compared, costs, None)?;
            table(formatter, "filesync alone", &own, cell, Some(goals))?;
        }
        Ok(())
    }
}

/// One column for each contestant that took part in any of the rows, and perhaps one more for what is to be said of the row.
fn table(
    formatter: &mut fmt::Formatter<'_>,
    title: &str,
    rows: &[Row],
    cell: fn(&Row, &Usage) -> String,
    goals: Option<fn(&Row) -> String>,
) -> fmt::Result {
    let took_part = |contestant: &Contestant| rows.iter().any(|row| row.medians.contains_key(contestant));
    let columns: Vec<Contestant> = Contestant::ALL.into_iter().filter(took_part).collect();
    if columns.is_empty() {
        return Ok(());
    }
    let names: String = columns.iter().map(|contestant| format!(" {contestant} |")).collect();
    let (name, rule) = if goals.is_some() { (" goals |", "---|") } else { ("", "") };
    writeln!(formatter, "\n| {title} |{names}{name}")?;
    writeln!(formatter, "|---|{}{rule}", "---:|".repeat(columns.len()))?;
    for row in rows {
        let Subject { workload, figure, .. } = &row.subject;
        write!(formatter, "| {workload}: {figure} |")?;
        for contestant in &columns {
            let cell = row.medians.get(contestant).map_or_else(String::new, |usage| cell(row, usage));
            write!(formatter, " {cell} |")?;
        }
        if let Some(goals) = goals {
            write!(formatter, " {} |", goals(row))?;
        }
        writeln!(formatter)?;
    }
    Ok(())
}

/// Those of filesync as it comes need no name.
fn goals(row: &Row) -> String {
    let verdicts = verdicts(row);
    let said = verdicts.iter().map(|verdict| match verdict.contestant {
        Contestant::Filesync => verdict.beside(),
        other => format!("{other}: {}", verdict.beside()),
    });
    said.collect::<Vec<_>>().join("; ")
}

/// What a figure is about: mostly time.
fn cell(row: &Row, usage: &Usage) -> String {
    match (row.subject.workload.kind, row.subject.figure) {
        (Kind::Idle, _) => {
            format!("{:.2} s of CPU in {}", usage.server_cpu + usage.client_cpu, time(usage.seconds))
        }
        (Kind::Fanout, Figure::Rest) => format!("{:.1} KiB a client", per_client(row, usage)),
        (_, Figure::Rest) => {
            let bytes = |kib| per_entry(row, kib).map_or_else(String::new, |bytes| format!("{bytes:.0}"));
            format!("{} + {} bytes an entry", bytes(usage.server_rest), bytes(usage.client_rest))
        }
        _ => time(usage.seconds),
    }
}

/// Without a server there is nothing in front of the plus.
fn costs(_: &Row, usage: &Usage) -> String {
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    let Usage { server_cpu, client_cpu, .. } = usage;
    match usage.server_peak {
        0 => format!("{client_cpu:.2} s, {} MiB", mib(usage.client_peak)),
        peak => {
            format!("{server_cpu:.2} + {client_cpu:.2} s, {} + {} MiB", mib(peak), mib(usage.client_peak))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn each_figure_has_a_cell_and_its_goals() {
        let results = results(
            "ext4 | small | 10000 | push | filesync | 1 | 6 | 0.5 | 0.25 | 0 | 0 | 2048 | 0 | 1024 | 0
             ext4 | small | 10000 | push | rsync | 1 | 10 | 1 | 1 | 0 | 0 | 1024 | 0 | 1024 | 0
             ext4 | latency | 500 | p50 | filesync | 1 | 0.0125 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | fanout | 1000 | rest | filesync | 1 | 0 | 0 | 0 | 2000 | 10000 | 0 | 0 | 0 | 0",
        );
        let expected = "\
Measured on 2 x Abacus, once.

### On ext4

| time | filesync | rsync | goals |
|---|---:|---:|---|
| 10000 files of 4 KiB: push | 6.00 s | 10.00 s | 0.60 of rsync, at most 0.7: met |

| CPU time and peak memory, of server + client | filesync | rsync |
|---|---:|---:|
| 10000 files of 4 KiB: push | 0.50 + 0.25 s, 2.0 + 1.0 MiB | 1.00 + 1.00 s, 1.0 + 1.0 MiB |

| filesync alone | filesync | goals |
|---|---:|---|
| from folder to folder, 500 times: p50 | 12.5 ms | at most 15.0 ms: met |
| an upload told to 1000 clients: at rest | 8.0 KiB a client | at most 12: met |
";
        assert_eq!(Markdown(&results).to_string(), expected);
    }
}
