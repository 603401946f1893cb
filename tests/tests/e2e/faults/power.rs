//! A power cut: takes back what a file system may forget.
//!
//! What a program did was recorded (`preload/record.rs`). Of content, only what was flushed is kept: a file becomes as short as it was before
//! the first write that no flush followed. Names and metadata are kept as the journals of ext4 and XFS do it: in order, so that a flush of
//! anything makes all that was done to names before it durable as well, and what was done after it may be forgotten, the last first. A flush that failed makes nothing durable, and no later one does it for the same data.
//!
//! Everything is taken back in place, so that files keep their inodes. Times of change can't be set; the library shows the old ones to the
//! program when it starts again (`preload/forgotten.rs`). The program must have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much of what was done to names after the last flush is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    All,
    Half,
    Nothing,
}

impl Forgotten {
    pub const EVERY: [Forgotten; 3] = [Forgotten::All, Forgotten::Half, Forgotten::Nothing];
}

#[derive(Debug)]
enum Done {
    Made(PathBuf),
    MadeDirectory(PathBuf),
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    Replaced {
        from: PathBuf,
        to: PathBuf,
        kept: PathBuf,
    },
    Exchanged(PathBuf, PathBuf),
    Removed {
        path: PathBuf,
        kept: PathBuf,
    },
    Labelled {
        path: PathBuf,
        mode: u32,
        mtime: SystemTime,
    },
    /// What follows moved on the time of change of something, which was this before.
    Time {
        inode: u64,
        secs: i64,
        nanos: i64,
    },
    Written {
        inode: u64,
        size: u64,
    },
    Flushed {
        inode: u64,
        good: bool,
    },
    FlushedAll {
        good: bool,
    },
}

/// Lets the power fail for what is recorded in `record`, of a program that works in `tree`. The record begins anew.
#[track_caller]
pub fn cut(record: &Path, tree: &Path, forgotten: Forgotten) {
    let file = record.join("record");
    let text = fs::read_to_string(&file).expect("read a record");
    let done: Vec<Done> = text.lines().map(parse).collect();
    let is_flush =
        |done: &Done| matches!(done, Done::Flushed { good: true, .. } | Done::FlushedAll { good: true });
    let flushed = done.iter().rposition(is_flush).map_or(0, |last| last + 1);
    let mut kept = match forgotten {
        Forgotten::All => flushed,
        Forgotten::Half => flushed.midpoint(done.len()),
        Forgotten::Nothing => done.len(),
    };
    while matches!(done[..kept].last(), Some(Done::Time { .. })) {
        kept -= 1;
    }
    let mut times = BTreeMap::new();
    for done in done[kept..].iter().rev() {
        if let Done::Time { inode, secs, nanos } = done {
            times.insert(*inode, (*secs, *nanos));
        }
        // Users may have been at work since, and a name that is gone can't be taken back.
        if let Err(error) = take_back(done) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{done:?}");
        }
    }
    let unflushed = unflushed(&done);
    shorten(tree, &unflushed).expect("shorten what was not flushed");
    fs::remove_dir_all(record).and_then(|()| fs::create_dir(record)).expect("begin a new record");
    let mut lines = String::new();
    note_times(tree, &times, &mut lines).expect("look at what was taken back");
    fs::write(record.join("times"), lines).expect("note times of change");
}

