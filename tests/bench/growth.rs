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

/// A picture, if there is anything of several sizes to be drawn. Growth does not depend on the file system, so it is that of the first one.
pub(crate) fn draw(results: &Results) -> Option<String> {
    let rows = results.rows();
    let is_growth = |row: &&Row| matches!(row.subject.workload.kind, Kind::Fanout | Kind::Entries);
    let place = &rows.iter().find(is_growth)?.subject.place;
    let line = |name, kind, figure, of: fn(&Usage) -> f64| {
        let rows = rows.iter().filter(|row| {
            row.subject.place == *place && row.subject.workload.kind == kind && row.subject.figure == figure
        });
        let points = rows.filter_map(|row| {
            let value = of(row.medians.get(&Contestant::Filesync)?);
            (value > 0.0).then_some((row.subject.workload.size as f64, value))
        });
        Line { name, points: points.collect() }
    };
    let seconds = |usage: &Usage| usage.seconds;
    let server = |usage: &Usage| (usage.server_rest << 10) as f64;
    let client = |usage: &Usage| (usage.client_rest << 10) as f64;
    let chart = |title: &str, x, y, lines: Vec<Line>| {
        let lines: Vec<Line> = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
        (!lines.is_empty()).then(|| Chart { title: title.to_owned(), x, y, lines })
    };
    let charts = [
        chart(
            "Time against files",
            FILES,
            TIME,
            vec![
                line("first sync, to the server", Kind::Entries, Figure::Step(Step::Push), seconds),
                line("first sync, from the server", Kind::Entries, Figure::Step(Step::Pull), seconds),
                line("nothing to do", Kind::Entries, Figure::Step(Step::Again), seconds),
                line("start of the server", Kind::Entries, Figure::Ready, seconds),
            ],
        ),
        chart(
            "Memory against files, with nothing to do",
            FILES,
            MEMORY,
            vec![
                line("server", Kind::Entries, Figure::Rest, server),
                line("client", Kind::Entries, Figure::Rest, client),
            ],
        ),
        chart(
            "Time until an upload is told, against clients",
            CLIENTS,
            TIME,
            vec![
                line("half of them have heard", Kind::Fanout, Figure::Median, seconds),
                line("99 of 100 have heard", Kind::Fanout, Figure::Percentile99, seconds),
            ],
        ),
        chart(
            "Memory of the server against clients",
            CLIENTS,
            MEMORY,
            vec![line("server", Kind::Fanout, Figure::Rest, server)],
        ),
    ];
    let charts: Vec<Chart> = charts.into_iter().flatten().collect();
    Some(svg(&format!("filesync on {place}; {}", results.machine), &charts))
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
        assert!(!picture.contains("nothing to do<"), "and so are lines without points");
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
