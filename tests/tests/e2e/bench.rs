//! That the bench still works: all of its workloads, tiny, with whoever is installed. What it measures here means nothing and is not judged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{program, run};

#[test]
fn every_workload_of_the_bench_is_measured() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("bench.tsv");
    let server = program("server");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.args("--rounds 1 --small 10 --large 1 --unchanged 10 --latency 3".split(' '));
    bench.arg("--programs").arg(Path::new(server.get_program()).parent().unwrap());
    bench.arg("--on").arg(directory.path()).arg("--output").arg(&output);
    let finished = run(&mut bench).expect_code(0);
    assert!(finished.stdout.contains("small, push"), "no table:\n{}", finished.stdout);

    let lines = fs::read_to_string(&output).unwrap();
    let runs: BTreeSet<(&str, &str)> = lines
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"filesync") && fields[5].parse::<f64>().unwrap() > 0.0)
        .map(|fields| (fields[1], fields[2]))
        .collect();
    let steps =
        [("small", "push"), ("small", "pull"), ("large", "push"), ("large", "pull"), ("unchanged", "again")];
    let expected: BTreeSet<_> = steps.into_iter().chain([("latency", "p50"), ("latency", "p99")]).collect();
    assert_eq!(runs, expected, "{lines}");
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["bench.tsv"], "it cleans up");
}
