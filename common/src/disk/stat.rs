//! What a thing in a directory looks like, without a look at its content: its kind, its times, its mode, and a fingerprint that tells later
//! whether the content may have become another.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::fs;
use crate::tree::Mtime;

/// Permission bits, with set-user-id, set-group-id and sticky.
const MODE_BITS: u32 = 0o7777;

/// What is at a path. A symbolic link is a link, not what it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its kind.
    pub kind: StatKind,
    /// Length in bytes of a file or of the target of a link; without meaning for others.
    pub size: u64,
    /// Time of last modification.
    pub mtime: Mtime,
    /// Permission bits, `0o7777` at most.
    pub mode: u16,
    /// When it was made, if the file system remembers; no program can set it, and renaming leaves it.
    pub born: Option<Mtime>,
    /// What changes when it is written to, or replaced.
    pub print: Fingerprint,
}

/// The kinds of things in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A FIFO, socket or device: nothing that syncs.
    Other,
}

/// Tells, without reading it, whether a file may have changed since it was last looked at. Equal fingerprints mean that it has not, but
/// for writes so soon after the first look that the clock of the file system had not moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Time of last modification, which programs can set.
    pub mtime: Mtime,
    /// Time of last change of anything, which they can't.
    pub ctime: Mtime,
}

impl Fingerprint {
    /// Whether both are likely the same file with the same content although its name, mode or number of links may have changed: all of
    /// these move the `ctime` on.
    pub fn is_likely_same_content(&self, other: &Fingerprint) -> bool {
        Fingerprint { ctime: other.ctime, ..*self } == *other
    }

    /// The same, but so that no file looks like it now: it will be looked at again.
    pub fn of_no_file(self) -> Fingerprint {
        Fingerprint { ctime: Mtime(0), ..self }
    }
}

impl Stat {
    /// What an open file is.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn of_file(file: &File) -> io::Result<Stat> {
        let found = file.metadata()?;
        Ok(Stat::from(fs::RawStat {
            mode: found.mode(),
            ino: found.ino(),
            size: found.size(),
            mtime: (found.mtime(), nanos(found.mtime_nsec())),
            ctime: (found.ctime(), nanos(found.ctime_nsec())),
            btime: found.created().ok().and_then(since_1970),
        }))
    }
}

impl Stat {
    /// Whether this is a file that was written to within this time, as far as its time of modification shows. The times compared are both
    /// of this machine.
    pub(super) fn is_written_within(&self, time: Duration) -> bool {
        let age = || i128::from(now().0) - i128::from(self.print.mtime.0);
        self.kind == StatKind::File && !time.is_zero() && (0..time.as_nanos() as i128).contains(&age())
    }
}

/// The time, as files are stamped with it; a stamp may be up to one tick behind.
pub(super) fn now() -> Mtime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Mtime(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
}

/// std has them signed; the kernel keeps them from 0 to 999,999,999.
fn nanos(nanos: i64) -> u32 {
    u32::try_from(nanos).unwrap_or(0)
}

/// As the kernel has it. No file was made before 1970.
fn since_1970(time: SystemTime) -> Option<(i64, u32)> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some((i64::try_from(since.as_secs()).ok()?, since.subsec_nanos()))
}

impl From<fs::RawStat> for Stat {
    fn from(raw: fs::RawStat) -> Stat {
        let kind = match raw.mode & !MODE_BITS {
            0o100_000 => StatKind::File,
            0o120_000 => StatKind::Symlink,
            0o040_000 => StatKind::Directory,
            _ => StatKind::Other,
        };
        let mtime = Mtime::from_parts(raw.mtime.0, raw.mtime.1);
        let ctime = Mtime::from_parts(raw.ctime.0, raw.ctime.1);
        let print = Fingerprint { ino: raw.ino, size: raw.size, mtime, ctime };
        let born = raw.btime.map(|(secs, nanos)| Mtime::from_parts(secs, nanos));
        Stat { kind, size: raw.size, mtime, mode: (raw.mode & MODE_BITS) as u16, born, print }
    }
}
