//! What is aimed at, and whether it is met. Most goals are ratios of two medians from the same machine, so they hold on any.

use std::fmt;

use crate::contestant::Contestant;
use crate::results::{Row, Subject};
use crate::transfer::Step;
use crate::usage::{Usage, time};
use crate::workload::{Figure, Kind};

/// What of a median is held against a number.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// Its time, as a part of that of another contestant.
    TimeOf(Contestant),
    /// Its time, in seconds.
    Seconds,
    /// By how many MiB the server's memory grew at most.
    Growth,
    /// How many KiB of the server's memory a connected client takes.
    PerClient,
    /// How many bytes of the server's memory an entry takes beyond its name.
    PerEntryOfServer,
    /// The same of a client's memory.
    PerEntryOfClient,
    /// How many files the server has read.
    FilesRead,
    /// How much of one processor it takes, of a hundred parts.
    Processor,
}

/// A figure that is not to be exceeded.
struct Goal {
    kind: Kind,
    /// Where it is about one size alone.
    size: Option<usize>,
    figures: &'static [Figure],
    contestant: Contestant,
    measure: Measure,
    most: f64,
}

const TRANSFERS: &[Figure] = &[Figure::Step(Step::Push), Figure::Step(Step::Pull)];

const GOALS: &[Goal] = &[
    goal(Kind::Small, TRANSFERS, Measure::TimeOf(Contestant::Rsync), 0.7),
    Goal {
        contestant: Contestant::FilesyncNoFsync,
        ..goal(Kind::Small, TRANSFERS, Measure::TimeOf(Contestant::Rsync), 0.5)
    },
    goal(Kind::Large, TRANSFERS, Measure::TimeOf(Contestant::Rsync), 0.5),
    goal(Kind::Large, TRANSFERS, Measure::TimeOf(Contestant::Cp), 1.5),
    goal(Kind::Mixed, TRANSFERS, Measure::TimeOf(Contestant::Rsync), 0.5),
    goal(Kind::Mixed, TRANSFERS, Measure::Growth, 8.0),
    goal(Kind::Unchanged, &[Figure::Step(Step::Again)], Measure::TimeOf(Contestant::Rsync), 1.0),
    goal(Kind::Unchanged, &[Figure::Step(Step::Again)], Measure::FilesRead, 0.0),
    goal(Kind::Entries, &[Figure::Step(Step::Again)], Measure::FilesRead, 0.0),
    goal(Kind::Latency, &[Figure::Median], Measure::Seconds, 0.015),
    goal(Kind::Latency, &[Figure::Percentile99], Measure::Seconds, 0.100),
    Goal { size: Some(1000), ..goal(Kind::Fanout, &[Figure::Percentile99], Measure::Seconds, 0.030) },
    Goal { size: Some(5000), ..goal(Kind::Fanout, &[Figure::Percentile99], Measure::Seconds, 0.090) },
    // With few clients the memory that all of them share would count as theirs.
    Goal { size: Some(1000), ..goal(Kind::Fanout, &[Figure::Rest], Measure::PerClient, 12.0) },
    Goal { size: Some(5000), ..goal(Kind::Fanout, &[Figure::Rest], Measure::PerClient, 12.0) },
    Goal { size: Some(1_000_000), ..goal(Kind::Entries, &[Figure::Ready], Measure::Seconds, 3.0) },
    Goal { size: Some(1_000_000), ..goal(Kind::Entries, &[Figure::Rest], Measure::PerEntryOfServer, 250.0) },
    Goal { size: Some(1_000_000), ..goal(Kind::Entries, &[Figure::Rest], Measure::PerEntryOfClient, 250.0) },
    // One tick in half a minute, which is the least that can be measured, is 0.03 %.
    goal(Kind::Idle, &[Figure::Rest], Measure::Processor, 0.05),
];

/// One for filesync as it comes, whatever the size.
const fn goal(kind: Kind, figures: &'static [Figure], measure: Measure, most: f64) -> Goal {
    Goal { kind, size: None, figures, contestant: Contestant::Filesync, measure, most }
}

/// What became of a goal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// Of whom.
    pub(crate) contestant: Contestant,
    measure: Measure,
    value: f64,
    most: f64,
}

impl Verdict {
    /// Whether it was reached.
    pub(crate) fn is_met(&self) -> bool {
        self.value <= self.most
    }
}

impl Verdict {
    /// What stands beside the value: as in `at most 15.0 ms: met`, and with the value where that is another one.
    pub(crate) fn beside(&self) -> String {
        match self.measure {
            Measure::Seconds | Measure::PerClient => self.judgement(),
            _ => self.to_string(),
        }
    }

    fn judgement(&self) -> String {
        let most = self.most;
        let most = match self.measure {
            Measure::Seconds => time(most),
            Measure::Processor => format!("{most} %"),
            _ => format!("{most}"),
        };
        format!("at most {most}: {}", if self.is_met() { "met" } else { "not met" })
    }
}

