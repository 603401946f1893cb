//! A file larger than memory should be, and many files.
//!
//! By default sizes are modest. `FILESYNC_FULL=1` takes those that filesync is made for: that needs some 50 GB of disk and half an hour;
//! `cargo test --release --manifest-path tests/Cargo.toml big -- --test-threads=1 --nocapture` shows the figures.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{DEADLINE, World, is_full, write_file};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// What no program may need for any file, in bytes.
const MEMORY: u64 = 64 * MIB;
/// What a program may need besides for each file it knows of, in bytes: both sides remember every path.
const MEMORY_PER_FILE: u64 = 4 * KIB;

/// How long it may take. A guess about the disk, and about programs that were not optimised, and a generous one.
const PATIENCE: Duration = DEADLINE.saturating_mul(60);

/// Syncs what `fill` makes from a through the box to b, compares every byte, and tells what it took.
#[track_caller]
fn carry(what: &str, fill: impl FnOnce(&Path)) {
    let mut world = World::new();
    fill(&world.a.folder);
    let start = Instant::now();
    world.start_clients();
    let tree = world.settle_within(PATIENCE);
    let took = start.elapsed();
    let files = tree.len() as u64;
    let bytes = world.server.status().get("bytes").number();
    println!("{what}: {files} paths, {} MiB, {:.1} s to the box and to b", bytes / MIB, took.as_secs_f64());
    for (name, process) in
        [("server", world.server.process()), ("client_a", world.a.process()), ("client_b", world.b.process())]
    {
        let peak = process.peak_memory();
        println!("{what}: peak memory of {name}: {:.1} MiB", peak as f64 / MIB as f64);
        assert!(peak < MEMORY + files * MEMORY_PER_FILE, "{name} needed {} MiB", peak / MIB);
    }
}

#[test]
fn one_large_file() {
    let size = if is_full() { 5 * GIB } else { 300 * MIB };
    carry("one large file", |folder| write_file(&folder.join("large"), 1, size));
}

#[test]
fn many_small_files() {
    let count = if is_full() { 10_000 } else { 2_000 };
    carry("many small files", |folder| {
        for number in 0..count {
            let directory = folder.join(format!("{}", number % 50));
            fs::create_dir_all(&directory).unwrap();
            write_file(&directory.join(format!("{number}")), number, 4 * KIB);
        }
    });
}

/// From 4 KiB to 2 GiB, with few large and many small ones as folders have them; 16 MiB at most unless it is a full run.
#[test]
fn files_of_all_sizes() {
    let (count, largest) = if is_full() { (1_000, 2 * GIB) } else { (100, 16 * MIB) };
    carry("files of all sizes", |folder| {
        for number in 0..count {
            write_file(
                &folder.join(format!("{number}")),
                number,
                size_between(4 * KIB, largest, number, count),
            );
        }
    });
}

/// The size of file `number` out of `count`: the last has the largest, and all smaller ones crowd at the small end.
fn size_between(smallest: u64, largest: u64, number: u64, count: u64) -> u64 {
    let share = number as f64 / (count - 1) as f64;
    let growth = (largest as f64 / smallest as f64).powf(share.powi(24));
    ((smallest as f64 * growth) as u64).min(largest)
}

#[test]
fn sizes_are_spread() {
    let sizes: Vec<u64> = (0..1_000).map(|number| size_between(4 * KIB, 2 * GIB, number, 1_000)).collect();
    assert_eq!((sizes[0], sizes[999]), (4 * KIB, 2 * GIB));
    let total: u64 = sizes.iter().sum();
    assert!(5 * GIB < total && total < 20 * GIB, "{} MiB in all", total / MIB);
}