fn parse(line: &str) -> Done {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |word: &str| word.parse::<i64>().expect("a number");
    match words[..] {
        ["create" | "symlink", path] => Done::Made(unescape(path)),
        ["mkdir", path] => Done::MadeDirectory(unescape(path)),
        ["rename", from, to] => Done::Renamed { from: unescape(from), to: unescape(to) },
        ["replace", from, to, kept] => {
            Done::Replaced { from: unescape(from), to: unescape(to), kept: unescape(kept) }
        }
        ["exchange", one, other] => Done::Exchanged(unescape(one), unescape(other)),
        ["remove", path, kept] => Done::Removed { path: unescape(path), kept: unescape(kept) },
        ["label", path, mode, secs, nanos] => {
            let mode = u32::from_str_radix(mode, 8).expect("an octal number");
            let since = Duration::new(number(secs).unsigned_abs(), nanos.parse().expect("a number"));
            Done::Labelled { path: unescape(path), mode, mtime: UNIX_EPOCH + since }
        }
        ["time", inode, secs, nanos] => {
            Done::Time { inode: number(inode).unsigned_abs(), secs: number(secs), nanos: number(nanos) }
        }
        ["write", inode, size] => {
            Done::Written { inode: number(inode).unsigned_abs(), size: number(size).unsigned_abs() }
        }
        ["flush", inode, result] => {
            Done::Flushed { inode: number(inode).unsigned_abs(), good: result == "0" }
        }
        ["flush-all", result] => Done::FlushedAll { good: result == "0" },
        _ => panic!("what does {line:?} mean?"),
    }
}

fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(first);
        if first == b'%' {
            let digits = std::str::from_utf8(&rest[..2]).expect("digits are text");
            let byte = u8::from_str_radix(digits, 16).expect("two digits");
            *bytes.last_mut().expect("it was just pushed") = byte;
            rest = &rest[2..];
        }
    }
    OsString::from_vec(bytes).into()
}

fn take_back(done: &Done) -> io::Result<()> {
    match done {
        Done::Made(path) => fs::remove_file(path),
        Done::MadeDirectory(path) => fs::remove_dir(path),
        Done::Renamed { from, to } => fs::rename(to, from),
        Done::Replaced { from, to, kept } => {
            fs::rename(to, from)?;
            fs::rename(kept, to)
        }
        Done::Exchanged(one, other) => {
            let aside = one.with_file_name("exchanged for a moment");
            fs::rename(one, &aside)?;
            fs::rename(other, one)?;
            fs::rename(&aside, other)
        }
        Done::Removed { path, kept } => fs::rename(kept, path),
        Done::Labelled { path, mode, mtime } => {
            fs::set_permissions(path, Permissions::from_mode(*mode))?;
            if fs::symlink_metadata(path)?.is_file() {
                File::open(path)?.set_times(FileTimes::new().set_modified(*mtime))?;
            }
            Ok(())
        }
        Done::Time { .. } | Done::Written { .. } | Done::Flushed { .. } | Done::FlushedAll { .. } => Ok(()),
    }
}

/// How long each file was before the first write that was not flushed.
fn unflushed(done: &[Done]) -> BTreeMap<u64, u64> {
    let mut dirty = BTreeMap::new();
    let mut lost = BTreeSet::new();
    for done in done {
        match done {
            Done::Written { inode, size } => {
                dirty.entry(*inode).or_insert(*size);
            }
            Done::Flushed { inode, good: true } => {
                dirty.retain(|dirty, _| dirty != inode || lost.contains(dirty))
            }
            Done::Flushed { inode, good: false } => {
                lost.insert(*inode);
            }
            Done::FlushedAll { good: true } => dirty.retain(|dirty, _| lost.contains(dirty)),
            Done::FlushedAll { good: false } => lost.extend(dirty.keys().copied()),
            _ => {}
        }
    }
    dirty
}

fn shorten(directory: &Path, lengths: &BTreeMap<u64, u64>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            shorten(&entry.path(), lengths)?;
        }
        if let Some(&length) = lengths.get(&metadata.ino()).filter(|&&length| length < metadata.len()) {
            let file = File::options().write(true).open(entry.path())?;
            file.set_len(length)?;
            file.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
        }
    }
    Ok(())
}

/// Adds a line for each file and directory beneath whose time of change is to look like an earlier one.
fn note_times(path: &Path, times: &BTreeMap<u64, (i64, i64)>, lines: &mut String) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if let Some((secs, nanos)) = times.get(&found.ino()) {
        let (now_secs, now_nanos) = (found.ctime(), found.ctime_nsec());
        *lines += &format!("{} {now_secs} {now_nanos} {secs} {nanos}\n", found.ino());
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            note_times(&entry?.path(), times, lines)?;
        }
    }
    Ok(())
}
