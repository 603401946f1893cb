//! An append-only file of checksummed records: the server's index and a client's state are both kept in one.
//!
//! ```text
//!     +--------------+----------------+-----------------------------+---------------- ...
//!     | magic, 8 B   | length, 4 B LE | CRC-32, 4 B LE of length    | payload
//!     | which book   | of the payload | and payload                 | of `length` bytes
//!     +--------------+----------------+-----------------------------+---------------- ...
//! ```
//!
//! *Appending* gathers records in memory; [`Journal::write`] hands them to the kernel in one call and [`Journal::flush`] makes them
//! survive a power cut. Nothing is ever changed in place. A write or flush that failed leaves the journal [`Broken`]: what is on disk
//! after that is unknown, so nothing more is appended until [`Journal::rewrite`] has put a fresh file in its place.
//!
//! *Opening* hands every good record to the caller. What comes after the last good one is judged:
//!
//! - a torn tail, the trace of a power cut in the middle of an append: it is cut off, and said. Nothing in it was acknowledged;
//! - damage: a good record stands behind a bad one, or more is bad than one append could have left. Then history is not known any more,
//!   and the caller starts a new one from the files themselves.
//!
//! *Compaction* is `rewrite`: new file, flush, rename over the old one, flush of the directory. A crash leaves the one or the other.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::root::{RenameMode, Root};
use crate::limits::{JOURNAL_PENDING_BYTES, JOURNAL_RECORD_BYTES, JOURNAL_TAIL_BYTES};
use crate::tree::Path;
use crate::wire::crc32::Crc32;
use crate::wire::pack::PackError;

/// Bytes in front of every payload.
const RECORD_HEAD: usize = 8;

/// What was found when a journal was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No journal: a new one was made.
    Nothing,
    /// Every record is good.
    Whole,
    /// A torn tail of so many bytes was cut off.
    Torn(u64),
    /// Not readable from this offset on, by more than a torn tail. The file was set aside (its name ends in `.damaged`), a new one made.
    Damaged(u64),
}

/// An earlier write or flush failed; the journal takes nothing until it is rewritten.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an earlier write to the journal failed")
    }
}

impl std::error::Error for Broken {}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    directory: Root,
    name: Path,
    magic: [u8; 8],
    file: File,
    /// Bytes of the file that hold good records; the magic included.
    length: u64,
    /// Records not handed to the kernel yet.
    pending: Vec<u8>,
    broken: bool,
}

impl Journal {
    /// Opens the journal `name` in `directory`, or makes it, and hands each record in order to `each`. A record that `each` does not
    /// understand counts as damage.
    ///
    /// # Errors
    /// What the file system says. Damage is not an error but an answer.
    pub fn open(
        directory: Root,
        name: Path,
        magic: [u8; 8],
        mut each: impl FnMut(&[u8]) -> Result<(), PackError>,
    ) -> io::Result<(Journal, Found)> {
        let found = match directory.stat(&name)? {
            None => Found::Nothing,
            Some(_) => read_all(directory.open_file(&name)?, magic, &mut each)?,
        };
        let file = match found {
            Found::Nothing => fresh(&directory, &name, magic, &[])?,
            Found::Whole | Found::Torn(_) => directory.open_write(&name)?,
            Found::Damaged(_) => {
                let aside = sibling(&name, ".damaged");
                Root::rename((&directory, &name), (&directory, &aside), RenameMode::Replace)?;
                fresh(&directory, &name, magic, &[])?
            }
        };
        let mut journal =
            Journal { directory, name, magic, file, length: 0, pending: Vec::new(), broken: false };
        journal.length = journal.file.seek(SeekFrom::End(0))?;
        if let Found::Torn(bytes) = found {
            journal.length -= bytes;
            journal.file.set_len(journal.length)?;
            journal.file.sync_all()?;
            journal.file.seek(SeekFrom::End(0))?;
        }
        Ok((journal, found))
    }

