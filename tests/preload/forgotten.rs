//! Times of change (`ctime`) that a power cut would have brought back. No program can set them, so they are put right where they are asked
//! for: a test that takes something back writes into `FAULT_RECORD/times` what the times were before, one line for each inode:
//!
//! ```text
//!     INODE  SECS NANOS now  SECS NANOS instead
//! ```
//!
//! As soon as the file is changed anew, the line means nothing any more.

use std::collections::HashMap;
use std::fs;
use std::sync::OnceLock;

use crate::kernel::{self, Statx};

type Time = (i64, u32);

static TIMES: OnceLock<HashMap<u64, (Time, Time)>> = OnceLock::new();

pub fn open() {
    let Some(directory) = kernel::variable(c"FAULT_RECORD") else { return };
    let text = fs::read_to_string(format!("{}/times", directory.to_string_lossy())).unwrap_or_default();
    let _ = TIMES.set(text.lines().filter_map(parse).collect());
}

fn parse(line: &str) -> Option<(u64, (Time, Time))> {
    let mut numbers = line.split(' ');
    let mut next = || numbers.next()?.parse::<i64>().ok();
    let inode = next()?.unsigned_abs();
    let mut time = || Some((next()?, u32::try_from(next()?).ok()?));
    Some((inode, (time()?, time()?)))
}

/// Puts the right time into an answer.
pub fn restore(answer: &mut Statx) {
    let Some((now, instead)) = TIMES.get().and_then(|times| times.get(&answer.ino)) else { return };
    if (answer.ctime.secs, answer.ctime.nanos) == *now {
        (answer.ctime.secs, answer.ctime.nanos) = *instead;
    }
}
