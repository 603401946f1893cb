//! What was changed and what was flushed, written down so that it can be taken back: one line for each, in the order of the calls.
//!
//! ```text
//!     create PATH                   a file that was not there
//!     mkdir PATH, symlink PATH
//!     rename OLD NEW                NEW was not there
//!     replace OLD NEW KEPT          NEW was there; KEPT is a second name for it
//!     exchange OLD NEW
//!     remove PATH KEPT              it was not removed but moved to KEPT
//!     label PATH MODE SECS NANOS    permissions and time before they were changed
//!     time INODE SECS NANOS         time of change of a file or directory before what the next line says, which moved it on
//!     write INODE SIZE              how long the file was before
//!     flush INODE RESULT            0, or -1: what was written before may never reach the disk now
//!     flush-all RESULT
//! ```
//!
//! Bytes of names that would be taken for something else are written as `%XX`. `FAULT_RECORD` names the directory with the file `record`,
//! which has to be on the file system of the box or folder: what was replaced or removed is kept there under a number.

use std::ffi::{CStr, CString, c_int, c_uint};
use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel;

struct Record {
    file: c_int,
    directory: String,
    kept: AtomicU64,
}

static RECORD: OnceLock<Record> = OnceLock::new();

/// Begins a record, or goes on with one, if `FAULT_RECORD` says where.
pub fn open() {
    const O_CREAT_APPEND: c_int = 0o2100;
    let Some(directory) = kernel::variable(c"FAULT_RECORD") else { return };
    let directory = directory.to_string_lossy().into_owned();
    let path = CString::new(format!("{directory}/record")).expect("it was a C string before");
    let file = kernel::open_for_writing(&path, O_CREAT_APPEND);
    // Every run of a program keeps things under numbers of its own.
    let kept = AtomicU64::new(kernel::process_id() << 32);
    let _ = RECORD.set(Record { file, directory, kept });
}

impl Record {
    fn note(&self, line: fmt::Arguments<'_>) {
        kernel::append(self.file, format_args!("{line}\n"));
    }

    /// What these are before a call: names in directories, and the directories. Their times go before what the call has done.
    fn before(places: &[(c_int, &CStr)]) -> String {
        let places = places.iter().flat_map(|&(dir, name)| [(dir, name), (dir, c"")]);
        let found = places.filter_map(|(dir, name)| kernel::stat(dir, name));
        found.fold(String::new(), |text, found| {
            let (secs, nanos) = found.ctime;
            format!("{text}time {} {secs} {nanos}\n", found.ino)
        })
    }

    /// A name under which something can be kept.
    fn place(&self) -> CString {
        let number = self.kept.fetch_add(1, Ordering::Relaxed);
        CString::new(format!("{}/{number}", self.directory)).expect("it was a C string before")
    }
}

struct Name<'a>(&'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'!'..=b'$' | b'&'..=b'~' => f.write_char(char::from(byte)),
            byte => write!(f, "%{byte:02X}"),
        })
    }
}

fn succeeded<T: From<i8> + PartialEq>(result: &T) -> bool {
    *result != T::from(-1)
}

pub fn create<T: From<i8> + PartialEq>(dir: c_int, name: &CStr, call: impl FnOnce() -> T) -> T {
    let Some(record) = RECORD.get() else { return call() };
    let (was_there, before) = (kernel::stat(dir, name).is_some(), Record::before(&[(dir, name)]));
    let result = call();
    if succeeded(&result) && !was_there {
        record.note(format_args!("{before}create {}", Name(&kernel::path(dir, name))));
    }
    result
}

pub fn make(what: &str, dir: c_int, name: &CStr, call: impl FnOnce() -> c_int) -> c_int {
    let Some(record) = RECORD.get() else { return call() };
    let before = Record::before(&[(dir, name)]);
    let result = call();
    if succeeded(&result) {
        record.note(format_args!("{before}{what} {}", Name(&kernel::path(dir, name))));
    }
    result
}

pub fn rename<T: From<i8> + PartialEq>(
    from: (c_int, &CStr),
    to: (c_int, &CStr),
    flags: c_uint,
    call: impl FnOnce() -> T,
) -> T {
    const EXCHANGE: c_uint = 2;
    let Some(record) = RECORD.get() else { return call() };
    let (before, kept) = (Record::before(&[from, to]), record.place());
    let is_kept = flags == 0 && kernel::link(to.0, to.1, &kept);
    let result = call();
    if succeeded(&result) {
        let (from, to) = (kernel::path(from.0, from.1), kernel::path(to.0, to.1));
        let (from, to) = (Name(&from), Name(&to));
        match flags {
            EXCHANGE => record.note(format_args!("{before}exchange {from} {to}")),
            _ if is_kept => {
                record.note(format_args!("{before}replace {from} {to} {}", Name(kept.to_bytes())))
            }
            _ => record.note(format_args!("{before}rename {from} {to}")),
        }
    }
    result
}

/// Moves it away instead. What can't be removed is left to the real call, for the right error.
pub fn remove(dir: c_int, name: &CStr, directory: bool, call: impl FnOnce() -> c_int) -> c_int {
    let Some(record) = RECORD.get() else { return call() };
    let can_be = match kernel::stat(dir, name) {
        Some(found) if found.is_directory() => directory && kernel::is_empty_directory(dir, name),
        Some(_) => !directory,
        None => false,
    };
    if !can_be {
        return call();
    }
    let (before, kept) = (Record::before(&[(dir, name)]), record.place());
    let result = kernel::rename(dir, name, &kept);
    if succeeded(&result) {
        record.note(format_args!(
            "{before}remove {} {}",
            Name(&kernel::path(dir, name)),
            Name(kept.to_bytes())
        ));
    }
    result
}

pub fn label<T: From<i8> + PartialEq>(dir: c_int, name: &CStr, call: impl FnOnce() -> T) -> T {
    let Some(record) = RECORD.get() else { return call() };
    let (before, times) = (kernel::stat(dir, name), Record::before(&[(dir, name)]));
    let result = call();
    if let Some(before) = before.filter(|_| succeeded(&result)) {
        let (path, (secs, nanos)) = (kernel::path(dir, name), before.mtime);
        record.note(format_args!("{times}label {} {:o} {secs} {nanos}", Name(&path), before.mode & 0o7777));
    }
    result
}

pub fn write(fd: c_int, call: impl FnOnce() -> isize) -> isize {
    let Some(record) = RECORD.get() else { return call() };
    let before = kernel::stat(fd, c"");
    let result = call();
    if let Some(before) = before.filter(|_| succeeded(&result)) {
        record.note(format_args!("write {} {}", before.ino, before.size));
    }
    result
}

pub fn flush(fd: c_int, call: impl FnOnce() -> c_int) -> c_int {
    let Some(record) = RECORD.get() else { return call() };
    let result = call();
    let ino = kernel::stat(fd, c"").map_or(0, |found| found.ino);
    kernel::keeping_errno(|| record.note(format_args!("flush {ino} {result}")));
    result
}

pub fn flush_all(_: c_int, call: impl FnOnce() -> c_int) -> c_int {
    let Some(record) = RECORD.get() else { return call() };
    let result = call();
    kernel::keeping_errno(|| record.note(format_args!("flush-all {result}")));
    result
}
