//! The names in a directory, by getdents64(2).
//!
//! ```text
//!     | inode u64 | position i64 | length u16 | kind u8 | name, NUL, padding |      one record; `length` is that of all of it
//! ```
//!
//! Not by readdir(3): it keeps its error in `errno`, where the end of the directory and a failure differ only for those who cleared it
//! before, and a directory that seems shorter than it is becomes deleted files further up. Here the list is complete or an error.

use std::ffi::c_long;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{cvt_r, number, read_array, syscall};
use crate::limits::{DIRECTORY_BUFFER_BYTES, DIRECTORY_NAMES};

/// What a directory says of a name in it, without asking the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, one component.
    pub name: Vec<u8>,
    /// Its inode number.
    pub ino: u64,
    /// Its kind, if the file system keeps that in the directory.
    pub kind: DirEntryKind,
}

/// The kind of a name as its directory remembers it: a hint, to be checked when it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirEntryKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A FIFO, socket or device.
    Other,
    /// The file system did not say.
    Unknown,
}

/// Reads all names from where the descriptor stands (the start, if it was just opened), without `.` and `..`, in the file system's order.
///
/// # Errors
/// Those of getdents64(2); a record that makes no sense; more than [`DIRECTORY_NAMES`] names.
pub fn read_all(dir: BorrowedFd<'_>) -> io::Result<Vec<DirEntry>> {
    read_at_most(dir, DIRECTORY_NAMES)
}

fn read_at_most(dir: BorrowedFd<'_>, most: usize) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    let mut buffer = vec![0; DIRECTORY_BUFFER_BYTES];
    loop {
        let length = get_dents(dir, &mut buffer)?;
        if length == 0 {
            return Ok(entries);
        }
        parse(&buffer[..length], &mut entries)?;
        if most < entries.len() {
            return Err(io::Error::other(format!("the directory has more than {most} entries")));
        }
    }
}

fn get_dents(dir: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (dir, start, size) = (c_long::from(dir.as_raw_fd()), buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the call writes at most `size` bytes to `start`, all of them in the exclusively borrowed `buffer`.
    let length = cvt_r(|| unsafe { syscall(number::GETDENTS64, dir, start, size) })?;
    Ok(length.unsigned_abs() as usize)
}

/// Bytes before the name.
const HEADER_BYTES: usize = 19;

fn parse(mut records: &[u8], entries: &mut Vec<DirEntry>) -> io::Result<()> {
    while !records.is_empty() {
        let (entry, rest) = parse_one(records)
            .ok_or_else(|| io::Error::other("the kernel gave a malformed directory record"))?;
        if entry.name != b"." && entry.name != b".." {
            entries.push(entry);
        }
        records = rest;
    }
    Ok(())
}

fn parse_one(records: &[u8]) -> Option<(DirEntry, &[u8])> {
    let length = usize::from(u16::from_ne_bytes(read_array(records, 16)?));
    let (record, rest) = records.split_at_checked(length)?;
    let ino = u64::from_ne_bytes(read_array(record, 0)?);
    let kind = match record.get(18)? {
        0 => DirEntryKind::Unknown,
        4 => DirEntryKind::Directory,
        8 => DirEntryKind::File,
        10 => DirEntryKind::Symlink,
        _ => DirEntryKind::Other,
    };
    let padded = record.get(HEADER_BYTES..)?;
    let end = padded.iter().position(|&byte| byte == 0)?;
    Some((DirEntry { name: padded[..end].to_vec(), ino, kind }, rest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::disk::scratch::Scratch;
    use crate::limits::NAME_BYTES;

    fn record(length: u16, kind: u8, name: &[u8]) -> Vec<u8> {
        let mut record =
            [&7u64.to_ne_bytes(), &[0; 8], length.to_ne_bytes().as_slice(), &[kind], name].concat();
        record.resize(record.len().max(usize::from(length)), 0);
        record
    }

    #[test]
    fn hostile_records() {
        let whole = record(24, 8, b"ab\0");
        assert_eq!(
            parse_one(&whole),
            Some((DirEntry { name: b"ab".to_vec(), ino: 7, kind: DirEntryKind::File }, b"".as_slice()))
        );
        for end in 1..whole.len() {
            assert!(parse(&whole[..end], &mut Vec::new()).is_err(), "prefix of {end} bytes");
        }
        let unterminated = record(24, 8, b"abcde");
        for bad in [
            record(0, 8, b"ab\0"),
            record(18, 8, b"ab\0"),
            record(u16::MAX, 8, b"")[..100].to_vec(),
            unterminated,
        ] {
            assert!(parse(&bad, &mut Vec::new()).is_err(), "{}", bad.escape_ascii());
        }
        let many = [record(24, 4, b".\0"), record(24, 4, b"..\0"), record(32, 1, b"...\0")].concat();
        let mut entries = Vec::new();
        parse(&many, &mut entries).unwrap();
        assert_eq!(entries, [DirEntry { name: b"...".to_vec(), ino: 7, kind: DirEntryKind::Other }]);
    }

    #[test]
    fn a_directory_larger_than_the_buffer() {
        let scratch = Scratch::new();
        let long = "n".repeat(200);
        let count = 3 * DIRECTORY_BUFFER_BYTES / long.len();
        let names: BTreeSet<Vec<u8>> = (0..count).map(|n| format!("{long}{n}").into_bytes()).collect();
        for n in 0..count {
            symlink("nowhere", scratch.path().join(format!("{long}{n}"))).unwrap();
        }
        let entries = read_all(File::open(scratch.path()).unwrap().as_fd()).unwrap();
        assert_eq!(entries.len(), count);
        let read = |most| read_at_most(File::open(scratch.path()).unwrap().as_fd(), most);
        assert!(read(count).is_ok());
        let error = read(count - 1).unwrap_err().to_string();
        assert!(error.ends_with(&format!("more than {} entries", count - 1)), "{error}");
        assert_eq!(entries.into_iter().map(|entry| entry.name).collect::<BTreeSet<_>>(), names);
    }

    /// With names as long as they can be, and what the allocator adds.
    #[test]
    fn the_largest_listing_fits_into_memory() {
        const LONGEST: usize = size_of::<DirEntry>() + NAME_BYTES + 16;
        const { assert!(DIRECTORY_NAMES * LONGEST < 1536 << 20) };
    }

    #[test]
    fn kinds_and_inodes() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("d")).unwrap();
        let entries = read_all(File::open(scratch.path()).unwrap().as_fd()).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].ino, fs::metadata(scratch.path().join("d")).unwrap().ino());
        assert!(matches!(entries[0].kind, DirEntryKind::Directory | DirEntryKind::Unknown));
        assert!(read_all(File::open("/dev/null").unwrap().as_fd()).is_err());
    }
}
