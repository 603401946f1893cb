//! The results as a table for a terminal: the medians of each contestant, how they compare, and which goals are met.

use std::fmt;

use crate::contestant::Contestant;
use crate::goals::verdicts;
use crate::results::{Results, Row, Subject};
use crate::usage::{Usage, time};

/// Everything that was measured.
pub(crate) struct Report<'a>(pub(crate) &'a Results);

impl fmt::Display for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.0.rows() {
            write(formatter, &row)?;
        }
        Ok(())
    }
}

fn write(formatter: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let Subject { place, workload, figure } = &row.subject;
    writeln!(formatter, "\n{place}, {workload}: {figure}")?;
    writeln!(
        formatter,
        "{:<22}{:>11}{:>9}{:>7}{:>13}{:>11}{:>25}{:>19}",
        "",
        "median",
        "of rsync",
        "of cp",
        "server CPU",
        "clients'",
        "server start, rest, peak",
        "client rest, peak"
    )?;
    for (contestant, usage) in &row.medians {
        let ratio = |peer| {
            row.medians.get(&peer).map_or_else(
                || String::from("-"),
                |reference: &Usage| format!("{:.2}", usage.seconds / reference.seconds),
            )
        };
        let Usage { seconds, server_cpu, client_cpu, .. } = usage;
        let server = format!(
            "{}, {}, {} MiB",
            mib(usage.server_start),
            mib(usage.server_rest),
            mib(usage.server_peak)
        );
        let client = format!("{}, {} MiB", mib(usage.client_rest), mib(usage.client_peak));
        write!(
            formatter,
            "  {contestant:<20}{:>11}{:>9}{:>7}{server_cpu:>11.2} s{client_cpu:>9.2} s{server:>25}{client:>19}",
            if *seconds > 0.0 { time(*seconds) } else { String::from("-") },
            ratio(Contestant::Rsync),
            ratio(Contestant::Cp),
        )?;
        let verdicts = verdicts(row);
        for verdict in verdicts.iter().filter(|verdict| verdict.contestant == *contestant) {
            write!(formatter, "  {verdict}")?;
        }
        writeln!(formatter)?;
    }
    Ok(())
}

/// KiB as MiB; nobody takes none.
fn mib(kib: u64) -> String {
    if kib == 0 { String::from("-") } else { format!("{:.1}", kib as f64 / 1024.0) }
}
