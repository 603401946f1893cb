//! inotify(7): the kernel says what changes in watched directories.
//!
//! ```text
//!     | watch i32 | mask u32 | cookie u32 | length u32 | name, NUL padding |      one record; `length` is that of the name and padding
//! ```

use std::ffi::{CStr, c_char, c_int};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{cvt, read_array};

/// A file was written to, or nothing but its modification time was set.
pub const IN_MODIFY: u32 = 0x2;
/// Metadata changed.
pub const IN_ATTRIB: u32 = 0x4;
/// A file that was open for writing was closed.
pub const IN_CLOSE_WRITE: u32 = 0x8;
/// A name left the directory by a rename.
pub const IN_MOVED_FROM: u32 = 0x40;
/// A name came into the directory by a rename.
pub const IN_MOVED_TO: u32 = 0x80;
/// A name was created.
pub const IN_CREATE: u32 = 0x100;
/// A name was removed.
pub const IN_DELETE: u32 = 0x200;
/// The watched directory itself was removed.
pub const IN_DELETE_SELF: u32 = 0x400;
/// The watched directory itself was renamed.
pub const IN_MOVE_SELF: u32 = 0x800;
/// Its file system was unmounted.
pub const IN_UNMOUNT: u32 = 0x2000;
/// The kernel dropped events; the record belongs to no watch.
pub const IN_Q_OVERFLOW: u32 = 0x4000;
/// The watch is gone and its number will mean nothing from now on.
pub const IN_IGNORED: u32 = 0x8000;
/// Watch it only if it is a directory.
pub const IN_ONLYDIR: u32 = 0x100_0000;
/// Watch a symbolic link itself.
pub const IN_DONT_FOLLOW: u32 = 0x200_0000;
/// No events for files that are open but have no name any more.
pub const IN_EXCL_UNLINK: u32 = 0x400_0000;
/// What the event is about is a directory.
pub const IN_ISDIR: u32 = 0x4000_0000;

const IN_CLOEXEC: c_int = 0o2_000_000;
const IN_NONBLOCK: c_int = 0o4000;

unsafe extern "C" {
    fn inotify_init1(flags: c_int) -> c_int;
    fn inotify_add_watch(fd: c_int, path: *const c_char, mask: u32) -> c_int;
    fn inotify_rm_watch(fd: c_int, watch: c_int) -> c_int;
}

/// An inotify instance.
#[derive(Debug)]
pub struct Inotify(File);

/// The number of a watch within its instance; not used twice before 2^31 watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(c_int);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The watched directory.
    pub watch: WatchId,
    /// The `IN_` bits that say what happened.
    pub mask: u32,
    /// The same for the two halves of one rename, otherwise 0.
    pub cookie: u32,
    /// The name in the directory; empty if the event is about the directory itself.
    pub name: Vec<u8>,
}

impl Inotify {
    /// A new instance, watching nothing. Reading from it never waits.
    ///
    /// # Errors
    /// `EMFILE` if the user or the process has too many.
    pub fn new() -> io::Result<Inotify> {
        // SAFETY: no pointers are passed.
        let fd = cvt(unsafe { inotify_init1(IN_CLOEXEC | IN_NONBLOCK) })?;
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        Ok(Inotify(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Watches what is at `path`. If that is watched already, even under another path, its mask changes and its number stays.
    ///
    /// # Errors
    /// `ENOSPC` if the user may have no more watches; otherwise those of inotify_add_watch(2).
    pub fn add(&self, path: &CStr, mask: u32) -> io::Result<WatchId> {
        // SAFETY: `path` ends with NUL and outlives the call, which writes nothing.
        cvt(unsafe { inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) }).map(WatchId)
    }

    /// Ends a watch; a last record with [`IN_IGNORED`] follows.
    ///
    /// # Errors
    /// `EINVAL` if there is no such watch, as after its directory was removed.
    pub fn remove(&self, watch: WatchId) -> io::Result<()> {
        // SAFETY: no pointers are passed.
        cvt(unsafe { inotify_rm_watch(self.0.as_raw_fd(), watch.0) })?;
        Ok(())
    }

    /// Reads what has happened, as far as it fits into `buffer` (whole records only). No records if nothing has.
    ///
    /// # Errors
    /// `EINVAL` if not even one record fits; a record that makes no sense.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Vec<Record>> {
        loop {
            match (&self.0).read(buffer) {
                Ok(length) => return parse(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Vec::new()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Bytes before the name.
const HEADER_BYTES: usize = 16;

fn parse(mut bytes: &[u8]) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) =
            parse_one(bytes).ok_or_else(|| io::Error::other("the kernel gave a malformed inotify record"))?;
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

fn parse_one(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let length = u32::from_ne_bytes(read_array(bytes, 12)?);
    let (padded, rest) = bytes.get(HEADER_BYTES..)?.split_at_checked(length as usize)?;
    let end = padded.iter().position(|&byte| byte == 0).unwrap_or(padded.len());
    let record = Record {
        watch: WatchId(i32::from_ne_bytes(read_array(bytes, 0)?)),
        mask: u32::from_ne_bytes(read_array(bytes, 4)?),
        cookie: u32::from_ne_bytes(read_array(bytes, 8)?),
        name: padded[..end].to_vec(),
    };
    Some((record, rest))
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::disk::scratch::Scratch;

    fn record(length: u32, name: &[u8]) -> Vec<u8> {
        [&3i32.to_ne_bytes(), &IN_CREATE.to_ne_bytes(), &9u32.to_ne_bytes(), &length.to_ne_bytes(), name]
            .concat()
    }

    #[test]
    fn hostile_records() {
        let want =
            |name: &[u8]| Record { watch: WatchId(3), mask: IN_CREATE, cookie: 9, name: name.to_vec() };
        let two = [record(4, b"ab\0\0"), record(0, b"")].concat();
        assert_eq!(parse(&two).unwrap(), [want(b"ab"), want(b"")]);
        for end in (1..two.len()).filter(|&end| end != 20) {
            assert!(parse(&two[..end]).is_err(), "prefix of {end} bytes");
        }
        assert_eq!(parse(&record(2, b"ab")).unwrap(), [want(b"ab")]);
        for length in [3, 0x7fff_ffff, u32::MAX] {
            assert!(parse(&record(length, b"ab")).is_err(), "{length}");
        }
    }

    #[test]
    fn says_what_happens() {
        let scratch = Scratch::new();
        let inotify = Inotify::new().unwrap();
        let mut buffer = [0; 4096];
        assert_eq!(inotify.read(&mut buffer).unwrap(), []);
        let path = CString::new(scratch.path().as_os_str().as_bytes()).unwrap();
        let watch = inotify.add(&path, IN_CREATE | IN_ONLYDIR).unwrap();
        std::fs::create_dir(scratch.path().join("d")).unwrap();
        let want = Record { watch, mask: IN_CREATE | IN_ISDIR, cookie: 0, name: b"d".to_vec() };
        assert_eq!(inotify.read(&mut buffer).unwrap(), [want]);
        inotify.remove(watch).unwrap();
        assert_eq!(inotify.read(&mut buffer).unwrap()[0].mask, IN_IGNORED);
        assert!(inotify.remove(watch).is_err());
    }
}
