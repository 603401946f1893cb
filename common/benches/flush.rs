//! What it takes to make a group of new files durable: `fdatasync` of one after the other, of all of them at the same time, or one `syncfs`;
//! once while nothing else is written to the file system, and once while another program writes to it all the time.
//!
//! ```text
//!     cargo bench -p common --bench flush -- [DIRECTORY]     below which to work; the directory for temporary files otherwise
//! ```
//!
//! All ways take turns, so that a machine that is slower for a while is slower for all of them. What is printed are medians, in
//! milliseconds; the time to write the files is no part of them.

#![allow(clippy::print_stdout, reason = "what it measures is for people to read")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path as OsPath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::disk::Root;
use common::tree::Path;

/// Files in a group.
const GROUPS: [usize; 8] = [1, 2, 4, 8, 16, 64, 256, 512];
/// How often each way is measured with each group.
const ROUNDS: usize = 7;
/// Bytes of a file.
const SIZE: usize = 4096;
/// Most files that are flushed at the same time.
const THREADS: usize = 32;
/// What another program writes at a time, and its pause after that: a hundred megabytes a second, about.
const OTHER_SIZE: usize = 1 << 20;
const OTHER_PAUSE: Duration = Duration::from_millis(10);
/// Where it begins anew, so that the disk does not fill up.
const OTHER_END: u64 = 512 << 20;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A way to make files durable.
type Flush = fn(&Root, &[File]) -> io::Result<()>;

const WAYS: [(&str, Flush); 3] =
    [("one by one", one_by_one), ("all at a time", all_at_a_time), ("syncfs", whole_file_system)];

fn one_by_one(_: &Root, files: &[File]) -> io::Result<()> {
    files.iter().try_for_each(File::sync_data)
}

fn all_at_a_time(_: &Root, files: &[File]) -> io::Result<()> {
    let share = files.len().div_ceil(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(share)
            .map(|files| scope.spawn(|| files.iter().try_for_each(File::sync_data)))
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("flushing does not panic"))
    })
}

fn whole_file_system(root: &Root, _: &[File]) -> io::Result<()> {
    root.sync_all()
}

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = place.join(format!("filesync-flush-{}", std::process::id()));
    fs::create_dir(&scratch)?;
    let done = measure(&scratch);
    fs::remove_dir_all(&scratch)?;
    done
}

fn measure(scratch: &OsPath) -> Result<()> {
    let root = Root::open(scratch)?;
    print_table("nothing else is written", &root)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| write_all_the_time(&scratch.join("other"), &over));
        let printed = print_table("another program writes all the time", &root);
        over.store(true, Ordering::Relaxed);
        other.join().expect("writing does not panic")?;
        printed
    })
}

fn print_table(title: &str, root: &Root) -> Result<()> {
    println!("{title}; milliseconds");
    println!("{:>8} {:>14} {:>14} {:>14}", "files", WAYS[0].0, WAYS[1].0, WAYS[2].0);
    for count in GROUPS {
        let mut took = WAYS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for ((_, flush), took) in WAYS.iter().zip(&mut took) {
                took.push(time(root, count, *flush)?);
            }
        }
        let [one, all, whole] = took.map(median);
        println!("{count:>8} {one:>14.2} {all:>14.2} {whole:>14.2}");
    }
    Ok(())
}

/// How long it takes to flush so many new files.
fn time(root: &Root, count: usize, flush: Flush) -> Result<f64> {
    let names = (0..count).map(|number| Path::new(format!("{number}").as_bytes()));
    let names: Vec<Path> = names.collect::<std::result::Result<_, _>>()?;
    let mut files = Vec::new();
    for name in &names {
        let mut file = root.create_new(name, 0o600)?;
        file.write_all(&[7; SIZE])?;
        files.push(file);
    }
    let start = Instant::now();
    flush(root, &files)?;
    let took = start.elapsed().as_secs_f64() * 1000.0;
    names.iter().try_for_each(|name| root.remove_file(name))?;
    // What this one leaves to be written must not be on the next one's bill.
    root.sync_all()?;
    Ok(took)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn write_all_the_time(path: &OsPath, over: &AtomicBool) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut written = 0;
    while !over.load(Ordering::Relaxed) {
        file.write_all(&[1; OTHER_SIZE])?;
        written += OTHER_SIZE as u64;
        if OTHER_END < written {
            (file, written) = (File::create(path)?, 0);
        }
        thread::sleep(OTHER_PAUSE);
    }
    Ok(())
}