    /// Hands each record of a journal in order to `each`, and changes nothing on disk, whatever is found.
    ///
    /// # Errors
    /// What the file system says; `NotFound` if there is no journal.
    pub fn read(
        directory: &Root,
        name: &Path,
        magic: [u8; 8],
        mut each: impl FnMut(&[u8]) -> Result<(), PackError>,
    ) -> io::Result<Found> {
        read_all(directory.open_file(name)?, magic, &mut each)
    }

    /// Adds a record to those not written yet. Beyond [`JOURNAL_PENDING_BYTES`] they are handed to the kernel at once.
    ///
    /// # Errors
    /// [`Broken`], or what the file system says; the journal is broken then.
    ///
    /// # Panics
    /// If the record is empty or longer than [`JOURNAL_RECORD_BYTES`]: no writer of ours builds such a one.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other(Broken));
        }
        frame(&mut self.pending, record);
        if JOURNAL_PENDING_BYTES < self.pending.len() { self.write() } else { Ok(()) }
    }

    /// Hands what was appended to the kernel.
    ///
    /// # Errors
    /// [`Broken`], or what the file system says; the journal is broken then.
    pub fn write(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other(Broken));
        }
        let written = self.file.write_all(&self.pending);
        self.length += self.pending.len() as u64;
        self.pending.clear();
        self.note(written)
    }

    /// Writes, and waits until all of it survives a power cut.
    ///
    /// # Errors
    /// As [`Journal::write`]. A failed flush is never repeated as if the data were good.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write()?;
        let flushed = self.file.sync_data();
        self.note(flushed)
    }

    /// Length of the file in bytes, with what is still pending.
    pub fn length(&self) -> u64 {
        self.length + self.pending.len() as u64
    }

    /// Whether a write or flush failed since the last rewrite.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Breaks the journal off: what it says was to be durable together with something else, and that failed.
    pub fn distrust(&mut self) {
        self.broken = true;
    }

    /// Replaces the whole journal by these records, durably; a broken journal is whole again afterwards.
    ///
    /// # Errors
    /// What the file system says; the old file then still stands.
    pub fn rewrite<R: AsRef<[u8]>>(&mut self, records: impl Iterator<Item = R>) -> io::Result<()> {
        let next = sibling(&self.name, ".next");
        match self.directory.remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = self.directory.create_new(&next, 0o600)?;
        let mut length = 0;
        let mut buffer = self.magic.to_vec();
        for record in records {
            frame(&mut buffer, record.as_ref());
            if JOURNAL_PENDING_BYTES < buffer.len() {
                file.write_all(&buffer)?;
                length += buffer.len() as u64;
                buffer.clear();
            }
        }
        file.write_all(&buffer)?;
        length += buffer.len() as u64;
        file.sync_all()?;
        Root::rename((&self.directory, &next), (&self.directory, &self.name), RenameMode::Replace)?;
        self.directory.sync_dir(None)?;
        (self.file, self.length, self.broken) = (file, length, false);
        self.pending.clear();
        Ok(())
    }

    fn note(&mut self, outcome: io::Result<()>) -> io::Result<()> {
        self.broken |= outcome.is_err();
        outcome
    }
}

fn fresh(directory: &Root, name: &Path, magic: [u8; 8], records: &[u8]) -> io::Result<File> {
    let mut file = directory.create_new(name, 0o600)?;
    file.write_all(&magic)?;
    file.write_all(records)?;
    file.sync_all()?;
    directory.sync_dir(None)?;
    Ok(file)
}

fn sibling(name: &Path, suffix: &str) -> Path {
    Path::new(&[name.as_bytes(), suffix.as_bytes()].concat())
        .expect("journals have short names of our own choice")
}

fn frame(out: &mut Vec<u8>, record: &[u8]) {
    assert!(
        !record.is_empty() && record.len() <= JOURNAL_RECORD_BYTES,
        "a record has 1 to {JOURNAL_RECORD_BYTES} bytes"
    );
    let length = (record.len() as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, record).to_le_bytes());
    out.extend_from_slice(record);
}

/// The length is covered too: otherwise a run of zeros would be a valid empty record.
fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(&length);
    crc.update(payload);
    crc.finish()
}

