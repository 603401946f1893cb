//! A file larger than memory should be, and many files.
//!
//! By default sizes are modest. `FILESYNC_FULL=1` takes those that filesync is made for: that needs some 50 GB of disk and half an hour;
//! `cargo test --release --manifest-path tests/Cargo.toml big -- --test-threads=1 --nocapture` shows the figures.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{DEADLINE, World, is_full};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// What no program may need for any file, in bytes.
const MEMORY: u64 = 64 * MIB;
/// What a program may need besides for each file it knows of, in bytes: both sides remember every path.
const MEMORY_PER_FILE: u64 = 4 * KIB;

/// Content that has no repetition at any distance: a counter, scrambled.
struct Content {
    seed: u64,
    left: u64,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for bytes in buffer[..length].chunks_mut(8) {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let scrambled = (self.seed ^ self.seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bytes.copy_from_slice(&(scrambled ^ scrambled >> 27).to_le_bytes()[..bytes.len()]);
        }
        self.left -= length as u64;
        Ok(length)
    }
}

#[track_caller]
fn write_file(path: &Path, seed: u64, size: u64) {
    let mut content = Content { seed: seed << 40, left: size };
    let mut file = File::create(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match content.read(&mut buffer).unwrap() {
            0 => return,
            count => file.write_all(&buffer[..count]).unwrap(),
        }
    }
}

/// Syncs what `fill` makes from a through the box to b, compares every byte, and tells what it took.
#[track_caller]
fn carry(what: &str, fill: impl FnOnce(&Path)) {
    let mut world = World::new();
    fill(&world.a.folder);
    let start = Instant::now();
    world.start_clients();
    let tree = world.settle_within(patience());
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

/// How long it may take. A guess about the disk, and a generous one.
fn patience() -> Duration {
    if is_full() { DEADLINE * 60 } else { DEADLINE * 3 }
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
