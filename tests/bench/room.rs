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
    Ok(missing(bytes, inodes, shape))
}

/// Compares what is there with what is needed.
fn missing(bytes: u64, inodes: Option<u64>, shape: Shape) -> Option<String> {
    let entries = shape.entries() as u64;
    let (bytes_needed, inodes_needed) =
        (TIMES * (shape.bytes() + entries * BESIDE) + RESERVE, TIMES * entries);
    if bytes < bytes_needed {
        return Some(format!("{} MiB are needed, and {} are there", bytes_needed >> 20, bytes >> 20));
    }
    let inodes = inodes.filter(|inodes| *inodes < inodes_needed)?;
    Some(format!("{inodes_needed} inodes are needed, and {inodes} are there"))
}

/// In bytes.
fn available_memory() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_needs_its_room_three_times() {
        let large = Shape::Equal { files: 1, bytes: 2 << 30 };
        assert_eq!(missing(8 << 30, Some(100), large), None);
        let lacking = "7168 MiB are needed, and 6144 are there";
        assert_eq!(missing(6 << 30, Some(100), large).as_deref(), Some(lacking));
    }

    #[test]
    fn small_files_need_inodes_where_these_are_counted() {
        let small = Shape::Equal { files: 1000, bytes: 1 };
        let lacking = "3030 inodes are needed, and 3000 are there";
        assert_eq!(missing(8 << 30, Some(3000), small).as_deref(), Some(lacking));
        assert_eq!(missing(8 << 30, None, small), None);
    }
}