/// The first record of `bytes`, and how many bytes it takes; `None` if there is no whole and good record.
fn first_record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let head = bytes.first_chunk::<RECORD_HEAD>()?;
    let length_bytes = [head[0], head[1], head[2], head[3]];
    let length = u32::from_le_bytes(length_bytes) as usize;
    if length == 0 || JOURNAL_RECORD_BYTES < length {
        return None;
    }
    let payload = bytes.get(RECORD_HEAD..RECORD_HEAD + length)?;
    let sum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    (checksum(length_bytes, payload) == sum).then_some((payload, RECORD_HEAD + length))
}

/// Reads through the file with one buffer, which holds at least one whole record or what is left.
fn read_all(
    mut file: File,
    magic: [u8; 8],
    each: &mut impl FnMut(&[u8]) -> Result<(), PackError>,
) -> io::Result<Found> {
    let size = file.metadata()?.len();
    let mut start = [0; 8];
    if size < 8 || file.read_exact(&mut start).is_err() || start != magic {
        return Ok(Found::Damaged(0));
    }
    let mut offset = 8;
    let mut window = Vec::new();
    loop {
        let wanted = JOURNAL_TAIL_BYTES + 1 - window.len().min(JOURNAL_TAIL_BYTES);
        (&mut file).take(wanted as u64).read_to_end(&mut window)?;
        let mut used = 0;
        while let Some((record, length)) = first_record(&window[used..]) {
            if each(record).is_err() {
                return Ok(Found::Damaged(offset));
            }
            used += length;
            offset += length as u64;
        }
        if used == 0 {
            return Ok(judge(&window, offset));
        }
        window.drain(..used);
    }
}

