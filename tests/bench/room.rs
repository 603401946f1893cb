//! Whether there is room for a workload: better to know before than after an hour.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::tree::Shape;

/// A tree is there three times: where it comes from, on the server, and where it is fetched to.
const TIMES: u64 = 3;

/// What a file may take beside its content, in bytes: the rest of its last block, and its inode.
const BESIDE: u64 = 6 << 10;

/// What has to remain, in bytes: for everything else on the machine.
const RESERVE: u64 = 1 << 30;

/// A sentence about what is missing, if there is no room for the tree below `directory`.
///
/// # Errors
/// If `df`, which has to tell, can't be run.
pub(crate) fn lack(directory: &Path, file_system: &str, shape: Shape) -> Result<Option<String>> {
    let told = Command::new("df").args(["-B1", "--output=avail,iavail"]).arg(directory).output()?;
    let told = String::from_utf8_lossy(&told.stdout);
    let mut fields = told.lines().nth(1).unwrap_or_default().split_whitespace().map(str::parse::<u64>);
    let mut bytes = fields.next().and_then(std::result::Result::ok).unwrap_or(u64::MAX);
    // Some file systems don't count inodes.
    let inodes = fields.next().and_then(std::result::Result::ok).filter(|inodes| *inodes > 0);
    if file_system == "tmpfs" {
        bytes = bytes.min(available_memory());
    }
    let needed = shape.bytes() + shape.entries() as u64 * BESIDE;
    let needed = (TIMES * needed + RESERVE, TIMES * shape.entries() as u64);
    let missing = if bytes < needed.0 {
        Some(format!("{} MiB are needed, and {} are there", needed.0 >> 20, bytes >> 20))
    } else {
        inodes
            .filter(|inodes| *inodes < needed.1)
            .map(|inodes| format!("{} inodes are needed, and {inodes} are there", needed.1))
    };
    Ok(missing)
}

/// In bytes.
fn available_memory() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib << 10)
}