/// As in `0.65 of rsync, at most 0.7: met`.
impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.measure {
            Measure::TimeOf(peer) => write!(formatter, "{value:.2} of {peer}"),
            Measure::Seconds => write!(formatter, "{}", time(value)),
            Measure::Growth => write!(formatter, "{value:.1} MiB above the server's start"),
            Measure::PerClient => write!(formatter, "{value:.1} KiB a client"),
            Measure::PerEntryOfServer => write!(formatter, "{value:.0} bytes an entry on the server"),
            Measure::PerEntryOfClient => write!(formatter, "{value:.0} bytes an entry in a client"),
            Measure::FilesRead => write!(formatter, "{value:.0} files read by the server"),
            Measure::Processor => write!(formatter, "{value:.2} % of a processor"),
        }?;
        write!(formatter, ", {}", self.judgement())
    }
}

/// What became of all goals of a row, as far as those took part whom they are about.
pub(crate) fn verdicts(row: &Row) -> Vec<Verdict> {
    let Subject { workload, figure, .. } = &row.subject;
    let fits = |goal: &&Goal| {
        goal.kind == workload.kind
            && goal.size.is_none_or(|size| size == workload.size)
            && goal.figures.contains(figure)
    };
    let judge = |goal: &Goal| {
        let value = value(row, row.medians.get(&goal.contestant)?, goal.measure)?;
        Some(Verdict { contestant: goal.contestant, measure: goal.measure, value, most: goal.most })
    };
    GOALS.iter().filter(fits).filter_map(judge).collect()
}

/// KiB of the server's memory for each of the clients of a row.
pub(crate) fn per_client(row: &Row, usage: &Usage) -> f64 {
    usage.server_rest.saturating_sub(usage.server_start) as f64 / row.subject.workload.size as f64
}

/// Bytes of so many KiB for each entry of a row, without the names. `None` if it is not about entries.
pub(crate) fn per_entry(row: &Row, kib: u64) -> Option<f64> {
    let shape = row.subject.workload.shape()?;
    Some((kib as f64 * 1024.0 - shape.names() as f64).max(0.0) / shape.entries() as f64)
}

fn value(row: &Row, usage: &Usage, measure: Measure) -> Option<f64> {
    match measure {
        Measure::TimeOf(peer) => row.medians.get(&peer).map(|peer| usage.seconds / peer.seconds),
        Measure::Seconds => Some(usage.seconds),
        Measure::Growth => Some(usage.server_peak.saturating_sub(usage.server_start) as f64 / 1024.0),
        Measure::PerClient => Some(per_client(row, usage)),
        Measure::PerEntryOfServer => per_entry(row, usage.server_rest),
        Measure::PerEntryOfClient => per_entry(row, usage.client_rest),
        Measure::FilesRead => Some(usage.files_read as f64),
        Measure::Processor => Some((usage.server_cpu + usage.client_cpu) / usage.seconds * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[track_caller]
    fn check(lines: &str, expected: &[&str]) {
        let rows = results(lines).rows();
        let verdicts: Vec<String> =
            rows.iter().flat_map(verdicts).map(|verdict| verdict.to_string()).collect();
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn times_are_held_against_those_of_peers_that_took_part() {
        check(
            "ext4 | large | 2048 | push | filesync | 1 | 5 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | large | 2048 | push | rsync | 1 | 8 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | large | 2048 | push | cp and sync | 1 | 4 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0",
            &["0.62 of rsync, at most 0.5: not met", "1.25 of cp and sync, at most 1.5: met"],
        );
        check("ext4 | large | 2048 | push | filesync | 1 | 5 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0", &[]);
    }

    #[test]
    fn memory_is_counted_above_the_start_and_for_each_client() {
        check(
            "ext4 | mixed | 1000 | pull | filesync | 1 | 5 | 0 | 0 | 1024 | 0 | 10240 | 0 | 0 | 0
             ext4 | fanout | 1000 | rest | filesync | 1 | 0 | 0 | 0 | 2000 | 10000 | 0 | 0 | 0 | 0
             ext4 | fanout | 10 | rest | filesync | 1 | 0 | 0 | 0 | 2000 | 10000 | 0 | 0 | 0 | 0",
            &["9.0 MiB above the server's start, at most 8: not met", "8.0 KiB a client, at most 12: met"],
        );
    }

    #[test]
    fn memory_of_entries_is_that_beyond_their_names() {
        let lines =
            "ext4 | entries | 1000000 | rest | filesync | 1 | 9 | 0 | 0 | 0 | 300000 | 0 | 200000 | 0 | 0";
        check(
            lines,
            &[
                "278 bytes an entry on the server, at most 250: not met",
                "177 bytes an entry in a client, at most 250: met",
            ],
        );
    }

    #[test]
    fn nothing_to_do_is_nothing_to_read() {
        check(
            "ext4 | unchanged | 9 | again | filesync | 1 | 2 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 3
             ext4 | unchanged | 9 | again | rsync | 1 | 4 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0",
            &["0.50 of rsync, at most 1: met", "3 files read by the server, at most 0: not met"],
        );
    }

    #[test]
    fn a_system_at_rest_may_take_a_tick() {
        check(
            "ext4 | idle | 30 | rest | filesync | 1 | 30 | 0.00 | 0.01 | 0 | 0 | 0 | 0 | 0 | 0",
            &["0.03 % of a processor, at most 0.05 %: met"],
        );
    }
}
