//! How time and memory grow with files and with clients: which of the results are drawn, and where.

use crate::chart::{Axis, Chart, Line, svg};
use crate::contestant::Contestant;
use crate::results::{Results, Row};
use crate::transfer::Step;
use crate::usage::Usage;
use crate::workload::{Figure, Kind};

const FILES: Axis = Axis { label: "files", tick: count };
const CLIENTS: Axis = Axis { label: "connected clients", tick: count };
const TIME: Axis = Axis { label: "time", tick: time };
const MEMORY: Axis = Axis { label: "resident memory", tick: memory };

/// A chart, before there is anything to draw.
struct Plan {
    title: &'static str,
    x: Axis,
    y: Axis,
    kind: Kind,
    lines: &'static [Curve],
}

/// A line, before it has points.
struct Curve(&'static str, Figure, fn(&Usage) -> f64);

const PLANS: &[Plan] = &[
    Plan {
        title: "Time against files",
        x: FILES,
        y: TIME,
        kind: Kind::Entries,
        lines: &[
            Curve("first sync, to the server", Figure::Step(Step::Push), seconds),
            Curve("first sync, from the server", Figure::Step(Step::Pull), seconds),
            Curve("a pass with nothing to do", Figure::Step(Step::Again), seconds),
            Curve("start of the server", Figure::Ready, seconds),
        ],
    },
    Plan {
        title: "Memory against files, at rest",
        x: FILES,
        y: MEMORY,
        kind: Kind::Entries,
        lines: &[Curve("server", Figure::Rest, server), Curve("client", Figure::Rest, client)],
    },
    Plan {
        title: "Time until an upload is told, against clients",
        x: CLIENTS,
        y: TIME,
        kind: Kind::Fanout,
        lines: &[
            Curve("half of them have heard", Figure::Median, seconds),
            Curve("99 of 100 have heard", Figure::Percentile99, seconds),
        ],
    },
    Plan {
        title: "Memory of the server against clients",
        x: CLIENTS,
        y: MEMORY,
        kind: Kind::Fanout,
        lines: &[Curve("server", Figure::Rest, server)],
    },
];

/// A picture, if there is anything of several sizes to be drawn. Growth hardly depends on the file system, so it is that on the first one.
pub(crate) fn draw(results: &Results) -> Option<String> {
    let rows = results.rows();
    let place = rows.iter().find(|row| PLANS.iter().any(|plan| plan.kind == row.subject.workload.kind))?;
    let place = &place.subject.place;
    let rows: Vec<&Row> = rows.iter().filter(|row| row.subject.place == *place).collect();
    let charts: Vec<Chart> = PLANS.iter().filter_map(|plan| plan.chart(&rows)).collect();
    Some(svg(&format!("filesync on {place}; {}", results.machine), &charts))
}

impl Plan {
    /// Lines without a point are left out, and so is a chart without a line.
    fn chart(&self, rows: &[&Row]) -> Option<Chart> {
        let mut lines = Vec::new();
        for &Curve(name, figure, of) in self.lines {
            let of_line =
                |row: &&&Row| row.subject.workload.kind == self.kind && row.subject.figure == figure;
            let point = |row: &&Row| {
                let value = of(row.medians.get(&Contestant::Filesync)?);
                (value > 0.0).then_some((row.subject.workload.size as f64, value))
            };
            let points: Vec<(f64, f64)> = rows.iter().filter(of_line).filter_map(point).collect();
            if !points.is_empty() {
                lines.push(Line { name, points });
            }
        }
        let Self { title, x, y, .. } = *self;
        if lines.is_empty() { None } else { Some(Chart { title, x, y, lines }) }
    }
}

fn seconds(usage: &Usage) -> f64 {
    usage.seconds
}

/// In bytes.
fn server(usage: &Usage) -> f64 {
    (usage.server_rest << 10) as f64
}

/// In bytes.
fn client(usage: &Usage) -> f64 {
    (usage.client_rest << 10) as f64
}

fn count(power: f64) -> String {
    match power {
        1e6.. => format!("{:.0}M", power / 1e6),
        1e3.. => format!("{:.0}k", power / 1e3),
        _ => format!("{power:.0}"),
    }
}

/// Of seconds.
fn time(power: f64) -> String {
    match power {
        0.999.. => format!("{power:.0} s"),
        0.000_999.. => format!("{:.0} ms", power * 1e3),
        _ => format!("{:.0} µs", power * 1e6),
    }
}

/// Of bytes. An axis goes by powers of ten, so these are no powers of two.
fn memory(power: f64) -> String {
    match power {
        1e9.. => format!("{:.0} GB", power / 1e9),
        1e6.. => format!("{:.0} MB", power / 1e6),
        _ => format!("{:.0} kB", power / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn lines_are_drawn_of_what_was_measured() {
        let results = results(
            "ext4 | entries | 1000 | push | filesync | 1 | 0.5 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | entries | 10000 | push | filesync | 1 | 5 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0
             ext4 | fanout | 10 | rest | filesync | 1 | 0 | 0 | 0 | 0 | 3000 | 0 | 0 | 0 | 0
             tmpfs | fanout | 10 | rest | filesync | 1 | 0 | 0 | 0 | 0 | 9000 | 0 | 0 | 0 | 0",
        );
        let picture = draw(&results).unwrap();
        for text in
            ["filesync on ext4; 2 x Abacus", "first sync, to the server", ">10k<", ">100 ms<", ">10 MB<"]
        {
            assert!(picture.contains(text), "{text}: {picture}");
        }
        assert_eq!(picture.matches("class=\"frame\"").count(), 2, "charts without lines are left out");
        assert!(!picture.contains("start of the server"), "and so are lines without points");
    }

    #[test]
    fn other_workloads_are_not_about_growth() {
        let results = results("ext4 | small | 9 | push | rsync | 1 | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0");
        assert_eq!(draw(&results), None);
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!([10.0, 1e3, 1e5, 1e6].map(count), ["10", "1k", "100k", "1M"]);
        assert_eq!([1e-4, 1e-3, 0.1, 1.0, 100.0].map(time), ["100 µs", "1 ms", "100 ms", "1 s", "100 s"]);
        assert_eq!([1e5, 1e6, 1e9].map(memory), ["100 kB", "1 MB", "1 GB"]);
    }
}