/// What follows the last good record: nothing, a torn tail, or damage.
fn judge(rest: &[u8], offset: u64) -> Found {
    if rest.is_empty() {
        return Found::Whole;
    }
    let good_record_behind = || (1..rest.len()).any(|at| first_record(&rest[at..]).is_some());
    if JOURNAL_TAIL_BYTES < rest.len() || good_record_behind() {
        return Found::Damaged(offset);
    }
    Found::Torn(rest.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Scratch;

    const MAGIC: [u8; 8] = *b"FSTEST\x00\x01";

    fn open(scratch: &Scratch) -> (Journal, Found, Vec<Vec<u8>>) {
        let mut records = Vec::new();
        let root = Root::open(scratch.path()).unwrap();
        let name = Path::new(b"journal").unwrap();
        let (journal, found) = Journal::open(root, name, MAGIC, |record| {
            records.push(record.to_vec());
            Ok(())
        })
        .unwrap();
        (journal, found, records)
    }

    fn record(number: u8) -> Vec<u8> {
        vec![number; 1 + number as usize * 7]
    }

    fn written(scratch: &Scratch, count: u8) -> Vec<u8> {
        let (mut journal, _, _) = open(scratch);
        for number in 0..count {
            journal.append(&record(number)).unwrap();
        }
        journal.flush().unwrap();
        std::fs::read(scratch.path().join("journal")).unwrap()
    }

    #[test]
    fn what_is_appended_is_read() {
        let scratch = Scratch::new();
        let (_, found, records) = open(&scratch);
        assert_eq!((found, records.len()), (Found::Nothing, 0));
        written(&scratch, 5);
        let (mut journal, found, records) = open(&scratch);
        assert_eq!(found, Found::Whole);
        assert_eq!(records, (0..5).map(record).collect::<Vec<_>>());
        journal.append(&record(9)).unwrap();
        journal.flush().unwrap();
        drop(journal);
        assert_eq!(open(&scratch).2.len(), 6);
    }

    #[test]
    fn many_more_records_than_one_window() {
        let scratch = Scratch::new();
        let (mut journal, _, _) = open(&scratch);
        let big = vec![7; JOURNAL_RECORD_BYTES];
        let count = 3 * JOURNAL_TAIL_BYTES / big.len();
        for _ in 0..count {
            journal.append(&big).unwrap();
        }
        journal.flush().unwrap();
        let (again, found, records) = open(&scratch);
        assert_eq!((found, records.len()), (Found::Whole, count));
        assert_eq!(again.length(), journal.length());
    }

    #[test]
    fn cut_at_every_byte_it_keeps_what_was_whole() {
        let scratch = Scratch::new();
        let bytes = written(&scratch, 6);
        for end in 8..bytes.len() {
            std::fs::write(scratch.path().join("journal"), &bytes[..end]).unwrap();
            let (_, found, records) = open(&scratch);
            let whole: usize = 8 + records.iter().map(|record| RECORD_HEAD + record.len()).sum::<usize>();
            let want = if whole == end { Found::Whole } else { Found::Torn((end - whole) as u64) };
            assert_eq!(found, want, "cut at {end}");
            assert_eq!(records, (0..records.len() as u8).map(record).collect::<Vec<_>>());
            assert!(end - whole < RECORD_HEAD + record(records.len() as u8).len());
            assert_eq!(open(&scratch).1, Found::Whole, "the tail is gone after it was said once");
        }
    }

    #[test]
    fn a_flipped_bit_is_a_torn_tail_in_the_last_record_and_damage_before_it() {
        let scratch = Scratch::new();
        let bytes = written(&scratch, 4);
        let last = bytes.len() - RECORD_HEAD - record(3).len();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(scratch.path().join("journal"), &bad).unwrap();
            let (_, found, records) = open(&scratch);
            match bit / 8 < last {
                true => assert!(matches!(found, Found::Damaged(_)), "bit {bit}: {found:?}"),
                false => assert_eq!(found, Found::Torn((bytes.len() - last) as u64), "bit {bit}"),
            }
            assert!(records.len() <= 3);
            assert!(matches!(open(&scratch).1, Found::Whole));
        }
        assert!(
            scratch.path().join("journal.damaged").exists(),
            "what was damaged is set aside, not thrown away"
        );
    }

    #[test]
    fn zeros_and_garbage_behind_are_a_torn_tail_until_there_is_too_much() {
        let scratch = Scratch::new();
        let bytes = written(&scratch, 4);
        for (tail, want) in [
            (vec![0; 4096], Found::Torn(4096)),
            (vec![0xff; 100], Found::Torn(100)),
            (vec![0; JOURNAL_TAIL_BYTES + 1], Found::Damaged(bytes.len() as u64)),
        ] {
            std::fs::write(scratch.path().join("journal"), [bytes.as_slice(), &tail].concat()).unwrap();
            let (_, found, records) = open(&scratch);
            assert_eq!((found, records.len()), (want, 4));
        }
    }

    #[test]
    fn another_book_is_damage() {
        let scratch = Scratch::new();
        for content in [b"".as_slice(), b"FSTEST", b"FSTEST\x00\x02", b"{\"json\":true}"] {
            std::fs::write(scratch.path().join("journal"), content).unwrap();
            assert_eq!(open(&scratch).1, Found::Damaged(0));
        }
    }

    #[test]
    fn rewriting_replaces_all_and_mends() {
        let scratch = Scratch::new();
        written(&scratch, 5);
        let (mut journal, _, _) = open(&scratch);
        journal.broken = true;
        assert!(journal.append(b"x").is_err() && journal.flush().is_err());
        journal.rewrite([record(1), record(2)].iter()).unwrap();
        journal.append(&record(3)).unwrap();
        journal.flush().unwrap();
        assert_eq!(open(&scratch).2, [record(1), record(2), record(3)]);
    }

    #[test]
    fn much_that_is_appended_is_written_although_nobody_asks() {
        let scratch = Scratch::new();
        let (mut journal, _, _) = open(&scratch);
        let on_disk = || std::fs::metadata(scratch.path().join("journal")).unwrap().len();
        let big = vec![7; JOURNAL_RECORD_BYTES];
        let framed = RECORD_HEAD + big.len();
        let fit = JOURNAL_PENDING_BYTES / framed;
        for _ in 0..fit {
            journal.append(&big).unwrap();
        }
        assert_eq!(on_disk(), 8);
        journal.append(&big).unwrap();
        assert_eq!(on_disk(), (8 + (fit + 1) * framed) as u64);
    }
}
