//! Reads what is in the box, and makes sure that it stayed the same meanwhile.
//!
//! ```text
//!     fstat --> wait out the clock's tick --> read and hash --> stat: the very same?
//! ```
//!
//! The wait is for fingerprints to mean something: a file system's clock ticks every few milliseconds, and a file written twice within
//! one tick looks the same after both. A file hashed when its last change is older than a tick can't change again without showing it.
//!
//! The box has to stay usable for the server, so a directory there always grants its owner everything, and a file reading, whatever mode
//! a client gave it. The index keeps the client's mode; [`mode_in_box`] is the one that the disk has.

use std::io;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::disk::{Hashing, Root, Stat, StatKind, hash_up_to};
use common::tree::{Content, Entry, Kind, Meta, Path};
use common::wire::sha256::sha256;

/// Longer than a tick of any file system's clock: Linux has it at 100 Hz or faster.
const TICK: Duration = Duration::from_millis(20);

/// What reading came to.
#[derive(Debug)]
pub(crate) enum Reading {
    /// This is there, with this state of the file.
    Stable(Content, Stat),
    /// It changed meanwhile.
    Unsettled,
    /// Nothing is there.
    Absent,
    /// A FIFO, a socket, a device.
    Other,
}

/// Reads what is at a path.
///
/// # Errors
/// What the file system says, but for what means absent.
pub(crate) fn read(root: &Root, path: &Path) -> io::Result<Reading> {
    let Some(before) = root.stat(path)? else { return Ok(Reading::Absent) };
    let content = match before.kind {
        StatKind::Other => return Ok(Reading::Other),
        StatKind::Directory => return Ok(Reading::Stable(Content::Directory, before)),
        StatKind::Symlink => {
            let target = root.read_link(path)?;
            Content::Symlink { size: target.len() as u64, hash: sha256(&target) }
        }
        StatKind::File => {
            let mut file = root.open_file(path)?;
            wait_out_tick(&before);
            let mut hashing = Hashing::new();
            let size = hash_up_to(&mut file, u64::MAX, &mut hashing)?;
            Content::File { size, hash: hashing.finish()? }
        }
    };
    let is_same = root.stat(path)?.is_some_and(|after| after.print == before.print);
    Ok(if is_same { Reading::Stable(content, before) } else { Reading::Unsettled })
}

/// The entry for what was read. `known` is what the index says: its mode stands as long as the disk has what came of it.
pub(crate) fn entry(content: Content, stat: &Stat, known: Option<&Entry>) -> Entry {
    let as_known = known.filter(|known| known.content.kind() == content.kind() && has_mode(stat, known));
    let mode = as_known.map_or(stat.mode, |known| known.meta.mode);
    Entry { content, meta: Meta { mtime: stat.mtime, mode } }
}

/// The permission bits that something of this kind has in the box.
pub(crate) fn mode_in_box(kind: Kind, mode: u16) -> u16 {
    match kind {
        Kind::Directory => mode | 0o700,
        Kind::File => mode | 0o400,
        Kind::Symlink => mode,
    }
}

/// Whether the disk has the permission bits that the index asks for.
pub(crate) fn has_mode(stat: &Stat, known: &Entry) -> bool {
    stat.mode == mode_in_box(known.content.kind(), known.meta.mode)
}

/// Whether the disk has the permission bits that the index asks for, or was given those of the index by hand. Those of a link mean nothing.
pub(crate) fn is_labelled(stat: &Stat, known: &Entry) -> bool {
    stat.kind == StatKind::Symlink || stat.mode == known.meta.mode || has_mode(stat, known)
}

/// Both times compared are of this machine; if its clock was set back meanwhile there is nothing to wait for.
fn wait_out_tick(stat: &Stat) {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = i128::try_from(since_1970.as_nanos()).unwrap_or(i128::MAX) - i128::from(stat.print.ctime.0);
    let left = TICK.as_nanos() as i128 - age;
    if 0 < left && left <= TICK.as_nanos() as i128 {
        sleep(Duration::from_nanos(left as u64));
    }
}
