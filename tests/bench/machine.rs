//! The machine that it is measured on: figures say nothing without it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// Above this load, of the last minute, others are at work.
const QUIET: f64 = 0.5;

/// Processor, memory and kernel, in one line.
pub(crate) fn describe() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
    let model = processor.lines().find(|line| line.starts_with("model name")).and_then(value);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = model.unwrap_or_else(|| String::from(std::env::consts::ARCH));
    format!("{cores} x {model}, {} MiB of memory, Linux {}", kib >> 10, kernel.trim())
}

/// What makes the figures doubtful.
pub(crate) fn warnings() -> Vec<String> {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    match load.split_whitespace().next().and_then(|load| load.parse::<f64>().ok()) {
        Some(load) if load > QUIET => {
            vec![format!("the machine is not quiet (load {load}): don't rely on these figures")]
        }
        _ => Vec::new(),
    }
}

/// The name of the file system that a directory is on, as in `/proc/mounts`.
pub(crate) fn file_system(directory: &Path) -> Result<String> {
    let directory = directory.canonicalize().map_err(|error| format!("{}: {error}", directory.display()))?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let places = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        Some((PathBuf::from(fields.next()?), fields.next()?))
    });
    // The deepest one; of several at one place the last is on top.
    let deepest = places.filter(|(place, _)| directory.starts_with(place));
    let found = deepest.max_by_key(|(place, _)| place.components().count());
    Ok(found.map_or_else(|| String::from("unknown"), |(_, name)| name.to_owned()))
}
