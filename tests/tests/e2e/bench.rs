//! That the bench still works: all of its workloads, tiny, with whoever is installed. What it measures here means nothing and is not judged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Process, eventually_by_steps, program, run};

#[test]
fn every_workload_of_the_bench_is_measured() {
    let directory = TempDir::new().unwrap();
    let results = directory.path().join("bench.tsv");
    let server = program("server");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    let sizes = "--small 10 --large 1 --mixed 2 --unchanged 10 --latency 3 --idle 1 --fanout 3 --entries 20";
    bench.args("--rounds 1".split(' ')).args(sizes.split(' '));
    bench.arg("--programs").arg(Path::new(server.get_program()).parent().unwrap());
    bench.arg("--on").arg(directory.path()).arg("--results").arg(&results);
    let work = TempDir::new().unwrap();
    let mut bench = Process::spawn("bench", work.path(), &mut bench);
    // It takes its time, and more of it beside other tests; but each run ends.
    let measured = || fs::read_to_string(&results).unwrap_or_default();
    let code = eventually_by_steps("the end of the bench", || bench.exit_code().ok_or_else(measured));
    assert_eq!(code, 0, "{}", bench.log());
    assert!(bench.output().contains("10 files of 4 KiB: push"), "no table:\n{}", bench.output());

    let lines = measured();
    let runs: BTreeSet<(&str, &str)> = lines
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|fields| fields.get(4) == Some(&"filesync") && fields[10].parse::<u64>().unwrap() > 0)
        .map(|fields| (fields[1], fields[3]))
        .collect();
    let expected = [
        ("small", "push pull"),
        ("large", "push pull"),
        ("mixed", "push pull"),
        ("unchanged", "again"),
        ("latency", "p50 p99"),
        ("idle", "rest"),
        ("fanout", "p50 p99 rest"),
        ("entries", "push pull again ready rest"),
    ];
    let expected: BTreeSet<_> = expected
        .into_iter()
        .flat_map(|(workload, figures)| figures.split(' ').map(move |figure| (workload, figure)))
        .collect();
    assert_eq!(runs, expected, "{lines}");

    let picture = directory.path().join("growth.svg");
    for view in ["--tables", "--markdown", "--plot"] {
        let mut look = Command::new(env!("CARGO_BIN_EXE_bench"));
        look.arg("--results").arg(&results).arg("--picture").arg(&picture).arg(view);
        run(&mut look).expect_code(0);
    }
    assert!(fs::read_to_string(&picture).unwrap().contains("connected clients"), "no picture of growth");
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "it cleans up: {left:?}");
}
